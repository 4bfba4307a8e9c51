/**
 * Host bytes that describe 1 GiB of device-private memory in one design: with the
 * page map made, with every page in service as single pages, and as huge ones.
 * Prints them as JSON. Argument: design.
 */
import { parseDesign } from "../src/engine/design/presets.js";
import { Devices } from "../src/engine/device/devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../src/engine/device/kinds.js";
import { PMD_ORDER } from "../src/engine/process/constants.js";
import { Kernel } from "../src/engine/process/kernel.js";

const PAGES = 2 ** 30 / 4096;

/** Frames that are gone from the free lists once everything kept for later is given back. */
function measure(design: string, order: number): { idle: number; full: number } {
  const request = { memory: "512MiB", device: { private: "1GiB", span: 0 } };
  const kernel = Kernel.boot(request, parseDesign(design));
  const devices = Devices.attach(kernel);
  const before = kernel.settle();
  const map = devices.mapPages({
    name: "bytes",
    type: MEMORY_DEVICE_PRIVATE,
    pages: PAGES,
    owner: {},
    ops: { folioFree: () => {}, migrateToRam: () => -1007 },
  });
  const idle = before - kernel.settle();
  for (let offset = 0; offset < PAGES; offset += 1 << order)
    if (devices.activate(map, offset, order) < 0) throw new Error(`no page at ${offset}`);
  return { idle: idle * 4096, full: (before - kernel.settle()) * 4096 };
}

const design = process.argv[2] ?? "today";
const single = measure(design, 0);
const huge = measure(design, PMD_ORDER);
console.log(JSON.stringify({ idle: single.idle, single: single.full, huge: huge.full }));
