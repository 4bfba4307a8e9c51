/**
 * folio: device memory without struct pages. A row of the table is a pointer to
 * the folio that a page belongs to, and a folio exists while it is in service.
 *
 * The reviewer's alternative ("We're already working with folios in all cases
 * where we modify either refcount or mapcount", Hildenbrand, August 2025). A page
 * has no count of its own, so map counts are per folio, and a large folio has a bit
 * for each of its pages that is exclusive. Folios come when they are requested in
 * every lifetime, since their order is not known before; the lifetime is the
 * table's (invented: the mail leaves both open).
 */
import { FOLIO_LARGE_SIZE, FOLIO_ORDER, FOLIO_PFN } from "../../layout/generated/offsets.js";
import type { Ref } from "../../../units.js";
import { addressHigh, addressLow, refOfAddress } from "../../words/words.js";
import {
  initLarge,
  PG_OWNER_2,
  SEPARATE_FOLIO,
  type DeviceRecord,
  type DeviceRecordContext,
} from "./axis.js";

const NONE = 0 as Ref;
/** Bytes of a row. */
const ROW = 8;
/** Bit of each exclusive page, behind the fields of a large folio. */
const EXCLUSIVE_AT = FOLIO_LARGE_SIZE;

export class FolioRecord implements DeviceRecord {
  readonly name = "folio";
  readonly summary = "pointer 8 B + folio";
  readonly layout = SEPARATE_FOLIO;
  readonly dataAt = SEPARATE_FOLIO.lru + 8;
  readonly leavesTraces = false;
  readonly countsPages = false;
  readonly bytesPerPage = ROW;
  readonly struct = "FOLIO";
  readonly #c: DeviceRecordContext;

  constructor(context: DeviceRecordContext) {
    this.#c = context;
  }

  home(folio: Ref): Ref {
    return folio;
  }

  pgmapOf(folio: Ref): Ref {
    const lo = this.#c.w.load64(folio, SEPARATE_FOLIO.lru);
    return refOfAddress(lo, this.#c.w.hi);
  }

  setPgmap(folio: Ref, pgmap: Ref): void {
    this.#c.w.store64(folio, SEPARATE_FOLIO.lru, addressLow(pgmap), addressHigh(pgmap));
  }

  rowRef(page: number): Ref {
    return (this.#c.records + ((page - this.#c.firstPrivate) >>> 1)) as Ref;
  }

  rowOff(page: number): number {
    return ((page - this.#c.firstPrivate) & 1) << 3;
  }

  /** A row of zeroes is an idle page's, and fresh rows are zeroes. */
  blank(_page: number, _count: number, _zone: number): void {}

  #setRows(page: number, count: number, folio: Ref): void {
    const lo = addressLow(folio);
    const hi = addressHigh(folio);
    for (let i = page; i < page + count; i++)
      this.#c.w.store64(this.rowRef(i), this.rowOff(i), lo, hi);
  }

  /** A fresh folio's fields. */
  #fill(folio: Ref, page: number, order: number, zone: number): void {
    const { w, zoneBits } = this.#c;
    const { layout } = this;
    w.store64(folio, layout.flags, 0, zoneBits[zone]);
    w.store64(folio, layout.mapping, 0, 0);
    w.store64(folio, layout.index, 0, 0);
    w.store64(folio, layout.private, 0, 0);
    w.store64(folio, layout.memcg, 0, 0);
    w.store64(folio, layout.lru, 0, 0);
    w.store64(folio, layout.lru + 8, 0, 0);
    w.store32(folio, layout.refcount, 0);
    w.store32(folio, layout.mapcount, -1);
    if (layout.smallPincount >= 0) w.store32(folio, layout.smallPincount, 0);
    w.store32(folio, FOLIO_ORDER, order);
    w.store64(folio, FOLIO_PFN, page, 0);
    if (order === 0) return;
    initLarge(w, layout, folio, order);
    for (let i = 0; i < 1 << order; i += 32) w.store32(folio, EXCLUSIVE_AT + (i >> 3), 0);
  }

  begin(page: number, order: number, zone: number, _anon: boolean, _reset: boolean): Ref {
    const folio = this.#c.allocFolio(order > 0);
    if (folio === NONE) return folio;
    this.#fill(folio, page, order, zone);
    this.#setRows(page, 1 << order, folio);
    return folio;
  }

  end(page: number, order: number): void {
    const folio = this.folioOf(page);
    this.#setRows(page, 1 << order, NONE);
    this.#c.freeFolio(folio, order > 0);
  }

  folioOf(page: number): Ref {
    const lo = this.#c.w.load64(this.rowRef(page), this.rowOff(page));
    return refOfAddress(lo, this.#c.w.hi);
  }

  pageOf(folio: Ref): number {
    return this.#c.w.load32(folio, FOLIO_PFN);
  }

  blockOf(page: number): number {
    return this.#c.w.load32(this.folioOf(page), FOLIO_PFN);
  }

  orderOf(page: number): number {
    return this.#c.w.load32(this.folioOf(page), FOLIO_ORDER) & 0xff;
  }

  /** Where a page's exclusive bit is: in the flags of a folio of one page, else behind its fields. */
  isExclusive(page: number): boolean {
    const { w } = this.#c;
    const folio = this.folioOf(page);
    if ((w.load32(folio, FOLIO_ORDER) & 0xff) === 0)
      return (w.load32(folio, this.layout.flags) & PG_OWNER_2) !== 0;
    const i = page - w.load32(folio, FOLIO_PFN);
    return ((w.load32(folio, EXCLUSIVE_AT + ((i >> 5) << 2)) >>> (i & 31)) & 1) !== 0;
  }

  setExclusive(page: number, on: boolean): void {
    const { w } = this.#c;
    const folio = this.folioOf(page);
    const large = (w.load32(folio, FOLIO_ORDER) & 0xff) !== 0;
    const i = large ? page - w.load32(folio, FOLIO_PFN) : 0;
    const at = large ? EXCLUSIVE_AT + ((i >> 5) << 2) : this.layout.flags;
    const mask = large ? 1 << (i & 31) : PG_OWNER_2;
    for (;;) {
      const is = w.load32(folio, at);
      if (w.cas32(folio, at, is, on ? is | mask : is & ~mask)) return;
    }
  }

  addOwnMapcount(page: number, _n: number): number {
    throw new RangeError(`page ${page} of a device has no map count of its own`);
  }

  mapcountOf(page: number): number {
    throw new RangeError(`page ${page} of a device has no map count of its own`);
  }

  split(page: number, order: number, newOrder: number, zone: number): boolean {
    const parts = new Int32Array(1 << (order - newOrder));
    for (let i = 0; i < parts.length; i++) {
      parts[i] = this.#c.allocFolio(newOrder > 0);
      if (parts[i] !== 0) continue;
      for (let j = 0; j < i; j++) this.#c.freeFolio(parts[j] as Ref, newOrder > 0);
      return false;
    }
    const old = this.folioOf(page);
    for (const [i, part] of parts.entries()) {
      const at = page + (i << newOrder);
      this.#fill(part as Ref, at, newOrder, zone);
      this.#setRows(at, 1 << newOrder, part as Ref);
    }
    this.#c.freeFolio(old, true);
    return true;
  }
}
