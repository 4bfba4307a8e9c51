/**
 * `memdesc run SCENARIO`: a scenario narrated on one or more designs.
 */
import { InvalidArgumentError, type Command } from "commander";
import { renderRun, renderScenarios, troubleLine } from "../report/narrate.js";
import { exitCodeOf, renderRunJson, runReport } from "../report/run-model.js";
import { UsageError } from "./fail.js";
import { canonicalDesigns, collectDesigns } from "./options.js";
import { print, wantsColor } from "./output.js";
import { Progress } from "./progress.js";

interface RunOptions {
  readonly design?: readonly string[];
  readonly list?: boolean;
  readonly timeout: number;
  readonly json?: boolean;
}

/** Seconds that a run may take where nothing is said. */
const TIMEOUT = 60;
/** A day: beyond it a limit is none, and timers end at 2^31 ms. */
const TIMEOUT_MAX = 86_400;
/** Exit code after Ctrl-C, as shells count it: 128 + SIGINT. */
const INTERRUPTED = 130;

const EXAMPLES = `
SCENARIO is a TypeScript (or JavaScript) file whose default export is
defineScenario({ … }) from "memdesc" (docs/scenarios.md), or a bundled name.

Examples:
  $ memdesc run --list                           the bundled scenarios
  $ memdesc run folio-life                       one of them, in today's kernel
  $ memdesc run mine.ts --design today,memdesc8  a file of yours, on two designs
  $ memdesc run mine.ts --json | jq .comparison  the same as data

Exit codes: 0 done, 1 a rule is broken or the answer is no, 2 could not be done.`;

export function addRun(program: Command): void {
  program
    .command("run")
    .summary("narrate a scenario on one or more designs")
    .description("Runs a scenario step by step and tells what each step changes in each design.")
    .argument("[scenario]", "file, or name of a bundled scenario")
    .option("--design <list>", "designs to run it on (today)", collectDesigns)
    .option("--list", "name the bundled scenarios")
    .option("--timeout <seconds>", "most that one design may take", parseSeconds, TIMEOUT)
    .option("--json", "print the report as JSON (docs/run-schema.md)")
    .addHelpText("after", EXAMPLES)
    .action(async (scenario: string | undefined, options: RunOptions) => {
      if (options.list === true) await list(scenario, options);
      else if (scenario === undefined) {
        throw new UsageError("name a scenario, or give --list to see the bundled ones");
      } else await run(scenario, options);
    });
}

async function list(scenario: string | undefined, options: RunOptions): Promise<void> {
  if (scenario !== undefined) throw new UsageError("--list takes no scenario");
  const { listBundled } = await import("../scenario/bundled.node.js");
  const bundled = await listBundled();
  if (options.json === true) await print(`${JSON.stringify(bundled, null, 2)}\n`);
  else await print(renderScenarios(bundled));
}

async function run(asked: string, options: RunOptions): Promise<void> {
  const { scenarioPath } = await import("../scenario/bundled.node.js");
  const path = scenarioPath(asked);
  const designs = await canonicalDesigns(options.design ?? ["today"], "--design");
  const { runScenario } = await import("../scenario/run.node.js");
  const progress = new Progress(process.stderr);
  const interrupted = (): void => {
    progress.finish();
    process.exit(INTERRUPTED);
  };
  process.once("SIGINT", interrupted);
  let done = 0;
  const ran = await runScenario({
    path,
    designs,
    timeout: options.timeout,
    // A log has the report; progress is for who waits at a terminal.
    onDesign: () => {
      done++;
      if (process.stderr.isTTY) progress.update("running designs", done, designs.length);
    },
  });
  process.off("SIGINT", interrupted);
  progress.finish();
  const report = runReport({ file: asked, name: ran.name, about: ran.about }, ran.runs);
  const color = wantsColor(process.stdout, process.env);
  await print(options.json === true ? renderRunJson(report) : renderRun(report, { color }));
  // On a terminal the report has just said it; a file or a program that reads it may not be looked at.
  const seen = process.stdout.isTTY && options.json !== true;
  const trouble = seen ? null : troubleLine(ran.runs, asked);
  if (trouble !== null) process.stderr.write(`memdesc: ${trouble}\n`);
  process.exitCode = exitCodeOf(ran.runs);
}

function parseSeconds(value: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : 0;
  if (seconds <= 0 || seconds > TIMEOUT_MAX) {
    throw new InvalidArgumentError(`give seconds, more than 0 and at most ${TIMEOUT_MAX}.`);
  }
  return seconds;
}
