/**
 * The walk of hmm_range_fault over the page tables of a process: what each entry
 * says, as an entry of the HMM array, or that it must be faulted first.
 *
 * A walk is an object of its own for each call, so that several threads can be in
 * one; per page there are only integers. No lock of a page table is taken (a huge
 * page of hugetlb's is the exception): a change under way is heard by the notifier.
 * What was asked of a page is in its entry until its answer is written there.
 *
 * Where one page of a stretch must be faulted all of it is, from there to the end of
 * its PMD, hole, or huge page: the walk says the stretch and stops.
 *
 * Source: mm/hmm.c of the mm tree of July 2026 (hmm_vma_walk_pmd, _hole, _test,
 * _hugetlb_entry, hmm_vma_handle_pte, _pmd, _absent_pmd), mm/pagewalk.c. Alias:
 * device-facts §3.2. Two things are otherwise. An entry that is not VALID has no
 * number (there the frame of a page without access stays in it); a range that begins
 * inside a device-private PMD has its own page's number there, not the first one's.
 * Simplified: no PUD is a leaf; an entry that is a uffd-wp marker is known, but
 * nothing makes one.
 */
import type { Ref } from "../../../units.js";
import type { Base } from "../../process/base.js";
import {
  PMD_ORDER,
  PMD_PAGES,
  VM_HUGETLB,
  VM_IO,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_READ,
} from "../../process/constants.js";
import {
  deviceNumberHigh,
  isDevicePrivate,
  isSwap,
  PMD_HUGE,
  ptePfn,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
  SWP_DEVICE_EXCLUSIVE,
  SWP_DEVICE_WRITE,
  swapOffset,
  swapType,
} from "../../process/entry.js";
import { pmdAt, pteAt } from "../../process/page-tables.js";
import { OPS_SCATTERED } from "../../process/scattered/user-map.js";
import { EBUSY, EFAULT } from "../kinds.js";
import type { DevPagemap } from "../pagemap.js";
import type { HmmContext } from "./context.js";
import {
  HMM_PFN_DEVICE_PRIVATE,
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_ERROR,
  HMM_PFN_INOUT_FLAGS,
  HMM_PFN_P2PDMA,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  hmmOrderFlags,
} from "./hmm-pfn.js";
import type { HmmRange } from "./hmm-range.js";
import type { Peers } from "./peers.js";

const NONE = 0 as Ref;
/** Inside: pages `last` … before `end` must be faulted, `required` says how. */
export const FAULT_PENDING = 1;
/** What a page lacks: HMM_NEED_FAULT, HMM_NEED_WRITE_FAULT. */
const NEED_FAULT = 1;
export const NEED_WRITE_FAULT = 2;
const NEED_ALL = NEED_FAULT | NEED_WRITE_FAULT;
const WRITABLE = HMM_PFN_VALID | HMM_PFN_WRITE;
const PMD_FLAGS = hmmOrderFlags(PMD_ORDER);
/** pte_marker: the last type of swap entries; bit 0 of its offset is userfaultfd's. */
const SWP_PTE_MARKER = 31;
const PTE_MARKER_UFFD_WP = 1;
/** No frame has this number. */
const NO_FRAME = 2 ** 31;

const endOfPmd = (vpn: number): number => vpn - (vpn % PMD_PAGES) + PMD_PAGES;

export class HmmWalk {
  readonly #c: HmmContext;
  readonly #base: Base;
  readonly #range: HmmRange;
  readonly #pfns: Int32Array;
  readonly #peers: Peers | null;
  /** Whether any page can be asked for: without that nothing is ever faulted. */
  readonly #asks: boolean;
  /** Carried flags of an entry that is not mapped for DMA: where peers are told apart, none. */
  readonly #keep: number;
  /** First frame whose kind must be asked. */
  readonly #firstDevice: number;
  /** First page that has no output yet. */
  last: number;
  end = 0;
  required = 0;
  /** Page map that was looked at last. */
  #mapWords = NONE;
  #map: DevPagemap | undefined;
  /** Whether a special entry of the VMA at hand is a page that somebody counts. */
  #counted = false;

  constructor(context: HmmContext, peers: Peers, range: HmmRange) {
    this.#c = context;
    this.#base = context.base;
    this.#range = range;
    this.#pfns = range.pfns;
    this.#peers = peers.enabled && range.allowP2p === true ? peers : null;
    this.#asks = ((range.defaultFlags | range.pfnFlagsMask) & HMM_PFN_REQ_FAULT) !== 0;
    this.#keep = this.#peers === null ? HMM_PFN_INOUT_FLAGS : 0;
    this.#firstDevice = this.#peers === null ? NO_FRAME : context.base.core.machine.deviceFirst;
    this.last = range.start;
  }

  /** walk_page_range from `last` on: 0 at the end, FAULT_PENDING, EBUSY after a wait, EFAULT. */
  run(): number {
    const { tree } = this.#base.vmas;
    const { mm, end } = this.#range;
    for (let vpn = this.last; vpn < end;) {
      const vma = tree.find(mm, vpn);
      const begins = vma === NONE ? end : Math.min(end, tree.start(vma));
      const next = begins > vpn ? begins : Math.min(end, tree.end(vma));
      const result = begins > vpn ? this.#nothing(vpn, next) : this.#vma(vma, vpn, next);
      if (result !== 0) return result;
      vpn = next;
    }
    return 0;
  }

  /** hmm_pte_need_fault: what a page lacks, by what was asked in its entry. */
  #need(asked: number, has: number): number {
    const wants = (asked & this.#range.pfnFlagsMask) | this.#range.defaultFlags;
    if ((wants & HMM_PFN_REQ_FAULT) === 0) return 0;
    if ((wants & HMM_PFN_REQ_WRITE) !== 0 && (has & HMM_PFN_WRITE) === 0) return NEED_ALL;
    return (has & HMM_PFN_VALID) === 0 ? NEED_FAULT : 0;
  }

  /** hmm_range_need_fault: the same for pages `vpn` … before `next`. */
  #needs(vpn: number, next: number, has: number): number {
    if (!this.#asks) return 0;
    const { start } = this.#range;
    let need = 0;
    for (let i = vpn - start; i < next - start && need !== NEED_ALL; i++)
      need |= this.#need(this.#pfns[(i << 1) + 1], has);
    return need;
  }

  /** hmm_record_fault */
  #pend(vpn: number, next: number, required: number): number {
    this.last = vpn;
    this.end = next;
    this.required = required;
    return FAULT_PENDING;
  }

  /** One entry's answer; the flags that are carried stay. */
  #put(at: number, number: number, high: number): void {
    const was = this.#pfns[at + 1];
    const carried = (was & HMM_PFN_DMA_MAPPED) !== 0 ? HMM_PFN_INOUT_FLAGS : this.#keep;
    this.#pfns[at] = number;
    this.#pfns[at + 1] = (was & carried) | high;
  }

  /** hmm_pfns_fill: the same flags for all, and no number. */
  #fill(vpn: number, next: number, high: number): number {
    const { start } = this.#range;
    for (let i = vpn - start; i < next - start; i++) this.#put(i << 1, 0, high);
    return 0;
  }

  /** No VMA is there. */
  #nothing(vpn: number, next: number): number {
    return this.#needs(vpn, next, 0) !== 0 ? EFAULT : this.#fill(vpn, next, HMM_PFN_ERROR);
  }

  /** hmm_vma_walk_test, then every PMD of the VMA. */
  #vma(vma: Ref, first: number, end: number): number {
    const { vmas } = this.#base;
    const flags = vmas.flags(vma);
    if ((flags & (VM_IO | VM_PFNMAP)) !== 0 || (flags & VM_READ) === 0)
      return this.#nothing(first, end);
    // Scattered memory is mapped by special entries in some designs, and counted in all of them.
    this.#counted = (flags & VM_MIXEDMAP) !== 0 && vmas.ops(vma) === OPS_SCATTERED;
    const hugetlb = (flags & VM_HUGETLB) !== 0;
    for (let vpn = first; vpn < end;) {
      const next = hugetlb ? Math.min(end, endOfPmd(vpn)) : this.#nextOf(vpn, end);
      const pmds = this.#base.tables.pmdTable(this.#range.mm, vpn);
      const result =
        pmds === NONE
          ? this.#hole(vpn, next)
          : hugetlb
            ? this.#hugetlb(pmds, vpn, next)
            : this.#pmd(vma, pmds, vpn, next);
      if (result !== 0) return result;
      vpn = next;
    }
    return 0;
  }

  /** Where the PMD ends, or the hole where a table above it is missing: 2 MiB, 1 GiB or 512 GiB. */
  #nextOf(vpn: number, end: number): number {
    const { tables } = this.#base;
    const pud = tables.below(tables.pgd(this.#range.mm), (vpn >>> 27) << 3);
    const pages =
      pud === NONE
        ? PMD_PAGES ** 3
        : tables.below(pud, ((vpn >>> 18) & 511) << 3) === NONE
          ? PMD_PAGES ** 2
          : PMD_PAGES;
    return Math.min(end, vpn - (vpn % pages) + pages);
  }

  /** hmm_vma_walk_hole in a VMA: nothing has been there yet. */
  #hole(vpn: number, next: number): number {
    const need = this.#needs(vpn, next, 0);
    return need !== 0 ? this.#pend(vpn, next, need) : this.#fill(vpn, next, 0);
  }

  /** hmm_vma_walk_pmd */
  #pmd(vma: Ref, pmds: Ref, vpn: number, next: number): number {
    const { w, tables } = this.#base;
    const off = pmdAt(vpn);
    for (;;) {
      const table = tables.below(pmds, off);
      if (table !== NONE) return this.#table(vma, table, vpn, next);
      const lo = w.load64(pmds, off);
      const hi = w.hi;
      if ((lo | hi) === 0) return this.#hole(vpn, next);
      if ((lo & PTE_THERE) === 0) return this.#absentPmd(vma, pmds, vpn, next, lo, hi);
      if ((lo & PMD_HUGE) !== 0) return this.#leaf(vpn, next, lo, hi);
      // It was split in between: it leads to a table now.
    }
  }

  /** What the rights of an entry that is there allow; nothing where nobody may touch the page. */
  #rights(lo: number): number {
    if ((lo & PTE_PRESENT) === 0) return 0;
    return (lo & PTE_WRITE) !== 0 ? WRITABLE : HMM_PFN_VALID;
  }

  /** hmm_vma_handle_pmd: every page gets its frame, the rights and the order of the whole. */
  #leaf(vpn: number, next: number, lo: number, hi: number): number {
    const rights = this.#rights(lo);
    const high = rights === 0 ? 0 : rights | PMD_FLAGS;
    const need = this.#needs(vpn, next, high);
    return need !== 0 ? this.#pend(vpn, next, need) : this.#fillLeaf(vpn, next, lo, hi, high);
  }

  #fillLeaf(vpn: number, next: number, lo: number, hi: number, high: number): number {
    if (high === 0) return this.#fill(vpn, next, 0);
    const { start } = this.#range;
    const pfn = ptePfn(lo & ~PMD_HUGE, hi) + (vpn % PMD_PAGES);
    const flags = high | this.#peerFlag(pfn);
    for (let i = 0; i < next - vpn; i++) this.#put((vpn - start + i) << 1, pfn + i, flags);
    return 0;
  }

  /** hmm_vma_walk_hugetlb_entry: its first page's request counts for all. */
  #hugetlb(pmds: Ref, vpn: number, next: number): number {
    const { w, tables } = this.#base;
    const desc = tables.lock(pmds);
    const lo = w.load64(pmds, pmdAt(vpn));
    const hi = w.hi;
    const rights = (lo & PTE_THERE) === 0 ? 0 : this.#rights(lo);
    const need = this.#need(this.#pfns[((vpn - this.#range.start) << 1) + 1], rights);
    const high = rights === 0 ? 0 : rights | PMD_FLAGS;
    const result =
      need !== 0 ? this.#pend(vpn, next, need) : this.#fillLeaf(vpn, next, lo, hi, high);
    tables.unlock(desc);
    return result;
  }

  /** hmm_vma_handle_absent_pmd, and the migration entry that is looked for before it. */
  #absentPmd(vma: Ref, pmds: Ref, vpn: number, next: number, lo: number, hi: number): number {
    const need = this.#needs(vpn, next, 0);
    if (this.#c.numbers.isMigration(lo, hi)) {
      if (need === 0) return this.#fill(vpn, next, 0);
      this.last = vpn;
      // pmd_migration_entry_wait
      this.#c.kernel.faults.huge.present(vma, this.#range.mm, pmds, vpn, false, false);
      return EBUSY;
    }
    const isPrivate = isDevicePrivate(lo, hi);
    if (isPrivate) {
      const map = this.#mapOf(lo, hi);
      if (map?.owner === this.#range.owner) return this.#ownPmd(vpn, next, lo, hi);
      if (map !== undefined && this.#aliasPmd(map, vpn, next, lo, hi)) return 0;
    }
    if (need === 0) return this.#fill(vpn, next, HMM_PFN_ERROR);
    return isPrivate ? this.#pend(vpn, next, need) : EFAULT;
  }

  #ownPmd(vpn: number, next: number, lo: number, hi: number): number {
    const { start } = this.#range;
    const number = swapOffset(lo, hi) + (vpn % PMD_PAGES);
    const high = this.#privateFlags(hi) | PMD_FLAGS;
    for (let i = 0; i < next - vpn; i++) this.#put((vpn - start + i) << 1, number + i, high);
    return 0;
  }

  /** Upper half of a valid entry for a device-private page: rights, kind, upper part of its number. */
  #privateFlags(hi: number): number {
    const rights = swapType(hi) === SWP_DEVICE_WRITE ? WRITABLE : HMM_PFN_VALID;
    const kind = this.#c.naming.ownKind ? HMM_PFN_DEVICE_PRIVATE : 0;
    return rights | kind | deviceNumberHigh(hi);
  }

  /** page_pgmap of what an entry names. */
  #mapOf(lo: number, hi: number): DevPagemap | undefined {
    const words = this.#c.naming.mapOf(swapOffset(lo, hi), deviceNumberHigh(hi));
    if (words !== this.#mapWords) {
      this.#mapWords = words;
      this.#map = this.#c.pagemaps.maps.get(words);
    }
    return this.#map;
  }

  /** HMM_PFN_P2PDMA of a frame, where peers are told apart. */
  #peerFlag(pfn: number): number {
    if (pfn < this.#firstDevice || this.#peers === null) return 0;
    return this.#peers.isP2p(pfn) ? HMM_PFN_P2PDMA : 0;
  }

  /** Every page of a foreign PMD by its alias; false where one has none, with nothing written. */
  #aliasPmd(map: DevPagemap, vpn: number, next: number, lo: number, hi: number): boolean {
    const peers = this.#peers;
    const rights = swapType(hi) === SWP_DEVICE_WRITE ? WRITABLE : HMM_PFN_VALID;
    if (peers === null || this.#needs(vpn, next, rights) !== 0) return false;
    const first = this.#c.numbers.find(lo, hi) + (vpn % PMD_PAGES);
    const pages = next - vpn;
    const base = peers.aliasOf(map, first);
    if (base < 0) return false;
    let isOne = pages === PMD_PAGES && base % PMD_PAGES === 0;
    for (let i = 1; i < pages; i++) {
      const frame = peers.aliasOf(map, first + i);
      if (frame < 0) return false;
      isOne &&= frame === base + i;
    }
    const high = rights | HMM_PFN_P2PDMA | (isOne ? PMD_FLAGS : 0);
    for (let i = 0; i < pages; i++)
      this.#put((vpn - this.#range.start + i) << 1, peers.aliasOf(map, first + i), high);
    return true;
  }

  /** The entries of one table. Plain pages, which are most, are answered here. */
  #table(vma: Ref, table: Ref, first: number, next: number): number {
    const { w } = this.#base;
    const pfns = this.#pfns;
    const asks = this.#asks;
    const keep = this.#keep;
    const firstDevice = this.#firstDevice;
    let off = pteAt(first);
    let at = (first - this.#range.start) << 1;
    for (let vpn = first; vpn < next; vpn++, off += 8, at += 2) {
      const lo = w.load64(table, off);
      const hi = w.hi;
      const pfn = ptePfn(lo, hi);
      if ((lo & (PTE_PRESENT | PTE_SPECIAL)) === PTE_PRESENT && pfn < firstDevice) {
        const was = pfns[at + 1];
        const rights = (lo & PTE_WRITE) !== 0 ? WRITABLE : HMM_PFN_VALID;
        if (!asks || this.#need(was, rights) === 0) {
          const carried = (was & HMM_PFN_DMA_MAPPED) !== 0 ? HMM_PFN_INOUT_FLAGS : keep;
          pfns[at] = pfn;
          pfns[at + 1] = (was & carried) | rights;
          continue;
        }
      }
      const result = this.#pte(vma, table, vpn, next, at, lo, hi);
      if (result !== 0) return result;
    }
    return 0;
  }

  /** hmm_vma_handle_pte */
  #pte(
    vma: Ref,
    table: Ref,
    vpn: number,
    next: number,
    at: number,
    lo: number,
    hi: number,
  ): number {
    const asked = this.#pfns[at + 1];
    if ((lo & PTE_THERE) === 0) return this.#absent(vma, table, vpn, next, at, lo, hi);
    const rights = this.#rights(lo);
    const need = this.#need(asked, rights);
    if (need !== 0) return this.#pend(vpn, next, need);
    const pfn = ptePfn(lo, hi);
    const special = (lo & PTE_SPECIAL) !== 0 && !this.#counted;
    if (special && !this.#base.core.isZeroPage(pfn)) {
      if (this.#need(asked, 0) !== 0) return EFAULT;
      this.#put(at, 0, HMM_PFN_ERROR);
    } else if (rights === 0) this.#put(at, 0, 0);
    else this.#put(at, pfn, rights | this.#peerFlag(pfn));
    return 0;
  }

  /** The same for an entry that is not present. */
  #absent(
    vma: Ref,
    table: Ref,
    vpn: number,
    next: number,
    at: number,
    lo: number,
    hi: number,
  ): number {
    const isPrivate = isDevicePrivate(lo, hi);
    if (isPrivate && this.#private(at, lo, hi)) return 0;
    const need = this.#need(this.#pfns[at + 1], 0);
    if (need === 0) {
      this.#put(at, 0, 0);
      return 0;
    }
    if ((lo | hi) === 0 || isPrivate || isSwap(lo, hi)) return this.#pend(vpn, next, need);
    const type = swapType(hi);
    if (type === SWP_DEVICE_EXCLUSIVE) return this.#pend(vpn, next, need);
    if (type === SWP_PTE_MARKER && (swapOffset(lo, hi) & PTE_MARKER_UFFD_WP) !== 0)
      return this.#pend(vpn, next, need);
    if (!this.#c.numbers.isMigration(lo, hi)) return EFAULT;
    this.last = vpn;
    // migration_entry_wait
    this.#c.kernel.faults.swapIn.fault(vma, this.#range.mm, table, vpn, lo, hi, false);
    return EBUSY;
  }

  /** A device-private page that is the asker's own, or that has an alias; false for any other. */
  #private(at: number, lo: number, hi: number): boolean {
    const map = this.#mapOf(lo, hi);
    if (map?.owner === this.#range.owner) {
      // Never faulted, not even where it is to be written and is read-only.
      this.#put(at, swapOffset(lo, hi), this.#privateFlags(hi));
      return true;
    }
    const peers = this.#peers;
    if (peers === null || map === undefined) return false;
    // Of an alias nothing is known of how to make it writable: then it goes to RAM (invented).
    const rights = swapType(hi) === SWP_DEVICE_WRITE ? WRITABLE : HMM_PFN_VALID;
    if (this.#need(this.#pfns[at + 1], rights) !== 0) return false;
    const frame = peers.aliasOf(map, this.#c.numbers.find(lo, hi));
    if (frame < 0) return false;
    this.#put(at, frame, rights | HMM_PFN_P2PDMA);
    return true;
  }
}
