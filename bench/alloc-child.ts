/**
 * One series of `alloc` in a process of its own: warms up for a second, then
 * takes samples and prints them as JSON. With several designs (the mixed
 * figure) each has its machine, all are warmed, and samples are taken in turn.
 * Arguments: mode, designs, samples, milliseconds of a sample.
 */
import { widenInlining } from "../src/scenario/jit.node.js";
import { bootMachine } from "./machines.js";
import { bareBatches, bareRandom, folioBatches, folioRandom, rate } from "./pairs.js";

widenInlining();
const MODES = { bareBatches, folioBatches, bareRandom, folioRandom };
const GIB = 16;

const [mode = "", designs = "", samples, ms] = process.argv.slice(2);
const start = Object.entries(MODES).find(([name]) => name === mode)?.[1];
if (start === undefined) throw new Error(`there is no mode ${mode}`);
const names = designs.split(",");
// Several machines in one process are smaller, so that they fit side by side.
const all = names.map((design) => start(bootMachine(names.length === 1 ? GIB : 1, design)));
for (const pairs of all) rate(pairs, Number(ms) * 5);
const series = all.map((): number[] => []);
for (let i = 0; i < Number(samples); i++) {
  for (const [d, pairs] of all.entries()) series[d].push(rate(pairs, Number(ms)));
}
console.log(JSON.stringify(series));
