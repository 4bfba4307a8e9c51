/**
 * A rule of the machine: a name, what it says, and a watcher that looks for a
 * place where it does not hold. A watcher reads words and never writes one.
 */
import { RuleViolation } from "../errors.js";
import type { View } from "./view.js";

/** Reports a place where the rule does not hold. */
export type Report = (pfn: number, detail: string) => void;

export interface Rule {
  readonly name: string;
  /** The rule in one sentence. */
  readonly says: string;
  watch(view: View, report: Report): void;
}

/** Every place at which the rule is broken, in the order found. */
export function violationsOf(rule: Rule, view: View): RuleViolation[] {
  const found: RuleViolation[] = [];
  rule.watch(view, (pfn, detail) => found.push(new RuleViolation(rule.name, pfn, detail)));
  return found;
}
