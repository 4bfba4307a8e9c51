/**
 * An operation that fails leaves the machine as it was: at each single point at
 * which it allocates, and when memory really is out.
 */
import { describe, expect, test } from "vitest";
import type { Machine } from "../../src/engine/machine.js";
import {
  T_ANON,
  T_FILE,
  T_KSM,
  T_MISC,
  T_PGTABLE,
  T_SLAB,
  T_ZPDESC,
} from "../../src/engine/design/word/axis-types.js";
import { EINVAL, ENOMEM } from "../../src/engine/pages/allocator.js";
import { inspectMachine } from "../../src/engine/sanitizer/sanitizer.js";
import type { HeldBlock } from "../../src/engine/sanitizer/view.js";
import { digest } from "./digest.js";
import { bootShape, DESIGNS, oneZone } from "./machines.js";

const OPERATIONS: readonly (readonly [string, (m: Machine) => number])[] = [
  ["alloc_pages, order 0", (m) => m.allocPages(0)],
  ["alloc_pages, order 5", (m) => m.allocPages(5)],
  ["a small file folio", (m) => m.allocFolio(0, T_FILE)],
  ["a small anonymous folio", (m) => m.allocFolio(0, T_ANON)],
  ["a large file folio", (m) => m.allocFolio(4, T_FILE)],
  ["a huge anonymous folio", (m) => m.allocFolio(9, T_ANON)],
  ["a KSM folio", (m) => m.allocFolio(0, T_KSM)],
  ["a slab of order 2", (m) => m.allocTyped(2, T_SLAB)],
  ["a page table", (m) => m.allocTyped(0, T_PGTABLE)],
  ["a zsmalloc page", (m) => m.allocTyped(0, T_ZPDESC)],
];

/** Machines as they start: with empty caches, and with slabs of folios that are full. */
const STARTS: readonly ((m: Machine) => void)[] = [() => {}, fillSlabs];

/** Holds folios until the next one needs a new slab. */
function fillSlabs(m: Machine): void {
  const cache = m.design.cacheFor(T_FILE, 0);
  const count = cache < 0 ? 10 : m.caches.perSlab[cache];
  for (let i = 0; i < count; i++) m.allocFolio(0, T_FILE);
}

describe.each(DESIGNS)("%s", (design) => {
  test.each(OPERATIONS)(
    "%s: fails at each allocation point without a trace",
    (_name, operation) => {
      for (const prepare of STARTS) {
        const counted = bootShape(oneZone(2048), design);
        prepare(counted);
        counted.allocator.tried = 0;
        const result = operation(counted);
        if (result === EINVAL) continue;
        const points = counted.allocator.tried;
        expect(points).toBeGreaterThan(0);
        for (let point = 0; point < points; point++) {
          const m = bootShape(oneZone(2048), design);
          prepare(m);
          const before = digest(m);
          m.allocator.failAfter = point;
          expect(operation(m)).toBe(ENOMEM);
          expect(digest(m)).toBe(before);
          // And the same operation succeeds afterwards.
          expect(operation(m)).toBeGreaterThanOrEqual(0);
        }
      }
    },
  );

  test("memory really runs out without a trace, whatever is asked for", () => {
    const shape = oneZone(512, 1);
    const m = bootShape(shape, design);
    const held: HeldBlock[] = [];
    for (let pfn = m.allocPages(0); pfn >= 0; pfn = m.allocPages(0)) {
      held.push({ pfn, order: 0, type: T_MISC, subtype: 2, refs: 0 });
    }
    // Room for nothing, then for one page more at each turn.
    for (let free = 0; free < 4; free++) {
      for (const [, operation] of OPERATIONS.slice(2)) {
        const before = digest(m);
        const result = operation(m);
        if (result >= 0) {
          m.freeTyped(result);
          m.caches.shrink();
        }
        expect(digest(m)).toBe(before);
      }
      expect(inspectMachine(m, { given: shape.given, held })).toEqual([]);
      const last = held.pop();
      if (last === undefined) throw new Error("nothing was held");
      m.freePages(last.pfn, 0);
    }
  });
});

test.each(DESIGNS)("%s: describing a page takes at most three pages", (design) => {
  const m = bootShape(oneZone(2048), design);
  m.allocator.tried = 0;
  m.allocFolio(0, T_FILE);
  expect(m.allocator.tried).toBeLessThanOrEqual(3);
});
