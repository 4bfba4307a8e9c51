/**
 * Promises of the hugetlb pool: a process that was promised its pages gets them,
 * at its children's expense if need be; what it gives up is promised to it again.
 * Pages in the pool say what they are.
 *
 * Source: mm/hugetlb.c of 6.18 (hugetlb_wp, unmap_ref_private,
 * __unmap_hugepage_range).
 */
import { describe, expect, test } from "vitest";
import { MISC_UNKNOWN, T_MISC } from "../../../src/engine/design/word/axis-types.js";
import {
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_NORESERVE,
  MAP_PRIVATE,
} from "../../../src/engine/process/constants.js";
import { FOLL_FORCE, FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import { freeHugePages } from "../../../src/engine/sanitizer/process/pools.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { bootKernel, PROCESS_DESIGNS, told } from "./kernels.js";

const HUGE = 2 ** 21;
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
const sound = (kernel: Kernel): void => expect(told(inspectKernel(kernel))).toEqual([]);

function pooled(design: string, pages: number): Kernel {
  const kernel = bootKernel({ memory: "32MiB" }, design);
  expect(kernel.setHugePages(pages)).toBe(pages);
  return kernel;
}

describe.each(PROCESS_DESIGNS)("%s", (design) => {
  test("pages of the pool say that they are Misc, before and after they were used", () => {
    const kernel = pooled(design, 2);
    const misc = (): void => {
      const { design: word } = kernel.machine;
      for (const first of freeHugePages(kernel))
        for (const pfn of [first, first + 1, first + 511])
          expect([word.typeOf(pfn), word.subtypeOf(pfn), word.orderOf(pfn)]).toEqual([
            T_MISC,
            MISC_UNKNOWN,
            0,
          ]);
      sound(kernel);
    };
    misc();
    const p = kernel.createProcess();
    p.write(p.mmap({ length: HUGE, prot: 3, flags: PRIVATE }), Uint8Array.of(1));
    misc();
    p.exit();
    misc();
    expect([kernel.setHugePages(0), kernel.hugetlb.free]).toEqual([0, 0]);
    sound(kernel);
  });

  test("the owner's copy takes the page from the child, whose access is SIGBUS from then on", () => {
    const kernel = pooled(design, 1);
    const p = kernel.createProcess();
    const at = p.mmap({ length: HUGE, prot: 3, flags: PRIVATE });
    p.write(at, Uint8Array.of(1));
    const { pfn } = p.pagemap(at);
    const child = p.fork();
    expect(child.read(at, 1)[0]).toBe(1);
    p.write(at, Uint8Array.of(2));
    expect(p.pagemap(at)).toMatchObject({ pfn, writable: true });
    expect(child.pagemap(at).present).toBe(false);
    expect(() => child.read(at, 1)).toThrow(/SIGBUS/);
    // Not even where the pool has pages again: it would look as if contents were lost.
    kernel.setHugePages(2);
    expect(() => child.write(at, Uint8Array.of(3))).toThrow(/SIGBUS/);
    expect(p.read(at, 1)[0]).toBe(2);
    sound(kernel);
    child.exit();
    p.exit();
    expect([kernel.hugetlb.free, kernel.hugetlb.reserved]).toEqual([2, 0]);
  });
});

test("with a page to spare both have one", () => {
  const kernel = pooled("today", 2);
  const p = kernel.createProcess();
  const at = p.mmap({ length: HUGE, prot: 3, flags: PRIVATE });
  p.write(at, Uint8Array.of(1));
  const child = p.fork();
  p.write(at, Uint8Array.of(2));
  expect([p.read(at, 1)[0], child.read(at, 1)[0]]).toEqual([2, 1]);
});

test("who was promised nothing takes nothing: the child's copy is SIGBUS", () => {
  const kernel = pooled("today", 1);
  const p = kernel.createProcess();
  const at = p.mmap({ length: HUGE, prot: 3, flags: PRIVATE });
  p.write(at, Uint8Array.of(1));
  const child = p.fork();
  expect(() => child.write(at, Uint8Array.of(2))).toThrow(/SIGBUS/);
  expect([p.read(at, 1)[0], child.read(at, 1)[0]]).toEqual([1, 1]);
});

test("nor does a mapping without reservation", () => {
  const kernel = pooled("today", 1);
  const p = kernel.createProcess();
  const at = p.mmap({ length: HUGE, prot: 3, flags: PRIVATE | MAP_NORESERVE });
  p.write(at, Uint8Array.of(1));
  const child = p.fork();
  expect(() => p.write(at, Uint8Array.of(2))).toThrow(/SIGBUS/);
  expect(child.read(at, 1)[0]).toBe(1);
});

test("a grandchild of who lost a page starts anew", () => {
  const kernel = pooled("today", 1);
  const p = kernel.createProcess();
  const at = p.mmap({ length: HUGE, prot: 3, flags: PRIVATE });
  p.write(at, Uint8Array.of(1));
  const child = p.fork();
  p.write(at, Uint8Array.of(2));
  const grandchild = child.fork();
  kernel.setHugePages(2);
  expect(grandchild.read(at, 1)[0]).toBe(0);
  expect(() => child.read(at, 1)).toThrow(/SIGBUS/);
});

test("MADV_DONTNEED of the owner's page promises it again", () => {
  const kernel = pooled("today", 1);
  const p = kernel.createProcess();
  const at = p.mmap({ length: HUGE, prot: 3, flags: PRIVATE });
  p.write(at, Uint8Array.of(1));
  expect([kernel.hugetlb.free, kernel.hugetlb.reserved]).toEqual([0, 0]);
  p.madvise(at, HUGE, MADV_DONTNEED);
  expect([kernel.hugetlb.free, kernel.hugetlb.reserved]).toEqual([1, 1]);
  // So nobody else can have it.
  const q = kernel.createProcess();
  expect(() => q.mmap({ length: HUGE, prot: 3, flags: PRIVATE })).toThrow(/ENOMEM/);
  const loose = q.mmap({ length: HUGE, prot: 3, flags: PRIVATE | MAP_NORESERVE });
  expect(() => q.touch(loose, "write")).toThrow(/SIGBUS/);
  expect(p.read(at, 1)[0]).toBe(0);
  sound(kernel);
  p.munmap(at, HUGE);
  expect([kernel.hugetlb.free, kernel.hugetlb.reserved]).toEqual([1, 0]);
});

test("a child's MADV_DONTNEED promises nothing", () => {
  const kernel = pooled("today", 2);
  const p = kernel.createProcess();
  const at = p.mmap({ length: HUGE, prot: 3, flags: PRIVATE });
  p.write(at, Uint8Array.of(1));
  const child = p.fork();
  child.write(at, Uint8Array.of(2));
  child.madvise(at, HUGE, MADV_DONTNEED);
  expect([kernel.hugetlb.free, kernel.hugetlb.reserved]).toEqual([1, 0]);
  sound(kernel);
});

test("FOLL_FORCE leaves a huge page of a read-only mapping read-only", () => {
  const kernel = pooled("today", 2);
  const p = kernel.createProcess();
  const at = p.mmap({ length: HUGE, prot: 3, flags: PRIVATE });
  p.write(at, Uint8Array.of(1));
  const child = p.fork();
  p.mprotect(at, HUGE, 1);
  const pages = p.gup(at, 1, FOLL_PIN | FOLL_WRITE | FOLL_FORCE);
  pages.write(0, Uint8Array.of(2));
  pages.release(true);
  expect(p.pagemap(at).writable).toBe(false);
  expect([p.read(at, 1)[0], child.read(at, 1)[0]]).toEqual([2, 1]);
  sound(kernel);
});
