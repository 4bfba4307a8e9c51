/**
 * `npm run bench [-- NAME…] [--quick]`: the product's speeds, side by side with
 * what they are to be compared with, in one run. docs/benchmarks.md says what
 * each line means.
 *
 * Only functions that the product itself uses are measured. Exit 0 whether or
 * not targets are reached; 2 for arguments that mean nothing.
 */
import { availableParallelism, cpus, loadavg, release, totalmem, type } from "node:os";
import { existsSync } from "node:fs";
import { alloc } from "./alloc.js";
import { classification } from "./classification.js";
import { device } from "./device.js";
import { kernel } from "./kernel.js";
import { large } from "./large.js";
import { lines } from "./lines.js";
import { live } from "./live.js";
import { CLI } from "./places.js";
import { note, progress } from "./print.js";
import { processes } from "./process.js";
import { replay } from "./replay.js";
import type { Section } from "./section.js";
import { traceFile } from "./trace-file.js";
import { traceParse } from "./trace-parse.js";
import { traceText } from "./trace-text.js";
import { whole } from "./whole.js";

const SECTIONS: readonly Section[] = [
  kernel,
  live,
  whole,
  classification,
  alloc,
  processes,
  device,
  large,
  lines,
  traceParse,
  traceText,
  traceFile,
  replay,
];

function fail(message: string): never {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(2);
}

const words = process.argv.slice(2);
const quick = words.includes("--quick");
const names = words.filter((w) => w !== "--quick");
for (const name of names) {
  if (!SECTIONS.some((s) => s.name === name))
    fail(`there is no part "${name}": the parts are ${SECTIONS.map((s) => s.name).join(", ")}`);
}
if (!existsSync(CLI)) fail("dist/ is not there: run npm run build first");

const gib = (totalmem() / 2 ** 30).toFixed(1);
console.log(`memdesc bench, ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`);
console.log(`${type()} ${release()} · Node ${process.versions.node} · ${gib} GiB`);
console.log(
  `${cpus()[0]?.model ?? "CPU unknown"} · ${availableParallelism()} CPUs · load ${loadavg()[0].toFixed(2)}`,
);
if (quick) note("--quick: few rounds; shows that it works, not how fast it is");

for (const section of SECTIONS) {
  if (names.length > 0 && !names.includes(section.name)) continue;
  await section.run(quick);
  progress("");
}
