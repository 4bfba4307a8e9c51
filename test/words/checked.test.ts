/**
 * Checked words: a thread that is stopped before every access and run again from
 * its start does what it would have done on plain words in one go.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_DESIGNS, parseDesign } from "../../src/engine/design/presets.js";
import { T_FILE, T_PGTABLE } from "../../src/engine/design/word/axis-types.js";
import { Machine } from "../../src/engine/machine.js";
import { CheckedWords, type Logged } from "../../src/engine/words/checked.js";
import { PlainWords } from "../../src/engine/words/plain.js";
import type { Words } from "../../src/engine/words/words.js";
import { bytes, ref } from "../../src/units.js";

/** Runs a thread access by access to its end. */
function stepped<T>(
  words: CheckedWords,
  thread: () => T,
): { result: T | undefined; log: Logged[] } {
  const log: Logged[] = [];
  for (;;) {
    const { made, next, result } = words.resume(thread, log, 1);
    if (made !== null) log.push(made);
    if (next === null) return { result, log };
  }
}

const step = fc.record({
  kind: fc.constantFrom(
    "load32",
    "load64",
    "store32",
    "store64",
    "cas32",
    "cas64",
    "add32",
    "fill",
  ),
  word: fc.nat(20).map((n) => n * 2),
  lo: fc.integer({ min: -3, max: 3 }),
  hi: fc.integer({ min: -3, max: 3 }),
});

/** A thread whose later accesses depend on what earlier ones answered. */
const threadOf =
  (steps: readonly { kind: string; word: number; lo: number; hi: number }[]) =>
  (w: Words) =>
  (): number[] => {
    const told: number[] = [];
    for (const { kind, word, lo, hi } of steps) {
      const r = ref(word >> 2);
      const off = (word & 3) * 4;
      const last = told.at(-1) ?? 0;
      if (kind === "load32") told.push(w.load32(r, off));
      else if (kind === "load64") told.push(w.load64(r, off), w.hi);
      else if (kind === "store32") w.store32(r, off, lo + last);
      else if (kind === "store64") w.store64(r, off, lo, hi + last);
      else if (kind === "cas32") told.push(w.cas32(r, off, lo, hi) ? 1 : 0);
      else if (kind === "cas64") told.push(w.cas64(r, off, lo, 0, hi, last) ? 1 : 0, w.hi);
      else if (kind === "add32") told.push(w.add32(r, off, lo));
      else
        w.fillRun(r, off + 4, Int32Array.from([lo, hi, last]), 3, Int32Array.from([1]), hi * 16, 8);
    }
    return told;
  };

describe("stopping and running again changes nothing", () => {
  it("over random threads: the same answers and the same memory", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const thread = threadOf(steps);
        const plain = new PlainWords(bytes(512));
        const checked = new CheckedWords(new PlainWords(bytes(512)));
        const { result } = stepped(checked, thread(checked));
        expect(result).toEqual(thread(plain)());
        expect(checked.memory.mem).toEqual(plain.mem);
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  it.each(DEFAULT_DESIGNS)(
    "over the engine's own paths in %s: folio, page table, slab growth, shrinking",
    (design) => {
      const boot = (make: (n: number) => Words): Machine => {
        const zone = {
          node: 0,
          type: 1,
          start: 0,
          spanned: 1024,
          min: 0,
          low: 0,
          high: 0,
          reserve: 0,
        };
        const config = {
          frames: 1024,
          zones: [zone],
          present: [{ start: 0, end: 1024 }],
          cpus: 1,
          pcp: [{ high: 500, batch: 1 }],
        };
        const machine = Machine.boot(config, parseDesign(design), make);
        machine.giveRange(0, 1024);
        machine.freePages(machine.allocPages(0), 0);
        return machine;
      };
      const work = (machine: Machine) => (): number[] => {
        const folio = machine.allocFolio(1, T_FILE);
        const table = machine.allocTyped(0, T_PGTABLE);
        machine.putFolio(folio);
        machine.caches.shrink();
        return [folio, table, machine.design.typeOf(table), machine.design.typeOf(folio)];
      };
      const checked = new CheckedWords(new PlainWords(bytes(8 * 2 ** 20)));
      const plain = new PlainWords(bytes(8 * 2 ** 20));
      const told = work(boot(() => plain))();
      const { result, log } = stepped(checked, work(boot(() => checked)));
      expect(result).toEqual(told);
      expect(Buffer.from(checked.memory.mem.buffer).equals(Buffer.from(plain.mem.buffer))).toBe(
        true,
      );
      expect(log.length).toBeGreaterThan(100);
    },
  );
});

describe("one access at a time", () => {
  const words = (): CheckedWords => new CheckedWords(new PlainWords(bytes(256)));

  it("without a grant nothing is made, and the thread says what it wants", () => {
    const w = words();
    const { made, next, result } = w.resume(() => w.add32(ref(1), 4, 7), [], 0);
    expect(made).toBeNull();
    expect(result).toBeUndefined();
    expect(next).toEqual({ kind: "add32", ref: 1, off: 4, value: 7, high: 0 });
    expect(w.load32(ref(1), 4)).toBe(0);
  });

  it("outside of a thread accesses go straight to memory", () => {
    const w = words();
    w.store64(ref(1), 0, 5, 6);
    expect(w.load64(ref(1), 0)).toBe(5);
    expect([w.hi, w.memory.load32(ref(1), 4)]).toEqual([6, 6]);
  });

  it("the high half is the thread's own: another thread's load does not change it", () => {
    const w = words();
    w.store64(ref(1), 0, 1, 11);
    w.store64(ref(2), 0, 2, 22);
    const thread = (): number => {
      w.load64(ref(1), 0);
      w.load32(ref(3), 0);
      return w.hi;
    };
    const first = w.resume(thread, [], 1).made;
    w.resume(() => w.load64(ref(2), 0), [], 1);
    if (first === null) throw new Error("no access was made");
    expect(w.resume(thread, [first], 1).result).toBe(11);
  });

  it("in a thread a run is one store for each 64 bits", () => {
    const w = words();
    const { log } = stepped(w, () =>
      w.fillRun(ref(1), 4, new Int32Array(5).fill(9), 1, null, 0, 0),
    );
    expect(log.map((l) => `${l.access.kind} ${l.access.off}`)).toEqual([
      "store32 4",
      "store64 8",
      "store64 16",
    ]);
  });

  it("what a thread throws comes out, and the words are back in direct mode", () => {
    const w = words();
    expect(() =>
      w.resume(
        () => {
          throw new RangeError("mine");
        },
        [],
        1,
      ),
    ).toThrow("mine");
    expect(w.load32(ref(1), 0)).toBe(0);
  });
});
