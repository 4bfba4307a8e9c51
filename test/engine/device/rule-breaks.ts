/**
 * One place to break for every rule of device memory, and for what the rules of all kernels
 * know of devices; with the page that must be named and what must be said.
 */
import { expect } from "vitest";
import { OffsetName } from "../../../src/engine/design/device-name/offset.js";
import { movesAs } from "../../../src/engine/device/numbers.js";
import {
  DEV_PAGEMAP_DONE,
  DEV_PAGEMAP_IN_SERVICE,
  DEV_PAGEMAP_NID,
  DEV_PAGEMAP_NR_PAGES,
  DEV_PAGEMAP_RANGE_START,
  DEV_PAGEMAP_REF,
  DEVICE_SPACE_NR_PAGES,
  MM_RSS_ANON,
} from "../../../src/engine/layout/generated/offsets.js";
import {
  deviceHigh,
  SWP_DEVICE_MIGRATION_READ,
  SWP_DEVICE_READ,
  SWP_MIGRATION_READ,
  swapHigh,
  swapLow,
} from "../../../src/engine/process/entry.js";
import {
  O_DEV_PAGEMAP,
  O_DEVICE_FOLIO,
  O_MAPLE_NODE,
} from "../../../src/engine/process/objects.js";
import type { Holdings } from "../../../src/engine/sanitizer/process/shape.js";
import {
  deviceEntryOf,
  type Scene,
  PAGE,
  HUGE,
  page,
  OWN,
  SHARED,
  folioOf,
  add,
  setEntry,
  layout,
  rest,
} from "./rule-scene.js";

export interface Break {
  readonly rule: string;
  readonly design?: string;
  readonly break: (s: Scene) => Holdings | void;
  /** Page that must be named, where one is meant. */
  readonly page?: (s: Scene) => number;
  readonly says?: string;
}

export const TUPLE = "device-tuple";
export const FOLIO = "device-offset+device-record=folio+activation=request";

export const BREAKS: readonly Break[] = [
  {
    rule: "page maps are whole",
    break: (s) => add(s, s.gpu.words, DEV_PAGEMAP_NR_PAGES),
    page: (s) => s.gpu.first,
    says: "its number of pages is 1125, not 1124",
  },
  {
    rule: "page maps are whole",
    break: (s) => add(s, s.cxl.words, DEV_PAGEMAP_NID),
    page: (s) => s.cxl.first,
  },
  {
    rule: "page maps are whole",
    break: (s) => add(s, s.gpu.words, DEV_PAGEMAP_DONE),
    says: "completion",
  },
  {
    rule: "page maps are whole",
    break: (s) => void s.kernel.base.core.newObject(O_DEV_PAGEMAP),
    says: "no map's",
  },
  {
    rule: "number tables agree with the maps",
    break: (s) => add(s, s.kernel.machine.deviceSpaces, (s.gpu.range.start / PAGE / 32768) * 8),
    says: "section",
  },
  {
    rule: "number tables agree with the maps",
    design: TUPLE,
    break: (s) => add(s, s.kernel.machine.deviceSpaces, DEVICE_SPACE_NR_PAGES),
    says: "space 0",
  },
  {
    rule: "number tables agree with the maps",
    design: "device-offset",
    break: ({ devices: { naming } }) => naming instanceof OffsetName && void naming.tree.erase(0),
    says: "it is not in the tree",
  },
  {
    rule: "number tables agree with the maps",
    design: "device-offset",
    break: ({ devices: { naming }, cxl }) =>
      naming instanceof OffsetName && void naming.tree.insert(5000, 9, cxl.words),
    says: "no map",
  },
  {
    rule: "the range tree is in order",
    design: "device-offset",
    break: (s) => void s.kernel.base.core.newObject(O_MAPLE_NODE),
    says: "it has 1 nodes, 2 are in use",
  },
  {
    rule: "numbers lead to their page",
    break: (s) => add(s, s.gpu.words, DEV_PAGEMAP_RANGE_START, 5),
    page: (s) => s.gpu.first,
  },
  {
    rule: "records are what is needed",
    break: ({ devices: { zoneDevice, record }, gpu }) =>
      void zoneDevice.area.take(record.rowRef(gpu.first), 0, 64),
    says: "2 users, 1 are needed",
  },
  {
    rule: "records are what is needed",
    design: `${FOLIO}+device-lifetime=request`,
    break: ({ devices: { zoneDevice, record }, gpu }) =>
      void zoneDevice.area.take(record.rowRef(gpu.first + 2 * HUGE), 0, 8),
    says: "1 users, 0 are needed",
  },
  {
    rule: "records are what is needed",
    design: `${TUPLE}+device-lifetime=chunk`,
    break: ({ devices: { zoneDevice, record }, gpu }) =>
      zoneDevice.area.give(record.rowRef(gpu.first + 2 * HUGE - 40), 0, 16),
    says: "it is not there",
  },
  {
    rule: "device folios are objects",
    design: FOLIO,
    break: (s) => void s.kernel.base.core.newObject(O_DEVICE_FOLIO),
    says: "no page's",
  },
  {
    rule: "device folios are objects",
    design: FOLIO,
    break: (s) => s.kernel.base.core.freeObject(O_DEVICE_FOLIO, folioOf(s, page(s, OWN))),
    page: (s) => page(s, OWN),
  },
  {
    rule: "pages in service are their map's",
    break: (s) => s.devices.record.setPgmap(folioOf(s, page(s, OWN)), s.cxl.words),
    page: (s) => page(s, OWN),
  },
  {
    rule: "pages in service are their map's",
    design: TUPLE,
    break: (s) => add(s, folioOf(s, page(s, OWN)), layout(s).flags + 4, 1 << 22),
    page: (s) => page(s, OWN),
    says: "it is of node 1",
  },
  {
    rule: "map references add up",
    break: (s) => add(s, s.gpu.words, DEV_PAGEMAP_REF),
    page: (s) => s.gpu.first,
    says: "516 references, 515 are explained",
  },
  {
    rule: "map references add up",
    break: (s) => add(s, s.cxl.words, DEV_PAGEMAP_IN_SERVICE, -1),
    page: (s) => s.cxl.first,
  },
  {
    rule: "device entries lead to pages in service",
    break: (s) => setEntry(s, s.own, ...deviceEntryOf(s, SWP_DEVICE_READ, page(s, 9))),
    page: (s) => page(s, 9),
    says: "is idle",
  },
  {
    rule: "device entries lead to pages in service",
    design: TUPLE,
    break: (s) => setEntry(s, s.own, swapLow(5, false), deviceHigh(SWP_DEVICE_READ, 5, 3)),
    says: "no page's",
  },
  {
    rule: "device entries lead to pages in service",
    break: (s) =>
      setEntry(s, s.ram, s.devices.numbers.exclusiveEntry(s.cxl.first + 5), s.devices.numbers.hi),
    page: (s) => s.cxl.first + 5,
    says: "on loan",
  },
  {
    rule: "entries say the kind of their number",
    break: (s) => setEntry(s, s.own, ...deviceEntryOf(s, SWP_DEVICE_MIGRATION_READ, page(s, OWN))),
    says: "there is none of",
  },
  {
    rule: "entries say the kind of their number",
    design: "device-offset",
    break: (s) => setEntry(s, s.own, swapLow(OWN, false), swapHigh(SWP_MIGRATION_READ, OWN)),
    page: () => OWN,
    says: "no folio",
  },
  {
    rule: "pages under migration are locked",
    break: (s) => {
      const { numbers } = s.devices;
      setEntry(s, s.own, numbers.migrationEntry(page(s, OWN), movesAs(true, true)), numbers.hi);
    },
    page: (s) => page(s, OWN),
    says: "nobody has it locked",
  },
  {
    rule: "pages under migration are locked",
    design: TUPLE,
    break: (s) => {
      const { numbers } = s.devices;
      s.devices.privates.folios.tryLock(folioOf(s, page(s, SHARED)));
      setEntry(
        s,
        s.shared,
        numbers.migrationEntry(page(s, SHARED), movesAs(false, false)),
        numbers.hi,
      );
    },
    page: (s) => page(s, SHARED),
    says: "an entry maps it, another waits for it",
  },
  {
    rule: "no device page is left on its way",
    break: (s) => void s.devices.privates.folios.tryLock(folioOf(s, page(s, OWN))),
    page: (s) => page(s, OWN),
    says: "it is locked",
  },
  {
    rule: "no device page is left on its way",
    break: (s) => void s.devices.system.folios.tryLock(folioOf(s, s.cxl.first + 5)),
    page: (s) => s.cxl.first + 5,
  },
  {
    rule: "no device page is left on its way",
    design: TUPLE,
    break: (s) => {
      const { numbers } = s.devices;
      setEntry(s, s.own, numbers.migrationEntry(page(s, OWN), movesAs(true, true)), numbers.hi);
    },
    page: (s) => page(s, OWN),
    says: "1 migration entries wait for it",
  },
  {
    rule: "references of device folios are explained",
    break: (s) => add(s, folioOf(s, page(s, SHARED)), layout(s).refcount),
    page: (s) => page(s, SHARED),
    says: "its count is 3, 2 are explained",
  },
  {
    rule: "map counts of device folios match the page tables",
    design: TUPLE,
    break: (s) => add(s, folioOf(s, page(s, SHARED)), layout(s).mapcount, -1),
    page: (s) => page(s, SHARED),
  },
  {
    rule: "map counts of device folios match the page tables",
    break: (s) => add(s, rest(s, page(s, HUGE)), layout(s).entireMapcount),
    page: (s) => page(s, HUGE),
    says: "entire",
  },
  {
    rule: "map counts of device folios match the page tables",
    design: TUPLE,
    break: (s) => add(s, rest(s, page(s, HUGE)), layout(s).nrPagesMapped),
    page: (s) => page(s, HUGE),
    says: "nr_pages_mapped",
  },
  ...["today", TUPLE].map((design): Break => ({
    rule: "map counts of device folios match the page tables",
    design,
    break: (s) => void s.devices.record.addOwnMapcount(page(s, HUGE) + 77, 1),
    page: (s) => page(s, HUGE) + 77,
    says: "page 77 counts 3 entries, 2 are there",
  })),
  {
    rule: "shared device folios say so",
    design: FOLIO,
    break: (s) => s.kernel.base.w.store32(rest(s, page(s, HUGE)), layout(s).mmIds, 1),
    page: (s) => page(s, HUGE),
    says: "2 processes map it and it says exclusive",
  },
  {
    rule: "shared device folios say so",
    break: (s) => add(s, rest(s, page(s, HUGE)), layout(s).mmIdMapcount),
    page: (s) => page(s, HUGE),
  },
  {
    rule: "exclusive device pages are mapped once",
    break: (s) => s.devices.record.setExclusive(page(s, SHARED), true),
    page: (s) => page(s, SHARED),
    says: "mapped 2 times",
  },
  {
    rule: "exclusive device pages are mapped once",
    design: FOLIO,
    break: (s) => s.devices.record.setExclusive(page(s, OWN), false),
    page: (s) => page(s, OWN),
    says: "it may be written and is not exclusive",
  },
  {
    rule: "device folios name live objects",
    break: (s) => s.devices.privates.folios.setIndex(folioOf(s, page(s, OWN)), 12345),
    page: (s) => page(s, OWN),
    says: "its index is another address's",
  },
  {
    rule: "device folios name live objects",
    design: TUPLE,
    break: (s) => s.devices.privates.folios.setMapping(folioOf(s, page(s, OWN)), s.gpu.words, 1),
    page: (s) => page(s, OWN),
    says: "no anon_vma in use",
  },
  {
    rule: "device folios name live objects",
    design: FOLIO,
    break: (s) => {
      const theirs = s.kernel.base.folios.mapping(
        s.kernel.base.folios.ofPage(s.child.pagemap(s.ram).pfn),
      );
      s.child.write(s.ram, Uint8Array.of(1));
      const other = s.kernel.base.folios.mapping(
        s.kernel.base.folios.ofPage(s.child.pagemap(s.ram).pfn),
      );
      expect(other).not.toBe(theirs);
      s.devices.privates.folios.setMapping(folioOf(s, page(s, OWN)), other, 1);
    },
    page: (s) => page(s, OWN),
    says: "its reverse map does not lead there",
  },
  {
    rule: "device folios name live objects",
    design: TUPLE,
    break: (s) =>
      s.kernel.base.core.setPointer(folioOf(s, page(s, OWN)), layout(s).memcg, s.gpu.words),
    page: (s) => page(s, OWN),
    says: "freed",
  },
  // What the rules of all kernels know of devices.
  {
    rule: "RSS is what is mapped",
    break: (s) => add(s, s.process.mm, MM_RSS_ANON, -1),
    says: "it counts 519 anonymous pages, the tables show 520",
  },
  {
    rule: "references are explained",
    break: (s) => add(s, folioOf(s, s.cxl.first + 5), s.kernel.base.core.layout.refcount),
    page: (s) => s.cxl.first + 5,
  },
  {
    rule: "map counts match the page tables",
    break: (s) => setEntry(s, s.lent, 0, 0),
  },
];
