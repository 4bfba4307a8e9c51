/**
 * hmm_range_fault, state by state, where one entry stands for 512 pages: the rows of
 * device-facts §5.8 for PMDs. Those for single pages are in hmm-rows.test.ts.
 */
import { describe, expect, test } from "vitest";
import {
  HMM_PFN_DEVICE_PRIVATE,
  HMM_PFN_ERROR,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from "../../../src/engine/device/hmm/hmm-pfn.js";
import { EFAULT } from "../../../src/engine/device/kinds.js";
import {
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../../../src/engine/process/constants.js";
import {
  PTE_PRESENT,
  PTE_PROTNONE,
  SWP_HWPOISON,
  swapHigh,
  swapLow,
} from "../../../src/engine/process/entry.js";
import { HMM_DESIGNS, HUGE, PAGE, Rig, TestDevice, Watcher } from "./hmm-machine.js";

const WRITABLE = HMM_PFN_VALID | HMM_PFN_WRITE;
const RW = PROT_READ | PROT_WRITE;

describe.each(HMM_DESIGNS)("%s", (design) => {
  const privateKind = design === "today" ? 0 : HMM_PFN_DEVICE_PRIVATE;

  test("migration entry: 0; wait, internally −EBUSY", () => {
    const rig = new Rig(design);
    const device = new TestDevice(rig, "gpu");
    const addr = rig.written(HUGE, true);
    const watcher = new Watcher(rig, addr, HUGE);
    rig.locked(() => {
      const args = device.begin(addr, HUGE);
      expect(watcher.look(device)).toBe(0);
      expect(new Set(watcher.pfns)).toEqual(new Set([0]));
      rig.words.turn = () => device.end(args);
      expect(watcher.fault(device)).toBe(0);
    });
    expect(device.map.offsetOf(watcher.page(HUGE - 1))).toBe(2 * HUGE - 1);
    expect(rig.hmm.mapOrder(watcher.pfns, HUGE - 1)).toBe(9);
    rig.expectClean();
  });

  describe("PMD/PUD leaf: every page gets pfn, flags and order; fault whole span", () => {
    test("a huge page, also from its middle", () => {
      const rig = new Rig(design);
      const addr = rig.written(HUGE, true);
      const first = rig.frame(addr);
      for (const skip of [0, 100]) {
        const watcher = new Watcher(rig, addr + skip * PAGE, HUGE - skip);
        expect(watcher.look()).toBe(0);
        for (const i of [0, 1, HUGE - skip - 1]) {
          expect(watcher.page(i)).toBe(first + skip + i);
          expect(watcher.flags(i)).toBe(WRITABLE);
          expect(rig.hmm.mapOrder(watcher.pfns, i)).toBe(9);
        }
      }
      rig.expectClean();
    });

    test("the huge zero page; written it becomes a huge page of one's own", () => {
      const rig = new Rig(design);
      const addr = rig.map(HUGE, RW, true);
      rig.read(addr);
      const watcher = new Watcher(rig, addr, HUGE);
      expect(watcher.look()).toBe(0);
      expect(watcher.flags(5)).toBe(HMM_PFN_VALID);
      expect(rig.kernel.base.core.isHugeZero(watcher.page(5) - 5)).toBe(true);
      expect(rig.hmm.mapOrder(watcher.pfns, 5)).toBe(9);
      expect(watcher.fault({ write: true })).toBe(0);
      expect(watcher.flags(5)).toBe(WRITABLE);
      expect(watcher.page(5)).toBe(rig.frame(addr) + 5);
      rig.expectClean();
    });

    test("nothing yet where a huge page fits: one fault brings all of it", () => {
      const rig = new Rig(design);
      const addr = rig.map(HUGE, RW, true);
      const watcher = new Watcher(rig, addr, HUGE);
      expect(watcher.fault({ write: true })).toBe(0);
      expect(rig.hmm.mapOrder(watcher.pfns, HUGE - 1)).toBe(9);
      expect(watcher.page(HUGE - 1)).toBe(rig.frame(addr) + HUGE - 1);
      rig.expectClean();
    });

    test("without access: 0", () => {
      const rig = new Rig(design);
      const addr = rig.written(HUGE, true);
      const pmd = rig.pmdEntry(addr);
      pmd.set((pmd.lo & ~PTE_PRESENT) | PTE_PROTNONE, pmd.hi);
      const watcher = new Watcher(rig, addr, HUGE);
      expect(watcher.look()).toBe(0);
      expect(new Set(watcher.pfns)).toEqual(new Set([0]));
      pmd.set(pmd.lo, pmd.hi);
      rig.expectClean();
    });

    test("a hugetlb page: none, there, read-only", () => {
      const rig = new Rig(design);
      rig.kernel.setHugePages(2);
      const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
      const addr = rig.process.mmap({ length: HUGE * PAGE, prot: RW, flags });
      const watcher = new Watcher(rig, addr, HUGE);
      expect(watcher.look()).toBe(0);
      expect(new Set(watcher.pfns)).toEqual(new Set([0]));
      expect(watcher.fault({ write: true })).toBe(0);
      expect([watcher.flags(0), watcher.flags(511)]).toEqual([WRITABLE, WRITABLE]);
      expect(rig.hmm.mapOrder(watcher.pfns, 511)).toBe(9);
      expect(watcher.page(511)).toBe(rig.frame(addr) + 511);
      rig.process.mprotect(addr, HUGE * PAGE, PROT_READ);
      expect(watcher.look()).toBe(0);
      expect([watcher.flags(0), watcher.flags(511)]).toEqual([HMM_PFN_VALID, HMM_PFN_VALID]);
      rig.expectClean();
    });
  });

  describe("device-private PMD own: all 512 pfns, order PMD", () => {
    test.each([0, 100])("from page %i of it on", (skip) => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(HUGE, true);
      expect(device.take(addr, HUGE)).toBe(HUGE);
      const watcher = new Watcher(rig, addr + skip * PAGE, HUGE - skip);
      for (const ask of [() => watcher.look(device), () => watcher.fault(device)]) {
        expect(ask()).toBe(0);
        for (let i = 0; i < HUGE - skip; i++) {
          expect(device.map.offsetOf(watcher.page(i))).toBe(HUGE + skip + i);
          expect(watcher.flags(i)).toBe(WRITABLE | privateKind);
          expect(rig.hmm.mapOrder(watcher.pfns, i)).toBe(9);
        }
      }
      expect(device.faults).toBe(0);
      rig.expectClean();
    });
  });

  describe("other absent PMD: ERROR; device-private: fault, else −EFAULT", () => {
    test("device-private, foreign", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(HUGE, true);
      device.take(addr, HUGE);
      const watcher = new Watcher(rig, addr, HUGE);
      expect(watcher.look()).toBe(0);
      expect([watcher.entry(0), watcher.entry(511)]).toEqual([
        [0, HMM_PFN_ERROR],
        [0, HMM_PFN_ERROR],
      ]);
      expect(watcher.fault()).toBe(0);
      expect(device.faults).toBe(1);
      expect([watcher.flags(0), watcher.flags(511)]).toEqual([WRITABLE, WRITABLE]);
      expect(rig.read(addr + 300 * PAGE)).toBe(301 & 0xff);
      expect(device.map.inService).toBe(0);
      rig.expectClean();
    });

    test("what nobody knows", () => {
      const rig = new Rig(design);
      const addr = rig.written(HUGE, true);
      const pmd = rig.pmdEntry(addr);
      pmd.set(swapLow(7, false), swapHigh(SWP_HWPOISON, 7));
      const watcher = new Watcher(rig, addr, HUGE);
      expect(watcher.look()).toBe(0);
      expect(watcher.entry(9)).toEqual([0, HMM_PFN_ERROR]);
      expect(watcher.fault()).toBe(EFAULT);
      pmd.set(pmd.lo, pmd.hi);
      rig.expectClean();
    });
  });
});
