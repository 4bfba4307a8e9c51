/**
 * Random programs of create, activate, request, get, put, kill and unmap on every legal
 * combination of page word, name, record, lifetime and activation, beside a naive model:
 * the same answers, the same counts, the frames that the lifetime says, every rule of the
 * sanitizer kept, nothing left at the end.
 */
import { expect, test } from "vitest";
import { numbers } from "../../../src/engine/sanitizer/process/program.js";
import { LEGAL } from "../drivers/designs.js";
import { PagemapWalk } from "./pagemap-model.js";

const REQUEST = ["request-idle=any", "request-refs=page", "request-idle=any+request-refs=page"];
/** Every combination, and the options of a request in turn on those that request. */
const DESIGNS = LEGAL.map((design, i) =>
  design.endsWith("activation=request") && i % 3 > 0
    ? `${design}+${REQUEST[i % REQUEST.length]}`
    : design,
);

/** Steps, and after how many all is compared. */
const STEPS = 120;
const EVERY = 20;

function run(design: string, seed: number, leave = Infinity): PagemapWalk {
  const walk = new PagemapWalk(design, leave);
  let steps = 0;
  try {
    for (const n of numbers(seed)) {
      walk.step(n);
      if (++steps % EVERY === 0) walk.check();
      if (steps === STEPS) break;
    }
    walk.finish();
  } catch (error) {
    throw new Error(`${design}, seed ${seed}, step ${steps}: ${walk.doing}`, { cause: error });
  }
  return walk;
}

test.each(DESIGNS.map((design, i) => [design, i + 1] as const))("%s", (design, seed) => {
  expect(run(design, seed).maps).toEqual([]);
});

test.each([10, 30, 60])("with %i pages of memory: what is refused changes nothing", (leave) => {
  let lacking = 0;
  for (const [i, design] of DESIGNS.entries())
    if (i % 9 === leave % 7) lacking += run(design, 1000 + i, leave).lacking;
  expect(lacking).toBeGreaterThan(10);
});
