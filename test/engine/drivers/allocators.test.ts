/**
 * The allocators that drivers bring: whatever is asked of them, blocks are aligned and
 * never overlap, running out is said exactly when no block of that order is free, what
 * was never given is never taken back, and in the end everything is free. Which block
 * it is that they give, rule by rule, each by the kernel function that has it.
 */
import fc from "fast-check";
import assert from "node:assert/strict";
import { describe, expect, test } from "vitest";
import {
  NO_SPACE,
  PAGES_MAX,
  type OffsetAllocator,
} from "../../../src/engine/drivers/allocators/axis.js";
import {
  BitmapAllocator,
  type BitmapState,
} from "../../../src/engine/drivers/allocators/bitmap.js";
import {
  MemberBits,
  noMembers,
  noneUsed,
  UsedBits,
} from "../../../src/engine/drivers/allocators/bits.js";
import { BuddyAllocator, type BuddyState } from "../../../src/engine/drivers/allocators/buddy.js";
import type { FreeListsState } from "../../../src/engine/drivers/allocators/free-lists.js";
import {
  GenPoolAllocator,
  type GenPoolState,
} from "../../../src/engine/drivers/allocators/gen-pool.js";
import {
  InPageListAllocator,
  type IdlePageWord,
} from "../../../src/engine/drivers/allocators/in-page-list.js";
import {
  OutsideListAllocator,
  type OutsideListState,
} from "../../../src/engine/drivers/allocators/outside-list.js";
import {
  TtmRangeAllocator,
  type TtmRangesState,
} from "../../../src/engine/drivers/allocators/ttm-ranges.js";

/** The order of large folios where 512 pages would be too many. */
const LARGE = 3;

const thirds = (pages: number): number[] =>
  pages < 3 ? [pages] : [Math.ceil(pages / 3), pages - Math.ceil(pages / 3)];

/** Words of idle pages that anybody may touch. */
function wordsIn(words: Int32Array): IdlePageWord {
  return {
    load: (offset) => words[offset],
    store: (offset, value) => {
      words[offset] = value;
    },
  };
}

interface Kind {
  readonly name: string;
  readonly make: (pages: number) => OffsetAllocator;
  /** One that goes on from a state; the words of idle pages are no part of it. */
  readonly goOn: (pages: number, state: object, words: Int32Array) => OffsetAllocator;
  /** Orders that it gives at all. */
  readonly serves: (order: number) => boolean;
  /** Offsets that no block may span. */
  readonly borders: (pages: number) => readonly number[];
  /** A block whose folio was split comes back in one piece only. */
  readonly whole?: boolean;
}

const all = { serves: () => true, borders: () => [] };
const lists = { serves: (order: number) => order === 0 || order === LARGE, borders: () => [] };

const KINDS: readonly Kind[] = [
  {
    ...all,
    name: "bitmap",
    make: (pages) => new BitmapAllocator(pages),
    goOn: (pages, state) => new BitmapAllocator(pages, state as BitmapState),
  },
  {
    ...all,
    name: "gen-pool",
    make: (pages) => new GenPoolAllocator(thirds(pages)),
    goOn: (pages, state) => new GenPoolAllocator(thirds(pages), state as GenPoolState),
    borders: (pages) => thirds(pages).slice(0, -1),
  },
  {
    ...all,
    name: "buddy",
    make: (pages) => new BuddyAllocator(pages),
    goOn: (pages, state) => new BuddyAllocator(pages, state as BuddyState),
  },
  {
    ...all,
    name: "ttm-ranges",
    make: (pages) => new TtmRangeAllocator(pages),
    goOn: (pages, state) => new TtmRangeAllocator(pages, state as TtmRangesState),
    whole: true,
  },
  {
    ...lists,
    name: "outside-list",
    make: (pages) => new OutsideListAllocator(pages, LARGE),
    goOn: (pages, state) => new OutsideListAllocator(pages, LARGE, state as OutsideListState),
  },
  {
    ...lists,
    name: "in-page-list",
    make: (pages) => new InPageListAllocator(pages, wordsIn(new Int32Array(pages)), LARGE),
    goOn: (pages, state, words) =>
      new InPageListAllocator(pages, wordsIn(words), LARGE, state as FreeListsState),
  },
];

/** What is free, as nobody would keep it: one page at a time. */
class Model {
  readonly kind: Kind;
  readonly pages: number;
  readonly free: Set<number>;
  /** Blocks that are out: offset → order. */
  readonly out = new Map<number, number>();
  /** For allocators that want a block back whole: the pages of a split one that are not back yet. */
  readonly #rest: Set<number>[] = [];
  readonly #range = new Map<number, readonly number[]>();

  constructor(kind: Kind, pages: number) {
    this.kind = kind;
    this.pages = pages;
    this.free = new Set(range(0, pages));
  }

  isFree(offset: number, order: number): boolean {
    const block = range(offset, 2 ** order);
    const border = this.kind.borders(this.pages).some((b) => b > offset && b < offset + 2 ** order);
    return !border && block.every((page) => this.free.has(page));
  }

  /** Is there an aligned block of that order? */
  fits(order: number): boolean {
    if (!this.kind.serves(order)) return false;
    for (let offset = 0; offset + 2 ** order <= this.pages; offset += 2 ** order)
      if (this.isFree(offset, order)) return true;
    return false;
  }

  take(offset: number, order: number): void {
    for (const page of range(offset, 2 ** order)) this.free.delete(page);
    this.out.set(offset, order);
  }

  give(offset: number): void {
    const block = range(offset, 2 ** this.#order(offset));
    this.out.delete(offset);
    const rest = this.#rest.find((pages) => pages.has(offset));
    if (rest === undefined) return this.#freeAll(block);
    for (const page of block) rest.delete(page);
    if (rest.size > 0) return;
    this.#rest.splice(this.#rest.indexOf(rest), 1);
    this.#freeAll(this.#range.get(offset) ?? []);
  }

  #freeAll(pages: readonly number[]): void {
    for (const page of pages) {
      this.free.add(page);
      this.#range.delete(page);
    }
  }

  #order(offset: number): number {
    return this.out.get(offset) ?? assert.fail(`offset ${offset} is not out`);
  }

  split(offset: number, into: number): void {
    const order = this.#order(offset);
    const block = range(offset, 2 ** order);
    if (this.kind.whole === true && !this.#range.has(offset)) {
      this.#rest.push(new Set(block));
      for (const page of block) this.#range.set(page, block);
    }
    for (let at = offset; at < offset + 2 ** order; at += 2 ** into) this.out.set(at, into);
  }
}

const range = (start: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => start + i);

interface Step {
  readonly what: "alloc" | "free" | "split" | "mistake";
  readonly order: number;
  readonly pick: number;
}

/** Mostly small blocks, and more that come than go, so that maps fill up. */
const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom("alloc", "alloc", "alloc", "free", "free", "split", "mistake"),
  order: fc.constantFrom(0, 0, 0, 1, 1, 2, LARGE, LARGE, 4, 6, 9),
  pick: fc.nat(),
});

const walk = fc.record({
  pages: fc.oneof(
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 1, max: 300 }),
    fc.constantFrom(32, 33, 64, 1023, 1024, 1100),
  ),
  steps: fc.array(step, { maxLength: 250, size: "max" }),
});

const RUNS = { numRuns: 150, seed: 20_261_126 };

function perform(allocator: OffsetAllocator, model: Model, s: Step): number {
  const picked = [...model.out][s.pick % Math.max(1, model.out.size)];
  if (s.what === "alloc") return performAlloc(allocator, model, s.order);
  if (s.what === "mistake") performMistake(allocator, model, s);
  if (picked === undefined) return 0;
  const [offset, order] = picked;
  if (s.what === "free") {
    allocator.free(offset, order);
    model.give(offset);
  }
  if (s.what === "split") {
    const into = model.kind.serves(1) ? s.pick % Math.max(1, order) : 0;
    if (order === 0) return 0;
    allocator.split(offset, order, into);
    model.split(offset, into);
  }
  return 0;
}

function performAlloc(allocator: OffsetAllocator, model: Model, order: number): number {
  const fits = model.fits(order);
  const offset = allocator.alloc(order);
  if (!fits) {
    assert.equal(offset, NO_SPACE, `order ${order}: no block is free`);
    return offset;
  }
  assert.ok(offset >= 0 && offset + 2 ** order <= model.pages, `order ${order}: ${offset}`);
  assert.equal(offset % 2 ** order, 0, `order ${order}: offset ${offset} is aligned`);
  assert.ok(model.isFree(offset, order), `order ${order}: offset ${offset} was free`);
  model.take(offset, order);
  return offset;
}

/** A block that is not out, or not at that order: refused by name, and nothing has changed. */
function performMistake(allocator: OffsetAllocator, model: Model, s: Step): void {
  const offset = s.pick % (model.pages + 3);
  if (model.out.get(offset) === s.order) return;
  const before = structuredClone(allocator.state);
  assert.throws(
    () => allocator.free(offset, s.order),
    (e) =>
      e instanceof RangeError &&
      e.message.startsWith(`${allocator.name}: free offset ${offset}, order ${s.order}: `),
  );
  assert.deepEqual(allocator.state, before);
}

/** Two that do the same, asked as one. */
function twins(a: OffsetAllocator, b: OffsetAllocator): OffsetAllocator {
  const { name, pages, freePages, bookkeepingBytes, state } = a;
  return {
    name,
    pages,
    freePages,
    bookkeepingBytes,
    state,
    alloc: (order) => {
      const offset = a.alloc(order);
      assert.equal(b.alloc(order), offset);
      return offset;
    },
    free: (offset, order) => {
      a.free(offset, order);
      b.free(offset, order);
    },
    split: (offset, order, into) => {
      a.split(offset, order, into);
      b.split(offset, order, into);
    },
  };
}

describe.each(KINDS)("$name", (kind) => {
  test("blocks are aligned, never overlap, and run out when none is free", () => {
    const property = fc.property(walk, ({ pages, steps }) => {
      const allocator = kind.make(pages);
      const model = new Model(kind, pages);
      for (const s of steps) {
        perform(allocator, model, s);
        assert.equal(allocator.freePages, model.free.size);
      }
      for (const [offset, order] of model.out) allocator.free(offset, order);
      assert.equal(allocator.freePages, pages);
    });
    fc.assert(property, RUNS);
  });

  test("filled with single pages it gives each offset once, and all come back", () => {
    for (const pages of [1, 2, 7, 31, 32, 33, 100, 1056, 33_000]) {
      const allocator = kind.make(pages);
      const given = new Set(range(0, pages).map(() => allocator.alloc(0)));
      expect(given).toEqual(new Set(range(0, pages)));
      expect([allocator.alloc(0), allocator.freePages]).toEqual([NO_SPACE, 0]);
      for (const offset of given) allocator.free(offset, 0);
      expect(allocator.freePages).toBe(pages);
      // Single pages are a block again.
      const large = pages >= 2 ** LARGE ? allocator.alloc(LARGE) : 0;
      expect(large % 2 ** LARGE).toBe(0);
    }
  });

  test("once all is back, the largest block that fits can be had again", () => {
    const property = fc.property(walk, ({ pages, steps }) => {
      const allocator = kind.make(pages);
      const model = new Model(kind, pages);
      for (const s of steps) perform(allocator, model, s);
      // `give` takes each off the map that is walked, which a map allows.
      for (const [offset, order] of model.out) {
        allocator.free(offset, order);
        model.give(offset);
      }
      const largest = [9, 6, 4, LARGE, 2, 1, 0].find((order) => model.fits(order)) ?? 0;
      assert.ok(allocator.alloc(largest) >= 0, `order ${largest}`);
    });
    fc.assert(property, RUNS);
  });

  test("a copy of its state goes on as it does", () => {
    const words = new Int32Array(1100);
    const make = (pages: number): OffsetAllocator =>
      kind.name === "in-page-list"
        ? new InPageListAllocator(pages, wordsIn(words), LARGE)
        : kind.make(pages);
    const property = fc.property(
      walk,
      fc.array(step, { size: "max", maxLength: 60 }),
      ({ pages, steps }, more) => {
        const allocator = make(pages);
        const model = new Model(kind, pages);
        for (const s of steps) perform(allocator, model, s);
        const copy = kind.goOn(pages, structuredClone(allocator.state), words.slice());
        for (const s of more) perform(twins(allocator, copy), model, s);
        assert.deepEqual(copy.state, allocator.state);
        assert.equal(copy.freePages, allocator.freePages);
        assert.equal(copy.bookkeepingBytes, allocator.bookkeepingBytes);
      },
    );
    fc.assert(property, RUNS);
  });

  test("a driver's mistakes are named: whose, which offset, why", () => {
    const allocator = kind.make(40);
    const page = allocator.alloc(0);
    const block = allocator.alloc(LARGE);
    const { name } = kind;
    const free = (offset: number, order: number) => () => allocator.free(offset, order);
    expect(free(page, LARGE)).toThrow(
      new RangeError(`${name}: free offset ${page}, order 3: the block there has order 0`),
    );
    expect(free(block, 0)).toThrow(
      new RangeError(`${name}: free offset ${block}, order 0: the block there has order 3`),
    );
    expect(free(block + 3, 0)).toThrow(
      new RangeError(
        `${name}: free offset ${block + 3}, order 0: ` +
          `it is inside of the block of order 3 at offset ${block}`,
      ),
    );
    allocator.free(page, 0);
    expect(free(page, 0)).toThrow(
      new RangeError(`${name}: free offset ${page}, order 0: it is free: it came back already`),
    );
    allocator.free(block, LARGE);
    expect(free(block, LARGE)).toThrow(/it came back already/);
    expect(free(block + 1, 0)).toThrow(/it is free: it was never given/);
    for (const offset of [-1, 40, 0.5, Number.NaN, 2 ** 32])
      expect(free(offset, 0)).toThrow(/the page map has offsets 0 … 39/);
    // Orders that the record's marks for what is not out could be taken for.
    for (const order of [-1, 127, 255]) {
      expect(free(block, order)).toThrow(RangeError);
      expect(free(block + 1, order)).toThrow(RangeError);
    }
    expect(allocator.freePages).toBe(40);
  });

  test("what is no order is refused, one that does not fit is out of space", () => {
    const allocator = kind.make(16);
    for (const order of [-1, 0.5, Number.NaN, 2 ** 32])
      expect(() => allocator.alloc(order)).toThrow(RangeError);
    for (const order of [5, 10, 30, 31, 100]) expect(allocator.alloc(order)).toBe(NO_SPACE);
    expect(NO_SPACE).toBe(-28);
    expect(allocator.freePages).toBe(16);
  });

  test("a page map of no size is refused", () => {
    for (const pages of [0, -1, 1.5, PAGES_MAX + 1, Number.NaN])
      expect(() => kind.make(pages)).toThrow(RangeError);
  });

  test("a block that was split comes back in parts (folio_split)", () => {
    const allocator = kind.make(24);
    const block = allocator.alloc(LARGE);
    allocator.split(block, LARGE, 0);
    expect(() => allocator.free(block, LARGE)).toThrow(/the block there has order 0/);
    for (const page of range(block, 7)) allocator.free(page, 0);
    expect(() => allocator.free(block, 0)).toThrow(/came back already/);
    expect(allocator.freePages).toBe(kind.whole === true ? 16 : 23);
    allocator.free(block + 7, 0);
    expect(allocator.freePages).toBe(24);
    const blocks = range(0, 3).map(() => allocator.alloc(LARGE));
    expect(new Set(blocks)).toEqual(new Set([0, 8, 16]));
  });

  test("only what is out can be split, into smaller parts", () => {
    const allocator = kind.make(16);
    expect(() => allocator.split(0, LARGE, 0)).toThrow(
      `${kind.name}: split offset 0, order 3: it is free: it was never given`,
    );
    const block = allocator.alloc(LARGE);
    for (const into of [LARGE, LARGE + 1, -1, 0.5])
      expect(() => allocator.split(block, LARGE, into)).toThrow(RangeError);
    allocator.free(block, LARGE);
    expect(allocator.freePages).toBe(16);
  });
});

describe("bitmap", () => {
  test("the first clear bit (find_first_zero_bit)", () => {
    const bitmap = new BitmapAllocator(100);
    expect(range(0, 5).map(() => bitmap.alloc(0))).toEqual([0, 1, 2, 3, 4]);
    bitmap.free(3, 0);
    bitmap.free(1, 0);
    expect([bitmap.alloc(0), bitmap.alloc(0), bitmap.alloc(0)]).toEqual([1, 3, 5]);
  });

  test("the first aligned area (bitmap_find_next_zero_area)", () => {
    const bitmap = new BitmapAllocator(100);
    expect([bitmap.alloc(0), bitmap.alloc(2), bitmap.alloc(1), bitmap.alloc(6)]).toEqual([
      0,
      4,
      2,
      NO_SPACE,
    ]);
    expect([bitmap.alloc(5), bitmap.alloc(5), bitmap.alloc(5)]).toEqual([32, 64, NO_SPACE]);
  });

  test("a bit per page, whole longs, and a lock", () => {
    expect(new BitmapAllocator(64).bookkeepingBytes).toBe(12);
    expect(new BitmapAllocator(65).bookkeepingBytes).toBe(20);
    // 1 GiB of 4 KiB pages.
    expect(new BitmapAllocator(2 ** 18).bookkeepingBytes).toBe(32_772);
  });
});

describe("gen-pool", () => {
  test("the chunk that was added last comes first (list_add_rcu)", () => {
    const pool = new GenPoolAllocator([4, 4, 2]);
    expect(range(0, 10).map(() => pool.alloc(0))).toEqual([8, 9, 4, 5, 6, 7, 0, 1, 2, 3]);
  });

  test("a chunk with too little left is passed over, and no block spans two", () => {
    const pool = new GenPoolAllocator([6, 2, 3]);
    // Pages 4 … 7 are free and aligned, but 6 and 7 are another chunk's.
    expect([pool.alloc(2), pool.alloc(2)]).toEqual([0, NO_SPACE]);
    expect([pool.alloc(1), pool.alloc(1), pool.alloc(1), pool.alloc(1)]).toEqual([
      8,
      6,
      4,
      NO_SPACE,
    ]);
    expect([pool.alloc(0), pool.alloc(0)]).toEqual([10, NO_SPACE]);
  });

  test("a pool, and for each chunk its head and its bits", () => {
    expect(new GenPoolAllocator([2 ** 18]).bookkeepingBytes).toBe(56 + 56 + 32_768);
    expect(new GenPoolAllocator([64, 65]).bookkeepingBytes).toBe(56 + 56 + 8 + 56 + 16);
  });
});

describe("buddy", () => {
  test("the highest block of the smallest order that does, the right half of every split", () => {
    const buddy = new BuddyAllocator(16);
    expect([buddy.alloc(0), buddy.alloc(0), buddy.alloc(0), buddy.alloc(2)]).toEqual([
      15, 14, 13, 8,
    ]);
    buddy.free(15, 0);
    // 12 and 15 are alone; the higher one goes first.
    expect([buddy.alloc(0), buddy.alloc(0), buddy.alloc(0)]).toEqual([15, 12, 7]);
  });

  test("a size that is no power of two has a root for each bit (gpu_buddy_init)", () => {
    const buddy = new BuddyAllocator(13);
    expect([buddy.blocks, buddy.maxOrder]).toEqual([3, 3]);
    expect([buddy.alloc(0), buddy.alloc(2), buddy.alloc(3), buddy.alloc(0)]).toEqual([
      12,
      8,
      0,
      NO_SPACE,
    ]);
    for (const [offset, order] of [
      [0, 3],
      [8, 2],
      [12, 0],
    ])
      buddy.free(offset, order);
    // Roots never merge: 8 and 12 are buddies by number only.
    expect([buddy.blocks, buddy.alloc(4)]).toEqual([3, NO_SPACE]);
  });

  test("halves merge as far as both are back (__gpu_buddy_free)", () => {
    const buddy = new BuddyAllocator(8);
    const pages = range(0, 8).map(() => buddy.alloc(0));
    expect(buddy.blocks).toBe(15);
    for (const page of pages.slice(0, 4)) buddy.free(page, 0);
    expect(buddy.blocks).toBe(9);
    expect(buddy.alloc(2)).toBe(4);
    buddy.free(4, 2);
    for (const page of pages.slice(4)) buddy.free(page, 0);
    expect(buddy.blocks).toBe(1);
  });

  test("a block of 80 bytes for each root, each split one, and both halves", () => {
    const buddy = new BuddyAllocator(2 ** 18);
    const empty = 56 + 8 + 2 * (8 + 19 * 8);
    expect(buddy.bookkeepingBytes).toBe(empty + 80);
    const page = buddy.alloc(0);
    expect(buddy.bookkeepingBytes).toBe(empty + 80 * (1 + 2 * 18));
    buddy.free(page, 0);
    expect(buddy.bookkeepingBytes).toBe(empty + 80);
    const block = buddy.alloc(3);
    const before = buddy.blocks;
    buddy.split(block, 3, 0);
    expect(buddy.blocks).toBe(before + 14);
    for (const part of range(block, 8)) buddy.free(part, 0);
    expect(buddy.blocks).toBe(1);
  });
});

describe("ttm-ranges", () => {
  /** Pages 0 … 31 of 64 taken one by one, then some given back. */
  const holes = (...pages: number[]): TtmRangeAllocator => {
    const ttm = new TtmRangeAllocator(64);
    for (let i = 0; i < 32; i++) ttm.alloc(0);
    for (const page of pages) ttm.free(page, 0);
    return ttm;
  };

  test("the smallest hole that fits, from its bottom (DRM_MM_INSERT_BEST)", () => {
    const ttm = holes(4, 5, 6, 10, 11, 20);
    expect([ttm.alloc(0), ttm.alloc(0), ttm.alloc(0), ttm.alloc(0)]).toEqual([20, 10, 11, 4]);
  });

  test("of holes of one size the newest (best_hole)", () => {
    const ttm = holes(4, 20, 12);
    expect([ttm.alloc(0), ttm.alloc(0), ttm.alloc(0), ttm.alloc(0)]).toEqual([12, 20, 4, 32]);
  });

  test("one that fits only when not aligned is passed over (next_hole)", () => {
    const ttm = holes(5, 6, 8, 9, 10);
    expect([ttm.alloc(1), ttm.alloc(1), ttm.alloc(2)]).toEqual([8, 32, 36]);
  });

  test("before and behind an aligned range the hole goes on", () => {
    const ttm = holes(5, 6, 7, 8, 9);
    expect([ttm.alloc(1), ttm.alloc(0), ttm.alloc(0)]).toEqual([6, 5, 8]);
  });

  test("a range that comes back joins both of its neighbours (drm_mm_remove_node)", () => {
    const ttm = holes(4, 6, 5, 7);
    expect([ttm.alloc(2), ttm.ranges]).toEqual([4, 29]);
  });

  test("a node of 256 bytes for each range, of whatever size", () => {
    const ttm = new TtmRangeAllocator(2 ** 18);
    expect(ttm.bookkeepingBytes).toBe(376);
    const block = ttm.alloc(9);
    ttm.alloc(0);
    expect(ttm.bookkeepingBytes).toBe(376 + 2 * 256);
    // Splitting the folio on it splits no range, and keeps it until the last page is back.
    ttm.split(block, 9, 4);
    ttm.split(block + 16, 4, 0);
    for (const page of range(block + 16, 16)) ttm.free(page, 0);
    for (let at = block + 32; at < block + 512; at += 16) ttm.free(at, 4);
    expect([ttm.ranges, ttm.freePages]).toEqual([2, 2 ** 18 - 513]);
    ttm.free(block, 4);
    expect([ttm.ranges, ttm.freePages]).toEqual([1, 2 ** 18 - 1]);
  });
});

describe.each(KINDS.filter((kind) => !kind.serves(1)))("$name", ({ make, name }) => {
  test("what came back last goes out first, at first the highest", () => {
    const list = make(20);
    // Two blocks and four pages that are none.
    expect([list.alloc(0), list.alloc(0), list.alloc(LARGE)]).toEqual([19, 18, 8]);
    list.free(18, 0);
    list.free(19, 0);
    expect([list.alloc(0), list.alloc(0), list.alloc(0)]).toEqual([19, 18, 17]);
  });

  test("when single pages run out the first block is broken", () => {
    const list = make(24);
    expect([list.alloc(0), list.alloc(0), list.alloc(LARGE)]).toEqual([23, 22, 8]);
    expect(list.alloc(LARGE)).toBe(0);
    expect(list.alloc(LARGE)).toBe(NO_SPACE);
    expect(list.freePages).toBe(6);
  });

  test("pages are a block again when one is wanted and all of them are back, not before", () => {
    const list = make(16);
    const pages = range(0, 9).map(() => list.alloc(0));
    for (const page of pages.slice(0, 7)) list.free(page, 0);
    expect(list.alloc(LARGE)).toBe(NO_SPACE);
    list.free(pages[7], 0);
    expect(list.freePages).toBe(15);
    expect(list.alloc(LARGE)).toBe(8);
    // The pages of the other block kept their order.
    expect(range(0, 7).map(() => list.alloc(0))).toEqual([6, 5, 4, 3, 2, 1, 0]);
    expect(list.alloc(0)).toBe(NO_SPACE);
  });

  test("there are lists for two orders and no other", () => {
    const list = make(64);
    for (const order of [1, 2, 4, 5]) expect(list.alloc(order)).toBe(NO_SPACE);
    const block = list.alloc(LARGE);
    expect(() => list.split(block, LARGE, 1)).toThrow(
      new RangeError(`${name}: split offset ${block}, order 3: there is no list for order 1`),
    );
    list.free(block, LARGE);
    expect(list.freePages).toBe(64);
  });
});

describe("free lists, in pages and outside", () => {
  test("512 pages are a large folio where nothing else is said", () => {
    const list = new OutsideListAllocator(1500);
    expect([list.largeOrder, list.alloc(9), list.alloc(0), list.alloc(9)]).toEqual([
      9, 512, 1499, 0,
    ]);
    expect([list.alloc(9), list.freePages]).toEqual([NO_SPACE, 1500 - 1025]);
    for (const order of [0, 16, 1.5])
      expect(() => new OutsideListAllocator(64, order)).toThrow(RangeError);
  });

  test("both make the same choices", () => {
    const [outside, inPage] = KINDS.slice(4);
    const property = fc.property(walk, ({ pages, steps }) => {
      const a = outside.make(pages);
      const b = inPage.make(pages);
      const models = [new Model(outside, pages), new Model(inPage, pages)];
      for (const s of steps.filter(({ what }) => what !== "mistake"))
        assert.equal(perform(a, models[0], s), perform(b, models[1], s));
    });
    fc.assert(property, RUNS);
  });

  test("outside: four bytes per page; in pages: none", () => {
    const outside = new OutsideListAllocator(2 ** 18);
    const inPage = new InPageListAllocator(2 ** 18, wordsIn(new Int32Array(2 ** 18)));
    expect(outside.bookkeepingBytes).toBe(12 + 4 * 2 ** 18 + 2 * 512);
    expect(inPage.bookkeepingBytes).toBe(24 + 2 * 512);
  });
});

describe("in-page-list", () => {
  /** Words that remember who touched them. */
  function watched(pages: number) {
    const words = new Int32Array(pages);
    const seen: string[] = [];
    const refuses = { on: false };
    const touch = (how: string, offset: number): void => {
      if (refuses.on) throw new Error(`page ${offset} is idle`);
      seen.push(`${how}${offset}`);
    };
    const word: IdlePageWord = {
      load: (offset) => {
        touch("r", offset);
        return words[offset];
      },
      store: (offset, value) => {
        touch("w", offset);
        words[offset] = value;
      },
    };
    const touched = (): string => seen.splice(0).join(" ");
    return { word, touched, refuses };
  }

  test("the words that each step touches, and no other", () => {
    const { word, touched } = watched(19);
    const list = new InPageListAllocator(19, word, LARGE);
    expect(touched()).toBe("w0 w8 w16 w17 w18");
    list.alloc(0);
    expect(touched()).toBe("r18");
    list.alloc(LARGE);
    expect(touched()).toBe("r8");
    list.free(18, 0);
    expect(touched()).toBe("w18");
    list.free(8, LARGE);
    expect(touched()).toBe("w8");
    for (const page of [18, 17, 16]) expect(list.alloc(0)).toBe(page);
    expect(touched()).toBe("r18 r17 r16");
    // The block at 8 is broken: its link is read, all of its pages are linked.
    list.alloc(0);
    expect(touched()).toBe("r8 w15 w14 w13 w12 w11 w10 w9 w8 r15");
    for (const page of [16, 17, 15]) list.free(page, 0);
    list.alloc(LARGE);
    expect(touched()).toBe("w16 w17 w15 r0");
    // Merged: all of the list are walked, 17 and 16 keep their places, 16 ends it now.
    expect(list.alloc(LARGE)).toBe(8);
    expect(touched()).toBe("r15 r17 r16 r14 r13 r12 r11 r10 r9 r8 w16 w8 r8");
    expect([list.alloc(0), list.alloc(0), list.alloc(0)]).toEqual([17, 16, NO_SPACE]);
    expect(touched()).toBe("r17 r16");
  });

  test("a driver's mistake touches nothing, nor does running out", () => {
    const { word, touched } = watched(8);
    const list = new InPageListAllocator(8, word, LARGE);
    list.alloc(LARGE);
    touched();
    expect([list.alloc(0), list.alloc(LARGE), list.alloc(1)]).toEqual([
      NO_SPACE,
      NO_SPACE,
      NO_SPACE,
    ]);
    expect(() => list.free(3, 0)).toThrow(RangeError);
    expect(() => list.free(0, 0)).toThrow(RangeError);
    list.split(0, LARGE, 0);
    expect(touched()).toBe("");
  });

  test("an owner that refuses idle pages: it comes through, and nothing has changed", () => {
    const { word, refuses } = watched(40);
    const property = fc.property(fc.array(step, { maxLength: 100, size: "max" }), (steps) => {
      refuses.on = false;
      const kind = KINDS[5];
      const list = new InPageListAllocator(40, word, LARGE);
      const model = new Model(kind, 40);
      for (const s of steps) perform(list, model, s);
      refuses.on = true;
      const before = structuredClone(list.state);
      for (const order of [0, LARGE])
        if (model.fits(order)) assert.throws(() => list.alloc(order), /page \d+ is idle/);
        else assert.equal(list.alloc(order), NO_SPACE);
      for (const [offset, order] of model.out)
        assert.throws(() => list.free(offset, order), new RegExp(`page ${offset} is idle`));
      assert.deepEqual(list.state, before);
      // Once it allows them again, all is as it was.
      refuses.on = false;
      for (const s of steps) perform(list, model, s);
      assert.equal(list.freePages, model.free.size);
    });
    fc.assert(property, RUNS);
  });

  test("an owner that never allows them: the lists cannot even be made", () => {
    const { word, refuses } = watched(8);
    refuses.on = true;
    expect(() => new InPageListAllocator(8, word)).toThrow("page 0 is idle");
  });
});

describe("bits", () => {
  /** Sizes with one, two, three and four levels. */
  const counts = fc.constantFrom(1, 31, 32, 33, 1000, 1024, 1025, 32_768, 40_000);

  test("what a bitmap finds is what a search through every bit finds", () => {
    const op = fc.record({ at: fc.nat(), order: fc.nat(11), look: fc.nat() });
    const ops = fc.array(op, { maxLength: 60, size: "max" });
    const property = fc.property(counts, ops, (count, list) => {
      const bits = new UsedBits(noneUsed(count));
      const naive = new Uint8Array(count);
      for (const { at, order, look } of list) {
        const size = 2 ** order;
        if (size > count) continue;
        const start = (at % Math.floor(count / size)) * size;
        const area = naive.subarray(start, start + size);
        if (area.every((bit) => bit === 1)) {
          bits.clearArea(start, order);
          area.fill(0);
        } else {
          bits.setArea(start, order);
          area.fill(1);
        }
        const from = look % count;
        assert.equal(bits.nextZero(from), naive.indexOf(0, from));
        const end = from + (at % (count - from)) + 1;
        const one = naive.subarray(0, end).indexOf(1, from);
        assert.equal(bits.nextOne(from, end), one);
        assert.equal(bits.zeroArea(from, end, order % 4), zeroArea(naive, from, end, order % 4));
      }
    });
    fc.assert(property, RUNS);
  });

  function zeroArea(bits: Uint8Array, from: number, end: number, order: number): number {
    const size = 2 ** order;
    for (let at = Math.ceil(from / size) * size; at + size <= end; at += size)
      if (bits.subarray(at, at + size).every((bit) => bit === 0)) return at;
    return -1;
  }

  const numbers = fc.array(fc.nat(), { maxLength: 60, size: "max" });

  test("what a set finds is what a search through all members finds", () => {
    const property = fc.property(counts, numbers, (count, list) => {
      const set = new MemberBits(noMembers(count));
      const naive = new Set<number>();
      for (const n of list) {
        const member = naive.size > 3 ? ([...naive][n % naive.size] ?? 0) : n % count;
        if (naive.delete(member)) assert.equal(set.delete(member), naive.size === 0);
        else {
          set.add(member);
          naive.add(member);
        }
        assert.equal(set.has(n % count), naive.has(n % count));
        const sorted = [...naive].sort((a, b) => a - b);
        if (sorted.length > 0) assert.equal(set.last(), sorted.at(-1));
        assert.equal(set.next(n % count), sorted.find((m) => m >= n % count) ?? -1);
      }
    });
    fc.assert(property, RUNS);
  });
});
