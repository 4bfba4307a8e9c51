/**
 * The walk of hmm_range_fault over the page tables of a process: what each entry
 * says, as an entry of the HMM array, or that it must be faulted first.
 *
 * A walk is an object of its own for each call, so that several threads can be in
 * one; per page there are only integers. No lock of a page table is taken (a huge
 * page of hugetlb's is the exception): a change under way is heard by the notifier.
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
import { IN_HMM_ARRAY } from "../../process/number-witness.js";
import { pmdAt, pteAt } from "../../process/page-tables.js";
import { OPS_SCATTERED } from "../../process/scattered/user-map.js";
import { EBUSY, EFAULT } from "../kinds.js";
import type { DevPagemap } from "../pagemap.js";
import type { HmmContext } from "./context.js";
import { HmmArray } from "./hmm-array.js";
import {
  HMM_PFN_DEVICE_PRIVATE,
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_ERROR,
  HMM_PFN_INOUT_FLAGS,
  HMM_PFN_P2PDMA,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  hmmOrderFlags,
} from "./hmm-pfn.js";
import type { HmmRange } from "./hmm-range.js";
import type { Peers } from "./peers.js";

const NONE = 0 as Ref;
const WRITABLE = HMM_PFN_VALID | HMM_PFN_WRITE;
const PMD_FLAGS = hmmOrderFlags(PMD_ORDER);
/** pte_marker: the last type of swap entries; bit 0 of its offset is userfaultfd's. */
const SWP_PTE_MARKER = 31;
const PTE_MARKER_UFFD_WP = 1;
/** No frame has this number. */
const NO_FRAME = 2 ** 31;

const endOfPmd = (vpn: number): number => vpn - (vpn % PMD_PAGES) + PMD_PAGES;

/** What the rights of an entry that is there allow; nothing where nobody may touch the page. */
function rightsOf(lo: number): number {
  if ((lo & PTE_PRESENT) === 0) return 0;
  return (lo & PTE_WRITE) !== 0 ? WRITABLE : HMM_PFN_VALID;
}

/** The same of a device-private entry. */
const privateRights = (hi: number): number =>
  swapType(hi) === SWP_DEVICE_WRITE ? WRITABLE : HMM_PFN_VALID;

export class HmmWalk {
  readonly #c: HmmContext;
  readonly #base: Base;
  readonly #mm: Ref;
  readonly #end: number;
  readonly #owner: object | null;
  readonly #peers: Peers | null;
  /** First frame whose kind must be asked. */
  readonly #firstDevice: number;
  readonly array: HmmArray;
  /** Page map that was looked at last. */
  #mapWords = NONE;
  #map: DevPagemap | undefined;
  /** Whether a special entry of the VMA at hand is a page that somebody counts. */
  #counted = false;

  constructor(context: HmmContext, peers: Peers, range: HmmRange) {
    this.#c = context;
    this.#base = context.base;
    this.#mm = range.mm;
    this.#end = range.end;
    this.#owner = range.owner;
    this.#peers = peers.enabled && range.allowP2p === true ? peers : null;
    this.#firstDevice = this.#peers === null ? NO_FRAME : context.base.core.machine.deviceFirst;
    this.array = new HmmArray(range, this.#peers !== null);
  }

  /** walk_page_range from `array.last` on: 0 at the end, FAULT_PENDING, EBUSY after a wait, EFAULT. */
  run(): number {
    const { tree } = this.#base.vmas;
    const end = this.#end;
    for (let vpn = this.array.last; vpn < end;) {
      const vma = tree.find(this.#mm, vpn);
      const begins = vma === NONE ? end : Math.min(end, tree.start(vma));
      const next = begins > vpn ? begins : Math.min(end, tree.end(vma));
      const result = begins > vpn ? this.#nothing(vpn, next) : this.#vma(vma, vpn, next);
      if (result !== 0) return result;
      vpn = next;
    }
    return 0;
  }

  /** No VMA is there, or none that HMM may look into. */
  #nothing(vpn: number, next: number): number {
    const { array } = this;
    return array.needs(vpn, next, 0) !== 0 ? EFAULT : array.fill(vpn, next, HMM_PFN_ERROR);
  }

  /** hmm_vma_walk_test, then every PMD of the VMA. */
  #vma(vma: Ref, first: number, end: number): number {
    const { vmas, tables } = this.#base;
    const flags = vmas.flags(vma);
    if ((flags & (VM_IO | VM_PFNMAP)) !== 0 || (flags & VM_READ) === 0)
      return this.#nothing(first, end);
    // Scattered memory is mapped by special entries in some designs, and counted in all of them.
    this.#counted = (flags & VM_MIXEDMAP) !== 0 && vmas.ops(vma) === OPS_SCATTERED;
    const hugetlb = (flags & VM_HUGETLB) !== 0;
    for (let vpn = first; vpn < end;) {
      const next = hugetlb ? Math.min(end, endOfPmd(vpn)) : this.#nextOf(vpn, end);
      const pmds = tables.pmdTable(this.#mm, vpn);
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
    const pud = tables.below(tables.pgd(this.#mm), (vpn >>> 27) << 3);
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
    const { array } = this;
    const need = array.needs(vpn, next, 0);
    return need !== 0 ? array.pend(vpn, next, need) : array.fill(vpn, next, 0);
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

  /** hmm_vma_handle_pmd */
  #leaf(vpn: number, next: number, lo: number, hi: number): number {
    const { array } = this;
    const need = array.needs(vpn, next, rightsOf(lo));
    return need !== 0 ? array.pend(vpn, next, need) : this.#fillLeaf(vpn, next, lo, hi);
  }

  /** Every page gets its frame, the rights and the order of the whole. */
  #fillLeaf(vpn: number, next: number, lo: number, hi: number): number {
    const rights = (lo & PTE_THERE) === 0 ? 0 : rightsOf(lo);
    if (rights === 0) return this.array.fill(vpn, next, 0);
    const pfn = ptePfn(lo & ~PMD_HUGE, hi) + (vpn % PMD_PAGES);
    return this.array.fillRun(vpn, next, pfn, rights | PMD_FLAGS | this.#peerFlag(pfn));
  }

  /** hmm_vma_walk_hugetlb_entry: its first page's request counts for all. */
  #hugetlb(pmds: Ref, vpn: number, next: number): number {
    const { w, tables } = this.#base;
    const { array } = this;
    const desc = tables.lock(pmds);
    const lo = w.load64(pmds, pmdAt(vpn));
    const hi = w.hi;
    const need = array.needAt(array.at(vpn), (lo & PTE_THERE) === 0 ? 0 : rightsOf(lo));
    const result = need !== 0 ? array.pend(vpn, next, need) : this.#fillLeaf(vpn, next, lo, hi);
    tables.unlock(desc);
    return result;
  }

  /** hmm_vma_handle_absent_pmd, and the migration entry that is looked for before it. */
  #absentPmd(vma: Ref, pmds: Ref, vpn: number, next: number, lo: number, hi: number): number {
    const { array } = this;
    const need = array.needs(vpn, next, 0);
    if (this.#c.numbers.isMigration(lo, hi)) {
      if (need === 0) return array.fill(vpn, next, 0);
      array.last = vpn;
      // pmd_migration_entry_wait
      this.#c.kernel.faults.huge.present(vma, this.#mm, pmds, vpn, false, false);
      return EBUSY;
    }
    const isPrivate = isDevicePrivate(lo, hi);
    if (isPrivate) {
      const map = this.#mapOf(lo, hi);
      const number = swapOffset(lo, hi) + (vpn % PMD_PAGES);
      if (map?.owner === this.#owner) {
        array.fillRun(vpn, next, number, this.#privateFlags(hi) | PMD_FLAGS);
        return this.#carried(array.at(vpn), next - vpn, vpn % PMD_PAGES, lo, hi);
      }
      if (map !== undefined && this.#aliasPmd(map, vpn, next, lo, hi)) return 0;
    }
    if (need === 0) return array.fill(vpn, next, HMM_PFN_ERROR);
    return isPrivate ? array.pend(vpn, next, need) : EFAULT;
  }

  /** High half for a device-private page as it is: rights, kind, upper part of its number. */
  #privateFlags(hi: number): number {
    const kind = this.#c.naming.ownKind ? HMM_PFN_DEVICE_PRIVATE : 0;
    return privateRights(hi) | kind | deviceNumberHigh(hi);
  }

  /** The number of a page-table entry went into the array, with its kind: in checked runs the page is looked up. */
  #carried(at: number, pages: number, from: number, lo: number, hi: number): number {
    const { witness } = this.#c.numbers;
    if (witness === null) return 0;
    const page = this.#c.numbers.find(lo, hi) + from;
    const { pfns } = this.array;
    for (let i = 0; i < pages; i++)
      witness.made(IN_HMM_ARRAY, pfns[at + i * 2], pfns[at + i * 2 + 1], page + i);
    return 0;
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
    const { array } = this;
    const peers = this.#peers;
    const rights = privateRights(hi);
    if (peers === null || array.needs(vpn, next, rights) !== 0) return false;
    const pages = next - vpn;
    const first = this.#c.numbers.find(lo, hi) + (vpn % PMD_PAGES);
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
      array.put(array.at(vpn + i), peers.aliasOf(map, first + i), high);
    return true;
  }

  /** The entries of one table. Plain pages, which are most, are answered here. */
  #table(vma: Ref, table: Ref, first: number, next: number): number {
    const { w } = this.#base;
    const { array } = this;
    const { pfns, asks, keep } = array;
    const firstDevice = this.#firstDevice;
    let off = pteAt(first);
    let at = array.at(first);
    for (let vpn = first; vpn < next; vpn++, off += 8, at += 2) {
      const lo = w.load64(table, off);
      const hi = w.hi;
      const pfn = ptePfn(lo, hi);
      if ((lo & (PTE_PRESENT | PTE_SPECIAL)) === PTE_PRESENT && pfn < firstDevice) {
        const was = pfns[at + 1];
        const rights = (lo & PTE_WRITE) !== 0 ? WRITABLE : HMM_PFN_VALID;
        if (!asks || array.need(was, rights) === 0) {
          const carried = (was & HMM_PFN_DMA_MAPPED) !== 0 ? HMM_PFN_INOUT_FLAGS : keep;
          pfns[at] = pfn;
          pfns[at + 1] = (was & carried) | rights;
          continue;
        }
      }
      const result =
        (lo & PTE_THERE) === 0
          ? this.#absent(vma, table, vpn, next, lo, hi)
          : this.#present(vpn, next, lo, hi);
      if (result !== 0) return result;
    }
    return 0;
  }

  /** hmm_vma_handle_pte where a page is there. */
  #present(vpn: number, next: number, lo: number, hi: number): number {
    const { array } = this;
    const at = array.at(vpn);
    const rights = rightsOf(lo);
    const need = array.needAt(at, rights);
    if (need !== 0) return array.pend(vpn, next, need);
    const pfn = ptePfn(lo, hi);
    const special = (lo & PTE_SPECIAL) !== 0 && !this.#counted;
    if (special && !this.#base.core.isZeroPage(pfn)) {
      if (array.needAt(at, 0) !== 0) return EFAULT;
      array.put(at, 0, HMM_PFN_ERROR);
    } else if (rights === 0) array.put(at, 0, 0);
    else array.put(at, pfn, rights | this.#peerFlag(pfn));
    return 0;
  }

  /** The same for an entry that is not present, or empty. */
  #absent(vma: Ref, table: Ref, vpn: number, next: number, lo: number, hi: number): number {
    const { array } = this;
    const at = array.at(vpn);
    const isPrivate = isDevicePrivate(lo, hi);
    if (isPrivate && this.#private(at, lo, hi)) return 0;
    const need = array.needAt(at, 0);
    if (need === 0) {
      array.put(at, 0, 0);
      return 0;
    }
    if ((lo | hi) === 0 || isPrivate || isSwap(lo, hi)) return array.pend(vpn, next, need);
    const type = swapType(hi);
    const isMarker = type === SWP_PTE_MARKER && (swapOffset(lo, hi) & PTE_MARKER_UFFD_WP) !== 0;
    if (type === SWP_DEVICE_EXCLUSIVE || isMarker) return array.pend(vpn, next, need);
    if (!this.#c.numbers.isMigration(lo, hi)) return EFAULT;
    array.last = vpn;
    // migration_entry_wait
    this.#c.kernel.faults.swapIn.fault(vma, this.#mm, table, vpn, lo, hi, false);
    return EBUSY;
  }

  /** A device-private page that is the asker's own, or that has an alias; false for any other. */
  #private(at: number, lo: number, hi: number): boolean {
    const { array } = this;
    const map = this.#mapOf(lo, hi);
    if (map?.owner === this.#owner) {
      // Never faulted, not even where it is to be written and is read-only.
      array.put(at, swapOffset(lo, hi), this.#privateFlags(hi));
      this.#carried(at, 1, 0, lo, hi);
      return true;
    }
    const peers = this.#peers;
    if (peers === null || map === undefined) return false;
    // Of an alias nothing is known of how to make it writable: then it goes to RAM (invented).
    const rights = privateRights(hi);
    if (array.needAt(at, rights) !== 0) return false;
    const frame = peers.aliasOf(map, this.#c.numbers.find(lo, hi));
    if (frame < 0) return false;
    array.put(at, frame, rights | HMM_PFN_P2PDMA);
    return true;
  }
}
