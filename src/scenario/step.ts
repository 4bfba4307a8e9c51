/**
 * A step as a record: the difference of two readings, with what was said.
 */
import type { Machine } from "../engine/machine.js";
import type { ObjectUse, Lines, MetadataChange, Remark, Step } from "./record.js";
import type { Reading } from "./subject.js";

/** A step that is going on. */
export interface StepInProgress {
  readonly number: number;
  readonly what: string;
  readonly operations: number;
  readonly before: Reading;
  readonly said: Remark[];
}

/** What the step changed. */
export function stepRecord(
  open: StepInProgress,
  after: Reading,
  lines: Lines | null,
  machine: Machine,
): Step {
  const { number, what, operations, before, said } = open;
  const all = uses(before, after, machine);
  const types = machine.design.caches.length;
  return {
    is: "step",
    number,
    what,
    operations,
    metadata: changes(before, after),
    descriptors: all.slice(0, types).filter(moved),
    objects: all.slice(types).filter(moved),
    lines,
    freePages: { before: before.freePages, after: after.freePages },
    said,
  };
}

function changes(before: Reading, after: Reading): MetadataChange[] {
  return [...after.metadata]
    .map(([kind, bytes]) => ({ kind, before: before.metadata.get(kind) ?? 0, after: bytes }))
    .filter((c) => c.before > 0 || c.after > 0);
}

/** What came and went of each cache: those of descriptors first, then other kernel objects. */
function uses(before: Reading, after: Reading, machine: Machine): ObjectUse[] {
  return machine.caches.specs.map((spec, cache) => ({
    type: spec.name,
    size: machine.caches.stride[cache] * 16,
    allocated: after.allocated[cache] - before.allocated[cache],
    freed: after.freed[cache] - before.freed[cache],
  }));
}

const moved = (use: ObjectUse): boolean => use.allocated > 0 || use.freed > 0;
