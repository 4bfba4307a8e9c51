/**
 * What a worker thread can be asked to build, and the one function that does it,
 * in a worker or in the calling thread.
 */
import type { DeviceNameChoice } from "../engine/design/device-rules.js";
import type { Classification } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";
import { buildDesign, type DesignResult } from "./build-design.js";
import { buildDevice, type DeviceResult } from "./build-device.js";
import { pageInDesign } from "./build-page-design.js";
import type { PageInDesign } from "./page-model.js";
import type { DeviceAsked } from "./ports.js";

interface Common {
  readonly design: string;
  /** What it is about, where the engine refuses it: a source, an option. */
  readonly subject: string;
}

interface OfSource extends Common {
  readonly snapshot: Snapshot;
  readonly classification: Classification;
}

export interface DesignTask extends OfSource {
  readonly what: "design";
  readonly ram: number;
  readonly verify: boolean;
}

export interface PageTask extends OfSource {
  readonly what: "page";
  readonly pfn: number;
}

/** What a device costs on the page words of a design. */
export interface DeviceTask extends Common {
  readonly what: "device";
  readonly asked: DeviceAsked;
  readonly names: readonly DeviceNameChoice[];
}

export type Task = DesignTask | PageTask | DeviceTask;
export type Result<T extends Task> = T extends DesignTask
  ? DesignResult
  : T extends DeviceTask
    ? DeviceResult
    : PageInDesign;
type AnyResult = DesignResult | PageInDesign | DeviceResult;

/** A result, a refusal of the engine (bad input), or a bug. */
export type Answer<R> =
  | { readonly result: R }
  | { readonly refused: string }
  | { readonly broken: string };

/** Does a task and catches what the engine refuses. */
export function perform(task: Task): Answer<AnyResult> {
  try {
    return { result: build(task) };
  } catch (error) {
    if (!(error instanceof Error)) return { broken: String(error) };
    const refusal = error.name === "DesignError" || error.name === "MmError";
    return refusal ? { refused: error.message } : { broken: error.stack ?? error.message };
  }
}

function build(task: Task): AnyResult {
  if (task.what === "device") return buildDevice(task.design, task.asked, task.names);
  if (task.what === "page")
    return pageInDesign(task.snapshot, task.classification, task.design, task.pfn);
  return buildDesign(task.snapshot, task.classification, task.design, task.ram, task.verify);
}
