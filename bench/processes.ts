/**
 * Other processes, run and timed: from before it is started to after it ended,
 * when the first byte of its output came, and the most memory it held.
 *
 * Peak memory is the kernel's own high-water mark (VmHWM of /proc/PID/status),
 * read while the process runs; elsewhere than on Linux it is not known.
 */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

export interface Ran {
  readonly code: number | null;
  /** Seconds from start to end. */
  readonly seconds: number;
  /** Seconds until the first output; null where there was none. */
  readonly firstOutput: number | null;
  /** Bytes of the largest resident set seen; null where it is not told. */
  readonly peak: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** CPUs that the process may use, as `taskset -c` takes them. */
  readonly cpus?: string;
  /** Bytes of resident memory at which the process is ended. */
  readonly memoryLimit?: number;
  /** Seconds after which it is ended. */
  readonly timeLimit?: number;
}

const POLL_MS = 20;

/** Runs a command to its end. Rejects where it cannot be started. */
export function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const [program, ...rest] =
    options.cpus === undefined
      ? [command, ...args]
      : ["taskset", "-c", options.cpus, command, ...args];
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const since = (): number => (performance.now() - began) / 1000;
    const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    let firstOutput: number | null = null;
    let peak: number | null = null;
    const look = setInterval(() => {
      peak = highWater(child.pid) ?? peak;
      const tooLarge = peak !== null && peak > (options.memoryLimit ?? Infinity);
      if (tooLarge || since() > (options.timeLimit ?? Infinity)) child.kill();
    }, POLL_MS);
    child.stdout.on("data", (data: Buffer) => {
      firstOutput ??= since();
      stdout += data.toString();
    });
    child.stderr.on("data", (data: Buffer) => {
      stderr += data.toString();
    });
    child.once("error", (error) => {
      clearInterval(look);
      reject(error);
    });
    child.once("close", (code) => {
      clearInterval(look);
      resolve({ code, seconds: since(), firstOutput, peak, stdout, stderr });
    });
  });
}

/** Runs a command that must succeed. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const ran = await run(command, args, options);
  if (ran.code !== 0)
    throw new Error(`${command} ${args.join(" ")} ended with ${ran.code}: ${ran.stderr.trim()}`);
  return ran;
}

function highWater(pid: number | undefined): number | null {
  if (pid === undefined || process.platform !== "linux") return null;
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kib === undefined ? null : Number(kib) * 1024;
  } catch {
    // It has ended meanwhile.
    return null;
  }
}

/** Where a program is on PATH; null for nowhere. */
export function which(program: string): string | null {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return null;
}

/** Runs a build step; its last line of complaint, or null where it went well. */
export function buildStep(command: string, args: readonly string[], cwd?: string): string | null {
  const done = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (done.error) return done.error.message;
  return done.status === 0
    ? null
    : (done.stderr.trim().split("\n").at(-1) ?? `exit code ${done.status}`);
}
