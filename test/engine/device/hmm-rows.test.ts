/**
 * hmm_range_fault, state by state: a test for each row of the table in device-facts
 * §5.8, what is answered when nothing is asked and when a fault is. Those for whole
 * PMDs are in hmm-rows-huge.test.ts.
 */
import { describe, expect, test } from "vitest";
import {
  HMM_PFN_DEVICE_PRIVATE,
  HMM_PFN_ERROR,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from "../../../src/engine/device/hmm/hmm-pfn.js";
import { EFAULT } from "../../../src/engine/device/kinds.js";
import { T_FILE } from "../../../src/engine/design/word/axis-types.js";
import { mapFrames } from "../../../src/engine/drivers/map-pages.js";
import {
  MADV_PAGEOUT,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "../../../src/engine/process/constants.js";
import {
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  SWP_HWPOISON,
  swapHigh,
  swapLow,
} from "../../../src/engine/process/entry.js";
import type { Ref } from "../../../src/units.js";
import { HMM_DESIGNS, PAGE, Rig, TestDevice, Watcher } from "./hmm-machine.js";

const WRITABLE = HMM_PFN_VALID | HMM_PFN_WRITE;
const RW = PROT_READ | PROT_WRITE;
const NOBODY = 0 as Ref;
/** uffd-wp marker: the last type of swap entries, bit 0 of its offset. */
const UFFD_WP_MARKER = [swapLow(1, false), swapHigh(31, 1)] as const;

describe.each(HMM_DESIGNS)("%s", (design) => {
  const privateKind = design === "today" ? 0 : HMM_PFN_DEVICE_PRIVATE;

  test("no VMA: ERROR; −EFAULT", () => {
    const rig = new Rig(design);
    const addr = rig.written(4);
    rig.process.munmap(addr + PAGE, 2 * PAGE);
    const watcher = new Watcher(rig, addr, 5);
    expect(watcher.look()).toBe(0);
    expect([0, 1, 2, 3, 4].map((i) => watcher.flags(i))).toEqual([
      WRITABLE,
      HMM_PFN_ERROR,
      HMM_PFN_ERROR,
      WRITABLE,
      HMM_PFN_ERROR,
    ]);
    expect(watcher.page(0)).toBe(rig.frame(addr));
    expect(watcher.fault()).toBe(EFAULT);
    rig.expectClean();
  });

  describe("VMA VM_IO, VM_PFNMAP or without VM_READ: ERROR, skip VMA; −EFAULT", () => {
    test("frames that a driver mapped by number", () => {
      const rig = new Rig(design);
      const frames = [0, 1].map(() => rig.kernel.base.folios.alloc(0, T_FILE, NOBODY));
      const file = rig.kernel.createFile("tmpfs", 2 * PAGE);
      const addr = mapFrames(rig.kernel, rig.process, file, frames, "pfn");
      const watcher = new Watcher(rig, addr, 2);
      expect(watcher.look()).toBe(0);
      expect([watcher.entry(0), watcher.entry(1)]).toEqual([
        [0, HMM_PFN_ERROR],
        [0, HMM_PFN_ERROR],
      ]);
      expect(watcher.fault()).toBe(EFAULT);
    });

    test("memory without rights, and the VMA behind it is looked at again", () => {
      const rig = new Rig(design);
      const addr = rig.written(4);
      rig.process.mprotect(addr, 2 * PAGE, PROT_NONE);
      const watcher = new Watcher(rig, addr, 4);
      expect(watcher.look()).toBe(0);
      expect([0, 1, 2, 3].map((i) => watcher.flags(i))).toEqual([
        HMM_PFN_ERROR,
        HMM_PFN_ERROR,
        WRITABLE,
        WRITABLE,
      ]);
      expect(watcher.fault()).toBe(EFAULT);
      rig.expectClean();
    });
  });

  describe("none / uffd-wp marker / not yet populated: 0; fault", () => {
    test("no table yet: read it is the zero page, written a page", () => {
      const rig = new Rig(design);
      const addr = rig.map(8);
      const watcher = new Watcher(rig, addr, 8);
      expect(watcher.look()).toBe(0);
      expect(new Set(watcher.pfns)).toEqual(new Set([0]));
      expect(watcher.fault()).toBe(0);
      expect(watcher.flags(7)).toBe(HMM_PFN_VALID);
      expect(rig.kernel.base.core.isZeroPage(watcher.page(7))).toBe(true);
      expect(watcher.fault({ write: true })).toBe(0);
      expect(watcher.flags(7)).toBe(WRITABLE);
      expect(watcher.page(7)).toBe(rig.frame(addr + 7 * PAGE));
      rig.expectClean();
    });

    test("an empty entry beside others", () => {
      const rig = new Rig(design);
      const addr = rig.map(3);
      rig.write(addr, 1);
      const watcher = new Watcher(rig, addr, 3);
      expect(watcher.look()).toBe(0);
      expect([0, 1, 2].map((i) => watcher.flags(i))).toEqual([WRITABLE, 0, 0]);
      expect(watcher.fault({ write: true })).toBe(0);
      expect([0, 1, 2].map((i) => watcher.flags(i))).toEqual([WRITABLE, WRITABLE, WRITABLE]);
      rig.expectClean();
    });

    test("a marker", () => {
      const rig = new Rig(design);
      const addr = rig.written(2);
      const before = rig.entry(addr);
      before.set(...UFFD_WP_MARKER);
      const watcher = new Watcher(rig, addr, 2);
      expect(watcher.look()).toBe(0);
      expect([watcher.entry(0), watcher.flags(1)]).toEqual([[0, 0], WRITABLE]);
      before.set(before.lo, before.hi);
      rig.expectClean();
    });
  });

  describe("device-private, own: VALID(|WRITE) with its number, never faulted", () => {
    test("writable, and looked at by all", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(4);
      expect(device.take(addr, 3)).toBe(3);
      const watcher = new Watcher(rig, addr, 4);
      for (const ask of [() => watcher.look(device), () => watcher.fault(device)]) {
        expect(ask()).toBe(0);
        expect([0, 1, 2, 3].map((i) => watcher.flags(i))).toEqual([
          WRITABLE | privateKind,
          WRITABLE | privateKind,
          WRITABLE | privateKind,
          WRITABLE,
        ]);
        for (let i = 0; i < 3; i++) {
          expect(device.map.offsetOf(watcher.page(i))).toBe(i);
          expect(rig.hmm.kind(watcher.pfns, i)).toBe("private");
          expect(watcher.pfns[i * 2]).toBe(rig.devices.numbers.low(watcher.page(i)));
        }
      }
      expect(device.faults).toBe(0);
      expect(device.map.inService).toBe(3);
      rig.expectClean();
    });

    test("read-only, and to be written", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(1);
      device.take(addr, 1);
      const child = rig.process.fork();
      const watcher = new Watcher(rig, addr, 1);
      expect(watcher.fault({ owner: device.owner, write: true })).toBe(0);
      expect(watcher.flags(0)).toBe(HMM_PFN_VALID | privateKind);
      expect(device.faults).toBe(0);
      child.exit();
      rig.expectClean();
    });
  });

  test("device-private, foreign: 0; fault (migrate_to_ram)", () => {
    const rig = new Rig(design);
    const device = new TestDevice(rig, "gpu");
    const addr = rig.written(3);
    device.take(addr, 3);
    const watcher = new Watcher(rig, addr, 3);
    for (const owner of [null, {}]) {
      expect(watcher.look({ owner })).toBe(0);
      expect(new Set(watcher.pfns)).toEqual(new Set([0]));
    }
    expect(device.faults).toBe(0);
    expect(watcher.fault({ owner: {} })).toBe(0);
    // Each migration is a change that the watcher hears of: it has to begin again.
    expect(watcher.busy).toBeGreaterThan(0);
    expect(device.faults).toBe(3);
    expect(device.map.inService).toBe(0);
    expect([0, 1, 2].map((i) => rig.hmm.kind(watcher.pfns, i))).toEqual(["ram", "ram", "ram"]);
    expect([0, 1, 2].map((i) => rig.read(addr + i * PAGE))).toEqual([1, 2, 3]);
    rig.expectClean();
  });

  describe("swap, exclusive: 0; fault", () => {
    test("a swap slot", () => {
      const rig = new Rig(design, { swap: "4MiB" });
      const addr = rig.written(4);
      rig.process.madvise(addr, 4 * PAGE, MADV_PAGEOUT);
      expect(rig.process.rss.swap).toBe(4);
      const watcher = new Watcher(rig, addr, 4);
      expect(watcher.look()).toBe(0);
      expect(new Set(watcher.pfns)).toEqual(new Set([0]));
      expect(watcher.fault()).toBe(0);
      expect(rig.process.rss.swap).toBe(0);
      expect(watcher.page(3)).toBe(rig.frame(addr + 3 * PAGE));
      rig.expectClean();
    });

    test("a page on loan to a device", () => {
      const rig = new Rig(design);
      const addr = rig.written(2);
      const pfn = rig.frame(addr);
      rig.locked(() => {
        expect(rig.devices.exclusive.make(rig.process.mm, addr / PAGE, 0)).toBe(pfn);
        rig.devices.release(pfn);
      });
      const watcher = new Watcher(rig, addr, 2);
      expect(watcher.look()).toBe(0);
      expect([watcher.entry(0), watcher.flags(1)]).toEqual([[0, 0], WRITABLE]);
      expect(watcher.fault()).toBe(0);
      expect([watcher.page(0), watcher.flags(0)]).toEqual([pfn, WRITABLE]);
      rig.expectClean();
    });
  });

  describe("migration entry: 0; wait, internally −EBUSY", () => {
    test("of a page on its way to the device", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(2);
      const watcher = new Watcher(rig, addr, 2);
      rig.locked(() => {
        const args = device.begin(addr, 1);
        watcher.range.owner = device.owner;
        expect(watcher.again()).toBe(0);
        expect([watcher.entry(0), watcher.flags(1)]).toEqual([[0, 0], WRITABLE]);
        rig.words.turn = () => device.end(args);
        expect(watcher.fault(device)).toBe(0);
      });
      expect(device.map.offsetOf(watcher.page(0))).toBe(0);
      expect(watcher.busy).toBe(0);
      rig.expectClean();
    });

    test("of a page on its way back", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(2);
      device.take(addr, 1);
      const watcher = new Watcher(rig, addr, 2);
      const { evict } = rig.devices;
      const src = new Int32Array(2);
      const dst = new Int32Array(2);
      evict.range(src, device.map.first, 1);
      expect(watcher.look(device)).toBe(0);
      expect(watcher.entry(0)).toEqual([0, 0]);
      rig.words.turn = () => {
        const to = rig.devices.allocSystem(0);
        rig.devices.copy(device.map.first, to);
        rig.devices.pfns.set(dst, 0, to, 0);
        evict.pages(src, dst, 1);
        evict.finalize(src, dst, 1);
      };
      expect(watcher.fault(device)).toBe(0);
      expect(rig.hmm.kind(watcher.pfns, 0)).toBe("ram");
      expect(watcher.page(0)).toBe(rig.frame(addr));
      expect(rig.read(addr)).toBe(1);
      rig.expectClean();
    });
  });

  test("other non-present: 0; −EFAULT", () => {
    const rig = new Rig(design);
    const addr = rig.written(2);
    const entry = rig.entry(addr);
    entry.set(swapLow(7, false), swapHigh(SWP_HWPOISON, 7));
    const watcher = new Watcher(rig, addr, 2);
    expect(watcher.look()).toBe(0);
    expect([watcher.entry(0), watcher.flags(1)]).toEqual([[0, 0], WRITABLE]);
    expect(watcher.fault()).toBe(EFAULT);
    entry.set(entry.lo, entry.hi);
    rig.expectClean();
  });

  describe("present, special without struct page (not zero page): ERROR; −EFAULT", () => {
    test("a frame that nobody counts in a VM_MIXEDMAP", () => {
      const rig = new Rig(design);
      const frames = [0, 1].map(() => rig.kernel.base.folios.alloc(0, T_FILE, NOBODY));
      const file = rig.kernel.createFile("tmpfs", 2 * PAGE);
      const addr = mapFrames(rig.kernel, rig.process, file, frames, "folio");
      const entry = rig.entry(addr + PAGE);
      entry.set(entry.lo | PTE_SPECIAL, entry.hi);
      const watcher = new Watcher(rig, addr, 2);
      expect(watcher.look()).toBe(0);
      expect(watcher.page(0)).toBe(frames[0]);
      expect(watcher.entry(1)).toEqual([0, HMM_PFN_ERROR]);
      expect(watcher.fault()).toBe(EFAULT);
      entry.set(entry.lo, entry.hi);
    });

    test("a page that somebody counts is a page, however it is mapped (vm_insert_page)", () => {
      const rig = new Rig(design);
      const area = rig.kernel.scattered.alloc(2 * PAGE);
      const addr = area.mmap(rig.process);
      const watcher = new Watcher(rig, addr, 2);
      expect(watcher.look()).toBe(0);
      expect([0, 1].map((i) => watcher.page(i))).toEqual([area.frame(0), area.frame(1)]);
      expect(watcher.fault()).toBe(0);
      expect(watcher.flags(1) & HMM_PFN_VALID).not.toBe(0);
      area.free();
      rig.expectClean();
    });

    test("the zero page is a page like any other", () => {
      const rig = new Rig(design);
      const addr = rig.map(1);
      rig.read(addr);
      const watcher = new Watcher(rig, addr, 1);
      expect(watcher.look()).toBe(0);
      expect(watcher.entry(0)).toEqual([rig.kernel.base.core.zeroPage(), HMM_PFN_VALID]);
      expect(watcher.fault()).toBe(0);
      rig.expectClean();
    });
  });

  describe("present: VALID(|WRITE); protnone 0; fault if WRITE asked and not writable", () => {
    test("shared by fork, then written by the device", () => {
      const rig = new Rig(design);
      const addr = rig.written(2);
      const child = rig.process.fork();
      const shared = rig.frame(addr);
      const watcher = new Watcher(rig, addr, 2);
      expect(watcher.fault()).toBe(0);
      expect(watcher.entry(0)).toEqual([shared, HMM_PFN_VALID]);
      expect(watcher.fault({ write: true })).toBe(0);
      expect(watcher.flags(0)).toBe(WRITABLE);
      expect(watcher.page(0)).toBe(rig.frame(addr));
      expect(watcher.page(0)).not.toBe(shared);
      child.exit();
      rig.expectClean();
    });

    test("protnone", () => {
      const rig = new Rig(design);
      const addr = rig.written(1);
      const entry = rig.entry(addr);
      entry.set((entry.lo & ~PTE_PRESENT) | PTE_PROTNONE, entry.hi);
      const watcher = new Watcher(rig, addr, 1);
      expect(watcher.look()).toBe(0);
      expect(watcher.entry(0)).toEqual([0, 0]);
      entry.set(entry.lo, entry.hi);
      rig.expectClean();
    });

    test("a file's pages", () => {
      const rig = new Rig(design);
      const file = rig.kernel.createFile("disk", 4 * PAGE);
      const addr = rig.process.mmap({ length: 4 * PAGE, prot: RW, flags: 1, file });
      const watcher = new Watcher(rig, addr, 4);
      expect(watcher.fault()).toBe(0);
      expect(watcher.flags(3)).toBe(HMM_PFN_VALID);
      expect(watcher.fault({ write: true })).toBe(0);
      expect(watcher.flags(3)).toBe(WRITABLE);
      expect(watcher.page(3)).toBe(rig.frame(addr + 3 * PAGE));
      rig.expectClean();
    });
  });
});
