/**
 * A replay as one self-contained HTML page: no script, nothing loaded from anywhere
 * (its own content policy forbids it), charts as inline SVG with a table beside each,
 * light and dark, readable on a phone.
 *
 * What is asked comes first: what each design costs against today. What no trace can
 * show stands beside every cost.
 */
import { formatBytes, formatCount } from "../units.js";
import { formatChange, NONE, plural } from "./format.js";
import { changeChart, metadataChart, nameAll, type Named } from "./html-replay-charts.js";
import { descriptors, fragmentation, lines } from "./html-replay-costs.js";
import { REPLAY_STYLE } from "./html-replay-style.js";
import { accuracy, allocated, breakEven, events, notes } from "./html-replay-trace.js";
import { change, NOTHING, section, table, tr } from "./html-parts.js";
import { STYLE } from "./html-style.js";
import { html, Markup } from "./html-text.js";
import { lineKey, strokeKey } from "./html-time.js";
import type { ReplayReport } from "./replay-model.js";

/** A whole document. */
export function renderReplayHtml(report: ReplayReport): string {
  const designs = nameAll(report.designs);
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width,initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>memdesc replay: ${report.trace.source}</title>
        <style>
          ${new Markup(STYLE + REPLAY_STYLE)}
        </style>
      </head>
      <body>
        <main>
          ${header(report)} ${verdicts(report, designs)} ${metadata(report, designs)}
          ${descriptors(designs)} ${lines(report, designs)} ${fragmentation(designs)}
          ${allocated(report)} ${breakEven(report)} ${events(report)} ${accuracy(report)}
          ${notes(report)}
        </main>
      </body>
    </html> `;
  return page.text;
}

/** How long a trace is, as people say it. */
function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  return seconds < 600 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(1)} min`;
}

function header(report: ReplayReport): Markup {
  const { trace, whatIf } = report;
  const facts = [
    trace.kernel === null ? "Linux, release unknown" : `Linux ${trace.kernel}`,
    plural(trace.cpus, "CPU"),
    duration(trace.seconds),
    plural(report.events, "event"),
  ].join(" · ");
  const rate =
    trace.seconds > 0
      ? ` ${formatCount(Math.round(report.events / trace.seconds))} events a second.`
      : "";
  const lost =
    trace.lost === 0
      ? "no event was lost"
      : trace.lost < 0
        ? "some events were lost"
        : `${plural(trace.lost, "event")} lost`;
  const changes = [
    whatIf.fileOrder > 0 ? `file folios of order ${whatIf.fileOrder} at least` : "",
    whatIf.anonOrder > 0 ? `anonymous folios of order ${whatIf.anonOrder} at least` : "",
    whatIf.pcpHigh === null ? "" : `per-CPU lists of ${formatCount(whatIf.pcpHigh)} pages at most`,
    whatIf.freeMib === null
      ? ""
      : `${formatCount(whatIf.freeMib)} MiB free at the beginning, nothing is reclaimed`,
    whatIf.pcpBatch === null ? "" : `per-CPU batches of ${plural(whatIf.pcpBatch, "page")}`,
  ].filter((text) => text !== "");
  const warnings = [
    trace.damage === null
      ? ""
      : `Damaged at ${trace.damage.where}: ${trace.damage.why}. What comes before is used.`,
    changes.length === 0 ? "" : `What if: ${changes.join(", ")}.`,
    trace.begins === "empty"
      ? "There is no snapshot before this trace: the machine begins empty, so figures are of this trace’s pages alone."
      : "",
    trace.lost === 0 ? "" : `Incomplete: ${lost}.`,
  ].filter((text) => text !== "");
  return html`<h1>${facts}</h1>
    <p class="dim">
      Source: ${trace.source}, ${trace.format}${trace.clock === null ? "" : `, clock ${trace.clock}`}.
      ${rate}
      ${
        trace.begins === "snapshot"
          ? "Every machine begins as the snapshot taken before the trace."
          : NOTHING
      }
    </p>
    ${warnings.map((text) => html`<p class="note">${text}</p>`)}
    <p class="lead">
      ${formatCount(report.recorded)} allocations and frees recorded = ${formatCount(report.replayed)}
      replayed + ${formatCount(report.refused)} refused; ${lost}.
    </p>`;
}

function verdicts({ notShown }: ReplayReport, designs: readonly Named[]): Markup {
  if (designs.length === 0) return NOTHING;
  const items = designs.map(({ cost, stroke }) => {
    const even =
      cost.breakEven === null
        ? ""
        : `; folios of order ${cost.breakEven} and more take no more than today’s`;
    return html`<dt>${strokeKey(stroke)} ${cost.design}</dt>
      <dd>${formatBytes(Math.round(cost.mean))} of metadata on average: ${cost.verdict}${even}</dd>`;
  });
  return section(
    "verdict",
    "Verdict, against today",
    html`<dl class="verdicts">
        ${items}
      </dl>
      <p class="dim">${notShown}</p>`,
  );
}

function metadata({ notShown }: ReplayReport, designs: readonly Named[]): Markup {
  if (designs.length === 0) return NOTHING;
  const rows = designs.map(({ cost }) =>
    tr([
      cost.design,
      formatBytes(cost.pageArray + cost.zoneTable),
      formatBytes(cost.start),
      formatBytes(Math.round(cost.mean)),
      formatBytes(cost.peak),
      formatBytes(cost.end),
      cost.end === cost.start ? NONE : formatChange(cost.end - cost.start),
      cost.change === null ? NONE : change(Math.round(cost.change)),
    ]),
  );
  const heads = [
    "design",
    "always there",
    "start",
    "mean",
    "peak",
    "end",
    "end − start",
    "mean vs today",
  ];
  const over = metadataChart(designs);
  const since = changeChart(designs);
  // Designs that the charts call by letters.
  const letters = designs
    .filter(({ cost, name }) => name !== cost.design)
    .map(({ cost, name, stroke }) => ({ name: `${name}: ${cost.design}`, stroke }));
  return section(
    "metadata",
    "Metadata over time",
    html`${letters.length === 0 ? NOTHING : lineKey(letters, true)} ${over ?? NOTHING}
    ${since === null ? NOTHING : html`<h3>What the trace changed</h3>${since}`} ${table(heads, rows)}
    <p class="dim">
      Always there: page array and zone table. Lines join samples; peak and mean are exact, between
      samples too. ${notShown}
    </p>`,
  );
}
