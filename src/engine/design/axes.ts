/**
 * The axes of a design, their values, and every combination of them: those that
 * can be, and why the others cannot.
 *
 * Whether a combination can be is asked of `parseDesign` and of nothing else.
 * What a word keeps in a page (types of their own, type table, page bits) and
 * what lies beside it (map counts, free pointers, scattered memory) are refused
 * for reasons of their own, so each half is asked about with the preset's own
 * other half; that this leaves nothing out is what the tests show, which ask
 * about every combination whole.
 *
 * `scattered-release` is no axis here: what a release gets follows from the
 * lookup.
 */
import { CONVERSION_ORDER, DesignError, parseDesign, WORD_BYTES, type Design } from "./presets.js";
import { SCATTERED_AXES } from "./scattered-rules.js";

/** One axis: how it is written, and its values. */
export interface Axis {
  readonly name: string;
  readonly values: readonly string[];
}

/** A combination that can be: one value of each axis, in the order of the axes. */
export interface Combination {
  readonly values: readonly string[];
  readonly design: Design;
}

/** Why combinations cannot be, and how many of them there are for that reason. */
export interface Refusal {
  readonly reason: string;
  readonly combinations: number;
}

export interface Product {
  readonly axes: readonly Axis[];
  readonly legal: readonly Combination[];
  readonly refused: readonly Refusal[];
}

/** File, anon and ksm, which today's kernel has in one struct folio. */
const FOLIO: ReadonlySet<string> = new Set(["ksm", "anon", "file"]);
/** Steps in which types get a descriptor: one type each, folios as one. */
const STEPS: readonly string[] = [...CONVERSION_ORDER.filter((t) => !FOLIO.has(t)), "folio"];
/** Types that every word has some room for without a descriptor. */
const OPTIONAL = ["movable", "percpu", "acctmem", "managed", "hwpoison"];

const without = (gone: readonly string[]): string =>
  STEPS.filter((t) => !gone.includes(t)).join("/");

/**
 * Sets of types with a descriptor of their own: none; each alone; page tables
 * first and folios last, as published; the other way round; what the small words
 * need, with all but one of the rest; all.
 */
export const SEPARATED_SETS: readonly string[] = [
  "none",
  ...STEPS,
  STEPS.slice(0, 4).join("/"),
  without(["folio"]),
  STEPS.slice(-4).join("/"),
  without(["page-table"]),
  without(OPTIONAL),
  ...OPTIONAL.map((t) => without([t])),
  "all",
];

/** Every set of types that there is, 4096 of them. */
export function everySet(): string[] {
  return Array.from({ length: 2 ** CONVERSION_ORDER.length }, (_, bits) => {
    const types = CONVERSION_ORDER.filter((_type, i) => ((bits >> i) & 1) === 1);
    return types.length === 0 ? "none" : types.join("/");
  });
}

const WORD = "word";
/** Axes that a word answers for, and those beside it: the two halves that are asked about. */
const IN_THE_WORD: ReadonlySet<string> = new Set(["separated", "types", "page-bits"]);

/** All axes; the word is the first. `sets` are the values of `separated`. */
export function designAxes(sets: readonly string[] = SEPARATED_SETS): Axis[] {
  const scattered = SCATTERED_AXES.filter(({ axis }) => axis !== "scattered-release");
  return [
    { name: WORD, values: Object.keys(WORD_BYTES) },
    { name: "separated", values: sets },
    { name: "types", values: ["2024", "2024b", "2025", "page32"] },
    { name: "page-bits", values: ["word", "type", "descriptor"] },
    { name: "mapcount", values: ["per-page", "per-folio"] },
    { name: "free-pointer", values: ["inside", "outside"] },
    ...scattered.map(({ axis, choices }) => ({ name: axis, values: choices })),
  ];
}

/** A design as text, every axis said. */
export const designText = (axes: readonly Axis[], values: readonly string[]): string =>
  axes.map(({ name }, i) => (name === WORD ? values[i] : `${name}=${values[i]}`)).join("+");

/** One value of each of some axes, in every combination. */
function* tuples(axes: readonly Axis[]): Generator<string[]> {
  const [first, ...rest] = axes;
  if (first === undefined) return yield [];
  for (const value of first.values) for (const tail of tuples(rest)) yield [value, ...tail];
}

/** Half of the axes with a word: what goes and what does not, as the preset has the rest. */
function half(word: string, axes: readonly Axis[]): { legal: string[][]; refused: string[] } {
  const legal: string[][] = [];
  const refused: string[] = [];
  for (const values of tuples(axes)) {
    try {
      parseDesign([word, ...axes.map((a, i) => `${a.name}=${values[i]}`)].join("+"));
      legal.push(values);
    } catch (error) {
      if (!(error instanceof DesignError)) throw error;
      refused.push(error.message);
    }
  }
  return { legal, refused };
}

/**
 * Every combination of the axes: the legal ones in the order of their values, the
 * others by reason. A combination with two reasons counts for the first.
 */
export function designProduct(axes: readonly Axis[] = designAxes()): Product {
  const inWord = axes.filter((a) => IN_THE_WORD.has(a.name));
  const beside = axes.filter((a) => a.name !== WORD && !IN_THE_WORD.has(a.name));
  const legal: Combination[] = [];
  const reasons = new Map<string, number>();
  const count = (reason: string, n: number): void => {
    if (n > 0) reasons.set(reason, (reasons.get(reason) ?? 0) + n);
  };
  for (const word of axes.find((a) => a.name === WORD)?.values ?? []) {
    const a = half(word, inWord);
    const b = half(word, beside);
    for (const reason of a.refused) count(reason, b.legal.length + b.refused.length);
    for (const reason of b.refused) count(reason, a.legal.length);
    for (const left of a.legal)
      for (const right of b.legal) {
        const values = [word, ...left, ...right];
        legal.push({ values, design: parseDesign(designText(axes, values)) });
      }
  }
  const refused = [...reasons].map(([reason, combinations]) => ({ reason, combinations }));
  return { axes, legal, refused };
}

/** Combinations that there would be if every value went with every other. */
export const combinationsOf = (axes: readonly Axis[]): number =>
  axes.reduce((product, { values }) => product * values.length, 1);
