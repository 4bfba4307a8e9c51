/**
 * Swap of whole huge pages: 512 mappings and 512 references of the swap cache are
 * no pin, in every design; a pin is one, and keeps the page.
 *
 * Source: mm/vmscan.c, mm/gup.c of 6.18 (shrink_folio_list,
 * folio_maybe_dma_pinned: large folios have a count of pins).
 */
import { describe, expect, test } from "vitest";
import { MADV_PAGEOUT, MAP_ANONYMOUS, MAP_PRIVATE } from "../../../src/engine/process/constants.js";
import { FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { bootKernel, PROCESS_DESIGNS, told } from "./kernels.js";

const HUGE = 2 ** 21;

function huge(design: string): { kernel: Kernel; p: Process; at: number } {
  const request = { memory: "32MiB", swap: "4MiB", policy: { thp: "always" } } as const;
  const kernel = bootKernel(request, design);
  const p = kernel.createProcess();
  const at = p.mmap({ length: HUGE, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  p.write(at + 5, Uint8Array.of(9));
  expect(p.pagemap(at).huge).toBe(true);
  return { kernel, p, at };
}

describe.each(PROCESS_DESIGNS)("%s", (design) => {
  test("a huge page goes to swap whole, and comes back with what it held", () => {
    const { kernel, p, at } = huge(design);
    p.madvise(at, HUGE, MADV_PAGEOUT);
    expect([p.rss.anon, p.rss.swap]).toEqual([0, 512]);
    expect(told(inspectKernel(kernel))).toEqual([]);
    expect(p.read(at + 5, 1)[0]).toBe(9);
  });

  test("one that is pinned stays", () => {
    const { kernel, p, at } = huge(design);
    const pages = p.gup(at, 1, FOLL_PIN | FOLL_WRITE);
    p.madvise(at, HUGE, MADV_PAGEOUT);
    expect(p.rss.anon).toBe(512);
    pages.release(true);
    p.madvise(at, HUGE, MADV_PAGEOUT);
    expect(p.rss.swap).toBe(512);
    expect(told(inspectKernel(kernel))).toEqual([]);
  });
});
