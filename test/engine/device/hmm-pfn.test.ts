/**
 * The layout of HMM arrays: which bit is what, that numbers of every naming fit, that
 * what is set is read again, and where flags of different patches collide.
 */
import { describe, expect, test } from "vitest";
import {
  HMM_PFN_DEVICE_PRIVATE,
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_ERROR,
  HMM_PFN_INDEX_BITS,
  HMM_PFN_ORDER_BITS,
  HMM_PFN_ORDER_SHIFT,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_SPACE_BITS,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  hmmOrderFlags,
  hmmOrderSets,
} from "../../../src/engine/device/hmm/hmm-pfn.js";
import {
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_PCI_P2PDMA,
} from "../../../src/engine/device/kinds.js";
import { HMM_DESIGNS, HUGE, Rig, TestDevice } from "./hmm-machine.js";

const WRITABLE = HMM_PFN_VALID | HMM_PFN_WRITE;
const PUD_ORDER = 18;
/** BITS_PER_LONG − 7 and − 11. */
const BIT_57 = 57;
const OLD_SHIFT = 53;

test("flags are the bits of the series, from the top down", () => {
  const bits = [
    HMM_PFN_VALID,
    HMM_PFN_WRITE,
    HMM_PFN_ERROR,
    HMM_PFN_DMA_MAPPED,
    HMM_PFN_P2PDMA,
    HMM_PFN_P2PDMA_BUS,
    HMM_PFN_DEVICE_PRIVATE,
  ].map((flag) => 32 + Math.log2(flag >>> 0));
  expect(bits).toEqual([63, 62, 61, 60, 59, 58, 57]);
  expect(HMM_PFN_ORDER_SHIFT).toBe(64 - 12);
});

test("order, space and index lie beside each other", () => {
  const flags = [WRITABLE, HMM_PFN_ERROR, HMM_PFN_DEVICE_PRIVATE, HMM_PFN_DMA_MAPPED];
  const all = flags.reduce((a, b) => a | b) | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS;
  for (let order = 0; order < 2 ** HMM_PFN_ORDER_BITS; order++)
    expect(hmmOrderFlags(order) & all).toBe(0);
  expect(HMM_PFN_INDEX_BITS + HMM_PFN_SPACE_BITS).toBeLessThanOrEqual(HMM_PFN_ORDER_SHIFT);
});

describe("bit 57 and the order", () => {
  test("the field that begins at 52 never reaches it", () => {
    for (let order = 0; order < 32; order++)
      expect(hmmOrderSets(order, HMM_PFN_ORDER_SHIFT, BIT_57)).toBe(false);
  });

  test("the field that begins at 53 sets it for orders from 16 on: a PUD, not a PMD", () => {
    expect(hmmOrderSets(9, OLD_SHIFT, BIT_57)).toBe(false);
    expect(hmmOrderSets(15, OLD_SHIFT, BIT_57)).toBe(false);
    expect(hmmOrderSets(16, OLD_SHIFT, BIT_57)).toBe(true);
    expect(hmmOrderSets(PUD_ORDER, OLD_SHIFT, BIT_57)).toBe(true);
  });

  test("and the flag on a single page is read as order 16 there", () => {
    const entry = 1n << BigInt(BIT_57);
    expect((entry >> BigInt(OLD_SHIFT)) & 31n).toBe(16n);
  });
});

describe.each(HMM_DESIGNS)("%s", (design) => {
  test("frames and private pages of two maps are found again from what was set", () => {
    const rig = new Rig(design);
    const { hmm, devices } = rig;
    const pages = [new TestDevice(rig, "a"), new TestDevice(rig, "b")].flatMap(({ map }) =>
      [0, 1, HUGE - 1].map((offset) => devices.activate(map, offset, 0)),
    );
    const array = new Int32Array(2);
    for (const page of [...pages, 0, 1, 4711]) {
      const isPrivate = page >= devices.firstPrivate;
      hmm.pfns.set(array, 0, page, WRITABLE | HMM_PFN_DMA_MAPPED, 9);
      expect(hmm.page(array, 0)).toBe(page);
      expect(hmm.mapOrder(array, 0)).toBe(9);
      const kind = isPrivate && design !== "today" ? HMM_PFN_DEVICE_PRIVATE : 0;
      expect(hmm.pfns.flags(array, 0)).toBe(WRITABLE | HMM_PFN_DMA_MAPPED | kind);
      expect(hmm.kind(array, 0)).toBe(isPrivate ? "private" : "ram");
      if (!isPrivate) continue;
      expect(hmm.pfns.numberLow(array, 0)).toBe(devices.numbers.low(page));
      expect(hmm.pfns.numberHigh(array, 0)).toBe(devices.numbers.high(page));
    }
  });

  test("an entry that is not valid names nothing", () => {
    const rig = new Rig(design);
    const { hmm } = rig;
    const array = Int32Array.from([7, 0, 7, HMM_PFN_ERROR, 7, HMM_PFN_DMA_MAPPED]);
    expect([0, 1, 2].map((i) => hmm.page(array, i))).toEqual([-1, -1, -1]);
    expect([0, 1, 2].map((i) => hmm.kind(array, i))).toEqual(["none", "error", "none"]);
  });

  test("frames of devices are told by their page map, and by the flags of peers", () => {
    const rig = new Rig(design);
    const { hmm, devices } = rig;
    const first = rig.kernel.machine.deviceFirst;
    devices.mapPages({
      name: "hbm",
      type: MEMORY_DEVICE_COHERENT,
      ranges: [{ start: first, pages: HUGE }],
      owner: {},
      ops: { folioFree: () => {} },
    });
    devices.mapPages({
      name: "bar",
      type: MEMORY_DEVICE_PCI_P2PDMA,
      ranges: [{ start: first + HUGE, pages: HUGE }],
    });
    const array = new Int32Array(8);
    for (const [i, at] of [0, HUGE, 2 * HUGE].entries())
      hmm.pfns.set(array, i, first + at, HMM_PFN_VALID, 0);
    hmm.pfns.set(array, 3, 5, HMM_PFN_VALID | HMM_PFN_P2PDMA, 0);
    expect([0, 1, 2, 3].map((i) => hmm.kind(array, i))).toEqual([
      "coherent",
      "p2pdma",
      "uninitialised",
      "p2pdma",
    ]);
  });
});

test("the same number is a frame or a page of a device, by its flag alone", () => {
  const rig = new Rig("device-tuple");
  const { hmm, devices } = rig;
  const { map } = new TestDevice(rig, "gpu");
  const page = devices.activate(map, 3, 0);
  const array = new Int32Array(4);
  hmm.pfns.set(array, 0, page, HMM_PFN_VALID, 0);
  hmm.pfns.set(array, 1, 3, HMM_PFN_VALID, 0);
  expect([array[0], array[2]]).toEqual([3, 3]);
  expect([hmm.page(array, 0), hmm.page(array, 1)]).toEqual([page, 3]);
});
