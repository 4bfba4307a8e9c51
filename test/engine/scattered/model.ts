/**
 * A deliberately plain model of scattered memory, run beside the engine: which
 * page of which object each process maps, who pins what, what every page holds.
 *
 * It knows nothing of words. From who maps and pins it says how many references
 * there must be under each choice, what a free gives back at once, and which
 * mappings it leaves stale.
 */
import assert from "node:assert/strict";
import { countsPages } from "../../../src/engine/design/word/axis.js";
import type { Design } from "../../../src/engine/design/presets.js";
import {
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
  PROT_WRITE,
} from "../../../src/engine/process/constants.js";
import { FOLL_GET, FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import type { PagesObject } from "../../../src/engine/process/scattered/area.js";
import { Area } from "../../../src/engine/process/scattered/area.js";
import type { ScatterList } from "../../../src/engine/process/scattered/scatter-list.js";
import type { UserPages } from "../../../src/engine/process/user-pages.js";

const PAGE = 4096;
const FAR = 2 ** 40;

interface Pages {
  readonly id: number;
  readonly of: Area | ScatterList;
  readonly count: number;
  /** First byte of every page. */
  readonly bytes: Uint8Array;
  readonly frames: readonly number[];
  alive: boolean;
}

interface Segment {
  readonly process: Process;
  readonly object: Pages;
  /** First page of it in the process, and in the object. */
  start: number;
  first: number;
  pages: number;
  file: number;
  writable: boolean;
}

interface Pin {
  readonly object: Pages;
  readonly page: number;
  readonly held: UserPages;
}

/** One random life of several objects, processes and pins; `step` takes any 32-bit number. */
export class ScatteredModel {
  readonly design: Design;
  readonly kernel: Kernel;
  readonly objects: Pages[] = [];
  segments: Segment[] = [];
  pins: Pin[] = [];
  readonly processes: Process[] = [];
  #files = 0;
  #ids = 0;
  #far = 0;

  constructor(design: Design) {
    this.design = design;
    this.kernel = Kernel.boot({ memory: "16MiB" }, design);
    this.processes.push(this.kernel.createProcess());
  }

  step(n: number): void {
    const pick = n >>> 8;
    const does = [
      () => this.#alloc(pick),
      () => this.#map(pick),
      () => this.#map(pick),
      () => this.#pin(pick),
      () => this.#pin(pick),
      () => this.#unpin(pick),
      () => this.#unmap(pick),
      () => this.#fork(pick),
      () => this.#free(pick),
      () => this.#move(pick),
      () => this.#protect(pick),
      () => this.#write(pick),
      () => this.#write(pick),
      () => this.#exit(pick),
      () => this.#read(pick),
      () => this.#newProcess(),
    ];
    does[n & 15]();
    this.#checkCounts();
  }

  #any<T>(list: readonly T[], pick: number): T | undefined {
    return list.length === 0 ? undefined : list[pick % list.length];
  }

  get #living(): Pages[] {
    return this.objects.filter((o) => o.alive);
  }

  #alloc(pick: number): void {
    if (this.#living.length > 4) return;
    const count = pick % 40 === 0 ? 300 : 1 + (pick % 5);
    const list = pick % 3 === 0 && this.design.scattered !== "vm-struct";
    const { scattered } = this.kernel;
    const of = list ? scattered.list(count) : scattered.alloc(count * PAGE);
    this.objects.push({
      id: this.#ids++,
      of,
      count,
      bytes: new Uint8Array(count),
      frames: of.frames(),
      alive: true,
    });
  }

  #map(pick: number): void {
    const object = this.#any(this.#living, pick);
    const process = this.#any(this.processes, pick >>> 3);
    if (object === undefined || process === undefined) return;
    const first = (pick >>> 5) % object.count;
    const pages = 1 + ((pick >>> 7) % (object.count - first));
    const start = object.of.mmap(process, { first, pages }) / PAGE;
    const file = this.#files++;
    this.segments.push({ process, object, start, first, pages, file, writable: true });
  }

  #pin(pick: number): void {
    const s = this.#any(this.segments, pick);
    if (s === undefined) return;
    const at = (pick >>> 4) % s.pages;
    const flags = ((pick & 8) !== 0 ? FOLL_PIN : FOLL_GET) | (s.writable ? FOLL_WRITE : 0);
    const how = (pick & 16) !== 0 ? "fast" : "slow";
    const before = this.kernel.gup.fast;
    const get = (): UserPages => s.process.gup((s.start + at) * PAGE, 1, flags, how);
    if (this.design.scattered === "none") {
      assert.throws(get, /EFAULT/);
      return;
    }
    const held = get();
    assert.equal(held.pfns[0], s.object.frames[s.first + at]);
    const byPage = !["vma-private", "file-private"].includes(this.design.scatteredLookup);
    if (how === "fast") assert.equal(this.kernel.gup.fast - before, byPage ? 1 : 0);
    this.pins.push({ object: s.object, page: s.first + at, held });
  }

  #unpin(pick: number): void {
    const pin = this.#any(this.pins, pick);
    if (pin === undefined) return;
    pin.held.release();
    this.pins = this.pins.filter((p) => p !== pin);
  }

  /** Cuts segments of a process at two pages: what munmap and mprotect do to VMAs. */
  #cut(process: Process, at: number): void {
    for (const s of this.segments) {
      if (s.process !== process || s.start >= at || s.start + s.pages <= at) continue;
      const left = at - s.start;
      const rest = { ...s, start: at, first: s.first + left, pages: s.pages - left };
      s.pages = left;
      this.segments.push(rest);
      return;
    }
  }

  #unmap(pick: number): void {
    const s = this.#any(this.segments, pick);
    if (s === undefined) return;
    const from = s.start + ((pick >>> 4) % s.pages);
    const pages = 1 + ((pick >>> 8) % (s.start + s.pages - from));
    s.process.munmap(from * PAGE, pages * PAGE);
    this.#cut(s.process, from);
    this.#cut(s.process, from + pages);
    const gone = (t: Segment): boolean =>
      t.process === s.process && t.start >= from && t.start < from + pages;
    this.segments = this.segments.filter((t) => !gone(t));
  }

  #fork(pick: number): void {
    const parent = this.#any(this.processes, pick);
    if (parent === undefined || this.processes.length > 4) return;
    const child = parent.fork();
    this.processes.push(child);
    const copies = this.segments.filter((s) => s.process === parent);
    for (const s of copies) this.segments.push({ ...s, process: child });
  }

  #free(pick: number): void {
    const object = this.#any(this.#living, pick);
    if (object === undefined) return;
    const held = object.frames.filter((_, page) => this.#references(object, page) > 1).length;
    const whole = this.#objectReferences(object) > 1 ? object.count : 0;
    const report = object.of.free();
    object.alive = false;
    if (this.design.scattered !== "none") {
      const kept = this.design.scattered === "per-page" ? held : whole;
      assert.deepEqual(report, { freed: object.count - kept, kept, stale: [] });
      return;
    }
    assert.deepEqual([report.freed, report.kept], [object.count, 0]);
    // Exactly what is mapped of it is reachable though it is gone, and is named.
    const stale = this.segments
      .filter((s) => s.object === object)
      .flatMap((s) =>
        Array.from({ length: s.pages }, (_, i) => ({
          pid: s.process.pid,
          addr: (s.start + i) * PAGE,
          pfn: object.frames[s.first + i],
        })),
      );
    const order = (a: { pid: number; addr: number }, b: typeof a): number =>
      a.pid - b.pid || a.addr - b.addr;
    assert.deepEqual([...report.stale].sort(order), stale.sort(order));
    if (stale.length > 0)
      assert.throws(() => this.kernel.scattered.check(), /mapped frames are alive/);
    // The driver repairs its mistake, so that the walk can go on.
    for (const s of this.segments)
      if (s.object === object) s.process.munmap(s.start * PAGE, s.pages * PAGE);
    this.segments = this.segments.filter((s) => s.object !== object);
  }

  #move(pick: number): void {
    const s = this.#any(this.segments, pick);
    if (s === undefined) return;
    const to = FAR / PAGE + this.#far;
    this.#far += 512;
    const length = s.pages * PAGE;
    assert.throws(
      () => s.process.mremap(s.start * PAGE, length, length + PAGE, MREMAP_MAYMOVE),
      /EFAULT/,
    );
    s.process.mremap(s.start * PAGE, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to * PAGE);
    s.start = to;
  }

  #protect(pick: number): void {
    const s = this.#any(this.segments, pick);
    if (s === undefined) return;
    const from = s.start + ((pick >>> 4) % s.pages);
    const pages = 1 + ((pick >>> 8) % (s.start + s.pages - from));
    const writable = (pick & 4) !== 0;
    s.process.mprotect(from * PAGE, pages * PAGE, PROT_READ | (writable ? PROT_WRITE : 0));
    // A VMA that has these rights already is not cut.
    if (s.writable === writable) return;
    this.#cut(s.process, from);
    this.#cut(s.process, from + pages);
    for (const t of this.segments)
      if (t.process === s.process && t.start >= from && t.start < from + pages)
        t.writable = writable;
  }

  #write(pick: number): void {
    const byte = Uint8Array.of(pick & 0xff);
    const pin = (pick & 3) === 0 ? this.#any(this.pins, pick >>> 2) : undefined;
    if (pin !== undefined) {
      pin.held.write(0, byte);
      pin.object.bytes[pin.page] = byte[0];
      return;
    }
    const s = this.#any(this.segments, pick >>> 2);
    if (s === undefined) return;
    const at = (pick >>> 6) % s.pages;
    const write = (): void => s.process.write((s.start + at) * PAGE, byte);
    if (!s.writable) {
      assert.throws(write, /SIGSEGV/);
      return;
    }
    write();
    s.object.bytes[s.first + at] = byte[0];
  }

  #read(pick: number): void {
    const s = this.#any(this.segments, pick);
    if (s !== undefined) {
      for (let i = 0; i < s.pages; i++)
        assert.equal(s.process.read((s.start + i) * PAGE, 1)[0], s.object.bytes[s.first + i]);
    }
    const pin = this.#any(this.pins, pick);
    if (pin !== undefined) assert.equal(pin.held.read(0, 1)[0], pin.object.bytes[pin.page]);
    const object = this.#any(this.#living, pick);
    if (!(object?.of instanceof Area)) return;
    for (let i = 0; i < object.count; i++)
      assert.equal(object.of.read(i * PAGE, 1)[0], object.bytes[i]);
  }

  #exit(pick: number): void {
    if (this.processes.length < 2) return;
    const [process] = this.processes.splice(pick % this.processes.length, 1);
    process.exit();
    this.segments = this.segments.filter((s) => s.process !== process);
  }

  #newProcess(): void {
    if (this.processes.length < 4) this.processes.push(this.kernel.createProcess());
  }

  #mappings(object: Pages, page: number): number {
    return this.segments.filter(
      (s) => s.object === object && page >= s.first && page < s.first + s.pages,
    ).length;
  }

  /** References of one page that counts itself. */
  #references(object: Pages, page: number): number {
    const maps = this.#mappings(object, page);
    const pins = this.pins.filter((p) => p.object === object && p.page === page).length;
    return (object.alive ? 1 : 0) + maps + pins;
  }

  /** References of an object that is counted as a whole. */
  #objectReferences(object: Pages): number {
    const mine = this.segments.filter((s) => s.object === object);
    const pins = this.pins.filter((p) => p.object === object).length;
    const mappings =
      this.design.scatteredLookup === "vma-private"
        ? mine.length
        : this.design.scatteredLookup === "file-private"
          ? new Set(mine.map((s) => s.file)).size
          : mine.reduce((sum, s) => sum + s.pages, 0);
    return (object.alive ? 1 : 0) + mappings + pins;
  }

  /** What the engine counts is what there is. */
  #checkCounts(): void {
    for (const object of this.#living) {
      const of: PagesObject = object.of;
      if (this.design.scattered === "none") assert.equal(of.references, -1);
      else if (this.design.scattered !== "per-page")
        assert.equal(of.references, this.#objectReferences(object), `object ${object.id}`);
      else if (!this.kernel.scattered.objects.asFolio)
        for (let i = 0; i < object.count; i++) {
          assert.equal(of.pageReferences(i), this.#references(object, i), `page ${i}`);
          const { design } = this.kernel.machine;
          if (countsPages(design))
            assert.equal(design.addPageMaps(object.frames[i], 0), this.#mappings(object, i));
        }
    }
  }

  /** Everybody lets go, in an order that `pick` says. */
  finish(pick: number): void {
    const ends = [
      () => {
        for (const p of this.processes.splice(0)) p.exit();
        this.segments = [];
      },
      () => {
        for (const p of this.pins.splice(0)) p.held.release();
      },
      () => {
        while (this.#living.length > 0) this.#free(pick);
      },
    ];
    // A free while something is mapped is an early one.
    for (let i = 0; i < 3; i++) ends.splice((pick >>> (i * 2)) % ends.length, 1)[0]();
  }
}
