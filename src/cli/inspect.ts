/**
 * `memdesc inspect [SOURCE]`: what the pages are, what describing them costs.
 *
 * Machine and kinds are printed as soon as they are known, the designs when
 * they are built; with a what-if the kinds change, so then all comes at once.
 */
import type { Command } from "commander";
import { classify } from "../observe/classify/classify.js";
import { flagTotals } from "../observe/classify/flag-totals.js";
import type { Snapshot } from "../observe/snapshot.js";
import { renderFlagTotals } from "../report/flag-table.js";
import { renderJson } from "../report/json.js";
import { kindsReport } from "../report/kinds-report.js";
import type { InspectReport } from "../report/model.js";
import type { BuildInspect, DeviceAsked } from "../report/ports.js";
import { renderCosts, renderKinds, type TerminalOptions } from "../report/terminal.js";
import { UsageError } from "./fail.js";
import {
  canonicalDesigns,
  collectDesigns,
  collectWhatIf,
  DESIGNS_HELP,
  parseDevice,
} from "./options.js";
import { checkWritable, print, wantsColor, writeWhole } from "./output.js";
import { Progress } from "./progress.js";
import { openForReport } from "./source.js";

interface InspectOptions {
  readonly json?: boolean;
  readonly html?: string;
  readonly explain?: boolean;
  readonly kindsOnly?: boolean;
  readonly verify?: boolean;
  readonly whatIf?: readonly string[];
  readonly designs?: readonly string[];
  readonly device?: DeviceAsked;
  readonly flags?: boolean;
  readonly raw?: boolean;
}

const EXAMPLES = `
SOURCE is a capture (memdesc capture), or a folder or tar of copied /proc files.
Without it this machine is read, which needs root.

Examples:
  $ memdesc inspect                              this machine, all designs
  $ memdesc inspect web01.memdesc --explain      a capture, with the arithmetic
  $ memdesc inspect --what-if file-order=4       page cache in folios of 64 KiB
  $ memdesc inspect --designs today,memdesc8 --json | jq .designs
  $ memdesc inspect --device 80GiB:huge          what a GPU of that size adds
  $ memdesc inspect --flags --raw proc-files/    as page-types -r prints it

Exit codes: 0 done, 1 --verify found a difference, 2 could not be done.`;

/** Adds the command; `build` makes the part of the report that needs designs. */
export function addInspect(program: Command, build: BuildInspect): void {
  program
    .command("inspect")
    .summary("what a machine's pages are and what describing them costs")
    .description("Says what the pages of a machine are and what describing them costs, by design.")
    .argument("[source]", "capture, folder or tar; this machine where left out")
    .option("--json", "print the report as JSON (docs/inspect-schema.md)")
    .option("--html <file>", "also write the report as one HTML page")
    .option("--explain", "append the arithmetic behind every figure")
    .option("--kinds-only", "only what the pages are: no design is built")
    .option("--verify", "write the page files back out of every design and compare")
    .option("--what-if <name=value>", "change the machine first; repeatable", collectWhatIf)
    .option("--designs <list>", DESIGNS_HELP, collectDesigns)
    .option("--device <size>", "add what a device of SIZE or SIZE:huge costs", parseDevice)
    .option("--flags", "print pages by flag word, as page-types does, and nothing else")
    .option("--raw", "with --flags: overloaded bits by their own names, as page-types -r")
    .addHelpText("after", EXAMPLES)
    .action(async (source: string | undefined, options: InspectOptions) => {
      await inspect(source, options, build);
    });
}

async function inspect(
  source: string | undefined,
  options: InspectOptions,
  build: BuildInspect,
): Promise<void> {
  refuseContradictions(options);
  if (options.html !== undefined) checkWritable(options.html);
  const designs = await canonicalDesigns(options.designs);
  const progress = new Progress(process.stderr);
  const flagsOnly = options.kindsOnly === true || options.flags === true;
  const opened = await openForReport({ source, flagsOnly }, progress);
  if (options.flags === true) {
    const totals = flagTotals(opened.snapshot, { raw: options.raw === true });
    await print(renderFlagTotals(totals));
    return;
  }
  const report = await makeReport(opened, options, designs, build, progress);
  if (options.html !== undefined) {
    const { renderHtml } = await import("../report/html.js");
    await writeWhole(options.html, renderHtml(report));
  }
  if (report.designs.some((design) => (design.verify?.differences ?? 0) > 0)) process.exitCode = 1;
}

/** Prints to stdout as parts get known and gives the whole report. */
async function makeReport(
  { snapshot, readSeconds }: { snapshot: Snapshot; readSeconds: number | null },
  options: InspectOptions,
  designs: readonly string[],
  build: BuildInspect,
  progress: Progress,
): Promise<InspectReport> {
  const terminal: TerminalOptions = {
    color: wantsColor(process.stdout, process.env),
    explain: options.explain === true,
  };
  const whatIf = options.whatIf ?? [];
  const kinds = kindsReport(snapshot, classify(snapshot), readSeconds);
  const early = options.json !== true && whatIf.length === 0;
  if (early) await print(renderKinds(kinds, terminal));
  const report =
    options.kindsOnly === true
      ? kinds
      : await withDesigns(snapshot, readSeconds, { ...options, whatIf }, designs, build, progress);
  if (options.json === true) await print(renderJson(report));
  else await print((early ? "" : renderKinds(report, terminal)) + renderCosts(report, terminal));
  return report;
}

async function withDesigns(
  snapshot: Snapshot,
  readSeconds: number | null,
  options: InspectOptions & { readonly whatIf: readonly string[] },
  designs: readonly string[],
  build: BuildInspect,
  progress: Progress,
): Promise<InspectReport> {
  const report = await build(snapshot, {
    designs,
    whatIf: options.whatIf,
    verify: options.verify === true,
    device: options.device,
    onDone: (done, total) => progress.update("building designs", done, total),
  });
  progress.finish();
  return { ...report, machine: { ...report.machine, readSeconds } };
}

function refuseContradictions(options: InspectOptions): void {
  if (options.raw === true && options.flags !== true) {
    throw new UsageError("--raw goes with --flags only");
  }
  if (options.flags === true) {
    const other = (
      ["json", "html", "explain", "kindsOnly", "verify", "whatIf", "designs", "device"] as const
    ).find((name) => options[name] !== undefined);
    if (other !== undefined) {
      throw new UsageError(`--flags prints a table of its own and does not go with ${long(other)}`);
    }
  }
  if (options.kindsOnly === true) {
    const other = (["verify", "whatIf", "designs", "device"] as const).find(
      (name) => options[name] !== undefined,
    );
    if (other !== undefined) {
      throw new UsageError(`--kinds-only builds no design and does not go with ${long(other)}`);
    }
  }
}

function long(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
