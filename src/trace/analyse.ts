/**
 * What a trace is, whatever design: every event accounted for, what each allocation
 * was taken for, and how far that agrees with what the pages really were.
 *
 * Where a snapshot was taken afterwards, the frames of the trace are put against it
 * at the moment it was taken: kinds of the blocks that the trace allocated
 * (accuracy), and pages of each kind on both sides (totals). What the trace could not
 * see is the difference, and is given as it is.
 */
import type { Classification } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";
import { Decide, type Tally } from "./classify/decide.js";
import {
  type Accuracy,
  accuracyOf,
  holdAll,
  kindsOfFrames,
  totalsOf,
  totalsOfKinds,
} from "./classify/held.js";
import { Frames } from "./classify/frames.js";
import { momentOf } from "./classify/moment.js";
import { OpBatch } from "./classify/ops.js";
import { EventBatch } from "./events.js";
import type { Damage, EventSource, TraceAbout, TraceNote } from "./source.js";

/** Rows that are read at once, and operations that are handed on at once. */
export const BATCH = 1 << 16;
export const OPS = 1 << 17;

export interface Analysis {
  readonly about: TraceAbout;
  readonly rows: number;
  /** Nanoseconds of the trace's clock; 0 for a trace without events. */
  readonly first: number;
  readonly last: number;
  /** Frames that the trace names: one more than the highest. */
  readonly frames: number;
  readonly tally: Tally;
  readonly lost: readonly number[];
  readonly others: ReadonlyMap<string, number>;
  readonly notes: readonly TraceNote[];
  readonly damage: Damage | null;
  /** What was found against the snapshot after the trace; null without one. */
  readonly against: {
    readonly accuracy: Accuracy;
    /** Pages by KINDS as the trace has them, and as they were. */
    readonly derived: Float64Array;
    readonly real: Float64Array;
    /** Nanoseconds from the first event; `estimated` where nobody had written it down. */
    readonly moment: number;
    readonly estimated: boolean;
  } | null;
}

export interface Described {
  readonly snapshot: Snapshot;
  readonly classification: Classification;
}

export interface AnalyseOptions {
  /** Opens the trace, from its beginning; asked twice where the moment must be found. */
  readonly open: () => Promise<EventSource>;
  readonly before: Described | null;
  readonly after: Described | null;
  /** When the snapshot after it was taken, by the trace's clock; null where nobody said. */
  readonly afterAt: number | null;
  /** Rows so far. */
  readonly onProgress?: (rows: number) => void;
}

export async function analyse(options: AnalyseOptions): Promise<Analysis> {
  const { after, afterAt } = options;
  const kinds = after === null ? null : kindsOfFrames(after.classification, after.snapshot.frames);
  if (kinds === null || afterAt !== null) return pass(options, kinds, afterAt, false);
  // Once for the moment, once more for what there was then.
  const born = new Frames();
  let decided: Decide | null = null;
  const found = await pass(options, null, null, false, (decide) => {
    decide.born = born;
    decided = decide;
  });
  const end = Math.max(0, Math.ceil((found.last - found.first) / 1e6));
  const ms = decided === null ? end : momentOf((decided as Decide).frames, born, kinds, end);
  return pass(options, kinds, found.first + ms * 1e6, true);
}

async function pass(
  { open, before, onProgress }: AnalyseOptions,
  kinds: Uint8Array | null,
  moment: number | null,
  estimated: boolean,
  prepare?: (decide: Decide) => void,
): Promise<Analysis> {
  const source = await open();
  const decide = new Decide();
  if (before !== null) holdAll(decide.frames, before.classification);
  prepare?.(decide);
  let against: Analysis["against"] = null;
  const compare = (): void => {
    if (kinds === null) return;
    against = {
      accuracy: accuracyOf(decide.frames, kinds),
      derived: totalsOf(decide.frames),
      real: totalsOfKinds(kinds),
      moment: Math.min(moment ?? last, last) - first,
      estimated,
    };
  };
  decide.moment = moment ?? Infinity;
  decide.onMoment = compare;
  let first = -1;
  let last = 0;
  let rows = 0;
  let frames = 0;
  const batch = new EventBatch(BATCH);
  const ops = new OpBatch(OPS);
  const full = (): void => {
    for (let i = 0; i < ops.length; i++)
      frames = Math.max(frames, ops.pfn[i] + (1 << ops.order[i]));
    ops.length = 0;
  };
  try {
    while (await source.read(batch)) {
      if (first < 0) first = batch.time[0];
      last = batch.time[batch.length - 1];
      rows += batch.length;
      decide.take(batch, ops, full);
      onProgress?.(rows);
    }
  } finally {
    await source.close();
  }
  decide.finish(ops, full);
  full();
  if (against === null) compare();
  const { about, lost, others, notes, damage } = source;
  const times = { first: Math.max(0, first), last };
  return {
    about,
    rows,
    ...times,
    frames,
    tally: decide.tally,
    lost,
    others,
    notes,
    damage,
    against,
  };
}
