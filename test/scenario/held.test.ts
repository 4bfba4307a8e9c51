/**
 * What is held, read from the words, is what is held: on every design, whatever
 * was allocated and freed before.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseDesign } from "../../src/engine/design/presets.js";
import {
  T_ANON,
  T_FILE,
  T_PGTABLE,
  type PageType,
} from "../../src/engine/design/word/axis-types.js";
import { heldBlocks } from "../../src/scenario/held.js";
import { bootSubject, brokenRules, type Subject } from "../../src/scenario/subject.js";
import { DESIGNS } from "../engine/machines.js";

const ORDERS = [0, 0, 1, 2, 9];

/** One step: free the n-th block that is held, or allocate. */
const steps = fc.array(
  fc.oneof(
    fc.record({ free: fc.nat(100) }),
    fc.record({
      order: fc.constantFrom(...ORDERS),
      type: fc.constantFrom<PageType | null>(T_FILE, T_ANON, T_PGTABLE, null),
    }),
  ),
  { maxLength: 60 },
);

interface Block {
  readonly pfn: number;
  readonly order: number;
  readonly type: PageType | null;
}

function allocate({ machine: m }: Subject, order: number, type: PageType | null): Block {
  if (type === null) return { pfn: m.allocPages(order), order, type };
  // Page tables are single pages.
  if (type === T_PGTABLE) return { pfn: m.allocTyped(0, type), order: 0, type };
  return { pfn: m.allocFolio(order, type), order, type };
}

function free({ machine: m }: Subject, block: Block): void {
  if (block.type === null) m.freePages(block.pfn, block.order);
  else if (block.type === T_PGTABLE) m.freeTyped(block.pfn);
  else m.putFolio(block.pfn);
}

/** Frames of blocks, in order: how large the blocks of Misc pages are is the design's to say. */
const framesOf = (blocks: readonly { readonly pfn: number; readonly order: number }[]): number[] =>
  blocks
    .flatMap(({ pfn, order }) => Array.from({ length: 2 ** order }, (_, i) => pfn + i))
    .toSorted((a, b) => a - b);

describe("blocks that are held", () => {
  it.each(DESIGNS)("%s: are what was allocated and not freed", (design) => {
    fc.assert(
      fc.property(steps, fc.constantFrom(1, 2), (sequence, nodes) => {
        const subject = bootSubject({ memory: "16MiB", nodes, cpus: 2 }, parseDesign(design));
        const held: Block[] = [];
        for (const step of sequence) {
          if ("free" in step) {
            const [block] = held.splice(step.free % Math.max(1, held.length), 1);
            if (block !== undefined) free(subject, block);
          } else {
            const block = allocate(subject, step.order, step.type);
            if (block.pfn >= 0) held.push(block);
          }
        }
        expect(brokenRules(subject)).toEqual([]);
        expect(framesOf(heldBlocks(subject.machine, subject.given))).toEqual(framesOf(held));
      }),
      { numRuns: 15 },
    );
  });
});
