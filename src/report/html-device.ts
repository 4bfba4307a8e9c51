/**
 * The HTML report's section on a device: a bar for each record on each page words,
 * and a table of all names.
 */
import { scaleBand, scaleLinear } from "d3-scale";
import { formatBytes } from "../units.js";
import { byWords, firstOfRecords, folioText, refusals } from "./device-shown.js";
import { formatChange } from "./format.js";
import { box, figure, label, line, WIDTH } from "./html-charts.js";
import { change, NOTHING, section, table, tr } from "./html-parts.js";
import { html, type Markup } from "./html-text.js";
import type { DeviceReport, DeviceRow } from "./model.js";

export function deviceSection(report: DeviceReport | null): Markup {
  if (report === null) return NOTHING;
  const size = formatBytes(report.size);
  const assumed = report.rows.some((row) => row.band !== null);
  const built =
    report.measured === report.size
      ? ""
      : ` ${formatBytes(report.measured)} of it was built; what grows with pages is multiplied.`;
  return section(
    "device",
    `What a device of ${size} costs`,
    html`${deviceChart(report)}
      <p class="dim">
        <span class="swatch array"></span>idle, records from the start &ensp;<span
          class="swatch desc"
        ></span
        >more with every page in use, as ${folioText(report)}; a name stands for all names, which
        differ by a few KiB.${built}
      </p>
      ${deviceTable(report.rows)}
      ${refusals(report).map((text) => html`<p class="dim">There is no ${text}</p>`)}
      ${assumed ? html`<p class="dim">* size assumed: no proposal gives one</p>` : NOTHING}`,
  );
}

function deviceTable(rows: readonly DeviceRow[]): Markup {
  const heads = [
    "page words",
    "name",
    "record",
    "idle, static",
    "idle, chunk",
    "idle, request",
    "in use",
    "per GiB",
    "vs today",
    "in use, by assumed size",
  ];
  const body = rows.map((row) =>
    tr([
      row.words,
      row.name,
      `${row.record}: ${row.summary}${row.band === null ? "" : " *"}`,
      formatBytes(row.idle.static),
      formatBytes(row.idle.chunk),
      formatBytes(row.idle.request),
      formatBytes(row.inService),
      formatBytes(row.perGiB),
      change(row.change),
      (row.band ?? []).map(({ size, total }) => `${size} B: ${formatBytes(total)}`).join(", "),
    ]),
  );
  return table(heads, body);
}

/** Room for page words and record, and for figures behind the longest bar. */
const LEFT = 190;
const RIGHT = 90;

/** What is there while the device is idle, what comes on top; today's device as a line. */
function deviceChart(report: DeviceReport): Markup {
  const rows = byWords(report).flatMap(firstOfRecords);
  const names = rows.map((row) => `${row.words} ${row.record}`);
  const height = 30 + rows.length * 24;
  const x = scaleLinear(
    [0, Math.max(1, ...rows.map((row) => row.inService))],
    [LEFT, WIDTH - RIGHT],
  );
  const y = scaleBand(names, [24, height]).padding(0.25);
  const bars = rows.flatMap((row, i) => {
    const place = { y: y(names[i]) ?? 0, height: y.bandwidth() };
    const idle = { ...place, x: LEFT, width: x(row.idle.static) - LEFT };
    const more = { ...place, x: x(row.idle.static), width: x(row.inService) - x(row.idle.static) };
    const middle = place.y + place.height / 2 + 4;
    return [
      label(LEFT - 8, middle, "end", cut(names[i])),
      box("array", idle, `idle: ${formatBytes(row.idle.static)}`),
      more.width > 0 ? box("desc", more, `in use: ${formatBytes(row.inService)}`) : NOTHING,
      label(x(row.inService) + 6, middle, "start", formatBytes(row.inService)),
    ];
  });
  const today = rows.length === 0 ? 0 : rows[0].inService - rows[0].change;
  const at = Math.min(x(today), WIDTH - RIGHT);
  const reference = [
    line("ref", at, 18, at, height),
    label(at, 12, "middle", `today ${formatBytes(today)}`, "dim"),
  ];
  const text = rows
    .map((row, i) => `${names[i]} ${formatBytes(row.inService)} (${formatChange(row.change)})`)
    .join(", ");
  const title = `What a device of ${formatBytes(report.size)} costs, by page words and record`;
  return figure("device", height, title, text, [...bars, ...reference]);
}

const cut = (name: string): string => (name.length <= 30 ? name : `${name.slice(0, 29)}…`);
