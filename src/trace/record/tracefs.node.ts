/**
 * The kernel's trace file system: where it is, or mounted for the length of a recording.
 *
 * Where it is not mounted, it is mounted on /sys/kernel/tracing, its root is opened, and
 * it is taken off there again at once: everything else goes through the open folder,
 * which the kernel keeps alive as long as this process. So mounts are as before from the
 * first moment, and whatever ends the process ends the mount, kill -9 included. Several
 * recordings may do so at the same time: the kernel mounts it once on a place, and who comes
 * second tries again.
 *
 * Facts: Documentation/trace/ftrace.rst; mount_namespaces(7) and umount2(2) (MNT_DETACH).
 */
import { execFileSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { ioReason } from "../../observe/files/io-error.node.js";
import { InputError } from "../../observe/input-error.js";

const PLACE = "/sys/kernel/tracing";
const SUBJECT = { file: "trace file system" };

export interface Tracefs {
  readonly root: string;
  close(): void;
}

/** Why nothing can be recorded here, in one line; null where it can be tried. */
export function whyNotRecord(): string | null {
  if (process.platform !== "linux") return `this is ${process.platform}, not Linux`;
  if (process.geteuid?.() !== 0) return "recording page events needs root";
  if (mountedAt() === null && !existsSync(PLACE))
    return `this kernel has no trace file system (no ${PLACE})`;
  return null;
}

/** Times that a mount is tried which another recording has just now, and milliseconds between two. */
const TRIES = 100;
const AGAIN = 10;

/** Opens the trace file system. Throws InputError. */
export function openTracefs(): Tracefs {
  for (let left = TRIES; ; left--) {
    const mounted = mountedAt();
    // Open also where it is mounted: it may be another recording's, and be gone in a moment.
    const there = mounted === null ? null : openFolder(mounted);
    if (there !== null) {
      if (isFolder(join(there.root, "instances"))) return there;
      there.close();
    }
    try {
      run("mount", ["-t", "tracefs", "tracefs", PLACE]);
    } catch (error) {
      const busy = error instanceof InputError && /already mounted|busy/i.test(error.reason);
      if (!busy || left === 0) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, AGAIN);
      continue;
    }
    try {
      return openFolder(PLACE);
    } finally {
      run("umount", ["--lazy", PLACE]);
    }
  }
}

/** What is mounted at the place now, whatever becomes of the mount. */
function openFolder(place: string): Tracefs {
  let folder: number;
  try {
    folder = openSync(place, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw new InputError(SUBJECT, ioReason(error));
  }
  let open = true;
  return {
    root: `/proc/${process.pid}/fd/${folder}`,
    close: () => {
      if (open) closeSync(folder);
      open = false;
    },
  };
}

/** Where a trace file system with instances is mounted and reachable; null for nowhere. */
function mountedAt(): string | null {
  let mounts: string;
  try {
    mounts = readFileSync("/proc/self/mounts", "utf8");
  } catch {
    return null;
  }
  const places = [...mounts.matchAll(/^\S+ (\S+) tracefs /gm)].map((m) => unescaped(m[1]));
  places.sort((a, b) => Number(b === PLACE) - Number(a === PLACE));
  return places.find((place) => isFolder(join(place, "instances"))) ?? null;
}

/** /proc/self/mounts writes spaces and the like as octal. */
function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function run(command: string, args: readonly string[]): void {
  try {
    execFileSync(command, args, {
      env: { ...process.env, LC_ALL: "C" },
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 10_000,
    });
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
    throw new InputError(
      SUBJECT,
      `${command} ${args.join(" ")} failed: ${said === "" ? ioReason(error) : said}`,
      "mount it by hand, or run where mounting is allowed",
    );
  }
}
