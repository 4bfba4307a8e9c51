/**
 * Plain words: one Int32Array, indexed by 16-byte reference.
 *
 * The array is as large as the arena may become and zero; the host commits its
 * pages when they are first touched, so unused room costs nothing. Holes of the
 * page array are never touched and stay free.
 */
import { bytes, type Bytes, type Ref } from "../../units.js";
import { Deadlock, type Words } from "./words.js";

/** Largest dense arena: a word index must stay a 31-bit integer. */
export const DENSE_LIMIT: Bytes = bytes(2 ** 33);

export class PlainWords implements Words {
  hi = 0;
  readonly mem: Int32Array;

  /** Throws RangeError beyond {@link DENSE_LIMIT}: use sparse words there. */
  constructor(size: Bytes) {
    if (size > DENSE_LIMIT)
      throw new RangeError(`a dense arena of ${size} bytes is beyond ${DENSE_LIMIT}`);
    this.mem = new Int32Array(Math.ceil(size / 4));
  }

  load32(ref: Ref, off: number): number {
    return this.mem[(ref << 2) + (off >> 2)];
  }

  store32(ref: Ref, off: number, value: number): void {
    this.mem[(ref << 2) + (off >> 2)] = value;
  }

  load64(ref: Ref, off: number): number {
    const i = (ref << 2) + (off >> 2);
    this.hi = this.mem[i + 1];
    return this.mem[i];
  }

  store64(ref: Ref, off: number, lo: number, hi: number): void {
    const i = (ref << 2) + (off >> 2);
    this.mem[i] = lo;
    this.mem[i + 1] = hi;
  }

  cas32(ref: Ref, off: number, expected: number, value: number): boolean {
    const i = (ref << 2) + (off >> 2);
    if (this.mem[i] !== expected) return false;
    this.mem[i] = value;
    return true;
  }

  cas64(ref: Ref, off: number, elo: number, ehi: number, lo: number, hi: number): boolean {
    const i = (ref << 2) + (off >> 2);
    if (this.mem[i] !== elo || this.mem[i + 1] !== ehi) return false;
    this.mem[i] = lo;
    this.mem[i + 1] = hi;
    return true;
  }

  add32(ref: Ref, off: number, delta: number): number {
    const i = (ref << 2) + (off >> 2);
    return (this.mem[i] = (this.mem[i] + delta) | 0);
  }

  await32(ref: Ref, off: number, value: number): void {
    const is = this.load32(ref, off);
    if (is !== value) throw new Deadlock(ref, off, is, value);
  }

  awaitChange32(ref: Ref, off: number, value: number): void {
    const is = this.load32(ref, off);
    if (is === value) throw new Deadlock(ref, off, is, value);
  }

  fillRun(
    ref: Ref,
    off: number,
    template: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void {
    PlainWords.fillInto(this.mem, (ref << 2) + (off >> 2), template, periods, strided, base, delta);
  }

  /** What `fillRun` means, on bare words from index `start` on. */
  static fillInto(
    mem: Int32Array,
    start: number,
    template: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void {
    const n = template.length;
    if (strided === null) return fillSame(mem, start, template, periods);
    let value = base;
    for (let p = 0, at = start; p < periods; p++, at += n, value += delta) {
      const lo = value | 0;
      const hi = Math.floor(value / 0x1_0000_0000) | 0;
      if (n <= 32) for (let j = 0; j < n; j++) mem[at + j] = template[j];
      else mem.set(template, at);
      for (let s = 0; s < strided.length; s++) {
        const j = at + strided[s];
        const sum = (mem[j] >>> 0) + (lo >>> 0);
        mem[j] = sum | 0;
        mem[j + 1] += hi + (sum > 0xffffffff ? 1 : 0);
      }
    }
  }
}

/** Words up to which a loop is faster than calls of set and copyWithin. */
const SHORT = 64;

/** Copies equal periods by doubling: memmove does the work. */
function fillSame(mem: Int32Array, start: number, template: Int32Array, periods: number): void {
  const n = template.length;
  const total = n * periods;
  if (total === 0) return;
  if (total <= SHORT) {
    for (let i = 0; i < total; i++) mem[start + i] = template[i % n];
    return;
  }
  mem.set(template, start);
  let done = n;
  while (done < total) {
    const step = Math.min(done, total - done, 1 << 16);
    mem.copyWithin(start + done, start, start + step);
    done += step;
  }
}
