/**
 * userfaultfd: what a registered range lacks is asked of its reader and put in by
 * it, whoever needs the page; every refusal has the errno that a live Linux
 * 6.18.44 gives (its answers are the expectations here).
 */
import { describe, expect, test } from "vitest";
import { Devices } from "../../../src/engine/device/devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../../../src/engine/device/kinds.js";
import { migrateArgs, MIGRATE_VMA_SELECT_SYSTEM } from "../../../src/engine/device/migrate-args.js";
import { MmError, SignalError } from "../../../src/engine/errors.js";
import * as c from "../../../src/engine/process/constants.js";
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import { PTE_DIRTY } from "../../../src/engine/process/entry.js";
import type { Kernel, KernelRequest } from "../../../src/engine/process/kernel.js";
import { MMU_NOTIFY_CLEAR } from "../../../src/engine/process/notifier/events.js";
import { pteAt } from "../../../src/engine/process/page-tables.js";
import type { Process } from "../../../src/engine/process/process.js";
import { UserPages } from "../../../src/engine/process/user-pages.js";
import type { UserFaultFd, UserFault } from "../../../src/engine/process/userfaultfd.js";
import { inspectKernel, leaksOf } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { bootKernel, told } from "./kernels.js";

const DESIGNS = ["today", "page32", "memdesc16", "memdesc8", "slot64"];
const PAGE = 4096;
const HUGE = 512 * PAGE;
const RW = c.PROT_READ | c.PROT_WRITE;
const ANON = c.MAP_PRIVATE | c.MAP_ANONYMOUS;
const MISSING = { missing: true };
/** A page of 0xab, as the mirror driver's test answers with. */
const AB = new Uint8Array(PAGE).fill(0xab);

const anon = (p: Process, pages: number, prot = RW): number =>
  p.mmap({ length: pages * PAGE, prot, flags: ANON });

/** Page ranges of the VMAs in a range, with `um` for those that are registered. */
const shape = (p: Process, addr: number, pages: number): string =>
  p
    .maps()
    .filter((v) => v.end > addr && v.start < addr + pages * PAGE)
    .map(({ start, end, flags }) => {
      const um = (flags & c.VM_UFFD_MISSING) !== 0 ? " um" : "";
      const from = Math.max(0, (start - addr) / PAGE);
      return `${from}-${Math.min(pages, (end - addr) / PAGE)}${um}`;
    })
    .join(", ");

/** Name of the errno that a call is refused with; "0" where it is not. */
const errno = (f: () => unknown): string => {
  try {
    f();
    return "0";
  } catch (error) {
    if (!(error instanceof MmError)) throw error;
    return error.code;
  }
};

interface Armed {
  readonly kernel: Kernel;
  readonly p: Process;
  readonly fd: UserFaultFd;
  /** First byte of the range that is registered, of 16 pages. */
  readonly at: number;
  /** Faults that were read, each answered with a page of 0xab. */
  readonly faults: UserFault[];
}

/** A process with 16 pages that its userfaultfd fills. */
function armed(design: string, request: KernelRequest = {}): Armed {
  const kernel = bootKernel({ memory: "32MiB", ...request }, design);
  const p = kernel.createProcess();
  const fd = p.userfaultfd();
  const at = anon(p, 16);
  const faults: UserFault[] = [];
  fd.onFault = (fault) => {
    faults.push(fault);
    fd.copy(fault.addr, AB);
  };
  fd.register(at, 16 * PAGE, MISSING);
  return { kernel, p, fd, at, faults };
}

/** Nothing is broken now, and nothing is left when all has ended. */
function sound(kernel: Kernel): void {
  expect(told(inspectKernel(kernel))).toEqual([]);
  kernel.exitAll();
  expect(told(inspectKernel(kernel))).toEqual([]);
  expect(told(leaksOf(kernel))).toEqual([]);
}

describe.each(DESIGNS)("%s", (design) => {
  test("each page that is missing is asked for once, reads and writes alike", () => {
    const { kernel, p, at, faults } = armed(design);
    expect(p.read(at + 3 * PAGE + 5, 2)).toEqual(Uint8Array.of(0xab, 0xab));
    p.write(at + 4 * PAGE - 1, Uint8Array.of(1, 2));
    expect(p.read(at + 3 * PAGE, PAGE)[PAGE - 1]).toBe(1);
    expect(faults).toEqual([
      { addr: at + 3 * PAGE, write: false },
      { addr: at + 4 * PAGE, write: true },
    ]);
    expect(p.rss.anon).toBe(2);
    // A page that was given back is missing again.
    p.madvise(at + 3 * PAGE, PAGE, c.MADV_DONTNEED);
    expect(p.read(at + 3 * PAGE, 1)[0]).toBe(0xab);
    expect(faults.length).toBe(3);
    sound(kernel);
  });

  test("copy: whole pages, where nothing is, in one registered mapping", () => {
    const { kernel, p, fd, at } = armed(design);
    expect(fd.copy(at, AB)).toBe(PAGE);
    expect(errno(() => fd.copy(at, AB))).toBe("EEXIST");
    fd.copy(at + 3 * PAGE, AB);
    // Two fit before the page that is there: EAGAIN of the ioctl, its count here.
    expect(fd.copy(at + PAGE, new Uint8Array(4 * PAGE).fill(7))).toBe(2 * PAGE);
    expect([0, 1, 2, 3, 4].map((i) => p.pagemap(at + i * PAGE).present)).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    expect(p.read(at + 2 * PAGE, 1)[0]).toBe(7);
    expect(errno(() => fd.copy(at + 1, AB))).toBe("EINVAL");
    expect(errno(() => fd.copy(at, new Uint8Array(0)))).toBe("EINVAL");
    expect(errno(() => fd.copy(at, new Uint8Array(PAGE + 1)))).toBe("EINVAL");
    expect(errno(() => fd.copy(0, AB))).toBe("EINVAL");
    expect(errno(() => fd.copy(c.TASK_PAGES * PAGE, AB))).toBe("EINVAL");
    expect(errno(() => fd.copy(anon(p, 1), AB))).toBe("ENOENT");
    expect(errno(() => fd.copy(at + 15 * PAGE, new Uint8Array(2 * PAGE)))).toBe("ENOENT");
    expect(errno(() => fd.copy(0x10000000, AB))).toBe("ENOENT");
    // Two neighbours are two mappings, whoever has registered them.
    p.mprotect(at + 8 * PAGE, 8 * PAGE, c.PROT_READ);
    expect(errno(() => fd.copy(at + 7 * PAGE, new Uint8Array(2 * PAGE)))).toBe("ENOENT");
    expect(() => fd.copy(at, [1] as never)).toThrow(TypeError);
    expect(() => fd.copy(-1, AB)).toThrow(RangeError);
    sound(kernel);
  });

  test("a copy goes to memory that the process may not touch, too", () => {
    const { kernel, p, fd, at, faults } = armed(design);
    p.mprotect(at, PAGE, c.PROT_READ);
    fd.copy(at, AB);
    expect(p.read(at, 1)[0]).toBe(0xab);
    expect(p.pagemap(at).writable).toBe(false);
    const { w, tables } = kernel.base;
    const table = tables.pteTable(p.mm, at / PAGE);
    expect(w.load64(table, pteAt(at / PAGE)) & PTE_DIRTY).toBe(PTE_DIRTY);
    expect(() => p.touch(at, "write")).toThrow(SignalError);
    p.mprotect(at + PAGE, PAGE, c.PROT_NONE);
    // An access that is forbidden is nobody's to fill.
    expect(() => p.touch(at + PAGE, "read")).toThrow(SignalError);
    expect(faults).toEqual([]);
    fd.copy(at + PAGE, AB);
    p.mprotect(at, 2 * PAGE, RW);
    p.write(at + PAGE, Uint8Array.of(1));
    expect(p.read(at + PAGE, 2)).toEqual(Uint8Array.of(1, 0xab));
    sound(kernel);
  });

  test("zeropage: the zero page, copied at the first write without a fault for the reader", () => {
    const { kernel, p, fd, at, faults } = armed(design);
    expect(fd.zeropage(at, 2 * PAGE)).toBe(2 * PAGE);
    expect(p.pagemap(at).zero).toBe(true);
    expect(errno(() => fd.zeropage(at, PAGE))).toBe("EEXIST");
    expect(errno(() => fd.copy(at, AB))).toBe("EEXIST");
    fd.copy(at + 3 * PAGE, AB);
    expect(fd.zeropage(at + 2 * PAGE, 4 * PAGE)).toBe(PAGE);
    expect(errno(() => fd.zeropage(at + 1, PAGE))).toBe("EINVAL");
    expect(errno(() => fd.zeropage(at, 0))).toBe("EINVAL");
    expect(errno(() => fd.zeropage(anon(p, 1), PAGE))).toBe("ENOENT");
    p.write(at, Uint8Array.of(1));
    expect(p.read(at, 2)).toEqual(Uint8Array.of(1, 0));
    expect(p.read(at + PAGE, 1)[0]).toBe(0);
    expect(faults).toEqual([]);
    sound(kernel);
  });

  test("GUP, O_DIRECT and populating ask the reader, holding what they have", () => {
    const { kernel, p, fd, at, faults } = armed(design);
    fd.copy(at + PAGE, AB);
    const pin = p.gup(at, 4 * PAGE, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM);
    expect(pin.read(0, 4 * PAGE).every((b) => b === 0xab)).toBe(true);
    expect(faults.map((f) => [(f.addr - at) / PAGE, f.write])).toEqual(
      [0, 2, 3].map((i) => [i, true]),
    );
    // Who does not want to write reads.
    p.gup(at + 4 * PAGE, PAGE, FOLL_PIN, "slow").release();
    expect(faults.at(-1)).toEqual({ addr: at + 4 * PAGE, write: false });
    UserPages.directRead(p, at + 5 * PAGE, new Uint8Array(2 * PAGE).fill(9));
    expect(p.read(at + 6 * PAGE, 1)[0]).toBe(9);
    p.madvise(at + 7 * PAGE, 2 * PAGE, c.MADV_POPULATE_READ);
    p.madvise(at + 9 * PAGE, PAGE, c.MADV_POPULATE_WRITE);
    expect(faults.slice(-3).map((f) => f.write)).toEqual([false, false, true]);
    expect(faults.length).toBe(9);
    pin.release(true);
    sound(kernel);
  });

  test("the child of a fork fills its own memory, the parent goes on asking", () => {
    const { kernel, p, fd, at, faults } = armed(design);
    fd.copy(at, AB);
    const child = p.fork();
    expect(shape(child, at, 16)).toBe("0-16");
    expect(child.read(at + PAGE, 1)[0]).toBe(0);
    child.write(at, Uint8Array.of(1));
    expect(faults).toEqual([]);
    expect(p.read(at, PAGE)).toEqual(AB);
    expect(p.read(at + PAGE, 1)[0]).toBe(0xab);
    expect(faults.length).toBe(1);
    child.exit();
    sound(kernel);
  });

  test("no huge page is made of what is missing, nor by collapse", () => {
    const policy = { thp: "always", thpOrders: { 2: "always" } } as const;
    const { kernel, p, fd, faults } = armed(design, { policy });
    const at = Math.ceil(anon(p, 1024) / HUGE) * HUGE;
    fd.register(at, HUGE, MISSING);
    p.touch(at + PAGE, "read");
    p.touch(at + 2 * PAGE, "write");
    expect(faults.length).toBe(2);
    expect(p.rss.anon).toBe(2);
    expect(errno(() => p.madvise(at, HUGE, c.MADV_COLLAPSE))).toBe("EBUSY");
    fd.copy(at, AB);
    fd.copy(at + 3 * PAGE, new Uint8Array(508 * PAGE));
    fd.zeropage(at + 511 * PAGE, PAGE);
    expect(errno(() => p.madvise(at, HUGE, c.MADV_COLLAPSE))).toBe("EBUSY");
    p.write(at + 511 * PAGE, Uint8Array.of(1));
    p.madvise(at, HUGE, c.MADV_COLLAPSE);
    expect(p.pagemap(at).huge).toBe(true);
    expect(errno(() => fd.copy(at + PAGE, AB))).toBe("EEXIST");
    expect(errno(() => fd.zeropage(at + PAGE, PAGE))).toBe("EEXIST");
    // One that was there before stays, and its border splits nothing.
    const there = Math.ceil(anon(p, 1024) / HUGE) * HUGE;
    p.touch(there, "write");
    expect(p.pagemap(there).huge).toBe(true);
    fd.register(there, HUGE / 2, MISSING);
    expect(p.pagemap(there + PAGE).present).toBe(true);
    expect(p.read(there + PAGE, 1)[0]).toBe(0);
    sound(kernel);
  });

  test("places that a userfaultfd hears of are not filled by a migration to a device", () => {
    const device = { private: "128MiB", span: "128MiB" };
    const { kernel, p, fd, at } = armed(design, { device });
    const devices = Devices.attach(kernel);
    const freed: number[] = [];
    const map = devices.mapPages({
      name: "gpu",
      type: MEMORY_DEVICE_PRIVATE,
      pages: 512,
      owner: devices,
      ops: { folioFree: (page) => void freed.push(page), migrateToRam: () => c.FAULT_SIGBUS },
    });
    const args = migrateArgs(2);
    const vma = kernel.base.vmas.tree.lookup(p.mm, at / PAGE);
    const [start, end] = [at / PAGE, at / PAGE + 2];
    const flags = MIGRATE_VMA_SELECT_SYSTEM;
    Object.assign(args, { vma, start, end, flags, owner: devices });
    expect(devices.migrate.setup(args)).toBe(0);
    expect(args.cpages).toBe(2);
    for (let i = 0; i < 2; i++) devices.pfns.set(args.dst, i, devices.activate(map, i, 0), 0);
    devices.migrate.pages(args);
    devices.migrate.finalize(args);
    expect(freed.length).toBe(2);
    expect(p.rss.anon).toBe(0);
    // A page that cannot wait for the reader is not had (make_device_exclusive).
    expect(devices.exclusive.make(p.mm, start, 0)).toBe(c.EFAULT);
    fd.copy(at, AB);
    expect(told(inspectKernel(kernel))).toEqual([]);
    devices.pagemaps.unmap(map);
    kernel.exitAll();
    expect(told(inspectKernel(kernel))).toEqual([]);
  });

  test("a swapped page is not missing", () => {
    const { kernel, p, fd, at, faults } = armed(design, { swap: "1MiB" });
    fd.copy(at, AB);
    p.madvise(at, PAGE, c.MADV_PAGEOUT);
    expect(p.pagemap(at).swapped).toBe(true);
    expect(errno(() => fd.copy(at, AB))).toBe("EEXIST");
    expect(p.read(at, PAGE)).toEqual(AB);
    expect(faults).toEqual([]);
    sound(kernel);
  });

  test("out of memory: nothing, or what fitted", () => {
    const { kernel, p, at, faults } = armed(design, { memory: "4MiB" });
    const memcg = kernel.createMemcg(3);
    const q = kernel.createProcess(memcg);
    const own = q.userfaultfd();
    const range = anon(q, 16);
    own.register(range, 16 * PAGE, MISSING);
    expect(own.copy(range, new Uint8Array(8 * PAGE))).toBe(3 * PAGE);
    expect(errno(() => own.copy(range + 3 * PAGE, AB))).toBe("ENOMEM");
    expect(kernel.memcg(memcg).usage).toBe(3);
    p.touch(at, "read");
    expect(faults.length).toBe(1);
    kernel.exitAll();
    expect(told(inspectKernel(kernel))).toEqual([]);
  });
});

describe("registering", () => {
  const setUp = (): { kernel: Kernel; p: Process; f: UserFaultFd; g: UserFaultFd; b: number } => {
    const kernel = bootKernel({ memory: "32MiB" }, "memdesc8");
    const p = kernel.createProcess();
    const [f, g] = [p.userfaultfd(), p.userfaultfd()];
    return { kernel, p, f, g, b: anon(p, 16) };
  };

  test("whole pages of the address space, where something is", () => {
    const { kernel, p, f, b } = setUp();
    const reg = (addr: number, length: number): string =>
      errno(() => f.register(addr, length, MISSING));
    expect(reg(b + 1, PAGE)).toBe("EINVAL");
    expect(reg(b, PAGE + 1)).toBe("EINVAL");
    expect(reg(b, 0)).toBe("EINVAL");
    expect(reg(0, PAGE)).toBe("EINVAL");
    expect(reg(0x8000, PAGE)).toBe("EINVAL");
    expect(reg(c.TASK_PAGES * PAGE, PAGE)).toBe("EINVAL");
    expect(reg((c.TASK_PAGES - 1) * PAGE, 2 * PAGE)).toBe("EINVAL");
    expect(errno(() => f.register(b, PAGE, { missing: false }))).toBe("EINVAL");
    expect(errno(() => f.register(b, PAGE, { missing: true, wp: true } as never))).toBe("EINVAL");
    expect(() => f.register(b, PAGE, 1 as never)).toThrow(TypeError);
    expect(() => f.register(b, NaN, MISSING)).toThrow(RangeError);
    p.munmap(b + 4 * PAGE, 4 * PAGE);
    expect(reg(b + 4 * PAGE, 4 * PAGE)).toBe("EINVAL");
    expect(reg((c.TASK_PAGES - 1) * PAGE, PAGE)).toBe("EINVAL");
    expect(reg(b + 6 * PAGE, 4 * PAGE)).toBe("0");
    expect(shape(p, b, 16)).toBe("0-4, 8-10 um, 10-16");
    expect(reg(b + 2 * PAGE, 8 * PAGE)).toBe("0");
    expect(shape(p, b, 16)).toBe("0-2, 2-4 um, 8-10 um, 10-16");
    expect(reg(b + 2 * PAGE, 8 * PAGE)).toBe("0");
    sound(kernel);
  });

  test("private anonymous memory, with whatever rights", () => {
    const { kernel, p, f } = setUp();
    const file = kernel.createFile("disk", 16 * PAGE);
    for (const flags of [c.MAP_PRIVATE, c.MAP_SHARED]) {
      const at = p.mmap({ length: 4 * PAGE, prot: RW, flags, file });
      expect(errno(() => f.register(at, PAGE, MISSING))).toBe("EINVAL");
      expect(errno(() => f.unregister(at, PAGE))).toBe("EINVAL");
    }
    // tmpfs and hugetlb are what the kernel takes and this does not (docs/fidelity.md).
    const shared = p.mmap({ length: PAGE, prot: RW, flags: c.MAP_SHARED | c.MAP_ANONYMOUS });
    expect(errno(() => f.register(shared, PAGE, MISSING))).toBe("EINVAL");
    for (const prot of [c.PROT_NONE, c.PROT_READ]) f.register(anon(p, 4, prot), 4 * PAGE, MISSING);
    file.close();
    expect(told(inspectKernel(kernel))).toEqual([]);
  });

  test("one userfaultfd for each page; neighbours of one merge, of two do not", () => {
    const { kernel, p, f, g, b } = setUp();
    f.register(b, 4 * PAGE, MISSING);
    expect(errno(() => g.register(b + PAGE, PAGE, MISSING))).toBe("EBUSY");
    expect(errno(() => g.register(b, 8 * PAGE, MISSING))).toBe("EBUSY");
    expect(shape(p, b, 16)).toBe("0-4 um, 4-16");
    g.register(b + 4 * PAGE, 4 * PAGE, MISSING);
    expect(shape(p, b, 16)).toBe("0-4 um, 4-8 um, 8-16");
    expect(errno(() => f.copy(b + 3 * PAGE, new Uint8Array(2 * PAGE)))).toBe("ENOENT");
    // Either fills what the other has registered, as long as somebody has.
    expect(f.copy(b + 4 * PAGE, AB)).toBe(PAGE);
    expect(errno(() => f.unregister(b + 4 * PAGE, PAGE))).toBe("EINVAL");
    expect(errno(() => f.unregister(b, 8 * PAGE))).toBe("EINVAL");
    expect(shape(p, b, 16)).toBe("0-4 um, 4-8 um, 8-16");
    g.unregister(b + 4 * PAGE, 12 * PAGE);
    f.register(b + 4 * PAGE, 4 * PAGE, MISSING);
    expect(shape(p, b, 16)).toBe("0-8 um, 8-16");
    f.unregister(b, 16 * PAGE);
    expect(shape(p, b, 16)).toBe("0-16");
    // Nothing was registered: nothing is wrong with that.
    f.unregister(b, 16 * PAGE);
    for (const [addr, length] of [
      [b + 1, PAGE],
      [b, PAGE + 1],
      [b, 0],
      [(c.TASK_PAGES - 1) * PAGE, PAGE],
    ])
      expect(errno(() => f.unregister(addr, length))).toBe("EINVAL");
    sound(kernel);
  });

  test("close gives all of it back, and is the last use; so is the end of the process", () => {
    const { kernel, p, f, g, b } = setUp();
    f.register(b, 2 * PAGE, MISSING);
    f.register(b + 6 * PAGE, 2 * PAGE, MISSING);
    g.register(b + 2 * PAGE, 2 * PAGE, MISSING);
    f.close();
    expect(shape(p, b, 16)).toBe("0-2, 2-4 um, 4-16");
    p.touch(b, "write");
    for (const use of [
      () => f.close(),
      () => f.register(b, PAGE, MISSING),
      () => f.unregister(b, PAGE),
      () => f.copy(b, AB),
      () => f.zeropage(b, PAGE),
      () => f.wake(b, PAGE),
    ])
      expect(errno(use)).toBe("EBADF");
    sound(kernel);
    for (const use of [() => g.close(), () => g.copy(b, AB), () => p.userfaultfd()])
      expect(errno(use)).toBe("ESRCH");
  });

  test("mremap: a place that moves leaves its userfaultfd behind", () => {
    const { kernel, p, f } = setUp();
    const fixed = c.MREMAP_MAYMOVE | c.MREMAP_FIXED;
    const r = anon(p, 8);
    f.register(r, 8 * PAGE, MISSING);
    f.copy(r, AB);
    const room = anon(p, 64);
    p.mremap(r, 4 * PAGE, 4 * PAGE, fixed, room);
    expect(shape(p, room, 4)).toBe("0-4");
    expect(shape(p, r, 8)).toBe("4-8 um");
    expect(p.read(room, PAGE)).toEqual(AB);
    expect(p.read(room + 3 * PAGE, 1)[0]).toBe(0);
    // What stays of a mapping that moves stays registered.
    const to = room + 16 * PAGE;
    p.mremap(r + 4 * PAGE, 4 * PAGE, 4 * PAGE, fixed | c.MREMAP_DONTUNMAP, to);
    expect([shape(p, to, 4), shape(p, r, 8)]).toEqual(["0-4", "4-8 um"]);
    expect(f.copy(r + 4 * PAGE, AB)).toBe(PAGE);
    // In place it grows with it.
    const g = anon(p, 8);
    p.munmap(g + 4 * PAGE, 4 * PAGE);
    f.register(g, 4 * PAGE, MISSING);
    expect(p.mremap(g, 4 * PAGE, 6 * PAGE)).toBe(g);
    expect(f.copy(g + 5 * PAGE, AB)).toBe(PAGE);
    const moved = p.mremap(g, 6 * PAGE, 20 * PAGE, c.MREMAP_MAYMOVE);
    expect(shape(p, moved, 20)).toBe("0-20");
    sound(kernel);
  });

  test("mremap: where it goes it merges with nobody, as it was registered when it came", () => {
    const { kernel, p, f } = setUp();
    const fixed = c.MREMAP_MAYMOVE | c.MREMAP_FIXED;
    for (const registered of [false, true]) {
      // Memory that nobody may touch keeps other neighbours away.
      const apart = anon(p, 128, c.PROT_NONE);
      const flags = ANON | c.MAP_FIXED;
      const room = p.mmap({ addr: apart + 8 * PAGE, length: 32 * PAGE, prot: RW, flags });
      p.munmap(room + 8 * PAGE, 8 * PAGE);
      const r = p.mmap({ addr: apart + 64 * PAGE, length: 4 * PAGE, prot: RW, flags });
      if (registered) f.register(r, 4 * PAGE, MISSING);
      p.mremap(r, 4 * PAGE, 4 * PAGE, fixed, room + 8 * PAGE);
      expect(shape(p, room, 32)).toBe(registered ? "0-8, 8-12, 16-32" : "0-12, 16-32");
    }
    sound(kernel);
  });

  test("mremap: mappings that are moved together are registered by nobody", () => {
    const { kernel, p, f } = setUp();
    const fixed = c.MREMAP_MAYMOVE | c.MREMAP_FIXED;
    for (const first of [0, 4]) {
      const [m, room] = [anon(p, 8), anon(p, 64) + 16 * PAGE];
      f.register(m + first * PAGE, 4 * PAGE, MISSING);
      expect(errno(() => p.mremap(m, 8 * PAGE, 8 * PAGE, fixed, room))).toBe("EFAULT");
      // As in 6.18 those before it have moved by then.
      expect(shape(p, m, 8)).toBe(first === 0 ? "0-4 um, 4-8" : "4-8 um");
    }
    sound(kernel);
  });
});

describe("waiting", () => {
  test("nobody reads, or the reader wakes nobody: it would wait for ever", () => {
    const { kernel, p, fd, at } = armed("memdesc8");
    fd.onFault = null;
    const stuck = (f: () => unknown): void => {
      expect(errno(f)).toBe("EDEADLK");
      expect(told(inspectKernel(kernel))).toEqual([]);
    };
    stuck(() => p.touch(at, "read"));
    stuck(() => p.write(at, AB));
    stuck(() => p.madvise(at, PAGE, c.MADV_POPULATE_READ));
    fd.copy(at, AB);
    // What GUP has by then it gives back.
    stuck(() => p.gup(at, 2 * PAGE, FOLL_PIN));
    stuck(() => p.gup(at, 2 * PAGE, FOLL_PIN, "slow"));
    fd.onFault = () => {};
    stuck(() => p.touch(at + PAGE, "read"));
    // It reads what is missing itself.
    fd.onFault = () => p.touch(at + 2 * PAGE, "read");
    stuck(() => p.touch(at + PAGE, "read"));
    // It brings another page.
    fd.onFault = () => fd.copy(at + 3 * PAGE, AB);
    stuck(() => p.touch(at + PAGE, "read"));
    fd.onFault = null;
    expect(() => p.touch(at + PAGE, "read")).toThrow(
      `process ${p.pid} reads 0x${(at + PAGE).toString(16)}: EDEADLK: it waits for its userfaultfd`,
    );
    sound(kernel);
  });

  test("who is woken without a page asks again; a page that wakes nobody is no answer", () => {
    const { kernel, p, fd, at } = armed("today");
    const asked: number[] = [];
    fd.onFault = ({ addr }) => {
      asked.push(addr);
      if (asked.length === 2) fd.copy(addr, AB);
      else fd.wake(addr, PAGE);
    };
    expect(p.read(at, 1)[0]).toBe(0xab);
    expect(asked).toEqual([at, at]);
    fd.onFault = ({ addr }) => fd.copy(addr, AB, { dontWake: true });
    expect(errno(() => p.touch(at + PAGE, "read"))).toBe("EDEADLK");
    expect(p.read(at + PAGE, 1)[0]).toBe(0xab);
    fd.onFault = ({ addr }) => {
      fd.zeropage(addr, PAGE, { dontWake: true });
      fd.wake(at, 16 * PAGE);
    };
    expect(p.read(at + 2 * PAGE, 1)[0]).toBe(0);
    for (const [addr, length] of [
      [at + 1, PAGE],
      [at, 0],
    ])
      expect(errno(() => fd.wake(addr, length))).toBe("EINVAL");
    // Where a page came between the fault and the wait there is nothing to wait for.
    fd.onFault = null;
    expect(kernel.faults.onRetry(p.mm, at / PAGE, false)).toBe(true);
    expect(kernel.faults.onRetry(p.mm, at / PAGE + 8, false)).toBe(false);
    sound(kernel);
  });

  test("unregister and close wake; a reader may unmap what was asked for", () => {
    const { kernel, p, fd, at } = armed("page32");
    fd.onFault = ({ addr }) => fd.unregister(addr, PAGE);
    expect(p.read(at, 1)[0]).toBe(0);
    expect(shape(p, at, 16)).toBe("0-1, 1-16 um");
    fd.onFault = ({ addr }) => {
      p.munmap(addr, PAGE);
      fd.wake(addr, PAGE);
    };
    expect(() => p.touch(at + PAGE, "read")).toThrow(SignalError);
    expect(() => p.gup(at + 2 * PAGE, PAGE, FOLL_PIN)).toThrow(/EFAULT/);
    fd.onFault = () => fd.close();
    p.touch(at + 3 * PAGE, "write");
    expect(shape(p, at, 16)).toBe("0-1, 3-16");
    sound(kernel);
  });

  test("what a reader throws comes out of the access, with nothing held", () => {
    const { kernel, p, fd, at } = armed("slot64");
    const oops = new Error("oops");
    const filled = fd.onFault;
    fd.onFault = ({ addr, write }) => {
      if (addr >= at + 3 * PAGE) throw oops;
      filled?.({ addr, write });
    };
    for (const f of [
      () => p.touch(at + 3 * PAGE, "read"),
      () => p.gup(at, 4 * PAGE, FOLL_PIN | FOLL_WRITE),
      () => p.gup(at, 4 * PAGE, FOLL_WRITE, "slow"),
      () => p.madvise(at, 4 * PAGE, c.MADV_POPULATE_WRITE),
    ]) {
      expect(f).toThrow(oops);
      expect(kernel.userFaults.waits(p.mm)).toBe(false);
      expect(told(inspectKernel(kernel))).toEqual([]);
    }
    fd.onFault = filled;
    expect(p.read(at + 3 * PAGE, 1)[0]).toBe(0xab);
    sound(kernel);
  });

  test("its process cannot end under it; another fd's reader is another thread", () => {
    const { kernel, p, fd, at } = armed("memdesc16");
    fd.onFault = ({ addr }) => {
      expect(errno(() => p.exit())).toBe("EBUSY");
      fd.copy(addr, AB);
    };
    p.touch(at, "read");
    const other = p.userfaultfd();
    const range = anon(p, 4);
    other.register(range, 4 * PAGE, MISSING);
    other.onFault = ({ addr }) => other.copy(addr, new Uint8Array(PAGE).fill(3));
    // The source of a copy may itself be missing.
    fd.onFault = ({ addr }) => fd.copy(addr, p.read(range, PAGE));
    expect(p.read(at + PAGE, 1)[0]).toBe(3);
    sound(kernel);
  });

  test("who mirrors the process hears nothing of a page that was put in: there was none", () => {
    const { kernel, p, fd, at } = armed("today");
    const heard: number[] = [];
    const { notifiers } = kernel.base;
    notifiers.insert(p.mm, at / PAGE, 16, {
      invalidate: (range) => {
        heard.push(range.event);
        return true;
      },
    });
    fd.copy(at, AB);
    fd.zeropage(at + PAGE, PAGE);
    p.touch(at + 2 * PAGE, "write");
    expect(heard).toEqual([]);
    p.madvise(at, PAGE, c.MADV_DONTNEED);
    expect(heard).toEqual([MMU_NOTIFY_CLEAR]);
    expect(told(inspectKernel(kernel))).toEqual([]);
  });
});
