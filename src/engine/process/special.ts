/**
 * What GUP and unpinning ask of mappings whose pages are no folios.
 *
 * A special entry names a frame without counts. Whether such a page may be got,
 * and what holds it then, is the business of who mapped it (scattered memory has
 * a choice of answers, a driver's PFN mapping has none). Null where nobody has.
 */
import type { Ref } from "../../units.js";

export interface SpecialPages {
  /**
   * From the page alone, as GUP-fast must: takes `n` references on what the page
   * belongs to and returns it, or 0 where the page cannot say.
   */
  getFromPage(pfn: number, n: number): Ref;
  /**
   * With the VMA at hand: the object now held `n` times more, or an errno.
   * `carry` is set where the release must be given the object.
   */
  getFromVma(vma: Ref, vpn: number, pfn: number, n: number): Ref | number;
  /** Whether a pin has to carry the object, because the page cannot lead to it. */
  readonly carries: boolean;
  /**
   * Whether a page that is mapped and counted as a folio's is none: a bare page
   * of today's kernel, which does not tell the two apart.
   */
  countsAsFolio(pfn: number): boolean;
  /** Whether a page that looks like a folio's is one of these: asked before a release. */
  owns(pfn: number): boolean;
  /** A special entry that maps the page was copied (fork), or cleared. */
  mapped(pfn: number): void;
  unmapped(pfn: number): void;
  /** Gives back `n` references, found through the page (`holder` 0) or through what the pin carried. */
  put(pfn: number, holder: Ref, n: number): void;
}
