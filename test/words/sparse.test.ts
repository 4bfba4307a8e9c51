/**
 * Sparse words are plain words in less memory: the same operations give the same
 * answers, in any order of runs and single writes, and a machine cannot tell.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_DESIGNS, parseDesign } from "../../src/engine/design/presets.js";
import { T_ANON, T_FILE, T_PGTABLE, T_SLAB } from "../../src/engine/design/word/axis-types.js";
import { Machine } from "../../src/engine/machine.js";
import { PlainWords } from "../../src/engine/words/plain.js";
import { SparseWords } from "../../src/engine/words/sparse.js";
import type { Words } from "../../src/engine/words/words.js";
import { bytes, type Ref, ref } from "../../src/units.js";

const WORDS = 600;
const at = (word: number): { r: Ref; off: number } => ({ r: ref(word >> 2), off: (word & 3) * 4 });

/** One operation on both; what it answers. */
type Operation = (w: Words) => unknown;

const place = fc.nat(WORDS - 2);
const even = place.map((p) => p & ~1);
const value = fc.oneof(
  fc.constantFrom(0, 1, -1, 0x7fffffff),
  fc.integer({ min: -0x80000000, max: 0x7fffffff }),
);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(place, value).map(
    ([p, v]): Operation =>
      (w) =>
        w.store32(at(p).r, at(p).off, v),
  ),
  fc.tuple(even, value, value).map(
    ([p, lo, hi]): Operation =>
      (w) =>
        w.store64(at(p).r, at(p).off, lo, hi),
  ),
  place.map(
    (p): Operation =>
      (w) =>
        w.load32(at(p).r, at(p).off),
  ),
  even.map((p): Operation => (w) => [w.load64(at(p).r, at(p).off), w.hi]),
  fc.tuple(place, value).map(
    ([p, v]): Operation =>
      (w) =>
        w.add32(at(p).r, at(p).off, v),
  ),
  fc.tuple(place, value, value).map(
    ([p, e, v]): Operation =>
      (w) =>
        w.cas32(at(p).r, at(p).off, e, v),
  ),
  // A compare-and-swap that succeeds: expects what is there.
  fc.tuple(even, value).map(([p, v]): Operation => (w) => {
    const { r, off } = at(p);
    const lo = w.load64(r, off);
    return w.cas64(r, off, lo, w.hi, v, lo);
  }),
  fc.tuple(even, value).map(
    ([p, v]): Operation =>
      (w) =>
        w.cas64(at(p).r, at(p).off, v, 0, 1, 2),
  ),
);

/** A run of templates of 1–12 words, some fields of which move along, over at most 300 words. */
const run: fc.Arbitrary<Operation> = fc
  .record({
    start: place,
    template: fc.array(value, { minLength: 1, maxLength: 12 }),
    periods: fc.integer({ min: 0, max: 80 }),
    strides: fc.option(fc.uniqueArray(fc.nat(5), { maxLength: 3 }), { nil: null }),
    base: fc.oneof(fc.nat(1 << 20), fc.constantFrom(0xffff_fff0, 2 ** 34, -16)),
    delta: fc.constantFrom(0, 1, 16, 64, -16, 2 ** 31),
  })
  .map(({ start, template, periods, strides, base, delta }): Operation => {
    const words = Int32Array.from(template);
    const strided =
      strides === null
        ? null
        : Int32Array.from(strides.map((s) => s * 2).filter((s) => s + 1 < template.length));
    const fits = Math.min(periods, Math.floor((WORDS - start) / template.length));
    return (w) => w.fillRun(at(start).r, at(start).off, words, fits, strided, base, delta);
  });

const everyWord = (w: Words): number[] =>
  Array.from({ length: WORDS }, (_, p) => w.load32(at(p).r, at(p).off));

describe("sparse words answer as plain ones do", () => {
  it("over random runs and single accesses", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 3, arbitrary: operation }, { weight: 2, arbitrary: run }), {
          maxLength: 60,
        }),
        (operations) => {
          const plain = new PlainWords(bytes(WORDS * 4));
          const sparse = new SparseWords();
          for (const op of operations) expect(op(sparse)).toEqual(op(plain));
          expect(everyWord(sparse)).toEqual(everyWord(plain));
        },
      ),
      { numRuns: 1000, seed: 2 },
    );
  });

  it("over thousands of runs, appended to several rising streams and then cut up", () => {
    const words = 1 << 16;
    const plain = new PlainWords(bytes(words * 4));
    const sparse = new SparseWords();
    const both = (op: Operation): void => expect(op(sparse)).toEqual(op(plain));
    // Three streams side by side, each run unlike the one before it.
    for (let i = 0; i < 1500; i++) {
      for (const stream of [0, 20_000, 40_000]) {
        const start = stream + i * 12;
        const template = Int32Array.from([i, stream, 3, 4]);
        both((w) =>
          w.fillRun(at(start).r, at(start).off, template, 3, Int32Array.from([2]), i * 16, 64),
        );
      }
    }
    expect(sparse.usage().runs).toBe(4500);
    // Long runs over the middle of many, over their ends, and single words into both.
    let seed = 1;
    const random = (n: number): number => (seed = (seed * 48271) % 0x7fffffff) % n;
    for (let i = 0; i < 3000; i++) {
      const start = random(words - 2000);
      const template = Int32Array.from({ length: 1 + random(6) }, () => random(9));
      const periods = 1 + random(i % 10 === 0 ? 300 : 6);
      both((w) => w.fillRun(at(start).r, at(start).off, template, periods, null, 0, 0));
      const p = random(words);
      both((w) => w.add32(at(p).r, at(p).off, i));
    }
    for (let p = 0; p < words; p++) {
      if (sparse.load32(at(p).r, at(p).off) !== plain.load32(at(p).r, at(p).off))
        throw new Error(`word ${p} differs`);
    }
  });
});

describe("memory is held for runs and written chunks only", () => {
  it("a run of 2^30 words costs what one of 16 does", () => {
    const sparse = new SparseWords();
    const before = sparse.bytesHeld();
    sparse.fillRun(ref(0), 0, new Int32Array(16).fill(7), 2 ** 26, null, 0, 0);
    expect(sparse.load32(ref(2 ** 28 - 1), 12)).toBe(7);
    expect(sparse.load32(ref(2 ** 28), 0)).toBe(0);
    expect(sparse.bytesHeld() - before).toBeLessThan(1024);
  });

  it("runs that go on where the last one ended are one", () => {
    const sparse = new SparseWords();
    const head = Int32Array.from([2, 0]);
    for (let i = 0; i < 100; i++)
      sparse.fillRun(ref(i * 4), 0, head, 8, Int32Array.from([0]), (1000 + i * 8) * 16, 16);
    expect(sparse.usage().runs).toBe(1);
    expect(sparse.load32(ref(396), 8)).toBe(2 + (1000 + 99 * 8 + 1) * 16);
  });

  it("a run over written chunks takes their memory back", () => {
    const sparse = new SparseWords();
    for (let i = 0; i < 1000; i++) sparse.store32(ref(i * 4), 0, i);
    expect(sparse.usage().chunks).toBe(1000);
    sparse.fillRun(ref(2), 0, Int32Array.from([5, 6]), 1000, null, 0, 0);
    // 2,000 words from the middle of chunk 0 on: chunks 1 to 124 whole, 0 and 125 in part.
    expect(sparse.usage().chunks).toBe(1000 - 124);
    expect([0, 2, 501, 502].map((r) => sparse.load32(ref(r), 0))).toEqual([0, 5, 5, 0]);
  });

  it("places beyond 2^31 references, also where a reference was made signed", () => {
    const sparse = new SparseWords();
    const far = 2 ** 32 - 8;
    sparse.fillRun(ref(2 ** 31), 0, Int32Array.from([1, 2, 3, 4]), 2 ** 31, null, 0, 0);
    sparse.store64(ref(far), 8, 9, 10);
    expect(sparse.load64(ref(far | 0), 8)).toBe(9);
    expect(sparse.hi).toBe(10);
    expect([sparse.load32(ref(far), 0), sparse.load32(ref(2 ** 31 - 1), 0)]).toEqual([1, 0]);
  });
});

const config = (frames: number) => {
  const zone = {
    node: 0,
    type: 2,
    start: 0,
    spanned: frames,
    min: 32,
    low: 40,
    high: 48,
    reserve: 0,
  };
  return {
    frames,
    zones: [zone],
    present: [{ start: 0, end: frames }],
    cpus: 2,
    pcp: [{ high: 200, batch: 31 }],
  };
};

/** Random allocations and frees; a line for each of what the machine answered. */
function work(machine: Machine, operations: number): number[] {
  const told: number[] = [];
  const held: { pfn: number; free: () => void }[] = [];
  let seed = 7;
  const random = (n: number): number => (seed = (seed * 48271) % 0x7fffffff) % n;
  for (let i = 0; i < operations; i++) {
    machine.allocator.cpu = random(2);
    if (held.length > 0 && random(5) < 2) {
      const [{ pfn, free }] = held.splice(random(held.length), 1);
      free();
      told.push(-pfn);
      continue;
    }
    const order = random(4) === 0 ? random(6) : 0;
    const kind = random(4);
    const pfn =
      kind === 0
        ? machine.allocPages(order)
        : kind === 1
          ? machine.allocTyped(order, random(2) === 0 ? T_SLAB : T_PGTABLE)
          : machine.allocFolio(order, random(2) === 0 ? T_ANON : T_FILE);
    told.push(pfn, pfn < 0 ? 0 : machine.design.typeOf(pfn));
    if (pfn >= 0) {
      const free =
        kind === 0
          ? () => machine.freePages(pfn, order)
          : kind === 1
            ? () => machine.freeTyped(pfn)
            : () => machine.putFolio(pfn);
      held.push({ pfn, free });
    }
  }
  return told;
}

describe.each(DEFAULT_DESIGNS)("a machine of %s on sparse words", (name) => {
  it("does 10,000 random allocations and frees as on plain ones", () => {
    const [plain, sparse] = [undefined, () => new SparseWords()].map((make) => {
      const machine = Machine.boot(config(8192), parseDesign(name), make);
      machine.giveRange(1, 8192);
      return { told: work(machine, 10_000), usage: machine.caches.usage() };
    });
    expect(sparse).toEqual(plain);
    expect(plain.told.some((pfn) => pfn === -12)).toBe(true);
  });

  it("boots with 1 TiB in little memory", () => {
    const words = new SparseWords();
    const machine = Machine.boot(config(2 ** 28), parseDesign(name), () => words);
    machine.giveRange(1, 2 ** 28);
    const pfn = machine.allocFolio(9, T_ANON);
    expect(machine.design.typeOf(pfn + 511)).toBe(T_ANON);
    machine.putFolio(pfn);
    machine.allocator.drainAll();
    machine.caches.shrink();
    machine.allocator.drainAll();
    expect(machine.buddy.freePages(0)).toBe(2 ** 28 - 1);
    // A chunk for each free block of 4 MiB, their index, and little else.
    expect(words.bytesHeld()).toBeLessThan(64 * 2 ** 20);
  });
});
