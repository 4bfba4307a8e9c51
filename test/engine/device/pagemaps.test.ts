/**
 * Page maps: what can be made of what, who is refused and by which errno, and where offsets
 * lead.
 *
 * Facts: device-facts §1.5, §2.4.
 */
import { describe, expect, test } from "vitest";
import { DevPagemap, type PagemapConfig } from "../../../src/engine/device/pagemap.js";
import { LEGAL } from "../drivers/designs.js";
import {
  COHERENT,
  FS_DAX,
  GENERIC,
  HUGE,
  P2PDMA,
  PRIVATE,
  TYPES,
  NAMES,
  config,
  create,
  held,
  isAsBefore,
  mapOf,
  other,
  scene,
  wrong,
  type Scene,
} from "./pagemap-scene.js";

const EINVAL = -22;
const ENXIO = -6;
const ENOMEM = -12;
const EEXIST = -17;

describe.each(NAMES)("%s: what is refused", (design) => {
  test.each<[string, number, (s: Scene) => Partial<PagemapConfig>]>([
    ["private: no pages", PRIVATE, () => ({ pages: 0 })],
    ["private: half a page", PRIVATE, () => ({ pages: 0.5 })],
    ["private: ranges", PRIVATE, (s) => ({ ranges: config(s, COHERENT).ranges ?? [] })],
    ["private: pages and another size", PRIVATE, () => ({ size: 4096 })],
    ["private: no ops", PRIVATE, () => ({ ops: {} })],
    ["private: no migrate_to_ram", PRIVATE, () => ({ ops: { folioFree: () => {} } })],
    ["private: no folio_free", PRIVATE, () => ({ ops: { migrateToRam: () => 0 } })],
    ["coherent: no folio_free", COHERENT, () => ({ ops: {} })],
    ["fs-dax: no range", FS_DAX, () => ({ ranges: [] })],
    ["fs-dax: an empty range", FS_DAX, () => ({ ranges: [{ start: 32768, pages: 0 }] })],
    ["p2pdma: no whole 2 MiB", P2PDMA, () => ({ ranges: [{ start: 32768 + 8, pages: 512 }] })],
    ["generic: a folio of 2 GiB", GENERIC, () => ({ folioOrder: 19 })],
    ["generic: a folio larger than its range", GENERIC, () => ({ folioOrder: 10 })],
    [
      "fs-dax: beyond what can be addressed",
      FS_DAX,
      () => ({ ranges: [{ start: 65536, pages: 512 }] }),
    ],
    ["no type", COHERENT, () => ({ type: 0 })],
    ["no such type", COHERENT, () => ({ type: 6 })],
    ["no such node", PRIVATE, () => ({ nid: 1 })],
  ])("%s: EINVAL", (_what, type, change) => {
    const s = scene(design);
    expect(create(s, other(s, type, change(s)))).toBe(EINVAL);
    expect(isAsBefore(s)).toBe(true);
  });

  test.each([PRIVATE, COHERENT])("type %i without an owner: EINVAL", (type) => {
    const s = scene(design);
    const { owner: _, ...nobodys } = config(s, type);
    expect(create(s, nobodys)).toBe(EINVAL);
  });

  test("RAM: ENXIO, also with a device's range behind it", () => {
    const s = scene(design);
    const start = s.kernel.machine.deviceFirst;
    for (const range of [
      { start: 0, pages: HUGE },
      { start: start - HUGE, pages: 2 * HUGE },
    ])
      expect(create(s, other(s, FS_DAX, { ranges: [range] }))).toBe(ENXIO);
    expect(isAsBefore(s)).toBe(true);
  });

  test("another map at either end: ENOMEM; inside, or dying: EEXIST", () => {
    const s = scene(design);
    const start = s.kernel.machine.deviceFirst;
    const at = (block: number, blocks: number) =>
      create(
        s,
        other(s, FS_DAX, { ranges: [{ start: start + block * HUGE, pages: blocks * HUGE }] }),
      );
    const map = mapOf(s, COHERENT, 2 * HUGE, 2);
    expect([at(2, 2), at(1, 2), at(3, 2), at(2, 1)]).toEqual([ENOMEM, ENOMEM, ENOMEM, ENOMEM]);
    expect(at(1, 4)).toBe(EEXIST);
    // get_dev_pagemap does not find one that is dying; its sections are there all the same.
    const page = s.devices.activate(map, 0, 0);
    s.devices.pagemaps.kill(map);
    expect(at(2, 2)).toBe(EEXIST);
    s.devices.release(page);
    expect(s.devices.pagemaps.maps.size).toBe(1);
    s.devices.pagemaps.unmap(map);
    const again = at(1, 4);
    expect(again).toBeInstanceOf(DevPagemap);
    expect(wrong(s)).toEqual([]);
  });

  test("two ranges of one map over each other", () => {
    const s = scene(design);
    const start = s.kernel.machine.deviceFirst;
    const both = (a: [number, number], b: [number, number]) =>
      create(
        s,
        other(s, FS_DAX, {
          ranges: [a, b].map(([at, n]) => ({ start: start + at * HUGE, pages: n * HUGE })),
        }),
      );
    expect(both([1, 2], [2, 2])).toBe(ENOMEM);
    expect(both([2, 1], [1, 3])).toBe(EEXIST);
    expect(isAsBefore(s)).toBe(true);
  });
});

test("a stolen range is a range like others: ENOMEM where a map has it", () => {
  const s = scene("today", { device: { private: "128MiB", span: "128MiB", physicalBits: 36 } });
  const map = mapOf(s, PRIVATE);
  const start = map.range.start / 4096;
  expect(create(s, other(s, COHERENT, { ranges: [{ start, pages: HUGE }] }))).toBe(ENOMEM);
  expect(s.devices.pagemaps.get(start)).toBe(map);
  map.put(1);
});

/** All pages of a machine that can be had. */
function takeAll({ kernel: { machine } }: Scene): number[] {
  const taken: number[] = [];
  for (let p = machine.allocPages(0); p >= 0; p = machine.allocPages(0)) taken.push(p);
  return taken;
}

// Device-dax memory under `init` has folios from the start, each with a descriptor here.
test.each(["memdesc8", "page32+device-lifetime=chunk", ...LEGAL.filter((_, i) => i % 12 === 0)])(
  "%s: without memory for any part of it nothing is left behind",
  (design) => {
    for (const type of TYPES) {
      const s = scene(design);
      const { machine } = s.kernel;
      const taken = takeAll(s);
      let made: DevPagemap | number = ENOMEM;
      let refusals = 0;
      // One page more each time, until it is enough.
      while (taken.length > 0) {
        const free = s.kernel.settle();
        made = create(s, config(s, type));
        if (typeof made !== "number") break;
        refusals++;
        expect([type, made]).toEqual([type, ENOMEM]);
        expect([s.kernel.settle(), s.devices.pagemaps.maps.size]).toEqual([free, 0]);
        expect(machine.deviceArea?.frames).toBe(0);
        machine.freePages(taken.pop() ?? 0, 0);
      }
      expect(refusals).toBeGreaterThan(0);
      if (typeof made === "number") throw new Error("all memory is not enough");
      // Nor did the refusals keep any of what maps are made over.
      const { start } = type === PRIVATE ? { start: s.devices.firstPrivate } : made.ranges[0];
      expect(made.first).toBe(start);
      s.devices.pagemaps.unmap(made);
      for (const p of taken) machine.freePages(p, 0);
      expect(isAsBefore(s)).toBe(true);
    }
  },
);

describe("offsets", () => {
  test("count pages over all ranges, the first range first", () => {
    const s = scene("today+activation=request");
    const first = s.kernel.machine.deviceFirst;
    // In another order than in memory, with gaps.
    const ranges = [
      { start: first + 8 * HUGE, pages: HUGE },
      { start: first, pages: 2 * HUGE },
      { start: first + 4 * HUGE, pages: HUGE },
    ];
    const map = s.devices.mapPages(other(s, COHERENT, { ranges }));
    expect(map.pages).toBe(4 * HUGE);
    expect(
      [0, HUGE - 1, HUGE, 3 * HUGE - 1, 3 * HUGE, 4 * HUGE - 1].map((o) => map.pageAt(o)),
    ).toEqual([
      first + 8 * HUGE,
      first + 9 * HUGE - 1,
      first,
      first + 2 * HUGE - 1,
      first + 4 * HUGE,
      first + 5 * HUGE - 1,
    ]);
    for (const offset of [-1, 4 * HUGE, 2 ** 40, 0.5, NaN]) {
      expect(s.devices.activate(map, offset, 0)).toBe(EINVAL);
    }
    expect([map.pageAt(-1), map.pageAt(4 * HUGE)]).toEqual([-1, -1]);
    for (let offset = 0; offset < map.pages; offset += 37)
      expect(map.offsetOf(map.pageAt(offset))).toBe(offset);
    // Not aligned, over the end of a range, over the end of the map, no order.
    expect(s.devices.activate(map, 1, 1)).toBe(EINVAL);
    expect(s.devices.activate(map, 0, 10)).toBe(EINVAL);
    expect(s.devices.activate(map, 3 * HUGE, 10)).toBe(EINVAL);
    for (const order of [-1, 0.5, 19, 32, 33])
      expect(s.devices.activate(map, 0, order)).toBe(EINVAL);
    // In the second range, which is large enough and aligned.
    const page = s.devices.activate(map, HUGE, 10);
    expect(page).toBe(first);
    expect(map.inService).toBe(2 * HUGE);
    expect(wrong(s, held(page))).toEqual([]);
    s.devices.release(page);
  });

  test("a folio does not lie in two ranges, not even where they meet", () => {
    const s = scene("today+activation=request");
    const first = s.kernel.machine.deviceFirst;
    const ranges = [0, 1].map((i) => ({ start: first + i * HUGE, pages: HUGE }));
    const map = s.devices.mapPages(other(s, FS_DAX, { ranges }));
    expect(s.devices.activate(map, 0, 10)).toBe(EINVAL);
    expect(s.devices.activate(map, HUGE, 9)).toBe(first + HUGE);
  });
});
