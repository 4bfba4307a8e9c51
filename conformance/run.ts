/**
 * All cases on one design: what a worker does, and a test.
 */
import type { Design } from "../src/engine/design/presets.js";
import { VARIANTS, type Case, type Variant } from "./cases/case.js";
import { CASES } from "./cases/index.js";
import { Rig, type CaseResult, type RigOptions } from "./harness.js";

/** What is run of the suite. */
export interface Selection {
  /** Names of cases; all where left out. */
  readonly cases?: readonly string[];
  readonly variants?: readonly Variant[];
}

export const selected = ({ cases }: Selection): readonly Case[] =>
  cases === undefined ? CASES : CASES.filter(({ name }) => cases.includes(name));

/** Runs the cases in their order, each in every variant. A kernel on which one failed is booted anew. */
export function runDesign(
  design: Design,
  selection: Selection,
  options: RigOptions,
): readonly CaseResult[] {
  let rig: Rig | null = null;
  const results: CaseResult[] = [];
  for (const what of selected(selection))
    for (const variant of selection.variants ?? VARIANTS) {
      const reason = what.cannot?.(design, variant) ?? null;
      if (reason !== null) {
        results.push({ name: what.name, variant, failure: null, cannot: reason, ms: 0, notes: [] });
        continue;
      }
      rig ??= new Rig(design, options);
      results.push(rig.run(what, variant));
      if (rig.broken) rig = null;
    }
  // What is left then is told of the last case.
  const left = rig?.end() ?? null;
  const last = results.findLastIndex(({ cannot }) => cannot === null);
  if (left !== null) results[last] = { ...results[last], failure: left };
  return results;
}
