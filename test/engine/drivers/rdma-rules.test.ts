/**
 * RDMA on a GPU's memory, rule by rule: who has to opt in, what a window shows, how the NIC
 * reaches it, and what is taken to RAM beside what must be.
 */
import { describe, expect, test } from "vitest";
import { EBUSY, EFAULT, EINVAL, ENOMEM } from "../../../src/engine/device/kinds.js";
import type { RegionPage } from "../../../src/engine/drivers/rdma/memory-region.js";
import { PeerGpu, type PeerGpuConfig } from "../../../src/engine/drivers/rdma/peer-gpu.js";
import type { RdmaConfig } from "../../../src/engine/drivers/rdma/rdma-device.js";
import { ERRNO } from "../../../src/engine/errors.js";
import { MADV_DONTNEED, MADV_HUGEPAGE } from "../../../src/engine/process/constants.js";
import { watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { boot, fill, lost, mark, PAGE, wrong } from "./designs.js";
import {
  errnoOf,
  finish,
  HUGE,
  kinds,
  marks,
  marksOf,
  pageOf,
  pagesOf,
  register,
  ROOM,
  SOME,
  start,
  windowOf,
} from "./rdma-setting.js";

describe.each(SOME)("%s", (design) => {
  describe("both sides opt in, or it goes to RAM", () => {
    test.each([
      ["the NIC does not ask", { allowP2p: false }, {}],
      ["the GPU has a window and offers nothing", {}, { offersAlias: false }],
      ["the GPU has no window and would offer", {}, { bar: undefined, offersAlias: true }],
    ] as [string, RdmaConfig, Partial<PeerGpuConfig>][])("%s", (_, nicConfig, gpuConfig) => {
      const s = start(design, nicConfig, gpuConfig);
      const at = pagesOf(s, 4, 4);
      const region = register(s, at, 4);
      expect(marks(region, 4)).toEqual(marksOf(4));
      expect([s.gpu.map.inService, region.counts.fallbacks]).toEqual([0, 0]);
      expect(kinds(region)).toEqual(["ram", "ram", "ram", "ram"]);
      finish(s);
    });

    test("the owner itself, and who shares its owner, have the page as it is", () => {
      const s = start(design, {}, {}, ROOM);
      const at = pagesOf(s, 2, 1);
      const other = new PeerGpu(s.devices, { name: "gpu1", pages: HUGE, owner: s.gpu.owner });
      const stranger = new PeerGpu(s.devices, { name: "gpu2", pages: HUGE });
      const page = s.gpu.pageAt(s.process, at);
      expect(page).toBeGreaterThanOrEqual(s.devices.firstPrivate);
      expect(s.gpu.pageAt(s.process, at + PAGE)).toBe(-1);
      expect([stranger.pageAt(s.process, at), s.gpu.map.inService]).toEqual([-1, 1]);
      // By the shared owner it may take it over, too.
      expect(other.toRam(s.process, at, 1)).toBe(1);
      expect(lost(s.process, at, 2)).toEqual([]);
      for (const gpu of [other, stranger]) expect(gpu.unload()).toBe(0);
      finish(s);
    });
  });

  describe("the window's limits, in pages", () => {
    test("a window over a part of the memory: aliases there and nowhere else", () => {
      const booted = boot(design);
      const bar = { start: booted.devices.pagemaps.span.start + HUGE, pages: HUGE };
      const gpu = new PeerGpu(booted.devices, { pages: 3 * HUGE, bar, barOffset: 300 });
      const first = gpu.map.first;
      expect(gpu.dmaAlias(first + 299)).toBe(ENOMEM);
      expect(gpu.dmaAlias(first + 300)).toBe(bar.start);
      expect(gpu.dmaAlias(first + 300 + HUGE - 1)).toBe(bar.start + HUGE - 1);
      // The byte behind the window's end is not its own.
      expect(gpu.dmaAlias(first + 300 + HUGE)).toBe(ENOMEM);
      // What is not its memory at all is nowhere in it.
      expect(gpu.dmaAlias(first - 1)).toBe(ENOMEM);
      expect(gpu.dmaAlias(first + 3 * HUGE)).toBe(ENOMEM);
      expect(gpu.unload()).toBe(0);
      expect([booted.kernel.settle(), wrong(booted)]).toEqual([booted.before, []]);
    });

    test("a window that is larger than the memory behind it", () => {
      const booted = boot(design);
      const bar = { start: booted.devices.pagemaps.span.start, pages: 4 * HUGE };
      const gpu = new PeerGpu(booted.devices, { pages: HUGE, bar, barOffset: 12 });
      const { content } = booted.kernel.base.core;
      expect(content.home(bar.start)).toBe(gpu.map.first + 12);
      expect(content.home(bar.start + HUGE - 13)).toBe(gpu.map.first + HUGE - 1);
      expect(content.home(bar.start + HUGE - 12)).toBe(bar.start + HUGE - 12);
      expect(gpu.unload()).toBe(0);
      expect(content.home(bar.start)).toBe(bar.start);
      expect(wrong(booted)).toEqual([]);
    });

    test("pages outside of it go to RAM, pages in it stay", () => {
      const s = start(design, {}, { pages: 3 * HUGE });
      const at = pagesOf(s, 2 * HUGE, 2 * HUGE);
      const shown = (i: number): boolean =>
        s.gpu.dmaAlias(s.gpu.pageAt(s.process, at + i * PAGE)) >= 0;
      const before = Array.from({ length: 2 * HUGE }, (_, i) => shown(i));
      expect(new Set(before)).toEqual(new Set([true, false]));
      const region = register(s, at, 2 * HUGE);
      // One by one, as a page that is faulted takes the rest of its stretch along.
      for (let i = 0; i < 2 * HUGE; i++) expect(region.fault(i, i + 1)).toBe(1);
      expect(kinds(region)).toEqual(before.map((b) => (b ? "p2pdma" : "ram")));
      expect(s.gpu.map.inService).toBe(before.filter(Boolean).length);
      // All at once, by another region: as many pages as two looks take.
      const whole = register(s, at, 2 * HUGE).read(0, 2 * HUGE * PAGE);
      expect([whole.error, whole.faults, whole.peerBytes]).toEqual([
        0,
        1,
        before.filter(Boolean).length * PAGE,
      ]);
      expect(marks(region, 2 * HUGE)).toEqual(marksOf(2 * HUGE));
      finish(s);
    });

    test("a window that another map has, or that is RAM, is refused, and the GPU is not there", () => {
      const s = start(design, {}, {}, ROOM);
      const { start: span } = s.devices.pagemaps.span;
      const maps = s.devices.pagemaps.maps.size;
      for (const [at, errno] of [
        [span, ENOMEM],
        [0, -ERRNO.ENXIO],
        [span + 7, EINVAL],
      ] as const) {
        const bar = { start: at, pages: HUGE };
        expect(errnoOf(() => new PeerGpu(s.devices, { pages: HUGE, bar }))).toBe(errno);
      }
      expect(s.devices.pagemaps.maps.size).toBe(maps);
      finish(s);
    });
  });

  describe("p2pdma: how the NIC reaches the window", () => {
    test("past the bridge: the peer's own bus address, mapped by nobody", () => {
      const s = start(design);
      const region = register(s, pagesOf(s, 2, 1), 2);
      expect(region.fault()).toBe(2);
      const [peer, ram] = [region.page(0), region.page(1)];
      expect(peer).toEqual({
        pfn: peer?.pfn,
        address: (peer?.pfn ?? 0) * PAGE + 2 ** 46,
        kind: "p2pdma",
        write: true,
        bus: true,
      });
      expect(ram).toEqual({
        pfn: ram?.pfn,
        address: ram?.address,
        kind: "ram",
        write: true,
        bus: false,
      });
      expect([s.nic.dma.mapped, region.counts.mapped]).toEqual([1, 2]);
      expect([s.nic.frameAt(peer?.address ?? -1), s.nic.frameAt(ram?.address ?? -1)]).toEqual([
        peer?.pfn,
        ram?.pfn,
      ]);
      // An address of the IOMMU that is mapped no more leads nowhere.
      s.process.munmap(region.addr + PAGE, PAGE);
      expect(s.nic.frameAt(ram?.address ?? -1)).toBe(-1);
      finish(s);
    });

    test.each([
      ["one stretch of addresses", {}, (i: number, first: RegionPage) => first.address + i * PAGE],
      ["an address for each page", { iovaBlocks: false }, null],
      [
        "no IOMMU: physical addresses",
        { iommu: false },
        (_: number, __: RegionPage, p: RegionPage) => p.pfn * PAGE,
      ],
    ] as [string, RdmaConfig, ((i: number, first: RegionPage, p: RegionPage) => number) | null][])(
      "through the host bridge: mapped as RAM is; %s",
      (_, config, expected) => {
        const s = start(design, config);
        s.nic.connect(windowOf(s.gpu), "host-bridge");
        const at = pagesOf(s, 4, 3);
        const region = register(s, at, 4);
        expect(marks(region, 4)).toEqual(marksOf(4));
        expect(kinds(region)).toEqual(["p2pdma", "p2pdma", "p2pdma", "ram"]);
        expect([s.nic.dma.mapped, pageOf(region, 0).bus, s.gpu.map.inService]).toEqual([
          4,
          false,
          3,
        ]);
        const pages = [0, 1, 2, 3].map((i) => pageOf(region, i));
        const addresses = pages.map((p) => p.address);
        expect(addresses).toEqual(pages.map((p, i) => expected?.(i, pages[0], p) ?? p.address));
        expect(new Set(addresses).size).toBe(4);
        s.gpu.toRam(s.process, at, 2);
        expect([s.nic.dma.mapped, marks(region, 4)]).toEqual([2, marksOf(4)]);
        finish(s);
      },
    );

    test("not at all: the pages that it does not reach come to RAM, no others", () => {
      const s = start(design, {}, {}, ROOM);
      const bar = { start: s.devices.pagemaps.span.start + 2 * HUGE, pages: HUGE };
      const far = new PeerGpu(s.devices, { name: "far", pages: HUGE, bar });
      s.nic.connect(windowOf(far), "none");
      const at = pagesOf(s, 6, 2);
      expect(far.toDevice(s.process, at + 2 * PAGE, 2)).toBe(2);
      const region = register(s, at, 6);
      const all = region.read(0, 6 * PAGE);
      expect([all.error, all.peerBytes, all.ramBytes]).toEqual([0, 2 * PAGE, 4 * PAGE]);
      expect(kinds(region)).toEqual(["p2pdma", "p2pdma", "ram", "ram", "ram", "ram"]);
      expect([s.gpu.map.inService, far.map.inService, region.counts.fallbacks]).toEqual([2, 0, 2]);
      expect(marks(region, 6)).toEqual(marksOf(6));
      expect(far.unload()).toBe(0);
      finish(s);
    });

    test("not at all, and the driver does not fall back: −EFAULT, and the page stays", () => {
      const s = start(design, { fallback: false });
      s.nic.connect(windowOf(s.gpu), "none");
      const region = register(s, pagesOf(s, 3, 1), 3);
      expect(region.read(0, PAGE).error).toBe(EFAULT);
      expect([s.gpu.map.inService, region.page(0)]).toEqual([1, null]);
      // What can be mapped was, and is of use.
      expect(marks(region, 2, 1)).toEqual(marksOf(2, 1));
      finish(s);
    });

    test("a mapping that fails for RAM is an error, and nothing is left half mapped", () => {
      const s = start(design);
      const region = register(s, pagesOf(s, 3, 0), 3);
      s.nic.dma.failing = 1;
      expect(region.fault()).toBe(EFAULT);
      expect([region.counts.fallbacks, region.page(0)]).toEqual([0, null]);
      expect(marks(region, 3)).toEqual(marksOf(3));
      finish(s);
    });

    test("bus addresses that the IOMMU would hand out itself are refused", () => {
      const s = start(design);
      expect(() => s.nic.connect(windowOf(s.gpu), "bus", 4096)).toThrow(RangeError);
      expect(() => s.nic.connect(s.gpu.map, "bus")).toThrow(RangeError);
      finish(s);
    });
  });

  test("a huge page of the GPU is read page by page by its aliases, and stays huge", () => {
    const s = start(design);
    const wide = s.process.mmap({ length: 3 * HUGE * PAGE, prot: 3, flags: 0x22 });
    const at = Math.ceil(wide / (HUGE * PAGE)) * HUGE * PAGE;
    s.process.madvise(at, HUGE * PAGE, MADV_HUGEPAGE);
    fill(s.process, at, HUGE);
    expect(s.gpu.toDevice(s.process, at, HUGE)).toBe(HUGE);
    const page = s.gpu.pageAt(s.process, at);
    expect(s.devices.record.orderOf(page)).toBe(9);
    const region = register(s, at, HUGE);
    const all = region.read(0, HUGE * PAGE);
    expect([all.error, all.faults, all.peerBytes]).toEqual([0, 1, HUGE * PAGE]);
    expect(marks(region, HUGE)).toEqual(marksOf(HUGE));
    expect(region.page(HUGE - 1)?.pfn).toBe((region.page(0)?.pfn ?? 0) + HUGE - 1);
    expect([s.devices.record.orderOf(page), s.gpu.map.inService]).toEqual([9, HUGE]);
    // A part of it goes: all of it is taken from the NIC, and the rest is found again.
    s.process.munmap(at, 10 * PAGE);
    expect(marks(region, 20, 10)).toEqual(marksOf(20, 10));
    expect(lost(s.process, at, HUGE - 10, 10)).toEqual([]);
    finish(s);
  });

  test("a page that must be faulted takes the rest of its stretch to RAM, aliases or not (hmm_vma_fault)", () => {
    const s = start(design);
    const at = pagesOf(s, 6, 6);
    s.process.madvise(at + 2 * PAGE, PAGE, MADV_DONTNEED);
    const region = register(s, at, 6);
    expect(region.fault()).toBe(6);
    expect(kinds(region)).toEqual(["p2pdma", "p2pdma", "ram", "ram", "ram", "ram"]);
    expect(marks(region, 6)).toEqual([mark(0), mark(1), 0, mark(3), mark(4), mark(5)]);
    finish(s);
  });

  test("who watches contents hears of a write through the window as one to the private page", () => {
    const s = start(design);
    const at = pagesOf(s, 2, 1);
    const region = register(s, at, 2);
    const written = [s.gpu.pageAt(s.process, at), s.process.pagemap(at + PAGE).pfn];
    const heard: number[] = [];
    watchKernel(s.kernel).wrote = (page) => void heard.push(page);
    expect(region.write(PAGE - 1, Uint8Array.of(1, 2)).error).toBe(0);
    expect(heard).toEqual(written);
    finish(s);
  });

  test("a page that somebody holds keeps the GPU's driver: −EBUSY, and memory and window are there", () => {
    const s = start(design);
    const at = pagesOf(s, 2, 2);
    const region = register(s, at, 2);
    const folio = s.devices.privates.folioOf(s.gpu.pageAt(s.process, at));
    s.devices.privates.folios.get(folio);
    expect(s.gpu.unload()).toBe(EBUSY);
    expect([s.gpu.map.state, s.gpu.window?.state, s.gpu.map.inService]).toEqual([
      "live",
      "live",
      1,
    ]);
    expect([marks(region, 2), kinds(region)]).toEqual([marksOf(2), ["p2pdma", "ram"]]);
    s.devices.privates.folios.put(folio);
    finish(s);
  });

  test("a GPU that is unloaded and comes again is another one, at the same place", () => {
    const s = start(design);
    const region = register(s, pagesOf(s, 2, 2), 2);
    expect(marks(region, 2)).toEqual(marksOf(2));
    const { ranges } = windowOf(s.gpu);
    expect(s.gpu.unload()).toBe(0);
    const again = new PeerGpu(s.devices, { pages: 2 * HUGE, bar: ranges[0] });
    expect(again.toDevice(s.process, region.addr, 2)).toBe(2);
    // Nobody has said yet how it is reached.
    expect([marks(region, 1), kinds(region)]).toEqual([marksOf(1), ["ram", "-"]]);
    s.nic.connect(windowOf(again), "bus");
    expect(again.toDevice(s.process, region.addr, 2)).toBe(1);
    expect([marks(region, 2), kinds(region)]).toEqual([marksOf(2), ["p2pdma", "p2pdma"]]);
    expect(again.unload()).toBe(0);
    finish(s);
  });

  test("the window goes before the memory, which is wrong: the NIC finds nobody there, and nothing stale", () => {
    const s = start(design);
    const at = pagesOf(s, 1, 1);
    const region = register(s, at, 1);
    expect(marks(region, 1)).toEqual(marksOf(1));
    s.devices.unmapPages(windowOf(s.gpu));
    expect(region.read(0, 1).error).toBe(-ERRNO.EIO);
    // The page is where it was, and comes back when it is touched.
    expect(lost(s.process, at, 1)).toEqual([]);
    expect(marks(region, 1)).toEqual(marksOf(1));
    s.nic.close();
    s.process.exit();
    s.devices.unmapPages(s.gpu.map);
    expect(wrong(s)).toEqual([]);
  });
});
