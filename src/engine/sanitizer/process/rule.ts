/**
 * A rule of the process layer: a name, what it says, and a watcher that looks at
 * a kernel between two operations and reports every place where it does not hold.
 *
 * A violation says four things: the rule, the frame, the step after which it was
 * seen, and who holds the page (a process and its address, a list, a file).
 */
import { RuleViolation } from "../../errors.js";
import type { ProcessView } from "./view.js";

/** Reports a place where the rule does not hold. `pfn` is −1 where no single frame is meant. */
export type KernelReport = (pfn: number, detail: string, holder: string) => void;

export interface KernelRule {
  readonly name: string;
  /** The rule in one sentence. */
  readonly says: string;
  watch(view: ProcessView, report: KernelReport): void;
}

/** A broken rule of the process layer. */
export class KernelViolation extends RuleViolation {
  /** Number of the operation after which (state) or in which (event) it was seen. */
  readonly step: number;
  /** Who holds the page, in words. */
  readonly holder: string;

  constructor(rule: string, pfn: number, detail: string, holder: string, step: number) {
    super(rule, pfn, `${detail} (held by ${holder}; step ${step})`);
    this.step = step;
    this.holder = holder;
  }
}

/** Every place at which the rule is broken, in the order found. */
export function kernelViolationsOf(rule: KernelRule, view: ProcessView): KernelViolation[] {
  const found: KernelViolation[] = [];
  rule.watch(view, (pfn, detail, holder) =>
    found.push(new KernelViolation(rule.name, pfn, detail, holder, view.step)),
  );
  return found;
}
