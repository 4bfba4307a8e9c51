/**
 * What scattered memory is used for, on every legal combination: huge areas,
 * parts of areas, two mappings of one area, kernel stacks, ring buffers, lists;
 * and what happens when memory runs out in the middle.
 */
import assert from "node:assert/strict";
import { describe, expect, test } from "vitest";
import type { Design } from "../../../src/engine/design/presets.js";
import { scatteredMatrix } from "../../../src/engine/design/scattered-matrix.js";
import {
  MADV_DONTNEED,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MREMAP_DONTUNMAP,
  MREMAP_MAYMOVE,
} from "../../../src/engine/process/constants.js";
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { broken, freePages } from "../drivers/check.js";

const PAGE = 4096;
const PRESETS = ["today", "page32", "memdesc16", "memdesc8"];
const DESIGNS: Design[] = PRESETS.flatMap((p) => [...scatteredMatrix(p).legal]);
const boot = (design: Design, nodes = 1): Kernel => Kernel.boot({ memory: "16MiB", nodes }, design);
/** What holds an object: everything but frames mapped by number. */
const counts = (design: Design): boolean => design.scattered !== "none";

describe.each(DESIGNS)("$name", (design) => {
  test("a huge area is mapped by PMDs and has 512 pages to count", () => {
    const kernel = boot(design);
    const before = freePages(kernel);
    const area = kernel.scattered.alloc(513 * PAGE, { huge: true });
    expect([area.pages, area.huge]).toEqual([1024, true]);
    area.write(600 * PAGE - 2, Uint8Array.of(1, 2, 3, 4));
    const p = kernel.createProcess();
    const at = area.mmap(p, { first: 599, pages: 2 });
    expect([...p.read(at + PAGE - 2, 4)]).toEqual([1, 2, 3, 4]);
    for (let i = 0; i < area.pages; i += 100)
      assert.equal(kernel.machine.design.zoneOf(area.frame(i)), 0);
    p.exit();
    expect(area.free()).toEqual({ freed: 1024, kept: 0, stale: [] });
    expect(freePages(kernel)).toBe(before);
  });

  test("pages of several nodes know their node", () => {
    const kernel = boot(design, 2);
    const { machine, scattered } = kernel;
    const area = scattered.alloc(2060 * PAGE);
    const nodes = new Set<number>();
    for (const pfn of area.frames()) {
      assert.equal(machine.design.zoneOf(pfn), machine.zones.ownerOf(pfn));
      nodes.add(machine.zones.ownerOf(pfn));
    }
    expect([...nodes].sort()).toEqual([0, 1]);
    area.free();
  });

  test("two mappings of one area see the same bytes; the last holder frees it", () => {
    const kernel = boot(design);
    const area = kernel.scattered.alloc(3 * PAGE);
    const [p, q] = [kernel.createProcess(), kernel.createProcess()];
    const a = area.mmap(p);
    const b = area.mmap(q, { first: 1, pages: 2 });
    p.write(a + 2 * PAGE, Uint8Array.of(7));
    expect(q.read(b + PAGE, 1)[0]).toBe(7);
    const report = area.free();
    if (!counts(design)) {
      assert.deepEqual([report.freed, report.stale.length], [3, 5]);
      return;
    }
    expect(report).toEqual({ freed: 0, kept: 3, stale: [] });
    p.exit();
    expect(q.read(b + PAGE, 1)[0]).toBe(7);
    const before = kernel.scattered.objects.freedPages;
    q.exit();
    if (!kernel.scattered.objects.asFolio)
      assert.equal(
        kernel.scattered.objects.freedPages - before,
        design.scattered === "per-page" ? 2 : 3,
      );
    expect(broken(kernel)).toEqual([]);
  });

  test("a pin outlives mapping, process and area", () => {
    const kernel = boot(design);
    const area = kernel.scattered.alloc(2 * PAGE);
    const p = kernel.createProcess();
    const at = area.mmap(p);
    if (!counts(design)) {
      assert.throws(() => p.gup(at, PAGE, FOLL_PIN), /EFAULT/);
      return;
    }
    const pin = p.gup(at + PAGE, 1, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM);
    p.exit();
    expect(area.free().kept).toBe(design.scattered === "per-page" ? 1 : 2);
    pin.write(0, Uint8Array.of(42));
    expect(pin.read(0, 1)[0]).toBe(42);
    expect(broken(kernel)).toEqual([]);
    pin.release();
    expect(broken(kernel)).toEqual([]);
  });

  test("what mremap and madvise may not, and touching what was given up", () => {
    const kernel = boot(design);
    const area = kernel.scattered.alloc(2 * PAGE);
    const p = kernel.createProcess();
    const at = area.mmap(p);
    expect(() => p.mremap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)).toThrow(
      /EINVAL/,
    );
    expect(() => p.mremap(at, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE)).toThrow(/EFAULT/);
    if (!counts(design)) {
      assert.throws(() => p.madvise(at, PAGE, MADV_DONTNEED), /EINVAL/);
      return;
    }
    p.madvise(at, PAGE, MADV_DONTNEED);
    expect(() => p.read(at, 1)).toThrow(/SIGBUS/);
    expect(p.read(at + PAGE, 1)[0]).toBe(0);
    p.exit();
    expect(area.free().freed).toBe(2);
  });

  test("populated once more, it is there and nobody holds it", () => {
    const kernel = boot(design);
    const area = kernel.scattered.alloc(2 * PAGE);
    const p = kernel.createProcess();
    const at = area.mmap(p);
    const before = area.references;
    if (!counts(design)) {
      assert.throws(() => p.madvise(at, 2 * PAGE, MADV_POPULATE_WRITE), /EINVAL/);
      return;
    }
    p.madvise(at, 2 * PAGE, MADV_POPULATE_READ);
    p.madvise(at, 2 * PAGE, MADV_POPULATE_WRITE);
    expect(area.references).toBe(before);
    p.exit();
    expect(area.free()).toEqual({ freed: 2, kept: 0, stale: [] });
  });

  test("kernel stacks: four pages and a guard page", () => {
    const kernel = boot(design);
    const before = freePages(kernel);
    const stacks = [kernel.scattered.stack(), kernel.scattered.stack()];
    stacks[0].push(Uint8Array.of(1, 2, 3));
    stacks[1].push(new Uint8Array(4 * PAGE).fill(9));
    expect([...stacks[0].pop(3)]).toEqual([1, 2, 3]);
    expect(() => stacks[1].push(Uint8Array.of(1))).toThrow(/the kernel touches what it maps/);
    expect(() => stacks[1].area.mmap(kernel.createProcess())).toThrow(/EINVAL.*VM_USERMAP/);
    for (const s of stacks) s.free();
    kernel.exitAll();
    expect(freePages(kernel)).toBe(before);
  });

  test("a ring buffer: written by the kernel, read and passed on by a process", () => {
    const kernel = boot(design);
    const ring = kernel.scattered.ringBuffer(1);
    const p = kernel.createProcess();
    const at = ring.mmap(p);
    const record = Uint8Array.from({ length: 3000 }, (_, i) => i & 0xff);
    ring.emit(record);
    ring.emit(record);
    expect(() => ring.emit(record)).toThrow(/ENOSPC/);
    expect([...p.read(at + PAGE + 3000, 3)]).toEqual([0, 1, 2]);
    const file = kernel.createFile("disk");
    if (counts(design)) {
      ring.writeOut(p, at, 6000, file);
      ring.emit(record);
      ring.writeOut(p, at, 3000, file);
      assert.deepEqual([...file.read(6000, 3000)], [...record]);
      assert.deepEqual([ring.head, ring.tail], [9000, 9000]);
    } else assert.throws(() => ring.writeOut(p, at, 6000, file), /EFAULT/);
    p.exit();
    expect(ring.free().freed).toBe(3);
  });

  test("a list of pages: mapped, seen by the kernel through vmap, gone with its last holder", () => {
    const kernel = boot(design);
    if (design.scattered === "vm-struct") {
      assert.throws(() => kernel.scattered.list(4), /EOPNOTSUPP.*the count is in vm_struct/);
      return;
    }
    const before = freePages(kernel);
    const list = kernel.scattered.list(4);
    const view = list.vmap();
    view.write(PAGE, Uint8Array.of(3));
    const p = kernel.createProcess();
    const at = list.mmap(p, { first: 1, pages: 1 });
    expect(p.read(at, 1)[0]).toBe(3);
    expect(() => view.mmap(p)).toThrow(/EINVAL.*their owner's to map/);
    p.munmap(at, PAGE);
    expect(list.free().kept).toBe(design.scattered === "scamem" ? 4 : 0);
    view.free();
    p.exit();
    expect(freePages(kernel)).toBe(before);
  });

  test("a view of a list that is freed may not be used, unless it holds the list", () => {
    if (design.scattered === "vm-struct") return;
    const { scattered, machine } = boot(design);
    const list = scattered.list(3);
    const view = list.vmap();
    view.write(2 * PAGE, Uint8Array.of(7));
    list.free();
    const use = (): Uint8Array => view.read(2 * PAGE, 1);
    if (design.scattered === "scamem") assert.equal(use()[0], 7);
    else {
      assert.throws(use, /view of 3.*its owner freed it/);
      assert.throws(() => view.write(0, Uint8Array.of(1)), /its owner freed it/);
      // Nor when the frames are a list's again.
      machine.allocator.drainAll();
      const next = scattered.list(3);
      assert.throws(use, /its owner freed it/);
      next.free();
    }
    // Who holds the list frees it with the view; else nothing of it is left.
    expect(view.free()).toEqual({
      freed: design.scattered === "scamem" ? 3 : 0,
      kept: 0,
      stale: [],
    });
  });

  test("memory runs out at any point: nothing is half done", () => {
    const kernel = boot(design);
    const { scattered, machine } = kernel;
    const p = kernel.createProcess();
    const before = freePages(kernel);
    let refused = 0;
    let done = false;
    for (let n = 0; !done; n++) {
      machine.allocator.failAfter = n;
      try {
        const area = scattered.alloc(260 * PAGE);
        try {
          area.mmap(p);
          done = true;
        } finally {
          machine.allocator.failAfter = -1;
          for (const { start, end } of p.maps()) p.munmap(start, end - start);
          area.free();
        }
      } catch (error) {
        assert.match(String(error), /ENOMEM/);
        refused++;
      }
      machine.allocator.failAfter = -1;
      if (n % 8 === 0 || n > 250) assert.equal(freePages(kernel), before);
      // Every page of the area is one allocation; those in the middle are alike.
      if (n === 20) n = 258;
    }
    assert.ok(refused > 20);
    expect(freePages(kernel)).toBe(before);
    expect(broken(kernel)).toEqual([]);
  });
});

describe("whom a mapping holds", () => {
  const of = (lookup: string): Kernel =>
    boot(
      scatteredMatrix("memdesc8").legal.find(
        (d) => d.scattered === "scamem" && d.scatteredLookup === lookup,
      ) as Design,
    );

  test("word: each mapped page has a reference", () => {
    const kernel = of("word");
    const area = kernel.scattered.alloc(4 * PAGE);
    const p = kernel.createProcess();
    const at = area.mmap(p);
    expect(area.references).toBe(5);
    p.munmap(at + PAGE, PAGE);
    expect(area.references).toBe(4);
    p.fork();
    expect(area.references).toBe(7);
  });

  test("vma-private: each VMA has one, copied by fork, split and mremap", () => {
    const kernel = of("vma-private");
    const area = kernel.scattered.alloc(4 * PAGE);
    const p = kernel.createProcess();
    const at = area.mmap(p);
    expect(area.references).toBe(2);
    p.munmap(at + PAGE, PAGE);
    expect(area.references).toBe(3);
    p.fork();
    expect(area.references).toBe(5);
    p.mremap(at, PAGE, PAGE, MREMAP_MAYMOVE);
    expect(area.references).toBe(5);
  });

  test("file-private: the open file has one, whoever maps it; another object is refused", () => {
    const kernel = of("file-private");
    const { scattered } = kernel;
    const area = scattered.alloc(4 * PAGE);
    const p = kernel.createProcess();
    const file = scattered.openDevice();
    area.mmap(p, { file });
    area.mmap(p, { file, first: 2 });
    p.fork();
    expect(area.references).toBe(2);
    expect(() => scattered.alloc(PAGE).mmap(p, { file })).toThrow(/EBUSY/);
    file.close();
    expect(area.references).toBe(2);
    kernel.exitAll();
    expect(area.references).toBe(1);
  });
});
