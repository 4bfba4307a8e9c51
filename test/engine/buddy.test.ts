/**
 * The page allocator's order of choices, rule by rule, as mm/page_alloc.c makes
 * them. Each test is named by the rule and the kernel function that has it.
 */
import { describe, expect, test } from "vitest";
import type { Ref } from "../../src/units.js";
import { PCP_COUNT, PCP_LISTS } from "../../src/engine/layout/generated/offsets.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import { T_FILE } from "../../src/engine/design/word/axis-types.js";
import { Machine, type MachineConfig } from "../../src/engine/machine.js";
import { ENOMEM } from "../../src/engine/pages/allocator.js";
import {
  MIGRATE_HIGHATOMIC,
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE as MOVABLE,
  MIGRATE_RECLAIMABLE as RECLAIMABLE,
  MIGRATE_UNMOVABLE as UNMOVABLE,
} from "../../src/engine/pages/zones.js";

type ZoneOf = MachineConfig["zones"][number];
const zone = (type: number, start: number, end: number, over: Partial<ZoneOf> = {}): ZoneOf => ({
  node: 0,
  type,
  start,
  spanned: end - start,
  min: 0,
  low: 0,
  high: 0,
  reserve: 0,
  ...over,
});

/** A machine with nothing free yet. */
function bare(
  frames: number,
  zones: readonly ZoneOf[] = [zone(2, 0, frames)],
  pcp = { high: 56, batch: 14 },
): Machine {
  const config = {
    frames,
    zones,
    present: [{ start: 0, end: frames }],
    cpus: 1,
    pcp: zones.map(() => pcp),
  };
  return Machine.boot(config, parseDesign("memdesc8"));
}

function booted(
  frames: number,
  ...rest: [(readonly ZoneOf[])?, { high: number; batch: number }?]
): Machine {
  const m = bare(frames, ...rest);
  m.giveRange(0, frames);
  return m;
}

/** The blocks of a free list from its head on. */
function list(m: Machine, order: number, type: number, z = 0): number[] {
  const found: number[] = [];
  for (let pfn = m.buddy.firstFree(z, order, type); pfn >= 0; pfn = m.design.nextOf(pfn))
    found.push(pfn);
  return found;
}

/** The blocks of a per-CPU list from its head on. */
function pcpList(m: Machine, index: number): number[] {
  const head = (m.allocator.pcpRef(0, 0) + (PCP_LISTS >> 4) + index) as Ref;
  const found: number[] = [];
  for (let pfn = m.w.load32(head, 0) - 1; pfn >= 0; pfn = m.design.nextOf(pfn)) found.push(pfn);
  return found;
}

const setBlockType = (m: Machine, type: number): void => {
  for (let pfn = 0; pfn < m.config.frames; pfn += 512) m.zones.setMigrateType(pfn, type);
};

describe("taking a block", () => {
  test("the lower half is handed out, the upper half of every split is free (expand)", () => {
    const m = booted(1024);
    expect(m.buddy.take(0, 7, MOVABLE, false)).toBe(0);
    expect([7, 8, 9, 10].map((o) => list(m, o, MOVABLE))).toEqual([[128], [256], [512], []]);
  });

  test("the smallest block that is large enough is taken (__rmqueue_smallest)", () => {
    const m = bare(2048);
    m.buddy.give(0, 1024, 10, MOVABLE);
    m.buddy.give(0, 64, 5, MOVABLE);
    expect(m.buddy.take(0, 4, MOVABLE, false)).toBe(64);
    expect(m.buddy.take(0, 4, MOVABLE, false)).toBe(80);
    expect(m.buddy.take(0, 4, MOVABLE, false)).toBe(1024);
  });

  test("blocks that boot gives are used from the lowest address on (FPI_TO_TAIL)", () => {
    const m = booted(4096);
    expect(list(m, 10, MOVABLE)).toEqual([0, 1024, 2048, 3072]);
  });
});

describe("giving a block back", () => {
  test("what was freed last is used first (__add_to_free_list)", () => {
    const m = bare(1024);
    for (const pfn of [8, 16, 24]) m.buddy.give(0, pfn, 0, MOVABLE);
    expect(list(m, 0, MOVABLE)).toEqual([24, 16, 8]);
  });

  test("it goes to the tail when its buddy's freeing would merge twice (buddy_merge_likely)", () => {
    const m = bare(1024);
    m.buddy.give(0, 2, 1, MOVABLE);
    m.buddy.give(0, 8, 0, MOVABLE);
    m.buddy.give(0, 0, 0, MOVABLE);
    expect(list(m, 0, MOVABLE)).toEqual([8, 0]);
  });

  test("the two largest orders never go to the tail", () => {
    const m = bare(4096);
    m.buddy.give(0, 2048, 9, MOVABLE);
    m.buddy.give(0, 1024, 10, MOVABLE);
    m.buddy.give(0, 0, 9, MOVABLE);
    expect(list(m, 9, MOVABLE)).toEqual([0, 2048]);
  });

  test("buddies merge up to the largest order and no further (__free_one_page)", () => {
    const m = bare(2048);
    for (let pfn = 0; pfn < 2048; pfn++) m.buddy.give(0, pfn, 0, MOVABLE);
    expect(list(m, 10, MOVABLE).toSorted((a, b) => a - b)).toEqual([0, 1024]);
    expect(m.buddy.freePages(0)).toBe(2048);
  });

  test("buddies of two zones do not merge (page_is_buddy)", () => {
    const m = bare(1024, [zone(1, 0, 512), zone(2, 512, 1024)]);
    m.buddy.give(0, 0, 9, MOVABLE);
    m.buddy.give(1, 512, 9, MOVABLE);
    expect([list(m, 9, MOVABLE, 0), list(m, 9, MOVABLE, 1)]).toEqual([[0], [512]]);
  });

  test("merging pageblocks of two types renames the buddy; an isolated one does not merge", () => {
    const m = bare(2048);
    m.zones.setMigrateType(512, RECLAIMABLE);
    m.buddy.give(0, 512, 9, RECLAIMABLE);
    m.buddy.give(0, 0, 9, MOVABLE);
    expect(list(m, 10, MOVABLE)).toEqual([0]);
    expect(m.zones.migrateTypeOf(512)).toBe(MOVABLE);
    m.zones.setMigrateType(1536, MIGRATE_ISOLATE);
    m.buddy.give(0, 1536, 9, MIGRATE_ISOLATE);
    m.buddy.give(0, 1024, 9, MOVABLE);
    expect([list(m, 9, MOVABLE), list(m, 9, MIGRATE_ISOLATE)]).toEqual([[1024], [1536]]);
  });

  test("a block of several pageblocks goes back pageblock by pageblock (split_large_buddy)", () => {
    const m = booted(1024);
    const pfn = m.allocator.alloc(10, MOVABLE);
    m.zones.setMigrateType(512, MIGRATE_ISOLATE);
    m.allocator.free(pfn, 10);
    expect([list(m, 9, MOVABLE), list(m, 9, MIGRATE_ISOLATE)]).toEqual([[0], [512]]);
  });
});

describe("falling back to another type", () => {
  const TABLE: readonly (readonly [string, number, number, number])[] = [
    ["unmovable", UNMOVABLE, RECLAIMABLE, MOVABLE],
    ["movable", MOVABLE, RECLAIMABLE, UNMOVABLE],
    ["reclaimable", RECLAIMABLE, UNMOVABLE, MOVABLE],
  ];

  test.each(TABLE)(
    "%s falls back in the order of the kernel's table (fallbacks)",
    (_name, type, first, second) => {
      const m = bare(4096);
      m.zones.setMigrateType(512, second);
      m.zones.setMigrateType(1536, first);
      m.buddy.give(0, 512, 0, second);
      m.buddy.give(0, 1536, 0, first);
      expect(m.buddy.steal(0, 0, type)).toBe(1536);
      expect(m.buddy.steal(0, 0, type)).toBe(512);
    },
  );

  test("the largest block is claimed, its pageblocks with it (__rmqueue_claim)", () => {
    const m = bare(4096);
    m.buddy.give(0, 2048, 9, MOVABLE);
    m.buddy.give(0, 1024, 10, MOVABLE);
    expect(m.buddy.take(0, 0, UNMOVABLE, false)).toBe(1024);
    expect([1024, 1536, 2048].map((p) => m.zones.migrateTypeOf(p))).toEqual([
      UNMOVABLE,
      UNMOVABLE,
      MOVABLE,
    ]);
    expect(list(m, 9, UNMOVABLE)).toEqual([1536]);
  });

  test("half a pageblock free is enough to claim it, one page less is not (try_to_claim_block)", () => {
    for (const [free, claimed] of [
      [256, true],
      [255, false],
    ] as const) {
      const m = bare(1024);
      setBlockType(m, RECLAIMABLE);
      for (let pfn = 0; pfn < free; pfn++) m.buddy.give(0, pfn, 0, RECLAIMABLE);
      // The rest is neither free nor movable.
      for (let pfn = free; pfn < 512; pfn++) m.design.bindMisc(pfn, 0, 2, false, 0);
      m.buddy.take(0, 0, UNMOVABLE, false);
      expect(m.zones.migrateTypeOf(0)).toBe(claimed ? UNMOVABLE : RECLAIMABLE);
    }
  });

  test("in a movable pageblock everything that is not movable counts as alike", () => {
    const m = bare(1024);
    m.buddy.give(0, 0, 4, MOVABLE);
    for (let pfn = 16; pfn < 512; pfn++) m.design.bindMisc(pfn, 0, 2, false, 0);
    m.buddy.take(0, 0, UNMOVABLE, false);
    expect(m.zones.migrateTypeOf(0)).toBe(UNMOVABLE);
  });

  test("a pageblock full of folios is not claimed for unmovable pages: one block is stolen", () => {
    const m = booted(512, undefined, { high: 0, batch: 1 });
    for (let i = 0; i < 300; i++) expect(m.allocFolio(0, T_FILE)).toBeGreaterThanOrEqual(0);
    const before = m.zones.migrateTypeOf(0);
    m.buddy.take(0, 0, before === MOVABLE ? UNMOVABLE : MOVABLE, false);
    expect(m.zones.migrateTypeOf(0)).toBe(before);
  });

  test("small movable requests claim nothing below half the pageblock order (should_try_claim_block)", () => {
    for (const [order, claimed] of [
      [3, false],
      [4, true],
    ] as const) {
      const m = bare(1024);
      setBlockType(m, UNMOVABLE);
      m.buddy.give(0, 0, order, UNMOVABLE);
      // All the rest is movable: the pageblock would be claimed if it were tried.
      for (let pfn = 2 ** order; pfn < 512; pfn++) m.design.bind(pfn, 0, T_FILE, 0 as Ref);
      expect(m.buddy.take(0, order, MOVABLE, false)).toBe(0);
      expect(m.zones.migrateTypeOf(0)).toBe(claimed ? MOVABLE : UNMOVABLE);
    }
  });

  test("blocks of a claimed pageblock go to the tail of the new lists (move_to_free_list)", () => {
    const m = bare(1024);
    setBlockType(m, UNMOVABLE);
    m.zones.setMigrateType(512, RECLAIMABLE);
    m.buddy.give(0, 512, 3, RECLAIMABLE);
    m.buddy.give(0, 0, 3, UNMOVABLE);
    m.buddy.give(0, 32, 3, UNMOVABLE);
    m.buddy.moveBlock(0, 512, RECLAIMABLE, UNMOVABLE);
    expect(list(m, 3, UNMOVABLE)).toEqual([32, 0, 512]);
  });

  test("the smallest block is stolen, and what is left of it keeps its type (__rmqueue_steal)", () => {
    const m = bare(1024);
    setBlockType(m, UNMOVABLE);
    m.buddy.give(0, 256, 8, UNMOVABLE);
    m.buddy.give(0, 0, 2, UNMOVABLE);
    expect(m.buddy.steal(0, 0, MOVABLE)).toBe(0);
    expect([list(m, 0, UNMOVABLE), list(m, 1, UNMOVABLE), list(m, 0, MOVABLE)]).toEqual([
      [1],
      [2],
      [],
    ]);
  });

  test("without fragmenting, only whole pageblocks are claimed and nothing is stolen (ALLOC_NOFRAGMENT)", () => {
    const m = bare(2048);
    m.buddy.give(0, 0, 8, MOVABLE);
    expect(m.buddy.take(0, 0, UNMOVABLE, true)).toBe(-1);
    m.buddy.give(0, 512, 9, MOVABLE);
    expect(m.buddy.take(0, 0, UNMOVABLE, true)).toBe(512);
  });
});

describe("per-CPU lists", () => {
  test("orders 0 to 3 and the huge-page order have one, no other has (pcp_allowed_order)", () => {
    const m = booted(4096, undefined, { high: 4000, batch: 1 });
    const kept = Array.from({ length: 11 }, (_, order) => {
      m.allocator.free(m.allocator.alloc(order, MOVABLE), order);
      const count = m.w.load32(m.allocator.pcpRef(0, 0), PCP_COUNT);
      m.allocator.drainAll();
      return count > 0;
    });
    expect(kept).toEqual([true, true, true, true, false, false, false, false, false, true, false]);
  });

  test("there is a list for each type of a low order, and two for huge pages (order_to_pindex)", () => {
    const m = booted(4096, undefined, { high: 4000, batch: 1 });
    const at = (order: number, type: number): number => {
      setBlockType(m, type);
      m.allocator.free(m.buddy.take(0, order, type, false), order);
      const index = Array.from({ length: 14 }, (_, i) => i).find((i) => pcpList(m, i).length > 0);
      m.allocator.drainAll();
      return index ?? -1;
    };
    setBlockType(m, MOVABLE);
    expect([at(0, MOVABLE), at(3, MOVABLE), at(9, MOVABLE)]).toEqual([1, 10, 13]);
  });

  test("an empty list is filled with a batch, in the order it came (rmqueue_bulk)", () => {
    const m = booted(1024);
    expect(m.allocator.alloc(0, MOVABLE)).toBe(0);
    expect(pcpList(m, 1)).toEqual(Array.from({ length: 13 }, (_, i) => i + 1));
  });

  test("a batch is fewer blocks of a larger order, but two; one where lists are off (nr_pcp_alloc)", () => {
    const filled = (order: number, pcp: { high: number; batch: number }): number => {
      const m = booted(4096, undefined, pcp);
      m.allocator.alloc(order, MOVABLE);
      return m.w.load32(m.allocator.pcpRef(0, 0), PCP_COUNT) / 2 ** order + 1;
    };
    expect(filled(1, { high: 56, batch: 14 })).toBe(7);
    expect(filled(3, { high: 56, batch: 14 })).toBe(2);
    expect(filled(9, { high: 56, batch: 14 })).toBe(2);
    expect(filled(0, { high: 0, batch: 14 })).toBe(1);
    expect(filled(0, { high: 4, batch: 1 })).toBe(1);
  });

  test("the page freed last is handed out first", () => {
    const m = booted(1024);
    const a = m.allocator.alloc(0, MOVABLE);
    const b = m.allocator.alloc(0, MOVABLE);
    m.allocator.free(a, 0);
    m.allocator.free(b, 0);
    expect([m.allocator.alloc(0, MOVABLE), m.allocator.alloc(0, MOVABLE)]).toEqual([b, a]);
  });

  test("at the high mark a batch is drained, the oldest of its own list first (free_pcppages_bulk)", () => {
    const m = booted(1024, undefined, { high: 8, batch: 2 });
    const held = Array.from({ length: 16 }, () => m.allocator.alloc(0, MOVABLE));
    const kept = pcpList(m, 1).length;
    for (const pfn of held.slice(0, 8 - kept)) m.allocator.free(pfn, 0);
    const list0 = pcpList(m, 1);
    expect(list0.length).toBe(6);
    expect(list0).toEqual(held.slice(2, 8).toReversed());
  });

  test("pages of a high-atomic pageblock are kept as movable; isolated ones are not kept", () => {
    const m = booted(1024);
    const pfn = m.allocator.alloc(0, MOVABLE);
    m.allocator.drainAll();
    m.zones.setMigrateType(pfn, MIGRATE_HIGHATOMIC);
    m.allocator.free(pfn, 0);
    expect(pcpList(m, 1)).toEqual([pfn]);
    expect(m.allocator.alloc(0, MOVABLE)).toBe(pfn);
    m.zones.setMigrateType(pfn, MIGRATE_ISOLATE);
    m.allocator.free(pfn, 0);
    expect(pcpList(m, 1)).not.toContain(pfn);
  });

  test("once a block of a batch was stolen, the rest is stolen too (RMQUEUE_STEAL)", () => {
    const m = bare(2048, undefined, { high: 56, batch: 4 });
    setBlockType(m, UNMOVABLE);
    m.buddy.give(0, 8, 0, UNMOVABLE);
    m.buddy.give(0, 1024, 4, UNMOVABLE);
    for (let pfn = 1040; pfn < 1536; pfn++) m.design.bindMisc(pfn, 0, 2, false, 0);
    expect(m.allocator.alloc(0, MOVABLE)).toBe(8);
    expect(m.zones.migrateTypeOf(1024)).toBe(UNMOVABLE);
    expect(pcpList(m, 1)).toEqual([1024, 1025, 1026]);
  });
});

describe("zones", () => {
  const drained = (m: Machine, order: number, type: number): number[] => {
    const got: number[] = [];
    for (let pfn = m.allocator.alloc(order, type); pfn >= 0; pfn = m.allocator.alloc(order, type))
      got.push(pfn);
    return got;
  };

  test("an allocation leaves the min watermark (zone_watermark_ok)", () => {
    const m = booted(1024, [zone(2, 0, 1024, { min: 100, low: 125, high: 150 })], {
      high: 0,
      batch: 1,
    });
    expect(drained(m, 0, MOVABLE).length).toBe(1024 - 100);
    expect(m.buddy.freePages(0)).toBe(100);
    expect(m.allocator.alloc(0, MOVABLE)).toBe(ENOMEM);
  });

  test("a large block has to be on a buddy list of an ordinary type", () => {
    const m = bare(1024);
    for (let pfn = 0; pfn < 512; pfn += 2) m.buddy.give(0, pfn, 0, MOVABLE);
    expect(m.allocator.alloc(1, MOVABLE)).toBe(ENOMEM);
    m.zones.setMigrateType(512, MIGRATE_HIGHATOMIC);
    m.buddy.give(0, 512, 1, MIGRATE_HIGHATOMIC);
    expect(m.allocator.alloc(1, MOVABLE)).toBe(ENOMEM);
  });

  test("the highest zone of the nearest node comes first, other nodes last (build_zonelists)", () => {
    const zones = [
      zone(0, 0, 1024),
      zone(1, 1024, 2048),
      zone(2, 2048, 3072),
      zone(3, 3072, 4096),
      zone(2, 4096, 5120, { node: 1 }),
    ];
    const m = booted(5120, zones);
    expect(drained(m, 10, MOVABLE)).toEqual([3072, 2048, 1024, 0, 4096]);
  });

  test("only movable pages are taken from the movable zone (gfp_zone)", () => {
    const m = booted(2048, [zone(2, 0, 1024), zone(3, 1024, 2048)]);
    expect(drained(m, 10, UNMOVABLE)).toEqual([0]);
    expect(drained(m, 10, MOVABLE)).toEqual([1024]);
  });

  test("a zone that is a fallback keeps its reserve (lowmem_reserve)", () => {
    const m = booted(2048, [zone(1, 0, 1024, { reserve: 24 }), zone(2, 1024, 2048)], {
      high: 0,
      batch: 1,
    });
    drained(m, 0, MOVABLE);
    expect([m.buddy.freePages(0), m.buddy.freePages(1)]).toEqual([24, 0]);
  });

  test("a lower zone is used before pageblocks of the preferred one are mixed (alloc_flags_nofragment)", () => {
    const m = bare(2048, [zone(1, 0, 1024), zone(2, 1024, 2048)]);
    m.buddy.give(1, 1024, 5, MOVABLE);
    m.buddy.give(0, 0, 10, MOVABLE);
    expect(m.allocator.alloc(0, UNMOVABLE)).toBe(0);
  });
});
