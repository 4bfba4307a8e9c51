/**
 * Counts of kinds and their agreement with the kernel's own totals, on machines
 * that stood still while they were read.
 */
import fc from "fast-check";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { classify } from "../../src/observe/classify/classify.js";
import { kindId } from "../../src/observe/kinds.js";
import type { ObjectRuns } from "../../src/observe/objects.js";
import type { ZoneInfo } from "../../src/observe/snapshot.js";
import { openSource } from "../../src/observe/source.node.js";
import { freeBlocks, kindRows } from "../../src/report/kinds.js";
import { kindsReport } from "../../src/report/kinds-report.js";
import { framesWithPageStructure } from "../../src/report/sections.js";
import type { InspectReport } from "../../src/report/model.js";
import { nodeId, pageCount, pfn } from "../../src/units.js";

async function report(name: string): Promise<InspectReport> {
  const path = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
  const snapshot = await openSource(path, { pages: "flags-only" });
  return kindsReport(snapshot, classify(snapshot), null);
}

const residues = (r: InspectReport): Record<string, number> =>
  Object.fromEntries(r.reconciliation.map((row) => [`${row.name} | ${row.source}`, row.residue]));

describe("a machine that stood still", () => {
  it("6.12: agrees with the kernel's totals to the page", async () => {
    const found = residues(await report("guest-6.12"));
    expect(found).toMatchObject({
      "page array | vmstat nr_memmap_boot_pages + nr_memmap_pages": 0,
      "free pages | buddyinfo": 0,
      "free pages | zoneinfo free": 0,
      "slab | slabinfo": 0,
      "file + shmem | meminfo Cached + Buffers": 0,
      "shmem | meminfo Shmem": 0,
      "hugetlb | meminfo Hugetlb": 0,
    });
    for (let order = 0; order <= 10; order++) {
      expect(found[`free blocks, order ${order} | buddyinfo`]).toBe(0);
    }
  });

  it("6.1: agrees with buddyinfo, and says that the page array has no total there", async () => {
    const r = await report("guest-6.1");
    expect(residues(r)).toMatchObject({ "free pages | buddyinfo": 0, "shmem | meminfo Shmem": 0 });
    expect(r.reconciliation.some((row) => row.name === "page array")).toBe(false);
    expect(r.notes.map((note) => note.subject)).toContain("vmstat nr_memmap_boot_pages");
  });

  it("6.18: the page array has the size that vmstat says, holes and all", async () => {
    const found = residues(await report("vm-6.18"));
    expect(found["page array | vmstat nr_memmap_boot_pages + nr_memmap_pages"]).toBe(0);
  });
});

describe("vmemmap optimisation", () => {
  it("gives back 7 of 8 vmemmap pages of 2 MiB; shared tails one page less", async () => {
    const { vmemmap } = await report("guest-6.12");
    const array = 65_536 * 64;
    expect(vmemmap.map((row) => [row.saved, row.total])).toEqual([
      [2 * 7 * 4096, array - 2 * 7 * 4096],
      [(2 * 7 - 1) * 4096, array - (2 * 7 - 1) * 4096],
      [0, array],
    ]);
  });
});

interface Run {
  readonly kind: "free" | "file" | "absent";
  readonly pages: number;
  readonly count: number;
}

function runsOf(runs: readonly Run[]): ObjectRuns {
  let at = 0;
  const start = runs.map((run) => {
    const first = at;
    at += run.pages * run.count;
    return first;
  });
  const zeros = runs.map(() => 0);
  return {
    length: runs.length,
    start: Uint32Array.from(start),
    count: Uint32Array.from(runs, (run) => run.count),
    pages: Uint32Array.from(runs, (run) => run.pages),
    kind: Uint8Array.from(runs, (run) => kindId(run.kind)),
    headFlags: Uint16Array.from(zeros),
    tailFlags: Uint16Array.from(zeros),
    mapcount: Uint32Array.from(zeros),
    cgroup: Uint16Array.from(zeros),
  };
}

const zone = (start: number, spanned: number): ZoneInfo => ({
  node: nodeId(0),
  name: "Normal",
  start: pfn(start),
  spanned: pageCount(spanned),
  present: pageCount(spanned),
  managed: pageCount(spanned),
  free: pageCount(0),
  min: pageCount(0),
  low: pageCount(0),
  high: pageCount(0),
  protection: [],
  cpus: [],
});

describe("free blocks", () => {
  it("are naturally aligned, end at zone borders, and ignore where flags change", () => {
    const free = (count: number): Run => ({ kind: "free", pages: 1, count });
    expect(freeBlocks(runsOf([free(3), free(5)]), [])).toEqual([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    expect(freeBlocks(runsOf([free(8)]), [zone(0, 4), zone(4, 4)])[2]).toBe(2);
    expect(freeBlocks(runsOf([free(4096)]), [])[10]).toBe(4);
    const file: Run = { kind: "file", pages: 1, count: 1 };
    expect(freeBlocks(runsOf([file, free(7)]), []).slice(0, 4)).toEqual([1, 1, 1, 0]);
  });

  const run = fc.record({
    kind: fc.constantFrom("free", "file", "absent"),
    pages: fc.constantFrom(1, 1, 4),
    count: fc.integer({ min: 1, max: 5000 }),
  });

  it("lose no page, whatever the runs and zones (property)", () => {
    fc.assert(
      fc.property(
        fc.array(run, { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 0, max: 9000 }),
        (runs, border) => {
          const frames = runs.reduce((sum, r) => sum + r.pages * r.count, 0);
          const objects = runsOf(runs);
          const zones = [zone(0, border), zone(border, Math.max(1, frames - border))];
          const blocks = freeBlocks(objects, zones);
          const rows = kindRows(objects, zones);
          const free = rows.find((row) => row.kind === "free")?.pages;
          expect(blocks.reduce((sum, n, order) => sum + n * 2 ** order, 0)).toBe(free);
          expect(rows.reduce((sum, row) => sum + row.pages, 0)).toBe(frames);
        },
      ),
    );
  });
});

describe("the page array", () => {
  it("covers whole sections of 128 MiB that have memory, each once", () => {
    const section = 32_768;
    const absent = (count: number): Run => ({ kind: "absent", pages: 1, count });
    const file = (count: number): Run => ({ kind: "file", pages: 1, count });
    expect(framesWithPageStructure(runsOf([file(1)]))).toBe(section);
    expect(framesWithPageStructure(runsOf([absent(section), file(1), file(1)]))).toBe(section);
    expect(framesWithPageStructure(runsOf([file(1), absent(2 * section), file(section)]))).toBe(
      3 * section,
    );
  });
});
