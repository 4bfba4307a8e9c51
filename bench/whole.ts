/**
 * The whole report in the five default designs, as a user runs it: seconds to
 * the first line and to the end, and the most memory held.
 */
import { availableParallelism, totalmem } from "node:os";
import { canReadLive } from "../src/observe/procfs/live.node.js";
import { BUNDLED, CLI } from "./places.js";
import { figure, heading, note, progress, skip } from "./print.js";
import { mustRun, type Ran } from "./processes.js";
import type { Section } from "./section.js";

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

async function measure(what: string, args: readonly string[], rounds: number): Promise<void> {
  const runs: Ran[] = [];
  for (let i = 0; i < rounds; i++) {
    progress(`inspect ${what}: round ${i + 1} of ${rounds}`);
    runs.push(await mustRun(process.execPath, [CLI, "inspect", ...args]));
  }
  figure({
    name: `${what}: first line`,
    values: runs.map((r) => r.firstOutput ?? r.seconds),
    target: { most: 2 },
  });
  figure({
    name: `${what}: whole report`,
    values: runs.map((r) => r.seconds),
    target: { most: 6 },
  });
  const peaks = runs.flatMap((r) => (r.peak === null ? [] : [r.peak / 2 ** 30]));
  if (peaks.length > 0) figure({ name: `${what}: peak memory, GiB`, values: peaks });
}

export const whole: Section = {
  name: "whole",
  async run(quick) {
    const rounds = quick ? 1 : 5;
    heading(
      `INSPECT, FIVE DESIGNS, ${availableParallelism()} CPUs (targets are for two and 24 GiB)`,
      "seconds",
    );
    const can = canReadLive();
    if (can.ok) await measure("this machine", [], rounds);
    else skip("the live machine", can.why);
    await measure("bundled snapshot", [BUNDLED], rounds);
    note(
      `this machine has ${gib(totalmem())}; the bundled snapshot is of one with 24 GiB. Limits: starting a worker per design, host page faults under the dense page array (64 B a page in today and slot64), small runs.`,
    );
  },
};
