/**
 * A trace of a few tasks: `node scripts/keep-tasks.mjs DIST IN OUT NAME…` copies a trace
 * file and keeps the events of tasks with these names, and of all others what happened to
 * the same frames (allocations, frees, lists, samples), so that the life of each of those
 * frames is whole. States, lost events and notes stay; one more note says what was left out.
 * So a trace that comes with the package shows one workload, whatever else the machine
 * had to do, and names no program that is not part of it.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [dist, from, to, ...names] = process.argv.slice(2);
if (names.length === 0) {
  console.error("usage: node scripts/keep-tasks.mjs DIST IN OUT NAME...");
  process.exit(2);
}
const load = (path) => import(pathToFileURL(resolve(dist, path)).href);
const { openTraceFile } = await load("trace/file/reader.node.js");
const { openTraceWriter } = await load("trace/file/writer.node.js");
const ev = await load("trace/events.js");

/** Kinds whose `x` is a frame and whose `a` is the order of its block. */
const BLOCKS = new Set([ev.EV_ALLOC, ev.EV_FREE]);
/** Other kinds that say what a frame is. */
const FRAMES = new Set([
  ev.EV_LRU_INSERTION,
  ev.EV_CACHE_ADD,
  ev.EV_CACHE_DELETE,
  ev.EV_POOL_HOLD,
  ev.EV_SAMPLE,
]);
const COLUMNS = ["time", "kind", "cpu", "pid", "x", "a", "b", "c"];

/** Calls back with each batch of a file; gives the file as it knows itself at its end. */
async function readAll(take) {
  const source = await openTraceFile(from);
  const batch = new ev.EventBatch(65_536);
  while (await source.read(batch)) await take(batch, source);
  await source.close();
  return source;
}

/** The tasks' frames. Names stand at the end of a file and are known before the first row. */
const frames = new Set();
const kept = (source, pid) => names.includes(source.commands.get(pid) ?? "");
const source = await readAll((batch, file) => {
  for (let i = 0; i < batch.length; i++) {
    if (!BLOCKS.has(batch.kind[i]) || !kept(file, batch.pid[i])) continue;
    for (let k = 0; k < 1 << batch.a[i]; k++) frames.add(batch.x[i] + k);
  }
});

function touches(batch, i) {
  if (FRAMES.has(batch.kind[i])) return frames.has(batch.x[i]);
  if (!BLOCKS.has(batch.kind[i])) return false;
  for (let k = 0; k < 1 << batch.a[i]; k++) if (frames.has(batch.x[i] + k)) return true;
  return false;
}

const { header, about, snapshots, beforeAt, afterAt } = source;
const { machine, command, startedMs } = header;
const sink = await openTraceWriter(
  to,
  { ...about, format: header.from },
  { machine, command, startedMs, level: 9 },
);
if (snapshots.before !== null) await sink.snapshot("before", snapshots.before, beforeAt ?? NaN);
let left = 0;
await readAll(async (batch, file) => {
  let n = 0;
  for (let i = 0; i < batch.length; i++) {
    if (batch.kind[i] === ev.EV_LOST || kept(file, batch.pid[i]) || touches(batch, i)) {
      for (const column of COLUMNS) batch[column][n] = batch[column][i];
      n++;
    } else left++;
  }
  batch.length = n;
  await sink.write(batch);
});
if (snapshots.after !== null) await sink.snapshot("after", snapshots.after, afterAt ?? NaN);
const text = `${left} events of other programs and of frames that the workload never had were left out`;
await sink.end({
  commands: new Map([...source.commands].filter(([task]) => kept(source, task))),
  lost: source.lost,
  others: source.others,
  notes: [...source.notes, { subject: "other tasks", text }],
});
