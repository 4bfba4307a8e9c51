/**
 * hmm_range_fault as a call: every answer that it has, what is in the array after
 * each, flags that are carried, requests page by page, which stretch a fault covers;
 * and the form that takes the lock itself, with its budget, its signal, and pages that
 * a userfaultfd is to bring.
 */
import { describe, expect, test } from "vitest";
import {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_ERROR,
  HMM_PFN_INOUT_FLAGS,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from "../../../src/engine/device/hmm/hmm-pfn.js";
import { EBUSY, EFAULT, EINTR, EINVAL, ENOMEM, EPERM } from "../../../src/engine/device/kinds.js";
import { MM_MMAP_LOCK } from "../../../src/engine/layout/generated/offsets.js";
import {
  EDEADLK,
  MADV_DONTNEED,
  PROT_NONE,
  PROT_READ,
} from "../../../src/engine/process/constants.js";
import { HMM_DESIGNS, HUGE, PAGE, Rig, TestDevice, Watcher } from "./hmm-machine.js";

const WRITABLE = HMM_PFN_VALID | HMM_PFN_WRITE;
const INPUT = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;

describe.each(HMM_DESIGNS)("%s", (design) => {
  describe("answers", () => {
    test("−EINVAL: no range, an array that is too short, another process's notifier", () => {
      const rig = new Rig(design);
      const watcher = new Watcher(rig, rig.written(4), 4);
      const { range } = watcher;
      const { hmm } = rig;
      const other = rig.kernel.createProcess();
      const wrong = [
        { ...range, end: range.start },
        { ...range, end: range.start - 1 },
        { ...range, start: Number.NaN },
        { ...range, end: range.end + 1 },
        { ...range, mm: other.mm },
      ];
      for (const r of wrong) {
        expect(hmm.hmmRangeFaultLocking(r)).toBe(EINVAL);
        expect(hmm.hmmRangeFaultUnlockedTimeout(r, 1)).toBe(EINVAL);
      }
      expect(new Set(watcher.pfns)).toEqual(new Set([0]));
      rig.expectClean();
    });

    test("−ENOMEM: pages before the one that memory ran out at are output", () => {
      const rig = new Rig(design, { memory: "16MiB" });
      const addr = rig.map(8 * HUGE);
      // There is a table above, so that holes are no larger than a PMD.
      rig.write(addr, 1);
      const watcher = new Watcher(rig, addr, 8 * HUGE);
      expect(watcher.fault({ write: true })).toBe(ENOMEM);
      const done = Array.from({ length: 8 * HUGE }, (_, i) => watcher.flags(i)).indexOf(0);
      expect(done).toBeGreaterThan(HUGE);
      expect(done).toBeLessThan(rig.process.rss.anon);
      for (let i = 0; i < done; i++) expect(watcher.flags(i)).toBe(WRITABLE);
      for (let i = done; i < 8 * HUGE; i++) expect(watcher.entry(i)).toEqual([0, 0]);
      rig.expectClean();
    });

    test("−EPERM: to be written, and the VMA is read-only", () => {
      const rig = new Rig(design);
      const addr = rig.written(4);
      rig.process.mprotect(addr + 2 * PAGE, 2 * PAGE, PROT_READ);
      const watcher = new Watcher(rig, addr, 4);
      expect(watcher.fault({ write: true })).toBe(EPERM);
      expect([watcher.flags(0), watcher.flags(1)]).toEqual([WRITABLE, WRITABLE]);
      expect([watcher.entry(2), watcher.entry(3)]).toEqual([
        [0, 0],
        [0, 0],
      ]);
      expect(watcher.fault()).toBe(0);
      expect(watcher.flags(3)).toBe(HMM_PFN_VALID);
      rig.expectClean();
    });

    test("−EFAULT: entries before the failing address are output, all others still input", () => {
      const rig = new Rig(design);
      const addr = rig.written(6);
      rig.process.munmap(addr + 3 * PAGE, PAGE);
      const watcher = new Watcher(rig, addr, 6);
      watcher.range.pfnFlagsMask = INPUT;
      for (let i = 0; i < 6; i++) watcher.pfns[i * 2 + 1] = INPUT;
      expect(watcher.again()).toBe(EFAULT);
      expect([0, 1, 2].map((i) => watcher.page(i))).toEqual(
        [0, 1, 2].map((i) => rig.frame(addr + i * PAGE)),
      );
      for (let i = 3; i < 6; i++) expect(watcher.entry(i)).toEqual([0, INPUT]);
      rig.expectClean();
    });

    test("−EBUSY: something changed since the sequence number was read", () => {
      const rig = new Rig(design);
      const addr = rig.written(2);
      const watcher = new Watcher(rig, addr, 2);
      const { notifiers } = rig.kernel.base;
      watcher.range.notifierSeq = notifiers.readBegin(watcher.range.notifier);
      rig.process.madvise(addr, PAGE, MADV_DONTNEED);
      expect(rig.hmm.hmmRangeFaultLocking(watcher.range)).toBe(EBUSY);
      expect(new Set(watcher.pfns)).toEqual(new Set([0]));
      watcher.range.notifierSeq = notifiers.readBegin(watcher.range.notifier);
      expect(rig.hmm.hmmRangeFaultLocking(watcher.range)).toBe(0);
      rig.expectClean();
    });

    test("−EBUSY: a fault of its own changed what it had looked at", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(2);
      device.take(addr + PAGE, 1);
      const watcher = new Watcher(rig, addr, 2);
      const { notifiers } = rig.kernel.base;
      watcher.range.defaultFlags = HMM_PFN_REQ_FAULT;
      watcher.range.notifierSeq = notifiers.readBegin(watcher.range.notifier);
      expect(rig.hmm.hmmRangeFaultLocking(watcher.range)).toBe(EBUSY);
      expect(device.faults).toBe(1);
      rig.expectClean();
    });

    test("the lock of the process is free again after each of them", () => {
      const rig = new Rig(design);
      const addr = rig.map(2, PROT_NONE);
      const watcher = new Watcher(rig, addr, 2);
      const lock = () => rig.kernel.base.w.load32(rig.process.mm, MM_MMAP_LOCK);
      expect([watcher.fault(), lock()]).toEqual([EFAULT, 0]);
      watcher.range.notifierSeq++;
      expect([rig.hmm.hmmRangeFaultLocking(watcher.range), lock()]).toEqual([EBUSY, 0]);
      expect([rig.hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 0), lock()]).toEqual([EFAULT, 0]);
      rig.expectClean();
    });
  });

  describe("input and output", () => {
    test("DMA_MAPPED, P2PDMA and P2PDMA_BUS are carried, everything else is written over", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(8);
      rig.process.munmap(addr + 2 * PAGE, PAGE);
      rig.process.madvise(addr + PAGE, PAGE, MADV_DONTNEED);
      device.take(addr + 3 * PAGE, 1);
      const huge = rig.written(HUGE, true);
      const plain = new Watcher(rig, addr, 8);
      const large = new Watcher(rig, huge, HUGE);
      for (const watcher of [plain, large]) {
        watcher.pfns.fill(-1);
        for (let i = 0; i < watcher.pages; i += 2)
          watcher.pfns[i * 2 + 1] = ~(HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS);
        expect(watcher.look(device)).toBe(0);
        for (let i = 0; i < watcher.pages; i++)
          expect(watcher.flags(i) & HMM_PFN_INOUT_FLAGS).toBe(
            i % 2 === 0 ? HMM_PFN_DMA_MAPPED : HMM_PFN_INOUT_FLAGS,
          );
      }
      expect(plain.page(0)).toBe(rig.frame(addr));
      expect(plain.flags(1) & ~HMM_PFN_INOUT_FLAGS).toBe(0);
      expect(plain.flags(2) & ~HMM_PFN_INOUT_FLAGS).toBe(HMM_PFN_ERROR);
      expect(rig.hmm.mapOrder(plain.pfns, 0)).toBe(0);
      expect(rig.hmm.mapOrder(large.pfns, 7)).toBe(9);
      rig.expectClean();
    });

    test("a request of one page counts only through the mask", () => {
      const rig = new Rig(design);
      const addr = rig.map(3);
      rig.write(addr + 2 * PAGE, 1);
      const watcher = new Watcher(rig, addr, 3);
      watcher.pfns[1 * 2 + 1] = INPUT;
      expect(watcher.again()).toBe(0);
      expect([0, 1, 2].map((i) => watcher.flags(i))).toEqual([0, 0, WRITABLE]);
      watcher.pfns.fill(0);
      watcher.pfns[1 * 2 + 1] = INPUT;
      watcher.range.pfnFlagsMask = INPUT;
      expect(watcher.again()).toBe(0);
      expect([0, 1, 2].map((i) => watcher.flags(i))).toEqual([0, WRITABLE, WRITABLE]);
      rig.expectClean();
    });

    test("REQ_WRITE without REQ_FAULT asks for nothing", () => {
      const rig = new Rig(design);
      const watcher = new Watcher(rig, rig.map(1), 1);
      watcher.range.defaultFlags = HMM_PFN_REQ_WRITE;
      expect(watcher.again()).toBe(0);
      expect(watcher.entry(0)).toEqual([0, 0]);
      rig.expectClean();
    });

    test("a fault covers the rest of its PMD: pages behind it come too, those before it do not", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.map(8);
      rig.write(addr, 1);
      rig.write(addr + 6 * PAGE, 7);
      device.take(addr + 6 * PAGE, 1);
      const watcher = new Watcher(rig, addr, 8);
      watcher.range.pfnFlagsMask = HMM_PFN_REQ_FAULT;
      watcher.range.owner = device.owner;
      watcher.pfns[3 * 2 + 1] = HMM_PFN_REQ_FAULT;
      const before = rig.hmm.faults.faults;
      // The array is output after the first call, and would ask for what it found.
      const { notifiers } = rig.kernel.base;
      watcher.range.notifierSeq = notifiers.readBegin(watcher.range.notifier);
      expect(rig.hmm.hmmRangeFaultLocking(watcher.range)).toBe(EBUSY);
      expect(rig.hmm.faults.faults - before).toBe(5);
      // Its own page, which nobody had asked for, was among them and came back to RAM.
      expect(device.faults).toBe(1);
      watcher.pfns.fill(0);
      expect(watcher.again()).toBe(0);
      expect([0, 1, 2, 3, 7].map((i) => watcher.flags(i) !== 0)).toEqual([
        true,
        false,
        false,
        true,
        true,
      ]);
      rig.expectClean();
    });

    test("a hole without tables is faulted as one stretch", () => {
      const rig = new Rig(design);
      const addr = rig.map(3 * HUGE);
      const watcher = new Watcher(rig, addr, 3 * HUGE);
      watcher.range.pfnFlagsMask = HMM_PFN_REQ_FAULT;
      watcher.pfns[(2 * HUGE + 5) * 2 + 1] = HMM_PFN_REQ_FAULT;
      expect(watcher.again()).toBe(0);
      expect(watcher.flags(0)).toBe(HMM_PFN_VALID);
      expect(watcher.flags(3 * HUGE - 1)).toBe(HMM_PFN_VALID);
      rig.expectClean();
    });
  });

  describe("without the lock", () => {
    test("takes it, reads the sequence number, gives it back", () => {
      const rig = new Rig(design);
      const addr = rig.written(2);
      const watcher = new Watcher(rig, addr, 2);
      watcher.range.notifierSeq = 4711;
      expect(rig.hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 0)).toBe(0);
      const { notifiers, w } = rig.kernel.base;
      expect(watcher.range.notifierSeq).toBe(notifiers.readBegin(watcher.range.notifier));
      expect(watcher.page(1)).toBe(rig.frame(addr + PAGE));
      expect(w.load32(rig.process.mm, MM_MMAP_LOCK)).toBe(0);
      rig.expectClean();
    });

    test("begins again by itself where something changed, as often as the budget says", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      // Pages in three PMDs: each fault is a change, and they come one after another.
      const addr = rig.map(3 * HUGE, 3, true);
      for (let i = 0; i < 3; i++) {
        rig.process.mprotect(addr + i * HUGE * PAGE, PAGE, 1);
        rig.process.mprotect(addr + i * HUGE * PAGE, PAGE, 3);
        rig.write(addr + (i * HUGE + 1) * PAGE, i);
      }
      const take = () => {
        for (let i = 0; i < 3; i++) device.take(addr + (i * HUGE + 1) * PAGE, 1);
      };
      const watcher = new Watcher(rig, addr, 3 * HUGE);
      watcher.range.defaultFlags = HMM_PFN_REQ_FAULT;
      take();
      expect(device.map.inService).toBe(3);
      expect(rig.hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 0)).toBe(0);
      expect(device.map.inService).toBe(0);
      take();
      expect(rig.hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 3)).toBe(0);
      take();
      expect(rig.hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 2)).toBe(EBUSY);
      expect(rig.kernel.base.w.load32(rig.process.mm, MM_MMAP_LOCK)).toBe(0);
      rig.expectClean();
    });

    test("−EINTR: a fatal signal, before the lock is taken and after a fault that dropped it", () => {
      const rig = new Rig(design);
      const addr = rig.map(2);
      const watcher = new Watcher(rig, addr, 2);
      watcher.range.defaultFlags = HMM_PFN_REQ_FAULT;
      const { hmm } = rig;
      expect(hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 0, true, { pending: true })).toBe(
        EINTR,
      );
      expect(rig.process.rss.anon).toBe(0);
      const uffd = rig.process.userfaultfd();
      uffd.register(addr, 2 * PAGE, { missing: true });
      const signal = { pending: false };
      uffd.onFault = (fault) => {
        uffd.copy(fault.addr, new Uint8Array(PAGE));
        signal.pending = true;
      };
      expect(hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 0, true, signal)).toBe(EINTR);
      expect(rig.process.rss.anon).toBe(1);
      rig.expectClean();
    });

    describe("pages that a userfaultfd is to bring", () => {
      test("come, one by one, with the lock let go; a budget begins anew for each", () => {
        const rig = new Rig(design);
        const addr = rig.map(4);
        const watcher = new Watcher(rig, addr, 4);
        const uffd = rig.process.userfaultfd();
        uffd.register(addr, 4 * PAGE, { missing: true });
        const seen: number[] = [];
        uffd.onFault = (fault) => {
          seen.push((fault.addr - addr) / PAGE);
          expect(rig.kernel.base.w.load32(rig.process.mm, MM_MMAP_LOCK)).toBe(0);
          uffd.copy(fault.addr, new Uint8Array(PAGE).fill(0xab));
        };
        watcher.range.defaultFlags = HMM_PFN_REQ_FAULT;
        expect(rig.hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 1)).toBe(0);
        expect(seen).toEqual([0, 1, 2, 3]);
        for (let i = 0; i < 4; i++) {
          expect(watcher.page(i)).toBe(rig.frame(addr + i * PAGE));
          expect(rig.read(addr + i * PAGE)).toBe(0xab);
        }
        rig.expectClean();
      });

      test("−EFAULT where the lock may not be dropped, −EDEADLK where nobody brings them", () => {
        const rig = new Rig(design);
        const addr = rig.map(1);
        const watcher = new Watcher(rig, addr, 1);
        const uffd = rig.process.userfaultfd();
        uffd.register(addr, PAGE, { missing: true });
        expect(watcher.look()).toBe(0);
        expect(watcher.fault()).toBe(EFAULT);
        expect(rig.hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 0, false)).toBe(EFAULT);
        expect(rig.hmm.hmmRangeFaultUnlockedTimeout(watcher.range, 0)).toBe(EDEADLK);
        rig.expectClean();
      });
    });
  });
});
