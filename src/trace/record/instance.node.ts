/**
 * A trace instance of our own: buffers, clock and events apart from everything else
 * that traces on the machine, so that taking it away leaves the settings as they were.
 *
 * Its name holds the process: `instances/memdesc-<pid>`. One whose process is gone was
 * left by a kill -9; the next recording removes it. The kernel refuses to remove one
 * whose buffers are open, so that a running recording is safe even where its process
 * cannot be seen (another container).
 *
 * Facts: Documentation/trace/ftrace.rst (Instances); instance_rmdir() and
 * trace_pid_write() in kernel/trace/trace.c of 6.1 and 6.18;
 * proc_pid_stat(5) (starttime).
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeSync,
} from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { ioReason } from "../../observe/files/io-error.node.js";
import { InputError } from "../../observe/input-error.js";
import { EVENTS } from "../events.js";
import type { TraceNote } from "../source.js";

const NAME = /^memdesc-(\d{1,10})$/;

export interface InstanceSettings {
  readonly clock: string;
  /** KiB of ring buffer per processor. */
  readonly bufferKib: number;
}

export class TraceInstance {
  readonly path: string;
  private readonly name: string;
  private there = true;

  /** Makes the instance, not tracing yet. Throws InputError. */
  constructor(root: string, settings: InstanceSettings) {
    this.name = `memdesc-${process.pid}`;
    this.path = join(root, "instances", this.name);
    try {
      mkdirSync(this.path);
    } catch (error) {
      const why = `no trace instance: ${ioReason(error)}`;
      throw new InputError({ file: this.path }, why, "the kernel's log may say more");
    }
    try {
      this.write("tracing_on", "0");
      this.write("trace_clock", settings.clock);
      this.write("buffer_size_kb", String(settings.bufferKib));
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /**
   * Turns on every event of EVENTS that this kernel has. Gives their format files by
   * name, and the names of those that it lacks.
   */
  enableEvents(): { formats: Map<string, string>; lacking: string[]; notes: TraceNote[] } {
    const formats = new Map<string, string>();
    const lacking: string[] = [];
    const notes: TraceNote[] = [];
    for (const { system, name } of EVENTS) {
      const folder = join("events", system, name);
      if (!existsSync(join(this.path, folder))) {
        lacking.push(name);
        continue;
      }
      try {
        const format = this.read(join(folder, "format"));
        this.write(join(folder, "enable"), "1");
        formats.set(`${system}.${name}.format`, format);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        notes.push({ subject: name, text: `not recorded: ${error.reason}` });
      }
    }
    return { formats, lacking, notes };
  }

  /** Leaves these tasks' events out, besides those left out already; false where the kernel cannot. */
  leaveOut(tasks: readonly number[]): boolean {
    if (!existsSync(join(this.path, "set_event_notrace_pid"))) return false;
    for (const task of tasks) {
      // One task a write; without O_TRUNC the kernel adds it to the list.
      try {
        this.write("set_event_notrace_pid", String(task));
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        return false;
      }
    }
    return true;
  }

  start(): void {
    this.write("tracing_on", "1");
  }

  stop(): void {
    this.write("tracing_on", "0");
  }

  /** Processors with a ring buffer. */
  cpus(): number[] {
    return readdirSync(join(this.path, "per_cpu"))
      .flatMap((name) => /^cpu(\d+)$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  read(name: string): string {
    try {
      return readFileSync(join(this.path, name), "utf8");
    } catch (error) {
      throw new InputError({ file: this.label(name) }, ioReason(error));
    }
  }

  /**
   * Removes the instance, and with it its buffers and events; what has its buffers open
   * must be closed. Throws InputError where the kernel refuses.
   */
  remove(): void {
    if (!this.there) return;
    try {
      rmdirSync(this.path);
      this.there = false;
    } catch (error) {
      throw new InputError({ file: this.label("") }, `not removed: ${ioReason(error)}`);
    }
  }

  private write(name: string, text: string): void {
    let file: number;
    try {
      file = openSync(join(this.path, name), constants.O_WRONLY);
    } catch (error) {
      throw new InputError({ file: this.label(name) }, ioReason(error));
    }
    try {
      writeSync(file, text);
    } catch (error) {
      throw new InputError({ file: this.label(name) }, `refused ${text}: ${ioReason(error)}`);
    } finally {
      closeSync(file);
    }
  }

  private label(name: string): string {
    return name === "" ? `instances/${this.name}` : `instances/${this.name}/${name}`;
  }
}

export interface StaleInstances {
  readonly removed: readonly string[];
  /** Those that the kernel would not remove, with the reason. */
  readonly kept: readonly TraceNote[];
}

/** Removes the instances of recordings that were killed. */
export function removeStaleInstances(root: string): StaleInstances {
  const removed: string[] = [];
  const kept: TraceNote[] = [];
  let names: string[];
  try {
    names = readdirSync(join(root, "instances"));
  } catch {
    return { removed, kept };
  }
  for (const name of names) {
    const pid = NAME.exec(name)?.[1];
    const path = join(root, "instances", name);
    if (pid === undefined || isMakerOf(path, Number(pid))) continue;
    try {
      rmdirSync(path);
      removed.push(name);
    } catch (error) {
      kept.push({ subject: name, text: ioReason(error) });
    }
  }
  return { removed, kept };
}

/** Clock ticks of /proc/PID/stat in a second: USER_HZ, 100 wherever Linux runs. */
const TICKS = 100;
/** Milliseconds by which the two times may differ: ticks, and clocks that are read one after the other. */
const SLACK = 1000;

/** True where the process runs and is older than the instance: not another that got its number. */
function isMakerOf(path: string, pid: number): boolean {
  // Its number is ours: we have made no instance yet, so it was another's before.
  if (pid === process.pid) return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The 22nd field; the second is a name in brackets that may hold anything.
    const ticks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    const age = uptime() * 1000 - (ticks / TICKS) * 1000;
    return Date.now() - age <= statSync(path).mtimeMs + SLACK;
  } catch {
    return false;
  }
}
