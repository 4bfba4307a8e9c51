/**
 * Page maps of the device address space: their entry points, the maps that belong to a
 * device, and numbers: which a map gets, which run out, which went.
 *
 * Facts: device-facts §2.1, §2.4, §3.4.
 */
import { describe, expect, test } from "vitest";
import { ManagedDevice } from "../../../src/engine/device/managed-device.js";
import { type DevPagemap } from "../../../src/engine/device/pagemap.js";
import { deviceIndex, deviceOffset, pfn, spaceId } from "../../../src/units.js";
import { LEGAL } from "../drivers/designs.js";
import {
  COHERENT,
  HUGE,
  PRIVATE,
  NAMES,
  config,
  create,
  held,
  isAsBefore,
  mapOf,
  scene,
  wrong,
} from "./pagemap-scene.js";

const EINVAL = -22;
const ENOMEM = -12;

describe("entry points", () => {
  test("the old one takes private memory only where it has pfns", () => {
    for (const design of NAMES) {
      const s = scene(design);
      const { pagemaps, zoneDevice } = s.devices;
      const own = design !== "today";
      const old = pagemaps.memremapPages(config(s, PRIVATE));
      const fresh = pagemaps.memremapDevicePrivatePagemap(config(s, PRIVATE));
      expect([old, fresh].map((m) => typeof m)).toEqual(
        own ? ["number", "object"] : ["object", "number"],
      );
      expect([old, fresh].find((m) => typeof m === "number")).toBe(EINVAL);
      expect(zoneDevice.warnings.length).toBe(1);
      // Of other memory it is the old one's business.
      expect(pagemaps.memremapDevicePrivatePagemap(config(s, COHERENT))).toBe(EINVAL);
      const coherent = pagemaps.memremapPages(config(s, COHERENT));
      const map = own ? fresh : old;
      if (typeof map === "number" || typeof coherent === "number") throw new Error("no map");
      // And each ends what it made.
      expect(own ? pagemaps.memunmapPages(map) : pagemaps.memunmapDevicePrivatePagemap(map)).toBe(
        EINVAL,
      );
      expect(pagemaps.memunmapDevicePrivatePagemap(coherent)).toBe(EINVAL);
      expect(map.state).toBe("live");
      expect(own ? pagemaps.memunmapDevicePrivatePagemap(map) : pagemaps.memunmapPages(map)).toBe(
        0,
      );
      expect(pagemaps.memunmapPages(coherent)).toBe(0);
      expect(isAsBefore(s)).toBe(true);
    }
  });

  test.each(NAMES)("%s: a size that is no multiple of a page is rounded up", (design) => {
    const s = scene(design);
    const { pages: _, ...base } = config(s, PRIVATE);
    for (const [size, pages] of [
      [1, 1],
      [4096, 1],
      [4097, 2],
      [3 * 2 ** 20 - 1, 768],
    ]) {
      const map = s.devices.mapPages({ ...base, size });
      expect(map.pages).toBe(pages);
      expect(map.range.end - map.range.start + 1).toBe(pages * 4096);
      expect(s.devices.activate(map, pages, 0)).toBe(EINVAL);
      s.devices.release(s.devices.activate(map, pages - 1, 0));
      s.devices.pagemaps.unmap(map);
    }
  });

  test("the node of a map is its pages'; without one they get the processor's", () => {
    for (const design of LEGAL.filter((_, i) => i % 12 === 0)) {
      const s = scene(design, { memory: "32MiB", nodes: 2 });
      for (const [nid, is] of [
        [-1, 0],
        [undefined, 0],
        [0, 0],
        [1, 1],
      ] as const)
        for (const type of [PRIVATE, COHERENT]) {
          const map = s.devices.mapPages({
            ...config(s, type),
            ...(nid === undefined ? {} : { nid }),
          });
          expect(map.nid).toBe(is);
          const page = s.devices.activate(map, 9, 0);
          const side = s.devices.sideOf(page);
          expect(side.folios.nodeOf(side.folioOf(page))).toBe(is);
          expect(wrong(s, held(page))).toEqual([]);
          s.devices.release(page);
          s.devices.pagemaps.unmap(map);
        }
    }
  });
});

describe("maps of a device", () => {
  test("go with it, the last made first, and each can go before", () => {
    for (const design of NAMES) {
      const s = scene(design, { memory: "32MiB", nodes: 2 });
      const device = new ManagedDevice(s.devices, "0000:01:00.0", 1);
      const log: string[] = [];
      const maps = [0, 1, 2].map((i) =>
        device.mapPages({ ...config(s, i === 1 ? COHERENT : PRIVATE), name: `m${i}` }),
      );
      expect(device.addAction(log, () => log.push("action"))).toBe(0);
      const [a, b, c] = maps;
      if (typeof a === "number" || typeof b === "number" || typeof c === "number")
        throw new Error("no map");
      expect([a.nid, b.nid]).toEqual([1, 1]);
      expect(device.actions).toBe(4);
      expect(wrong(s)).toEqual([]);
      // The middle one goes first, by itself.
      expect(device.memunmapPages(b)).toBe(0);
      expect(b.state).toBe("dead");
      expect(device.memunmapPages(b)).toBe(-2);
      const own = design !== "today";
      expect(own ? device.memunmapPages(a) : device.memunmapDevicePrivatePagemap(a)).toBe(EINVAL);
      // What is in use keeps the device from going; what came after it has gone already.
      const page = s.devices.activate(c, 0, 0);
      device.addAction(a, () => log.push(`${c.state} ${a.state}`));
      expect(() => device.detach()).toThrow("no other thread runs");
      expect(log).toEqual(["live live", "action"]);
      s.devices.release(page);
      expect(s.devices.pagemaps.unmap(c)).toBe(0);
      device.detach();
      expect([a.state, c.state, device.actions]).toEqual(["dead", "dead", 0]);
      expect(isAsBefore(s)).toBe(true);
    }
  });

  test("without memory for the note that it must go, it goes at once", () => {
    const s = scene("device-offset");
    const device = new ManagedDevice(s.devices, "gpu");
    const { machine } = s.kernel;
    const taken: number[] = [];
    for (let p = machine.allocPages(0); p >= 0; p = machine.allocPages(0)) taken.push(p);
    let map: DevPagemap | number = ENOMEM;
    const results = new Set<number>();
    while (typeof map === "number") {
      map = device.memremapDevicePrivatePagemap(config(s, PRIVATE));
      if (typeof map !== "number") break;
      results.add(map);
      expect(s.devices.pagemaps.maps.size).toBe(0);
      machine.freePages(taken.pop() ?? 0, 0);
    }
    expect([...results]).toEqual([ENOMEM]);
    device.detach();
    for (const p of taken) machine.freePages(p, 0);
    expect(isAsBefore(s)).toBe(true);
  });
});

describe("numbers", () => {
  const window = { name: "PCI", start: 2 ** 28, size: 2 ** 43 - 2 ** 28 };

  test("a PCI window right behind the RAM of a machine with 43 bits: physical numbers run out", () => {
    const device = {
      private: "256MiB",
      span: "128MiB",
      physicalBits: 43,
      windows: [window],
    } as const;
    const outcomes = NAMES.map((design) => {
      const s = scene(design, { device });
      const map = create(s, config(s, PRIVATE));
      return typeof map === "number" ? map : s.devices.activate(map, 1, 0) > 0;
    });
    expect(outcomes).toEqual([-34, true, true]);
    const s = scene("today", { device });
    expect(() => mapOf(s, PRIVATE)).toThrow("ERANGE: no free stretch of physical address space");
    expect(isAsBefore(s)).toBe(true);
  });

  test("physical numbers are searched from the top, 128 MiB at a time, never in the first", () => {
    const s = scene("today", { device: { private: "512MiB", span: "128MiB", physicalBits: 36 } });
    const a = mapOf(s, PRIVATE, 1);
    const b = mapOf(s, PRIVATE, 32769);
    expect(a.range).toEqual({ start: 2 ** 36 - 2 ** 27, end: 2 ** 36 - 2 ** 27 + 4095 });
    expect(b.range.start).toBe(2 ** 36 - 3 * 2 ** 27);
    s.devices.pagemaps.unmap(a);
    expect(mapOf(s, PRIVATE, HUGE).range.start).toBe(2 ** 36 - 2 ** 27);
    const tight = scene("today", {
      device: {
        private: "512MiB",
        span: 0,
        physicalBits: 36,
        windows: [{ name: "PCI", start: 2 ** 28, size: 2 ** 36 - 2 ** 28 }],
      },
    });
    expect(create(tight, config(tight, PRIVATE))).toBe(-34);
  });

  test("offsets begin at 0 and the lowest gap is taken; a number that went leads to nothing", () => {
    const s = scene("device-offset");
    const { naming } = s.devices;
    if (naming.name !== "offset") throw new Error("no offsets");
    const [a, b, c] = [10, 20, 30].map((pages) => mapOf(s, PRIVATE, pages));
    expect([a, b, c].map((m) => m.range.start / 4096)).toEqual([0, 10, 30]);
    const page = s.devices.activate(b, 3, 0);
    expect(naming.pageOf(deviceOffset(13))).toBe(page);
    s.devices.release(page);
    s.devices.pagemaps.unmap(b);
    for (const n of [10, 13, 29]) expect(naming.pageOf(deviceOffset(n))).toBe(-1);
    expect(naming.pageOf(deviceOffset(30))).not.toBe(-1);
    expect(mapOf(s, PRIVATE, 21).range.start / 4096).toBe(60);
    expect(mapOf(s, PRIVATE, 20).range.start / 4096).toBe(10);
  });

  test("a stale pfn, a stale space: nothing", () => {
    const p = scene("today");
    const map = mapOf(p, PRIVATE);
    const { naming } = p.devices;
    const number = map.range.start / 4096;
    if (naming.name !== "physical") throw new Error("no pfns");
    expect(naming.pageOf(pfn(number))).toBe(map.first);
    // The rest of its section is nobody's.
    expect([HUGE - 1, HUGE].map((i) => naming.pageOf(pfn(number + i)))).toEqual([
      map.first + HUGE - 1,
      -1,
    ]);
    p.devices.pagemaps.unmap(map);
    expect(naming.pageOf(pfn(number))).toBe(-1);
    const t = scene("device-tuple");
    const maps = [0, 1, 2].map(() => mapOf(t, PRIVATE));
    const tuple = t.devices.naming;
    if (tuple.name !== "tuple") throw new Error("no tuples");
    expect(maps.map((m) => tuple.spaceOf(m.words))).toEqual([0, 1, 2]);
    for (const m of maps) expect(m.range).toEqual({ start: 0, end: HUGE * 4096 - 1 });
    t.devices.pagemaps.unmap(maps[1]);
    expect(tuple.pageOf(spaceId(1), deviceIndex(0))).toBe(-1);
    expect(tuple.pageOf(spaceId(2), deviceIndex(HUGE))).toBe(-1);
    // The lowest space that is free.
    expect(tuple.spaceOf(mapOf(t, PRIVATE).words)).toBe(1);
    expect(tuple.spaceOf(mapOf(t, PRIVATE).words)).toBe(3);
  });

  test("the device address space is full: EBUSY, and there is room again afterwards", () => {
    const s = scene(
      "device-offset+device-record=folio+device-lifetime=request+activation=request",
      {
        device: { private: "96GiB", span: 0, physicalBits: 36 },
      },
    );
    const GIB = 2 ** 18;
    const maps = Array.from({ length: 63 }, () => mapOf(s, PRIVATE, GIB));
    expect(create(s, { ...config(s, PRIVATE), pages: GIB + 1 })).toBe(-16);
    expect(() => mapOf(s, PRIVATE, 2 * GIB)).toThrow("EBUSY: the device address space is full");
    maps.push(mapOf(s, PRIVATE, GIB));
    expect(create(s, { ...config(s, PRIVATE), pages: 1 })).toBe(-16);
    expect(maps.at(-1)?.range.end).toBe(2 ** 36 - 1);
    expect(wrong(s)).toEqual([]);
    s.devices.pagemaps.unmap(maps[7]);
    expect(mapOf(s, PRIVATE, 1).range.start).toBe(7 * 2 ** 30);
  });

  test("65,536 spaces are in use: ENOSPC by name, and the lowest that went is the next", () => {
    const s = scene("device-tuple+device-record=folio+device-lifetime=request", {
      memory: "64MiB",
      device: { private: "130GiB", span: 0 },
    });
    const maps = Array.from({ length: 65_536 }, () => mapOf(s, PRIVATE, 1));
    expect(create(s, config(s, PRIVATE))).toBe(-28);
    expect(() => mapOf(s, PRIVATE, 1)).toThrow("ENOSPC: all device spaces are in use");
    // The table of spaces is 1 MiB, and nothing else describes them.
    expect(s.kernel.machine.deviceArea?.frames).toBe(256);
    const { naming } = s.devices;
    if (naming.name !== "tuple") throw new Error("no tuples");
    s.devices.pagemaps.unmap(maps[40_000]);
    s.devices.pagemaps.unmap(maps[999]);
    expect(naming.spaceOf(mapOf(s, PRIVATE, 1).words)).toBe(999);
    expect(naming.spaceOf(mapOf(s, PRIVATE, 1).words)).toBe(40_000);
    expect(create(s, config(s, PRIVATE))).toBe(-28);
    // From the last on the table shrinks with them.
    for (const map of maps.slice(65_536 - 256)) s.devices.pagemaps.unmap(map);
    expect(s.kernel.machine.deviceArea?.frames).toBe(255);
    expect(wrong(s)).toEqual([]);
  });
});
