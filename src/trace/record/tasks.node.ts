/**
 * Tasks while a trace runs: the recorder's own, which are to be left out of it, and the
 * names that the kernel knows of the others.
 */
import { readdirSync, readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import type { TraceInstance } from "./instance.node.js";

/** The threads of this process, which the instance is told to leave out as they appear. */
export class OwnTasks {
  /** False once the kernel has refused: then they are in the trace. */
  leftOut = true;
  private readonly told = new Set<number>();
  private readonly instance: TraceInstance;

  constructor(instance: TraceInstance) {
    this.instance = instance;
  }

  /** Looks for new threads. What one did before it was seen is in the trace. */
  refresh(): void {
    if (!this.leftOut) return;
    const tasks = readdirSync("/proc/self/task").map(Number);
    const fresh = tasks.filter((task) => !this.told.has(task));
    if (fresh.length === 0) return;
    for (const task of fresh) this.told.add(task);
    this.leftOut = this.instance.leaveOut(fresh);
  }

  /**
   * Lets this process go first from now on: it has little to do, and where others keep it
   * from doing it in time, the kernel's buffers overflow.
   */
  hurry(): void {
    for (const task of readdirSync("/proc/self/task")) {
      try {
        setPriority(Number(task), HURRY);
      } catch {
        // A thread that has just ended, or a container that does not allow it.
      }
    }
  }
}

/** Niceness of the recorder's threads while a trace runs. */
const HURRY = -10;

/** Sweeps between two looks at the kernel's list. */
const EVERY = 10;

/**
 * Command names by task. The kernel keeps those of the tasks that ran last (128 where
 * nobody asked for more); what was in its list at any look is kept here.
 */
export class TaskNames {
  readonly names = new Map<number, string>();
  private readonly path: string;
  private turn = 0;

  constructor(root: string) {
    this.path = join(root, "saved_cmdlines");
  }

  /** Once a sweep. */
  tick(): void {
    if (this.turn++ % EVERY === 0) this.read();
  }

  read(): void {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch {
      return;
    }
    for (const line of text.split("\n")) {
      const space = line.indexOf(" ");
      const name = line.slice(space + 1);
      if (space > 0 && name !== "<...>") this.names.set(Number(line.slice(0, space)), name);
    }
  }
}
