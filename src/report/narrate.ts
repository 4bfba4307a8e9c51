/**
 * A run in 80 columns: the steps in order, under each what it changed in every
 * design, then the designs side by side.
 *
 * What all designs have in common is said once. Designs whose name is long get a
 * letter, which the head of the report explains, so that a table of many stays
 * within the width.
 */
import { formatBytes, formatCount } from "../units.js";
import type { BrokenRule, DesignRun, Entry, Lines, Outcome, Step } from "../scenario/record.js";
import { formatChange, NONE } from "./format.js";
import { paint, type Paint } from "./paint.js";
import {
  outcomeText,
  stepsOf,
  VERDICTS,
  withoutFrames,
  type ComparisonRow,
  type RunReport,
} from "./run-model.js";
import { grouped, listed, remarkLines, subjectOf } from "./narrate-remarks.js";
import { printable, tableLines, textWidth, WIDTH, wrap } from "./table.js";

/** Names up to here stand in tables as they are. */
const NAME_CELLS = 9;
/** Where what belongs to a step begins. */
const INDENT = "    ";
/** Designs side by side in one table of cache lines, and what stays for an operation's name. */
const COLUMNS = 5;
const NAME_ROOM = 20;

/** The run as text; ends with a newline. */
export function renderRun(report: RunReport, options: { readonly color: boolean }): string {
  const p = paint(options.color);
  const names = shortNames(report.runs.map((run) => run.design));
  const sections = [
    headLines(report, names, p),
    timelineLines(report.runs, names, p),
    comparisonLines(report.comparison, names, p),
    lineTables(report, names, p),
    differenceLines(report, names, p),
    troubleLines(report.runs, names, p),
  ];
  const lines = sections
    .filter((section) => section.length > 0)
    .flatMap((section, i) => (i === 0 ? section : ["", ...section]));
  return lines.map((line) => `${line}\n`).join("");
}

type Names = ReadonlyMap<string, string>;

/** Canonical names to what tables call them: themselves, or letters where one is too long. */
function shortNames(designs: readonly string[]): Names {
  const fit = designs.every((name) => name.length <= NAME_CELLS);
  return new Map(designs.map((name, i) => [name, fit ? name : letter(i)]));
}

const letter = (i: number): string =>
  i < 26 ? String.fromCodePoint(65 + i) : `${letter(Math.floor(i / 26) - 1)}${letter(i % 26)}`;

const nameOf = (names: Names, design: string): string => names.get(design) ?? design;

function headLines({ scenario, runs }: RunReport, names: Names, p: Paint): string[] {
  const title = scenario.name ?? scenario.file;
  const about = scenario.about === null ? "" : `: ${scenario.about}`;
  const legend = runs
    .filter((run) => nameOf(names, run.design) !== run.design)
    .flatMap((run) => wrap(run.design, `${nameOf(names, run.design).padEnd(2)} `, "   "));
  return [...wrap(`${title}${about}`, "", "").map(p.heading), ...legend];
}

/** Entries of several timelines that are the same entry: one for each design that has it. */
interface Together {
  readonly entries: { readonly design: string; readonly entry: Entry }[];
}

function timelineLines(runs: readonly DesignRun[], names: Names, p: Paint): string[] {
  return merge(runs).flatMap(({ entries }, i) => {
    const [{ entry }] = entries;
    return entry.is === "step"
      ? [...(i === 0 ? [] : [""]), ...stepLines(entry, entries, runs.length, names, p)]
      : betweenLines(entries, runs.length, names, "", p);
  });
}

/**
 * Lays timelines side by side: entries are the same where they have the same
 * place among the entries after the same step, and are about the same thing.
 */
function merge(runs: readonly Pick<DesignRun, "design" | "timeline">[]): Together[] {
  const rows = new Map<string, Together & { readonly order: number }>();
  for (const { design, timeline } of runs) {
    let step = 0;
    let place = 0;
    for (const entry of timeline) {
      if (entry.is === "step") [step, place] = [entry.number, 0];
      else place++;
      const key = `${step}.${place} ${aboutOf(entry)}`;
      const row = rows.get(key) ?? { order: step * 1e6 + place, entries: [] };
      row.entries.push({ design, entry });
      rows.set(key, row);
    }
  }
  return [...rows.values()].toSorted((a, b) => a.order - b.order);
}

const aboutOf = (entry: Entry): string => (entry.is === "step" ? entry.what : subjectOf(entry));

/** Remarks that stand between two steps. */
function betweenLines(
  entries: Together["entries"],
  designs: number,
  names: Names,
  indent: string,
  p: Paint,
): string[] {
  const said = entries.flatMap(({ design, entry }) =>
    entry.is === "step" ? [] : [{ design: nameOf(names, design), remark: entry }],
  );
  return remarkLines(said, { designs, indent, paint: p });
}

function stepLines(
  step: Step,
  all: Together["entries"],
  designs: number,
  names: Names,
  p: Paint,
): string[] {
  const times = step.operations === 1 ? "" : ` (${formatCount(step.operations)} times)`;
  const number = `${step.number}`.padStart(2);
  const head = wrap(`${step.what}${times}`, `${number}  `, INDENT).map(p.heading);
  const steps = all.flatMap(({ design, entry }) =>
    entry.is === "step" ? [{ design, entry }] : [],
  );
  const changed = grouped(
    steps.map(({ design, entry }) => ({ design, value: changeText(entry, designs === 1) })),
  ).flatMap(({ designs: same, value }) => {
    const all = same.length === designs;
    const lead = designs === 1 ? [""] : all ? ["in all"] : same.map((d) => nameOf(names, d));
    return lead.flatMap((name) => {
      const cell = name === "" ? "" : `${name.padEnd(NAME_CELLS)} `;
      return wrap(value, `${INDENT}${cell}`, " ".repeat(INDENT.length + cell.length));
    });
  });
  return [...head, ...saidLines(steps, designs, names, p), ...changed];
}

/** Remarks of one step in several designs, by their place in it. */
function saidLines(
  steps: readonly { readonly design: string; readonly entry: Step }[],
  designs: number,
  names: Names,
  p: Paint,
): string[] {
  const runs = steps.map(({ design, entry }) => ({ design, timeline: entry.said }));
  return merge(runs).flatMap(({ entries }) => betweenLines(entries, designs, names, INDENT, p));
}

/** Cache lines, descriptors, bytes: what a step cost. `sizes`: say how large a descriptor is. */
function changeText(step: Step, sizes: boolean): string {
  const bytes = step.metadata.reduce((sum, m) => sum + m.after - m.before, 0);
  const list = (uses: Step["objects"]): string =>
    uses
      .map((u) => `${arrivals(u.allocated, u.freed)} ${u.type}${sizes ? ` (${u.size} B)` : ""}`)
      .join(", ");
  return [
    linesText(step.lines, step.operations),
    ...(step.descriptors.length === 0 ? [] : [`descriptors ${list(step.descriptors)}`]),
    ...(step.objects.length === 0 ? [] : [`objects ${list(step.objects)}`]),
    ...(bytes === 0 ? [] : [`metadata ${formatChange(bytes)}`]),
  ].join(" · ");
}

const arrivals = (allocated: number, freed: number): string =>
  [allocated > 0 ? `+${formatCount(allocated)}` : "", freed > 0 ? `−${formatCount(freed)}` : ""]
    .filter((text) => text !== "")
    .join(" ");

function linesText(lines: Lines | null, operations: number): string {
  if (lines === null) return "ended in an error";
  if (lines.touched === 0) return "no line of metadata touched";
  const each = operations === 1 ? "" : " each";
  return `${mean(lines.read / operations)} lines read, ${mean(lines.written / operations)} written${each}`;
}

/** A mean: whole where it is whole, else with one decimal. */
const mean = (n: number): string => (Number.isInteger(n) ? formatCount(n) : n.toFixed(1));

function comparisonLines(rows: readonly ComparisonRow[], names: Names, p: Paint): string[] {
  const heading = rows.length === 1 ? "IN ALL" : "SIDE BY SIDE";
  const table = tableLines({
    align: ["left", "right", "right", "right", "right", "right", "right", "left"],
    rows: [
      [
        p.heading(heading),
        "metadata",
        "change",
        "descr. +",
        "−",
        "lines read",
        "written",
        "outcome",
      ],
      ...rows.map((row) => [
        nameOf(names, row.design),
        row.metadata === null ? NONE : formatBytes(row.metadata),
        row.change === null ? NONE : formatChange(row.change),
        formatCount(row.allocated),
        formatCount(row.freed),
        formatCount(row.linesRead),
        formatCount(row.linesWritten),
        (row.verdict === "ok" ? p.good : p.bad)(VERDICTS[row.verdict]),
      ]),
    ],
  });
  return [...table, ...outsideLines(rows, names).map(p.dim)];
}

/** What of the table did not happen in a step; nothing where all did. */
function outsideLines(rows: readonly ComparisonRow[], names: Names): string[] {
  const outside = rows.map(({ design, outside: traffic }) => ({
    design: nameOf(names, design),
    value: traffic === null ? "" : arrivals(traffic.allocated, traffic.freed),
  }));
  const groups = grouped(outside).filter(({ value }) => value !== "");
  if (groups.length === 0) return [];
  const alike = groups.length === 1 && groups[0].designs.length === rows.length;
  const parts = groups.map(({ designs, value }) => (alike ? value : `${listed(designs)} ${value}`));
  const said = `of the descriptors outside of steps: ${parts.join("; ")}; cache lines are those of steps`;
  return wrap(said, "", "  ");
}

/** Cache lines read + written per operation, a column per design, as many designs at a time as fit. */
function lineTables(report: RunReport, names: Names, p: Paint): string[] {
  if (report.runs.length < 2 || report.lines.length === 0) return [];
  const columns = report.runs.map((run, i) => [
    nameOf(names, run.design),
    ...report.lines.map(({ perOperation }) => linesCell(perOperation[i])),
  ]);
  const tables = sideBySide(columns).flatMap((group, g) => {
    const room = WIDTH - group.reduce((sum, column) => sum + widthOf(column), 0);
    const title = g === 0 ? "PER OPERATION" : "";
    return tableLines({
      align: ["left", ...group.map(() => "right" as const)],
      rows: [
        [p.heading(title), ...group.map(([head]) => head)],
        ...report.lines.map(({ step, what }, i) => [
          cut(`${step} ${what}`, room),
          ...group.map((column) => column[i + 1]),
        ]),
      ],
    });
  });
  return [...tables, p.dim("cache lines read + written, each distinct line of 64 B once")];
}

/** Columns in groups that leave room for the name of an operation. */
function sideBySide(columns: readonly (readonly string[])[]): (readonly string[])[][] {
  const groups: (readonly string[])[][] = [];
  let room = 0;
  for (const column of columns) {
    room -= widthOf(column);
    if (groups.length === 0 || groups[groups.length - 1].length === COLUMNS || room < NAME_ROOM) {
      groups.push([]);
      room = WIDTH - widthOf(column);
    }
    groups[groups.length - 1].push(column);
  }
  return groups;
}

/** Width of a column with two blanks before it. */
const widthOf = (column: readonly string[]): number => 2 + Math.max(...column.map(textWidth));

const linesCell = (lines: { readonly read: number; readonly written: number } | null): string =>
  lines === null ? NONE : `${mean(lines.read)}+${mean(lines.written)}`;

function cut(text: string, room: number): string {
  const letters = [...printable(text)];
  return letters.length <= room ? letters.join("") : `${letters.slice(0, room - 1).join("")}…`;
}

function differenceLines(report: RunReport, names: Names, p: Paint): string[] {
  if (report.differences.length === 0) return [];
  return [
    p.heading("WHERE THEY DIFFER"),
    ...report.differences.flatMap(({ what, values }) => [
      ...wrap(what, "", "  "),
      ...grouped(values).flatMap(({ designs, value }) =>
        wrap(`${listed(designs.map((d) => nameOf(names, d)))}: ${value}`, "  ", "    "),
      ),
    ]),
  ];
}

/** What went wrong, in full; once where it went wrong alike but for the frame. */
function troubleLines(runs: readonly DesignRun[], names: Names, p: Paint): string[] {
  const groups = new Map<string, DesignRun[]>();
  for (const run of runs) {
    const { outcome } = run;
    if (outcome.verdict === "ok") continue;
    const key = withoutFrames(JSON.stringify({ ...outcome, broken: outcome.broken.map(unframed) }));
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].flatMap((alike) => {
    const [first] = alike;
    const who = listed(alike.map((run) => nameOf(names, run.design)));
    const lines = outcomeLines(first);
    const frames = alike.some((run) => outcomeLines(run).join() !== lines.join());
    const verdict = VERDICTS[first.outcome.verdict].toUpperCase();
    return [
      ...wrap(`${who}: ${verdict}`).map(p.bad),
      ...lines,
      ...(frames ? [p.dim(`  frames are those of ${nameOf(names, first.design)}`)] : []),
    ];
  });
}

const unframed = (rule: BrokenRule): BrokenRule => ({ ...rule, pfn: Math.min(rule.pfn, 0) });

function outcomeLines({ outcome, timeline }: DesignRun): string[] {
  const { place, broken, violations } = outcome;
  const more = violations - broken.length;
  return [
    ...whereLines(outcome, timeline),
    ...(place === null ? [] : wrap(place, "  in   ", "       ")),
    ...(broken.length > 0 ? [] : wrap(outcome.why, "  why  ", "       ")),
    ...broken.flatMap((b) => [
      ...wrap(`${b.rule}: ${b.detail}`, "  rule ", "       "),
      ...wrap(b.pfn < 0 ? b.holder : `frame ${b.pfn}, ${b.holder}`, "  page ", "       "),
    ]),
    ...(more > 0 ? [`  and ${formatCount(more)} more`] : []),
  ];
}

function whereLines({ step, what, between }: Outcome, timeline: readonly Entry[]): string[] {
  if (step === null) return wrap("before the first step", "  at   ", "       ");
  const where = `step ${step}, ${what ?? ""}`;
  if (between) return wrap(where, "  after ", "       ");
  const taken = stepsOf(timeline).some((s) => s.number === step);
  return wrap(taken ? where : `${where} (not finished)`, "  at   ", "       ");
}

/** The line on stderr for a scenario that failed or was stopped, where the report is not seen; null where none did. */
export function troubleLine(runs: readonly DesignRun[], file: string): string | null {
  const run = runs.find(({ outcome }) => ["failed", "stopped"].includes(outcome.verdict));
  if (run === undefined) return null;
  const { outcome } = run;
  const what = outcome.what === null ? "" : ` (${printable(outcome.what)})`;
  const [verdict, ...rest] = outcomeText(outcome).split(": ");
  return `${outcome.place ?? printable(file)}: ${run.design}: ${verdict}${what}: ${printable(rest.join(": "))}`;
}

/** The bundled scenarios, a name and what it shows on each line; ends with a newline. */
export function renderScenarios(
  scenarios: readonly { readonly name: string; readonly about: string }[],
): string {
  const cells = Math.max(0, ...scenarios.map(({ name }) => name.length)) + 2;
  const lines = scenarios.flatMap(({ name, about }) =>
    wrap(about, name.padEnd(cells), " ".repeat(cells)),
  );
  return lines.map((line) => `${line}\n`).join("");
}
