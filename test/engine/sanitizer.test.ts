/**
 * Every rule of the sanitizer fires when it is broken: a machine in order is
 * broken in one word, and the rule that the word belongs to reports it.
 */
import { describe, expect, test } from "vitest";
import type { Ref } from "../../src/units.js";
import {
  FOLIO_REFCOUNT,
  KMEM_CACHE_NR_EMPTY,
  KMEM_CACHE_PARTIAL_FIRST,
  KMEM_CACHE_NR_SLABS,
  PAGE32_REFCOUNT,
  PCP_COUNT,
  ZONE_NR_FREE,
} from "../../src/engine/layout/generated/offsets.js";
import type { Machine } from "../../src/engine/machine.js";
import { inspectMachine, RULES } from "../../src/engine/sanitizer/sanitizer.js";
import { violationsOf } from "../../src/engine/sanitizer/rule.js";
import { viewOf, type Claims, type HeldBlock } from "../../src/engine/sanitizer/view.js";
import { T_FILE, T_PGTABLE } from "../../src/engine/design/word/axis-types.js";
import { bootShape, oneZone } from "./machines.js";

interface Scene {
  readonly m: Machine;
  readonly claims: Claims;
  readonly folio: HeldBlock;
  readonly table: HeldBlock;
}

/** A machine with two folios, of which one was freed, and a page table. */
function scene(design: string): Scene {
  const shape = oneZone(2048);
  const m = bootShape(shape, design);
  const freed = m.allocFolio(0, T_FILE);
  const folio = { pfn: m.allocFolio(2, T_FILE), order: 2, type: T_FILE, subtype: 0, refs: 1 };
  const table = { pfn: m.allocTyped(0, T_PGTABLE), order: 0, type: T_PGTABLE, subtype: 0, refs: 0 };
  m.putFolio(freed);
  return { m, folio, table, claims: { given: shape.given, held: [folio, table] } };
}

/** What is broken, by the rule that must see it. */
const BREAKS: Record<string, { design?: string; break: (s: Scene) => Claims | void }> = {
  "links agree": { break: ({ m }) => m.design.setPrev(anyFree(m), 7) },
  "free blocks say so": { break: ({ m }) => m.design.unlink(anyFree(m)) },
  "free blocks are of their pageblock's type": {
    break: ({ m }) => m.zones.setMigrateType(anyFree(m), 2),
  },
  "listed blocks are of the zone": {
    break: ({ m }) => {
      // A free block that reaches over the end of the machine.
      const ref = m.buddy.listRef(0, 10, 0);
      m.w.store32(ref, 0, 1536 + 1);
      m.w.store32(ref, 8, 1536 + 1);
    },
  },
  "free counts agree": {
    break: ({ m }) => void m.w.add32(m.buddy.zoneRefs[0] as Ref, ZONE_NR_FREE, 1),
  },
  "per-CPU counts agree": {
    break: ({ m }) => void m.w.add32(m.allocator.pcpRef(0, 0), PCP_COUNT, 1),
  },
  "per-CPU blocks do not merge": {
    break: ({ m }) => {
      const pfn = anyPcp(m);
      m.design.link(pfn, 0, m.design.nextOf(pfn), m.design.prevOf(pfn), 0);
    },
  },
  "one place": { break: ({ claims }) => ({ ...claims, held: [...claims.held].slice(1) }) },
  "buddies are merged": {
    break: ({ m }) => {
      // The upper half of a free block is put on a list of its own.
      const pfn = anyFree(m);
      const order = m.design.freeOrderAt(pfn);
      m.design.link(pfn, order - 1, m.design.nextOf(pfn), m.design.prevOf(pfn), 0);
      m.design.link(pfn + 2 ** (order - 1), order - 1, -1, -1, 0);
      const list = m.buddy.listRef(0, order - 1, m.zones.migrateTypeOf(pfn));
      m.w.store32(list, 0, pfn + 1);
    },
  },
  "location is known": { design: "today", break: ({ m, folio }) => wipe(m, folio.pfn, 0) },
  "pages answer for their block": { break: ({ m, folio }) => wipe(m, folio.pfn + 3, 0) },
  "free pages answer free": {
    break: ({ m }) => m.design.bindMisc(anyFree(m) + 1, 0, 2, false, 0),
  },
  "folios are counted": {
    break: ({ m, folio }) =>
      void m.w.add32(m.design.descriptorOf(folio.pfn), m.design.folio.refcount, 1),
  },
  "only folios are counted": {
    design: "page32",
    break: ({ m, table }) => m.w.store32(m.design.wordsOf(table.pfn).ref, PAGE32_REFCOUNT, 1),
  },
  "freed folios are not counted": {
    break: (s) => {
      const slab = viewOf(s.m, s.claims).slabs.find(
        (x) => x.free.length > 0 && s.m.caches.specs[x.cache].name === "folio",
      );
      if (slab === undefined) throw new Error("the scene has no freed folio");
      s.m.w.store32(slab.free[0], FOLIO_REFCOUNT, 1);
    },
  },
  "slabs add up": { break: (s) => addToCounters(s, 1) },
  "descriptors are objects": {
    break: ({ m, folio, table, claims }) => {
      // Two page tables that share one descriptor.
      m.design.bind(folio.pfn, 0, T_PGTABLE, m.design.descriptorOf(table.pfn));
      return { ...claims, held: [table, { ...table, pfn: folio.pfn }] };
    },
  },
  "slabs of slabs describe themselves": {
    break: (s) => {
      const view = viewOf(s.m, s.claims);
      const own = view.slabs.find((x) => x.cache === view.slabCache);
      if (own === undefined) throw new Error("the scene has no slab of slab descriptors");
      s.m.w.store32(own.meta, s.m.design.slab.page, own.page + 256);
    },
  },
  "caches add up": {
    break: ({ m }) => void m.w.add32(m.caches.cacheRef(0), KMEM_CACHE_NR_EMPTY, 1),
  },
  "partial lists are whole": {
    break: ({ m }) => m.w.store32(m.caches.cacheRef(0), KMEM_CACHE_PARTIAL_FIRST, 0),
  },
  "bytes add up": {
    break: ({ m }) => void m.w.add32(m.caches.cacheRef(0), KMEM_CACHE_NR_SLABS, 1),
  },
};

function anyFree(m: Machine): number {
  for (let order = 10; order > 1; order--) {
    for (let type = 0; type < 3; type++) {
      const pfn = m.buddy.firstFree(0, order, type);
      if (pfn >= 0) return pfn;
    }
  }
  throw new Error("the scene has no free block");
}

function anyPcp(m: Machine): number {
  let found = -1;
  m.allocator.forEachPcp((pfn, order) => {
    if (order === 0) found = pfn;
  });
  return found;
}

/** Writes 0 over a page's first word, node and zone with it. */
function wipe(m: Machine, pfn: number, value: number): void {
  const { ref, off } = m.design.wordsOf(pfn);
  m.w.store64(ref, off, value, value);
}

function addToCounters(s: Scene, n: number): void {
  const [slab] = viewOf(s.m, s.claims).slabs;
  s.m.w.add32(slab.meta, s.m.design.slab.counters, n);
}

test("every rule has a break", () => {
  expect(Object.keys(BREAKS).toSorted()).toEqual(RULES.map((r) => r.name).toSorted());
});

describe.each(RULES)("$name", (rule) => {
  const { design = "memdesc8", break: breakIt } = BREAKS[rule.name];
  test(`fires when broken: ${rule.says}`, () => {
    const s = scene(design);
    expect(inspectMachine(s.m, s.claims)).toEqual([]);
    const claims = breakIt(s) ?? s.claims;
    const found = violationsOf(rule, viewOf(s.m, claims));
    expect(found.length).toBeGreaterThan(0);
    expect(found[0].rule).toBe(rule.name);
  });
});

test("a list bent into a ring is reported, not followed for ever", () => {
  const { m, claims } = scene("memdesc16");
  const pfn = anyPcp(m);
  m.design.setNext(pfn, pfn);
  expect(() => viewOf(m, claims)).toThrow(/is a ring/);
});
