/**
 * Where events come from: raw ring buffers, text of three tools, trace.dat, a trace
 * file of Memdesc. All are read the same way, a batch at a time, in the order of
 * time, and say the same things about themselves.
 *
 * A source never throws for what is in its bytes: it gives all events up to the
 * damage, and then says where it is. It throws an InputError only for what can be
 * told before the first event (not a trace at all, no format of an event).
 */
import type { EventBatch } from "./events.js";

/** Bytes of a file or a stream, read forwards. */
export interface ByteReader {
  /** The next bytes, at most `most` of them; empty at the end. */
  read(most: number): Promise<Uint8Array>;
}

/** Where a source stops being readable. */
export interface Damage {
  /** File and place: `cpu1.raw, byte 40960`, `trace.txt, line 812`. */
  readonly where: string;
  readonly why: string;
}

/** Something to be said by name: an event that the kernel lacks, a line that was no event. */
export interface TraceNote {
  readonly subject: string;
  readonly text: string;
}

/** What a source knows of its trace; what it learns while reading is there at the end. */
export interface TraceAbout {
  /** What to call it on the screen. */
  readonly label: string;
  /** Which kind of input it is. */
  readonly format: "ring" | "trace_pipe" | "trace-cmd" | "perf" | "trace.dat" | "mdt";
  readonly kernel: string | null;
  /** The trace clock (`mono`, `local`, …), where it is said. */
  readonly clock: string | null;
  readonly cpus: number;
  /** Names of events that were recorded, those of {@link EVENTS} only; null where it is not said. */
  readonly recorded: readonly string[] | null;
}

export interface EventSource {
  readonly about: TraceAbout;
  /** Command names by task, as far as they are known. */
  readonly commands: ReadonlyMap<number, string>;
  /** Events lost per processor; −1 where only that some were lost is known. */
  readonly lost: readonly number[];
  /** Rows that were events but none of {@link EVENTS}, by name. */
  readonly others: ReadonlyMap<string, number>;
  readonly notes: readonly TraceNote[];
  /** Set once reading has come upon it; null at a whole trace's end. */
  readonly damage: Damage | null;
  /** Replaces the batch's rows by the next ones; false, with no rows, at the end. */
  read(batch: EventBatch): Promise<boolean>;
  close(): Promise<void>;
}
