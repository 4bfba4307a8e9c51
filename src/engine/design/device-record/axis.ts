/**
 * The device-record axis: what describes a page of device memory, and what can be
 * asked of it.
 *
 * A page of a device is idle or part of a folio in service. While it is in
 * service the record answers what reverse map, migration, fork and split ask:
 * which folio, which order, exclusive or not, how often mapped. Pages are named by
 * their place in the records, never by a pfn; idle ones are nobody's to ask about.
 *
 * Facts: device-facts §1.5 (zone_device_page_init), §3.4 (who asks for what),
 * §7.5 (what a mapped device page really needs).
 */
import type { Ref } from "../../../units.js";
import type { Words } from "../../words/words.js";
import type { FolioLayout, PageDesign } from "../word/axis.js";

export { SEPARATE_FOLIO } from "../word/axis-descriptors.js";
export { PG_HEAD, PG_OWNER_2 } from "../word/axis-flags.js";
export { T_ANON, T_FILE, type PageType } from "../word/axis-types.js";
export type { FolioLayout, PageDesign } from "../word/axis.js";

/** What a record is built on. */
export interface DeviceRecordContext {
  readonly w: Words;
  /** The machine's own page words. */
  readonly pages: PageDesign;
  /** High half of the flags of each zone index. */
  readonly zoneBits: Int32Array;
  /** Records of device-private memory that are no struct pages, and the page that the first is of. */
  readonly records: Ref;
  readonly firstPrivate: number;
  /** First page of a folio that the machine's page words describe. */
  pageOfFolio(folio: Ref): number;
  /** A descriptor from one of the page design's caches; 0 without memory. */
  alloc(cache: number): Ref;
  free(cache: number, descriptor: Ref): void;
  /** A folio for device memory, of one page or larger; 0 without memory. */
  allocFolio(large: boolean): Ref;
  freeFolio(folio: Ref, large: boolean): void;
}

export interface DeviceRecord {
  readonly name: "page" | "folio" | "device-private";
  /** For tables: `struct page 64 B`. */
  readonly summary: string;
  /** Where the fields of a folio in service are. */
  readonly layout: FolioLayout;
  /** Where the driver's number with a folio is: an object and an offset from it. */
  home(folio: Ref): Ref;
  readonly dataAt: number;
  /** folio->pgmap: the words of a folio's page map; 0 for none. */
  pgmapOf(folio: Ref): Ref;
  setPgmap(folio: Ref, pgmap: Ref): void;
  /**
   * Whether the row of an idle page may still lead to where an earlier folio began,
   * until it is given out again.
   */
  readonly leavesTraces: boolean;
  /** Whether every page has a map count of its own. */
  readonly countsPages: boolean;
  /** Bytes of a page's row in the table of records … */
  readonly bytesPerPage: number;
  /** … and where it is: reference, and byte offset from it. */
  rowRef(page: number): Ref;
  rowOff(page: number): number;

  /** __init_zone_device_page: rows of fresh pages, idle. */
  blank(page: number, count: number, zone: number): void;
  /**
   * Makes a folio of 2^order pages that nobody maps, without a reference yet; 0
   * without memory for it. `reset` clears what an earlier folio left; without it the
   * folio is what begins at the page, whatever the page itself leads to.
   */
  begin(page: number, order: number, zone: number, anon: boolean, reset: boolean): Ref;
  /** The folio went out of service: what `begin` took is given back. */
  end(page: number, order: number): void;

  /** The folio that a page in service belongs to; 0 for an idle one, as far as the record can tell. */
  folioOf(page: number): Ref;
  /** First page of a folio in service. */
  pageOf(folio: Ref): number;
  /** First page and order of the folio that a page in service belongs to. */
  blockOf(page: number): number;
  orderOf(page: number): number;
  /** PageAnonExclusive of this very page. */
  isExclusive(page: number): boolean;
  setExclusive(page: number, on: boolean): void;
  /** Adds to the page's own map count and returns what it is then; only where `countsPages`. */
  addOwnMapcount(page: number, n: number): number;
  /** How often a page is mapped, by itself or with all of its folio; only where `countsPages`. */
  mapcountOf(page: number): number;
  /**
   * Cuts a folio into folios of a smaller order, without references; false
   * without memory for the parts, with nothing changed.
   */
  split(page: number, order: number, newOrder: number, zone: number): boolean;
  /** The row of one page as 64-bit words, for people. */
  readonly struct: string;
}

/** prep_compound_page: what a large folio counts beside its pages. */
export function initLarge(w: Words, layout: FolioLayout, rest: Ref, order: number): void {
  w.store32(rest, layout.largeMapcount, -1);
  w.store32(rest, layout.entireMapcount, -1);
  w.store32(rest, layout.nrPagesMapped, 0);
  w.store64(rest, layout.mmIdMapcount, 0, 0);
  w.store64(rest, layout.mmIds, 0, 0);
  if (layout.pincount >= 0) w.store32(rest, layout.pincount, 0);
  if (order < 2 || layout.deferredList < 0) return;
  w.store64(rest, layout.deferredList, 0, 0);
  w.store64(rest, layout.deferredList + 8, 0, 0);
}
