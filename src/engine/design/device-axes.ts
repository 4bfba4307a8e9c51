/**
 * The designs of device memory that there can be: every page design with its map
 * counts and page bits, together with every choice of name, record, lifetime and
 * activation that goes with it.
 *
 * Whether a combination can be is asked of `parseDesign` and of nothing else, as
 * in axes.ts. What is left out: `separated` other than the presets' own (for
 * today's page also its folios with a descriptor of their own, which is where
 * device records meet one), type tables, free pointers and scattered memory, which
 * device memory does not touch; and `peer`, which shows only where an owner offers
 * an alias.
 */
import { designText, type Axis, type Combination, type Product } from "./axes.js";
import { DEVICE_AXES } from "./device-rules.js";
import { DesignError, parseDesign, WORD_BYTES } from "./presets.js";

/** Left as the preset has it: no part of the design's text. */
const OWN = "preset";

/** Axes of the page design, the word first. */
const PAGE_AXES: readonly Axis[] = [
  { name: "word", values: Object.keys(WORD_BYTES) },
  { name: "separated", values: [OWN, "folio"] },
  { name: "mapcount", values: ["per-page", "per-folio"] },
  { name: "page-bits", values: ["word", "type", "descriptor"] },
];

/** Axes of device memory, in the order in which a reader thinks of them. */
const ORDER = ["device-name", "device-record", "device-lifetime", "activation"];

/** All axes: those of the page design, then those of device memory. */
export function deviceAxes(): Axis[] {
  const device = DEVICE_AXES.filter(({ axis }) => axis !== "peer").map(({ axis, choices }) => ({
    name: axis,
    values: choices,
  }));
  const rank = (name: string): number =>
    ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length;
  return [...PAGE_AXES, ...device.toSorted((a, b) => rank(a.name) - rank(b.name))];
}

/**
 * The same without what is an option of a choice: the page words as their presets have
 * them, and name, record, lifetime, activation.
 */
export function plainAxes(): Axis[] {
  return deviceAxes().map(({ name, values }) => ({
    name,
    values: name === "word" || ORDER.includes(name) ? values : [OWN],
  }));
}

/** One value of each of some axes, in every combination. */
function* tuples(axes: readonly Axis[]): Generator<string[]> {
  const [first, ...rest] = axes;
  if (first === undefined) return yield [];
  for (const value of first.values) for (const tail of tuples(rest)) yield [value, ...tail];
}

/** The text of a design; what is the preset's own is not said. */
function textOf(axes: readonly Axis[], values: readonly string[]): string {
  const said = axes.map((_, i) => i).filter((i) => values[i] !== OWN);
  return designText(
    said.map((i) => axes[i]),
    said.map((i) => values[i]),
  );
}

/** A design, or why it cannot be. */
function tryDesign(axes: readonly Axis[], values: readonly string[]): Combination | string {
  // Small words have folios of their own already; in a slot nothing can be separated.
  if (values[1] === "folio" && values[0] !== "page64")
    return "separated=folio is said of page64 only: the other words have it, or cannot";
  try {
    return { values, design: parseDesign(textOf(axes, values)) };
  } catch (error) {
    if (error instanceof DesignError) return error.message;
    throw error;
  }
}

/**
 * Every legal combination in the order of the values, the others by reason. A page
 * design that cannot be is refused once for all that would go with it.
 */
export function deviceProduct(axes: readonly Axis[] = deviceAxes()): Product {
  const device = axes.slice(PAGE_AXES.length);
  const each = device.reduce((n, { values }) => n * values.length, 1);
  const legal: Combination[] = [];
  const reasons = new Map<string, number>();
  const refuse = (reason: string, n: number): void => {
    reasons.set(reason, (reasons.get(reason) ?? 0) + n);
  };
  for (const page of tuples(axes.slice(0, PAGE_AXES.length))) {
    const alone = tryDesign(axes.slice(0, PAGE_AXES.length), page);
    if (typeof alone === "string") {
      refuse(alone, each);
      continue;
    }
    for (const rest of tuples(device)) {
      const found = tryDesign(axes, [...page, ...rest]);
      if (typeof found === "string") refuse(found, 1);
      else legal.push(found);
    }
  }
  return {
    axes,
    legal,
    refused: [...reasons].map(([reason, combinations]) => ({ reason, combinations })),
  };
}
