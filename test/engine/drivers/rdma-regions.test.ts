/**
 * Memory regions with on-demand paging: rights, what changes while a page is being got,
 * registration with everything that it refuses, and that all is given back.
 */
import { describe, expect, test } from "vitest";
import { EBUSY, EFAULT, EINVAL, ENOMEM, EPERM } from "../../../src/engine/device/kinds.js";
import type { MemoryRegion } from "../../../src/engine/drivers/rdma/memory-region.js";
import {
  IB_ACCESS_LOCAL_WRITE,
  IB_ACCESS_ON_DEMAND,
  IB_ACCESS_REMOTE_WRITE,
  RdmaDevice,
} from "../../../src/engine/drivers/rdma/rdma-device.js";
import { ERRNO } from "../../../src/engine/errors.js";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../../../src/engine/process/constants.js";
import type { Ref } from "../../../src/units.js";
import { anon, fill, mark, PAGE, wrong } from "./designs.js";
import {
  errnoOf,
  finish,
  kinds,
  marks,
  marksOf,
  pageOf,
  pagesOf,
  register,
  RO,
  RW,
  SOME,
  start,
} from "./rdma-setting.js";

describe.each(SOME)("%s", (design) => {
  describe("rights", () => {
    test("a region that is only read: shared pages by their alias, writes refused", () => {
      const s = start(design);
      const at = pagesOf(s, 3, 2);
      const child = s.process.fork();
      const region = register(s, at, 3, RO);
      expect(marks(region, 3)).toEqual(marksOf(3));
      expect([0, 1, 2].map((i) => region.page(i)?.write)).toEqual([false, false, false]);
      expect([kinds(region), s.gpu.map.inService]).toEqual([["p2pdma", "p2pdma", "ram"], 2]);
      expect(region.write(0, Uint8Array.of(1)).error).toBe(EPERM);
      child.exit();
      finish(s);
    });

    test("a region that may be written: a page of the GPU that is shared comes to RAM and is copied", () => {
      const s = start(design);
      const at = pagesOf(s, 2, 2);
      const child = s.process.fork();
      const region = register(s, at, 2);
      expect(region.write(5, Uint8Array.of(9)).error).toBe(0);
      expect([child.read(at + 5, 1)[0], s.process.read(at + 5, 1)[0]]).toEqual([mark(0), 9]);
      child.exit();
      finish(s);
    });

    test("a translation without the right to write is no good for a write: it is faulted again", () => {
      const s = start(design);
      const region = register(s, pagesOf(s, 1, 1), 1);
      expect(region.fault()).toBe(1);
      const { table } = region.umem;
      const lo = table.entry(0);
      const hi = table.w.hi;
      table.store(0, lo, hi, table.address(0), false);
      expect([region.read(5, 1).faults, pageOf(region, 0).write]).toEqual([0, false]);
      const { error, faults, peerBytes } = region.write(5, Uint8Array.of(9));
      expect([error, faults, peerBytes, pageOf(region, 0).write]).toEqual([0, 1, 1, true]);
      expect(marks(region, 1)).toEqual([9]);
      finish(s);
    });

    test("a region that may be written where the process may not: −EPERM", () => {
      const s = start(design);
      const at = pagesOf(s, 2, 1);
      const region = register(s, at, 2);
      expect(region.fault()).toBe(2);
      s.process.mprotect(at, 2 * PAGE, PROT_READ);
      expect([region.page(0), region.page(1)]).toEqual([null, null]);
      expect(region.write(0, Uint8Array.of(1)).error).toBe(EPERM);
      expect(marks(register(s, at, 2, RO), 2)).toEqual(marksOf(2));
      finish(s);
    });

    test.each([
      [RW, 1],
      [RO, 0],
    ])(
      "RAM that could be written is dirty once it is taken from the NIC (access %i)",
      (access, dirty) => {
        const s = start(design);
        const file = s.kernel.createFile("disk", PAGE);
        const at = s.process.mmap({ length: PAGE, prot: 3, flags: MAP_SHARED, file });
        s.process.read(at, 1);
        const region = register(s, at, 1, access);
        expect(region.fault()).toBe(1);
        // Whoever writes back takes it from the NIC first, and then it is clean.
        file.sync();
        expect(region.write(0, Uint8Array.of(5)).error).toBe(dirty === 1 ? 0 : EPERM);
        s.process.munmap(at, PAGE);
        expect(file.dirty).toBe(dirty);
        expect(file.read(0, 1)[0]).toBe(dirty === 1 ? 5 : 0);
        region.deregister();
        s.process.exit();
        file.close();
        expect([s.gpu.unload(), wrong(s)]).toEqual([0, []]);
      },
    );
  });

  test.each([true, false])(
    "set_page_dirty where the process may write, also for a region that only reads (%s)",
    (mayWrite) => {
      const s = start(design);
      const at = pagesOf(s, 1, 0);
      const child = mayWrite ? null : s.process.fork();
      const region = register(s, at, 1, RO);
      expect(region.fault()).toBe(1);
      const { pfn } = s.process.pagemap(at);
      expect([pageOf(region, 0).write, s.kernel.page(pfn).dirty]).toEqual([mayWrite, false]);
      s.process.mprotect(at, PAGE, PROT_READ);
      expect([region.page(0), s.kernel.page(pfn).dirty]).toEqual([null, mayWrite]);
      child?.exit();
      finish(s);
    },
  );

  describe("changes between two looks", () => {
    /** Does something once, at the n-th moment at which nothing is locked. */
    const once = (region: MemoryRegion, n: number, act: () => void): void => {
      let left = n;
      region.umem.between = () => {
        if (left-- === 0) act();
      };
    };

    test.each([0, 1])("the page goes to RAM and changes (moment %i): seen as it is then", (n) => {
      const s = start(design);
      const at = pagesOf(s, 2, 2);
      const region = register(s, at, 2);
      once(region, n, () => s.process.write(at + 5, Uint8Array.of(123)));
      expect(marks(region, 2)).toEqual([123, mark(1)]);
      expect(region.counts.retries).toBe(1);
      finish(s);
    });

    test.each([0, 1])("the page goes to the GPU (moment %i): read there", (n) => {
      const s = start(design);
      const at = pagesOf(s, 2, 0);
      const region = register(s, at, 2);
      once(region, n, () => void s.gpu.toDevice(s.process, at, 1));
      expect(marks(region, 2)).toEqual(marksOf(2));
      expect([kinds(region), region.counts.retries]).toEqual([["p2pdma", "ram"], 1]);
      finish(s);
    });

    test("it is unmapped: −EFAULT", () => {
      const s = start(design);
      const at = pagesOf(s, 2, 2);
      const region = register(s, at, 2);
      once(region, 1, () => s.process.munmap(at, PAGE));
      expect(region.read(0, 1).error).toBe(EFAULT);
      finish(s);
    });

    test("always: −EBUSY in the end, and the process is not blocked", () => {
      const s = start(design);
      const at = pagesOf(s, 1, 0);
      const region = register(s, at, 1);
      let there = false;
      region.umem.between = () => {
        if (there) s.process.read(at, 1);
        else s.gpu.toDevice(s.process, at, 1);
        there = !there;
      };
      expect(region.read(0, 1).error).toBe(EBUSY);
      region.umem.between = () => {};
      expect(marks(region, 1)).toEqual(marksOf(1));
      finish(s);
    });

    test("a right gained leaves the mapping as it is", () => {
      const s = start(design);
      const at = anon(s.process, 1);
      s.process.write(at + 5, Uint8Array.of(1));
      const child = s.process.fork();
      const reads = register(s, at, 1, RO);
      expect(reads.fault()).toBe(1);
      const before = reads.page(0);
      expect(before?.write).toBe(false);
      child.exit();
      // Alone again: the same page becomes writable, and nobody need be told.
      const writes = register(s, at, 1);
      expect(writes.write(5, Uint8Array.of(2)).error).toBe(0);
      expect(reads.page(0)).toEqual(before);
      expect(reads.fault()).toBe(1);
      expect(reads.page(0)).toEqual({ ...before, write: true });
      expect(marks(reads, 1)).toEqual([2]);
      finish(s);
    });
  });

  describe("registration", () => {
    test("what is refused, and by which errno", () => {
      const s = start(design);
      const at = pagesOf(s, 2, 1);
      const asked = (addr: number, length: number, access: number) =>
        errnoOf(() => s.nic.register(s.process, addr, length, access));
      expect(asked(at, PAGE, IB_ACCESS_LOCAL_WRITE)).toBe(EINVAL);
      expect(asked(at, PAGE, IB_ACCESS_ON_DEMAND | IB_ACCESS_REMOTE_WRITE)).toBe(EINVAL);
      expect(asked(at, 0, RW)).toBe(EINVAL);
      expect(asked(at, Number.NaN, RW)).toBe(EINVAL);
      expect(asked(at, 2 ** 53, RW)).toBe(-ERRNO.EOVERFLOW);
      const { mm } = s.process;
      const syncs = new RdmaDevice(s.devices, { name: "old", needsSync: true });
      expect(errnoOf(() => syncs.register(s.process, at, PAGE, RW))).toBe(-ERRNO.EOPNOTSUPP);
      syncs.close();
      // A process that has ended: somebody keeps its mm_struct, nobody its memory.
      const keeps = register(s, at, 1);
      s.process.exit();
      expect(errnoOf(() => s.nic.register({ mm }, at, PAGE, RW))).toBe(EINVAL);
      keeps.deregister();
      expect([s.nic.regions.size, s.nic.dma.reserved]).toEqual([0, 0]);
      finish(s);
    });

    test("bytes that begin and end within pages; outside of them −EFAULT", () => {
      const s = start(design);
      const at = pagesOf(s, 3, 3);
      const region = s.nic.register(s.process, at + 100, 2 * PAGE, RW);
      expect(region.pages).toBe(3);
      const bytes = Uint8Array.from({ length: 2 * PAGE }, (_, i) => (i * 13 + 3) & 0xff);
      expect(region.write(0, bytes).error).toBe(0);
      expect(region.read(0, 2 * PAGE).data).toEqual(bytes);
      expect(s.process.read(at + 100, 2 * PAGE)).toEqual(bytes);
      expect(region.read(2 * PAGE - 1, 2).error).toBe(EFAULT);
      expect(region.read(-1, 2).error).toBe(EFAULT);
      expect(region.fault(0, 4)).toBe(EFAULT);
      expect([region.read(0, 0).error, region.read(2 * PAGE, 0).error]).toEqual([0, 0]);
      finish(s);
    });

    test("deregistered: nothing is mapped, nothing heard, nothing of use any more", () => {
      const s = start(design);
      const at = pagesOf(s, 4, 2);
      const region = register(s, at, 4);
      expect(marks(region, 4)).toEqual(marksOf(4));
      region.deregister();
      region.deregister();
      expect([s.nic.dma.mapped, s.nic.dma.reserved, region.counts.mapped]).toEqual([0, 0, 0]);
      expect([region.page(0), region.read(0, 1).error, region.fault()]).toEqual([
        null,
        EINVAL,
        EINVAL,
      ]);
      s.process.munmap(at, 4 * PAGE);
      finish(s);
    });

    test("the process ends first: everything is unmapped, the region is of no use, and goes later", () => {
      const s = start(design);
      const at = pagesOf(s, 4, 2);
      const region = register(s, at, 4);
      expect(marks(region, 4)).toEqual(marksOf(4));
      s.process.exit();
      expect([region.counts.mapped, s.gpu.map.inService]).toEqual([0, 0]);
      expect(region.read(0, 1).error).toBe(EINVAL);
      finish(s);
    });

    test.each([0, 1])(
      "without memory for its tables a page is not mapped, and all is as before (pages on the GPU: %i)",
      (onGpu) => {
        const s = start(design);
        const at = pagesOf(s, 2, onGpu);
        const region = register(s, at, 2);
        expect(region.fault()).toBe(2);
        // The IOMMU's address of a page is always the same; the GPU's page has none.
        const addresses = [0, 1].slice(onGpu).map((i) => pageOf(region, i).address);
        const { core } = s.kernel.base;
        const newObject = core.newObject.bind(core);
        const left = { objects: Infinity };
        core.newObject = (kind) => (left.objects-- > 0 ? newObject(kind) : (0 as Ref));
        let allowed = 0;
        for (let result = 0; result !== 2; allowed++) {
          // Everything is taken from it again: each try starts from nothing.
          s.process.mprotect(at, 2 * PAGE, PROT_READ);
          s.process.mprotect(at, 2 * PAGE, PROT_READ | PROT_WRITE);
          fill(s.process, at, 2);
          s.gpu.toDevice(s.process, at, onGpu);
          expect([region.counts.mapped, s.nic.dma.mapped]).toEqual([0, 0]);
          left.objects = allowed;
          result = region.fault();
          left.objects = Infinity;
          expect([ENOMEM, 2]).toContain(result);
          const there = [0, 1].filter((i) => region.page(i) !== null);
          expect(region.counts.mapped).toBe(there.length);
          expect(s.nic.dma.mapped).toBe(there.filter((i) => i >= onGpu).length);
          // What is not mapped leads nowhere.
          const leads = addresses.map((address) => s.nic.frameAt(address) >= 0);
          expect(leads).toEqual([0, 1].slice(onGpu).map((i) => there.includes(i)));
        }
        // Each of its three trees failed once.
        expect(allowed).toBeGreaterThan(3);
        core.newObject = newObject;
        expect(marks(region, 2)).toEqual(marksOf(2));
        finish(s);
      },
    );

    test("without memory for the region it is refused, and nothing is left of it", () => {
      const s = start(design);
      const at = pagesOf(s, 1, 0);
      const { core } = s.kernel.base;
      const newObject = core.newObject.bind(core);
      const left = { objects: 0 };
      core.newObject = (kind) => (left.objects-- > 0 ? newObject(kind) : (0 as Ref));
      for (let allowed = 0; ; allowed++) {
        left.objects = allowed;
        const result = errnoOf(() => register(s, at, 1));
        if (result === 0) break;
        expect([result, s.nic.dma.reserved, s.nic.regions.size]).toEqual([ENOMEM, 0, 0]);
      }
      core.newObject = newObject;
      finish(s);
    });
  });
});
