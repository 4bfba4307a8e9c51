/**
 * Parquet files, read back by DuckDB: the same rows as the CSV, typed; every event of
 * a trace with its sums; and files that are whole or not there.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeEventsParquet } from "../../src/report/events-parquet.node.js";
import { replayCsv } from "../../src/report/replay-csv.js";
import { writeReplayParquet } from "../../src/report/replay-parquet.node.js";
import {
  EV_ALLOC,
  EV_FAULT_USER,
  EV_LOST,
  EventBatch,
  EVENT_NAMES,
} from "../../src/trace/events.js";
import { openRingFolder } from "../../src/trace/ring/folder.node.js";
import type { EventSource } from "../../src/trace/source.js";
import { SHARED } from "../observe/helpers.js";
import { RICH } from "./rich-replay.js";
import { EMPTY_REPLAY, SAMPLE_REPLAY } from "./sample-replay.js";

const folder = mkdtempSync(join(tmpdir(), "memdesc-parquet-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

/** Its binaries come by platform; where there is none the files are only written. */
const duckdb = await import("@duckdb/node-api").catch(() => null);

async function query(sql: string): Promise<unknown[]> {
  if (duckdb === null) throw new Error("no DuckDB");
  const connection = await (await duckdb.DuckDBInstance.create()).connect();
  try {
    return (await connection.runAndReadAll(sql)).getRowsJson();
  } finally {
    connection.closeSync();
  }
}

/** A source that gives `batches`, each filled by a function, and then ends. */
function sourceOf(batches: readonly ((batch: EventBatch) => void)[]): EventSource {
  let next = 0;
  return {
    about: { label: "made", format: "mdt", kernel: null, clock: null, cpus: 2, recorded: null },
    commands: new Map([[7, `"make", 'cc1'`]]),
    lost: [0, 0],
    others: new Map(),
    notes: [],
    damage: null,
    async read(batch) {
      batch.length = 0;
      batches[next]?.(batch);
      return next++ < batches.length;
    },
    async close() {},
  };
}

describe.skipIf(duckdb === null)("read by DuckDB (skipped where it has no binary)", () => {
  it("the series: what the CSV holds, typed", async () => {
    await writeReplayParquet(at("series.parquet"), SAMPLE_REPLAY);
    writeFileSync(at("series.csv"), replayCsv(SAMPLE_REPLAY));
    const [parquet, csv] = [`'${at("series.parquet")}'`, `read_csv('${at("series.csv")}')`];
    const types = await query(`select column_name, column_type from (describe from ${parquet})`);
    expect(types).toEqual([
      ["design", "VARCHAR"],
      ["seconds", "DOUBLE"],
      ["what", "VARCHAR"],
      ["name", "VARCHAR"],
      ["value", "BIGINT"],
    ]);
    expect(await query(`select count(*) from ${parquet}`)).toEqual([["112"]]);
    for (const [a, b] of [
      [parquet, csv],
      [csv, parquet],
    ])
      expect(await query(`from ${a} except all from ${b}`)).toEqual([]);
    const sums = `select sum(value), max(seconds) from ${parquet} where what = 'metadata_bytes'`;
    const all = SAMPLE_REPLAY.designs.flatMap(({ samples }) => samples);
    const bytes = all.reduce((sum, { metadata }) => sum + metadata, 0);
    expect(await query(sums)).toEqual([[String(bytes), 3.500000001]]);
  });

  it("a report without samples: no rows, all columns", async () => {
    await writeReplayParquet(at("empty.parquet"), EMPTY_REPLAY);
    expect(await query(`select count(value) from '${at("empty.parquet")}'`)).toEqual([["0"]]);
  });

  it("events: exact times, no number where there is none, names of tasks", async () => {
    const second = 1_111_954_252_318_417;
    const source = sourceOf([
      (batch) => {
        batch.push(second, EV_ALLOC, 1, 7, 2 ** 31 + 5, 9, -2, 1);
        batch.push(second + 1, EV_FAULT_USER, 0, 8, 2 ** 51 + 1, 6, 0, 0);
      },
      (batch) => batch.push(second + 2, EV_LOST, 1, 0, -1, 0, 0, 0),
    ]);
    expect(await writeEventsParquet(at("events.parquet"), source)).toEqual({ rows: 3 });
    expect(await query(`from '${at("events.parquet")}'`)).toEqual([
      [String(second), "mm_page_alloc", 1, 7, `"make", 'cc1'`, "2147483653", 9, -2, 1],
      [String(second + 1), "page_fault_user", 0, 8, null, "2251799813685249", 6, 0, 0],
      [String(second + 2), "lost", 1, 0, null, null, 0, 0, 0],
    ]);
  });

  it.skipIf(SHARED === null)("every event of a real trace, in several row groups", async () => {
    const source = await openRingFolder(RICH);
    const { rows } = await writeEventsParquet(at("rich.parquet"), source);
    await source.close();
    const again = await openRingFolder(RICH);
    const batch = new EventBatch(1 << 16);
    const sums = new Map<string, [number, bigint, bigint, bigint]>();
    while (await again.read(batch)) {
      for (let i = 0; i < batch.length; i++) {
        const name = EVENT_NAMES[batch.kind[i]];
        const sum = sums.get(name) ?? [0, 0n, 0n, 0n];
        sum[0]++;
        sum[1] += BigInt(batch.time[i]);
        if (batch.x[i] !== -1) sum[2] += BigInt(batch.x[i]);
        sum[3] += BigInt(batch.b[i]);
        sums.set(name, sum);
      }
    }
    await again.close();
    expect(rows).toBe(899_117);
    const file = at("rich.parquet");
    const found = await query(
      `select event, count(*)::varchar, sum(time)::varchar, coalesce(sum(x), 0)::varchar,
              sum(b)::varchar from '${file}' group by event order by event`,
    );
    const expected = [...sums].map(([name, sum]) => [name, ...sum.map(String)]);
    expect(found).toEqual(expected.toSorted((a, b) => (a[0] < b[0] ? -1 : 1)));
    const groups = await query(`select num_row_groups from parquet_file_metadata('${file}')`);
    expect(groups).toEqual([["7"]]);
  });
});

describe("a Parquet file", () => {
  it("is the same for the same report", async () => {
    await writeReplayParquet(at("one.parquet"), SAMPLE_REPLAY);
    await writeReplayParquet(at("two.parquet"), SAMPLE_REPLAY);
    expect(readFileSync(at("one.parquet"))).toEqual(readFileSync(at("two.parquet")));
  });

  it("is not there where its source fails, and what was there stays", async () => {
    const into = mkdtempSync(join(folder, "whole-"));
    const file = join(into, "old.parquet");
    writeFileSync(file, "what was there");
    const failing = sourceOf([
      () => {
        throw new Error("the source fails");
      },
    ]);
    await expect(writeEventsParquet(file, failing)).rejects.toThrow("the source fails");
    expect(readdirSync(into)).toEqual(["old.parquet"]);
    expect(readFileSync(file, "utf8")).toBe("what was there");
    await writeReplayParquet(file, SAMPLE_REPLAY);
    expect(readdirSync(into)).toEqual(["old.parquet"]);
  });

  it.each([
    ["a full disk", "/dev/full", "no space left on the device"],
    ["no folder", join(folder, "no", "where.parquet"), "no such file or folder"],
    ["a folder", folder, "is a folder"],
  ])("says in one line why it cannot be written: %s", async (_name, file, why) => {
    await expect(writeReplayParquet(file, SAMPLE_REPLAY)).rejects.toMatchObject({
      name: "InputError",
      message: expect.stringContaining(`${file}: cannot be written: ${why}`),
    });
  });
});
