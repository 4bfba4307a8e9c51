/**
 * Any program does in every design what a naive map from address to byte says:
 * the same contents, errno and signals; every rule of the sanitizer holds on the
 * way; nothing is left at the end.
 */
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  startWalk,
  WALK_MACHINES,
  type WalkMachine,
} from "../../../src/engine/sanitizer/process/machines.js";
import { numbers } from "../../../src/engine/sanitizer/process/program.js";
import { PROCESS_DESIGNS, told } from "./kernels.js";

/** Runs a program, checked every so many steps, to its end: what was found, and where. */
function run(
  machine: WalkMachine,
  design: string,
  program: readonly number[],
  every: number,
): string[] {
  const walk = startWalk(machine, parseDesign(design));
  for (const [i, n] of program.entries()) {
    walk.step(n);
    const found = i % every === every - 1 ? walk.check() : [];
    if (found.length > 0) return [`step ${i}, ${walk.state.doing}`, ...told(found)];
  }
  return [...told(walk.check()), ...told(walk.finish())];
}

const programs = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), {
  minLength: 60,
  maxLength: 120,
  size: "max",
});

describe.each(WALK_MACHINES)("$name", (machine) => {
  test.each(PROCESS_DESIGNS)("%s: any program does what the reference says", (design) => {
    fc.assert(
      fc.property(programs, (program) => {
        expect(run(machine, design, program, 50)).toEqual([]);
      }),
      { numRuns: 2, seed: 20_251_121 },
    );
  });
});

test("a program is the same program in every design", () => {
  // Addresses, errno and contents do not depend on how pages are described.
  const [machine] = WALK_MACHINES;
  const source = numbers(7);
  const program = Array.from({ length: 150 }, () => Number(source.next().value));
  const traces = PROCESS_DESIGNS.map((design) => {
    const walk = startWalk(machine, parseDesign(design));
    return program.map((n) => {
      walk.step(n);
      return walk.state.doing;
    });
  });
  for (const trace of traces) expect(trace).toEqual(traces[0]);
});
