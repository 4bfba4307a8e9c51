/**
 * The part of a report that needs no design: what the machine is, what its
 * pages are, and how that agrees with the kernel's own totals. `--kinds-only`
 * shows it alone; a full report is this with designs added.
 */
import type { Classification } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";
import { PAGE_SIZE } from "../units.js";
import { kindRows } from "./kinds.js";
import type { InspectReport, KindRow, MachineRow } from "./model.js";
import { plural } from "./format.js";
import { missingTotals, reconcile } from "./reconcile.js";
import { vmemmapRows } from "./vmemmap.js";

/** A report without designs. `readSeconds` is how long reading took, null if it was not read now. */
export function kindsReport(
  snapshot: Snapshot,
  classification: Classification,
  readSeconds: number | null,
): InspectReport {
  const kinds = kindRows(classification.objects, snapshot.zones, snapshot.pageSize);
  return {
    schema: "memdesc/inspect/1",
    machine: machineRow(snapshot, kinds, readSeconds),
    kinds,
    designs: [],
    breakEven: [],
    reconciliation: reconcile(snapshot, classification.objects, kinds),
    vmemmap: vmemmapRows(snapshot, classification.objects),
    device: null,
    notes: [...snapshot.notes, ...classificationNotes(classification), ...missingTotals(snapshot)],
    arithmetic: [],
  };
}

/** The machine in one row; its frames are those that exist. */
export function machineRow(
  snapshot: Snapshot,
  kinds: readonly KindRow[],
  readSeconds: number | null,
): MachineRow {
  const absent = kinds.find((row) => row.kind === "absent")?.pages ?? 0;
  const frames = snapshot.frames - absent;
  const pageSize = snapshot.pageSize ?? PAGE_SIZE;
  return {
    label: snapshot.label,
    origin: snapshot.origin,
    kernel: snapshot.kernel,
    ram: frames * pageSize,
    frames,
    pageSize,
    nodes: Math.max(1, new Set(snapshot.zones.map((zone) => zone.node)).size),
    zones: snapshot.zones.map(({ node, name, start, spanned, present, managed }) => ({
      node,
      name,
      start,
      spanned,
      present,
      managed,
    })),
    whatIf: [],
    readSeconds,
  };
}

function classificationNotes(classification: Classification): InspectReport["notes"] {
  const notes: { subject: string; text: string }[] = [];
  if (classification.ksmUnknown) {
    notes.push({
      subject: "kpageflags ksm",
      text: "this kernel sets it on every anonymous page, so ksm pages are counted as anon",
    });
  }
  const { torn } = classification;
  if (torn.frames > 0) {
    const first =
      torn.runs.length === 0 ? "" : ` (first: pfn ${torn.runs[0].start}, ${torn.runs[0].why})`;
    notes.push({
      subject: "torn frames",
      text:
        `${plural(torn.frames, "frame")} contradict each other, because the machine ran ` +
        `while it was read${first}; counted by what their flags say`,
    });
  }
  return notes;
}
