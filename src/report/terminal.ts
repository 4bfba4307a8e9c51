/**
 * The report of `inspect` in 80 columns.
 *
 * In two parts, because the first is known long before the second:
 * {@link renderKinds} (the machine and what its pages are) can be printed while
 * the designs are still being built, {@link renderCosts} follows. Nothing is
 * computed here that the report does not say, except shares for bars and which
 * of several rows is the one worth a line.
 */
import { formatBytes, formatCount } from "../units.js";
import { bar } from "./bars.js";
import { formatExact, formatMean, formatOptional, plural } from "./format.js";
import type { InspectReport, KindRow, MachineRow } from "./model.js";
import { paint, type Paint } from "./paint.js";
import { printable, tableLines, textWidth, WIDTH, wrap, type Cell } from "./table.js";
import { breakEvenLines, descriptorLines, designLines, holdsLines } from "./terminal-costs.js";
import { reconciliationLines } from "./terminal-checks.js";
import { deviceLines } from "./terminal-device.js";

export interface TerminalOptions {
  /** Colour codes; off for files and pipes. */
  readonly color: boolean;
  /** Append the arithmetic behind every figure. */
  readonly explain: boolean;
}

/** The part of the report that is known without any design. */
export type KindsPart = Pick<InspectReport, "machine" | "kinds">;

/** Machine line and what the pages are; ends with a newline. */
export function renderKinds(report: KindsPart, options: TerminalOptions): string {
  const p = paint(options.color);
  return joined([...machineLines(report.machine, p), ...kindLines(report.kinds, p)]);
}

/** Everything that follows the kinds; ends with a newline. */
export function renderCosts(report: InspectReport, options: TerminalOptions): string {
  const p = paint(options.color);
  const sections = [
    designLines(report.designs, p),
    descriptorLines(report.designs, p),
    breakEvenLines(report.breakEven, p),
    reconciliationLines(report.reconciliation, p, options.explain),
    vmemmapLines(report, p),
    deviceLines(report.device, p),
    holdsLines(report.designs, p, options.explain),
    noteLines(report.notes, p),
    options.explain ? arithmeticLines(report, p) : [],
  ];
  return joined(sections.flatMap((lines) => (lines.length > 0 ? ["", ...lines] : [])));
}

/** The whole report. */
export function renderTerminal(report: InspectReport, options: TerminalOptions): string {
  return renderKinds(report, options) + renderCosts(report, options);
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

function machineLines(machine: MachineRow, p: Paint): string[] {
  const kernel = machine.kernel === null ? "Linux, release unknown" : `Linux ${machine.kernel}`;
  const facts = [
    printable(kernel),
    formatBytes(machine.ram),
    plural(machine.nodes, "node"),
    plural(machine.frames, "frame"),
  ].join(" · ");
  const read = machine.readSeconds === null ? "" : `read in ${machine.readSeconds.toFixed(1)} s`;
  const gap = WIDTH - textWidth(facts) - textWidth(read);
  const lines =
    read === "" || gap < 2
      ? [...wrap(facts).map(p.heading), ...(read === "" ? [] : [p.dim(read)])]
      : [p.heading(facts) + " ".repeat(gap) + p.dim(read)];
  if (machine.origin !== "live") lines.push(...wrap(`source: ${originText(machine)}`));
  if (machine.whatIf.length > 0) lines.push(...wrap(`what if: ${machine.whatIf.join(", ")}`));
  return [...lines, ""];
}

function originText(machine: MachineRow): string {
  return machine.origin === "bundled" ? `${machine.label}, NOT this machine` : machine.label;
}

const BAR_CELLS = 8;

function kindLines(kinds: readonly KindRow[], p: Paint): string[] {
  const shown = kinds.filter((row) => row.pages > 0);
  const most = Math.max(1, ...shown.map((row) => row.pages));
  const head: Cell[] = [
    { content: p.heading("WHAT THE PAGES ARE"), span: 2 },
    "pages",
    "size",
    "objects",
    "mean order",
    "largest",
  ];
  return tableLines({
    align: ["left", "left", "right", "right", "right", "right", "right"],
    rows: [
      head,
      ...shown.map((row) => [
        row.kind,
        bar(row.pages / most, BAR_CELLS),
        formatCount(row.pages),
        formatBytes(row.bytes),
        row.meanOrder === null ? "–" : formatCount(row.objects),
        formatMean(row.meanOrder),
        formatOptional(row.largestOrder),
      ]),
    ],
  });
}

function vmemmapLines(report: InspectReport, p: Paint): string[] {
  if (report.vmemmap.length === 0) return [];
  const heading = p.heading("VMEMMAP OPTIMISATION OF TODAY'S PAGE ARRAY");
  if (report.vmemmap.every((row) => row.saved === 0)) {
    return [heading, ...wrap(`nothing saved: ${report.vmemmap[0].why}`)];
  }
  const lines = tableLines({
    align: ["left", "right", "right"],
    rows: [
      [heading, "saved", "leaves"],
      ...report.vmemmap.map((row) => [row.name, formatBytes(row.saved), formatBytes(row.total)]),
    ],
  });
  const whys = report.vmemmap.flatMap((row) => wrap(`${row.name}: ${row.why}`, "  "));
  return [...lines, ...whys.map((line) => p.dim(line))];
}

function noteLines(notes: InspectReport["notes"], p: Paint): string[] {
  if (notes.length === 0) return [];
  return [p.heading("NOTES"), ...notes.flatMap((note) => wrap(`${note.subject}: ${note.text}`))];
}

function arithmeticLines(report: InspectReport, p: Paint): string[] {
  return [
    p.heading("ARITHMETIC"),
    ...report.arithmetic.flatMap((row) => [
      ...wrap(`${row.figure} = ${formatExact(row.value, row.unit)}`),
      ...wrap(`= ${row.sum}`, "    "),
      ...wrap(row.source, "    ").map((line) => p.dim(line)),
    ]),
  ];
}
