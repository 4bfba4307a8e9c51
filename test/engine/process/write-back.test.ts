/**
 * Writeback of mapped pages: a page that was written back is write-protected in
 * every shared mapping, so the next store is a fault, makes it dirty, and reaches
 * the disk with the next sync. Such a fault waits for whoever has the page locked.
 *
 * Source: mm/rmap.c (folio_mkclean), mm/memory.c (do_page_mkwrite) of 6.18.
 */
import { describe, expect, test } from "vitest";
import { PG_DIRTY } from "../../../src/engine/design/word/axis-flags.js";
import { MAP_PRIVATE, MAP_SHARED } from "../../../src/engine/process/constants.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import type { OpenFile } from "../../../src/engine/process/open-file.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { bootKernel, PROCESS_DESIGNS, told } from "./kernels.js";

const PAGE = 4096;

const cached = ({ base, files }: Kernel, file: OpenFile, index: number) =>
  base.cache.lookup(files.mappingOf(file.inode), index);
const isDirty = (kernel: Kernel, file: OpenFile, index: number): boolean =>
  kernel.base.folios.test(cached(kernel, file, index), PG_DIRTY);
/** What the disk has of a page: its first byte. */
const onDisk = ({ files }: Kernel, file: OpenFile, index: number): number | undefined =>
  files.stored(file.inode, index)?.[0];

describe.each(PROCESS_DESIGNS)("%s", (design) => {
  test("after fsync a store faults, dirties the page and is written back again", () => {
    const kernel = bootKernel({ memory: "32MiB" }, design);
    const file = kernel.createFile("disk", 2 * PAGE);
    const [p, q] = [kernel.createProcess(), kernel.createProcess()];
    const maps = [p, q].map((who) =>
      who.mmap({ length: 2 * PAGE, prot: 3, flags: MAP_SHARED, file }),
    );
    p.write(maps[0], Uint8Array.of(1));
    q.write(maps[1], Uint8Array.of(2));
    file.sync();
    expect([isDirty(kernel, file, 0), onDisk(kernel, file, 0)]).toEqual([false, 2]);
    for (const [i, who] of [p, q].entries())
      expect(who.pagemap(maps[i])).toMatchObject({ present: true, writable: false });
    p.write(maps[0], Uint8Array.of(3));
    expect([isDirty(kernel, file, 0), onDisk(kernel, file, 0)]).toEqual([true, 2]);
    expect(p.pagemap(maps[0]).writable).toBe(true);
    // The other one has not stored to it since.
    expect(q.pagemap(maps[1]).writable).toBe(false);
    file.sync();
    expect(onDisk(kernel, file, 0)).toBe(3);
    expect(told(inspectKernel(kernel))).toEqual([]);
  });

  test("every page of a large folio is protected; private copies are not", () => {
    const policy = { largeFolios: true, fileFolioOrder: 2 };
    const kernel = bootKernel({ memory: "32MiB", policy }, design);
    const file = kernel.createFile("disk", 8 * PAGE);
    file.read(0, PAGE);
    const p = kernel.createProcess();
    const at = p.mmap({ length: 8 * PAGE, prot: 3, flags: MAP_SHARED, file });
    const own = p.mmap({ length: 8 * PAGE, prot: 3, flags: MAP_PRIVATE, file });
    for (const i of [1, 3]) p.write(at + i * PAGE, Uint8Array.of(i));
    p.write(own + 2 * PAGE, Uint8Array.of(9));
    file.sync();
    expect([1, 3].map((i) => p.pagemap(at + i * PAGE).writable)).toEqual([false, false]);
    expect(p.pagemap(own + 2 * PAGE).writable).toBe(true);
    expect([1, 2, 3].map((i) => onDisk(kernel, file, i))).toEqual([1, 0, 3]);
    expect(told(inspectKernel(kernel))).toEqual([]);
  });
});

test("mprotect does not give the right to write back to a page that is clean", () => {
  const kernel = bootKernel({ memory: "32MiB" }, "today");
  const file = kernel.createFile("disk", PAGE);
  const p = kernel.createProcess();
  const at = p.mmap({ length: PAGE, prot: 3, flags: MAP_SHARED, file });
  p.write(at, Uint8Array.of(1));
  file.sync();
  p.mprotect(at, PAGE, 1);
  p.mprotect(at, PAGE, 3);
  expect(p.pagemap(at).writable).toBe(false);
  p.write(at, Uint8Array.of(2));
  expect(isDirty(kernel, file, 0)).toBe(true);
});

test("memory's own files have no disk: nothing is protected", () => {
  const kernel = bootKernel({ memory: "32MiB" }, "today");
  const file = kernel.createFile("tmpfs", PAGE);
  const p = kernel.createProcess();
  const at = p.mmap({ length: PAGE, prot: 3, flags: MAP_SHARED, file });
  p.write(at, Uint8Array.of(1));
  file.sync();
  expect(p.pagemap(at).writable).toBe(true);
});

describe("a store to a clean page waits for the folio's lock", () => {
  test.each(["read-only there", "not there yet"])("%s", (how) => {
    const kernel = bootKernel({ memory: "32MiB" }, "today");
    const { folios, w } = kernel.base;
    const file = kernel.createFile("disk", PAGE);
    file.read(0, 1);
    const p = kernel.createProcess();
    const at = p.mmap({ length: PAGE, prot: 3, flags: MAP_SHARED, file });
    if (how === "read-only there") p.touch(at, "read");
    const folio = cached(kernel, file, 0);
    expect(folios.tryLock(folio)).toBe(true);
    // Whoever has it lets go while the store waits.
    let waited = 0;
    w.awaitChange32 = () => {
      waited++;
      expect(p.pagemap(at).writable).toBe(false);
      folios.unlock(folio);
    };
    p.write(at, Uint8Array.of(4));
    expect([waited, p.pagemap(at).writable]).toEqual([1, true]);
    expect(told(inspectKernel(kernel))).toEqual([]);
  });
});
