/**
 * "Mapped shared" of a large folio: two processes are remembered, a third is not,
 * and yet one mapping alone is nobody else's (folio_maybe_mapped_shared of 6.18).
 */
import { expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
} from "../../../src/engine/process/constants.js";
import { PG_SWAPBACKED } from "../../../src/engine/design/word/axis-flags.js";
import { Kernel } from "../../../src/engine/process/kernel.js";

const HUGE = 512 * 4096;
const AT = 0x4000_0000;

test.each(["today", "memdesc8", "slot64"])("%s: the last of three may free it lazily", (design) => {
  const kernel = Kernel.boot({ memory: "64MiB" }, parseDesign(design));
  const first = kernel.createProcess();
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  first.mmap({ addr: AT, length: HUGE, prot: 3, flags });
  first.madvise(AT, HUGE, MADV_HUGEPAGE);
  first.write(AT, Uint8Array.of(1));
  const second = first.fork();
  const third = second.fork();
  const { folios } = kernel.base;
  const folio = folios.ofPage(third.pagemap(AT).pfn);
  third.madvise(AT, HUGE, MADV_FREE);
  expect(folios.test(folio, PG_SWAPBACKED), "while others map it").toBe(true);
  first.exit();
  second.madvise(AT, HUGE, MADV_DONTNEED);
  third.madvise(AT, HUGE, MADV_FREE);
  expect(folios.test(folio, PG_SWAPBACKED), "once they do not").toBe(false);
});
