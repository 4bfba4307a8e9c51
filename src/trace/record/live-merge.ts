/**
 * Sub-buffers as they come from running processors → rows in the order of time.
 *
 * While a trace runs, a processor that has nothing to read now may have an event of this
 * moment in a moment. So rows go out only up to a watermark: a time up to which every
 * processor is known to have been read. Sub-buffers wait, undecoded, for theirs.
 * A row that comes later than it could (an event that took longer to be written than
 * the watermark's margin) is given the time of the last row that went out, and counted.
 */
import { EventBatch } from "../events.js";
import type { DecodeTable } from "../ring/decode-table.js";
import type { PageHeader } from "../ring/event-format.js";
import { MERGE_DONE, MERGE_FULL, TimeMerge } from "../ring/merge.js";
import { PageDecoder, RingTally } from "../ring/page-decoder.js";

/** Room for one sub-buffer, in both views. */
export interface PageRoom {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

interface Queue {
  readonly cpu: number;
  readonly decoder: PageDecoder;
  readonly pages: PageRoom[];
  /** How many of `pages` have been decoded. */
  next: number;
  /** True while the merge has rows of it. */
  ready: boolean;
}

/** Rooms that are kept for later sub-buffers; what a rush needed beyond them is let go. */
const SPARE = 8192;

/** Rows of a batch that is handed on. */
const ROWS = 8192;

export type WriteBatch = (batch: EventBatch) => Promise<void> | void;

export class LiveMerge {
  readonly tally = new RingTally();
  /** Sub-buffers that could not be read to their end, by what was wrong. */
  readonly faults = new Map<string, number>();
  /** Rows that came after their time. */
  late = 0;
  /** Rows that went out. */
  rows = 0;
  /** Sub-buffers that wait to be decoded. */
  waiting = 0;

  private readonly header: PageHeader;
  private readonly queues: readonly Queue[];
  private readonly merge: TimeMerge;
  private readonly spare: PageRoom[] = [];
  private readonly batch = new EventBatch(ROWS);
  private last = 0;

  constructor(cpus: readonly number[], header: PageHeader, table: DecodeTable) {
    this.header = header;
    this.queues = cpus.map((cpu) => ({
      cpu,
      decoder: new PageDecoder(cpu, header, table, this.tally),
      pages: [],
      next: 0,
      ready: false,
    }));
    this.merge = new TimeMerge(this.queues.map((q) => q.decoder.block));
  }

  /** Bytes of a sub-buffer. */
  get pageSize(): number {
    return this.header.dataOffset + this.header.dataSize;
  }

  /** Room for a sub-buffer, for {@link push}. */
  room(): PageRoom {
    const spare = this.spare.pop();
    if (spare !== undefined) return spare;
    const buffer = new ArrayBuffer(this.pageSize);
    return { bytes: new Uint8Array(buffer), words: new Int32Array(buffer) };
  }

  giveBack(page: PageRoom): void {
    if (this.spare.length < SPARE) this.spare.push(page);
  }

  /** A sub-buffer of the processor at this place of the list; gives the time that it begins. */
  push(index: number, page: PageRoom): number {
    this.queues[index].pages.push(page);
    this.waiting++;
    const word = this.header.timeOffset >> 2;
    return (page.words[word] >>> 0) + (page.words[word + 1] >>> 0) * 2 ** 32;
  }

  /** Events that the ring said were lost on the processor at this place; −1 for an unknown number. */
  lost(index: number): number {
    const { lost, lostUnknown } = this.queues[index].decoder;
    return lostUnknown && lost === 0 ? -1 : lost;
  }

  /** Events of the processor at this place that have been decoded, read or not. */
  events(index: number): number {
    return this.queues[index].decoder.events;
  }

  /**
   * Hands on all rows up to the time `until`, in full batches; the rest stays. Not to be
   * called again before it has ended; sub-buffers may come meanwhile.
   */
  async advance(until: number, write: WriteBatch): Promise<void> {
    for (let i = 0; i < this.queues.length; i++) if (!this.queues[i].ready) this.refill(i);
    for (;;) {
      const from = this.batch.length;
      const index = this.merge.take(this.batch, until);
      this.keepOrder(from);
      if (index === MERGE_DONE) break;
      if (index === MERGE_FULL) await this.flush(write);
      else {
        this.queues[index].ready = false;
        this.refill(index);
      }
    }
  }

  /** Hands on what is in the last, unfilled batch. */
  async flush(write: WriteBatch): Promise<void> {
    if (this.batch.length === 0) return;
    this.rows += this.batch.length;
    await write(this.batch);
    this.batch.length = 0;
  }

  private refill(index: number): void {
    const queue = this.queues[index];
    while (queue.next < queue.pages.length) {
      const page = queue.pages[queue.next++];
      queue.decoder.decode(page.words, page.bytes, 0);
      this.waiting--;
      this.giveBack(page);
      const { fault } = queue.decoder;
      if (fault !== null) this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1);
      if (queue.decoder.block.length > 0) {
        queue.ready = true;
        this.merge.ready(index);
        break;
      }
    }
    if (queue.next === queue.pages.length) {
      queue.pages.length = 0;
      queue.next = 0;
    }
  }

  private keepOrder(from: number): void {
    const { time, length } = this.batch;
    let { last } = this;
    for (let i = from; i < length; i++) {
      if (time[i] < last) {
        time[i] = last;
        this.late++;
      } else last = time[i];
    }
    this.last = last;
  }
}
