/**
 * FOLL_FORCE and what a call may ask for: whoever forces his way into a private
 * read-only mapping gets the process's own page, copied if need be, and the entry
 * stays read-only; into a shared one he does not come. Flags that contradict each
 * other are refused.
 *
 * Source: mm/gup.c of 6.18 (can_follow_write_common, check_vma_flags,
 * is_valid_gup_args).
 */
import { describe, expect, test } from "vitest";
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED } from "../../../src/engine/process/constants.js";
import {
  FOLL_FORCE,
  FOLL_GET,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
} from "../../../src/engine/process/gup.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { bootKernel, PROCESS_DESIGNS, told } from "./kernels.js";

const PAGE = 4096;
const HUGE = 512 * PAGE;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
const POKE = FOLL_PIN | FOLL_WRITE | FOLL_FORCE;

/** As a debugger does: a byte through a forced pin. */
function poke(p: Process, addr: number, byte: number, flags = POKE): number {
  const pages = p.gup(addr, 1, flags);
  const [pfn] = pages.pfns;
  pages.write(0, Uint8Array.of(byte));
  pages.release(true);
  return pfn;
}

const sound = (kernel: Kernel): void => expect(told(inspectKernel(kernel))).toEqual([]);

describe.each(PROCESS_DESIGNS)("%s", (design) => {
  test("what was written before mprotect is got in place, and stays read-only", () => {
    const kernel = bootKernel({ memory: "32MiB" }, design);
    const p = kernel.createProcess();
    const at = p.mmap({ length: PAGE, prot: 3, flags: ANON });
    p.write(at, Uint8Array.of(1, 9));
    p.mprotect(at, PAGE, 1);
    const { pfn } = p.pagemap(at);
    expect(poke(p, at, 2)).toBe(pfn);
    expect(poke(p, at, 3, FOLL_GET | FOLL_WRITE | FOLL_FORCE)).toBe(pfn);
    expect([...p.read(at, 2)]).toEqual([3, 9]);
    expect(p.pagemap(at).writable).toBe(false);
    expect(() => p.write(at, Uint8Array.of(4))).toThrow(/SIGSEGV/);
    sound(kernel);
  });

  test("a page shared with a child is copied, the child keeps its own", () => {
    const kernel = bootKernel({ memory: "32MiB" }, design);
    const p = kernel.createProcess();
    const at = p.mmap({ length: PAGE, prot: 3, flags: ANON });
    p.write(at, Uint8Array.of(1));
    p.mprotect(at, PAGE, 1);
    const child = p.fork();
    poke(p, at, 2);
    expect([p.read(at, 1)[0], child.read(at, 1)[0]]).toEqual([2, 1]);
    expect(p.pagemap(at).pfn).not.toBe(child.pagemap(at).pfn);
    expect(p.pagemap(at).writable).toBe(false);
    sound(kernel);
  });

  test("nothing there yet, and the zero page, become pages of its own", () => {
    const kernel = bootKernel({ memory: "32MiB" }, design);
    const p = kernel.createProcess();
    const at = p.mmap({ length: 2 * PAGE, prot: 1, flags: ANON });
    p.touch(at, "read");
    expect(p.pagemap(at).zero).toBe(true);
    for (const addr of [at, at + PAGE]) {
      poke(p, addr, 7);
      expect(p.read(addr, 1)[0]).toBe(7);
      expect(p.pagemap(addr)).toMatchObject({ zero: false, writable: false });
    }
    sound(kernel);
  });

  test("a file's page is copied, the file keeps what it has", () => {
    const kernel = bootKernel({ memory: "32MiB" }, design);
    const file = kernel.createFile("disk", PAGE);
    file.write(0, Uint8Array.of(5));
    const p = kernel.createProcess();
    const at = p.mmap({ length: PAGE, prot: 1, flags: MAP_PRIVATE, file });
    poke(p, at, 6);
    expect([p.read(at, 1)[0], file.read(0, 1)[0]]).toEqual([6, 5]);
    sound(kernel);
  });

  test("a huge page that is one's own is got as it is, a shared one is split and copied", () => {
    const kernel = bootKernel({ memory: "32MiB", policy: { thp: "always" } }, design);
    const p = kernel.createProcess();
    const at = p.mmap({ length: HUGE, prot: 3, flags: ANON });
    p.write(at, Uint8Array.of(1));
    p.mprotect(at, HUGE, 1);
    poke(p, at + PAGE, 2);
    expect(p.pagemap(at)).toMatchObject({ huge: true, writable: false });
    const child = p.fork();
    poke(p, at + PAGE, 3);
    expect([p.read(at + PAGE, 1)[0], child.read(at + PAGE, 1)[0]]).toEqual([3, 2]);
    expect(p.pagemap(at).huge).toBe(false);
    sound(kernel);
  });
});

test("memory without any access is read and written all the same", () => {
  const kernel = bootKernel({ memory: "32MiB" }, "today");
  const p = kernel.createProcess();
  const at = p.mmap({ length: 2 * PAGE, prot: 3, flags: ANON });
  p.write(at, Uint8Array.of(8));
  p.mprotect(at, 2 * PAGE, 0);
  const pages = p.gup(at, 2 * PAGE, FOLL_PIN | FOLL_FORCE);
  expect([pages.read(0, 1)[0], pages.read(PAGE, 1)[0]]).toEqual([8, 0]);
  pages.release();
  poke(p, at, 9);
  expect(() => p.read(at, 1)).toThrow(/SIGSEGV/);
  p.mprotect(at, PAGE, 1);
  expect(p.read(at, 1)[0]).toBe(9);
  sound(kernel);
});

test.each(["disk", "tmpfs"] as const)("a shared read-only mapping of a %s is refused", (kind) => {
  const kernel = bootKernel({ memory: "32MiB" }, "today");
  const file = kernel.createFile(kind, PAGE);
  const p = kernel.createProcess();
  const at = p.mmap({ length: PAGE, prot: 1, flags: MAP_SHARED, file });
  p.touch(at, "read");
  for (const flags of [POKE, FOLL_PIN | FOLL_WRITE])
    expect(() => p.gup(at, 1, flags)).toThrow(/EFAULT/);
});

test("a private read-only mapping is refused to whoever does not force", () => {
  const kernel = bootKernel({ memory: "32MiB" }, "today");
  const p = kernel.createProcess();
  const at = p.mmap({ length: PAGE, prot: 1, flags: ANON });
  expect(() => p.gup(at, 1, FOLL_PIN | FOLL_WRITE)).toThrow(/EFAULT/);
});

test.each([
  ["got and pinned", FOLL_PIN | FOLL_GET],
  ["got for a long time", FOLL_GET | FOLL_LONGTERM],
  ["for a long time, without a pin", FOLL_LONGTERM],
])("EINVAL: %s", (_what, flags) => {
  const kernel = bootKernel({ memory: "32MiB" }, "today");
  const p = kernel.createProcess();
  const at = p.mmap({ length: PAGE, prot: 3, flags: ANON });
  for (const how of ["fast", "slow"] as const)
    expect(() => p.gup(at, 1, flags, how)).toThrow(/EINVAL/);
  sound(kernel);
});
