/**
 * Words for threads that wait: a thread runs until it ends or has to wait for a
 * word that another thread must change.
 *
 * A thread is a plain function, so one that waits is left by an exception and run
 * again from its start once it may go on: the accesses that it had made are
 * answered from its log and not made again. As with checked words that works
 * because engine functions change only words and locals between two accesses
 * (architecture, rule 2); what pages hold is no word, so {@link Replaying} is told
 * when to keep still. Unlike there, threads change places only where one waits.
 */
import type { Ref } from "../units.js";
import { CountedWords } from "../engine/words/counted.js";

/** What a thread waits for: a word to become a value, or to be another one. */
export class Waiting {
  readonly ref: Ref;
  readonly off: number;
  readonly value: number;
  readonly until: "is" | "is not";

  constructor(ref: Ref, off: number, value: number, until: "is" | "is not") {
    this.ref = ref;
    this.off = off;
    this.value = value;
    this.until = until;
  }

  /** Whether it has come. */
  isOver(words: ThreadedWords): boolean {
    const holds = words.load32(this.ref, this.off) === this.value;
    return this.until === "is" ? holds : !holds;
  }
}

/** State beside the words that must not change while a thread is run again. */
export interface Replaying {
  muted: boolean;
}

/** A thread did something else when it was run again. */
export class NotRepeatable extends Error {
  override readonly name = "NotRepeatable";
}

/** What a thread has done so far: place, low and high half of each access. */
type Log = number[];
const ENTRY = 3;

export class ThreadedWords extends CountedWords {
  #log: Log | null = null;
  #at = 0;
  #beside: Replaying = { muted: false };

  /**
   * Runs a thread on from where its log ends, which it has not where it starts;
   * what it waits for, or null where it has ended.
   */
  runThread(log: number[], starts: boolean, beside: Replaying, does: () => void): Waiting | null {
    this.#log = log;
    this.#at = 0;
    this.#beside = beside;
    beside.muted = !starts;
    try {
      does();
      return null;
    } catch (why) {
      if (why instanceof Waiting) return why;
      throw why;
    } finally {
      this.#log = null;
      beside.muted = false;
    }
  }

  /** Whether the log answers the next access; where it then is. */
  #again(log: Log, place: number): boolean {
    // What was done behind the last access and before the wait was done, too.
    if (this.#at === log.length) {
      this.#beside.muted = false;
      return false;
    }
    if (log[this.#at] !== place)
      throw new NotRepeatable(
        "a thread did something else when it was run again after a wait: before a wait a thread may only call the kernel",
      );
    this.#at += ENTRY;
    return true;
  }

  /** Whether the thread does again what it has done already. */
  protected get replays(): boolean {
    return this.#log !== null && this.#at < this.#log.length;
  }

  #did(log: Log, place: number, lo: number): void {
    log.push(place, lo, this.hi);
    this.#at += ENTRY;
  }

  /** The low half that the log has for the access just answered; the high one goes to `hi`. */
  #told(log: Log): number {
    this.hi = log[this.#at - 1];
    return log[this.#at - 2];
  }

  override load32(ref: Ref, off: number): number {
    const log = this.#log;
    if (log === null) return super.load32(ref, off);
    if (this.#again(log, placeOf(ref, off))) return this.#told(log);
    const lo = super.load32(ref, off);
    this.#did(log, placeOf(ref, off), lo);
    return lo;
  }

  override store32(ref: Ref, off: number, value: number): void {
    const log = this.#log;
    if (log === null) return super.store32(ref, off, value);
    if (this.#again(log, placeOf(ref, off))) return;
    super.store32(ref, off, value);
    this.#did(log, placeOf(ref, off), 0);
  }

  override load64(ref: Ref, off: number): number {
    const log = this.#log;
    if (log === null) return super.load64(ref, off);
    if (this.#again(log, placeOf(ref, off))) return this.#told(log);
    const lo = super.load64(ref, off);
    this.#did(log, placeOf(ref, off), lo);
    return lo;
  }

  override store64(ref: Ref, off: number, lo: number, hi: number): void {
    const log = this.#log;
    if (log === null) return super.store64(ref, off, lo, hi);
    if (this.#again(log, placeOf(ref, off))) return;
    super.store64(ref, off, lo, hi);
    this.#did(log, placeOf(ref, off), 0);
  }

  override cas32(ref: Ref, off: number, expected: number, value: number): boolean {
    const log = this.#log;
    if (log === null) return super.cas32(ref, off, expected, value);
    if (this.#again(log, placeOf(ref, off))) return this.#told(log) === 1;
    const done = super.cas32(ref, off, expected, value);
    this.#did(log, placeOf(ref, off), done ? 1 : 0);
    return done;
  }

  override cas64(ref: Ref, off: number, elo: number, ehi: number, lo: number, hi: number): boolean {
    const log = this.#log;
    if (log === null) return super.cas64(ref, off, elo, ehi, lo, hi);
    if (this.#again(log, placeOf(ref, off))) return this.#told(log) === 1;
    const done = super.cas64(ref, off, elo, ehi, lo, hi);
    this.#did(log, placeOf(ref, off), done ? 1 : 0);
    return done;
  }

  override add32(ref: Ref, off: number, delta: number): number {
    const log = this.#log;
    if (log === null) return super.add32(ref, off, delta);
    if (this.#again(log, placeOf(ref, off))) return this.#told(log);
    const lo = super.add32(ref, off, delta);
    this.#did(log, placeOf(ref, off), lo);
    return lo;
  }

  override await32(ref: Ref, off: number, value: number): void {
    if (this.#log === null) return super.await32(ref, off, value);
    if (this.load32(ref, off) !== value) this.#wait(ref, off, value, "is");
  }

  override awaitChange32(ref: Ref, off: number, value: number): void {
    if (this.#log === null) return super.awaitChange32(ref, off, value);
    if (this.load32(ref, off) === value) this.#wait(ref, off, value, "is not");
  }

  /** The look at the word that found it has to wait is no part of the log: it looks again. */
  #wait(ref: Ref, off: number, value: number, until: "is" | "is not"): never {
    this.#log?.splice(-ENTRY);
    throw new Waiting(ref, off, value, until);
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
    const log = this.#log;
    if (log !== null && this.#again(log, placeOf(ref, off))) return;
    super.fillRun(ref, off, template, periods, strided, base, delta);
    if (log !== null) this.#did(log, placeOf(ref, off), 0);
  }
}

const placeOf = (ref: Ref, off: number): number => ref * 16 + off;
