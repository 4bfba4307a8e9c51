/**
 * Any program does in every design what a naive map from address to byte says:
 * the same contents, errno and signals; every rule of the sanitizer holds on the
 * way; nothing is left at the end.
 */
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import type { Ref } from "../../../src/units.js";
import { numbers } from "../../../src/engine/sanitizer/process/program.js";
import { ProcessWalk } from "../../../src/engine/sanitizer/process/walk.js";
import { bootKernel, KERNELS, PROCESS_DESIGNS, told, type KernelShape } from "./kernels.js";

/** Runs a program, checked every so many steps, to its end: what was found, and where. */
function run(
  shape: KernelShape,
  design: string,
  program: readonly number[],
  every: number,
): string[] {
  const kernel = bootKernel(shape.request, design);
  if (shape.hugePages > 0) kernel.setHugePages(shape.hugePages);
  const leave = shape.leave === undefined ? {} : { leave: shape.leave };
  const memcg = shape.limit > 0 ? kernel.createMemcg(shape.limit) : (0 as Ref);
  const walk = new ProcessWalk(kernel, { mayFail: shape.mayFail, ...leave }, memcg);
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

describe.each(KERNELS)("$name", (shape) => {
  test.each(PROCESS_DESIGNS)("%s: any program does what the reference says", (design) => {
    fc.assert(
      fc.property(programs, (program) => {
        expect(run(shape, design, program, 50)).toEqual([]);
      }),
      { numRuns: 2, seed: 20_251_121 },
    );
  });
});

test("a program is the same program in every design", () => {
  // Addresses, errno and contents do not depend on how pages are described.
  const [shape] = KERNELS;
  const source = numbers(7);
  const program = Array.from({ length: 150 }, () => Number(source.next().value));
  const traces = PROCESS_DESIGNS.map((design) => {
    const walk = new ProcessWalk(bootKernel(shape.request, design), { mayFail: false });
    return program.map((n) => {
      walk.step(n);
      return walk.state.doing;
    });
  });
  for (const trace of traces) expect(trace).toEqual(traces[0]);
});
