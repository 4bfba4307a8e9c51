/**
 * Rules of the numbers of device pages: a number leads to its page and its map and no
 * further, and arrays say of what kind their numbers are.
 *
 * Facts: device-facts §2.4 (tree of ranges), §3.4 (spaces), §7.6 (I7); mm/sparse.c for the
 * section table of stolen ranges.
 */
import {
  DEVICE_SPACE_FIRST,
  DEVICE_SPACE_NR_PAGES,
  DEVICE_SPACE_PGMAP,
  DEVICE_SPACE_SIZE,
} from "../../layout/generated/offsets.js";
import type { OffsetNaming } from "../../design/device-name/axis.js";
import { OffsetName } from "../../design/device-name/offset.js";
import type { DevPagemap } from "../../device/pagemap.js";
import {
  MIGRATE_PFN_DEVICE_PRIVATE,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_SHIFT,
  MIGRATE_PFN_VALID,
} from "../../device/migrate-pfn.js";
import {
  HMM_PFN_DEVICE_PRIVATE,
  HMM_PFN_VALID,
  HMM_PFN_ORDER_SHIFT,
} from "../../device/hmm/hmm-pfn.js";
import { MEMORY_DEVICE_PRIVATE } from "../../device/kinds.js";
import { S_DEVICE_NAME } from "../../process/core.js";
import { O_MAPLE_NODE } from "../../process/objects.js";
import { SECTION_PAGES } from "../../pages/zones.js";
import type { Ref } from "../../../units.js";
import type { KernelReport, KernelRule } from "../process/rule.js";
import type { HeldArray } from "../process/shape.js";
import type { ProcessView } from "../process/view.js";
import type { DeviceLayer } from "./layer.js";
import { nameOf } from "./service.js";

const privateMaps = (device: DeviceLayer): DevPagemap[] =>
  [...device.pagemaps.maps.values()].filter((m) => m.type === MEMORY_DEVICE_PRIVATE);

export const NUMBERS_LEAD_TO_THEIR_PAGE: KernelRule = {
  name: "numbers lead to their page",
  says: "the first, a middle and the last number of a private page map lead to that page and that map, the numbers beside it do not",
  watch({ device }, report) {
    if (device === null) return;
    const { naming } = device.numbers;
    for (const map of privateMaps(device)) {
      for (const i of new Set([0, map.pages >> 1, map.pages - 1])) {
        const page = map.first + i;
        const low = naming.numberLow(page, map.words);
        const high = naming.numberHigh(page, map.words);
        if (naming.find(low, high) !== page || naming.mapOf(low, high) !== map.words)
          report(page, `its number ${low}, ${high} leads elsewhere`, nameOf(map));
      }
      const last = naming.numberLow(map.first + map.pages - 1, map.words);
      const high = naming.numberHigh(map.first, map.words);
      // A stolen range is whole sections.
      const behind =
        naming.name === "physical"
          ? Math.ceil((last + 1) / SECTION_PAGES) * SECTION_PAGES
          : last + 1;
      if (behind < 2 ** 31 && naming.mapOf(behind, high) === map.words)
        report(map.first, `number ${behind} behind it leads to it`, nameOf(map));
    }
  },
};

/** Rows of the section table, or of the table of spaces, against the maps. */
export const NUMBER_TABLES_AGREE: KernelRule = {
  name: "number tables agree with the maps",
  says: "the tree of ranges, the table of spaces or that of sections has what the private page maps say, and nothing else",
  watch(view, report) {
    const { device } = view;
    if (device === null) return;
    const { naming } = device.numbers;
    if (naming.name === "offset") treeAgrees(device, naming, report);
    else if (naming.name === "tuple") spacesAgree(device, report);
    else sectionsAgree(device, report);
  },
};

function treeAgrees(device: DeviceLayer, naming: OffsetNaming, report: KernelReport): void {
  if (!(naming instanceof OffsetName)) return;
  const must = new Map(privateMaps(device).map((m) => [m.words, m]));
  naming.tree.forEach((first, pages, words) => {
    const map = must.get(words);
    if (map === undefined)
      return report(-1, `offset ${first} leads to ${words}, no map`, "the tree");
    must.delete(words);
    if (first * 4096 !== map.range.start || pages !== map.pages)
      report(map.first, `the tree has ${pages} pages of it from ${first} on`, nameOf(map));
  });
  for (const map of must.values()) report(map.first, "it is not in the tree", nameOf(map));
}

function spacesAgree(device: DeviceLayer, report: KernelReport): void {
  const { w, core } = device.base;
  const table = core.machine.deviceSpaces;
  const state = (core.state + S_DEVICE_NAME / 16) as Ref;
  const used = w.load32(state, 0);
  const must = new Map(privateMaps(device).map((m) => [m.words, m]));
  for (let space = 0; space < used; space++) {
    const row = (table + (space * DEVICE_SPACE_SIZE) / 16) as Ref;
    const words = w.load32(row, DEVICE_SPACE_PGMAP) as Ref;
    const pages = w.load32(row, DEVICE_SPACE_NR_PAGES);
    const who = `space ${space}`;
    const map = must.get(words);
    must.delete(words);
    if (words === 0) {
      if (pages !== 0) report(-1, `it is free and has ${pages} pages`, who);
      if (space < w.load32(state, 4)) report(-1, "it is free and passed over", who);
      if (space === used - 1) report(-1, "the last one in use is free", who);
    } else if (map === undefined) report(-1, `it leads to ${words}, no map`, who);
    else if (pages !== map.pages || w.load32(row, DEVICE_SPACE_FIRST) !== map.first)
      report(map.first, `it has ${pages} pages`, who);
  }
  for (const map of must.values()) report(map.first, "it has no space", nameOf(map));
}

/** A row of the section table: first page of the records, and the page map. */
const ROW = 8;
const SECTIONS = 2 ** 16;

function sectionsAgree(device: DeviceLayer, report: KernelReport): void {
  const { w, core } = device.base;
  const must = new Map<number, { first: number; map: DevPagemap }>();
  for (const map of privateMaps(device)) {
    const start = map.range.start / 4096 / SECTION_PAGES;
    for (let i = 0; i * SECTION_PAGES < map.pages; i++)
      must.set(start + i, { first: map.first + i * SECTION_PAGES, map });
  }
  const table = core.machine.deviceSpaces;
  for (let section = 0; section < SECTIONS; section++) {
    const first = w.load32(table, section * ROW);
    const words = w.load32(table, section * ROW + 4);
    const is = must.get(section);
    if (first !== (is?.first ?? 0) || words !== (is?.map.words ?? 0))
      report(
        is?.first ?? -1,
        `section ${section} leads to page ${first} of ${words}`,
        is === undefined ? "nobody" : nameOf(is.map),
      );
  }
}

export const RANGE_TREE_IS_IN_ORDER: KernelRule = {
  name: "the range tree is in order",
  says: "ranges of the device address space lie one behind the other below its end; the nodes of their tree are the nodes in use",
  watch(view: ProcessView, report) {
    const naming = view.device?.numbers.naming;
    if (!(naming instanceof OffsetName)) {
      for (const node of view.objects[O_MAPLE_NODE])
        report(-1, `node ${node} is no tree's`, "nobody");
      return;
    }
    let end = 0;
    naming.tree.forEach((first, pages) => {
      if (first < end)
        report(-1, `a range begins at ${first}, the one before ends at ${end}`, "the tree");
      end = first + pages;
    });
    const nodes = naming.tree.nodes();
    const used = view.objects[O_MAPLE_NODE].size;
    if (nodes !== used) report(-1, `it has ${nodes} nodes, ${used} are in use`, "the tree");
  },
};

/** An entry of a migrate array: flags, and the number in two parts. */
function migrateEntry(
  device: DeviceLayer,
  { array, who }: HeldArray,
  i: number,
  report: KernelReport,
): void {
  const lo = array[i << 1];
  const hi = array[(i << 1) + 1];
  if ((lo & MIGRATE_PFN_VALID) === 0) return;
  const low = ((lo >>> MIGRATE_PFN_SHIFT) | (hi << (32 - MIGRATE_PFN_SHIFT))) >>> 0;
  const high = hi >>> MIGRATE_PFN_SHIFT;
  const page = pageOf(device, (lo & MIGRATE_PFN_DEVICE_PRIVATE) !== 0, low, high, i, who, report);
  if (page < 0 || (lo & MIGRATE_PFN_MIGRATE) === 0) return;
  const isPrivate = page >= device.numbers.firstPrivate;
  const folios = isPrivate ? device.privates.folios : device.base.folios;
  const folio = isPrivate ? device.privates.folioOf(page) : device.base.folios.ofPage(page);
  if (folio === 0 || !folios.isLocked(folio))
    report(page, `entry ${i} is to be migrated, and its page is not locked`, who);
}

/** An entry of an HMM array. */
function hmmEntry(
  device: DeviceLayer,
  { array, who }: HeldArray,
  i: number,
  report: KernelReport,
): void {
  const hi = array[(i << 1) + 1];
  if ((hi & HMM_PFN_VALID) === 0) return;
  const high = hi & ((1 << (HMM_PFN_ORDER_SHIFT - 32)) - 1);
  pageOf(device, (hi & HMM_PFN_DEVICE_PRIVATE) !== 0, array[i << 1] >>> 0, high, i, who, report);
}

/** The page of an entry, by its flag alone; −1 where flag and number do not fit. */
function pageOf(
  device: DeviceLayer,
  marked: boolean,
  low: number,
  high: number,
  i: number,
  who: string,
  report: KernelReport,
): number {
  const { naming, firstPrivate } = device.numbers;
  const { machine } = device.base.core;
  const tell = (detail: string): number => {
    report(-1, `entry ${i} ${detail}`, who);
    return -1;
  };
  if (marked && !naming.ownKind) return tell("is marked as of a kind that there is none of");
  const isPrivate = marked || (!naming.ownKind && low >= firstPrivate);
  if (isPrivate) {
    const page = naming.find(low, high);
    if (page >= 0 && device.zoneDevice.refcountOf(page) > 0) return page;
    return tell(`has device number ${low}, ${high}, of no page in service`);
  }
  if (high !== 0 || low >= firstPrivate) return tell(`has number ${low}, ${high}, no frame`);
  if (low >= machine.deviceFirst && device.zoneDevice.refcountOf(low) === 0)
    return tell(`has frame ${low}, an idle page of a device`);
  return low;
}

export const ARRAYS_SAY_THEIR_KIND: KernelRule = {
  name: "arrays say the kind of their numbers",
  says: "an entry of a migrate or HMM array is marked as a device number exactly where it is one, and leads to a page in service; what is to be migrated is locked",
  watch({ device, holdings }, report) {
    if (device === null) return;
    for (const held of holdings.arrays ?? [])
      for (let i = 0; i < held.entries; i++)
        if (held.kind === "migrate") migrateEntry(device, held, i, report);
        else hmmEntry(device, held, i, report);
  },
};
