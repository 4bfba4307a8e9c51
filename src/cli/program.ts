/**
 * The command line as a whole: the commands, and how commander is told to keep
 * to one line and to our exit codes.
 */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import type { Builders } from "./builders.js";
import { addCapture } from "./capture.js";
import { addInspect } from "./inspect.js";
import { addPage } from "./page.js";
import { addRecord } from "./record.js";
import { addReplay } from "./replay.js";
import { addRun } from "./run.js";

const EXAMPLES = `
Examples:
  $ sudo memdesc inspect                   this machine
  $ memdesc inspect web01.memdesc          a capture of another one
  $ sudo memdesc capture web01.memdesc     make a capture
  $ memdesc page 0x1a2b3 web01.memdesc     one page, bit by bit
  $ memdesc run folio-life                 a scenario, step by step
  $ sudo memdesc record -o b.mdt -- make   what a build does with its pages
  $ memdesc replay build.mdt               a recorded workload, on every design

memdesc COMMAND --help tells more. Exit codes: 0 done, 1 the answer is no,
2 could not be done.`;

/** All commands; throws CommanderError instead of leaving the process. */
export function makeProgram(builders: Builders): Command {
  const program = new Command("memdesc")
    .description("What Linux's pages are and what describing them costs, today and as memdescs.")
    .version(version(), "-V, --version", "print the version")
    .helpCommand(false)
    .addHelpText("after", EXAMPLES);
  addInspect(program, builders.inspect);
  addCapture(program);
  addPage(program, builders.page);
  addRun(program);
  addRecord(program);
  addReplay(program);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ outputError: writeOneLine });
  }
  return program;
}

/** Commander's error texts begin with "error:" and put suggestions on a line of their own. */
function writeOneLine(text: string, write: (text: string) => void): void {
  const line = text
    .trim()
    .replace(/^error: /, "")
    .replace(/\s*\n\s*/g, " ");
  write(`memdesc: ${line} (see memdesc --help)\n`);
}

function version(): string {
  const file = new URL("../../package.json", import.meta.url);
  const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
  const found = typeof parsed === "object" && parsed !== null && "version" in parsed;
  return found ? String(parsed.version) : "unknown";
}
