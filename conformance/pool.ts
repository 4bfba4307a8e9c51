/**
 * Runs designs in threads, some at once, and gives what each came to in the order of
 * the designs.
 *
 * Designs of the same word, name and record go to the same thread: code that meets
 * one kind of each is two to four times as fast as code that meets all. A thread is
 * given some of them and ends with the last. Of few designs only the words are kept
 * apart, since a fresh thread has everything to compile first.
 */
import { Worker } from "node:worker_threads";
import type { Design } from "../src/engine/design/presets.js";
import type { Done, Work } from "./worker.js";

/** Designs of one thread at most: so that all threads are done at about the same time. */
const SHARE = 24;
/** From so many designs on, a thread for each kind is worth its start. */
const MANY = 100;

export interface PoolOptions extends Omit<Work, "designs"> {
  /** Threads at once. */
  readonly jobs: number;
  /** The built worker. */
  readonly worker: URL;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #running = new Set<Worker>();
  #stopped = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /**
   * Runs the designs; `onDone` hears of each as it is done. Rejects where a thread
   * broke down. After `stop` what was done until then is all there is.
   */
  async run(designs: readonly Design[], onDone: (done: Done) => void): Promise<void> {
    const shares = sharesOf(designs);
    let next = 0;
    const lane = async (): Promise<void> => {
      while (!this.#stopped && next < shares.length) await this.#share(shares[next++], onDone);
    };
    await Promise.all(Array.from({ length: Math.min(this.#options.jobs, shares.length) }, lane));
  }

  #share(designs: readonly string[], onDone: (done: Done) => void): Promise<void> {
    const { jobs: _, worker, ...rest } = this.#options;
    return new Promise((resolve, reject) => {
      const thread = new Worker(worker, { workerData: { ...rest, designs } satisfies Work });
      this.#running.add(thread);
      let left = designs.length;
      thread.on("message", (done: Done) => {
        left--;
        if (!this.#stopped) onDone(done);
      });
      thread.once("error", reject);
      thread.once("exit", (code) => {
        this.#running.delete(thread);
        if (left === 0 || this.#stopped) resolve();
        else
          reject(new Error(`the thread of ${designs[designs.length - left]} ended with ${code}`));
      });
    });
  }

  /** Ends all threads where they are. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#running].map((thread) => thread.terminate()));
  }
}

/** Texts of designs of one kind each, in shares. */
function sharesOf(designs: readonly Design[]): string[][] {
  const kinds = new Map<string, string[][]>();
  for (const d of designs) {
    const kind = designs.length < MANY ? d.word : `${d.word} ${d.deviceName} ${d.deviceRecord}`;
    const shares = kinds.get(kind) ?? [];
    const last = shares.at(-1);
    if (last === undefined || last.length === SHARE) shares.push([d.name]);
    else last.push(d.name);
    kinds.set(kind, shares);
  }
  return [...kinds.values()].flat();
}
