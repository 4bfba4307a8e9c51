/**
 * What device memory costs the host, and when: all records with the map, chunks of them
 * when they are first touched, or those of requested folios only; and a device of a TiB.
 *
 * Every figure is frames that the machine's allocator gave.
 */
import { describe, expect, test } from "vitest";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import { SparseWords } from "../../../src/engine/words/sparse.js";
import {
  COHERENT,
  config,
  GENERIC,
  held,
  HUGE,
  mapOf,
  PRIVATE,
  scene,
  wrong,
} from "./pagemap-scene.js";
import type { Scene } from "./pagemap-scene.js";

const ENOMEM = -12;
const frames = (s: Scene): number => s.kernel.machine.deviceArea?.frames ?? 0;
/** Bytes of one page's row. */
const ROWS: readonly (readonly [string, number])[] = [
  ["today", 64],
  ["page32", 32],
  ["memdesc16", 16],
  ["memdesc8", 8],
  ["slot64", 64],
  ["today+device-name=offset+device-record=folio", 8],
  ["today+device-name=offset+device-record=device-private", 48],
];

describe.each(ROWS)("%s: rows of %i bytes", (design, row) => {
  const own = `${design}+activation=request`;

  test("static: all of them from the first to the last", () => {
    const s = scene(own);
    const all = Math.ceil((1000 * row) / 4096);
    const map = mapOf(s, PRIVATE, 1000);
    expect(frames(s)).toBe(all);
    const page = s.devices.activate(map, 999, 0);
    expect(frames(s)).toBe(all);
    s.devices.release(page);
    expect(frames(s)).toBe(all);
    s.devices.pagemaps.unmap(map);
    expect(frames(s)).toBe(0);
  });

  test("chunk: 2 MiB worth of them when the first page of it is touched, until the map goes", () => {
    const s = scene(`${own}+device-lifetime=chunk`);
    const map = mapOf(s, PRIVATE, 1300);
    const chunk = (HUGE * row) / 4096;
    expect(frames(s)).toBe(0);
    const a = s.devices.activate(map, 700, 0);
    expect(frames(s)).toBe(chunk);
    const b = s.devices.activate(map, 512, 0);
    expect(frames(s)).toBe(chunk);
    // The last chunk is a short one.
    const c = s.devices.activate(map, 1299, 0);
    const last = Math.ceil((276 * row) / 4096);
    expect(frames(s)).toBe(chunk + last);
    expect(wrong(s, held(a, b, c))).toEqual([]);
    for (const page of [a, b, c]) s.devices.release(page);
    expect(frames(s)).toBe(chunk + last);
    s.devices.pagemaps.unmap(map);
    expect(frames(s)).toBe(0);
  });

  test("request: those of folios in service, and none else", () => {
    const s = scene(`${own}+device-lifetime=request`);
    const map = mapOf(s, PRIVATE, 4 * HUGE);
    expect(frames(s)).toBe(0);
    const a = s.devices.activate(map, 0, 0);
    expect(frames(s)).toBe(1);
    // The neighbour's row lies beside it.
    const b = s.devices.activate(map, 1, 0);
    expect(frames(s)).toBe(1);
    const c = s.devices.activate(map, 2 * HUGE, 9);
    expect(frames(s)).toBe(1 + (HUGE * row) / 4096);
    expect(wrong(s, held(a, b, c))).toEqual([]);
    s.devices.release(a);
    expect(frames(s)).toBe(1 + (HUGE * row) / 4096);
    s.devices.release(b);
    expect(frames(s)).toBe((HUGE * row) / 4096);
    s.devices.release(c);
    expect(frames(s)).toBe(0);
    s.devices.pagemaps.unmap(map);
    expect(s.kernel.settle()).toBe(s.before);
  });
});

test("a row that lies in two frames takes both, and gives back what nobody else uses", () => {
  // 48 bytes: the 86th begins 16 bytes before the end of the first frame.
  const s = scene(
    "today+device-name=offset+device-record=device-private+device-lifetime=request+activation=request",
  );
  const map = mapOf(s, PRIVATE);
  const a = s.devices.activate(map, 85, 0);
  expect(frames(s)).toBe(2);
  const b = s.devices.activate(map, 84, 0);
  s.devices.release(a);
  expect(frames(s)).toBe(1);
  // Its first half is there, it is not.
  const { zoneDevice, record } = s.devices;
  const [ref, off] = [record.rowRef(map.first + 85), record.rowOff(map.first + 85)];
  expect([zoneDevice.area.isThere(ref, off), zoneDevice.area.isThere(ref, off, 48)]).toEqual([
    true,
    false,
  ]);
  expect(s.devices.zoneDevice.refcountOf(map.first + 85)).toBe(0);
  const c = s.devices.activate(map, 86, 0);
  expect(frames(s)).toBe(2);
  expect(wrong(s, held(b, c))).toEqual([]);
});

test("without memory for its rows a request changes nothing, and goes once there is some", () => {
  for (const lifetime of ["chunk", "request"]) {
    const s = scene(`today+activation=request+device-lifetime=${lifetime}`);
    const map = mapOf(s, COHERENT, 2 * HUGE);
    const { machine } = s.kernel;
    const taken: number[] = [];
    for (let p = machine.allocPages(0); p >= 0; p = machine.allocPages(0)) taken.push(p);
    for (let n = 0; n < 16; n++) {
      // Two chunks, or all rows of both: 16 frames.
      const free = s.kernel.settle();
      expect(s.devices.activate(map, 0, 10)).toBe(ENOMEM);
      expect([s.kernel.settle(), frames(s), map.refs, map.inService]).toEqual([free, 0, 1, 0]);
      machine.freePages(taken.pop() ?? 0, 0);
    }
    const page = s.devices.activate(map, 0, 10);
    expect(page).toBe(map.first);
    for (const p of taken) machine.freePages(p, 0);
    expect(wrong(s, held(page))).toEqual([]);
  }
});

describe.each(["today", "page32", "memdesc16", "memdesc8", "slot64"])(
  "%s: a device of 1 TiB",
  (word) => {
    const TIB = 2 ** 28;
    const ORDER = 9;

    /** The guest's memory, on words that keep runs and no bytes. */
    function guest(): { s: Scene; words: SparseWords; map: DevPagemap } {
      const words = new SparseWords();
      const design = `${word}+device-lifetime=request+activation=request`;
      const device = { private: 0, span: "1TiB" };
      const s = scene(design, { memory: "64MiB", device }, () => words);
      const range = { start: s.kernel.machine.deviceFirst, pages: TIB };
      const map = s.devices.mapPages({ ...config(s, GENERIC), ranges: [range], folioOrder: ORDER });
      return { s, words, map };
    }

    test("device-dax memory that nobody requested costs nothing, that of a folio its rows", () => {
      const { s, words, map } = guest();
      expect(frames(s)).toBe(0);
      // Nothing but the map itself: one object of 160 bytes.
      expect(s.before - s.kernel.settle()).toBeLessThanOrEqual(2);
      expect(words.bytesHeld()).toBeLessThan(2 ** 20);
      const rows = ROWS.find(([design]) => design === word)?.[1] ?? 0;
      const pages = [0, 1, 77, 2 ** 19 - 1].map((n) => s.devices.activate(map, n * HUGE, ORDER));
      expect(frames(s)).toBe((pages.length * HUGE * rows) / 4096);
      expect(wrong(s, held(...pages))).toEqual([]);
      for (const page of pages) s.devices.release(page);
      expect(frames(s)).toBe(0);
      s.devices.pagemaps.unmap(map);
      expect(s.kernel.settle()).toBe(s.before);
    });

    test("all of it at once is more than the host has: as much as there is, and back", () => {
      const { s, map } = guest();
      let n = 0;
      let error = 0;
      // Every page is needed from now on: passthrough.
      for (; n < TIB && error >= 0; n += HUGE) error = s.devices.activate(map, n, ORDER);
      expect(error).toBe(ENOMEM);
      expect(map.inService).toBe(n - HUGE);
      for (let i = 0; i < n - HUGE; i += HUGE) s.devices.release(map.pageAt(i));
      expect([map.inService, frames(s)]).toEqual([0, 0]);
      s.devices.pagemaps.unmap(map);
      expect(s.kernel.settle()).toBe(s.before);
    });
  },
);

test("private memory of 1 TiB under every name and record, 4 TiB where a row is a pointer", () => {
  const boot = (design: string, size: string): number => {
    const words = new SparseWords();
    const request = { memory: "64MiB", device: { private: size, span: 0 } };
    const s = scene(`${design}+device-lifetime=request+activation=request`, request, () => words);
    const pages = s.kernel.machine.config.device?.private ?? 0;
    const map = mapOf(s, PRIVATE, pages);
    const page = s.devices.activate(map, pages - HUGE, 9);
    expect(page - map.first).toBe(pages - HUGE);
    expect(wrong(s, held(page))).toEqual([]);
    return frames(s);
  };
  const TIB = "1TiB";
  // Of a tuple, with the frame of the table of spaces.
  expect(boot("today", TIB)).toBe(8);
  expect(boot("device-offset", TIB)).toBe(8);
  expect(boot("today+device-name=tuple", TIB)).toBe(9);
  expect(boot("device-offset+device-record=folio", TIB)).toBe(1);
  expect(boot("device-offset+device-record=device-private", TIB)).toBe(6);
  expect(boot("device-tuple", TIB)).toBe(7);
  expect(boot("memdesc8+device-name=offset+device-record=folio", "4TiB")).toBe(1);
  // What does not fit the arena of 32 GiB is refused by name.
  expect(() => boot("today", "4TiB")).toThrow("leaves no room for descriptors in an arena");
});
