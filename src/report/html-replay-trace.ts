/**
 * The sections of a replay's page that are about the trace, whatever design: what was
 * allocated, where each event went, how far kinds were guessed right.
 */
import { formatBytes, formatCount, PAGE_SIZE } from "../units.js";
import { formatShare, NONE } from "./format.js";
import { breakEvenChart, curveKey } from "./html-charts.js";
import { NOTHING, section, table, tr } from "./html-parts.js";
import { ordersChart } from "./html-replay-charts.js";
import { html, type Markup } from "./html-text.js";
import type { ReplayReport } from "./replay-model.js";

const share = (part: number, whole: number): string =>
  whole === 0 ? NONE : formatShare(part / whole);

/** Allocations by kind and order, and the rules that found the kinds out. */
export function allocated({ kinds, rules }: ReplayReport): Markup {
  if (kinds.length === 0) return NOTHING;
  const shown = Array.from({ length: 11 }, (_, order) => order).filter((order) =>
    kinds.some(({ orders }) => orders[order] > 0),
  );
  const rows = kinds.map(({ kind, orders }) => {
    const pages = orders.reduce((sum, n, order) => sum + n * 2 ** order, 0);
    return tr([
      html`<span class="swatch k-${kind}"></span>${kind}`,
      formatCount(orders.reduce((sum, n) => sum + n, 0)),
      formatBytes(pages * PAGE_SIZE),
      ...shown.map((order) => (orders[order] === 0 ? NONE : formatCount(orders[order]))),
    ]);
  });
  const all = rules.reduce((sum, { allocations }) => sum + allocations, 0);
  const by = rules.map(({ rule, goesBy, allocations }) =>
    tr([rule, formatCount(allocations), share(allocations, all), { sentence: goesBy }]),
  );
  const heads = [
    "kind",
    "allocations",
    "memory",
    ...shown.map((order, i) => (i === 0 ? `order ${order}` : String(order))),
  ];
  return section(
    "allocated",
    "What was allocated",
    html`${ordersChart(kinds)} ${table(heads, rows)}
      <details>
        <summary>How each kind was found out: events name no owner</summary>
        ${table(["rule", "allocations", "share", { sentence: "goes by" }], by)}
      </details>`,
  );
}

/** Bytes for a folio of each order, and where designs become cheaper than today. */
export function breakEven({ designs }: ReplayReport): Markup {
  const today = designs.find(({ design }) => design === "today");
  const others = designs.filter((one) => one !== today);
  if (today === undefined || others.length === 0) return NOTHING;
  const curves = others.map(({ design, breakEven: order, perOrder }) => ({
    design,
    order,
    orderAtBase: null,
    perOrder: perOrder.map((bytes, i) => ({ order: i, today: today.perOrder[i], design: bytes })),
  }));
  const rows = designs.map(({ design, breakEven: order, perOrder, folioBytesPerPage }) =>
    tr([
      design,
      design === "today" ? NONE : order === null ? "never" : `order ${order} on`,
      `${folioBytesPerPage.toFixed(1)} B`,
      ...perOrder.map((bytes) => formatCount(bytes)),
    ]),
  );
  const heads = [
    "design",
    "≤ today",
    "this trace, a page",
    ...today.perOrder.map((_, order) => (order === 0 ? "order 0" : String(order))),
  ];
  return section(
    "breakeven",
    "Bytes that describe one file folio, by order",
    html`${breakEvenChart(curves)}${curveKey(curves)} ${table(heads, rows)}
      <p class="dim">
        This trace, a page: words and descriptors of the folios that it allocated, in bytes per page
        of them.
      </p>`,
  );
}

/** Where every event of the trace went. */
export function events(report: ReplayReport): Markup {
  const { recorded, replayed, refused, trace } = report;
  const rows = [
    tr(["recorded", formatCount(recorded), share(recorded, recorded)]),
    tr(["replayed", formatCount(replayed), share(replayed, recorded)]),
    tr(["refused", formatCount(refused), share(refused, recorded)]),
    ...report.refusals
      .filter((row) => row.events > 0)
      .map((row) => tr([`– ${row.why}`, formatCount(row.events), share(row.events, recorded)])),
  ];
  const unseen = report.unseen
    .filter(({ pages }) => pages > 0)
    .map(({ what, pages }) => tr([what, formatCount(pages), formatBytes(pages * PAGE_SIZE)]));
  const names = [
    ...Object.entries(trace.counts).map(([name, n]) => tr([name, formatCount(n), ""])),
    ...Object.entries(trace.others).map(([name, n]) => tr([name, formatCount(n), "not used"])),
  ];
  const lost = trace.lostPerCpu.map((n, cpu) =>
    tr([`CPU ${cpu}`, n < 0 ? "some" : formatCount(n)]),
  );
  return section(
    "events",
    "Where allocations and frees went",
    html`${table(["allocations and frees", "events", "share"], rows)}
      <p class="dim">A batched free repeats an ordinary one and is not counted.</p>
      ${
        unseen.length === 0
          ? NOTHING
          : html`<h3>What the trace did not show</h3>
              ${table(["pages", "number", "memory"], unseen)}`
      }
      <details>
        <summary>All events by name, and lost ones by CPU</summary>
        ${table(["event", "rows", ""], names)}
        ${lost.length === 0 ? NOTHING : table(["processor", "events lost"], lost)}
      </details>`,
  );
}

/** Kinds as they were derived against kinds as they were. */
export function accuracy({ against }: ReplayReport): Markup {
  const title = "Were kinds found out right?";
  if (against === null)
    return section(
      "accuracy",
      title,
      html`<p>There is no snapshot after this trace to put them against.</p>`,
    );
  const rows = [
    ...against.accuracy.rows.map((row) =>
      tr([
        html`<span class="swatch k-${row.derived}"></span>${row.derived}`,
        formatCount(row.pages),
        formatCount(row.right),
        share(row.right, row.pages),
        {
          sentence: [
            ...row.wrong.map(({ kind, pages }) => `${kind} ${formatCount(pages)}`),
            ...(row.free > 0 ? [`(free ${formatCount(row.free)})`] : []),
          ].join(", "),
        },
      ]),
    ),
    tr([
      "in all",
      formatCount(against.accuracy.pages),
      formatCount(against.accuracy.right),
      share(against.accuracy.right, against.accuracy.pages),
      "",
    ]),
  ];
  const { free } = against;
  const listed = free.listed + free.perCpu;
  const totals = [
    ...against.totals,
    { kind: "free" as const, derived: free.derived, real: listed, silent: null },
  ].map(({ kind, derived, real, silent }) =>
    tr([
      html`<span class="swatch k-${kind}"></span>${kind}`,
      formatCount(derived),
      formatCount(real),
      derived === real ? NONE : `${derived > real ? "+" : ""}${formatCount(derived - real)}`,
      share(Math.abs(derived - real), real),
      silent === null ? NONE : formatCount(silent),
    ]),
  );
  const from = against.readFrom ?? against.secondsIn;
  return section(
    "accuracy",
    title,
    html`<p>
        Pages that the trace allocated, and that were there from ${from.toFixed(2)} s into it to its
        end, while the snapshot after it was read.
      </p>
      ${table(["taken for", "pages", "right", "share", { sentence: "the others are" }], rows)}
      <h3>All pages, about ${against.secondsIn.toFixed(2)} s into the trace</h3>
      ${table(["kind", "trace", "snapshot", "difference", "of snapshot", "unseen"], totals)}
      <p class="dim">
        unseen: there in the snapshot, and the trace has no holder of them. free: on free lists, and
        ${formatCount(free.perCpu)} on per-CPU lists, which look like kernel pages in the snapshot.
      </p>`,
  );
}

export function notes({ trace }: ReplayReport): Markup {
  if (trace.notes.length === 0) return NOTHING;
  return section(
    "notes",
    "Notes",
    html`<ul>
      ${trace.notes.map(({ subject, text }) => html`<li><strong>${subject}</strong>: ${text}</li>`)}
    </ul>`,
  );
}
