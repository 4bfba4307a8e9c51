/** Page files → runs: the longest stretches of equal frames, however the bytes come. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  MAX_MAPCOUNT,
  PageRunsBuilder,
  WordDictionary,
} from "../../src/observe/page-runs-builder.js";
import { mergeColumns, WordColumnBuilder } from "../../src/observe/capture/word-column.js";
import { refusal } from "./helpers.js";

type Frame = readonly [flags: number, count: number, group: number];

/** A few words, so that runs are long and words repeat. */
const frames = fc.array(
  fc.tuple(fc.constantFrom(0, 0x400, 0x5828, 0x80), fc.nat(2), fc.constantFrom(0, 1, 77)),
  { minLength: 1, maxLength: 300 },
);

const halves = (values: readonly number[]): Uint32Array =>
  Uint32Array.from(values.flatMap((v) => [v, v === 77 ? 9 : 0]));
const columns = (list: readonly Frame[]): [Uint32Array, Uint32Array, Uint32Array] => [
  halves(list.map((f) => f[0])),
  halves(list.map((f) => f[1])),
  halves(list.map((f) => f[2])),
];
const bytesOf = (words: Uint32Array): Uint8Array =>
  new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** Frames that a result stands for. */
function unrolled(built: ReturnType<PageRunsBuilder["finish"]>): Frame[] {
  const { runs } = built;
  const out: Frame[] = [];
  for (let i = 0; i < runs.length; i++) {
    for (let k = runs.start[i]; k < runs.start[i + 1]; k++) {
      const group = built.cgroups[runs.cgroup[i]];
      out.push([
        built.flagWords.lo[runs.flags[i]],
        runs.mapcount[i],
        group >= 2 ** 32 ? group % 2 ** 32 : group,
      ]);
    }
  }
  return out;
}

/** Runs that equal the one before them, which there must not be. */
function needless(runs: ReturnType<PageRunsBuilder["finish"]>["runs"]): number {
  let count = 0;
  for (let i = 1; i < runs.length; i++) {
    const same =
      runs.flags[i] === runs.flags[i - 1] &&
      runs.mapcount[i] === runs.mapcount[i - 1] &&
      runs.cgroup[i] === runs.cgroup[i - 1];
    if (same) count++;
  }
  return count;
}

describe("PageRunsBuilder", () => {
  it("gives back every frame, in chunks of any size", () => {
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 64 }), (list, chunk) => {
        const [f, c, g] = columns(list);
        const builder = new PageRunsBuilder();
        for (let at = 0; at < list.length; at += chunk) {
          const n = Math.min(chunk, list.length - at);
          builder.push(n, f.subarray(2 * at), c.subarray(2 * at), g.subarray(2 * at));
        }
        const built = builder.finish();
        expect(unrolled(built)).toEqual(list);
        expect(needless(built.runs)).toBe(0);
      }),
    );
  });

  it("made of two halves by two builders is what one builder makes", () => {
    fc.assert(
      fc.property(frames, frames, (a, b) => {
        const whole = new PageRunsBuilder();
        whole.push(a.length + b.length, ...columns([...a, ...b]));
        const joined = new PageRunsBuilder();
        for (const part of [a, b]) {
          const builder = new PageRunsBuilder();
          builder.push(part.length, ...columns(part));
          joined.appendBuilt(builder.finish());
        }
        expect(joined.finish()).toEqual(whole.finish());
      }),
    );
  });

  it("reads flags alone", () => {
    const builder = new PageRunsBuilder();
    builder.push(3, halves([1, 1, 2]), null, null);
    builder.push(2, halves([2, 3]), null, null);
    expect([...builder.finish().runs.start]).toEqual([0, 2, 4, 5]);
  });

  it("holds map counts past 2^32 − 2 as that and counts them", () => {
    const builder = new PageRunsBuilder();
    builder.push(4, halves([1, 1, 1, 1]), Uint32Array.of(5, 0, 0xffffffff, 0, 1, 1, 7, 0), null);
    const built = builder.finish();
    expect([...built.runs.mapcount]).toEqual([5, MAX_MAPCOUNT, 7]);
    expect([...built.runs.start]).toEqual([0, 1, 3, 4]);
    expect(built.clampedMapcounts).toBe(2);
  });

  it("refuses more flag words than its column can number", () => {
    const builder = new PageRunsBuilder();
    const words = Uint32Array.from({ length: 2 * 65_536 }, (_, i) => (i % 2 === 0 ? i / 2 : 0));
    const error = refusal(() => builder.push(65_536, words, null, null));
    expect(error.message).toMatch(/kpageflags: byte 524280: more than 65,535 distinct flag words/);
  });

  it("numbers 65,535 words in the order of their appearance", () => {
    const dictionary = new WordDictionary();
    for (let i = 0; i < 65_535; i++) expect(dictionary.intern(i * 7, i)).toBe(i);
    for (let i = 0; i < 65_535; i += 97) expect(dictionary.intern(i * 7, i)).toBe(i);
  });
});

describe("page files on their own", () => {
  const column = (
    file: string,
    bytes: Uint8Array,
    cut = 1000,
  ): ReturnType<WordColumnBuilder["finish"]> => {
    const builder = new WordColumnBuilder(file);
    for (let at = 0; at < bytes.length; at += cut) builder.push(bytes.subarray(at, at + cut));
    return builder.finish();
  };

  it("merged are what lockstep reading makes, however the bytes are cut", () => {
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 50 }), (list, cut) => {
        const lockstep = new PageRunsBuilder();
        lockstep.push(list.length, ...columns(list));
        const [f, c, g] = columns(list).map((words, i) => column(`file ${i}`, bytesOf(words), cut));
        expect(mergeColumns(f, c, g)).toEqual(lockstep.finish());
      }),
    );
  });

  it("must be whole words, and not empty", () => {
    const error = refusal(() => column("kpageflags", new Uint8Array(8 * 5 + 3)));
    expect(error).toMatchObject({ file: "kpageflags", offset: 40 });
    expect(error.message).toMatch(/3 bytes into a word of 8/);
    expect(refusal(() => column("kpageflags", new Uint8Array(0))).message).toMatch(/empty/);
  });

  it("must agree about the number of frames", () => {
    const flags = column("kpageflags", new Uint8Array(80));
    for (const size of [72, 88]) {
      const error = refusal(() =>
        mergeColumns(flags, column("kpagecount", new Uint8Array(size)), null),
      );
      expect(error).toMatchObject({ file: "kpagecount", offset: Math.min(size, 80) });
      expect(error.message).toMatch(/kpageflags covers 10/);
    }
  });
});
