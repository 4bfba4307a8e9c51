/**
 * One page in 80 columns: what it is, then its words and its descriptor in each
 * design, field by field with the bits they occupy.
 */
import { formatCount } from "../units.js";
import { NONE, plural } from "./format.js";
import type { PageDescriptor, PageField, PageInDesign, PageReport } from "./page-model.js";
import { paint, type Paint } from "./paint.js";
import { tableLines, wrap, type Row } from "./table.js";

/** The page as text; ends with a newline. */
export function renderPage(report: PageReport, options: { readonly color: boolean }): string {
  const p = paint(options.color);
  const lines = [
    ...factLines(report, p),
    ...report.designs.flatMap((design) => ["", ...designLines(design, p)]),
    ...(report.notes.length === 0 ? [] : ["", p.heading("NOTES")]),
    ...report.notes.flatMap((note) => wrap(`${note.subject}: ${note.text}`)),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function factLines(report: PageReport, p: Paint): string[] {
  const hex = `0x${report.pfn.toString(16)}`;
  const flags = report.flags.length === 0 ? "no flag set" : report.flags.join(",");
  return [
    p.heading(`pfn ${report.pfn} (${hex}) · ${report.kind}`),
    ...fact("source", report.source),
    ...fact("flags", `0x${report.flagsWord.replace(/^0x/, "")} ${flags}`),
    ...fact("part of", objectText(report)),
    ...fact(
      "mapped",
      report.mapcount === null ? "unknown" : `${formatCount(report.mapcount)} times`,
    ),
    ...fact("cgroup", cgroupText(report.cgroup)),
    ...fact("zone", report.zone === null ? "none" : `node ${report.node ?? NONE}, ${report.zone}`),
  ];
}

const NAME_CELLS = 9;

function fact(name: string, text: string): string[] {
  return wrap(text, name.padEnd(NAME_CELLS), " ".repeat(NAME_CELLS));
}

function objectText(report: PageReport): string {
  const { object } = report;
  if (object === null) return "no object of its own";
  const order = object.order === null ? "no power of two" : `order ${object.order}`;
  const place = report.pfn - object.start;
  const which = object.pages === 1 ? "" : `, this is page ${place} of it`;
  return `${plural(object.pages, "page")} from pfn ${object.start} (${order})${which}`;
}

function cgroupText(cgroup: number | null): string {
  if (cgroup === null) return "unknown";
  return cgroup === 0 ? "charged to none" : `inode ${cgroup}`;
}

function designLines(design: PageInDesign, p: Paint): string[] {
  const rows: Row[] = [];
  for (const word of design.words) {
    rows.push(`  word at ${word.address} = ${word.value}`, ...word.fields.map(bitRow));
  }
  if (design.descriptor !== null) rows.push(...descriptorRows(design.descriptor));
  const table = tableLines({ align: ["right", "left", "left", "left"], rows });
  return [
    p.heading(design.design),
    ...table.flatMap((line) => wrapRow(line)),
    ...design.answers.flatMap((a) => wrap(`${a.question} ${a.answer}`, "  ")),
    ...design.refused.flatMap((r) =>
      wrap(`${r.question} cannot be answered: ${r.reason}`, "  ").map(p.dim),
    ),
  ];
}

function bitRow(field: PageField): Row {
  const last = field.offset + field.width - 1;
  const bits = field.width === 1 ? `${field.offset}` : `${field.offset}–${last}`;
  return [`    ${bits}`, field.name, field.value, field.meaning];
}

/** Descriptor fields are whole bytes, so their place is a byte offset. */
function descriptorRows(descriptor: PageDescriptor): Row[] {
  return [
    `  ${descriptor.type} descriptor at ${descriptor.address}, ${formatCount(descriptor.size)} B`,
    ...descriptor.fields.map((field): Row => {
      const whole = field.offset % 8 === 0;
      const place = whole
        ? `+${field.offset / 8}`
        : `+${field.offset >> 3} bit ${field.offset & 7}`;
      return [`    ${place}`, field.name, field.value, field.meaning];
    }),
  ];
}

/** A meaning that is too long goes on below the table. */
function wrapRow(line: string): string[] {
  const blanks = /^ */.exec(line)?.[0] ?? "";
  return line.length <= 80 ? [line] : wrap(line.slice(blanks.length), blanks, `${blanks}    `);
}
