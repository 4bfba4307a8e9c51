/**
 * `npm run differential`: one program, two kernels. Random programs run step by
 * step on the live kernel and on the engine (preset today); after every step
 * both are compared by what the kernel shows.
 *
 * Exit 0 without unexplained differences, or where the machine does not allow
 * it (one line says why); 1 with differences; 2 for arguments or a program file
 * that cannot be used. Ctrl-C ends it tidily, with what was found until then.
 */
import { NOT_COMPARED } from "./known.js";
import { readFileSync } from "node:fs";
import {
  campaign,
  emptyTally,
  runOne,
  type Limits,
  type Listener,
  type Tally,
} from "./campaign.js";
import type { Difference } from "./compare.js";
import { DroppingSubject } from "./dropping-subject.js";
import { EngineSubject, LACKS } from "./engine-subject.js";
import { KernelSubject, openWorkshop } from "./kernel-subject.node.js";
import { changeSettings, readConfig, whyNot } from "./kernel-settings.node.js";
import { OptionError, USAGE, readOptions, type Options } from "./options.js";
import type { OpName, Program } from "./program.js";
import { showTrace } from "./show.js";
import { stepwise, type Subject } from "./subject.js";
import { ProgramTextError, parseProgram, printOp, printProgram } from "./text.js";

/** Huge pages that the hugetlb pool is given. */
const POOL_PAGES = 8;

let interrupted = false;

function refuse(message: string): never {
  process.stderr.write(`differential: ${message}\n`);
  process.exit(2);
}

function optionsOrRefuse(): Options {
  try {
    const options = readOptions(process.argv.slice(2));
    if (options !== null) return options;
  } catch (error) {
    if (error instanceof OptionError) refuse(error.message);
    throw error;
  }
  process.stdout.write(`${USAGE}\n`);
  process.exit(0);
}

/** The program of --replay. */
function readProgram(file: string): Program {
  try {
    return parseProgram(readFileSync(file, "utf8"));
  } catch (error) {
    if (error instanceof ProgramTextError) refuse(`${file}, ${error.message}`);
    refuse(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const live = process.stderr.isTTY;
let lastProgress = 0;

const listener: Listener = {
  progress(tally) {
    const now = performance.now();
    if (now - lastProgress < (live ? 200 : 10_000)) return;
    lastProgress = now;
    process.stderr.write(live ? `\r${summary(tally)}\u001b[K` : `${summary(tally)}\n`);
  },
  difference(found, small, original) {
    endProgress();
    const seed = original.seed === null ? "" : `, seed ${original.seed}`;
    print(`DIFFERENCE in ${found.what}${seed}, ${small.steps.length} steps after shrinking:`);
    print(indent(printProgram({ ...small, seed: null }).trimEnd()));
    printDifference(found);
    print("");
  },
  unstable(found, program) {
    endProgress();
    print(`not repeatable: seed ${program.seed ?? "none"}, ${found.what}`);
    printDifference(found);
  },
};

function printDifference(found: Difference): void {
  const after = found.op === null ? "" : ` (${printOp(found.op)})`;
  print(`  after step ${found.step + 1}${after}:`);
  for (const line of found.lines) print(indent(indent(line)));
}

const print = (text: string): boolean => process.stdout.write(`${text}\n`);
const indent = (text: string): string => text.replace(/^/gm, "  ");

function endProgress(): void {
  if (live) process.stderr.write("\r\u001b[K");
}

function summary(tally: Tally): string {
  const known = [...tally.known.values()].reduce((sum, count) => sum + count, 0);
  return (
    `${tally.programs} programs, ${tally.steps} steps, ${tally.differences} differences, ` +
    `${known} known, ${tally.unstable} not repeatable`
  );
}

/** What a run leaves behind if nobody tidies up: undone at the end, however it comes. */
const tidy: (() => void)[] = [];
process.on("exit", () => {
  for (const undo of tidy) undo();
});
// Whoever read the output is gone: as good as Ctrl-C.
process.stdout.on("error", () => (interrupted = true));
process.stderr.on("error", () => (interrupted = true));

async function run(options: Options, program: Program | null): Promise<Tally> {
  const subjects: Subject[] = [];
  try {
    const changed = changeSettings(options.features.has("hugetlb") ? POOL_PAGES : 0);
    tidy.unshift(() => changed.restore());
    for (const line of changed.missing) print(`note: ${line}`);
    const workshop = openWorkshop(options.cpu);
    tidy.unshift(() => workshop.clear());
    const config = readConfig(changed.hugetlbPages);
    const kernel = new KernelSubject(workshop);
    const other =
      options.against === "engine"
        ? stepwise("engine", new EngineSubject(config))
        : new KernelSubject(workshop, "kernel again");
    const second = options.drop === null ? other : new DroppingSubject(other, options.drop);
    subjects.push(kernel, second);
    const end = performance.now() + options.seconds * 1000;
    const limits: Limits = {
      programs: options.programs,
      ignored: options.ignored,
      stop: () => interrupted || performance.now() >= end,
    };
    print(`live kernel ${config.release} against ${second.name}, seed ${options.seed}`);
    const without = options.against === "engine" ? LACKS : new Set<OpName>();
    for (const { fact, reason } of NOT_COMPARED)
      if (options.ignored.facts.has(fact)) print(`not compared: ${fact}: ${reason}`);
    if (without.size > 0) print(`note: not in the engine, left out: ${[...without].join(", ")}`);
    if (program === null)
      return await campaign(
        [kernel, second],
        options.seed,
        { ...options, without },
        limits,
        listener,
      );
    if (options.show)
      for (const subject of [kernel, second])
        for (const line of [`${subject.name}:`, ...showTrace(program, await subject.run(program))])
          print(line);
    const tally = emptyTally();
    await runOne([kernel, second], program, tally, limits, listener);
    return tally;
  } finally {
    for (const subject of subjects) await subject.close();
  }
}

const options = optionsOrRefuse();
const program = options.replay === null ? null : readProgram(options.replay);
const reason = whyNot();
if (reason !== null) {
  print(`skipped: no comparison with the live kernel, because ${reason}`);
  process.exit(0);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => (interrupted = true));
const began = performance.now();
try {
  const tally = await run(options, program);
  endProgress();
  for (const [kind, count] of tally.kinds) print(`difference: ${kind}, ${count} times`);
  for (const [name, count] of tally.known) print(`known: ${name}, ${count} times`);
  const seconds = (performance.now() - began) / 1000;
  const speed = Math.round(tally.steps / seconds);
  print(`${summary(tally)} in ${seconds.toFixed(1)} s (${speed} steps/s)`);
  process.exitCode = tally.differences > 0 ? 1 : 0;
} catch (error) {
  refuse(error instanceof Error ? error.message : String(error));
}
