/**
 * What goes into a machine comes out of it: kpageflags and kpagecount, bit for
 * bit, in every design, but for the bits that the design says it has no place
 * for. On the real guests, and on machines made of random objects.
 */
import * as fc from "fast-check";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_DESIGNS } from "../../src/engine/design/presets.js";
import { T_FILE, T_MISC } from "../../src/engine/design/word/axis-types.js";
import { classify } from "../../src/observe/classify/classify.js";
import type { KpfName } from "../../src/observe/kpageflags.js";
import { compare, metadataFrames } from "../../src/observe/roundtrip/compare.js";
import { populate, sourceMemmapPages } from "../../src/observe/roundtrip/populate.js";
import type { Snapshot } from "../../src/observe/snapshot.js";
import { openSource } from "../../src/observe/source.node.js";
import { FIXTURES, made, type MadeRun, zoneinfoOf } from "./helpers.js";

const DESIGNS = [
  ...DEFAULT_DESIGNS,
  "today+separated=page-table",
  "today+separated=all",
  "memdesc16+page-bits=type",
  "memdesc16+page-bits=descriptor",
  "memdesc8+page-bits=descriptor+free-pointer=outside",
  "memdesc8+types=2024b",
  "memdesc8+types=2024",
];

const roundTrip = (snapshot: Snapshot, design: string) => {
  const classification = classify(snapshot);
  const populated = populate(snapshot, classification, design);
  return { populated, classification, result: compare(populated, snapshot, classification) };
};

describe.each(["guest-6.12", "guest-6.1"])("%s", (machine) => {
  let snapshot: Snapshot;
  beforeAll(async () => {
    snapshot = await openSource(join(FIXTURES, machine));
  });

  test.each(DESIGNS)("%s holds what came in", (design) => {
    const { result } = roundTrip(snapshot, design);
    expect(result.first).toEqual([]);
    expect(result.differences).toBe(0);
    // Nothing is left out but the frames of metadata.
    expect(result.leftOut.map((l) => l.why.split(":")[0])).toEqual(["metadata"]);
    const out = result.leftOut.reduce((sum, l) => sum + l.frames, 0);
    expect(result.compared + out).toBe(snapshot.frames);
  });

  test("today loses nothing", () => {
    expect(roundTrip(snapshot, "today").result.lost).toEqual([]);
  });

  test("metadata lies in as many frames as the source spends, and only then in free ones", () => {
    for (const design of DEFAULT_DESIGNS) {
      const { populated } = roundTrip(snapshot, design);
      const spent = sourceMemmapPages(snapshot, populated.machine);
      const from = metadataFrames(populated);
      const total = from.reduce((sum, f) => sum + f.frames, 0);
      const free = from.find((f) => f.kind === "free")?.frames ?? 0;
      const slabs = populated.machine.caches.usage().reduce((sum, u) => sum + u.slabs, 0);
      expect(total).toBe(populated.pageArrayFrames + slabs);
      expect(free).toBe(Math.max(0, total - spent));
    }
  });

  test("a word that is wrong in the machine is a difference", () => {
    const classification = classify(snapshot);
    const populated = populate(snapshot, classification, "memdesc8");
    const { design } = populated.machine;
    const folio =
      Array.from({ length: snapshot.frames }, (_, pfn) => pfn).find(
        (pfn) => design.typeOf(pfn) === T_FILE,
      ) ?? -1;
    design.bindMisc(folio, 0, T_MISC, false, 0);
    const result = compare(populated, snapshot, classification);
    expect(result.first[0]).toMatchObject({ pfn: folio, file: "kpageflags" });
  });
});

test("memdesc8 says which bits of the 6.12 guest it has no place for", async () => {
  const { result } = roundTrip(await openSource(join(FIXTURES, "guest-6.12")), "memdesc8");
  const lost = Object.fromEntries(result.lost.map((l) => [l.bit, l.frames]));
  // 197 slab pages with false bits; 46 reserved pages of boot memory that are
  // private and not set aside; the two pages the vDSO maps; the zero page.
  expect(lost).toEqual({
    anonymous: 197,
    ksm: 197,
    private: 46,
    referenced: 2,
    mmap: 2,
    kpagecount: 2,
    reserved: 1,
  });
});

/** Flags that the kernel copies from a folio, apart from those that make a kind. */
const COPIED: readonly KpfName[] = [
  "LOCKED",
  "REFERENCED",
  "DIRTY",
  "ACTIVE",
  "WRITEBACK",
  "RECLAIM",
  "UNEVICTABLE",
  "IDLE",
  "MLOCKED",
  "OWNER_2",
  "PRIVATE",
  "PRIVATE_2",
  "ARCH",
];

interface Thing {
  readonly kind: string;
  readonly order: number;
  readonly flags: readonly KpfName[];
  readonly mapcount: number;
  readonly count: number;
}

const KIND_FLAGS: Readonly<Record<string, readonly KpfName[]>> = {
  free: ["BUDDY"],
  file: ["LRU", "UPTODATE"],
  shmem: ["LRU", "UPTODATE", "SWAPBACKED"],
  anon: ["LRU", "UPTODATE", "SWAPBACKED", "ANON"],
  ksm: ["LRU", "UPTODATE", "SWAPBACKED", "ANON", "KSM"],
  slab: ["SLAB"],
  table: ["PGTABLE"],
  reserved: ["RESERVED"],
  offline: ["OFFLINE"],
  kernel: [],
};
const FOLIOS = new Set(["file", "shmem", "anon", "ksm"]);

const thing: fc.Arbitrary<Thing> = fc
  .record({
    kind: fc.constantFrom(...Object.keys(KIND_FLAGS)),
    order: fc.constantFrom(0, 0, 0, 1, 2, 3, 5, 9),
    flags: fc.subarray([...COPIED]),
    mapcount: fc.constantFrom(0, 0, 1, 2, 7),
    count: fc.integer({ min: 1, max: 70 }),
  })
  .map((t) => ({
    ...t,
    order:
      FOLIOS.has(t.kind) || t.kind === "slab" || t.kind === "kernel"
        ? t.kind === "ksm"
          ? 0
          : t.order
        : 0,
    flags: FOLIOS.has(t.kind) ? t.flags : [],
    mapcount: FOLIOS.has(t.kind) ? t.mapcount : 0,
    count: t.order > 3 ? 1 + (t.count % 3) : t.count,
  }));

/** Runs of a machine that holds these things one after another, aligned, free between them. */
function runsOf(things: readonly Thing[], frames: number): MadeRun[] {
  const runs: MadeRun[] = [{ pages: 256, flags: ["RESERVED"] }];
  let at = 256;
  const free = (pages: number): void => {
    if (pages > 0) runs.push({ pages, flags: ["BUDDY"] });
    at += pages;
  };
  for (const t of things) {
    const size = 2 ** t.order;
    free(Math.ceil(at / size) * size - at);
    if (at + size * t.count > frames - 4096) break;
    const flags = [
      ...(KIND_FLAGS[t.kind] ?? []),
      ...t.flags,
      ...(t.mapcount > 0 ? (["MMAP"] as const) : []),
    ];
    if (t.order === 0) runs.push({ pages: t.count, flags, mapcount: t.mapcount });
    const large: readonly KpfName[] = FOLIOS.has(t.kind) ? ["THP"] : [];
    for (let i = 0; t.order > 0 && i < t.count; i++) {
      runs.push({ pages: 1, flags: [...flags, ...large, "COMPOUND_HEAD"], mapcount: t.mapcount });
      runs.push({
        pages: size - 1,
        flags: [...flags, ...large, "COMPOUND_TAIL"],
        mapcount: t.mapcount,
      });
    }
    at += size * t.count;
  }
  free(frames - at);
  return runs;
}

test.each(DEFAULT_DESIGNS)("%s holds any machine of random objects", (design) => {
  const frames = 32768;
  fc.assert(
    fc.property(fc.array(thing, { minLength: 1, maxLength: 40 }), (things) => {
      const zone = { name: "DMA32", start: 0, spanned: frames, managed: frames - 256 };
      const snapshot = made(runsOf(things, frames), { zoneinfo: zoneinfoOf(zone) });
      const { result, populated } = roundTrip(snapshot, design);
      expect(result.first).toEqual([]);
      expect(result.differences).toBe(0);
      const free = populated.machine.buddy.freePages(0);
      let seen = 0;
      for (let pfn = 0; pfn < frames;) {
        const order = populated.machine.design.freeOrderAt(pfn);
        if (order >= 0) seen += 2 ** order;
        pfn += order >= 0 ? 2 ** order : 1;
      }
      expect(seen).toBe(free);
    }),
    { numRuns: 25, seed: 7 },
  );
});

describe("hwpoison", () => {
  const folio: readonly KpfName[] = ["LRU", "UPTODATE", "THP"];
  const machine = (): Snapshot =>
    made(
      [
        { pages: 256, flags: ["RESERVED"] },
        { pages: 1, flags: ["HWPOISON", "UPTODATE"] },
        { pages: 7, flags: ["BUDDY"] },
        { pages: 1, flags: [...folio, "COMPOUND_HEAD", "HWPOISON"] },
        { pages: 7, flags: [...folio, "COMPOUND_TAIL"] },
        { pages: 1, flags: [...folio, "COMPOUND_HEAD"] },
        { pages: 2, flags: [...folio, "COMPOUND_TAIL"] },
        { pages: 1, flags: [...folio, "COMPOUND_TAIL", "HWPOISON"] },
        { pages: 4, flags: [...folio, "COMPOUND_TAIL"] },
        { pages: 32768 - 280, flags: ["BUDDY"] },
      ],
      { zoneinfo: zoneinfoOf({ name: "DMA32", start: 0, spanned: 32768, managed: 32512 }) },
    );

  test.each([
    ...DEFAULT_DESIGNS,
    "memdesc8+page-bits=descriptor",
    "memdesc16+page-bits=type",
    "page32+page-bits=descriptor",
    "today+separated=all",
  ])("%s keeps it per page, inside a folio too", (design) => {
    const { result, populated } = roundTrip(machine(), design);
    expect(result.first).toEqual([]);
    expect(result.lost).toEqual([]);
    // The page alone, the head of one folio, a tail of another.
    const poisoned = [256, 264, 275].map((pfn) => populated.machine.design.isPoisoned(pfn));
    expect(poisoned).toEqual([true, true, true]);
    expect([265, 272, 274].some((pfn) => populated.machine.design.isPoisoned(pfn))).toBe(false);
    // What the pages are is answered as before.
    expect(populated.machine.design.typeOf(275)).toBe(T_FILE);
    expect(populated.machine.design.blockOf(275)).toBe(272);
  });

  test("where a type is spent on it, the word names a descriptor that keeps the word before", () => {
    const { populated } = roundTrip(machine(), "memdesc8");
    expect(populated.machine.caches.usage().find((u) => u.name === "hwpoison")?.objects).toBe(3);
  });
});
