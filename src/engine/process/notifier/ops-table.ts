/**
 * What drivers' notifiers answer, by the number that their words name it by: the
 * kernel has a pointer to a table of functions there.
 *
 * Numbers are given once and never again, and nothing is taken out: threads that
 * are run again must find the same (rule 2). So a driver gives one object to all
 * its notifiers, as it has one table of functions in the kernel.
 */
import type { IntervalOps } from "./events.js";

export class OpsTable {
  readonly #ops: IntervalOps[] = [];
  readonly #numbers = new Map<IntervalOps, number>();

  numberOf(ops: IntervalOps): number {
    const known = this.#numbers.get(ops);
    if (known !== undefined) return known;
    const number = this.#ops.push(ops) - 1;
    this.#numbers.set(ops, number);
    return number;
  }

  at(number: number): IntervalOps {
    return this.#ops[number];
  }
}
