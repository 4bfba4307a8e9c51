/**
 * What the tests of page maps share: a machine with room for devices, maps of every type,
 * and what must be so between two steps.
 */
import { Devices } from "../../../src/engine/device/devices.js";
import {
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_FS_DAX,
  MEMORY_DEVICE_GENERIC,
  MEMORY_DEVICE_PCI_P2PDMA,
  MEMORY_DEVICE_PRIVATE,
} from "../../../src/engine/device/kinds.js";
import type { DevPagemap, PagemapConfig } from "../../../src/engine/device/pagemap.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Kernel, type KernelRequest } from "../../../src/engine/process/kernel.js";
import { watchDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import { inspectKernel, watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import type { Holdings } from "../../../src/engine/sanitizer/process/shape.js";
import { Deadlock, type Words } from "../../../src/engine/words/words.js";
import type { Bytes } from "../../../src/units.js";

/** Pages of 2 MiB. */
export const HUGE = 512;

export const PRIVATE = MEMORY_DEVICE_PRIVATE;
export const COHERENT = MEMORY_DEVICE_COHERENT;
export const FS_DAX = MEMORY_DEVICE_FS_DAX;
export const GENERIC = MEMORY_DEVICE_GENERIC;
export const P2PDMA = MEMORY_DEVICE_PCI_P2PDMA;
/** A design of each naming. */
export const NAMES = ["today", "device-offset", "device-tuple"];
export const TYPES = [PRIVATE, COHERENT, FS_DAX, GENERIC, P2PDMA] as const;

export interface Scene {
  readonly kernel: Kernel;
  readonly devices: Devices;
  /** Free pages before anything was done. */
  readonly before: number;
  /** What drivers were told, in order. */
  readonly told: string[];
}

/** A machine of 16 MiB, with the sanitizer's events on. */
export function scene(
  design: string,
  request: Partial<KernelRequest> = {},
  makeWords?: (size: Bytes) => Words,
): Scene {
  const kernel = Kernel.boot(
    { memory: "16MiB", device: { private: "256MiB", span: "128MiB" }, ...request },
    parseDesign(design),
    makeWords,
  );
  watchKernel(kernel);
  const devices = Devices.attach(kernel);
  watchDevices(devices);
  return { kernel, devices, before: kernel.settle(), told: [] };
}

/** What every type of map can be made with: `pages` of it, the `block`th 2 MiB behind the RAM. */
export function config(s: Scene, type: number, pages = HUGE, block = 0): PagemapConfig {
  const name = `${type}`;
  const owner = s;
  const ops = {
    migrateToRam: () => 0,
    folioFree: (page: number, order: number) => void s.told.push(`${name}: ${page}, ${order}`),
  };
  if (type === PRIVATE) return { name, type, owner, ops, pages };
  const start = s.kernel.machine.deviceFirst + block * HUGE;
  return { name, type, owner, ops, ranges: [{ start, pages }] };
}

/** The same with some of it otherwise. */
export const other = (s: Scene, type: number, change: Partial<PagemapConfig>): PagemapConfig => ({
  ...config(s, type),
  ...change,
});

/** The map, or the errno that it is refused with. */
export const create = (s: Scene, c: PagemapConfig): DevPagemap | number =>
  s.devices.pagemaps.create(c);

/** Whether a wait is for ever, since nobody else runs. */
export function blocks(wait: () => unknown): boolean {
  try {
    wait();
    return false;
  } catch (error) {
    if (error instanceof Deadlock) return true;
    throw error;
  }
}

/** Makes one. */
export const mapOf = (s: Scene, type: number, pages = HUGE, block = 0): DevPagemap =>
  s.devices.mapPages(config(s, type, pages, block));

/** Everything that is wrong: broken rules, and warnings. */
export const wrong = (s: Scene, holdings: Holdings = {}): string[] => [
  ...inspectKernel(s.kernel, holdings).map((v) => v.message),
  ...s.devices.zoneDevice.warnings,
];

/** One reference of each of these pages, for `wrong`. */
export const held = (...pages: number[]): Holdings => ({
  folios: pages.map((pfn) => ({ pfn, refs: 1, pins: 0, who: "the driver" })),
});

/** Whether everything is as it was at the start. */
export const isAsBefore = (s: Scene): boolean =>
  s.devices.pagemaps.maps.size === 0 &&
  s.kernel.machine.deviceArea?.frames === 0 &&
  s.kernel.settle() === s.before;
