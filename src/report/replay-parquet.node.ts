/**
 * The series of a replay as Parquet: the rows and columns of the CSV, typed
 * (docs/replay-schema.md).
 */
import { type ParquetColumn, writeParquet } from "./parquet-file.node.js";
import type { ReplayReport } from "./replay-model.js";
import { seriesRows } from "./replay-series.js";

const COLUMNS: readonly ParquetColumn[] = [
  { name: "design", type: "STRING" },
  { name: "seconds", type: "DOUBLE" },
  { name: "what", type: "STRING" },
  { name: "name", type: "STRING", nullable: true },
  { name: "value", type: "INT64" },
];

/** Writes the whole file or none. Throws InputError where it cannot be written. */
export async function writeReplayParquet(file: string, report: ReplayReport): Promise<void> {
  // A design has at most 512 samples: one row group for each.
  await writeParquet(file, COLUMNS, async (append) => {
    for (const one of report.designs) {
      const rows = [...seriesRows({ ...report, designs: [one] })];
      if (rows.length === 0) continue;
      await append([
        rows.map((row) => row.design),
        Float64Array.from(rows, (row) => row.time / 1e9),
        rows.map((row) => row.what),
        rows.map((row) => row.name),
        BigInt64Array.from(rows, (row) => BigInt(row.value)),
      ]);
    }
  });
}
