/**
 * The traces that come with the package, and finding the one that is meant: a path, or
 * the name of a bundled one. A path that is there wins.
 *
 * They are real recordings of a few seconds (scripts/bundled-traces.sh), with the
 * machine's state on both sides, for whoever cannot record: no root, no trace file
 * system, another operating system.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../observe/input-error.js";

const FOLDER = fileURLToPath(new URL("../../data/traces/", import.meta.url));
const SUFFIX = ".mdt";

/** What each is of, by name: the workloads of scripts/bundled-traces.sh. */
const ABOUT: Readonly<Record<string, string>> = {
  compile: "gcc compiles C: processes, copy on write, page tables",
  database: "SQLite fills a table, indexes it, sums it up, deletes half of it and packs it",
  scan: "a file is read into the page cache twice, and removed",
};

export interface BundledTrace {
  /** What `memdesc replay` takes. */
  readonly name: string;
  readonly about: string;
  /** Of the file. */
  readonly bytes: number;
}

/** The bundled traces, in alphabetical order. */
export function listBundledTraces(): BundledTrace[] {
  return names().map((name) => ({
    name,
    about: ABOUT[name] ?? "",
    bytes: statSync(pathOf(name)).size,
  }));
}

/**
 * Path of what was asked for. Throws InputError for a word that is neither a path nor a
 * name; of anything that looks like a path, opening it says what is wrong.
 */
export function tracePath(asked: string): string {
  if (!/^[\w-]+$/.test(asked) || asked === "-" || isThere(asked)) return asked;
  if (names().includes(asked)) return pathOf(asked);
  const reason = "there is no such file, and no bundled trace of that name";
  throw new InputError({ file: asked }, reason, "memdesc replay --list names those");
}

const pathOf = (name: string): string => join(FOLDER, name + SUFFIX);

function names(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith(SUFFIX))
    .map((file) => file.slice(0, -SUFFIX.length))
    .toSorted();
}

function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    // There, or behind something that may not be looked into: opening it says what is wrong.
    return true;
  }
}
