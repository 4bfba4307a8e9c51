/**
 * `memdesc replay TRACE`: a recorded workload on every design.
 */
import type { Command } from "commander";
import type { AnalyseOptions } from "../trace/analyse.js";
import { CANNOT, UsageError } from "./fail.js";
import { canonicalDesigns, collectDesigns, collectWhatIf, DESIGNS_HELP } from "./options.js";
import { checkWritable, print, wantsColor, writeWhole } from "./output.js";
import { Progress } from "./progress.js";

interface ReplayCommand {
  readonly design?: readonly string[];
  readonly json?: boolean;
  readonly html?: string;
  readonly csv?: string;
  readonly parquet?: string;
  readonly events?: string;
  readonly accuracy?: boolean;
  readonly list?: boolean;
  readonly whatIf?: readonly string[];
}

/** Exit code after Ctrl-C, as shells count it: 128 + SIGINT. */
const INTERRUPTED = 130;

const EXAMPLES = `
TRACE is a trace file (memdesc record), a folder of raw ring buffers (cpuN.raw),
a trace.dat, or text of trace_pipe, trace-cmd report or perf script; any of them
may be packed (.zst, .gz).

Examples:
  $ memdesc replay compile                        a bundled trace, on every design
  $ memdesc replay build.mdt                      one of yours
  $ memdesc replay build.mdt --design today,memdesc8 --html build.html
  $ memdesc replay build.mdt --accuracy           and what was guessed wrong
  $ memdesc replay build.mdt --what-if file-order=4,pcp-high=512
  $ memdesc replay trace.dat --json | jq .designs[].peak

What can be changed: file-order, anon-order (user memory in folios of at least that
order), pcp-high, pcp-batch (limits of the per-CPU lists, in pages), free-mib (what
is free at the beginning, the same frames taken away in every design; nothing is
reclaimed). Type tables are a part of the design: --design memdesc8+types=2024.

Exit codes: 0 done, 2 could not be done, or the trace is damaged (what comes
before the damage is replayed).`;

export function addReplay(program: Command): void {
  program
    .command("replay")
    .summary("replay a recorded workload on every design")
    .description("Replays the page events of a real workload, one machine per design.")
    .argument("[trace]", "trace file, folder of ring buffers, trace.dat, text, or a bundled name")
    .option("--design <list>", DESIGNS_HELP, collectDesigns)
    .option("--what-if <name=value>", "change the replay; repeatable", collectWhatIf)
    .option("--json", "print the report as JSON (docs/replay-schema.md)")
    .option("--html <file>", "also write it as one HTML page, with charts")
    .option("--csv <file>", "also write the series of all designs as CSV")
    .option("--parquet <file>", "also write the series as Parquet")
    .option("--events <file>", "also write all events of the trace as Parquet")
    .option("--accuracy", "also print kinds derived against kinds as they were")
    .addHelpText("after", EXAMPLES)
    .option("--list", "name the bundled traces")
    .action(async (trace: string | undefined, options: ReplayCommand) => {
      if (options.list === true) await list(trace, options);
      else if (trace === undefined)
        throw new UsageError("name a trace, or give --list to see the bundled ones");
      else await replay(trace, options);
    });
}

async function list(trace: string | undefined, options: ReplayCommand): Promise<void> {
  if (trace !== undefined) throw new UsageError("--list takes no trace");
  const { listBundledTraces } = await import("../trace/bundled.node.js");
  const bundled = listBundledTraces();
  const lines = bundled.map(({ name, about }) => `${name.padEnd(10)} ${about}\n`);
  await print(options.json === true ? `${JSON.stringify(bundled, null, 2)}\n` : lines.join(""));
}

async function replay(asked: string, options: ReplayCommand): Promise<void> {
  for (const file of [options.html, options.csv, options.parquet, options.events])
    if (file !== undefined) checkWritable(file);
  if (asked === "-")
    throw new UsageError("replay reads a trace several times: give a file, not standard input");
  const designs = await canonicalDesigns(options.design, "--design");
  const { parseReplayWhatIf } = await import("../trace/replay/what-if.js");
  const whatIf = parseReplayWhatIf(options.whatIf ?? []);
  const { tracePath } = await import("../trace/bundled.node.js");
  const path = tracePath(asked);
  const { openTrace } = await import("../trace/open.node.js");
  const { emptyMachine, traceSnapshots } = await import("../trace/input.node.js");
  const { analyse } = await import("../trace/analyse.js");
  let progress = new Progress(process.stderr);
  const interrupted = (): void => {
    progress.finish();
    process.exit(INTERRUPTED);
  };
  process.once("SIGINT", interrupted);
  const reading: AnalyseOptions = {
    open: () => openTrace(path),
    ...(await traceSnapshots(path)),
    onProgress: (rows) => progress.update("reading events", rows, 0),
  };
  const analysis = await analyse(reading);
  const { runReplays } = await import("../report/run-replay.node.js");
  const populated = reading.before !== null;
  const before = reading.before ?? emptyMachine(path, analysis.frames);
  const tasks = designs.map((design) => ({ design, path, before, populated, whatIf }));
  // How much there is to do is known from here on.
  progress.finish();
  progress = new Progress(process.stderr);
  const total = analysis.rows * designs.length;
  const replays = await runReplays(tasks, (rows) =>
    progress.update("replaying events", rows, total),
  );
  process.off("SIGINT", interrupted);
  progress.finish();
  const { replayReport } = await import("../report/replay-model.js");
  const report = replayReport(asked, analysis, replays, populated ? "snapshot" : "empty", whatIf);
  if (options.html !== undefined) {
    const { renderReplayHtml } = await import("../report/html-replay.js");
    await writeWhole(options.html, renderReplayHtml(report));
  }
  if (options.csv !== undefined) {
    const { replayCsv } = await import("../report/replay-csv.js");
    await writeWhole(options.csv, replayCsv(report));
  }
  if (options.parquet !== undefined) {
    const { writeReplayParquet } = await import("../report/replay-parquet.node.js");
    await writeReplayParquet(options.parquet, report);
  }
  if (options.events !== undefined) {
    const { writeEventsParquet } = await import("../report/events-parquet.node.js");
    const source = await reading.open();
    try {
      await writeEventsParquet(options.events, source);
    } finally {
      await source.close();
    }
  }
  if (options.json === true) await print(`${JSON.stringify(report, null, 2)}\n`);
  else {
    const { renderReplay } = await import("../report/terminal-replay.js");
    const color = wantsColor(process.stdout, process.env);
    await print(renderReplay(report, { color, accuracy: options.accuracy === true }));
  }
  if (analysis.damage !== null) {
    const { where, why } = analysis.damage;
    process.stderr.write(`memdesc: ${asked}: damaged at ${where}: ${why}; replayed up to there\n`);
    process.exitCode = CANNOT;
  }
}
