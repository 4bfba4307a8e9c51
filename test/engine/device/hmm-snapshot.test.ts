/**
 * Snapshots of pages: what they say of frames and of pages of devices, whoever
 * chooses the number, and that the zero page is never found among offsets, unless the
 * old bug is switched on.
 */
import { describe, expect, test } from "vitest";
import { MEMORY_DEVICE_COHERENT } from "../../../src/engine/device/kinds.js";
import {
  PAGE_SNAPSHOT_DEVICE_PRIVATE,
  PAGE_SNAPSHOT_FAITHFUL,
  PAGE_SNAPSHOT_PG_BUDDY,
  snapshotPage,
} from "../../../src/engine/device/page-snapshot.js";
import { HMM_DESIGNS, HUGE, PAGE, Rig, TestDevice } from "./hmm-machine.js";

const WHO = ["snapshot", "caller"] as const;

describe.each(HMM_DESIGNS)("%s", (design) => {
  const ownKind = design !== "today";

  describe.each(WHO)("the number is chosen by the %s", (who) => {
    test("a page of the process, alone and in a huge page", () => {
      const rig = new Rig(design);
      const addr = rig.written(1);
      const huge = rig.written(HUGE, true);
      const pfn = rig.frame(addr);
      expect(snapshotPage(rig.devices, pfn, who)).toEqual({
        kind: "ram",
        low: pfn,
        high: 0,
        flags: PAGE_SNAPSHOT_FAITHFUL,
        isZero: false,
        isHugeZero: false,
        order: 0,
        index: 0,
        refcount: 1,
        mapcount: 1,
      });
      const child = rig.process.fork();
      expect(snapshotPage(rig.devices, rig.frame(huge) + 7, who)).toMatchObject({
        order: 9,
        index: 7,
        refcount: 2,
        mapcount: 2,
      });
      child.exit();
      rig.expectClean();
    });

    test("a free page, the zero page, the huge zero page", () => {
      const rig = new Rig(design);
      const addr = rig.written(1);
      const pfn = rig.frame(addr);
      rig.process.munmap(addr, PAGE);
      rig.kernel.settle();
      const free = snapshotPage(rig.devices, pfn, who);
      expect(free.flags & PAGE_SNAPSHOT_PG_BUDDY).not.toBe(0);
      expect(free.refcount).toBe(0);
      const { core } = rig.kernel.base;
      expect(snapshotPage(rig.devices, core.zeroPage(), who).isZero).toBe(true);
      const first = core.hugeZeroPage(9);
      expect(snapshotPage(rig.devices, first + 100, who)).toMatchObject({
        isZero: false,
        isHugeZero: true,
      });
      rig.expectClean();
    });

    test("a device-private page: its number, its kind, what counts it", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const addr = rig.written(HUGE, true);
      device.take(addr, HUGE);
      const page = device.map.first + HUGE + 3;
      const seen = snapshotPage(rig.devices, page, who);
      const flag = ownKind && who === "snapshot" ? PAGE_SNAPSHOT_DEVICE_PRIVATE : 0;
      expect(seen).toEqual({
        kind: "private",
        low: rig.devices.numbers.low(page),
        high: rig.devices.numbers.high(page),
        flags: PAGE_SNAPSHOT_FAITHFUL | flag,
        isZero: false,
        isHugeZero: false,
        order: 9,
        index: 3,
        refcount: 1,
        mapcount: 1,
      });
      rig.expectClean();
    });

    test("an idle page of a device is nobody's to look at", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const seen = snapshotPage(rig.devices, device.map.first + 5, who);
      expect(seen).toMatchObject({ kind: "private", order: 0, refcount: 0, mapcount: 0 });
      // The first map of a naming of its own begins at 0.
      expect(seen.low === 5).toBe(ownKind);
      const nobodys = snapshotPage(rig.devices, device.map.first + device.map.pages, who);
      expect(nobodys).toMatchObject({ kind: "uninitialised", low: -1, isZero: false });
    });

    test("a coherent page has a pfn", () => {
      const rig = new Rig(design);
      const first = rig.kernel.machine.deviceFirst;
      const map = rig.devices.mapPages({
        name: "hbm",
        type: MEMORY_DEVICE_COHERENT,
        ranges: [{ start: first, pages: HUGE }],
        owner: {},
        ops: { folioFree: () => {} },
      });
      const page = rig.devices.activate(map, 4, 0);
      expect(snapshotPage(rig.devices, page, who)).toMatchObject({
        kind: "coherent",
        low: first + 4,
        flags: PAGE_SNAPSHOT_FAITHFUL,
        refcount: 1,
        mapcount: 0,
      });
      rig.devices.release(page);
    });

    test("an offset that is the zero page's number is not the zero page", () => {
      const rig = new Rig(design);
      const device = new TestDevice(rig, "gpu");
      const zero = rig.kernel.base.core.zeroPage();
      expect(zero).toBeLessThan(device.map.pages);
      // Where numbers are of a kind of their own they begin at 0: this one is the zero page's.
      const page = rig.devices.activate(device.map, zero, 0);
      const seen = () => snapshotPage(rig.devices, page, who);
      expect(seen().low === zero).toBe(ownKind);
      expect(seen().isZero).toBe(false);
      rig.devices.mutants.set("zero-pfn");
      expect(seen().isZero).toBe(ownKind);
      rig.devices.mutants.set("zero-pfn", false);
      rig.devices.release(page);
    });
  });
});
