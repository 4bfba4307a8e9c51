/**
 * Rules of the frames: where each one is, which blocks must have merged, and
 * that every page knows its node and zone in every state.
 *
 * Source: mm/page_alloc.c (__free_one_page, migratetype_is_mergeable);
 * memdesc-facts §1.7 for node and zone of any page.
 */
import { MAX_ORDER, PAGEBLOCK_ORDER } from "../pages/zones.js";
import type { Report, Rule } from "./rule.js";
import type { View } from "./view.js";

const NOWHERE = 0;
const HELD = 1;
const SLAB = 2;
const FREE = 3;
const PCP = 4;
const PLACES = ["nowhere", "held", "a slab of descriptors", "on a free list", "on a per-CPU list"];
/** Migrate types from here on never merge with another type. */
const MERGEABLE = 3;

/** Writes down where each frame is; a second place for one is reported. */
function placesOf({ m, held, slabs, freeLists, pcpLists }: View, report: Report): Uint8Array {
  // Frames of devices are never the allocator's.
  const places = new Uint8Array(m.deviceFirst);
  const put = (pfn: number, order: number, place: number): void => {
    for (let at = pfn; at < pfn + 2 ** order; at++) {
      if (places[at] !== NOWHERE) report(at, `it is ${PLACES[places[at]]} and ${PLACES[place]}`);
      places[at] = place;
    }
  };
  for (const b of held) if (b.pfn < m.deviceFirst) put(b.pfn, b.order, HELD);
  for (const s of slabs) put(s.pfn, 0, SLAB);
  for (const list of freeLists) for (const b of list.blocks) put(b.pfn, b.order, FREE);
  for (const list of pcpLists) for (const b of list.blocks) put(b.pfn, b.order, PCP);
  return places;
}

export const ONE_PLACE: Rule = {
  name: "one place",
  says: "every frame given to the allocator is held, a slab of descriptors, on one free list or on one per-CPU list, and no other frame is",
  watch(view, report) {
    const places = placesOf(view, report);
    const given = new Uint8Array(places.length);
    for (const { start, end } of view.claims.given) given.fill(1, start, end);
    for (let pfn = 0; pfn < places.length; pfn++) {
      if (given[pfn] === 1 && places[pfn] === NOWHERE)
        report(pfn, "it is lost: on no list and held by nobody");
      if (given[pfn] === 0 && places[pfn] !== NOWHERE)
        report(pfn, `it was never given, and is ${PLACES[places[pfn]]}`);
    }
  },
};

export const BUDDIES_ARE_MERGED: Rule = {
  name: "buddies are merged",
  says: "no two free buddies of one order lie side by side, but for whole pageblocks of types that do not merge",
  watch({ m, freeLists }, report) {
    for (const list of freeLists) {
      for (const { pfn, order, zone, migrateType } of list.blocks) {
        const buddy = pfn ^ (1 << order);
        if (order === MAX_ORDER || buddy < pfn || buddy >= m.config.frames) continue;
        if (m.zones.ownerOf(buddy) !== zone || m.design.freeOrderAt(buddy) !== order) continue;
        const other = m.zones.migrateTypeOf(buddy);
        const apart =
          order >= PAGEBLOCK_ORDER &&
          other !== migrateType &&
          (other >= MERGEABLE || migrateType >= MERGEABLE);
        if (!apart) report(pfn, `its buddy ${buddy} of order ${order} is free too`);
      }
    }
  },
};

export const LOCATION_IS_KNOWN: Rule = {
  name: "location is known",
  says: "every page of the page array knows its node and zone, whatever state it is in",
  watch({ m }, report) {
    for (const { start, end } of m.config.present) {
      for (let pfn = start; pfn < Math.min(end, m.config.frames); pfn++) {
        const zone = m.design.zoneOf(pfn);
        const owner = m.zones.ownerOf(pfn);
        if (zone !== owner) report(pfn, `its words say zone ${zone}, it is of zone ${owner}`);
      }
    }
  },
};
