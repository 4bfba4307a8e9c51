/**
 * RCU as the engine needs it: read sections, and waiting until every section
 * that might still see something has ended.
 *
 * Each CPU has a word with the depth of its read section. A grace period is over
 * once each of these words has been 0 once; whoever waits sleeps on the words one
 * after another. Readers that start later cannot see what was already unlinked.
 * Descriptor caches are type-safe: an object may be reused for another of its
 * type at any time, its page for something else only after a grace period.
 *
 * Facts: memdesc-facts §1.1 (SLAB_TYPESAFE_BY_RCU), Documentation/RCU.
 * Simplified: no callbacks, no grace-period machinery; waiting is exact.
 */
import type { Ref } from "../units.js";
import type { Words } from "./words/words.js";

/** One cache line per CPU, so that readers do not share. */
const LINE_REFS = 4;

export class Rcu {
  readonly w: Words;
  readonly base: Ref;
  readonly cpus: number;

  constructor(w: Words, base: Ref, cpus: number) {
    this.w = w;
    this.base = base;
    this.cpus = cpus;
  }

  static bytes(cpus: number): number {
    return cpus * LINE_REFS * 16;
  }

  #word(cpu: number): Ref {
    return (this.base + cpu * LINE_REFS) as Ref;
  }

  /** rcu_read_lock: nothing this CPU can see is freed for another use. */
  readLock(cpu: number): void {
    this.w.add32(this.#word(cpu), 0, 1);
  }

  readUnlock(cpu: number): void {
    this.w.add32(this.#word(cpu), 0, -1);
  }

  /** No CPU is in a read section now. */
  isQuiet(): boolean {
    for (let cpu = 0; cpu < this.cpus; cpu++)
      if (this.w.load32(this.#word(cpu), 0) !== 0) return false;
    return true;
  }

  /** synchronize_rcu: returns after every section that was open has ended. */
  synchronize(): void {
    for (let cpu = 0; cpu < this.cpus; cpu++) this.w.await32(this.#word(cpu), 0, 0);
  }
}
