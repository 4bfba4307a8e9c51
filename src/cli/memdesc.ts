#!/usr/bin/env node
/**
 * The entry of the command line: runs a command, and turns whatever goes wrong
 * into one line and an exit code.
 */
import { builders } from "./builders.js";
import { failureOf } from "./fail.js";
import { guardStdout } from "./output.js";
import { makeProgram } from "./program.js";

function fail(error: unknown): void {
  const { line, code } = failureOf(error, process.env["MEMDESC_DEBUG"] === "1");
  if (line !== "") process.stderr.write(`${line}\n`);
  process.exitCode = code;
}

process.on("uncaughtException", (error) => {
  fail(error);
  process.exit();
});
guardStdout();
try {
  await makeProgram(builders).parseAsync();
} catch (error) {
  fail(error);
}
