/**
 * What-ifs: a snapshot of another machine, made from this one's objects.
 *
 * Nothing is a formula: the changed machine is built and its descriptors are
 * allocated like those of any other. `…-order` regroups the pages of a kind into
 * folios of that order, the last one rounded up; `page-size` rounds every object
 * up to whole pages of that size (kinds shown page by page by their stretches);
 * `ram` keeps the mix and scales how many there are of everything.
 */
import { bytes, pageCount, pfn, PAGE_SIZE } from "../../units.js";
import { kindOf, type Kind } from "../kinds.js";
import { KPF, low } from "../kpageflags.js";
import type { Classification, ObjectRuns } from "../objects.js";
import type { Snapshot, ZoneInfo } from "../snapshot.js";
import { billOf, STRETCHES, tailLike, type Bill, type Group } from "./groups.js";
import { layOut } from "./layout.js";
import { parseWhatIfs, type WhatIf } from "./parse.js";

export interface Source {
  readonly snapshot: Snapshot;
  readonly classification: Classification;
}

/** Frames that nothing is moved from when only folios are regrouped. */
const STAY: ReadonlySet<Kind> = new Set(["absent", "uninitialised", "reserved"]);
const HOLES: ReadonlySet<Kind> = new Set(["absent"]);

/**
 * Applies what-ifs in the order given. Throws InputError for one that does not
 * exist or does not fit.
 */
export function applyWhatIfs(source: Source, texts: readonly string[]): Source {
  return parseWhatIfs(texts).reduce(
    (now, whatIf, i) => applyOne(now, whatIf, texts[i] ?? ""),
    source,
  );
}

function applyOne(source: Source, whatIf: WhatIf, text: string): Source {
  switch (whatIf.change) {
    case "order":
      return regroup(source, whatIf.kind, whatIf.order, text);
    case "page-size":
      return largerPages(source, whatIf.bytes, text);
    case "ram":
      return largerMachine(source, whatIf.bytes, text);
    default:
      return whatIf satisfies never;
  }
}

function regroup(source: Source, kind: Kind, order: number, text: string): Source {
  const { snapshot, classification } = source;
  const bill = billOf(snapshot, classification.objects, STAY);
  const of = bill.groups.filter((g) => g.kind === kind);
  const pages = of.reduce((sum, g) => sum + g.pages * g.count, 0);
  if (pages === 0) return source;
  const typical = of.toSorted((a, b) => b.pages * b.count - a.pages * a.count)[0];
  const size = 2 ** order;
  const folios = Math.ceil(pages / size);
  const group: Group = {
    ...typical,
    ...folioWords(bill, typical, order),
    pages: size,
    count: folios,
  };
  const groups = [...bill.groups.filter((g) => g.kind !== kind), group];
  return rebuilt(
    source,
    { ...bill, groups },
    snapshot.frames,
    snapshot.zones,
    pageSizeOf(snapshot),
    text,
  );
}

/** Flag words of a folio of that order that is otherwise like this one. */
function folioWords(bill: Bill, like: Group, order: number): { head: number; tail: number } {
  const { words } = bill;
  const compound = low(KPF.COMPOUND_HEAD) | low(KPF.COMPOUND_TAIL) | low(KPF.THP);
  const lo = words.lo(like.head) & ~compound;
  const hi = words.hi(like.head);
  if (order === 0) {
    const one = words.index(lo, hi);
    return { head: one, tail: one };
  }
  const head = words.index(lo | low(KPF.COMPOUND_HEAD) | low(KPF.THP), hi);
  return { head, tail: tailLike(words, head) };
}

function largerPages(source: Source, size: number, text: string): Source {
  const { snapshot, classification } = source;
  const factor = size / pageSizeOf(snapshot);
  const shrink = (n: number): number => Math.ceil(n / factor);
  const bill = billOf(snapshot, stretched(classification.objects, factor), HOLES);
  const groups = bill.groups.map((g) => {
    const pages = 2 ** Math.ceil(Math.log2(shrink(g.pages)));
    return pages === 1 && g.pages > 1 ? { ...g, pages, tail: g.head } : { ...g, pages };
  });
  const fixed = bill.fixed.map((f) => ({
    ...f,
    start: shrink(f.start),
    end: Math.floor(f.end / factor),
  }));
  const zones = snapshot.zones.map((z) =>
    scaledZone(z, 1 / factor, shrink(z.start), shrink(z.spanned)),
  );
  return rebuilt(
    source,
    { ...bill, groups, fixed: fixed.filter((f) => f.end > f.start) },
    Math.floor(snapshot.frames / factor),
    zones,
    size,
    text,
  );
}

/** Kinds shown page by page, each stretch counted in pages of the new size. */
function stretched(objects: ObjectRuns, factor: number): ObjectRuns {
  const count = objects.count.slice();
  for (let i = 0; i < objects.length; i++) {
    if (objects.pages[i] === 1 && STRETCHES.has(kindOf(objects.kind[i])))
      count[i] = Math.ceil(count[i] / factor);
  }
  return { ...objects, count };
}

function largerMachine(source: Source, ram: number, text: string): Source {
  const { snapshot, classification } = source;
  const pageSize = pageSizeOf(snapshot);
  const bill = billOf(snapshot, classification.objects, HOLES);
  const holes = bill.fixed.reduce((sum, f) => sum + f.end - f.start, 0);
  const had = snapshot.frames - holes;
  const factor = ram / pageSize / had;
  // There is one zero page on any machine.
  const groups = bill.groups.map((g) =>
    g.kind === "zero" ? g : { ...g, count: Math.max(1, Math.round(g.count * factor)) },
  );
  const more = Math.round(ram / pageSize) - had;
  const { zones, frames, shiftAt } = grownZones(snapshot, more);
  const fixed = bill.fixed.map((f) =>
    f.start >= shiftAt ? { ...f, start: f.start + more, end: f.end + more } : f,
  );
  return rebuilt(source, { ...bill, groups, fixed }, frames, zones, pageSize, text);
}

/** The largest zone takes all that is added; what lies behind it moves up. */
function grownZones(
  snapshot: Snapshot,
  more: number,
): { zones: ZoneInfo[]; frames: number; shiftAt: number } {
  const largest = snapshot.zones.toSorted((a, b) => b.present - a.present)[0];
  const end = largest.start + largest.spanned;
  const zones = snapshot.zones.map((z) => {
    if (z === largest)
      return scaledZone(z, (z.present + more) / z.present, z.start, z.spanned + more);
    return z.start >= end ? { ...z, start: pfn(z.start + more) } : z;
  });
  return { zones, frames: snapshot.frames + more, shiftAt: end };
}

function scaledZone(z: ZoneInfo, factor: number, start: number, spanned: number): ZoneInfo {
  const scale = (n: number) => pageCount(Math.round(n * factor));
  return {
    ...z,
    start: pfn(start),
    spanned: pageCount(spanned),
    present: scale(z.present),
    managed: scale(z.managed),
    free: scale(z.free),
    min: scale(z.min),
    low: scale(z.low),
    high: scale(z.high),
    protection: z.protection.map((n) => Math.round(n * factor)),
  };
}

const pageSizeOf = (snapshot: Snapshot): number => snapshot.pageSize ?? PAGE_SIZE;

/** The changed machine. The kernel's own totals were of the other one and are gone. */
function rebuilt(
  source: Source,
  bill: Bill,
  frames: number,
  zones: readonly ZoneInfo[],
  pageSize: number,
  text: string,
): Source {
  const { snapshot, classification } = source;
  const objects = layOut(bill, frames, text, pageSize);
  const note = {
    subject: `what-if ${text}`,
    text: "objects are placed anew, the largest first; the kernel's totals are those of the machine as read and are not compared",
  };
  return {
    snapshot: {
      ...snapshot,
      frames: pageCount(frames),
      pageSize: bytes(pageSize),
      flagWords: bill.words.flagWords(),
      runs: {
        length: 1,
        start: Uint32Array.of(0, frames),
        flags: new Uint16Array(1),
        mapcount: new Uint32Array(1),
        cgroup: new Uint16Array(1),
      },
      zones,
      ram: null,
      nodeRanges: null,
      vmstat: null,
      meminfo: null,
      buddyinfo: null,
      pagetypeinfo: null,
      vmalloc: null,
      hugePools: null,
      notes: [...snapshot.notes, note],
    },
    classification: { ...classification, objects, torn: { frames: 0, runs: [] }, reasons: [] },
  };
}
