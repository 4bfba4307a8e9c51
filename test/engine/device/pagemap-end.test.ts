/**
 * How a page map ends: who is refused from then on, who waits for whom, who is told first,
 * alone and in every interleaving of two threads.
 *
 * Facts: device-facts §1.5 (kill, drain, exit; what happens at reference count 0).
 */
import { describe, expect, test } from "vitest";
import { explore } from "../../../src/check/explorer.js";
import { Devices } from "../../../src/engine/device/devices.js";
import { type DevPagemap } from "../../../src/engine/device/pagemap.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { CheckedWords } from "../../../src/engine/words/checked.js";
import { PlainWords } from "../../../src/engine/words/plain.js";
import { bootSubject } from "../../../src/scenario/subject.js";
import { runThreads } from "../../../src/scenario/threads.js";
import { LEGAL } from "../drivers/designs.js";
import {
  blocks,
  COHERENT,
  FS_DAX,
  GENERIC,
  HUGE,
  P2PDMA,
  PRIVATE,
  TYPES,
  config,
  held,
  isAsBefore,
  mapOf,
  other,
  scene,
  wrong,
} from "./pagemap-scene.js";

const EINVAL = -22;
const ENXIO = -6;

describe.each(LEGAL.filter((_, i) => i % 6 === 0))("%s: the end of a map", (design) => {
  test.each(TYPES)(
    "type %i: the wait ends with the last page, and the driver is told before",
    (type) => {
      const s = scene(design);
      const { devices } = s;
      const order: string[] = [];
      const base = config(s, type);
      const map: DevPagemap = devices.mapPages({
        ...base,
        ops: { ...base.ops, folioFree: (page) => order.push(`free ${page}, ${map.refs > 0}`) },
      });
      const fromOne = devices.zoneDevice.countsFromOne(map);
      const a = devices.activate(map, 3, 0);
      const b = devices.activate(map, 4, 0);
      expect(wrong(s, held(a, b))).toEqual([]);
      const refs = map.refs;
      devices.pagemaps.kill(map);
      expect(map.state).toBe("dying");
      // What was charged ahead and its own: those of the two pages stay.
      expect(map.refs).toBe(fromOne ? 0 : 2);
      expect(refs - map.refs).toBe(1 + devices.pagemaps.chargedAhead(map));
      // Of device-dax memory under `init` nobody waits for anybody.
      const waits = (): boolean => fromOne || blocks(() => devices.pagemaps.unmap(map));
      expect(waits()).toBe(true);
      devices.release(a);
      expect(waits()).toBe(true);
      devices.release(b);
      expect(devices.pagemaps.unmap(map)).toBe(0);
      expect(map.state).toBe("dead");
      expect([map.refs, map.inService, map.range.end]).toEqual([0, 0, -1]);
      const told =
        type === PRIVATE ||
        type === COHERENT ||
        type === P2PDMA ||
        devices.choice.activation === "request";
      expect(order).toEqual(told ? [`free ${a}, true`, `free ${b}, true`] : []);
      expect(devices.pagemaps.unmap(map)).toBe(EINVAL);
      expect(isAsBefore(s)).toBe(true);
      expect(wrong(s)).toEqual([]);
    },
  );

  test("a map that dies: a request is refused, init is warned about and goes on", () => {
    const s = scene(design);
    const { devices } = s;
    const map = mapOf(s, PRIVATE);
    const a = devices.activate(map, 0, 0);
    devices.pagemaps.kill(map);
    const b = devices.activate(map, 1, 0);
    const requests = devices.choice.activation === "request";
    expect(b).toBe(requests ? ENXIO : map.first + 1);
    expect(devices.zoneDevice.warnings).toEqual(
      requests ? [] : ["1: a page is initialised although the map is dying"],
    );
    expect(map.refs).toBe(requests ? 1 : 2);
    for (const page of requests ? [a] : [a, b]) devices.release(page);
    devices.pagemaps.unmap(map);
    expect(isAsBefore(s)).toBe(true);
  });
});

test("idle device-dax memory counts 1 under init, and nobody waits for who holds more", () => {
  const s = scene("today");
  const { devices, kernel } = s;
  const map = devices.mapPages(other(s, GENERIC, { folioOrder: 9 }));
  // A reference for each folio, not for each page.
  expect([map.refs, map.inService]).toEqual([2, HUGE]);
  const page = devices.activate(map, 0, 9);
  const side = devices.sideOf(page);
  expect(side.folios.refcount(side.folioOf(page))).toBe(2);
  expect(devices.activate(map, 0, 0)).toBe(EINVAL);
  expect(wrong(s, held(page))).toEqual([]);
  devices.release(page);
  expect(side.folios.refcount(side.folioOf(page))).toBe(1);
  // The last one that a driver puts too many comes back at once.
  side.folios.put(side.folioOf(page));
  expect(side.folios.refcount(side.folioOf(page))).toBe(1);
  side.folios.get(side.folioOf(page));
  devices.pagemaps.unmap(map);
  expect(devices.zoneDevice.warnings).toEqual([`4: page ${page} goes, 1 still hold it`]);
  expect(kernel.settle()).toBe(s.before);
});

test("memory that lasts keeps what it holds while its map is there; other memory does not", () => {
  for (const [i, type] of TYPES.entries()) {
    const s = scene("device-offset", { memory: "32MiB" });
    const map = mapOf(s, type, HUGE, i);
    const page = s.devices.activate(map, 7, 0);
    s.devices.store(page, 0, Uint8Array.of(42));
    s.devices.release(page);
    const seen = new Uint8Array(1);
    s.devices.load(page, 0, seen);
    expect([type, seen[0]]).toEqual([type, type === PRIVATE || type === COHERENT ? 0 : 42]);
    s.devices.pagemaps.unmap(map);
    s.devices.load(page, 0, seen);
    expect(seen[0]).toBe(0);
    expect(s.kernel.base.core.content.size).toBe(0);
  }
});

describe("two threads", () => {
  test.each(LEGAL.filter((_, i) => i % 9 === 0))(
    "%s: who unmaps sleeps until the last page is back",
    (design) => {
      const subject = bootSubject(
        { memory: "16MiB", device: { private: "128MiB", span: "128MiB" } },
        parseDesign(design),
      );
      const { devices } = subject;
      if (devices === null) throw new Error("no devices");
      const map = devices.mapPages({
        name: "gpu",
        type: PRIVATE,
        pages: HUGE,
        owner: {},
        ops: { migrateToRam: () => 0, folioFree: () => {} },
      });
      const pages = [0, 1, 2].map((offset) => devices.activate(map, offset, 0));
      devices.pagemaps.kill(map);
      const run = runThreads(subject.words, subject.kernel.base.core.content, {
        unload: () => devices.pagemaps.waitDrained(map),
        driver: () => {
          for (const page of pages) devices.release(page);
        },
      });
      expect(run.stuck).toEqual([]);
      expect(run.events.map((e) => `${e.thread} ${e.what}`)).toEqual([
        "unload waits",
        "driver ends",
        "unload goes on",
        "unload ends",
      ]);
      expect(devices.pagemaps.unmap(map)).toBe(0);
    },
  );

  /** A machine whose accesses an explorer orders. */
  function checked(design: string): { devices: Devices; words: CheckedWords; kernel: Kernel } {
    let words: CheckedWords | null = null;
    const kernel = Kernel.boot(
      { memory: "8MiB", device: { private: "128MiB", span: "128MiB" } },
      parseDesign(design),
      (size) => (words = new CheckedWords(new PlainWords(size))),
    );
    if (words === null) throw new Error("no words");
    return { devices: Devices.attach(kernel), words, kernel };
  }

  test.each(["today+activation=request", "device-tuple"])(
    "%s: a request and a kill in every interleaving: refused, or waited for",
    (design) => {
      const { devices, words } = checked(design);
      const map = devices.mapPages({
        name: "gpu",
        type: PRIVATE,
        pages: HUGE,
        owner: {},
        ops: { migrateToRam: () => 0, folioFree: () => {} },
      });
      const verdict = explore(
        {
          words,
          threads: [
            {
              name: "driver",
              run: () => {
                const page = devices.zoneDevice.request(map, 5, 0);
                if (page < 0) return page;
                const side = devices.moves.sideOf(page);
                // The map is there as long as the page is in service.
                const alive = map.refs;
                side.folios.put(side.folioOf(page));
                return alive;
              },
            },
            {
              name: "unload",
              run: () => {
                devices.pagemaps.kill(map);
                devices.pagemaps.waitDrained(map);
                return map.inService;
              },
            },
          ],
          pages: [],
          finalCheck: ([driver, left]) =>
            left === 0 && (driver === ENXIO || driver > 0) && map.refs === 0
              ? null
              : `driver ${driver}, ${left} left, ${map.refs} references`,
        },
        { mode: "merging" },
      );
      expect([verdict.kind, verdict.counterexample]).toEqual(["complete", null]);
      expect(verdict.ends).toBeGreaterThan(1);
    },
  );

  test("truncation waits until nobody holds a page of fs-dax memory", () => {
    const { devices, words } = checked("today+activation=request");
    const first = devices.base.core.machine.deviceFirst;
    const map = devices.mapPages({
      name: "pmem",
      type: FS_DAX,
      ranges: [{ start: first, pages: HUGE }],
    });
    const page = devices.zoneDevice.request(map, 0, 0);
    const other = devices.zoneDevice.request(map, 1, 0);
    const put = (p: number): void => {
      const side = devices.moves.sideOf(p);
      side.folios.put(side.folioOf(p));
    };
    const verdict = explore(
      {
        words,
        threads: [
          { name: "truncate", run: () => devices.zoneDevice.awaitIdle(map, page) },
          { name: "reader", run: () => (put(other), put(page), 0) },
        ],
        pages: [],
        finalCheck: ([waited]) =>
          waited === 0 && devices.zoneDevice.refcountOf(page) === 0 ? null : "it is not idle",
      },
      { mode: "merging" },
    );
    expect([verdict.kind, verdict.counterexample]).toEqual(["complete", null]);
    expect(devices.zoneDevice.awaitIdle(map, page + HUGE)).toBe(EINVAL);
  });

  test("alone, a wait for a page of fs-dax memory in use is for ever; of other memory nobody wakes", () => {
    const s = scene("today");
    const map = mapOf(s, FS_DAX);
    const page = s.devices.activate(map, 0, 0);
    expect(() => s.devices.zoneDevice.awaitIdle(map, page)).toThrow("no other thread runs");
    s.devices.release(page);
    expect(s.devices.zoneDevice.awaitIdle(map, page)).toBe(0);
    expect(s.devices.zoneDevice.awaitIdle(mapOf(s, COHERENT, HUGE, 4), page)).toBe(EINVAL);
  });
});
