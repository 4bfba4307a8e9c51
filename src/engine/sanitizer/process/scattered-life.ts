/**
 * A random life of scattered memory beside a plain model: areas and lists are
 * made, mapped, pinned, moved, cut, forked and freed early; after each step the
 * engine's counts are what the model says, and what a free gives back, keeps or
 * leaves stale is exactly that.
 *
 * Steps are 32-bit numbers, so that a life can be repeated from a seed and a
 * failing one shrunk.
 */
import type { Design } from "../../design/presets.js";
import { countsPages } from "../../design/word/axis.js";
import { MmError, RuleViolation, SignalError } from "../../errors.js";
import { MREMAP_FIXED, MREMAP_MAYMOVE, PROT_READ, PROT_WRITE } from "../../process/constants.js";
import { FOLL_GET, FOLL_PIN, FOLL_WRITE } from "../../process/gup.js";
import { Kernel } from "../../process/kernel.js";
import { O_INDEX_NODE, O_VM_STRUCT } from "../../process/objects.js";
import type { Process } from "../../process/process.js";
import { Area } from "../../process/scattered/area.js";
import type { UserPages } from "../../process/user-pages.js";
import { inspectKernel, watchKernel } from "./sanitizer.js";
import { pageBlock, ScatteredBooks, type Pages, type Segment } from "./scattered-books.js";

const PAGE = 4096;
const FAR = 2 ** 40;
const RULE = "scattered memory does what its model says";

export class ScatteredLife {
  readonly kernel: Kernel;
  readonly books: ScatteredBooks;
  readonly processes: Process[] = [];
  /** What each step was, for a report. */
  doing = "";
  steps = 0;
  readonly #freeAtBoot: number;
  #files = 0;
  #ids = 0;
  #far = 0;

  constructor(design: Design) {
    this.kernel = Kernel.boot({ memory: "16MiB" }, design);
    this.books = new ScatteredBooks(design);
    this.processes.push(this.kernel.createProcess());
    this.#freeAtBoot = this.#freePages();
    watchKernel(this.kernel);
  }

  /** One operation from any 32-bit number. Throws RuleViolation where engine and model differ. */
  step(n: number): void {
    const pick = n >>> 8;
    const does: readonly (readonly [string, () => void])[] = [
      ["make", () => this.#alloc(pick)],
      ["map", () => this.#map(pick)],
      ["map", () => this.#map(pick)],
      ["pin", () => this.#pin(pick)],
      ["pin", () => this.#pin(pick)],
      ["unpin", () => this.#unpin(pick)],
      ["unmap", () => this.#unmap(pick)],
      ["fork", () => this.#fork(pick)],
      ["free", () => this.#free(pick)],
      ["move", () => this.#move(pick)],
      ["protect", () => this.#protect(pick)],
      ["write", () => this.#write(pick)],
      ["write", () => this.#write(pick)],
      ["exit", () => this.#exit(pick)],
      ["read", () => this.#read(pick)],
      ["a new process", () => this.#newProcess()],
    ];
    this.steps++;
    this.kernel.base.core.step = this.steps;
    const [doing, run] = does[n & 15];
    this.doing = doing;
    run();
    this.#checkCounts();
    this.books.forget();
  }

  /** Every rule of the sanitizer, with exactly the pages that the model says live. */
  check(): RuleViolation[] {
    const { kernel, books } = this;
    const folios = books.pins.map(({ held: pages }) => ({
      pfn: pages.pfns[0],
      refs: 0,
      pins: 1,
      who: "a pin",
    }));
    const blocks = books.frames().map((pfn) => pageBlock(kernel, pfn));
    return inspectKernel(kernel, { folios, blocks });
  }

  /** Everybody lets go, in an order that `pick` says; what is left is a leak. */
  finish(pick: number): RuleViolation[] {
    const { books } = this;
    this.doing = "the end";
    const ends = [
      (): void => {
        for (const p of this.processes.splice(0)) p.exit();
        books.segments = [];
      },
      (): void => {
        for (const p of books.pins.splice(0)) p.held.release();
      },
      (): void => {
        while (books.living.length > 0) this.#free(pick);
      },
    ];
    // A free while something is mapped is an early one.
    for (let i = 0; i < 3; i++) ends.splice((pick >>> (i * 2)) % ends.length, 1)[0]();
    return [...this.check(), ...this.#left()];
  }

  #left(): RuleViolation[] {
    const { machine, base } = this.kernel;
    const left: RuleViolation[] = [];
    const leak = (what: string): void => void left.push(new RuleViolation(RULE, -1, what));
    if (base.core.content.size > 0) leak(`${base.core.content.size} frames hold contents`);
    // The first process's own memory goes too.
    const free = this.#freePages();
    if (free < this.#freeAtBoot) leak(`${free} pages are free, ${this.#freeAtBoot} were at boot`);
    const usage = machine.caches.usage();
    const first = machine.design.caches.length;
    for (const { objects, name } of usage.slice(first + O_VM_STRUCT, first + O_INDEX_NODE + 1))
      if (objects > 0) leak(`${objects} objects of ${name} are left`);
    return left;
  }

  /** Pages on free lists, after caches and per-CPU lists gave back what they can. */
  #freePages(): number {
    const { machine } = this.kernel;
    machine.caches.shrink();
    machine.allocator.drainAll();
    return machine.config.zones.reduce((sum, _zone, i) => sum + machine.buddy.freePages(i), 0);
  }

  #fail(detail: string, pfn = -1): never {
    throw new RuleViolation(RULE, pfn, `step ${this.steps}, ${this.doing}: ${detail}`);
  }

  #same(is: unknown, must: unknown, what: string): void {
    const [a, b] = [JSON.stringify(is), JSON.stringify(must)];
    if (a !== b) this.#fail(`${what}: it is ${a}, it must be ${b}`);
  }

  #refused(run: () => unknown, code: string): void {
    let got = "it was done";
    try {
      run();
    } catch (error) {
      if (error instanceof MmError) got = error.code;
      else if (error instanceof SignalError) got = error.signal;
      else if (error instanceof RuleViolation) got = error.rule;
      else throw error;
    }
    this.#same(got, code, "refusal");
  }

  #any<T>(list: readonly T[], pick: number): T | undefined {
    return list.length === 0 ? undefined : list[pick % list.length];
  }

  #alloc(pick: number): void {
    const { books } = this;
    if (books.living.length > 4) return;
    const count = pick % 40 === 0 ? 300 : 1 + (pick % 5);
    const list = pick % 3 === 0 && books.design.scattered !== "vm-struct";
    const { scattered } = this.kernel;
    const of = list ? scattered.list(count) : scattered.alloc(count * PAGE);
    const bytes = new Uint8Array(count);
    books.objects.push({ id: this.#ids++, of, count, bytes, frames: of.frames(), alive: true });
  }

  #map(pick: number): void {
    const object = this.#any(this.books.living, pick);
    const process = this.#any(this.processes, pick >>> 3);
    if (object === undefined || process === undefined) return;
    const first = (pick >>> 5) % object.count;
    const pages = 1 + ((pick >>> 7) % (object.count - first));
    const start = object.of.mmap(process, { first, pages }) / PAGE;
    const file = this.#files++;
    this.books.segments.push({ process, object, start, first, pages, file, writable: true });
  }

  #pin(pick: number): void {
    const { books, kernel } = this;
    const s = this.#any(books.segments, pick);
    if (s === undefined || books.pins.length > 12) return;
    const at = (pick >>> 4) % s.pages;
    const flags = ((pick & 8) !== 0 ? FOLL_PIN : FOLL_GET) | (s.writable ? FOLL_WRITE : 0);
    const how = (pick & 16) !== 0 ? "fast" : "slow";
    const before = kernel.gup.fast;
    const get = (): UserPages => s.process.gup((s.start + at) * PAGE, 1, flags, how);
    if (books.design.scattered === "none") return this.#refused(get, "EFAULT");
    const held = get();
    this.#same(held.pfns[0], s.object.frames[s.first + at], "the frame that was got");
    const byPage = !["vma-private", "file-private"].includes(books.design.scatteredLookup);
    if (how === "fast")
      this.#same(kernel.gup.fast - before, byPage ? 1 : 0, "pages got the fast way");
    books.pins.push({ object: s.object, page: s.first + at, held });
  }

  #unpin(pick: number): void {
    const { books } = this;
    const pin = this.#any(books.pins, pick);
    if (pin === undefined) return;
    pin.held.release();
    books.pins = books.pins.filter((p) => p !== pin);
  }

  #unmap(pick: number): void {
    const { books } = this;
    const s = this.#any(books.segments, pick);
    if (s === undefined) return;
    const from = s.start + ((pick >>> 4) % s.pages);
    const end = from + 1 + ((pick >>> 8) % (s.start + s.pages - from));
    s.process.munmap(from * PAGE, (end - from) * PAGE);
    books.cut(s.process, from);
    books.cut(s.process, end);
    books.segments = books.segments.filter(
      (t) => t.process !== s.process || t.start < from || t.start >= end,
    );
  }

  #fork(pick: number): void {
    const { books } = this;
    const parent = this.#any(this.processes, pick);
    if (parent === undefined || this.processes.length > 4) return;
    const child = parent.fork();
    this.processes.push(child);
    const copies = books.segments.filter((s) => s.process === parent);
    for (const s of copies) books.segments.push({ ...s, process: child });
  }

  #free(pick: number): void {
    const { books } = this;
    const object = this.#any(books.living, pick);
    if (object === undefined) return;
    const held = object.frames.filter((_, page) => books.references(object, page) > 1).length;
    const whole = books.objectReferences(object) > 1 ? object.count : 0;
    const report = object.of.free();
    object.alive = false;
    if (books.design.scattered === "none") return this.#stale(object, report.stale);
    const kept = books.design.scattered === "per-page" ? held : whole;
    const { freed, kept: stays, stale } = report;
    this.#same([freed, stays, stale.length], [object.count - kept, kept, 0], "freed, kept, stale");
  }

  /** Exactly what is mapped of it is reachable though it is gone, and is named. */
  #stale(
    object: Pages,
    found: readonly { readonly pid: number; readonly addr: number; readonly pfn: number }[],
  ): void {
    const { books } = this;
    const must = books.segments
      .filter((s) => s.object === object)
      .flatMap((s) =>
        Array.from(
          { length: s.pages },
          (_, i) => `${s.process.pid} ${(s.start + i) * PAGE} ${object.frames[s.first + i]}`,
        ),
      );
    this.#same(
      found.map((m) => `${m.pid} ${m.addr} ${m.pfn}`).sort(),
      must.sort(),
      "stale mappings",
    );
    if (must.length > 0)
      this.#refused(() => this.kernel.scattered.check(), "mapped frames are alive");
    // The driver repairs its mistake, so that the walk can go on.
    for (const s of books.segments)
      if (s.object === object) s.process.munmap(s.start * PAGE, s.pages * PAGE);
    books.segments = books.segments.filter((s) => s.object !== object);
  }

  #move(pick: number): void {
    const s = this.#any(this.books.segments, pick);
    if (s === undefined) return;
    const to = FAR / PAGE + (this.#far % 2 ** 18);
    this.#far += 512;
    const length = s.pages * PAGE;
    this.#refused(
      () => s.process.mremap(s.start * PAGE, length, length + PAGE, MREMAP_MAYMOVE),
      "EFAULT",
    );
    // The same place may come again: then somebody of the process is there.
    const taken = this.books.segments.some(
      (t) => t.process === s.process && t.start < to + s.pages && t.start + t.pages > to,
    );
    if (taken) return;
    s.process.mremap(s.start * PAGE, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to * PAGE);
    s.start = to;
  }

  #protect(pick: number): void {
    const { books } = this;
    const s = this.#any(books.segments, pick);
    if (s === undefined) return;
    const from = s.start + ((pick >>> 4) % s.pages);
    const end = from + 1 + ((pick >>> 8) % (s.start + s.pages - from));
    const writable = (pick & 4) !== 0;
    const prot = PROT_READ | (writable ? PROT_WRITE : 0);
    s.process.mprotect(from * PAGE, (end - from) * PAGE, prot);
    // A VMA that has these rights already is not cut.
    if (s.writable === writable) return;
    books.cut(s.process, from);
    books.cut(s.process, end);
    for (const t of books.segments)
      if (t.process === s.process && t.start >= from && t.start < end) t.writable = writable;
  }

  #write(pick: number): void {
    const { books } = this;
    const byte = Uint8Array.of(pick & 0xff);
    const pin = (pick & 3) === 0 ? this.#any(books.pins, pick >>> 2) : undefined;
    if (pin !== undefined) {
      pin.held.write(0, byte);
      pin.object.bytes[pin.page] = byte[0];
      return;
    }
    const s = this.#any(books.segments, pick >>> 2);
    if (s === undefined) return;
    const at = (pick >>> 6) % s.pages;
    const write = (): void => s.process.write((s.start + at) * PAGE, byte);
    if (!s.writable) return this.#refused(write, "SIGSEGV");
    write();
    s.object.bytes[s.first + at] = byte[0];
  }

  #read(pick: number): void {
    const { books } = this;
    const s = this.#any(books.segments, pick);
    if (s !== undefined) this.#readSegment(s);
    const pin = this.#any(books.pins, pick);
    if (pin !== undefined)
      this.#same(pin.held.read(0, 1)[0], pin.object.bytes[pin.page], "a page that is held");
    const object = this.#any(books.living, pick);
    if (!(object?.of instanceof Area)) return;
    for (let i = 0; i < object.count; i++)
      this.#same(
        object.of.read(i * PAGE, 1)[0],
        object.bytes[i],
        `page ${i} as the kernel sees it`,
      );
  }

  #readSegment({ process, object, start, first, pages }: Segment): void {
    for (let i = 0; i < pages; i++) {
      const [byte] = process.read((start + i) * PAGE, 1);
      this.#same(byte, object.bytes[first + i], `page ${first + i} as a process sees it`);
    }
  }

  #exit(pick: number): void {
    if (this.processes.length < 2) return;
    const [process] = this.processes.splice(pick % this.processes.length, 1);
    process.exit();
    this.books.segments = this.books.segments.filter((s) => s.process !== process);
  }

  #newProcess(): void {
    if (this.processes.length < 4) this.processes.push(this.kernel.createProcess());
  }

  /** What the engine counts is what there is. */
  #checkCounts(): void {
    const { books, kernel } = this;
    for (const object of books.living) {
      const { of } = object;
      if (books.design.scattered === "none") this.#same(of.references, -1, "its references");
      else if (books.design.scattered !== "per-page")
        this.#same(
          of.references,
          books.objectReferences(object),
          `object ${object.id}: references`,
        );
      else if (!kernel.scattered.objects.asFolio) this.#checkPages(object);
    }
  }

  #checkPages(object: Pages): void {
    const { design } = this.kernel.machine;
    for (let i = 0; i < object.count; i++) {
      const must = this.books.references(object, i);
      this.#same(object.of.pageReferences(i), must, `page ${i}: references`);
      if (!countsPages(design)) continue;
      const maps = design.addPageMaps(object.frames[i], 0);
      this.#same(maps, this.books.mappings(object, i), `page ${i}: mappings`);
    }
  }
}
