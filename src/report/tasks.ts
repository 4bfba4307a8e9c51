/**
 * What a worker thread can be asked to build, and the one function that does it,
 * in a worker or in the calling thread.
 */
import type { Classification } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";
import { buildDesign, type DesignResult } from "./build-design.js";
import { pageInDesign } from "./build-page-design.js";
import type { PageInDesign } from "./page-model.js";

interface Common {
  readonly snapshot: Snapshot;
  readonly classification: Classification;
  readonly design: string;
}

export interface DesignTask extends Common {
  readonly what: "design";
  readonly ram: number;
  readonly verify: boolean;
}

export interface PageTask extends Common {
  readonly what: "page";
  readonly pfn: number;
}

export type Task = DesignTask | PageTask;
export type Result<T extends Task> = T extends DesignTask ? DesignResult : PageInDesign;

/** A result, a refusal of the engine (bad input), or a bug. */
export type Answer<R> =
  | { readonly result: R }
  | { readonly refused: string }
  | { readonly broken: string };

/** Does a task and catches what the engine refuses. */
export function perform(task: Task): Answer<DesignResult | PageInDesign> {
  try {
    return { result: build(task) };
  } catch (error) {
    if (!(error instanceof Error)) return { broken: String(error) };
    const refusal = error.name === "DesignError" || error.name === "MmError";
    return refusal ? { refused: error.message } : { broken: error.stack ?? error.message };
  }
}

function build(task: Task): DesignResult | PageInDesign {
  if (task.what === "page")
    return pageInDesign(task.snapshot, task.classification, task.design, task.pfn);
  return buildDesign(task.snapshot, task.classification, task.design, task.ram, task.verify);
}
