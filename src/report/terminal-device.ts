/**
 * What a device costs, for the terminal: every name and record on the first page
 * words asked for, then one line for each of the others.
 */
import { formatBytes } from "../units.js";
import { byWords, firstOf, firstOfRecords, folioText, refusals } from "./device-shown.js";
import { formatChange, NONE } from "./format.js";
import type { DeviceReport, DeviceRow } from "./model.js";
import type { Paint } from "./paint.js";
import { tableLines, wrap, type Align, type Cell, type Row } from "./table.js";

const RIGHT: readonly Align[] = Array.from({ length: 6 }, (): Align => "right");

/** Records that the table of other page words has columns for: the third costs the same on all. */
const COLUMNS = ["page", "folio"] as const;
/** Page words with a longer name stand in a line of their own. */
const NAME_CELLS = 17;

export function deviceLines(report: DeviceReport | null, p: Paint): string[] {
  if (report === null) return [];
  const [first, ...others] = byWords(report);
  const inColumns = others.map((rows) => COLUMNS.map((record) => firstOf(rows, record)));
  return [
    ...namesTable(report, first, p),
    ...legend(report, first).map((line) => p.dim(line)),
    ...wordsTable(inColumns, p),
    ...bandLines([...firstOfRecords(first), ...inColumns.flat()]).map((line) => p.dim(line)),
  ];
}

function namesTable(report: DeviceReport, rows: readonly DeviceRow[], p: Paint): string[] {
  const head: Cell[] = [
    { content: p.heading(`A DEVICE OF ${formatBytes(report.size)}`), span: 2 },
    "static",
    "chunk",
    "request",
    "in use",
    "per GiB",
    "vs today",
  ];
  return tableLines({
    align: ["left", "left", ...RIGHT],
    rows: [
      head,
      ...rows.map((row): Row => [
        row.name,
        recordText(row),
        formatBytes(row.idle.static),
        formatBytes(row.idle.chunk),
        formatBytes(row.idle.request),
        formatBytes(row.inService),
        formatBytes(row.perGiB),
        change(row.change, p),
      ]),
    ],
  });
}

const recordText = (row: DeviceRow): string =>
  `${row.record}${row.parts.some((part) => part.assumed) ? " *" : ""}`;

function legend(report: DeviceReport, rows: readonly DeviceRow[]): string[] {
  const records = firstOfRecords(rows).map((row) => `${row.record}: ${row.summary}`);
  const built =
    report.measured === report.size
      ? ""
      : `; ${formatBytes(report.measured)} of it built, what grows with pages multiplied`;
  return [
    ...wrap(
      `idle, by lifetime of records: static, chunk (before first use), request; in use: every page, as ${folioText(report)}${built}`,
    ),
    ...wrap(`on page words of ${rows[0].words}; ${records.join("; ")}`),
    ...refusals(report).flatMap((text) => wrap(`no ${text}`)),
  ];
}

/** The other page words, by record: idle with records from the start, and in use. */
function wordsTable(others: readonly (readonly DeviceRow[])[], p: Paint): string[] {
  if (others.length === 0) return [];
  const head: Cell[] = [
    p.heading("ON OTHER PAGE WORDS"),
    ...COLUMNS.flatMap((record) => [`${record} idle`, "in use", "vs today"]),
  ];
  const rows = others.flatMap((shown): Row[] => {
    const [{ words }] = shown;
    const mark = shown.some((row) => row.band !== null) ? " *" : "";
    const cells = shown.flatMap((row) => [
      formatBytes(row.idle.static),
      formatBytes(row.inService),
      change(row.change, p),
    ]);
    return words.length <= NAME_CELLS ? [[words + mark, ...cells]] : [words, [mark, ...cells]];
  });
  const align: readonly Align[] = ["left", ...RIGHT];
  const names = others[0].map(({ record, name }) => `${record} with name ${name}`).join(", ");
  return [
    "",
    ...tableLines({ align, rows: [head, ...rows] }),
    ...wrap(`${names}; device-private as above`).map((line) => p.dim(line)),
  ];
}

function bandLines(rows: readonly DeviceRow[]): string[] {
  const lines = rows.flatMap(({ words, record, band }) => {
    if (band === null) return [];
    const sizes = band.map(({ size }) => size).join("/");
    const totals = band.map(({ total }) => formatBytes(total)).join(" / ");
    return wrap(`  ${words} ${record} in use with ${sizes} B: ${totals}`, "", "    ");
  });
  return lines.length === 0 ? [] : ["* size assumed: no proposal gives one", ...lines];
}

function change(bytes: number, p: Paint): string {
  if (bytes === 0) return NONE;
  return bytes < 0 ? p.good(formatChange(bytes)) : p.bad(formatChange(bytes));
}
