/**
 * What vmemmap optimisation (HVO) makes of today's page array on these pages.
 *
 * A hugetlb page keeps the first of the vmemmap pages that hold its page
 * structures; the others hold equal tails, are mapped to it and given back: 7
 * of 8 for 2 MiB, 4,095 of 4,096 for 1 GiB (Documentation/mm/vmemmap_dedup.rst,
 * HUGETLB_VMEMMAP_RESERVE_SIZE). Linux 7.1 maps them to one page of shared
 * tails per zone and order instead ("mm/hugetlb: Remove fake head pages",
 * Shutsemau, v7 of February 2026, with "the same memory savings"): fake heads
 * are gone, one page per zone and order is added. Other large folios are not
 * eligible in either: they can be split, and need their tails then.
 */
import { kindId } from "../observe/kinds.js";
import type { ObjectRuns } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";
import { formatCount, PAGE_SIZE } from "../units.js";
import { plural } from "./format.js";
import type { VmemmapRow } from "./model.js";
import { framesWithPageStructure, structPageSize } from "./sections.js";

const HUGETLB = kindId("hugetlb");

/** Three rows: today's kernels, 7.1, and what neither does for other folios. */
export function vmemmapRows(snapshot: Snapshot, objects: ObjectRuns): VmemmapRow[] {
  const size = structPageSize(snapshot);
  const array = framesWithPageStructure(objects) * size;
  const huge = hugetlbPages(snapshot, objects);
  const given = huge.reduce((n, group) => n + group.count * reusablePages(group.pages, size), 0);
  const shared = huge.filter((group) => reusablePages(group.pages, size) > 0).length;
  const today = given * PAGE_SIZE;
  const tails = given > 0 ? (given - shared) * PAGE_SIZE : 0;
  return [
    {
      name: "HVO, Linux 5.18 to 7.0",
      saved: today,
      total: array - today,
      why: todayWhy(huge, size),
    },
    {
      name: "shared tails, Linux 7.1",
      saved: tails,
      total: array - tails,
      why:
        `derived: the same less one page of shared tails per zone and order ` +
        `(${plural(shared, "page")} here)`,
    },
    {
      name: "other large folios",
      saved: 0,
      total: array,
      why: "not eligible (HVO is for hugetlb and device DAX): a THP may be split and needs its tails",
    },
  ];
}

function todayWhy(huge: readonly HugeGroup[], size: number): string {
  if (huge.length === 0) return "no hugetlb pages here, so there is nothing to give back";
  const parts = new Map<number, number>();
  for (const group of huge) parts.set(group.pages, (parts.get(group.pages) ?? 0) + group.count);
  const text = [...parts].map(([pages, count]) => {
    const all = (pages * size) / PAGE_SIZE;
    const given = formatCount(reusablePages(pages, size));
    const mib = formatCount((pages * PAGE_SIZE) / 2 ** 20);
    return `${given} of ${formatCount(all)} vmemmap pages of ${plural(count, "page")} of ${mib} MiB`;
  });
  return `${text.join(", ")}, if vm.hugetlb_optimize_vmemmap is on (page flags do not show it)`;
}

/** vmemmap pages of one hugetlb page that hold nothing but equal tails. */
function reusablePages(pages: number, structSize: number): number {
  return Math.max(0, Math.floor((pages * structSize) / PAGE_SIZE) - 1);
}

interface HugeGroup {
  readonly pages: number;
  readonly zone: number;
  count: number;
}

/** Hugetlb pages by size and by the zone they lie in. */
function hugetlbPages(snapshot: Snapshot, objects: ObjectRuns): HugeGroup[] {
  const groups = new Map<string, HugeGroup>();
  for (let i = 0; i < objects.length; i++) {
    if (objects.kind[i] !== HUGETLB) continue;
    const zone = zoneOf(snapshot, objects.start[i]);
    const key = `${objects.pages[i]} ${zone}`;
    const group = groups.get(key);
    if (group === undefined)
      groups.set(key, { pages: objects.pages[i], zone, count: objects.count[i] });
    else group.count += objects.count[i];
  }
  return [...groups.values()].toSorted((a, b) => a.pages - b.pages || a.zone - b.zone);
}

function zoneOf(snapshot: Snapshot, frame: number): number {
  return snapshot.zones.findIndex((z) => frame >= z.start && frame < z.start + z.spanned);
}
