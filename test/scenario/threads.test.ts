/**
 * Threads that wait: who cannot have what it wants sleeps, the others go on, and
 * it wakes; what it did before it slept is done once.
 */
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { parseDesign } from "../../src/engine/design/presets.js";
import { DEFAULT_DESIGNS } from "../../src/engine/design/presets.js";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../../src/engine/process/constants.js";
import { bytes, ref, type Ref } from "../../src/units.js";
import { bootSubject } from "../../src/scenario/subject.js";
import { NotRepeatable, ThreadedWords } from "../../src/scenario/threaded-words.js";
import { runThreads } from "../../src/scenario/threads.js";

const PAGE = 4096;
const at = (i: number): Ref => (i * 4) as Ref;
const beside = (): { muted: boolean } => ({ muted: false });
const words = (): ThreadedWords => new ThreadedWords(bytes(4096));

test("a thread that waits goes on behind the one that wakes it", () => {
  const w = words();
  const content = bootSubject({ memory: "8MiB" }, parseDesign("today")).kernel.base.core.content;
  const seen: string[] = [];
  const { events, stuck } = runThreads(w, content, {
    sleeper: () => {
      w.await32(at(1), 0, 1);
      w.store32(at(2), 0, w.load32(at(2), 0) + 1);
    },
    waker: () => {
      w.store32(at(2), 0, 7);
      w.store32(at(1), 0, 1);
    },
  });
  for (const e of events) seen.push(`${e.thread} ${e.what}`);
  expect(seen).toEqual(["sleeper waits", "waker ends", "sleeper goes on", "sleeper ends"]);
  expect(stuck).toEqual([]);
  expect(w.load32(at(2), 0)).toBe(8);
});

test("what was done before a wait is done once, and every answer stays what it was", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 30 }),
      fc.integer({ min: 0, max: 29 }),
      (program, place) => {
        const w = words();
        const once = words();
        /** Adds, stores, loads and swaps; what it saw. */
        const does = (on: ThreadedWords, waits: boolean): number[] => {
          const saw: number[] = [];
          for (const [i, what] of program.entries()) {
            if (waits && i === place) on.await32(at(60), 0, 1);
            if (what === 0) saw.push(on.add32(at(i % 4), 0, i + 1));
            else if (what === 1) on.store64(at(i % 4), 0, i, i * 3);
            else if (what === 2) saw.push(on.load64(at(i % 4), 0), on.hi);
            else if (what === 3) saw.push(on.cas32(at(i % 4), 0, i, i + 2) ? 1 : 0);
            else if (what === 4) on.fillRun(at(i % 4), 0, Int32Array.of(i, i), 2, null, 0, 0);
            else saw.push(on.load32(at(i % 4), 4));
          }
          return saw;
        };
        const log: number[] = [];
        let saw: number[] = [];
        const run = (): void => void (saw = does(w, true));
        const wait = w.runThread(log, true, beside(), run);
        w.store32(at(60), 0, 1);
        const again = wait === null ? null : w.runThread(log, false, beside(), run);
        expect(again).toBeNull();
        expect(saw).toEqual(does(once, false));
        const all = (of: ThreadedWords): number[] =>
          Array.from({ length: 64 }, (_, i) => of.memory.load32(ref(i >> 2), (i & 3) << 2));
        expect(all(w)).toEqual(all(once));
      },
    ),
  );
});

test("threads that wait for each other are named, with what they wait for", () => {
  const w = words();
  const { content } = bootSubject({ memory: "8MiB" }, parseDesign("today")).kernel.base.core;
  const { stuck } = runThreads(w, content, {
    a: () => w.await32(at(1), 0, 1),
    b: () => w.awaitChange32(at(2), 0, 0),
  });
  expect(stuck.map((e) => [e.thread, e.wait?.ref, e.wait?.until])).toEqual([
    ["a", at(1), "is"],
    ["b", at(2), "is not"],
  ]);
});

test("a thread that does something else when it is run again is found out", () => {
  const w = words();
  let place = 1;
  const does = (): void => {
    w.load32(at(place++), 0);
    w.await32(at(60), 0, 1);
  };
  const log: number[] = [];
  w.runThread(log, true, beside(), does);
  expect(() => w.runThread(log, false, beside(), does)).toThrow(NotRepeatable);
});

describe.each(DEFAULT_DESIGNS)("%s", (design) => {
  test("writes of two processes: bytes written before a wait are not written again", () => {
    const { kernel, words: w } = bootSubject({ memory: "16MiB" }, parseDesign(design));
    const { folios, core } = kernel.base;
    const p = kernel.createProcess();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const heap = p.mmap({ length: 2 * PAGE, prot: PROT_READ | PROT_WRITE, flags });
    p.write(heap, Uint8Array.of(1));
    p.write(heap + PAGE, Uint8Array.of(1));
    const gate = folios.ofPage(p.pagemap(heap).pfn);
    folios.lock(gate);
    const run = runThreads(w, core.content, {
      // Writes, waits for the lock, goes on: the other's byte must stay.
      first: () => {
        p.write(heap + PAGE, Uint8Array.of(2));
        folios.lock(gate);
        folios.unlock(gate);
      },
      second: () => {
        p.write(heap + PAGE, Uint8Array.of(3));
        folios.unlock(gate);
      },
    });
    expect(run.stuck).toEqual([]);
    expect(p.read(heap + PAGE, 1)[0]).toBe(3);
  });
});
