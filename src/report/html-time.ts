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
const RIGHT = 150;
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
  const height = Math.max(260, TOP + BOTTOM + lines.length * ROW);
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const y = scaleLinear([low, low === high ? low + 1 : high], [height - BOTTOM, TOP]).nice(5);
  const minutes = last / 1e9 > LONG;
  const x = scaleLinear([0, last / (minutes ? 60e9 : 1e9)], [LEFT, WIDTH - RIGHT]);
  const ns = scaleLinear([0, last], [LEFT, WIDTH - RIGHT]);
  const [showX, showY] = [x.tickFormat(8), y.tickFormat(5)];
  const grid = y
    .ticks(5)
    .flatMap((value) => [
      line(value === 0 ? "zero" : "axis", LEFT, y(value), WIDTH - RIGHT, y(value)),
      label(LEFT - 6, y(value) + 4, "end", showY(value), "dim"),
    ]);
  const ticks = x
    .ticks(8)
    .map((at) => label(x(at), height - BOTTOM + 15, "middle", showX(at), "dim"));
  const unit = minutes ? "minutes since the first event" : "seconds since the first event";
  const drawn = lines.filter((one) => one.points.length > 0);
  const paths = drawn.map(
    (one) =>
      html`<polyline class="line ${one.stroke}" points="${path(one, ns, y)}"><title>${one.name}</title></polyline>`,
  );
  return figure(id, height, title, text, [
    label(0, 12, "start", axis, "dim"),
    ...grid,
    ...ticks,
    label((LEFT + WIDTH - RIGHT) / 2, height - 4, "middle", unit, "dim"),
    ...paths,
    ...namesAt(drawn, y, height),
  ]);
}

type Scale = (value: number) => number;

function path(one: TimeLine, x: Scale, y: Scale): string {
  const tenth = (n: number): string => String(Math.round(n * 10) / 10);
  return one.points.map(([time, value]) => `${tenth(x(time))},${tenth(y(value))}`).join(" ");
}

/** Every name beside the end of its line, none over another. */
function namesAt(lines: readonly TimeLine[], y: Scale, height: number): Markup[] {
  const ends = lines
    .map((one) => ({ one, at: y(one.points.at(-1)?.[1] ?? 0) }))
    .toSorted((a, b) => a.at - b.at);
  const places = apart(
    ends.map(({ at }) => at),
    TOP + 4,
    height - BOTTOM,
  );
  const from = WIDTH - RIGHT;
  return ends.map(
    ({ one, at }, i) =>
      html`${line("tie", from, at, from + 10, places[i])}
<line class="line ${one.stroke}" x1="${px(from + 10)}" x2="${px(from + 24)}" y1="${px(places[i])}" y2="${px(places[i])}" />
${label(from + 28, places[i] + 4, "start", one.name)}`,
  );
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
