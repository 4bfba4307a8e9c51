/**
 * The explorer against arithmetic: how many orders small programs have is known,
 * and so is which of them go wrong.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { explore } from "../../src/check/explorer.js";
import { formatCounterexample, formatVerdict } from "../../src/check/lanes.js";
import { type Program, type Thread, Violation } from "../../src/check/program.js";
import { CheckedWords } from "../../src/engine/words/checked.js";
import { PlainWords } from "../../src/engine/words/plain.js";
import { bytes, ref } from "../../src/units.js";

const X = ref(1);
const Y = ref(2);

const program = (
  make: (w: CheckedWords) => Thread["run"][],
  finalCheck?: (w: CheckedWords, results: readonly number[]) => string | null,
): Program => {
  const words = new CheckedWords(new PlainWords(bytes(1024)));
  const threads = make(words).map((run, i) => ({ name: `thread ${i}`, run }));
  return {
    words,
    threads,
    pages: [],
    ...(finalCheck && { finalCheck: (r) => finalCheck(words, r) }),
  };
};

const times = <T>(n: number, make: (i: number) => T): T[] =>
  Array.from({ length: n }, (_, i) => make(i));
const factorial = (n: number): bigint => (n < 2 ? 1n : BigInt(n) * factorial(n - 1));

/** Threads that make `lengths[i]` loads each of a word of their own. */
const straight = (lengths: readonly number[]): Program =>
  program((w) =>
    lengths.map((n, i) => () => {
      for (let k = 0; k < n; k++) w.load32(ref(1 + i), 0);
      return 0;
    }),
  );

/** ainc of anchors C1: N threads with one atomic increment each. */
const ainc = (n: number): Program => program((w) => times(n, () => () => w.add32(X, 0, 1)));
/** inc: N threads that read and then write what they read plus one. */
const inc = (n: number): Program =>
  program((w) =>
    times(n, () => () => {
      w.store32(X, 0, w.load32(X, 0) + 1);
      return 0;
    }),
  );
/** readers: one thread writes, N read. */
const readers = (n: number): Program =>
  program((w) => [() => (w.store32(X, 0, 1), 0), ...times(n, () => () => w.load32(X, 0))]);
/** lastzero: N threads set word i to word i − 1 plus one, one more looks backwards for the last word that is still zero. */
const lastzero = (n: number): Program =>
  program((w) => [
    () => {
      let i = n;
      while (w.load32(ref(1 + i), 0) !== 0) i--;
      return i;
    },
    ...times(n, (k) => () => {
      w.store32(ref(2 + k), 0, w.load32(ref(1 + k), 0) + 1);
      return 0;
    }),
  ]);

describe("every execution is enumerated, once", () => {
  it.each([
    [1, 1],
    [2, 3],
    [4, 4],
    [5, 6],
  ])("two threads of %i and %i accesses have (n+m)!/(n!m!) interleavings", (n, m) => {
    const verdict = explore(straight([n, m]), { mode: "naive" });
    expect(verdict.executions).toBe(factorial(n + m) / (factorial(n) * factorial(m)));
    expect(verdict.kind).toBe("complete");
  });

  it("three threads of 2, 3 and 2 accesses have 7!/(2!3!2!)", () => {
    expect(explore(straight([2, 3, 2]), { mode: "naive" }).executions).toBe(
      factorial(7) / (2n * 6n * 2n),
    );
  });

  it.each([2, 3, 4, 5, 6])("ainc(%i) has N! executions, as GenMC's oracle says", (n) => {
    expect(explore(ainc(n), { mode: "naive" }).executions).toBe(factorial(n));
    // With one access a thread, who read from whom is the order: the ends are as many.
    const merged = explore(ainc(n));
    expect(merged.executions).toBe(factorial(n));
    expect(merged.ends).toBe(Number(factorial(n)));
  });

  it.each([2, 3, 4])("inc(%i) has (2N)!/2^N interleavings", (n) => {
    // GenMC's 4, 36, 576 for this program count classes, not interleavings.
    expect(explore(inc(n), { mode: "naive" }).executions).toBe(factorial(2 * n) / 2n ** BigInt(n));
  });

  it.each([
    [2, 4],
    [8, 256],
  ])(
    "readers(%i) has (N+1)! interleavings, whose ends fall into GenMC's 2^N = %i",
    (n, classes) => {
      const verdict = explore(readers(n));
      expect(verdict.executions).toBe(factorial(n + 1));
      expect(verdict.ends).toBe(classes);
    },
  );

  // Published for 5, 10, 15: 64, 3328, 147456, which is (N + 3) × 2^(N − 2).
  it.each([
    [5, 64],
    [7, 320],
  ])(
    "lastzero(%i): what the threads read differs in %i ways, as in GenMC's oracle",
    (n, classes) => {
      expect(explore(lastzero(n)).ends).toBe(classes);
    },
  );
});

describe("naive and merging agree", () => {
  const access = fc.record({
    kind: fc.constantFrom("load", "store", "add", "cas"),
    word: fc.nat(1),
    value: fc.nat(2),
  });
  const random = fc.array(fc.array(access, { minLength: 1, maxLength: 3 }), {
    minLength: 2,
    maxLength: 3,
  });

  it("on the executions of random programs, whose reads decide what follows", () => {
    fc.assert(
      fc.property(random, (threads) => {
        const make = (): Program =>
          program((w) =>
            threads.map((steps) => () => {
              let sum = 0;
              for (const { kind, word, value } of steps) {
                const at = ref(1 + word);
                if (kind === "load") sum += w.load32(at, 0);
                else if (kind === "store") w.store32(at, 0, value + sum);
                else if (kind === "add") sum += w.add32(at, 0, value);
                else if (!w.cas32(at, 0, value, value + 1)) sum += w.load32(at, 0);
              }
              return sum;
            }),
          );
        const naive = explore(make(), { mode: "naive" });
        const merging = explore(make());
        expect(merging.executions).toBe(naive.executions);
        expect(merging.states).toBeLessThanOrEqual(naive.states);
      }),
      { numRuns: 150, seed: 1 },
    );
  });

  it("and both leave memory as it was", () => {
    for (const mode of ["naive", "merging"] as const) {
      const p = inc(3);
      explore(p, { mode });
      expect(p.words.load32(X, 0)).toBe(0);
    }
  });
});

describe("what goes wrong is found", () => {
  const sum = (n: number) => (w: CheckedWords) =>
    w.load32(X, 0) === n ? null : `${n} increments left ${w.load32(X, 0)}`;

  it.each(["naive", "merging"] as const)("a lost update, in its shortest schedule (%s)", (mode) => {
    const p: Program = { ...inc(2), nameOf: () => "counter" };
    const check = sum(2);
    const verdict = explore({ ...p, finalCheck: () => check(p.words) }, { mode });
    expect(verdict.kind).toBe("stopped");
    expect(verdict.reason).toBe("2 increments left 1");
    const c = verdict.counterexample;
    expect(c?.schedule.map((s) => `${s.thread} ${s.made.access.kind}`)).toEqual([
      "0 load32",
      "1 load32",
      "1 store32",
      "0 store32",
    ]);
    const lines = c === null ? [] : formatCounterexample(c, verdict.threads);
    expect(lines).toEqual([
      "rule broken: 2 increments left 1",
      "   thread 0                               thread 1",
      "1  counter is 0",
      "2                                         counter is 0",
      "3                                         counter = 1",
      "4  counter = 1",
    ]);
  });

  it("a counter with compare-and-swap loses nothing", () => {
    const p = program(
      (w) =>
        times(3, () => () => {
          for (;;) {
            const was = w.load32(X, 0);
            if (w.cas32(X, 0, was, was + 1)) return was;
          }
        }),
      sum(3),
    );
    const verdict = explore(p);
    expect(verdict.kind).toBe("complete");
    expect(verdict.counterexample).toBeNull();
    expect(formatVerdict(verdict)).toMatch(
      /^complete: 3 threads, \d+ states, \d+ ends, \d+ executions, \d+ steps, merging, SC$/,
    );
  });

  it("two threads that each wait for the other before they act", () => {
    const p = program((w) => [
      () => (w.await32(Y, 0, 1), w.store32(X, 0, 1), 0),
      () => (w.await32(X, 0, 1), w.store32(Y, 0, 1), 0),
    ]);
    const verdict = explore(p);
    expect(verdict.kind).toBe("stopped");
    expect(verdict.reason).toBe("deadlock: thread 0, thread 1 wait forever");
  });

  it("a wait that is always ended is none: one runs first, then the other", () => {
    const p = program((w) => [
      () => (w.await32(X, 0, 1), w.load32(X, 0)),
      () => (w.store32(X, 0, 1), 0),
    ]);
    expect(explore(p, { mode: "naive" })).toMatchObject({ kind: "complete", executions: 1n });
  });

  it("what a thread itself reports, throws, or touches outside of memory", () => {
    const reports = program((w) => [
      () => (w.load32(X, 0) === 1 ? new Violation("saw 1") : 0),
      () => (w.store32(X, 0, 1), 0),
    ]);
    expect(explore(reports).reason).toBe("saw 1");
    const throws = program((w) => [
      () => {
        if (w.load32(X, 0) === 1) throw new RangeError("bad");
        return 0;
      },
      () => (w.store32(X, 0, 1), 0),
    ]);
    expect(explore(throws).reason).toBe("thread 0 failed: bad");
    expect(explore(program((w) => [() => w.load32(ref(4096), 0)])).reason).toBe(
      "thread 0 load32 outside of memory, at 4096+0",
    );
  });
});

describe("a verdict says how far it reaches", () => {
  it.each([
    [{ steps: 10 }, "10 steps made"],
    [{ states: 10 }, "10 states visited"],
    [{ length: 4 }, "an execution of 4 accesses"],
  ])("bounded by %o", (limits, reason) => {
    expect(explore(straight([4, 4]), { limits })).toMatchObject({ kind: "bounded", reason });
  });

  it("a limit that is not reached changes nothing", () => {
    expect(explore(straight([2, 2]), { limits: { length: 4 } })).toMatchObject({
      kind: "complete",
      executions: 6n,
    });
  });

  it("stopped when somebody interrupts", () => {
    expect(explore(straight([4, 4]), { interrupted: () => true })).toMatchObject({
      kind: "stopped",
      reason: "interrupted",
    });
  });

  it("a spinning thread makes it bounded, never complete", () => {
    const p = program((w) => [
      () => {
        while (w.load32(X, 0) === 0);
        return 0;
      },
    ]);
    expect(explore(p, { limits: { length: 50 } }).kind).toBe("bounded");
  });

  it("a thread that does something else when run again is refused", () => {
    let runs = 0;
    const p = program((w) => [() => w.load32(X, 4 * runs++) + w.load32(X, 0)]);
    expect(() => explore(p)).toThrow(/run again/);
  });
});
