/**
 * `memdesc replay` as its user runs it: real traces, damaged ones, what it says and
 * how it ends.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SHARED } from "../observe/helpers.js";
import { memdesc, ROOT, scratch } from "./run.js";

const TRACES = SHARED === null ? "" : join(SHARED, "fixtures/traces");
const skipped = SHARED === null ? " (skipped: set MEMDESC_SHARED)" : "";
const SMALL = join(ROOT, "test/fixtures/traces/v7.dat");

interface Report {
  readonly events: number;
  readonly recorded: number;
  readonly replayed: number;
  readonly refused: number;
  readonly refusals: readonly { why: string; events: number }[];
  readonly trace: {
    readonly counts: Record<string, number>;
    readonly lost: number;
    readonly begins: string;
  };
  readonly kinds: readonly { kind: string; orders: readonly number[] }[];
  readonly designs: readonly {
    readonly design: string;
    readonly start: number;
    readonly peak: number;
    readonly mean: number;
    readonly end: number;
    readonly pageArray: number;
    readonly zoneTable: number;
    readonly samples: readonly { metadata: number; slabs: readonly number[] }[];
    readonly allocations: number;
    readonly refused: readonly { operations: number }[];
    readonly verdict: string;
  }[];
  readonly against: null | {
    readonly accuracy: {
      pages: number;
      right: number;
      rows: readonly { derived: string; pages: number; right: number }[];
    };
    readonly totals: readonly { kind: string; derived: number; real: number }[];
  };
}

const reportOf = (out: string): Report => JSON.parse(out) as Report;

/** What holds for every replay, whatever the trace. */
function checkSums(report: Report): void {
  expect(report.replayed + report.refused).toBe(report.recorded);
  expect(report.refusals.reduce((sum, { events }) => sum + events, 0)).toBe(report.refused);
  const { counts } = report.trace;
  const by = Object.values(counts).reduce((a, b) => a + b, 0);
  expect(by).toBe(report.events);
  expect((counts["mm_page_alloc"] ?? 0) + (counts["mm_page_free"] ?? 0)).toBe(report.recorded);
  for (const d of report.designs) {
    expect(d.peak).toBeGreaterThanOrEqual(d.end);
    expect(d.peak).toBeGreaterThanOrEqual(d.mean);
    const last = d.samples.at(-1);
    const slabs = last?.slabs.reduce((a, b) => a + b, 0) ?? 0;
    expect(d.end).toBe(d.pageArray + d.zoneTable + slabs * 4096);
    expect(last?.metadata).toBe(d.end);
  }
}

describe.skipIf(SHARED === null)(`the recorded workloads${skipped}`, () => {
  it("rich: at least 95 % of every kind is right, and its totals are those of the snapshot", () => {
    const args = ["replay", join(TRACES, "rich"), "--design", "today,memdesc8", "--json"];
    const { code, out } = memdesc(args);
    expect(code).toBe(0);
    const report = reportOf(out);
    checkSums(report);
    expect(report.events).toBe(899_117);
    expect(report.refused).toBeLessThan(report.recorded / 1000);
    expect(report.trace).toMatchObject({ begins: "snapshot", lost: 0 });
    for (const { pages, right } of report.against?.accuracy.rows ?? [])
      expect(right).toBeGreaterThanOrEqual(pages * 0.95);
    expect(report.against?.accuracy.pages).toBeGreaterThan(50_000);
    // Pages on per-CPU lists look like kernel pages in a snapshot.
    const totals = report.against?.totals.filter(({ kind }) => kind !== "kernel") ?? [];
    for (const { derived, real } of totals)
      expect(Math.abs(derived - real)).toBeLessThanOrEqual(real / 10_000);
    const [today, memdesc8] = report.designs;
    expect(today.start).toBe(today.peak);
    expect(memdesc8.peak).toBeLessThan(today.peak / 2);
    for (const d of report.designs) expect(d.refused.every((r) => r.operations === 0)).toBe(true);
  });

  it("mixed: every event is counted as counts.txt has it; batched frees are not replayed", () => {
    const { code, out } = memdesc([
      "replay",
      join(TRACES, "mixed"),
      "--design",
      "memdesc8",
      "--json",
    ]);
    expect(code).toBe(0);
    const report = reportOf(out);
    checkSums(report);
    const counts = readFileSync(join(TRACES, "mixed/counts.txt"), "utf8").matchAll(
      /^(\w+): (\d+)$/gm,
    );
    for (const [, name, n] of counts) expect(report.trace.counts[name]).toBe(Number(n));
    expect(report.events).toBe(4_422_495);
    expect(report.trace.begins).toBe("empty");
  });

  it.each(["trace_pipe.txt.zst", "trace-cmd-report.txt.zst"])("%s: as text", (name) => {
    const { code, out } = memdesc([
      "replay",
      join(TRACES, "text", name),
      "--design",
      "today",
      "--json",
    ]);
    expect(code).toBe(0);
    checkSums(reportOf(out));
  });
});

describe("a small trace", () => {
  it("gives the same bytes each time", () => {
    const once = memdesc(["replay", SMALL, "--json"]);
    expect(once.code).toBe(0);
    expect(memdesc(["replay", SMALL, "--json"]).out).toBe(once.out);
    checkSums(reportOf(once.out));
  });

  it("is written as HTML, CSV and Parquet beside the report", () => {
    const folder = scratch();
    const files = ["a.html", "a.csv", "a.parquet"].map((name) => join(folder, name));
    const [html, csv, parquet] = files;
    const { code, err } = memdesc([
      "replay",
      SMALL,
      "--design",
      "today,memdesc8",
      "--html",
      html,
      "--csv",
      csv,
      "--parquet",
      parquet,
    ]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(readFileSync(html, "utf8")).toContain("<svg");
    expect(readFileSync(csv, "utf8").split("\n")[0]).toContain("design");
    expect(readFileSync(parquet).subarray(0, 4).toString()).toBe("PAR1");
  });

  it("in larger folios takes fewer descriptors, and says that it was changed", () => {
    const plain = reportOf(memdesc(["replay", SMALL, "--design", "memdesc8", "--json"]).out);
    const changed = memdesc([
      "replay",
      SMALL,
      "--design",
      "memdesc8",
      "--what-if",
      "anon-order=4,file-order=4",
    ]);
    expect(changed.code).toBe(0);
    expect(changed.out.replace(/\s+/g, " ")).toContain("anonymous folios of order 4 at least");
    expect(plain.designs[0].allocations).toBeGreaterThan(0);
  });
});

describe("the bundled traces", () => {
  const listed = JSON.parse(memdesc(["replay", "--list", "--json"]).out) as readonly {
    readonly name: string;
  }[];

  it("are listed by the name that replays them", () => {
    const { code, out } = memdesc(["replay", "--list"]);
    expect(code).toBe(0);
    expect(listed.length).toBeGreaterThanOrEqual(2);
    for (const { name } of listed) expect(out).toContain(`${name} `);
  });

  it.each(listed)(
    "$name: at least 95 % right, nothing lost, nothing refused by the machine",
    ({ name }) => {
      const { code, out } = memdesc(["replay", name, "--design", "memdesc8", "--json"]);
      expect(code).toBe(0);
      const report = reportOf(out);
      checkSums(report);
      expect(report.trace).toMatchObject({ begins: "snapshot", lost: 0 });
      // They are short: a kind of which a handful is alive at the end says nothing in percent.
      const { accuracy } = report.against ?? { accuracy: { pages: 0, right: -1, rows: [] } };
      expect(accuracy.right).toBeGreaterThanOrEqual(accuracy.pages * 0.95);
      for (const { pages, right } of accuracy.rows)
        expect(right).toBeGreaterThanOrEqual(Math.min(pages * 0.95, pages - 5));
      expect(report.designs[0].refused.every((r) => r.operations === 0)).toBe(true);
    },
  );

  it("fits 80 columns, with several designs, accuracy and all", () => {
    const { code, out } = memdesc(["replay", "compile", "--accuracy"]);
    expect(code).toBe(0);
    expect(out.split("\n").filter((line) => [...line].length > 80)).toEqual([]);
    for (const heading of [
      "METADATA",
      "TRAFFIC",
      "DESCRIPTORS",
      "FREE BLOCKS",
      "VERDICT",
      "ACCURACY",
    ])
      expect(out).toContain(heading);
    expect(out).toContain("No trace shows lookups");
  });

  it("cut or changed, one is replayed up to the damage, and the end is 2", () => {
    const whole = readFileSync(join(ROOT, "data/traces/compile.mdt"));
    const file = join(scratch(), "cut.mdt");
    writeFileSync(file, whole.subarray(0, Math.floor(whole.length * 0.6)));
    const cut = memdesc(["replay", file, "--design", "memdesc8", "--json"]);
    expect(cut.code).toBe(2);
    expect(cut.err).toMatch(/damaged at .*byte \d+/);
    expect(reportOf(cut.out).events).toBeGreaterThan(0);
    checkSums(reportOf(cut.out));
  });
});

describe("what cannot be replayed", () => {
  const cannot = (args: readonly string[]): string => {
    const { code, err } = memdesc(["replay", ...args]);
    expect(code).toBe(2);
    expect(err.trimEnd().split("\n")).toHaveLength(1);
    expect(err).not.toMatch(/ at .*\.js:\d/);
    return err;
  };

  it("is said in one line: a file that is not there, standard input, an unknown change or design", () => {
    expect(cannot(["/nowhere/t.mdt"])).toContain("/nowhere/t.mdt");
    expect(cannot(["-"])).toContain("give a file");
    expect(cannot([SMALL, "--what-if", "order=3"])).toContain("file-order");
    expect(cannot([SMALL, "--what-if", "file-order=99"])).toContain("0 to 10");
    expect(cannot([SMALL, "--design", "memdesc9"])).toContain("memdesc9");
  });

  it("random bytes are no trace", () => {
    const file = join(scratch(), "noise");
    writeFileSync(
      file,
      Uint8Array.from({ length: 5000 }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 13) & 255),
    );
    expect(cannot([file])).toContain(file);
  });

  it("what comes before the damage of a text is replayed; the end is 2 and the place is named", () => {
    const folder = scratch();
    const file = join(folder, "cut.txt");
    const line = (n: number, pfn: number): string =>
      `            task-17  [001] .....  ${100 + n}.000001: mm_page_alloc: page=0x${pfn.toString(16)} pfn=0x${pfn.toString(16)} order=0 migratetype=1 gfp_flags=GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP\n`;
    const text = `# tracer: nop\n${line(1, 100)}${line(2, 101)}${line(3, 102)}`;
    writeFileSync(file, text.slice(0, -100));
    const { code, out, err } = memdesc(["replay", file, "--design", "today", "--json"]);
    expect(code).toBe(2);
    expect(reportOf(out).replayed).toBe(2);
    expect(err).toContain("line 4");
  });
});
