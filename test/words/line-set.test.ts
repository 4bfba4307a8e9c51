/** A set of cache lines is a set, however many and wherever they are. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { LineSet } from "../../src/engine/words/line-set.js";

const lines = fc.array(
  fc.oneof(fc.nat(100), fc.integer({ min: 16_300, max: 16_500 }), fc.nat(2 ** 31 - 1)),
);

test("it holds each line once, and knows what it has in common with another", () => {
  fc.assert(
    fc.property(lines, lines, (a, b) => {
      const [one, other] = [new LineSet(), new LineSet()];
      for (const line of a) one.add(line);
      for (const line of b) other.add(line);
      expect(one.size).toBe(new Set(a).size);
      expect(one.inBoth(other)).toBe(new Set(a.filter((line) => b.includes(line))).size);
      one.clear();
      expect(one.size + one.inBoth(other)).toBe(0);
    }),
  );
});

test("more lines than a Set of the language can hold", () => {
  const set = new LineSet();
  for (let line = 0; line < 2 ** 24 + 1; line++) set.add(line);
  expect(set.size).toBe(2 ** 24 + 1);
});
