/**
 * A TTM table of own, user and imported pages: which way of telling them apart
 * works in which design, and who gets hurt where it does not.
 */
import assert from "node:assert/strict";
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { PrivateWriter, TtmDevice, type Recognition } from "../../../src/engine/drivers/ttm.js";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../../../src/engine/process/constants.js";
import { FOLL_PIN } from "../../../src/engine/process/gup.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import { ref } from "../../../src/units.js";
import { broken } from "./check.js";

const boot = (design: string): Kernel => Kernel.boot({ memory: "16MiB" }, parseDesign(design));
const userMemory = (p: Process, pages: number): number => {
  const at = p.mmap({
    length: pages * 4096,
    prot: PROT_READ | PROT_WRITE,
    flags: MAP_PRIVATE | MAP_ANONYMOUS,
  });
  for (let i = 0; i < pages; i++) p.write(at + i * 4096, Uint8Array.of(i));
  return at;
};

/** Which ways there are in each design; private only where the pool leaves it alone. */
const WAYS: Readonly<Record<string, readonly Recognition[]>> = {
  today: ["mapping", "private", "folio", "table"],
  "today+separated=all": ["mapping", "private", "folio", "table"],
  slot64: ["mapping", "private", "folio", "table"],
  page32: ["private", "folio", "table"],
  memdesc16: ["private", "folio", "table"],
  memdesc8: ["folio", "table"],
};
const CASES = Object.entries(WAYS).flatMap(([design, ways]) =>
  ways.map((way) => [design, way] as const),
);

describe.each(CASES)("%s by %s", (design, recognise) => {
  test("own, user and imported pages in one table", () => {
    const kernel = boot(design);
    const gpu = new TtmDevice(kernel, { recognise, poolOrder: "table" });
    const other = new PrivateWriter(kernel);
    const p = kernel.createProcess();
    const table = gpu.table();
    table.populate(3);
    table.addUserPages(p, userMemory(p, 2), 2 * 4096);
    table.importPages(other.allocate(2));
    table.write(3 * 4096, Uint8Array.of(88));
    expect(() => table.mmap(p)).toThrow(/EPERM/);
    expect(broken(kernel)).toEqual([]);
    expect(table.unpopulate()).toEqual({ freed: 3, wrong: [] });
    expect(gpu.lent).toBe(0);
    expect(kernel.userPages.size).toBe(0);
    other.free();
    expect(broken(kernel)).toEqual([]);
  });

  test("mapped by frame number: stores work, GUP is refused, fork and exit count nothing", () => {
    const kernel = boot(design);
    const gpu = new TtmDevice(kernel, { recognise, poolOrder: "table" });
    const p = kernel.createProcess();
    const table = gpu.table();
    table.populate(2);
    const at = table.mmap(p);
    p.write(at, Uint8Array.of(4));
    table.write(4096, Uint8Array.of(5));
    const child = p.fork();
    expect([child.read(at, 1)[0], child.read(at + 4096, 1)[0]]).toEqual([4, 5]);
    for (const how of ["fast", "slow"] as const)
      assert.throws(() => child.gup(at, 4096, FOLL_PIN, how), /EFAULT/);
    expect(broken(kernel)).toEqual([]);
    p.exit();
    child.exit();
    expect(table.unpopulate()).toEqual({ freed: 2, wrong: [] });
  });

  test("a second driver writes private of pages that it is given", () => {
    const kernel = boot(design);
    const gpu = new TtmDevice(kernel, { recognise, poolOrder: "table" });
    const other = new PrivateWriter(kernel);
    const table = gpu.table();
    table.populate(1);
    const lent = table.frames[0];
    const write = (): void => other.writePrivate(lent, ref(0x1230));
    if (design === "memdesc8") assert.throws(write, /EOPNOTSUPP.*no private word/);
    else if (recognise === "folio" && !design.startsWith("today"))
      assert.throws(write, /private belongs to bare pages/);
    else write();
    const { freed, wrong } = table.unpopulate();
    const byPrivate = recognise === "private";
    expect(freed).toBe(byPrivate ? 0 : 1);
    expect(wrong.map((v) => v.message)).toEqual(
      byPrivate
        ? [
            `a driver knows its own pages: frame ${lent}: it is its own, not recognised, and lost (recognised by private)`,
          ]
        : [],
    );
  });

  test("imported pages whose private says what the driver's own say", () => {
    const kernel = boot(design);
    const gpu = new TtmDevice(kernel, { recognise, poolOrder: "table" });
    const other = new PrivateWriter(kernel);
    const [page] = other.allocate(1);
    if (design !== "memdesc8") other.writePrivate(page, gpu.devMapping);
    const table = gpu.table();
    table.importPages([page]);
    const { freed, wrong } = table.unpopulate();
    expect(freed).toBe(0);
    expect(wrong.map((v) => v.pfn)).toEqual(recognise === "private" ? [page] : []);
  });
});

test("what a design's pages have not is refused, by name", () => {
  for (const design of ["page32", "memdesc16", "memdesc8"])
    expect(() => new TtmDevice(boot(design))).toThrow(
      /EOPNOTSUPP: a page of .* has no mapping word/,
    );
  expect(() => new TtmDevice(boot("memdesc8"), { recognise: "private" })).toThrow(
    /EOPNOTSUPP: a page of memdesc8 has no private word/,
  );
  for (const design of ["today", "page32", "memdesc16"])
    expect(() => new TtmDevice(boot(design), { recognise: "private" })).toThrow(
      /EBUSY: private is taken: the pool keeps the page's order there/,
    );
});

describe.each(["today", "today+separated=all", "page32", "memdesc16"])(
  "%s: the pool that keeps the order in private",
  (design) => {
    test("does not free by an order that somebody else wrote, and says so", () => {
      const kernel = boot(design);
      const recognise = design.startsWith("today") ? "mapping" : "table";
      const gpu = new TtmDevice(kernel, { recognise });
      expect(gpu.poolOrder).toBe("private");
      const other = new PrivateWriter(kernel);
      const table = gpu.table();
      table.populate(2);
      const [written, alone] = table.frames;
      other.writePrivate(written, ref(0x1230));
      const { freed, wrong } = table.unpopulate();
      expect(freed).toBe(1);
      expect(wrong.map((v) => v.message)).toEqual([
        `the pool's order is the page's: frame ${written}: its private says 0x12300, and the pool would free a block of that order; it is one page`,
      ]);
      expect(gpu.lent).toBe(1);
      expect(() => gpu.freePage(written)).toThrow(/the pool's order/);
      expect(alone).not.toBe(written);
      // With its word put right it goes.
      other.writePrivate(written, ref(0));
      gpu.freePage(written);
      expect(gpu.lent).toBe(0);
      expect(broken(kernel)).toEqual([]);
    });
  },
);

test("wrong arguments and uses after the end are refused", () => {
  const kernel = boot("today");
  expect(() => new TtmDevice(kernel, { recognise: "colour" as never })).toThrow(
    /recognise is one of/,
  );
  const gpu = new TtmDevice(kernel, { recognise: "folio" });
  const table = gpu.table();
  expect(() => table.populate(-1)).toThrow(RangeError);
  expect(() => table.importPages([2 ** 30])).toThrow(/a frame is a whole number/);
  expect(() => table.write(0, Uint8Array.of(1))).toThrow(RangeError);
  gpu.close();
  expect(() => gpu.close()).toThrow(/EBADF/);
});
