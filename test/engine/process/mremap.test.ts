/**
 * mremap: of huge pages both addresses are those of huge pages (align_hugetlb); what
 * is added to locked memory is there at once (mm_populate).
 */
import { expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_PRIVATE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from "../../../src/engine/process/constants.js";
import { Kernel } from "../../../src/engine/process/kernel.js";

const HUGE = 2 * 2 ** 20;

test.each(["today", "memdesc8"])("%s refuses a new address inside a huge page", (design) => {
  const kernel = Kernel.boot({ memory: "32MiB" }, parseDesign(design));
  kernel.setHugePages(2);
  const p = kernel.createProcess();
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
  const at = p.mmap({ length: HUGE, prot: 3, flags });
  p.write(at + 5, Uint8Array.of(7));
  const move = (to: number): number => p.mremap(at, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
  expect(() => move(0x1000_0000 + 4096)).toThrow(/EINVAL/);
  expect(p.read(at + 5, 1)[0]).toBe(7);
  expect(p.read(move(0x1000_0000) + 5, 1)[0]).toBe(7);
});

test.each([
  ["in place", 0],
  ["elsewhere", MREMAP_MAYMOVE],
])("what locked memory grows by is populated: %s", (_how, how) => {
  const PAGE = 4096;
  const kernel = Kernel.boot({ memory: "32MiB" }, parseDesign("today"));
  const p = kernel.createProcess();
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED;
  const at = p.mmap({ addr: 0x2000_0000, length: 2 * PAGE, prot: 3, flags });
  // Something behind it: it has to move.
  if (how !== 0) p.mmap({ addr: at + 2 * PAGE, length: PAGE, prot: 1, flags: flags & ~MAP_LOCKED });
  const to = p.mremap(at, 2 * PAGE, 5 * PAGE, how);
  expect(to === at).toBe(how === 0);
  expect([0, 1, 2, 3, 4].map((i) => p.pagemap(to + i * PAGE).present)).toEqual(
    Array.from({ length: 5 }, () => true),
  );
  const loose = p.mmap({ addr: 0x3000_0000, length: PAGE, prot: 3, flags: flags & ~MAP_LOCKED });
  p.mremap(loose, PAGE, 3 * PAGE);
  expect(p.rss.anon).toBe(5);
});
