/**
 * Counted words: an operation's distinct 64-byte lines, read and written, for
 * operations whose lines are known from the layouts.
 */
import { describe, expect, it } from "vitest";
import { parseDesign } from "../../src/engine/design/presets.js";
import { T_FILE } from "../../src/engine/design/word/axis-types.js";
import { Machine } from "../../src/engine/machine.js";
import { CountedWords } from "../../src/engine/words/counted.js";
import { bytes, ref } from "../../src/units.js";

describe("lines of single accesses", () => {
  const words = (): CountedWords => new CountedWords(bytes(4096));

  it("four references, 64 bytes, are one line", () => {
    const w = words();
    const lines = w.measure(() => {
      w.load32(ref(4), 0);
      w.load64(ref(7), 8);
      w.load32(ref(4), 60);
      w.load32(ref(8), 0);
    });
    expect(lines).toEqual({ read: 2, written: 0, touched: 2 });
  });

  it("a line both read and written counts in each, and once as touched", () => {
    const w = words();
    expect(w.measure(() => w.add32(ref(4), 0, 1))).toEqual({ read: 1, written: 1, touched: 1 });
    expect(w.measure(() => (w.load32(ref(4), 0), w.store64(ref(8), 0, 1, 2)))).toEqual({
      read: 1,
      written: 1,
      touched: 2,
    });
  });

  it("a compare-and-swap that loses only reads", () => {
    const w = words();
    expect(w.measure(() => w.cas32(ref(4), 0, 5, 6))).toEqual({ read: 1, written: 0, touched: 1 });
    expect(w.measure(() => w.cas64(ref(4), 0, 0, 0, 6, 0))).toEqual({
      read: 1,
      written: 1,
      touched: 1,
    });
  });

  it.each([
    [0, 16, 1],
    [0, 17, 2],
    [60, 2, 2],
    [32, 40, 3],
    [0, 0, 0],
  ])("a run from byte %i of %i words writes %i lines", (off, periods, written) => {
    const w = words();
    const lines = w.measure(() => w.fillRun(ref(4), off, new Int32Array(1), periods, null, 0, 0));
    expect(lines).toEqual({ read: 0, written, touched: written });
  });

  it("what was measured before does not count", () => {
    const w = words();
    w.measure(() => w.store32(ref(4), 0, 1));
    w.store32(ref(8), 0, 1);
    expect(w.measure(() => w.load32(ref(12), 0))).toEqual({ read: 1, written: 0, touched: 1 });
  });
});

describe("lines of operations on a machine", () => {
  const boot = (design: string): { machine: Machine; words: CountedWords } => {
    let words = new CountedWords(bytes(0));
    const zone = { node: 0, type: 2, start: 0, spanned: 2048, min: 0, low: 0, high: 0, reserve: 0 };
    const config = {
      frames: 2048,
      zones: [zone],
      present: [{ start: 0, end: 2048 }],
      cpus: 1,
      pcp: [{ high: 500, batch: 63 }],
    };
    const machine = Machine.boot(
      config,
      parseDesign(design),
      (size) => (words = new CountedWords(size)),
    );
    machine.giveRange(0, 2048);
    return { machine, words };
  };

  it.each([
    // The 512 words of a huge folio: 64 bytes each, 32, 16, 8.
    ["today", 512],
    ["page32", 256],
    ["memdesc16", 128],
    ["memdesc8", 64],
    ["slot64", 512],
  ])("%s: binding a folio of order 9 writes all %i lines of its page words", (design, lines) => {
    const { machine, words } = boot(design);
    const pfn = machine.allocator.alloc(9, 1);
    const cache = machine.design.cacheFor(T_FILE, 9);
    const descriptor = cache < 0 ? ref(0) : machine.caches.alloc(cache);
    expect(words.measure(() => machine.design.bind(pfn, 9, T_FILE, descriptor)).written).toBe(
      lines,
    );
  });

  it.each([
    // A tail finds its head first today; one word, then the folio's descriptor, in memdesc8.
    ["today", 2, 1],
    ["memdesc8", 2, 1],
  ])(
    "%s: a reference taken through a tail page reads %i lines and writes %i",
    (design, read, written) => {
      const { machine, words } = boot(design);
      const pfn = machine.allocFolio(9, T_FILE);
      expect(words.measure(() => machine.getFolio(pfn + 300))).toMatchObject({ read, written });
    },
  );
});
