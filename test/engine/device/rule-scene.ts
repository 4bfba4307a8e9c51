/**
 * What the rules of device memory are broken in: a kernel with one of everything that
 * devices make of processes' memory, and the places in it that a test changes.
 */
import { expect } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Devices } from "../../../src/engine/device/devices.js";
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
} from "../../../src/engine/device/migrate-args.js";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import {
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
} from "../../../src/engine/process/constants.js";
import { deviceHigh, swapLow } from "../../../src/engine/process/entry.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { pteAt } from "../../../src/engine/process/page-tables.js";
import type { Process } from "../../../src/engine/process/process.js";
import { watchDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import { watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import type { Ref } from "../../../src/units.js";
import { COHERENT, PRIVATE } from "./pagemap-scene.js";

export const PAGE = 4096;
export const HUGE = 512;

export interface Scene {
  readonly kernel: Kernel;
  readonly devices: Devices;
  readonly process: Process;
  readonly child: Process;
  readonly gpu: DevPagemap;
  readonly cxl: DevPagemap;
  /** Page of the process on the GPU, its alone; one that parent and child share; a huge one of both. */
  readonly own: number;
  readonly shared: number;
  readonly huge: number;
  /** On coherent memory; on loan; a page of RAM. */
  readonly coherent: number;
  readonly lent: number;
  readonly ram: number;
}

/** A kernel in which there is one of everything. */
export function scene(design: string): Scene {
  const kernel = Kernel.boot(
    { memory: "32MiB", device: { private: "256MiB", span: "128MiB" } },
    parseDesign(design),
  );
  watchKernel(kernel);
  const devices = Devices.attach(kernel);
  watchDevices(devices);
  const owner = {};
  const ops = { folioFree: () => {}, migrateToRam: () => 0 };
  const gpu = devices.mapPages({ name: "gpu", type: PRIVATE, pages: 2 * HUGE + 100, owner, ops });
  const ranges = [{ start: kernel.machine.deviceFirst, pages: HUGE }];
  const cxl = devices.mapPages({ name: "cxl", type: COHERENT, ranges, owner, ops });
  const process = kernel.createProcess();
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const wide = process.mmap({ length: 3 * HUGE * PAGE, prot: 0, flags });
  const huge = Math.ceil(wide / (HUGE * PAGE)) * HUGE * PAGE;
  process.mmap({ addr: huge, length: HUGE * PAGE, prot: 3, flags: flags | MAP_FIXED });
  process.madvise(huge, HUGE * PAGE, MADV_HUGEPAGE);
  const small = process.mmap({ length: 8 * PAGE, prot: 3, flags });
  const at = (i: number): number => small + i * PAGE;
  process.write(huge, Uint8Array.of(9));
  for (let i = 0; i < 6; i++) process.write(at(i), Uint8Array.of(i));
  const move = (addr: number, pages: number, map: DevPagemap, offset: number): void => {
    const args = migrateArgs(pages);
    args.vma = devices.vmaLookup(process.mm, addr / PAGE);
    args.start = addr / PAGE;
    args.end = args.start + pages;
    args.owner = owner;
    args.flags = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;
    expect(
      devices.migrateVma(args, (_from, i, order) => devices.activate(map, offset + i, order)),
    ).toBe(pages);
  };
  move(at(0), 1, gpu, 3);
  move(huge, HUGE, gpu, HUGE);
  const child = process.fork();
  // Written after the fork, so not shared.
  process.write(at(4), Uint8Array.of(40));
  process.write(at(6), Uint8Array.of(6));
  process.write(at(7), Uint8Array.of(7));
  move(at(6), 1, gpu, 7);
  move(at(7), 1, cxl, 5);
  const lent = devices.exclusive.make(process.mm, at(4) / PAGE, 0);
  const folio = kernel.base.folios.ofPage(lent);
  kernel.base.folios.unlock(folio);
  kernel.base.folios.put(folio);
  return {
    kernel,
    devices,
    process,
    child,
    gpu,
    cxl,
    own: at(6),
    shared: at(0),
    huge,
    coherent: at(7),
    lent: at(4),
    ram: at(5),
  };
}

export const page = (s: Scene, offset: number): number => s.gpu.first + offset;
export const OWN = 7;
export const SHARED = 3;
export const folioOf = (s: Scene, p: number): Ref => s.devices.moves.sideOf(p).folioOf(p);
export const add = (s: Scene, ref: Ref, off: number, n = 1): void =>
  void s.kernel.base.w.add32(ref, off, n);

export function setEntry(s: Scene, addr: number, lo: number, hi: number): void {
  const { tables, w } = s.kernel.base;
  w.store64(tables.pteTable(s.process.mm, addr / PAGE), pteAt(addr / PAGE), lo, hi);
}

/** An entry that names a page of the GPU by its number. */
export function deviceEntryOf(s: Scene, type: number, p: number): [number, number] {
  const { naming } = s.devices;
  const low = naming.numberLow(p, s.gpu.words);
  return [swapLow(low, false), deviceHigh(type, low, naming.numberHigh(p, s.gpu.words))];
}

/** Fields of a device-private folio. */
export const layout = (s: Scene) => s.devices.privates.folios.layout;
export const rest = (s: Scene, p: number): Ref => s.devices.privates.folios.rest(folioOf(s, p));
