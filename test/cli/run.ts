/**
 * Runs the built command line as a user would and hands back what came out.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const MEMDESC = join(ROOT, "dist/cli/memdesc.js");

/** A committed folder of copied /proc files. */
export const fixture = (name: "guest-6.1" | "guest-6.12" | "vm-6.18"): string =>
  join(ROOT, "test/fixtures", name);

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The environment without what would change colours; `extra` on top. */
function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const { NO_COLOR: _no, FORCE_COLOR: _force, MEMDESC_DEBUG: _debug, ...rest } = process.env;
  return { ...rest, ...extra };
}

function ran(result: SpawnSyncReturns<string>): Ran {
  if (result.error !== undefined) throw result.error;
  // How long a run takes is the machine's business, and so is whether it says how far it is.
  const err = result.stderr.replace(
    /^memdesc: (building|reading|replaying|running) .*…[^\n]*\n/gm,
    "",
  );
  return { code: result.status, out: result.stdout, err };
}

/** `memdesc ARGS`. */
export function memdesc(args: readonly string[], env: Readonly<Record<string, string>> = {}): Ran {
  return ran(
    spawnSync(process.execPath, [MEMDESC, ...args], {
      encoding: "utf8",
      env: environment(env),
      maxBuffer: 256 * 2 ** 20,
    }),
  );
}

/** A line for sh, with $MEMDESC standing for the command. */
export function shell(line: string, env: Readonly<Record<string, string>> = {}): Ran {
  const command = `${process.execPath} ${MEMDESC}`;
  return ran(
    spawnSync("sh", ["-c", line], {
      encoding: "utf8",
      env: environment({ ...env, MEMDESC: command }),
      maxBuffer: 256 * 2 ** 20,
    }),
  );
}

/** A folder that is gone when the test is over. */
export function scratch(): string {
  const path = mkdtempSync(join(tmpdir(), "memdesc-test-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Exactly one line, that says who speaks and shows no stack. */
export function isOneLine(err: string): boolean {
  return /^memdesc: [^\n]+\n$/.test(err) && !/\n\s+at /.test(err);
}
