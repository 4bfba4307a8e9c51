/** A sink that keeps nothing: it counts, and looks that what it gets is in order. */
import { EVENT_KINDS, EVENT_NAMES, type EventBatch } from "../../src/trace/events.js";
import type { TraceSink, TraceSummary } from "../../src/trace/sink.js";

export class CountingSink implements TraceSink {
  rows = 0;
  readonly kinds = new Float64Array(EVENT_KINDS);
  readonly pids = new Set<number>();
  readonly states: string[] = [];
  first = 0;
  last = 0;
  ordered = true;
  summary: TraceSummary | null = null;
  aborted = false;

  write(batch: EventBatch): void {
    if (this.rows === 0) this.first = batch.time[0];
    this.rows += batch.length;
    for (let i = 0; i < batch.length; i++) {
      this.kinds[batch.kind[i]]++;
      this.pids.add(batch.pid[i]);
      if (batch.time[i] < this.last) this.ordered = false;
      this.last = batch.time[i];
    }
  }

  snapshot(which: "before" | "after", bytes: Uint8Array): void {
    this.states.push(`${which}: ${bytes.length > 0 ? "there" : "empty"} at row ${this.rows}`);
  }

  async end(summary: TraceSummary): Promise<void> {
    this.summary = summary;
  }

  async abort(): Promise<void> {
    this.aborted = true;
  }

  /** Counts by name, of what occurred. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [kind, n] of this.kinds.entries()) if (n > 0) counts[EVENT_NAMES[kind]] = n;
    return counts;
  }
}
