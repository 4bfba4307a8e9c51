/**
 * The report of `inspect` as one self-contained HTML page: no script, nothing
 * loaded from anywhere (its own content policy forbids it), charts as inline
 * SVG with a table beside each, light and dark, readable on a phone.
 */
import { formatBytes, formatCount } from "../units.js";
import { formatExact, formatMean, formatOptional, formatShare, NONE, plural } from "./format.js";
import { breakEvenChart, costsChart, curveKey, kindsChart } from "./html-charts.js";
import { deviceSection } from "./html-device.js";
import { change, NOTHING, section, table, tr } from "./html-parts.js";
import { STYLE } from "./html-style.js";
import { html, Markup } from "./html-text.js";
import type { DesignRow, InspectReport } from "./model.js";

/** A whole document. */
export function renderHtml(report: InspectReport): string {
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width,initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>memdesc: ${report.machine.label}</title>
        <style>
          ${new Markup(STYLE)}
        </style>
      </head>
      <body>
        <main>
          ${header(report)} ${kinds(report)} ${costs(report.designs)} ${descriptors(report.designs)}
          ${breakEven(report)} ${reconciliation(report)} ${vmemmap(report)}
          ${deviceSection(report.device)} ${holds(report.designs)} ${notes(report)}
          ${arithmetic(report)}
        </main>
      </body>
    </html> `;
  return page.text;
}

function header({ machine }: InspectReport): Markup {
  const facts = [
    machine.kernel === null ? "Linux, release unknown" : `Linux ${machine.kernel}`,
    formatBytes(machine.ram),
    plural(machine.nodes, "node"),
    plural(machine.frames, "frame"),
  ].join(" · ");
  const bundled = html`<p class="note">
    This snapshot comes with memdesc. It is not the machine that made this page.
  </p>`;
  const what = html`<p class="note">What if: ${machine.whatIf.join(", ")}</p>`;
  const read = machine.readSeconds === null ? "" : `, read in ${machine.readSeconds.toFixed(1)} s`;
  return html`<h1>${facts}</h1>
    <p class="dim">Source: ${machine.label}${read}</p>
    ${machine.origin === "bundled" ? bundled : NOTHING}${machine.whatIf.length > 0 ? what : NOTHING}`;
}

function kinds(report: InspectReport): Markup {
  const shown = report.kinds.filter((row) => row.pages > 0);
  const rows = shown.map((row) =>
    tr([
      html`<span class="swatch k-${row.kind}"></span>${row.kind}`,
      formatCount(row.pages),
      formatBytes(row.bytes),
      row.kind === "absent" ? NONE : formatShare(row.pages / report.machine.frames),
      row.meanOrder === null ? NONE : formatCount(row.objects),
      formatMean(row.meanOrder),
      formatOptional(row.largestOrder),
    ]),
  );
  return section(
    "kinds",
    "What the pages are",
    html`${kindsChart(report.kinds)}
    ${table(["kind", "pages", "size", "share", "objects", "mean order", "largest order"], rows)}`,
  );
}

function costs(designs: readonly DesignRow[]): Markup {
  if (designs.length === 0) return NOTHING;
  const rows = designs.map((design) =>
    tr([
      design.design,
      design.summary,
      formatBytes(design.pageArray),
      design.total === design.pageArray ? NONE : formatBytes(design.total - design.pageArray),
      formatBytes(design.total),
      formatShare(design.shareOfRam),
      change(design.change),
      design.estimated === null ? NONE : formatBytes(design.estimated.total),
    ]),
  );
  const basis = designs.find((d) => d.estimated !== null)?.estimated?.basis;
  const key = html`<p class="dim">
    <span class="swatch array"></span>page array &ensp;<span class="swatch desc"></span>descriptors
    &ensp;<span class="swatch waste"></span>slab waste
  </p>`;
  const fill =
    basis === undefined
      ? NOTHING
      : html`<p class="dim">As filled (the stroke behind a bar): ${basis}</p>`;
  const heads = [
    "design",
    "a frame carries",
    "page array",
    "descriptors",
    "total",
    "of RAM",
    "vs today",
    "as filled",
  ];
  return section(
    "costs",
    "What describing them costs",
    html`${costsChart(designs)}${key} ${table(heads, rows)}${fill}`,
  );
}

function descriptors(designs: readonly DesignRow[]): Markup {
  const rows = designs.flatMap((design) =>
    design.descriptors.map((row) =>
      tr([
        design.design,
        `${row.type}${row.assumed ? " *" : ""}`,
        formatCount(row.objects),
        `${formatCount(row.size)} B`,
        formatBytes(row.bytes),
        formatBytes(row.waste),
        { sentence: row.source },
      ]),
    ),
  );
  if (rows.length === 0) return NOTHING;
  const bands = designs.flatMap((design) => {
    if (design.band === null) return [];
    const totals = design.band.map((b) => `${b.size} B: ${formatBytes(b.total)}`).join(", ");
    return [
      html`<p class="dim">* size assumed. ${design.design} in all, by assumed size: ${totals}</p>`,
    ];
  });
  const heads = [
    "design",
    "type",
    "objects",
    "size",
    "bytes",
    "slab waste",
    { sentence: "size from" },
  ];
  return section("descriptors", "Descriptors", html`${table(heads, rows)}${bands}`);
}

function breakEven({ breakEven: curves }: InspectReport): Markup {
  if (curves.length === 0) return NOTHING;
  const orders = curves[0].perOrder.map((point) => point.order);
  const rows = [
    tr(["today", ...curves[0].perOrder.map((point) => formatCount(point.today)), NONE]),
    ...curves.map((curve) =>
      tr([
        curve.design,
        ...curve.perOrder.map((point) => formatCount(point.design)),
        curve.order === null ? "never" : `from order ${curve.order}`,
      ]),
    ),
  ];
  return section(
    "breakeven",
    "Bytes that describe one folio, by order",
    html`${breakEvenChart(curves)}${curveKey(curves)}
    ${table(["design", ...orders.map(String), "cheaper"], rows)}`,
  );
}

function reconciliation(report: InspectReport): Markup {
  if (report.reconciliation.length === 0) return NOTHING;
  const rows = report.reconciliation.map((row) =>
    tr([
      row.name,
      formatCount(row.ours),
      formatCount(row.theirs),
      row.residue > 0 ? `+${formatCount(row.residue)}` : formatCount(row.residue),
      row.unit,
      {
        sentence:
          row.residue === 0 || row.why === undefined ? row.source : `${row.source}: ${row.why}`,
      },
    ]),
  );
  const heads = [
    "what",
    "ours",
    "theirs",
    "residue",
    "unit",
    { sentence: "source, and why they differ" },
  ];
  return section("checks", "Against the kernel's own totals", table(heads, rows));
}

function vmemmap(report: InspectReport): Markup {
  if (report.vmemmap.length === 0) return NOTHING;
  const rows = report.vmemmap.map((row) =>
    tr([row.name, formatBytes(row.saved), formatBytes(row.total), { sentence: row.why }]),
  );
  const heads = ["what", "saved", "leaves", { sentence: "why" }];
  return section("vmemmap", "vmemmap optimisation of today's page array", table(heads, rows));
}

function holds(designs: readonly DesignRow[]): Markup {
  const items = designs.flatMap((design) => [
    ...verifyItems(design),
    ...design.lost.map(
      (bit) =>
        html`<li>
          ${design.design}: no place for ${bit.bit} (${plural(bit.frames, "frame")}): ${bit.why}
        </li>`,
    ),
  ]);
  if (items.length === 0) return NOTHING;
  return section(
    "holds",
    "What each design holds",
    html`<ul>
      ${items}
    </ul>`,
  );
}

function verifyItems(design: DesignRow): Markup[] {
  const { verify } = design;
  if (verify === null) return [];
  const result =
    verify.differences === 0 ? "no difference" : plural(verify.differences, "difference");
  const out = verify.leftOut.map((l) => `${formatCount(l.frames)} ${l.why}`).join(", ");
  return [
    html`<li class="${verify.differences === 0 ? "good" : "bad"}">
      ${design.design}: round trip of ${plural(verify.compared, "frame")},
      ${result}${out === "" ? "" : `; left out: ${out}`}
    </li>`,
  ];
}

function notes(report: InspectReport): Markup {
  if (report.notes.length === 0) return NOTHING;
  const items = report.notes.map(
    (note) => html`<li><strong>${note.subject}</strong>: ${note.text}</li>`,
  );
  return section(
    "notes",
    "Notes",
    html`<ul>
      ${items}
    </ul>`,
  );
}

function arithmetic(report: InspectReport): Markup {
  if (report.arithmetic.length === 0) return NOTHING;
  const items = report.arithmetic.map(
    (row) =>
      html`<dt>${row.figure} = ${formatExact(row.value, row.unit)}</dt>
        <dd>${row.sum}<br /><span class="dim">${row.source}</span></dd>`,
  );
  return html`<details>
    <summary>The arithmetic behind every figure</summary>
    <dl>${items}</dl>
  </details>`;
}
