#!/usr/bin/env node
/**
 * Soak run: millions of random operations on a machine in each design, all rules
 * checked again and again, everything given back at the end.
 *
 *   node scripts/soak.mjs [--ops N] [--seed N] [--designs a,b] [--every N] [--processes]
 *
 * With --processes the operations are those of processes on kernels, beside a
 * naive reference (soak-processes.mjs), so many in each design; unless --designs
 * says otherwise the designs are those in which every two choices of two axes that
 * go together do (src/engine/design/covering.ts).
 *
 * Runs the built package (npm run build first). The same seed repeats the same
 * run. Exit 0: no rule was broken; 1: one was; 2: it could not run.
 */
import { parseArgs } from "node:util";
import { Machine } from "../dist/engine/machine.js";
import { DEFAULT_DESIGNS, parseDesign } from "../dist/engine/design/presets.js";
import { inspectMachine } from "../dist/engine/sanitizer/sanitizer.js";
import { Walk } from "../dist/engine/sanitizer/walk.js";
import { pairwiseDesigns, soakProcesses } from "./soak-processes.mjs";

const DEFAULTS = { ops: 10_000_000, seed: 20_251_121, every: 250_000 };
const PROCESS_DEFAULTS = { ops: 100_000, seed: 20_251_121, every: 200 };
const ALL = [
  ...DEFAULT_DESIGNS,
  "today+separated=all",
  "memdesc8+page-bits=descriptor",
  "memdesc8+free-pointer=outside",
];

function fail(message) {
  console.error(`soak: ${message}`);
  process.exit(2);
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        ops: { type: "string" },
        seed: { type: "string" },
        every: { type: "string" },
        designs: { type: "string" },
        processes: { type: "boolean", default: false },
      },
    });
    const { processes } = values;
    const defaults = processes ? PROCESS_DEFAULTS : DEFAULTS;
    const count = (name) => {
      const n = Number(values[name] ?? defaults[name]);
      if (!Number.isSafeInteger(n) || n < 1)
        fail(`--${name} ${values[name]}: a whole number from 1 on is expected`);
      return n;
    };
    const designs = values.designs?.split(",") ?? (processes ? pairwiseDesigns() : ALL);
    for (const d of designs) parseDesign(d);
    return { ops: count("ops"), seed: count("seed"), every: count("every"), designs, processes };
  } catch (error) {
    return fail(error.message);
  }
}

/** Two zones of two nodes, 64 MiB: small enough to run out of, often. */
const FRAMES = 16_384;
const given = [{ start: 1, end: FRAMES }];
const zone = (node, type, start, end) => ({
  node,
  type,
  start,
  spanned: end - start,
  min: 32,
  low: 40,
  high: 48,
  reserve: 0,
});
const config = {
  frames: FRAMES,
  zones: [zone(0, 1, 1, 4096), zone(0, 2, 4096, 12_288), zone(1, 2, 12_288, FRAMES)],
  present: [{ start: 0, end: FRAMES }],
  cpus: 4,
  pcp: [
    { high: 56, batch: 14 },
    { high: 252, batch: 63 },
    { high: 56, batch: 14 },
  ],
};

/** xorshift32: the whole run follows from its seed. */
function generator(seed) {
  let x = seed | 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

/** Ctrl-C ends the run after the stretch that is under way; a second one at once. */
const run = { stopped: false };
process.on("SIGINT", () => {
  if (run.stopped) process.exit(130);
  run.stopped = true;
});

function free(m) {
  return config.zones.reduce((sum, _z, i) => sum + m.buddy.freePages(i), 0);
}

/** Shows progress on a terminal only, on stderr. */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

async function soak(design, { ops, seed, every }) {
  const m = Machine.boot(config, parseDesign(design));
  for (const { start, end } of given) m.giveRange(start, end);
  const atBoot = free(m);
  const walk = new Walk(m, given);
  const next = generator(seed);
  const started = performance.now();
  const found = [];
  let done = 0;
  while (done < ops && !run.stopped && found.length === 0) {
    const until = Math.min(ops, done + every);
    try {
      for (; done < until; done++) walk.step(next());
    } catch (error) {
      found.push(error);
      break;
    }
    found.push(...inspectMachine(m, walk.claims()));
    progress(
      `${design}: ${done} of ${ops} operations, ${walk.size} blocks held, ${walk.failures} refusals`,
    );
    // Lets Ctrl-C be heard between stretches.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  const refusals = walk.failures;
  if (found.length === 0) {
    walk.finish();
    found.push(...inspectMachine(m, walk.claims()));
    if (free(m) !== atBoot)
      found.push(new Error(`${free(m)} pages are free at the end, ${atBoot} were at boot`));
  }
  progress("");
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${design}: ${done} operations, seed ${seed}, ${seconds} s, ${refusals} refusals, ${found.length} violations${run.stopped ? ", interrupted" : ""}`,
  );
  for (const violation of found.slice(0, 10)) console.log(`  after ${done}: ${violation.message}`);
  return found.length;
}

const chosen = options();
let violations = 0;
for (const design of chosen.designs) {
  if (run.stopped) break;
  violations += chosen.processes
    ? await soakProcesses(design, chosen, () => run.stopped, progress)
    : await soak(design, chosen);
}
process.exitCode = violations > 0 ? 1 : run.stopped ? 130 : 0;
