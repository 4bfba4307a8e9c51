/**
 * A thread that runs designs one after another: a worker, so that each isolate has
 * designs of one kind and the JIT knows which. It is given texts of designs, and
 * answers with each one's results when it is done with it.
 */
import { parentPort, workerData } from "node:worker_threads";
import { parseDesign } from "../src/engine/design/presets.js";
import type { CaseResult } from "./harness.js";
import { runDesign, type Selection } from "./run.js";

/** What a worker is started with. */
export interface Work {
  readonly designs: readonly string[];
  readonly selection: Selection;
  readonly largest: number;
  readonly seed: number;
}

/** What it says of each design, in their order. */
export interface Done {
  readonly design: string;
  readonly results: readonly CaseResult[];
  readonly ms: number;
}

const { designs, selection, largest, seed } = workerData as Work;
const now = (): number => performance.now();
for (const design of designs) {
  const began = now();
  const results = runDesign(parseDesign(design), selection, { largest, seed, now });
  parentPort?.postMessage({ design, results, ms: now() - began } satisfies Done);
}
