/**
 * What is timed in `alloc`: pairs of alloc and free of order 0, through the
 * engine's front door (`allocPages`/`freePages`, `allocFolio`/`putFolio`), which
 * is what every other part of the product calls.
 */
import { T_ANON } from "../src/engine/design/word/axis-types.js";
import type { Machine } from "../src/engine/machine.js";
import { Random } from "./random.js";

export const BATCH = 512;
export const LIVE = 1_000_000;
const SEED = 20_251_121;
/** Calls between two looks at the clock: some 10 ms. */
const STRETCH = 100_000;

/** Does so many pairs, or a few more; how many it did. */
export type Pairs = (atLeast: number) => number;

function held(pfn: number): number {
  if (pfn < 0) throw new Error(`the machine of the benchmark ran out of memory (${pfn})`);
  return pfn;
}

/** 512 pages are allocated, then freed in the same order. */
export function bareBatches(m: Machine): Pairs {
  const pfns = new Int32Array(BATCH);
  return (atLeast) => {
    let done = 0;
    for (; done < atLeast; done += BATCH) {
      for (let i = 0; i < BATCH; i++) pfns[i] = held(m.allocPages(0));
      for (let i = 0; i < BATCH; i++) m.freePages(pfns[i], 0);
    }
    return done;
  };
}

/** The same with a folio and its descriptor each. */
export function folioBatches(m: Machine): Pairs {
  const pfns = new Int32Array(BATCH);
  return (atLeast) => {
    let done = 0;
    for (; done < atLeast; done += BATCH) {
      for (let i = 0; i < BATCH; i++) pfns[i] = held(m.allocFolio(0, T_ANON));
      for (let i = 0; i < BATCH; i++) m.putFolio(pfns[i]);
    }
    return done;
  };
}

/** A million pages are held; a random one is freed and another allocated. */
export function bareRandom(m: Machine): Pairs {
  const pfns = Int32Array.from({ length: LIVE }, () => held(m.allocPages(0)));
  const random = new Random(SEED);
  return (atLeast) => {
    for (let i = 0; i < atLeast; i++) {
      const at = random.below(LIVE);
      m.freePages(pfns[at], 0);
      pfns[at] = held(m.allocPages(0));
    }
    return atLeast;
  };
}

/** The same with a million folios. */
export function folioRandom(m: Machine): Pairs {
  const pfns = Int32Array.from({ length: LIVE }, () => held(m.allocFolio(0, T_ANON)));
  const random = new Random(SEED);
  return (atLeast) => {
    for (let i = 0; i < atLeast; i++) {
      const at = random.below(LIVE);
      m.putFolio(pfns[at]);
      pfns[at] = held(m.allocFolio(0, T_ANON));
    }
    return atLeast;
  };
}

/** Million pairs per second over about so many milliseconds. */
export function rate(pairs: Pairs, ms: number): number {
  const began = performance.now();
  let done = 0;
  let now = began;
  while (now - began < ms) {
    done += pairs(STRETCH);
    now = performance.now();
  }
  return done / (now - began) / 1000;
}
