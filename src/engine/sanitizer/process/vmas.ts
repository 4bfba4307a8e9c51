/**
 * Rules of an address space: its VMAs, its counters, its tables.
 *
 * Source: mm/mmap.c (validate_mm), mm/memory.c (free_pgtables; check_mm's "Bad
 * rss-counter state", "non-zero pgtables_bytes on freeing mm") of 6.18.
 */
import type { Ref } from "../../../units.js";
import {
  MM_MAP_COUNT,
  MM_MMAP_LOCK,
  MM_PGTABLES_BYTES,
  MM_RSS_ANON,
  MM_RSS_FILE,
  MM_RSS_SHMEM,
  MM_RSS_SWAP,
  MM_TOTAL_VM,
  MM_VMA_ROOT,
  VMA_TREE_LEFT,
  VMA_TREE_RIGHT,
} from "../../layout/generated/offsets.js";
import { T_PGTABLE } from "../../design/word/axis-types.js";
import { VM_HUGETLB, VM_WRITE } from "../../process/constants.js";
import {
  isMigration,
  isSwap,
  PMD_HUGE,
  PTE_SPECIAL,
  PTE_WRITE,
  swapOffset,
} from "../../process/entry.js";
import { O_VMA } from "../../process/objects.js";
import { deviceEntry } from "../device/layer.js";
import type { EntryView } from "./entries.js";
import type { KernelReport, KernelRule } from "./rule.js";
import type { MmView } from "./shape.js";
import { addressOf, place, type ProcessView } from "./view.js";

const NONE = 0 as Ref;

const nameOf = (mm: MmView): string =>
  mm.pid < 0 ? `address space ${mm.id} without a process` : `process ${mm.pid}`;

/** VMAs in the order of the tree. */
function inTree(view: ProcessView, mm: MmView): Ref[] {
  const { w } = view.base;
  const order: Ref[] = [];
  const walk = (at: Ref): void => {
    if (at === NONE || !view.isObject(O_VMA, at) || order.length > mm.vmas.length) return;
    walk(w.load32(at, VMA_TREE_LEFT) as Ref);
    order.push(at);
    walk(w.load32(at, VMA_TREE_RIGHT) as Ref);
  };
  walk(w.load32(mm.mm, MM_VMA_ROOT) as Ref);
  return order;
}

function vmaList(view: ProcessView, mm: MmView, report: KernelReport): void {
  const { vmas, w } = view.base;
  const who = nameOf(mm);
  const say = (detail: string): void => report(-1, detail, who);
  let [before, end, pages] = [NONE, 0, 0];
  for (const v of mm.vmas) {
    if (v.start < end || v.end <= v.start)
      say(`the VMA at ${addressOf(v.start)} overlaps or is empty`);
    if (vmas.tree.prev(v.vma) !== before)
      say(`the VMA at ${addressOf(v.start)} is not linked back`);
    if (vmas.mm(v.vma) !== mm.mm) say(`the VMA at ${addressOf(v.start)} is of another process`);
    [before, end, pages] = [v.vma, v.end, pages + v.end - v.start];
  }
  const tree = inTree(view, mm);
  if (tree.length !== mm.vmas.length || tree.some((vma, i) => vma !== mm.vmas[i].vma))
    say(`the tree has ${tree.length} VMAs, the list ${mm.vmas.length}, or in another order`);
  const count = w.load32(mm.mm, MM_MAP_COUNT);
  if (count !== mm.vmas.length) say(`map_count is ${count}, there are ${mm.vmas.length} VMAs`);
  const total = w.load32(mm.mm, MM_TOTAL_VM);
  if (total !== pages) say(`total_vm is ${total}, the VMAs have ${pages} pages`);
  if (w.load32(mm.mm, MM_MMAP_LOCK) !== 0) say("its mmap_lock is held");
}

export const VMAS_ARE_IN_ORDER: KernelRule = {
  name: "VMAs are in order",
  says: "the VMAs of a process lie one after the other, list and tree agree, map_count and total_vm are theirs, and every VMA is some process's",
  watch(view, report) {
    const seen = new Set<Ref>();
    for (const mm of view.mms) {
      vmaList(view, mm, report);
      for (const v of mm.vmas) seen.add(v.vma);
    }
    for (const vma of view.objects[O_VMA])
      if (!seen.has(vma)) report(-1, `VMA ${vma} is in use and of no process`, "nobody");
  },
};

/** Adds one entry to the counters that its process must have. */
function countEntry(view: ProcessView, mm: MmView, e: EntryView, into: Map<number, number>): void {
  const add = (counter: number, n: number): void =>
    void into.set(counter, (into.get(counter) ?? 0) + n);
  const pages = e.huge ? 512 : 1;
  if (((view.vmaAt(mm, e.vpn)?.flags ?? 0) & VM_HUGETLB) !== 0) return;
  if (!e.there) {
    const own = view.device === null ? null : deviceEntry(view.device, e.lo, e.hi);
    // Pages of a device, and of RAM on loan to one, are anonymous memory.
    if (own !== null) return add(MM_RSS_ANON, pages);
    if (isSwap(e.lo, e.hi)) return add(MM_RSS_SWAP, 1);
    if (!isMigration(e.lo, e.hi)) return;
  }
  if (!e.huge && e.there && (e.lo & PTE_SPECIAL) !== 0) return;
  if (e.huge && e.there && view.core.isHugeZero(e.pfn)) return;
  if (e.there && view.base.special?.countsAsFolio(e.pfn) === true) return add(MM_RSS_FILE, 1);
  const folio = view.folioAt(e.there ? e.pfn : swapOffset(e.lo, e.hi));
  if (folio !== undefined) add(view.base.zap.rssOf(folio.ref), pages);
}

export const RSS_IS_WHAT_IS_MAPPED: KernelRule = {
  name: "RSS is what is mapped",
  says: "the counters of anonymous, file, shared and swapped pages are what the page tables show",
  watch(view, report) {
    for (const mm of view.mms) {
      const must = new Map<number, number>();
      for (const e of mm.entries) countEntry(view, mm, e, must);
      for (const [name, counter] of [
        ["anonymous", MM_RSS_ANON],
        ["file", MM_RSS_FILE],
        ["shared", MM_RSS_SHMEM],
        ["swapped", MM_RSS_SWAP],
      ] as const) {
        const says = view.base.w.load32(mm.mm, counter);
        const n = must.get(counter) ?? 0;
        if (says !== n)
          report(-1, `it counts ${says} ${name} pages, the tables show ${n}`, nameOf(mm));
      }
    }
  },
};

/** Deposited tables that each PMD table must have: one for each huge entry that may be split. */
function depositsNeeded(view: ProcessView, mm: MmView): number {
  let n = 0;
  for (const e of mm.entries) {
    if (!e.huge || ((view.vmaAt(mm, e.vpn)?.flags ?? 0) & VM_HUGETLB) !== 0) continue;
    if (view.device !== null && deviceEntry(view.device, e.lo, e.hi) !== null) {
      n++;
      continue;
    }
    const pfn = e.there ? e.pfn : swapOffset(e.lo, e.hi);
    const folio = view.folioAt(pfn);
    if (view.core.isHugeZero(pfn) || (folio !== undefined && view.base.folios.isAnon(folio.ref)))
      n++;
  }
  return n;
}

export const TABLES_ARE_NEEDED: KernelRule = {
  name: "page tables are needed",
  says: "every table is its process's, lies over a VMA, is counted in pgtables_bytes; there is a deposited table for each huge entry that may be split; no page table is nobody's",
  watch(view, report) {
    const seen = new Set<number>();
    for (const mm of view.mms) {
      const who = nameOf(mm);
      for (const { vpn, pfn, why } of mm.broken) report(pfn, `an entry ${why}`, place(mm, vpn));
      let deposited = 0;
      for (const t of mm.tables) {
        seen.add(t.pfn);
        if (t.deposited) deposited++;
        const { ptl, mm: owner } = view.core.design.ptdesc;
        const desc = view.core.design.descriptorOf(t.pfn);
        if (view.core.pointer(desc, owner) !== mm.mm)
          report(t.pfn, "its descriptor names another process", place(mm, t.start));
        if (view.base.w.load32(desc, ptl) !== 0)
          report(t.pfn, "its lock is held", place(mm, t.start));
        if (!t.deposited && t.level < 3 && !mm.vmas.some((v) => v.start < t.end && v.end > t.start))
          report(t.pfn, `a table of level ${t.level} lies over no VMA`, place(mm, t.start));
      }
      const bytes = view.base.w.load32(mm.mm, MM_PGTABLES_BYTES);
      // The topmost table is not counted (mm_alloc_pgd).
      const counted = mm.tables.length - 1;
      if (bytes !== counted * 4096)
        report(-1, `pgtables_bytes is ${bytes}, it has ${counted} tables below the top`, who);
      const needed = depositsNeeded(view, mm);
      if (deposited !== needed)
        report(-1, `${deposited} tables are deposited, ${needed} huge entries may be split`, who);
    }
    // The kernel's own tables lie over its areas, not over VMAs.
    const { initMm, design } = view.core;
    const kernels = (pfn: number): boolean =>
      view.core.pointer(design.descriptorOf(pfn), design.ptdesc.mm) === initMm;
    view.kernel.machine.heap.forEachFrame((pfn) => {
      if (design.typeOf(pfn) === T_PGTABLE && !seen.has(pfn) && !kernels(pfn))
        report(pfn, "a page table that no process leads to", "nobody");
    });
  },
};

export const ENTRIES_LIE_IN_VMAS: KernelRule = {
  name: "entries lie in VMAs",
  says: "every entry lies in a VMA, and may be written only where the VMA says so",
  watch(view, report) {
    for (const mm of view.mms) {
      for (const e of mm.entries) {
        const vma = view.vmaAt(mm, e.vpn);
        if (vma === undefined || (e.huge && vma.end < e.vpn + 512)) {
          report(e.pfn, "it is mapped where no VMA is", place(mm, e.vpn));
          continue;
        }
        if (e.there && (e.lo & PTE_WRITE) !== 0 && (vma.flags & VM_WRITE) === 0)
          report(e.pfn, "it may be written, its VMA may not", place(mm, e.vpn));
        if (e.there && e.huge && (e.lo & PMD_HUGE) === 0)
          report(e.pfn, "an entry of a PMD table is no table and not huge", place(mm, e.vpn));
      }
    }
  },
};
