/**
 * Which call tells notifiers what: for everything that changes entries, who listens
 * over the range hears the kernel's event before the entry changes, and who listens
 * beside it hears nothing.
 */
import { describe, expect, test } from "vitest";
import {
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_PAGEOUT,
  MADV_REMOVE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from "../../../src/engine/process/constants.js";
import { SignalError } from "../../../src/engine/errors.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import {
  MMU_NOTIFY_CLEAR as CLEAR,
  MMU_NOTIFY_PROTECTION_PAGE as PROTECTION_PAGE,
  MMU_NOTIFY_PROTECTION_VMA as PROTECTION_VMA,
  MMU_NOTIFY_UNMAP as UNMAP,
} from "../../../src/engine/process/notifier/events.js";
import type { OpenFile } from "../../../src/engine/process/open-file.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { bootKernel, told } from "./kernels.js";
import { entryOf, listen } from "./listening.js";

const PAGE = 4096;
const HUGE = 512 * PAGE;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
const DESIGNS = ["today", "page32", "memdesc8"];

/** A change, who must hear of it, and who must not. Pages are counted from `at`. */
interface Scene {
  readonly process: Process;
  readonly at: number;
  /** Pages that are listened to: first and how many. */
  readonly inside: readonly [number, number];
  readonly beside: readonly (readonly [number, number])[];
  readonly act: () => void;
  /** What is heard inside: event, first page, page behind the last. */
  readonly hears: readonly (readonly [number, number, number])[];
}

type Make = (k: Kernel) => Scene;

/** Eight written pages in a VMA of their own. */
function eight(k: Kernel, length = 8 * PAGE): { process: Process; at: number } {
  const process = k.createProcess();
  const at = process.mmap({ addr: 0x1000_0000, length, prot: 3, flags: ANON });
  for (let i = 0; i < 8; i++) process.write(at + i * PAGE, Uint8Array.of(i + 1));
  return { process, at };
}

/** Two huge pages side by side, and one more that is not theirs. */
function huge(k: Kernel, how: "write" | "read" = "write"): { process: Process; at: number } {
  const process = k.createProcess();
  const at = process.mmap({ addr: 0x4000_0000, length: 2 * HUGE, prot: 3, flags: ANON });
  process.madvise(at, 2 * HUGE, MADV_HUGEPAGE);
  process.touch(at, how);
  process.touch(at + HUGE, how);
  return { process, at };
}

function mapped(
  k: Kernel,
  kind: "disk" | "tmpfs",
): { process: Process; at: number; file: OpenFile } {
  const file = k.createFile(kind, 8 * PAGE);
  const process = k.createProcess();
  const at = process.mmap({ length: 8 * PAGE, prot: 3, flags: MAP_SHARED, file });
  for (let i = 0; i < 8; i++) process.touch(at + i * PAGE, "write");
  return { process, at, file };
}

function pooled(k: Kernel, pages: number): { process: Process; at: number } {
  k.setHugePages(pages);
  const process = k.createProcess();
  const flags = ANON | MAP_HUGETLB;
  const at = process.mmap({ addr: 0x4000_0000, length: 2 * HUGE, prot: 3, flags });
  process.touch(at, "write");
  process.touch(at + HUGE, "write");
  return { process, at };
}

/** Pages 2 and 3 of eight, the others listened to from both sides. */
const MIDDLE = {
  inside: [2, 2],
  beside: [
    [0, 2],
    [4, 4],
  ],
} as const;
/** The first of two huge pages. */
const FIRST = { inside: [0, 512], beside: [[512, 512]] } as const;
const frame = (p: Process, addr: number): number => p.pagemap(addr).pfn;

const CASES: Readonly<Record<string, Make>> = {
  munmap: (k) => {
    const s = eight(k);
    const act = (): void => s.process.munmap(s.at + 2 * PAGE, 2 * PAGE);
    return { ...s, ...MIDDLE, act, hears: [[UNMAP, 2, 4]] };
  },
  "mmap in the place of another mapping": (k) => {
    const s = eight(k);
    const act = (): void => {
      const flags = ANON | MAP_FIXED;
      s.process.mmap({ addr: s.at + 2 * PAGE, length: 2 * PAGE, prot: 1, flags });
    };
    return { ...s, ...MIDDLE, act, hears: [[UNMAP, 2, 4]] };
  },
  mprotect: (k) => {
    const s = eight(k);
    const act = (): void => s.process.mprotect(s.at + 2 * PAGE, 2 * PAGE, 1);
    return { ...s, ...MIDDLE, act, hears: [[PROTECTION_VMA, 2, 4]] };
  },
  "mprotect of part of a huge page": (k) => {
    const s = huge(k);
    const act = (): void => s.process.mprotect(s.at, PAGE, 1);
    // The VMA is split there, and with it the entry; then its rights change.
    return {
      ...s,
      ...FIRST,
      act,
      hears: [
        [CLEAR, 0, 512],
        [PROTECTION_VMA, 0, 1],
      ],
    };
  },
  "mremap elsewhere": (k) => {
    const s = eight(k);
    const act = (): void => {
      const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
      s.process.mremap(s.at + 2 * PAGE, 2 * PAGE, 2 * PAGE, flags, 0x3000_0000);
    };
    // The pages go, and then what is left of the mapping there.
    return {
      ...s,
      ...MIDDLE,
      act,
      hears: [
        [UNMAP, 2, 4],
        [UNMAP, 2, 4],
      ],
    };
  },
  "mremap to fewer pages": (k) => {
    const s = eight(k);
    const act = (): void => void s.process.mremap(s.at, 8 * PAGE, 2 * PAGE);
    return { ...s, inside: [4, 1], beside: [[0, 2]], act, hears: [[UNMAP, 2, 8]] };
  },
  MADV_DONTNEED: (k) => {
    const s = eight(k);
    const act = (): void => s.process.madvise(s.at + 2 * PAGE, 2 * PAGE, MADV_DONTNEED);
    return { ...s, ...MIDDLE, act, hears: [[CLEAR, 2, 4]] };
  },
  "MADV_DONTNEED of part of a huge page": (k) => {
    const s = huge(k);
    const act = (): void => s.process.madvise(s.at, PAGE, MADV_DONTNEED);
    return {
      ...s,
      ...FIRST,
      act,
      hears: [
        [CLEAR, 0, 1],
        [CLEAR, 0, 512],
      ],
    };
  },
  MADV_FREE: (k) => {
    const s = eight(k);
    const act = (): void => s.process.madvise(s.at + 2 * PAGE, 2 * PAGE, MADV_FREE);
    return { ...s, ...MIDDLE, act, hears: [[CLEAR, 2, 4]] };
  },
  "fork, of the parent's own memory": (k) => {
    const s = eight(k);
    s.process.mmap({ addr: s.at + 8 * PAGE, length: PAGE, prot: 1, flags: ANON });
    const act = (): void => void s.process.fork();
    return { ...s, inside: [2, 1], beside: [[8, 1]], act, hears: [[PROTECTION_PAGE, 0, 8]] };
  },
  "copy on write": (k) => {
    const s = eight(k);
    s.process.fork();
    const act = (): void => s.process.touch(s.at + 2 * PAGE, "write");
    return { ...s, ...MIDDLE, act, hears: [[CLEAR, 2, 3]] };
  },
  "copy on write, of the child": (k) => {
    const s = eight(k);
    const process = s.process.fork();
    const act = (): void => process.touch(s.at + 2 * PAGE, "write");
    return { ...s, process, ...MIDDLE, act, hears: [[CLEAR, 2, 3]] };
  },
  "a write to the zero page": (k) => {
    const s = eight(k, 16 * PAGE);
    s.process.touch(s.at + 10 * PAGE, "read");
    const act = (): void => s.process.touch(s.at + 10 * PAGE, "write");
    return {
      ...s,
      inside: [10, 1],
      beside: [
        [0, 10],
        [11, 5],
      ],
      act,
      hears: [[CLEAR, 10, 11]],
    };
  },
  "a write to the huge zero page": (k) => {
    const s = huge(k, "read");
    const act = (): void => s.process.touch(s.at, "write");
    return { ...s, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
  "a write to a huge page that is shared: it is split, one page copied": (k) => {
    const s = huge(k);
    s.process.fork();
    const act = (): void => s.process.touch(s.at + 5 * PAGE, "write");
    return {
      ...s,
      ...FIRST,
      act,
      hears: [
        [CLEAR, 0, 512],
        [CLEAR, 5, 6],
      ],
    };
  },
  "a border of a VMA through a huge page": (k) => {
    const s = huge(k);
    const act = (): void => s.process.madvise(s.at, 4 * PAGE, MADV_NOHUGEPAGE);
    return { ...s, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
  "reclaim (try_to_unmap)": (k) => {
    const s = eight(k);
    const act = (): void => s.process.madvise(s.at + 2 * PAGE, PAGE, MADV_PAGEOUT);
    return { ...s, ...MIDDLE, act, hears: [[CLEAR, 2, 3]] };
  },
  "migration (try_to_migrate)": (k) => {
    const s = eight(k);
    const act = (): void => void k.migration.move(frame(s.process, s.at + 2 * PAGE));
    return { ...s, ...MIDDLE, act, hears: [[CLEAR, 2, 3]] };
  },
  "migration of a huge page, once": (k) => {
    const s = huge(k);
    const act = (): void => void k.migration.move(frame(s.process, s.at));
    return { ...s, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
  "migration of a huge page that is mapped page by page, once": (k) => {
    const s = huge(k);
    // There and back: the entry is split, the VMA is one again.
    s.process.mprotect(s.at + PAGE, PAGE, 1);
    s.process.mprotect(s.at + PAGE, PAGE, 3);
    const act = (): void => void k.migration.move(frame(s.process, s.at));
    return { ...s, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
  "migration of a huge page that lies in two VMAs, once for each": (k) => {
    const s = huge(k);
    s.process.mprotect(s.at + 100 * PAGE, HUGE, 1);
    const act = (): void => void k.migration.move(frame(s.process, s.at));
    // Newest first.
    const hears = [
      [CLEAR, 100, 512],
      [CLEAR, 0, 100],
    ] as const;
    return { ...s, ...FIRST, act, hears };
  },
  "migration of a page that only a child still maps at that place": (k) => {
    const s = eight(k);
    const child = s.process.fork();
    s.process.munmap(s.at, 8 * PAGE);
    const act = (): void => void k.migration.move(frame(child, s.at + 2 * PAGE));
    return { at: s.at, process: child, ...MIDDLE, act, hears: [[CLEAR, 2, 3]] };
  },
  "a huge page is split": (k) => {
    const s = huge(k);
    const { folios, core } = k.base;
    const act = (): void => {
      const pfn = frame(s.process, s.at);
      const folio = folios.ofPage(pfn);
      folios.lock(folio);
      folios.get(folio);
      expect(k.splits.split(folio, 0)).toBe(0);
      const first = core.design.descriptorOf(pfn);
      folios.unlock(first);
      folios.put(first);
    };
    return { ...s, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
  MADV_COLLAPSE: (k) => {
    const process = k.createProcess();
    const at = process.mmap({ addr: 0x4000_0000, length: 2 * HUGE, prot: 3, flags: ANON });
    for (let i = 0; i < 4; i++) process.touch(at + i * PAGE, "write");
    const act = (): void => process.madvise(at, HUGE, MADV_COLLAPSE);
    return { process, at, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
  "KSM merges a page": (k) => {
    const s = eight(k);
    s.process.madvise(s.at, 8 * PAGE, MADV_MERGEABLE);
    s.process.write(s.at + 2 * PAGE, Uint8Array.of(8));
    const act = (): void => s.process.mergeWith(s.at + 2 * PAGE, s.process, s.at + 7 * PAGE);
    return {
      ...s,
      inside: [2, 1],
      beside: [
        [0, 2],
        [3, 4],
      ],
      act,
      hears: [[CLEAR, 2, 3]],
    };
  },
  "a write to a merged page": (k) => {
    const s = eight(k);
    s.process.madvise(s.at, 8 * PAGE, MADV_MERGEABLE);
    s.process.write(s.at + 2 * PAGE, Uint8Array.of(8));
    s.process.mergeWith(s.at + 2 * PAGE, s.process, s.at + 7 * PAGE);
    const act = (): void => s.process.touch(s.at + 2 * PAGE, "write");
    return { ...s, ...MIDDLE, act, hears: [[CLEAR, 2, 3]] };
  },
  "writeback of a page that was written through a mapping (page_mkclean)": (k) => {
    const s = mapped(k, "disk");
    s.file.sync();
    s.process.touch(s.at + 2 * PAGE, "write");
    const act = (): void => s.file.sync();
    return { ...s, ...MIDDLE, act, hears: [[PROTECTION_PAGE, 2, 3]] };
  },
  truncation: (k) => {
    const s = mapped(k, "tmpfs");
    const act = (): void => s.file.truncate(2 * PAGE);
    // Before the pages go and after, for faults between.
    const hears = [
      [CLEAR, 2, 8],
      [CLEAR, 2, 8],
    ] as const;
    return { ...s, inside: [3, 1], beside: [[0, 2]], act, hears };
  },
  "a hole in a file (MADV_REMOVE)": (k) => {
    const s = mapped(k, "tmpfs");
    const act = (): void => s.process.madvise(s.at + 2 * PAGE, 2 * PAGE, MADV_REMOVE);
    return { ...s, ...MIDDLE, act, hears: [[CLEAR, 2, 4]] };
  },
  "munmap of a huge page of the pool": (k) => {
    const s = pooled(k, 2);
    const act = (): void => s.process.munmap(s.at, HUGE);
    return { ...s, ...FIRST, act, hears: [[UNMAP, 0, 512]] };
  },
  "MADV_DONTNEED of a huge page of the pool": (k) => {
    const s = pooled(k, 2);
    const act = (): void => s.process.madvise(s.at, HUGE, MADV_DONTNEED);
    return { ...s, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
  "mprotect of a huge page of the pool": (k) => {
    const s = pooled(k, 2);
    const act = (): void => s.process.mprotect(s.at, HUGE, 1);
    return { ...s, ...FIRST, act, hears: [[PROTECTION_VMA, 0, 512]] };
  },
  "mremap of a huge page of the pool": (k) => {
    const s = pooled(k, 2);
    const act = (): void => {
      s.process.mremap(s.at, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x6000_0000);
    };
    return {
      ...s,
      ...FIRST,
      act,
      hears: [
        [CLEAR, 0, 512],
        [UNMAP, 0, 512],
      ],
    };
  },
  "fork of huge pages of the pool": (k) => {
    const s = pooled(k, 2);
    s.process.mmap({ addr: s.at + 2 * HUGE, length: PAGE, prot: 1, flags: ANON });
    const act = (): void => void s.process.fork();
    return { ...s, inside: [0, 512], beside: [[1024, 1]], act, hears: [[CLEAR, 0, 1024]] };
  },
  "copy on write of a huge page of the pool": (k) => {
    const s = pooled(k, 3);
    s.process.fork();
    const act = (): void => s.process.touch(s.at, "write");
    return { ...s, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
  "a huge page that the owner of the pool's promise takes from a child": (k) => {
    const s = pooled(k, 2);
    const child = s.process.fork();
    const act = (): void => s.process.touch(s.at, "write");
    return { at: s.at, process: child, ...FIRST, act, hears: [[CLEAR, 0, 512]] };
  },
};

const boot = (design: string): Kernel => {
  const policy = { thp: "madvise", thpOrders: { 9: "inherit" } } as const;
  return bootKernel({ memory: "32MiB", swap: "1MiB", policy }, design);
};

describe.each(DESIGNS)("%s", (design) => {
  test.each(Object.entries(CASES))("%s", (_name, make) => {
    const kernel = boot(design);
    const { process, at, inside, beside, act, hears } = make(kernel);
    const { mm } = process;
    const first = at / PAGE;
    const over = listen(kernel, mm, first + inside[0], inside[1]);
    const others = beside.map(([page, pages]) => listen(kernel, mm, first + page, pages));
    const before = entryOf(kernel, mm, first + inside[0]);
    act();
    expect(over.heard.map((h) => [h.event, h.start - first, h.end - first])).toEqual(hears);
    expect(over.heard[0].entry).toBe(before);
    expect(entryOf(kernel, mm, first + inside[0])).not.toBe(before);
    expect(others.map((l) => l.heard)).toEqual(beside.map(() => []));
    expect(told(inspectKernel(kernel))).toEqual([]);
  });
});

/** What changes nothing that was there: nobody is told. */
const QUIET: Readonly<Record<string, (k: Kernel) => { process: Process; act: () => void }>> = {
  "first touches, reads and writes": (k) => {
    const s = eight(k, 16 * PAGE);
    const act = (): void => {
      s.process.touch(s.at + 9 * PAGE, "write");
      s.process.touch(s.at + 10 * PAGE, "read");
      s.process.touch(s.at, "write");
    };
    return { ...s, act };
  },
  "a page comes back from swap": (k) => {
    const s = eight(k);
    s.process.madvise(s.at, 8 * PAGE, MADV_PAGEOUT);
    return { ...s, act: () => s.process.touch(s.at, "write") };
  },
  "the only one left writes to what was shared": (k) => {
    const s = eight(k);
    s.process.fork().exit();
    return { ...s, act: () => s.process.touch(s.at, "write") };
  },
  MADV_COLD: (k) => {
    const s = eight(k);
    return { ...s, act: () => s.process.madvise(s.at, 8 * PAGE, MADV_COLD) };
  },
  "fork of shared memory": (k) => {
    const s = mapped(k, "tmpfs");
    return { ...s, act: () => void s.process.fork() };
  },
  "writeback, of a private mapping": (k) => {
    const file = k.createFile("disk", PAGE);
    file.write(0, Uint8Array.of(1));
    const process = k.createProcess();
    const at = process.mmap({ length: PAGE, prot: 3, flags: MAP_PRIVATE, file });
    process.touch(at, "read");
    return { process, act: () => file.sync() };
  },
  "mprotect where there is no table": (k) => {
    const process = k.createProcess();
    const at = process.mmap({ length: 8 * PAGE, prot: 3, flags: ANON });
    return { process, act: () => process.mprotect(at, PAGE, 1) };
  },
  "an access that is refused": (k) => {
    const s = eight(k);
    s.process.mprotect(s.at, PAGE, 1);
    return { ...s, act: () => expect(() => s.process.touch(s.at, "write")).toThrow(SignalError) };
  },
};

test.each(Object.entries(QUIET))("nobody is told: %s", (_name, make) => {
  const kernel = boot("memdesc8");
  const { process, act } = make(kernel);
  const { heard } = listen(kernel, process.mm, 0, 2 ** 31);
  act();
  expect(heard).toEqual([]);
});

test("a page of several processes: each of them is told, for its own place", () => {
  const kernel = boot("page32");
  const { process, at } = eight(kernel);
  const child = process.fork();
  const grandchild = child.fork();
  const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
  grandchild.mremap(at, 8 * PAGE, 8 * PAGE, flags, 0x3000_0000);
  const all = [process, child, grandchild].map((p) => listen(kernel, p.mm, 0, 2 ** 31));
  kernel.migration.move(frame(process, at + PAGE));
  const page = at / PAGE + 1;
  const moved = 0x3000_0000 / PAGE + 1;
  expect(all.map((l) => l.heard.map((h) => [h.event, h.start, h.end]))).toEqual([
    [[CLEAR, page, page + 1]],
    [[CLEAR, page, page + 1]],
    [[CLEAR, moved, moved + 1]],
  ]);
});
