/**
 * Pages that were freed lazily and written again are pages that hold something,
 * whoever else holds them (try_to_unmap_one of 6.18 looks at the entry first).
 */
import { expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { PG_ACTIVE, PG_DIRTY, PG_SWAPBACKED } from "../../../src/engine/design/word/axis-flags.js";
import {
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_PAGEOUT,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
} from "../../../src/engine/process/constants.js";
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import { Kernel } from "../../../src/engine/process/kernel.js";

const PAGE = 4096;

test.each(["today", "page32", "memdesc8"])("%s: pinned, freed lazily, written", (design) => {
  const kernel = Kernel.boot({ memory: "64MiB", swap: "1MiB" }, parseDesign(design));
  const p = kernel.createProcess();
  const at = p.mmap({ length: 2 * PAGE, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  p.gup(at, 2 * PAGE, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM);
  p.madvise(at, 2 * PAGE, MADV_FREE);
  p.write(at + PAGE, Uint8Array.of(1));
  p.madvise(at, 2 * PAGE, MADV_PAGEOUT);
  const { folios } = kernel.base;
  const flags = (page: number): number =>
    folios.flags(folios.ofPage(p.pagemap(at + page * PAGE).pfn)) &
    (PG_SWAPBACKED | PG_DIRTY | PG_ACTIVE);
  expect(flags(0), "not written: still free for the taking").toBe(PG_ACTIVE);
  expect(flags(1), "written").toBe(PG_ACTIVE | PG_DIRTY | PG_SWAPBACKED);
});

test.each(["today", "page32", "memdesc8"])("%s: a huge page populated for writing", (design) => {
  const kernel = Kernel.boot({ memory: "64MiB" }, parseDesign(design));
  const p = kernel.createProcess();
  const at = 0x4000_0000;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  p.mmap({ addr: at, length: 512 * PAGE, prot: 3, flags });
  p.madvise(at, 512 * PAGE, MADV_HUGEPAGE);
  p.write(at, Uint8Array.of(1));
  p.madvise(at, 512 * PAGE, MADV_FREE);
  p.madvise(at + 9 * PAGE, PAGE, MADV_POPULATE_WRITE);
  // The entry is split, and what it said of the huge page is the folio's to know.
  p.mprotect(at + 100 * PAGE, PAGE, 1);
  const { folios } = kernel.base;
  expect(folios.flags(folios.ofPage(p.pagemap(at).pfn)) & PG_DIRTY).toBe(PG_DIRTY);
});
