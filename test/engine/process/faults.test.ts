/**
 * An operation that finds no memory changes nothing: at each single point at
 * which it allocates, contents are what they were and every rule holds.
 */
import { describe, expect, test } from "vitest";
import { MmError, SignalError } from "../../../src/engine/errors.js";
import {
  MADV_COLLAPSE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_MAYMOVE,
} from "../../../src/engine/process/constants.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import type { OpenFile } from "../../../src/engine/process/open-file.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel, leaksOf } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { bootKernel, told } from "./kernels.js";

const PAGE = 4096;
const HUGE = 512 * PAGE;
const DESIGNS = ["today", "page32", "memdesc8", "slot64"];

/** A process with memory of all kinds, a file, and a child that shares some of it. */
interface Scene {
  readonly kernel: Kernel;
  readonly parent: Process;
  readonly child: Process;
  readonly file: OpenFile;
  readonly anon: number;
  readonly huge: number;
  readonly mapped: number;
}

function scene(design: string): Scene {
  const policy = { thp: "always", thpOrders: { 9: "inherit" } } as const;
  const kernel = bootKernel({ memory: "32MiB", swap: "1MiB", policy }, design);
  const file = kernel.createFile("disk", 40 * PAGE);
  file.write(3 * PAGE, Uint8Array.of(1, 2, 3));
  const parent = kernel.createProcess();
  const anon = parent.mmap({ length: 24 * PAGE, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  const huge = parent.mmap({ length: HUGE, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  const mapped = parent.mmap({ length: 20 * PAGE, prot: 3, flags: MAP_PRIVATE, file });
  for (let i = 0; i < 24; i += 3) parent.write(anon + i * PAGE, Uint8Array.of(10 + i));
  parent.write(huge + 5 * PAGE, Uint8Array.of(77));
  parent.write(mapped + PAGE, Uint8Array.of(9));
  const child = parent.fork();
  child.write(anon, Uint8Array.of(200));
  return { kernel, parent, child, file, anon, huge, mapped };
}

/** What everybody sees, read from what is mapped: nothing is faulted in for it. */
function contents({ kernel, parent, child, anon, huge, mapped }: Scene): string {
  const seen: string[] = [];
  const page = new Uint8Array(PAGE);
  for (const process of [parent, child]) {
    for (const [start, pages] of [
      [anon, 24],
      [huge, 8],
      [mapped, 20],
    ] as const) {
      for (let i = 0; i < pages; i++) {
        const { present, pfn } = process.pagemap(start + i * PAGE);
        if (!present) continue;
        kernel.base.core.content.read(pfn, 0, page);
        const at = page.findIndex((b) => b !== 0);
        if (at >= 0) seen.push(`${process.pid}:${start}+${i}: ${page[at]} at ${at}`);
      }
    }
  }
  return seen.join("\n");
}

const OPERATIONS: readonly (readonly [string, (s: Scene) => unknown])[] = [
  [
    "mmap of anonymous memory",
    (s) => s.parent.mmap({ length: PAGE, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS }),
  ],
  [
    "mmap of shared memory",
    (s) => s.parent.mmap({ length: PAGE, prot: 3, flags: MAP_SHARED | MAP_ANONYMOUS }),
  ],
  ["a first write", (s) => s.parent.touch(s.anon + PAGE, "write")],
  ["a first read", (s) => s.parent.touch(s.anon + PAGE, "read")],
  [
    "a first huge page",
    (s) => {
      const at = s.child.mmap({ length: HUGE, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS });
      s.child.touch(at, "write");
    },
  ],
  ["copy on write", (s) => s.parent.touch(s.anon + 3 * PAGE, "write")],
  ["copy on write of a huge page", (s) => s.parent.touch(s.huge + 5 * PAGE, "write")],
  ["a read of a file page", (s) => s.child.touch(s.mapped + 15 * PAGE, "read")],
  ["a private write to a file page", (s) => s.child.touch(s.mapped + 3 * PAGE, "write")],
  ["fork", (s) => s.parent.fork().exit()],
  ["a new process", (s) => s.kernel.createProcess().exit()],
  ["mprotect that splits a VMA", (s) => s.parent.mprotect(s.anon + 4 * PAGE, PAGE, 1)],
  ["munmap that splits a VMA", (s) => s.child.munmap(s.anon + 20 * PAGE, PAGE)],
  ["mremap that moves", (s) => s.parent.mremap(s.mapped, 20 * PAGE, 30 * PAGE, MREMAP_MAYMOVE)],
  ["collapse", (s) => s.child.madvise(s.huge, HUGE, MADV_COLLAPSE)],
  ["migration", (s) => s.kernel.migration.move(s.parent.pagemap(s.anon + 3 * PAGE).pfn)],
  ["a split of a huge folio", (s) => split(s)],
  ["a write to a file", (s) => s.file.write(39 * PAGE, Uint8Array.of(5))],
  [
    "a new file",
    (s) => {
      const file = s.kernel.createFile("tmpfs", PAGE);
      file.close();
      file.unlink();
    },
  ],
];

function split({ kernel, parent, huge }: Scene): number {
  const { folios, core } = kernel.base;
  const { pfn } = parent.pagemap(huge);
  const folio = folios.ofPage(pfn);
  folios.lock(folio);
  folios.get(folio);
  const error = kernel.splits.split(folio, 0);
  const first = core.design.descriptorOf(pfn);
  folios.unlock(first);
  folios.put(first);
  return error;
}

/** Whether it was refused for want of memory; anything else that goes wrong is thrown. */
function refused(run: () => unknown): boolean {
  try {
    return run() === -12;
  } catch (error) {
    if (error instanceof MmError && error.code === "ENOMEM") return true;
    if (error instanceof SignalError && error.signal === "SIGKILL") return true;
    throw error;
  }
}

describe.each(DESIGNS)("%s", (design) => {
  test.each(OPERATIONS)("%s fails at every point and changes nothing", (_name, operation) => {
    for (let point = 0; ; point++) {
      const s = scene(design);
      const { allocator } = s.kernel.machine;
      const before = contents(s);
      // Reclaim would find memory where only this one allocation was to fail.
      s.kernel.machine.onPressure = () => false;
      s.kernel.base.folios.reclaim = () => false;
      allocator.tried = 0;
      allocator.failAfter = point;
      const failed = refused(() => operation(s));
      allocator.failAfter = -1;
      expect(failed ? contents(s) : before).toBe(before);
      expect(told(inspectKernel(s.kernel))).toEqual([]);
      const last = allocator.tried <= point;
      s.kernel.exitAll();
      s.file.close();
      s.file.unlink();
      expect(told(leaksOf(s.kernel))).toEqual([]);
      if (last) break;
    }
  });
});
