/**
 * Putting pages of a page map into service, and what happens when the last
 * reference goes.
 *
 * Two ways in. `init` is the kernel's: the driver knows the page, whose reference
 * count must be 0, and gets it locked with one reference; the page map's references
 * are one for each base page, and a dying map is only warned about. `request` is
 * the proposal: (page map, offset, order); nobody needs to know the page before,
 * and a map that dies, an order that does not fit, a page in service are refused.
 * One way out, by the type of memory.
 *
 * Source: mm/memremap.c of the mm tree of July 2026 (zone_device_page_init,
 * free_zone_device_folio); pgmap_request_folio of October 2022 and what its review
 * asked for (device-facts §1.3–1.5). The proposal answers NULL; which errno each
 * refusal has here is invented.
 */
import type { DeviceRecord } from "../design/device-record/axis.js";
import type { DeviceChoice } from "../design/device-rules.js";
import { PG_LOCKED } from "../design/word/axis-flags.js";
import { DEV_PAGEMAP_IN_SERVICE } from "../layout/generated/offsets.js";
import type { DeviceArea } from "../pages/device-area.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import type { FolioFields } from "../process/folio-fields.js";
import {
  EBUSY,
  EINVAL,
  ENOMEM,
  ENXIO,
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_FS_DAX,
  MEMORY_DEVICE_GENERIC,
  MEMORY_DEVICE_PRIVATE,
} from "./kinds.js";
import type { DevPagemap } from "./pagemap.js";

const NONE = 0 as Ref;
/** Pages whose records come together where the lifetime is `chunk`: nouveau's 2 MiB. */
export const CHUNK_PAGES = 512;
/** Largest folio of device-private memory: a PMD. */
export const PRIVATE_ORDER_MAX = 9;

/** What one kind of pages is described and counted by. */
export interface Service {
  readonly record: DeviceRecord;
  readonly folios: FolioFields;
}

export class ZoneDevice {
  readonly base: Base;
  readonly choice: DeviceChoice;
  readonly area: DeviceArea;
  /** Pages that the processor reads, and device-private ones. */
  readonly frames: Service;
  readonly privates: Service;
  readonly firstPrivate: number;
  /** Warnings of the kernel (WARN_ON_ONCE and the like) since boot. */
  readonly warnings: string[] = [];
  /** The page map by its words. */
  mapOf: (words: Ref) => DevPagemap | undefined = () => undefined;

  constructor(
    base: Base,
    choice: DeviceChoice,
    area: DeviceArea,
    frames: Service,
    privates: Service,
    firstPrivate: number,
  ) {
    this.base = base;
    this.choice = choice;
    this.area = area;
    this.frames = frames;
    this.privates = privates;
    this.firstPrivate = firstPrivate;
  }

  warn(text: string): void {
    this.warnings.push(text);
  }

  /** What describes and counts a page. */
  of(page: number): Service {
    return page >= this.firstPrivate ? this.privates : this.frames;
  }

  /** References that a folio in service takes of its page map; the others were charged ahead. */
  #refs(map: DevPagemap, order: number): number {
    if (map.type !== MEMORY_DEVICE_PRIVATE && map.type !== MEMORY_DEVICE_COHERENT) return 0;
    const perFolio = this.choice.activation === "request" && this.choice.requestRefs === "folio";
    return perFolio ? 1 : 1 << order;
  }

  /** References of the map that a part split off a folio takes beyond what its pages had: one, or none. */
  extraRefs(map: DevPagemap): number {
    return this.#refs(map, 1) === 1 ? 1 : 0;
  }

  /** Rows of a stretch of pages, made where the lifetime says so; false without memory. */
  #takeRows(map: DevPagemap, page: number, order: number): boolean {
    const { record } = this.of(page);
    const { deviceLifetime } = this.choice;
    const pages = 1 << order;
    if (deviceLifetime === "static") return true;
    if (deviceLifetime === "request")
      return this.area.take(record.rowRef(page), record.rowOff(page), record.bytesPerPage * pages);
    const range = map.ranges.find((r) => page >= r.start && page < r.start + r.pages);
    if (range === undefined) return false;
    const first = range.start + Math.floor((page - range.start) / CHUNK_PAGES) * CHUNK_PAGES;
    for (let at = first; at < page + pages; at += CHUNK_PAGES)
      if (!this.#takeChunk(map, record, at, range.start + range.pages)) return false;
    return true;
  }

  #takeChunk(map: DevPagemap, record: DeviceRecord, at: number, end: number): boolean {
    if (this.area.isThere(record.rowRef(at))) return true;
    const pages = Math.min(CHUNK_PAGES, end - at);
    if (!this.area.take(record.rowRef(at), record.rowOff(at), pages * record.bytesPerPage))
      return false;
    record.blank(at, pages, map.zone);
    return true;
  }

  /** The chunks of records that a map came to have. */
  giveChunks(map: DevPagemap, record: DeviceRecord): void {
    for (const { start, pages } of map.ranges)
      for (let at = start; at < start + pages; at += CHUNK_PAGES) {
        if (!this.area.isThere(record.rowRef(at))) continue;
        const n = Math.min(CHUNK_PAGES, start + pages - at);
        this.area.give(record.rowRef(at), record.rowOff(at), n * record.bytesPerPage);
      }
  }

  #giveRows(page: number, order: number): void {
    if (this.choice.deviceLifetime !== "request") return;
    const { record } = this.of(page);
    this.area.give(record.rowRef(page), record.rowOff(page), record.bytesPerPage << order);
  }

  /** Reference count of the folio that a page belongs to; 0 where it is idle or not there. */
  refcountOf(page: number): number {
    const { record, folios } = this.of(page);
    if (!this.area.isThere(record.rowRef(page))) return 0;
    const folio = record.folioOf(page);
    return folio === NONE ? 0 : folios.refcount(folio);
  }

  /**
   * zone_device_folio_init: the folio that begins at a page of the map, locked,
   * with one reference. −ENOMEM where its record or descriptor cannot be had. What
   * the kernel only warns about is warned about and done.
   */
  init(map: DevPagemap, page: number, order: number): number {
    if (!this.#takeRows(map, page, order)) return ENOMEM;
    const { record, folios } = this.of(page);
    for (let i = page; i < page + (1 << order); i++)
      if (this.refcountOf(i) !== 0)
        this.warn(`${map.name}: page ${i} is initialised while it is in service`);
    const anon = map.type === MEMORY_DEVICE_PRIVATE || map.type === MEMORY_DEVICE_COHERENT;
    const folio = record.begin(page, order, map.zone, anon, this.choice.initReset === "on");
    if (folio === NONE) {
      this.#giveRows(page, order);
      return ENOMEM;
    }
    if (map.isDying) this.warn(`${map.name}: a page is initialised although the map is dying`);
    this.#activate(map, record, folio, order, true);
    folios.set(folio, PG_LOCKED);
    return page;
  }

  #activate(
    map: DevPagemap,
    record: DeviceRecord,
    folio: Ref,
    order: number,
    force: boolean,
  ): void {
    const { w } = this.base;
    record.setPgmap(folio, map.words);
    map.tryGet(this.#refs(map, order), force);
    w.add32(map.words, DEV_PAGEMAP_IN_SERVICE, 1 << order);
    w.store32(folio, record.layout.refcount, 1);
  }

  /**
   * pgmap_request_folio: the folio of 2^order pages at an offset over all ranges of
   * the map, with one reference, not locked; its first page. −EINVAL for what lies
   * outside, does not start on its order or is not of it, −ENXIO for a map that is
   * dying, −EBUSY for pages in service, −ENOMEM.
   */
  request(map: DevPagemap, offset: number, order: number): number {
    const pages = 1 << order;
    if (order < 0 || offset < 0 || offset % pages !== 0 || offset + pages > map.pages)
      return EINVAL;
    const page = map.pageAt(offset);
    // A folio lies in one range.
    if (map.pageAt(offset + pages - 1) !== page + pages - 1) return EINVAL;
    if (map.type === MEMORY_DEVICE_PRIVATE && order > PRIVATE_ORDER_MAX) return EINVAL;
    if (map.isDying) return ENXIO;
    if (this.choice.requestOrder === "match" && map.orders !== null && map.orders[offset] !== order)
      return EINVAL;
    const active = this.#active(page, pages);
    if (active >= 0) return this.#again(page, order, active);
    if (!this.#takeRows(map, page, order)) return ENOMEM;
    const { record } = this.of(page);
    const anon = map.type === MEMORY_DEVICE_PRIVATE || map.type === MEMORY_DEVICE_COHERENT;
    const folio = record.begin(page, order, map.zone, anon, true);
    if (folio === NONE) {
      this.#giveRows(page, order);
      return ENOMEM;
    }
    this.#activate(map, record, folio, order, false);
    return page;
  }

  /**
   * The driver sets up the order of an idle folio: what "folio orders inside the
   * pgmap are already set up and stable" leaves to it. −EINVAL, −EBUSY.
   */
  setOrder(map: DevPagemap, offset: number, order: number): number {
    const pages = 1 << order;
    if (map.orders === null || offset % pages !== 0 || offset + pages > map.pages) return EINVAL;
    if (this.#active(map.pageAt(offset), pages) >= 0) return EBUSY;
    map.orders.fill(0, offset, offset + pages);
    map.orders[offset] = order;
    return 0;
  }

  /** First page of the stretch that is in service; −1 for none. */
  #active(page: number, pages: number): number {
    for (let i = page; i < page + pages; i++) if (this.refcountOf(i) > 0) return i;
    return -1;
  }

  /** A request for what is in service: one more reference where that is allowed. */
  #again(page: number, order: number, active: number): number {
    const { record, folios } = this.of(page);
    if (this.choice.requestIdle === "strict") return EBUSY;
    if (record.blockOf(active) !== page || record.orderOf(active) !== order) return EINVAL;
    folios.get(record.folioOf(page));
    return page;
  }

  /** free_zone_device_folio: the last reference of a folio went. */
  free(folio: Ref, page: number): void {
    const { base } = this;
    const { w } = base;
    const { record, folios } = this.of(page);
    const order = record.orderOf(page);
    const pages = 1 << order;
    const map = this.mapOf(record.pgmapOf(folio));
    if (map === undefined) throw new RangeError(`page ${page} of a device has no page map`);
    base.core.content.clearBlock(page, order);
    const memcg = base.core.pointer(folio, record.layout.memcg);
    if (memcg !== NONE) {
      base.memcgs.uncharge(memcg, pages);
      base.core.setPointer(folio, record.layout.memcg, NONE);
    }
    if (folios.isAnon(folio))
      for (let i = page; i < page + pages; i++) record.setExclusive(i, false);
    if (map.type !== MEMORY_DEVICE_FS_DAX && map.type !== MEMORY_DEVICE_GENERIC)
      folios.setMapping(folio, NONE, 0);
    const data = w.load32(record.home(folio), record.dataAt);
    const stays = map.type === MEMORY_DEVICE_GENERIC && this.choice.activation === "init";
    if (stays) {
      // Idle device-dax pages count 1.
      folios.unfreeze(folio, 1);
      return;
    }
    record.end(page, order);
    this.#giveRows(page, order);
    w.add32(map.words, DEV_PAGEMAP_IN_SERVICE, -pages);
    // The driver first, then the map's references: the wait for them must not end before.
    map.ops.folioFree?.(page, order, data);
    map.put(this.#refs(map, order));
  }
}
