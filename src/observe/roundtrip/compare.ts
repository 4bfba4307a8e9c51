/**
 * The round trip: kpageflags and kpagecount of the machine against what came in,
 * frame by frame.
 *
 * Left out and counted: frames that hold the machine's own metadata, frames
 * whose words contradict each other in the source, frames without a page
 * structure. A bit that the design has no place for is a loss, counted by bit
 * and reason; anything else that differs is a difference.
 */
import { T_BUDDY, T_MISC } from "../../engine/design/word/axis-types.js";
import type { Machine } from "../../engine/machine.js";
import { BIT_NAMES, hasBit, KPF } from "../kpageflags.js";
import { kindId, type Kind, KINDS } from "../kinds.js";
import { VARIES, type Classification } from "../objects.js";
import type { Snapshot } from "../snapshot.js";
import { holdsMapcount, lossesOf, type Loss } from "./losses.js";
import type { Populated } from "./populate.js";
import { WriteBack, type Dialect } from "./write-back.js";

export interface Difference {
  readonly pfn: number;
  readonly file: "kpageflags" | "kpagecount";
  readonly expected: string;
  readonly got: string;
}

export interface LostBit {
  readonly bit: string;
  readonly frames: number;
  readonly why: string;
}

export interface Comparison {
  readonly compared: number;
  readonly leftOut: readonly { readonly why: string; readonly frames: number }[];
  readonly differences: number;
  /** The first few. */
  readonly first: readonly Difference[];
  readonly lost: readonly LostBit[];
}

const SHOWN = 8;
const ABSENT = kindId("absent");

/** Frames that hold metadata in the machine, by the kind that the source shows there. */
export function metadataFrames(populated: Populated): { kind: Kind; frames: number }[] {
  const counts = new Map<Kind, number>();
  const add = (kind: Kind, frames: number) => counts.set(kind, (counts.get(kind) ?? 0) + frames);
  let left = populated.pageArrayFrames;
  for (const r of populated.setAside) {
    const frames = Math.min(left, r.end - r.start);
    if (frames > 0) add(r.kind, frames);
    left -= frames;
  }
  if (left > 0) add("free", left);
  const aside = populated.setAside.toSorted((a, b) => a.start - b.start);
  populated.machine.heap.forEachFrame((pfn) => {
    const range = rangeOf(aside, pfn);
    add(range?.kind ?? "free", 1);
  });
  return KINDS.flatMap((kind) =>
    counts.has(kind) ? [{ kind, frames: counts.get(kind) ?? 0 }] : [],
  );
}

function rangeOf<R extends { readonly start: number; readonly end: number }>(
  sorted: readonly R[],
  pfn: number,
): R | undefined {
  let lo = 0;
  let hi = sorted.length - 1;
  while (lo <= hi) {
    const mid = (lo + hi) >> 1;
    if (pfn < sorted[mid].start) hi = mid - 1;
    else if (pfn >= sorted[mid].end) lo = mid + 1;
    else return sorted[mid];
  }
  return undefined;
}

const OUT_METADATA = 1;
const OUT_TORN = 2;
const OUT_ABSENT = 3;
const OUT_DISAGREE = 4;
const REASONS = [
  "",
  "metadata: frames of page structures and descriptors",
  "torn: words that contradict each other, the source was live while it was read",
  "absent: no page structure",
  "mapped according to one file and not to the other",
];

/** Compares every frame; the machine must have been populated from this snapshot. */
export function compare(
  populated: Populated,
  snapshot: Snapshot,
  classification: Classification,
): Comparison {
  return new Comparing(populated, snapshot, classification).run();
}

class Comparing {
  readonly #machine: Machine;
  readonly #snapshot: Snapshot;
  readonly #classification: Classification;
  readonly #writer: WriteBack;
  readonly #dialect: Dialect;
  readonly #out: Uint8Array;
  readonly #outFrames = new Float64Array(REASONS.length);
  readonly #lost = new Map<string, { bit: string; why: string; frames: number }>();
  readonly #losses = new Map<number, readonly Loss[]>();
  readonly #first: Difference[] = [];
  #differences = 0;
  #compared = 0;

  constructor(populated: Populated, snapshot: Snapshot, classification: Classification) {
    this.#machine = populated.machine;
    this.#snapshot = snapshot;
    this.#classification = classification;
    this.#dialect = {
      tailFlags: classification.tailFlags,
      ksmOnEveryAnon: classification.ksmUnknown,
    };
    this.#writer = new WriteBack(populated.machine.design, this.#dialect);
    this.#out = new Uint8Array(snapshot.frames);
    this.#leaveOut(populated);
  }

  #leaveOut(populated: Populated): void {
    const { objects, torn } = this.#classification;
    for (let i = 0; i < objects.length; i++) {
      const end = objects.start[i] + objects.count[i] * objects.pages[i];
      if (objects.kind[i] === ABSENT && populated.images.of(i) === null)
        this.#out.fill(OUT_ABSENT, objects.start[i], end);
      else if (this.#disagrees(i)) this.#out.fill(OUT_DISAGREE, objects.start[i], end);
    }
    for (const r of torn.runs) this.#out.fill(OUT_TORN, r.start, r.end);
    for (const r of populated.setAside) this.#out.fill(OUT_METADATA, r.start, r.end);
    this.#machine.heap.forEachFrame((pfn) => {
      this.#out[pfn] = OUT_METADATA;
    });
  }

  /** A page that is mapped by its flags and not by its count, or the other way round. */
  #disagrees(i: number): boolean {
    const { objects, tailFlags } = this.#classification;
    if (!this.#snapshot.hasMapcount || objects.mapcount[i] === VARIES) return false;
    const { lo, hi } = this.#snapshot.flagWords;
    const word = objects.headFlags[i];
    if (tailFlags === "own" && objects.pages[i] > 1) return false;
    return hasBit(lo[word], hi[word], KPF.MMAP) !== objects.mapcount[i] > 0;
  }

  run(): Comparison {
    const { runs } = this.#snapshot;
    for (let run = 0; run < runs.length; run++) {
      for (let pfn = runs.start[run]; pfn < runs.start[run + 1]; pfn++) {
        const out = this.#out[pfn];
        if (out !== 0) this.#outFrames[out]++;
        else this.#frame(pfn, run);
      }
    }
    const leftOut = REASONS.flatMap((why, i) =>
      this.#outFrames[i] > 0 ? [{ why, frames: this.#outFrames[i] }] : [],
    );
    const lost = [...this.#lost.values()].toSorted((a, b) => b.frames - a.frames);
    return {
      compared: this.#compared,
      leftOut,
      differences: this.#differences,
      first: this.#first,
      lost,
    };
  }

  #frame(pfn: number, run: number): void {
    this.#compared++;
    const { flagWords, runs } = this.#snapshot;
    const word = runs.flags[run];
    const lo = this.#writer.flags(pfn);
    const hi = this.#writer.hi;
    const wantLo = flagWords.lo[word] | 0;
    const wantHi = flagWords.hi[word] | 0;
    if (lo !== wantLo || hi !== wantHi) this.#flagsDiffer(pfn, wantLo, wantHi, lo, hi);
    if (!this.#snapshot.hasMapcount) return;
    const want = runs.mapcount[run];
    const got = this.#writer.count(pfn);
    if (got !== want) this.#countDiffers(pfn, want, got);
  }

  #flagsDiffer(pfn: number, wantLo: number, wantHi: number, lo: number, hi: number): void {
    const { design } = this.#machine;
    const type = design.typeOf(pfn);
    const subtype = type === T_MISC ? design.subtypeOf(pfn) : 0;
    const tail = type !== T_BUDDY && design.blockOf(pfn) !== pfn;
    const key = (type << 8) | (subtype << 1) | (tail ? 1 : 0);
    let losses = this.#losses.get(key);
    if (losses === undefined) {
      losses = lossesOf(design, type, subtype, tail, this.#dialect.tailFlags === "own");
      this.#losses.set(key, losses);
    }
    let missLo = wantLo & ~lo;
    let missHi = wantHi & ~hi;
    for (const loss of losses) {
      this.#lose(missLo & loss.lo, missHi & loss.hi, loss.why);
      missLo &= ~loss.lo;
      missHi &= ~loss.hi;
    }
    const extra = (lo & ~wantLo) | (hi & ~wantHi);
    if ((missLo | missHi | extra) !== 0)
      this.#differ(pfn, "kpageflags", hex(wantLo, wantHi), hex(lo, hi));
  }

  #lose(lo: number, hi: number, why: string): void {
    if ((lo | hi) === 0) return;
    for (let bit = 0; bit < 64; bit++) {
      if (!hasBit(lo, hi, bit)) continue;
      const name = BIT_NAMES[bit] ?? `bit ${bit}`;
      const key = `${name}: ${why}`;
      const row = this.#lost.get(key) ?? { bit: name, why, frames: 0 };
      row.frames++;
      this.#lost.set(key, row);
    }
  }

  #countDiffers(pfn: number, want: number, got: number): void {
    const { design } = this.#machine;
    const holds = holdsMapcount(design, design.typeOf(pfn));
    if (holds === "none" && got === 0) return this.#loseCount("only folios are counted");
    if (holds === "average" && got === this.#average(pfn))
      return this.#loseCount("one count per folio: the average of its pages");
    this.#differ(pfn, "kpagecount", String(want), String(got));
  }

  #loseCount(why: string): void {
    const key = `kpagecount: ${why}`;
    const row = this.#lost.get(key) ?? { bit: "kpagecount", why, frames: 0 };
    row.frames++;
    this.#lost.set(key, row);
  }

  /** The average that the source's own counts give for the folio of this page. */
  #average(pfn: number): number {
    const { design } = this.#machine;
    const start = design.blockOf(pfn);
    const pages = 2 ** design.orderOf(pfn);
    let total = 0;
    const { runs } = this.#snapshot;
    let run = runAt(runs.start, runs.length, start);
    for (let at = start; at < start + pages; run++) {
      const end = Math.min(start + pages, runs.start[run + 1]);
      total += runs.mapcount[run] * (end - at);
      at = end;
    }
    return total === 0 ? 0 : Math.max(1, Math.floor((total + pages / 2) / pages));
  }

  #differ(pfn: number, file: Difference["file"], expected: string, got: string): void {
    this.#differences++;
    if (this.#first.length < SHOWN) this.#first.push({ pfn, file, expected, got });
  }
}

/** Run that frame `pfn` is in. */
function runAt(start: Uint32Array, length: number, pfn: number): number {
  let lo = 0;
  let hi = length - 1;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (start[mid] <= pfn) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}

const hex = (lo: number, hi: number): string =>
  `0x${(hi >>> 0).toString(16).padStart(8, "0")}${(lo >>> 0).toString(16).padStart(8, "0")}`;
