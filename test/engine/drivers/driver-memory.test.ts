/**
 * A driver says what it needs and gets the cheapest kind that has it, or every
 * kind's reason why not.
 */
import fc from "fast-check";
import assert from "node:assert/strict";
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { DriverMemory, type DriverBlock } from "../../../src/engine/drivers/driver-memory.js";
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../../src/engine/process/gup.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { broken, freePages } from "./check.js";

const DESIGNS = ["today", "today+separated=all", "page32", "memdesc16", "memdesc8", "slot64"];
const boot = (design: string): Kernel => Kernel.boot({ memory: "16MiB" }, parseDesign(design));

describe.each(DESIGNS)("%s", (design) => {
  test("load and store only: Misc, mapped by frame number, GUP refused", () => {
    const kernel = boot(design);
    const memory = new DriverMemory(kernel);
    const block = memory.allocate({ userMap: true, order: 1 });
    expect(block.kind).toBe("misc");
    const p = kernel.createProcess();
    const at = block.mmap(p);
    p.write(at + 4096, Uint8Array.of(5));
    expect(p.read(at + 4096, 1)[0]).toBe(5);
    expect(() => p.gup(at, 4096, FOLL_PIN)).toThrow(/EFAULT/);
    expect(() => p.gup(at, 4096, FOLL_PIN, "slow")).toThrow(/EFAULT/);
    expect(broken(kernel)).toEqual([]);
    p.exit();
    expect(block.free()).toEqual([]);
  });

  test("GUP or pins: a folio, which outlives the driver's own reference", () => {
    const kernel = boot(design);
    const memory = new DriverMemory(kernel);
    const block = memory.allocate({ userMap: true, gup: true, pin: true, refcount: true });
    expect(block.kind).toBe("folio");
    const p = kernel.createProcess();
    const at = block.mmap(p);
    const pin = p.gup(at, 4096, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM);
    expect(broken(kernel)).toEqual([]);
    expect(block.free()).toEqual([]);
    p.exit();
    expect(broken(kernel)).toEqual([]);
    pin.write(0, Uint8Array.of(9));
    expect(pin.read(0, 1)[0]).toBe(9);
    pin.release();
    expect(broken(kernel)).toEqual([]);
  });

  test("a page freed under a mapping by frame number is named", () => {
    const kernel = boot(design);
    const block = new DriverMemory(kernel).allocate({ userMap: true });
    const p = kernel.createProcess();
    const at = block.mmap(p);
    expect(block.free()).toEqual([{ pid: p.pid, addr: at, pfn: block.pfn }]);
  });

  test("every kind gives its memory back", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            kind: fc.constantFrom("misc", "managed", "folio") as fc.Arbitrary<DriverBlock["kind"]>,
            order: fc.integer({ min: 0, max: 3 }),
            gets: fc.integer({ min: 0, max: 2 }),
          }),
          { maxLength: 12 },
        ),
        (wanted) => {
          const kernel = boot(design);
          const memory = new DriverMemory(kernel);
          const before = freePages(kernel);
          const blocks: [DriverBlock, number][] = [];
          for (const { kind, order, gets } of wanted) {
            const offer = memory.offers({ order }).find((o) => o.kind === kind);
            if (offer?.refused !== null) {
              assert.throws(() => memory.make(kind, { order }), /EOPNOTSUPP/);
              continue;
            }
            const block = memory.make(kind, { order });
            assert.equal(block.bytesPerPage * 2 ** order, offer.bytes);
            const counted = memory
              .offers({ order, refcount: true })
              .some((o) => o.kind === kind && o.refused === null);
            if (counted) for (let i = 0; i < gets; i++) block.get();
            if (counted) assert.equal(block.references, 1 + gets);
            else assert.throws(() => block.get(), /EOPNOTSUPP/);
            blocks.push([block, counted ? 1 + gets : 0]);
          }
          assert.deepEqual(broken(kernel), []);
          for (const [block, references] of blocks) {
            if (references === 0) block.free();
            for (let i = references; i > 0; i--) assert.equal(block.put(), i === 1);
          }
          assert.equal(freePages(kernel), before);
        },
      ),
      { numRuns: 8, seed: 3 },
    );
  });
});

const KINDS: Readonly<Record<string, readonly string[]>> = {
  // nothing · list · refcount · refcount and list · GUP
  today: ["misc", "misc", "misc", "misc", "folio"],
  page32: ["misc", "folio", "misc", "folio", "folio"],
  memdesc16: ["misc", "managed", "managed", "managed", "folio"],
  memdesc8: ["misc", "managed", "managed", "managed", "folio"],
  slot64: ["misc", "folio", "misc", "folio", "folio"],
};

test.each(Object.entries(KINDS))("%s: the cheapest legal kind", (design, kinds) => {
  const memory = new DriverMemory(boot(design));
  const needs = [
    {},
    { list: true },
    { refcount: true },
    { refcount: true, list: true },
    { gup: true },
  ];
  expect(needs.map((n) => memory.allocate(n).kind)).toEqual(kinds);
});

test("refusals name their reason", () => {
  const memory = new DriverMemory(boot("memdesc8"));
  const reasons = Object.fromEntries(
    memory.offers({ gup: true }).map(({ kind, refused }) => [kind, refused]),
  );
  expect(reasons).toEqual({
    misc: "Misc pages are mapped by frame number, and GUP refuses that (EFAULT)",
    managed: "mgdesc has a reference count and a list head; GUP and pins need a folio",
    folio: null,
  });
  expect(() => memory.make("misc", { refcount: true })).toThrow(
    /EOPNOTSUPP: Misc has no reference count/,
  );
  expect(() => new DriverMemory(boot("page32")).make("managed")).toThrow(/no code for managed/);
  expect(() => memory.allocate({ order: 11 })).toThrow(/order is a whole number, 0 … 10, not 11/);
});

test("a block is freed once and not used after it, a driver closed once", () => {
  const kernel = boot("today");
  const memory = new DriverMemory(kernel);
  const block = memory.allocate({ userMap: true });
  block.free();
  for (const use of [
    () => block.free(),
    () => block.mmap(kernel.createProcess()),
    () => block.get(),
    () => block.put(),
    () => block.references,
  ])
    expect(use).toThrow(/EINVAL: it was freed/);
  expect(() => memory.make("gold" as never)).toThrow(/one of "misc", "managed", "folio"/);
  memory.close();
  expect(() => memory.close()).toThrow(/EBADF/);
});
