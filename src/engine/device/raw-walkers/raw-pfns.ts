/**
 * What somebody knows who has nothing but a number that counts up: which pfns have a
 * struct page, and the two ways from a pfn to it.
 *
 * `online` is pfn_to_online_page: memory that is RAM and in use; none for whatever a
 * device has, so that who asks it never meets a page that he knows nothing of. `page`
 * is pfn_to_page, which gives whatever is there. A scan goes to the end of the last
 * section that has a memmap. Where device-private memory has a stolen physical range
 * that is at the top of the address space, and its pages are met; where its pages have
 * numbers of their own no pfn leads to them, so there is no function here that could.
 *
 * Source: mm/memory_hotplug.c (pfn_to_online_page), include/linux/mmzone.h (pfn_valid),
 * fs/proc/page.c (get_max_dump_pfn), arch/x86/mm/init_64.c (add_pages moves max_pfn up)
 * of 6.18. Simplified: sections without a memmap are passed over at once, not pfn by
 * pfn; frames at the end of a section that have no RAM behind them count as online.
 */
import { IN_RAW_SCAN, TOLD_BY_SECTION, TOLD_BY_STRUCT } from "../../process/number-witness.js";
import { SECTION_PAGES } from "../../pages/zones.js";
import type { Devices } from "../devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../kinds.js";
import type { DevPagemap } from "../pagemap.js";

/** Pfns start … end − 1. */
export interface PfnStretch {
  readonly start: number;
  readonly end: number;
}

/** Pages that a scan came by, by what they are. */
export interface Met {
  /** RAM. */
  ram: number;
  /** Of a device, with a physical address: coherent, dax, p2pdma. */
  device: number;
  /** Device-private. */
  private: number;
}

export class RawPfns {
  readonly devices: Devices;
  /** First pfn behind the RAM. */
  readonly ramEnd: number;

  constructor(devices: Devices) {
    this.devices = devices;
    this.ramEnd = devices.base.core.machine.deviceFirst;
  }

  /** Stretches that have struct pages, by address. */
  stretches(): readonly PfnStretch[] {
    const { pagemaps } = this.devices;
    const found: PfnStretch[] = [{ start: 0, end: this.ramEnd }];
    for (const map of pagemaps.maps.values()) {
      if (map.type === MEMORY_DEVICE_PRIVATE) found.push(...this.#stolen(map));
      else found.push(...map.ranges.map(({ start, pages }) => ({ start, end: start + pages })));
    }
    return found.toSorted((a, b) => a.start - b.start);
  }

  /** Physical range that private memory was given; none where it has numbers of its own. */
  #stolen(map: DevPagemap): PfnStretch[] {
    const { naming } = this.devices;
    if (naming.name !== "physical") return [];
    const start = naming.numberLow(map.first, map.words);
    return [{ start, end: start + map.pages }];
  }

  /** max_pfn at the end of its section: where a scan ends. */
  get end(): number {
    const last = this.stretches().at(-1)?.end ?? 0;
    return Math.ceil(last / SECTION_PAGES) * SECTION_PAGES;
  }

  /** pfn_valid */
  isValid(pfn: number): boolean {
    return pfn < this.ramEnd || this.map(pfn) !== null;
  }

  /** pfn_to_online_page: the frame; −1 for a pfn without a page, and for every page of a device. */
  online(pfn: number): number {
    if (pfn < 0 || pfn >= this.ramEnd) return -1;
    this.#tell(TOLD_BY_SECTION, pfn, pfn);
    return pfn;
  }

  /** pfn_to_page of a pfn that is valid: a frame, or a device-private page; −1 for none. */
  page(pfn: number): number {
    if (pfn < this.ramEnd) return this.online(pfn);
    const page = this.#pageOf(pfn);
    if (page >= 0) this.#tell(TOLD_BY_STRUCT, pfn, page);
    return page;
  }

  #pageOf(pfn: number): number {
    const { naming, pagemaps } = this.devices;
    if (pfn < this.devices.firstPrivate) return pagemaps.ofFrame(pfn) === null ? -1 : pfn;
    if (naming.name !== "physical") return -1;
    const page = naming.find(pfn, 0);
    const map = page < 0 ? undefined : pagemaps.maps.get(naming.mapOf(pfn, 0));
    // A section may reach beyond the pages that were asked for.
    return map === undefined || map.offsetOf(page) < 0 ? -1 : page;
  }

  /** In checked runs: the section said that it is RAM, or only the page can say. */
  #tell(told: number, pfn: number, page: number): void {
    const { witness } = this.devices.base.core;
    if (witness === null) return;
    witness.read(IN_RAW_SCAN, told, page >= this.devices.firstPrivate, pfn, 0, page);
  }

  /** get_dev_pagemap, without a reference: the map over a pfn, also one that is dying. */
  map(pfn: number): DevPagemap | null {
    const { naming, pagemaps } = this.devices;
    if (pfn < this.devices.firstPrivate) return pagemaps.ofFrame(pfn);
    if (naming.name !== "physical" || this.#pageOf(pfn) < 0) return null;
    return pagemaps.maps.get(naming.mapOf(pfn, 0)) ?? null;
  }

  /** Every pfn that has a struct page, in order. */
  forEach(visit: (pfn: number) => void): void {
    for (const { start, end } of this.stretches())
      for (let pfn = start; pfn < end; pfn++) visit(pfn);
  }

  /** What kind of memory a pfn is, for the books of a scan. */
  count(met: Met, pfn: number): void {
    if (pfn < this.ramEnd) met.ram++;
    else if (pfn < this.devices.firstPrivate) met.device++;
    else met.private++;
  }
}

export const nothingMet = (): Met => ({ ram: 0, device: 0, private: 0 });
