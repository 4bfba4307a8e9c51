/**
 * How a recording goes on, in one line of a terminal that is rewritten: events, events
 * per second, lost, the file's size (or how much the kernel gave). On a stream that is no terminal nothing is shown.
 */
import { formatBytes, formatCount } from "../units.js";
import type { ProgressStream } from "./progress.js";

/** As in RecordProgress. */
export interface RecordState {
  readonly seconds: number;
  readonly events: number;
  readonly lost: number;
  readonly bytes: number;
  readonly written: number | null;
}

const REDRAW_MS = 200;

export class RecordLine {
  private readonly stream: ProgressStream;
  private readonly now: () => number;
  private drawn = Number.NEGATIVE_INFINITY;
  private shown = false;
  private before: RecordState = { seconds: 0, events: 0, lost: 0, bytes: 0, written: null };

  constructor(stream: ProgressStream, now: () => number = () => performance.now()) {
    this.stream = stream;
    this.now = now;
  }

  update(state: RecordState): void {
    if (this.stream.isTTY !== true || this.now() - this.drawn < REDRAW_MS) return;
    this.drawn = this.now();
    this.shown = true;
    const span = state.seconds - this.before.seconds;
    const rate = span > 0 ? (state.events - this.before.events) / span : 0;
    this.before = state;
    const parts = [
      `recording … ${state.seconds.toFixed(1)} s`,
      `${formatCount(state.events)} events`,
      `${formatCount(rate)}/s`,
      `${formatCount(state.lost)} lost`,
      state.written === null
        ? `${formatBytes(state.bytes)} read`
        : `${formatBytes(state.written)} written`,
    ];
    this.stream.write(`\r\u001B[K${parts.join(", ")}`);
  }

  /** A whole line, without the rewritten one in its way. */
  say(text: string): void {
    this.finish();
    this.stream.write(`${text}\n`);
  }

  /** Wipes the line. */
  finish(): void {
    if (this.shown) this.stream.write("\r\u001B[K");
    this.shown = false;
  }
}
