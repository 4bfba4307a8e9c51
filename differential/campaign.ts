/**
 * A campaign: program after program on two subjects, until a limit is reached.
 *
 * A difference counts only if both subjects repeat it: the program is run again
 * on both, and one that does not come back is counted as unstable and shown, not
 * silently dropped. The first of each kind is shrunk, kept to its kind, and reported.
 */
import { compare, type Difference, type Ignored } from "./compare.js";
import { generate, type Taste } from "./generate.js";
import { knownAs } from "./known.js";
import type { Program } from "./program.js";
import { shrink } from "./shrink.js";
import type { Subject } from "./subject.js";

export interface Limits {
  /** Programs to run at most. */
  readonly programs: number;
  readonly ignored: Ignored;
  /** True when it is time to stop. */
  stop(): boolean;
}

export interface Tally {
  programs: number;
  steps: number;
  /** Unexplained. */
  differences: number;
  /** The same by kind: how often each was met. One of each kind is shrunk and told. */
  readonly kinds: Map<string, number>;
  /** Accepted (known.ts), by name. */
  readonly known: Map<string, number>;
  /** Seen once and not again. */
  unstable: number;
}

/** What is told on the way. */
export interface Listener {
  progress(tally: Tally): void;
  difference(found: Difference, small: Program, original: Program): void;
  unstable(found: Difference, program: Program): void;
}

/** Kinds of difference after which a campaign ends. */
const ENOUGH = 10;
/** Times that a difference must come back. */
const REPEATS = 2;

type Pair = readonly [Subject, Subject];

/** Programs of consecutive seeds from `seed` on. */
export async function campaign(
  subjects: Pair,
  seed: number,
  taste: Taste,
  limits: Limits,
  listener: Listener,
): Promise<Tally> {
  const tally = emptyTally();
  while (tally.programs < limits.programs && !limits.stop() && tally.kinds.size < ENOUGH) {
    await runOne(subjects, generate(seed + tally.programs, taste), tally, limits, listener);
    listener.progress(tally);
  }
  return tally;
}

export function emptyTally(): Tally {
  return { programs: 0, steps: 0, differences: 0, kinds: new Map(), known: new Map(), unstable: 0 };
}

/** Runs one program and reports what differs. */
export async function runOne(
  subjects: Pair,
  program: Program,
  tally: Tally,
  limits: Limits,
  listener: Listener,
): Promise<void> {
  const found = await differenceOf(subjects, program, limits.ignored);
  tally.programs++;
  tally.steps += program.steps.length;
  if (found === null) return;
  for (let i = 0; i < REPEATS; i++) {
    const again = await differenceOf(subjects, program, limits.ignored);
    if (again?.what === found.what && again.step === found.step) continue;
    tally.unstable++;
    return listener.unstable(found, program);
  }
  const known = knownAs(found, program);
  if (known !== null) {
    tally.known.set(known.name, (tally.known.get(known.name) ?? 0) + 1);
    return;
  }
  tally.differences++;
  const met = tally.kinds.get(found.what) ?? 0;
  tally.kinds.set(found.what, met + 1);
  if (met > 0) return;
  // What comes after the difference has no part in it.
  const until = { ...program, steps: program.steps.slice(0, found.step + 1) };
  const small = await shrink(until, async (candidate) => {
    if (limits.stop()) return false;
    const difference = await differenceOf(subjects, candidate, limits.ignored);
    return difference?.what === found.what && knownAs(difference, candidate) === null;
  });
  const last = (await differenceOf(subjects, small, limits.ignored)) ?? found;
  listener.difference(last, small, program);
}

async function differenceOf(
  subjects: Pair,
  program: Program,
  ignored: Ignored,
): Promise<Difference | null> {
  const traces = [await subjects[0].run(program), await subjects[1].run(program)] as const;
  return compare(program, [subjects[0].name, subjects[1].name], traces, ignored);
}
