/**
 * Walkers that start from bare pfns: which pages each meets in each naming, and what it
 * does about those of devices.
 *
 * The machine has memory of every kind: anonymous and file pages, a huge page, free and
 * reserved memory, a coherent and a p2pdma range behind the RAM, and device-private
 * memory of which some is in service.
 */
import { describe, expect, it } from "vitest";
import {
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_PCI_P2PDMA,
} from "../../../src/engine/device/kinds.js";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import { Provenance } from "../../../src/engine/device/provenance.js";
import {
  CrashDumps,
  DUMP_NO_CACHE,
  DUMP_NO_FREE,
  DUMP_NO_USER,
  DUMP_NO_ZERO,
} from "../../../src/engine/device/raw-walkers/crash-dump.js";
import { Hibernation } from "../../../src/engine/device/raw-walkers/hibernation.js";
import { IdlePages } from "../../../src/engine/device/raw-walkers/idle-pages.js";
import { MemoryFailures } from "../../../src/engine/device/raw-walkers/memory-failure.js";
import { Offlining } from "../../../src/engine/device/raw-walkers/offlining.js";
import { PageFlagsFile } from "../../../src/engine/device/raw-walkers/page-flags.js";
import { nothingMet, RawPfns } from "../../../src/engine/device/raw-walkers/raw-pfns.js";
import { FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { HUGE, PAGE, Rig, TestDevice } from "./hmm-machine.js";

const SPAN = 512;
/** Pages of the test's private map, and of it in service. */
const PRIVATE = 3 * HUGE;
const TAKEN = 8;

const WORDS = ["today", "page32", "memdesc16", "memdesc8", "slot64"];
const NAMES = [
  "device-name=physical",
  "device-name=offset",
  "device-name=tuple",
  "device-name=tuple+device-record=device-private+activation=request",
];

/** Memory of every kind. */
class Memory {
  readonly rig: Rig;
  readonly gpu: TestDevice;
  readonly coherent: DevPagemap;
  readonly pfns: RawPfns;
  /** Anonymous pages; the first `TAKEN` of another stretch are with the device. */
  readonly anon: number;
  readonly away: number;
  readonly asked: number[] = [];
  answer = -95;

  constructor(design: string) {
    this.rig = new Rig(design, { memory: "16MiB" });
    const { devices } = this.rig;
    this.gpu = new TestDevice(this.rig, "gpu");
    const first = devices.base.core.machine.deviceFirst;
    this.coherent = devices.mapPages({
      name: "coherent",
      type: MEMORY_DEVICE_COHERENT,
      ranges: [{ start: first, pages: SPAN }],
      owner: this,
      ops: {
        folioFree: () => {},
        memoryFailure: (page) => {
          this.asked.push(page);
          return this.answer;
        },
      },
    });
    devices.mapPages({
      name: "bar",
      type: MEMORY_DEVICE_PCI_P2PDMA,
      ranges: [{ start: first + 2 * SPAN, pages: SPAN }],
    });
    this.pfns = new RawPfns(devices);
    this.anon = this.rig.written(32);
    this.away = this.rig.written(TAKEN);
    this.gpu.take(this.away, TAKEN);
  }

  get isPhysical(): boolean {
    return this.rig.devices.naming.name === "physical";
  }

  /** Pfn of a page that is with the device; −1 where it has none. */
  get privatePfn(): number {
    const { naming, pagemaps } = this.rig.devices;
    if (naming.name !== "physical") return -1;
    const map = [...pagemaps.maps.values()].find((m) => m === this.gpu.map);
    return map === undefined ? -1 : naming.numberLow(map.first, map.words) + HUGE - TAKEN;
  }
}

/** Every name on today's word; the names that differ most on every word. */
const each = [
  ...NAMES.map((name) => `today+${name}`),
  ...WORDS.slice(1).flatMap((word) => [NAMES[0], NAMES[3]].map((name) => `${word}+${name}`)),
];

describe.each(each)("%s", (design) => {
  it("a scan meets RAM and spans; private pages only where they have pfns", () => {
    const { pfns, isPhysical } = new Memory(design);
    const met = nothingMet();
    pfns.forEach((pfn) => pfns.count(met, pfn));
    expect(met).toEqual({ ram: pfns.ramEnd, device: 2 * SPAN, private: isPhysical ? PRIVATE : 0 });
    // 2^31 pfns where private memory is at the top of 43 bits; else the spans end it.
    expect(pfns.end).toBe(isPhysical ? 2 ** 31 : pfns.devices.firstPrivate);
  });

  it("page flags: pages of devices read NOPAGE in every naming", () => {
    const { pfns, rig, anon, privatePfn } = new Memory(design);
    const file = new PageFlagsFile(pfns);
    const { types, met, noPage } = file.readAll();
    expect(noPage).toBe(met.device + met.private);
    const anonymous = (types.get("anon") ?? 0) + (types.get("anon-exclusive") ?? 0);
    expect(anonymous).toBe(32);
    expect(file.at(rig.frame(anon))?.flags).toContain("uptodate");
    expect(file.at(privatePfn)).toBeNull();
  });

  it("idle pages: only what is on a list is tracked, which no page of a device is", () => {
    const memory = new Memory(design);
    const { pfns, rig, anon } = memory;
    const idle = new IdlePages(pfns);
    const marked = pfns.stretches().reduce((sum, { start, end }) => sum + idle.mark(start, end), 0);
    expect(marked).toBe(32);
    rig.read(anon + PAGE);
    const frameOf = (i: number): number => rig.process.pagemap(anon + i * PAGE).pfn;
    expect([idle.isIdle(frameOf(0)), idle.isIdle(frameOf(2))]).toEqual([true, true]);
    // Somebody used it: found by the reverse map.
    const used = frameOf(1);
    expect(idle.isIdle(used)).toBe(false);
    expect(idle.isIdle(used)).toBe(false);
    expect(idle.isIdle(memory.privatePfn)).toBe(false);
  });

  it("offlining: a stretch that is not RAM from end to end is refused; RAM says what is in the way", () => {
    const { pfns, rig, anon, privatePfn } = new Memory(design);
    const offlining = new Offlining(pfns);
    expect(offlining.scan(pfns.ramEnd, SPAN).error).toBe(-22);
    expect(offlining.scan(pfns.ramEnd - SPAN, 2 * SPAN).error).toBe(-22);
    expect(offlining.scan(privatePfn & -SPAN, SPAN).error).toBe(-22);
    const frame = rig.process.pagemap(anon).pfn;
    const { error, free, movable, blocks } = offlining.scan(frame & -SPAN, SPAN);
    expect(error).toBe(0);
    expect(movable).toBeGreaterThan(0);
    expect(free + movable + blocks.length).toBe(SPAN);
    const pins = rig.process.gup(anon, PAGE, FOLL_PIN | FOLL_WRITE);
    const pinned = offlining.scan(frame & -SPAN, SPAN).blocks.filter((b) => b.why === "pinned");
    expect(pinned.map((b) => b.pfn)).toContain(frame);
    pins.release();
  });

  it("hibernation: nothing of a device is in the image", () => {
    const { pfns, rig } = new Memory(design);
    const { saveable, free, met } = new Hibernation(pfns).count();
    expect(met).toMatchObject({ device: 0, private: 0 });
    const { machine } = rig.kernel;
    expect(free).toBe(machine.freeFrames());
    expect(saveable + free).toBe(met.ram);
  });

  it("crash dump: RAM only, less what the filter leaves out", () => {
    const { pfns, rig } = new Memory(design);
    const all = new CrashDumps(pfns).count(0);
    expect(all).toMatchObject({
      dumped: pfns.ramEnd,
      met: { ram: pfns.ramEnd, device: 0, private: 0 },
    });
    rig.kernel.machine.allocator.drainAll();
    const level = DUMP_NO_ZERO | DUMP_NO_CACHE | DUMP_NO_USER | DUMP_NO_FREE;
    const { left } = new CrashDumps(pfns).count(level);
    expect(left).toMatchObject({ user: 32, free: rig.kernel.machine.freeFrames() });
  });
});

describe.each(each)("memory failure, %s", (design) => {
  it("an anonymous page goes out of use, whoever touches it is told", () => {
    const { pfns, rig, anon } = new Memory(design);
    const failures = new MemoryFailures(pfns);
    const frame = rig.frame(anon);
    const child = rig.process.fork();
    const { error, by, killed } = failures.report(frame);
    expect({ error, by, killed: killed.length }).toEqual({ error: 0, by: "anonymous", killed: 2 });
    expect(rig.kernel.machine.design.isPoisoned(frame)).toBe(true);
    expect(() => rig.read(anon)).toThrow(/SIGBUS.*poisoned/);
    expect(() => child.read(anon, 1)).toThrow(/SIGBUS.*poisoned/);
    expect(rig.read(anon + PAGE)).toBe(2);
    expect(failures.report(frame).error).toBe(-133);
    child.exit();
    cleanBut(rig, failures);
  });

  it("one page of a huge page is cut out, the others stay", () => {
    const { pfns, rig } = new Memory(design);
    const failures = new MemoryFailures(pfns);
    const huge = rig.written(HUGE, true);
    const bad = rig.frame(huge) + 3;
    expect(failures.report(bad)).toMatchObject({ error: 0, by: "anonymous" });
    expect(rig.read(huge + 2 * PAGE)).toBe(3);
    expect(() => rig.read(huge + 3 * PAGE)).toThrow(/poisoned/);
    expect(rig.read(huge + 4 * PAGE)).toBe(5);
    cleanBut(rig, failures);
  });

  it("a free page is taken off the free lists; a clean page of a file is read again", () => {
    const { pfns, rig } = new Memory(design);
    const failures = new MemoryFailures(pfns);
    const { machine } = rig.kernel;
    const taken = machine.allocPages(0);
    machine.freePages(taken, 0);
    const free = rig.kernel.settle();
    expect(failures.report(taken)).toMatchObject({ error: 0, by: "free list" });
    expect(machine.freeFrames()).toBeLessThan(free);
    const file = rig.kernel.createFile("disk", PAGE);
    const addr = rig.process.mmap({ length: PAGE, prot: 1, flags: 1, file });
    rig.read(addr);
    const cached = rig.frame(addr);
    expect(failures.report(cached)).toMatchObject({ error: 0, by: "page cache", killed: [] });
    expect(rig.read(addr)).toBe(0);
    expect(rig.frame(addr)).not.toBe(cached);
    rig.process.munmap(addr, PAGE);
    file.close();
    cleanBut(rig, failures);
  });

  it("coherent memory: its driver is asked; without one nobody can deal with it", () => {
    const memory = new Memory(design);
    const failures = new MemoryFailures(memory.pfns);
    const pfn = memory.coherent.first + 7;
    expect(failures.report(pfn)).toMatchObject({ error: -6, by: "nobody" });
    memory.answer = 0;
    expect(failures.report(pfn)).toMatchObject({ error: 0, by: "driver" });
    expect(memory.asked).toEqual([pfn, pfn]);
    // Nothing is there.
    expect(failures.report(memory.pfns.ramEnd + SPAN)).toMatchObject({ error: -6, by: "nobody" });
  });
});

/** A private page in service, and a report of the number it has. */
function reportPrivate(design: string): {
  memory: Memory;
  provenance: Provenance;
  page: number;
  asked: number[];
} {
  const memory = new Memory(design);
  const { rig, gpu, pfns } = memory;
  const provenance = Provenance.watch(rig.devices);
  const asked: number[] = [];
  Object.assign(gpu.map.ops, { memoryFailure: (page: number) => (asked.push(page), 0) });
  const page = gpu.map.first + HUGE - TAKEN;
  new MemoryFailures(pfns).report(rig.devices.naming.numberLow(page, gpu.map.words));
  return { memory, provenance, page, asked };
}

describe("memory failure of private memory", () => {
  it.each(each.filter((d) => d.includes("physical")))(
    "%s: a walker meets its page, only the struct says what it is, and its driver is asked",
    (design) => {
      const { provenance, page, asked } = reportPrivate(design);
      expect(asked).toEqual([page]);
      const met = provenance.uses().filter((u) => u.holder === "raw scan" && u.privates > 0);
      expect(met.map(({ site, told }) => ({ site, told }))).toEqual([
        {
          site: "device/raw-walkers/memory-failure.ts MemoryFailures.#device",
          told: "struct page",
        },
      ]);
      expect(provenance.violations).toEqual([]);
    },
  );

  it.each(each.filter((d) => !d.includes("physical")))(
    "%s: no pfn leads to it; its number taken for one is somebody else's frame",
    (design) => {
      const { memory, provenance, page, asked } = reportPrivate(design);
      const { gpu, rig, pfns } = memory;
      expect(rig.devices.naming.numberLow(page, gpu.map.words)).toBeLessThan(pfns.ramEnd);
      expect(asked).toEqual([]);
      const raw = provenance.uses().filter((u) => u.holder === "raw scan");
      expect(raw.map((u) => u.privates)).toEqual([0]);
      expect(provenance.violations).toEqual([]);
    },
  );
});

/** The rig is in order but for the frames that are out of use. */
function cleanBut(rig: Rig, failures: MemoryFailures): void {
  rig.process.exit();
  const { design } = rig.kernel.machine;
  const blocks = [...failures.poisoned].map((pfn) => ({
    pfn,
    order: 0,
    type: design.typeOf(pfn),
    subtype: design.typeOf(pfn) === 0 ? design.subtypeOf(pfn) : 0,
    refs: 0,
  }));
  expect(inspectKernel(rig.kernel, { blocks }).map((v) => v.message)).toEqual([]);
}
