/**
 * mmap of the mirror driver's device file: pages that are counted and can be got, in
 * every design; a device that looks at them sees them, readable.
 */
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Devices } from "../../../src/engine/device/devices.js";
import { DriverMemory } from "../../../src/engine/drivers/driver-memory.js";
import { mapDeviceFile } from "../../../src/engine/drivers/mirror/device-file.js";
import { Mirror } from "../../../src/engine/drivers/mirror/mirror.js";
import { MirrorDevice } from "../../../src/engine/drivers/mirror/mirror-device.js";
import { PROT_READ as DEV_READ } from "../../../src/engine/drivers/mirror/snapshot-codes.js";
import {
  MADV_DONTNEED,
  MREMAP_MAYMOVE,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
} from "../../../src/engine/process/constants.js";
import { SignalError } from "../../../src/engine/errors.js";
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { leaksOf } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { broken } from "./check.js";

const DESIGNS = ["today", "today+separated=all", "page32", "memdesc16", "memdesc8", "slot64"];
const PAGE = 4096;
const boot = (design: string, device = {}): Kernel =>
  Kernel.boot({ memory: "16MiB", ...device }, parseDesign(design));

/** Nothing is broken, and with the processes all of it goes. */
function sound(kernel: Kernel): void {
  expect(broken(kernel)).toEqual([]);
  kernel.exitAll();
  expect(broken(kernel)).toEqual([]);
  expect(leaksOf(kernel).map((v) => v.message)).toEqual([]);
}

describe.each(DESIGNS)("%s", (design) => {
  test("each page is there, zeroed, counted once, readable and not writable", () => {
    const kernel = boot(design);
    const p = kernel.createProcess();
    const at = mapDeviceFile(p, kernel, 3);
    for (let i = 0; i < 3; i++) {
      const { present, writable, file, zero, pfn } = p.pagemap(at + i * PAGE);
      expect({ present, writable, file, zero }).toEqual({
        present: true,
        writable: false,
        file: true,
        zero: false,
      });
      expect(kernel.page(pfn)).toMatchObject({ refcount: 1, mapcount: 1, order: 0 });
    }
    expect(p.rss).toMatchObject({ file: 3, anon: 0 });
    const [{ flags }] = p.maps();
    expect(flags & (VM_MIXEDMAP | VM_PFNMAP | VM_SHARED)).toBe(VM_MIXEDMAP);
    expect(p.read(at, 3 * PAGE).every((b) => b === 0)).toBe(true);
    sound(kernel);
  });

  test("a snapshot of it says READ (hmm.mixedmap)", () => {
    const kernel = boot(design, { device: { private: "256MiB", span: "256MiB" } });
    const devices = Devices.attach(kernel);
    const device = new MirrorDevice(devices, { id: 0, kind: "private", chunkPages: 1024 });
    const p = kernel.createProcess();
    const mirror = new Mirror(device, p);
    const at = mapDeviceFile(p, kernel, 1);
    const { error, cpages, data } = mirror.snapshot(at, 1);
    expect([error, cpages, [...data]]).toEqual([0, 1, [DEV_READ]]);
    expect(p.pagemap(at).writable).toBe(false);
  });

  test("who writes gets a copy, the page goes when nobody maps it", () => {
    const kernel = boot(design);
    const p = kernel.createProcess();
    const at = mapDeviceFile(p, kernel, 2);
    const { pfn } = p.pagemap(at);
    const child = p.fork();
    expect(kernel.page(pfn)).toMatchObject({ refcount: 2, mapcount: 2 });
    p.write(at, Uint8Array.of(7));
    expect(p.pagemap(at).pfn).not.toBe(pfn);
    expect(child.read(at, 1)[0]).toBe(0);
    expect(kernel.page(pfn)).toMatchObject({ refcount: 1, mapcount: 1 });
    expect(p.rss).toMatchObject({ file: 1, anon: 1 });
    const moved = p.mremap(at, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    expect(p.read(moved, 1)[0]).toBe(7);
    // What was not put in is not there.
    expect(() => p.touch(moved + 3 * PAGE, "read")).toThrow(SignalError);
    child.madvise(at, PAGE, MADV_DONTNEED);
    expect(() => child.touch(at, "read")).toThrow(SignalError);
    sound(kernel);
  });

  test("GUP gets it, and keeps it when the mapping and its file are gone", () => {
    const kernel = boot(design);
    const p = kernel.createProcess();
    const at = mapDeviceFile(p, kernel, 1);
    const { pfn } = p.pagemap(at);
    const got = p.gup(at, PAGE, 0);
    expect([...got.pfns]).toEqual([pfn]);
    const pin = p.gup(at, PAGE, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM);
    // To be written it is the process's own first.
    expect(pin.pfns[0]).not.toBe(pfn);
    const { folios } = kernel.base;
    const folio = folios.ofPage(pfn);
    expect(folios.mapping(folio)).not.toBe(0);
    p.munmap(at, PAGE);
    expect(folios.mapping(folio)).toBe(0);
    expect(broken(kernel)).toEqual([]);
    expect(got.read(0, 1)[0]).toBe(0);
    got.release();
    pin.release();
    sound(kernel);
  });
});

test("without GUP cheaper memory would do, which a device cannot see", () => {
  for (const [design, kind] of [
    ["today", "misc"],
    ["page32", "misc"],
    ["slot64", "misc"],
    ["memdesc16", "managed"],
    ["memdesc8", "managed"],
  ]) {
    const memory = new DriverMemory(boot(design));
    const block = memory.allocate({ userMap: true, refcount: true });
    expect([block.kind, block.mappedAs]).toEqual([kind, "pfn"]);
    const asked = memory.allocate({ userMap: true, refcount: true, gup: true });
    expect([asked.kind, asked.mappedAs]).toEqual(["folio", "folio"]);
  }
});

test("refusals: no pages, too many, no memory; nothing is left then", () => {
  const kernel = boot("memdesc8");
  const p = kernel.createProcess();
  for (const pages of [0, -1, 1.5, 2 ** 20 + 1, NaN])
    expect(() => mapDeviceFile(p, kernel, pages)).toThrow(RangeError);
  expect(() => mapDeviceFile(p, kernel, "1" as never)).toThrow(TypeError);
  const before = kernel.settle();
  expect(() => mapDeviceFile(p, kernel, 2 ** 13)).toThrow(/ENOMEM/);
  expect(kernel.settle()).toBe(before);
  expect(p.maps()).toEqual([]);
  p.exit();
  expect(() => mapDeviceFile(p, kernel, 1)).toThrow(/ESRCH/);
  expect(broken(kernel)).toEqual([]);
  expect(leaksOf(kernel).map((v) => v.message)).toEqual([]);
});
