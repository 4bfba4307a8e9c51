/**
 * The sections of a replay's page that are about what designs cost while it ran:
 * descriptors and their slabs, cache lines, how far memory was cut up.
 */
import { formatBytes, formatCount, PAGE_SIZE } from "../units.js";
import { formatShare, NONE } from "./format.js";
import {
  fragmentationChart,
  HUGE_ORDER,
  linesChart,
  type Named,
  objectsChart,
  typeStrokes,
  unusable,
} from "./html-replay-charts.js";
import { NOTHING, section, table, tr } from "./html-parts.js";
import { html, type Markup } from "./html-text.js";
import type { ReplayReport } from "./replay-model.js";

/** Traffic of descriptors, how many were in use over time, and of which types. */
export function descriptors(designs: readonly Named[]): Markup {
  const having = designs.filter(({ cost }) => cost.caches.length > 0);
  if (having.length === 0) return NOTHING;
  const traffic = having.map(({ cost }) => {
    const s = cost.duration / 1e9;
    const rate = (n: number): string => (s === 0 ? NONE : formatCount(Math.round(n / s)));
    return tr([
      cost.design,
      formatCount(cost.descriptorsTaken),
      rate(cost.descriptorsTaken),
      formatCount(cost.descriptorsGiven),
      rate(cost.descriptorsGiven),
      cost.descriptorsPerAllocation.toFixed(2),
      formatCount(cost.slabPagesGained),
      formatCount(cost.slabPagesLost),
    ]);
  });
  const heads = [
    "design",
    "allocated",
    "a second",
    "freed",
    "a second",
    "per page allocation",
    "slab pages gained",
    "lost",
  ];
  return section(
    "descriptors",
    "Descriptors",
    html`${table(heads, traffic)} ${panels(having)} ${types(having)}`,
  );
}

/** A drawing per design; designs whose descriptors came and went alike share one. */
function panels(designs: readonly Named[]): Markup[] {
  const groups = new Map<string, Named[]>();
  for (const design of designs) {
    const { caches, samples } = design.cost;
    const same = JSON.stringify([
      caches.map(({ name }) => name),
      samples.map(({ time, objects }) => [time, objects]),
    ]);
    groups.set(same, [...(groups.get(same) ?? []), design]);
  }
  const strokes = typeStrokes(designs);
  return [...groups.values()].flatMap((group, i) => {
    const chart = objectsChart(`objects-${i}`, group[0], strokes);
    if (chart === null) return [];
    return [
      html`<h3>In use over time: ${group.map(({ cost }) => cost.design).join(", ")}</h3>
        ${chart}`,
    ];
  });
}

function types(designs: readonly Named[]): Markup {
  const rows = designs.flatMap(({ cost }) => {
    const [first, last] = [cost.samples[0], cost.samples.at(-1)];
    if (first === undefined || last === undefined) return [];
    return cost.caches.flatMap((cache, i) => {
      const most = Math.max(...cost.samples.map(({ objects }) => objects[i] ?? 0));
      const slabs = Math.max(...cost.samples.map((sample) => sample.slabs[i] ?? 0));
      if (most === 0) return [];
      return [
        tr([
          cost.design,
          `${cache.name}${cache.assumed ? " *" : ""}`,
          `${formatCount(cache.size)} B`,
          formatCount(first.objects[i]),
          formatCount(most),
          formatCount(last.objects[i]),
          formatBytes(slabs * PAGE_SIZE),
          formatBytes(last.slabs[i] * PAGE_SIZE),
        ]),
      ];
    });
  });
  if (rows.length === 0) return NOTHING;
  const heads = ["design", "type", "size", "start", "most", "end", "slabs, most", "slabs, end"];
  const assumed = designs.some(({ cost }) => cost.caches.some((cache) => cache.assumed));
  return html`<h3>By type</h3>
    ${table(heads, rows)}
    ${assumed ? html`<p class="dim">* size assumed: no proposal gives one.</p>` : NOTHING}`;
}

/** Cache lines of metadata that operations touch, and what no trace shows of them. */
export function lines({ notShown }: ReplayReport, designs: readonly Named[]): Markup {
  const chart = linesChart(designs);
  if (chart === null) return NOTHING;
  const all = new Map(
    designs.flatMap(({ cost }) =>
      cost.lines.map((row) => [`${row.what} ${row.kind} ${row.order}`, row] as const),
    ),
  );
  const rows = [...all.values()]
    .toSorted((a, b) => a.what.localeCompare(b.what, "en"))
    .map(({ what, kind, order, sampled }) =>
      tr([
        what,
        kind,
        order,
        formatCount(sampled),
        ...designs.map(({ cost }) => {
          const own = cost.lines.find(
            (row) => row.what === what && row.kind === kind && row.order === order,
          );
          if (own === undefined) return NONE;
          return html`${own.touched.toFixed(1)}
            <span class="dim">${own.read.toFixed(1)}&hairsp;/&hairsp;${own.written.toFixed(1)}</span>`;
        }),
      ]),
    );
  const fault = (of: "anon" | "file"): Markup =>
    tr(["fault", of, "0", NONE, ...designs.map(({ cost }) => formatCount(cost.faultLines[of]))]);
  const heads = ["operation", "kind", "order", "sampled", ...designs.map(({ name }) => name)];
  return section(
    "lines",
    "Cache lines of metadata per allocation, free and fault",
    html`${chart}
      <p class="dim">
        <span class="swatch f-alloc"></span>an allocation &ensp;<span class="swatch f-free"></span>a
        free. Distinct lines of 64 bytes touched, mean of the operations that were looked at (one in
        64).
      </p>
      ${table(heads, [...rows, fault("anon"), fault("file")])}
      <p class="dim">
        Touched, and behind it read&hairsp;/&hairsp;written; a line that is both counts once. Faults,
        with all that they do to metadata, are measured on a small process of each design, not on
        the trace: a write to one anonymous page, a read that maps 16 pages of a file.
        ${notShown}
      </p>`,
  );
}

/** How far each design’s pages and slabs have cut up what is free, and what it had to refuse. */
export function fragmentation(designs: readonly Named[]): Markup {
  const sampled = designs.filter(({ cost }) => cost.samples.length > 0);
  if (sampled.length === 0) return NOTHING;
  const share = (free: readonly number[]): string => {
    const found = unusable(free);
    return found === null ? NONE : formatShare(found);
  };
  const bytes = (free: readonly number[], from: number): string =>
    formatBytes(
      free.reduce((sum, n, order) => (order < from ? sum : sum + n * 2 ** order), 0) * PAGE_SIZE,
    );
  const rows = sampled.map(({ cost: { design, samples } }) => {
    const [first, last] = [samples[0].free, (samples.at(-1) ?? samples[0]).free];
    return tr([
      design,
      bytes(first, 0),
      share(first),
      bytes(last, 0),
      bytes(last, HUGE_ORDER),
      share(last),
    ]);
  });
  const orders = Array.from({ length: 11 }, (_, order) => order);
  const blocks = sampled.map(({ cost: { design, samples } }) =>
    tr([design, ...orders.map((order) => formatCount(samples.at(-1)?.free[order] ?? 0))]),
  );
  const heads = [
    "design",
    "free, start",
    "too scattered",
    "free, end",
    "of it ≥ 2 MiB",
    "too scattered",
  ];
  return section(
    "fragmentation",
    "Fragmentation",
    html`${fragmentationChart(sampled) ?? NOTHING} ${table(heads, rows)}
      <p class="dim">
        Too scattered: the share of free memory in blocks smaller than 2 MiB (order 9), as
        unusable_index in the kernel’s debugfs counts it. Pages on per-CPU lists are not among free
        blocks.
      </p>
      <details>
        <summary>Free blocks at the end, by order</summary>
        ${table(["design", ...orders.map(String)], blocks)}
      </details>
      ${refusals(sampled)}`,
  );
}

function refusals(designs: readonly Named[]): Markup {
  const rows = designs.flatMap(({ cost }) =>
    cost.refused
      .filter(({ operations }) => operations > 0)
      .map(({ why, operations }) => tr([cost.design, formatCount(operations), { sentence: why }])),
  );
  if (rows.length === 0)
    return html`<p>Every operation could be done on every design: none ran out of memory.</p>`;
  return html`<h3>What a design could not do</h3>
    ${table(["design", "operations", { sentence: "why" }], rows)}`;
}
