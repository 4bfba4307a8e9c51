/**
 * Lines over the time of a trace, as SVG: several of them in one drawing, each named
 * where it ends, axes with their units.
 *
 * Names at the ends are moved apart where lines end close together, and tied to them.
 */
import { scaleLinear } from "d3-scale";
import { figure, label, line, px, WIDTH } from "./html-charts.js";
import { html, type Markup } from "./html-text.js";

export interface TimeLine {
  /** Short enough to stand at the end of a line. */
  readonly name: string;
  /** Class of its stroke. */
  readonly stroke: string;
  /** Nanoseconds since the first event, and the value in the unit of the axis. */
  readonly points: readonly (readonly [time: number, value: number])[];
}

export interface TimeChart {
  readonly id: string;
  readonly title: string;
  /** In words, what is to be seen. */
  readonly text: string;
  /** What goes up, with its unit: `MiB of metadata`. */
  readonly axis: string;
  readonly lines: readonly TimeLine[];
}

const LEFT = 58;
/** Room behind the lines for the stroke beside a name. */
const KEY = 32;
/** Room for a letter of a name, in the larger letters of a phone. */
export const LETTER = 9.6;
/** Letters after which a name is cut. */
const NAME_MOST = 22;
const TOP = 24;
const BOTTOM = 36;
/** Height of a name. */
const ROW = 14;
/** Seconds from which an axis counts in minutes. */
const LONG = 600;

/** A drawing; nothing where there is no time to draw over. */
export function timeChart({ id, title, text, axis, lines }: TimeChart): Markup | null {
  const points = lines.flatMap((one) => one.points);
  const last = Math.max(0, ...points.map(([time]) => time));
  if (last <= 0) return null;
  const longest = Math.max(...lines.map(({ name }) => Math.min(NAME_MOST, name.length)));
  const right = WIDTH - KEY - longest * LETTER;
  const height = Math.max(260, TOP + BOTTOM + lines.length * ROW);
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const y = scaleLinear([low, low === high ? low + 1 : high], [height - BOTTOM, TOP]).nice(5);
  const minutes = last / 1e9 > LONG;
  const x = scaleLinear([0, last / (minutes ? 60e9 : 1e9)], [LEFT, right]);
  const ns = scaleLinear([0, last], [LEFT, right]);
  const [showX, showY] = [x.tickFormat(8), y.tickFormat(5)];
  const grid = y
    .ticks(5)
    .flatMap((value) => [
      line(value === 0 ? "zero" : "axis", LEFT, y(value), right, y(value)),
      label(LEFT - 6, y(value) + 4, "end", showY(value), "dim"),
    ]);
  const ticks = x
    .ticks(8)
    .map((at) => label(x(at), height - BOTTOM + 15, "middle", showX(at), "dim"));
  const unit = minutes ? "minutes since the first event" : "seconds since the first event";
  const drawn = lines.filter((one) => one.points.length > 0);
  const paths = drawn.map((one, i) => {
    // Where another line is, too: dashed over it, so that both are seen.
    const over = drawn.slice(0, i).some((other) => isOver(one, other, y)) ? " over" : "";
    const points = path(one, ns, y);
    return html`<polyline class="line ${one.stroke}${over}" points="${points}"><title>${one.name}</title></polyline>`;
  });
  const drawing = figure(id, height, title, text, [
    label(0, 12, "start", axis, "dim"),
    ...grid,
    ...ticks,
    label((LEFT + right) / 2, height - 4, "middle", unit, "dim"),
    ...paths,
    ...namesAt(drawn, y, right, height),
  ]);
  return html`${drawing}${lineKey(drawn, false)}`;
}

/** Names of lines in a paragraph, where their ends are out of sight: on phones, or always. */
export function lineKey(lines: readonly Omit<TimeLine, "points">[], always: boolean): Markup {
  const items = lines.map(({ name, stroke }) => html`<span>${strokeKey(stroke)} ${name}</span> `);
  return html`<p class="dim keys${always ? "" : " small"}">${items}</p>`;
}

/** A short stroke, to stand before a name in text. */
export function strokeKey(stroke: string): Markup {
  return html`<svg class="key" viewBox="0 0 24 10" aria-hidden="true">
    <line class="line ${stroke}" x1="0" x2="24" y1="5" y2="5" />
  </svg>`;
}

type Scale = (value: number) => number;

function path(one: TimeLine, x: Scale, y: Scale): string {
  const tenth = (n: number): string => String(Math.round(n * 10) / 10);
  return one.points.map(([time, value]) => `${tenth(x(time))},${tenth(y(value))}`).join(" ");
}

/** Whether a line would hide another all the way, being no further from it than its width. */
function isOver(one: TimeLine, other: TimeLine, y: Scale): boolean {
  const { points } = other;
  if (one.points.length !== points.length) return false;
  return one.points.every(([, value], i) => Math.abs(y(value) - y(points[i][1])) <= 2);
}

/** Every name beside the end of its line, none over another. */
function namesAt(lines: readonly TimeLine[], y: Scale, from: number, height: number): Markup[] {
  const ends = lines
    .map((one) => ({ one, at: y(one.points.at(-1)?.[1] ?? 0) }))
    .toSorted((a, b) => a.at - b.at);
  const places = apart(
    ends.map(({ at }) => at),
    TOP + 4,
    height - BOTTOM,
  );
  return ends.map(
    ({ one, at }, i) =>
      html`${line("tie", from, at, from + 10, places[i])}
<line class="line ${one.stroke}" x1="${px(from + 10)}" x2="${px(from + 24)}" y1="${px(places[i])}" y2="${px(places[i])}" />
${label(from + 28, places[i] + 4, "start", cut(one.name))}`,
  );
}

function cut(name: string): string {
  return name.length <= NAME_MOST ? name : `${name.slice(0, NAME_MOST - 1)}…`;
}

/** Sorted places, moved as little as it takes for none to be nearer to another than a row. */
function apart(wanted: readonly number[], from: number, to: number): number[] {
  const places: number[] = [];
  for (const at of wanted) places.push(Math.max(at, (places.at(-1) ?? from - ROW) + ROW));
  // What went past the end pushes those before it back.
  let most = to;
  for (let i = places.length - 1; i >= 0; i--) {
    places[i] = Math.min(places[i], most);
    most = places[i] - ROW;
  }
  return places;
}
