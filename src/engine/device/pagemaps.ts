/**
 * Making and ending page maps: memremap_pages, its counterpart for the device
 * address space, and what each refuses.
 *
 * Physical ranges must be nobody's: neither RAM nor another map's. Device-private
 * memory is given by its size alone; its numbers are the naming's business, and
 * only where they are physical can they run out because of what else lies in
 * physical memory.
 *
 * Source: mm/memremap.c of the mm tree of July 2026 (memremap_pages, pagemap_range,
 * memunmap_pages), kernel/resource.c (get_free_mem_region),
 * memremap_device_private_pagemap of the series' v6; device-facts §1.5, §2.4.
 */
import {
  DEV_PAGEMAP_DONE,
  DEV_PAGEMAP_DYING,
  DEV_PAGEMAP_FIRST,
  DEV_PAGEMAP_NID,
  DEV_PAGEMAP_NR_PAGES,
  DEV_PAGEMAP_NR_RANGE,
  DEV_PAGEMAP_RANGE_START,
  DEV_PAGEMAP_REF,
  DEV_PAGEMAP_TYPE,
} from "../layout/generated/offsets.js";
import type { DeviceNaming } from "../design/device-name/axis.js";
import type { DeviceRecord } from "../design/device-record/axis.js";
import { SECTION_PAGES, ZONE_DEVICE } from "../pages/zones.js";
import type { Ref } from "../../units.js";
import { O_DEV_PAGEMAP } from "../process/objects.js";
import {
  EINVAL,
  ENOMEM,
  ENXIO,
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_GENERIC,
  MEMORY_DEVICE_PCI_P2PDMA,
  MEMORY_DEVICE_PRIVATE,
} from "./kinds.js";
import type { Mutants } from "./mutants.js";
import { DevPagemap, type PagemapConfig, type PhysicalRange } from "./pagemap.js";
import type { ZoneDevice } from "./zone-device.js";

const NONE = 0 as Ref;
/** Largest folio that generic memory may consist of (MAX_FOLIO_ORDER: 1 GiB). */
const FOLIO_ORDER_MAX = 18;
/** Records are handed out in stretches of whole PMDs. */
const ALIGN_PAGES = 512;

/** Where private records are, and the physical ranges that maps may be over. */
export interface DeviceSpan {
  /** Frames with room for a page array behind the RAM. */
  readonly start: number;
  readonly end: number;
  readonly firstPrivate: number;
  readonly privatePages: number;
}

export class Pagemaps {
  readonly device: ZoneDevice;
  readonly naming: DeviceNaming;
  readonly span: DeviceSpan;
  readonly mutants: Mutants;
  /** Maps that are not gone, by their words, in order of creation. */
  readonly maps = new Map<Ref, DevPagemap>();

  constructor(device: ZoneDevice, naming: DeviceNaming, span: DeviceSpan, mutants: Mutants) {
    this.device = device;
    this.naming = naming;
    this.span = span;
    this.mutants = mutants;
    device.mapOf = (words) => this.maps.get(words);
  }

  /**
   * Makes the page map that a configuration asks for: memremap_pages, or
   * memremap_device_private_pagemap for private memory where it has numbers of its
   * own. The map, or a negative errno with nothing changed.
   */
  create(config: PagemapConfig): DevPagemap | number {
    if (config.type === MEMORY_DEVICE_PRIVATE) return this.#createPrivate(config);
    const refused = this.#refuses(config);
    if (refused !== 0) return refused;
    const ranges = config.ranges ?? [];
    const pages = ranges.reduce((sum, r) => sum + r.pages, 0);
    return this.#make(config, { first: ranges[0].start, pages, ranges });
  }

  /**
   * The old entry point with private memory: where private memory has numbers of
   * its own it warns and refuses.
   */
  memremapPages(config: PagemapConfig): DevPagemap | number {
    if (config.type === MEMORY_DEVICE_PRIVATE && this.naming.name !== "physical") {
      this.device.warn(`${config.name}: memremap_pages is no longer for device-private memory`);
      return EINVAL;
    }
    return this.create(config);
  }

  #refuses(config: PagemapConfig): number {
    const { type, ops, owner, folioOrder = 0, ranges = [] } = config;
    if (ranges.length === 0 || folioOrder > FOLIO_ORDER_MAX || folioOrder < 0) return EINVAL;
    if (type < MEMORY_DEVICE_PRIVATE || type > MEMORY_DEVICE_PCI_P2PDMA) return EINVAL;
    if (type === MEMORY_DEVICE_COHERENT && (ops?.folioFree === undefined || owner === undefined))
      return EINVAL;
    for (const [i, range] of ranges.entries()) {
      const refused = this.#refusesRange(range) || overlaps(range, ranges.slice(0, i));
      if (refused !== 0) return refused;
      // A folio does not begin in one range and end in the next.
      if (range.start % 2 ** folioOrder !== 0 || range.pages % 2 ** folioOrder !== 0) return EINVAL;
    }
    return 0;
  }

  /** pagemap_range: who has it already. */
  #refusesRange({ start, pages }: PhysicalRange): number {
    if (!Number.isInteger(start) || !Number.isInteger(pages) || pages <= 0 || start < 0)
      return EINVAL;
    // Page arrays are added by subsections of 2 MiB (check_pfn_span).
    if (start % ALIGN_PAGES !== 0 || pages % ALIGN_PAGES !== 0) return EINVAL;
    if (this.ofFrame(start) !== null || this.ofFrame(start + pages - 1) !== null) return ENOMEM;
    if (start < this.span.start) return ENXIO;
    return start + pages > this.span.end ? EINVAL : 0;
  }

  #createPrivate(config: PagemapConfig): DevPagemap | number {
    const { ops, owner, pages = 0, ranges = [] } = config;
    // Several ranges are several maps: an offset, or a space, is one stretch.
    if (pages <= 0 || ranges.length > 0 || !Number.isInteger(pages)) return EINVAL;
    if (ops?.migrateToRam === undefined || ops.folioFree === undefined) return EINVAL;
    if (owner === undefined) return EINVAL;
    const first = this.#findRecords(pages);
    if (first < 0) return first;
    return this.#make(config, { first, pages, ranges: [{ start: first, pages }] });
  }

  /** Lowest stretch of records that no map has; −ENOMEM where the machine has no room for more. */
  #findRecords(pages: number): number {
    const align = this.naming.name === "physical" ? SECTION_PAGES : ALIGN_PAGES;
    const { firstPrivate, privatePages } = this.span;
    const taken = [...this.maps.values()]
      .filter((m) => m.type === MEMORY_DEVICE_PRIVATE)
      .toSorted((a, b) => a.first - b.first);
    let at = firstPrivate;
    for (const map of taken) {
      if (map.first - at >= pages) break;
      at = map.first + Math.ceil(map.pages / align) * align;
    }
    return at + pages > firstPrivate + privatePages ? ENOMEM : at;
  }

  #make(
    config: PagemapConfig,
    at: { first: number; pages: number; ranges: readonly PhysicalRange[] },
  ): DevPagemap | number {
    const { core, w } = this.device.base;
    const words = core.newObject(O_DEV_PAGEMAP);
    if (words === NONE) return ENOMEM;
    // numa_mem_id() where the driver knows of no node.
    const asked = config.nid ?? -1;
    const nid = asked >= 0 && asked < core.nodes ? asked : 0;
    const zone = core.machine.zones.byKey[nid * 8 + ZONE_DEVICE];
    const keepsOrders =
      this.device.choice.activation === "request" && this.device.choice.requestOrder === "match";
    const map = new DevPagemap(w, words, config, { ...at, zone, nid }, keepsOrders);
    w.store32(words, DEV_PAGEMAP_FIRST, at.first);
    w.store32(words, DEV_PAGEMAP_NR_PAGES, at.pages);
    w.store32(words, DEV_PAGEMAP_NR_RANGE, at.ranges.length);
    w.store32(words, DEV_PAGEMAP_TYPE, config.type);
    w.store32(words, DEV_PAGEMAP_NID, nid);
    w.store32(words, DEV_PAGEMAP_REF, 1);
    const isPrivate = config.type === MEMORY_DEVICE_PRIVATE;
    const error = isPrivate ? this.naming.assign(words) : 0;
    if (error !== 0) {
      core.freeObject(O_DEV_PAGEMAP, words);
      return error;
    }
    if (!isPrivate) w.store32(words, DEV_PAGEMAP_RANGE_START, at.first);
    if (!this.#describe(map)) {
      if (isPrivate) this.naming.retire(words);
      core.freeObject(O_DEV_PAGEMAP, words);
      return ENOMEM;
    }
    this.maps.set(words, map);
    // What is charged ahead: every page of the other types.
    if (!isPrivate && config.type !== MEMORY_DEVICE_COHERENT) map.tryGet(map.pages);
    return map;
  }

  /** Records that exist from the start, and the node of all; false without memory. */
  #describe(map: DevPagemap): boolean {
    const { device } = this;
    const { record } = device.of(map.first);
    for (const { start, pages } of map.ranges)
      if (map.type !== MEMORY_DEVICE_PRIVATE || record.name === "page")
        device.base.core.machine.zones.setZone(start, start + pages, map.zone);
    if (device.choice.deviceLifetime !== "static") return this.#makeGeneric(map);
    // What can never fit is not begun.
    const { machine } = device.base.core;
    if (map.pages * record.bytesPerPage > machine.freeFrames() * machine.pageSize) return false;
    for (const [i, { start, pages }] of map.ranges.entries()) {
      if (
        device.area.take(record.rowRef(start), record.rowOff(start), pages * record.bytesPerPage)
      ) {
        record.blank(start, pages, map.zone);
        continue;
      }
      this.#giveRows(map, i);
      return false;
    }
    return this.#makeGeneric(map);
  }

  /** Rows of the first `n` ranges of a static map. */
  #giveRows(map: DevPagemap, n: number): void {
    const { record } = this.device.of(map.first);
    for (const { start, pages } of map.ranges.slice(0, n))
      this.device.area.give(
        record.rowRef(start),
        record.rowOff(start),
        pages * record.bytesPerPage,
      );
  }

  /** device-dax as it is: every folio exists from the start and counts 1 while it is idle. */
  #makeGeneric(map: DevPagemap): boolean {
    if (map.type !== MEMORY_DEVICE_GENERIC || this.device.choice.activation !== "init") return true;
    const order = map.config.folioOrder ?? 0;
    for (const { start, pages } of map.ranges)
      for (let page = start; page < start + pages; page += 1 << order) {
        if (this.device.init(map, page, order) < 0) return false;
        const { record, folios } = this.device.of(page);
        folios.unlock(record.folioOf(page));
      }
    return true;
  }

  /** get_dev_pagemap of a frame: the live map that has it, with one more reference; null for none or a dying one. */
  get(pfn: number): DevPagemap | null {
    const map = this.ofFrame(pfn);
    return map !== null && map.tryGet(1) ? map : null;
  }

  /** The map whose physical ranges have a frame. */
  ofFrame(pfn: number): DevPagemap | null {
    for (const map of this.maps.values())
      if (map.type !== MEMORY_DEVICE_PRIVATE && map.offsetOf(pfn) >= 0) return map;
    return null;
  }

  /** The map that a page in service belongs to; null for an idle page or none of a device. */
  ofPage(page: number): DevPagemap | null {
    if (this.device.refcountOf(page) === 0) return null;
    const { record } = this.device.of(page);
    return this.maps.get(record.pgmapOf(record.folioOf(page))) ?? null;
  }

  /** page_pgmap: the map of a folio in service. Throws RangeError where there is none. */
  mapOfFolio(folio: Ref, record: DeviceRecord): DevPagemap {
    const map = this.maps.get(record.pgmapOf(folio));
    if (map === undefined) throw new RangeError("a folio in service has no page map");
    return map;
  }

  /** percpu_ref_kill, and the references that were charged ahead: nobody gets a page from now on. */
  kill(map: DevPagemap): void {
    if (map.isDying) return;
    this.device.base.w.store32(map.words, DEV_PAGEMAP_DYING, 1);
    if (map.type !== MEMORY_DEVICE_PRIVATE && map.type !== MEMORY_DEVICE_COHERENT)
      map.put(map.pages);
    map.put(1);
  }

  /** wait_for_completion: sleeps until a map that was killed has no page in service any more. */
  waitDrained(map: DevPagemap): void {
    this.device.base.w.await32(map.words, DEV_PAGEMAP_DONE, 1);
  }

  /**
   * memunmap_pages, memunmap_device_private_pagemap: kills the map, waits until
   * every page in service came back, and takes it away. The wait ends never where
   * the driver did not bring its pages back before (Deadlock where nobody else runs).
   */
  unmap(map: DevPagemap): void {
    const { core } = this.device.base;
    this.kill(map);
    this.waitDrained(map);
    if (map.type === MEMORY_DEVICE_GENERIC && this.device.choice.activation === "init")
      this.#endGeneric(map);
    const early = this.mutants.freeBeforeErase;
    if (early) this.#giveRecords(map);
    if (map.type === MEMORY_DEVICE_PRIVATE) this.naming.retire(map.words);
    if (!early) this.#giveRecords(map);
    this.maps.delete(map.words);
    core.freeObject(O_DEV_PAGEMAP, map.words);
    map.end();
  }

  #endGeneric(map: DevPagemap): void {
    const order = map.config.folioOrder ?? 0;
    const { record, folios } = this.device.of(map.first);
    for (const { start, pages } of map.ranges)
      for (let page = start; page < start + pages; page += 1 << order) {
        folios.unfreeze(record.folioOf(page), 0);
        record.end(page, order);
      }
  }

  /** The records of a map that is gone. */
  #giveRecords(map: DevPagemap): void {
    const { device } = this;
    const { record } = device.of(map.first);
    if (device.choice.deviceLifetime === "static") return this.#giveRows(map, map.ranges.length);
    if (device.choice.deviceLifetime === "request") return;
    device.giveChunks(map, record);
  }
}

/** Whether a range lies over one that was named before. */
const overlaps = (range: PhysicalRange, before: readonly PhysicalRange[]): number =>
  before.some((r) => range.start < r.start + r.pages && r.start < range.start + range.pages)
    ? ENOMEM
    : 0;
