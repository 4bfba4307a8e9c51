/**
 * What a device costs, for the terminal: every name and record on the first page
 * words asked for, then one line for each of the others.
 */
import { formatBytes } from "../units.js";
import { byWords, firstOfRecords, folioText, refusals } from "./device-shown.js";
import { formatChange, NONE } from "./format.js";
import type { DeviceReport, DeviceRow } from "./model.js";
import type { Paint } from "./paint.js";
import { tableLines, wrap, type Align, type Cell, type Row } from "./table.js";

const RIGHT: readonly Align[] = Array.from({ length: 6 }, (): Align => "right");

export function deviceLines(report: DeviceReport | null, p: Paint): string[] {
  if (report === null) return [];
  const [first, ...others] = byWords(report);
  const shown = [first, ...others].flatMap(firstOfRecords);
  return [
    ...namesTable(report, first, p),
    ...legend(report, first).map((line) => p.dim(line)),
    ...wordsTable(others, p),
    ...bandLines(shown).map((line) => p.dim(line)),
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

/** The other page words: records that lie in them, and folios without pages. */
function wordsTable(others: readonly (readonly DeviceRow[])[], p: Paint): string[] {
  if (others.length === 0) return [];
  const head: Cell[] = [
    p.heading("ON OTHER PAGE WORDS"),
    "page idle",
    "in use",
    "vs today",
    "folio idle",
    "in use",
    "vs today",
  ];
  const rows = others.flatMap((all): Row[] => {
    const cells = (["page", "folio"] as const).flatMap((record) => {
      const row = all.find((one) => one.record === record);
      if (row === undefined) return [NONE, NONE, NONE];
      return [formatBytes(row.idle.static), formatBytes(row.inService), change(row.change, p)];
    });
    const [{ words }] = all;
    const mark = all.some((row) => row.record === "page" && row.band !== null) ? " *" : "";
    return words.length <= NAME_CELLS ? [[words + mark, ...cells]] : [words, [mark, ...cells]];
  });
  const table = tableLines({ align: ["left", ...RIGHT], rows: [head, ...rows] });
  const names = "page: name physical, folio: offset; device-private does not depend on page words";
  return ["", ...table, ...wrap(names).map((line) => p.dim(line))];
}

/** Longer names of designs stand in a line of their own. */
const NAME_CELLS = 17;

function bandLines(rows: readonly DeviceRow[]): string[] {
  const lines = rows.flatMap((row, i) => {
    const { band } = row;
    const said = rows.findIndex((one) => one.record === row.record && one.record !== "page") < i;
    if (band === null || (said && row.record !== "page")) return [];
    const sizes = band.map(({ size }) => size).join("/");
    const totals = band.map(({ total }) => formatBytes(total)).join(" / ");
    return wrap(`  ${row.words} ${row.record} in use with ${sizes} B: ${totals}`, "", "    ");
  });
  return lines.length === 0 ? [] : ["* size assumed: no proposal gives one", ...lines];
}

function change(bytes: number, p: Paint): string {
  if (bytes === 0) return NONE;
  return bytes < 0 ? p.good(formatChange(bytes)) : p.bad(formatChange(bytes));
}
