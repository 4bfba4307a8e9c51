/**
 * The radix tree beside a Map: what was stored is found, in order, at its own place
 * and nowhere else, at indexes beyond 32 bits too; an empty tree has no node left.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { XA_NODE_SIZE } from "../../src/engine/layout/generated/offsets.js";
import { PlainWords } from "../../src/engine/words/plain.js";
import { RadixTree } from "../../src/engine/words/radix-tree.js";
import { bytes, ref, type Ref } from "../../src/units.js";

const NODE_REFS = XA_NODE_SIZE / 16;
const NODES = 4096;

/** A tree with nodes of its own, and how many of them are out. */
function makeTree(): { tree: RadixTree; w: PlainWords; out: () => number } {
  const w = new PlainWords(bytes((NODES + 2) * XA_NODE_SIZE));
  const free: Ref[] = Array.from({ length: NODES }, (_, i) =>
    ref((i + 1) * NODE_REFS),
  ).toReversed();
  const tree = new RadixTree({
    w,
    root: ref(1),
    newNode: () => {
      const node = free.pop();
      if (node === undefined) return ref(0);
      for (let at = 0; at < XA_NODE_SIZE; at += 4) w.store32(node, at, 0);
      return node;
    },
    freeNode: (node) => void free.push(node),
  });
  return { tree, w, out: () => NODES - free.length };
}

/** Indexes near each other, and near multiples of what a level is over. */
const index = fc.oneof(
  fc.nat(200),
  fc.tuple(fc.nat(8), fc.nat(40)).map(([bits, at]) => 2 ** (bits * 6) + at),
);

describe("a radix tree", () => {
  it("is what a Map is", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(index, fc.boolean()), { maxLength: 60 }), (steps) => {
        const { tree, w, out } = makeTree();
        const map = new Map<number, number>();
        for (const [i, [at, stores]] of steps.entries()) {
          if (stores) tree.store(at, i + 1, 1);
          else tree.erase(at);
          if (stores) map.set(at, i + 1);
          else map.delete(at);
          expect([tree.load(at), w.hi]).toEqual([map.get(at) ?? 0, map.has(at) ? 1 : 0]);
        }
        const found: [number, number][] = [];
        tree.forEach(0, 2 ** 52, (at, lo) => found.push([at, lo]));
        expect(found).toEqual([...map].sort(([a], [b]) => a - b));
        for (const at of map.keys()) tree.erase(at);
        expect(out()).toBe(0);
      }),
    );
  });

  it("is empty where a value was not stored, whatever the index has in common with others", () => {
    const { tree } = makeTree();
    tree.store(0x7ffffffff, 5, 0);
    for (let high = 0; high < 64; high++) {
      const at = high * 2 ** 32 + 0xffffffff;
      expect(tree.load(at), `index ${at}`).toBe(at === 0x7ffffffff ? 5 : 0);
    }
  });

  it("may lose what a walk has come to", () => {
    const { tree, out } = makeTree();
    for (let at = 0; at < 300; at++) tree.store(at * 3, at + 1, 0);
    let seen = 0;
    tree.forEach(100, 700, (at) => {
      seen++;
      tree.erase(at);
    });
    expect(seen).toBe(200);
    let left = 0;
    tree.forEach(0, 2 ** 40, () => left++);
    expect(left).toBe(100);
    tree.forEach(0, 2 ** 40, (at) => tree.erase(at));
    expect(out()).toBe(0);
  });
});
