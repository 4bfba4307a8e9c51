/**
 * A what-if is another machine, built like any other: the same pages regrouped,
 * rounded up or scaled, and refused where they do not fit.
 */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { SparseWords } from "../../src/engine/words/sparse.js";
import { classify } from "../../src/observe/classify/classify.js";
import { InputError } from "../../src/observe/input-error.js";
import { populate } from "../../src/observe/roundtrip/populate.js";
import { openSource } from "../../src/observe/source.node.js";
import { applyWhatIfs, type Source } from "../../src/observe/what-if/apply.js";
import { kindRows } from "../../src/report/kinds.js";
import { FIXTURES } from "./helpers.js";

let source: Source;
beforeAll(async () => {
  const snapshot = await openSource(join(FIXTURES, "guest-6.12"));
  source = { snapshot, classification: classify(snapshot) };
});

const rows = (s: Source) =>
  Object.fromEntries(
    kindRows(s.classification.objects, s.snapshot.zones, s.snapshot.pageSize).map((r) => [
      r.kind,
      r,
    ]),
  );

const frames = (s: Source): number => Object.values(rows(s)).reduce((sum, r) => sum + r.pages, 0);

describe("file-order", () => {
  test.each([0, 1, 4, 9])(
    "%i: the same pages in folios of that order, the last rounded up",
    (order) => {
      const was = rows(source).file;
      const after = applyWhatIfs(source, [`file-order=${order}`]);
      const now = rows(after).file;
      expect(now.objects).toBe(Math.ceil(was.pages / 2 ** order));
      expect(now.pages).toBe(now.objects * 2 ** order);
      expect([now.meanOrder, now.largestOrder]).toEqual([order, order]);
      // What rounding takes comes from free memory; every other kind stays as it was.
      expect(rows(after).free.pages).toBe(rows(source).free.pages - (now.pages - was.pages));
      for (const kind of ["anon", "slab", "page-table", "reserved", "kernel"]) {
        expect(rows(after)[kind].pages).toBe(rows(source)[kind].pages);
      }
    },
  );

  test("the machine is built: descriptors of that many large folios are allocated", () => {
    const after = applyWhatIfs(source, ["file-order=4"]);
    const { machine } = populate(after.snapshot, after.classification, "memdesc8");
    const large = machine.caches.usage().find((u) => u.name === "large folio");
    expect(large?.objects).toBe(rows(after).file.objects);
  });

  test("what does not fit is refused, with how much is missing", () => {
    // Its single pages, 16 times as much each.
    const all = () => applyWhatIfs(source, ["page-size=64k"]);
    expect(all).toThrow(InputError);
    expect(all).toThrow(/does not fit: .*[MG]iB too little memory/);
  });
});

test("page-size=16k rounds each object up to whole pages of 16 KiB", () => {
  // Regrouped first: single pages rounded up would not fit into this machine.
  const regrouped = applyWhatIfs(source, ["anon-order=4", "shmem-order=4", "file-order=4"]);
  const before = rows(regrouped);
  const after = applyWhatIfs(regrouped, ["page-size=16k"]);
  const now = rows(after);
  expect(after.snapshot.pageSize).toBe(16384);
  for (const kind of ["anon", "file", "shmem"]) expect(now[kind].bytes).toBe(before[kind].bytes);
  expect(now["page-table"].pages).toBe(before["page-table"].pages);
  const { machine } = populate(after.snapshot, after.classification, "today");
  expect(machine.pageArrayBytes).toBe((source.snapshot.frames / 4) * 64);
});

test("ram=1TiB keeps the mix", () => {
  const after = applyWhatIfs(source, ["ram=1TiB"]);
  const was = rows(source);
  const now = rows(after);
  const existing = frames(after) - now.absent.pages;
  expect(existing).toBe(2 ** 28);
  const factor = 2 ** 28 / (frames(source) - was.absent.pages);
  for (const kind of ["file", "shmem", "anon", "slab", "page-table"]) {
    expect(now[kind].pages / was[kind].pages / factor).toBeCloseTo(1, 2);
    expect(now[kind].meanOrder).toBeCloseTo(was[kind].meanOrder ?? 0, 1);
  }
});

test.each(["file-order=x", "file-order=12", "ram=3", "page-size=7k", "colour=red", "", "ram"])(
  "%s is refused by name",
  (text) => {
    expect(() => applyWhatIfs(source, [text])).toThrow(InputError);
  },
);

test("a machine beyond 64 GiB is built on sparse words without being asked", () => {
  const after = applyWhatIfs(source, ["ram=256GiB"]);
  const { machine } = populate(after.snapshot, after.classification, "today");
  expect(machine.w).toBeInstanceOf(SparseWords);
  expect(machine.pageArrayBytes).toBe(2 ** 32);
});
