/** Comparing: states as words and back, and a first difference that is told in words. */
import { describe, expect, it } from "vitest";
import { compare } from "../../differential/compare.js";
import {
  NO_RESULT,
  PAGE_BITS,
  decodeState,
  withoutNoise,
  type Result,
} from "../../differential/observe.js";
import { ARENAS, HUGE_PAGES, PAGE, type Op } from "../../differential/program.js";
import { StateWriter, type Shown, type ShownPage } from "../../differential/state-writer.js";
import type { Trace } from "../../differential/subject.js";

const FIRST = ARENAS[0].start / PAGE;
const WIDE = ARENAS[1].start / PAGE;
const ANON = PAGE_BITS.present | PAGE_BITS.anon;

const page = (at: number, frame: number, more: Partial<ShownPage> = {}): ShownPage => ({
  page: at,
  bits: ANON,
  frame,
  head: frame,
  order: 0,
  mapCount: 1,
  ...more,
});
const shown = (pages: readonly ShownPage[], second: readonly ShownPage[] = []): Shown => ({
  files: [
    { size: 100, cached: [[0, 1]] },
    { size: 0, cached: [] },
    { size: 4096, cached: [] },
  ],
  pool: { free: 2, reserved: 0 },
  processes: [
    {
      number: 0,
      counters: [pages.length, 0, 0, 0, 0, 0, 3],
      vmas: [{ page: FIRST, pages: 8, permissions: 3, backing: 0, offset: 0 }],
      pages,
    },
    { number: 1, counters: [second.length, 0, 0, 0, 0, 0, 3], vmas: [], pages: second },
  ],
});
const words = (state: Shown): Int32Array => new StateWriter().write(state);
const STEP: Op = { op: "munmap", process: 0, address: ARENAS[0].start, length: PAGE };
const trace = (state: Shown, result: Result = NO_RESULT): Trace => ({
  steps: [{ result, state: words(state) }],
  failure: null,
});
const difference = (a: Trace, b: Trace): ReturnType<typeof compare> =>
  compare({ seed: 1, steps: [STEP] }, ["one", "other"], [a, b]);

/** A huge page as 512 shown pages. */
const huge = (at: number, frame: number): ShownPage[] =>
  Array.from({ length: HUGE_PAGES }, (_, i) => ({
    page: at + i,
    bits: ANON | PAGE_BITS.thp | (i === 0 ? PAGE_BITS.head : PAGE_BITS.tail),
    frame: frame + i,
    head: frame,
    order: 9,
    mapCount: 1,
  }));

describe("states as words", () => {
  it("hold every page, in runs", () => {
    const pages = [page(FIRST, 70), page(FIRST + 1, 71), ...huge(WIDE, 1024)];
    const encoded = words(shown(pages));
    const state = decodeState(encoded, 3);
    expect(state.processes[0].pages).toHaveLength(2 + HUGE_PAGES);
    expect(state.processes[0].pages[HUGE_PAGES + 1]).toMatchObject({
      page: WIDE + 511,
      folio: 2,
      index: 511,
      order: 9,
    });
    // Two runs for the huge page, one for the two neighbours.
    expect(encoded.length).toBeLessThan(80);
    expect(state.files[0]).toEqual({ size: 100, cached: [[0, 1]] });
  });

  it("do not depend on which frames are used, only on which are the same", () => {
    const shared = (frame: number): Shown => shown([page(FIRST, frame)], [page(FIRST + 3, frame)]);
    expect(words(shared(7))).toEqual(words(shared(999)));
    expect(words(shared(7))).not.toEqual(words(shown([page(FIRST, 7)], [page(FIRST + 3, 8)])));
  });

  it("say which frames stayed, and forget those that a mapping replaced", () => {
    const bitsAfter = (op: Op | null): number => {
      const writer = new StateWriter();
      writer.write(shown([page(FIRST, 7)]));
      if (op !== null) writer.forgetReplaced(op);
      return decodeState(writer.write(shown([page(FIRST, 7)])), 3).processes[0].pages[0].bits;
    };
    const map: Op = {
      op: "mmap",
      process: 0,
      address: ARENAS[0].start,
      length: PAGE,
      prot: 3,
      flags: 0x32,
      file: -1,
      offset: 0,
    };
    expect(bitsAfter(null) & PAGE_BITS.kept).not.toBe(0);
    expect(bitsAfter(map) & PAGE_BITS.kept).toBe(0);
    expect(bitsAfter({ ...map, process: 1 }) & PAGE_BITS.kept).not.toBe(0);
  });

  it("leave out what is noise for the kind of frame only", () => {
    const { zero, hugetlb, referenced, dirty, present } = PAGE_BITS;
    expect(withoutNoise(present | zero | referenced)).toBe(present | zero);
    expect(withoutNoise(present | hugetlb | dirty)).toBe(present | hugetlb);
    expect(withoutNoise(present | dirty | referenced)).toBe(present | dirty | referenced);
  });
});

describe("the first difference", () => {
  it("is none where nothing differs", () => {
    expect(difference(trace(shown([page(FIRST, 1)])), trace(shown([page(FIRST, 9)])))).toBeNull();
  });

  it.each<[string, Shown, string]>([
    ["presence", shown([]), "page: presence after munmap"],
    ["map count", shown([page(FIRST, 1, { mapCount: 2 })]), "page: map count after munmap"],
    [
      "a flag",
      shown([page(FIRST, 1, { bits: ANON | PAGE_BITS.dirty })]),
      "page: dirty after munmap",
    ],
    ["order", shown([page(FIRST, 1, { order: 1 })]), "page: order after munmap"],
  ])("names what differs: %s", (_, other, what) => {
    const found = difference(trace(shown([page(FIRST, 1)])), trace(other));
    expect(found?.what).toBe(what);
    expect(found?.lines[0]).toContain("process 0, page a+0p");
  });

  it("is the result before the state, with errno by name", () => {
    const found = difference(
      trace(shown([]), { ...NO_RESULT, error: 22 }),
      trace(shown([page(FIRST, 1)])),
    );
    expect(found?.what).toBe("result of munmap: EINVAL or ok");
    expect(found?.lines).toEqual(["one: EINVAL", "other: ok, 0x0"]);
  });

  it("tells counters, files and the pool", () => {
    const base = shown([]);
    const counted = { ...base.processes[0], counters: [1, 0, 0, 0, 0, 0, 3] };
    const others: [Shown, string][] = [
      [{ ...base, processes: [counted, base.processes[1]] }, "RssAnon after munmap"],
      [{ ...base, files: [{ size: 1, cached: [] }, ...base.files.slice(1)] }, "file after munmap"],
      [{ ...base, pool: { free: 1, reserved: 0 } }, "pool after munmap"],
      [{ ...base, processes: [base.processes[0]] }, "processes after munmap"],
    ];
    for (const [other, what] of others)
      expect(difference(trace(base), trace(other))?.what).toBe(what);
  });

  it("does not count what is ignored, and nothing else less", () => {
    const traces = [
      trace(shown([page(FIRST, 1)])),
      trace(shown([page(FIRST, 1, { bits: ANON | PAGE_BITS.lru })])),
    ] as const;
    const found = (bits: number): ReturnType<typeof compare> =>
      compare({ seed: 1, steps: [STEP] }, ["one", "other"], traces, { bits, facts: new Set() });
    expect(found(PAGE_BITS.lru)).toBeNull();
    expect(found(PAGE_BITS.active)?.what).toBe("page: lru after munmap");
  });

  it("is the failure of a subject where all before was equal", () => {
    const broken: Trace = { steps: [], failure: "it fell over" };
    const found = difference(trace(shown([])), broken);
    expect(found).toMatchObject({ step: 0, op: STEP });
    expect(found?.lines[0]).toBe("other failed: it fell over");
  });
});
