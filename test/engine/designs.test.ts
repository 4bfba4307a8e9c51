/**
 * What each design answers for blocks of each type, and the exact bits that it
 * keeps them in: the Misc word, tagged pointers, the type tables, the free-list
 * word of memdesc8, and the order in which a folio is made.
 */
import { describe, expect, test } from "vitest";
import { bytes, ref, type Ref } from "../../src/units.js";
import { FOLIO_REFCOUNT } from "../../src/engine/layout/generated/offsets.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import {
  isFolioType,
  MISC_UNKNOWN,
  T_ANON,
  T_BUDDY,
  T_FILE,
  T_KSM,
  T_MISC,
  T_PGTABLE,
  T_SLAB,
  T_ZPDESC,
  TYPES_2024,
  TYPES_2024B,
  TYPES_2025,
  TYPES_PAGE32,
  type PageType,
  type TypeTable,
} from "../../src/engine/design/word/axis-types.js";
import { BLANK_IMAGE, Machine } from "../../src/engine/machine.js";
import { EINVAL } from "../../src/engine/pages/allocator.js";
import { PlainWords } from "../../src/engine/words/plain.js";
import { bootShape, DESIGNS, oneZone } from "./machines.js";

const TYPES: readonly (readonly [string, PageType])[] = [
  ["file", T_FILE],
  ["anon", T_ANON],
  ["ksm", T_KSM],
  ["slab", T_SLAB],
  ["page-table", T_PGTABLE],
  ["zpdesc", T_ZPDESC],
];

const alloc = (m: Machine, order: number, type: PageType): number =>
  isFolioType(type) ? m.allocFolio(order, type) : m.allocTyped(order, type);

describe.each(DESIGNS)("%s", (design) => {
  test.each(TYPES)(
    "%s: every page of a block answers for it, and none does after it was freed",
    (_name, type) => {
      for (const order of [0, 1, 3, 9]) {
        const m = bootShape(oneZone(2048), design);
        if (!m.design.holds(type)) continue;
        const pfn = alloc(m, order, type);
        const answers = new Set<string>();
        for (let at = pfn; at < pfn + 2 ** order; at++) {
          const { design: d } = m;
          answers.add(
            [d.typeOf(at), d.blockOf(at), d.orderOf(at), d.descriptorOf(at), d.zoneOf(at)].join(),
          );
        }
        expect([...answers]).toEqual([[type, pfn, order, m.design.descriptorOf(pfn), 0].join()]);
        expect(m.design.separateOf(pfn) !== 0).toBe(m.design.cacheFor(type, order) >= 0);
        m.freeTyped(pfn + 2 ** order - 1);
        m.allocator.drainAll();
        expect(m.design.typeOf(pfn)).toBe(T_BUDDY);
      }
    },
  );

  test("page_folio of what is no folio is nothing, where the owner's word says so", () => {
    const m = bootShape(oneZone(2048), design);
    const folio = m.allocFolio(2, T_FILE);
    const owner = m.design.ownerWord(folio + 3);
    expect(m.design.folioOfOwner(owner, m.w.hi)).toBe(m.design.descriptorOf(folio));
    for (const type of [T_SLAB, T_PGTABLE]) {
      const pfn = m.allocTyped(0, type);
      const word = m.design.ownerWord(pfn);
      expect(m.design.folioOfOwner(word, m.w.hi)).toBe(0);
    }
  });

  test("pages of alloc_pages are Misc of unknown owner, all of them", () => {
    const m = bootShape(oneZone(2048), design);
    const pfn = m.allocPages(3);
    for (let at = pfn; at < pfn + 8; at++) {
      expect([m.design.typeOf(at), m.design.subtypeOf(at), m.design.orderOf(at)]).toEqual([
        T_MISC,
        MISC_UNKNOWN,
        3,
      ]);
    }
  });

  test("Misc and Buddy cannot be asked for as types of a block", () => {
    const m = bootShape(oneZone(2048), design);
    expect([m.allocTyped(0, T_MISC), m.allocTyped(0, T_BUDDY)]).toEqual([EINVAL, EINVAL]);
  });
});

/** The 64 bits of a page's first word. */
function wordOf(m: Machine, pfn: number): bigint {
  const { ref: at, off } = m.design.wordsOf(pfn);
  const lo = m.w.load64(at, off);
  return (BigInt(m.w.hi >>> 0) << 32n) | BigInt(lo >>> 0);
}
const bits = (word: bigint, first: number, last: number): number =>
  Number((word >> BigInt(first)) & ((1n << BigInt(last - first + 1)) - 1n));

/** Stands in for the 2 GiB of a machine that is refused before it matters. */
class NoWords extends PlainWords {
  override fillRun(): void {}
}

describe("bits of a word", () => {
  const twoNodes = {
    ...oneZone(4096).config,
    zones: [
      { node: 0, type: 2, start: 0, spanned: 2048, min: 0, low: 0, high: 0, reserve: 0 },
      { node: 5, type: 3, start: 2048, spanned: 2048, min: 0, low: 0, high: 0, reserve: 0 },
    ],
    pcp: [
      { high: 56, batch: 14 },
      { high: 56, batch: 14 },
    ],
  };

  test.each(["memdesc8", "memdesc16"])(
    "%s: Misc is type, subtype, mappable, order and, on top, zone and node",
    (design) => {
      const m = Machine.boot(twoNodes, parseDesign(design));
      m.design.bindMisc(2056, 3, 0x55, true, 1);
      for (let pfn = 2056; pfn < 2064; pfn++) {
        const word = wordOf(m, pfn);
        expect(bits(word, 0, 3)).toBe(0);
        expect(bits(word, 4, 10)).toBe(0x55);
        expect(bits(word, 11, 11)).toBe(1);
        expect(bits(word, 12, 17)).toBe(3);
        expect(bits(word, 18, 50)).toBe(0);
        expect(bits(word, 51, 53)).toBe(3);
        expect(bits(word, 54, 63)).toBe(5);
      }
    },
  );

  test.each(["memdesc8", "memdesc16"])(
    "%s: a tagged pointer is its type in the low four bits of an aligned address",
    (design) => {
      const m = bootShape(oneZone(2048), design);
      const pfn = m.allocFolio(4, T_ANON);
      for (let at = pfn; at < pfn + 16; at++) {
        const word = wordOf(m, at);
        expect(bits(word, 0, 3)).toBe(3);
        expect(Number(word >> 4n)).toBe(m.design.descriptorOf(pfn));
      }
    },
  );

  test("memdesc8: a free block is type, order, next and prev, 28 bits each; a link to itself ends the list", () => {
    const m = Machine.boot(oneZone(4096).config, parseDesign("memdesc8"));
    m.buddy.give(0, 1024, 9, 1);
    m.buddy.give(0, 3072, 9, 1);
    const [first, second] = [wordOf(m, 3072), wordOf(m, 1024)];
    expect([bits(first, 0, 3), bits(first, 4, 7), bits(first, 8, 35), bits(first, 36, 63)]).toEqual(
      [1, 9, 1024, 3072],
    );
    expect([
      bits(second, 0, 3),
      bits(second, 4, 7),
      bits(second, 8, 35),
      bits(second, 36, 63),
    ]).toEqual([1, 9, 1024, 3072]);
  });

  test("memdesc8: blocks on per-CPU lists have order codes 11 (huge) and 12 to 15", () => {
    const m = bootShape(oneZone(4096), "memdesc8");
    const codes = [0, 1, 2, 3, 9].map((order) => {
      m.allocator.drainAll();
      const pfn = m.allocPages(order);
      m.freePages(pfn, order);
      return bits(wordOf(m, pfn), 4, 7);
    });
    expect(codes).toEqual([12, 13, 14, 15, 11]);
  });

  test("memdesc8: links reach 2^28 frames of one zone; a larger zone is refused by name", () => {
    const config = { ...oneZone(4096).config, present: [] };
    const wide = {
      ...config,
      frames: 2 ** 28 + 1,
      heapBytes: 0,
      zones: [{ ...config.zones[0], spanned: 2 ** 28 + 1 }],
    };
    expect(() => Machine.boot(wide, parseDesign("memdesc8"), () => new NoWords(bytes(64)))).toThrow(
      /spans 268435457 frames; .* reach 268435456/,
    );
  });

  test("page32: list pointers make 0, 4, 8 and 12 mean Buddy", () => {
    expect([0, 4, 8, 12].map((code) => TYPES_PAGE32.type[code])).toEqual([
      T_BUDDY,
      T_BUDDY,
      T_BUDDY,
      T_BUDDY,
    ]);
    expect([1, 2, 3].map((code) => TYPES_PAGE32.type[code])).toEqual([T_MISC, T_FILE, T_ANON]);
  });
});

describe("type tables", () => {
  const PUBLISHED: readonly (readonly [TypeTable, Readonly<Record<string, number>>])[] = [
    [
      TYPES_2024,
      {
        misc: 0,
        file: 1,
        anon: 2,
        ksm: 3,
        slab: 4,
        buddy: 5,
        movable: 6,
        "page-table": 9,
        bump: 10,
        hwpoison: 11,
      },
    ],
    [
      TYPES_2024B,
      {
        misc: 0,
        buddy: 1,
        file: 2,
        anon: 3,
        ksm: 4,
        slab: 5,
        movable: 6,
        "page-table": 7,
        bump: 8,
        hwpoison: 9,
        percpu: 10,
      },
    ],
    [
      TYPES_2025,
      {
        misc: 0,
        buddy: 1,
        file: 2,
        anon: 3,
        ksm: 4,
        slab: 5,
        bump: 6,
        movable: 7,
        "page-table": 8,
        hwpoison: 9,
        percpu: 10,
        acctmem: 11,
        zpdesc: 12,
        managed: 13,
      },
    ],
  ];
  const NUMBERS: Readonly<Record<string, number>> = PUBLISHED[2][1];

  test.each(PUBLISHED)("$name has the published codes and no other", (table, published) => {
    for (const [name, type] of Object.entries(NUMBERS)) {
      expect(table.code[type]).toBe(published[name] ?? -1);
      expect(table.type[published[name] ?? published.misc]).toBe(name in published ? type : T_MISC);
    }
  });

  test.each([
    ["memdesc8+types=2024", 1],
    ["memdesc8+types=2024b", 2],
    ["memdesc8", 2],
  ])("%s writes a file folio as type %i", (design, code) => {
    const m = bootShape(oneZone(2048), design);
    expect(bits(wordOf(m, m.allocFolio(0, T_FILE)), 0, 3)).toBe(code);
  });

  test("a type that the table has not is refused, not written", () => {
    const m = bootShape(oneZone(2048), "memdesc8+types=2024b");
    expect(m.allocTyped(0, T_ZPDESC)).toBe(EINVAL);
  });
});

/** Memory that writes down where it was written, in order. */
class RecordingWords extends PlainWords {
  readonly stores: { ref: Ref; off: number }[] = [];
  override store32(at: Ref, off: number, value: number): void {
    this.stores.push({ ref: at, off });
    super.store32(at, off, value);
  }
  override store64(at: Ref, off: number, lo: number, hi: number): void {
    this.stores.push({ ref: at, off });
    super.store64(at, off, lo, hi);
  }
}

describe("making a folio", () => {
  test.each(["page32", "memdesc16", "memdesc8"])(
    "%s: tagged value into every page, contents, reference count last",
    (design) => {
      const shape = oneZone(2048);
      const words: RecordingWords[] = [];
      const m = Machine.boot(shape.config, parseDesign(design), (size) => {
        words.push(new RecordingWords(size));
        return words[0];
      });
      m.giveRange(0, 2048);
      m.putFolio(m.allocFolio(2, T_FILE));
      words[0].stores.length = 0;
      const pfn = m.allocFolio(2, T_FILE);
      const descriptor = m.design.descriptorOf(pfn);
      const place = (at: Ref, off: number): number =>
        words[0].stores.findLastIndex((s) => s.ref === at && s.off === off);
      const pages = [0, 1, 2, 3].map((i) => {
        const w = m.design.wordsOf(pfn + i);
        return place(w.ref, design === "page32" ? 8 : w.off);
      });
      const contents = place(descriptor, m.design.folio.mapping);
      const count = place(descriptor, FOLIO_REFCOUNT);
      expect(Math.min(...pages)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...pages)).toBeLessThan(contents);
      expect(contents).toBeLessThan(count);
      expect(count).toBe(words[0].stores.length - 1);
    },
  );

  test("a folio's contents are those that the proposal lists", () => {
    const m = bootShape(oneZone(2048), "memdesc8");
    const pfn = m.allocFolio(3, T_FILE);
    const folio = m.design.descriptorOf(pfn);
    const all = (off: number): number => m.w.load32(folio, off);
    // lru empty, index −1, private NULL, map count −1, pins 0, order, pfn, memcg NULL.
    expect([8, 16, 40, 56, 72].map(all)).toEqual([0, 0, 0, 0, 0]);
    expect([all(32), all(36), all(52)]).toEqual([-1, -1, -1]);
    expect([all(60) & 0xff, all(64)]).toEqual([3, pfn]);
    expect(m.w.load32(ref(folio), FOLIO_REFCOUNT)).toBe(1);
  });
});

describe("the published worked example: 9,941 slabs of order 2", () => {
  const SLABS = 9_941;
  const frames = 65_536;

  test.each([
    ["today", 2_544_896],
    ["memdesc8", 954_336],
  ])("%s: what describes them is %i bytes, waste apart", (design, published) => {
    const m = bootShape(oneZone(frames), design);
    const before = m.caches.usage();
    const held: number[] = [];
    for (let i = 0; i < SLABS; i++) held.push(m.allocTyped(2, T_SLAB));
    expect(
      held.every(
        (pfn) => pfn >= 0 && m.design.typeOf(pfn + 3) === T_SLAB && m.design.orderOf(pfn) === 2,
      ),
    ).toBe(true);
    const pageArray = (m.pageArrayBytes / frames) * 4 * SLABS;
    const cache = m.design.cacheFor(T_SLAB, 2);
    const usage = m.caches.usage();
    // Objects less those that describe the slabs of slab descriptors themselves.
    const objects =
      cache < 0 ? 0 : usage[cache].objects - usage[cache].slabs - before[cache].objects;
    const bytes = cache < 0 ? 0 : objects * usage[cache].objectSize;
    expect(pageArray + bytes).toBe(published);
  });
});

test("node, zone and everything else of a run is the same as bound one by one", () => {
  for (const design of ["page32", "memdesc16", "memdesc8"]) {
    const [one, run] = [bootShape(oneZone(2048), design), bootShape(oneZone(2048), design)];
    one.design.bindMisc(64, 3, 7, true, 0);
    run.design.bindRun(
      64,
      1,
      { ...BLANK_IMAGE, subtype: 7, mappable: true, order: 3 },
      0 as Ref,
      0,
    );
    for (let pfn = 64; pfn < 72; pfn++) expect(wordOf(run, pfn)).toBe(wordOf(one, pfn));
  }
});
