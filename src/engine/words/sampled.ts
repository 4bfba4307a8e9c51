/**
 * Sampled words: plain words that can also note which 64-byte cache lines an
 * operation reads and writes, for some operations out of many.
 *
 * A replay does millions of operations and wants lines of a share of them. Switched
 * off it costs a test for every access; switched on, lines are kept in two short
 * lists, which is quick for operations that touch tens of them. Long runs of equal
 * words (fillRun) count every line that they write.
 */
import type { Ref } from "../../units.js";
import { PlainWords } from "./plain.js";
import type { LineCount } from "./counted.js";

/** Most distinct lines noted of one operation; what lies beyond is counted as new each time. */
const MOST = 4096;

class ShortSet {
  readonly #lines = new Int32Array(MOST);
  size = 0;

  add(line: number): void {
    const lines = this.#lines;
    const n = Math.min(this.size, MOST);
    for (let i = n - 1; i >= 0; i--) if (lines[i] === line) return;
    if (this.size < MOST) lines[this.size] = line;
    this.size++;
  }

  inBoth(other: ShortSet): number {
    let both = 0;
    for (let i = 0; i < Math.min(this.size, MOST); i++) if (other.#has(this.#lines[i])) both++;
    return both;
  }

  #has(line: number): boolean {
    for (let i = 0; i < Math.min(this.size, MOST); i++) if (this.#lines[i] === line) return true;
    return false;
  }
}

const lineOf = (ref: Ref, off: number): number => (ref + (off >> 4)) >> 2;

export class SampledWords extends PlainWords {
  #counting = false;
  readonly #reads = new ShortSet();
  readonly #writes = new ShortSet();

  /** From now on lines are noted, until {@link stop}. */
  start(): void {
    this.#reads.size = 0;
    this.#writes.size = 0;
    this.#counting = true;
  }

  /** The lines since {@link start}. */
  stop(): LineCount {
    this.#counting = false;
    const read = this.#reads.size;
    const written = this.#writes.size;
    return { read, written, touched: read + written - this.#writes.inBoth(this.#reads) };
  }

  override load32(ref: Ref, off: number): number {
    if (this.#counting) this.#reads.add(lineOf(ref, off));
    return super.load32(ref, off);
  }

  override store32(ref: Ref, off: number, value: number): void {
    if (this.#counting) this.#writes.add(lineOf(ref, off));
    super.store32(ref, off, value);
  }

  override load64(ref: Ref, off: number): number {
    if (this.#counting) this.#reads.add(lineOf(ref, off));
    return super.load64(ref, off);
  }

  override store64(ref: Ref, off: number, lo: number, hi: number): void {
    if (this.#counting) this.#writes.add(lineOf(ref, off));
    super.store64(ref, off, lo, hi);
  }

  override cas32(ref: Ref, off: number, expected: number, value: number): boolean {
    if (this.#counting) this.#reads.add(lineOf(ref, off));
    const done = super.cas32(ref, off, expected, value);
    if (this.#counting && done) this.#writes.add(lineOf(ref, off));
    return done;
  }

  override cas64(ref: Ref, off: number, elo: number, ehi: number, lo: number, hi: number): boolean {
    if (this.#counting) this.#reads.add(lineOf(ref, off));
    const done = super.cas64(ref, off, elo, ehi, lo, hi);
    if (this.#counting && done) this.#writes.add(lineOf(ref, off));
    return done;
  }

  override add32(ref: Ref, off: number, delta: number): number {
    if (this.#counting) {
      this.#reads.add(lineOf(ref, off));
      this.#writes.add(lineOf(ref, off));
    }
    return super.add32(ref, off, delta);
  }

  override fillRun(
    ref: Ref,
    off: number,
    template: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void {
    if (this.#counting && periods > 0) {
      const last = off + template.length * 4 * periods - 4;
      for (let at = off; at <= last; at += 64) this.#writes.add(lineOf(ref, at));
      this.#writes.add(lineOf(ref, last));
    }
    super.fillRun(ref, off, template, periods, strided, base, delta);
  }
}
