/**
 * Where output goes: stdout (closed early by `| head` without complaint), and
 * files that are either whole or not there (written beside their place under
 * another name, then renamed; removed again when interrupted).
 */
import { lstatSync, rmSync } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { outputError, OutputError } from "./fail.js";

/** Exit code after Ctrl-C, as shells count it: 128 + SIGINT. */
const INTERRUPTED = 130;

/** Whether to colour a stream: NO_COLOR beats FORCE_COLOR beats being a terminal. */
export function wantsColor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  if (env["NO_COLOR"] !== undefined && env["NO_COLOR"] !== "") return false;
  const force = env["FORCE_COLOR"];
  if (force !== undefined) return force !== "0" && force !== "false";
  return stream.isTTY === true && env["TERM"] !== "dumb";
}

/** A reader that goes away (`| head`) ends the program quietly; other faults are told. */
export function guardStdout(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
    process.stderr.write(`memdesc: ${outputError("standard output", error).message}\n`);
    process.exit(2);
  });
}

/** Writes text to stdout; resolves when it is handed over. */
export async function print(text: string): Promise<void> {
  if (text === "") return;
  await new Promise<void>((resolve) => {
    process.stdout.write(text, () => resolve());
  });
}

/** Writes a whole file or none. Devices such as /dev/null are written in place. */
export async function writeWhole(file: string, text: string): Promise<void> {
  try {
    if (await isSpecial(file)) {
      await writeTo(file, text, "w");
      return;
    }
    const beside = join(dirname(file), `.${basename(file)}.${process.pid}.tmp`);
    await withRemovalOnInterrupt(beside, async () => {
      try {
        await writeTo(beside, text, "wx");
        await rename(beside, file);
      } catch (cause) {
        await rm(beside, { force: true });
        throw cause;
      }
    });
  } catch (cause) {
    throw cause instanceof OutputError ? cause : outputError(file, cause);
  }
}

async function writeTo(file: string, text: string, flags: "w" | "wx"): Promise<void> {
  const handle = await open(file, flags, 0o644);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
}

async function isSpecial(file: string): Promise<boolean> {
  try {
    const found = await stat(file);
    if (found.isDirectory())
      throw outputError(file, Object.assign(new Error(), { code: "EISDIR" }));
    return !found.isFile();
  } catch (cause) {
    if (cause instanceof OutputError) throw cause;
    return false;
  }
}

async function withRemovalOnInterrupt(file: string, work: () => Promise<void>): Promise<void> {
  const interrupted = (): void => {
    rmSync(file, { force: true });
    process.exit(INTERRUPTED);
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    await work();
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
  }
}

/** Refuses an output path before hours of work are put into it. */
export function checkWritable(file: string): void {
  try {
    if (lstatSync(file).isDirectory()) {
      throw outputError(file, Object.assign(new Error(), { code: "EISDIR" }));
    }
  } catch (cause) {
    if (cause instanceof OutputError) throw cause;
  }
  try {
    lstatSync(dirname(file));
  } catch (cause) {
    throw outputError(file, cause);
  }
}
