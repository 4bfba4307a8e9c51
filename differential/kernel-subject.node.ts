/**
 * The live kernel as a subject: starts the executor, sends it whole programs
 * and reads back results and states (protocol.ts).
 *
 * The executor is compiled once per run into a folder that is removed at the
 * end. Where it fails, the program's trace says so and the next program gets a
 * new one.
 */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileExecutor } from "./kernel-settings.node.js";
import { FLAG_MASKS, type TraceStep } from "./observe.js";
import { FILES, type Program } from "./program.js";
import { ReplyReader, encodeProgram } from "./protocol.js";
import type { Subject, Trace } from "./subject.js";

/** The executor's sources, seen from `build/differential/`. */
const SOURCES = ["controller.c", "worker.c", "observe.c", "frames.c"].map((name) =>
  fileURLToPath(new URL(`../../differential/executor/${name}`, import.meta.url)),
);
/** Seconds after which a program that does not come back is given up. */
const PATIENCE = 60;

/** Folders and program of an executor. */
export interface Workshop {
  readonly program: string;
  /** On a tmpfs. */
  readonly memoryFolder: string;
  /** On the file system of temporary files. */
  readonly diskFolder: string;
  /** CPU that everything runs on. */
  readonly cpu: number;
  /** Removes the folders. May be called more than once. */
  clear(): void;
}

/** Makes folders and compiles the executor. Throws Error with the compiler's words. */
export function openWorkshop(cpu: number): Workshop {
  const diskFolder = mkdtempSync(join(tmpdir(), "memdesc-differential-"));
  const memoryFolder = mkdtempSync("/dev/shm/memdesc-differential-");
  const clear = (): void => {
    for (const folder of [diskFolder, memoryFolder])
      rmSync(folder, { recursive: true, force: true });
  };
  const program = join(diskFolder, "executor");
  const refused = compileExecutor(SOURCES, program);
  if (refused !== null) {
    clear();
    throw new Error(`the executor does not compile: ${refused}`);
  }
  return { program, memoryFolder, diskFolder, cpu, clear };
}

/** A program under way. */
interface Pending {
  readonly steps: TraceStep[];
  readonly reader: ReplyReader;
  readonly done: (trace: Trace) => void;
}

export class KernelSubject implements Subject {
  readonly name: string;
  readonly #workshop: Workshop;
  #child: ChildProcessWithoutNullStreams | null = null;
  #errors = "";
  #pending: Pending | null = null;

  constructor(workshop: Workshop, name = "kernel") {
    this.#workshop = workshop;
    this.name = name;
  }

  run(program: Program): Promise<Trace> {
    const child = (this.#child ??= this.#spawn());
    return new Promise((resolve) => {
      const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE * 1000);
      const done = (trace: Trace): void => {
        clearTimeout(timer);
        this.#pending = null;
        resolve(trace);
      };
      this.#pending = { steps: [], reader: new ReplyReader(), done };
      child.stdin.write(encodeProgram(program));
    });
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.stdin.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), 2000);
    await ended;
    clearTimeout(timer);
  }

  #spawn(): ChildProcessWithoutNullStreams {
    const { program, memoryFolder, diskFolder, cpu } = this.#workshop;
    const sizes = FILES.map((file) => String(file.size));
    const masks = FLAG_MASKS.join();
    const child = spawn(program, [memoryFolder, diskFolder, masks, String(cpu), ...sizes], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#errors = "";
    child.stderr.on("data", (text: Buffer) => (this.#errors += text.toString()));
    // A write to an executor that died; why it died is told by "close".
    child.stdin.on("error", () => {});
    child.stdout.on("data", (chunk: Buffer) => this.#take(chunk));
    child.once("error", (error) => this.#broken(child, error.message));
    child.once("close", (code, signal) => {
      const how = this.#errors.trim() || `the executor ended with ${signal ?? code}`;
      this.#broken(child, how);
    });
    return child;
  }

  #take(chunk: Buffer): void {
    const pending = this.#pending;
    if (pending === null) return;
    pending.steps.push(...pending.reader.take(chunk));
    if (pending.reader.ended) pending.done({ steps: pending.steps, failure: null });
  }

  #broken(child: ChildProcessWithoutNullStreams, why: string): void {
    if (this.#child === child) this.#child = null;
    this.#pending?.done({ steps: this.#pending.steps, failure: why });
  }
}
