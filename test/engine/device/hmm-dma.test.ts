/**
 * Pages of an HMM array as addresses of a device: with and without an IOMMU, in one
 * stretch or one by one, of RAM and of PCI memory; every refusal; nothing left mapped.
 */
import { describe, expect, test } from "vitest";
import {
  DMA_MAPPING_ERROR,
  DmaDevice,
  type DmaDeviceConfig,
} from "../../../src/engine/device/hmm/dma-device.js";
import type { HmmDmaMap } from "../../../src/engine/device/hmm/hmm-dma.js";
import {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_ERROR,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from "../../../src/engine/device/hmm/hmm-pfn.js";
import {
  PCI_P2PDMA_MAP_BUS_ADDR,
  PCI_P2PDMA_MAP_NONE,
  PCI_P2PDMA_MAP_NOT_SUPPORTED,
  PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
} from "../../../src/engine/device/hmm/p2pdma.js";
import { ENOMEM, EOPNOTSUPP, MEMORY_DEVICE_PCI_P2PDMA } from "../../../src/engine/device/kinds.js";
import { HMM_DESIGNS, HUGE, PAGE, Rig, TestDevice } from "./hmm-machine.js";

const ENTRIES = 8;
const BUS = 0x8000_0000;

describe.each(HMM_DESIGNS)("%s", (design) => {
  function setUp(config: Omit<DmaDeviceConfig, "name"> = {}) {
    const rig = new Rig(design);
    const { dma, p2pdma, pfns } = rig.hmm;
    const dev = new DmaDevice({ name: "nic", ...config });
    const bar = rig.devices.mapPages({
      name: "bar",
      type: MEMORY_DEVICE_PCI_P2PDMA,
      ranges: [{ start: rig.kernel.machine.deviceFirst, pages: HUGE }],
    });
    const map = dma.hmmDmaMapAlloc(dev, ENTRIES);
    if (typeof map === "number") throw new Error(`no map: ${map}`);
    const at = (i: number, page: number) => pfns.set(map.pfnList, i, page, HMM_PFN_VALID, 0);
    return { rig, dma, p2pdma, pfns, dev, bar, map, at, state: p2pdma.state() };
  }
  const flags = (map: HmmDmaMap, i: number): number => map.pfnList[i * 2 + 1];

  describe("hmm_dma_map_alloc", () => {
    test("−EOPNOTSUPP: memory would have to be synchronised, or cannot be addressed", () => {
      const { dma } = new Rig(design).hmm;
      const noSync = new DmaDevice({ name: "a", needsSync: true });
      expect(dma.hmmDmaMapAlloc(noSync, 4)).toBe(EOPNOTSUPP);
      // 26 bits are 64 MiB, and the machine's sections go up to 128 MiB.
      const narrow = new DmaDevice({ name: "b", maskBits: 26 });
      expect(dma.hmmDmaMapAlloc(narrow, 4)).toBe(EOPNOTSUPP);
      expect(typeof dma.hmmDmaMapAlloc(new DmaDevice({ name: "c", maskBits: 32 }), 4)).toBe(
        "object",
      );
      expect([noSync.reserved, narrow.reserved]).toEqual([0, 0]);
    });

    test("−ENOMEM: an array beyond what kvmalloc gives", () => {
      const { dma } = new Rig(design).hmm;
      const dev = new DmaDevice({ name: "nic" });
      expect(dma.hmmDmaMapAlloc(dev, 2 ** 28)).toBe(ENOMEM);
      expect(dev.reserved).toBe(0);
    });

    test("a stretch of addresses, or a list where there is none, or neither", () => {
      expect(setUp().map).toMatchObject({ iova: PAGE, dmaList: null });
      expect(setUp({ iovaBlocks: false }).map.dmaList?.length).toBe(ENTRIES);
      expect(setUp({ iovaBytes: 4 * PAGE }).map.dmaList?.length).toBe(ENTRIES);
      expect(setUp({ iommu: false }).map).toMatchObject({ iova: DMA_MAPPING_ERROR, dmaList: null });
    });
  });

  describe("hmm_dma_map_pfn of RAM", () => {
    test.each([
      ["in a stretch", {}],
      ["one by one", { iovaBlocks: false }],
      ["by physical addresses", { iommu: false }],
    ] as const)("%s: the same address as long as it is mapped", (_, config) => {
      const { rig, dma, dev, map, at, state } = setUp(config);
      const addr = rig.written(2);
      const frames = [rig.frame(addr), rig.frame(addr + PAGE)];
      for (const i of [0, 1]) at(i, frames[i]);
      const addresses = [0, 1].map((i) => dma.hmmDmaMapPfn(dev, map, i, state));
      const own = [0, 1].map((i) => addresses[0] + i * PAGE);
      expect(addresses).toEqual("iommu" in config ? frames.map((f) => f * PAGE) : own);
      expect(flags(map, 0)).toBe(HMM_PFN_VALID | HMM_PFN_DMA_MAPPED);
      expect(dev.mapped).toBe(2);
      // Only a right came: nothing is mapped again.
      map.pfnList[1] |= HMM_PFN_WRITE;
      expect([0, 1].map((i) => dma.hmmDmaMapPfn(dev, map, i, state))).toEqual(addresses);
      expect(dev.mapped).toBe(2);
      expect([0, 1].map((i) => dma.hmmDmaUnmapPfn(dev, map, i))).toEqual([true, true]);
      expect(flags(map, 0)).toBe(HMM_PFN_VALID | HMM_PFN_WRITE);
      expect(dma.hmmDmaUnmapPfn(dev, map, 0)).toBe(false);
      dma.hmmDmaMapFree(dev, map);
      expect([dev.mapped, dev.reserved]).toEqual([0, 0]);
      rig.expectClean();
    });

    test("no address where the mapping fails, and the entry is as it was", () => {
      for (const config of [{}, { iovaBlocks: false }, { iommu: false }]) {
        const { rig, dma, dev, map, at, state } = setUp(config);
        at(0, 5);
        dev.failing = 1;
        expect(dma.hmmDmaMapPfn(dev, map, 0, state)).toBe(DMA_MAPPING_ERROR);
        expect(flags(map, 0)).toBe(HMM_PFN_VALID);
        expect(dev.mapped).toBe(0);
        expect(dma.hmmDmaMapPfn(dev, map, 0, state)).not.toBe(DMA_MAPPING_ERROR);
        rig.expectClean();
      }
    });

    test("no address where the IOMMU has no more", () => {
      const { rig, dma, dev, map, at, state } = setUp({ iovaBytes: 3 * PAGE });
      for (const i of [0, 1, 2]) at(i, 5 + i);
      const got = [0, 1, 2].map((i) => dma.hmmDmaMapPfn(dev, map, i, state));
      expect(got).toEqual([PAGE, 2 * PAGE, DMA_MAPPING_ERROR]);
      expect(dev.mapped).toBe(2);
      rig.expectClean();
    });
  });

  test("what is not VALID has no address", () => {
    const { rig, dma, dev, map, state } = setUp();
    map.pfnList[2 * 2 + 1] = HMM_PFN_ERROR;
    for (const i of [0, 2]) {
      expect(dma.hmmDmaMapPfn(dev, map, i, state)).toBe(DMA_MAPPING_ERROR);
      expect(dma.hmmDmaUnmapPfn(dev, map, i)).toBe(false);
    }
    map.pfnList[3] = HMM_PFN_DMA_MAPPED;
    expect(dma.hmmDmaUnmapPfn(dev, map, 1)).toBe(false);
    rig.expectClean();
  });

  test("a device-private page has no address, whatever its number", () => {
    const { rig, dma, dev, map, at, state } = setUp();
    const device = new TestDevice(rig, "gpu");
    const page = rig.devices.activate(device.map, 3, 0);
    at(0, page);
    expect(dma.hmmDmaMapPfn(dev, map, 0, state)).toBe(DMA_MAPPING_ERROR);
    expect(rig.devices.zoneDevice.warnings.splice(0).length).toBe(1);
    expect(dev.mapped).toBe(0);
    rig.devices.release(page);
    rig.expectClean();
  });

  describe("hmm_dma_map_pfn of PCI memory", () => {
    test("through the host bridge: mapped, and marked P2PDMA until it is unmapped", () => {
      const { rig, dma, p2pdma, dev, bar, map, at, state } = setUp();
      p2pdma.connect(bar, dev, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
      at(1, bar.first + 9);
      expect(dma.hmmDmaMapPfn(dev, map, 1, state)).toBe(map.iova + PAGE);
      expect(flags(map, 1)).toBe(HMM_PFN_VALID | HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA);
      expect(dma.hmmDmaUnmapPfn(dev, map, 1)).toBe(true);
      expect(flags(map, 1)).toBe(HMM_PFN_VALID);
      dev.failing = 1;
      expect(dma.hmmDmaMapPfn(dev, map, 1, state)).toBe(DMA_MAPPING_ERROR);
      expect(flags(map, 1)).toBe(HMM_PFN_VALID);
      expect(dev.mapped).toBe(0);
      rig.expectClean();
    });

    test("by switches alone: its bus address, each time anew, and nothing is mapped", () => {
      const { rig, dma, p2pdma, dev, bar, map, at, state } = setUp();
      p2pdma.connect(bar, dev, PCI_P2PDMA_MAP_BUS_ADDR, BUS);
      at(1, bar.first + 9);
      for (let i = 0; i < 2; i++)
        expect(dma.hmmDmaMapPfn(dev, map, 1, state)).toBe((bar.first + 9) * PAGE + BUS);
      expect(flags(map, 1)).toBe(HMM_PFN_VALID | HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA_BUS);
      expect(dev.mapped).toBe(0);
      expect(dma.hmmDmaUnmapPfn(dev, map, 1)).toBe(true);
      expect(flags(map, 1)).toBe(HMM_PFN_VALID);
      expect(dev.mapped).toBe(0);
      rig.expectClean();
    });

    test("not supported, and nothing said: no address", () => {
      const { rig, dma, p2pdma, dev, bar, map, at } = setUp();
      at(1, bar.first);
      expect(dma.hmmDmaMapPfn(dev, map, 1, p2pdma.state())).toBe(DMA_MAPPING_ERROR);
      p2pdma.connect(bar, dev, PCI_P2PDMA_MAP_NOT_SUPPORTED);
      expect(dma.hmmDmaMapPfn(dev, map, 1, p2pdma.state())).toBe(DMA_MAPPING_ERROR);
      expect(flags(map, 1)).toBe(HMM_PFN_VALID);
      rig.expectClean();
    });

    test("each provider has its own answer for each client; RAM between them is RAM", () => {
      const { rig, p2pdma, dev, bar, state } = setUp();
      const other = rig.devices.mapPages({
        name: "other",
        type: MEMORY_DEVICE_PCI_P2PDMA,
        ranges: [{ start: bar.first + HUGE, pages: HUGE }],
      });
      const second = new DmaDevice({ name: "second" });
      p2pdma.connect(bar, dev, PCI_P2PDMA_MAP_BUS_ADDR);
      p2pdma.connect(other, dev, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
      p2pdma.connect(bar, second, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
      const asked = [bar.first, 7, other.first, bar.first + 1];
      expect(asked.map((frame) => p2pdma.stateOf(state, dev, frame))).toEqual([
        PCI_P2PDMA_MAP_BUS_ADDR,
        PCI_P2PDMA_MAP_NONE,
        PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
        PCI_P2PDMA_MAP_BUS_ADDR,
      ]);
      expect(p2pdma.stateOf(p2pdma.state(), second, bar.first)).toBe(
        PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
      );
      rig.expectClean();
    });
  });
});
