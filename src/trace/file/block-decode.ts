/**
 * The unpacked bytes of a block → rows: the way back of block-encode.
 *
 * Whatever the bytes are, it ends, allocates nothing and writes only the rows that the
 * head names. Kinds that this version does not know are left out and counted: a number
 * is never given to another event, so they are a newer version's.
 */
import { EVENT_KINDS, type EventBatch } from "../events.js";
import { BLOCK_ROWS } from "./block-head.js";
import { BIG, BlockFault, ColumnReader, Numbers } from "./numbers.js";
import { rowsByKind, TIME_GROWS, TIME_SIGNED } from "./rows.js";

export class BlockDecoder {
  /** Rows left out so far, by kind. */
  readonly unknown = new Float64Array(256);
  private readonly numbers = new Numbers();
  private readonly order = new Uint16Array(BLOCK_ROWS);
  private readonly counts = new Int32Array(256);
  private readonly lastSmall = new Int32Array(65_536);
  private readonly lastLarge = new Float64Array(65_536);
  private cpus = 0;

  /**
   * Replaces the batch's rows by those of a block; `first` is its earliest time. Throws
   * BlockFault where the bytes are none; what the batch holds then is nothing.
   */
  decode(body: Uint8Array, rows: number, first: number, batch: EventBatch): void {
    const { counts } = this;
    const from = new ColumnReader(body);
    from.need(rows);
    batch.length = 0;
    batch.kind.set(body.subarray(0, rows));
    from.at = rows;
    this.readCpus(from, rows, batch.cpu);
    rowsByKind(batch.kind, rows, counts, this.order);
    this.readTimes(from, rows, first, batch.time);
    let start = 0;
    for (let kind = 0; kind < 256; kind++) {
      const end = start + counts[kind];
      if (end > start) {
        this.readSmall(from, batch.pid, batch.cpu, start, end);
        this.readLarge(from, batch.x, batch.cpu, start, end);
        this.readSmall(from, batch.a, batch.cpu, start, end);
        this.readSmall(from, batch.b, batch.cpu, start, end);
        this.readSmall(from, batch.c, batch.cpu, start, end);
      }
      start = end;
    }
    from.done();
    batch.length = rows;
    this.leaveOut(batch);
  }

  private readCpus(from: ColumnReader, n: number, cpu: Uint16Array): void {
    const { numbers } = this;
    this.cpus = 1;
    if (!from.read(numbers, n)) {
      cpu.fill(0, 0, n);
      return;
    }
    if (numbers.doubles) throw new BlockFault("processors are no doubles");
    const { low } = numbers;
    let most = 0;
    for (let i = 0; i < n; i++) {
      const v = low[i];
      cpu[i] = v;
      if (v > most) most = v;
    }
    if (most > 0xffff) throw new BlockFault(`a processor ${most}`);
    this.cpus = most + 1;
  }

  private readTimes(from: ColumnReader, n: number, first: number, time: Float64Array): void {
    const { numbers, order } = this;
    const { low, big } = numbers;
    const how = from.byte();
    if (how > TIME_SIGNED) throw new BlockFault("the way of its times is not known");
    if (!from.read(numbers, n)) {
      time.fill(first, 0, n);
      return;
    }
    if (numbers.doubles) {
      for (let i = 0; i < n; i++) time[order[i]] = big[i];
      return;
    }
    const grows = how === TIME_GROWS;
    let next = 0;
    for (let i = 0; i < n; i++) {
      const z = low[i];
      if (z === BIG) time[order[i]] = grows ? big[next++] : unfoldLarge(big[next++]);
      else time[order[i]] = grows ? z : (z >>> 1) ^ -(z & 1);
    }
    let now = first;
    for (let i = 0; i < n; i++) {
      now += time[i];
      time[i] = now;
    }
  }

  private readSmall(
    from: ColumnReader,
    column: Int32Array,
    cpu: Uint16Array,
    start: number,
    end: number,
  ): void {
    const { numbers, order, lastSmall } = this;
    const { low } = numbers;
    if (!from.read(numbers, end - start)) {
      for (let i = start; i < end; i++) column[order[i]] = 0;
      return;
    }
    if (numbers.doubles) throw new BlockFault("a small column is no doubles");
    lastSmall.fill(0, 0, this.cpus);
    for (let i = start; i < end; i++) {
      const row = order[i];
      const p = cpu[row];
      const z = low[i - start];
      const v = (lastSmall[p] + ((z >>> 1) ^ -(z & 1))) | 0;
      lastSmall[p] = v;
      column[row] = v;
    }
  }

  private readLarge(
    from: ColumnReader,
    column: Float64Array,
    cpu: Uint16Array,
    start: number,
    end: number,
  ): void {
    const { numbers, order, lastLarge } = this;
    const { low, big } = numbers;
    if (!from.read(numbers, end - start)) {
      for (let i = start; i < end; i++) column[order[i]] = -1;
      return;
    }
    if (numbers.doubles) {
      for (let i = start; i < end; i++) column[order[i]] = big[i - start];
      return;
    }
    lastLarge.fill(-1, 0, this.cpus);
    let next = 0;
    for (let i = start; i < end; i++) {
      const row = order[i];
      const p = cpu[row];
      const z = low[i - start];
      const v = lastLarge[p] + (z === BIG ? unfoldLarge(big[next++]) : (z >>> 1) ^ -(z & 1));
      lastLarge[p] = v;
      column[row] = v;
    }
  }

  /** Closes the gaps of rows whose kind is not known. */
  private leaveOut(batch: EventBatch): void {
    const { counts } = this;
    let out = counts[0];
    for (let kind = EVENT_KINDS; kind < 256; kind++) out += counts[kind];
    if (out === 0) return;
    const { time, kind, cpu, pid, x, a, b, c, length } = batch;
    let o = 0;
    for (let i = 0; i < length; i++) {
      const k = kind[i];
      if (k === 0 || k >= EVENT_KINDS) {
        this.unknown[k]++;
        continue;
      }
      time[o] = time[i];
      kind[o] = k;
      cpu[o] = cpu[i];
      pid[o] = pid[i];
      x[o] = x[i];
      a[o] = a[i];
      b[o] = b[i];
      c[o] = c[i];
      o++;
    }
    batch.length = o;
  }
}

/** A difference from its number without a sign, where that takes more than 32 bits. */
function unfoldLarge(z: number): number {
  const half = Math.floor(z / 2);
  return z - 2 * half === 0 ? half : -half - 1;
}
