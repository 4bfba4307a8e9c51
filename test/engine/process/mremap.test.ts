/** mremap of huge pages: both addresses are those of huge pages (align_hugetlb). */
import { expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  MAP_ANONYMOUS,
  MAP_HUGETLB,
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
