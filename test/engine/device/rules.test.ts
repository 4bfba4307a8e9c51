/**
 * Every rule of device memory fires when it is broken: a kernel in order, with one of
 * everything that devices make of processes' memory, is broken in one place, and the rule
 * that the place belongs to says so, naming the page.
 */
import { describe, expect, test } from "vitest";
import { Devices } from "../../../src/engine/device/devices.js";
import { IDLE_PAGES_ARE_NOT_TOUCHED } from "../../../src/engine/device/idle-words.js";
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
} from "../../../src/engine/device/migrate-args.js";
import { MIGRATE_PFN_DEVICE_PRIVATE } from "../../../src/engine/device/migrate-pfn.js";
import { HMM_PFN_DEVICE_PRIVATE } from "../../../src/engine/device/hmm/hmm-pfn.js";
import { movesAs } from "../../../src/engine/device/numbers.js";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import { OffsetName } from "../../../src/engine/design/device-name/offset.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Mirror } from "../../../src/engine/drivers/mirror/mirror.js";
import { MirrorDevice } from "../../../src/engine/drivers/mirror/mirror-device.js";
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
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
} from "../../../src/engine/process/constants.js";
import {
  deviceHigh,
  SWP_DEVICE_MIGRATION_READ,
  SWP_DEVICE_READ,
  SWP_MIGRATION_READ,
  swapHigh,
  swapLow,
} from "../../../src/engine/process/entry.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import {
  O_DEV_PAGEMAP,
  O_DEVICE_FOLIO,
  O_MAPLE_NODE,
} from "../../../src/engine/process/objects.js";
import { pteAt } from "../../../src/engine/process/page-tables.js";
import type { Process } from "../../../src/engine/process/process.js";
import { FREED_BEFORE_PUT } from "../../../src/engine/sanitizer/device/events.js";
import {
  DEVICE_RULES,
  inspectDevices,
  watchDevices,
} from "../../../src/engine/sanitizer/device/sanitizer.js";
import { inspectKernel, watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import type { Holdings } from "../../../src/engine/sanitizer/process/shape.js";
import type { Ref } from "../../../src/units.js";
import { LEGAL } from "../drivers/designs.js";
import { COHERENT, PRIVATE } from "./pagemap-scene.js";

const PAGE = 4096;
const HUGE = 512;

interface Scene {
  readonly kernel: Kernel;
  readonly devices: Devices;
  readonly process: Process;
  readonly child: Process;
  readonly gpu: DevPagemap;
  readonly cxl: DevPagemap;
  /** Page of the process on the GPU, its alone; one that parent and child share; a huge one of both. */
  readonly own: number;
  readonly shared: number;
  readonly huge: number;
  /** On coherent memory; on loan; a page of RAM. */
  readonly coherent: number;
  readonly lent: number;
  readonly ram: number;
}

/** A kernel in which there is one of everything. */
function scene(design: string): Scene {
  const kernel = Kernel.boot(
    { memory: "32MiB", device: { private: "256MiB", span: "128MiB" } },
    parseDesign(design),
  );
  watchKernel(kernel);
  const devices = Devices.attach(kernel);
  watchDevices(devices);
  const owner = {};
  const ops = { folioFree: () => {}, migrateToRam: () => 0 };
  const gpu = devices.mapPages({ name: "gpu", type: PRIVATE, pages: 2 * HUGE + 100, owner, ops });
  const ranges = [{ start: kernel.machine.deviceFirst, pages: HUGE }];
  const cxl = devices.mapPages({ name: "cxl", type: COHERENT, ranges, owner, ops });
  const process = kernel.createProcess();
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const wide = process.mmap({ length: 3 * HUGE * PAGE, prot: 0, flags });
  const huge = Math.ceil(wide / (HUGE * PAGE)) * HUGE * PAGE;
  process.mmap({ addr: huge, length: HUGE * PAGE, prot: 3, flags: flags | MAP_FIXED });
  process.madvise(huge, HUGE * PAGE, MADV_HUGEPAGE);
  const small = process.mmap({ length: 8 * PAGE, prot: 3, flags });
  const at = (i: number): number => small + i * PAGE;
  process.write(huge, Uint8Array.of(9));
  for (let i = 0; i < 6; i++) process.write(at(i), Uint8Array.of(i));
  const move = (addr: number, pages: number, map: DevPagemap, offset: number): void => {
    const args = migrateArgs(pages);
    args.vma = devices.vmaLookup(process.mm, addr / PAGE);
    args.start = addr / PAGE;
    args.end = args.start + pages;
    args.owner = owner;
    args.flags = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;
    expect(
      devices.migrateVma(args, (_from, i, order) => devices.activate(map, offset + i, order)),
    ).toBe(pages);
  };
  move(at(0), 1, gpu, 3);
  move(huge, HUGE, gpu, HUGE);
  const child = process.fork();
  // Written after the fork, so not shared.
  process.write(at(4), Uint8Array.of(40));
  process.write(at(6), Uint8Array.of(6));
  process.write(at(7), Uint8Array.of(7));
  move(at(6), 1, gpu, 7);
  move(at(7), 1, cxl, 5);
  const lent = devices.exclusive.make(process.mm, at(4) / PAGE, 0);
  const folio = kernel.base.folios.ofPage(lent);
  kernel.base.folios.unlock(folio);
  kernel.base.folios.put(folio);
  return {
    kernel,
    devices,
    process,
    child,
    gpu,
    cxl,
    own: at(6),
    shared: at(0),
    huge,
    coherent: at(7),
    lent: at(4),
    ram: at(5),
  };
}

const page = (s: Scene, offset: number): number => s.gpu.first + offset;
const OWN = 7;
const SHARED = 3;
const folioOf = (s: Scene, p: number): Ref => s.devices.moves.sideOf(p).folioOf(p);
const add = (s: Scene, ref: Ref, off: number, n = 1): void =>
  void s.kernel.base.w.add32(ref, off, n);

function setEntry(s: Scene, addr: number, lo: number, hi: number): void {
  const { tables, w } = s.kernel.base;
  w.store64(tables.pteTable(s.process.mm, addr / PAGE), pteAt(addr / PAGE), lo, hi);
}

/** An entry that names a page of the GPU by its number. */
function deviceEntryOf(s: Scene, type: number, p: number): [number, number] {
  const { naming } = s.devices;
  const low = naming.numberLow(p, s.gpu.words);
  return [swapLow(low, false), deviceHigh(type, low, naming.numberHigh(p, s.gpu.words))];
}

/** Fields of a device-private folio. */
const layout = (s: Scene) => s.devices.privates.folios.layout;
const rest = (s: Scene, p: number): Ref => s.devices.privates.folios.rest(folioOf(s, p));

interface Break {
  readonly rule: string;
  readonly design?: string;
  readonly break: (s: Scene) => Holdings | void;
  /** Page that must be named, where one is meant. */
  readonly page?: (s: Scene) => number;
  readonly says?: string;
}

const TUPLE = "device-tuple";
const FOLIO = "device-offset+device-record=folio+activation=request";

const BREAKS: readonly Break[] = [
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

const inspect = (s: Scene, holdings: Holdings = {}) => inspectKernel(s.kernel, holdings);

test.each(LEGAL)(
  "%s: a kernel with one of everything is in order, and so when all has ended",
  (design) => {
    const s = scene(design);
    expect(inspect(s).map((v) => v.message)).toEqual([]);
    s.child.exit();
    expect(inspect(s).map((v) => v.message)).toEqual([]);
    s.process.exit();
    for (const map of [s.gpu, s.cxl]) expect(s.devices.pagemaps.unmap(map)).toBe(0);
    expect(inspect(s).map((v) => v.message)).toEqual([]);
    expect(s.devices.zoneDevice.warnings).toEqual([]);
  },
);

describe("broken in one place", () => {
  test.each(BREAKS.map((b) => [b.rule, b.design ?? "today", b] as const))(
    "%s: %s",
    (rule, design, b) => {
      const s = scene(design);
      expect(inspect(s).map((v) => v.message)).toEqual([]);
      const holdings = b.break(s) ?? {};
      const found = inspect(s, holdings).filter((v) => v.rule === rule);
      const named = found.filter((v) => b.page === undefined || v.pfn === b.page(s));
      expect(found.map((v) => v.message)).not.toEqual([]);
      expect(named.map((v) => v.message)).toContainEqual(expect.stringContaining(b.says ?? ""));
    },
  );

  test("every rule has been broken", () => {
    const broken = new Set(BREAKS.map((b) => b.rule));
    const elsewhere = ["arrays say the kind of their numbers", "mirrors show what is mapped"];
    expect(DEVICE_RULES.map((r) => r.name).filter((name) => !broken.has(name))).toEqual(elsewhere);
  });
});

describe.each(["today", "device-offset", TUPLE])("%s: while pages are on their way", (design) => {
  test("they are locked, arrays say their kind, and only that something moves is wrong", () => {
    const s = scene(design);
    const { devices } = s;
    const args = migrateArgs(3);
    args.vma = devices.vmaLookup(s.process.mm, s.own / PAGE);
    args.start = s.own / PAGE - 1;
    args.end = args.start + 3;
    args.owner = s.gpu.owner;
    // Private, coherent and RAM at once.
    args.flags = 7;
    expect(devices.migrate.setup(args)).toBe(0);
    const arrays = (): Holdings => ({
      arrays: [{ kind: "migrate", array: args.src, entries: args.npages, who: "migrate_vma" }],
      folios: Array.from({ length: args.npages }, (_, i) => devices.pfns.page(args.src, i))
        .filter((p) => p >= 0)
        .map((pfn) => ({ pfn, refs: 1, pins: 0, who: "migrate_vma" })),
    });
    const rules = (): string[] => [
      ...new Set(inspectDevices(devices, arrays()).map((v) => v.rule)),
    ];
    expect(args.cpages).toBe(3);
    expect(rules()).toEqual(["no device page is left on its way"]);
    // Marked wrongly either way, or of a page that nobody has locked.
    for (let i = 0; i < args.npages; i++) {
      if (devices.pfns.page(args.src, i) < 0) continue;
      args.src[i << 1] ^= MIGRATE_PFN_DEVICE_PRIVATE;
      expect(rules()).toContain("arrays say the kind of their numbers");
      args.src[i << 1] ^= MIGRATE_PFN_DEVICE_PRIVATE;
    }
    const moving = devices.pfns.page(args.src, 1);
    const side = devices.sideOf(moving);
    side.folios.unlock(side.folioOf(moving));
    expect(rules()).toEqual([
      "pages under migration are locked",
      "no device page is left on its way",
      "arrays say the kind of their numbers",
    ]);
    side.folios.tryLock(side.folioOf(moving));
    devices.migrate.pages(args);
    devices.migrate.finalize(args);
    expect(inspect(s).map((v) => v.message)).toEqual([]);
  });

  test("an HMM array is right until the process changes, and wrong where its flag is", () => {
    const s = scene(design);
    const { devices } = s;
    const { pfns } = devices.hmm;
    const array = new Int32Array(6);
    const found = (): string[] =>
      inspectDevices(devices, { arrays: [{ kind: "hmm", array, entries: 3, who: "gpu" }] }).map(
        (v) => v.rule,
      );
    pfns.set(array, 0, page(s, OWN), -(2 ** 31), 0);
    pfns.set(array, 1, s.cxl.first + 5, -(2 ** 31), 0);
    pfns.set(array, 2, s.process.pagemap(s.ram).pfn, -(2 ** 31), 0);
    expect(found()).toEqual([]);
    for (const i of [0, 1, 2]) {
      const own = design !== "today";
      array[(i << 1) + 1] ^= HMM_PFN_DEVICE_PRIVATE;
      // An offset without its mark is a frame number like others: RAM has a page of that number.
      const unseen = own && i === 0;
      expect(found()).toEqual(unseen ? [] : ["arrays say the kind of their numbers"]);
      array[(i << 1) + 1] ^= HMM_PFN_DEVICE_PRIVATE;
    }
    s.process.munmap(s.own, PAGE);
    expect(found()).toEqual(["arrays say the kind of their numbers"]);
  });

  test("a mirror shows what is mapped; a stale entry, or one that may write too much, is found", () => {
    const s = scene(design);
    const device = new MirrorDevice(s.devices, { id: 0, kind: "private", chunkPages: HUGE });
    const mirror = new Mirror(device, s.process);
    const first = s.ram;
    expect(mirror.migrateToDevice(first, 1).cpages).toBe(1);
    const entries = () => {
      const all: { vpn: number; page: number; write: boolean }[] = [];
      mirror.table.forEach(0, 2 ** 36, (vpn, p, tag) =>
        all.push({ vpn, page: p, write: tag !== 0 }),
      );
      return all;
    };
    const rules = (list: ReturnType<typeof entries>): string[] =>
      inspectDevices(s.devices, {
        mirrors: [{ mm: s.process.mm, entries: list, who: device.name }],
      }).map((v) => v.rule);
    const seen = entries();
    expect(seen.length).toBe(1);
    expect(rules(seen)).toEqual([]);
    const RULE = "mirrors show what is mapped";
    expect(rules([{ ...seen[0], page: seen[0].page + 1 }])).toEqual([RULE]);
    expect(rules([{ ...seen[0], vpn: 1 }])).toEqual([RULE]);
    // Write permission goes, and the entry with it; whoever kept it is found.
    s.process.mprotect(first, PAGE, 1);
    expect(entries()).toEqual([]);
    expect(rules([{ ...seen[0], write: true }])).toEqual([RULE]);
    expect(rules([{ ...seen[0], write: false }])).toEqual([]);
    s.process.munmap(first, PAGE);
    expect(rules([{ ...seen[0], write: false }])).toEqual([RULE]);
  });
});

test("a driver that lets the map go before it has its page: seen when it happens", () => {
  const s = scene("device-tuple");
  const map: DevPagemap = s.devices.mapPages({
    name: "early",
    type: PRIVATE,
    pages: HUGE,
    owner: s,
    ops: { migrateToRam: () => 0, folioFree: () => map.put(1) },
  });
  const p = s.devices.activate(map, 0, 0);
  const other = s.devices.activate(map, 1, 0);
  s.devices.release(p);
  const events = inspectDevices(s.devices, {
    folios: [{ pfn: other, refs: 1, pins: 0, who: "early" }],
  });
  expect(events.map((v) => v.rule)).toEqual([FREED_BEFORE_PUT, "map references add up"]);
});

test("the rule of idle pages is among the events, by its name", () => {
  const s = scene("device-tuple");
  s.devices.pagemaps.ofPage(page(s, 99));
  const found = inspect(s);
  expect(found.map((v) => [v.rule, v.pfn])).toEqual([[IDLE_PAGES_ARE_NOT_TOUCHED, page(s, 99)]]);
});
