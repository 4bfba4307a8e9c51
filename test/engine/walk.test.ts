/**
 * Any sequence of operations leaves every rule of the sanitizer standing, in every
 * design and on every shape of machine, and after everything was freed the machine
 * is as it was at boot.
 */
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { checkMachine, inspectMachine } from "../../src/engine/sanitizer/sanitizer.js";
import { Walk } from "../../src/engine/sanitizer/walk.js";
import { digest } from "./digest.js";
import { bootShape, DESIGNS, SHAPES } from "./machines.js";

const steps = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), {
  minLength: 20,
  maxLength: 600,
  size: "max",
});

describe.each(SHAPES)("$name", (shape) => {
  test.each(DESIGNS)("%s: every rule holds after any sequence, and all comes back", (design) => {
    const property = fc.property(steps, (numbers) => {
      const m = bootShape(shape, design);
      const atBoot = digest(m);
      const walk = new Walk(m, shape.given);
      for (const n of numbers) walk.step(n);
      expect(inspectMachine(m, walk.claims())).toEqual([]);
      walk.finish();
      checkMachine(m, walk.claims());
      expect(digest(m)).toBe(atBoot);
    });
    fc.assert(property, {
      numRuns: 3,
      seed: 20_251_121,
      interruptAfterTimeLimit: 20_000,
      markInterruptAsFailure: true,
    });
  });
});

test.each(DESIGNS)("%s: the rules hold all the way into exhaustion and back", (design) => {
  for (const shape of SHAPES) {
    const m = bootShape(shape, design);
    const walk = new Walk(m, shape.given);
    // Allocations of folios only, in the sizes of a workload, until three in a row fail.
    for (let n = 0, failed = 0; failed < 3; n++) {
      const before = walk.failures;
      walk.step(2 | (((n * 7) & 15) << 4) | ((n & 3) << 8));
      failed = walk.failures > before ? failed + 1 : 0;
    }
    checkMachine(m, walk.claims());
    for (let n = 0; n < 500; n++) walk.step(Math.imul(n + 1, 0x9e3779b1) >>> 0);
    checkMachine(m, walk.claims());
    walk.finish();
    checkMachine(m, walk.claims());
    expect(walk.size).toBe(0);
  }
});
