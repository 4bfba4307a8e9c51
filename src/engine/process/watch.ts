/**
 * Events that the sanitizer listens to. Null in fast runs: one comparison each.
 *
 * Rules that look at states (sanitizer/) need no events; these are for what can
 * only be seen when it happens: a count that goes below zero, a folio that is
 * freed while somebody holds it, a pin where there may be none.
 */
import type { Ref } from "../../units.js";

export interface Watch {
  /** A reference was taken (n > 0) or put (n < 0); `count` is what there is now. */
  reference(folio: Ref, pfn: number, n: number, count: number): void;
  /** The last reference went; the folio's fields are still there. */
  freeing(folio: Ref, pfn: number): void;
  /** The same of a device-private page, which the page words need not know. */
  freeingPrivate(page: number, mappings: number): void;
  /** A page was pinned or merely got by GUP. */
  pinned(pfn: number, special: boolean): void;
  /** Reference or map count asked of a page whose type has none. */
  countless(pfn: number, what: string): void;
  /** A process, a device or a file operation wrote to a frame. */
  wrote(pfn: number): void;
  /** What is in one frame is in the other now; a place below zero is swap slot −1 − place. */
  copied(from: number, to: number): void;
  /** What these pages of a process held is given up: unmapped, freed lazily, moved away. */
  forgotten(mmId: number, start: number, end: number): void;
}
