/**
 * What the process layer asks of whoever knows device memory, where it meets an
 * entry that is not present and is no swap slot: a device-private page, a page on
 * loan to a device, a device page on its way elsewhere. Null where there are no
 * devices.
 *
 * Also who takes back frames that are a device's when their last reference goes.
 */
import type { Ref } from "../../units.js";

export interface DeviceEntries {
  /** Whether an entry that is not present is the device layer's to deal with. */
  owns(lo: number, hi: number): boolean;
  /** do_swap_page for such an entry, with nothing locked but the process: 0 or FAULT_… */
  fault(vma: Ref, mm: Ref, table: Ref, vpn: number, lo: number, hi: number): number;
  /** The same for a PMD entry. */
  faultHuge(vma: Ref, mm: Ref, pmds: Ref, vpn: number, lo: number, hi: number): number;
  /** zap_nonpresent_ptes: clears the entry, with the table's lock. */
  zap(mm: Ref, mmId: number, table: Ref, off: number, lo: number, hi: number): void;
  /** zap_huge_pmd: the PMD entry is cleared already and its table withdrawn. */
  zapHuge(mm: Ref, mmId: number, lo: number, hi: number): void;
  /**
   * copy_nonpresent_pte: the entry goes to the child, with the parent's table
   * locked. False where it was made an ordinary one first, which is then copied.
   */
  copy(
    child: Ref,
    copy: Ref,
    vma: Ref,
    from: Ref,
    to: Ref,
    vpn: number,
    lo: number,
    hi: number,
  ): boolean;
  /** The same for a PMD entry: what both then have. */
  copyHuge(
    child: Ref,
    copy: Ref,
    pmds: Ref,
    target: Ref,
    vpn: number,
    lo: number,
    hi: number,
  ): void;
  /** A page on loan comes back, its folio locked: false where the entry is none of that frame. */
  takeBack(vma: Ref, table: Ref, vpn: number, pfn: number): boolean;
  /** change_pte_range, change_huge_pmd: write permission goes, and does not come back by itself. */
  protect(table: Ref, off: number, lo: number, hi: number): void;
  /** __split_huge_pmd of such a PMD entry, with the PMD table locked: fills the table that takes its place. */
  split(mm: Ref, mmId: number, table: Ref, lo: number, hi: number): void;
  /**
   * page_vma_mapped_walk for another folio at a PMD entry that is not present: whether
   * it is taken for that folio's. Never, but where a known bug is switched on.
   */
  isFound(lo: number, hi: number): boolean;
  /** Whether a PMD entry can be split (device-private) or has to be waited for. */
  isSplittable(lo: number, hi: number): boolean;
  /** A folio behind the RAM is about to be cut, while it says itself whose it is … */
  cutBegins(folio: Ref): void;
  /** … and was: each of its parts must say so. */
  cutEnds(pfn: number, order: number, newOrder: number): void;
  /** free_zone_device_folio of frames behind the RAM. */
  free(folio: Ref, pfn: number): void;
  /** folio_is_longterm_pinnable, of a frame behind the RAM. */
  mayPinLong(pfn: number): boolean;
  /** A long-term pin wants to hold a page of a device: moves it to RAM; false where that cannot be. */
  moveForPin(pfn: number): boolean;
}
