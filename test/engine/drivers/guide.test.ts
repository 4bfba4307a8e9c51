/** docs/writing-a-driver.md: its code is the tested files' text, and works on every legal design. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Devices } from "../../../src/engine/device/devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../../../src/engine/device/kinds.js";
import {
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
} from "../../../src/engine/device/migrate-args.js";
import { ToyGpu } from "../../../src/engine/drivers/guide/toy-gpu.js";
import { ERRNO } from "../../../src/engine/errors.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { inspectKernel, watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import type { Holdings } from "../../../src/engine/sanitizer/process/shape.js";
import { Deadlock } from "../../../src/engine/words/words.js";
import { anon, boot, DESIGNS, fill, lost, PAGE } from "./designs.js";
import { tryToyGpu } from "./guide-run.js";

const ROOT = new URL("../../../", import.meta.url);
const text = (path: string): string => readFileSync(new URL(path, ROOT), "utf8");
/** Code blocks of the guide that say whose they are, in order. */
const blocks = (file: string): string =>
  [...text("docs/writing-a-driver.md").matchAll(/^```ts (\S+)\n([^]*?)^```$/gm)]
    .filter(([, name]) => name === file)
    .map(([, , code]) => code)
    .join("\n");
/** A file without the comment that it opens with. */
const body = (path: string): string => text(path).replace(/^\/\*\*[^]*?\*\/\n/, "");

test.each([
  ["toy-gpu.ts", "src/engine/drivers/guide/toy-gpu.ts"],
  ["guide-run.ts", "test/engine/drivers/guide-run.ts"],
])("the guide's blocks of %s are the file, all of it", (name, path) => {
  expect(blocks(name)).toBe(body(path));
});

test("the guide shows no other code", () => {
  const all = text("docs/writing-a-driver.md").match(/^```ts.*$/gm) ?? [];
  expect(all.filter((line) => !/^```ts (toy-gpu|guide-run)\.ts$/.test(line))).toEqual([]);
});

test.each(DESIGNS)("the guide's driver works: %s", (design) => {
  expect(tryToyGpu(design)).toEqual([]);
});

describe("what the guide says goes wrong does", () => {
  test("a page that somebody holds keeps the driver from going", () => {
    const { kernel, devices } = boot("today");
    const gpu = new ToyGpu(devices, 4);
    const process = kernel.createProcess();
    const at = anon(process, 4);
    fill(process, at, 4);
    expect(gpu.toDevice(process.mm, at, 4)).toBe(4);
    const folio = devices.privates.folioOf(gpu.map.pageAt(0));
    devices.privates.folios.get(folio);
    expect(gpu.remove()).toBe(-ERRNO.EBUSY);
    devices.privates.folios.put(folio);
    expect(gpu.remove()).toBe(0);
    expect(lost(process, at, 4)).toEqual([]);
  });

  test("nothing is mapped there", () => {
    const { kernel, devices } = boot("today");
    const gpu = new ToyGpu(devices, 4);
    expect(gpu.toDevice(kernel.createProcess().mm, 64 * PAGE, 4)).toBe(-ERRNO.EFAULT);
  });

  test("a machine without room for devices", () => {
    const kernel = Kernel.boot({ memory: "8MiB" }, parseDesign("today"));
    expect(() => Devices.attach(kernel)).toThrow(/ENXIO/);
  });
});

describe("mistakes are reported as the guide says", () => {
  const REQUEST = "memdesc8+device-name=tuple+device-record=device-private+activation=request";
  const rules = (kernel: Kernel, holdings: Holdings = {}): string[] =>
    inspectKernel(kernel, holdings).map((v) => v.rule);

  /** The guide's driver with four pages of a process. */
  function start(design: string) {
    const { kernel, devices } = boot(design);
    watchKernel(kernel);
    const gpu = new ToyGpu(devices, 4);
    const process = kernel.createProcess();
    const at = anon(process, 4);
    fill(process, at, 4);
    return { kernel, devices, gpu, process, at };
  }

  test("an idle page is looked at", () => {
    const { kernel, devices, gpu } = start(REQUEST);
    expect(rules(kernel)).toEqual([]);
    devices.data(gpu.map.pageAt(0));
    expect(rules(kernel)).toContain("idle pages are not touched");
  });

  test("a page of RAM is never let go", () => {
    const { kernel, devices } = start("today");
    devices.release(devices.allocSystem(0));
    expect(rules(kernel)).toEqual([]);
    devices.allocSystem(0);
    expect(rules(kernel)).toContain("one place");
  });

  test("the GPU's page table has what the process has no longer", () => {
    const { kernel, process, at } = start("today");
    const vpn = at / PAGE;
    const entries = [{ vpn, page: process.walk(at, "read"), write: true }];
    const mirrors = [{ mm: process.mm, entries, who: "a GPU" }];
    expect(rules(kernel, { mirrors })).toEqual([]);
    process.munmap(at, PAGE);
    expect(rules(kernel, { mirrors })).toContain("mirrors show what is mapped");
  });

  test("a page is in service twice", () => {
    const { devices, gpu } = start("today");
    devices.activate(gpu.map, 3, 0);
    expect(devices.zoneDevice.warnings).toEqual([]);
    devices.activate(gpu.map, 3, 0);
    expect(devices.zoneDevice.warnings).toHaveLength(1);
  });

  test("the map is taken away with pages in service", () => {
    const { devices, gpu, process, at } = start("today");
    gpu.toDevice(process.mm, at, 4);
    expect(() => devices.unmapPages(gpu.map)).toThrow(Deadlock);
  });

  /** A map of one page whose driver does as little as it can, and a process with a page for it. */
  function careless(named: boolean) {
    const { kernel, devices } = boot("today");
    watchKernel(kernel);
    const map = devices.mapPages({
      name: "careless",
      type: MEMORY_DEVICE_PRIVATE,
      pages: 1,
      owner: devices,
      ops: {
        folioFree: () => {},
        migrateToRam: ({ vma, vpn, page }) => {
          const fields = { vma, start: vpn, end: vpn + 1, owner: devices };
          const flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
          const faultPage = named ? page : -1;
          return devices.bringBack(migrateArgs(1, { ...fields, flags, faultPage }));
        },
      },
    });
    const process = kernel.createProcess();
    const at = anon(process, 1);
    fill(process, at, 1);
    const vpn = at / PAGE;
    const vma = devices.vmaLookup(process.mm, vpn);
    const flags = MIGRATE_VMA_SELECT_SYSTEM;
    const args = migrateArgs(1, { vma, start: vpn, end: vpn + 1, flags, owner: devices });
    return { kernel, devices, map, process, vpn, args };
  }

  test("the page of a fault is not named: it stays where it is", () => {
    const { kernel, devices, map, process, vpn, args } = careless(false);
    expect(devices.migrateVma(args, () => devices.activate(map, 0, 0))).toBe(1);
    expect(kernel.faults.handle(process.mm, vpn, false)).toBe(0);
    expect(map.inService).toBe(1);
  });

  test("contents are not copied", () => {
    const { kernel, devices, map, process, vpn, args } = careless(true);
    expect(rules(kernel)).toEqual([]);
    expect(devices.migrate.setup(args)).toBe(0);
    devices.pfns.set(args.dst, 0, devices.activate(map, 0, 0), 0);
    devices.migrate.pages(args);
    devices.migrate.finalize(args);
    process.touch(vpn * PAGE, "read");
    expect(map.inService).toBe(0);
    expect(rules(kernel)).toContain("contents change only when they are written");
  });
});
