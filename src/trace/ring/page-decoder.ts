/**
 * Sub-buffers of a trace ring buffer → rows of a batch: one processor's, one at a time.
 *
 * A sub-buffer is a time, a commit word (bytes of data; bit 31 says that events were
 * lost before it, bit 30 that their number stands after the data) and events: a word
 * with a type of 5 bits and 27 bits of time since the one before, then the data. Types
 * 1 … 28 are lengths in words; 0 has its length in a word of its own; 29 is padding
 * (without time: to the end; with: an event that was taken back); 30 adds more time,
 * 31 sets it (59 bits, the high ones are the sub-buffer's).
 *
 * Whatever the bytes are, nothing beyond the sub-buffer is read and nothing is thrown:
 * what cannot be ends the decoding with a fault, after the events before it.
 * Little-endian, as x86-64, arm64 and riscv64 are.
 *
 * Facts: kernel/trace/ring_buffer.c (struct buffer_data_page, rb_event_length(),
 * rb_update_read_stamp(), rb_fix_abs_ts(), ring_buffer_read_page()) of 6.1 and 6.18.
 */
import { EV_LOST, EventBatch, type EventKind } from "../events.js";
import { type DecodeTable, SLOT_A, SLOT_B, SLOT_C, SLOT_LEAST, SLOT_MOST } from "./decode-table.js";
import { SLOT_KIND, SLOT_PID, SLOT_X } from "./decode-table.js";
import type { PageHeader } from "./event-format.js";
import { readLarge, readSmall } from "./read-column.js";

const MISSED = 0x8000_0000 | 0;
const MISSED_STORED = 0x4000_0000;
const COMMIT = 0x3fff_ffff;

const TYPE_LONG = 0;
const TYPE_DATA_MAX = 28;
const TYPE_PADDING = 29;
const TYPE_TIME_EXTEND = 30;

/** A processor's clock that goes back by more than this was never a clock: nanoseconds. */
const MAX_BACK = 1e9;

/** What a decoder of one trace counts together for all its processors. */
export class RingTally {
  /** Events by id that are not read. */
  readonly others = new Uint32Array(65_536);
}

export class PageDecoder {
  /** Rows of the last sub-buffer. */
  readonly block: EventBatch;
  /** All events so far, read or not. */
  events = 0;
  /** Events that the ring itself says were lost; unknown numbers are not in it. */
  lost = 0;
  /** True once the ring said that events were lost and not how many. */
  lostUnknown = false;
  /** Rows whose time was before that of the row before, and was raised to it. */
  raised = 0;
  /** Why the last sub-buffer could not be read to its end, and at which byte of it; null where it could. */
  fault: string | null = null;
  faultAt = 0;
  /** Time of the last row. */
  last = 0;

  private readonly cpu: number;
  private readonly header: PageHeader;
  private readonly table: DecodeTable;
  private readonly tally: RingTally;

  constructor(cpu: number, header: PageHeader, table: DecodeTable, tally: RingTally) {
    this.cpu = cpu;
    this.header = header;
    this.table = table;
    this.tally = tally;
    // The shortest event that makes a row has a word of head and one of data.
    this.block = new EventBatch((header.dataSize >> 3) + 2);
  }

  /** Bytes of a sub-buffer. */
  get pageSize(): number {
    return this.header.dataOffset + this.header.dataSize;
  }

  /**
   * Fills the block with the events of the sub-buffer at byte `at` (a multiple of 4).
   * Both views are of the same bytes; the whole sub-buffer is there.
   */
  decode(words: Int32Array, bytes: Uint8Array, at: number): void {
    const { timeOffset, commitOffset, commitSize, dataOffset, dataSize } = this.header;
    this.block.length = 0;
    this.fault = null;
    const timeWord = (at + timeOffset) >> 2;
    const time = (words[timeWord] >>> 0) + (words[timeWord + 1] >>> 0) * 2 ** 32;
    const commitWord = (at + commitOffset) >> 2;
    const flags = words[commitWord];
    const commit = flags & COMMIT;
    const high = commitSize === 8 ? words[commitWord + 1] : 0;
    // Bit 31 is added as a negative int: with it, the high half is all ones.
    const sound = high === 0 || (high === -1 && (flags & MISSED) !== 0);
    if (commit > dataSize || (commit & 3) !== 0 || !sound) {
      this.fail(commitOffset, "the sub-buffer's length is none");
      return;
    }
    if (time < this.last - MAX_BACK) {
      this.fail(timeOffset, "the sub-buffer begins more than a second before the end of the last");
      return;
    }
    if ((flags & MISSED) !== 0) {
      const stored = (flags & MISSED_STORED) !== 0 && commit + commitSize <= dataSize;
      const countWord = (at + dataOffset + commit) >> 2;
      const upper = stored && commitSize === 8 ? words[countWord + 1] >>> 0 : 0;
      this.missed(time, stored ? (words[countWord] >>> 0) + upper * 2 ** 32 : -1);
    }
    this.decodeEvents(words, bytes, at, at + dataOffset, at + dataOffset + commit, time);
  }

  private decodeEvents(
    words: Int32Array,
    bytes: Uint8Array,
    page: number,
    begin: number,
    end: number,
    time: number,
  ): void {
    const { slotOf, slots } = this.table;
    const { others } = this.tally;
    const { block, cpu } = this;
    let base = time;
    // Kept apart from the base: both are exact, their sum is rounded above 2^53.
    let since = 0;
    let { last } = this;
    let count = 0;
    let p = begin;
    while (p < end) {
      const head = words[p >> 2];
      const type = head & 31;
      const delta = head >>> 5;
      let start = p + 4;
      let next: number;
      if (type > TYPE_LONG && type <= TYPE_DATA_MAX) {
        next = start + type * 4;
      } else if (type === TYPE_PADDING && delta === 0) {
        break;
      } else {
        // Everything else has a second word.
        if (start + 4 > end) {
          this.fail(p - page, "an event is cut");
          break;
        }
        const second = words[start >> 2];
        if (type > TYPE_PADDING) {
          const stamp = (second >>> 0) * 2 ** 27 + delta;
          if (type === TYPE_TIME_EXTEND) since += stamp;
          else {
            base = absolute(stamp, time);
            since = 0;
          }
          p = start + 4;
          continue;
        }
        if (second < 4 || (second & 3) !== 0) {
          this.fail(p - page, "the length of an event is none");
          break;
        }
        next = start + second;
        if (type === TYPE_PADDING) {
          // The kernel does not count the time of what was taken back.
          p = next > end || next <= p ? end : next;
          continue;
        }
        start += 4;
      }
      if (next > end || next <= start) {
        this.fail(p - page, "an event goes beyond its sub-buffer");
        break;
      }
      since += delta;
      count++;
      const id = words[start >> 2] & 0xffff;
      const slot = slotOf[id];
      if (slot < 0) {
        others[id]++;
        p = next;
        continue;
      }
      const length = next - start;
      if (length < slots[slot + SLOT_LEAST] || length > slots[slot + SLOT_MOST]) {
        this.fail(p - page, `an event with id ${id} has ${length} bytes, not those of its format`);
        count--;
        break;
      }
      let now = base + since;
      if (now < last) {
        now = last;
        this.raised++;
      }
      last = now;
      const i = block.length++;
      block.time[i] = now;
      block.kind[i] = slots[slot + SLOT_KIND];
      block.cpu[i] = cpu;
      block.pid[i] = words[(start + slots[slot + SLOT_PID]) >> 2];
      block.x[i] = readLarge(words, bytes, start + slots[slot + SLOT_X], slots[slot + SLOT_X + 1]);
      block.a[i] = readSmall(words, bytes, start + slots[slot + SLOT_A], slots[slot + SLOT_A + 1]);
      block.b[i] = readSmall(words, bytes, start + slots[slot + SLOT_B], slots[slot + SLOT_B + 1]);
      block.c[i] = readSmall(words, bytes, start + slots[slot + SLOT_C], slots[slot + SLOT_C + 1]);
      p = next;
    }
    this.last = last;
    this.events += count;
  }

  private missed(time: number, count: number): void {
    if (count < 0) this.lostUnknown = true;
    else this.lost += count;
    if (time > this.last) this.last = time;
    const { block, cpu } = this;
    block.push(this.last, EV_LOST satisfies EventKind, cpu, 0, count, 0, 0, 0);
  }

  private fail(at: number, why: string): void {
    this.fault = why;
    this.faultAt = at;
  }
}

/** A time of 59 bits with the high bits of the sub-buffer's, and one more where it wrapped. */
function absolute(stamp: number, time: number): number {
  const high = Math.floor(time / 2 ** 59) * 2 ** 59;
  if (high === 0) return stamp;
  return high + stamp < time ? high + stamp + 2 ** 59 : high + stamp;
}
