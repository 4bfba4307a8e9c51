/**
 * Differences that are accepted: each with its reason and its line in
 * docs/fidelity.md. Empty until one is found that is meant to stay.
 */
import type { Difference } from "./compare.js";
import type { Program } from "./program.js";

export interface KnownDifference {
  /** As docs/fidelity.md calls it. */
  readonly name: string;
  /** Why the engine does otherwise. */
  readonly reason: string;
  /** Heading in docs/fidelity.md. */
  readonly fidelity: string;
  /** Whether a difference is this one. As narrow as it can be said. */
  matches(difference: Difference, program: Program): boolean;
}

export const KNOWN: readonly KnownDifference[] = [];

/** The accepted difference that this is, or null. */
export function knownAs(difference: Difference, program: Program): KnownDifference | null {
  return KNOWN.find((known) => known.matches(difference, program)) ?? null;
}
