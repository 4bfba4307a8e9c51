/**
 * Random walks over two processes, two GPUs and a NIC, on designs that cover every
 * pair of choices of device memory: contents equal, sanitizer silent, all references
 * back at the end.
 */
import { describe, expect, test } from "vitest";
import { coveringArray } from "../../../src/engine/design/covering.js";
import { deviceProduct } from "../../../src/engine/design/device-axes.js";
import { numbers } from "../../../src/engine/sanitizer/process/program.js";
import { DeviceWalk } from "../../../src/engine/sanitizer/device/walk.js";

const STEPS = 300;
const SEEDS = [1];
const CHECK_EVERY = 25;

const designs = coveringArray(deviceProduct().legal);

describe.each(designs)("$design.name", ({ design }) => {
  test.each(SEEDS)("walk %i", (seed) => {
    const walk = new DeviceWalk(design);
    const wrong: string[] = [];
    let step = 0;
    for (const n of numbers(seed * 7919)) {
      walk.step(n);
      step++;
      if (step % CHECK_EVERY === 0) wrong.push(...walk.check().map((v) => v.message));
      if (step === STEPS || wrong.length > 0) break;
    }
    wrong.push(...walk.finish().map((v) => v.message));
    expect(wrong).toEqual([]);
  });
});
