/**
 * A snapshot ⇄ the frames of a trace: what was held before the first event, and what
 * is really there after the last.
 *
 * Pages on per-CPU lists look like kernel pages in /proc, so an allocation from them
 * comes upon a page that seems to be held; it is known by that. Facts: fixtures
 * ("per-CPU free pages look like kernel pages").
 */
import { kindId, kindOf, KINDS, type Kind, type KindId } from "../../observe/kinds.js";
import type { Classification } from "../../observe/objects.js";
import type { PageCount } from "../../units.js";
import {
  blockWord,
  type Frames,
  isTraced,
  kindOfBlock,
  ORDER_MAX,
  orderOfBlock,
} from "./frames.js";
import { byRule, R_SNAPSHOT } from "./kinds.js";

/** Kinds whose frames nobody can free: firmware, holes, what was never given out. */
const NOBODYS: ReadonlySet<Kind> = new Set<Kind>([
  "free",
  "reserved",
  "zero",
  "offline",
  "hwpoison",
  "uninitialised",
  "metadata",
  "absent",
]);
const IS_HELD = KINDS.map((kind) => !NOBODYS.has(kind));

/** Every object of a snapshot that somebody holds becomes a block. */
export function holdAll(frames: Frames, { objects }: Classification): void {
  for (let i = 0; i < objects.length; i++) {
    if (!IS_HELD[objects.kind[i]]) continue;
    const size = objects.pages[i];
    // A page of 1 GiB is more than an allocation: it is never freed as one.
    const order = Math.min(ORDER_MAX, Math.floor(Math.log2(size)));
    const word = blockWord(order, byRule(objects.kind[i] as KindId, R_SNAPSHOT), false);
    const end = objects.start[i] + objects.count[i] * size;
    for (let pfn = objects.start[i]; pfn < end; pfn += 1 << order) frames.set(pfn, word);
  }
}

/** Kind of every frame of a snapshot. */
export function kindsOfFrames({ objects }: Classification, frames: PageCount): Uint8Array {
  const kinds = new Uint8Array(frames).fill(kindId("absent"));
  for (let i = 0; i < objects.length; i++) {
    const end = objects.start[i] + objects.count[i] * objects.pages[i];
    kinds.fill(objects.kind[i], objects.start[i], end);
  }
  return kinds;
}

/** Pages that stood still while the snapshot was read, by what they were taken for and what they are. */
export interface Accuracy {
  /** Kinds in the order of KINDS that occur on either side. */
  readonly rows: readonly AccuracyRow[];
  /** Pages that the trace allocated, and that are there in both. */
  readonly pages: number;
  readonly right: number;
}

export interface AccuracyRow {
  /** What they were taken for. */
  readonly derived: Kind;
  readonly pages: number;
  readonly right: number;
  /** What the others are, most first. */
  readonly wrong: readonly { readonly kind: Kind; readonly pages: number }[];
  /** Pages that are free in the snapshot: freed between the trace's end and its reading, or unseen. */
  readonly free: number;
}

const FREE = kindId("free");
/** Two names of one kind, as far as an allocation can tell. */
const SAME: Partial<Record<Kind, Kind>> = { ksm: "anon" };

/**
 * Puts what the trace allocated against the real kinds: blocks that were there before
 * the millisecond `since` in which the reading of the snapshot began (`born` counts from 1) and are
 * still, so that it does not matter when each frame was read.
 */
export function accuracyOf(
  frames: Frames,
  kinds: Uint8Array,
  born: Frames,
  since: number,
): Accuracy {
  const table = KINDS.map(() => new Float64Array(KINDS.length));
  frames.forEach((pfn, word) => {
    if (!isTraced(word) || born.at(pfn) > since) return;
    const derived = table[kindOfBlock(word)];
    const end = Math.min(kinds.length, pfn + (1 << orderOfBlock(word)));
    for (let at = pfn; at < end; at++) derived[kinds[at]]++;
  });
  const rows = KINDS.flatMap((derived, d) => {
    const counts = table[d];
    const free = counts[FREE];
    const pages = counts.reduce((sum, n) => sum + n, 0) - free;
    if (pages + free === 0) return [];
    const isSame = (kind: Kind): boolean => (SAME[kind] ?? kind) === derived;
    const others = [...counts.keys()].filter((k) => k !== FREE && counts[k] > 0);
    const right = others.filter((k) => isSame(kindOf(k))).reduce((n, k) => n + counts[k], 0);
    const wrong = others
      .filter((k) => !isSame(kindOf(k)))
      .map((k) => ({ kind: kindOf(k), pages: counts[k] }))
      .toSorted((a, b) => b.pages - a.pages);
    return [{ derived, pages, right, wrong, free }];
  });
  return {
    rows,
    pages: rows.reduce((sum, row) => sum + row.pages, 0),
    right: rows.reduce((sum, row) => sum + row.right, 0),
  };
}

/** Pages by kind as the frames of the trace have them; what nobody holds is not among them. */
export function totalsOf(frames: Frames): Float64Array {
  const totals = new Float64Array(KINDS.length);
  frames.forEach((_, word) => {
    totals[kindOfBlock(word)] += 1 << orderOfBlock(word);
  });
  return totals;
}

/**
 * Pages of a snapshot, by kind, that somebody holds and of which the frames of the trace
 * have no block: they came in silently. Kernel pages on per-CPU lists are among them.
 */
export function silentOf(frames: Frames, kinds: Uint8Array): Float64Array {
  const silent = totalsOfKinds(kinds).map((n, kind) => (IS_HELD[kind] ? n : 0));
  frames.forEach((pfn, word) => {
    const end = Math.min(kinds.length, pfn + (1 << orderOfBlock(word)));
    for (let at = pfn; at < end; at++) if (IS_HELD[kinds[at]]) silent[kinds[at]]--;
  });
  return silent;
}

/** Pages that are free as the trace has them: all that can be held or free, less what is held. */
export function freeOf(held: Float64Array, real: Float64Array): number {
  const all = real.reduce((sum, n, kind) => sum + (IS_HELD[kind] || kind === FREE ? n : 0), 0);
  return all - held.reduce((sum, n) => sum + n, 0);
}

/** Pages by kind of a snapshot. */
export function totalsOfKinds(kinds: Uint8Array): Float64Array {
  const totals = new Float64Array(KINDS.length);
  for (const kind of kinds) totals[kind]++;
  return totals;
}
