/**
 * Memory that can be undone, and told apart, without copying it.
 *
 * Each access that may write notes the old values of its one or two words, so
 * going back costs as much as going forward did. Beside that it keeps the set of
 * words that differ from the start and a hash of them, both step by step; two
 * memories are compared word for word where the hashes agree, so a merged state
 * is an equal state, never a likely one.
 */
import type { Access } from "../engine/words/checked.js";

/** Index of an access's first word. */
const indexOf = (access: Access): number => (access.ref << 2) + (access.off >> 2);
const widthOf = (access: Access): number => (access.kind.endsWith("64") ? 2 : 1);
const mayWrite = (access: Access): boolean =>
  !(access.kind.startsWith("load") || access.kind.startsWith("await"));

export class TrackedMemory {
  readonly mem: Int32Array;
  /** Words that differ from the start. */
  differing = 0;
  /** Hash over them; equal memories have equal hashes. */
  hash = 0;
  readonly #index: number[] = [];
  readonly #old: number[] = [];
  /** What each word that was ever written was at the start. */
  readonly #start = new Map<number, number>();

  constructor(mem: Int32Array) {
    this.mem = mem;
  }

  /** Whether an access lies in memory at all. */
  holds(access: Access): boolean {
    const i = indexOf(access);
    return Number.isInteger(access.ref) && i >= 0 && i + widthOf(access) <= this.mem.length;
  }

  /** Notes what an access is about to overwrite. Returns where to undo to. */
  before(access: Access): number {
    const mark = this.#index.length;
    if (!mayWrite(access)) return mark;
    const i = indexOf(access);
    for (let j = i; j < i + widthOf(access); j++) {
      this.#index.push(j);
      this.#old.push(this.mem[j]);
      if (!this.#start.has(j)) this.#start.set(j, this.mem[j]);
    }
    return mark;
  }

  /** Takes in what was written since `mark`. */
  after(mark: number): void {
    for (let k = mark; k < this.#index.length; k++) {
      const i = this.#index[k];
      this.#changed(i, this.#old[k], this.mem[i]);
    }
  }

  undo(mark: number): void {
    while (this.#index.length > mark) {
      const i = this.#index.pop() ?? 0;
      const old = this.#old.pop() ?? 0;
      this.#changed(i, this.mem[i], old);
      this.mem[i] = old;
    }
  }

  #changed(i: number, from: number, to: number): void {
    if (from === to) return;
    const start = this.#start.get(i);
    if (from !== start) {
      this.hash ^= mix(i, from);
      this.differing--;
    }
    if (to !== start) {
      this.hash ^= mix(i, to);
      this.differing++;
    }
  }

  /** The words that differ, as pairs of index and value. */
  difference(): Int32Array {
    const pairs = new Int32Array(this.differing * 2);
    let at = 0;
    for (const [i, start] of this.#start) {
      if (this.mem[i] === start) continue;
      pairs[at++] = i;
      pairs[at++] = this.mem[i];
    }
    return pairs;
  }

  /** Whether memory now differs from the start in exactly these words. */
  equals(pairs: Int32Array): boolean {
    if (pairs.length !== this.differing * 2) return false;
    for (let at = 0; at < pairs.length; at += 2)
      if (this.mem[pairs[at]] !== pairs[at + 1]) return false;
    return true;
  }
}

/** A hash of one word's place and value. */
function mix(i: number, value: number): number {
  let h = Math.imul(i ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(value, 0xc2b2ae35);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
}
