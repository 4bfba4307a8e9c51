/**
 * What an event stream did, decided: every allocation and free has one place in the
 * account, and what is held at the end is what the traced machine held.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { kindOf } from "../../src/observe/kinds.js";
import { Decide, LOOK_AHEAD } from "../../src/trace/classify/decide.js";
import { isTraced, kindOfBlock, orderOfBlock } from "../../src/trace/classify/frames.js";
import {
  byFlags,
  kindOfAnswer,
  TRACE_RULES,
  ruleOfAnswer,
} from "../../src/trace/classify/kinds.js";
import { OP_ALLOC, OP_FREE, OP_SPLIT, OpBatch } from "../../src/trace/classify/ops.js";
import {
  EV_ALLOC,
  EV_CACHE_ADD,
  EV_CACHE_DELETE,
  EV_FREE,
  EV_LRU_INSERTION,
  EV_POOL_HOLD,
  EV_SAMPLE,
  EventBatch,
} from "../../src/trace/events.js";
import { Workload } from "./workload.js";

interface Op {
  readonly op: number;
  readonly pfn: number;
  readonly order: number;
  readonly kind: string;
}

function decided(batch: EventBatch, lookAhead = LOOK_AHEAD): { decide: Decide; ops: Op[] } {
  const decide = new Decide(undefined, lookAhead);
  const batchOfOps = new OpBatch(4096);
  const ops: Op[] = [];
  const full = (): void => {
    for (let i = 0; i < batchOfOps.length; i++)
      ops.push({
        op: batchOfOps.op[i],
        pfn: batchOfOps.pfn[i],
        order: batchOfOps.order[i],
        kind: kindOf(batchOfOps.kind[i]),
      });
    batchOfOps.length = 0;
  };
  decide.take(batch, batchOfOps, full);
  decide.finish(batchOfOps, full);
  full();
  return { decide, ops };
}

const heldOf = (decide: Decide): { pfn: number; order: number; kind: string }[] => {
  const held: { pfn: number; order: number; kind: string }[] = [];
  decide.frames.forEach((pfn, word) => {
    held.push({ pfn, order: orderOfBlock(word), kind: kindOf(kindOfBlock(word)) });
  });
  return held;
};

const steps = fc.array(fc.integer({ min: 0, max: 2 ** 24 }), { minLength: 1, maxLength: 300 });

describe("any workload whose events are all there", () => {
  test("leaves held what the traced machine holds, of the right kind, and refuses nothing", () => {
    fc.assert(
      fc.property(steps, fc.constantFrom(4, 64, LOOK_AHEAD), (numbers, lookAhead) => {
        const load = new Workload(512);
        for (const n of numbers) load.step(n);
        const { decide } = decided(load.batch, lookAhead);
        expect(heldOf(decide)).toEqual(
          load.held
            .toSorted((a, b) => a.pfn - b.pfn)
            .map(({ pfn, order, kind }) => ({ pfn, order, kind })),
        );
        const { tally } = decide;
        expect(tally.allocations).toBe(load.allocations);
        expect(tally.frees).toBe(load.frees);
        expect([tally.impossible, tally.unknownFrees, tally.overtaken]).toEqual([0, 0, 0]);
      }),
      { numRuns: 60, seed: 5 },
    );
  });

  test("has one operation for each allocation, with the kind that was found out later", () => {
    const load = new Workload(64);
    load.alloc(0, "anon");
    load.alloc(2, "file");
    load.alloc(0, "shmem");
    load.alloc(0, "page-table");
    const { ops } = decided(load.batch);
    expect(
      ops.filter(({ op }) => op === OP_ALLOC).map(({ kind, order }) => `${kind} ${order}`),
    ).toEqual(["anon 0", "file 2", "shmem 0", "page-table 0"]);
  });
});

describe("a workload of which events are missing", () => {
  test("every allocation and free is decided, unknown or impossible: the sum is what was recorded", () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 2, max: 7 }), (numbers, every) => {
        const load = new Workload(512);
        for (const n of numbers) load.step(n);
        const cut = new EventBatch(8192);
        const { batch } = load;
        let recorded = 0;
        for (let i = 0; i < batch.length; i++) {
          if (i % every === 0) continue;
          if (batch.kind[i] === EV_ALLOC || batch.kind[i] === EV_FREE) recorded++;
          cut.push(
            batch.time[i],
            batch.kind[i] as never,
            0,
            1,
            batch.x[i],
            batch.a[i],
            batch.b[i],
            0,
          );
        }
        const { tally } = decided(cut).decide;
        expect(tally.allocations + tally.frees + tally.unknownFrees + tally.impossible).toBe(
          recorded,
        );
      }),
      { numRuns: 60, seed: 6 },
    );
  });

  test("a free of what nobody was seen to allocate is counted with its pages and does nothing", () => {
    const batch = new EventBatch(4);
    batch.push(1, EV_FREE, 0, 1, 64, 3, 0, 0);
    const { decide, ops } = decided(batch);
    expect(decide.tally).toMatchObject({ unknownFrees: 1, unknownPages: 8, frees: 0 });
    expect(ops).toEqual([]);
  });

  test("an allocation over a block that is held frees it first, as unseen", () => {
    const batch = new EventBatch(4);
    batch.push(1, EV_ALLOC, 0, 1, 8, 2, 0xcc0, 0);
    batch.push(2, EV_ALLOC, 0, 1, 9, 0, 0xcc0, 0);
    const { decide, ops } = decided(batch);
    expect(ops.map(({ op }) => op)).toEqual([OP_ALLOC, OP_FREE, OP_ALLOC]);
    expect(decide.tally).toMatchObject({ overtaken: 1, unseenPages: 4 });
  });

  test("a frame or an order that no machine has is impossible, whatever the number", () => {
    for (const [pfn, order] of [
      [-1, 0],
      [2 ** 40, 0],
      [5, 11],
      [5, -1],
      [0.5, 0],
    ]) {
      const batch = new EventBatch(4);
      batch.push(1, EV_ALLOC, 0, 1, pfn, order, 0, 0);
      batch.push(2, EV_FREE, 0, 1, pfn, order, 0, 0);
      expect(decided(batch).decide.tally).toMatchObject({
        impossible: 2,
        allocations: 0,
        frees: 0,
      });
    }
  });
});

describe("a part of a block is freed", () => {
  test("it is cut into blocks of that order, and the others are held", () => {
    const batch = new EventBatch(4);
    batch.push(1, EV_ALLOC, 0, 1, 16, 3, 0xcc0, 0);
    batch.push(2, EV_FREE, 0, 1, 18, 1, 0, 0);
    const { decide, ops } = decided(batch);
    expect(ops.map(({ op, pfn, order }) => [op, pfn, order])).toEqual([
      [OP_ALLOC, 16, 3],
      [OP_SPLIT, 16, 3],
      [OP_FREE, 18, 1],
    ]);
    expect(heldOf(decide).map(({ pfn }) => pfn)).toEqual([16, 20, 22]);
  });

  test("a free of several blocks frees each of them", () => {
    const batch = new EventBatch(8);
    for (let i = 0; i < 4; i++) batch.push(i, EV_ALLOC, 0, 1, 32 + i, 0, 0xcc0, 0);
    batch.push(9, EV_FREE, 0, 1, 32, 2, 0, 0);
    const { decide, ops } = decided(batch);
    expect(ops.filter(({ op }) => op === OP_FREE)).toHaveLength(4);
    expect(decide.tally).toMatchObject({ frees: 1, joined: 1 });
    expect(heldOf(decide)).toEqual([]);
  });
});

describe("what decides a kind", () => {
  const kindWith = (say: (batch: EventBatch) => void, gfp = 0x140cca): string => {
    const batch = new EventBatch(8);
    batch.push(1, EV_ALLOC, 0, 1, 7, 0, gfp, 1);
    say(batch);
    return heldOf(decided(batch).decide)[0].kind;
  };

  test("an LRU insertion outdoes gfp flags", () => {
    expect(kindWith((b) => b.push(2, EV_LRU_INSERTION, 0, 1, 7, 0, 0x12, 0))).toBe("anon");
    expect(kindWith((b) => b.push(2, EV_LRU_INSERTION, 0, 1, 7, 0, 0x10, 0))).toBe("shmem");
    expect(kindWith((b) => b.push(2, EV_LRU_INSERTION, 0, 1, 7, 0, 0x20, 0))).toBe("file");
  });

  test("the frame's own flags outdo an LRU insertion", () => {
    expect(
      kindWith((b) => {
        b.push(2, EV_LRU_INSERTION, 0, 1, 7, 0, 0x20, 0);
        b.push(3, EV_SAMPLE, 0, 1, 7, 1 << 12, 0, 0);
      }),
    ).toBe("anon");
  });

  test("flags without a bit that tells outdo gfp flags, and no event", () => {
    const bare = (b: EventBatch): void => b.push(3, EV_SAMPLE, 0, 1, 7, 1 << 3, 0, 0);
    expect(kindWith(bare)).toBe("kernel");
    expect(
      kindWith((b) => {
        b.push(2, EV_CACHE_ADD, 0, 1, 7, 0, 1, 0);
        bare(b);
      }),
    ).toBe("file");
    // Swap-backed, and not yet on an LRU list.
    expect(kindWith((b) => b.push(3, EV_SAMPLE, 0, 1, 7, 1 << 14, 0, 0))).toBe("shmem");
  });

  test("out of the page cache without having come in: shared memory", () => {
    expect(kindWith((b) => b.push(2, EV_CACHE_DELETE, 0, 1, 7, 0, 1, 0))).toBe("shmem");
  });

  test("a pool's page is the kernel's", () => {
    expect(kindWith((b) => b.push(2, EV_POOL_HOLD, 0, 1, 7, 1, 0, 0))).toBe("kernel");
  });

  test.each([
    ["anon", "gfp-anon", 0, 0x140dca],
    ["file", "gfp-movable", 0, 0x141cca],
    ["file", "gfp-movable", 0, 0x152c4a],
    ["anon", "gfp-copy", 0, 0x140cca],
    ["file", "gfp-buffer", 0, 0x148c40],
    ["file", "gfp-buffer", 0, 0x42800],
    ["page-table", "gfp-page-table", 0, 0x440dc0],
    ["kernel", "gfp-account", 1, 0x440dc0],
    ["slab", "gfp-slab", 0, 0x52cc0],
    ["slab", "gfp-slab", 3, 0xd2050],
    ["slab", "gfp-slab", 1, 0xd20c0],
    ["kernel", "gfp-fragment", 3, 0x528c0],
    ["kernel", "gfp-account", 0, 0x400cc2],
    ["kernel", "gfp-kernel", 0, 0x2800],
  ])("flags alone: %s by %s, order %i, gfp %i", (kind, rule, order, gfp) => {
    const answer = byFlags(order, gfp);
    expect(kindOf(kindOfAnswer(answer))).toBe(kind);
    expect(TRACE_RULES[ruleOfAnswer(answer)].name).toBe(rule);
  });

  test("what comes after the look-ahead corrects the account and is counted as late", () => {
    const batch = new EventBatch(64);
    batch.push(1, EV_ALLOC, 0, 1, 7, 0, 0x141cca, 1);
    for (let i = 0; i < 8; i++) batch.push(2 + i, EV_ALLOC, 0, 1, 100 + i, 0, 0xcc0, 0);
    batch.push(20, EV_LRU_INSERTION, 0, 1, 7, 0, 0x12, 0);
    const { decide, ops } = decided(batch, 4);
    expect(ops[0]).toMatchObject({ op: OP_ALLOC, kind: "file" });
    expect(heldOf(decide)[0]).toMatchObject({ pfn: 7, kind: "anon" });
    expect(decide.tally.late).toBe(1);
  });

  test("an insertion of a frame that nobody holds is a stranger", () => {
    const batch = new EventBatch(4);
    batch.push(1, EV_LRU_INSERTION, 0, 1, 77, 0, 0x12, 0);
    expect(decided(batch).decide.tally.strangers).toBe(1);
  });
});

test("blocks that the trace allocated are told from those of a snapshot", () => {
  const load = new Workload(8);
  load.alloc(0, "anon");
  const { decide } = decided(load.batch);
  decide.frames.forEach((_, word) => expect(isTraced(word)).toBe(true));
});
