/**
 * Rows of several processors, each in the order of time, into one order: by time,
 * and by processor where times are equal.
 *
 * A lane is a processor's block of rows. The merge takes from the earliest lane as
 * many rows as come before the next lane's, and stops where a lane has none left:
 * whether more will come only its owner knows, who refills it or leaves it out.
 */
import type { EventBatch } from "../events.js";

/** The batch is full. */
export const MERGE_FULL = -1;
/** No lane has a row up to the time asked for. */
export const MERGE_DONE = -2;

export class TimeMerge {
  private readonly blocks: readonly EventBatch[];
  private readonly at: Int32Array;
  /** Lanes with rows, the earliest first: a binary heap. */
  private readonly heap: Int32Array;
  private size = 0;

  /** Blocks by lane, in the order of processors. All lanes begin empty. */
  constructor(blocks: readonly EventBatch[]) {
    this.blocks = blocks;
    this.at = new Int32Array(blocks.length);
    this.heap = new Int32Array(blocks.length);
  }

  /** The lane's block has been filled, with at least one row. */
  ready(lane: number): void {
    this.at[lane] = 0;
    let i = this.size++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.before(lane, this.heap[parent])) break;
      this.heap[i] = this.heap[parent];
      i = parent;
    }
    this.heap[i] = lane;
  }

  /**
   * Appends rows up to the time `until` to the batch. A lane's number where that lane
   * has run out of rows (it is left out until {@link ready}); else MERGE_FULL, MERGE_DONE.
   */
  take(batch: EventBatch, until: number): number {
    while (this.size > 0) {
      if (batch.length === batch.capacity) return MERGE_FULL;
      const lane = this.heap[0];
      const block = this.blocks[lane];
      const from = this.at[lane];
      if (block.time[from] > until) return MERGE_DONE;
      const to = from + this.run(lane, until, batch.capacity - batch.length);
      copyRows(block, from, to, batch);
      this.at[lane] = to;
      if (to === block.length) {
        this.size--;
        if (this.size > 0) this.sink(this.heap[this.size]);
        return lane;
      }
      this.sink(lane);
    }
    return batch.length === batch.capacity ? MERGE_FULL : MERGE_DONE;
  }

  /** Rows of the first lane that come before any other's: at least one. */
  private run(lane: number, until: number, room: number): number {
    const { time, length } = this.blocks[lane];
    const from = this.at[lane];
    const second = this.second();
    let limit = until;
    if (second >= 0) {
      const other = this.blocks[second].time[this.at[second]];
      if (other < limit) limit = other;
    }
    const most = Math.min(length, from + room);
    // At the very time of the other lane the lower processor goes first.
    const inclusive = second < 0 || lane < second || limit < this.headTime(second);
    let i = from + 1;
    if (inclusive) while (i < most && time[i] <= limit) i++;
    else while (i < most && time[i] < limit) i++;
    return i - from;
  }

  private headTime(lane: number): number {
    return this.blocks[lane].time[this.at[lane]];
  }

  /** The lane after the first; −1 where there is none. */
  private second(): number {
    if (this.size < 2) return -1;
    if (this.size === 2) return this.heap[1];
    return this.before(this.heap[1], this.heap[2]) ? this.heap[1] : this.heap[2];
  }

  private before(a: number, b: number): boolean {
    const ta = this.headTime(a);
    const tb = this.headTime(b);
    return ta < tb || (ta === tb && a < b);
  }

  /** Puts a lane at the heap's top and lets it sink to its place. */
  private sink(lane: number): void {
    const { heap, size } = this;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && this.before(heap[child + 1], heap[child])) child++;
      if (!this.before(heap[child], lane)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = lane;
  }
}

function copyRows(from: EventBatch, begin: number, end: number, to: EventBatch): void {
  let o = to.length;
  for (let i = begin; i < end; i++, o++) {
    to.time[o] = from.time[i];
    to.kind[o] = from.kind[i];
    to.cpu[o] = from.cpu[i];
    to.pid[o] = from.pid[i];
    to.x[o] = from.x[i];
    to.a[o] = from.a[i];
    to.b[o] = from.b[i];
    to.c[o] = from.c[i];
  }
  to.length = o;
}
