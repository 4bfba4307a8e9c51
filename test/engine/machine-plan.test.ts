/**
 * The machine that a scenario gets: all memory is there once, the page array in
 * it, and limits as the kernel would set them.
 */
import { describe, expect, it } from "vitest";
import { parseDesign } from "../../src/engine/design/presets.js";
import { layOut, memoryOf } from "../../src/engine/machine-plan.js";
import { bootSubject, brokenRules, readingOf } from "../../src/scenario/subject.js";
import { DESIGNS } from "../engine/machines.js";

describe("memory", () => {
  it.each([
    [undefined, 256 * 2 ** 20],
    ["256MiB", 256 * 2 ** 20],
    ["1g", 2 ** 30],
    [8 * 2 ** 20, 8 * 2 ** 20],
    ["7MiB", null],
    ["5GiB", null],
    [8.5 * 2 ** 20 + 0.5, null],
    ["lots", null],
  ])("%j is %j bytes", (asked, bytes) => {
    expect(memoryOf(asked)).toBe(bytes);
  });
});

describe("the layout", () => {
  it.each([1, 2, 3, 8])("%i nodes: every frame is given or holds the page array", (nodes) => {
    const { config, given, arrays } = layOut({ memory: "96MiB", nodes }, parseDesign("today"));
    const stretches = [...given, ...arrays].toSorted((a, b) => a.start - b.start);
    for (const [i, { start }] of stretches.entries())
      expect(start).toBe(stretches[i - 1]?.end ?? 0);
    expect(config.zones).toHaveLength(nodes);
    // A section of 128 MiB has all its page structs.
    const array = arrays.reduce((sum, { start, end }) => sum + (end - start) * 4096, 0);
    expect(array).toBeGreaterThanOrEqual(32768 * 64);
    expect(array).toBeLessThan(32768 * 64 + nodes * 4096);
  });

  it("sets the limits that the kernel sets for 256 MiB", () => {
    // min_free_kbytes = sqrt(16 × 262,144 KiB) = 2048 KiB = 512 pages; batch 15 as in zone_batchsize.
    const { config } = layOut({}, parseDesign("today"));
    expect(config.zones[0]).toMatchObject({ min: 512, low: 640, high: 768, spanned: 65_536 });
    expect(config.pcp).toEqual([{ high: 640, batch: 15 }]);
    // 24 pages of batch at most, a quarter is 6, half more is 9, a power of two below is 8, less 1.
    expect(layOut({ memory: "96MiB" }, parseDesign("today")).config.pcp[0].batch).toBe(7);
  });

  it.each(DESIGNS)("%s: boots with every rule kept, and all memory free or metadata", (design) => {
    const subject = bootSubject({ memory: "256MiB", nodes: 2, cpus: 2 }, parseDesign(design));
    expect(brokenRules(subject)).toEqual([]);
    const array = subject.machine.pageArrayBytes / 4096;
    expect(readingOf(subject).freePages + array).toBe(65_536);
  });
});
