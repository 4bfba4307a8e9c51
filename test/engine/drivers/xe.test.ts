/** xe on drm_pagemap: all of a range or nothing, huge folios, eviction in three tries. One driver source on every legal design. */
import { describe, expect, test, vi } from "vitest";
import { XeDevice, XeSvm } from "../../../src/engine/drivers/xe/xe-device.js";
import { ERRNO } from "../../../src/engine/errors.js";
import { FOLL_PIN } from "../../../src/engine/process/gup.js";
import type { Process } from "../../../src/engine/process/process.js";
import {
  anon,
  boot,
  DESIGNS,
  fill,
  lost,
  mark,
  PAGE,
  sharedMachine,
  wrong,
  type Booted,
} from "./designs.js";

const HUGE = 512;
const VRAM = HUGE;
const MADV_HUGEPAGE = 14;

interface Setting extends Booted {
  readonly gpu: XeDevice;
  readonly process: Process;
  readonly svm: XeSvm;
  /** Aligned to 2 MiB. */
  readonly at: number;
}

/** A process with so many pages, huge ones where wanted, and a GPU with 2 MiB of VRAM. */
function start(booted: Booted, pages: number, huge: boolean, step = 1): Setting {
  const gpu = new XeDevice(booted.devices, "vram0", VRAM);
  const process = booted.kernel.createProcess();
  const room = anon(process, pages + HUGE);
  const at = Math.ceil(room / PAGE / HUGE) * HUGE * PAGE;
  process.madvise(at, pages * PAGE, huge ? MADV_HUGEPAGE : 15);
  fill(process, at, pages, step);
  return { ...booted, gpu, process, svm: new XeSvm(gpu, process), at };
}

function finish(s: Setting): void {
  s.process.exit();
  s.svm.close();
  expect(s.gpu.objects).toBe(0);
  expect(s.gpu.freePages).toBe(VRAM);
  expect(s.gpu.fini()).toBe(0);
  expect(s.kernel.settle()).toBe(s.before);
  expect(wrong(s)).toEqual([]);
}

function gpuByte({ svm, at }: Setting, i: number, offset = 5): number {
  const out = new Uint8Array(1);
  expect(svm.gpu.read(at + i * PAGE + offset, out)).toBe(0);
  return out[0];
}

const inService = (s: Setting): number => s.gpu.dpagemap.map.inService;

describe.each(DESIGNS)("%s", (design) => {
  const machine = sharedMachine(design);

  test("a huge page goes as one folio, and comes back as one where it is touched", () => {
    const step = 64;
    const s = start(machine(), HUGE, true, step);
    const { svm, process, at } = s;
    expect(process.pagemap(at)).toMatchObject({ present: true, huge: true });
    expect(svm.toVram(at, HUGE * PAGE)).toBe(HUGE);
    expect(inService(s)).toBe(HUGE);
    expect(s.gpu.objects).toBe(1);
    expect(gpuByte(s, step)).toBe(mark(step));
    expect(svm.gpu.write(at + step * PAGE + 6, Uint8Array.of(9))).toBe(0);
    expect([...process.read(at + step * PAGE + 5, 2)]).toEqual([mark(step), 9]);
    expect(process.pagemap(at)).toMatchObject({ present: true, huge: true });
    expect(inService(s)).toBe(0);
    expect(lost(process, at, HUGE, 0, step)).toEqual([]);

    // Part of the huge folio is unmapped, another process has all of it.
    expect(svm.toVram(at, HUGE * PAGE)).toBe(HUGE);
    const child = process.fork();
    process.munmap(at + 128 * PAGE, 128 * PAGE);
    expect(wrong(s, [svm.gpu])).toEqual([]);
    expect(lost(child, at, HUGE, 0, step)).toEqual([]);
    expect(lost(process, at, 128, 0, step)).toEqual([]);
    expect(lost(process, at, 256, 256, step)).toEqual([]);
    child.exit();
    expect(inService(s)).toBe(0);
    finish(s);
  });

  test("pieces of 64 KiB and of a page; a CPU fault brings one piece back", () => {
    const s = start(machine(), 64, false);
    const { svm, process, at } = s;
    // From page 3 on: 13 single pages, two pieces of 16, 2 single pages.
    expect(svm.toVram(at + 3 * PAGE, 47 * PAGE)).toBe(47);
    expect(s.gpu.objects).toBe(17);
    expect(process.read(at + 20 * PAGE + 5, 1)[0]).toBe(mark(20));
    expect(inService(s)).toBe(31);
    process.munmap(at + 32 * PAGE, 8 * PAGE);
    expect(inService(s)).toBe(23);
    expect(process.read(at + 40 * PAGE + 5, 1)[0]).toBe(mark(40));
    expect(inService(s)).toBe(15);
    const child = process.fork();
    child.write(at + 5 * PAGE + 5, Uint8Array.of(200));
    expect(svm.gpu.write(at + 6 * PAGE + 6, Uint8Array.of(66))).toBe(0);
    expect([...child.read(at + 6 * PAGE + 5, 2)]).toEqual([mark(6), 0]);
    child.exit();
    expect(lost(process, at, 32)).toEqual([]);
    expect(lost(process, at, 24, 40)).toEqual([]);
    expect(process.read(at + 6 * PAGE + 6, 1)[0]).toBe(66);
    finish(s);
  });

  test("a working set twice as large as VRAM: objects are evicted, the oldest first", () => {
    const step = 128;
    const s = start(machine(), 2 * VRAM, false, step);
    const { gpu, svm, process, at } = s;
    // The first one a second time: by then it is in RAM again.
    for (const i of [0, 1, 0]) {
      expect(svm.toVram(at + i * HUGE * PAGE, HUGE * PAGE)).toBe(HUGE);
      const page = i * HUGE + step;
      expect(gpuByte(s, page)).toBe(mark(page));
      expect(svm.gpu.write(at + page * PAGE + 6, Uint8Array.of(i + 1))).toBe(0);
    }
    expect(gpu.evictions).toBe(2);
    expect(inService(s)).toBe(VRAM);
    expect(lost(process, at, 2 * VRAM, 0, step)).toEqual([]);
    for (let i = 0; i < 2; i++)
      expect(process.read(at + (i * HUGE + step) * PAGE + 6, 1)[0]).toBe(i + 1);
    finish(s);
  });
});

test("all or nothing: one pinned page keeps the whole piece in RAM", () => {
  const s = start(boot("today"), 16, false);
  const { svm, process, at } = s;
  const held = process.gup(at + 3 * PAGE, PAGE, FOLL_PIN);
  const { devices, mm } = { devices: s.devices, mm: process.mm };
  devices.mmapReadLock(mm);
  expect(s.gpu.populateMm(svm, at / PAGE, at / PAGE + 16)).toBe(-ERRNO.EBUSY);
  devices.mmapReadUnlock(mm);
  expect(s.gpu.freePages).toBe(VRAM);
  expect(lost(process, at, 16)).toEqual([]);
  held.release();
  expect(svm.toVram(at, 16 * PAGE)).toBe(16);
  finish(s);
});

test("what is no anonymous memory, or not covered by one VMA, is refused", () => {
  const s = start(boot("memdesc8"), 16, false);
  const { process, at, devices, gpu } = s;
  const file = s.kernel.createFile("tmpfs", 16 * PAGE);
  const there = process.mmap({ length: 16 * PAGE, prot: 3, flags: 1, file });
  const populate = (addr: number, pages: number): number => {
    devices.mmapReadLock(process.mm);
    const error = gpu.populateMm(s.svm, addr / PAGE, addr / PAGE + pages);
    devices.mmapReadUnlock(process.mm);
    return error;
  };
  process.write(there, Uint8Array.of(1));
  expect(populate(there, 16)).toBe(-ERRNO.EBUSY);
  process.mprotect(at + 8 * PAGE, 8 * PAGE, 1);
  expect(populate(at, 16)).toBe(-ERRNO.EINVAL);
  expect(populate(65536, 16)).toBe(-ERRNO.ENOENT);
  expect(populate(at, 2 * VRAM)).toBe(-ERRNO.ENOSPC);
  expect(gpu.freePages).toBe(VRAM);
  process.munmap(there, 16 * PAGE);
  file.unlink();
  file.close();
  finish(s);
});

test("a page that somebody holds is not evicted in three tries; of a process that ended nothing is", () => {
  const s = start(boot("today"), 16, false);
  const { svm, process, at, devices, gpu } = s;
  expect(svm.toVram(at, 16 * PAGE)).toBe(16);
  const page = gpu.dpagemap.map.pageAt(gpu.dpagemap.map.pages - 1);
  const folio = devices.privates.folioOf(page);
  devices.privates.folios.get(folio);
  expect(gpu.fini()).toBe(-ERRNO.EBUSY);
  devices.privates.folios.put(folio);
  expect(lost(process, at, 16)).toEqual([]);

  expect(svm.toVram(at, 16 * PAGE)).toBe(16);
  const child = process.fork();
  process.exit();
  expect(gpu.fini()).toBe(-ERRNO.EBUSY);
  // Unlike amdkfd's, the child's own fault finds everything.
  expect(lost(child, at, 16)).toEqual([]);
  child.exit();
  svm.close();
  expect(gpu.fini()).toBe(0);
  expect(s.kernel.settle()).toBe(s.before);
});

test("a huge folio that is mapped in part is split, and each part holds the allocation", () => {
  const step = 64;
  const s = start(boot("memdesc8"), HUGE, true, step);
  const { svm, process, at, gpu } = s;
  expect(svm.toVram(at, HUGE * PAGE)).toBe(HUGE);
  process.munmap(at + 128 * PAGE, 128 * PAGE);
  expect(inService(s)).toBe(HUGE);
  // A fault splits the folio and brings what its VMA has; the rest keeps all of the memory.
  expect(process.read(at + 256 * PAGE + 5, 1)[0]).toBe(mark(256));
  expect(inService(s)).toBe(128);
  expect(gpu.freePages).toBe(0);
  expect(lost(process, at, 128, 0, step)).toEqual([]);
  expect(lost(process, at, 256, 256, step)).toEqual([]);
  expect(inService(s)).toBe(0);
  expect(gpu.freePages).toBe(VRAM);
  finish(s);
});

test("pages of another allocation in the window of a fault stay", () => {
  const s = start(boot("today"), 32, false);
  const { svm, process, at } = s;
  expect(svm.toVram(at, 32 * PAGE)).toBe(32);
  expect(s.gpu.objects).toBe(2);
  // Moved by half an allocation: a window has halves of both.
  const to = at - 128 * PAGE + 8 * PAGE;
  process.mremap(at, 32 * PAGE, 32 * PAGE, 3, to);
  expect(process.read(to + 10 * PAGE + 5, 1)[0]).toBe(mark(10));
  expect(inService(s)).toBe(24);
  expect(lost(process, to, 32)).toEqual([]);
  expect(inService(s)).toBe(0);
  finish(s);
});

test("an allocation that only a part can be had of is given back, and nothing has moved", () => {
  const s = start(boot("today"), 16, false);
  const { devices, gpu, svm, process, at } = s;
  const real = devices.activate.bind(devices);
  let calls = 0;
  const activate = vi
    .spyOn(devices, "activate")
    .mockImplementation((map, offset, order) =>
      ++calls === 8 ? -ERRNO.ENOMEM : real(map, offset, order),
    );
  expect(svm.toVram(at, 16 * PAGE)).toBe(0);
  activate.mockRestore();
  expect(inService(s)).toBe(0);
  expect(gpu.freePages).toBe(VRAM);
  expect(process.pagemap(at).present).toBe(true);
  expect(lost(process, at, 16)).toEqual([]);
  finish(s);
});
