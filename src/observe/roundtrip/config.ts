/**
 * Snapshot → the configuration of a machine with the same nodes and zones.
 *
 * Zones, watermarks, reserves and per-CPU limits are the source's own. Sections
 * of 128 MiB that hold any frame have a page array, as in the kernel; holes
 * between them cost nothing. Where zoneinfo was missing the snapshot already
 * has one zone that covers everything, and says so in its notes.
 */
import type { MachineConfig } from "../../engine/machine.js";
import { SECTION_PAGES, ZONE_TYPES, type ZoneConfig } from "../../engine/pages/zones.js";
import { PAGE_SIZE } from "../../units.js";
import { kindId } from "../kinds.js";
import type { ObjectRuns } from "../objects.js";
import type { Snapshot } from "../snapshot.js";

const ABSENT = kindId("absent");
/** Zones named otherwise (HighMem) are treated as Normal: the engine has no 32-bit machines. */
const NORMAL = ZONE_TYPES.indexOf("Normal");

/** Bytes of a SPARSEMEM section on x86-64. */
const SECTION_BYTES = SECTION_PAGES * PAGE_SIZE;

export function machineConfig(snapshot: Snapshot, objects: ObjectRuns): MachineConfig {
  const pageSize = snapshot.pageSize ?? PAGE_SIZE;
  const section = SECTION_BYTES / pageSize;
  const zones = snapshot.zones.filter((z) => z.spanned > 0);
  return {
    frames: Math.ceil(snapshot.frames / section) * section,
    pageSize,
    zones: zones.map((z): ZoneConfig => ({
      node: z.node,
      type: ZONE_TYPES.includes(z.name as never) ? ZONE_TYPES.indexOf(z.name as never) : NORMAL,
      start: z.start,
      spanned: z.spanned,
      min: z.min,
      low: z.low,
      high: z.high,
      reserve: Math.max(0, ...z.protection),
    })),
    owners: snapshot.nodeRanges ?? [],
    present: presentSections(objects, section),
    cpus: Math.max(1, snapshot.cpus),
    pcp: zones.map((z) => ({
      high: Math.max(1, z.cpus[0]?.high ?? 64),
      batch: Math.max(1, z.cpus[0]?.batch ?? 1),
    })),
  };
}

/** Sections with any frame that exists, neighbours joined. */
export function presentSections(
  objects: ObjectRuns,
  section: number,
): { start: number; end: number }[] {
  const sections: { start: number; end: number }[] = [];
  for (let i = 0; i < objects.length; i++) {
    if (objects.kind[i] === ABSENT) continue;
    const end = objects.start[i] + objects.pages[i] * objects.count[i];
    const first = Math.floor(objects.start[i] / section) * section;
    const last = Math.ceil(end / section) * section;
    const before = sections.at(-1);
    if (before && first <= before.end) before.end = Math.max(before.end, last);
    else sections.push({ start: first, end: last });
  }
  return sections;
}
