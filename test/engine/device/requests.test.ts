/**
 * Putting pages into service: requests and what refuses them, the order of a folio and who
 * sets it, references of the map, pages that come back at another order; what `init` only
 * warns about; and that an idle page is nobody's to look at.
 *
 * Facts: device-facts §1.2–1.5; seed 001.
 */
import { describe, expect, test } from "vitest";
import { IDLE_PAGES_ARE_NOT_TOUCHED, idleWords } from "../../../src/engine/device/idle-words.js";
import { InPageListAllocator } from "../../../src/engine/drivers/allocators/in-page-list.js";
import { RuleViolation } from "../../../src/engine/errors.js";
import { inspectDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import { deviceIndex, deviceOffset, pfn, spaceId } from "../../../src/units.js";
import { LEGAL } from "../drivers/designs.js";
import {
  COHERENT,
  config,
  FS_DAX,
  GENERIC,
  held,
  HUGE,
  isAsBefore,
  mapOf,
  PRIVATE,
  scene,
  TYPES,
  wrong,
  type Scene,
} from "./pagemap-scene.js";

const EINVAL = -22;
const ENXIO = -6;
const EBUSY = -16;
const EOPNOTSUPP = -95;

/** Designs that request, of every word, name, record and lifetime. */
const REQUEST = LEGAL.filter((d) => d.endsWith("activation=request")).filter((_, i) => i % 4 === 0);
const INIT = LEGAL.filter((d) => d.endsWith("activation=init")).filter((_, i) => i % 4 === 0);

function throws(make: () => unknown): boolean {
  try {
    make();
    return false;
  } catch {
    return true;
  }
}

const refsOf = (s: Scene, page: number): number => s.devices.zoneDevice.refcountOf(page);
const rulesOf = (s: Scene, ...pages: number[]): string[] =>
  inspectDevices(s.devices, held(...pages)).map((v) => v.rule);

describe.each(REQUEST)("%s: a request", (design) => {
  test("gives the page, with one reference, not locked; twice it is refused", () => {
    const s = scene(design);
    const { devices } = s;
    const map = mapOf(s, PRIVATE);
    const page = devices.requestFolio(map, 9, 0);
    expect(page).toBe(map.pageAt(9));
    const side = devices.sideOf(page);
    expect(refsOf(s, page)).toBe(1);
    expect(side.folios.isLocked(side.folioOf(page))).toBe(false);
    expect(devices.requestFolio(map, 9, 0)).toBe(EBUSY);
    // Also as part of a larger one, or inside of one.
    expect(devices.requestFolio(map, 8, 3)).toBe(EBUSY);
    const large = devices.requestFolio(map, 16, 4);
    expect(devices.requestFolio(map, 21, 0)).toBe(EBUSY);
    expect([refsOf(s, page), refsOf(s, large), map.refs]).toEqual([1, 1, 3]);
    expect(wrong(s, held(page, large))).toEqual([]);
    for (const p of [page, large]) side.folios.put(side.folioOf(p));
    expect([map.refs, map.inService]).toEqual([1, 0]);
  });

  test("any: of what is in service one more reference, at its own order only", () => {
    const s = scene(`${design}+request-idle=any`);
    const { devices } = s;
    const map = mapOf(s, PRIVATE);
    const page = devices.requestFolio(map, 16, 4);
    expect(devices.requestFolio(map, 16, 4)).toBe(page);
    expect([refsOf(s, page), map.refs]).toEqual([2, 2]);
    for (const [offset, order] of [
      [16, 3],
      [16, 5],
      [0, 5],
      [17, 0],
    ])
      expect(devices.requestFolio(map, offset, order)).toBe(EINVAL);
    expect(devices.requestFolio(map, 16, 0)).toBe(EINVAL);
    const side = devices.sideOf(page);
    side.folios.put(side.folioOf(page), 2);
    expect([map.refs, map.inService]).toEqual([1, 0]);
  });

  test("match: an order is expected, not given", () => {
    const s = scene(`${design}+request-order=match`);
    const { devices } = s;
    const { zoneDevice } = devices;
    const map = mapOf(s, PRIVATE);
    expect(devices.requestFolio(map, 0, 9)).toBe(EINVAL);
    const page = devices.requestFolio(map, 5, 0);
    expect(page).toBe(map.first + 5);
    // A folio in use cannot be put into another; an idle one can.
    expect(zoneDevice.setOrder(map, 0, 9)).toBe(EBUSY);
    expect(zoneDevice.setOrder(map, 256, 8)).toBe(0);
    expect([256, 257, 511].map((o) => map.orders?.at(o))).toEqual([8, -1, -1]);
    expect(devices.requestFolio(map, 257, 0)).toBe(EINVAL);
    expect(devices.requestFolio(map, 256, 0)).toBe(EINVAL);
    // Taken apart, the rest are the largest folios beside it.
    expect(zoneDevice.setOrder(map, 259, 0)).toBe(0);
    expect([256, 258, 259, 260, 264, 384].map((o) => map.orders?.at(o))).toEqual([
      1, 0, 0, 2, 3, 7,
    ]);
    const large = devices.requestFolio(map, 384, 7);
    expect(large).toBe(map.first + 384);
    expect(zoneDevice.setOrder(map, 400, 0)).toBe(EBUSY);
    expect([zoneDevice.setOrder(map, 1, 1), zoneDevice.setOrder(map, 512, 0)]).toEqual([
      EINVAL,
      EINVAL,
    ]);
    // A driver's way in sets it up.
    const other = devices.activate(map, 8, 3);
    expect(wrong(s, held(page, large, other))).toEqual([]);
    for (const p of [page, large, other]) devices.release(p);
    expect(map.refs).toBe(1);
  });

  test("a dying map is refused before anything else is looked at", () => {
    const s = scene(design);
    const map = mapOf(s, PRIVATE);
    const page = s.devices.requestFolio(map, 0, 0);
    s.devices.pagemaps.kill(map);
    expect(s.devices.requestFolio(map, 1, 0)).toBe(ENXIO);
    expect(s.devices.requestFolio(map, 0, 0)).toBe(ENXIO);
    expect(s.devices.requestFolio(map, HUGE, 0)).toBe(EINVAL);
    expect(map.refs).toBe(1);
    const side = s.devices.sideOf(page);
    side.folios.put(side.folioOf(page));
    expect(map.refs).toBe(0);
  });

  test.each(["folio", "page"])("a folio holds its map once, or once for each page: %s", (refs) => {
    for (const type of TYPES) {
      const s = scene(`${design}+request-refs=${refs}`, { memory: "32MiB" });
      const map = mapOf(s, type);
      const page = s.devices.activate(map, 0, 9);
      const single = refs === "folio" ? 1 : HUGE;
      expect([type, map.refs]).toEqual([type, 1 + single]);
      expect(wrong(s, held(page))).toEqual([]);
      s.devices.release(page);
      expect(map.refs).toBe(1);
    }
  });

  test("looking at an idle page is reported, whichever way", () => {
    const s = scene(design);
    const { devices } = s;
    const { naming } = devices;
    const map = mapOf(s, PRIVATE);
    const page = devices.activate(map, 0, 0);
    const idle = map.pageAt(1);
    const number = naming.numberLow(idle, map.words);
    const looks: (() => unknown)[] = [
      () => devices.pagemaps.ofPage(idle),
      () => devices.sideOf(idle),
    ];
    if (naming.name === "physical") looks.push(() => naming.pageOf(pfn(number)));
    else if (naming.name === "offset") looks.push(() => naming.pageOf(deviceOffset(number)));
    else looks.push(() => naming.pageOf(spaceId(0), deviceIndex(number)));
    if (devices.record.name !== "folio") looks.push(() => devices.data(idle));
    for (const look of looks) {
      expect(rulesOf(s, page)).toEqual([]);
      look();
      const [event, ...more] = inspectDevices(devices, held(page));
      expect([event.rule, event.pfn, more]).toEqual([IDLE_PAGES_ARE_NOT_TOUCHED, idle, []]);
      expect(event.message).toContain("page map 1, offset 1");
    }
    // A page in service is its holder's to look at; and a coherent one is no other case.
    devices.pagemaps.ofPage(page);
    devices.data(page);
    const coherent = mapOf(s, COHERENT);
    devices.pagemaps.ofPage(coherent.pageAt(3));
    const found = inspectDevices(devices, held(page));
    expect(found.map((v) => [v.rule, v.pfn])).toEqual([
      [IDLE_PAGES_ARE_NOT_TOUCHED, coherent.first + 3],
    ]);
    // Nobody listens in fast runs.
    devices.watch = null;
    devices.pagemaps.ofPage(idle);
    expect(inspectDevices(devices, held(page))).toEqual([]);
  });

  test("a list in the idle pages is refused at its first touch", () => {
    const s = scene(design);
    const map = mapOf(s, COHERENT);
    const make = (): unknown => new InPageListAllocator(map.pages, idleWords(s.devices, map));
    const spare = !design.startsWith("memdesc8");
    expect(make).toThrow(spare ? RuleViolation : "EOPNOTSUPP");
    expect(rulesOf(s)).toEqual(spare ? [IDLE_PAGES_ARE_NOT_TOUCHED] : []);
  });
});

describe.each(INIT)("%s: init", (design) => {
  test("gives the page locked with one reference, and has no request", () => {
    const s = scene(design);
    const map = mapOf(s, PRIVATE);
    expect(s.devices.requestFolio(map, 0, 0)).toBe(EOPNOTSUPP);
    const page = s.devices.activate(map, 0, 9);
    const side = s.devices.sideOf(page);
    expect(side.folios.isLocked(side.folioOf(page))).toBe(true);
    // One for each base page.
    expect([refsOf(s, page), map.refs, map.inService]).toEqual([1, 1 + HUGE, HUGE]);
    expect(wrong(s, held(page))).toEqual([]);
    s.devices.release(page);
    expect(map.refs).toBe(1);
    expect(s.told).toEqual([`1: ${page}, 9`]);
  });

  test("what is in service is warned about and initialised all the same", () => {
    const s = scene(design);
    const map = mapOf(s, PRIVATE);
    const page = s.devices.activate(map, 3, 0);
    s.devices.zoneDevice.init(map, page, 0);
    expect(s.devices.zoneDevice.warnings).toEqual([
      `1: page ${page} is initialised while it is in service`,
    ]);
    // One holder's reference is lost, the map's is not: it will never drain.
    expect([refsOf(s, page), map.refs, map.inService]).toEqual([1, 3, 2]);
    expect(rulesOf(s)).toContain("map references add up");
  });

  test("idle pages may be looked at, and a list through them works", () => {
    const s = scene(design);
    const { devices } = s;
    const map = mapOf(s, COHERENT, 3 * HUGE);
    devices.pagemaps.ofPage(map.first);
    expect(rulesOf(s)).toEqual([]);
    const words = (): unknown => idleWords(devices, map);
    // One word of 8 bytes leads to a descriptor, and an idle page has none.
    const spare = design.startsWith("memdesc8") ? 0 : 1;
    expect([words].filter((make) => !throws(make))).toHaveLength(spare);
  });
});

describe.each(["today", "page32", "memdesc16", "slot64", "today+separated=all"])(
  "%s: the list in the idle pages under init",
  (word) => {
    test.each(["static", "chunk"])("pages and blocks come and go, lifetime %s", (lifetime) => {
      const s = scene(`${word}+device-lifetime=${lifetime}`);
      const { devices } = s;
      const list: { free(offset: number, order: number): void }[] = [];
      const map = devices.mapPages({
        ...config(s, COHERENT, 4 * HUGE),
        ops: { folioFree: (page, order) => list[0].free(map.offsetOf(page), order) },
      });
      const frames = s.kernel.machine.deviceArea?.frames ?? 0;
      const made = new InPageListAllocator(map.pages, idleWords(devices, map));
      list.push(made);
      // A link in every block: no chunk stays away.
      const all = (map.pages * devices.zoneDevice.of(map.first).record.bytesPerPage) / 4096;
      expect([frames, s.kernel.machine.deviceArea?.frames]).toEqual([
        lifetime === "static" ? all : 0,
        all,
      ]);
      const out: number[] = [];
      for (const order of [0, 9, 0, 9, 0]) {
        const offset = made.alloc(order);
        expect(offset).toBeGreaterThanOrEqual(0);
        out.push(devices.activate(map, offset, order));
      }
      expect(new Set(out).size).toBe(5);
      expect(wrong(s, held(...out))).toEqual([]);
      for (const page of out) devices.release(page);
      expect(made.freePages).toBe(map.pages);
      // And again, from links that pages in service had overwritten.
      for (let i = 0; i < 4; i++) out[i] = devices.activate(map, made.alloc(9), 9);
      expect(out.slice(0, 4).toSorted((a, b) => a - b)).toEqual(
        [0, 1, 2, 3].map((i) => map.first + i * HUGE),
      );
      expect(made.alloc(0)).toBe(-28);
      for (const page of out.slice(0, 4)) devices.release(page);
      devices.pagemaps.unmap(map);
      expect(isAsBefore(s)).toBe(true);
    });
  },
);

test("who pays for the descriptor of a coherent page gets it back with the page", () => {
  for (const design of ["memdesc8", "memdesc16+activation=request", "page32"]) {
    const s = scene(design, { chargeDescriptors: true });
    const { devices, kernel } = s;
    const map = mapOf(s, COHERENT);
    const memcg = kernel.createMemcg(1000);
    const page = devices.activate(map, 0, 0);
    const side = devices.sideOf(page);
    const folio = side.folioOf(page);
    kernel.base.memcgs.charge(memcg, 1);
    kernel.base.core.setPointer(folio, side.folios.layout.memcg, memcg);
    kernel.base.memcgs.chargeDescriptor(memcg, page, 0, 1);
    expect(kernel.memcg(memcg).descriptorBytes).toBeGreaterThan(0);
    expect(wrong(s, held(page))).toEqual([]);
    devices.release(page);
    expect(kernel.memcg(memcg)).toMatchObject({ usage: 0, descriptorBytes: 0 });
  }
});

test("fs-dax and device-dax folios of 1 GiB, and none larger", () => {
  const s = scene("memdesc8+device-lifetime=request+activation=request", {
    device: { private: 0, span: "2GiB" },
  });
  const GIB = 2 ** 18;
  for (const type of [FS_DAX, GENERIC]) {
    const start = s.kernel.machine.deviceFirst;
    const first = Math.ceil(start / GIB) * GIB;
    const map = s.devices.mapPages({ ...config(s, type), ranges: [{ start: first, pages: GIB }] });
    const page = s.devices.activate(map, 0, 18);
    expect(page).toBe(first);
    expect(s.kernel.machine.deviceArea?.frames).toBe(512);
    expect(wrong(s, held(page))).toEqual([]);
    expect(s.devices.activate(map, 0, 19)).toBe(EINVAL);
    s.devices.release(page);
    s.devices.pagemaps.unmap(map);
    expect(isAsBefore(s)).toBe(true);
  }
});
