/**
 * The tables of docs/results.md from the recordings of scripts/workloads.sh:
 *
 *   npm run results -- DIR
 *
 * Replays each DIR/*.mdt on every design, and again with little free memory, by the
 * built command, and prints Markdown. Nothing here computes but shares and ratios.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../dist/cli/memdesc.js", import.meta.url));
const dir = process.argv[2];
if (dir === undefined) {
  process.stderr.write("results: give the folder that workloads.sh wrote\n");
  process.exit(2);
}

function replay(file, ...args) {
  const ran = spawnSync(process.execPath, [cli, "replay", file, "--json", ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 30,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (ran.status !== 0) throw new Error(`${file}: exit ${ran.status}`);
  return JSON.parse(ran.stdout);
}

const count = (n) => Math.round(n).toLocaleString("en-US");
const mib = (n) => (n / 2 ** 20).toFixed(1);
const percent = (part, whole) => (whole === 0 ? "–" : `${((part / whole) * 100).toFixed(2)} %`);
const print = (line = "") => process.stdout.write(`${line}\n`);
const row = (...cells) => print(`| ${cells.join(" | ")} |`);
const lines = (design, what) => {
  const rows = design.lines.filter((l) => l.what === what);
  const n = rows.reduce((sum, l) => sum + l.sampled, 0);
  return n === 0 ? "–" : (rows.reduce((sum, l) => sum + l.touched * l.sampled, 0) / n).toFixed(1);
};
/** Pages in free blocks of at least a huge page, of all free pages on the lists. */
const huge = ({ free }) => {
  const pages = free.map((n, order) => n * 2 ** order);
  const all = pages.reduce((a, b) => a + b, 0);
  return percent(
    pages.slice(9).reduce((a, b) => a + b, 0),
    all,
  );
};

for (const file of readdirSync(dir)
  .filter((name) => name.endsWith(".mdt"))
  .sort()) {
  const path = join(dir, file);
  const r = replay(path);
  const { trace } = r;
  print(`### ${basename(file, ".mdt")}`);
  print();
  print(
    `${count(r.events)} events in ${trace.seconds.toFixed(1)} s, ${trace.lost === 0 ? "none" : count(trace.lost)} lost; ` +
      `${count(r.recorded)} allocations and frees, ${count(r.refused)} (${percent(r.refused, r.recorded)}) could not be followed. ` +
      `Allocated: ${r.kinds.map(({ kind, orders }) => `${kind} ${count(orders.reduce((a, b) => a + b, 0))}`).join(", ")}.`,
  );
  print();
  row(
    "",
    "metadata at start",
    "mean",
    "peak",
    "end, MiB",
    "mean against today",
    "descriptors per allocation",
    "a second",
    "slab pages",
    "lines per alloc",
    "free",
    "anonymous fault",
    "free in huge blocks",
  );
  row("---", ...Array.from({ length: 12 }, () => "---:"));
  const today = r.designs.find((d) => d.design === "today");
  for (const d of r.designs)
    row(
      d.design,
      mib(d.start),
      mib(d.mean),
      mib(d.peak),
      mib(d.end),
      d === today
        ? ""
        : `${d.mean < today.mean ? "−" : "+"}${percent(Math.abs(d.mean - today.mean), today.mean)}`,
      d.descriptorsPerAllocation.toFixed(2),
      count(d.descriptorsTaken / (d.duration / 1e9)),
      `+${count(d.slabPagesGained)} −${count(d.slabPagesLost)}`,
      lines(d, "alloc"),
      lines(d, "free"),
      d.faultLines.anon,
      huge(d.samples.at(-1)),
    );
  print();
  if (r.against !== null) {
    const { accuracy } = r.against;
    const of = accuracy.rows
      .map((a) => `${a.derived} ${count(a.right)} of ${count(a.pages)}`)
      .join(", ");
    print(
      `Kinds, against the snapshot after it: ${percent(accuracy.right, accuracy.pages)} right (${of}).`,
    );
    print();
  }
  // Little memory: as much as the workload's own growth at its peak leaves half of.
  const free =
    Number(process.env["FREE_MIB"] ?? 0) || Math.max(64, Math.round(peakGrowth(today) / 2));
  const little = replay(path, "--what-if", `free-mib=${free}`);
  const failed = little.designs.map(
    (d) =>
      `${d.design} ${count(d.refused[0].operations)}${d.firstRefused === null ? "" : ` (first after ${(d.firstRefused / 1e9).toFixed(1)} s)`}`,
  );
  print(
    `With ${count(free)} MiB free at the beginning, allocations that find no memory: ${failed.join(", ")}.`,
  );
  print();
}

/** MiB by which free memory on the lists fell, from its most to its least. */
function peakGrowth(design) {
  const free = design.samples.map((s) => s.free.reduce((sum, n, order) => sum + n * 2 ** order, 0));
  return ((free[0] ?? 0) - Math.min(...free)) / 256;
}
