/**
 * What is compared after every step: the common shape of what a kernel shows,
 * live or simulated.
 *
 * A state is one array of 32-bit words (equal states are equal arrays; the
 * layout is that of executor/observe.c and frames.c):
 *
 *     per file: size in bytes, runs, then (first page, pages) of what is cached
 *     hugetlb pool: free, reserved (−1 where there is none)
 *     processes, then for each its number, seven counters in pages, and
 *       VMAs: count, then (page, pages, permissions | backing << 8, offset in pages)
 *       runs: count, then (page, pages, folio, index, map count, bits, order | stride << 8)
 *
 * A page is an address / 4096. Frames have no numbers of their own: a folio is
 * numbered when it is first seen (processes in order of their start, addresses
 * upwards), a page of it by its index. Equal numbers are one frame.
 */
import { ARENAS, PAGE } from "./program.js";

/** Bits of a page, by the name used in reports. /proc/PID/pagemap, then kpageflags. */
export const PAGE_BITS = {
  present: 1,
  swap: 2,
  /** Of a file or shared memory: pagemap bit 61. */
  file: 4,
  /** Mapped once: pagemap bit 56. */
  exclusive: 8,
  /** Mapped by a PMD: PAGEMAP_SCAN's PAGE_IS_HUGE. */
  "huge-mapped": 16,
  /** The same frame as before the step. */
  kept: 32,
  /** A guard region: pagemap bit 58. */
  guard: 64,
  referenced: 1 << 8,
  uptodate: 1 << 9,
  dirty: 1 << 10,
  lru: 1 << 11,
  active: 1 << 12,
  anon: 1 << 13,
  swapcache: 1 << 14,
  swapbacked: 1 << 15,
  head: 1 << 16,
  tail: 1 << 17,
  hugetlb: 1 << 18,
  unevictable: 1 << 19,
  ksm: 1 << 20,
  thp: 1 << 21,
  zero: 1 << 22,
  mlocked: 1 << 23,
  /** PG_anon_exclusive of an anonymous folio's first page: kpageflags bit 34. */
  "anon-exclusive": 1 << 24,
  locked: 1 << 25,
  writeback: 1 << 26,
  reclaim: 1 << 27,
} as const;
export type PageBit = keyof typeof PAGE_BITS;

/** Frames whose flags have histories of their own. */
export type FrameKind = "any" | "zero" | "hugetlb";

/**
 * kpageflags that two runs of one program on one kernel do not always agree on,
 * and why. Found by running the kernel against itself; left out on both sides.
 *
 * Not left out, although about one step in 50,000 disagrees: `referenced` and
 * `active` of file pages in steps that touch hundreds of them. Marking a page
 * depends on whether it has left its CPU's batch (lru_add), which other tasks of
 * that CPU can bring forward. A campaign runs such a program again.
 */
export const NOISE: Readonly<Record<FrameKind, Readonly<Partial<Record<PageBit, string>>>>> = {
  any: {},
  zero: {
    referenced: "the zero page is one for the whole machine, marked by whoever touched it",
  },
  hugetlb: {
    referenced: "a page of the pool keeps the flags of its last user",
    dirty: "a page of the pool keeps the flags of its last user",
  },
};

const ALL_FLAGS = Object.values(PAGE_BITS)
  .filter((bit) => bit >= 1 << 8)
  .reduce((mask, bit) => mask | bit, 0);

function maskOf(...kinds: readonly FrameKind[]): number {
  const noise = new Set(kinds.flatMap((kind) => Object.keys(NOISE[kind])));
  const left = Object.entries(PAGE_BITS).filter(([name]) => noise.has(name));
  return left.reduce((mask, [, bit]) => mask & ~bit, ALL_FLAGS);
}

/** Bits of kpageflags that are compared: of frames in general, the zero page, hugetlb. */
export const FLAG_MASKS: readonly [any: number, zero: number, hugetlb: number] = [
  maskOf("any"),
  maskOf("any", "zero"),
  maskOf("any", "hugetlb"),
];

/** The bits of a page without what is noise for its kind. */
export function withoutNoise(bits: number): number {
  const [any, zero, hugetlb] = FLAG_MASKS;
  const mask = bits & PAGE_BITS.zero ? zero : bits & PAGE_BITS.hugetlb ? hugetlb : any;
  return bits & (mask | ~ALL_FLAGS);
}

/** A process's counters, in pages, without what lies outside the arenas. */
export const COUNTERS = [
  "RssAnon",
  "RssFile",
  "RssShmem",
  "HugetlbPages",
  "VmLck",
  "VmPin",
  "page tables",
] as const;

/** Backing of a VMA: none, test file 0 … 2 as 1 … 3, other objects from 16 as they appear. */
export const BACKING_NONE = 0;
export const BACKING_OTHER = 16;

export interface Vma {
  /** Address / 4096. */
  readonly page: number;
  readonly pages: number;
  /** r 1, w 2, x 4, shared 8. */
  readonly permissions: number;
  readonly backing: number;
  /** Pages into the backing. */
  readonly offset: number;
}

/** One mapped page. */
export interface PageState {
  readonly page: number;
  readonly bits: number;
  /** −1 for a page that is not present. */
  readonly folio: number;
  readonly index: number;
  readonly order: number;
  /** /proc/kpagecount. */
  readonly mapCount: number;
}

export interface ProcessState {
  readonly number: number;
  /** In the order of COUNTERS. */
  readonly counters: readonly number[];
  readonly vmas: readonly Vma[];
  readonly pages: readonly PageState[];
}

export interface FileState {
  /** Bytes. */
  readonly size: number;
  /** First page and count of each run of cached pages. */
  readonly cached: readonly (readonly [first: number, pages: number])[];
}

export interface State {
  readonly files: readonly FileState[];
  readonly pool: { readonly free: number; readonly reserved: number };
  readonly processes: readonly ProcessState[];
}

/** What a step answered. Errors are positive errno, 0 where it succeeded. */
export interface Result {
  readonly error: number;
  /** Address / 4096, bytes done, or a hash; 0 where there is nothing to tell. */
  readonly value: number;
  /** 7 SIGBUS, 9 the process was killed, 11 SIGSEGV; 0 for none. */
  readonly signal: number;
  /** si_code of the signal. */
  readonly code: number;
  /** Index of the page of the touch that raised it. */
  readonly page: number;
}

export const NO_RESULT: Result = { error: 0, value: 0, signal: 0, code: 0, page: 0 };

/** A result and the state after it, as words. */
export interface TraceStep {
  readonly result: Result;
  readonly state: Int32Array;
}

const RUN_WORDS = 7;

/** Reads a state from its words. Throws RangeError where they end too early. */
export function decodeState(words: Int32Array, files: number): State {
  let at = 0;
  const next = (): number => {
    if (at >= words.length) throw new RangeError("a state ends too early");
    return words[at++];
  };
  const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);
  const fileStates = times(files, () => ({
    size: next(),
    cached: times(next(), (): readonly [number, number] => [next(), next()]),
  }));
  const pool = { free: next(), reserved: next() };
  const processes = times(next(), () => ({
    number: next(),
    counters: times(COUNTERS.length, next),
    vmas: times(next(), (): Vma => {
      const [page, pages, word, offset] = [next(), next(), next(), next()];
      return { page, pages, permissions: word & 15, backing: word >> 8, offset };
    }),
    pages: times(next(), () => expandRun(times(RUN_WORDS, next))).flat(),
  }));
  return { files: fileStates, pool, processes };
}

function expandRun(run: readonly number[]): PageState[] {
  const [page, pages, folio, index, mapCount, bits, last] = run;
  const [order, stride] = [last & 0xff, last >> 8];
  return Array.from({ length: pages }, (_, i) => ({
    page: page + i,
    bits,
    folio: stride === 2 ? folio + i : folio,
    index: stride === 1 ? index + i : index,
    order,
    mapCount,
  }));
}

/** The names of a page's bits, joined by blanks. */
export function bitNames(bits: number): string {
  const names = Object.entries(PAGE_BITS).filter(([, bit]) => bits & bit);
  return names.map(([name]) => name).join(" ") || "nothing";
}

/** A page as programs write it: `a+3p`. */
export function pageName(page: number): string {
  const arena = ARENAS.find(
    ({ start, pages }) => page >= start / PAGE && page < start / PAGE + pages,
  );
  return arena === undefined
    ? `0x${(page * PAGE).toString(16)}`
    : `${arena.name}+${page - arena.start / PAGE}p`;
}
