/** Memory that can be undone and told apart: word by word, whatever the hashes say. */
import { describe, expect, it } from "vitest";
import { TrackedMemory } from "../../src/check/tracked-memory.js";
import type { Access } from "../../src/engine/words/checked.js";
import { ref } from "../../src/units.js";

const store = (word: number): Access => ({
  kind: "store32",
  ref: ref(0),
  off: word * 4,
  value: 0,
  high: 0,
});

describe("tracked memory", () => {
  const mem = new Int32Array(8);
  const memory = new TrackedMemory(mem);
  const write = (word: number, value: number): number => {
    const mark = memory.before(store(word));
    mem[word] = value;
    memory.after(mark);
    return mark;
  };

  it("equals what differs in the same words by the same values, in whatever order they were written", () => {
    const first = write(1, 5);
    write(2, 6);
    const hash = memory.hash;
    const pairs = memory.difference();
    memory.undo(first);
    expect([...mem]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect([memory.differing, memory.hash]).toEqual([0, 0]);
    write(2, 9);
    write(2, 6);
    write(1, 5);
    expect(memory.hash).toBe(hash);
    expect(memory.equals(pairs)).toBe(true);
  });

  it("does not take other values or other words in the same number for equal", () => {
    const pairs = memory.difference();
    const mark = write(1, 7);
    expect(memory.equals(pairs)).toBe(false);
    memory.undo(mark);
    const other = write(1, 0);
    write(3, 5);
    expect(memory.equals(pairs)).toBe(false);
    memory.undo(other);
    expect(memory.equals(pairs)).toBe(true);
  });
});
