/**
 * The charts of a replay's page: metadata, descriptors and fragmentation over time,
 * what was allocated by order, cache lines of an operation.
 *
 * Fragmentation is the kernel's own measure (unusable_index of debugfs extfrag): the
 * share of free memory that lies in blocks too small for what is wanted, here a page
 * of 2 MiB. It can be compared between designs that leave different amounts free.
 */
import { scaleBand, scaleLinear } from "d3-scale";
import { formatBytes, formatCount, PAGE_SIZE } from "../units.js";
import { formatChange } from "./format.js";
import { box, figure, label, line, strokeOf, WIDTH } from "./html-charts.js";
import { html, type Markup } from "./html-text.js";
import { LETTER, timeChart, type TimeLine } from "./html-time.js";
import { meanLines, type DesignCost, type ReplayReport } from "./replay-model.js";

/** Order of a page of 2 MiB. */
export const HUGE_ORDER = 9;

/** A design as the charts call it. */
export interface Named {
  readonly cost: DesignCost;
  readonly name: string;
  readonly stroke: string;
}

/** Letters a name at the end of a line has room for. */
const NAME = 22;

/** Designs with their names and strokes: letters where a name is too long for a chart. */
export function nameAll(designs: readonly DesignCost[]): Named[] {
  const fit = designs.every(({ design }) => design.length <= NAME);
  let others = 0;
  return designs.map((cost, i) => ({
    cost,
    name: fit ? cost.design : `design ${String.fromCodePoint(65 + (i % 26))}`,
    stroke: strokeOf(cost.design === "today" ? 0 : ++others),
  }));
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** The unit in which the largest of some bytes is a number that one reads. */
function unitOf(bytes: readonly number[]): { readonly name: string; readonly size: number } {
  const most = Math.max(1, ...bytes.map(Math.abs));
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(most) / 10));
  return { name: UNITS[power], size: 1024 ** power };
}

/** Metadata of every design, from zero. */
export function metadataChart(designs: readonly Named[]): Markup | null {
  const unit = unitOf(designs.map(({ cost }) => cost.peak));
  return timeChart({
    id: "metadata",
    title: "Metadata over time, by design",
    text: designs
      .map((d) => `${d.name} ${formatBytes(d.cost.start)} to ${formatBytes(d.cost.end)}`)
      .join(", "),
    axis: `${unit.name} of metadata: page array, tables, slabs of descriptors`,
    lines: designs.map(({ cost, name, stroke }) => ({
      name,
      stroke,
      points: cost.samples.map((s) => [s.time, s.metadata / unit.size] as const),
    })),
  });
}

/** The same, each design against its own beginning: what the trace did to it. */
export function changeChart(designs: readonly Named[]): Markup | null {
  const since = (cost: DesignCost): number[] => cost.samples.map((s) => s.metadata - cost.start);
  const all = designs.flatMap(({ cost }) => since(cost));
  if (all.every((bytes) => bytes === 0)) return null;
  const unit = unitOf(all);
  return timeChart({
    id: "change",
    title: "Change of metadata since the beginning, by design",
    text: designs
      .map((d) => `${d.name} ${formatChange(d.cost.end - d.cost.start)} at the end`)
      .join(", "),
    axis: `${unit.name} more than at the beginning of the trace`,
    lines: designs.map(({ cost, name, stroke }) => ({
      name,
      stroke,
      points: since(cost).map((bytes, i) => [cost.samples[i].time, bytes / unit.size] as const),
    })),
  });
}

/** Share of free memory in blocks too small for a page of 2 MiB; null where nothing is free. */
export function unusable(free: readonly number[]): number | null {
  let all = 0;
  let small = 0;
  for (const [order, blocks] of free.entries()) {
    all += blocks * 2 ** order;
    if (order < HUGE_ORDER) small += blocks * 2 ** order;
  }
  return all === 0 ? null : small / all;
}

export function fragmentationChart(designs: readonly Named[]): Markup | null {
  const lines = designs.map(({ cost, name, stroke }): TimeLine => ({
    name,
    stroke,
    points: cost.samples.flatMap(({ time, free }) => {
      const share = unusable(free);
      return share === null ? [] : [[time, share * 100] as const];
    }),
  }));
  return timeChart({
    id: "fragmentation",
    title: "Free memory too scattered for a page of 2 MiB, by design",
    text: lines
      .map((one) => `${one.name} ${(one.points.at(-1)?.[1] ?? 0).toFixed(2)} % at the end`)
      .join(", "),
    axis: "% of free memory that lies in blocks smaller than 2 MiB",
    lines,
  });
}

/** What a cache is of; `folio, second object` is of folios, too. */
const typeOf = (cache: string): string => cache.split(",")[0];

/** Strokes of types, the same in the drawings of all designs. */
export function typeStrokes(designs: readonly Named[]): ReadonlyMap<string, string> {
  const used = designs.flatMap(({ cost }) =>
    cost.caches
      .filter((_, i) => cost.samples.some(({ objects }) => (objects[i] ?? 0) > 0))
      .map(({ name }) => typeOf(name)),
  );
  return new Map([...new Set(used)].map((name, i) => [name, strokeOf(i + 1)]));
}

/** Descriptors in use, of one design. Only caches that had any; the most used six. */
export function objectsChart(
  id: string,
  { cost, name }: Named,
  strokes: ReadonlyMap<string, string>,
): Markup | null {
  const used = cost.caches
    .map((cache, i) => ({
      name: cache.name,
      most: Math.max(0, ...cost.samples.map(({ objects }) => objects[i] ?? 0)),
      values: cost.samples.map(({ time, objects }) => [time, objects[i] ?? 0] as const),
    }))
    .filter(({ most }) => most > 0)
    .toSorted((a, b) => b.most - a.most)
    .slice(0, 6);
  const thousands = used.some(({ most }) => most >= 10_000);
  return timeChart({
    id,
    title: `Descriptors in use over time, ${name}`,
    text: used.map((one) => `${one.name} at most ${formatCount(one.most)}`).join(", "),
    axis: thousands ? "thousand descriptors in use" : "descriptors in use",
    lines: used.map((one) => ({
      name: one.name,
      stroke: strokes.get(typeOf(one.name)) ?? strokeOf(1),
      points: one.values.map(([time, n]) => [time, thousands ? n / 1000 : n] as const),
    })),
  });
}

const COLUMN_LEFT = 58;

/** Memory allocated in blocks of each order, by kind. */
export function ordersChart(kinds: ReplayReport["kinds"]): Markup {
  const height = 240;
  const orders = Array.from({ length: 11 }, (_, order) => order);
  const bytesOf = (n: number, order: number): number => n * 2 ** order * PAGE_SIZE;
  const sums = orders.map((order) =>
    kinds.reduce((sum, kind) => sum + bytesOf(kind.orders[order], order), 0),
  );
  const unit = unitOf(sums);
  const y = scaleLinear([0, Math.max(1, ...sums) / unit.size], [height - 36, 24]).nice(5);
  const x = scaleBand(orders, [COLUMN_LEFT, WIDTH]).padding(0.25);
  const grid = y
    .ticks(5)
    .flatMap((value) => [
      line(value === 0 ? "zero" : "axis", COLUMN_LEFT, y(value), WIDTH, y(value)),
      label(COLUMN_LEFT - 6, y(value) + 4, "end", y.tickFormat(5)(value), "dim"),
    ]);
  const columns = orders.flatMap((order) => {
    let at = 0;
    return kinds.flatMap(({ kind, orders: counts }) => {
      const bytes = bytesOf(counts[order], order);
      if (bytes === 0) return [];
      const bottom = y(at / unit.size);
      at += bytes;
      const top = y(at / unit.size);
      const place = { x: x(order) ?? 0, y: top, width: x.bandwidth(), height: bottom - top };
      const title = `order ${order}, ${kind}: ${formatCount(counts[order])} blocks, ${formatBytes(bytes)}`;
      return [box(`k-${kind}`, place, title)];
    });
  });
  const names = orders.map((order) =>
    label((x(order) ?? 0) + x.bandwidth() / 2, height - 21, "middle", String(order), "dim"),
  );
  return figure(
    "orders",
    height,
    "Memory allocated in the trace, by order and kind",
    orders.map((order) => `order ${order} ${formatBytes(sums[order])}`).join(", "),
    [
      label(0, 12, "start", `${unit.name} allocated, all allocations added up`, "dim"),
      ...grid,
      ...columns,
      ...names,
      label((COLUMN_LEFT + WIDTH) / 2, height - 4, "middle", "order of the block", "dim"),
    ],
  );
}

/** Mean cache lines of metadata that an allocation and a free touch, by design. */
export function linesChart(designs: readonly Named[]): Markup | null {
  const means = designs.map((d) => ({
    ...d,
    alloc: meanLines(d.cost, "alloc"),
    free: meanLines(d.cost, "free"),
  }));
  const most = Math.max(0, ...means.flatMap((m) => [m.alloc ?? 0, m.free ?? 0]));
  if (most === 0) return null;
  const left = 16 + Math.max(...means.map(({ name }) => name.length)) * LETTER;
  const x = scaleLinear([0, most], [left, WIDTH - 50]);
  const bars = means.flatMap((mean, i) => {
    const top = 6 + i * 42;
    const bar = (what: "alloc" | "free", y: number): Markup[] => {
      const value = mean[what];
      if (value === null) return [];
      const place = { x: left, y, width: x(value) - left, height: 15 };
      return [
        box(`f-${what}`, place, `${mean.name}, ${what}: ${value.toFixed(2)} lines`),
        label(x(value) + 6, y + 12, "start", value.toFixed(1)),
      ];
    };
    return [
      label(left - 8, top + 20, "end", mean.name),
      ...bar("alloc", top),
      ...bar("free", top + 16),
    ];
  });
  return html`${figure(
    "lines",
    8 + means.length * 42,
    "Cache lines of metadata touched by an allocation and by a free, by design",
    means
      .map((m) => `${m.name} ${m.alloc?.toFixed(1) ?? "–"} and ${m.free?.toFixed(1) ?? "–"}`)
      .join(", "),
    bars,
  )}`;
}
