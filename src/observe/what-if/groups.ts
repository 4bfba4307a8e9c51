/**
 * A machine as a bill of materials: how many objects of each sort it has, apart
 * from where they lie. What-ifs change the bill; `layout.ts` builds a machine
 * from it again.
 */
import { FLAGS_VARY, VARIES, type ObjectRuns } from "../objects.js";
import { kindId, kindOf, type Kind } from "../kinds.js";
import { KPF, low } from "../kpageflags.js";
import type { FlagWords, Snapshot } from "../snapshot.js";

/** Equal objects. */
export interface Group {
  readonly kind: Kind;
  readonly pages: number;
  /** Indices of the head's and the tails' flag words. */
  readonly head: number;
  readonly tail: number;
  readonly mapcount: number;
  readonly cgroup: number;
  readonly count: number;
}

/** Frames that stay where they are. */
export interface Fixed {
  readonly start: number;
  readonly end: number;
  readonly kind: Kind;
  readonly head: number;
}

/** The bill of a machine; `words` grows when a what-if needs flags nobody has. */
export interface Bill {
  readonly groups: readonly Group[];
  readonly fixed: readonly Fixed[];
  readonly words: Words;
}

/** Flag words that can be added to. */
export class Words {
  readonly #lo: number[];
  readonly #hi: number[];

  constructor(words: FlagWords) {
    this.#lo = [...words.lo.subarray(0, words.length)];
    this.#hi = [...words.hi.subarray(0, words.length)];
  }

  /** Index of a word, added if nobody has it yet. */
  index(lo: number, hi: number): number {
    const at = this.#lo.findIndex((l, i) => l === lo >>> 0 && this.#hi[i] === hi >>> 0);
    if (at >= 0) return at;
    this.#hi.push(hi >>> 0);
    return this.#lo.push(lo >>> 0) - 1;
  }

  lo(index: number): number {
    return this.#lo[index];
  }

  hi(index: number): number {
    return this.#hi[index];
  }

  flagWords(): FlagWords {
    return {
      length: this.#lo.length,
      lo: Uint32Array.from(this.#lo),
      hi: Uint32Array.from(this.#hi),
    };
  }
}

/** Kinds that are shown page by page: a stretch of them is what counts as one thing. */
export const STRETCHES: ReadonlySet<Kind> = new Set([
  "kernel",
  "reserved",
  "offline",
  "hwpoison",
  "uninitialised",
]);

/**
 * The bill of a snapshot. Kinds in `stay` keep their frames; free frames are no
 * part of it. Where map counts or tails differ within an object, it counts as
 * mapped once and its tails show what its head shows.
 */
export function billOf(snapshot: Snapshot, objects: ObjectRuns, stay: ReadonlySet<Kind>): Bill {
  const words = new Words(snapshot.flagWords);
  const groups = new Map<string, Group>();
  const fixed: Fixed[] = [];
  const free = kindId("free");
  for (let i = 0; i < objects.length; i++) {
    const kind = kindOf(objects.kind[i]);
    const start = objects.start[i];
    const pages = objects.pages[i];
    if (objects.kind[i] === free) continue;
    if (stay.has(kind)) {
      fixed.push({
        start,
        end: start + objects.count[i] * pages,
        kind,
        head: objects.headFlags[i],
      });
      continue;
    }
    const head = objects.headFlags[i];
    const tail = objects.tailFlags[i] === FLAGS_VARY ? tailLike(words, head) : objects.tailFlags[i];
    const mapcount = objects.mapcount[i] === VARIES ? 1 : objects.mapcount[i];
    const key = `${kind} ${pages} ${head} ${tail} ${mapcount} ${objects.cgroup[i]}`;
    const before = groups.get(key)?.count ?? 0;
    groups.set(key, {
      kind,
      pages,
      head,
      tail,
      mapcount,
      cgroup: objects.cgroup[i],
      count: before + objects.count[i],
    });
  }
  return { groups: [...groups.values()], fixed, words };
}

/** The tail word that goes with a head's. */
export function tailLike(words: Words, head: number): number {
  return words.index(
    (words.lo(head) & ~low(KPF.COMPOUND_HEAD)) | low(KPF.COMPOUND_TAIL),
    words.hi(head),
  );
}
