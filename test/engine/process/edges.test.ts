/**
 * The edges of the process layer: what has ended is refused by name, wrong
 * arguments in one line, pages are let go one by one, and what can be asked of a
 * page means the same in every design.
 */
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { ERRNO, errnoName, MmError } from "../../../src/engine/errors.js";
import {
  MADV_HUGEPAGE,
  MADV_MERGEABLE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../../src/engine/process/constants.js";
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import { Kernel, type KernelRequest } from "../../../src/engine/process/kernel.js";
import type { OpenFile } from "../../../src/engine/process/open-file.js";
import type { Process } from "../../../src/engine/process/process.js";
import { UserPages } from "../../../src/engine/process/user-pages.js";
import { ref } from "../../../src/units.js";
import { broken } from "../drivers/check.js";

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS;
const DESIGNS = [
  "today",
  "today+mapcount=per-folio",
  "page32",
  "memdesc16",
  "memdesc8",
  "memdesc8+page-bits=type",
  "slot64",
];

const boot = (design = "memdesc8", asked: KernelRequest = {}): Kernel =>
  Kernel.boot({ memory: "32MiB", ...asked }, parseDesign(design));

/** Anonymous pages, each written. */
function memory(p: Process, pages: number): number {
  const at = p.mmap({ length: pages * PAGE, prot: RW, flags: PRIVATE });
  for (let i = 0; i < pages; i++) p.write(at + i * PAGE, Uint8Array.of(i + 1));
  return at;
}

/** Name of the errno that a call is refused with; "done" where it is not. */
function refusal(does: () => unknown): string {
  try {
    does();
    return "done";
  } catch (error) {
    if (error instanceof MmError) return error.code;
    throw error;
  }
}

describe("what has ended", () => {
  const uses: readonly (readonly [string, (p: Process, at: number, other: Process) => unknown])[] =
    [
      ["mmap", (p) => p.mmap({ length: PAGE, prot: RW, flags: PRIVATE })],
      ["munmap", (p, at) => p.munmap(at, PAGE)],
      ["mprotect", (p, at) => p.mprotect(at, PAGE, PROT_READ)],
      ["mremap", (p, at) => p.mremap(at, PAGE, PAGE)],
      ["madvise", (p, at) => p.madvise(at, PAGE, 4)],
      ["fork", (p) => p.fork()],
      ["read", (p, at) => p.read(at, 1)],
      ["read of nothing", (p, at) => p.read(at, 0)],
      ["write", (p, at) => p.write(at, Uint8Array.of(1))],
      ["write of nothing", (p, at) => p.write(at, Uint8Array.of())],
      ["touch", (p, at) => p.touch(at, "read")],
      ["walk", (p, at) => p.walk(at, "read")],
      ["gup", (p, at) => p.gup(at, PAGE, FOLL_PIN)],
      ["register", (p, at) => UserPages.register(p, at, PAGE)],
      ["pagemap", (p, at) => p.pagemap(at)],
      ["rss", (p) => p.rss],
      ["maps", (p) => p.maps()],
      ["mergeWith", (p, at, other) => p.mergeWith(at, other, at)],
      ["being merged with", (p, at, other) => other.mergeWith(at, p, at)],
      ["exit", (p) => p.exit()],
    ];
  test.each(uses)("a process refuses %s with ESRCH", (_name, use) => {
    const kernel = boot();
    const p = kernel.createProcess();
    const at = memory(p, 1);
    const other = p.fork();
    p.exit();
    expect(refusal(() => use(p, at, other))).toBe("ESRCH");
    expect(p.alive).toBe(false);
    expect(broken(kernel)).toEqual([]);
  });

  const fileUses: readonly (readonly [string, (file: OpenFile, p: Process) => unknown])[] = [
    ["size", (f) => f.size],
    ["cached", (f) => f.cached],
    ["dirty", (f) => f.dirty],
    ["onDisk", (f) => f.onDisk(0, 1)],
    ["read", (f) => f.read(0, 1)],
    ["write", (f) => f.write(0, Uint8Array.of(1))],
    ["truncate", (f) => f.truncate(0)],
    ["punchHole", (f) => f.punchHole(0, 1)],
    ["sync", (f) => f.sync()],
    ["close", (f) => f.close()],
    ["mmap", (f, p) => p.mmap({ length: PAGE, prot: RW, flags: MAP_SHARED, file: f })],
  ];
  test.each(fileUses)("a closed file refuses %s with EBADF", (_name, use) => {
    const kernel = boot();
    const file = kernel.createFile("disk", PAGE);
    const p = kernel.createProcess();
    file.close();
    expect(refusal(() => use(file, p))).toBe("EBADF");
    // Its name is another thing than an open file.
    file.unlink();
    expect(refusal(() => file.unlink())).toBe("ENOENT");
    expect(broken(kernel)).toEqual([]);
  });

  test("areas, lists, stacks and ring buffers are freed once, and not used after it", () => {
    const { scattered } = boot("today");
    const p = boot("today").createProcess();
    const area = scattered.alloc(PAGE);
    area.free();
    for (const use of [
      () => area.free(),
      () => area.read(0, 1),
      () => area.write(0, Uint8Array.of(1)),
      () => area.mmap(p),
      () => area.frame(0),
    ])
      expect(refusal(use)).toBe("EINVAL");
    const stack = scattered.stack();
    stack.free();
    for (const use of [() => stack.free(), () => stack.push(Uint8Array.of(1))])
      expect(refusal(use)).toBe("EINVAL");
    const ring = scattered.ringBuffer(1);
    ring.free();
    for (const use of [() => ring.free(), () => ring.head, () => ring.emit(Uint8Array.of(1))])
      expect(refusal(use)).toBe("EINVAL");
    const list = boot("memdesc8+scattered=scamem").scattered.list(2);
    list.free();
    for (const use of [() => list.free(), () => list.vmap(), () => list.frame(0)])
      expect(refusal(use)).toBe("EINVAL");
  });
});

describe.each(DESIGNS)("%s: pages that are held", (design) => {
  test("go once, all or in parts, and only those held are used", () => {
    const kernel = boot(design);
    const p = kernel.createProcess();
    const at = memory(p, 4);
    const pages = UserPages.register(p, at, 4 * PAGE);
    const all = [...pages.pfns];
    pages.releasePart(1, 2, true);
    expect([...pages.pfns]).toEqual([all[0], all[3]]);
    expect(broken(kernel)).toEqual([]);
    expect(refusal(() => pages.releasePart(2, 2))).toBe("EINVAL");
    expect(refusal(() => pages.read(PAGE - 1, 2))).toBe("EINVAL");
    expect(pages.read(3 * PAGE, 1)[0]).toBe(4);
    expect(() => pages.read(4 * PAGE, 1)).toThrow(RangeError);
    pages.release();
    expect(refusal(() => pages.release())).toBe("EINVAL");
    expect(refusal(() => pages.write(0, Uint8Array.of(1)))).toBe("EINVAL");
    expect(kernel.userPages.size).toBe(0);
    expect(broken(kernel)).toEqual([]);
  });

  test("go by their frame alone, as often as they are held", () => {
    const kernel = boot(design);
    const p = kernel.createProcess();
    const at = memory(p, 2);
    const pins = [0, 1].map(() => p.gup(at, 2 * PAGE, FOLL_PIN | FOLL_WRITE));
    const got = p.gup(at, PAGE, 0);
    const [pfn] = pins[0].pfns;
    kernel.unpinPage(pfn, true);
    kernel.unpinPage(pfn);
    expect(refusal(() => kernel.unpinPage(pfn))).toBe("EINVAL");
    kernel.putPage(pfn);
    expect(refusal(() => kernel.putPage(pfn))).toBe("EINVAL");
    expect(refusal(() => got.release())).toBe("EINVAL");
    expect(broken(kernel)).toEqual([]);
    for (const pin of pins) pin.release();
    expect(kernel.page(pfn)).toMatchObject({ refcount: 1, pins: 0 });
    expect(broken(kernel)).toEqual([]);
  });
});

describe.each(DESIGNS)("%s: what is known of a page", (design) => {
  test("of an anonymous one, mapped, shared and pinned", () => {
    const kernel = boot(design);
    const p = kernel.createProcess();
    const at = memory(p, 1);
    const { pfn } = p.pagemap(at);
    const alone = kernel.page(pfn);
    expect(alone).toMatchObject({
      type: "anon",
      order: 0,
      refcount: 1,
      mapcount: 1,
      mapped: true,
      pins: 0,
      exclusive: true,
      locked: false,
    });
    expect(alone.flags).toEqual(expect.arrayContaining(["uptodate", "lru", "swapbacked"]));
    const pages = p.gup(at, PAGE, FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE);
    const { pins } = kernel.page(pfn);
    expect([1, "maybe"]).toContain(pins);
    pages.release();
    const child = p.fork();
    expect(kernel.page(pfn)).toMatchObject({ mapcount: 2, refcount: 2, exclusive: false });
    child.exit();
    p.exit();
    kernel.settle();
    expect(kernel.page(pfn)).toMatchObject({ type: "buddy", mapcount: null, mapped: false });
  });

  test("of one in a huge page", () => {
    const kernel = boot(design);
    const p = kernel.createProcess();
    const at = p.mmap({
      addr: 2 ** 30,
      length: 2 ** 21,
      prot: RW,
      flags: PRIVATE | MAP_FIXED,
    });
    p.madvise(at, 2 ** 21, MADV_HUGEPAGE);
    p.write(at, Uint8Array.of(1));
    const { pfn, huge } = p.pagemap(at + 5 * PAGE);
    expect(huge).toBe(true);
    const facts = kernel.page(pfn);
    expect(facts).toMatchObject({ type: "anon", order: 9, mapcount: 1, refcount: 1 });
    expect(facts.pfn - facts.block).toBe(5);
    const perPage = kernel.machine.design.mapcounts === "per-page";
    expect(facts.pageMapcount).toBe(perPage ? 1 : null);
  });

  test("memory given back is the same number before and after", () => {
    const kernel = boot(design);
    const before = kernel.settle();
    const p = kernel.createProcess(kernel.createMemcg(100));
    memory(p, 70);
    const file = kernel.createFile("tmpfs");
    file.write(0, new Uint8Array(9 * PAGE));
    expect(kernel.settle()).toBeLessThan(before - 70);
    p.exit();
    file.close();
    file.unlink();
    // The cgroup is still there: one object, one slab page.
    expect(before - kernel.settle()).toBeLessThanOrEqual(2);
  });
});

describe("counters", () => {
  test("of a memory cgroup, with a limit that can be set", () => {
    const kernel = boot("today", { swap: "16MiB" });
    const group = kernel.createMemcg(64);
    const p = kernel.createProcess(group);
    memory(p, 32);
    expect(kernel.memcg(group)).toMatchObject({ max: 64, failures: 0 });
    expect(kernel.memcg(group).usage).toBeGreaterThanOrEqual(32);
    expect(kernel.setMemcgMax(group, 16)).toBeLessThanOrEqual(16);
    expect(p.rss.swap).toBeGreaterThanOrEqual(16);
  });

  test("hugetlb pages are in no other count", () => {
    const kernel = boot("today");
    expect(kernel.setHugePages(2)).toBe(2);
    const p = kernel.createProcess();
    const at = p.mmap({ length: 2 ** 22, prot: RW, flags: PRIVATE | MAP_HUGETLB });
    p.write(at, Uint8Array.of(1));
    expect(p.rss).toEqual({ anon: 0, file: 0, shmem: 0, swap: 0, hugetlb: 512 });
  });

  test("a file says what is dirty and what the disk has", () => {
    const file = boot().createFile("disk");
    file.write(0, new Uint8Array(2 * PAGE).fill(7));
    expect([file.dirty, file.onDisk(PAGE, 1)[0]]).toEqual([2, 0]);
    file.sync();
    expect([file.dirty, ...file.onDisk(2 * PAGE - 1, 2)]).toEqual([0, 7, 0]);
  });

  test("an errno has a name, of either sign", () => {
    expect([errnoName(-12), errnoName(12), ERRNO.EAGAIN]).toEqual(["ENOMEM", "ENOMEM", 11]);
  });
});

describe("by address", () => {
  test("walk is what the tables say, mergeWith what KSM does", () => {
    const kernel = boot();
    const p = kernel.createProcess();
    const at = memory(p, 2);
    expect(p.walk(at + 7, "write")).toBe(p.pagemap(at).pfn);
    expect(p.walk(at + 2 * PAGE, "read")).toBe(-1);
    expect(refusal(() => p.mergeWith(at, p, at + PAGE))).toBe("EINVAL");
    p.madvise(at, 2 * PAGE, MADV_MERGEABLE);
    p.write(at + PAGE, Uint8Array.of(1));
    p.mergeWith(at, p, at + PAGE);
    expect(p.pagemap(at + PAGE).pfn).toBe(p.pagemap(at).pfn);
    expect(kernel.page(p.pagemap(at).pfn).type).toBe("ksm");
  });
});

describe("why", () => {
  test("ENOMEM and SIGSEGV say which of their reasons it was", () => {
    const p = boot().createProcess();
    const at = memory(p, 1);
    expect(() => p.mprotect(at, 2 * PAGE, RW)).toThrow(
      `ENOMEM: nothing is mapped at 0x${(at + PAGE).toString(16)}`,
    );
    expect(() => p.mmap({ length: 2 ** 50, prot: RW, flags: PRIVATE })).toThrow(
      "ENOMEM: it is longer than the address space",
    );
    expect(() => p.mremap(at, PAGE, 2 ** 42)).toThrow("MREMAP_MAYMOVE is not given");
    expect(() => p.read(at + PAGE, 1)).toThrow("SIGSEGV: nothing is mapped there");
    p.mprotect(at, PAGE, PROT_READ);
    expect(() => p.write(at, Uint8Array.of(1))).toThrow("mapped there may not be written");
  });
});

describe("a wrong argument is refused in one line that says what was wanted", () => {
  const kernel = boot();
  const p = kernel.createProcess();
  const at = memory(p, 1);
  const file = kernel.createFile("disk");
  const wrong = (value: unknown): never => value as never;
  test.each<[string, () => unknown, string]>([
    ["a kind of file", () => kernel.createFile(wrong("dsk")), 'one of "disk", "tmpfs", not "dsk"'],
    ["a size", () => kernel.createFile("disk", -1), "0 … 2^43, not -1"],
    ["a limit", () => kernel.createMemcg(-1), "limit is a whole number, 0 … 2^31 − 1, not -1"],
    ["a frame", () => kernel.page(-1), "a frame is a whole number, 0 … "],
    ["a frame to unpin", () => kernel.unpinPage(wrong("1")), 'not "1"'],
    ["a cgroup", () => kernel.memcg(ref(0)), "a cgroup"],
    ["huge pages", () => kernel.setHugePages(0.5), "not 0.5"],
    [
      "an address",
      () => p.read(wrong("x"), 1),
      'read\'s addr is a whole number, 0 … 2^64, not "x"',
    ],
    ["bytes", () => p.write(at, wrong([1, 2])), "what is written is a Uint8Array, not an array"],
    ["bytes of a file", () => file.write(0, wrong("ab")), 'is a Uint8Array, not "ab"'],
    ["a length", () => p.mmap({ length: Number.NaN, prot: RW, flags: PRIVATE }), "not NaN"],
    ["no length", () => p.mmap(wrong({ prot: RW, flags: PRIVATE })), "not undefined"],
    ["a way", () => p.gup(at, PAGE, 0, wrong("quick")), 'one of "fast", "slow", not "quick"'],
    ["an access", () => p.touch(at, wrong("exec")), 'one of "read", "write", not "exec"'],
    ["a lot", () => p.read(at, 2 ** 31), "0 … 2^30, not 2147483648"],
    ["an offset", () => file.read(-1, 1), "not -1"],
    [
      "a policy",
      () => boot("today", { policy: { thp: wrong("alwayss") } }),
      "policy.thp is one of",
    ],
    ["a setting", () => boot("today", { policy: wrong({ tph: "always" }) }), 'not "tph"'],
    [
      "an order's choice",
      () => boot("today", { policy: { thpOrders: { 4: wrong("yes") } } }),
      "policy.thpOrders[4] is one of",
    ],
    ["fault-around", () => boot("today", { policy: { faultAroundPages: 3 } }), "power of two"],
    ["a record", () => kernel.scattered.ringBuffer(0).emit(wrong(1)), "a record is a Uint8Array"],
    ["an area", () => kernel.scattered.alloc(Number.NaN), "not NaN"],
  ])("%s", (_name, does, line) => {
    let said: unknown;
    try {
      does();
    } catch (error) {
      said = error;
    }
    expect(String(said)).toMatch(/^(Type|Range)Error: /);
    expect(String(said)).toContain(line);
    expect(String(said)).not.toContain("\n");
    expect(broken(kernel)).toEqual([]);
  });
});
