/**
 * Random programs from a seed.
 *
 * A light picture of what each process has mapped (no more than the ranges it
 * once asked for) makes most operations hit something; one in ten is aimed
 * elsewhere, and one in twelve has a wrong argument on purpose, so that refusals
 * are compared as well. The picture may be wrong: nothing depends on it.
 */
import * as k from "./constants.js";
import { Random } from "./random.js";
import {
  ARENAS,
  DISK,
  FEATURES,
  FILES,
  HOLE,
  HUGE,
  HUGE_PAGES,
  MAX_PROCESSES,
  PAGE,
  PINS,
  TMPFS,
  withoutTheDead,
  type Feature,
  type Op,
  type OpName,
  type Program,
} from "./program.js";
import { spoil } from "./spoil.js";

/** What programs are made of. */
export interface Taste {
  readonly steps: number;
  readonly features: ReadonlySet<Feature>;
  /** Operations that are not used. */
  readonly without?: ReadonlySet<OpName>;
}

/** Everything, in programs of this many steps. */
export const everything = (steps: number): Taste => ({ steps, features: new Set(FEATURES) });

interface Range {
  readonly address: number;
  readonly pages: number;
  readonly hugetlb: boolean;
}

/** Most processes that live at a time. */
const CROWD = 4;
const PROTS = [
  k.PROT_READ | k.PROT_WRITE,
  k.PROT_READ | k.PROT_WRITE,
  k.PROT_READ | k.PROT_WRITE,
  k.PROT_READ | k.PROT_WRITE,
  k.PROT_READ | k.PROT_WRITE,
  k.PROT_READ,
  k.PROT_NONE,
  k.PROT_READ | k.PROT_EXEC,
  k.PROT_READ | k.PROT_WRITE | k.PROT_EXEC,
  k.PROT_WRITE,
];

/** The program of a seed. The same seed and taste give the same program. */
export function generate(seed: number, taste: Taste): Program {
  const generator = new Generator(new Random(seed), taste);
  const steps: Op[] = [];
  while (steps.length < taste.steps) steps.push(...generator.next());
  return { seed, steps: withoutTheDead(steps.slice(0, taste.steps)) };
}

class Generator {
  readonly #random: Random;
  readonly #taste: Taste;
  readonly #ranges = new Map<number, Range[]>([[0, []]]);
  #forked = 0;

  constructor(random: Random, taste: Taste) {
    this.#random = random;
    this.#taste = taste;
  }

  /** One step, or a few that belong together. */
  next(): Op[] {
    const process = this.#random.pick([...this.#ranges.keys()]);
    const steps = this.#make(this.#choose(process), process);
    if (!this.#has("wrong") || !this.#random.percent(8)) return steps;
    return steps.map((op) => spoil(this.#random, op));
  }

  #has(feature: Feature): boolean {
    return this.#taste.features.has(feature);
  }

  #choose(process: number): OpName {
    const known = this.#ranges.get(process)?.length ?? 0;
    if (known < 2) return "mmap";
    const often = (feature: Feature, weight: number): number => (this.#has(feature) ? weight : 0);
    const files = this.#has("tmpfs") || this.#has("disk");
    const choices: [number, OpName][] = [
      [14, "mmap"],
      [14, "read"],
      [22, "write"],
      [8, "check"],
      [8, "mprotect"],
      [7, "munmap"],
      [often("mremap", 9), "mremap"],
      [18, "madvise"],
      [
        often("fork", this.#ranges.size < CROWD && this.#forked < MAX_PROCESSES - 1 ? 5 : 0),
        "fork",
      ],
      [this.#ranges.size > 1 ? 3 : 0, "exit"],
      [files ? 3 : 0, "pread"],
      [files ? 5 : 0, "pwrite"],
      [files ? 2 : 0, "truncate"],
      [files ? 3 : 0, "punch"],
      [2, "msync"],
      [often("mlock", 3), "mlock"],
      [often("mlock", 2), "munlock"],
      [often("pin", 4), "pin"],
      [often("pin", 2), "unpin"],
      [often("direct", 2), "directRead"],
    ];
    const possible = choices.filter(
      ([weight, name]) => weight > 0 && this.#taste.without?.has(name) !== true,
    );
    return this.#random.weighted(possible);
  }

  #make(name: OpName, process: number): Op[] {
    const random = this.#random;
    const { address, pages } = this.#target(process);
    const length = pages * PAGE;
    switch (name) {
      case "mmap":
        return this.#mmap(process);
      case "read":
      case "check":
        return [{ op: name, process, address: this.#word(address), pages: this.#some(pages) }];
      case "write":
        return [
          {
            op: name,
            process,
            address: this.#word(address),
            pages: this.#some(pages),
            value: 1 + random.below(2 ** 31),
          },
        ];
      case "mprotect":
        return [{ op: name, process, address, length, prot: random.pick(PROTS) }];
      case "munmap":
        return [{ op: name, process, address, length }];
      case "mlock":
      case "munlock":
        return [{ op: name, process, address, length }];
      case "mremap":
        return [this.#mremap(process, address, pages)];
      case "madvise":
        return [{ op: name, process, address, length, advice: this.#advice() }];
      case "fork":
        return [this.#fork(process)];
      case "exit":
        this.#ranges.delete(process);
        return [{ op: name, process }];
      case "msync":
        return [{ op: name, process, address, length, flags: random.pick(SYNCS) }];
      case "pin":
        return [{ op: name, process, address, length, slot: random.below(PINS) }];
      case "unpin":
        return [{ op: name, process, slot: random.below(PINS) }];
      case "directRead": {
        const file = this.#file();
        const offset = random.below(20) * PAGE;
        return [{ op: name, process, address, length: this.#some(pages) * PAGE, offset, file }];
      }
      case "pread":
      case "pwrite":
      case "truncate":
      case "punch":
        return [this.#fileOp(name, process)];
    }
  }

  /** Pages to touch: mostly few, sometimes all. */
  #some(pages: number): number {
    return this.#random.percent(30) ? pages : 1 + this.#random.below(Math.min(pages, 8));
  }

  #word(address: number): number {
    return address + 4 * this.#random.below(PAGE / 4);
  }

  /** A range to work on: usually part of one that was mapped. */
  #target(process: number): Range {
    const random = this.#random;
    const known = this.#ranges.get(process) ?? [];
    if (known.length === 0 || random.percent(10)) return this.#anywhere();
    const range = random.pick(known);
    if (random.percent(30)) return range;
    const unit = range.hugetlb && random.percent(80) ? HUGE_PAGES : 1;
    const units = Math.floor(range.pages / unit);
    const first = random.below(units);
    const most = random.percent(70) ? Math.min(units - first, 8) : units - first;
    return {
      address: range.address + first * unit * PAGE,
      pages: (1 + random.below(most)) * unit,
      hugetlb: range.hugetlb,
    };
  }

  #anywhere(): Range {
    const random = this.#random;
    if (random.percent(70)) {
      const first = random.below(ARENAS[0].used);
      const pages = 1 + random.below(Math.min(16, ARENAS[0].used - first));
      return { address: ARENAS[0].start + first * PAGE, pages, hugetlb: false };
    }
    return this.#wide(random.percent(70));
  }

  /** A range of the wide arena: whole huge pages, or small and anywhere in it. */
  #wide(aligned: boolean): Range {
    const random = this.#random;
    const { start, used: pages } = ARENAS[1];
    if (aligned) {
      const all = pages / HUGE_PAGES;
      const first = random.below(all);
      const count = 1 + random.below(Math.min(2, all - first));
      return { address: start + first * HUGE, pages: count * HUGE_PAGES, hugetlb: false };
    }
    const first = random.below(pages - 600);
    const count = random.percent(50) ? 1 + random.below(32) : 1 + random.below(600);
    return { address: start + first * PAGE, pages: count, hugetlb: false };
  }

  #file(): number {
    const kinds: number[] = [];
    if (this.#has("tmpfs")) kinds.push(TMPFS, TMPFS, HOLE);
    if (this.#has("disk")) kinds.push(DISK, DISK);
    return kinds.length === 0 ? -1 : this.#random.pick(kinds);
  }

  #mmap(process: number): Op[] {
    const random = this.#random;
    const place = this.#anywhere();
    const large = place.pages >= HUGE_PAGES;
    const hugetlb =
      large && place.pages % HUGE_PAGES === 0 && this.#has("hugetlb") && random.percent(15);
    const file = hugetlb || random.percent(large ? 75 : 50) ? -1 : this.#file();
    const shared = this.#has("shared") && random.percent(35);
    let flags = shared ? k.MAP_SHARED : k.MAP_PRIVATE;
    flags |= random.percent(88) ? k.MAP_FIXED : k.MAP_FIXED_NOREPLACE;
    if (file < 0) flags |= k.MAP_ANONYMOUS;
    if (hugetlb) flags |= k.MAP_HUGETLB;
    if (random.percent(8)) flags |= k.MAP_POPULATE;
    if (random.percent(8)) flags |= k.MAP_NORESERVE;
    const { address, pages } = place;
    const pageOffset = file === HOLE && large ? random.below(2) * HUGE_PAGES : random.below(6);
    const range = { address, pages, hugetlb };
    this.#ranges.get(process)?.push(range);
    const op: Op = {
      op: "mmap",
      process,
      address,
      length: pages * PAGE,
      prot: random.percent(50) ? k.PROT_READ | k.PROT_WRITE : random.pick(PROTS),
      flags,
      file,
      offset: file < 0 ? 0 : pageOffset * PAGE,
    };
    const advised = this.#has("thp") && this.#taste.without?.has("madvise") !== true;
    const wantsHuge = large && !hugetlb && advised && random.percent(60);
    if (!wantsHuge) return [op];
    return [op, { op: "madvise", process, address, length: pages * PAGE, advice: k.MADV_HUGEPAGE }];
  }

  #mremap(process: number, wanted: number, pages: number): Op {
    const random = this.#random;
    // Moving part of a private hugetlb mapping makes 6.18 lose its reservation for
    // good, 2 MiB of the machine each time: only refusals are tried there.
    const address = this.#isHugetlb(process, wanted, pages) ? offHuge(wanted) : wanted;
    const small = address < ARENAS[0].start + ARENAS[0].used * PAGE;
    const place = this.#anywhere();
    const way = random.below(5);
    let newPages = way < 2 || random.percent(30) ? 1 + random.below(Math.max(pages + 4, 8)) : pages;
    // Moving where the kernel likes is left to the small arena: where it goes decides
    // whether huge pages stay whole, and that depends on what else the process has.
    const move = way === 1 ? (small ? k.MREMAP_MAYMOVE : 0) : k.MREMAP_MAYMOVE | k.MREMAP_FIXED;
    const room = endOfArena(way < 2 ? address : place.address);
    newPages = Math.max(1, Math.min(newPages, room));
    const flags = way === 0 ? 0 : way === 4 ? move | k.MREMAP_DONTUNMAP : move;
    if (flags & k.MREMAP_FIXED)
      this.#ranges.get(process)?.push({ address: place.address, pages: newPages, hugetlb: false });
    return {
      op: "mremap",
      process,
      address,
      length: pages * PAGE,
      newLength: newPages * PAGE,
      flags,
      newAddress: flags & k.MREMAP_FIXED ? place.address : 0,
    };
  }

  #isHugetlb(process: number, address: number, pages: number): boolean {
    const overlaps = (r: Range): boolean =>
      r.hugetlb && r.address < address + pages * PAGE && address < r.address + r.pages * PAGE;
    return (this.#ranges.get(process) ?? []).some(overlaps);
  }

  #advice(): number {
    const choices: [number, number, Feature?][] = [
      [8, k.MADV_DONTNEED],
      [5, k.MADV_FREE],
      [3, k.MADV_HUGEPAGE, "thp"],
      [1, k.MADV_NOHUGEPAGE],
      [3, k.MADV_COLLAPSE, "collapse"],
      [2, k.MADV_COLD, "reclaim"],
      [2, k.MADV_PAGEOUT, "reclaim"],
      [3, k.MADV_POPULATE_READ],
      [4, k.MADV_POPULATE_WRITE],
    ];
    const possible = choices.filter(([, , feature]) => feature === undefined || this.#has(feature));
    return this.#random.weighted(possible.map(([weight, advice]) => [weight, advice]));
  }

  #fork(process: number): Op {
    const child = ++this.#forked;
    this.#ranges.set(child, [...(this.#ranges.get(process) ?? [])]);
    return { op: "fork", process, child };
  }

  #fileOp(name: "pread" | "pwrite" | "truncate" | "punch", process: number): Op {
    const random = this.#random;
    const file = this.#file();
    const whole = random.percent(40);
    const page = file === HOLE && random.percent(60) ? random.below(1024) : random.below(28);
    const offset = page * PAGE + (whole ? 0 : random.below(PAGE));
    // Not across a page: ext4 would make a large folio of a longer write.
    const within = 1 + random.below(PAGE - (offset % PAGE));
    const pages = 1 + random.below(4);
    switch (name) {
      case "pread":
        return { op: name, process, file, offset, length: whole ? pages * PAGE : within };
      case "pwrite":
        return {
          op: name,
          process,
          file,
          offset,
          length: whole ? PAGE : within,
          value: random.below(256),
        };
      case "truncate":
        return { op: name, process, file, size: random.percent(20) ? FILES[file].size : offset };
      case "punch":
        return {
          op: name,
          process,
          file,
          offset,
          length: whole ? pages * PAGE : within + random.below(3 * PAGE),
          mode: k.FALLOC_KEEP_SIZE | k.FALLOC_PUNCH_HOLE,
        };
    }
  }
}

/** The address, or the page after it where a huge page begins there. */
const offHuge = (address: number): number => (address % HUGE === 0 ? address + PAGE : address);

/** Pages from an address to the end of its arena's used part; 0 outside. */
function endOfArena(address: number): number {
  for (const { start, used } of ARENAS)
    if (address >= start && address < start + used * PAGE) return (start - address) / PAGE + used;
  return 0;
}

const SYNCS = [k.MS_SYNC, k.MS_ASYNC, 0, k.MS_SYNC | k.MS_INVALIDATE];
