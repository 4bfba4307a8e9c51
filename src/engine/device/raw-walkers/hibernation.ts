/**
 * Hibernation: which pages the image must have.
 *
 * Zones that have memory are gone through from end to end, and only online pages are
 * asked. ZONE_DEVICE has no memory of its own in that sense, so nothing of a device is in
 * the image, private or not: what processes have there is lost unless the driver brings
 * it back to RAM before (which is why GPU drivers evict on the way down).
 *
 * Source: kernel/power/snapshot.c of 6.18 (saveable_page, count_data_pages,
 * mark_free_pages). Simplified: no highmem, no page that the firmware forbids.
 */
import { MISC_OFFLINE, T_BUDDY, T_MISC } from "../../design/word/axis-types.js";
import { ZONE_DEVICE } from "../../pages/zones.js";
import { nothingMet, type Met, type RawPfns } from "./raw-pfns.js";

export interface HibernationImage {
  /** Pages of the image. */
  readonly saveable: number;
  readonly free: number;
  readonly met: Met;
}

export class Hibernation {
  readonly #pfns: RawPfns;

  constructor(pfns: RawPfns) {
    this.#pfns = pfns;
  }

  /** count_data_pages */
  count(): HibernationImage {
    const { machine } = this.#pfns.devices.base.core;
    const met = nothingMet();
    let saveable = 0;
    let free = 0;
    // Per-CPU lists are drained first: what lies there is free.
    machine.allocator.drainAll();
    for (const { type, start, spanned } of machine.config.zones) {
      // for_each_populated_zone: a zone of devices has no present pages.
      if (type === ZONE_DEVICE) continue;
      for (let pfn = start; pfn < start + spanned; pfn++) {
        this.#pfns.count(met, pfn);
        const frame = this.#pfns.online(pfn);
        if (frame < 0) continue;
        if (this.#isFree(frame)) free++;
        else if (this.#isSaveable(frame)) saveable++;
      }
    }
    return { saveable, free, met };
  }

  #isFree(frame: number): boolean {
    return this.#pfns.devices.base.core.design.typeOf(frame) === T_BUDDY;
  }

  /** saveable_page; the page array is reserved and saved all the same. */
  #isSaveable(frame: number): boolean {
    const { design } = this.#pfns.devices.base.core;
    if (design.typeOf(frame) !== T_MISC) return true;
    return design.subtypeOf(frame) !== MISC_OFFLINE;
  }
}
