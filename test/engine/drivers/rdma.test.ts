/**
 * An RDMA device reads a GPU's memory, on every legal design, with peers and without: no
 * copy where there are peers, RAM where there are none, and in both nothing but what the
 * process has. Then the same at random, beside a reference that keeps one byte a page.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EFAULT } from "../../../src/engine/device/kinds.js";
import type { MemoryRegion } from "../../../src/engine/drivers/rdma/memory-region.js";
import { PeerGpu } from "../../../src/engine/drivers/rdma/peer-gpu.js";
import {
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../../../src/engine/process/constants.js";
import type { Process } from "../../../src/engine/process/process.js";
import { watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { anon, LEGAL, lost, mark, PAGE, wrong } from "./designs.js";
import {
  finish,
  HUGE,
  kinds,
  marks,
  marksOf,
  pagesOf,
  register,
  ROOM,
  start,
  type Setting,
} from "./rdma-setting.js";

const FRESH = {
  prot: PROT_READ | PROT_WRITE,
  flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
};

/** Read where it is, or brought to RAM; the process and the GPU see what the NIC sees. */
function readsInPlace(s: Setting, isPeer: boolean): void {
  const { gpu, process } = s;
  const at = pagesOf(s, 8, 6);
  const region = register(s, at, 8);
  const there = isPeer ? 6 : 0;
  let copies = 0;
  s.kernel.base.core.content.onCopy = () => void copies++;
  const all = region.read(0, 8 * PAGE);
  s.kernel.base.core.content.onCopy = null;
  expect([all.error, all.faults]).toEqual([0, 1]);
  expect(marksOf(8).map((_, i) => all.data[i * PAGE + 5])).toEqual(marksOf(8));
  expect([all.peerBytes, all.ramBytes]).toEqual([there * PAGE, (8 - there) * PAGE]);
  // With peers no copy is made, and the pages are where they were; without, each was brought, once.
  expect([copies, gpu.map.inService]).toEqual(isPeer ? [0, 6] : [6, 0]);
  expect(kinds(region)).toEqual(marksOf(8).map((_, i) => (i < there ? "p2pdma" : "ram")));
  // Whatever the private page's number is, what the NIC has is a pfn: the window's.
  const window = gpu.window?.first ?? -1;
  for (let i = 0; i < there; i++) {
    const page = gpu.pageAt(process, at + i * PAGE);
    expect(page).toBeGreaterThanOrEqual(s.devices.firstPrivate);
    expect(region.page(i)?.pfn).toBe(window + gpu.map.offsetOf(page));
  }
  expect(region.write(2 * PAGE + 100, Uint8Array.of(77)).error).toBe(0);
  // The process touches it: taken from the NIC, brought to RAM, read there.
  expect(process.read(at + 2 * PAGE + 100, 1)[0]).toBe(77);
  expect(gpu.map.inService).toBe(Math.max(0, there - 1));
  expect(region.page(2) === null).toBe(isPeer);
  const again = region.read(2 * PAGE + 5, 96);
  expect([again.data[0], again.data[95], again.peerBytes]).toEqual([mark(2), 77, 0]);
  expect(lost(process, at, 8)).toEqual([]);
  region.deregister();
  process.munmap(at, 8 * PAGE);
}

/** One store for both numbers of a byte: what either side writes the other reads, in place. */
function sharesBytes(s: Setting, isPeer: boolean): void {
  const { gpu, process } = s;
  const at = pagesOf(s, 1, 1);
  const region = register(s, at, 1);
  expect(region.write(100, Uint8Array.of(77)).error).toBe(0);
  const page = gpu.pageAt(process, at);
  const out = new Uint8Array(1);
  s.devices.load(page < 0 ? process.pagemap(at).pfn : page, 100, out);
  expect([page >= 0, out[0]]).toEqual([isPeer, 77]);
  expect(gpu.store(process, at + 101, Uint8Array.of(78))).toBe(isPeer);
  expect(region.read(100, 2).data).toEqual(Uint8Array.of(77, isPeer ? 78 : 0));
  expect(gpu.map.inService).toBe(isPeer ? 1 : 0);
  region.deregister();
  process.munmap(at, PAGE);
}

/** Migration, fork and write, munmap: never seen stale. */
function neverStale(s: Setting, isPeer: boolean): void {
  const { gpu, process } = s;
  const at = pagesOf(s, 8, 8);
  const region = register(s, at, 8);
  expect(marks(region, 8)).toEqual(marksOf(8));
  // Back to RAM, and changed there.
  expect(gpu.toRam(process, at, 2)).toBe(isPeer ? 2 : 0);
  for (const i of [0, 1]) process.write(at + i * PAGE + 5, Uint8Array.of(200 + i));
  expect(marks(region, 2)).toEqual([200, 201]);
  expect(kinds(region).slice(0, 2)).toEqual(["ram", "ram"]);
  // To the GPU again: the NIC is told, and finds it there.
  expect(gpu.toDevice(process, at, 2)).toBe(2);
  expect(region.page(0)).toBe(null);
  expect(marks(region, 2)).toEqual([200, 201]);
  expect(region.page(0)?.kind).toBe(isPeer ? "p2pdma" : "ram");
  // A child: both write, each sees its own; the NIC is the parent's.
  const child = process.fork();
  child.write(at + 3 * PAGE + 5, Uint8Array.of(99));
  process.write(at + 4 * PAGE + 5, Uint8Array.of(55));
  expect(marks(region, 2, 3)).toEqual([mark(3), 55]);
  expect(region.write(5 * PAGE + 5, Uint8Array.of(44)).error).toBe(0);
  const seen = [3, 5].map((i) => child.read(at + i * PAGE + 5, 1)[0]);
  expect(seen).toEqual([99, mark(5)]);
  child.exit();
  expect(process.read(at + 5 * PAGE + 5, 1)[0]).toBe(44);
  // Gone: an error, and not what was there.
  process.munmap(at + 6 * PAGE, PAGE);
  expect([region.page(6), region.read(6 * PAGE, 1).error]).toEqual([null, EFAULT]);
  process.mmap({ addr: at + 6 * PAGE, length: PAGE, ...FRESH });
  expect(marks(region, 2, 6)).toEqual([0, mark(7)]);
  region.deregister();
  process.munmap(at, 8 * PAGE);
}

/** The GPU's driver goes while the NIC has its memory mapped. */
function unloads(s: Setting, isPeer: boolean): void {
  const at = pagesOf(s, 6, 6);
  const region = register(s, at, 6);
  expect(marks(region, 6)).toEqual(marksOf(6));
  expect([region.counts.mapped, s.gpu.map.inService]).toEqual([6, isPeer ? 6 : 0]);
  expect(s.gpu.unload()).toBe(0);
  expect([s.gpu.map.state, s.gpu.window?.state]).toEqual(["dead", "dead"]);
  expect(region.counts.mapped).toBe(isPeer ? 0 : 6);
  const all = region.read(0, 6 * PAGE);
  expect([all.error, all.peerBytes, all.ramBytes]).toEqual([0, 0, 6 * PAGE]);
  expect(marks(region, 6)).toEqual(marksOf(6));
}

const PAIRS = LEGAL.flatMap((design) =>
  (["none", "alias"] as const).map((p) => [design, p] as const),
);

test.each(PAIRS)("%s+peer=%s", (name, peer) => {
  const s = start(`${name}+peer=${peer}`);
  const isPeer = peer === "alias";
  // Each byte of the window has two descriptions: by what the design has for private pages, and a struct page.
  const { record, zoneDevice } = s.devices;
  const struct = zoneDevice.frames.record.struct;
  expect(s.gpu.descriptions).toEqual([record.struct, struct]);
  expect(s.gpu.descriptions.filter((d) => d === struct).length).toBe(
    record.name === "page" ? 2 : 1,
  );
  readsInPlace(s, isPeer);
  sharesBytes(s, isPeer);
  neverStale(s, isPeer);
  unloads(s, isPeer);
  finish(s);
});

/** One byte a page of every process, and what it should be. */
class Reference {
  pages: (number | null)[];

  constructor(pages: (number | null)[]) {
    this.pages = pages;
  }

  /** What a read of a stretch says: an errno where a page of it is not mapped. */
  read(from: number, n: number): number | (number | null)[] {
    const part = this.pages.slice(from, from + n);
    return part.includes(null) ? EFAULT : part;
  }
}

const PAGES = 12;
const ACTIONS = [
  "write",
  "child writes",
  "nic reads",
  "nic reads",
  "nic writes",
  "to gpu 0",
  "to gpu 1",
  "to ram",
  "fork",
  "child exits",
  "unmap",
  "map",
  "zero",
  "register anew",
] as const;

const STEP = fc.record({
  action: fc.constantFrom(...ACTIONS),
  at: fc.nat(PAGES - 1),
  n: fc.integer({ min: 1, max: 5 }),
  byte: fc.integer({ min: 1, max: 255 }),
});

/** A process and perhaps its child, two GPUs reached in two ways, a NIC, and the reference of each. */
class Walk {
  readonly s: Setting;
  readonly gpus: readonly PeerGpu[];
  readonly addr: number;
  region: MemoryRegion;
  readonly own = new Reference(Array.from({ length: PAGES }, () => 0));
  child: { process: Process; sees: Reference } | null = null;

  constructor(design: string) {
    this.s = start(design, {}, {}, ROOM);
    const { devices } = this.s;
    const bar = { start: devices.pagemaps.span.start + 2 * HUGE, pages: HUGE };
    const second = new PeerGpu(devices, { name: "gpu1", pages: 2 * HUGE, bar, barOffset: HUGE });
    if (second.window !== null) this.s.nic.connect(second.window, "host-bridge");
    this.gpus = [this.s.gpu, second];
    this.addr = anon(this.s.process, PAGES);
    this.region = register(this.s, this.addr, PAGES);
    watchKernel(this.s.kernel);
  }

  #write(process: Process, sees: Reference, i: number, byte: number): void {
    if (sees.pages[i] === null) return;
    process.write(this.addr + i * PAGE + 9, Uint8Array.of(byte));
    sees.pages[i] = byte;
  }

  #nicReads(from: number, n: number): void {
    const { error, data } = this.region.read(from * PAGE, n * PAGE);
    const bytes = Array.from({ length: n }, (_, i) => data[i * PAGE + 9]);
    assert.deepEqual(error === 0 ? bytes : error, this.own.read(from, n));
  }

  #nicWrites(from: number, byte: number): void {
    const { error } = this.region.write(from * PAGE + 9, Uint8Array.of(byte));
    assert.equal(error, this.own.pages[from] === null ? EFAULT : 0);
    if (error === 0) this.own.pages[from] = byte;
  }

  /** Mapped pages only: who moves asks for what is there. */
  #move(from: number, n: number, move: (addr: number, pages: number) => number): void {
    if (this.own.read(from, n) !== EFAULT) assert.ok(move(this.addr + from * PAGE, n) >= 0);
  }

  step({ action, at, n, byte }: { action: string; at: number; n: number; byte: number }): void {
    const { process } = this.s;
    const { pages } = this.own;
    const many = Math.min(n, PAGES - at);
    const addr = this.addr + at * PAGE;
    switch (action) {
      case "write":
        return this.#write(process, this.own, at, byte);
      case "child writes":
        return this.child === null
          ? undefined
          : this.#write(this.child.process, this.child.sees, at, byte);
      case "nic reads":
        return this.#nicReads(at, many);
      case "nic writes":
        return this.#nicWrites(at, byte);
      case "to gpu 0":
      case "to gpu 1":
        return this.#move(at, many, (a, m) =>
          this.gpus[Number(action.at(-1))].toDevice(process, a, m),
        );
      case "to ram":
        return this.#move(at, many, (a, m) => this.gpus[byte & 1].toRam(process, a, m));
      case "fork":
        this.child ??= { process: process.fork(), sees: new Reference([...pages]) };
        return;
      case "child exits":
        this.child?.process.exit();
        this.child = null;
        return;
      case "unmap":
        process.munmap(addr, PAGE);
        pages[at] = null;
        return;
      case "map":
        if (pages[at] !== null) return;
        process.mmap({ addr, length: PAGE, ...FRESH });
        pages[at] = 0;
        return;
      case "zero":
        if (pages[at] === null) return;
        process.madvise(addr, PAGE, MADV_DONTNEED);
        pages[at] = 0;
        return;
      default:
        this.region.deregister();
        this.region = register(this.s, this.addr, PAGES);
    }
  }

  /** Everybody sees what the reference says; then all goes. */
  end(): void {
    for (let i = 0; i < PAGES; i++) this.#nicReads(i, 1);
    const seenBy = (process: Process, { pages }: Reference) =>
      pages.map((p, i) => (p === null ? null : process.read(this.addr + i * PAGE + 9, 1)[0]));
    assert.deepEqual(seenBy(this.s.process, this.own), this.own.pages);
    if (this.child !== null)
      assert.deepEqual(seenBy(this.child.process, this.child.sees), this.child.sees.pages);
    this.child?.process.exit();
    assert.equal(this.gpus[1].unload(), 0);
    finish(this.s);
  }
}

describe("two processes, two GPUs and a NIC at random see what the reference says", () => {
  test.each([
    "today+peer=alias",
    "today+peer=none",
    "device-offset+peer=alias",
    "device-tuple+peer=alias",
    "memdesc8+device-name=tuple+device-record=folio+device-lifetime=request+activation=request+peer=alias",
    "memdesc16+device-name=offset+device-record=device-private+device-lifetime=chunk+activation=request+peer=alias",
  ])("%s", (design) => {
    fc.assert(
      fc.property(fc.array(STEP, { minLength: 20, maxLength: 60 }), (steps) => {
        const walk = new Walk(design);
        for (const step of steps) {
          walk.step(step);
          expect(wrong(walk.s)).toEqual([]);
        }
        walk.end();
      }),
      { numRuns: 12, seed: 3 },
    );
  });
});
