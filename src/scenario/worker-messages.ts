/**
 * What the thread that runs a scenario and the one that watches it say to each
 * other.
 */
import type { Happening, Outcome } from "./record.js";

/** Exit code of a worker that has nothing left to do and is not done: Node's own for it. */
export const NOTHING_LEFT = 13;

/** What a worker is started with. */
export interface WorkerTask {
  /** Absolute path of the scenario. */
  readonly path: string;
  /** Canonical name of the design. */
  readonly design: string;
}

/** Why a file could not be loaded, and where in it. */
export interface Explanation {
  /** File as a person would type it. */
  readonly file: string;
  /** Counted from 1; null where nobody knows. */
  readonly line: number | null;
  readonly column: number | null;
  readonly reason: string;
  /** What to do; empty where that is plain. */
  readonly hint: string;
}

export type FromWorker =
  | { readonly is: "loaded"; readonly name: string; readonly about: string }
  | { readonly is: "not-loaded"; readonly why: Explanation }
  | { readonly is: "ended"; readonly outcome: Outcome }
  | Happening;
