/**
 * Rules of page maps and what is in service: a page is idle or somebody's, a map holds on
 * for what is, and an entry leads to nothing else.
 *
 * Facts: device-facts §7.6 (I1–I4), mm/memremap.c of the mm tree of July 2026 (what the
 * references of a page map are).
 */
import {
  DEV_PAGEMAP_DONE,
  DEV_PAGEMAP_DYING,
  DEV_PAGEMAP_FIRST,
  DEV_PAGEMAP_NID,
  DEV_PAGEMAP_NR_PAGES,
  DEV_PAGEMAP_NR_RANGE,
  DEV_PAGEMAP_REF,
  DEV_PAGEMAP_TYPE,
} from "../../layout/generated/offsets.js";
import type { DevPagemap } from "../../device/pagemap.js";
import {
  isMigration,
  SWP_DEVICE_MIGRATION_READ,
  SWP_DEVICE_MIGRATION_WRITE,
  swapOffset,
  swapType,
} from "../../process/entry.js";
import { O_DEV_PAGEMAP } from "../../process/objects.js";
import type { KernelReport, KernelRule } from "../process/rule.js";
import type { FolioView } from "../process/shape.js";
import { holderOf, place, type ProcessView } from "../process/view.js";
import { deviceEntry, deviceFolios, type DeviceLayer } from "./layer.js";

export const nameOf = (map: DevPagemap): string => `page map ${map.name}`;

/** Folios of device memory of both kinds that are in service. */
export function* inService(view: ProcessView): Generator<FolioView> {
  yield* view.privates.values();
  for (const folio of view.folios.values())
    if (folio.pfn >= view.kernel.machine.deviceFirst) yield folio;
}

function mapWords(view: ProcessView, map: DevPagemap, report: KernelReport): void {
  const { w } = view.base;
  const tell = (detail: string): void => report(map.first, detail, nameOf(map));
  const expect = (what: string, off: number, must: number): void => {
    const is = w.load32(map.words, off);
    if (is !== must) tell(`its ${what} is ${is}, not ${must}`);
  };
  expect("first page", DEV_PAGEMAP_FIRST, map.first);
  expect("number of pages", DEV_PAGEMAP_NR_PAGES, map.pages);
  expect("number of ranges", DEV_PAGEMAP_NR_RANGE, map.ranges.length);
  expect("type", DEV_PAGEMAP_TYPE, map.type);
  expect("node", DEV_PAGEMAP_NID, map.nid);
  if (map.nid < 0 || map.nid >= view.core.nodes) tell(`there is no node ${map.nid}`);
  const refs = w.load32(map.words, DEV_PAGEMAP_REF);
  expect("completion", DEV_PAGEMAP_DONE, refs === 0 ? 1 : 0);
  if (refs === 0 && w.load32(map.words, DEV_PAGEMAP_DYING) === 0) tell("nobody holds it");
}

export const PAGE_MAPS_ARE_WHOLE: KernelRule = {
  name: "page maps are whole",
  says: "every dev_pagemap in use is a map that is not gone, its words are what it was made with, its node is one, and no two maps have a page in common",
  watch(view, report) {
    const { device } = view;
    if (device === null) return;
    const maps = [...device.pagemaps.maps.values()];
    const known = new Set(maps.map((m) => m.words));
    for (const words of view.objects[O_DEV_PAGEMAP])
      if (!known.has(words)) report(-1, `dev_pagemap ${words} is in use and no map's`, "nobody");
    const ranges: { start: number; end: number; map: DevPagemap }[] = [];
    for (const map of maps) {
      if (!view.isObject(O_DEV_PAGEMAP, map.words)) {
        report(map.first, `its dev_pagemap ${map.words} is freed`, nameOf(map));
        continue;
      }
      mapWords(view, map, report);
      for (const { start, pages } of map.ranges) ranges.push({ start, end: start + pages, map });
    }
    ranges.sort((a, b) => a.start - b.start);
    for (const [i, { start, map }] of ranges.entries())
      if (i > 0 && ranges[i - 1].end > start)
        report(start, `${nameOf(ranges[i - 1].map)} has it too`, nameOf(map));
  },
};

/** What a map counts, and must count. */
function counted(device: DeviceLayer, map: DevPagemap): { pages: number; refs: number } {
  let [pages, refs] = [0, 0];
  device.zoneDevice.forEachFolio(map, (_page, order) => {
    pages += 2 ** order;
    refs += device.zoneDevice.refs(map, order);
  });
  return { pages, refs };
}

export const MAP_REFERENCES_ADD_UP: KernelRule = {
  name: "map references add up",
  says: "a page map's references are its own while it lives, those charged ahead, those of its folios in service and those of who looked it up; it counts the pages in service",
  watch(view, report) {
    const { device } = view;
    if (device === null) return;
    const held = new Map<number, number>();
    for (const { words, refs } of view.holdings.pagemaps ?? [])
      held.set(words, (held.get(words) ?? 0) + refs);
    for (const map of device.pagemaps.maps.values()) {
      const { pages, refs } = counted(device, map);
      const own = map.isDying ? 0 : 1 + device.pagemaps.chargedAhead(map);
      const must = own + refs + (held.get(map.words) ?? 0);
      if (map.refs !== must)
        report(map.first, `it has ${map.refs} references, ${must} are explained`, nameOf(map));
      if (map.inService !== pages)
        report(map.first, `it counts ${map.inService} pages in service, not ${pages}`, nameOf(map));
    }
  },
};

export const PAGES_IN_SERVICE_ARE_THEIR_MAPS: KernelRule = {
  name: "pages in service are their map's",
  says: "a folio in service lies in one range of a page map, whole and aligned, names that map and its node, and has a reference",
  watch(view, report) {
    const { device } = view;
    if (device === null) return;
    for (const { map, page, order, ref } of deviceFolios(device)) {
      const { record, folios } = device.zoneDevice.of(page);
      const who = nameOf(map);
      if (folios.refcount(ref) < 0) report(page, `it has ${folios.refcount(ref)} references`, who);
      if (record.pgmapOf(ref) !== map.words)
        report(page, `it names dev_pagemap ${record.pgmapOf(ref)}`, who);
      const range = map.rangeOf(page);
      const end = page + 2 ** order;
      if (page % 2 ** order !== 0) report(page, `a folio of order ${order} begins there`, who);
      if (range === undefined || end > range.start + range.pages)
        report(page, "it goes on beyond its range", who);
      if (folios.nodeOf(ref) !== map.nid)
        report(page, `it is of node ${folios.nodeOf(ref)}, its map of node ${map.nid}`, who);
      for (let i = page + 1; i < end; i++)
        if (record.folioOf(i) !== ref) report(i, `it does not lead to its folio at ${page}`, who);
    }
  },
};

export const DEVICE_ENTRIES_RESOLVE: KernelRule = {
  name: "device entries lead to pages in service",
  says: "an entry with a device page leads, by its number and kind, to a page that is in service in a page map that is there; an exclusive one to a page of RAM",
  watch(view, report) {
    for (const { pfn, mm, entry } of view.strayDevices) {
      if (mm === undefined || entry === undefined) continue;
      const what = pfn < 0 ? "its number is no page's" : "the page that it leads to is idle";
      report(pfn, what, place(mm, entry.vpn));
    }
    for (const folio of view.folios.values()) {
      if (folio.pfn < view.kernel.machine.deviceFirst || view.device === null) continue;
      for (const { mm, entry } of folio.mappings)
        if (!entry.there) report(folio.pfn, "a page of a device is on loan", place(mm, entry.vpn));
    }
  },
};

export const ENTRIES_SAY_THEIR_KIND: KernelRule = {
  name: "entries say the kind of their number",
  says: "migration entries of devices are there only where device pages have numbers of their own, and then never a frame's; a frame's migration entry leads to a folio",
  watch(view, report) {
    const { device } = view;
    if (device === null) return;
    const { ownKind } = device.numbers.naming;
    for (const mm of view.mms)
      for (const { vpn, lo, hi, there } of mm.entries) {
        if (there) continue;
        const type = swapType(hi);
        const own = type >= SWP_DEVICE_MIGRATION_READ && type <= SWP_DEVICE_MIGRATION_WRITE;
        if (own && !ownKind) report(-1, "a number of a kind that there is none of", place(mm, vpn));
        if (!isMigration(lo, hi) || deviceEntry(device, lo, hi) !== null) continue;
        const frame = swapOffset(lo, hi);
        if (view.folioAt(frame) === undefined)
          report(frame, "a migration entry leads to what is no folio", place(mm, vpn));
      }
  },
};

export const MOVING_PAGES_ARE_LOCKED: KernelRule = {
  name: "pages under migration are locked",
  says: "a folio that migration entries wait for is locked, and no entry maps it",
  watch(view, report) {
    for (const folio of [...view.folios.values(), ...view.privates.values()]) {
      if (folio.migrating === 0) continue;
      const isPrivate = view.privates.has(folio.ref);
      const folios = isPrivate ? view.device?.privates.folios : view.base.folios;
      if (folios?.isLocked(folio.ref) === false)
        report(folio.pfn, `${folio.migrating} entries wait for it, nobody has it locked`, "nobody");
      if (folio.mappings.length > 0)
        report(folio.pfn, "an entry maps it, another waits for it", holderOf(folio));
    }
  },
};

export const NOTHING_OF_A_DEVICE_IS_LEFT_MOVING: KernelRule = {
  name: "no device page is left on its way",
  says: "between operations no migration entry waits for a page of a device, and none that only processes hold is locked",
  watch(view, report) {
    for (const folio of inService(view)) {
      const isPrivate = view.privates.has(folio.ref);
      const folios = isPrivate ? view.device?.privates.folios : view.base.folios;
      if (isPrivate && folio.migrating > 0)
        report(folio.pfn, `${folio.migrating} migration entries wait for it`, holderOf(folio));
      if (folio.refs === 0 && folios?.isLocked(folio.ref) === true)
        report(folio.pfn, "it is locked", holderOf(folio));
    }
  },
};
