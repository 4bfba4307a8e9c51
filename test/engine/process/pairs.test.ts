/**
 * Every pair of axis values that goes together in some design is in one of the
 * designs of the covering array, and each of those does what naive references
 * say: a walk over processes, a life of scattered memory, the sanitizer silent.
 */
import { describe, expect, test } from "vitest";
import {
  combinationsOf,
  designAxes,
  designProduct,
  designText,
  everySet,
  SEPARATED_SETS,
  type Axis,
} from "../../../src/engine/design/axes.js";
import { countPairs, coveringArray } from "../../../src/engine/design/covering.js";
import { CONVERSION_ORDER, parseDesign } from "../../../src/engine/design/presets.js";
import { runDesign } from "../../../src/engine/sanitizer/process/design-run.js";

const AXES = designAxes();
const PRODUCT = designProduct(AXES);
const ARRAY = coveringArray(PRODUCT.legal);
/** One of the numbers that all designs run from. */
const SEED = 20_251_121;

/** Pairs of a combination, named. */
function pairsOf(values: readonly string[]): string[] {
  return values.flatMap((a, i) =>
    values.slice(i + 1).map((b, j) => `${AXES[i].name}=${a}, ${AXES[i + 1 + j].name}=${b}`),
  );
}

/** Every combination of all values, asked about whole: those that parse. */
function legalByAsking(axes: readonly Axis[]): string[][] {
  let tuples: string[][] = [[]];
  for (const { values } of axes) tuples = tuples.flatMap((t) => values.map((v) => [...t, v]));
  // A stack for each of 370000 refusals is all that takes time.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const legal = tuples.filter((values) => {
    try {
      parseDesign(designText(axes, values));
      return true;
    } catch {
      return false;
    }
  });
  Error.stackTraceLimit = stackTraceLimit;
  return legal;
}

describe("the product", () => {
  const legal = legalByAsking(AXES);

  test("its halves are asked about apart, and it is what asking about every whole says", () => {
    const found = PRODUCT.legal.map((c) => c.values.join("+"));
    expect(new Set(found)).toEqual(new Set(legal.map((values) => values.join("+"))));
    expect(found).toHaveLength(legal.length);
    const refused = PRODUCT.refused.reduce((sum, { combinations }) => sum + combinations, 0);
    expect(refused + found.length).toBe(combinationsOf(AXES));
  });

  test("every design has a name of its own, which is read back as itself", () => {
    const names = PRODUCT.legal.map((c) => c.design.name);
    expect(new Set(names).size).toBe(names.length);
    for (const { design } of PRODUCT.legal) expect(parseDesign(design.name)).toEqual(design);
  });

  test("the covering array has every pair of values that any legal design has", () => {
    const all = new Set(legal.flatMap(pairsOf));
    const covered = new Set(ARRAY.flatMap((c) => pairsOf(c.values)));
    expect([...all].filter((pair) => !covered.has(pair))).toEqual([]);
    expect(countPairs(PRODUCT.legal)).toBe(all.size);
    // What documentation says: docs/design-axes.md, "Combinations".
    expect({
      combinations: combinationsOf(AXES),
      legal: legal.length,
      pairs: all.size,
      array: ARRAY.length,
    }).toEqual({ combinations: 380_160, legal: 7344, pairs: 805, array: 141 });
  });

  test("it is the same array every time", () => {
    const again = coveringArray(designProduct(designAxes()).legal);
    expect(again.map((c) => c.design.name)).toEqual(ARRAY.map((c) => c.design.name));
  });
});

test("every set of types may be asked about: a small word takes those that have what it needs", () => {
  const [word, separated, ...rest] = designAxes(everySet());
  const { legal } = designProduct([{ ...word, values: ["memdesc16"] }, separated, ...rest]);
  const sets = new Set(legal.map((c) => c.values[1]));
  // Five types are left to choose: movable, percpu, acctmem, managed, hwpoison.
  expect([separated.values.length, sets.size]).toEqual([4096, 32]);
});

describe("the axes", () => {
  test("have every value that the engine takes", () => {
    for (const { name, values } of AXES.filter((a) => !["word", "separated"].includes(a.name)))
      expect([...choicesOf(name)].sort()).toEqual([...values].sort());
  });

  test("separate each type alone, and leave each one out alone where a small word can", () => {
    const sets = SEPARATED_SETS.map((text) => parseTypes(text));
    const folio = ["ksm", "anon", "file"];
    for (const type of CONVERSION_ORDER) {
      const mine = folio.includes(type) ? folio : [type];
      expect(sets.some((set) => set.length === mine.length && set.includes(type))).toBe(true);
      // For each two types there is a set that has one of them and not the other.
      const others = CONVERSION_ORDER.filter((t) => !mine.includes(t));
      for (const other of others)
        expect(sets.some((set) => set.includes(type) && !set.includes(other))).toBe(true);
    }
  });
});

/** The choices of an axis: an unknown one is refused with those there are. */
function choicesOf(axis: string): string[] {
  try {
    parseDesign(`today+${axis}=?`);
    return [];
  } catch (error) {
    return (String(error).split(" is one of ")[1] ?? "").split(", ");
  }
}

/** Types of a set, as a design that has it says. */
function parseTypes(text: string): string[] {
  const all = CONVERSION_ORDER.filter((t) => text.split("/").includes(t));
  const folio = text.split("/").includes("folio") ? ["ksm", "anon", "file"] : [];
  return text === "all" ? [...CONVERSION_ORDER] : [...all, ...folio];
}

describe.each(ARRAY.map(({ design }, i) => ({ name: design.name, design, i })))(
  "$name",
  ({ design, i }) => {
    test("does what the references say", () => {
      const seed = SEED + i;
      const run = { design, seed, steps: 300, scatteredSteps: 60, every: 100 };
      const { violations, steps } = runDesign(run);
      expect(violations).toEqual([]);
      expect(steps).toBe(360);
    });
  },
);
