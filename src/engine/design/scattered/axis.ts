/**
 * The scattered axis: what counts the users of "some pages as one object".
 *
 * A choice says what one reference holds (nothing, a page, all pages of the
 * object), where the count is, and what happens to it. The five operations are
 * all that mapping, GUP and freeing need; they speak in references and frames.
 * The four choices are the four proposals for mapping vmalloc pages to user
 * space (Wilcox, linux-mm, 2024-12-06; memdesc-facts §4.1).
 */
import type { Ref } from "../../../units.js";
import type { Words } from "../../words/words.js";

export const SCATTERED_OBJECTS = ["none", "per-page", "vm-struct", "scamem"] as const;
export type ScatteredName = (typeof SCATTERED_OBJECTS)[number];

/** Counts in a page's own words, where a design has them; null where it has none. */
export interface PageCounts {
  tryGetPage(pfn: number, n: number): boolean;
  addPageRefs(pfn: number, n: number): number;
  addPageMaps(pfn: number, n: number): number;
}

export interface ScatteredObject {
  readonly name: ScatteredName;
  /** What one reference keeps: nothing at all, one page, or every page of the object. */
  readonly holds: "nothing" | "page" | "object";
  /**
   * Whether the object may be there without an area of the vmalloc range: a
   * vm_struct is that area, a scamem is not.
   */
  readonly standsAlone: boolean;
  /** Whether map counts are kept (of each page) beside references. */
  readonly mapcounts: boolean;

  /** The first reference: of the object, or of one page where each counts itself. */
  init(object: Ref, pfn: number): void;
  /** `n` more references unless there are none left; false then, or where nothing is counted. */
  tryGet(object: Ref, pfn: number, n: number): boolean;
  /** Gives `n` back; how many are left. −1 where nothing is counted. */
  put(object: Ref, pfn: number, n: number): number;
  /** References there are; −1 where nothing is counted. */
  count(object: Ref, pfn: number): number;
}

/** What a choice is built on. */
export interface ScatteredContext {
  readonly w: Words;
  readonly pages: PageCounts | null;
}

/** One more reference to a count unless it is zero. */
export function countUp(w: Words, ref: Ref, off: number, n: number): boolean {
  for (;;) {
    const is = w.load32(ref, off);
    if (is <= 0) return false;
    if (w.cas32(ref, off, is, is + n)) return true;
  }
}
