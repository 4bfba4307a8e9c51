/**
 * The charts of the HTML report as inline SVG, laid out with d3-scale.
 *
 * Every chart has a title and a description that says in words what it shows;
 * the exact figures stand in a table beside each of them.
 */
import { scaleBand, scaleLinear, scaleLog, scalePoint } from "d3-scale";
import { formatBytes, formatCount } from "../units.js";
import { formatChange, formatShare } from "./format.js";
import { html, type Markup } from "./html-text.js";
import type { DesignRow, InspectReport, KindRow } from "./model.js";

/** Units that a chart is wide; it is scaled to the page. */
export const WIDTH = 720;

/** A drawing with its text alternative. */
export function figure(
  id: string,
  height: number,
  title: string,
  text: string,
  body: Markup[],
): Markup {
  return html`<div class="wide">
    <svg
      class="chart"
      viewBox="0 0 ${WIDTH} ${height}"
      role="img"
      aria-labelledby="${id}-t ${id}-d"
    >
      <title id="${id}-t">${title}</title>
      <desc id="${id}-d">${text}</desc>
      ${body}
    </svg>
  </div>`;
}

type Anchor = "start" | "middle" | "end";

/** A word at a place; `css` "dim" for what is not the point. */
export function label(x: number, y: number, anchor: Anchor, text: string, css = ""): Markup {
  return html`<text class="${css}" x="${px(x)}" y="${px(y)}" text-anchor="${anchor}">${text}</text>`;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A box that says what it is when pointed at. */
export function box(css: string, b: Box, title: string): Markup {
  const place = html`x="${px(b.x)}" y="${px(b.y)}" width="${px(b.width)}" height="${px(b.height)}"`;
  return html`<rect class="${css}" ${place}><title>${title}</title></rect>`;
}

export function line(css: string, x1: number, y1: number, x2: number, y2: number): Markup {
  return html`<line class="${css}" x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" />`;
}

/** One stacked bar: which share of the frames is of which kind. */
export function kindsChart(kinds: readonly KindRow[]): Markup {
  const shown = kinds.filter((row) => row.pages > 0 && row.kind !== "absent");
  const all = shown.reduce((sum, row) => sum + row.pages, 0);
  const x = scaleLinear([0, Math.max(1, all)], [0, WIDTH]);
  let at = 0;
  const parts = shown.map((row) => {
    const from = x(at);
    at += row.pages;
    const place = { x: from, y: 0, width: Math.max(0.5, x(at) - from), height: 44 };
    const title = `${row.kind}: ${formatBytes(row.bytes)}, ${formatShare(row.pages / all)}`;
    return box(`k-${row.kind}`, place, title);
  });
  const text = shown.map((row) => `${row.kind} ${formatShare(row.pages / all)}`).join(", ");
  return figure("kinds", 44, "What the pages are, as shares of all frames", text, parts);
}

/** Room for the names of designs, and for totals behind the longest bar. */
const LEFT = 130;
const RIGHT = 120;

/**
 * A bar per design: page array, descriptors, slab waste; a stroke where its
 * slabs would end as they fill on this machine; today's total as a line.
 */
export function costsChart(designs: readonly DesignRow[]): Markup {
  const height = 30 + designs.length * 34;
  const most = Math.max(1, ...designs.map((d) => Math.max(d.total, d.estimated?.total ?? 0)));
  const x = scaleLinear([0, most], [LEFT, WIDTH - RIGHT]);
  const y = scaleBand(
    designs.map((design) => design.design),
    [24, height],
  ).padding(0.25);
  const bars = designs.map((design) => costBar(design, x, y(design.design) ?? 0, y.bandwidth()));
  const today = designs.length === 0 ? 0 : designs[0].total - designs[0].change;
  const reference = [
    line("ref", x(today), 18, x(today), height),
    label(x(today), 12, "middle", `today ${formatBytes(today)}`, "dim"),
  ];
  const text = designs
    .map((d) => `${d.design} ${formatBytes(d.total)} (${formatChange(d.change)})`)
    .join(", ");
  const title = "What describing the pages costs, by design";
  return figure("costs", height, title, text, [...bars, ...reference]);
}

function costBar(
  design: DesignRow,
  x: (bytes: number) => number,
  top: number,
  height: number,
): Markup {
  const bytes = design.descriptors.reduce((sum, row) => sum + row.bytes, 0);
  const ends = { array: design.pageArray, desc: design.pageArray + bytes, waste: design.total };
  const part = (css: string, name: string, from: number, to: number): Markup | readonly Markup[] =>
    to > from
      ? box(
          css,
          { x: x(from), y: top, width: x(to) - x(from), height },
          `${name}: ${formatBytes(to - from)}`,
        )
      : [];
  const filled = design.estimated?.total ?? design.total;
  const middle = top + height / 2 + 4;
  return html`${label(LEFT - 8, middle, "end", short(design.design))}
${part("array", "page array", 0, ends.array)}
${part("desc", "descriptors", ends.array, ends.desc)}
${part("waste", "slab waste", ends.desc, ends.waste)}
${filled > design.total ? line("filled", x(filled), top, x(filled), top + height) : []}
${label(x(Math.max(filled, design.total)) + 6, middle, "start", formatBytes(design.total))}`;
}

type Curve = InspectReport["breakEven"][number];

/** The stroke of a design by its place, today's first: six colours, then the same dashed. */
export function strokeOf(place: number): string {
  if (place === 0) return "s0";
  return `s${1 + ((place - 1) % 6)}${place > 6 ? " again" : ""}`;
}

/** Bytes per folio against its order, every design and today, logarithmic. */
export function breakEvenChart(curves: readonly Curve[]): Markup {
  const height = 300;
  const orders = curves[0].perOrder.map((point) => point.order);
  const series = [
    { name: "today", values: curves[0].perOrder.map((point) => point.today) },
    ...curves.map((curve) => ({
      name: curve.design,
      values: curve.perOrder.map((point) => point.design),
    })),
  ];
  const values = series.flatMap((one) => one.values).filter((value) => value > 0);
  const x = scalePoint(orders, [60, WIDTH - 20]);
  const y = scaleLog([Math.min(...values), Math.max(...values)], [height - 34, 12]).base(2);
  const steps = y.ticks(8).filter((_, i, all) => all.length <= 9 || i % 2 === 0);
  const grid = steps.flatMap((value) => [
    line("axis", 60, y(value), WIDTH - 20, y(value)),
    label(54, y(value) + 4, "end", formatCount(value), "dim"),
  ]);
  const ticks = orders.map((o) => label(x(o) ?? 0, height - 18, "middle", String(o), "dim"));
  const paths = series.map((one, i) => {
    const points = one.values.map((v, k) => `${px(x(orders[k]) ?? 0)},${px(y(Math.max(v, 1)))}`);
    return html`<polyline class="line ${strokeOf(i)}" points="${points.join(" ")}"><title>${one.name}</title></polyline>`;
  });
  const axis = "order of the folio (bytes that describe it, logarithmic)";
  const text = curves
    .map((c) => `${c.design}: ${c.order === null ? "never" : `from order ${c.order}`}`)
    .join(", ");
  return figure(
    "breakeven",
    height,
    "Bytes that describe one folio, by order",
    `Cheaper than today, ${text}`,
    [...grid, ...ticks, ...paths, label(WIDTH / 2, height - 4, "middle", axis, "dim")],
  );
}

/** The key to the curves: a short stroke in each one's colour. */
export function curveKey(curves: readonly Curve[]): Markup {
  const names = ["today", ...curves.map((curve) => curve.design)];
  return html`<p class="dim">
    ${names.map(
      (name, i) =>
        html`<svg class="key" viewBox="0 0 24 10" aria-hidden="true">
            <line class="line ${strokeOf(i)}" x1="0" x2="24" y1="5" y2="5" />
          </svg>
          ${name} &ensp;`,
    )}
  </p>`;
}

function short(name: string): string {
  return name.length <= 15 ? name : `${name.slice(0, 14)}…`;
}

/** A place in a drawing, to a hundredth of its unit. */
export function px(value: number): string {
  return String(Math.round(value * 100) / 100);
}
