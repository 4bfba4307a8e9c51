/**
 * device-private: a small record for each page with reference count, map count and
 * little else, and no struct page.
 *
 * A folio lies over the records of its pages: what only a large one counts is in
 * the second and third record, and every tail leads to the head. There is no list
 * head, no pin count and no private word: a device-private page is on no LRU, is
 * never pinned and never in the swap cache.
 *
 * Invented: the mail of August 2025 asks for such a type and lists no fields; what
 * each path needs is device-facts §7.5, field by field in docs/device-names.md.
 */
import {
  DEVICE_PRIVATE_COMPOUND_HEAD,
  DEVICE_PRIVATE_DATA,
  DEVICE_PRIVATE_FLAGS,
  DEVICE_PRIVATE_INDEX,
  DEVICE_PRIVATE_LARGE_ENTIRE_MAPCOUNT,
  DEVICE_PRIVATE_LARGE_LARGE_MAPCOUNT,
  DEVICE_PRIVATE_LARGE_MM_ID_MAPCOUNT,
  DEVICE_PRIVATE_LARGE_MM_IDS,
  DEVICE_PRIVATE_LARGE_NR_PAGES_MAPPED,
  DEVICE_PRIVATE_LARGE_ORDER,
  DEVICE_PRIVATE_MAPCOUNT,
  DEVICE_PRIVATE_MAPPING,
  DEVICE_PRIVATE_MEMCG,
  DEVICE_PRIVATE_PGMAP,
  DEVICE_PRIVATE_REFCOUNT,
  DEVICE_PRIVATE_SIZE,
} from "../../layout/generated/offsets.js";
import type { Ref } from "../../../units.js";
import {
  initLarge,
  PG_HEAD,
  PG_OWNER_2,
  type DeviceRecord,
  type DeviceRecordContext,
  type FolioLayout,
} from "./axis.js";

const ROW_REFS = DEVICE_PRIVATE_SIZE / 16;
/** Low bits of `mapping` in a tail: what it leads to is the head's page number above them. */
const TAIL = 2;

const LAYOUT: FolioLayout = {
  flags: DEVICE_PRIVATE_FLAGS,
  mapping: DEVICE_PRIVATE_MAPPING,
  refcount: DEVICE_PRIVATE_REFCOUNT,
  mapcount: DEVICE_PRIVATE_MAPCOUNT,
  memcg: DEVICE_PRIVATE_MEMCG,
  second: -1,
  lru: -1,
  index: DEVICE_PRIVATE_INDEX,
  private: -1,
  smallPincount: -1,
  pincount: -1,
  largeMapcount: DEVICE_PRIVATE_LARGE_LARGE_MAPCOUNT,
  nrPagesMapped: DEVICE_PRIVATE_LARGE_NR_PAGES_MAPPED,
  entireMapcount: DEVICE_PRIVATE_LARGE_ENTIRE_MAPCOUNT,
  mmIdMapcount: DEVICE_PRIVATE_LARGE_MM_ID_MAPCOUNT,
  mmIds: DEVICE_PRIVATE_LARGE_MM_IDS,
  deferredList: -1,
};

export class DevicePrivateRecord implements DeviceRecord {
  readonly name = "device-private";
  readonly summary = `record ${DEVICE_PRIVATE_SIZE} B`;
  readonly layout = LAYOUT;
  readonly dataAt = DEVICE_PRIVATE_DATA;
  readonly leavesTraces = true;
  readonly countsPages: boolean;
  readonly bytesPerPage = DEVICE_PRIVATE_SIZE;
  readonly struct = "DEVICE_PRIVATE";
  readonly #c: DeviceRecordContext;
  readonly #blank = new Int32Array(DEVICE_PRIVATE_SIZE / 4);

  constructor(context: DeviceRecordContext) {
    this.#c = context;
    this.countsPages = context.pages.mapcounts === "per-page";
    this.#blank[DEVICE_PRIVATE_MAPCOUNT / 4] = -1;
  }

  home(folio: Ref): Ref {
    return folio;
  }

  pgmapOf(folio: Ref): Ref {
    return this.#c.w.load32(folio, DEVICE_PRIVATE_PGMAP) as Ref;
  }

  setPgmap(folio: Ref, pgmap: Ref): void {
    this.#c.w.store32(folio, DEVICE_PRIVATE_PGMAP, pgmap);
  }

  rowRef(page: number): Ref {
    return (this.#c.records + (page - this.#c.firstPrivate) * ROW_REFS) as Ref;
  }

  rowOff(_page: number): number {
    return 0;
  }

  blank(page: number, count: number, zone: number): void {
    this.#blank[1] = this.#c.zoneBits[zone];
    this.#c.w.fillRun(this.rowRef(page), 0, this.#blank, count, null, 0, 0);
  }

  begin(page: number, order: number, zone: number, _anon: boolean, _reset: boolean): Ref {
    this.blank(page, 1 << order, zone);
    this.#compound(page, order);
    return this.rowRef(page);
  }

  #compound(page: number, order: number): void {
    if (order === 0) return;
    const { w } = this.#c;
    const head = this.rowRef(page);
    w.store32(head, DEVICE_PRIVATE_FLAGS, w.load32(head, DEVICE_PRIVATE_FLAGS) | PG_HEAD);
    for (let i = page + 1; i < page + (1 << order); i++)
      w.store64(this.rowRef(i), DEVICE_PRIVATE_COMPOUND_HEAD, (page << 2) | TAIL, page >>> 30);
    w.store32(head, DEVICE_PRIVATE_LARGE_ORDER, order);
    initLarge(w, LAYOUT, head, order);
  }

  /** What stays is of no account: whoever is given the pages next writes their rows whole. */
  end(_page: number, _order: number): void {}

  folioOf(page: number): Ref {
    return this.rowRef(this.blockOf(page));
  }

  pageOf(folio: Ref): number {
    return (folio - this.#c.records) / ROW_REFS + this.#c.firstPrivate;
  }

  blockOf(page: number): number {
    const lo = this.#c.w.load64(this.rowRef(page), DEVICE_PRIVATE_COMPOUND_HEAD);
    return (lo & 3) === TAIL ? (lo >>> 2) | (this.#c.w.hi << 30) : page;
  }

  orderOf(page: number): number {
    const head = this.folioOf(page);
    if ((this.#c.w.load32(head, DEVICE_PRIVATE_FLAGS) & PG_HEAD) === 0) return 0;
    return this.#c.w.load32(head, DEVICE_PRIVATE_LARGE_ORDER) & 0xff;
  }

  isExclusive(page: number): boolean {
    return (this.#c.w.load32(this.rowRef(page), DEVICE_PRIVATE_FLAGS) & PG_OWNER_2) !== 0;
  }

  setExclusive(page: number, on: boolean): void {
    const { w } = this.#c;
    const row = this.rowRef(page);
    for (;;) {
      const is = w.load32(row, DEVICE_PRIVATE_FLAGS);
      const to = on ? is | PG_OWNER_2 : is & ~PG_OWNER_2;
      if (w.cas32(row, DEVICE_PRIVATE_FLAGS, is, to)) return;
    }
  }

  addOwnMapcount(page: number, n: number): number {
    return this.#c.w.add32(this.rowRef(page), DEVICE_PRIVATE_MAPCOUNT, n);
  }

  mapcountOf(page: number): number {
    const { w } = this.#c;
    const own = w.load32(this.rowRef(page), DEVICE_PRIVATE_MAPCOUNT) + 1;
    if (this.orderOf(page) === 0) return own;
    return own + w.load32(this.folioOf(page), DEVICE_PRIVATE_LARGE_ENTIRE_MAPCOUNT) + 1;
  }

  split(page: number, order: number, newOrder: number, zone: number): boolean {
    const { w } = this.#c;
    const exclusive: number[] = [];
    for (let i = page; i < page + (1 << order); i++) if (this.isExclusive(i)) exclusive.push(i);
    this.blank(page, 1 << order, zone);
    for (let at = page; at < page + (1 << order); at += 1 << newOrder) {
      this.#compound(at, newOrder);
      w.store32(this.rowRef(at), DEVICE_PRIVATE_REFCOUNT, 0);
    }
    for (const i of exclusive) this.setExclusive(i, true);
    return true;
  }
}
