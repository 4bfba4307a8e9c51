/**
 * A column of numbers ⇄ bytes, as a block of events holds its columns.
 *
 * Most numbers of a column are small, because what is stored is the difference from the
 * one before. So a column has a byte that says how many bytes each number takes, 0, 1 or 2;
 * then the low bytes of all numbers, then the high ones (apart from one another they
 * pack better); then, in groups of seven bits, those numbers that did not fit, each of
 * which has all its bytes 255. A column of doubles (3) is there for what is no
 * difference of integers.
 *
 * Numbers are held as 32 bits in `low`; BIG there says that the next one of `big` is meant.
 * The reader never looks past its end, whatever the bytes are.
 */
import { BLOCK_ROWS } from "./block-head.js";

export const BIG = 0xffffffff;

const ALL_ZERO = 0;
const ONE_BYTE = 1;
const TWO_BYTES = 2;
const DOUBLES = 3;

/** One number in so many takes more than a byte: then all take two. */
const WIDE_SHARE = 8;

/** Numbers on their way into a block or out of it. */
export class Numbers {
  readonly low = new Uint32Array(BLOCK_ROWS);
  readonly big = new Float64Array(BLOCK_ROWS);
  bigs = 0;
  /** True after a read where `big` holds all numbers, as they are. */
  doubles = false;
}

/** The unpacked bytes of a block, written one after the other into a buffer that has room. */
export class ColumnWriter {
  readonly bytes: Uint8Array;
  used = 0;
  private readonly view: DataView;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  byte(value: number): void {
    this.bytes[this.used++] = value;
  }

  /** The first `n` numbers. */
  put(numbers: Numbers, n: number): void {
    const { low } = numbers;
    let any = 0;
    let wide = 0;
    for (let i = 0; i < n; i++) {
      const v = low[i];
      any |= v;
      if (v >= 0xff) wide++;
    }
    if (any === 0) {
      this.byte(ALL_ZERO);
    } else if (wide * WIDE_SHARE <= n) {
      this.byte(ONE_BYTE);
      this.putBytes(low, n);
      if (wide > 0) this.putWide(numbers, n, 0xff);
    } else {
      this.byte(TWO_BYTES);
      if (this.putPairs(low, n)) this.putWide(numbers, n, 0xffff);
    }
  }

  private putBytes(low: Uint32Array, n: number): void {
    const { bytes, used } = this;
    for (let i = 0; i < n; i++) {
      const v = low[i];
      bytes[used + i] = v < 0xff ? v : 0xff;
    }
    this.used = used + n;
  }

  /** True where some did not fit. */
  private putPairs(low: Uint32Array, n: number): boolean {
    const { bytes, used } = this;
    let wide = false;
    for (let i = 0; i < n; i++) {
      let v = low[i];
      if (v >= 0xffff) {
        v = 0xffff;
        wide = true;
      }
      bytes[used + i] = v & 0xff;
      bytes[used + n + i] = v >>> 8;
    }
    this.used = used + 2 * n;
    return wide;
  }

  private putWide(numbers: Numbers, n: number, limit: number): void {
    const { low, big } = numbers;
    const { bytes } = this;
    let at = this.used;
    let next = 0;
    for (let i = 0; i < n; i++) {
      let v = low[i];
      if (v < limit) continue;
      if (v === BIG) v = big[next++];
      // Below 2^53, so in at most eight bytes.
      while (v >= 0x80) {
        bytes[at++] = (v % 0x80) | 0x80;
        v = Math.floor(v / 0x80);
      }
      bytes[at++] = v;
    }
    this.used = at;
  }

  /** The first `n` of `big`, as they are. */
  putDoubles(numbers: Numbers, n: number): void {
    this.byte(DOUBLES);
    for (let i = 0; i < n; i++) this.view.setFloat64(this.used + 8 * i, numbers.big[i], true);
    this.used += 8 * n;
  }
}

/** A block whose bytes are not what a writer can have written. */
export class BlockFault extends Error {
  override readonly name = "BlockFault";
}

/** Reads what a {@link ColumnWriter} wrote. Throws BlockFault for anything else. */
export class ColumnReader {
  readonly bytes: Uint8Array;
  at = 0;
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    this.need(1);
    return this.bytes[this.at++];
  }

  /** `n` numbers; false where all are 0, and then they are not filled in. */
  read(numbers: Numbers, n: number): boolean {
    const how = this.byte();
    numbers.bigs = 0;
    numbers.doubles = false;
    switch (how) {
      case ALL_ZERO:
        return false;
      case ONE_BYTE:
        this.need(n);
        if (this.readBytes(numbers.low, n)) this.readWide(numbers, n, 0xff);
        return true;
      case TWO_BYTES:
        this.need(2 * n);
        if (this.readPairs(numbers.low, n)) this.readWide(numbers, n, 0xffff);
        return true;
      case DOUBLES:
        this.need(8 * n);
        for (let i = 0; i < n; i++) numbers.big[i] = this.view.getFloat64(this.at + 8 * i, true);
        this.at += 8 * n;
        numbers.doubles = true;
        return true;
      default:
        throw new BlockFault(`a column of the kind ${how} is not known`);
    }
  }

  private readBytes(low: Uint32Array, n: number): boolean {
    const { bytes, at } = this;
    let wide = false;
    for (let i = 0; i < n; i++) {
      const v = bytes[at + i];
      low[i] = v;
      if (v === 0xff) wide = true;
    }
    this.at = at + n;
    return wide;
  }

  private readPairs(low: Uint32Array, n: number): boolean {
    const { bytes, at } = this;
    const high = at + n;
    let wide = false;
    for (let i = 0; i < n; i++) {
      const v = bytes[at + i] | (bytes[high + i] << 8);
      low[i] = v;
      if (v === 0xffff) wide = true;
    }
    this.at = at + 2 * n;
    return wide;
  }

  private readWide(numbers: Numbers, n: number, mark: number): void {
    const { low, big } = numbers;
    const { bytes } = this;
    const end = bytes.length;
    let { at } = this;
    for (let i = 0; i < n; i++) {
      if (low[i] !== mark) continue;
      let value = 0;
      let unit = 1;
      for (;;) {
        if (at === end || unit >= 2 ** 56) throw new BlockFault("a number of a column is cut");
        const byte = bytes[at++];
        value += (byte & 0x7f) * unit;
        if (byte < 0x80) break;
        unit *= 0x80;
      }
      if (value < BIG) {
        low[i] = value;
      } else {
        low[i] = BIG;
        big[numbers.bigs++] = value;
      }
    }
    this.at = at;
  }

  need(n: number): void {
    if (n > this.bytes.length - this.at) throw new BlockFault("a column is cut");
  }

  /** Refuses bytes that are left over. */
  done(): void {
    if (this.at !== this.bytes.length)
      throw new BlockFault(`${this.bytes.length - this.at} bytes are left over`);
  }
}
