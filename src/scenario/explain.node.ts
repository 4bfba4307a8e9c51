/**
 * From whatever went wrong in a scenario's files to one place and one reason.
 *
 * Errors come from four sides: the stripper (which says where), Node's resolver
 * (which names the importing file: the line is looked up there), V8's compiler
 * (which keeps the place of a module's syntax error to itself, so it is asked
 * again), and the scenario's own code (whose stack begins with the place).
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { strip, type SyntaxPlace } from "./hooks.node.js";
import type { Explanation } from "./worker-messages.js";

const PACKAGE = fileURLToPath(new URL("../", import.meta.url));

/** A path as short as it can be said from here. */
export function shortPath(path: string): string {
  const from = relative(process.cwd(), path);
  return from === "" || from.startsWith("..") ? path : from;
}

/** `file:line:column`, as far as it is known. */
export const placeOf = ({ file, line, column }: Explanation): string =>
  [file, line, column].filter((part) => part !== null).join(":");

/** Explains an error that came up while `entry` (an absolute path) was loaded or run. */
export function explain(error: unknown, entry: string): Explanation {
  if (!(error instanceof Error))
    return explanation(entry, null, null, `it throws ${String(error)}`);
  if ("place" in error) {
    const { url, line, column } = error.place as SyntaxPlace;
    return explanation(
      fileURLToPath(url),
      line,
      column,
      `syntax error: ${error.message}`,
      HINTS[kindOf(error)],
    );
  }
  const code = "code" in error ? String(error.code) : "";
  if (code.startsWith("ERR_MODULE") || code.startsWith("ERR_UNSUPPORTED")) {
    return unresolved(error, entry);
  }
  if (error instanceof SyntaxError) return compileError(error, entry);
  const frame = frameOf(error);
  const reason = `${error.name === "Error" ? "it throws" : error.name}: ${error.message}`;
  return frame === null ? explanation(entry, null, null, reason) : explanation(...frame, reason);
}

/** Puts an explanation together. */
export function explanation(
  path: string,
  line: number | null,
  column: number | null,
  reason: string,
  hint = "",
): Explanation {
  return { file: shortPath(path), line, column, reason, hint };
}

const HINTS: Readonly<Record<string, string>> = {
  unsupported: "types are stripped, not compiled: only what can be erased is allowed",
  other: "",
};

const kindOf = (error: Error): string =>
  error.message.includes("not supported") ? "unsupported" : "other";

/** The first line of the stack that lies in the scenario and not in Node or in this package. */
export function frameOf(error: unknown): [path: string, line: number, column: number] | null {
  if (!(error instanceof Error) || error.stack === undefined) return null;
  for (const line of error.stack.split("\n")) {
    const found = /\(?(file:\/\/[^()\s]+|\/[^()]+):(\d+):(\d+)\)?$/.exec(line);
    if (found === null) continue;
    const path = found[1].startsWith("file:") ? fileURLToPath(found[1]) : found[1];
    if (!path.startsWith(PACKAGE)) return [path, Number(found[2]), Number(found[3])];
  }
  return null;
}

/** An import that leads nowhere: which file says it, and where in it. */
function unresolved(error: Error, entry: string): Explanation {
  const what = /'([^']+)'/.exec(error.message)?.[1] ?? "";
  const parent = /imported from (.+)$/m.exec(error.message)?.[1] ?? entry;
  const path = parent.startsWith("file:") ? fileURLToPath(parent) : parent;
  const reason = error.message.startsWith("Cannot find package")
    ? `there is no package "${what}" here`
    : error.message.startsWith("Cannot find module")
      ? `the import leads to no file: ${shortPath(what)}`
      : error.message.split("\n", 1)[0];
  const name = error.message.startsWith("Cannot find package")
    ? what
    : (what.split("/").at(-1) ?? "");
  const [line, column] = findImport(path, name);
  return explanation(path, line, column, reason);
}

/** Line and column of the import that ends in `name`. */
function findImport(path: string, name: string): [number, number] | [null, null] {
  const stem = name.replace(/\.\w+$/, "");
  for (const [i, line] of linesOf(path).entries()) {
    const found = /(?:from|import)\s*\(?\s*(["'][^"']+["'])/.exec(line);
    if (found !== null && found[1].includes(stem)) return [i + 1, line.indexOf(found[1]) + 1];
  }
  return [null, null];
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return [];
  }
}

/** What V8 refuses after the types are gone. */
function compileError(error: SyntaxError, entry: string): Explanation {
  const said = placeInStack(error.stack ?? "");
  const reason = `syntax error: ${error.message}`;
  const missing = /does not provide an export named '([^']+)'/.exec(error.message)?.[1];
  const hint =
    missing === undefined ? "" : `if ${missing} is a type, write import type { ${missing} }`;
  const place = said ?? recompile(entry, new Set());
  if (place === null) return explanation(entry, null, null, reason, hint);
  return explanation(...place, missing === undefined ? reason : error.message, hint);
}

/** `file:///…:3`, a line of source and a caret: how Node decorates a stack. */
function placeInStack(stack: string): [string, number, number | null] | null {
  const found = /^(\S.*):(\d+)\n.*\n( *)\^/.exec(stack);
  if (found === null) return null;
  const path = found[1].startsWith("file:") ? fileURLToPath(found[1]) : found[1];
  return [path, Number(found[2]), found[3].length + 1];
}

/** Compiles the files of a scenario one by one until one is refused. */
function recompile(path: string, seen: Set<string>): [string, number, number | null] | null {
  if (seen.has(path)) return null;
  seen.add(path);
  const source = linesOf(path).join("\n");
  for (const found of source.matchAll(/(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g)) {
    const next = join(path, "..", found[1]);
    const inner = [next, next.replace(/js$/, "ts")].find((file) => linesOf(file).length > 0);
    const place = inner === undefined ? null : recompile(inner, seen);
    if (place !== null) return place;
  }
  return check(path, /\.m?ts$/.test(path) ? strip(`file://${path}`, source) : source);
}

/** `node --check`: compiles and does not run. */
function check(path: string, code: string): [string, number, number | null] | null {
  const dir = mkdtempSync(join(tmpdir(), "memdesc-check-"));
  try {
    const copy = join(dir, "scenario.mjs");
    writeFileSync(copy, code);
    const { stderr } = spawnSync(process.execPath, ["--check", copy], { encoding: "utf8" });
    const place = placeInStack(stderr);
    return place === null ? null : [path, place[1], place[2]];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
