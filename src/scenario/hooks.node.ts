/**
 * How the files of a scenario are found and made JavaScript: hooks for Node's
 * module loader.
 *
 * `memdesc` is this very package wherever the scenario lies, so that no install
 * stands between a file in /tmp and its run, and so that errors thrown by the
 * engine are of the classes that the narrator knows. TypeScript is stripped, not
 * compiled: types become blanks, every line and column stays where it was. As in
 * TypeScript itself, an import of `./x.js` finds `./x.ts`.
 *
 * Where Node has synchronous hooks (registerHooks) they run in the thread of the
 * scenario, else (Node 20) in a thread of Node's own; the same functions serve
 * both, because they answer at once.
 */
import { existsSync, readFileSync } from "node:fs";
import type { LoadHook, ResolveHook } from "node:module";
import { fileURLToPath } from "node:url";
import { transformSync } from "@swc/wasm-typescript";

/** The public API, built. */
const MEMDESC = new URL("../index.js", import.meta.url).href;
/** Our own files are loaded as Node loads any. */
const PACKAGE = new URL("../", import.meta.url).href;

const isTypeScript = (url: string): boolean => /\.m?ts$/.test(url);
const isOurs = (url: string): boolean => url.startsWith(PACKAGE) || url.includes("/node_modules/");

export const resolve: ResolveHook = (specifier, context, nextResolve) => {
  if (specifier === "memdesc") return { url: MEMDESC, format: "module", shortCircuit: true };
  const url = typeScriptFor(specifier, context.parentURL);
  if (url !== null) return { url, format: "module", shortCircuit: true };
  return nextResolve(specifier, context);
};

/** The .ts file that a relative import means; null where it means none. */
function typeScriptFor(specifier: string, parent: string | undefined): string | null {
  if (
    parent === undefined ||
    !/^\.{0,2}\//.test(specifier) ||
    (isOurs(parent) && !isTypeScript(parent))
  )
    return null;
  const url = new URL(specifier, parent);
  if (isTypeScript(url.pathname)) return existsSync(url) ? url.href : null;
  if (!/\.m?js$/.test(url.pathname) || existsSync(url)) return null;
  url.pathname = url.pathname.replace(/js$/, "ts");
  return existsSync(url) ? url.href : null;
}

export const load: LoadHook = (url, context, nextLoad) => {
  const file = url.startsWith("file:") && !(isOurs(url) && !isTypeScript(url));
  if (!file || !/\.m?[jt]s$/.test(new URL(url).pathname)) return nextLoad(url, context);
  const source = readFileSync(new URL(url), "utf8");
  return {
    format: "module",
    shortCircuit: true,
    source: isTypeScript(url) ? strip(url, source) : source,
  };
};

/** Where a file of a scenario has its mistake; crosses threads as own properties of an error. */
export interface SyntaxPlace {
  readonly url: string;
  /** Counted from 1. */
  readonly line: number;
  readonly column: number;
}

/** Types become blanks. Throws SyntaxError with a `place`. */
export function strip(url: string, source: string): string {
  try {
    return transformSync(source, {
      mode: "strip-only",
      module: true,
      filename: fileURLToPath(url),
      sourceMap: false,
    }).code;
  } catch (cause) {
    const { message, startLine, startColumn } = cause as Partial<StripError>;
    const place: SyntaxPlace = { url, line: startLine ?? 1, column: (startColumn ?? 0) + 1 };
    throw Object.assign(new SyntaxError(message ?? String(cause)), { place });
  }
}

/** What the stripper throws: a plain object. */
interface StripError {
  readonly message: string;
  /** Counted from 1. */
  readonly startLine: number;
  /** Counted from 0. */
  readonly startColumn: number;
}
