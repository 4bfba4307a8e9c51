/**
 * What is said in a run (notes, findings, expectations, refusals, states), as
 * lines: once where every design says the same, else what they have in common
 * once and the rest for each.
 */
import { formatBytes } from "../units.js";
import type { Remark, ShownPage } from "../scenario/record.js";
import { plural } from "./format.js";
import type { Paint } from "./paint.js";
import { valueText } from "./run-model.js";
import { wrap } from "./table.js";

/** A remark as one design made it; designs by the name that tables call them. */
export interface Said {
  readonly design: string;
  readonly remark: Remark;
}

/** How remarks are drawn. */
export interface RemarkStyle {
  /** Designs in the run: a remark that fewer made is said to be theirs. */
  readonly designs: number;
  readonly indent: string;
  readonly paint: Paint;
}

/** One remark that some or all designs made. */
export function remarkLines(said: readonly Said[], style: RemarkStyle): string[] {
  const groups = grouped(
    said.map(({ design, remark }) => ({
      design,
      value: bodyOf(remark, `${style.indent}    `, style.paint).join("\n"),
    })),
  );
  const [{ remark }] = said;
  if (groups.length === 1 && said.length === style.designs) {
    return wholeOf(remark, style.indent, style.paint);
  }
  const inside = `${style.indent}  `;
  if (remark.is === "note")
    return wrap(
      `${listed(said.map(({ design }) => design))}: ${remark.text}`,
      style.indent,
      inside,
    );
  return [
    ...wrap(subjectOf(remark), style.indent),
    ...groups.flatMap(({ designs, value }) => {
      const names = listed(designs);
      const [line, ...more] = value.split("\n");
      if (more.length === 0) return wrap(`${names}: ${line.trim()}`, inside);
      return [...wrap(`${names}:`, inside), line, ...more];
    }),
  ];
}

/** Designs that say the same, together, in the order in which it was first said. */
export function grouped(
  values: readonly { readonly design: string; readonly value: string }[],
): { readonly designs: readonly string[]; readonly value: string }[] {
  const groups = new Map<string, string[]>();
  for (const { design, value } of values) {
    groups.set(value, [...(groups.get(value) ?? []), design]);
  }
  return [...groups].map(([value, designs]) => ({ designs, value }));
}

/** Names one after another; of letters that follow each other the first and the last: `A–H`. */
export function listed(names: readonly string[]): string {
  const parts: string[] = [];
  for (let i = 0; i < names.length;) {
    let end = i + 1;
    while (end < names.length && follows(names[end - 1], names[end])) end++;
    if (end - i < 3) parts.push(...names.slice(i, end));
    else parts.push(`${names[i]}–${names[end - 1]}`);
    i = end;
  }
  return parts.join(", ");
}

const follows = (a: string, b: string): boolean =>
  a.length === 1 && b.length === 1 && b.charCodeAt(0) === a.charCodeAt(0) + 1;

/** What a remark is about, the same in every design that makes it. */
export function subjectOf(remark: Remark): string {
  switch (remark.is) {
    case "note":
      return remark.text;
    case "show":
      return remark.title;
    case "refused":
      return `refused with ${remark.expected}`;
    default:
      return remark.what;
  }
}

function wholeOf(remark: Remark, indent: string, p: Paint): string[] {
  const subject = subjectOf(remark);
  switch (remark.is) {
    case "note":
      return subject.split("\n").flatMap((line) => wrap(line, indent, indent));
    case "show":
      return [...wrap(subject, indent).map(p.heading), ...bodyOf(remark, `${indent}  `, p)];
    case "finding":
      return wrap(`${subject}: ${valueText(remark.value)}`, `${indent}→ `, `${indent}  `);
    case "refused":
      return marked(remark.holds, `${subject}: ${remark.said}`, indent, p);
    case "expect":
      return marked(remark.holds, `${subject}${sides(remark)}`, indent, p);
    default:
      return remark satisfies never;
  }
}

/** What designs can differ in. */
function bodyOf(remark: Remark, indent: string, p: Paint): string[] {
  switch (remark.is) {
    case "note":
      return [];
    case "show":
      return stateLines(remark, indent);
    case "finding":
      return wrap(valueText(remark.value), indent);
    case "refused":
      return marked(remark.holds, remark.said, indent, p);
    case "expect":
      return marked(
        remark.holds,
        remark.holds ? "holds" : `does not hold${sides(remark)}`,
        indent,
        p,
      );
    default:
      return remark satisfies never;
  }
}

function marked(holds: boolean, text: string, indent: string, p: Paint): string[] {
  const lines = wrap(text, `${indent}${holds ? "✓" : "✗"} `, `${indent}  `);
  return lines.map(holds ? p.good : p.bad);
}

function sides(remark: Remark & { readonly is: "expect" }): string {
  const { actual, expected, holds } = remark;
  if (expected === undefined || actual === undefined) return "";
  if (holds) return `: ${valueText(actual)}`;
  return `: ${valueText(actual)}, expected ${valueText(expected)}`;
}

function stateLines(show: Remark & { readonly is: "show" }, indent: string): string[] {
  const memory = [
    plural(show.freePages, "page free", "pages free"),
    ...show.metadata.map((m) => `${m.kind} ${formatBytes(m.bytes)}`),
  ].join(" · ");
  return [...wrap(memory, indent), ...show.pages.flatMap((page) => pageLines(page, indent))];
}

function pageLines(page: ShownPage, indent: string): string[] {
  const from = page.block === page.pfn ? "" : ` from frame ${page.block}`;
  const facts = [
    `frame ${page.pfn}: ${page.type}`,
    ...(page.exclusive ? ["exclusive"] : []),
    `order ${page.order}${from}`,
    ...(page.descriptor === null ? [] : [`described at ${page.descriptor}`]),
    ...(page.references === null ? [] : [plural(page.references, "reference")]),
    ...(page.mapcount === null ? [] : [plural(page.mapcount, "mapping")]),
    ...(page.pins === null || page.pins === 0 ? [] : [pinsText(page.pins)]),
  ];
  const flags = page.flags.length === 0 ? [] : [`flags ${page.flags.join(" ")}`];
  return [
    ...wrap(facts.join(", "), indent),
    ...flags.flatMap((text) => wrap(text, `${indent}  `, `${indent}  `)),
    ...wrap(page.words.join(" "), `${indent}  `, `${indent}  `),
  ];
}

const pinsText = (pins: number | "maybe"): string =>
  pins === "maybe" ? "may be pinned" : plural(pins, "pin");
