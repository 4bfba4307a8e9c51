/**
 * Making and ending page maps: memremap_pages, its counterpart for the device
 * address space, and what each refuses.
 *
 * Physical ranges must be nobody's: neither RAM nor another map's. Device-private
 * memory is given by its size alone; its numbers are the naming's business, and
 * only where they are physical can they run out because of what else lies in
 * physical memory. A map that cannot be made leaves nothing behind.
 *
 * Source: mm/memremap.c of the mm tree of July 2026 (memremap_pages, pagemap_range,
 * memunmap_pages), kernel/resource.c (get_free_mem_region),
 * memremap_device_private_pagemap of the series' v6; device-facts §1.5, §2.4. The
 * check for folio_free that v6 lost is kept. Simplified: every processor is of node
 * 0 (numa_mem_id); the type is looked at before anything is done.
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
  DEV_PAGEMAP_VMEMMAP_SHIFT,
} from "../layout/generated/offsets.js";
import { PAGES_MAX, type DeviceNaming } from "../design/device-name/axis.js";
import type { DeviceRecord } from "../design/device-record/axis.js";
import { SECTION_PAGES, ZONE_DEVICE } from "../pages/zones.js";
import type { Ref } from "../../units.js";
import { O_DEV_PAGEMAP } from "../process/objects.js";
import {
  EEXIST,
  EINVAL,
  ENOMEM,
  ENXIO,
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_PCI_P2PDMA,
  MEMORY_DEVICE_PRIVATE,
} from "./kinds.js";
import type { Mutants } from "./mutants.js";
import { DevPagemap, type PagemapConfig, type PhysicalRange } from "./pagemap.js";
import { RecordRoom } from "./record-room.js";
import { FOLIO_ORDER_MAX, type ZoneDevice } from "./zone-device.js";

const NONE = 0 as Ref;
const PAGE = 4096;
/** Page arrays are added by subsections of 2 MiB; records are handed out so, too. */
const ALIGN_PAGES = 512;

/** Where private records are, and the physical ranges that maps may be over. */
export interface DeviceSpan {
  /** Frames with room for a page array behind the RAM. */
  readonly start: number;
  readonly end: number;
  readonly firstPrivate: number;
  readonly privatePages: number;
}

/** Where a new map lies. */
interface Place {
  readonly first: number;
  readonly pages: number;
  readonly ranges: readonly PhysicalRange[];
}

export class Pagemaps {
  readonly device: ZoneDevice;
  readonly naming: DeviceNaming;
  readonly span: DeviceSpan;
  readonly mutants: Mutants;
  /** Maps that are not gone, by their words, in order of creation. */
  readonly maps = new Map<Ref, DevPagemap>();
  /** The one that was asked for last. */
  #last: DevPagemap | null = null;
  /** Those over physical ranges. */
  readonly #ranged = new Set<DevPagemap>();
  readonly #room: RecordRoom;

  constructor(device: ZoneDevice, naming: DeviceNaming, span: DeviceSpan, mutants: Mutants) {
    this.device = device;
    this.naming = naming;
    this.span = span;
    this.mutants = mutants;
    const align = naming.name === "physical" ? SECTION_PAGES : ALIGN_PAGES;
    this.#room = new RecordRoom(span.firstPrivate, span.privatePages, align);
    device.mapOf = (words) => this.#at(words);
    device.hasNode = (map) =>
      !mutants.numaNone || (map.config.nid ?? -1) >= 0 || !this.isInDeviceSpace(map);
  }

  /**
   * Makes the page map that a configuration asks for: memremap_pages, or
   * memremap_device_private_pagemap for private memory where it has numbers of its
   * own. The map, or a negative errno with nothing changed.
   */
  create(config: PagemapConfig): DevPagemap | number {
    if ((config.nid ?? -1) >= this.device.base.core.nodes) return EINVAL;
    if (config.type === MEMORY_DEVICE_PRIVATE) return this.#createPrivate(config);
    const refused = this.#refuses(config);
    if (refused !== 0) return refused;
    const ranges = config.ranges ?? [];
    const pages = ranges.reduce((sum, r) => sum + r.pages, 0);
    return this.#make(config, { first: ranges[0].start, pages, ranges });
  }

  /**
   * The old entry point, for any type; where private memory has numbers of its own it
   * warns and refuses it.
   */
  memremapPages(config: PagemapConfig): DevPagemap | number {
    if (config.type === MEMORY_DEVICE_PRIVATE && this.naming.ownKind)
      return this.#warned(config.name, "memremap_pages is no longer for device-private memory");
    return this.create(config);
  }

  /**
   * memremap_device_private_pagemap: by size, for private memory and nothing else. The
   * kernel has it only where private memory has numbers of its own.
   */
  memremapDevicePrivatePagemap(config: PagemapConfig): DevPagemap | number {
    if (!this.naming.ownKind)
      return this.#warned(config.name, "there is no device address space: memremap_pages");
    if (config.type !== MEMORY_DEVICE_PRIVATE)
      return this.#warned(config.name, "the device address space is for device-private memory");
    return this.create(config);
  }

  #warned(name: string, what: string): number {
    this.device.warn(`${name}: ${what}`);
    return EINVAL;
  }

  #refuses(config: PagemapConfig): number {
    const { type, ops, owner, folioOrder = 0, ranges = [] } = config;
    if (ranges.length === 0 || config.pages !== undefined || config.size !== undefined)
      return EINVAL;
    if (!Number.isInteger(folioOrder) || folioOrder > FOLIO_ORDER_MAX || folioOrder < 0)
      return EINVAL;
    if (!(type >= MEMORY_DEVICE_PRIVATE && type <= MEMORY_DEVICE_PCI_P2PDMA)) return EINVAL;
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
    if (this.#isMapped(start) || this.#isMapped(start + pages - 1)) return ENOMEM;
    if (start < this.span.start) return ENXIO;
    if (start + pages > this.span.end) return EINVAL;
    // One that lies between the ends, or is dying, is found when sections are added.
    const within = [...this.#ranged].some((m) =>
      m.ranges.some((r) => start < r.start + r.pages && r.start < start + pages),
    );
    return within ? EEXIST : 0;
  }

  /** get_dev_pagemap, put_dev_pagemap: a live map has that pfn. */
  #isMapped(pfn: number): boolean {
    const map = this.#ofPfn(pfn);
    return map !== null && !map.isDying;
  }

  #createPrivate(config: PagemapConfig): DevPagemap | number {
    const { ops, owner, ranges = [], size } = config;
    const { pages = size === undefined ? 0 : Math.ceil(size / PAGE) } = config;
    // Several ranges are several maps: an offset, or a space, is one stretch.
    if (!Number.isInteger(pages) || pages <= 0 || ranges.length > 0) return EINVAL;
    if (size !== undefined && Math.ceil(size / PAGE) !== pages) return EINVAL;
    if (ops?.migrateToRam === undefined || ops.folioFree === undefined) return EINVAL;
    if (owner === undefined) return EINVAL;
    if (pages > PAGES_MAX) return this.naming.beyond;
    const first = this.#room.take(pages);
    // The machine has no room for more.
    if (first < 0) return ENOMEM;
    const map = this.#make(config, { first, pages, ranges: [{ start: first, pages }] });
    if (typeof map === "number") this.#room.give(first, pages);
    return map;
  }

  #make(config: PagemapConfig, place: Place): DevPagemap | number {
    const { core } = this.device.base;
    const words = core.newObject(O_DEV_PAGEMAP);
    if (words === NONE) return ENOMEM;
    const map = this.#fill(config, words, place);
    const isPrivate = config.type === MEMORY_DEVICE_PRIVATE;
    const error = isPrivate ? this.naming.assign(words) : 0;
    if (error !== 0) {
      core.freeObject(O_DEV_PAGEMAP, words);
      return error;
    }
    this.maps.set(words, map);
    if (!this.#describe(map)) {
      this.#forget(words);
      if (isPrivate) this.naming.retire(words);
      core.freeObject(O_DEV_PAGEMAP, words);
      return ENOMEM;
    }
    if (!isPrivate) this.#ranged.add(map);
    map.tryGet(this.chargedAhead(map), true);
    return map;
  }

  /** The words of a new map, but for its numbers. */
  #fill(config: PagemapConfig, words: Ref, place: Place): DevPagemap {
    const { core, w } = this.device.base;
    const { choice } = this.device;
    // numa_mem_id() where the driver knows of no node.
    const nid = Math.max(0, config.nid ?? -1);
    const zone = core.machine.zones.byKey[nid * 8 + ZONE_DEVICE];
    const keepsOrders = choice.activation === "request" && choice.requestOrder === "match";
    w.store32(words, DEV_PAGEMAP_FIRST, place.first);
    w.store32(words, DEV_PAGEMAP_NR_PAGES, place.pages);
    w.store32(words, DEV_PAGEMAP_NR_RANGE, place.ranges.length);
    w.store32(words, DEV_PAGEMAP_TYPE, config.type);
    w.store32(words, DEV_PAGEMAP_NID, nid);
    w.store32(words, DEV_PAGEMAP_VMEMMAP_SHIFT, config.folioOrder ?? 0);
    w.store32(words, DEV_PAGEMAP_REF, 1);
    if (config.type !== MEMORY_DEVICE_PRIVATE)
      w.store32(words, DEV_PAGEMAP_RANGE_START, place.first);
    return new DevPagemap(w, words, config, { ...place, zone, nid }, keepsOrders);
  }

  /**
   * References that a map begins with beside its own: one for each folio of the types
   * whose idle pages are somebody's. Where pages are requested nothing is charged
   * ahead, since every type's hold their map while they are in service.
   */
  chargedAhead(map: DevPagemap): number {
    if (map.type === MEMORY_DEVICE_PRIVATE || map.type === MEMORY_DEVICE_COHERENT) return 0;
    if (this.device.choice.activation === "request") return 0;
    return map.pages / 2 ** (map.config.folioOrder ?? 0);
  }

  /** Records that exist from the start, and the node of all; false without memory, with nothing changed. */
  #describe(map: DevPagemap): boolean {
    const { device } = this;
    const { machine } = device.base.core;
    const { record } = device.of(map.first);
    if (!this.#describeRanges(map, record)) return false;
    if (!this.#makeGeneric(map)) {
      this.device.rows.giveAll(map);
      return false;
    }
    if (map.type === MEMORY_DEVICE_PRIVATE && record.name !== "page") return true;
    for (const { start, pages } of map.ranges)
      machine.zones.setZone(start, start + pages, map.zone);
    return true;
  }

  /** The rows of a static map. */
  #describeRanges(map: DevPagemap, record: DeviceRecord): boolean {
    const { device } = this;
    const { machine } = device.base.core;
    if (device.choice.deviceLifetime !== "static") return true;
    // What can never fit is not begun.
    if (map.pages * record.bytesPerPage > machine.freeFrames() * machine.pageSize) return false;
    return device.rows.takeAll(map);
  }

  /** device-dax as it is: every folio exists from the start and counts 1 while it is idle. */
  #makeGeneric(map: DevPagemap): boolean {
    if (!this.device.countsFromOne(map)) return true;
    const order = map.config.folioOrder ?? 0;
    let made = 0;
    for (const { start, pages } of map.ranges)
      for (let page = start; page < start + pages; page += 2 ** order) {
        if (this.device.init(map, page, order) < 0) {
          this.#endGeneric(map, made);
          return false;
        }
        made++;
        const { record, folios } = this.device.of(page);
        folios.unlock(record.folioOf(page));
      }
    return true;
  }

  /** get_dev_pagemap: the live map that has a pfn, with one more reference; null for none or a dying one. */
  get(pfn: number): DevPagemap | null {
    const map = this.#ofPfn(pfn);
    return map !== null && map.tryGet(1) ? map : null;
  }

  /** pgmap_array: also private maps, where they have pfns. */
  #ofPfn(pfn: number): DevPagemap | null {
    const found = this.ofFrame(pfn);
    if (found !== null || this.naming.name !== "physical" || pfn < this.span.end) return found;
    return pfn < 2 ** 31 ? (this.#at(this.naming.mapOf(pfn, 0)) ?? null) : null;
  }

  /** The map by its words; one asks about the same map many times in a row. */
  #at(words: Ref): DevPagemap | undefined {
    const last = this.#last;
    if (last !== null && last.words === words) return last;
    const map = this.maps.get(words);
    this.#last = map ?? null;
    return map;
  }

  #forget(words: Ref): void {
    this.maps.delete(words);
    this.#last = null;
  }

  /** The map whose physical ranges have a frame. */
  ofFrame(pfn: number): DevPagemap | null {
    for (const map of this.#ranged) if (map.offsetOf(pfn) >= 0) return map;
    return null;
  }

  /** The map that a page in service belongs to; null for an idle page or none of a device. */
  ofPage(page: number): DevPagemap | null {
    if (this.device.watch !== null) this.device.look(page, "page_pgmap");
    if (this.device.refcountOf(page) === 0) return null;
    const { record } = this.device.of(page);
    return this.#at(record.pgmapOf(record.folioOf(page))) ?? null;
  }

  /** page_pgmap: the map of a folio in service. Throws RangeError where there is none. */
  mapOfFolio(folio: Ref, record: DeviceRecord): DevPagemap {
    const map = this.#at(record.pgmapOf(folio));
    if (map === undefined) throw new RangeError("a folio in service has no page map");
    return map;
  }

  /** percpu_ref_kill, and the references that were charged ahead: nobody gets a page from now on. */
  kill(map: DevPagemap): void {
    if (map.isDying) return;
    this.device.base.w.store32(map.words, DEV_PAGEMAP_DYING, 1);
    map.put(this.chargedAhead(map));
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
   * 0, or −EINVAL for a map that is gone, or another machine's.
   */
  unmap(map: DevPagemap): number {
    if (this.maps.get(map.words) !== map) return EINVAL;
    const { core } = this.device.base;
    this.kill(map);
    this.waitDrained(map);
    if (this.device.countsFromOne(map)) this.#endGeneric(map);
    for (const { start, pages } of map.ranges) core.content.clearRange(start, start + pages);
    // With a range of physical addresses both go in one step (device-facts §2.4).
    const early = this.mutants.freeBeforeErase && this.naming.ownKind;
    if (early) this.device.rows.giveAll(map);
    if (map.type === MEMORY_DEVICE_PRIVATE) this.naming.retire(map.words);
    if (!early) this.device.rows.giveAll(map);
    this.#forget(map.words);
    if (map.type === MEMORY_DEVICE_PRIVATE) this.#room.give(map.first, map.pages);
    else this.#ranged.delete(map);
    core.freeObject(O_DEV_PAGEMAP, map.words);
    map.end();
    return 0;
  }

  /** Whether a map has numbers of a kind of its own. */
  isInDeviceSpace(map: DevPagemap): boolean {
    return map.type === MEMORY_DEVICE_PRIVATE && this.naming.ownKind;
  }

  /** memunmap_pages where private memory has an end of its own: warns and refuses it. */
  memunmapPages(map: DevPagemap): number {
    if (this.isInDeviceSpace(map))
      return this.#warned(map.name, "memunmap_pages is no longer for device-private memory");
    return this.unmap(map);
  }

  /** memunmap_device_private_pagemap */
  memunmapDevicePrivatePagemap(map: DevPagemap): number {
    if (!this.isInDeviceSpace(map))
      return this.#warned(map.name, "it is not in the device address space");
    return this.unmap(map);
  }

  /** The first `n` folios of device-dax memory end; who still holds one is not waited for. */
  #endGeneric(map: DevPagemap, n = Infinity): void {
    const order = map.config.folioOrder ?? 0;
    const { record, folios } = this.device.of(map.first);
    let left = n;
    for (const { start, pages } of map.ranges)
      for (let page = start; page < start + pages && left > 0; page += 2 ** order) {
        left--;
        const folio = record.folioOf(page);
        const held = folios.refcount(folio) - 1;
        if (held > 0) this.device.warn(`${map.name}: page ${page} goes, ${held} still hold it`);
        folios.unfreeze(folio, 0);
        record.end(page, order);
      }
  }
}

/** Whether a range lies over one that was named before: its ends are, or it has the other inside. */
function overlaps(range: PhysicalRange, before: readonly PhysicalRange[]): number {
  const end = range.start + range.pages;
  const over = before.filter((r) => range.start < r.start + r.pages && r.start < end);
  if (over.length === 0) return 0;
  const inside = over.every((r) => r.start > range.start && r.start + r.pages < end);
  return inside ? EEXIST : ENOMEM;
}
