/**
 * One design tried out: a walk over processes and a life of scattered memory,
 * each beside its naive reference, every rule of the sanitizer on the way, and
 * nothing left at the end.
 *
 * The same design and seed give the same run. A failure names the seed and the
 * step, which is all that is needed to see it again.
 */
import type { Design } from "../../design/presets.js";
import { numbers } from "./program.js";
import { ScatteredLife } from "./scattered-life.js";
import { startWalk, WALK_MACHINES } from "./machines.js";

/** What is tried, and how long. */
export interface DesignRun {
  readonly design: Design;
  /** Above 0; it also says which of the machines the walk is on. */
  readonly seed: number;
  /** Steps of the walk, and of the life of scattered memory. */
  readonly steps: number;
  readonly scatteredSteps: number;
  /** All rules are looked at after so many steps, and at the end. */
  readonly every: number;
}

export interface DesignOutcome {
  /** Steps that were done. */
  readonly steps: number;
  /** Operations that were refused for want of memory. */
  readonly refusals: number;
  /** The first violations: what broke, at which step; none in a sound design. */
  readonly violations: readonly string[];
}

/** What both kinds of programs have. */
interface Program {
  readonly steps: number;
  readonly doing: string;
  step(n: number): void;
  check(): Error[];
  finish(): Error[];
}

const SHOWN = 4;

/** Runs a program of so many steps to its end; what was found, as lines. */
function play(what: string, program: Program, run: DesignRun, steps: number): string[] {
  const next = numbers(run.seed);
  const told = (found: readonly Error[]): string[] =>
    found
      .slice(0, SHOWN)
      .map(
        (e) => `${what}, seed ${run.seed}, step ${program.steps} (${program.doing}): ${e.message}`,
      );
  try {
    for (let i = 1; i <= steps; i++) {
      program.step(Number(next.next().value));
      const found = i % run.every === 0 ? program.check() : [];
      if (found.length > 0) return told(found);
    }
    const found = program.check();
    return told(found.length > 0 ? found : program.finish());
  } catch (error) {
    // Whatever an engine under test throws is a finding, and the next design is still to come.
    return told([error instanceof Error ? error : new Error(String(error))]);
  }
}

/** A walk over processes. */
function walkDesign(run: DesignRun): DesignOutcome {
  const machine = WALK_MACHINES[run.seed % WALK_MACHINES.length];
  const walk = startWalk(machine, run.design);
  const program: Program = {
    get steps() {
      return walk.steps;
    },
    get doing() {
      return walk.state.doing;
    },
    step: (n) => walk.step(n),
    check: () => walk.check(),
    finish: () => walk.finish(),
  };
  const violations = play(`a walk on "${machine.name}"`, program, run, run.steps);
  return { steps: walk.steps, refusals: walk.failures, violations };
}

/** A life of scattered memory. */
function liveDesign(run: DesignRun): DesignOutcome {
  const life = new ScatteredLife(run.design);
  const program: Program = {
    get steps() {
      return life.steps;
    },
    get doing() {
      return life.doing;
    },
    step: (n) => life.step(n),
    check: () => life.check(),
    finish: () => life.finish(run.seed & 63),
  };
  const violations = play("a life of scattered memory", program, run, run.scatteredSteps);
  return { steps: life.steps, refusals: 0, violations };
}

/** Both. */
export function runDesign(run: DesignRun): DesignOutcome {
  const walk = walkDesign(run);
  const life = liveDesign(run);
  return {
    steps: walk.steps + life.steps,
    refusals: walk.refusals,
    violations: [...walk.violations, ...life.violations],
  };
}
