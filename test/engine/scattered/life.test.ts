/**
 * Random lives of scattered memory on every legal combination: contents are
 * right, counts are exact, nothing is lost by an early free, nothing is left at
 * the end, and the sanitizer is silent.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDesign, type Design } from "../../../src/engine/design/presets.js";
import { leaksOf } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { scatteredMatrix } from "../../../src/engine/design/scattered-matrix.js";
import { ScatteredLife } from "../../../src/engine/sanitizer/process/scattered-life.js";
import { told } from "../process/kernels.js";

const PRESETS = ["today", "page32", "memdesc16", "memdesc8", "slot64", "today+separated=all"];
const DESIGNS: Design[] = PRESETS.flatMap((p) => [...scatteredMatrix(p).legal]);

describe.each(DESIGNS)("$name", (design) => {
  test("random lives", () => {
    const numbers = fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), {
      minLength: 30,
      maxLength: 80,
    });
    fc.assert(
      fc.property(numbers, fc.nat(63), (steps, end) => {
        const life = new ScatteredLife(design);
        for (const n of steps) life.step(n);
        expect(told(life.check())).toEqual([]);
        expect(told(life.finish(end))).toEqual([]);
        expect(life.processes).toEqual([]);
      }),
      { numRuns: 2, seed: 7 },
    );
  });
});

describe("an early free of what nobody counts", () => {
  test("a place that was stale and was cleared is stale again after the next free", () => {
    const design = scatteredMatrix("today").legal.find((d) => d.scattered === "none") as Design;
    const { kernel } = new ScatteredLife(design);
    const p = kernel.createProcess();
    const first = kernel.scattered.alloc(4096);
    const addr = first.mmap(p);
    const pfn = first.frame(0);
    expect(first.free().stale).toEqual([{ pid: p.pid, addr, pfn }]);
    p.munmap(addr, 4096);
    // All memory that is left has that frame somewhere.
    const second = kernel.scattered.alloc(3000 * 4096);
    second.mmap(p, { addr, first: second.frames().indexOf(pfn), pages: 1 });
    expect(second.free().stale).toEqual([{ pid: p.pid, addr, pfn }]);
  });
});

test("an area that nobody frees is named with its arrays and the kernel's page tables", () => {
  const { kernel } = new ScatteredLife(parseDesign("memdesc8"));
  kernel.scattered.alloc(600 * 4096);
  const left = told(leaksOf(kernel), 20).map((line) => line.replace(/\d+/g, "N"));
  expect(left).toContain(
    "nothing is left: frame N: a page of an array is left (held by nobody; step N)",
  );
  expect(left).toContain(
    "nothing is left: frame N: a page table of the kernel's own range is left (held by nobody; step N)",
  );
});
