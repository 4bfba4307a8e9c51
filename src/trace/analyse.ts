/**
 * What a trace is, whatever design: every event accounted for, what each allocation
 * was taken for, and how far that agrees with what the pages really were.
 *
 * Where a snapshot was taken afterwards, the frames of the trace are put against it:
 * kinds of the blocks that the trace allocated and that stood still while it was read
 * (accuracy), and pages of each kind on both sides at the moment that fits best
 * (totals). What the trace could not see is the difference, and is given as it is.
 */
import { kindId } from "../observe/kinds.js";
import type { Classification } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";
import { Decide, type Tally } from "./classify/decide.js";
import {
  type Accuracy,
  accuracyOf,
  freeOf,
  holdAll,
  kindsOfFrames,
  silentOf,
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

const FREE = kindId("free");

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
    /** Pages of the snapshot by kind of which the trace has no holder: they came in silently. */
    readonly silent: Float64Array;
    /** Free pages: as the trace has them, on the snapshot's free lists, on its per-CPU lists. */
    readonly free: { readonly derived: number; readonly listed: number; readonly perCpu: number };
    /** The moment that contradicts fewest blocks, in nanoseconds from the first event. */
    readonly moment: number;
    /** When the reading of the snapshot began, in the same; null where nobody wrote it down. */
    readonly began: number | null;
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
  /** When the reading of the snapshot after it began, by the trace's clock; null where nobody said. */
  readonly afterAt: number | null;
  /** Rows so far. */
  readonly onProgress?: (rows: number) => void;
}

/**
 * Reads a trace from its beginning to its end and says what it is: every event counted,
 * every allocation and free decided, kinds against the snapshot after it. It opens the
 * trace once, or twice where there is such a snapshot. Times are nanoseconds. Throws
 * InputError where the trace cannot be opened; damage inside it is in the answer.
 */
export async function analyse(options: AnalyseOptions): Promise<Analysis> {
  const { after, afterAt } = options;
  if (after === null) return (await pass(options)).analysis;
  const kinds = kindsOfFrames(after.classification, after.snapshot.frames);
  const born = new Frames();
  const once = await pass(options, { born });
  const { first, last } = once.analysis;
  const ms = (time: number): number => Math.max(0, Math.floor((time - first) / 1e6));
  const least = afterAt === null ? 0 : ms(afterAt);
  const found = momentOf(once.decide.frames, born, kinds, least, ms(last));
  const accuracy = accuracyOf(once.decide.frames, kinds, born, afterAt === null ? found : least);
  // Once more, for what was held at that moment.
  let derived = totalsOf(once.decide.frames);
  let silent = silentOf(once.decide.frames, kinds);
  const onMoment = (frames: Frames): void => {
    derived = totalsOf(frames);
    silent = silentOf(frames, kinds);
  };
  if (found <= ms(last)) await pass(options, { moment: first + found * 1e6, onMoment });
  const real = totalsOfKinds(kinds);
  return {
    ...once.analysis,
    against: {
      accuracy,
      derived,
      real,
      silent,
      free: {
        derived: freeOf(derived, real),
        listed: real[FREE],
        perCpu: perCpuPages(after.snapshot),
      },
      moment: Math.min(first + found * 1e6, last) - first,
      began: afterAt === null ? null : Math.max(0, afterAt - first),
    },
  };
}

/** Pages on per-CPU lists, by zoneinfo: /proc/kpageflags shows them as kernel pages. */
const perCpuPages = ({ zones }: Snapshot): number =>
  zones.reduce((sum, { cpus }) => sum + cpus.reduce((n, { count }) => n + count, 0), 0);

interface Asked {
  /** Told when each block was allocated. */
  readonly born?: Frames;
  readonly moment?: number;
  readonly onMoment?: (frames: Frames) => void;
}

async function pass(
  { open, before, onProgress }: AnalyseOptions,
  { born, moment, onMoment }: Asked = {},
): Promise<{ analysis: Analysis; decide: Decide }> {
  const source = await open();
  const decide = new Decide();
  if (before !== null) holdAll(decide.frames, before.classification);
  decide.born = born ?? null;
  decide.moment = moment ?? Infinity;
  decide.onMoment = () => onMoment?.(decide.frames);
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
  const { about, lost, others, notes, damage } = source;
  const times = { first: Math.max(0, first), last };
  const { tally } = decide;
  const analysis = { about, rows, ...times, frames, tally, lost, others, notes, damage };
  return { analysis: { ...analysis, against: null }, decide };
}
