/**
 * Checked words: a thread's view of shared memory that stops before each access.
 *
 * A thread is a plain function of the engine. It is run again and again: the
 * accesses it has already made are answered from its log, the next one is made
 * for real, and the one after that is not made but thrown as a {@link Stop}
 * that says what the thread wants to do. An explorer that holds several threads
 * and the memory can so run engine code in every order, without generators and
 * without a second copy of any protocol. That is why engine code must not catch
 * around accesses, and between its first and last access may change only words
 * and locals (architecture, rule 2).
 */
import type { Ref } from "../../units.js";
import type { Words } from "./words.js";
import { PlainWords } from "./plain.js";

export type AccessKind = "load32" | "load64" | "store32" | "store64" | "cas32" | "cas64" | "add32" | "await32";

/** What a stopped thread is about to do. */
export interface Access {
  readonly kind: AccessKind;
  readonly ref: Ref;
  readonly off: number;
  /** For await32: the value it waits for; for writes the new low word. */
  readonly value: number;
}

/** Thrown before an access that was not granted. Not an error. */
export class Stop {
  readonly access: Access;
  constructor(access: Access) {
    this.access = access;
  }
}

/** One answered access: its result halves, and what it was. */
export interface Logged {
  readonly access: Access;
  readonly lo: number;
  readonly hi: number;
}

export class CheckedWords implements Words {
  hi = 0;
  readonly memory: PlainWords;
  #log: readonly Logged[] = [];
  #at = 0;
  #grant = 0;
  #made: Logged | null = null;

  constructor(memory: PlainWords) {
    this.memory = memory;
  }

  /**
   * Runs a thread from its start: `log` answers its first accesses, then
   * `grant` (0 or 1) more are made for real. Returns the access made now (null
   * if none) and the one it stopped before (null if the thread ended).
   */
  resume(thread: () => void, log: readonly Logged[], grant: 0 | 1): { made: Logged | null; next: Access | null } {
    this.#log = log;
    this.#at = 0;
    this.#grant = grant;
    this.#made = null;
    let next: Access | null = null;
    try {
      thread();
    } catch (stop) {
      if (!(stop instanceof Stop)) throw stop;
      next = stop.access;
    }
    return { made: this.#made, next };
  }

  /** Answers from the log, makes the granted access, or stops. Returns the low half. */
  #access(kind: AccessKind, ref: Ref, off: number, value: number, make: (m: PlainWords) => number): number {
    if (this.#at < this.#log.length) {
      const was = this.#log[this.#at++];
      this.hi = was.hi;
      return was.lo;
    }
    const access: Access = { kind, ref, off, value };
    if (this.#grant === 0) throw new Stop(access);
    this.#grant = 0;
    const lo = make(this.memory);
    this.hi = this.memory.hi;
    this.#made = { access, lo, hi: this.hi };
    return lo;
  }

  load32(ref: Ref, off: number): number {
    return this.#access("load32", ref, off, 0, (m) => m.load32(ref, off));
  }

  store32(ref: Ref, off: number, value: number): void {
    this.#access("store32", ref, off, value, (m) => (m.store32(ref, off, value), 0));
  }

  load64(ref: Ref, off: number): number {
    return this.#access("load64", ref, off, 0, (m) => m.load64(ref, off));
  }

  store64(ref: Ref, off: number, lo: number, hi: number): void {
    this.#access("store64", ref, off, lo, (m) => (m.store64(ref, off, lo, hi), 0));
  }

  cas32(ref: Ref, off: number, expected: number, value: number): boolean {
    return this.#access("cas32", ref, off, value, (m) => (m.cas32(ref, off, expected, value) ? 1 : 0)) === 1;
  }

  cas64(ref: Ref, off: number, elo: number, ehi: number, lo: number, hi: number): boolean {
    return this.#access("cas64", ref, off, lo, (m) => (m.cas64(ref, off, elo, ehi, lo, hi) ? 1 : 0)) === 1;
  }

  add32(ref: Ref, off: number, delta: number): number {
    return this.#access("add32", ref, off, delta, (m) => m.add32(ref, off, delta));
  }

  await32(ref: Ref, off: number, value: number): void {
    this.#access("await32", ref, off, value, (m) => (m.await32(ref, off, value), 0));
  }

  /** Bulk fills are for populating, before threads run: one step, not many. */
  fillRun(
    ref: Ref,
    off: number,
    template: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void {
    this.#access("store64", ref, off, template[0] ?? 0, (m) => {
      m.fillRun(ref, off, template, periods, strided, base, delta);
      return 0;
    });
  }
}
