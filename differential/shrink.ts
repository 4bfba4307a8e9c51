/**
 * Makes a failing program small: leaves out steps in ever smaller groups
 * (delta debugging), then halves lengths and simplifies numbers, as long as the
 * same kind of difference stays.
 */
import {
  PAGE,
  argsOf,
  withArgs,
  withoutTheDead,
  type Kind,
  type Op,
  type Program,
} from "./program.js";

/** Whether a program still shows what is looked for. */
export type Fails = (program: Program) => Promise<boolean>;

/** Most programs tried. */
const MOST_TRIES = 2000;

/**
 * The smallest program found that still fails; the given one must. Tries at
 * most `tries` programs, in an order that depends on nothing else.
 */
export async function shrink(program: Program, fails: Fails, tries = MOST_TRIES): Promise<Program> {
  let left = tries;
  const still = async (steps: readonly Op[]): Promise<boolean> => {
    if (left <= 0) return false;
    left--;
    return fails({ seed: null, steps });
  };
  let best: readonly Op[] = program.steps;
  for (;;) {
    const fewer = await withFewerSteps(best, still);
    const simpler = await withSimplerArgs(fewer, still);
    const settled = simpler.length === best.length && simpler.every((op, i) => op === best[i]);
    best = simpler;
    if (settled || left <= 0) return { seed: null, steps: best };
  }
}

type Still = (steps: readonly Op[]) => Promise<boolean>;

async function withFewerSteps(steps: readonly Op[], still: Still): Promise<readonly Op[]> {
  let best = steps;
  for (let size = Math.ceil(best.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = Math.max(best.length - size, 0); ; at = Math.max(at - size, 0)) {
      const kept = withoutTheDead([...best.slice(0, at), ...best.slice(at + size)]);
      if (kept.length < best.length && kept.length > 0 && (await still(kept))) best = kept;
      if (at === 0) break;
    }
  }
  return best;
}

async function withSimplerArgs(steps: readonly Op[], still: Still): Promise<readonly Op[]> {
  const best = [...steps];
  for (let i = 0; i < best.length; i++) {
    for (const [name, kind] of argsOf(best[i])) {
      for (;;) {
        const [, , value] = argsOf(best[i]).find(([other]) => other === name) ?? [];
        if (value === undefined) break;
        const simpler = await firstThatFails(best, i, name, simplerThan(kind, value), still);
        if (simpler === null) break;
        best[i] = simpler;
      }
    }
  }
  return best;
}

async function firstThatFails(
  steps: readonly Op[],
  at: number,
  name: string,
  values: readonly number[],
  still: Still,
): Promise<Op | null> {
  for (const value of values) {
    const op = withArgs(steps[at], { [name]: value });
    if (await still(steps.map((other, i) => (i === at ? op : other)))) return op;
  }
  return null;
}

/** Smaller values to try, the boldest first. Each is strictly simpler, so that this ends. */
export function simplerThan(kind: Kind, value: number): number[] {
  switch (kind) {
    case "bytes": {
      if (value <= 0) return [];
      const half = Math.floor(value / 2 / PAGE) * PAGE;
      return [PAGE, half, value - (value % PAGE), value - PAGE].filter((v, i, all) => {
        return v >= 0 && v < value && (v > 0 || value < PAGE) && all.indexOf(v) === i;
      });
    }
    case "pages":
      return [1, Math.floor(value / 2), value - 1].filter((v, i, all) => {
        return v > 0 && v < value && all.indexOf(v) === i;
      });
    case "address":
      return value % PAGE === 0 ? [] : [value - (value % PAGE)];
    case "number":
      return value > 1 ? [1] : [];
    default:
      return [];
  }
}
