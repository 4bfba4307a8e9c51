/**
 * Every rule of device memory fires when it is broken: a kernel in order, with one of
 * everything that devices make of processes' memory, is broken in one place, and the rule
 * that the place belongs to says so, naming the page.
 */
import { describe, expect, test } from "vitest";
import { HMM_PFN_DEVICE_PRIVATE } from "../../../src/engine/device/hmm/hmm-pfn.js";
import { IDLE_PAGES_ARE_NOT_TOUCHED } from "../../../src/engine/device/idle-words.js";
import { migrateArgs } from "../../../src/engine/device/migrate-args.js";
import { MIGRATE_PFN_DEVICE_PRIVATE } from "../../../src/engine/device/migrate-pfn.js";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import { MirrorDevice } from "../../../src/engine/drivers/mirror/mirror-device.js";
import { Mirror } from "../../../src/engine/drivers/mirror/mirror.js";
import { FREED_BEFORE_PUT } from "../../../src/engine/sanitizer/device/events.js";
import { DEVICE_RULES, inspectDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import type { Holdings } from "../../../src/engine/sanitizer/process/shape.js";
import { LEGAL } from "../drivers/designs.js";
import { PRIVATE } from "./pagemap-scene.js";
import { BREAKS, TUPLE } from "./rule-breaks.js";
import { type Scene, scene, PAGE, HUGE, page, OWN } from "./rule-scene.js";

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
