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
 * free_zone_device_folio), fs/dax.c (dax_wait_page_idle); pgmap_request_folio of
 * October 2022 and what its review asked for (device-facts §1.3–1.5). The proposal
 * answers NULL; which errno each refusal has here is invented. Simplified: pages of
 * fs-dax and p2pdma hold their map as others do, where the kernel leaves that to the
 * file system, which waits for its pages, and to the driver, which takes and drops
 * the references itself.
 */
import type { DeviceRecord } from "../design/device-record/axis.js";
import type { DeviceChoice } from "../design/device-rules.js";
import { PG_LOCKED } from "../design/word/axis-flags.js";
import { DEV_PAGEMAP_IN_SERVICE, DEV_PAGEMAP_WAKES } from "../layout/generated/offsets.js";
import type { DeviceArea } from "../pages/device-area.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import type { FolioFields } from "../process/folio-fields.js";
import type { DeviceWatch } from "./device-watch.js";
import {
  EBUSY,
  EINVAL,
  ENOMEM,
  ENXIO,
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_FS_DAX,
  MEMORY_DEVICE_GENERIC,
  MEMORY_DEVICE_PCI_P2PDMA,
  MEMORY_DEVICE_PRIVATE,
} from "./kinds.js";
import type { DevPagemap } from "./pagemap.js";
import { RecordRows } from "./record-rows.js";

const NONE = 0 as Ref;
/** Largest folio of device-private memory: a PMD. */
export const PRIVATE_ORDER_MAX = 9;
/** Largest folio of any other: MAX_FOLIO_ORDER, 1 GiB. */
export const FOLIO_ORDER_MAX = 18;

/** What one kind of pages is described and counted by. */
export interface Service {
  readonly record: DeviceRecord;
  readonly folios: FolioFields;
}

export class ZoneDevice {
  readonly base: Base;
  readonly choice: DeviceChoice;
  readonly area: DeviceArea;
  /** When records are there. */
  readonly rows: RecordRows;
  /** Pages that the processor reads, and device-private ones. */
  readonly frames: Service;
  readonly privates: Service;
  readonly firstPrivate: number;
  /** Warnings of the kernel (WARN_ON_ONCE and the like) since boot. */
  readonly warnings: string[] = [];
  /** Events for the sanitizer; null while it is off. */
  watch: DeviceWatch | null = null;
  /** The page map by its words. */
  mapOf: (words: Ref) => DevPagemap | undefined = () => undefined;
  /** Whether the pages of a map are given a node: always, but where a known bug is switched on. */
  hasNode: (map: DevPagemap) => boolean = () => true;

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
    this.rows = new RecordRows(choice, area, (page) => this.of(page).record);
  }

  warn(text: string): void {
    this.warnings.push(text);
  }

  /** What describes and counts a page. */
  of(page: number): Service {
    return page >= this.firstPrivate ? this.privates : this.frames;
  }

  /** Whether idle folios of a map exist, and count 1: device-dax as it is. */
  countsFromOne(map: DevPagemap): boolean {
    return map.type === MEMORY_DEVICE_GENERIC && this.choice.activation === "init";
  }

  /** References that a folio in service takes of its page map. */
  refs(map: DevPagemap, order: number): number {
    if (this.countsFromOne(map)) return 0;
    const perFolio = this.choice.activation === "request" && this.choice.requestRefs === "folio";
    return perFolio ? 1 : 1 << order;
  }

  /** References of the map that a part split off a folio takes beyond what its pages had: one, or none. */
  extraRefs(map: DevPagemap): number {
    return this.refs(map, 1) === 1 ? 1 : 0;
  }

  /** A folio in service is being cut: its parts count 0 for that time, and are their driver's. */
  cutting = false;

  /**
   * In watched runs: somebody looks at a page, or writes to it, before it was asked
   * for. Only where pages are requested is that against the rules.
   */
  look(page: number, what: string): void {
    if (this.watch === null || this.cutting || this.choice.activation !== "request") return;
    if (page >= this.base.core.machine.deviceFirst && this.refcountOf(page) === 0)
      this.watch.touched(page, what);
  }

  // Who is in service.

  /** Reference count of the folio that a page belongs to; 0 where it is idle or not there. */
  refcountOf(page: number): number {
    const { record, folios } = this.of(page);
    if (!this.rows.isThere(record, page)) return 0;
    const folio = record.folioOf(page);
    if (folio === NONE) return 0;
    const count = folios.refcount(folio);
    if (count === 0 || !record.leavesTraces || folio === record.rowRef(page)) return count;
    // The row of an idle page may still lead to where an earlier folio began.
    const head = record.pageOf(folio);
    return page < head + (1 << record.orderOf(head)) ? count : 0;
  }

  /** Visits the folios of a map that are in service, in order. */
  forEachFolio(map: DevPagemap, visit: (page: number, order: number, folio: Ref) => void): void {
    for (const { start, pages } of map.ranges)
      for (let page = start; page < start + pages;) {
        const { record } = this.of(page);
        if (!this.rows.isThere(record, page)) page = this.rows.behindGap(record, page);
        else if (this.refcountOf(page) === 0) page++;
        else {
          const order = record.orderOf(page);
          visit(page, order, record.folioOf(page));
          page += 1 << order;
        }
      }
  }

  /** First page of the stretch that is in service; −1 for none. */
  #active(page: number, pages: number): number {
    const { record } = this.of(page);
    for (let i = page; i < page + pages;)
      if (!this.rows.isThere(record, i)) i = this.rows.behindGap(record, i);
      else if (this.refcountOf(i) > 0) return i;
      else i++;
    return -1;
  }

  // Into service.

  /** Where 2^order pages at an offset lie; −EINVAL for what is beyond the map, in two of its ranges or not aligned. */
  #placeOf(map: DevPagemap, offset: number, order: number): number {
    const most = map.type === MEMORY_DEVICE_PRIVATE ? PRIVATE_ORDER_MAX : FOLIO_ORDER_MAX;
    if (!Number.isInteger(offset) || !Number.isInteger(order)) return EINVAL;
    if (order < 0 || order > most) return EINVAL;
    const page = map.pageAt(offset);
    const range = page < 0 ? undefined : map.rangeOf(page);
    if (range === undefined || (page & ((1 << order) - 1)) !== 0) return EINVAL;
    return page + (1 << order) > range.start + range.pages ? EINVAL : page;
  }

  #isAnon(map: DevPagemap): boolean {
    return map.type === MEMORY_DEVICE_PRIVATE || map.type === MEMORY_DEVICE_COHERENT;
  }

  /**
   * What a driver of `init` does with an offset that its allocator gave: the page is
   * looked up and initialised; of device-dax memory, whose folios exist, one more
   * reference is got. First page, locked; −EINVAL, −ENOMEM.
   */
  initAt(map: DevPagemap, offset: number, order: number): number {
    const page = this.#placeOf(map, offset, order);
    if (page < 0) return page;
    if (!this.countsFromOne(map)) return this.init(map, page, order);
    if (order !== (map.config.folioOrder ?? 0)) return EINVAL;
    const { record, folios } = this.of(page);
    folios.get(record.folioOf(page));
    folios.lock(record.folioOf(page));
    return page;
  }

  /**
   * zone_device_folio_init: the folio that begins at a page of the map, locked,
   * with one reference. −ENOMEM where its record or descriptor cannot be had. What
   * the kernel only warns about is warned about and done.
   */
  init(map: DevPagemap, page: number, order: number): number {
    const made = this.rows.take(map, page, order);
    if (made === null) return ENOMEM;
    const { record, folios } = this.of(page);
    for (let i = page; i < page + (1 << order); i++)
      if (this.refcountOf(i) !== 0)
        this.warn(`${map.name}: page ${i} is initialised while it is in service`);
    const reset = this.choice.initReset === "on";
    const folio = record.begin(page, order, map.zone, this.#isAnon(map), reset);
    if (folio === NONE) {
      this.rows.give(map, page, order, made);
      return ENOMEM;
    }
    if (map.isDying) this.warn(`${map.name}: a page is initialised although the map is dying`);
    map.tryGet(this.refs(map, order), true);
    this.#activate(map, record, folio, order);
    // lock_page: the lock of what the page says that it belongs to.
    folios.set(record.folioOf(page), PG_LOCKED);
    return page;
  }

  /** The folio is in service, its map's references are taken. */
  #activate(map: DevPagemap, record: DeviceRecord, folio: Ref, order: number): void {
    const { w } = this.base;
    if (this.choice.initReset === "on") record.setPgmap(folio, map.words);
    if (!this.hasNode(map)) this.#loseNode(record, folio);
    w.add32(map.words, DEV_PAGEMAP_IN_SERVICE, 1 << order);
    w.store32(folio, record.layout.refcount, 1);
  }

  /** NUMA_NO_NODE as a node: all its bits. */
  #loseNode(record: DeviceRecord, folio: Ref): void {
    const { w } = this.base;
    const lo = w.load64(folio, record.layout.flags);
    w.store64(folio, record.layout.flags, lo, w.hi | (-1 << 22));
  }

  /**
   * pgmap_request_folio: the folio of 2^order pages at an offset over all ranges of
   * the map, with one reference, not locked; its first page. −EINVAL for what lies
   * outside, is not aligned to its order or is not of it, −ENXIO for a map that is
   * dying, −EBUSY for pages in service, −ENOMEM.
   */
  request(map: DevPagemap, offset: number, order: number): number {
    const page = this.#placeOf(map, offset, order);
    if (page < 0) return page;
    if (map.isDying) return ENXIO;
    if (map.orders !== null && map.orders.at(offset) !== order) return EINVAL;
    const active = this.#active(page, 1 << order);
    if (active >= 0) return this.#again(page, order, active);
    const refs = this.refs(map, order);
    if (!map.tryGet(refs)) return ENXIO;
    const made = this.rows.take(map, page, order);
    const { record } = this.of(page);
    const folio =
      made === null ? NONE : record.begin(page, order, map.zone, this.#isAnon(map), true);
    if (made === null || folio === NONE) {
      if (made !== null) this.rows.give(map, page, order, made);
      map.put(refs);
      return ENOMEM;
    }
    this.#activate(map, record, folio, order);
    return page;
  }

  /** A request for what is in service: one more reference where that is allowed. */
  #again(page: number, order: number, active: number): number {
    const { record, folios } = this.of(page);
    if (this.choice.requestIdle === "strict") return EBUSY;
    if (record.blockOf(active) !== page || record.orderOf(active) !== order) return EINVAL;
    folios.get(record.folioOf(page));
    return page;
  }

  /**
   * The driver sets up the order of an idle folio: what "folio orders inside the
   * pgmap are already set up and stable" leaves to it. −EINVAL; −EBUSY while a page
   * of it, or of the folio that it is made from, is in service.
   */
  setOrder(map: DevPagemap, offset: number, order: number): number {
    const page = this.#placeOf(map, offset, order);
    const { orders } = map;
    if (page < 0 || orders === null) return EINVAL;
    const head = orders.headOf(offset);
    const whole = orders.at(head);
    const stretch = whole > order ? this.#active(map.pageAt(head), 1 << whole) : -1;
    if (stretch >= 0 || this.#active(page, 1 << order) >= 0) return EBUSY;
    orders.set(offset, order);
    return 0;
  }

  // Out of service.

  /** free_zone_device_folio: the last reference of a folio went. */
  free(folio: Ref, page: number): void {
    const { base } = this;
    const { w } = base;
    const { record, folios } = this.of(page);
    const order = record.orderOf(page);
    const map = this.mapOf(record.pgmapOf(folio));
    if (map === undefined) throw new RangeError(`page ${page} of a device has no page map`);
    // Memory that lasts, or is a device's own, keeps what it holds.
    if (this.#isAnon(map)) base.core.content.clearBlock(page, order);
    this.#uncharge(record, folio, page, order);
    if (folios.isAnon(folio))
      for (let i = page; i < page + (1 << order); i++) record.setExclusive(i, false);
    if (map.type !== MEMORY_DEVICE_FS_DAX && map.type !== MEMORY_DEVICE_GENERIC)
      folios.setMapping(folio, NONE, 0);
    if (this.countsFromOne(map)) {
      folios.unfreeze(folio, 1);
      return;
    }
    const data = w.load32(record.home(folio), record.dataAt);
    record.end(page, order);
    this.rows.give(map, page, order);
    w.add32(map.words, DEV_PAGEMAP_IN_SERVICE, -(1 << order));
    this.#giveBack(map, page, order, data);
  }

  /** mem_cgroup_uncharge */
  #uncharge(record: DeviceRecord, folio: Ref, page: number, order: number): void {
    const { core, memcgs } = this.base;
    const memcg = core.pointer(folio, record.layout.memcg);
    if (memcg === NONE) return;
    if (page < this.firstPrivate) memcgs.chargeDescriptor(memcg, page, order, -1);
    memcgs.uncharge(memcg, 1 << order);
    core.setPointer(folio, record.layout.memcg, NONE);
  }

  /** Whoever waits or keeps account of pages is told, by type; then the map's references go, last. */
  #giveBack(map: DevPagemap, page: number, order: number, data: number): void {
    const { w } = this.base;
    // wake_up_var
    if (map.type === MEMORY_DEVICE_FS_DAX) w.add32(map.words, DEV_PAGEMAP_WAKES, 1);
    // Where pages are requested, a driver hears of every type's: page_free of the series.
    const told = this.#isAnon(map) || map.type === MEMORY_DEVICE_PCI_P2PDMA;
    const { watch } = this;
    const before = watch === null ? 0 : map.refs;
    const others = watch === null ? 0 : map.inService;
    if (told || this.choice.activation === "request") map.ops.folioFree?.(page, order, data);
    if (told && map.ops.folioFree === undefined)
      this.warn(`${map.name}: page ${page} is free and there is no folio_free to tell`);
    if (watch !== null && map.inService === others)
      watch.givenBack(map.name, page, before, map.refs);
    map.put(this.refs(map, order));
  }

  /**
   * dax_wait_page_idle: sleeps until nobody holds a page of fs-dax memory any more, as
   * truncation must before it gives the block away. 0, or −EINVAL for other memory,
   * which wakes nobody.
   */
  awaitIdle(map: DevPagemap, page: number): number {
    const { w } = this.base;
    if (map.type !== MEMORY_DEVICE_FS_DAX || map.offsetOf(page) < 0) return EINVAL;
    for (;;) {
      const wakes = w.load32(map.words, DEV_PAGEMAP_WAKES);
      if (this.refcountOf(page) === 0) return 0;
      w.awaitChange32(map.words, DEV_PAGEMAP_WAKES, wakes);
    }
  }
}
