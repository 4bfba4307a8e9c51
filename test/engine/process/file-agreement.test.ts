/**
 * What 6.18 does with cached pages of files (ext4 for the disk, tmpfs for
 * memory) when the file is cut, written or read around: each rule was found by
 * running programs on a live kernel (`npm run differential`) and looked up in its
 * source.
 */
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  PG_ACTIVE,
  PG_DIRTY,
  PG_RECLAIM,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UPTODATE,
} from "../../../src/engine/design/word/axis-flags.js";
import {
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_PAGEOUT,
  MADV_RANDOM,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
} from "../../../src/engine/process/constants.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import type { OpenFile } from "../../../src/engine/process/open-file.js";
import type { Process } from "../../../src/engine/process/process.js";
import { UserPages } from "../../../src/engine/process/user-pages.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { told } from "./kernels.js";

const PAGE = 4096;
/** Aligned to the 64 KiB that a read maps around it. */
const AT = 0x1000_0000;
const NAMES: readonly (readonly [string, number])[] = [
  ["referenced", PG_REFERENCED],
  ["active", PG_ACTIVE],
  ["dirty", PG_DIRTY],
  ["reclaim", PG_RECLAIM],
];

interface Scene {
  readonly kernel: Kernel;
  readonly p: Process;
  readonly file: OpenFile;
}

/** A file whose pages are all cached and hold their number + 1, each a folio of its own. */
function scene(kind: "disk" | "tmpfs", bytes: number): Scene {
  const policy = { largeFolios: true, readaheadPages: 2048 };
  const kernel = Kernel.boot({ memory: "64MiB", policy }, parseDesign("today"));
  const file = kernel.createFile(kind);
  for (let at = 0; at < bytes; at += PAGE)
    file.write(at, new Uint8Array(Math.min(PAGE, bytes - at)).fill(at / PAGE + 1));
  return { kernel, p: kernel.createProcess(), file };
}

/** Maps the file for random access, as much of it from page `first` on. */
function map(
  { p, file }: Scene,
  pages: number,
  how: { prot?: number; flags?: number; first?: number } = {},
): void {
  const { prot = 3, flags = MAP_SHARED, first = 0 } = how;
  p.mmap({
    addr: AT,
    length: pages * PAGE,
    prot,
    flags: flags | MAP_FIXED,
    file,
    offset: first * PAGE,
  });
  p.madvise(AT, pages * PAGE, MADV_RANDOM);
}

const folioOf = ({ kernel, file }: Scene, page: number): number =>
  kernel.base.cache.lookup(kernel.files.mappingOf(file.inode), page);

/** Flags of the folio that has a page; "not cached". */
function flagsOf(s: Scene, page: number): string {
  const folio = folioOf(s, page);
  if (folio === 0) return "not cached";
  const { folios } = s.kernel.base;
  const is = NAMES.filter(([, bit]) => folios.test(folio as ReturnType<typeof folios.ofPage>, bit));
  return is.map(([name]) => name).join(" ");
}

/** Cached folios that hold what they should: first page and pages of each. */
function cached(s: Scene, pages: number): string[] {
  const { folios, core } = s.kernel.base;
  const found: string[] = [];
  for (let page = 0; page < pages;) {
    const folio = folioOf(s, page) as ReturnType<typeof folios.ofPage>;
    const order = folio === 0 ? 0 : core.design.orderOf(core.pfnOf(folio));
    if (folio !== 0 && folios.test(folio, PG_UPTODATE)) found.push(`${page}+${1 << order}`);
    page += 1 << order;
  }
  return found;
}

const mapped = (p: Process, pages: number): number[] =>
  Array.from({ length: pages }, (_, i) => i).filter((i) => p.pagemap(AT + i * PAGE).present);

describe("ftruncate to the size that a file has", () => {
  test("looks at the last page of a disk's file again", () => {
    const s = scene("disk", 2 * PAGE + 100);
    s.file.truncate(2 * PAGE + 100);
    expect(flagsOf(s, 2)).toBe("referenced dirty");
  });

  test("takes what was written behind the end of memory's own file", () => {
    const s = scene("tmpfs", PAGE + 100);
    map(s, 2);
    s.p.write(AT + PAGE + 200, Uint8Array.of(9));
    s.file.truncate(PAGE + 100);
    expect(s.p.read(AT + PAGE + 200, 1)[0]).toBe(0);
  });
});

describe("a hole", () => {
  test("that is cut in part brings its page into the cache without contents, looked at", () => {
    const s = scene("disk", 4 * PAGE);
    s.file.punchHole(PAGE, PAGE);
    s.file.punchHole(PAGE + 100, 50);
    expect(flagsOf(s, 1)).toBe("referenced");
    expect(cached(s, 4)).toEqual(["0+1", "2+1", "3+1"]);
    map(s, 4);
    s.p.read(AT, 1);
    expect(mapped(s.p, 4)).toEqual([0, 2, 3]);
    expect(s.p.read(AT + PAGE, 1)[0]).toBe(0);
    expect(cached(s, 4)).toEqual(["0+1", "1+1", "2+1", "3+1"]);
  });

  test("that is cached and clean is looked at, not written", () => {
    const s = scene("disk", 4 * PAGE);
    s.file.punchHole(PAGE, PAGE);
    map(s, 4);
    s.p.read(AT + PAGE, 1);
    s.file.punchHole(0, PAGE + 100);
    expect(flagsOf(s, 1)).toBe("referenced");
  });

  test.each(["disk", "tmpfs"] as const)(
    "that ends within the first page unmaps the whole file (%s), but no private copy",
    (kind) => {
      const s = scene(kind, 3 * PAGE);
      map(s, 3, { flags: MAP_PRIVATE });
      for (let i = 0; i < 3; i++) s.p.read(AT + i * PAGE, 1);
      s.p.write(AT + 2 * PAGE, Uint8Array.of(77));
      s.file.punchHole(0, 100);
      expect(mapped(s.p, 3)).toEqual([2]);
      const bytes = [0, 100, PAGE, 2 * PAGE].map((at) => s.p.read(AT + at, 1)[0]);
      expect(bytes).toEqual([0, 1, 2, 77]);
    },
  );

  test("that begins behind the first byte keeps the first page mapped", () => {
    const s = scene("disk", 3 * PAGE);
    map(s, 3);
    s.p.read(AT, 1);
    s.file.punchHole(10, 100);
    expect(mapped(s.p, 3)).toEqual([0]);
  });
});

describe("a write to a disk's file", () => {
  test("in the middle of a page is no look at it", () => {
    const s = scene("disk", 4 * PAGE);
    s.file.punchHole(PAGE, PAGE);
    s.file.write(PAGE + 100, Uint8Array.of(1));
    expect(flagsOf(s, 1)).toBe("dirty");
  });

  test("behind the end looks at the old last page and at its own", () => {
    const s = scene("disk", PAGE + 100);
    s.file.write(3 * PAGE + 100, Uint8Array.of(1));
    expect([1, 2, 3].map((page) => flagsOf(s, page))).toEqual([
      "referenced dirty",
      "not cached",
      "referenced dirty",
    ]);
    expect(s.file.read(0, 5 * PAGE)).toHaveLength(3 * PAGE + 101);
  });

  test("makes folios as large as what is left of it, where they are aligned and nothing is cached", () => {
    const s = scene("disk", PAGE);
    s.file.write(PAGE, new Uint8Array(7 * PAGE).fill(5));
    expect(cached(s, 16)).toEqual(["0+1", "1+1", "2+2", "4+4"]);
    const other = scene("disk", PAGE);
    other.file.write(6 * PAGE, Uint8Array.of(1));
    other.file.write(4 * PAGE, new Uint8Array(4 * PAGE));
    expect(cached(other, 16)).toEqual(["0+1", "4+2", "6+1", "7+1"]);
  });

  test("leaves a mark of reclaim; a write through a mapping takes it", () => {
    const s = scene("disk", 2 * PAGE);
    map(s, 2);
    s.p.read(AT, 1);
    s.p.madvise(AT, 2 * PAGE, MADV_PAGEOUT);
    s.file.write(0, new Uint8Array(PAGE));
    expect(flagsOf(s, 0)).toBe("active dirty reclaim");
    s.p.write(AT, Uint8Array.of(1));
    expect(flagsOf(s, 0)).toBe("active dirty");
  });
});

describe("a folio of several pages that is cut", () => {
  const cut = (): Scene => {
    const s = scene("disk", PAGE);
    s.file.write(4 * PAGE, new Uint8Array(4 * PAGE).fill(5));
    map(s, 8);
    s.p.read(AT + 4 * PAGE, 1);
    return s;
  };

  test("stays whole while it waits to be written, and nobody maps it", () => {
    const s = cut();
    s.file.punchHole(5 * PAGE, PAGE);
    expect(cached(s, 8)).toEqual(["0+1", "4+4"]);
    expect(mapped(s.p, 8)).toEqual([0]);
    expect([4, 5, 6].map((i) => s.p.read(AT + i * PAGE, 1)[0])).toEqual([5, 0, 5]);
    expect(told(inspectKernel(s.kernel))).toEqual([]);
  });

  test("is split once it is clean", () => {
    const s = cut();
    s.file.sync();
    s.file.punchHole(5 * PAGE, PAGE);
    expect(cached(s, 8).slice(0, 2)).toEqual(["0+1", "4+1"]);
    expect(folioOf(s, 5)).toBe(0);
    expect([4, 5, 6].map((i) => s.p.read(AT + i * PAGE, 1)[0])).toEqual([5, 0, 5]);
    expect(told(inspectKernel(s.kernel))).toEqual([]);
  });
});

describe("a read fault maps what is around it", () => {
  test("but not a disk's last page, where it comes first and there is no table yet", () => {
    for (const [kind, there] of [
      ["disk", []],
      ["tmpfs", [0]],
    ] as const) {
      const s = scene(kind, 4 * PAGE);
      map(s, 4, { first: 3 });
      expect(() => s.p.read(AT + 2 * PAGE, 1)).toThrow(/SIGBUS/);
      expect(mapped(s.p, 4)).toEqual(there);
    }
  });

  test("where there is a table, the last page too", () => {
    const s = scene("disk", 4 * PAGE);
    s.p.mmap({
      addr: AT + 16 * PAGE,
      length: PAGE,
      prot: 3,
      flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
    });
    s.p.read(AT + 16 * PAGE, 1);
    map(s, 4, { first: 3 });
    expect(() => s.p.read(AT + 2 * PAGE, 1)).toThrow(/SIGBUS/);
    expect(mapped(s.p, 4)).toEqual([0]);
  });

  test("once more after it has read a page", () => {
    const s = scene("disk", 4 * PAGE);
    s.file.punchHole(2 * PAGE, PAGE);
    map(s, 2, { first: 2 });
    s.p.read(AT, 1);
    expect(mapped(s.p, 2)).toEqual([0, 1]);
  });

  test("whole folios, also beyond the 64 KiB, where file, VMA and table hold them", () => {
    const s = scene("disk", 0);
    s.file.write(0, new Uint8Array(32 * PAGE));
    s.file.write(32 * PAGE, new Uint8Array(PAGE));
    map(s, 33);
    s.p.read(AT, 1);
    expect(mapped(s.p, 33)).toHaveLength(32);
  });
});

describe("readahead of a missing page", () => {
  const holes = (s: Scene, from: number, to: number): void =>
    s.file.punchHole(from * PAGE, (to - from) * PAGE);

  test("reads around it, over what is cached, unless access is random", () => {
    const s = scene("disk", 12 * PAGE);
    holes(s, 1, 4);
    holes(s, 8, 10);
    map(s, 12);
    s.p.read(AT + 2 * PAGE, 1);
    expect(cached(s, 12)).not.toContain("1+1");
    s.p.mmap({
      addr: AT,
      length: PAGE,
      prot: 1,
      flags: MAP_SHARED | MAP_FIXED | MAP_POPULATE,
      file: s.file,
      offset: 3 * PAGE,
    });
    expect(cached(s, 12)).toHaveLength(12);
  });

  test("of code goes to the end of its mapping, random or not", () => {
    const s = scene("disk", 12 * PAGE);
    holes(s, 1, 10);
    map(s, 6, { prot: 5 });
    s.p.read(AT + 3 * PAGE, 1);
    expect(cached(s, 12).map((run) => parseInt(run, 10))).toEqual([0, 3, 4, 5, 10, 11]);
  });

  test("with MADV_HUGEPAGE makes large folios up to the first cached page; the first is marked", () => {
    const s = scene("disk", 0);
    s.file.write(20 * PAGE, new Uint8Array(PAGE));
    map(s, 21);
    s.p.madvise(AT, 21 * PAGE, MADV_HUGEPAGE);
    s.p.read(AT + 2 * PAGE, 1);
    expect(cached(s, 21)).toEqual(["0+16", "16+4", "20+1"]);
    expect(flagsOf(s, 0)).toBe("reclaim");
    // Who is marked is not mapped around, but by its own fault.
    expect(mapped(s.p, 21)).toHaveLength(16);
  });

  test("goes on where somebody comes to a marked page, whose mark goes", () => {
    const s = scene("disk", 12 * PAGE);
    map(s, 12);
    s.p.read(AT + 2 * PAGE, 1);
    s.p.madvise(AT + 2 * PAGE, PAGE, MADV_PAGEOUT);
    holes(s, 5, 6);
    holes(s, 11, 12);
    expect(flagsOf(s, 2)).toBe("active dirty reclaim");
    s.file.read(2 * PAGE, PAGE);
    expect(flagsOf(s, 2)).toBe("referenced active dirty");
    expect(cached(s, 12)).toContain("5+1");
    expect(cached(s, 12)).toContain("11+1");
  });
});

describe("MADV_PAGEOUT without swap", () => {
  const anonymous = (p: Process, pages: number): void => {
    p.mmap({
      addr: AT,
      length: pages * PAGE,
      prot: 3,
      flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
    });
  };
  const flags = ({ kernel, p }: Scene, at: number): string => {
    const { folios } = kernel.base;
    const folio = folios.ofPage(p.pagemap(at).pfn);
    const names = [...NAMES, ["swapbacked", PG_SWAPBACKED] as const];
    return names
      .filter(([, bit]) => folios.test(folio, bit))
      .map(([name]) => name)
      .join(" ");
  };

  test("a page that was freed lazily and written again stays, dirty and active", () => {
    const s = scene("disk", 0);
    anonymous(s.p, 1);
    s.p.write(AT, Uint8Array.of(1));
    s.p.madvise(AT, PAGE, MADV_FREE);
    s.p.write(AT, Uint8Array.of(2));
    s.p.madvise(AT, PAGE, MADV_PAGEOUT);
    expect(flags(s, AT)).toBe("active dirty swapbacked");
    expect(s.p.read(AT, 1)[0]).toBe(2);
  });

  test("a huge page is split, and each part that holds something is active", () => {
    const s = scene("disk", 0);
    anonymous(s.p, 512);
    s.p.madvise(AT, 512 * PAGE, MADV_HUGEPAGE);
    s.p.write(AT + 300 * PAGE, Uint8Array.of(1));
    s.p.madvise(AT, 512 * PAGE, MADV_PAGEOUT);
    expect(s.p.pagemap(AT + 301 * PAGE).zero).toBe(true);
    expect(flags(s, AT + 300 * PAGE)).toMatch(/active/);
  });

  test("a pinned page of shared memory is no candidate, and active", () => {
    const s = scene("tmpfs", 0);
    s.file.truncate(PAGE);
    map(s, 1);
    s.p.read(AT, 1);
    const pages = UserPages.register(s.p, AT, PAGE);
    s.p.madvise(AT, PAGE, MADV_PAGEOUT);
    expect(flagsOf(s, 0)).toMatch(/active/);
    pages.release();
  });
});
