/**
 * Snapshot → machine: a simulated machine of the same nodes and zones that holds
 * the same pages, described as its design describes them.
 *
 * The metadata's own frames come first from as many frames as the source spends
 * on page structures, then from free ones. /proc does not say which frames those
 * are; they are taken where boot memory shows: reserved and private (how the
 * kernel marks its own boot memory map), then reserved, then never initialised,
 * then kernel. The page array lies in the first of them, what is left is free
 * memory that descriptors are then allocated from, by the allocator. Every
 * object is bound at its own frames, run by run.
 */
import { PG_HWPOISON } from "../../engine/design/word/axis-flags.js";
import { parseDesign, type Design } from "../../engine/design/presets.js";
import { T_BUDDY } from "../../engine/design/word/axis-types.js";
import type { PageImage } from "../../engine/design/word/axis.js";
import type { TakeRun } from "../../engine/pages/caches.js";
import { MmError } from "../../engine/errors.js";
import { Machine } from "../../engine/machine.js";
import { SparseWords } from "../../engine/words/sparse.js";
import type { Words } from "../../engine/words/words.js";
import type { Bytes } from "../../units.js";
import { hasBit, KPF } from "../kpageflags.js";
import { kindId, kindOf, type Kind } from "../kinds.js";
import { FLAGS_VARY, VARIES, type Classification } from "../objects.js";
import type { Snapshot } from "../snapshot.js";
import { machineConfig } from "./config.js";
import { Images } from "./images.js";

/** A stretch of frames and the kind that the source shows there. */
export interface KindRange {
  readonly start: number;
  readonly end: number;
  readonly kind: Kind;
}

export interface Populated {
  readonly machine: Machine;
  readonly images: Images;
  /** Frames set aside for metadata before anything else, in the order they were taken. */
  readonly setAside: readonly KindRange[];
  /** Frames of them that hold the page array. */
  readonly pageArrayFrames: number;
}

const FREE = kindId("free");

/** Frames beyond which a machine is built on sparse words: 64 GiB, 1 GiB of page array today. */
const SPARSE_FROM = 2 ** 24;

/** sizeof(struct page) × frames, where vmstat does not say what the source spends. */
const STRUCT_PAGE = 64;

/**
 * Builds the machine. Throws DesignError where the design cannot be on this
 * machine, MmError (ENOMEM) where its descriptors do not fit into the free memory.
 */
export function populate(
  snapshot: Snapshot,
  classification: Classification,
  design: Design | string,
  makeWords?: (size: Bytes) => Words,
): Populated {
  const choice = typeof design === "string" ? parseDesign(design) : design;
  const sparse = snapshot.frames > SPARSE_FROM ? () => new SparseWords() : undefined;
  const machine = Machine.boot(
    machineConfig(snapshot, classification.objects),
    choice,
    makeWords ?? sparse,
  );
  const images = new Images(snapshot, classification, machine.design);
  const fill = new Fill(snapshot, classification, machine, images);
  const setAside = fill.setAside();
  const pageArrayFrames = fill.placePageArray(setAside);
  fill.bindAll(setAside);
  fill.giveFree();
  return { machine, images, setAside, pageArrayFrames };
}

/** Pages that the source spends on page structures. */
export function sourceMemmapPages(snapshot: Snapshot, machine: Pick<Machine, "config">): number {
  const boot = snapshot.vmstat?.["nr_memmap_boot_pages"];
  if (boot !== undefined) return boot + (snapshot.vmstat?.["nr_memmap_pages"] ?? 0);
  const frames = machine.config.present.reduce((sum, p) => sum + p.end - p.start, 0);
  return Math.ceil(
    (frames * (snapshot.structSizes?.["page"] ?? STRUCT_PAGE)) / (snapshot.pageSize ?? 4096),
  );
}

class Fill {
  readonly #snapshot: Snapshot;
  readonly #classification: Classification;
  readonly #machine: Machine;
  readonly #images: Images;
  /** Some page of the source is marked hwpoison. */
  readonly #poisoned: boolean;
  /** Free stretches not yet given to the allocator, ascending; taken from the end. */
  readonly #free: { start: number; end: number }[] = [];

  constructor(
    snapshot: Snapshot,
    classification: Classification,
    machine: Machine,
    images: Images,
  ) {
    this.#snapshot = snapshot;
    this.#classification = classification;
    this.#machine = machine;
    this.#images = images;
    this.#poisoned = snapshot.flagWords.lo.some((lo) => hasBit(lo, 0, KPF.HWPOISON));
    const { objects } = classification;
    for (let i = 0; i < objects.length; i++) {
      if (objects.kind[i] !== FREE) continue;
      const end = objects.start[i] + objects.count[i] * objects.pages[i];
      const last = this.#free.at(-1);
      if (last && last.end === objects.start[i]) last.end = end;
      else this.#free.push({ start: objects.start[i], end });
    }
  }

  /** As many frames as the source spends on page structures, ascending by preference. */
  setAside(): KindRange[] {
    let wanted = sourceMemmapPages(this.#snapshot, this.#machine);
    const taken: KindRange[] = [];
    for (const candidates of this.#candidates()) {
      for (const run of candidates) {
        if (wanted === 0) return taken;
        const frames = Math.min(wanted, run.end - run.start);
        taken.push({ ...run, start: run.end - frames });
        wanted -= frames;
      }
    }
    return taken;
  }

  /** Runs that may hold page structures, most likely first; each list from the highest frame down. */
  #candidates(): KindRange[][] {
    const { objects } = this.#classification;
    const { lo, hi } = this.#snapshot.flagWords;
    const lists: KindRange[][] = [[], [], [], []];
    // The first MiB is firmware's, whatever its flags say.
    for (let i = objects.length - 1; i >= 0 && objects.start[i] >= 256; i--) {
      const kind = kindOf(objects.kind[i]);
      const word = objects.headFlags[i];
      const list =
        kind === "reserved"
          ? hasBit(lo[word], hi[word], KPF.PRIVATE)
            ? 0
            : 1
          : kind === "uninitialised"
            ? 2
            : kind === "kernel"
              ? 3
              : -1;
      if (list < 0 || objects.pages[i] !== 1 || hasBit(lo[word], hi[word], KPF.MMAP)) continue;
      lists[list].push({ start: objects.start[i], end: objects.start[i] + objects.count[i], kind });
    }
    return lists;
  }

  /**
   * Reserves the page array's frames in what was set aside and, where that is
   * not enough, in free memory, which is then set aside too; gives the rest to
   * the allocator. Returns the frames used.
   */
  placePageArray(setAside: KindRange[]): number {
    const need = Math.ceil(this.#machine.pageArrayBytes / this.#machine.pageSize);
    let missing = need - setAside.reduce((sum, r) => sum + r.end - r.start, 0);
    while (missing > 0) {
      const run = this.#free.at(-1);
      if (run === undefined)
        throw new MmError(
          12,
          `${need} frames for the page array`,
          `${missing} are missing and none is free`,
        );
      const frames = Math.min(missing, run.end - run.start);
      setAside.push({ start: run.end - frames, end: run.end, kind: "free" });
      run.end -= frames;
      missing -= frames;
      if (run.end === run.start) this.#free.pop();
    }
    let left = need;
    for (const { start, end } of setAside) {
      const frames = Math.min(left, end - start);
      if (frames > 0)
        this.#eachZone(start, start + frames, (a, b) => this.#machine.reserveRange(a, b));
      if (start + frames < end) this.#machine.giveRange(start + frames, end);
      left -= frames;
    }
    return need;
  }

  #eachZone(
    start: number,
    end: number,
    visit: (start: number, end: number, zone: number) => void,
  ): void {
    const { zones } = this.#machine;
    for (let at = start; at < end;) {
      const run = zones.runs.find((r) => at < r.end) ?? { end, zone: 0 };
      const stop = Math.min(end, run.end);
      visit(at, stop, run.zone);
      at = stop;
    }
  }

  /** Binds every object that is not free, leaving out what was set aside. */
  bindAll(setAside: readonly KindRange[]): void {
    const { objects } = this.#classification;
    const aside = setAside.toSorted((a, b) => a.start - b.start);
    let next = 0;
    for (let i = 0; i < objects.length; i++) {
      if (objects.kind[i] === FREE) continue;
      const image = this.#images.of(i);
      let at = objects.start[i];
      const end = at + objects.count[i] * objects.pages[i];
      while (next < aside.length && aside[next].end <= at) next++;
      for (let k = next; k < aside.length && aside[k].start < end; k++) {
        if (image !== null && at < aside[k].start) this.#bindRange(i, image, at, aside[k].start);
        at = aside[k].end;
      }
      if (image !== null && at < end) this.#bindRange(i, image, at, end);
    }
  }

  #bindRange(i: number, image: Omit<PageImage, "zone">, start: number, end: number): void {
    this.#eachZone(start, end, (a, b, zone) =>
      this.#bind(a, (b - a) / 2 ** image.order, { ...image, zone }),
    );
    const { objects } = this.#classification;
    if (objects.mapcount[i] === VARIES) this.#countPages(start, end);
    const own = this.#classification.tailFlags === "own";
    if (own && objects.tailFlags[i] === FLAGS_VARY) this.#flagPages(start, end, 2 ** image.order);
    if (this.#poisoned && image.order > 0) this.#poisonPages(start, end);
  }

  #bind(pfn: number, count: number, image: PageImage): void {
    const { design, caches } = this.#machine;
    const cache = design.cacheFor(image.type, image.order);
    if (cache < 0) return design.bindRun(pfn, count, image, 0 as never, 0);
    const stride = caches.stride[cache];
    const pages = 2 ** image.order;
    this.#take(cache, count, (first, n, slabs) => {
      design.bindRun(pfn, n, image, first, stride, slabs);
      pfn += n * pages;
    });
  }

  /** `count` descriptors of a cache; gives the allocator more memory where it runs out. */
  #take(cache: number, count: number, take: TakeRun): void {
    const { allocator, caches } = this.#machine;
    let done = 0;
    // Memory may lie on per-CPU lists in the wrong order: they are drained once
    // before more is given, and not again until that has helped.
    let drained = false;
    while (done < count) {
      const got = caches.allocRun(cache, count - done, take);
      done += got;
      if (done === count) return;
      drained = (got > 0 || !drained) && allocator.drainAll() > 0;
      if (!drained && !this.#giveMore()) {
        throw new MmError(
          12,
          `${count - done} descriptors of ${caches.specs[cache].name}`,
          "no free memory is left for them",
        );
      }
    }
  }

  /** The next free stretch, some MiB at once, for descriptors; false when there is none. */
  #giveMore(): boolean {
    const run = this.#free.at(-1);
    if (run === undefined) return false;
    const start = Math.max(
      run.start,
      run.end - (run.end % 1024 === 0 ? 4096 : (run.end % 1024) + 4096),
    );
    this.#machine.giveRange(start, run.end);
    if (start === run.start) this.#free.pop();
    else run.end = start;
    return true;
  }

  /** The rest of the free memory, and what flags its pages show. */
  giveFree(): void {
    for (const run of this.#free) this.#machine.giveRange(run.start, run.end);
    // What populating left on per-CPU lists is free memory like any other.
    this.#machine.allocator.drainAll();
    const { objects } = this.#classification;
    for (let i = 0; i < objects.length; i++) {
      if (objects.kind[i] !== FREE) continue;
      const flags = this.#images.flagsOf(objects.headFlags[i]);
      if (flags === 0) continue;
      for (let pfn = objects.start[i]; pfn < objects.start[i] + objects.count[i]; pfn++) {
        // Some of what was free holds descriptors now.
        if (this.#machine.design.typeOf(pfn) !== T_BUDDY) continue;
        if (!this.#machine.design.setPageFlags(pfn, flags)) return;
      }
    }
  }

  /** Map counts that differ from page to page of one object. */
  #countPages(start: number, end: number): void {
    this.#eachRun(start, end, (a, b, run) => {
      const mapcount = this.#snapshot.runs.mapcount[run];
      if (mapcount === 0) return;
      for (let pfn = a; pfn < b; pfn++) this.#machine.design.addMapcount(pfn, mapcount);
    });
  }

  /** Flags of tails that differ among themselves, where a page has flags of its own. */
  #flagPages(start: number, end: number, pages: number): void {
    this.#eachRun(start, end, (a, b, run) => {
      const flags = this.#images.flagsOf(this.#snapshot.runs.flags[run]);
      for (let pfn = a; pfn < b; pfn++) {
        if (pfn % pages !== 0 && !this.#machine.design.setPageFlags(pfn, flags)) return;
      }
    });
  }

  /** Pages inside a compound page that are marked hwpoison themselves. */
  #poisonPages(start: number, end: number): void {
    const { design } = this.#machine;
    this.#eachRun(start, end, (a, b, run) => {
      if ((this.#images.flagsOf(this.#snapshot.runs.flags[run]) & PG_HWPOISON) === 0) return;
      for (let pfn = a; pfn < b; pfn++) {
        const cache = design.poisonCache(pfn);
        if (cache < 0) design.poison(pfn, 0 as never);
        else this.#take(cache, 1, (first) => design.poison(pfn, first));
      }
    });
  }

  #eachRun(
    start: number,
    end: number,
    visit: (start: number, end: number, run: number) => void,
  ): void {
    const { start: starts } = this.#snapshot.runs;
    let lo = 0;
    let hi = this.#snapshot.runs.length - 1;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (starts[mid] <= start) lo = mid;
      else hi = mid - 1;
    }
    for (let run = lo; run < this.#snapshot.runs.length && starts[run] < end; run++) {
      visit(Math.max(start, starts[run]), Math.min(end, starts[run + 1]), run);
    }
  }
}
