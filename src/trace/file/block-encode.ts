/**
 * Rows → the bytes of a block, before they are packed.
 *
 * Kinds and processors stand in the order of the rows. All other columns are taken
 * apart by kind, the rows of a kind in their order: an allocation's frame follows
 * from that of the allocation before and not from a fault's address. What is stored is
 * the difference from the row before of the same kind on the same processor (time:
 * from the row before), folded so that small negative numbers are small too.
 *
 * Exact for any number: where a difference would not give the number back (beyond 2^52,
 * or no integer), the column of that kind is stored as doubles.
 */
import { EV_LOST, type EventBatch } from "../events.js";
import { BLOCK_ROWS, type BlockHead, maxBody } from "./block-head.js";
import { BIG, ColumnWriter, Numbers } from "./numbers.js";
import { rowsByKind, TIME_GROWS, TIME_SIGNED } from "./rows.js";

/** Differences below this, doubled, are still integers that a double holds. */
const MAX_DIFFERENCE = 2 ** 52;

export class BlockEncoder {
  private readonly out = new ColumnWriter(maxBody(BLOCK_ROWS));
  private readonly numbers = new Numbers();
  /** Rows by kind: the first kind's rows, then the second's, … */
  private readonly order = new Uint16Array(BLOCK_ROWS);
  private readonly counts = new Int32Array(256);
  private readonly lastSmall = new Int32Array(65_536);
  private readonly lastLarge = new Float64Array(65_536);
  private cpus = 0;

  /** The bytes of all rows, 1 … BLOCK_ROWS; they are the encoder's, until the next call. */
  encode(batch: EventBatch): Uint8Array {
    const { out, counts } = this;
    const n = batch.length;
    out.used = 0;
    out.bytes.set(batch.kind.subarray(0, n));
    out.used = n;
    this.putCpus(batch);
    rowsByKind(batch.kind, n, counts, this.order);
    this.putTimes(batch);
    let start = 0;
    for (let kind = 0; kind < 256; kind++) {
      const end = start + counts[kind];
      if (end > start) {
        this.putSmall(batch.pid, batch.cpu, start, end);
        this.putLarge(batch.x, batch.cpu, start, end);
        this.putSmall(batch.a, batch.cpu, start, end);
        this.putSmall(batch.b, batch.cpu, start, end);
        this.putSmall(batch.c, batch.cpu, start, end);
      }
      start = end;
    }
    return out.bytes.subarray(0, out.used);
  }

  private putCpus(batch: EventBatch): void {
    const { low } = this.numbers;
    const n = batch.length;
    let most = 0;
    for (let i = 0; i < n; i++) {
      const cpu = batch.cpu[i];
      low[i] = cpu;
      if (cpu > most) most = cpu;
    }
    this.cpus = most + 1;
    this.out.put(this.numbers, n);
  }

  private putTimes(batch: EventBatch): void {
    const { out, order, numbers } = this;
    const { low, big } = numbers;
    const { time } = batch;
    const n = batch.length;
    let grows = true;
    for (let i = 1; i < n; i++) if (!(time[i] >= time[i - 1])) grows = false;
    out.byte(grows ? TIME_GROWS : TIME_SIGNED);
    const start = grows ? time[0] : earliest(batch);
    let bigs = 0;
    for (let i = 0; i < n; i++) {
      const row = order[i];
      const from = row === 0 ? start : time[row - 1];
      const d = time[row] - from;
      const small = d | 0;
      if (small === d && from + d === time[row]) {
        const z = (grows ? small : (small << 1) ^ (small >> 31)) >>> 0;
        if (z !== BIG) {
          low[i] = z;
          continue;
        }
      }
      const z = foldLarge(from, d, time[row], grows);
      if (z < 0) {
        for (let j = 0; j < n; j++) big[j] = time[order[j]];
        out.putDoubles(numbers, n);
        return;
      }
      if (z < BIG) {
        low[i] = z;
      } else {
        low[i] = BIG;
        big[bigs++] = z;
      }
    }
    out.put(numbers, n);
  }

  private putSmall(column: Int32Array, cpu: Uint16Array, start: number, end: number): void {
    const { order, numbers, lastSmall } = this;
    const { low, big } = numbers;
    lastSmall.fill(0, 0, this.cpus);
    let bigs = 0;
    for (let i = start; i < end; i++) {
      const row = order[i];
      const p = cpu[row];
      const v = column[row];
      const d = (v - lastSmall[p]) | 0;
      lastSmall[p] = v;
      const z = ((d << 1) ^ (d >> 31)) >>> 0;
      low[i - start] = z;
      if (z === BIG) big[bigs++] = z;
    }
    this.out.put(numbers, end - start);
  }

  private putLarge(column: Float64Array, cpu: Uint16Array, start: number, end: number): void {
    const { order, numbers, lastLarge } = this;
    const { low, big } = numbers;
    // Kinds that have no such number have −1.
    lastLarge.fill(-1, 0, this.cpus);
    let bigs = 0;
    for (let i = start; i < end; i++) {
      const row = order[i];
      const p = cpu[row];
      const v = column[row];
      const from = lastLarge[p];
      const d = v - from;
      lastLarge[p] = v;
      const small = d | 0;
      if (small === d && from + d === v) {
        const z = ((small << 1) ^ (small >> 31)) >>> 0;
        if (z !== BIG) {
          low[i - start] = z;
          continue;
        }
      }
      const z = foldLarge(from, d, v, false);
      if (z < 0) {
        for (let j = start; j < end; j++) big[j - start] = column[order[j]];
        this.out.putDoubles(numbers, end - start);
        return;
      }
      if (z < BIG) {
        low[i - start] = z;
      } else {
        low[i - start] = BIG;
        big[bigs++] = z;
      }
    }
    this.out.put(numbers, end - start);
  }
}

/** What the first row of times that go back is told from; the head of the block has it. */
function earliest(batch: EventBatch): number {
  let least = batch.time[0];
  for (let i = 1; i < batch.length; i++) if (batch.time[i] < least) least = batch.time[i];
  return least;
}

/** A difference without a sign; −1 where it would not give the number back. */
function foldLarge(from: number, d: number, to: number, grows: boolean): number {
  if (!(Math.abs(d) < MAX_DIFFERENCE) || !Number.isInteger(d) || from + d !== to) return -1;
  if (grows) return d;
  return d >= 0 ? 2 * d : -2 * d - 1;
}

/** The head of a block of these rows, whose bytes are so many. */
export function blockHeadOf(batch: EventBatch, body: number): BlockHead {
  let first = batch.time[0];
  let last = first;
  let lostRows = 0;
  let lost = 0;
  for (let i = 0; i < batch.length; i++) {
    const t = batch.time[i];
    if (t < first) first = t;
    if (t > last) last = t;
    if (batch.kind[i] !== EV_LOST) continue;
    lostRows++;
    if (batch.x[i] > 0) lost += batch.x[i];
  }
  return { first, last, rows: batch.length, body, lostRows, lost };
}
