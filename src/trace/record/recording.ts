/** What a recording is asked for, what it says of itself while it goes on, and what it was in the end. */
import type { TraceSink } from "../sink.js";
import type { TraceAbout, TraceNote } from "../source.js";

/** How a command ended. */
export interface CommandEnd {
  /** Null where a signal ended it. */
  readonly code: number | null;
  /** Its name, where one did. */
  readonly signal: string | null;
}

export interface RecordProgress {
  readonly seconds: number;
  readonly events: number;
  /** Known to be lost so far. */
  readonly lost: number;
  /** Bytes read of the ring buffers. */
  readonly bytes: number;
  /** Bytes of the trace file, where its writer counts them. */
  readonly written: number | null;
}

export interface RecordOptions {
  readonly label: string;
  /** Nothing: until `stop`. */
  readonly command: readonly string[];
  /** Milliseconds; null for no limit. */
  readonly limit: number | null;
  readonly bufferKib: number;
  /** Leaves the recorder's own events out, where the kernel can: then its pages are in no event. */
  readonly leaveOutOwn: boolean;
  /** Milliseconds between two looks at the flags of young frames; null for none. */
  readonly sampleEvery: number | null;
  /** The machine's state as the bytes of a capture; null to leave the states out. */
  readonly takeSnapshot: (() => Promise<Uint8Array>) | null;
  readonly openSink: (about: TraceAbout) => Promise<TraceSink>;
  /** Aborted to end the recording; its reason may be a signal's name. */
  readonly stop: AbortSignal;
  /** Aborted to end at once: kills the command, and leaves the state after it out. */
  readonly force: AbortSignal;
  readonly onNote: (note: TraceNote) => void;
  readonly onProgress: (progress: RecordProgress) => void;
}

export interface Recorded extends RecordProgress {
  readonly lostByCpu: readonly number[];
  /** Null where there was no command. */
  readonly command: CommandEnd | null;
  /** Why the command was ended by the recorder, if it was. */
  readonly cut: boolean;
  /** Processor time of this process since the trace ran. */
  readonly cpuSeconds: number;
}
