/** Frames → objects: kinds by word, heads with their tails, and words that contradict each other. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classify } from "../../src/observe/classify/classify.js";
import type { KpfName } from "../../src/observe/kpageflags.js";
import { CGROUP_VARIES, FLAGS_VARY, VARIES } from "../../src/observe/objects.js";
import { byKind, made, type MadeRun, perFrame, zoneinfoOf } from "./helpers.js";

const FOLIO = { version: "Linux version 6.18.0\n" };
const OWN = { version: "Linux version 6.1.0\n" };
const kindsOf = (runs: readonly MadeRun[]): string[] => {
  const snapshot = made(runs, FOLIO);
  return perFrame(classify(snapshot).objects, snapshot.frames).kind;
};

describe("the kind of a page", () => {
  const rules: readonly [flags: readonly KpfName[], kind: string][] = [
    [["NOPAGE"], "absent"],
    [["HWPOISON", "ANON"], "hwpoison"],
    [["SLAB", "ANON", "KSM"], "slab"],
    [["PGTABLE", "REFERENCED"], "page-table"],
    [["BUDDY", "UPTODATE"], "free"],
    [["OFFLINE"], "offline"],
    [["ZERO_PAGE", "RESERVED"], "zero"],
    [["RESERVED", "PRIVATE"], "reserved"],
    [["REFERENCED", "MMAP", "RESERVED"], "reserved"],
    [["UPTODATE", "ANON", "SWAPBACKED"], "anon"],
    [["UPTODATE", "ANON", "SWAPBACKED", "KSM"], "ksm"],
    [["UPTODATE", "LRU"], "file"],
    [["REFERENCED", "LRU", "ACTIVE", "PRIVATE"], "file"],
    [["UPTODATE", "DIRTY", "PRIVATE"], "file"],
    [["UPTODATE", "LRU", "SWAPBACKED"], "shmem"],
    [["MMAP"], "kernel"],
    [[], "kernel"],
  ];
  it.each(rules)("%j is %s", (flags, kind) => {
    expect(kindsOf([{ pages: 1, flags }])).toEqual([kind]);
  });

  it("keeps the huge zero page apart from huge pages, and gigantic pages whole", () => {
    expect(
      kindsOf([
        { pages: 1, flags: ["THP", "ZERO_PAGE", "COMPOUND_HEAD"] },
        { pages: 511, flags: ["THP", "ZERO_PAGE", "COMPOUND_TAIL"] },
      ])[300],
    ).toBe("zero");
    const snapshot = made(
      [
        { pages: 1, flags: ["HUGE", "COMPOUND_HEAD"] },
        { pages: 262_143, flags: ["HUGE", "COMPOUND_TAIL"] },
      ],
      FOLIO,
    );
    expect(byKind(classify(snapshot).objects)).toEqual({ hugetlb: { pages: 262_144, objects: 1 } });
  });

  it("cannot tell ksm where every anonymous page has the bit, large ones too", () => {
    const huge: readonly MadeRun[] = [
      { pages: 1, flags: ["ANON", "KSM", "THP", "LRU", "COMPOUND_HEAD"] },
      { pages: 511, flags: ["ANON", "KSM", "THP", "LRU", "COMPOUND_TAIL"] },
    ];
    const all = classify(made([...huge, { pages: 4, flags: ["ANON", "KSM"] }], FOLIO));
    expect(all.ksmUnknown).toBe(true);
    expect(byKind(all.objects)).toMatchObject({ anon: { pages: 516 } });
    const some = classify(made([...huge, { pages: 4, flags: ["ANON"] }], FOLIO));
    expect(some.ksmUnknown).toBe(false);
  });
});

describe("objects", () => {
  const head: MadeRun = { pages: 1, flags: ["SLAB", "COMPOUND_HEAD"] };
  const tail = (pages: number): MadeRun => ({ pages, flags: ["SLAB", "COMPOUND_TAIL"] });

  it("are a head with its tails, equal neighbours in one run", () => {
    const { objects, torn } = classify(made([head, tail(3), head, tail(3), head, tail(7)], FOLIO));
    expect([...objects.count]).toEqual([2, 1]);
    expect([...objects.pages]).toEqual([4, 8]);
    expect(torn.frames).toBe(0);
  });

  it("say where map counts or cgroups differ inside", () => {
    const folio: readonly KpfName[] = ["LRU", "UPTODATE", "THP"];
    const snapshot = made(
      [
        { pages: 1, flags: [...folio, "COMPOUND_HEAD"], mapcount: 1, cgroup: 5 },
        { pages: 1, flags: [...folio, "COMPOUND_TAIL"], mapcount: 2, cgroup: 5 },
        { pages: 2, flags: [...folio, "COMPOUND_TAIL"], mapcount: 2, cgroup: 6 },
      ],
      FOLIO,
    );
    const { objects, torn } = classify(snapshot);
    expect(torn.frames).toBe(0);
    expect([objects.length, objects.mapcount[0], objects.cgroup[0]]).toEqual([
      1,
      VARIES,
      CGROUP_VARIES,
    ]);
  });

  it("take the kind of their head where tails show their own flags (before Linux 6.10)", () => {
    const snapshot = made(
      [
        { pages: 1, flags: ["ANON", "LRU", "UPTODATE", "SWAPBACKED", "THP", "COMPOUND_HEAD"] },
        { pages: 100, flags: ["ANON", "MMAP", "THP", "COMPOUND_TAIL"], mapcount: 1 },
        { pages: 411, flags: ["ANON", "THP", "COMPOUND_TAIL"] },
      ],
      OWN,
    );
    const { objects, torn, tailFlags } = classify(snapshot);
    expect(tailFlags).toBe("own");
    expect(torn.frames).toBe(0);
    expect(byKind(objects)).toEqual({ anon: { pages: 512, objects: 1 } });
    expect(objects.tailFlags[0]).toBe(FLAGS_VARY);
  });

  it("keep a poisoned page inside its folio", () => {
    const folio: readonly KpfName[] = ["LRU", "UPTODATE", "THP"];
    const snapshot = made(
      [
        { pages: 1, flags: [...folio, "COMPOUND_HEAD"] },
        { pages: 1, flags: [...folio, "COMPOUND_TAIL", "HWPOISON"] },
        { pages: 2, flags: [...folio, "COMPOUND_TAIL"] },
      ],
      FOLIO,
    );
    const { objects, torn } = classify(snapshot);
    expect(byKind(objects)).toEqual({ file: { pages: 4, objects: 1 } });
    expect(torn.frames).toBe(0);
  });
});

describe("torn frames", () => {
  const cases: readonly [what: string, runs: readonly MadeRun[], frames: number, why: RegExp][] = [
    ["a tail without a head", [{ pages: 2, flags: ["LRU", "COMPOUND_TAIL"] }], 2, /without a head/],
    ["a head without tails", [{ pages: 3, flags: ["LRU", "COMPOUND_HEAD"] }], 3, /without tails/],
    [
      "no power of two",
      [
        { pages: 1, flags: ["LRU", "COMPOUND_HEAD"] },
        { pages: 2, flags: ["LRU", "COMPOUND_TAIL"] },
      ],
      3,
      /power of two/,
    ],
    [
      "not aligned",
      [
        { pages: 1, flags: [] },
        { pages: 1, flags: ["LRU", "COMPOUND_HEAD"] },
        { pages: 1, flags: ["LRU", "COMPOUND_TAIL"] },
      ],
      2,
      /not aligned/,
    ],
    ["free and mapped", [{ pages: 4, flags: ["BUDDY"], mapcount: 1 }], 4, /free and mapped/],
    [
      "a tail unlike its head",
      [
        { pages: 1, flags: ["LRU", "COMPOUND_HEAD"] },
        { pages: 1, flags: ["LRU", "DIRTY", "COMPOUND_TAIL"] },
      ],
      2,
      /unlike/,
    ],
  ];
  it.each(cases)("%s: counted, named, and no frame lost", (_what, runs, frames, why) => {
    const snapshot = made(runs, FOLIO);
    const { objects, torn } = classify(snapshot);
    perFrame(objects, snapshot.frames);
    expect(torn.frames).toBe(frames);
    expect(torn.runs.every((r) => why.test(r.why))).toBe(true);
    expect(torn.runs.reduce((n, r) => n + r.end - r.start, 0)).toBe(frames);
  });

  it("never cost a frame, whatever the words are", () => {
    const flags = fc.subarray([
      "LRU",
      "COMPOUND_HEAD",
      "COMPOUND_TAIL",
      "BUDDY",
      "SLAB",
      "NOPAGE",
      "RESERVED",
      "ANON",
      "HWPOISON",
    ] as const);
    const run = fc.record({ pages: fc.integer({ min: 1, max: 5 }), flags, mapcount: fc.nat(1) });
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 60 }), fc.boolean(), (runs, own) => {
        const snapshot = made(runs, own ? OWN : FOLIO);
        const { objects, torn } = classify(snapshot);
        const { pages } = perFrame(objects, snapshot.frames);
        for (let i = 0; i < objects.length; i++)
          expect(objects.start[i] % objects.pages[i]).toBe(0);
        expect(pages.every((p) => (p & (p - 1)) === 0)).toBe(true);
        expect(torn.frames).toBeLessThanOrEqual(snapshot.frames);
      }),
    );
  });
});

describe("frames past the zones", () => {
  it("are absent even where a section's spare page structures say reserved", () => {
    const snapshot = made(
      [
        { pages: 10, flags: ["LRU"] },
        { pages: 6, flags: ["RESERVED"] },
      ],
      { zoneinfo: zoneinfoOf({ spanned: 12 }) },
    );
    expect(byKind(classify(snapshot).objects)).toEqual({
      file: { pages: 10, objects: 10 },
      reserved: { pages: 2, objects: 2 },
      absent: { pages: 4, objects: 4 },
    });
  });

  it("are absent between zones where they read 0, and reserved where they say so", () => {
    const zoneinfo = zoneinfoOf({ name: "DMA", start: 1, spanned: 3 }, { start: 6, spanned: 2 });
    const snapshot = made(
      [
        { pages: 1, flags: ["RESERVED"] },
        { pages: 7, flags: [] },
      ],
      { zoneinfo },
    );
    expect(perFrame(classify(snapshot).objects, 8).kind).toEqual([
      "reserved",
      "kernel",
      "kernel",
      "kernel",
      "absent",
      "absent",
      "kernel",
      "kernel",
    ]);
  });
});
