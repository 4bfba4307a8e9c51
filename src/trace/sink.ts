/**
 * Where events go: the other end of an {@link EventSource}. The recorder and the
 * importer know this and not what a trace file looks like.
 *
 * A sink takes rows in the order in which they are to be read again. What it is given
 * it has written, or will have at `end`; until then its target does not exist. It
 * throws an InputError where it cannot write; what it is given after that is not kept.
 */
import type { EventBatch } from "./events.js";
import type { TraceNote } from "./source.js";

/** What is known of a trace once it has been read, for `end`. As in an EventSource. */
export interface TraceSummary {
  /** Command names by task. */
  readonly commands: ReadonlyMap<number, string>;
  /** Events lost per processor; −1 where only that some were lost is known. */
  readonly lost: readonly number[];
  /** Events that were none of EVENTS, by name. */
  readonly others: ReadonlyMap<string, number>;
  readonly notes: readonly TraceNote[];
}

export interface TraceSink {
  /** Bytes written so far, where it counts them: for who watches. */
  readonly bytes?: number;
  /** Takes all rows of the batch; it may be refilled once this has resolved. */
  write(batch: EventBatch): Promise<void> | void;
  /**
   * Takes the machine's state before the first row, or after the last: the bytes of a
   * capture, and when it was taken by the trace's clock (nanoseconds) where that is known.
   */
  snapshot(which: "before" | "after", bytes: Uint8Array, at?: number): Promise<void> | void;
  /** Writes what is left; then the target is there, whole and on the disk. */
  end(summary: TraceSummary): Promise<void>;
  /** Gives up: there is no target, and nothing of it is left. */
  abort(): Promise<void>;
}
