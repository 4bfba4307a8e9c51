/**
 * The tree of device-private ranges against a sorted array: the same answers to
 * everything, words that say what a maple tree's nodes have to say, and nothing
 * changed where memory ran out.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RangeTree } from "../../../src/engine/design/device-name/offset-range-tree.js";
import {
  MAPLE_NODE_INNER_GAPS,
  MAPLE_NODE_INNER_META,
  MAPLE_NODE_INNER_SLOTS,
  MAPLE_NODE_META,
  MAPLE_NODE_PARENT,
  MAPLE_NODE_PIVOTS,
  MAPLE_NODE_SIZE,
  MAPLE_NODE_SLOTS,
  MAPLE_TREE_MA_FLAGS,
  MAPLE_TREE_MA_ROOT,
} from "../../../src/engine/layout/generated/offsets.js";
import { PlainWords } from "../../../src/engine/words/plain.js";
import { bytes, ref, type Ref } from "../../../src/units.js";

const [ENOMEM, EBUSY, EEXIST, EINVAL] = [-12, -16, -17, -22];
const SPACE = 2 ** 31;
const ROOT = ref(1);
const POISON = 0x6b6b6b6b;
const NODE_WORDS = MAPLE_NODE_SIZE / 4;

/** Nodes 16 bytes apart from a multiple of 256, poisoned when free, counted down to failure. */
class Bench {
  readonly w: PlainWords;
  readonly tree: RangeTree;
  readonly live = new Set<Ref>();
  readonly #free: Ref[] = [];
  #used = 0;
  /** Nodes that may still be had. */
  left = Infinity;

  constructor(most: number) {
    this.w = new PlainWords(bytes(64 + most * MAPLE_NODE_SIZE));
    this.tree = new RangeTree({
      w: this.w,
      root: ROOT,
      newNode: () => this.#new(),
      freeNode: (node) => this.#put(node),
    });
  }

  #new(): Ref {
    if (this.left <= 0) return ref(0);
    this.left--;
    const node = this.#free.pop() ?? ref(3 + 16 * this.#used++);
    this.w.mem.fill(0, node * 4, node * 4 + NODE_WORDS);
    this.live.add(node);
    return node;
  }

  #put(node: Ref): void {
    if (!this.live.delete(node)) throw new Error(`node ${node} is freed and not in use`);
    this.w.mem.fill(POISON, node * 4, node * 4 + NODE_WORDS);
    this.#free.push(node);
  }

  /** Every word of the tree: its root's and its nodes'. */
  words(): number[][] {
    const of = (at: number, n: number): number[] =>
      Array.from(this.w.mem.subarray(at * 4, at * 4 + n));
    return [of(ROOT, 4), ...[...this.live].sort((a, b) => a - b).map((n) => of(n, NODE_WORDS))];
  }

  ranges(): [number, number, number][] {
    const all: [number, number, number][] = [];
    this.tree.forEach((first, pages, entry) => all.push([first, pages, entry]));
    return all;
  }
}

/** What the tree should say, the slow way. */
class Model {
  ranges: [first: number, pages: number, entry: number][] = [];

  lowest(pages: number, limit: number, align: number): number {
    let start = 0;
    for (const [first, n] of [...this.ranges, [Math.min(limit, SPACE), 0] as const]) {
      const at = Math.ceil(start / align) * align;
      if (at + pages <= Math.min(first, limit, SPACE)) return at;
      start = first + n;
    }
    return EBUSY;
  }

  add(first: number, pages: number, entry: number): number {
    const meets = ([f, n]: readonly [number, number, number]): boolean =>
      f < first + pages && first < f + n;
    if (this.ranges.some(meets)) return EEXIST;
    this.ranges.push([first, pages, entry]);
    this.ranges.sort((a, b) => a[0] - b[0]);
    return 0;
  }

  erase(first: number): number {
    const at = this.ranges.findIndex(([f]) => f === first);
    return at < 0 ? 0 : this.ranges.splice(at, 1)[0][2];
  }

  load(page: number): number {
    return this.ranges.find(([f, n]) => page >= f && page < f + n)?.[2] ?? 0;
  }

  /** Pages on both sides of every border. */
  borders(): number[] {
    const at = this.ranges.flatMap(([f, n]) => [f - 1, f, f + n - 1, f + n]);
    return [...at, 0, SPACE - 1].filter((page) => page >= 0 && page < SPACE);
  }
}

/** Reads every node's words: what a maple tree's would not say, and how many nodes there are. */
function inspect({ w, tree }: Bench): { wrong: string[]; nodes: number } {
  const wrong: string[] = [];
  const two = (node: number, off: number): bigint =>
    BigInt(w.load32(ref(node), off) >>> 0) | (BigInt(w.load32(ref(node), off + 4) >>> 0) << 32n);
  const flags = w.load32(ROOT, MAPLE_TREE_MA_FLAGS);
  const top = Number(two(ROOT, MAPLE_TREE_MA_ROOT) / 16n);
  const height = flags >> 2;
  if ((flags & 3) !== (top === 0 ? 0 : 1)) wrong.push(`flags ${flags}`);
  if (height !== tree.depth() || (height === 0) !== (top === 0)) wrong.push(`height ${height}`);
  let endsInGap = false;
  let nodes = 0;
  /** Largest gap of a node in bytes. */
  const check = (node: number, level: number, min: bigint, max: bigint, parent: bigint): bigint => {
    nodes++;
    const say = (ok: boolean, what: string): void => {
      if (!ok) wrong.push(`${what} in node ${node} of level ${level}`);
    };
    const leaf = level === 1;
    const most = leaf ? 16 : 10;
    const slots = leaf ? MAPLE_NODE_SLOTS : MAPLE_NODE_INNER_SLOTS;
    const meta = w.load32(ref(node), leaf ? MAPLE_NODE_META : MAPLE_NODE_INNER_META) & 0xff;
    const pivots = Array.from({ length: most - 1 }, (_, i) => two(node, MAPLE_NODE_PIVOTS + i * 8));
    const none = pivots.indexOf(0n);
    const n = none < 0 ? most : none + 1;
    const least = parent !== 0n ? (leaf ? 6 : 4) : leaf ? 1 : 2;
    say(two(node, MAPLE_NODE_PARENT) === parent, "parent");
    say(n >= least, `only ${n} slots`);
    say(
      pivots.slice(n - 1).every((p) => p === 0n),
      "pivot after the last one",
    );
    say((leaf && n === most) || meta === n - 1, "meta");
    let largest = 0n;
    let start = min;
    for (let i = 0; i < n; i++) {
      const last = i === n - 1 ? max : pivots[i];
      say(last > start && last <= max && (last & 0xfffn) === 0xfffn, `pivot ${i}`);
      const to = two(node, slots + i * 8);
      let gap = leaf && to === 0n ? last - start + 1n : 0n;
      if (leaf) {
        say(to !== 0n || !endsInGap, `gap ${i} after a gap`);
        endsInGap = to === 0n;
      } else {
        gap = check(Number(to / 16n), level - 1, start, last, BigInt(node) * 16n + BigInt(i));
        say(two(node, MAPLE_NODE_INNER_GAPS + i * 8) === gap, `largest gap ${i}`);
      }
      if (gap > largest) largest = gap;
      start = last + 1n;
    }
    return largest;
  };
  if (top !== 0) check(top, height, 0n, BigInt(SPACE) * 4096n - 1n, 0n);
  return { wrong, nodes };
}

const expectSound = (bench: Bench): void =>
  expect(inspect(bench)).toEqual({ wrong: [], nodes: bench.live.size });

function expectSame(bench: Bench, model: Model): void {
  expect(bench.ranges()).toEqual(model.ranges);
  expectSound(bench);
  expect(bench.tree.nodes()).toBe(bench.live.size);
  const borders = model.borders();
  expect(borders.map((page) => bench.tree.load(page))).toEqual(borders.map((p) => model.load(p)));
}

const steps = (far: number, wide: number) =>
  fc.array(
    fc.record({
      kind: fc.constantFrom("alloc", "alloc", "insert", "insert", "erase", "erase", "miss"),
      at: fc.nat(far),
      pages: fc.integer({ min: 1, max: wide }),
      limit: fc.nat(far + wide),
      align: fc.constantFrom(1, 1, 2, 8, 64),
    }),
    { maxLength: 250, size: "max" },
  );

type Step = { kind: string; at: number; pages: number; limit: number; align: number };

/** One step on both: what the tree said, and what it should have said. */
function run(
  { tree }: Bench,
  model: Model,
  step: Step,
  entry: number,
  scale = 1,
): { got: number; want: number } {
  const { kind, align } = step;
  const [at, pages, limit] = [step.at * scale, step.pages * scale, step.limit * scale];
  if (kind === "alloc") {
    const want = model.lowest(pages, limit, align);
    if (want >= 0) model.add(want, pages, entry);
    return { got: tree.alloc(pages, limit, ref(entry), align), want };
  }
  if (kind === "insert") {
    const want = at + pages > SPACE ? EINVAL : model.add(at, pages, entry);
    return { got: tree.insert(at, pages, ref(entry)), want };
  }
  const { ranges } = model;
  const hit = kind === "erase" && ranges.length > 0;
  const first = hit ? ranges[step.at % ranges.length][0] : at;
  return { got: tree.erase(first), want: model.erase(first) };
}

function expectAgreed(bench: Bench, model: Model, step: Step, entry: number, scale = 1): void {
  const { got, want } = run(bench, model, step, entry, scale);
  expect({ step, got }).toEqual({ step, got: want });
}

describe("the tree of ranges says what a sorted array says", () => {
  const cases = [
    ["small ranges that touch", 400, 3, 1],
    ["small ranges far apart", 20_000, 3, 1],
    ["ranges of all sizes", 4_000, 600, 1],
    ["ranges up to the tree's last page", 1_000, 24, 2 ** 21],
  ] as const;
  it.each(cases)("%s", (_, far, wide, scale) => {
    fc.assert(
      fc.property(steps(far, wide), (all) => {
        const bench = new Bench(256);
        const model = new Model();
        all.forEach((step, i) => expectAgreed(bench, model, step, 1 + i, scale));
        expectSame(bench, model);
        for (const [first] of model.ranges.slice()) {
          expect(bench.tree.erase(first)).toBe(model.erase(first));
          expectSound(bench);
        }
        expect(bench.live.size).toBe(0);
        expect(bench.words()).toEqual([[0, 0, 0, 0]]);
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  it("after every single step, in a tree of three levels", () => {
    fc.assert(
      fc.property(steps(2_000, 6), (all) => {
        const bench = new Bench(512);
        const model = new Model();
        for (let i = 0; i < 300; i++) {
          model.add(i * 7, 5, 1000 + i);
          bench.tree.insert(i * 7, 5, ref(1000 + i));
        }
        expect(bench.tree.depth()).toBeGreaterThanOrEqual(3);
        all.slice(0, 60).forEach((step, i) => {
          expectAgreed(bench, model, step, 1 + i);
          expectSame(bench, model);
        });
      }),
      { numRuns: 12, seed: 11 },
    );
  });
});

describe("edges", () => {
  it("page 0 is a page, the last page is one, beyond is nothing", () => {
    const { tree, live } = new Bench(4);
    expect(tree.load(0)).toBe(0);
    expect(tree.erase(0)).toBe(0);
    expect(tree.alloc(1, SPACE, ref(5))).toBe(0);
    expect(tree.load(0)).toBe(5);
    expect(tree.load(1)).toBe(0);
    expect(tree.insert(SPACE - 1, 1, ref(6))).toBe(0);
    expect(tree.load(SPACE - 1)).toBe(6);
    for (const page of [-1, SPACE, 2 ** 32, 2 ** 40]) expect(tree.load(page)).toBe(0);
    expect(tree.alloc(SPACE - 2, SPACE, ref(7))).toBe(1);
    expect(tree.alloc(1, SPACE, ref(8))).toBe(EBUSY);
    for (const [first, entry] of [
      [0, 5],
      [1, 7],
      [SPACE - 1, 6],
    ])
      expect(tree.erase(first)).toBe(entry);
    expect(live.size).toBe(0);
    expect(tree.depth()).toBe(0);
    expect(tree.nodes()).toBe(0);
  });

  it("one range may be everything there is", () => {
    const { tree } = new Bench(4);
    expect(tree.alloc(SPACE, SPACE, ref(9))).toBe(0);
    expect([tree.load(0), tree.load(SPACE - 1)]).toEqual([9, 9]);
    expect(tree.alloc(1, SPACE, ref(10))).toBe(EBUSY);
    expect(tree.insert(SPACE - 1, 1, ref(10))).toBe(EEXIST);
    expect(tree.erase(1)).toBe(0);
    expect(tree.erase(0)).toBe(9);
  });

  it("a limit beyond the tree's end is its end", () => {
    const { tree, live } = new Bench(4);
    expect(tree.alloc(SPACE + 1, 2 ** 40, ref(1))).toBe(EBUSY);
    expect(tree.alloc(SPACE, 2 ** 40, ref(1))).toBe(0);
    expect(live.size).toBe(1);
  });

  it("no pages, no entry, pages that there are not: EINVAL, and nothing is taken", () => {
    const { tree, live } = new Bench(4);
    expect(tree.alloc(0, SPACE, ref(1))).toBe(EINVAL);
    expect(tree.alloc(1, SPACE, ref(0))).toBe(EINVAL);
    expect(tree.insert(-1, 2, ref(1))).toBe(EINVAL);
    expect(tree.insert(SPACE - 1, 2, ref(1))).toBe(EINVAL);
    expect(tree.insert(0, 0, ref(1))).toBe(EINVAL);
    expect(live.size).toBe(0);
  });

  it("an aligned range goes past a gap that is large enough but does not lie so", () => {
    const { tree } = new Bench(4);
    tree.insert(0, 1, ref(1));
    tree.insert(700, 1, ref(2));
    expect(tree.alloc(512, SPACE, ref(3), 512)).toBe(1024);
    expect(tree.alloc(512, SPACE, ref(4))).toBe(1);
    expect(tree.alloc(512, 2048, ref(5), 512)).toBe(1536);
    expect(tree.alloc(512, 2048, ref(6), 512)).toBe(EBUSY);
  });

  it("a node has the kernel's words: parent, last bytes, slots", () => {
    const { tree, w, live } = new Bench(4);
    tree.insert(2, 3, ref(0x1234));
    const [leaf] = live;
    const of = (off: number): number[] => [w.load32(leaf, off), w.load32(leaf, off + 4)];
    expect(of(MAPLE_NODE_PARENT)).toEqual([0, 0]);
    expect(of(MAPLE_NODE_PIVOTS)).toEqual([0x1fff, 0]);
    expect(of(MAPLE_NODE_PIVOTS + 8)).toEqual([0x4fff, 0]);
    expect(of(MAPLE_NODE_PIVOTS + 16)).toEqual([0, 0]);
    expect(of(MAPLE_NODE_SLOTS)).toEqual([0, 0]);
    expect(of(MAPLE_NODE_SLOTS + 8)).toEqual([0x12340, 0]);
    expect(of(MAPLE_NODE_META)).toEqual([2, 0]);
  });
});

describe("without memory", () => {
  /** Fails the n-th node of a step, n = 0, 1, …, until there are enough for it. */
  function withoutMemory(bench: Bench, step: () => number): { needed: number; result: number } {
    const before = bench.words();
    const live = [...bench.live].sort((a, b) => a - b);
    for (let needed = 0; ; needed++) {
      bench.left = needed;
      const result = step();
      bench.left = Infinity;
      if (result !== ENOMEM) return { needed, result };
      expect(bench.words()).toEqual(before);
      expect([...bench.live].sort((a, b) => a - b)).toEqual(live);
    }
  }

  it("every store that fails leaves every word as it was", () => {
    fc.assert(
      fc.property(steps(900, 4), (all) => {
        const bench = new Bench(512);
        const model = new Model();
        all.forEach((step, i) => {
          const ranges = model.ranges.slice();
          let want = 0;
          const { result } = withoutMemory(bench, () => {
            model.ranges = ranges.slice();
            const told = run(bench, model, step, 1 + i);
            want = told.want;
            return told.got;
          });
          expect(result).toBe(want);
        });
        expectSame(bench, model);
      }),
      { numRuns: 40, seed: 5 },
    );
  });

  it("also where the root itself splits and several nodes are needed", () => {
    const bench = new Bench(4096);
    const needed = new Set<number>();
    for (let i = 0; i < 3000; i++)
      needed.add(withoutMemory(bench, () => bench.tree.insert(i * 2, 1, ref(1 + i))).needed);
    expect(bench.tree.depth()).toBe(4);
    // None: there is room, here or beside; else one for each level that splits, and a new root.
    expect([...needed].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
    expectSound(bench);
  });

  it("erasing asks for no node", () => {
    const bench = new Bench(4096);
    for (let i = 0; i < 3000; i++) bench.tree.insert(i * 2, 1, ref(1 + i));
    bench.left = 0;
    for (let i = 0; i < 3000; i++) {
      const at = (i * 1109) % 3000;
      expect(bench.tree.erase(at * 2)).toBe(1 + at);
      if (i % 100 === 0) expectSound(bench);
    }
    expect(bench.live.size).toBe(0);
  });
});

describe("65,536 ranges", () => {
  const N = 65_536;
  const inOrder = Array.from({ length: N }, (_, i) => i);
  const failed = (order: readonly number[], does: (i: number) => boolean): number[] =>
    order.filter((i) => !does(i)).slice(0, 10);

  /** 0 … N − 1 in an order that a seed gives. */
  function shuffled(seed: number): number[] {
    const order = inOrder.slice();
    let x = seed;
    for (let i = N - 1; i > 0; i--) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      const j = x % (i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  it("of one page, allocated and erased in random order", () => {
    const bench = new Bench(N / 4);
    const { tree } = bench;
    expect(failed(inOrder, (i) => tree.alloc(1, N, ref(1 + i)) === i)).toEqual([]);
    expect(tree.alloc(1, N, ref(1))).toBe(EBUSY);
    expect(tree.depth()).toBeLessThanOrEqual(6);
    expect(tree.nodes()).toBe(bench.live.size);
    expectSound(bench);
    expect(failed(inOrder, (i) => tree.load(i) === 1 + i)).toEqual([]);
    const order = shuffled(1);
    while (order.length > 0) {
      const some = order.splice(-8192);
      expect(failed(some, (i) => tree.erase(i) === 1 + i && tree.load(i) === 0)).toEqual([]);
      expectSound(bench);
    }
    expect(bench.live.size).toBe(0);
  });

  it("with gaps between them, put in random order, each gap filled again from below", () => {
    const bench = new Bench(N / 2);
    const { tree } = bench;
    expect(failed(shuffled(2), (i) => tree.insert(i * 16, 8, ref(1 + i)) === 0)).toEqual([]);
    expect(tree.depth()).toBeLessThanOrEqual(7);
    expectSound(bench);
    for (let i = 0; i < 1000; i++) expect(tree.alloc(8, N * 16, ref(N + 1))).toBe(i * 16 + 8);
    expect(failed(shuffled(3), (i) => tree.erase(i * 16) === 1 + i)).toEqual([]);
    expectSound(bench);
    for (let i = 0; i < 1000; i++) expect(tree.erase(i * 16 + 8)).toBe(N + 1);
    expect(bench.live.size).toBe(0);
  });

  it("the search for a gap does not look at ranges that cannot have it", () => {
    const bench = new Bench(N / 2);
    const { tree, w } = bench;
    for (let i = 0; i < N; i++) tree.insert(i * 2, 1, ref(1 + i));
    tree.erase(100_000);
    const load64 = w.load64.bind(w);
    let loads = 0;
    w.load64 = (node, off) => {
      loads++;
      return load64(node, off);
    };
    expect(tree.alloc(3, 2 * N, ref(1))).toBe(99_999);
    expect(loads).toBeLessThan(1000);
  });
});
