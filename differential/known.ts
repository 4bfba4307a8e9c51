/**
 * Differences that are accepted: each with its reason and its line in
 * docs/fidelity.md.
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

const MADV_COLLAPSE = 25;

/** Facts that are not compared unless `--ignore` says otherwise, and why the engine does otherwise. */
export const NOT_COMPARED: readonly { readonly fact: string; readonly reason: string }[] = [
  {
    fact: "VmPin",
    reason:
      "io_uring counts a huge page whole, once, as soon as one of its pages is pinned; the engine counts pages",
  },
  {
    fact: "page tables",
    reason:
      "the kernel makes upper tables for a move or a copy that turns out to have nothing to do",
  },
  {
    fact: "pool",
    reason:
      "the kernel keeps hugetlb promises per page of a mapping, the engine as a count per file",
  },
];

export const KNOWN: readonly KnownDifference[] = [
  {
    name: "MADV_COLLAPSE of shared memory",
    reason: "the engine collapses anonymous memory only",
    fidelity: "Differences from the live kernel",
    matches: ({ op }) => op?.op === "madvise" && op.advice === MADV_COLLAPSE,
  },
];

/** The accepted difference that this is, or null. */
export function knownAs(difference: Difference, program: Program): KnownDifference | null {
  return KNOWN.find((known) => known.matches(difference, program)) ?? null;
}
