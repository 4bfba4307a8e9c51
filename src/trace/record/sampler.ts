/**
 * Looks at young frames while they live: `record --sample`.
 *
 * Rows pass through here on their way to the file. Each allocation makes its frame one to
 * look at, until it is freed, or an event tells what it is (an LRU list, the page cache, a
 * page pool: the flags would say no more). A reading takes the flags of those that are left.
 *
 * **Whose flags were they?** The rows that have passed are older than the reading: a frame
 * may have been freed, and given away again, in between. So a reading is not written when
 * it is made. It has a time of its own, taken after its flags were read, and waits until
 * the first row that is later (or the end): rows come in the order of time, so all frees up
 * to the reading have passed by then. It becomes a row only where the frame's block is
 * still the one that it was chosen as: neither freed nor allocated over. The kernel writes
 * the event of a free before it touches the page's flags, so flags read before that time
 * are those of the block. What can still go wrong: an event that comes later than the
 * merge waits for it (20 ms; counted and said as late), and a free that was lost: where
 * events were lost, all frames are forgotten, but a reading in the very gap before is not.
 *
 * At most {@link MOST} frames are chosen between two readings. Beyond that only every
 * second allocation counts, then every fourth, by its place in the trace: the same events
 * choose the same frames.
 */
import {
  EV_ALLOC,
  EV_CACHE_ADD,
  EV_FREE,
  EV_LOST,
  EV_LRU_INSERTION,
  EV_POOL_HOLD,
  EV_SAMPLE,
  EventBatch,
} from "../events.js";
import { FrameTable } from "./frame-table.js";
import type { WriteBatch } from "./live-merge.js";

/** Frames that one reading looks at, at most. */
export const MOST = 4096;
/** Frames between two of interest that are read with them: cheaper than another call. */
const GAP = 16;
/** Frames read at once, at most: all of them have one time. */
const RUN = 256;
const ROWS = 8192;
const ORDER_MAX = 10;
const FRAMES_MAX = 2 ** 31 - 1;

/** Reads /proc/kpageflags: low and high halves of the words of `count` frames. How many there were. */
export type ReadFlags = (first: number, count: number, into: Int32Array) => number;

export interface SampleCounts {
  readonly allocations: number;
  /** Rows written. */
  readonly samples: number;
  /** Frames whose flags were read. */
  readonly looked: number;
  readonly readings: number;
  /** Readings left out, because the events up to the one before had not passed yet. */
  readonly skipped: number;
}

export class Sampler {
  private readonly flags: ReadFlags;
  private readonly now: () => number;
  /**
   * By frame: its allocation's place in the trace, from 1, while it is to be looked at;
   * that number below zero once its flags have been read and wait to be written.
   */
  private readonly table = new FrameTable(14);
  private readonly words = new Int32Array(RUN * 2);
  private readonly out = new EventBatch(ROWS);
  /** To be looked at. */
  private waiting = 0;
  /** One allocation in so many is chosen. */
  private step = 1;
  // Readings, in order of time; those before `next` are decided.
  private readonly pfn = new Int32Array(MOST);
  private readonly id = new Float64Array(MOST);
  private readonly low = new Int32Array(MOST);
  private readonly high = new Int32Array(MOST);
  private readonly time = new Float64Array(MOST);
  private length = 0;
  private next = 0;

  private allocations = 0;
  private samples = 0;
  private looked = 0;
  private readings = 0;
  private skipped = 0;

  /** `now` is of the trace's clock. */
  constructor(flags: ReadFlags, now: () => number) {
    this.flags = flags;
    this.now = now;
  }

  counts(): SampleCounts {
    const { allocations, samples, looked, readings, skipped } = this;
    return { allocations, samples, looked, readings, skipped };
  }

  /** Reads the flags of the frames that are to be looked at. */
  read(): void {
    if (this.next < this.length) {
      this.skipped++;
      return;
    }
    this.length = 0;
    this.next = 0;
    const frames = this.table.frames((id) => id > 0);
    for (let from = 0; from < frames.length;) {
      const first = frames[from];
      let to = from + 1;
      while (to < frames.length && frames[to] - frames[to - 1] <= GAP && frames[to] - first < RUN) {
        to++;
      }
      this.readRun(frames, from, to);
      from = to;
    }
    this.readings++;
    this.waiting = 0;
    this.step = 1;
  }

  private readRun(frames: Int32Array, from: number, to: number): void {
    const first = frames[from];
    const there = this.flags(first, frames[to - 1] - first + 1, this.words);
    const time = this.now();
    for (let k = from; k < to; k++) {
      const at = frames[k] - first;
      if (at >= there) {
        this.table.delete(frames[k]);
        continue;
      }
      const i = this.length++;
      this.pfn[i] = frames[k];
      this.id[i] = this.table.get(frames[k]);
      this.low[i] = this.words[at * 2];
      this.high[i] = this.words[at * 2 + 1];
      this.time[i] = time;
      this.table.set(frames[k], -this.id[i]);
      this.looked++;
    }
  }

  /** Rows go through here on their way to `write`, and samples come between them. */
  through(write: WriteBatch): WriteBatch {
    return async (batch) => {
      const { length } = batch;
      if (length === 0) return;
      // Most batches have no reading to put in and are passed on as they are.
      if (this.next === this.length || this.time[this.next] >= batch.time[length - 1]) {
        for (let i = 0; i < length; i++) this.see(batch, i);
        await write(batch);
        return;
      }
      for (let i = 0; i < length; i++) {
        while (this.next < this.length && this.time[this.next] < batch.time[i]) {
          if (this.decide()) await this.flushFull(write);
        }
        this.see(batch, i);
        const { time, kind, cpu, pid, x, a, b, c } = batch;
        const o = this.out.length++;
        this.out.time[o] = time[i];
        this.out.kind[o] = kind[i];
        this.out.cpu[o] = cpu[i];
        this.out.pid[o] = pid[i];
        this.out.x[o] = x[i];
        this.out.a[o] = a[i];
        this.out.b[o] = b[i];
        this.out.c[o] = c[i];
        await this.flushFull(write);
      }
      await this.flush(write);
    };
  }

  /** When the last row has passed: what has been read is then decided. */
  async finish(write: WriteBatch): Promise<void> {
    while (this.next < this.length) if (this.decide()) await this.flushFull(write);
    await this.flush(write);
  }

  /** The next reading becomes a row, where its block is still there. */
  private decide(): boolean {
    const i = this.next++;
    const pfn = this.pfn[i];
    if (this.table.get(pfn) !== -this.id[i]) return false;
    this.table.delete(pfn);
    this.out.push(this.time[i], EV_SAMPLE, 0, 0, pfn, this.low[i], this.high[i], 0);
    this.samples++;
    return true;
  }

  private async flushFull(write: WriteBatch): Promise<void> {
    if (this.out.length === this.out.capacity) await this.flush(write);
  }

  private async flush(write: WriteBatch): Promise<void> {
    if (this.out.length === 0) return;
    await write(this.out);
    this.out.length = 0;
  }

  private see(batch: EventBatch, i: number): void {
    switch (batch.kind[i]) {
      case EV_ALLOC:
        this.allocations++;
        this.forget(batch.x[i], batch.a[i]);
        this.choose(batch.x[i], this.allocations);
        break;
      case EV_FREE:
        this.forget(batch.x[i], batch.a[i]);
        break;
      case EV_LRU_INSERTION:
      case EV_CACHE_ADD:
      case EV_POOL_HOLD:
        if (this.table.get(batch.x[i]) > 0) this.drop(batch.x[i]);
        break;
      case EV_LOST:
        this.table.clear();
        this.waiting = 0;
        break;
      default:
    }
  }

  private choose(pfn: number, id: number): void {
    if (!(pfn >= 0 && pfn < FRAMES_MAX) || id % this.step !== 0) return;
    while (this.waiting >= MOST) this.thin();
    if (id % this.step !== 0) return;
    this.table.set(pfn, id);
    this.waiting++;
  }

  /** From now on only every second of those that counted. */
  private thin(): void {
    this.step *= 2;
    for (const pfn of this.table.frames((id) => id > 0 && id % this.step !== 0)) this.drop(pfn);
  }

  /** The frames of a block are no longer those that were chosen. */
  private forget(pfn: number, order: number): void {
    if (!(pfn >= 0 && pfn < FRAMES_MAX) || this.table.size === 0) return;
    if (order === 0) this.drop(pfn);
    else if (order > 0 && order <= ORDER_MAX)
      for (let at = pfn; at < pfn + (1 << order); at++) this.drop(at);
  }

  private drop(pfn: number): void {
    const id = this.table.get(pfn);
    if (id === 0) return;
    if (id > 0) this.waiting--;
    this.table.delete(pfn);
  }
}
