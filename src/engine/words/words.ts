/**
 * Memory as words: the one door through which every page word, descriptor,
 * count, lock and list head of the simulated machine is read and written.
 *
 * An address is a `Ref` (16-byte units) and a byte offset from it; a 64-bit
 * access is one step, its low half the result and its high half in `hi`. There
 * are four classes behind this interface: plain (fast), counted (cache lines
 * per operation), checked (stops before each access) and sparse (machines
 * larger than the host). One isolate should run one of them, so that the calls
 * disappear in the JIT (architecture, rule 2).
 *
 * Nothing here allocates per access, and no access is a bigint or a double used
 * as an address.
 */
import type { Ref } from "../../units.js";

export interface Words {
  /** High half of the last `load64`. */
  hi: number;

  load32(ref: Ref, off: number): number;
  store32(ref: Ref, off: number, value: number): void;
  /** Returns the low half (signed); the high half is in `hi`. */
  load64(ref: Ref, off: number): number;
  store64(ref: Ref, off: number, lo: number, hi: number): void;
  /** Writes `value` if the word is `expected`; says whether it did. */
  cas32(ref: Ref, off: number, expected: number, value: number): boolean;
  cas64(ref: Ref, off: number, elo: number, ehi: number, lo: number, hi: number): boolean;
  /** Atomic add; returns the new value (signed). */
  add32(ref: Ref, off: number, delta: number): number;
  /**
   * Goes on once the word is `value`: what a sleeping thread does. Where only
   * one thread runs, a wait for something that is not so can never end and
   * throws a {@link Deadlock}.
   */
  await32(ref: Ref, off: number, value: number): void;
  /** Goes on once the word is no longer `value`; alone like `await32`. */
  awaitChange32(ref: Ref, off: number, value: number): void;
  /**
   * Writes `periods` copies of `template` one after another from (ref, off).
   * Each 64-bit field whose low word's index is listed in `strided` gets
   * `base + i × delta` added in copy i. What populates a machine run by run:
   * plain words copy, sparse words keep the formula.
   */
  fillRun(
    ref: Ref,
    off: number,
    template: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void;
}

/** A wait that nothing can end: a bug in the engine, never in its input. */
export class Deadlock extends Error {
  override readonly name = "Deadlock";
  constructor(ref: Ref, off: number, is: number, wants: number) {
    const what = is === wants ? "to be no longer" : "to become";
    super(`waiting for word ${ref}+${off} ${what} ${wants}, it is ${is} and no other thread runs`);
  }
}

/** The two halves of a non-negative integer below 2^53. */
export const lowHalf = (n: number): number => n | 0;
export const highHalf = (n: number): number => Math.floor(n / 0x1_0000_0000) | 0;

/** The 64-bit address of a place in the arena: ref × 16. */
export const addressLow = (ref: Ref): number => ref << 4;
export const addressHigh = (ref: Ref): number => ref >>> 28;
/** The place that an address with the low four bits (the tag) cut off names. */
export const refOfAddress = (lo: number, hi: number): Ref => ((lo >>> 4) | (hi << 28)) as Ref;
