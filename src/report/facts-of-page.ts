/**
 * What a snapshot itself says about one page: everything in a page report that
 * needs no design.
 */
import { InputError } from "../observe/input-error.js";
import { kindOf, type Kind } from "../observe/kinds.js";
import { flagNames } from "../observe/kpageflags.js";
import type { Classification, ObjectRuns } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";
import { formatCount } from "../units.js";
import type { PageObject, PageReport } from "./page-model.js";

/** Kinds that /proc shows frame by frame and that are nobody's object. */
const NO_OBJECT: ReadonlySet<Kind> = new Set(["free", "uninitialised", "absent", "metadata"]);

/** A page report without designs. Throws InputError where the source does not have the frame. */
export function factsOfPage(
  snapshot: Snapshot,
  classification: Classification,
  pfn: number,
): PageReport {
  if (!Number.isInteger(pfn) || pfn < 0 || pfn >= snapshot.frames) {
    throw new InputError(
      { file: snapshot.label },
      `has no frame ${pfn}: it covers ${formatCount(snapshot.frames)} frames`,
      `give a number below ${snapshot.frames}`,
    );
  }
  const { runs, flagWords } = snapshot;
  const run = lastAtOrBefore(runs.start, runs.length, pfn);
  const word = runs.flags[run];
  const zone = snapshot.zones.find((z) => pfn >= z.start && pfn < z.start + z.spanned);
  const { kind, object } = objectAt(classification.objects, pfn);
  return {
    schema: "memdesc/page/1",
    source: snapshot.label,
    pfn,
    kind,
    flags: flagNames(flagWords.lo[word], flagWords.hi[word]),
    flagsWord: `0x${hex(flagWords.hi[word])}${hex(flagWords.lo[word])}`,
    mapcount: snapshot.hasMapcount ? runs.mapcount[run] : null,
    cgroup: snapshot.hasCgroup ? snapshot.cgroups[runs.cgroup[run]] : null,
    zone: zone?.name ?? null,
    node: zone?.node ?? null,
    object,
    designs: [],
    notes: [],
  };
}

function objectAt(objects: ObjectRuns, pfn: number): { kind: Kind; object: PageObject | null } {
  const run = lastAtOrBefore(objects.start, objects.length, pfn);
  const kind = kindOf(objects.kind[run]);
  if (NO_OBJECT.has(kind)) return { kind, object: null };
  const pages = objects.pages[run];
  const start = pfn - ((pfn - objects.start[run]) % pages);
  const order = Math.log2(pages);
  return { kind, object: { start, pages, order: Number.isInteger(order) ? order : null } };
}

/** Index of the last of `length` ascending starts that is not above `at`. */
function lastAtOrBefore(starts: Uint32Array, length: number, at: number): number {
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (starts[middle] <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

function hex(half: number): string {
  return half.toString(16).padStart(8, "0");
}
