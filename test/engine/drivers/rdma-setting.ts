/** What the tests of RDMA share: a GPU with a window, a NIC beside it, a process, and how all of it goes. */
import { expect } from "vitest";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import type { MemoryRegion, RegionPage } from "../../../src/engine/drivers/rdma/memory-region.js";
import { PeerGpu, type PeerGpuConfig } from "../../../src/engine/drivers/rdma/peer-gpu.js";
import {
  IB_ACCESS_LOCAL_WRITE,
  IB_ACCESS_ON_DEMAND,
  IB_ACCESS_REMOTE_READ,
  IB_ACCESS_REMOTE_WRITE,
  RdmaDevice,
  type RdmaConfig,
} from "../../../src/engine/drivers/rdma/rdma-device.js";
import { MmError } from "../../../src/engine/errors.js";
import type { KernelRequest } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import { anon, boot, fill, mark, PAGE, wrong, type Booted } from "./designs.js";

export const HUGE = 512;
export const RW = IB_ACCESS_ON_DEMAND | IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE;
export const RO = IB_ACCESS_ON_DEMAND | IB_ACCESS_REMOTE_READ;

/** For what does not depend on every axis: each name and record, both activations, two words. */
export const SOME: readonly string[] = [
  "today",
  "device-offset",
  "device-tuple",
  "memdesc8+device-name=tuple+device-record=folio+activation=request+device-lifetime=request",
].map((design) => `${design}+peer=alias`);

export interface Setting extends Booted {
  readonly gpu: PeerGpu;
  readonly nic: RdmaDevice;
  readonly process: Process;
}

/** Room for several GPUs, also where each begins a section of its own. */
export const ROOM: KernelRequest = { device: { private: "512MiB", span: "128MiB" } };

/** A GPU with a window over all of its memory, a NIC behind the same switch, a process. */
export function start(
  design: string,
  nicConfig: RdmaConfig = {},
  gpuConfig: Partial<PeerGpuConfig> = {},
  request: KernelRequest = {},
): Setting {
  const { kernel, devices } = boot(design, request);
  // The zero page is there for good once it was read.
  const first = kernel.createProcess();
  first.read(anon(first, 1), 1);
  first.exit();
  const booted: Booted = { kernel, devices, before: kernel.settle() };
  const bar = { start: booted.devices.pagemaps.span.start, pages: 2 * HUGE };
  const gpu = new PeerGpu(booted.devices, { pages: 2 * HUGE, bar, ...gpuConfig });
  const nic = new RdmaDevice(booted.devices, nicConfig);
  if (gpu.window !== null) nic.connect(gpu.window, "bus");
  return { ...booted, gpu, nic, process: booted.kernel.createProcess() };
}

/** The window of a GPU that has one. */
export function windowOf({ window }: PeerGpu): DevPagemap {
  if (window === null) throw new Error("the GPU has no window");
  return window;
}

/** Page `i` as the NIC has it. */
export function pageOf(region: MemoryRegion, i: number): RegionPage {
  const page = region.page(i);
  if (page === null) throw new Error(`page ${i} is not mapped`);
  return page;
}

/** All goes: everything is back, nothing is mapped for the NIC, nothing is wrong. */
export function finish(s: Setting): void {
  s.nic.close();
  expect([s.nic.dma.mapped, s.nic.dma.reserved, s.nic.regions.size]).toEqual([0, 0, 0]);
  if (s.process.alive) s.process.exit();
  if (s.gpu.map.state === "live") expect(s.gpu.unload()).toBe(0);
  expect(s.kernel.settle()).toBe(s.before);
  expect(wrong(s)).toEqual([]);
}

/** Pages that say which they are, the first `there` of them in the GPU's memory. */
export function pagesOf(s: Setting, pages: number, there: number): number {
  const at = anon(s.process, pages);
  fill(s.process, at, pages);
  const before = s.gpu.map.inService;
  if (there > 0) expect(s.gpu.toDevice(s.process, at, there)).toBe(there);
  expect(s.gpu.map.inService).toBe(before + there);
  return at;
}

export const register = (s: Setting, at: number, pages: number, access = RW): MemoryRegion =>
  s.nic.register(s.process, at, pages * PAGE, access);

/** What the NIC reads of each page's mark; an errno where it reads nothing. */
export const marks = (region: MemoryRegion, pages: number, from = 0): number[] =>
  Array.from({ length: pages }, (_, i) => {
    const { error, data } = region.read((from + i) * PAGE + 5, 1);
    return error === 0 ? data[0] : error;
  });

export const marksOf = (pages: number, from = 0): number[] =>
  Array.from({ length: pages }, (_, i) => mark(from + i));

/** Kind of each page that the NIC has mapped. */
export const kinds = (region: MemoryRegion): string[] =>
  Array.from({ length: region.pages }, (_, i) => region.page(i)?.kind ?? "-");

/** The negative errno that is thrown; 0 for none. */
export function errnoOf(act: () => unknown): number {
  try {
    act();
  } catch (error) {
    if (error instanceof MmError) return -error.errno;
    throw error;
  }
  return 0;
}
