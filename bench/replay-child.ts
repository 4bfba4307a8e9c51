/**
 * One design's replay of a trace file in a process of its own, several times: prints
 * seconds by the clock and of processor time of each, events, and the largest resident
 * set, as JSON. Arguments: trace file, design, rounds.
 */
import { analyse } from "../src/trace/analyse.js";
import { emptyMachine, traceSnapshots } from "../src/trace/input.node.js";
import { openTrace } from "../src/trace/open.node.js";
import { replayDesign } from "../src/trace/replay/run.js";
import { widenInlining } from "../src/scenario/jit.node.js";

widenInlining();
const [path = "", design = "", rounds = "3"] = process.argv.slice(2);
const { before } = await traceSnapshots(path);
const frames =
  before === null
    ? (await analyse({ open: () => openTrace(path), before, after: null, afterAt: null })).frames
    : 0;
const clock: number[] = [];
const cpu: number[] = [];
let events = 0;
for (let i = 0; i <= Number(rounds); i++) {
  // The machine is built anew each time; what is timed begins when the trace is opened.
  let began = 0;
  let used = process.cpuUsage();
  await replayDesign({
    design,
    open: async () => {
      began = performance.now();
      used = process.cpuUsage();
      return openTrace(path);
    },
    before: before ?? emptyMachine(path, frames),
    populated: before !== null,
    onProgress: (rows) => {
      events = rows;
    },
  });
  const { user, system } = process.cpuUsage(used);
  // The first round is V8's.
  if (i === 0) continue;
  clock.push((performance.now() - began) / 1000);
  cpu.push((user + system) / 1e6);
}
console.log(JSON.stringify({ events, clock, cpu, rss: process.resourceUsage().maxRSS * 1024 }));
