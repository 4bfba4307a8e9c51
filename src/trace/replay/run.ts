/**
 * One design's replay from beginning to end: the machine before, every operation,
 * what it cost.
 *
 * The trace is read and decided here again, so that a worker needs nothing but the
 * way to open it; deciding is deterministic, so every design is given the same
 * operations.
 */
import { parseDesign } from "../../engine/design/presets.js";
import { T_FILE } from "../../engine/design/word/axis-types.js";
import { SampledWords } from "../../engine/words/sampled.js";
import { populate } from "../../observe/roundtrip/populate.js";
import { Decide } from "../classify/decide.js";
import { holdAll } from "../classify/held.js";
import { OpBatch } from "../classify/ops.js";
import { BATCH, type Described, OPS } from "../analyse.js";
import { EventBatch } from "../events.js";
import type { EventSource } from "../source.js";
import { type FaultLines, faultLines } from "./fault-lines.js";
import { Grouped } from "./grouped.js";
import { Homes } from "./homes.js";
import type { LinesRow } from "./lines.js";
import { REFUSALS, Replay } from "./replay.js";
import type { Sample } from "./series.js";
import {
  framesToTake,
  NO_CHANGE,
  ordersOf,
  type ReplayWhatIf,
  takeFrames,
  withLimits,
} from "./what-if.js";

/** Frames beyond which words are sparse and lines are not noted: 64 GiB. */
const SPARSE_FROM = 2 ** 24;

export interface DesignReplay {
  readonly design: string;
  /** Names of the caches that samples count, and bytes of an object of each. */
  readonly caches: readonly {
    readonly name: string;
    readonly size: number;
    readonly assumed: boolean;
  }[];
  /** Bytes that are there whatever happens. */
  readonly pageArray: number;
  readonly zoneTable: number;
  readonly start: number;
  readonly peak: number;
  readonly mean: number;
  readonly end: number;
  /** Nanoseconds from the first operation to the end. */
  readonly duration: number;
  readonly samples: readonly Sample[];
  readonly allocations: number;
  readonly frees: number;
  readonly splits: number;
  readonly refused: readonly { readonly why: string; readonly operations: number }[];
  /** When the first allocation was refused, in nanoseconds from the first operation; null for none. */
  readonly firstRefused: number | null;
  readonly faults: number;
  readonly descriptorsTaken: number;
  readonly descriptorsGiven: number;
  readonly slabPagesGained: number;
  readonly slabPagesLost: number;
  readonly lines: readonly LinesRow[];
  /** Lines of a page fault, measured on a small process. */
  readonly faultLines: FaultLines;
  /** Bytes for one file folio of each order: its words and its descriptor. */
  readonly perOrder: readonly number[];
  /** Free frames on the buddy lists at the end. */
  readonly freeFrames: number;
}

export interface ReplayInput {
  readonly design: string;
  readonly open: () => Promise<EventSource>;
  /** The machine before the trace; the snapshot of an empty one where there is none. */
  readonly before: Described;
  /** False for an empty machine: then nothing is held before the first event. */
  readonly populated: boolean;
  readonly whatIf?: ReplayWhatIf;
  readonly onProgress?: (rows: number) => void;
}

/** Throws DesignError, MmError (ENOMEM) where the design cannot be on this machine. */
export async function replayDesign(input: ReplayInput): Promise<DesignReplay> {
  const { before } = input;
  const whatIf = input.whatIf ?? NO_CHANGE;
  const sparse = before.snapshot.frames > SPARSE_FROM;
  const { machine } = populate(
    withLimits(before.snapshot, whatIf),
    before.classification,
    parseDesign(input.design),
    sparse ? undefined : (size) => new SampledWords(size),
  );
  takeFrames(machine, framesToTake(before.classification.objects, whatIf));
  const orders = ordersOf(whatIf);
  const grouped = orders === null ? null : new Grouped(machine, orders);
  const replay = new Replay(machine, new Homes(input.populated), grouped);
  const start = replay.series.end;
  const decide = new Decide();
  if (input.populated) holdAll(decide.frames, before.classification);
  const ops = new OpBatch(OPS);
  const full = (): void => {
    replay.apply(ops);
    ops.length = 0;
  };
  const batch = new EventBatch(BATCH);
  const source = await input.open();
  let rows = 0;
  let last = 0;
  try {
    while (await source.read(batch)) {
      rows += batch.length;
      last = batch.time[batch.length - 1];
      decide.take(batch, ops, full);
      input.onProgress?.(rows);
    }
  } finally {
    await source.close();
  }
  decide.finish(ops, full);
  full();
  if (rows > 0) replay.finish(last);
  const { series } = replay;
  const small = machine.design.cacheFor(T_FILE, 0);
  return {
    design: machine.choice.name,
    caches: machine.caches.usage().map((u) => ({
      name: u.name,
      size: u.objectSize,
      assumed: u.fidelity === "assumed",
    })),
    pageArray: machine.pageArrayBytes,
    zoneTable: machine.zoneTableBytes,
    start,
    peak: series.peak,
    mean: series.mean,
    end: series.end,
    duration: series.duration,
    samples: series.samples,
    allocations: replay.allocations,
    frees: replay.frees,
    splits: replay.splits,
    refused: REFUSALS.map((why, i) => ({ why, operations: replay.refused[i] })),
    firstRefused: replay.firstRefused < 0 ? null : replay.firstRefused - decide.began,
    faults: replay.faults,
    descriptorsTaken: replay.descriptorsTaken,
    descriptorsGiven: replay.descriptorsGiven,
    slabPagesGained: replay.slabPagesGained,
    slabPagesLost: replay.slabPagesLost,
    lines: replay.lines.rows(),
    faultLines: faultLines(machine.choice),
    perOrder: Array.from({ length: 11 }, (_, order) => {
      const cache = machine.design.cacheFor(T_FILE, order);
      const described = cache < 0 ? (order === 0 && small >= 0 ? small : -1) : cache;
      const descriptor = described < 0 ? 0 : machine.caches.stride[described] * 16;
      return machine.design.pageBytes * 2 ** order + descriptor;
    }),
    freeFrames: machine.freeFrames(),
  };
}
