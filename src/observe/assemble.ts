/**
 * Parts → Snapshot: the page runs and the text files of one source put
 * together, whichever source they are from.
 *
 * Rule 6: the zone table is essential, so a wrong one is an InputError; every
 * other text file only adds totals, so a missing or malformed one becomes a
 * note that names it and what is then unknown.
 */
import { nodeId, pageCount, pfn } from "../units.js";
import { parseBuddyinfo } from "./procfs/buddyinfo.js";
import { InputError } from "./input-error.js";
import { parseIomem } from "./procfs/iomem.js";
import { BIT_NAMES, hasBit, KPF } from "./kpageflags.js";
import { parseMeminfo } from "./procfs/meminfo.js";
import { type BuiltPages, clampNotes } from "./page-runs-builder.js";
import { parsePagetypeinfo } from "./procfs/pagetypeinfo.js";
import { parseSlabinfo } from "./procfs/slabinfo.js";
import type { Note, PfnRange, Snapshot, ZoneInfo } from "./snapshot.js";
import { readHugePools, readNodeRanges, type SysTree } from "./procfs/sysfs.js";
import { parseVersion } from "./procfs/version.js";
import { parseVmallocinfo } from "./procfs/vmallocinfo.js";
import { parseVmstat } from "./procfs/vmstat.js";
import { parseZoneinfo } from "./procfs/zoneinfo.js";

/** The text files a source may have, by their names in /proc. */
export const TEXT_FILES = [
  "zoneinfo",
  "buddyinfo",
  "pagetypeinfo",
  "vmstat",
  "meminfo",
  "slabinfo",
  "vmallocinfo",
  "iomem",
  "version",
] as const;
export type TextFile = (typeof TEXT_FILES)[number];

export interface Parts {
  readonly label: string;
  readonly origin: Snapshot["origin"];
  readonly pages: BuiltPages;
  readonly hasMapcount: boolean;
  readonly hasCgroup: boolean;
  /** Text by name; absent where the file is missing or was not asked for. */
  readonly texts: Partial<Record<TextFile, string>>;
  readonly sys: SysTree | null;
  readonly structSizes: Readonly<Record<string, number>> | null;
  /** Notes the source already has (unreadable files, names of what is missing). */
  readonly notes: readonly Note[];
}

/** Puts a snapshot together. Throws InputError where zones are impossible. */
export function assemble(parts: Parts): Snapshot {
  const notes: Note[] = [...parts.notes, ...clampNotes(parts.pages), ...unknownBits(parts.pages)];
  const optional = <T>(name: TextFile, parse: (text: string) => T, lost: string): T | null => {
    const text = parts.texts[name];
    if (text === undefined) return null;
    return attempt(name, lost, notes, () => parse(text));
  };
  const zones = zonesOf(parts, notes);
  const iomem = optional("iomem", parseIomem, "RAM ranges unknown");
  if (iomem) notes.push(...iomem.notes);
  const vmstat = optional("vmstat", parseVmstat, "no counters to reconcile with");
  if (vmstat) notes.push(...vmstat.notes);
  const types = optional("pagetypeinfo", parsePagetypeinfo, "migrate types unknown");
  if (types) notes.push(...types.notes);
  const { sys } = parts;
  const nodes =
    sys &&
    attempt("sys/devices/system/node", "memory blocks unknown", notes, () => readNodeRanges(sys));
  if (nodes) notes.push(...nodes.notes);
  const pools =
    sys && attempt("sys hugepages", "hugetlb pools unknown", notes, () => readHugePools(sys));
  return {
    label: parts.label,
    origin: parts.origin,
    kernel: optional("version", parseVersion, "kernel release unknown"),
    frames: pageCount(parts.pages.frames),
    flagWords: parts.pages.flagWords,
    cgroups: parts.pages.cgroups,
    runs: parts.pages.runs,
    hasMapcount: parts.hasMapcount,
    hasCgroup: parts.hasCgroup,
    zones,
    ram: iomem ? clippedRam(iomem.ram, parts.pages.frames) : null,
    nodeRanges: nodes ? nodes.ranges : null,
    cpus: zones.reduce((n, z) => Math.max(n, z.cpus.length), 1),
    vmstat: vmstat ? vmstat.counters : null,
    meminfo: optional("meminfo", parseMeminfo, "no totals to reconcile with"),
    buddyinfo: optional("buddyinfo", parseBuddyinfo, "no free blocks to reconcile with"),
    pagetypeinfo: types ? types.rows : null,
    slabinfo: optional("slabinfo", parseSlabinfo, "no slab totals to reconcile with"),
    vmalloc: optional("vmallocinfo", parseVmallocinfo, "vmalloc total unknown"),
    hugePools: pools,
    structSizes: parts.structSizes,
    notes,
  };
}

/** Runs a parser; what it refuses becomes a note, anything else is a bug and goes on. */
export function attempt<T>(subject: string, lost: string, notes: Note[], parse: () => T): T | null {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const where =
      error.line !== null
        ? `line ${error.line}: `
        : error.offset !== null
          ? `byte ${error.offset}: `
          : "";
    notes.push({ subject, text: `not used (${where}${error.reason}); ${lost}` });
    return null;
  }
}

function zonesOf(parts: Parts, notes: Note[]): readonly ZoneInfo[] {
  const text = parts.texts.zoneinfo;
  if (text === undefined) {
    notes.push({
      subject: "zoneinfo",
      text: "not there: one zone over all frames is assumed, watermarks unknown",
    });
    return [assumedZone(parts.pages)];
  }
  const { zones, notes: more } = parseZoneinfo(text);
  notes.push(...more);
  const { frames } = parts.pages;
  for (const z of zones) {
    // Device memory has struct pages past the frames that kpageflags covers.
    if (z.name === "Device" || z.present === 0 || z.start + z.spanned <= frames) continue;
    throw new InputError(
      { file: "kpageflags", offset: frames * 8 },
      `ends at frame ${frames}, but zone ${z.name} of node ${z.node} goes on to frame ${z.start + z.spanned}`,
      "the file was cut, or zoneinfo is of another machine",
    );
  }
  return zones;
}

/** One zone over everything, for a source without zoneinfo. */
function assumedZone(pages: BuiltPages): ZoneInfo {
  let absent = 0;
  let reserved = 0;
  const { runs, flagWords } = pages;
  for (let i = 0; i < runs.length; i++) {
    const lo = flagWords.lo[runs.flags[i]];
    const hi = flagWords.hi[runs.flags[i]];
    const n = runs.start[i + 1] - runs.start[i];
    if (hasBit(lo, hi, KPF.NOPAGE)) absent += n;
    else if (hasBit(lo, hi, KPF.RESERVED)) reserved += n;
  }
  const present = pages.frames - absent;
  return {
    node: nodeId(0),
    name: "Normal",
    start: pfn(0),
    spanned: pageCount(pages.frames),
    present: pageCount(present),
    managed: pageCount(present - reserved),
    free: pageCount(0),
    min: pageCount(0),
    low: pageCount(0),
    high: pageCount(0),
    protection: [],
    cpus: [],
  };
}

function clippedRam(ram: readonly PfnRange[] | null, frames: number): readonly PfnRange[] | null {
  if (ram === null) return null;
  return ram
    .filter((r) => r.start < frames)
    .map((r) => (r.end <= frames ? r : { start: r.start, end: pfn(frames) }));
}

/** Bits that no kernel known here sets, by number and with their frames. */
function unknownBits(pages: BuiltPages): Note[] {
  const { flagWords, runs } = pages;
  let anyLo = 0;
  let anyHi = 0;
  for (let i = 0; i < flagWords.length; i++) {
    anyLo |= flagWords.lo[i];
    anyHi |= flagWords.hi[i];
  }
  const notes: Note[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (BIT_NAMES[bit] !== null || !hasBit(anyLo, anyHi, bit)) continue;
    let frames = 0;
    for (let i = 0; i < runs.length; i++) {
      if (hasBit(flagWords.lo[runs.flags[i]], flagWords.hi[runs.flags[i]], bit))
        frames += runs.start[i + 1] - runs.start[i];
    }
    notes.push({
      subject: `kpageflags bit ${bit}`,
      text: `not known here, set on ${frames} frames; carried along as it is`,
    });
  }
  return notes;
}
