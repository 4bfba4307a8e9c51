/**
 * Counted words: memory (plain, or another kind) that also notes which 64-byte cache
 * lines an operation reads and writes.
 *
 * `measure` runs one operation and gives the distinct lines; a line that is
 * both read and written counts once in each. The page array and the descriptors
 * start on 64-byte boundaries, so a line here is a line of the real layout.
 */
import type { Bytes, Ref } from "../../units.js";
import { LineSet } from "./line-set.js";
import { PlainWords } from "./plain.js";
import type { Words } from "./words.js";

/** Distinct 64-byte lines of one operation. */
export interface LineCount {
  readonly read: number;
  readonly written: number;
  /** Lines touched at all: read, written or both. */
  readonly touched: number;
}

export class CountedWords implements Words {
  hi = 0;
  /** What keeps the words. */
  readonly memory: Words;
  readonly #reads = new LineSet();
  readonly #writes = new LineSet();

  constructor(size: Bytes, memory: Words = new PlainWords(size)) {
    this.memory = memory;
  }

  /** Runs `operation` and counts the lines it touches. */
  measure(operation: () => void): LineCount {
    this.#reads.clear();
    this.#writes.clear();
    operation();
    const both = this.#writes.inBoth(this.#reads);
    return {
      read: this.#reads.size,
      written: this.#writes.size,
      touched: this.#reads.size + this.#writes.size - both,
    };
  }

  load32(ref: Ref, off: number): number {
    this.#reads.add(line(ref, off));
    return this.memory.load32(ref, off);
  }

  store32(ref: Ref, off: number, value: number): void {
    this.#writes.add(line(ref, off));
    this.memory.store32(ref, off, value);
  }

  load64(ref: Ref, off: number): number {
    this.#reads.add(line(ref, off));
    const lo = this.memory.load64(ref, off);
    this.hi = this.memory.hi;
    return lo;
  }

  store64(ref: Ref, off: number, lo: number, hi: number): void {
    this.#writes.add(line(ref, off));
    this.memory.store64(ref, off, lo, hi);
  }

  cas32(ref: Ref, off: number, expected: number, value: number): boolean {
    this.#reads.add(line(ref, off));
    const done = this.memory.cas32(ref, off, expected, value);
    if (done) this.#writes.add(line(ref, off));
    return done;
  }

  cas64(ref: Ref, off: number, elo: number, ehi: number, lo: number, hi: number): boolean {
    this.#reads.add(line(ref, off));
    const done = this.memory.cas64(ref, off, elo, ehi, lo, hi);
    if (done) this.#writes.add(line(ref, off));
    return done;
  }

  add32(ref: Ref, off: number, delta: number): number {
    this.#reads.add(line(ref, off));
    this.#writes.add(line(ref, off));
    return this.memory.add32(ref, off, delta);
  }

  await32(ref: Ref, off: number, value: number): void {
    this.#reads.add(line(ref, off));
    this.memory.await32(ref, off, value);
  }

  awaitChange32(ref: Ref, off: number, value: number): void {
    this.#reads.add(line(ref, off));
    this.memory.awaitChange32(ref, off, value);
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
    const last = off + template.length * 4 * periods - 4;
    for (let at = off; at <= last; at += 64) this.#writes.add(line(ref, at));
    if (periods > 0) this.#writes.add(line(ref, last));
    this.memory.fillRun(ref, off, template, periods, strided, base, delta);
  }
}

const line = (ref: Ref, off: number): number => (ref + (off >> 4)) >> 2;
