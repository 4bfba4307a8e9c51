/**
 * Page files → runs: consumes kpageflags, kpagecount and kpagecgroup in
 * lockstep and keeps the longest stretches of equal frames.
 *
 * The three files are arrays of 64-bit little-endian words, one per frame
 * (Documentation/admin-guide/mm/pagemap.rst). The inner loop only compares
 * 32-bit halves with those of the current run; a dictionary is asked once per
 * run, so its cost goes with variety. Distinct flag words get numbers in the
 * order of their first appearance, in an open-addressing table.
 */
import { pageCount } from "../units.js";
import { InputError } from "./input-error.js";
import type { FlagWords, Note, PageRuns } from "./snapshot.js";

/** Flag words that fit the 16-bit column; 0xffff stays free as a mark. */
export const MAX_FLAG_WORDS = 65_535;
/** Cgroups that fit the 16-bit column; 0xffff stays free (CGROUP_VARIES). */
export const MAX_CGROUPS = 65_535;
/** Largest map count a run can hold; 2^32 − 1 stays free (VARIES). */
export const MAX_MAPCOUNT = 0xfffffffe;
/** Frames a snapshot can cover: 16 TiB, the reach of a Pfn. */
export const MAX_FRAMES = 2 ** 32 - 1;

/** Numbers for distinct 64-bit words, in order of first appearance. */
export class WordDictionary {
  length = 0;
  lo = new Uint32Array(256);
  hi = new Uint32Array(256);
  private table = new Int32Array(1024).fill(-1);

  /** Number of the word; new words are added. */
  intern(lo: number, hi: number): number {
    const mask = this.table.length - 1;
    let at = hash(lo, hi) & mask;
    for (;;) {
      const index = this.table[at];
      if (index < 0) break;
      if (this.lo[index] === lo && this.hi[index] === hi) return index;
      at = (at + 1) & mask;
    }
    const index = this.length++;
    if (index === this.lo.length) {
      this.lo = grown(this.lo, index);
      this.hi = grown(this.hi, index);
    }
    this.lo[index] = lo;
    this.hi[index] = hi;
    this.table[at] = index;
    if (this.length * 2 > this.table.length) this.rehash();
    return index;
  }

  private rehash(): void {
    const table = new Int32Array(this.table.length * 2).fill(-1);
    const mask = table.length - 1;
    for (let i = 0; i < this.length; i++) {
      let at = hash(this.lo[i], this.hi[i]) & mask;
      while (table[at] >= 0) at = (at + 1) & mask;
      table[at] = i;
    }
    this.table = table;
  }

  words(): FlagWords {
    return {
      length: this.length,
      lo: this.lo.slice(0, this.length),
      hi: this.hi.slice(0, this.length),
    };
  }
}

function hash(lo: number, hi: number): number {
  const h = Math.imul(lo ^ (hi >>> 15) ^ (hi << 13), 0x9e3779b1);
  return (h ^ (h >>> 15)) >>> 0;
}

function grown(column: Uint32Array, used: number): Uint32Array<ArrayBuffer> {
  const next = new Uint32Array(Math.max(16, used * 2));
  next.set(column.subarray(0, used));
  return next;
}

function grown16(column: Uint16Array, used: number): Uint16Array<ArrayBuffer> {
  const next = new Uint16Array(Math.max(16, used * 2));
  next.set(column.subarray(0, used));
  return next;
}

/** What the builder makes, before a source wraps it into a snapshot. */
export interface BuiltPages {
  readonly frames: number;
  readonly flagWords: FlagWords;
  readonly cgroups: readonly number[];
  readonly runs: PageRuns;
  /** Frames whose map count was beyond {@link MAX_MAPCOUNT} and is held as that. */
  readonly clampedMapcounts: number;
}

export class PageRunsBuilder {
  private frames = 0;
  private length = 0;
  private start = new Uint32Array(4096);
  private flags = new Uint16Array(4096);
  private mapcount = new Uint32Array(4096);
  private cgroup = new Uint16Array(4096);
  private readonly words = new WordDictionary();
  private readonly cgroupWords = new WordDictionary();
  private clamped = 0;
  /** Where the open run of raw words began; a held run may have begun before. */
  private openedAt = 0;
  // The raw words of the run that is open, to go on with it in the next chunk.
  private flo = 0;
  private fhi = 0;
  private clo = 0;
  private chi = 0;
  private glo = 0;
  private ghi = 0;

  constructor() {
    this.cgroupWords.intern(0, 0);
  }

  /**
   * Takes the next `n` frames. Each array holds 2n halves, low half first;
   * `counts` or `cgroups` null means that the file is not there (all zero).
   */
  push(
    n: number,
    flags: Uint32Array,
    counts: Uint32Array | null,
    cgroups: Uint32Array | null,
  ): void {
    if (n === 0) return;
    if (this.frames + n > MAX_FRAMES) {
      throw new InputError(
        { file: "kpageflags", offset: MAX_FRAMES * 8 },
        "more than 2^32 − 1 frames (16 TiB)",
      );
    }
    const f = signed(flags);
    if (this.length === 0)
      this.open(
        0,
        flags[0],
        flags[1],
        counts?.[0] ?? 0,
        counts?.[1] ?? 0,
        cgroups?.[0] ?? 0,
        cgroups?.[1] ?? 0,
      );
    if (counts === null && cgroups === null) this.scanFlags(n, f);
    else
      this.scan(
        n,
        f,
        counts ? signed(counts) : zeros(2 * n),
        cgroups ? signed(cgroups) : zeros(2 * n),
      );
    this.frames += n;
  }

  // Signed halves, compared with one branch a frame: that is half as fast
  // again as comparing unsigned ones one by one.
  private scan(n: number, f: Int32Array, c: Int32Array, g: Int32Array): void {
    let flo = this.flo | 0;
    let fhi = this.fhi | 0;
    let clo = this.clo | 0;
    let chi = this.chi | 0;
    let glo = this.glo | 0;
    let ghi = this.ghi | 0;
    const base = this.frames;
    for (let i = 0; i < 2 * n; i += 2) {
      const changed =
        (f[i] ^ flo) |
        (c[i] ^ clo) |
        (f[i + 1] ^ fhi) |
        (g[i] ^ glo) |
        (c[i + 1] ^ chi) |
        (g[i + 1] ^ ghi);
      if (changed === 0) continue;
      flo = f[i];
      fhi = f[i + 1];
      clo = c[i];
      chi = c[i + 1];
      glo = g[i];
      ghi = g[i + 1];
      this.open(base + (i >>> 1), flo >>> 0, fhi >>> 0, clo >>> 0, chi >>> 0, glo >>> 0, ghi >>> 0);
    }
  }

  private scanFlags(n: number, f: Int32Array): void {
    let flo = this.flo | 0;
    let fhi = this.fhi | 0;
    const base = this.frames;
    for (let i = 0; i < 2 * n; i += 2) {
      if (((f[i] ^ flo) | (f[i + 1] ^ fhi)) === 0) continue;
      flo = f[i];
      fhi = f[i + 1];
      this.open(base + (i >>> 1), flo >>> 0, fhi >>> 0, 0, 0, 0, 0);
    }
  }

  /** Ends the open run before frame `at` and begins one with these words. */
  private open(
    at: number,
    flo: number,
    fhi: number,
    clo: number,
    chi: number,
    glo: number,
    ghi: number,
  ): void {
    this.noteClamped(at);
    this.flo = flo;
    this.fhi = fhi;
    this.clo = clo;
    this.chi = chi;
    this.glo = glo;
    this.ghi = ghi;
    const word = this.words.intern(flo, fhi);
    if (word >= MAX_FLAG_WORDS) {
      throw new InputError(
        { file: "kpageflags", offset: at * 8 },
        "more than 65,535 distinct flag words",
        "this does not look like page flags",
      );
    }
    const group = this.cgroupWords.intern(glo, ghi);
    if (group >= MAX_CGROUPS) {
      throw new InputError(
        { file: "kpagecgroup", offset: at * 8 },
        "more than 65,534 distinct cgroups",
      );
    }
    const count = chi !== 0 || clo > MAX_MAPCOUNT ? MAX_MAPCOUNT : clo;
    this.append(at, word, count, group);
  }

  /** Takes the next `n` frames, all with these words; `n` at least 1. */
  pushRun(
    n: number,
    flo: number,
    fhi: number,
    clo: number,
    chi: number,
    glo: number,
    ghi: number,
  ): void {
    if (this.frames + n > MAX_FRAMES) {
      throw new InputError(
        { file: "kpageflags", offset: MAX_FRAMES * 8 },
        "more than 2^32 − 1 frames (16 TiB)",
      );
    }
    this.open(this.frames, flo, fhi, clo, chi, glo, ghi);
    this.frames += n;
  }

  private noteClamped(at: number): void {
    if (this.length > 0 && (this.chi !== 0 || this.clo > MAX_MAPCOUNT)) {
      this.clamped += at - this.openedAt;
    }
    this.openedAt = at;
  }

  /** Adds a run, or nothing where it equals the one before (clamped counts). */
  private append(at: number, word: number, count: number, group: number): void {
    const last = this.length - 1;
    if (
      last >= 0 &&
      this.flags[last] === word &&
      this.mapcount[last] === count &&
      this.cgroup[last] === group
    )
      return;
    if (this.length === this.start.length) {
      this.start = grown(this.start, this.length);
      this.flags = grown16(this.flags, this.length);
      this.mapcount = grown(this.mapcount, this.length);
      this.cgroup = grown16(this.cgroup, this.length);
    }
    const k = this.length++;
    this.start[k] = at;
    this.flags[k] = word;
    this.mapcount[k] = count;
    this.cgroup[k] = group;
  }

  /** Appends what another builder made of the frames that follow these. */
  appendBuilt(next: BuiltPages): void {
    const base = this.frames;
    if (base + next.frames > MAX_FRAMES) {
      throw new InputError(
        { file: "kpageflags", offset: MAX_FRAMES * 8 },
        "more than 2^32 − 1 frames (16 TiB)",
      );
    }
    this.noteClamped(base);
    this.chi = 0;
    this.clo = 0;
    const word = new Uint32Array(next.flagWords.length);
    for (let i = 0; i < word.length; i++)
      word[i] = this.words.intern(next.flagWords.lo[i], next.flagWords.hi[i]);
    if (this.words.length > MAX_FLAG_WORDS) {
      throw new InputError({ file: "kpageflags" }, "more than 65,535 distinct flag words");
    }
    const group = next.cgroups.map((g) =>
      this.cgroupWords.intern(g >>> 0, Math.floor(g / 2 ** 32)),
    );
    if (this.cgroupWords.length > MAX_CGROUPS) {
      throw new InputError({ file: "kpagecgroup" }, "more than 65,534 distinct cgroups");
    }
    const { runs } = next;
    for (let i = 0; i < runs.length; i++) {
      this.append(
        base + runs.start[i],
        word[runs.flags[i]],
        runs.mapcount[i],
        group[runs.cgroup[i]],
      );
    }
    this.clamped += next.clampedMapcounts;
    this.frames += next.frames;
  }

  /** The runs of everything pushed so far; the builder is not used after it. */
  finish(): BuiltPages {
    this.noteClamped(this.frames);
    const n = this.length;
    const start = new Uint32Array(n + 1);
    start.set(this.start.subarray(0, n));
    start[n] = this.frames;
    const groups: number[] = [];
    for (let i = 0; i < this.cgroupWords.length; i++) {
      groups.push(this.cgroupWords.hi[i] * 2 ** 32 + this.cgroupWords.lo[i]);
    }
    return {
      frames: pageCount(this.frames),
      flagWords: this.words.words(),
      cgroups: groups,
      runs: {
        length: n,
        start,
        flags: this.flags.slice(0, n),
        mapcount: this.mapcount.slice(0, n),
        cgroup: this.cgroup.slice(0, n),
      },
      clampedMapcounts: this.clamped,
    };
  }
}

/** The same halves, signed. */
const signed = (halves: Uint32Array): Int32Array =>
  new Int32Array(halves.buffer, halves.byteOffset, halves.length);

let zeroColumn = new Int32Array(0);
/** Halves of a file that is not there. */
function zeros(n: number): Int32Array {
  if (zeroColumn.length < n) zeroColumn = new Int32Array(n);
  return zeroColumn;
}

/** The note about map counts that did not fit, or nothing. */
export function clampNotes(built: BuiltPages): Note[] {
  if (built.clampedMapcounts === 0) return [];
  return [
    {
      subject: "kpagecount",
      text: `${built.clampedMapcounts} frames have a map count above ${MAX_MAPCOUNT}, held as ${MAX_MAPCOUNT}`,
    },
  ];
}
