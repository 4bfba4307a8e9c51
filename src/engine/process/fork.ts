/**
 * fork: a child with the same VMAs and the same pages, private ones to be copied
 * when either side writes; and the end of a process.
 *
 * Source: kernel/fork.c (dup_mmap), mm/memory.c (copy_page_range,
 * copy_present_page), mm/huge_memory.c (copy_huge_pmd) of 6.18. A page that may
 * be pinned is copied for the child at once, so that the parent keeps the one
 * that the device knows.
 */
import type { Ref } from "../../units.js";
import {
  MM_FLAGS,
  MM_MEMCG,
  MM_MMAP_BASE,
  MM_MMAP_LOCK,
  MM_MM_COUNT,
  MM_MM_ID,
  MM_MM_USERS,
  MM_PGD,
  MM_RSS_ANON,
  MM_RSS_SWAP,
  MM_TOTAL_VM,
  VMA_VM_PRIVATE_DATA,
} from "../layout/generated/offsets.js";
import { PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_ANON } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import type { DeviceEntries } from "./device-entries.js";
import {
  MMF_HAS_PINNED,
  PMD_ORDER,
  PMD_PAGES,
  TASK_PAGES,
  VM_DONTCOPY,
  VM_HUGETLB,
  VM_MAYWRITE,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
  VM_UFFD_MISSING,
  VM_WIPEONFORK,
  VM_LOCKED,
} from "./constants.js";
import { S_MM_IDS } from "./core.js";
import {
  isMigration,
  isSwap,
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_NX_HI,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
  SWP_EXCLUSIVE,
  SWP_MIGRATION_READ,
  swapHigh,
  swapOffset,
} from "./entry.js";
import { downWrite, upWrite } from "./locks.js";
import type { Mappings } from "./mmap.js";
import { MMU_NOTIFY_CLEAR, MMU_NOTIFY_PROTECTION_PAGE } from "./notifier/events.js";
import { O_MM } from "./objects.js";
import { pmdAt, pteAt } from "./page-tables.js";

const NONE = 0 as Ref;
/** Below 8 TiB less a page: simplified TASK_SIZE. */
const MMAP_BASE = TASK_PAGES - 1;

export class Forks {
  readonly base: Base;
  readonly mappings: Mappings;
  /** Page for the copy of a pinned one, while a table is copied; −1 for none. */
  #spare = -1;

  constructor(base: Base, mappings: Mappings) {
    this.base = base;
    this.mappings = mappings;
  }

  /** mm_alloc: an empty address space; 0 without memory. */
  create(memcg: Ref): Ref {
    const { core, w, tables } = this.base;
    const mm = core.newObject(O_MM);
    if (mm === NONE) return mm;
    const pgd = tables.allocTop(mm);
    if (pgd === NONE) {
      core.freeObject(O_MM, mm);
      return NONE;
    }
    core.setPointer(mm, MM_PGD, pgd);
    w.store32(mm, MM_MM_COUNT, 1);
    w.store32(mm, MM_MM_USERS, 1);
    w.store32(mm, MM_MEMCG, memcg);
    w.store32(mm, MM_MM_ID, w.add32(core.state, S_MM_IDS, 1));
    w.store64(mm, MM_MMAP_BASE, MMAP_BASE << 12, MMAP_BASE >>> 20);
    return mm;
  }

  /** dup_mm: the child's address space; 0 without memory, with nothing left behind. */
  fork(parent: Ref): Ref {
    const { w, vmas } = this.base;
    const child = this.create(w.load32(parent, MM_MEMCG) as Ref);
    if (child === NONE) return NONE;
    downWrite(w, parent, MM_MMAP_LOCK);
    let ok = true;
    for (let vma = vmas.tree.first(parent); ok && vma !== NONE; vma = vmas.tree.next(vma))
      ok = this.#copyVma(child, vma);
    upWrite(w, parent, MM_MMAP_LOCK);
    if (ok) return child;
    this.exit(child);
    return NONE;
  }

  #copyVma(child: Ref, vma: Ref): boolean {
    const { vmas, anonVmas, w } = this.base;
    const flags = vmas.flags(vma);
    if ((flags & VM_DONTCOPY) !== 0) return true;
    const start = vmas.tree.start(vma);
    const end = vmas.tree.end(vma);
    const copy = vmas.duplicate(child, vma, start, end, vmas.pgoff(vma));
    if (copy === NONE) return false;
    w.add32(child, MM_TOTAL_VM, end - start);
    vmas.setFlags(copy, flags & ~VM_LOCKED);
    // dup_userfaultfd: nobody asked for UFFD_EVENT_FORK, so the child's memory is its own.
    if ((flags & VM_UFFD_MISSING) !== 0) vmas.setUserfault(copy, NONE);
    // reset_vma_resv_huge_pages: what the pool promised was promised to the parent.
    if ((flags & (VM_HUGETLB | VM_SHARED)) === VM_HUGETLB)
      this.base.core.setPointer(copy, VMA_VM_PRIVATE_DATA, NONE);
    // A wiped VMA starts empty, its pages come when they are touched.
    if ((flags & VM_WIPEONFORK) !== 0) return true;
    if (anonVmas.fork(copy, vma) !== 0) return false;
    const needs = anonVmas.of(vma) !== NONE || (flags & (VM_PFNMAP | VM_MIXEDMAP)) !== 0;
    // Shared file pages fault in again; copying entries would only cost.
    if (!needs && (flags & VM_HUGETLB) === 0) return true;
    if ((flags & VM_HUGETLB) !== 0 && (flags & VM_SHARED) !== 0) return true;
    return this.#copyPages(child, copy, vma, start, end);
  }

  /** copy_page_range, copy_hugetlb_page_range: the parent's own pages become read-only, of which it is told. */
  #copyPages(child: Ref, copy: Ref, vma: Ref, start: number, end: number): boolean {
    const { notifiers, vmas } = this.base;
    const flags = vmas.flags(vma);
    // is_cow_mapping
    const cow = (flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
    if (notifiers.any === 0 || !cow) return this.#copyRange(child, copy, vma, start, end);
    const parent = vmas.mm(vma);
    const event = (flags & VM_HUGETLB) !== 0 ? MMU_NOTIFY_CLEAR : MMU_NOTIFY_PROTECTION_PAGE;
    notifiers.start(parent, start, end, event);
    const ok = this.#copyRange(child, copy, vma, start, end);
    notifiers.end(parent, start, end);
    return ok;
  }

  /** copy_p4d_range and what is below it. */
  #copyRange(child: Ref, copy: Ref, vma: Ref, start: number, end: number): boolean {
    const { w, tables, vmas } = this.base;
    const parent = vmas.mm(vma);
    for (let vpn = start; vpn < end;) {
      const next = Math.min(end, vpn - (vpn % PMD_PAGES) + PMD_PAGES);
      const pmds = tables.pmdTable(parent, vpn);
      if (pmds === NONE) {
        vpn = vpn - (vpn % (PMD_PAGES * PMD_PAGES)) + PMD_PAGES * PMD_PAGES;
        continue;
      }
      const lo = w.load64(pmds, pmdAt(vpn));
      if ((lo | w.hi) !== 0) {
        const huge = (lo & PMD_HUGE) !== 0 || (lo & PTE_THERE) === 0;
        if (huge && !this.#copyHuge(child, copy, vma, pmds, vpn)) return false;
        const table = tables.below(pmds, pmdAt(vpn));
        if (table !== NONE && !this.#copyTable(child, copy, vma, table, vpn, next)) return false;
      }
      vpn = next;
    }
    return true;
  }

  /** copy_huge_pmd. True also where the parent's entry had to be split: then its table is copied next. */
  #copyHuge(child: Ref, copy: Ref, vma: Ref, pmds: Ref, vpn: number): boolean {
    const { w, tables, folios, core, counts, vmas, zap } = this.base;
    const off = pmdAt(vpn);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    const there = (lo & PTE_THERE) !== 0;
    const { device } = this.base;
    if (!there && device !== null && device.owns(lo, hi))
      return this.#copyHugeDevice(device, child, copy, pmds, vpn, lo, hi);
    const pfn = there ? ptePfn(lo & ~PMD_HUGE, hi) : swapOffset(lo, hi);
    const zero = core.isHugeZero(pfn);
    const folio = zero ? NONE : there ? folios.ofPage(pfn) : folios.ofMigration(lo, hi);
    const hugetlb = (vmas.flags(vma) & VM_HUGETLB) !== 0;
    // A file's huge page faults in again.
    if (!zero && !folios.isAnon(folio)) return true;
    if (
      !zero &&
      there &&
      core.design.isExclusive(pfn) &&
      this.#pinned(vma) &&
      folios.maybePinned(folio, PMD_ORDER)
    ) {
      if (hugetlb) return this.mappings.hugetlb.copyFor(child, copy, pfn, vpn, lo, hi);
      zap.splitPmd(vmas.mm(vma), counts.mmId(vma), pmds, vpn);
      return true;
    }
    const table = hugetlb ? NONE : tables.alloc(child);
    const target = tables.ensurePmd(child, vpn);
    if ((!hugetlb && table === NONE) || target === NONE) {
      if (table !== NONE) tables.free(child, table);
      return false;
    }
    if (there && !zero) {
      folios.get(folio);
      core.design.setExclusive(pfn, false);
      counts.addPmd(folio, counts.mmId(copy));
    }
    if (!zero && !hugetlb) w.add32(child, MM_RSS_ANON, PMD_PAGES);
    const shared = there ? lo & ~PTE_WRITE : lo;
    const high = there ? hi : swapHigh(SWP_MIGRATION_READ, pfn);
    w.store64(pmds, off, shared, high);
    const desc = tables.lock(target);
    if (table !== NONE) tables.deposit(desc, table);
    w.store64(target, off, there ? shared & ~PTE_ACCESSED : shared, high);
    tables.unlock(desc);
    return true;
  }

  /** A device's PMD entry, with a table for when the child's is split. */
  #copyHugeDevice(
    device: DeviceEntries,
    child: Ref,
    copy: Ref,
    pmds: Ref,
    vpn: number,
    lo: number,
    hi: number,
  ): boolean {
    const { w, tables } = this.base;
    const table = tables.alloc(child);
    const target = tables.ensurePmd(child, vpn);
    if (table === NONE || target === NONE) {
      if (table !== NONE) tables.free(child, table);
      return false;
    }
    const source = tables.lock(pmds);
    const desc = tables.lock(target);
    tables.deposit(desc, table);
    device.copyHuge(child, copy, pmds, target, vpn, lo, hi);
    w.add32(child, MM_RSS_ANON, PMD_PAGES);
    tables.unlock(desc);
    tables.unlock(source);
    return true;
  }

  /** Whether pages of the parent may be pinned (MMF_HAS_PINNED). */
  #pinned(vma: Ref): boolean {
    const { w, vmas } = this.base;
    return (w.load32(vmas.mm(vma), MM_FLAGS) & MMF_HAS_PINNED) !== 0;
  }

  #copyTable(child: Ref, copy: Ref, vma: Ref, from: Ref, start: number, end: number): boolean {
    const { w, tables, vmas, counts } = this.base;
    // Also where nothing of the VMA is in it (copy_pte_range).
    const table = tables.ensurePte(child, start);
    if (table === NONE) return false;
    const shared = (vmas.flags(vma) & VM_SHARED) !== 0;
    const mmId = counts.mmId(copy);
    const mayPin = this.#pinned(vma);
    const source = tables.lock(from);
    for (let vpn = start; vpn < end; vpn++) {
      const off = pteAt(vpn);
      const lo = w.load64(from, off);
      const hi = w.hi;
      if ((lo | hi) === 0) continue;
      if ((lo & PTE_THERE) === 0) {
        const { device } = this.base;
        if (device === null || !device.owns(lo, hi))
          this.#copyAbsent(child, from, table, off, lo, hi);
        // What was on loan is back, and is copied as what it is now.
        else if (!device.copy(child, copy, vma, from, table, vpn, lo, hi)) vpn--;
      } else if (!this.#copyPresent(child, copy, from, table, vpn, lo, hi, shared, mmId, mayPin)) {
        // A pinned page is to be copied: the page for it comes while nothing is locked.
        tables.unlock(source);
        this.#spare = this.base.folios.alloc(0, T_ANON, w.load32(child, MM_MEMCG) as Ref);
        if (this.#spare < 0) return false;
        tables.lock(from);
        vpn--;
      }
    }
    tables.unlock(source);
    if (this.#spare >= 0) this.base.folios.put(this.base.core.design.descriptorOf(this.#spare));
    this.#spare = -1;
    return true;
  }

  /** copy_nonpresent_pte */
  #copyAbsent(child: Ref, from: Ref, to: Ref, off: number, lo: number, hi: number): void {
    const { w, swap, folios, zap } = this.base;
    let low = lo;
    let high = hi;
    if (isSwap(lo, hi)) {
      swap.duplicate(swapOffset(lo, hi));
      w.add32(child, MM_RSS_SWAP, 1);
      low = lo & ~SWP_EXCLUSIVE;
    } else if (isMigration(lo, hi)) {
      const folio = folios.ofMigration(lo, hi);
      if (folio !== NONE) w.add32(child, zap.rssOf(folio), 1);
      high = swapHigh(SWP_MIGRATION_READ, swapOffset(lo, hi));
    }
    if (low !== lo || high !== hi) w.store64(from, off, low, high);
    w.store64(to, off, low, high);
  }

  /** copy_present_ptes; false where a spare page is needed first. */
  #copyPresent(
    child: Ref,
    copy: Ref,
    from: Ref,
    to: Ref,
    vpn: number,
    lo: number,
    hi: number,
    shared: boolean,
    mmId: number,
    mayPin: boolean,
  ): boolean {
    const { w, folios, core, counts, zap } = this.base;
    const off = pteAt(vpn);
    const pfn = ptePfn(lo, hi);
    const folio = (lo & PTE_SPECIAL) !== 0 ? NONE : folios.ofPage(pfn);
    if (folio !== NONE) {
      const order = core.design.orderOf(pfn);
      const anon = folios.isAnon(folio);
      if (anon && core.design.isExclusive(pfn)) {
        if (mayPin && folios.maybePinned(folio, order)) {
          if (this.#spare < 0) return false;
          this.#copyPinned(copy, to, vpn, pfn, lo, hi);
          return true;
        }
        core.design.setExclusive(pfn, false);
      }
      folios.get(folio);
      counts.addPtes(folio, pfn, order, 1, mmId);
      w.add32(child, zap.rssOf(folio), 1);
    }
    // Private and writable: whoever writes next copies.
    // The child has not used it yet.
    const bits = lo & ~PTE_ACCESSED & ~(shared ? PTE_DIRTY : PTE_WRITE);
    if (!shared && (lo & PTE_WRITE) !== 0) w.store64(from, off, lo & ~PTE_WRITE, hi);
    if (folio === NONE) this.base.special?.mapped(pfn);
    w.store64(to, off, folio === NONE ? lo & ~(shared ? 0 : PTE_WRITE) : bits, hi);
    return true;
  }

  /** copy_present_page: the child gets a copy now, the parent keeps the pinned page. */
  #copyPinned(copy: Ref, to: Ref, vpn: number, pfn: number, lo: number, hi: number): void {
    const { w, folios, core, rmap, vmas } = this.base;
    const fresh = this.#spare;
    this.#spare = -1;
    const folio = core.design.descriptorOf(fresh);
    core.content.copy(pfn, fresh);
    folios.mark(folio, PG_UPTODATE | PG_SWAPBACKED);
    rmap.newAnon(folio, fresh, 0, copy, vpn, false);
    folios.lruAdd(folio, 0);
    w.add32(vmas.mm(copy), MM_RSS_ANON, 1);
    const bits = (lo & 0xfff) | PTE_DIRTY;
    w.store64(to, pteAt(vpn), pteLow(fresh, bits), pteHigh(fresh) | (hi & PTE_NX_HI));
  }

  /** exit_mmap and mmput: everything that the process mapped goes, then its tables, VMAs, itself. */
  exit(mm: Ref): void {
    const { core, w, tables, vmas, notifiers } = this.base;
    if (notifiers.any !== 0) notifiers.release(mm);
    downWrite(w, mm, MM_MMAP_LOCK);
    const first = vmas.tree.first(mm);
    if (first !== NONE) this.mappings.unmapAll(mm, vmas.tree.start(first));
    upWrite(w, mm, MM_MMAP_LOCK);
    // Who still listens keeps what is left of it.
    if (notifiers.any !== 0) return notifiers.mmdrop(mm);
    tables.freeTop(tables.pgd(mm));
    core.freeObject(O_MM, mm);
  }
}
