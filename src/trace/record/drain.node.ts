/**
 * Empties the ring buffers of a running trace, sweep by sweep, into rows in order.
 *
 * A sweep reads each processor until it has nothing more (or until its share is read,
 * so that one busy processor cannot keep the others waiting). What was there when the
 * sweep began has then been read: that, less a margin for events that were just being
 * written, is the watermark up to which rows go out.
 */
import type { LiveMerge, WriteBatch } from "./live-merge.js";
import type { RawPipes } from "./pipes.node.js";

/** Sub-buffers that one sweep reads at most, of all processors and of one. */
const SWEEP = 32_768;
const SHARE = 2048;
/** Bytes that may wait to be handed on: beyond that they stay in the kernel, which counts what it loses. */
const MOST_WAITING = 512 * 2 ** 20;
/** Nanoseconds that an event may be under way between its time and its being readable. */
const MARGIN = 20e6;

/** Now on the clock that the trace runs by (`mono`: CLOCK_MONOTONIC), in nanoseconds. */
export function monotonic(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e9 + nanoseconds;
}

export class Drain {
  /** Bytes of events and what is between them, so far. */
  bytes = 0;
  /** True where the last sweep did not read everything. */
  behind = false;
  private readonly pipes: RawPipes;
  private readonly merge: LiveMerge;
  private readonly cpus: number;
  private readonly share: number;
  private watermark = 0;

  constructor(pipes: RawPipes, merge: LiveMerge, cpus: number) {
    this.pipes = pipes;
    this.merge = merge;
    this.cpus = cpus;
    this.share = Math.min(SHARE, Math.max(16, Math.floor(SWEEP / cpus)));
  }

  /** Reads what there is now. Nothing goes out yet, and nothing is read while too much waits. */
  sweep(): void {
    this.behind = true;
    if (this.merge.waiting * this.merge.pageSize > MOST_WAITING) return;
    let watermark = monotonic() - MARGIN;
    this.behind = false;
    for (let i = 0; i < this.cpus; i++) {
      let begins = 0;
      let pages = 0;
      let more = true;
      while (more && pages < this.share) {
        const room = this.merge.room();
        more = this.pipes.read(i, room.bytes);
        if (more) {
          begins = this.merge.push(i, room);
          this.bytes += room.bytes.length;
          pages++;
        } else this.merge.giveBack(room);
      }
      if (more) {
        // What is not read yet is not before the beginning of the last that was.
        watermark = Math.min(watermark, begins);
        this.behind = true;
      }
    }
    this.watermark = Math.max(this.watermark, watermark);
  }

  /** Hands on the rows that are in order by now. */
  async handOn(write: WriteBatch): Promise<void> {
    await this.merge.advance(this.watermark, write);
  }

  /** When nothing more is written: reads the rest and hands on all rows. */
  async finish(write: WriteBatch): Promise<void> {
    do {
      await this.handOn(write);
      this.sweep();
    } while (this.behind);
    await this.merge.advance(Infinity, write);
    await this.merge.flush(write);
  }
}
