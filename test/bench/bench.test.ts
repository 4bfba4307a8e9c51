/**
 * The benchmark measures what it says: its arrays are the page files that the
 * snapshot was made of, and a pair takes and gives back the same pages.
 */
import { describe, expect, it } from "vitest";
import { bootMachine } from "../../bench/machines.js";
import { classifyArrays, expand } from "../../bench/page-arrays.js";
import { BATCH, bareBatches, folioBatches } from "../../bench/pairs.js";
import { median } from "../../bench/print.js";
import { processLines } from "../../bench/process-lines.js";
import { DEFAULT_DESIGNS, parseDesign, WORD_BYTES } from "../../src/engine/design/presets.js";
import { classify } from "../../src/observe/classify/classify.js";
import { PageRunsBuilder } from "../../src/observe/page-runs-builder.js";
import { openSource } from "../../src/observe/source.node.js";

const GUEST = new URL("../fixtures/guest-6.12", import.meta.url).pathname;

describe("the arrays that classification is measured on", () => {
  it("give back the snapshot's own runs", async () => {
    const snapshot = await openSource(GUEST);
    const { frames, flags, counts, cgroups } = expand(snapshot);
    const builder = new PageRunsBuilder();
    builder.push(frames, flags, counts, cgroups);
    expect(builder.finish().runs).toEqual(snapshot.runs);
  });

  it("are classified as the snapshot is", async () => {
    const snapshot = await openSource(GUEST);
    const { objects } = classify(snapshot);
    expect(classifyArrays(expand(snapshot), snapshot, true)).toBe(objects.length);
  });
});

describe.each(DEFAULT_DESIGNS)("pairs in %s", (design) => {
  it.each([
    ["bare", bareBatches],
    ["with folio", folioBatches],
  ])("%s: whole batches, and every page is free again", (_name, start) => {
    const m = bootMachine(1, design);
    const free = m.buddy.freePages(0);
    expect(start(m)(3 * BATCH + 1)).toBe(4 * BATCH);
    m.caches.shrink();
    m.allocator.drainAll();
    expect(m.buddy.freePages(0)).toBe(free);
  });
});

describe.each(DEFAULT_DESIGNS)("cache lines of processes in %s", (design) => {
  it("a huge fault touches every line of its page words, a range less per page than a fault", () => {
    const [fault, , , , , huge, fork, unmap] = processLines(design);
    expect(huge).toBeGreaterThan((512 * WORD_BYTES[parseDesign(design).word].page) / 64);
    for (const perPage of [fork, unmap]) expect(perPage).toBeLessThan(fault);
    // The entry of each page is written: an eighth of a line.
    expect(Math.min(fork, unmap)).toBeGreaterThan(1 / 8);
  });
});

it("the median of an even series is between its middle ones", () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([9, 1, 5])).toBe(5);
});
