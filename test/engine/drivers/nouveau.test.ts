/** nouveau: chunks of 2 MiB, free lists outside of the pages, best effort. One driver source on every legal design. */
import { describe, expect, test, vi } from "vitest";
import { NouveauDmem, NouveauSvm } from "../../../src/engine/drivers/nouveau/nouveau-dmem.js";
import { ERRNO } from "../../../src/engine/errors.js";
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
/** A page map with physical addresses takes a section of 128 MiB of them, however small it is. */
const ROOM = { device: { private: "256MiB", span: "128MiB" } };
const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;

interface Setting extends Booted {
  readonly dmem: NouveauDmem;
  readonly process: Process;
  readonly svm: NouveauSvm;
  /** Aligned to 2 MiB. */
  readonly at: number;
}

/** A process with so many pages, huge ones where wanted, and a GPU with so many pages of VRAM. */
function start(booted: Booted, vram: number, pages: number, huge: boolean, step = 1): Setting {
  const dmem = new NouveauDmem(booted.devices, vram);
  const process = booted.kernel.createProcess();
  const room = anon(process, pages + HUGE);
  const at = Math.ceil(room / PAGE / HUGE) * HUGE * PAGE;
  process.madvise(at, pages * PAGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  fill(process, at, pages, step);
  return { ...booted, dmem, process, svm: new NouveauSvm(dmem, process), at };
}

function finish(s: Setting): void {
  s.process.exit();
  s.svm.close();
  for (const { map, callocated } of s.dmem.chunks) {
    expect(map.inService).toBe(0);
    expect(callocated).toBe(0);
  }
  expect(s.dmem.fini()).toBe(0);
  expect(s.kernel.settle()).toBe(s.before);
  expect(wrong(s)).toEqual([]);
}

function gpuByte({ svm, at }: Setting, i: number, offset = 5): number {
  const out = new Uint8Array(1);
  expect(svm.gpu.read(at + i * PAGE + offset, out)).toBe(0);
  return out[0];
}

/** Pages of the device in use, by chunk. */
const used = (s: Setting): number[] => s.dmem.chunks.map((c) => c.callocated);

describe.each(DESIGNS)("%s", (design) => {
  const machine = sharedMachine(design, ROOM);

  test("single pages: each comes back by itself; after fork, in part unmapped, and where the GPU wrote", () => {
    const s = start(machine(), 2 * HUGE, 32, false);
    const { svm, process, at } = s;
    expect(svm.bind(at, 32 * PAGE)).toBe(32);
    expect(used(s)).toEqual([32]);
    expect(process.pagemap(at).present).toBe(false);
    expect(gpuByte(s, 3)).toBe(mark(3));
    expect(svm.gpu.write(at + 3 * PAGE + 6, Uint8Array.of(50))).toBe(0);
    expect([...process.read(at + 3 * PAGE + 5, 2)]).toEqual([mark(3), 50]);
    expect(used(s)).toEqual([31]);
    const child = process.fork();
    child.write(at + 4 * PAGE + 5, Uint8Array.of(200));
    expect(used(s)).toEqual([30]);
    process.munmap(at + 8 * PAGE, 8 * PAGE);
    expect(used(s)).toEqual([30]);
    expect(lost(child, at, 8, 8)).toEqual([]);
    expect(used(s)).toEqual([22]);
    expect(wrong(s, [svm.gpu])).toEqual([]);
    child.exit();
    expect(lost(process, at, 8)).toEqual([]);
    expect(lost(process, at, 16, 16)).toEqual([]);
    expect(used(s)).toEqual([0]);
    finish(s);
  });

  test("a huge page takes a chunk of its own; a hole is filled; what does not fit stays in RAM", () => {
    const step = 64;
    const s = start(machine(), 2 * HUGE, HUGE, true, step);
    const { svm, process, at } = s;
    expect(svm.bind(at, HUGE * PAGE)).toBe(HUGE);
    expect(used(s)).toEqual([HUGE]);
    expect(gpuByte(s, step)).toBe(mark(step));
    // Nothing was ever written here: the GPU gets an empty huge page.
    const hole = Math.ceil(anon(process, 2 * HUGE) / PAGE / HUGE) * HUGE * PAGE;
    expect(svm.bind(hole, HUGE * PAGE)).toBe(HUGE);
    expect(used(s)).toEqual([HUGE, HUGE]);
    expect(process.read(hole + 5 * PAGE, 1)[0]).toBe(0);
    expect(process.pagemap(hole)).toMatchObject({ present: true, huge: true });
    expect(used(s)).toEqual([HUGE, 0]);
    expect(svm.bind(hole, HUGE * PAGE)).toBe(HUGE);
    // It is there already.
    expect(svm.bind(hole, PAGE)).toBe(0);
    // Part of the huge page goes: its folio is split where it is touched.
    process.munmap(at, 100 * PAGE);
    expect(lost(process, at, HUGE - 128, 128, step)).toEqual([]);
    expect(process.read(at + 100 * PAGE, 1)[0]).toBe(0);
    finish(s);
  });

  test("twice as much as VRAM holds: half goes, the other half when there is room again", () => {
    const step = 64;
    const s = start(machine(), HUGE, 2 * HUGE, false, step);
    const { svm, process, at } = s;
    expect(svm.bind(at, 2 * HUGE * PAGE)).toBe(HUGE);
    expect(used(s)).toEqual([HUGE]);
    expect(gpuByte(s, HUGE + step)).toBe(mark(HUGE + step));
    expect(lost(process, at, HUGE, 0, step)).toEqual([]);
    expect(used(s)).toEqual([HUGE - HUGE / step]);
    process.munmap(at, HUGE * PAGE);
    expect(used(s)).toEqual([0]);
    expect(svm.bind(at + HUGE * PAGE, HUGE * PAGE)).toBe(HUGE);
    expect(gpuByte(s, HUGE + step)).toBe(mark(HUGE + step));
    expect(svm.gpu.write(at + (HUGE + step) * PAGE + 6, Uint8Array.of(8))).toBe(0);
    // The driver goes while the pages are in use: they are evicted.
    expect(s.dmem.fini()).toBe(0);
    expect(s.dmem.chunks).toEqual([]);
    expect(lost(process, at, HUGE, HUGE, step)).toEqual([]);
    expect(process.read(at + (HUGE + step) * PAGE + 6, 1)[0]).toBe(8);
    finish(s);
  });
});

test("a huge hole is filled page by page where the device has no huge page", () => {
  const s = start(boot("memdesc8"), HUGE, 1, false);
  const { svm, process, at } = s;
  expect(svm.bind(at, PAGE)).toBe(1);
  const hole = Math.ceil(anon(process, 2 * HUGE) / PAGE / HUGE) * HUGE * PAGE;
  process.madvise(hole, HUGE * PAGE, MADV_HUGEPAGE);
  expect(svm.bind(hole, HUGE * PAGE)).toBe(HUGE - 1);
  expect(used(s)).toEqual([HUGE]);
  expect(process.rss.anon).toBe(HUGE);
  expect(wrong(s)).toEqual([]);
  expect(process.read(hole + 100 * PAGE, 1)[0]).toBe(0);
  expect(used(s)).toEqual([HUGE - 1]);
  finish(s);
});

test("at the end a huge folio is split where RAM has no huge page for it", () => {
  const step = 64;
  const s = start(boot("memdesc8"), HUGE, HUGE, true, step);
  const { svm, process, at, kernel, dmem } = s;
  expect(svm.bind(at, HUGE * PAGE)).toBe(HUGE);
  // RAM in single pages, every second of which is free.
  const taken: number[] = [];
  for (let pfn = kernel.machine.allocPages(0); pfn >= 0; pfn = kernel.machine.allocPages(0))
    taken.push(pfn);
  for (const pfn of taken) if (pfn % 2 === 0) kernel.machine.freePages(pfn, 0);
  expect(dmem.fini()).toBe(0);
  expect(lost(process, at, HUGE, 0, step)).toEqual([]);
  expect(process.pagemap(at)).toMatchObject({ present: true, huge: false });
  for (const pfn of taken) if (pfn % 2 === 1) kernel.machine.freePages(pfn, 0);
  finish(s);
});

test("a page that somebody holds keeps the driver from going", () => {
  const s = start(boot("today"), HUGE, 4, false);
  const { devices, dmem, svm, at, process } = s;
  expect(svm.bind(at, 4 * PAGE)).toBe(4);
  const folio = devices.privates.folioOf(dmem.chunks[0].map.pageAt(HUGE - 1));
  devices.privates.folios.get(folio);
  expect(dmem.fini()).toBe(-ERRNO.EBUSY);
  devices.privates.folios.put(folio);
  expect(dmem.fini()).toBe(0);
  expect(lost(process, at, 4)).toEqual([]);
  expect(svm.bind(at, 4 * PAGE)).toBe(4);
  finish(s);
});

test("a page that has no memory for its record goes back to its chunk's list", () => {
  const s = start(boot("today"), HUGE, 4, false);
  const { devices, svm, at, process } = s;
  const real = devices.activate.bind(devices);
  let calls = 0;
  const activate = vi
    .spyOn(devices, "activate")
    .mockImplementation((map, offset, order) =>
      ++calls === 2 ? -ERRNO.ENOMEM : real(map, offset, order),
    );
  expect(svm.bind(at, 4 * PAGE)).toBe(3);
  activate.mockRestore();
  expect(used(s)).toEqual([3]);
  expect(svm.bind(at, 4 * PAGE)).toBe(1);
  expect(lost(process, at, 4)).toEqual([]);
  finish(s);
});
