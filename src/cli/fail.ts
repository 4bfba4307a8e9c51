/**
 * How a command fails: one line on stderr and an exit code, never a stack.
 *
 * 2 says "cannot": wrong usage, unreadable or malformed input, an output that
 * cannot be written, a fault of our own. 1 is kept for "the answer is no" (a
 * round trip with differences) and is set by the command that knows.
 */
import { CommanderError } from "commander";
import { MmError } from "../engine/errors.js";
import { InputError } from "../observe/input-error.js";

/** The command line asks for something that does not exist or does not fit. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** An output file cannot be written. */
export class OutputError extends Error {
  override readonly name = "OutputError";
}

export interface Failure {
  /** What to print on stderr, without newline; empty where all is said. */
  readonly line: string;
  readonly code: number;
}

/** Exit code of everything that could not be done. */
export const CANNOT = 2;

/** Refusals: their message says it all. MmError is a machine that does not hold what was asked. */
const EXPECTED = [InputError, UsageError, OutputError, MmError] as const;

/** What to print and with which code to leave, for anything that was thrown. */
export function failureOf(error: unknown, debug: boolean): Failure {
  if (error instanceof CommanderError) {
    // Commander has printed its line (through configureOutput) or the help text.
    return { line: "", code: error.exitCode === 0 ? 0 : CANNOT };
  }
  if (EXPECTED.some((type) => error instanceof type) && error instanceof Error) {
    return { line: `memdesc: ${firstLine(error.message)}`, code: CANNOT };
  }
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const stack =
    debug && error instanceof Error && error.stack !== undefined ? `\n${error.stack}` : "";
  const advice = debug ? "" : "; MEMDESC_DEBUG=1 shows where";
  return {
    line: `memdesc: internal error (${firstLine(text)}), please report it${advice}${stack}`,
    code: CANNOT,
  };
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0];
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "no permission to write there",
  EPERM: "not allowed to write there",
  ENOENT: "the folder does not exist",
  ENOTDIR: "a part of the path is not a folder",
  EISDIR: "it is a folder, give a file name",
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EFBIG: "the file would be larger than allowed",
};

/** An {@link OutputError} for a failed write to `file`. */
export function outputError(file: string, cause: unknown): OutputError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const reason =
    REASONS[code] ?? (cause instanceof Error ? firstLine(cause.message) : String(cause));
  return new OutputError(`${file}: not written, ${reason}`);
}
