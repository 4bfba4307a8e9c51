#!/usr/bin/env node
/**
 * The matrix of designs: every legal combination of all axes, each tried by a
 * walk over processes and a life of scattered memory beside naive references.
 *
 *   node scripts/matrix.mjs [--steps N] [--seed N] [--only AXIS=VALUE]… [--every-set]
 *                           [--pairs] [--list]
 *
 * --only keeps the combinations with that value and may be given several times.
 * --every-set takes all 4096 sets of separated types instead of the named ones.
 * --pairs runs the covering array only; --list counts and runs nothing.
 *
 * Runs the built package (npm run build first). The same seed repeats the same
 * run; each design has a seed of its own, one more than that of the one before, so
 * that one design alone is run again with --only on every axis and its seed. Exit 0: no rule was broken; 1: one was; 2: it could not run; 130: stopped
 * by Ctrl-C before its end.
 */
import { parseArgs } from "node:util";
import { combinationsOf, designAxes, designProduct, everySet } from "../dist/engine/design/axes.js";
import { countPairs, coveringArray } from "../dist/engine/design/covering.js";
import { runDesign } from "../dist/engine/sanitizer/process/design-run.js";

const STEPS = 300;
const SEED = 20_251_121;
/** All rules are looked at after so many steps. */
const EVERY = 100;
/** Steps of the life of scattered memory, of each so many of the walk. */
const SCATTERED = 3;
/** Designs after which the first estimate is given, where nobody sees the progress line. */
const SAMPLE = 20;

function fail(message) {
  console.error(`matrix: ${message}`);
  process.exit(2);
}

function whole(name, text, otherwise) {
  const n = Number(text ?? otherwise);
  if (!Number.isSafeInteger(n) || n < 1)
    fail(`--${name} ${text}: a whole number from 1 on is expected`);
  return n;
}

function options() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        steps: { type: "string" },
        seed: { type: "string" },
        only: { type: "string", multiple: true, default: [] },
        "every-set": { type: "boolean", default: false },
        pairs: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    return fail(error.message);
  }
  const axes = designAxes(values["every-set"] ? everySet() : undefined);
  return {
    axes: narrowed(axes, values.only),
    pairs: values.pairs,
    list: values.list,
    steps: whole("steps", values.steps, STEPS),
    seed: whole("seed", values.seed, SEED),
  };
}

/** The axes with only the values that were asked for; several of one axis are all kept. */
function narrowed(axes, only) {
  const kept = new Map();
  for (const text of only) {
    const at = text.indexOf("=");
    const [name, value] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
    const axis = axes.find((a) => a.name === name);
    if (axis === undefined)
      fail(
        `--only ${text}: AXIS=VALUE is expected, and the axes are ${axes.map((a) => a.name).join(", ")}`,
      );
    if (!axis.values.includes(value))
      fail(`--only ${text}: ${name} is one of ${axis.values.slice(0, 30).join(", ")}`);
    kept.set(name, [...(kept.get(name) ?? []), value]);
  }
  return axes.map((a) => (kept.has(a.name) ? { ...a, values: kept.get(a.name) } : a));
}

/** Ctrl-C ends the run after the design that is under way; a second one at once. */
const run = { stopped: false };
process.on("SIGINT", () => {
  if (run.stopped) process.exit(130);
  run.stopped = true;
});

/** Shows progress on a terminal only, on stderr. */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

/** Seconds as people say them. */
function time(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

async function runAll(combinations, { steps, seed }) {
  const started = performance.now();
  const done = [];
  const left = () => {
    const each = (performance.now() - started) / 1000 / Math.max(1, done.length);
    return time(each * (combinations.length - done.length));
  };
  for (const [i, { values, design }] of combinations.entries()) {
    if (run.stopped) break;
    const result = runDesign({
      design,
      seed: seed + i,
      steps,
      scatteredSteps: Math.ceil(steps / SCATTERED),
      every: EVERY,
    });
    done.push({ values, steps: result.steps, broken: result.violations.length > 0 });
    if (result.violations.length > 0) {
      progress("");
      console.log(`${design.name}:`);
      for (const line of result.violations) console.log(`  ${line}`);
    }
    if (done.length === SAMPLE && combinations.length > SAMPLE)
      console.error(`matrix: about ${left()} left after ${SAMPLE} designs`);
    progress(
      `${done.length} of ${combinations.length} designs, about ${left()} left: ${design.name}`,
    );
    // Lets Ctrl-C be heard between designs.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  progress("");
  return { done, seconds: (performance.now() - started) / 1000 };
}

/** By axis and value: designs that ran, combinations that are refused, designs with violations. */
function tableByAxis({ axes, legal }, done) {
  const all = combinationsOf(axes);
  console.log("axis, value: designs run, legal, refused, with violations");
  for (const [i, axis] of axes.entries()) {
    console.log(`  ${axis.name}`);
    // 4096 sets are no table.
    const shown = axis.values.length > 40 ? [] : axis.values;
    if (shown.length === 0) console.log(`    ${axis.values.length} values, not listed`);
    for (const value of shown) {
      const mine = done.filter((d) => d.values[i] === value);
      const can = legal.filter((c) => c.values[i] === value).length;
      const counts = [
        mine.length,
        can,
        all / axis.values.length - can,
        mine.filter((d) => d.broken).length,
      ].map((n) => String(n).padStart(9));
      console.log(`    ${value.padEnd(78)}${counts.join("")}`);
    }
  }
}

function tableOfReasons(refused) {
  console.log("refused, by reason:");
  const sorted = [...refused].sort((a, b) => b.combinations - a.combinations);
  for (const { reason, combinations } of sorted)
    console.log(`  ${String(combinations).padStart(9)}  ${reason}`);
}

const chosen = options();
const product = designProduct(chosen.axes);
if (product.legal.length === 0) {
  tableOfReasons(product.refused);
  fail("no combination of these values can be");
}
const combinations = chosen.pairs ? coveringArray(product.legal) : product.legal;
console.log(
  `${combinationsOf(product.axes)} combinations, ${product.legal.length} legal designs with ${countPairs(product.legal)} pairs of values; ${chosen.list ? 0 : combinations.length} are run, ${chosen.steps} steps each, seed ${chosen.seed}`,
);
const { done, seconds } = chosen.list
  ? { done: [], seconds: 0 }
  : await runAll(combinations, chosen);
tableByAxis(product, done);
tableOfReasons(product.refused);
const broken = done.filter((d) => d.broken).length;
const steps = done.reduce((sum, d) => sum + d.steps, 0);
console.log(
  `${done.length} designs, ${steps} steps, ${time(seconds)}, ${broken} designs with violations${run.stopped ? ", interrupted" : ""}`,
);
process.exitCode = broken > 0 ? 1 : run.stopped ? 130 : 0;
