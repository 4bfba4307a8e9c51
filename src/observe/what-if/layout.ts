/**
 * A bill of materials → a machine's objects again: fixed frames stay, everything
 * else is placed from the lowest frame up, the largest first, naturally aligned,
 * and what is left is free.
 *
 * Placing the largest first fits whenever there are enough frames at all, so a
 * what-if is refused only for want of memory and never for fragmentation that
 * compaction could mend.
 */
import { InputError } from "../input-error.js";
import { kindId } from "../kinds.js";
import { KPF, low } from "../kpageflags.js";
import { ObjectRunsBuilder } from "../classify/object-runs-builder.js";
import type { ObjectRuns } from "../objects.js";
import { formatBytes } from "../../units.js";
import type { Bill, Group } from "./groups.js";

interface Range {
  start: number;
  end: number;
}

interface Placed extends Range {
  readonly group: Group;
  readonly count: number;
}

/**
 * Objects of a machine of `frames` frames; `what` and `pageSize` are for the
 * refusal. Memory that was never initialised counts as free (MemFree counts it
 * too): where the rest does not do, it is used.
 */
export function layOut(bill: Bill, frames: number, what: string, pageSize: number): ObjectRuns {
  const first = placeAll(bill, frames);
  if (first.missing === 0) return emit(bill, first.ranges, first.placed);
  const initialised = {
    ...bill,
    groups: bill.groups.filter((g) => g.kind !== "uninitialised"),
    fixed: bill.fixed.filter((f) => f.kind !== "uninitialised"),
  };
  const { ranges, placed, missing } = placeAll(initialised, frames);
  if (missing > 0) {
    const room = ranges.reduce((sum, r) => sum + r.end - r.start, 0);
    throw new InputError(
      { file: `--what-if ${what}` },
      `does not fit: ${formatBytes(missing * pageSize)} too little memory (${formatBytes(room * pageSize)} left in smaller pieces)`,
      "ask for a smaller change or for more ram",
    );
  }
  return emit(initialised, ranges, placed);
}

function placeAll(
  bill: Bill,
  frames: number,
): { ranges: Range[]; placed: Placed[]; missing: number } {
  const ranges = gaps(bill, frames);
  const placed: Placed[] = [];
  let missing = 0;
  for (const group of bill.groups.toSorted((a, b) => b.pages - a.pages))
    missing += place(group, ranges, placed) * group.pages;
  return { ranges, placed, missing };
}

/** What the fixed frames leave, ascending. */
function gaps(bill: Bill, frames: number): Range[] {
  const ranges: Range[] = [];
  let at = 0;
  for (const f of bill.fixed.toSorted((a, b) => a.start - b.start)) {
    if (f.start > at) ranges.push({ start: at, end: f.start });
    at = Math.max(at, f.end);
  }
  if (at < frames) ranges.push({ start: at, end: frames });
  return ranges;
}

/** Places a group's objects; how many found no room. */
function place(group: Group, ranges: Range[], placed: Placed[]): number {
  let left = group.count;
  for (let i = 0; i < ranges.length && left > 0; i++) {
    const range = ranges[i];
    const start = Math.ceil(range.start / group.pages) * group.pages;
    const count = Math.min(left, Math.floor((range.end - start) / group.pages));
    if (count <= 0) continue;
    const end = start + count * group.pages;
    placed.push({ group, count, start, end });
    left -= count;
    const rest = [
      { start: range.start, end: start },
      { start: end, end: range.end },
    ].filter((r) => r.end > r.start);
    ranges.splice(i, 1, ...rest);
    i += rest.length - 1;
  }
  return left;
}

function emit(bill: Bill, free: readonly Range[], placed: readonly Placed[]): ObjectRuns {
  const out = new ObjectRunsBuilder();
  const buddy = bill.words.index(low(KPF.BUDDY), 0);
  const all = [
    ...free.map((r) => ({
      start: r.start,
      add: () => out.add(r.start, r.end - r.start, 1, kindId("free"), buddy, buddy, 0, 0),
    })),
    ...bill.fixed.map((f) => ({
      start: f.start,
      add: () => out.add(f.start, f.end - f.start, 1, kindId(f.kind), f.head, f.head, 0, 0),
    })),
    ...placed.map(({ start, count, group: g }) => ({
      start,
      add: () =>
        out.add(start, count, g.pages, kindId(g.kind), g.head, g.tail, g.mapcount, g.cgroup),
    })),
  ];
  for (const piece of all.toSorted((a, b) => a.start - b.start)) piece.add();
  return out.finish();
}
