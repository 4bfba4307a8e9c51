/**
 * The bits that the number of a device page has in each place that holds one, and what
 * happens when they run out.
 *
 *     page-table entry   50 of payload, 48 beside young and dirty of a migration entry
 *     migrate array      58, above six flags
 *     HMM array          52, below order and flags
 *
 * A tuple has 32 bits of index and 16 of space in all three: 48. An offset and a pfn are
 * 31 bits wide here (43 bits of physical address).
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Devices } from "../../../src/engine/device/devices.js";
import {
  HMM_PFN_DEVICE_PRIVATE,
  HMM_PFN_ORDER_SHIFT,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from "../../../src/engine/device/hmm/hmm-pfn.js";
import { MEMORY_DEVICE_PRIVATE } from "../../../src/engine/device/kinds.js";
import {
  MIGRATE_PFN_BITS,
  MIGRATE_PFN_DEVICE_PRIVATE,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_WRITE,
} from "../../../src/engine/device/migrate-pfn.js";
import { MOVES_WRITE } from "../../../src/engine/device/numbers.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  deviceNumberHigh,
  isDevicePrivate,
  isMigration,
  isSwap,
  PTE_THERE,
  SWP_DEVICE_MIGRATION_WRITE,
  SWP_DEVICE_WRITE,
  swapHigh,
  swapLow,
  swapOffset,
  swapType,
} from "../../../src/engine/process/entry.js";
import { Kernel } from "../../../src/engine/process/kernel.js";

/** The kernel's MAX_SWAPFILES: 32 types less 3 for devices, 3 migration, hwpoison, markers; and 3 more. */
const SWAP_FILES = 24;
const SWAP_FILES_OF_SERIES = 21;

function machine(design: string): Devices {
  const asked = { memory: "16MiB", device: { private: "128MiB", span: "128MiB" } };
  return Devices.attach(Kernel.boot(asked, parseDesign(design)));
}

/** Devices whose pages have the number that the test says, and what a number was followed as. */
function withNumber(design: string): {
  devices: Devices;
  page: number;
  number: [low: number, high: number];
  followed: number[];
} {
  const devices = machine(design);
  const map = devices.mapPages({
    name: "gpu",
    type: MEMORY_DEVICE_PRIVATE,
    pages: 512,
    owner: devices,
    ops: { folioFree: () => {}, migrateToRam: () => 0 },
  });
  const page = devices.activate(map, 0, 0);
  const number: [number, number] = [0, 0];
  const followed: number[] = [];
  devices.naming.numberLow = () => number[0];
  devices.naming.numberHigh = () => number[1];
  devices.naming.find = (low, high) => {
    followed.splice(0, 2, low >>> 0, high);
    return page;
  };
  return { devices, page, number, followed };
}

const index = fc.oneof(
  fc.constantFrom(0, 1, 2 ** 22, 2 ** 23, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
);
const space = fc.oneof(fc.constantFrom(0, 1, 65_535), fc.integer({ min: 0, max: 65_535 }));

describe("a tuple has 32 bits of index and 16 of space", () => {
  const t = withNumber("device-tuple");
  const each = (check: () => void): void =>
    fc.assert(
      fc.property(index, space, (low, high) => {
        t.number.splice(0, 2, low | 0, high);
        check();
        expect(t.followed).toEqual([low, high]);
      }),
    );

  it("its naming says so", () => {
    expect(t.devices.naming.bits).toEqual({ number: 32, space: 16 });
  });

  it("in a device-private entry, with two bits of the payload to spare for young and dirty", () => {
    each(() => {
      const { numbers } = t.devices;
      const lo = numbers.privateEntry(t.page, true);
      const { hi } = numbers;
      expect([swapType(hi), lo & PTE_THERE, isDevicePrivate(lo, hi), isSwap(lo, hi)]).toEqual([
        SWP_DEVICE_WRITE,
        0,
        true,
        false,
      ]);
      // Bits 57 and 58 of the entry: the payload's upper two.
      expect(deviceNumberHigh(hi) >>> 16).toBe(0);
      expect(numbers.find(lo, hi)).toBe(t.page);
    });
  });

  it("in a migration entry, of a type of its own", () => {
    each(() => {
      const { numbers } = t.devices;
      const lo = numbers.migrationEntry(t.page, MOVES_WRITE);
      const { hi } = numbers;
      expect([swapType(hi), isMigration(lo, hi), numbers.isMigration(lo, hi)]).toEqual([
        SWP_DEVICE_MIGRATION_WRITE,
        false,
        true,
      ]);
      expect(numbers.moving(lo, hi)).toBe(t.page);
    });
  });

  it("in a migrate array, whose entries have 58", () => {
    expect(MIGRATE_PFN_BITS).toBe(58);
    const array = new Int32Array(2);
    each(() => {
      t.devices.pfns.set(array, 0, t.page, MIGRATE_PFN_MIGRATE | MIGRATE_PFN_WRITE);
      expect(array[0] & 63).toBe(
        1 | MIGRATE_PFN_MIGRATE | MIGRATE_PFN_WRITE | MIGRATE_PFN_DEVICE_PRIVATE,
      );
      expect(t.devices.pfns.page(array, 0)).toBe(t.page);
      // 48 of 58 bits are in use.
      expect(array[1] >>> (48 + 6 - 32)).toBe(0);
    });
  });

  it("in an HMM array, whose entries have 52", () => {
    expect(HMM_PFN_ORDER_SHIFT).toBe(52);
    const array = new Int32Array(2);
    const { pfns } = t.devices.hmm;
    each(() => {
      pfns.set(array, 0, t.page, HMM_PFN_VALID | HMM_PFN_WRITE, 18);
      expect(pfns.mapOrder(array, 0)).toBe(18);
      expect(pfns.flags(array, 0)).toBe(HMM_PFN_VALID | HMM_PFN_WRITE | HMM_PFN_DEVICE_PRIVATE);
      expect(pfns.numberHigh(array, 0) >>> 16).toBe(0);
      expect(pfns.page(array, 0)).toBe(t.page);
    });
  });
});

describe("an offset has the 31 bits of a pfn", () => {
  const t = withNumber("device-offset");

  it("in all places that hold one, marked everywhere", () => {
    expect(t.devices.naming.bits).toEqual({ number: 31, space: 0 });
    const array = new Int32Array(2);
    const { numbers, pfns, hmm } = t.devices;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (offset) => {
        t.number.splice(0, 2, offset, 0);
        const seen = [numbers.find(numbers.privateEntry(t.page, false), numbers.hi), ...t.followed];
        pfns.set(array, 0, t.page, 0);
        seen.push(pfns.page(array, 0), ...t.followed);
        hmm.pfns.set(array, 0, t.page, HMM_PFN_VALID, 0);
        seen.push(hmm.page(array, 0), ...t.followed);
        const once = [t.page, offset, 0];
        expect(seen).toEqual([...once, ...once, ...once]);
      }),
    );
  });
});

describe("where private pages have pfns nothing is marked", () => {
  it("an entry of a migrate or HMM array, and a migration entry, is one like any other's", () => {
    const t = withNumber("today");
    t.number.splice(0, 2, 2 ** 31 - 512, 0);
    const { numbers, pfns, hmm } = t.devices;
    const array = new Int32Array(2);
    const lo = numbers.migrationEntry(t.page, MOVES_WRITE);
    expect(isMigration(lo, numbers.hi)).toBe(true);
    pfns.set(array, 0, t.page, 0);
    expect(array[0] & MIGRATE_PFN_DEVICE_PRIVATE).toBe(0);
    hmm.pfns.set(array, 0, t.page, HMM_PFN_VALID, 0);
    expect(array[1] & HMM_PFN_DEVICE_PRIVATE).toBe(0);
    expect(t.devices.naming.bits).toEqual({ number: 31, space: 0 });
  });
});

describe("swap types", () => {
  it("three more are spent on migration entries of device pages: 24 swap files become 21", () => {
    const files = Array.from({ length: 32 }, (_, type) => type).filter((type) =>
      isSwap(swapLow(7, false), swapHigh(type, 7)),
    );
    expect(files).toHaveLength(SWAP_FILES_OF_SERIES);
    const migration = [21, 22, 23];
    expect(files.length + migration.length).toBe(SWAP_FILES);
    expect(swapOffset(swapLow(7, true), swapHigh(23, 7))).toBe(7);
  });
});

describe("running out is an error by name", () => {
  const create = (design: string, pages: number): (() => unknown) => {
    const devices = machine(design);
    return () =>
      devices.mapPages({
        name: "gpu",
        type: MEMORY_DEVICE_PRIVATE,
        pages,
        owner: {},
        ops: { folioFree: () => {}, migrateToRam: () => 0 },
      });
  };

  it.each([
    ["today", /ERANGE: no free stretch of physical address space/],
    ["device-offset", /EBUSY: the device address space is full/],
    ["device-tuple", /EOVERFLOW: it has more pages than an index of 31 bits counts/],
  ])("%s: more than 2^31 pages", (design, why) => {
    expect(create(design, 2 ** 31 + 1)).toThrow(why);
    expect(create(design, 2 ** 40)).toThrow(why);
    // As many as there are indexes: then it is the machine that has no room.
    expect(create(design, 2 ** 31)).toThrow(/ENOMEM/);
  });
});
