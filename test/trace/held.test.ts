/**
 * A trace's frames against a snapshot: when it was taken, what was taken for what, what
 * came in silently, what is free.
 */
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { classify } from "../../src/observe/classify/classify.js";
import { readFolder } from "../../src/observe/files/folder.node.js";
import { kindId, KINDS } from "../../src/observe/kinds.js";
import { blockWord, Frames } from "../../src/trace/classify/frames.js";
import {
  accuracyOf,
  freeOf,
  holdAll,
  kindsOfFrames,
  silentOf,
  totalsOf,
  totalsOfKinds,
} from "../../src/trace/classify/held.js";
import {
  ANON,
  byRule,
  FILE,
  KERNEL,
  R_LRU_ANON,
  R_LRU_FILE,
} from "../../src/trace/classify/kinds.js";
import { momentOf } from "../../src/trace/classify/moment.js";
import { emptySnapshot } from "../../src/trace/replay/empty.js";
import { parseReplayWhatIf } from "../../src/trace/replay/what-if.js";
import { FIXTURES } from "../observe/helpers.js";

const FREE = kindId("free");
const anon = (order = 0): number => blockWord(order, byRule(ANON, R_LRU_ANON), true);
const file = (order = 0): number => blockWord(order, byRule(FILE, R_LRU_FILE), true);

/** One page of anonymous memory per millisecond, alive in the end; what a snapshot at `taken` shows. */
function onePerMillisecond(
  ms: number,
  taken: number,
): { frames: Frames; born: Frames; kinds: Uint8Array } {
  const frames = new Frames();
  const born = new Frames();
  const kinds = new Uint8Array(ms).fill(FREE);
  for (let i = 0; i < ms; i++) {
    frames.set(i, anon());
    born.set(i, i + 1);
    if (i < taken) kinds[i] = ANON;
  }
  return { frames, born, kinds };
}

describe("the moment of a snapshot", () => {
  test("is the time from which on its blocks are not there any more", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.nat({ max: 300 }), (ms, at) => {
        const taken = Math.min(at, ms);
        const { frames, born, kinds } = onePerMillisecond(ms, taken);
        expect(momentOf(frames, born, kinds, 0, ms - 1)).toBe(taken);
      }),
    );
  });

  test("is not looked for before the reading began", () => {
    const { frames, born, kinds } = onePerMillisecond(100, 20);
    expect(momentOf(frames, born, kinds, 60, 99)).toBeGreaterThanOrEqual(60);
  });

  test("is found though a few blocks contradict it", () => {
    const { frames, born, kinds } = onePerMillisecond(200, 150);
    kinds[10] = FREE;
    kinds[190] = ANON;
    expect(momentOf(frames, born, kinds, 0, 199)).toBe(150);
  });
});

describe("accuracy", () => {
  test("counts blocks that the trace allocated before the reading, by what they were taken for", () => {
    const frames = new Frames();
    const born = new Frames();
    const kinds = new Uint8Array(64).fill(FREE);
    const put = (pfn: number, word: number, at: number): void => {
      frames.set(pfn, word);
      born.set(pfn, at + 1);
    };
    put(0, anon(2), 5);
    kinds.fill(ANON, 0, 4);
    put(8, file(), 5);
    kinds[8] = ANON;
    put(9, file(), 5);
    put(10, file(), 50);
    kinds[10] = ANON;
    frames.set(11, blockWord(0, byRule(ANON, R_LRU_ANON), false));
    kinds[11] = FILE;
    const accuracy = accuracyOf(frames, kinds, born, 20);
    expect(accuracy).toMatchObject({ pages: 5, right: 4 });
    expect(accuracy.rows).toEqual([
      { derived: "file", pages: 1, right: 0, wrong: [{ kind: "anon", pages: 1 }], free: 1 },
      { derived: "anon", pages: 4, right: 4, wrong: [], free: 0 },
    ]);
  });
});

describe("totals", () => {
  test("held, silent and free add up to what can be held or free", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("held", "silent", "gone", "free"), {
          minLength: 1,
          maxLength: 200,
        }),
        (pages) => {
          const frames = new Frames();
          const kinds = new Uint8Array(pages.length).fill(FREE);
          for (const [pfn, what] of pages.entries()) {
            if (what === "held" || what === "gone") frames.set(pfn, anon());
            if (what === "held" || what === "silent") kinds[pfn] = what === "held" ? ANON : KERNEL;
          }
          const n = (what: string): number => pages.filter((p) => p === what).length;
          const derived = totalsOf(frames);
          const real = totalsOfKinds(kinds);
          expect(derived[ANON]).toBe(n("held") + n("gone"));
          expect(silentOf(frames, kinds)[KERNEL]).toBe(n("silent"));
          expect(freeOf(derived, real)).toBe(n("free") + n("silent"));
        },
      ),
    );
  });

  test("a snapshot that is held is held whole: its own totals, nothing silent", async () => {
    const snapshot = await readFolder(join(FIXTURES, "guest-6.12"));
    const classification = classify(snapshot);
    const frames = new Frames();
    holdAll(frames, classification);
    const kinds = kindsOfFrames(classification, snapshot.frames);
    const derived = totalsOf(frames);
    const real = totalsOfKinds(kinds);
    for (const kind of ["anon", "file", "shmem", "slab", "page-table", "kernel"] as const)
      expect(derived[kindId(kind)]).toBe(real[kindId(kind)]);
    expect(silentOf(frames, kinds)).toEqual(new Float64Array(KINDS.length));
    expect(freeOf(derived, real)).toBe(real[FREE]);
  });
});

describe("a machine to begin on", () => {
  test("without a snapshot has every frame free, in whole sections", () => {
    const snapshot = emptySnapshot(40_000, null);
    expect(snapshot.frames).toBe(65_536);
    const kinds = kindsOfFrames(classify(snapshot), snapshot.frames);
    expect(totalsOfKinds(kinds)[FREE]).toBe(65_536);
  });

  test("can be changed by names that exist, within their ranges", () => {
    expect(parseReplayWhatIf(["file-order=4", "pcp-batch=63", "free-mib=512"])).toEqual({
      fileOrder: 4,
      anonOrder: 0,
      pcpHigh: null,
      pcpBatch: 63,
      freeMib: 512,
    });
    for (const item of ["order=1", "file-order=11", "file-order=x", "pcp-high=0", "__proto__=1"])
      expect(() => parseReplayWhatIf([item])).toThrow(/--what-if/);
  });
});
