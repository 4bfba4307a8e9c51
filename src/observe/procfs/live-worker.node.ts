/** The second reader of a live /proc: takes segments from the shared counter until none is left. */
import { parentPort, workerData } from "node:worker_threads";
import { InputError } from "../input-error.js";
import { type PagePaths, readSegments, type SegmentsRead } from "./page-segments.node.js";

export interface WorkerTask {
  readonly paths: PagePaths;
  readonly frames: number;
  readonly shared: Int32Array;
}

/** What the worker sends back: its segments, or what it was refused. */
export type WorkerAnswer =
  | { readonly ok: true; readonly read: SegmentsRead }
  | { readonly ok: false; readonly file: string; readonly reason: string };

function answer(task: WorkerTask): WorkerAnswer {
  try {
    return { ok: true, read: readSegments(task.paths, task.frames, task.shared) };
  } catch (error) {
    if (error instanceof InputError) return { ok: false, file: error.file, reason: error.reason };
    throw error;
  }
}

parentPort?.postMessage(answer(workerData as WorkerTask));
