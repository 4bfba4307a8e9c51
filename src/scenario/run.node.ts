/**
 * Runs a scenario on several designs, each in a worker thread of its own, as many
 * at once as there are CPUs; stops what takes too long, and gives the results in
 * the order of the designs.
 */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { InputError } from "../observe/input-error.js";
import { placeOf } from "./explain.node.js";
import { OK, type DesignRun, type Entry, type Outcome, type Totals } from "./record.js";
import {
  NOTHING_LEFT,
  type Explanation,
  type FromWorker,
  type WorkerTask,
} from "./worker-messages.js";

const WORKER = fileURLToPath(new URL("./scenario-worker.node.js", import.meta.url));

export interface RunRequest {
  /** Absolute path of the scenario's file. */
  readonly path: string;
  /** Canonical names of designs. */
  readonly designs: readonly string[];
  /** Seconds that loading the file and, anew, one design's run may take. */
  readonly timeout: number;
  /** Called when a design is done, in the order in which they get done. */
  readonly onDesign?: (run: DesignRun) => void;
}

export interface Ran {
  /** As the scenario says; null where it was stopped before it said anything. */
  readonly name: string | null;
  readonly about: string | null;
  readonly runs: readonly DesignRun[];
}

/** Throws InputError, naming file, line and reason, where the scenario cannot be loaded. */
export async function runScenario(request: RunRequest): Promise<Ran> {
  const runs: DesignRun[] = [];
  const watches = request.designs.map((design) => new Watch(request, design));
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < watches.length; i = next++) {
      runs[i] = await watches[i].run();
      request.onDesign?.(runs[i]);
    }
  };
  const lanes = Math.min(availableParallelism(), watches.length);
  try {
    await Promise.all(Array.from({ length: lanes }, lane));
  } finally {
    next = watches.length;
    await Promise.all(watches.map((watch) => watch.stop()));
  }
  const said = watches.find((watch) => watch.name !== null);
  return { name: said?.name ?? null, about: said?.about ?? null, runs };
}

/** Watches over the worker of one design. */
class Watch {
  name: string | null = null;
  about: string | null = null;
  readonly #request: RunRequest;
  readonly #design: string;
  readonly #timeline: Entry[] = [];
  #thread: Worker | null = null;
  #clock: NodeJS.Timeout | undefined = undefined;
  #outcome: Outcome | null = null;
  #totals: Totals | null = null;
  #refused: Explanation | null = null;
  #step: { readonly number: number; readonly what: string } | null = null;

  constructor(request: RunRequest, design: string) {
    this.#request = request;
    this.#design = design;
  }

  async run(): Promise<DesignRun> {
    const { path } = this.#request;
    const task: WorkerTask = { path, design: this.#design };
    const thread = new Worker(WORKER, { workerData: task, stdout: true, stderr: true });
    this.#thread = thread;
    // What a scenario prints is no part of the report.
    for (const output of [thread.stdout, thread.stderr]) {
      output.on("data", (chunk: Uint8Array) => process.stderr.write(chunk));
    }
    this.#startClock();
    thread.on("message", (message: FromWorker) => this.#hear(message));
    thread.on("error", (error) => this.#stopped(whyDead(error)));
    const code = await new Promise<number>((resolve) => thread.once("exit", resolve));
    clearTimeout(this.#clock);
    if (this.#refused !== null) throw refusal(this.#refused);
    this.#stopped(whyEnded(code));
    return {
      design: this.#design,
      outcome: this.#outcome ?? OK,
      totals: this.#totals,
      timeline: this.#timeline,
    };
  }

  /** The time limit, for loading the file and then anew for running it. */
  #startClock(): void {
    const { timeout } = this.#request;
    clearTimeout(this.#clock);
    this.#clock = setTimeout(() => {
      this.#stopped(`it was not done after ${timeout} s (--timeout)`);
      void this.#thread?.terminate();
    }, timeout * 1000);
  }

  async stop(): Promise<void> {
    await this.#thread?.terminate();
  }

  #hear(message: FromWorker): void {
    switch (message.is) {
      case "loaded":
        this.name = message.name;
        this.about = message.about;
        this.#startClock();
        break;
      case "not-loaded":
        this.#refused = message.why;
        break;
      case "begun":
        this.#step = message;
        break;
      case "entry":
        this.#timeline.push(message.entry);
        break;
      case "totals":
        this.#totals = message.totals;
        break;
      case "ended":
        this.#outcome ??= message.outcome;
        break;
      default:
        message satisfies never;
    }
  }

  /** The first end counts. */
  #stopped(why: string): void {
    const step = this.#step?.number ?? null;
    const what = this.#step?.what ?? null;
    this.#outcome ??= { ...OK, verdict: "stopped", step, what, why };
  }
}

/** For a worker that ended without an outcome. */
function whyEnded(code: number): string {
  if (code === NOTHING_LEFT) return "it waits for something that nothing resolves";
  return `it left by process.exit(${code})`;
}

function whyDead(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (code === "ERR_WORKER_OUT_OF_MEMORY") return "it ran out of memory";
  return `it ended with an error outside of run: ${error instanceof Error ? error.message : String(error)}`;
}

function refusal(why: Explanation): InputError {
  return new InputError({ file: placeOf(why) }, why.reason, why.hint);
}
