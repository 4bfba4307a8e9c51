/**
 * Random lives of scattered memory on every legal combination: contents are
 * right, counts are exact, nothing is lost by an early free, nothing is left at
 * the end, and the sanitizer is silent.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Design } from "../../../src/engine/design/presets.js";
import { scatteredMatrix } from "../../../src/engine/design/scattered-matrix.js";
import { FIRST_SCATTERED, LAST_SCATTERED } from "./objects-left.js";
import { inspectMachine } from "../../../src/engine/sanitizer/sanitizer.js";
import { inspectProcesses, watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { heldBlocks } from "../../../src/scenario/held.js";
import { ScatteredModel } from "./model.js";

const PRESETS = ["today", "page32", "memdesc16", "memdesc8", "slot64", "today+separated=all"];
const DESIGNS: Design[] = PRESETS.flatMap((p) => [...scatteredMatrix(p).legal]);

/** Pages on free lists and per-CPU lists, after caches gave back what they can. */
function freePages(model: ScatteredModel): number {
  const { machine } = model.kernel;
  machine.caches.shrink();
  machine.allocator.drainAll();
  return machine.config.zones.reduce((sum, _, zone) => sum + machine.buddy.freePages(zone), 0);
}

function broken(model: ScatteredModel): string[] {
  const { kernel } = model;
  const held = heldBlocks(kernel.machine, kernel.given);
  const folios = model.pins.map(({ held: pages }) => ({
    pfn: pages.pfns[0],
    refs: 0,
    pins: 1,
    who: "a pin of the test",
  }));
  return [
    ...inspectMachine(kernel.machine, { given: kernel.given, held }),
    ...inspectProcesses(kernel, { folios, blocks: held }),
  ].map((v) => v.message);
}

describe.each(DESIGNS)("$name", (design) => {
  test("random lives", () => {
    const numbers = fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), {
      minLength: 30,
      maxLength: 80,
    });
    fc.assert(
      fc.property(numbers, fc.nat(63), (steps, end) => {
        const model = new ScatteredModel(design);
        const { processes } = model;
        const start = freePages(model);
        watchKernel(model.kernel);
        for (const n of steps) model.step(n);
        expect(broken(model)).toEqual([]);
        model.finish(end);
        expect(broken(model)).toEqual([]);
        expect(processes).toEqual([]);
        expect(model.kernel.base.core.content.size, "frames that hold contents").toBe(0);
        // The first process's own memory goes too.
        expect(freePages(model)).toBeGreaterThanOrEqual(start);
        const usage = model.kernel.machine.caches.usage();
        const first = model.kernel.machine.design.caches.length;
        for (let kind = FIRST_SCATTERED; kind <= LAST_SCATTERED; kind++)
          expect(`${usage[first + kind].objects} ${usage[first + kind].name}`).toBe(
            `0 ${usage[first + kind].name}`,
          );
      }),
      { numRuns: 2, seed: 7 },
    );
  });
});
