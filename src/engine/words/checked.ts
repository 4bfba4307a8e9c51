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
 *
 * Outside of `resume` accesses go straight to memory: one machine, booted and
 * set up on these words, serves all threads and the checks around them.
 */
import type { Ref } from "../../units.js";
import type { Words } from "./words.js";
import { PlainWords } from "./plain.js";

export type AccessKind =
  | "load32"
  | "load64"
  | "store32"
  | "store64"
  | "cas32"
  | "cas64"
  | "add32"
  | "await32"
  | "awaitChange32";

/** What a stopped thread is about to do. */
export interface Access {
  readonly kind: AccessKind;
  readonly ref: Ref;
  readonly off: number;
  /** For await32: the value it waits for, for awaitChange32 the one it waits to end; for writes the new low word; for add32 what is added. */
  readonly value: number;
  /** For 64-bit writes the new high word, else 0. */
  readonly high: number;
}

/** Thrown before an access that was not granted. Not an error. */
export class Stop {
  readonly access: Access;
  constructor(access: Access) {
    this.access = access;
  }
}

/** One answered access: its result halves (`hi` for load64 only), and what it was. */
export interface Logged {
  readonly access: Access;
  readonly lo: number;
  readonly hi: number;
}

/** How far a thread got: the access made now, the one it stopped before, or what it returned. */
export interface Resumed<T> {
  readonly made: Logged | null;
  readonly next: Access | null;
  /** What the thread returned; undefined while it has not ended. */
  readonly result: T | undefined;
}

/** A thread that did something else when it was run again: it breaks rule 2. */
export class NotRepeatable extends Error {
  override readonly name = "NotRepeatable";
  constructor(at: number, was: Access, is: string) {
    super(
      `access ${at} was ${was.kind} of ${was.ref}+${was.off} and is ${is} when the thread is run again`,
    );
  }
}

export class CheckedWords implements Words {
  hi = 0;
  readonly memory: PlainWords;
  #running = false;
  #log: readonly Logged[] = [];
  #at = 0;
  #grant = 0;
  #made: Logged | null = null;

  constructor(memory: PlainWords) {
    this.memory = memory;
  }

  /**
   * Runs a thread from its start: `log` answers its first accesses, then
   * `grant` (0 or 1) more are made for real. Whatever the thread throws itself
   * comes out of here.
   */
  resume<T>(thread: () => T, log: readonly Logged[], grant: 0 | 1): Resumed<T> {
    this.#log = log;
    this.#at = 0;
    this.#grant = grant;
    this.#made = null;
    this.#running = true;
    this.hi = 0;
    try {
      const result = thread();
      return { made: this.#made, next: null, result };
    } catch (stop) {
      if (!(stop instanceof Stop)) throw stop;
      return { made: this.#made, next: stop.access, result: undefined };
    } finally {
      this.#running = false;
    }
  }

  /** The log's answer to the next access; null when it is this one's turn to be made. */
  #answer(kind: AccessKind, ref: Ref, off: number, value: number, high: number): Logged | null {
    if (this.#at < this.#log.length) {
      const was = this.#log[this.#at++];
      const { access } = was;
      if (access.ref !== ref || access.off !== off || access.kind !== kind) {
        throw new NotRepeatable(this.#at, access, `${kind} of ${ref}+${off}`);
      }
      return was;
    }
    if (this.#grant === 0) throw new Stop({ kind, ref, off, value, high });
    this.#grant = 0;
    return null;
  }

  #did(
    kind: AccessKind,
    ref: Ref,
    off: number,
    value: number,
    high: number,
    lo: number,
    hi: number,
  ): void {
    this.#made = { access: { kind, ref, off, value, high }, lo, hi };
  }

  load32(ref: Ref, off: number): number {
    if (!this.#running) return this.memory.load32(ref, off);
    const was = this.#answer("load32", ref, off, 0, 0);
    if (was !== null) return was.lo;
    const lo = this.memory.load32(ref, off);
    this.#did("load32", ref, off, 0, 0, lo, 0);
    return lo;
  }

  store32(ref: Ref, off: number, value: number): void {
    if (!this.#running) return this.memory.store32(ref, off, value);
    if (this.#answer("store32", ref, off, value, 0) !== null) return;
    this.memory.store32(ref, off, value);
    this.#did("store32", ref, off, value, 0, 0, 0);
  }

  load64(ref: Ref, off: number): number {
    const was = this.#running ? this.#answer("load64", ref, off, 0, 0) : null;
    if (was !== null) {
      this.hi = was.hi;
      return was.lo;
    }
    const lo = this.memory.load64(ref, off);
    this.hi = this.memory.hi;
    if (this.#running) this.#did("load64", ref, off, 0, 0, lo, this.hi);
    return lo;
  }

  store64(ref: Ref, off: number, lo: number, hi: number): void {
    if (!this.#running) return this.memory.store64(ref, off, lo, hi);
    if (this.#answer("store64", ref, off, lo, hi) !== null) return;
    this.memory.store64(ref, off, lo, hi);
    this.#did("store64", ref, off, lo, hi, 0, 0);
  }

  cas32(ref: Ref, off: number, expected: number, value: number): boolean {
    if (!this.#running) return this.memory.cas32(ref, off, expected, value);
    const was = this.#answer("cas32", ref, off, value, 0);
    if (was !== null) return was.lo === 1;
    const done = this.memory.cas32(ref, off, expected, value);
    this.#did("cas32", ref, off, value, 0, done ? 1 : 0, 0);
    return done;
  }

  cas64(ref: Ref, off: number, elo: number, ehi: number, lo: number, hi: number): boolean {
    if (!this.#running) return this.memory.cas64(ref, off, elo, ehi, lo, hi);
    const was = this.#answer("cas64", ref, off, lo, hi);
    if (was !== null) return was.lo === 1;
    const done = this.memory.cas64(ref, off, elo, ehi, lo, hi);
    this.#did("cas64", ref, off, lo, hi, done ? 1 : 0, 0);
    return done;
  }

  add32(ref: Ref, off: number, delta: number): number {
    if (!this.#running) return this.memory.add32(ref, off, delta);
    const was = this.#answer("add32", ref, off, delta, 0);
    if (was !== null) return was.lo;
    const lo = this.memory.add32(ref, off, delta);
    this.#did("add32", ref, off, delta, 0, lo, 0);
    return lo;
  }

  await32(ref: Ref, off: number, value: number): void {
    if (!this.#running) return this.memory.await32(ref, off, value);
    if (this.#answer("await32", ref, off, value, 0) !== null) return;
    this.memory.await32(ref, off, value);
    this.#did("await32", ref, off, value, 0, 0, 0);
  }

  awaitChange32(ref: Ref, off: number, value: number): void {
    if (!this.#running) return this.memory.awaitChange32(ref, off, value);
    if (this.#answer("awaitChange32", ref, off, value, 0) !== null) return;
    this.memory.awaitChange32(ref, off, value);
    this.#did("awaitChange32", ref, off, value, 0, 0, 0);
  }

  /** In a thread one store for each 64 bits (32 where they are not aligned), as a processor would make. */
  fillRun(
    ref: Ref,
    off: number,
    template: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void {
    if (!this.#running)
      return this.memory.fillRun(ref, off, template, periods, strided, base, delta);
    const total = template.length * periods;
    const image = new Int32Array(total);
    PlainWords.fillInto(image, 0, template, periods, strided, base, delta);
    let i = 0;
    while (i < total) {
      const at = off + i * 4;
      if (at % 8 === 0 && i + 1 < total) {
        this.store64(ref, at, image[i], image[i + 1]);
        i += 2;
      } else this.store32(ref, at, image[i++]);
    }
  }
}
