/**
 * Whole outputs of the tools. The shared traces say the same thing twice, raw and as
 * text, and the text importer's rows must be the raw decoder's; text is printed to the
 * microsecond. Under test/fixtures/traces lies what perf 6.1 and the ring of a 6.18
 * kernel printed.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decompress } from "fzstd";
import { describe, expect, it } from "vitest";
import { EVENT_NAMES, EV_LOST } from "../../src/trace/events.js";
import { openRingFolder } from "../../src/trace/ring/folder.node.js";
import { SHARED } from "../observe/helpers.js";
import { fixture, openText, type Row, rowsOf } from "./text-rows.js";

/** Rows that differ in more than half a microsecond and its rounding, or in any column. */
function differing(text: readonly Row[], raw: readonly Row[]): number[] {
  const out: number[] = [];
  for (const [i, row] of text.entries()) {
    const other = raw[i];
    const same = row.every((v, k) => (k === 0 ? Math.abs(v - other[0]) <= 1000 : v === other[k]));
    if (!same) out.push(i);
  }
  return out;
}

function counts(rows: readonly Row[]): Record<string, number> {
  const out: Record<string, number> = {};
  for (const row of rows) out[EVENT_NAMES[row[1]]] = (out[EVENT_NAMES[row[1]]] ?? 0) + 1;
  return out;
}

describe.skipIf(SHARED === null)("text of the mixed trace against its raw buffers", () => {
  const traces = join(SHARED ?? "", "fixtures", "traces");
  it.each([
    ["trace_pipe.txt.zst", "trace_pipe", 150_000],
    ["trace-cmd-report.txt.zst", "trace-cmd", 59_999],
  ] as const)("%s", async (name, format, length) => {
    const bytes = decompress(readFileSync(join(traces, "text", name)));
    const source = await openText(bytes, { step: 100_003 });
    const text = await rowsOf(source, 4096);
    const folder = await openRingFolder(join(traces, "mixed"));
    const raw = await rowsOf(folder, 4096, length);
    await folder.close();
    expect(text.length).toBe(length);
    expect(differing(text, raw)).toEqual([]);
    expect(source.about).toMatchObject({ format, cpus: 2 });
    expect(source.notes.map((n) => n.subject)).toEqual(["kernel"]);
    expect(source.others.size).toBe(0);
    expect(source.damage).toBe(null);
  });
});

describe("perf script", () => {
  it("reads all events of a header, and the same of another layout to the nanosecond", async () => {
    const plain = await openText(fixture("perf.txt.zst"));
    const rows = await rowsOf(plain, 100);
    const precise = await openText(fixture("perf-ns-pid-period.txt.zst"));
    const same = await rowsOf(precise, 7);
    expect(plain.about).toMatchObject({
      format: "perf",
      kernel: "6.18.44-fc-v669",
      cpus: 2,
      recorded: [
        "mm_page_alloc",
        "mm_page_free",
        "rss_stat",
        "mm_lru_insertion",
        "mm_filemap_add_to_page_cache",
        "page_fault_user",
      ],
    });
    expect(rows.length).toBe(989);
    expect(differing(rows, same)).toEqual([]);
    expect(same.some((r) => r[0] % 1000 !== 0)).toBe(true);
    expect([...plain.others]).toEqual([["sched:sched_switch", 26]]);
    expect(plain.notes).toEqual([]);
    expect(counts(rows)).toEqual(counts(same));
    expect(counts(rows)).toMatchSnapshot();
  });
});

describe("trace_pipe with losses", () => {
  it("has the events, the losses, and other events by name", async () => {
    const source = await openText(fixture("trace_pipe-lost.txt.zst"));
    const rows = await rowsOf(source, 64);
    const lost = rows.filter((r) => r[1] === EV_LOST);
    expect(lost.map((r) => [r[2], r[4]])).toEqual([
      [1, 447],
      [0, 3421],
      [0, 90],
    ]);
    expect(source.lost).toEqual([3511, 447]);
    const others = [...source.others.values()].reduce((a, b) => a + b, 0);
    // 2,500 lines: events of both kinds, and the three that say what was lost.
    expect(rows.length + others).toBe(2500);
    expect(source.damage).toBe(null);
  });
});
