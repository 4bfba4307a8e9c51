/**
 * Pages of a device for its peers: the order of device-facts §3.2, that both sides
 * opt in, that what has no usable alias goes to RAM, and that every answer says of
 * what kind it is. Then the same through DMA, as an RDMA card would.
 */
import { describe, expect, test } from "vitest";
import { DMA_MAPPING_ERROR, DmaDevice } from "../../../src/engine/device/hmm/dma-device.js";
import {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_ERROR,
  HMM_PFN_INOUT_FLAGS,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from "../../../src/engine/device/hmm/hmm-pfn.js";
import {
  PCI_P2PDMA_MAP_BUS_ADDR,
  PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
} from "../../../src/engine/device/hmm/p2pdma.js";
import { PeerOwners } from "../../../src/engine/device/hmm/peer-owners.js";
import { EOPNOTSUPP, MEMORY_DEVICE_PCI_P2PDMA } from "../../../src/engine/device/kinds.js";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import { HMM_DESIGNS, HUGE, PAGE, Rig, TestDevice, Watcher } from "./hmm-machine.js";

const WRITABLE = HMM_PFN_VALID | HMM_PFN_WRITE;

/** A GPU whose memory can be had through a window of PCI memory, and what the window refuses. */
class PeerRig extends Rig {
  readonly bar: DevPagemap;
  readonly gpu: TestDevice;
  /** Offsets that the window does not show. */
  readonly hidden = new Set<number>();
  /** What is added to every alias. */
  shift = 0;

  constructor(design: string) {
    super(design);
    this.bar = this.devices.mapPages({
      name: "bar",
      type: MEMORY_DEVICE_PCI_P2PDMA,
      ranges: [{ start: this.kernel.machine.deviceFirst, pages: 4 * HUGE }],
    });
    this.gpu = new TestDevice(this, "gpu", {
      dmaAlias: (page) => {
        const offset = this.gpu.map.offsetOf(page);
        return this.hidden.has(offset) ? EOPNOTSUPP : this.bar.first + offset + this.shift;
      },
    });
  }
}

describe.each(HMM_DESIGNS.map((design) => `${design}+peer=alias`))("%s", (design) => {
  test("1: the owner itself gets the page as it is", () => {
    const rig = new PeerRig(design);
    const addr = rig.written(2);
    rig.gpu.take(addr, 2);
    const watcher = new Watcher(rig, addr, 2);
    expect(watcher.fault({ owner: rig.gpu.owner, allowP2p: true })).toBe(0);
    expect([0, 1].map((i) => rig.gpu.map.offsetOf(watcher.page(i)))).toEqual([0, 1]);
    expect(rig.hmm.peers.given).toBe(0);
    rig.expectClean();
  });

  test("2: a peer gets the alias, and the page stays where it is", () => {
    const rig = new PeerRig(design);
    const addr = rig.written(3);
    rig.gpu.take(addr, 2);
    const watcher = new Watcher(rig, addr, 3);
    for (const ask of [
      () => watcher.look({ allowP2p: true }),
      () => watcher.fault({ allowP2p: true, write: true }),
    ]) {
      expect(ask()).toBe(0);
      expect([0, 1].map((i) => watcher.page(i))).toEqual([rig.bar.first, rig.bar.first + 1]);
      expect([0, 1, 2].map((i) => watcher.flags(i))).toEqual([
        WRITABLE | HMM_PFN_P2PDMA,
        WRITABLE | HMM_PFN_P2PDMA,
        WRITABLE,
      ]);
      expect([0, 2].map((i) => rig.hmm.kind(watcher.pfns, i))).toEqual(["p2pdma", "ram"]);
    }
    expect(rig.gpu.faults).toBe(0);
    expect(rig.gpu.map.inService).toBe(2);
    rig.expectClean();
  });

  describe("3: otherwise it goes to RAM where a fault is asked for, and is 0 where not", () => {
    test("the asker does not opt in", () => {
      const rig = new PeerRig(design);
      const addr = rig.written(1);
      rig.gpu.take(addr, 1);
      const watcher = new Watcher(rig, addr, 1);
      expect(watcher.look()).toBe(0);
      expect(watcher.entry(0)).toEqual([0, 0]);
      expect(watcher.fault()).toBe(0);
      expect([rig.hmm.kind(watcher.pfns, 0), rig.gpu.faults]).toEqual(["ram", 1]);
      rig.expectClean();
    });

    test("the owner does not opt in", () => {
      const rig = new PeerRig(design);
      const shy = new TestDevice(rig, "shy");
      const addr = rig.written(1);
      shy.take(addr, 1);
      const watcher = new Watcher(rig, addr, 1);
      expect(watcher.look({ allowP2p: true })).toBe(0);
      expect(watcher.entry(0)).toEqual([0, 0]);
      expect(watcher.fault({ allowP2p: true })).toBe(0);
      expect([rig.hmm.kind(watcher.pfns, 0), shy.faults]).toEqual(["ram", 1]);
      rig.expectClean();
    });

    test("the window does not show this page", () => {
      const rig = new PeerRig(design);
      rig.hidden.add(1);
      const addr = rig.written(3);
      rig.gpu.take(addr, 3);
      const watcher = new Watcher(rig, addr, 3);
      expect(watcher.look({ allowP2p: true })).toBe(0);
      expect([0, 1, 2].map((i) => rig.hmm.kind(watcher.pfns, i))).toEqual([
        "p2pdma",
        "none",
        "p2pdma",
      ]);
      expect(watcher.fault({ allowP2p: true })).toBe(0);
      // The stretch that is faulted goes on to its end, whoever has pages in it.
      expect([0, 1, 2].map((i) => rig.hmm.kind(watcher.pfns, i))).toEqual(["p2pdma", "ram", "ram"]);
      rig.expectClean();
    });

    test("the alias is no p2pdma memory: it is not given out, and said aloud", () => {
      const rig = new PeerRig(design);
      rig.shift = 4 * HUGE;
      const addr = rig.written(1);
      rig.gpu.take(addr, 1);
      const watcher = new Watcher(rig, addr, 1);
      expect(watcher.look({ allowP2p: true })).toBe(0);
      expect(watcher.entry(0)).toEqual([0, 0]);
      expect(rig.devices.zoneDevice.warnings.splice(0).length).toBe(1);
      rig.expectClean();
    });

    test("the window is being unmapped", () => {
      const rig = new PeerRig(design);
      const addr = rig.written(1);
      rig.gpu.take(addr, 1);
      const watcher = new Watcher(rig, addr, 1);
      rig.devices.pagemaps.kill(rig.bar);
      expect(watcher.fault({ allowP2p: true })).toBe(0);
      expect(rig.hmm.kind(watcher.pfns, 0)).toBe("ram");
      rig.devices.zoneDevice.warnings.length = 0;
      rig.expectClean();
    });

    test("it is to be written, and the process may only read it", () => {
      const rig = new PeerRig(design);
      const addr = rig.written(1);
      rig.gpu.take(addr, 1);
      const child = rig.process.fork();
      const watcher = new Watcher(rig, addr, 1);
      expect(watcher.fault({ allowP2p: true })).toBe(0);
      expect(watcher.flags(0)).toBe(HMM_PFN_VALID | HMM_PFN_P2PDMA);
      expect(watcher.fault({ allowP2p: true, write: true })).toBe(0);
      expect(watcher.flags(0)).toBe(WRITABLE);
      child.exit();
      rig.expectClean();
    });
  });

  describe("a huge page of the device", () => {
    test.each([0, 40])("by its aliases, from page %i on", (skip) => {
      const rig = new PeerRig(design);
      const addr = rig.written(HUGE, true);
      rig.gpu.take(addr, HUGE);
      const watcher = new Watcher(rig, addr + skip * PAGE, HUGE - skip);
      expect(watcher.fault({ allowP2p: true, write: true })).toBe(0);
      for (const i of [0, 1, HUGE - skip - 1]) {
        expect(watcher.page(i)).toBe(rig.bar.first + HUGE + skip + i);
        expect(watcher.flags(i)).toBe(WRITABLE | HMM_PFN_P2PDMA);
        expect(rig.hmm.mapOrder(watcher.pfns, i)).toBe(skip === 0 ? 9 : 0);
      }
      expect(rig.gpu.faults).toBe(0);
      rig.expectClean();
    });

    test("one page has none: all or nothing", () => {
      const rig = new PeerRig(design);
      rig.hidden.add(HUGE + 300);
      const addr = rig.written(HUGE, true);
      rig.gpu.take(addr, HUGE);
      const watcher = new Watcher(rig, addr, HUGE);
      expect(watcher.look({ allowP2p: true })).toBe(0);
      expect(watcher.flags(0)).toBe(HMM_PFN_ERROR);
      expect(watcher.fault({ allowP2p: true })).toBe(0);
      expect([0, 511].map((i) => rig.hmm.kind(watcher.pfns, i))).toEqual(["ram", "ram"]);
      rig.expectClean();
    });
  });

  test("the kind of the last answer does not stay when the page has moved", () => {
    const rig = new PeerRig(design);
    const addr = rig.written(1);
    rig.gpu.take(addr, 1);
    const watcher = new Watcher(rig, addr, 1);
    expect(watcher.fault({ allowP2p: true })).toBe(0);
    rig.read(addr);
    expect(watcher.fault({ allowP2p: true })).toBe(0);
    expect(watcher.flags(0)).toBe(WRITABLE);
    expect(rig.hmm.kind(watcher.pfns, 0)).toBe("ram");
    rig.expectClean();
  });

  test("an RDMA card: maps the alias by its bus address, is told of a change, maps RAM", () => {
    const rig = new PeerRig(design);
    const { dma, p2pdma } = rig.hmm;
    const nic = new DmaDevice({ name: "nic" });
    p2pdma.connect(rig.bar, nic, PCI_P2PDMA_MAP_BUS_ADDR, 0x1000_0000);
    const addr = rig.written(2);
    rig.gpu.take(addr, 1);
    const map = dma.hmmDmaMapAlloc(nic, 2);
    if (typeof map === "number") throw new Error(`no map: ${map}`);
    const watcher = new Watcher(rig, addr, 2);
    const range = { ...watcher.range, pfns: map.pfnList, allowP2p: true };
    const fault = () => {
      range.defaultFlags = WRITABLE;
      range.notifierSeq = rig.kernel.base.notifiers.readBegin(range.notifier);
      return rig.hmm.hmmRangeFaultLocking(range);
    };
    expect(fault()).toBe(0);
    const state = p2pdma.state();
    expect(dma.hmmDmaMapPfn(nic, map, 0, state)).toBe(rig.bar.first * PAGE + 0x1000_0000);
    expect(dma.hmmDmaMapPfn(nic, map, 1, state)).toBe(map.iova + PAGE);
    // The flags of the mapping outlive the next look, and with them its address.
    expect(fault()).toBe(0);
    expect(rig.hmm.pfns.flags(map.pfnList, 0)).toBe(
      WRITABLE | HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS,
    );
    expect(dma.hmmDmaMapPfn(nic, map, 1, state)).toBe(map.iova + PAGE);
    expect(nic.mapped).toBe(1);
    // The process touches the page: the card is told, lets go, and finds RAM.
    const seq = rig.kernel.base.notifiers.readBegin(range.notifier);
    rig.read(addr);
    expect(rig.kernel.base.notifiers.readRetry(range.notifier, seq)).toBe(true);
    expect(dma.hmmDmaUnmapPfn(nic, map, 0)).toBe(true);
    expect(rig.hmm.pfns.flags(map.pfnList, 0) & HMM_PFN_INOUT_FLAGS).toBe(0);
    expect(fault()).toBe(0);
    expect(rig.hmm.kind(map.pfnList, 0)).toBe("ram");
    expect(dma.hmmDmaMapPfn(nic, map, 0, p2pdma.state())).toBe(map.iova);
    expect(nic.mapped).toBe(2);
    for (const i of [0, 1]) expect(dma.hmmDmaUnmapPfn(nic, map, i)).toBe(true);
    dma.hmmDmaMapFree(nic, map);
    expect([nic.mapped, nic.reserved]).toEqual([0, 0]);
    rig.expectClean();
  });

  test("whether a card reaches the alias is known only when it is mapped", () => {
    const rig = new PeerRig(design);
    const { dma, p2pdma } = rig.hmm;
    const far = new DmaDevice({ name: "far" });
    const bridged = new DmaDevice({ name: "bridged" });
    p2pdma.connect(rig.bar, bridged, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
    const addr = rig.written(1);
    rig.gpu.take(addr, 1);
    const watcher = new Watcher(rig, addr, 1);
    for (const [nic, ok] of [
      [far, false],
      [bridged, true],
    ] as const) {
      const map = dma.hmmDmaMapAlloc(nic, 1);
      if (typeof map === "number") throw new Error(`no map: ${map}`);
      expect(watcher.fault({ allowP2p: true })).toBe(0);
      map.pfnList.set(watcher.pfns);
      const address = dma.hmmDmaMapPfn(nic, map, 0, p2pdma.state());
      expect(address).toBe(ok ? map.iova : DMA_MAPPING_ERROR);
      expect(dma.hmmDmaUnmapPfn(nic, map, 0)).toBe(ok);
    }
    rig.expectClean();
  });
});

test("a design without peers asks nobody for an alias", () => {
  const rig = new PeerRig("device-tuple");
  const addr = rig.written(1);
  rig.gpu.take(addr, 1);
  const watcher = new Watcher(rig, addr, 1);
  expect(watcher.fault({ allowP2p: true })).toBe(0);
  expect(rig.hmm.kind(watcher.pfns, 0)).toBe("ram");
  expect(rig.hmm.peers.given + rig.hmm.peers.refused).toBe(0);
  rig.expectClean();
});

describe("owners from who reaches whom", () => {
  interface Card {
    readonly name: string;
    readonly reaches: string;
  }
  const card = (name: string, reaches: string): Card => ({ name, reaches });
  const owners = () => new PeerOwners<Card>((a, b) => a.reaches.includes(b.name));

  test("all who reach each other share one; one-way is none", () => {
    const all = owners();
    const [a, b, c] = [card("a", "bc"), card("b", "a"), card("c", "b")];
    expect(all.acquire(a)).toBe(all.acquire(b));
    expect(all.acquire(c)).not.toBe(all.acquire(a));
    expect(all.acquire(a)).toBe(all.acquire(a));
  });

  test("one that reaches some of a group founds its own; who comes first decides", () => {
    const all = owners();
    const [a, b, c] = [card("a", "b"), card("b", "ac"), card("c", "b")];
    expect(all.acquire(a)).toBe(all.acquire(b));
    expect(all.acquire(c)).not.toBe(all.acquire(b));
    all.release(a);
    all.release(c);
    expect(all.acquire(c)).toBe(all.acquire(b));
  });

  test("the last one takes it along", () => {
    const all = owners();
    const a = card("a", "");
    const first = all.acquire(a);
    all.release(a);
    all.release(a);
    expect(all.acquire(a)).not.toBe(first);
  });

  test("cards with one owner use each other's pages as they are", () => {
    const rig = new Rig("device-tuple");
    const all = owners();
    const shared = [card("a", "b"), card("b", "a")].map((c) => all.acquire(c));
    const device = new TestDevice(rig, "a", { owner: shared[0] });
    const addr = rig.written(1);
    device.take(addr, 1);
    const watcher = new Watcher(rig, addr, 1);
    expect(watcher.fault({ owner: shared[1] })).toBe(0);
    expect(rig.hmm.kind(watcher.pfns, 0)).toBe("private");
    rig.expectClean();
  });
});
