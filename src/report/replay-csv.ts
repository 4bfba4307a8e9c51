/**
 * The series of a replay as CSV (RFC 4180: CRLF, a header, quotes), for spreadsheets
 * and for everything that reads no Parquet.
 *
 * Text from outside is quoted wherever it stands, not only where it must be: DuckDB
 * finds out by the first rows whether a file has quotes, and the name with a comma in
 * it may come after them.
 * Seconds are written out in decimal to the nanosecond, never with an exponent.
 */
import type { ReplayReport } from "./replay-model.js";
import { SERIES_COLUMNS, seriesRows } from "./replay-series.js";

const EOL = "\r\n";

/** A header, and a row for every number of every sample. */
export function replayCsv(report: ReplayReport): string {
  const lines = [SERIES_COLUMNS.join(",")];
  for (const { design, time, what, name, value } of seriesRows(report))
    lines.push(
      [quoted(design), decimal(time), what, name === null ? "" : quoted(name), value].join(","),
    );
  return lines.map((line) => line + EOL).join("");
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}

/** Nanoseconds as seconds: `0`, `0.001`, `6.736673277`. */
function decimal(time: number): string {
  const whole = Math.floor(time / 1e9);
  const rest = Math.round(time - whole * 1e9);
  return rest === 0
    ? String(whole)
    : `${whole}.${String(rest).padStart(9, "0").replace(/0+$/, "")}`;
}
