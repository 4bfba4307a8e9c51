/**
 * page: device memory is described as RAM is, by the page word of the design and
 * whatever descriptor that leads to. What coherent, dax and p2pdma memory always
 * has, and device-private memory today.
 *
 * Where a folio is an overlay on its pages, going out of service leaves order and
 * head bits as they were: whoever is given the pages next must clear them, which
 * zone_device_page_init does since January 2026 (`reset`).
 *
 * Source: mm/memremap.c of the mm tree of July 2026 (zone_device_page_init,
 * __init_zone_device_page), device-facts §1.5.
 */
import type { Ref } from "../../../units.js";
import { addressHigh, addressLow, refOfAddress } from "../../words/words.js";
import {
  initLarge,
  T_ANON,
  T_FILE,
  type DeviceRecord,
  type DeviceRecordContext,
  type FolioLayout,
  type PageType,
} from "./axis.js";

export class PageRecord implements DeviceRecord {
  readonly name = "page";
  readonly summary: string;
  readonly layout: FolioLayout;
  readonly dataAt: number;
  readonly leavesTraces: boolean;
  readonly countsPages: boolean;
  readonly bytesPerPage: number;
  readonly #c: DeviceRecordContext;

  constructor(context: DeviceRecordContext) {
    this.#c = context;
    const { pages } = context;
    this.summary = pages.summary;
    this.layout = pages.folio;
    // folio->pgmap and zone_device_data share the place of the LRU's list head.
    this.dataAt = pages.folio.lru + 8;
    this.leavesTraces = pages.cacheFor(T_ANON, 0) < 0;
    this.countsPages = pages.mapcounts === "per-page";
    this.bytesPerPage = pages.pageBytes;
  }

  home(folio: Ref): Ref {
    const { second } = this.layout;
    return second < 0 ? folio : this.#pointer(folio, second);
  }

  /** A pointer with low bits of 0: in struct page it lies where compound_head does. */
  pgmapOf(folio: Ref): Ref {
    return this.#pointer(this.home(folio), this.layout.lru);
  }

  setPgmap(folio: Ref, pgmap: Ref): void {
    this.#c.w.store64(this.home(folio), this.layout.lru, addressLow(pgmap), addressHigh(pgmap));
  }

  get struct(): string {
    return this.#c.pages.wordsOf(this.#c.firstPrivate).struct;
  }

  rowRef(page: number): Ref {
    return this.#c.pages.wordsOf(page).ref;
  }

  rowOff(page: number): number {
    return this.#c.pages.wordsOf(page).off;
  }

  blank(page: number, count: number, zone: number): void {
    this.#c.pages.blankRun(page, count, zone);
  }

  begin(page: number, order: number, zone: number, anon: boolean, reset: boolean): Ref {
    const { pages, w } = this.#c;
    const type: PageType = anon ? T_ANON : T_FILE;
    const cache = pages.cacheFor(type, order);
    const descriptor = cache < 0 ? (0 as Ref) : this.#c.alloc(cache);
    if (cache >= 0 && descriptor === 0) return descriptor;
    if (reset) pages.blankRun(page, 1 << order, zone);
    pages.bind(page, order, type, descriptor);
    pages.initFolio(page, order, type, descriptor, zone);
    const folio = reset ? pages.descriptorOf(page) : this.rowRef(page);
    w.store64(folio, this.layout.mapping, 0, 0);
    w.store64(folio, this.layout.memcg, 0, 0);
    if (order === 0) return folio;
    initLarge(w, this.layout, this.home(folio), order);
    if (order > 1) pages.setFolioClass(page, 2);
    return folio;
  }

  #pointer(folio: Ref, off: number): Ref {
    const lo = this.#c.w.load64(folio, off);
    return refOfAddress(lo, this.#c.w.hi);
  }

  end(page: number, order: number): void {
    // An overlay stays as it is until somebody resets it.
    if (this.leavesTraces) return;
    const { pages } = this.#c;
    const cache = pages.cacheFor(pages.typeOf(page), order);
    const descriptor = pages.separateOf(page);
    pages.release(page, order);
    this.#c.free(cache, descriptor);
  }

  folioOf(page: number): Ref {
    const lo = this.#c.pages.ownerWord(page);
    return this.#c.pages.folioOfOwner(lo, this.#c.w.hi);
  }

  pageOf(folio: Ref): number {
    return this.#c.pageOfFolio(folio);
  }

  blockOf(page: number): number {
    return this.#c.pages.blockOf(page);
  }

  orderOf(page: number): number {
    return this.#c.pages.orderOf(page);
  }

  isExclusive(page: number): boolean {
    return this.#c.pages.isExclusive(page);
  }

  setExclusive(page: number, on: boolean): void {
    this.#c.pages.setExclusive(page, on);
  }

  addOwnMapcount(page: number, n: number): number {
    return this.#c.pages.addOwnMapcount(page, n);
  }

  mapcountOf(page: number): number {
    return this.#c.pages.mapcountOf(page);
  }

  split(page: number, order: number, newOrder: number, _zone: number): boolean {
    const { pages, w } = this.#c;
    const parts = new Int32Array(1 << (order - newOrder));
    const cache = pages.cacheFor(T_ANON, newOrder);
    for (let i = cache < 0 ? parts.length : 0; i < parts.length; i++) {
      parts[i] = this.#c.alloc(cache);
      if (parts[i] !== 0) continue;
      for (let j = 0; j < i; j++) this.#c.free(cache, parts[j] as Ref);
      return false;
    }
    const oldCache = pages.cacheFor(T_ANON, order);
    const old = oldCache < 0 ? (0 as Ref) : pages.separateOf(page);
    pages.split(page, order, newOrder, T_ANON, parts);
    if (oldCache >= 0) this.#c.free(oldCache, old);
    for (let at = page; at < page + (1 << order); at += 1 << newOrder) {
      const folio = pages.descriptorOf(at);
      if (newOrder === 0) w.store32(folio, this.layout.mapcount, -1);
      else {
        initLarge(w, this.layout, this.home(folio), newOrder);
        if (newOrder > 1) pages.setFolioClass(at, 2);
      }
    }
    return true;
  }
}
