/** The designs that a driver's tests run on, a machine with room for a device, and what must be so between two steps. */
import { afterAll, beforeAll } from "vitest";
import { Devices } from "../../../src/engine/device/devices.js";
import { DesignError, parseDesign } from "../../../src/engine/design/presets.js";
import { Kernel, type KernelRequest } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { watchDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import type { GpuTable } from "../../../src/engine/drivers/gpu-table.js";

export const PAGE = 4096;
const WORDS = ["today", "page32", "memdesc16", "memdesc8", "slot64"];

/** Every legal combination of page word, name, record, lifetime and activation: 145. */
export const LEGAL: readonly string[] = WORDS.flatMap((word) =>
  ["physical", "offset", "tuple"].flatMap((name) =>
    ["page", "folio", "device-private"].flatMap((record) =>
      ["static", "chunk", "request"].flatMap((lifetime) =>
        ["init", "request"]
          .map(
            (activation) =>
              `${word}+device-name=${name}+device-record=${record}+device-lifetime=${lifetime}+activation=${activation}`,
          )
          .filter(isLegal),
      ),
    ),
  ),
);

/** The same, and the options of `request` that change what a driver's call must do. */
export const DESIGNS: readonly string[] = [
  ...LEGAL,
  "today+activation=request+request-order=match",
  "memdesc8+device-name=tuple+device-record=device-private+device-lifetime=request+activation=request+request-order=match+request-refs=page",
  "page32+device-name=offset+device-record=folio+activation=request+request-idle=any",
];

function isLegal(design: string): boolean {
  try {
    parseDesign(design);
    return true;
  } catch (error) {
    if (error instanceof DesignError) return false;
    throw error;
  }
}

export interface Booted {
  readonly kernel: Kernel;
  readonly devices: Devices;
  /** Free pages before anything was done. */
  readonly before: number;
}

/** A small machine with room for 128 MiB of device memory of each sort. */
export function boot(design: string, request: KernelRequest = {}): Booted {
  const kernel = Kernel.boot(
    { memory: "8MiB", device: { private: "128MiB", span: "128MiB" }, ...request },
    parseDesign(design),
  );
  const devices = Devices.attach(kernel);
  // Where pages are requested nobody may touch an idle one.
  watchDevices(devices);
  return { kernel, devices, before: kernel.settle() };
}

/**
 * One machine for the tests of a `describe`, which leave it as they found it; gone
 * with the last of them.
 */
export function sharedMachine(design: string, request: KernelRequest = {}): () => Booted {
  let booted: Booted | null = null;
  beforeAll(() => {
    booted = boot(design, request);
  });
  afterAll(() => {
    booted = null;
  });
  return () => booted ?? boot(design, request);
}

/** Everything that is wrong: broken rules, and warnings of the device layer. */
export function wrong({ kernel, devices }: Booted, gpus: readonly GpuTable[] = []): string[] {
  const mirrors = gpus.map((gpu) => ({ mm: gpu.mm, entries: gpu.entries(), who: "a GPU" }));
  const broken = inspectKernel(kernel, { mirrors }).map((v) => v.message);
  return [...broken, ...devices.zoneDevice.warnings];
}

/** Anonymous private memory of a process. */
export const anon = (process: Process, pages: number): number =>
  process.mmap({ length: pages * PAGE, prot: 3, flags: 0x22 });

/** A byte that says which page it is, the same for every process. */
export const mark = (i: number): number => (i * 7 + 1) & 0xff;

/** Every page is written, and every `step`th says which it is (what is in pages is what tests pay for). */
export function fill(process: Process, at: number, pages: number, step = 1): void {
  for (let i = 0; i < pages; i++)
    if (i % step === 0) process.write(at + i * PAGE + 5, Uint8Array.of(mark(i)));
    else process.touch(at + i * PAGE, "write");
}

/** Those of `fill` that do not say so any more. */
export function lost(process: Process, at: number, pages: number, from = 0, step = 1): number[] {
  const bad: number[] = [];
  for (let i = from; i < from + pages; i += step)
    if (process.read(at + i * PAGE + 5, 1)[0] !== mark(i)) bad.push(i);
  return bad;
}
