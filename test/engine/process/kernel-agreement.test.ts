/**
 * What 6.18 does with address ranges and their rights where one would guess
 * otherwise: each rule was found by running programs on a live kernel
 * (`npm run differential`) and looked up in its source.
 */
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from "../../../src/engine/process/constants.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { bootKernel, told } from "./kernels.js";

const PAGE = 4096;
const HUGE = 512 * PAGE;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
const MOVE = MREMAP_MAYMOVE | MREMAP_FIXED;
const PROT_GROWSDOWN = 0x1000000;
const PROT_GROWSUP = 0x2000000;
/** A place that programs here map at. */
const AT = 0x1000_0000;

const boot = (): Kernel => Kernel.boot({ memory: "64MiB" }, parseDesign("today"));
const anonymous = (p: Process, at: number, pages: number): number =>
  p.mmap({ addr: at, length: pages * PAGE, prot: 3, flags: ANON | MAP_FIXED });
const areas = (p: Process): string[] =>
  p.maps().map(({ start, end }) => `${(start - AT) / PAGE}-${(end - AT) / PAGE}`);

describe("mmap of a file", () => {
  const mapAt = (offset: number, more = 0): (() => number) => {
    const kernel = boot();
    const file = kernel.createFile("disk", PAGE);
    const p = kernel.createProcess();
    return () =>
      p.mmap({ addr: AT, length: PAGE, prot: 3, flags: MAP_PRIVATE | more, file, offset });
  };

  test("may begin behind all that its file system can hold", () => {
    expect(mapAt(2 ** 44)).not.toThrow();
    expect(mapAt(2 ** 62)).not.toThrow();
  });

  test("must end within 2^63 - 1 bytes", () => {
    expect(mapAt(2 ** 63 - 2 * PAGE)).not.toThrow();
    expect(mapAt(2 ** 63 - PAGE)).toThrow(/EOVERFLOW/);
  });

  test("with MAP_SHARED_VALIDATE refuses flags that are newer than it", () => {
    const noReplace = 0x100000;
    expect(mapAt(0, MAP_SHARED | noReplace)).toThrow(/EOPNOTSUPP/);
    expect(mapAt(0, MAP_SHARED)).not.toThrow();
    expect(MAP_PRIVATE | MAP_SHARED).toBe(MAP_SHARED_VALIDATE);
  });
});

describe("mprotect of a range that grows", () => {
  const protect = (from: number, pages: number, prot: number): (() => void) => {
    const p = boot().createProcess();
    anonymous(p, AT + 4 * PAGE, 2);
    return () => p.mprotect(AT + from * PAGE, pages * PAGE, prot);
  };

  test("downwards begins with the first VMA behind its start, which cannot grow", () => {
    expect(protect(0, 6, 1)).toThrow(/ENOMEM/);
    expect(protect(0, 6, 1 | PROT_GROWSDOWN)).toThrow(/EINVAL/);
    expect(protect(0, 4, 1 | PROT_GROWSDOWN)).toThrow(/ENOMEM/);
  });

  test("upwards begins with a VMA at its start", () => {
    expect(protect(0, 6, 1 | PROT_GROWSUP)).toThrow(/ENOMEM/);
    expect(protect(4, 2, 1 | PROT_GROWSUP)).toThrow(/EINVAL/);
  });

  test("both ways is refused before an empty length is accepted", () => {
    expect(protect(4, 0, 1)).not.toThrow();
    expect(protect(4, 0, 1 | PROT_GROWSDOWN | PROT_GROWSUP)).toThrow(/EINVAL/);
  });
});

describe("mremap to a fixed place", () => {
  const NEAR_THE_END = 2 ** 64 - PAGE;

  test("unmaps the place before it finds the old length too long", () => {
    const p = boot().createProcess();
    anonymous(p, AT, 2);
    anonymous(p, AT + 8 * PAGE, 2);
    expect(() => p.mremap(AT, NEAR_THE_END, PAGE, MOVE, AT + 8 * PAGE)).toThrow(/EINVAL/);
    expect(areas(p)).toEqual(["0-2", "9-10"]);
  });

  test("finds nothing to move where the place was the old one", () => {
    const p = boot().createProcess();
    anonymous(p, AT, 2);
    expect(() => p.mremap(AT, NEAR_THE_END, PAGE, MOVE, AT)).toThrow(/EFAULT/);
    expect(areas(p)).toEqual(["1-2"]);
  });

  test("moves several VMAs with the gaps between them, but begins with one", () => {
    const p = boot().createProcess();
    anonymous(p, AT, 1);
    anonymous(p, AT + 3 * PAGE, 1);
    expect(p.mremap(AT, 5 * PAGE, 5 * PAGE, MOVE, AT + 20 * PAGE)).toBe(AT + 20 * PAGE);
    expect(areas(p)).toEqual(["20-21", "23-24"]);
    expect(() => p.mremap(AT + 22 * PAGE, 2 * PAGE, 2 * PAGE, MOVE, AT)).toThrow(/EFAULT/);
    expect(areas(p)).toEqual(["20-21", "23-24"]);
  });
});

describe("an area that grows up to its neighbour", () => {
  test("becomes one with it, whoever its pages came from", () => {
    const kernel = boot();
    const p = kernel.createProcess();
    anonymous(p, AT, 5);
    p.munmap(AT + 3 * PAGE, PAGE);
    p.write(AT, Uint8Array.of(1));
    const child = p.fork();
    expect(areas(child)).toEqual(["0-3", "4-5"]);
    expect(child.mremap(AT + PAGE, 2 * PAGE, 3 * PAGE)).toBe(AT + PAGE);
    expect(areas(child)).toEqual(["0-5"]);
    child.write(AT, Uint8Array.of(2));
    expect(p.read(AT, 1)[0]).toBe(1);
    expect(told(inspectKernel(kernel))).toEqual([]);
  });
});

describe("mremap of huge pages of a pool", () => {
  const pool = (pages: number): readonly [Process, number] => {
    const kernel = boot();
    kernel.setHugePages(4);
    const p = kernel.createProcess();
    const flags = ANON | MAP_HUGETLB | MAP_FIXED;
    p.mmap({ addr: AT, length: pages * HUGE, prot: 3, flags });
    for (let i = 0; i < pages; i++) p.write(AT + i * HUGE, Uint8Array.of(i + 1));
    return [p, AT];
  };

  test("rounds lengths up to whole ones", () => {
    const [p, at] = pool(3);
    expect(p.mremap(at, 3 * HUGE, HUGE + PAGE)).toBe(at);
    expect(areas(p)).toEqual(["0-1024"]);
    expect(p.mremap(at, PAGE, 3 * PAGE)).toBe(at);
    const to = AT + 8 * HUGE;
    expect(p.mremap(at + HUGE, PAGE, PAGE, MOVE, to)).toBe(to);
    expect(areas(p)).toEqual(["0-512", "4096-4608"]);
    expect(p.read(to, 1)[0]).toBe(2);
  });

  test("never grows", () => {
    const [p, at] = pool(1);
    expect(() => p.mremap(at, HUGE, HUGE + PAGE, MREMAP_MAYMOVE)).toThrow(/EINVAL/);
  });
});

test.each(["today", "memdesc8", "slot64"])(
  "%s: an old VMA that cannot be split stays, empty, when its pages have moved",
  (design) => {
    const kernel = bootKernel({ memory: "32MiB" }, design);
    const p = kernel.createProcess();
    anonymous(p, AT, 6);
    for (let i = 0; i < 6; i++) p.write(AT + i * PAGE, Uint8Array.of(i + 1));
    const { vmas } = kernel.base;
    vmas.isolate = () => -12;
    const to = p.mremap(AT + 2 * PAGE, 2 * PAGE, 2 * PAGE, MOVE, AT + 20 * PAGE);
    expect(to).toBe(AT + 20 * PAGE);
    expect(areas(p)).toEqual(["0-6", "20-22"]);
    const bytes = [0, 1, 2, 3, 4, 5, 20, 21].map((i) => p.read(AT + i * PAGE, 1)[0]);
    expect(bytes).toEqual([1, 2, 0, 0, 5, 6, 3, 4]);
    expect(told(inspectKernel(kernel))).toEqual([]);
  },
);

describe("a file of pool pages that a mapping begins behind", () => {
  const mapBehind = (prot: number): Process => {
    const kernel = boot();
    kernel.setHugePages(2);
    const p = kernel.createProcess();
    const flags = MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED;
    p.mmap({ addr: AT, length: HUGE, prot, flags, offset: 2 ** 44 });
    p.mprotect(AT, HUGE, 3);
    return p;
  };

  test("is as long as the mapping reaches if that may write", () => {
    expect(mapBehind(3).read(AT, 1)[0]).toBe(0);
  });

  test("is too short for one that may not", () => {
    expect(() => mapBehind(0).read(AT, 1)).toThrow(/SIGBUS/);
  });
});

test("fork makes the tables that the parent has, also where nothing of a VMA is in them", () => {
  const kernel = boot();
  const file = kernel.createFile("disk", 4 * PAGE);
  const p = kernel.createProcess();
  p.mmap({ addr: AT, length: 4 * PAGE, prot: 3, flags: MAP_PRIVATE | MAP_FIXED, file });
  p.write(AT, Uint8Array.of(1));
  file.truncate(0);
  expect(p.pagemap(AT).present).toBe(false);
  const { tables } = kernel.base;
  expect(tables.pteTable(p.fork().mm, AT / PAGE)).not.toBe(0);
});
