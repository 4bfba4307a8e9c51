/**
 * /proc/zoneinfo: the zones of each node (mm/vmstat.c, kernels 5.x to 7.x).
 *
 * Rule 6: the table decides where everything else is put, so an impossible one
 * (a zone that holds more than it spans, ends past 2^32 frames, overlaps
 * another by more than interleaving nodes can) is refused and not repaired.
 * Lines that are not known are passed over: every kernel adds some.
 */
import { nodeId, pageCount, pfn } from "../../units.js";
import { excerpt, InputError, type InputPlace } from "../input-error.js";
import type { Note, ZoneInfo } from "../snapshot.js";
import { linesOf, parseCount } from "./text.js";

type Numbers = Record<string, number>;

interface Draft {
  readonly node: number;
  readonly name: string;
  readonly line: number;
  readonly fields: Numbers;
  protection: number[];
  readonly cpus: { count: number; high: number; batch: number }[];
}

/** Counts that a zone's block gives by name; the ones that must be there. */
const NEEDED = ["free", "min", "low", "high", "spanned", "present", "managed"] as const;
const FIELDS = new Set<string>([...NEEDED, "start_pfn"]);
const PAGESET = new Set(["count", "high", "batch"]);
/** Zones whose span may lie over another zone's of the same node. */
const LAID_OVER = new Set(["Movable", "Device"]);

/** NODES_SHIFT is at most 10 on every architecture. */
export const MAX_NODE = 1023;
/** Zone types a kernel can have (MAX_NR_ZONES): DMA, DMA32, Normal, HighMem, Movable, Device. */
const MAX_ZONES = (MAX_NODE + 1) * 6;

export interface Zones {
  readonly zones: readonly ZoneInfo[];
  readonly notes: readonly Note[];
}

/** Reads zoneinfo. Throws InputError for a table that no kernel could print. */
export function parseZoneinfo(text: string, file = "zoneinfo"): Zones {
  const drafts = readBlocks(text, file);
  if (drafts.length === 0)
    throw new InputError({ file }, "no zone in it", "expected lines such as `Node 0, zone DMA`");
  const notes: Note[] = [];
  const zones = drafts.map((d) => zoneOf(d, file, notes));
  refuseImpossible(zones, (i) => ({ file, line: drafts[i].line }));
  return { zones, notes };
}

/**
 * Refuses a table that no machine can have; `place` says where zone i stands.
 * Captures are held to the same rules.
 */
export function refuseImpossible(
  zones: readonly ZoneInfo[],
  place: (index: number) => InputPlace,
): void {
  if (zones.length > MAX_ZONES)
    throw new InputError(place(MAX_ZONES), `more than ${MAX_ZONES} zones`);
  zones.forEach((z, i) => {
    const who = `zone ${z.name} of node ${z.node}`;
    const { spanned, present, managed } = z;
    if (present > spanned)
      throw new InputError(
        place(i),
        `${who} has ${present} pages present but spans only ${spanned}`,
      );
    if (managed > present)
      throw new InputError(
        place(i),
        `${who} has ${managed} pages managed but only ${present} present`,
      );
    if (z.start + spanned > 2 ** 32) {
      throw new InputError(
        place(i),
        `${who} ends at frame ${z.start + spanned}, beyond 2^32 (16 TiB)`,
      );
    }
  });
  refuseTwice(zones, place);
  refuseOverlap(zones, place);
}

function readBlocks(text: string, file: string): Draft[] {
  const drafts: Draft[] = [];
  let current: Draft | undefined;
  linesOf(text).forEach((raw, i) => {
    const line = i + 1;
    const header = /^Node (\d+), zone\s+(\S+)\s*$/.exec(raw);
    if (header) {
      const node = parseCount(header[1], "node", file, line);
      if (node > MAX_NODE)
        throw new InputError(
          { file, line },
          `node ${node} is beyond ${MAX_NODE}, the last a kernel can have`,
        );
      current = { node, name: header[2], line, fields: {}, protection: [], cpus: [] };
      drafts.push(current);
    } else if (current) readField(current, raw.trim(), file, line);
    else if (raw.trim() !== "") {
      throw new InputError({ file, line }, `expected \`Node N, zone NAME\`, found ${excerpt(raw)}`);
    }
  });
  return drafts;
}

function readField(zone: Draft, text: string, file: string, line: number): void {
  const cpu = /^cpu:\s*\d+$/.exec(text);
  if (cpu) {
    zone.cpus.push({ count: 0, high: 0, batch: 0 });
    return;
  }
  const protection = /^protection: \(([^)]*)\)$/.exec(text);
  if (protection) {
    zone.protection = protection[1]
      .split(",")
      .map((t) => parseCount(t.trim(), "protection", file, line));
    return;
  }
  const field = /^(?:pages )?([a-z_]+):?\s+(\S+)$/.exec(text);
  if (!field) return;
  const [, name, value] = field;
  const set = zone.cpus[zone.cpus.length - 1];
  if (set && PAGESET.has(name))
    set[name as "count" | "high" | "batch"] = parseCount(value, name, file, line);
  else if (FIELDS.has(name)) {
    if (zone.fields[name] !== undefined)
      throw new InputError({ file, line }, `${name} of a zone is given twice`);
    zone.fields[name] = parseCount(value, name, file, line);
  }
}

function zoneOf(d: Draft, file: string, notes: Note[]): ZoneInfo {
  const place = { file, line: d.line };
  const who = `zone ${d.name} of node ${d.node}`;
  const f = d.fields;
  for (const name of NEEDED) {
    if (f[name] === undefined)
      throw new InputError(place, `${who} has no "${name}"`, "the file was cut, or is no zoneinfo");
  }
  const { spanned, present, managed } = f;
  let start = f["start_pfn"];
  let span = spanned;
  if (start === undefined) {
    if (present > 0)
      throw new InputError(place, `${who} has pages but no start_pfn`, "the file was cut");
    start = 0;
    if (span > 0) {
      notes.push({
        subject: `zoneinfo ${who}`,
        text: `spans ${span} frames without start or pages: left out`,
      });
      span = 0;
    }
  }
  return {
    node: nodeId(d.node),
    name: d.name,
    start: pfn(start),
    spanned: pageCount(span),
    present: pageCount(present),
    managed: pageCount(managed),
    free: pageCount(f["free"]),
    min: pageCount(f["min"]),
    low: pageCount(f["low"]),
    high: pageCount(f["high"]),
    protection: d.protection,
    cpus: d.cpus,
  };
}

function refuseTwice(zones: readonly ZoneInfo[], place: (index: number) => InputPlace): void {
  const seen = new Set<string>();
  zones.forEach((z, i) => {
    const key = `${z.node} ${z.name}`;
    if (seen.has(key))
      throw new InputError(place(i), `zone ${z.name} of node ${z.node} appears twice`);
    seen.add(key);
  });
}

/**
 * Spans of different nodes may interleave, and Movable or Device may lie in
 * another zone's span; but two other zones of one node may not overlap, and
 * zones whose spans touch cannot together hold more pages than they cover.
 */
function refuseOverlap(zones: readonly ZoneInfo[], place: (index: number) => InputPlace): void {
  const rows = zones
    .map((z, i) => ({ z, i }))
    .filter((r) => r.z.spanned > 0)
    .sort((a, b) => a.z.start - b.z.start);
  let clusterStart = 0;
  let clusterEnd = 0;
  let present = 0;
  for (const { z, i } of rows) {
    if (z.start >= clusterEnd) {
      clusterStart = z.start;
      clusterEnd = z.start;
      present = 0;
    }
    clusterEnd = Math.max(clusterEnd, z.start + z.spanned);
    present += z.present;
    if (present > clusterEnd - clusterStart) {
      throw new InputError(
        place(i),
        `zones over frames ${clusterStart}–${clusterEnd - 1} hold ${present} pages together, more than there are frames`,
      );
    }
  }
  for (let i = 0; i < rows.length; i++) {
    const a = rows[i].z;
    if (LAID_OVER.has(a.name)) continue;
    for (let j = i + 1; j < rows.length; j++) {
      const b = rows[j].z;
      if (b.start >= a.start + a.spanned) break;
      if (b.node !== a.node || LAID_OVER.has(b.name)) continue;
      throw new InputError(
        place(rows[j].i),
        `zone ${b.name} of node ${b.node} overlaps zone ${a.name}`,
      );
    }
  }
}
