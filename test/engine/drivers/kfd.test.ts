/** kfd: ranges of shared virtual memory in buffer objects of VRAM. One driver source on every legal design. */
import { describe, expect, test } from "vitest";
import { KfdDevice, type KfdConfig } from "../../../src/engine/drivers/kfd/kfd-device.js";
import { SvmRangeList } from "../../../src/engine/drivers/kfd/svm-ranges.js";
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

const VRAM = 512;

interface Setting extends Booted {
  readonly gpu: KfdDevice;
  readonly process: Process;
  readonly svms: SvmRangeList;
  readonly at: number;
}

/** A process with so many pages that say which they are, and a GPU with 2 MiB of VRAM. */
function start(booted: Booted, pages: number, coherent = false, step = 1): Setting {
  const config: KfdConfig = { name: "gpu0", vramPages: VRAM - 10 };
  const aperture = booted.kernel.machine.deviceFirst;
  const gpu = new KfdDevice(booted.devices, coherent ? { ...config, aperture } : config);
  const process = booted.kernel.createProcess();
  const at = anon(process, pages);
  fill(process, at, pages, step);
  return { ...booted, gpu, process, svms: new SvmRangeList(gpu, process), at };
}

function finish(s: Setting): void {
  s.process.exit();
  s.svms.close();
  expect(s.gpu.map.inService).toBe(0);
  expect(s.gpu.freePages).toBe(VRAM);
  expect(s.gpu.fini()).toBe(0);
  expect(s.kernel.settle()).toBe(s.before);
  expect(wrong(s)).toEqual([]);
}

/** What the GPU reads there. */
function gpuByte({ svms, at }: Setting, i: number, offset = 5): number {
  const out = new Uint8Array(1);
  expect(svms.gpu.read(at + i * PAGE + offset, out)).toBe(0);
  return out[0];
}

/** Offset in VRAM that the GPU finds a page at. */
function placeOf(s: Setting, i: number): number {
  gpuByte(s, i);
  const entry = s.svms.gpu.entries().find((e) => e.vpn === s.at / PAGE + i);
  return s.gpu.map.offsetOf(entry?.page ?? -1);
}

describe.each(DESIGNS)("%s", (design) => {
  const machine = sharedMachine(design);

  test("a range goes to VRAM; a CPU fault brings a window of its granularity back", () => {
    const s = start(machine(), 64);
    const { gpu, svms, process, at } = s;
    expect(gpu.reservedBytes).toBe(VRAM * s.devices.record.bytesPerPage);
    expect(svms.toVram(at)).toBe(-ERRNO.EINVAL);
    expect(svms.setRange(at, 64 * PAGE, 4)).toBe(0);
    expect(svms.setRange(at + 63 * PAGE, PAGE)).toBe(-ERRNO.EEXIST);
    expect(svms.toVram(at)).toBe(64);
    expect(gpu.map.inService).toBe(64);
    expect(gpu.freePages).toBe(VRAM - 64);
    expect(gpuByte(s, 21)).toBe(mark(21));
    expect(svms.gpu.write(at + 21 * PAGE + 6, Uint8Array.of(77))).toBe(0);
    expect(process.pagemap(at + 21 * PAGE).present).toBe(false);
    expect(wrong(s, [svms.gpu])).toEqual([]);

    // The window of 16 pages is aligned in the address space, not in the range.
    const vpn = at / PAGE + 21;
    const first = Math.max(vpn - (vpn % 16), at / PAGE) - at / PAGE;
    const last = Math.min(vpn - (vpn % 16) + 16, at / PAGE + 64) - at / PAGE;
    expect([...process.read(at + 21 * PAGE + 5, 2)]).toEqual([mark(21), 77]);
    expect(gpu.map.inService).toBe(64 - (last - first));
    expect(process.pagemap(at + first * PAGE).present).toBe(true);
    expect(lost(process, at, 64)).toEqual([]);
    expect(svms.inVram).toBe(0);
    expect(gpu.freePages).toBe(VRAM);
    finish(s);
  });

  test("fork: a child's fault is answered from its parent's ranges; unmapping cuts a range in two", () => {
    const s = start(machine(), 32);
    const { gpu, svms, process, at } = s;
    svms.setRange(at, 32 * PAGE, 2);
    expect(svms.toVram(at)).toBe(32);
    const child = process.fork();
    expect(wrong(s, [svms.gpu])).toEqual([]);
    child.write(at + 5 * PAGE + 5, Uint8Array.of(200));
    expect(gpu.map.inService).toBeLessThan(32);
    expect(process.read(at + 5 * PAGE + 5, 1)[0]).toBe(mark(5));
    // The GPU writes what the parent shares with its child: the child's copy stays as it was.
    expect(svms.gpu.write(at + 9 * PAGE + 6, Uint8Array.of(66))).toBe(0);
    expect(child.read(at + 9 * PAGE + 5, 2)).toEqual(Uint8Array.of(mark(9), 0));

    process.munmap(at + 12 * PAGE, 8 * PAGE);
    expect(svms.inVram).toBe(2);
    // No range is there any more that would say where the child's pages are.
    expect(() => child.read(at + 13 * PAGE, 1)).toThrow(/SIGBUS/);
    child.exit();
    // What comes back of the second part goes to its own place again.
    const place = placeOf(s, 22);
    const before = gpu.map.inService;
    process.touch(at + 22 * PAGE, "read");
    const back = before - gpu.map.inService;
    expect(back).toBeGreaterThan(0);
    expect(svms.toVram(at + 20 * PAGE)).toBe(back);
    expect(placeOf(s, 22)).toBe(place);
    expect(gpuByte(s, 30)).toBe(mark(30));
    expect(lost(process, at, 12)).toEqual([]);
    expect(lost(process, at, 12, 20)).toEqual([]);
    expect(process.read(at + 9 * PAGE + 6, 1)[0]).toBe(66);
    finish(s);
  });

  test("a working set twice as large as VRAM: BOs are evicted, the oldest first", () => {
    const step = 32;
    const s = start(machine(), 2 * VRAM, false, step);
    const { gpu, svms, process, at } = s;
    const part = VRAM / 2;
    for (let r = 0; r < 4; r++) svms.setRange(at + r * part * PAGE, part * PAGE);
    // The first two a second time: by then they are in RAM again.
    for (const r of [0, 1, 2, 3, 0, 1]) {
      expect(svms.toVram(at + r * part * PAGE)).toBe(part);
      const i = r * part + step;
      expect(gpuByte(s, i)).toBe(mark(i));
      expect(svms.gpu.write(at + i * PAGE + 6, Uint8Array.of(r + 1))).toBe(0);
    }
    expect(gpu.evictions).toBe(4);
    expect(gpu.map.inService).toBe(VRAM);
    expect(lost(process, at, 2 * VRAM, 0, step)).toEqual([]);
    for (let r = 0; r < 4; r++)
      expect(process.read(at + (r * part + step) * PAGE + 6, 1)[0]).toBe(r + 1);
    finish(s);
  });

  test("coherent: the processor reads VRAM where it is; fork copies; what is evicted comes back", () => {
    const s = start(machine(), 16, true);
    const { gpu, svms, process, at } = s;
    svms.setRange(at, 16 * PAGE);
    expect(svms.toVram(at)).toBe(16);
    expect(process.pagemap(at)).toMatchObject({ present: true });
    process.write(at + 6, Uint8Array.of(3));
    expect(gpuByte(s, 0, 6)).toBe(3);
    const child = process.fork();
    process.write(at + PAGE + 6, Uint8Array.of(4));
    expect(gpu.map.inService).toBe(16);
    // The child has the page at that place: the parent's stays in RAM.
    expect(svms.toVram(at)).toBe(0);
    child.exit();
    expect(svms.toVram(at)).toBe(1);
    expect(svms.toRam(at)).toBe(0);
    expect(gpu.map.inService).toBe(0);
    expect([...process.read(at + PAGE + 5, 2)]).toEqual([mark(1), 4]);
    expect(lost(process, at, 16)).toEqual([]);
    finish(s);
  });
});

test("a child that outlives its parent gets a signal, as amdkfd does it", () => {
  const s = start(boot("today"), 4);
  s.svms.setRange(s.at, 4 * PAGE);
  s.svms.toVram(s.at);
  const child = s.process.fork();
  s.process.exit();
  expect(() => child.read(s.at, 1)).toThrow(/SIGBUS/);
  expect(s.gpu.fini()).toBe(-ERRNO.EBUSY);
  child.exit();
  s.svms.close();
  expect(s.gpu.fini()).toBe(0);
  expect(s.kernel.settle()).toBe(s.before);
});

test("two GPUs of one hive use each other's memory as it is, a third one does not", () => {
  const hive = {};
  const booted = boot("memdesc8+device-name=tuple");
  const gpus = [hive, hive, undefined].map(
    (owner, i) =>
      new KfdDevice(booted.devices, {
        name: `gpu${i}`,
        vramPages: 512,
        ...(owner === undefined ? {} : { hive: owner }),
      }),
  );
  const process = booted.kernel.createProcess();
  const at = anon(process, 2);
  fill(process, at, 2);
  const views = gpus.map((gpu) => new SvmRangeList(gpu, process));
  views[0].setRange(at, 2 * PAGE);
  expect(views[0].toVram(at)).toBe(2);
  const out = new Uint8Array(1);
  expect(views[1].gpu.read(at + 5, out)).toBe(0);
  expect(out[0]).toBe(mark(0));
  expect(gpus[0].map.inService).toBe(2);
  expect(views[2].gpu.read(at + 5, out)).toBe(0);
  expect(out[0]).toBe(mark(0));
  expect(gpus[0].map.inService).toBe(0);
  process.exit();
  for (const view of views) view.close();
  for (const gpu of gpus) expect(gpu.fini()).toBe(0);
  expect(wrong(booted)).toEqual([]);
  expect(booted.kernel.settle()).toBe(booted.before);
});

test("a range larger than VRAM is refused, one with a pinned page goes as far as it can", () => {
  const s = start(boot("today"), 8);
  const { gpu, svms, process, at } = s;
  const large = anon(process, 600);
  expect(svms.setRange(large, 600 * PAGE)).toBe(0);
  expect(svms.toVram(large)).toBe(-ERRNO.ENOSPC);
  const held = process.gup(at + 3 * PAGE, PAGE, FOLL_PIN);
  svms.setRange(at, 8 * PAGE);
  expect(svms.toVram(at)).toBe(7);
  held.release();
  expect(svms.toVram(at)).toBe(1);
  expect(gpu.map.inService).toBe(8);
  process.munmap(large, PAGE);
  expect(svms.setRange(large, PAGE)).toBe(-ERRNO.EFAULT);
  expect(lost(process, at, 8)).toEqual([]);
  finish(s);
});

test("a BO whose first pages cannot stay in VRAM is kept for those that come after them", () => {
  const s = start(boot("today"), 8);
  const { gpu, kernel, svms } = s;
  const memcg = kernel.createMemcg();
  const charged = kernel.createProcess(memcg);
  const at = anon(charged, 8);
  fill(charged, at + 4 * PAGE, 4);
  // Two VMAs; the cgroup has no room for pages where there were none.
  charged.mprotect(at, 4 * PAGE, 1);
  kernel.settle();
  kernel.setMemcgMax(memcg, kernel.memcg(memcg).usage);
  const view = new SvmRangeList(gpu, charged);
  expect(view.setRange(at, 8 * PAGE)).toBe(0);
  expect(view.toVram(at)).toBe(4);
  expect(gpu.freePages).toBe(VRAM - 8);
  expect(gpu.map.inService).toBe(4);
  expect(lost(charged, at + 4 * PAGE, 4)).toEqual([]);
  charged.exit();
  view.close();
  expect(svms.inVram).toBe(0);
  s.process.exit();
  svms.close();
  expect(gpu.fini()).toBe(0);
  expect(wrong(s)).toEqual([]);
});
