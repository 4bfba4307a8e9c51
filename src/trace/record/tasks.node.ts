/**
 * Tasks while a trace runs: the recorder's own, and the names that the kernel knows of
 * those that the trace has events of.
 *
 * The recorder's own events are in the trace unless that is asked for otherwise: its
 * pages are as much in the machine's state at the end as any, and without their events
 * trace and state would differ by them. How many events they are is counted and said.
 */
import { readdirSync, readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import type { EventBatch } from "../events.js";
import type { TraceInstance } from "./instance.node.js";

/** Niceness of the recorder's threads while a trace runs. */
const HURRY = -10;

/** The threads of this process, which the instance may be told to leave out as they appear. */
export class OwnTasks {
  /** True where their events are not in the trace: asked for, and done by the kernel. */
  leftOut: boolean;
  private readonly known = new Set<number>();
  private readonly instance: TraceInstance;

  constructor(instance: TraceInstance, leaveOut: boolean) {
    this.instance = instance;
    this.leftOut = leaveOut;
  }

  /** Looks for new threads. What one did before it was seen is in the trace. */
  refresh(): void {
    const tasks = readdirSync("/proc/self/task").map(Number);
    const fresh = tasks.filter((task) => !this.known.has(task));
    if (fresh.length === 0) return;
    for (const task of fresh) this.known.add(task);
    if (this.leftOut) this.leftOut = this.instance.leaveOut(fresh);
  }

  has(task: number): boolean {
    return this.known.has(task);
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

/** Sweeps between two looks at the kernel's list. */
const EVERY = 10;

/**
 * The tasks of the trace. The kernel keeps the names of those that ran last (128 where
 * nobody asked for more); what was in its list at any look is kept here.
 */
export class TraceTasks {
  /** Events of the recorder itself. */
  ownEvents = 0;
  private readonly named = new Map<number, string>();
  private readonly seen = new Set<number>();
  private readonly path: string;
  private readonly own: OwnTasks;
  private turn = 0;

  constructor(root: string, own: OwnTasks) {
    this.path = join(root, "saved_cmdlines");
    this.own = own;
  }

  /** Once a sweep. */
  tick(): void {
    if (this.turn++ % EVERY === 0) this.readNames();
  }

  /** Notes whose the events are. */
  count(batch: EventBatch): void {
    const { pid, length } = batch;
    for (let i = 0; i < length;) {
      const task = pid[i];
      const from = i;
      // Events of a task come in runs.
      while (i < length && pid[i] === task) i++;
      this.seen.add(task);
      if (this.own.has(task)) this.ownEvents += i - from;
    }
  }

  readNames(): void {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch {
      return;
    }
    for (const line of text.split("\n")) {
      const space = line.indexOf(" ");
      const name = line.slice(space + 1);
      if (space > 0 && name !== "<...>") this.named.set(Number(line.slice(0, space)), name);
    }
  }

  /** Names of the tasks that have events, as far as the kernel told them. */
  names(): Map<number, string> {
    return new Map([...this.named].filter(([task]) => this.seen.has(task)));
  }
}
