/**
 * Differences that are accepted: each with its reason and its line in
 * docs/fidelity.md.
 */
import type { Difference } from "./compare.js";
import type { Op, OpName, Program } from "./program.js";

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

const MADV_PAGEOUT = 21;
const MADV_COLLAPSE = 25;
const MAP_HUGETLB = 0x40000;
const PROT_GROWSDOWN = 0x1000000;
/** More bytes than the arenas lie apart: behind them the executor's own memory begins. */
const FAR = 2 ** 41;
/** Operations that take pages away from a process. */
const UNMAPPING: ReadonlySet<OpName> = new Set(["exit", "munmap", "mmap", "mremap"]);
/** Operations that may need a page of the hugetlb pool. */
const FAULTING: ReadonlySet<OpName> = new Set(["read", "check", "write", "pin", "madvise", "fork"]);

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
  {
    name: "activation of pages in batches",
    reason:
      "a page that becomes active waits in its CPU's batch of 31; used once more before the batch is drained, 6.18 activates it again instead of marking it",
    fidelity: "Differences from the live kernel",
    // The page may be looked at only when it is mapped again.
    matches: ({ op, what, lines, step }, program) =>
      op !== null &&
      program.steps.slice(0, step + 1).some((done) => UNMAPPING.has(done.op)) &&
      what === `page: referenced after ${op.op}` &&
      lines.filter((line) => /\bfile\b.*\bactive\b/.test(line)).length === 2,
  },
  {
    name: "activation that still waits",
    reason:
      "a page that becomes active waits in its CPU's batch of 31, without the mark of use; used once more it is marked again, and active only when the batch is drained",
    fidelity: "Differences from the live kernel",
    matches: ({ what, lines }) =>
      what.startsWith("page: referenced active after ") &&
      lines.some((l) => /kernel: .*\bfile\b.*\breferenced\b/.test(l) && !/\bactive\b/.test(l)) &&
      lines.some((l) => /engine: .*\bfile\b.*\bactive\b/.test(l) && !/\breferenced\b/.test(l)),
  },
  {
    name: "pages that come back",
    reason:
      "a file's page that was reclaimed leaves a shadow entry, and is active when it comes back soon; the engine keeps none",
    fidelity: "Differences from the live kernel",
    matches: ({ what, lines, step }, program) =>
      what.startsWith("page: active after ") &&
      lines.some((line) => /kernel: .*\bfile\b.*\bactive\b/.test(line)) &&
      program.steps.slice(0, step).some((op) => op.op === "madvise" && op.advice === MADV_PAGEOUT),
  },
  {
    name: "PROT_GROWSDOWN up to the executor's memory",
    reason:
      "a range of terabytes reaches what the executor has mapped for itself; the engine's process has nothing there",
    fidelity: "Differences from the live kernel",
    matches: ({ op, what }) =>
      op?.op === "mprotect" &&
      (op.prot & PROT_GROWSDOWN) !== 0 &&
      op.length >= FAR &&
      what === "result of mprotect: EINVAL or ENOMEM",
  },
  {
    name: "promises of pinned huge pages",
    reason:
      "where a pinned page of a private hugetlb mapping is unmapped, 6.18 takes its promise back twice until the pin is released",
    fidelity: "Differences from the live kernel",
    matches: ({ op, what, step }, program) =>
      op !== null &&
      FAULTING.has(op.op) &&
      /: ok or (SIGBUS|ENOMEM|EFAULT)$/.test(what) &&
      unmapsPinnedHugePages(program.steps.slice(0, step)),
  },
];

/** Whether hugetlb memory is mapped, then something pinned, then something unmapped. */
function unmapsPinnedHugePages(steps: readonly Op[]): boolean {
  const mapped = steps.findIndex((op) => op.op === "mmap" && (op.flags & MAP_HUGETLB) !== 0);
  const pinned = steps.findIndex((op, at) => at > mapped && op.op === "pin");
  if (mapped < 0 || pinned < 0) return false;
  return steps.slice(pinned + 1).some((op) => UNMAPPING.has(op.op));
}

/** The accepted difference that this is, or null. */
export function knownAs(difference: Difference, program: Program): KnownDifference | null {
  return KNOWN.find((known) => known.matches(difference, program)) ?? null;
}
