/**
 * Waits that block and wake: whoever cannot have a lock sleeps and goes on once it
 * is free, in every interleaving; nobody sleeps for ever, and nobody is let in
 * while somebody else is there.
 */
import { describe, expect, test } from "vitest";
import { explore } from "../../src/check/explorer.js";
import type { Program } from "../../src/check/program.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import { T_FILE } from "../../src/engine/design/word/axis-types.js";
import { PG_LOCKED } from "../../src/engine/design/word/axis-flags.js";
import { Kernel } from "../../src/engine/process/kernel.js";
import {
  downRead,
  downWrite,
  spinLock,
  spinUnlock,
  upRead,
  upWrite,
} from "../../src/engine/process/locks.js";
import { CheckedWords } from "../../src/engine/words/checked.js";
import { PlainWords } from "../../src/engine/words/plain.js";
import type { Ref } from "../../src/units.js";

/** Two threads that each add one to a word, not atomically, inside what `enter` and `leave` guard. */
function counting(
  words: CheckedWords,
  counter: Ref,
  enter: () => void,
  leave: () => void,
  afterwards: () => string | null,
): Program {
  const run = (): number => {
    enter();
    words.store32(counter, 0, words.load32(counter, 0) + 1);
    leave();
    return 0;
  };
  return {
    words,
    threads: [
      { name: "A", run },
      { name: "B", run },
    ],
    pages: [],
    finalCheck: () => (words.load32(counter, 0) === 2 ? afterwards() : "an increment was lost"),
  };
}

const machine = (design: string): { kernel: Kernel; words: CheckedWords } => {
  let words: CheckedWords | null = null;
  const kernel = Kernel.boot({ memory: "8MiB" }, parseDesign(design), (size) => {
    words = new CheckedWords(new PlainWords(size));
    return words;
  });
  if (words === null) throw new Error("the kernel booted without words");
  return { kernel, words };
};

describe.each(["today", "page32", "memdesc8", "slot64"])("%s", (design) => {
  test("a folio's lock lets one in at a time, and wakes who waits", () => {
    const { kernel, words } = machine(design);
    const { folios, core } = kernel.base;
    const folio = core.design.descriptorOf(kernel.machine.allocFolio(0, T_FILE));
    const counter = kernel.machine.state;
    const verdict = explore(
      counting(
        words,
        counter,
        () => folios.lock(folio),
        () => folios.unlock(folio),
        () => (folios.test(folio, PG_LOCKED) ? "the lock is still held" : null),
      ),
      { mode: "merging" },
    );
    expect(verdict.counterexample).toBeNull();
    expect(verdict.kind).toBe("complete");
  });

  test("without the lock an increment is lost: the check can fail", () => {
    const { kernel, words } = machine(design);
    const nothing = (): void => {};
    const program = counting(words, kernel.machine.state, nothing, nothing, () => null);
    expect(explore(program, { mode: "merging" }).kind).toBe("stopped");
  });
});

test("a read-write semaphore: a writer waits for readers, readers for a writer", () => {
  const { kernel, words } = machine("today");
  const at = kernel.machine.state;
  const program: Program = {
    words,
    threads: [
      {
        name: "writer",
        run: () => {
          downWrite(words, at, 0);
          words.store32(at, 4, 1);
          words.store32(at, 8, 1);
          upWrite(words, at, 0);
          return 0;
        },
      },
      {
        name: "reader",
        run: () => {
          downRead(words, at, 0);
          const both = words.load32(at, 4) * 2 + words.load32(at, 8);
          upRead(words, at, 0);
          return both;
        },
      },
    ],
    pages: [],
    finalCheck: ([, both]) => (both === 0 || both === 3 ? null : "the reader saw half a write"),
  };
  const verdict = explore(program, { mode: "naive" });
  expect([verdict.kind, verdict.counterexample]).toEqual(["complete", null]);
});

test("a spin lock lets one in at a time", () => {
  const { kernel, words } = machine("today");
  const at = kernel.machine.state;
  const verdict = explore(
    counting(
      words,
      (at + 1) as Ref,
      () => spinLock(words, at, 0),
      () => spinUnlock(words, at, 0),
      () => null,
    ),
    { mode: "naive" },
  );
  expect([verdict.kind, verdict.counterexample]).toEqual(["complete", null]);
});
