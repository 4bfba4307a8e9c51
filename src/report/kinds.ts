/**
 * How many pages, bytes and objects of each kind a snapshot has.
 *
 * What counts as one object: a folio, a slab, a compound allocation, a page
 * table is one each. Of the kinds that /proc shows page by page, a plain
 * `kernel`, `reserved`, `zero`, `offline` or `hwpoison` page is one object of
 * order 0, because that is how it is described. `free` frames are counted as
 * the buddy allocator would hold them: the largest naturally aligned blocks up
 * to order 10 that fit between zone borders (kpageflags marks every page of a
 * free block and says no order; buddies that are both free are always merged).
 * `uninitialised` and `absent` frames were never given to anyone: no objects.
 *
 * The pages of all rows add up to the frames that kpageflags covers.
 */
import { KINDS, kindId, type Kind } from "../observe/kinds.js";
import type { ObjectRuns } from "../observe/objects.js";
import type { ZoneInfo } from "../observe/snapshot.js";
import { PAGE_SIZE } from "../units.js";
import type { KindRow } from "./model.js";

/** The largest order the buddy allocator keeps (MAX_PAGE_ORDER on x86-64). */
export const MAX_BUDDY_ORDER = 10;

const NO_OBJECTS: ReadonlySet<Kind> = new Set(["uninitialised", "absent", "metadata"]);
const FREE = kindId("free");

/** One row for each of {@link KINDS}, in their order, also where there are none. */
export function kindRows(
  objects: ObjectRuns,
  zones: readonly ZoneInfo[],
  pageSize: number = PAGE_SIZE,
): KindRow[] {
  const tallies = KINDS.map(() => new Tally());
  for (let i = 0; i < objects.length; i++) {
    if (objects.kind[i] !== FREE) tallies[objects.kind[i]].add(objects.pages[i], objects.count[i]);
  }
  freeBlocks(objects, zones).forEach((blocks, order) => tallies[FREE].add(2 ** order, blocks));
  return KINDS.map((kind, id) => tallies[id].row(kind, pageSize));
}

/** Free blocks by order 0 … {@link MAX_BUDDY_ORDER}, as the buddy allocator would hold them. */
export function freeBlocks(objects: ObjectRuns, zones: readonly ZoneInfo[]): number[] {
  const blocks = Array.from({ length: MAX_BUDDY_ORDER + 1 }, () => 0);
  const borders = zoneBorders(zones);
  forEachFreeStretch(objects, (start, end) => {
    let from = start;
    for (const border of borders) {
      if (border > from && border < end) {
        countBlocks(from, border, blocks);
        from = border;
      }
    }
    countBlocks(from, end, blocks);
  });
  return blocks;
}

function zoneBorders(zones: readonly ZoneInfo[]): number[] {
  const borders = new Set<number>();
  for (const zone of zones) borders.add(zone.start).add(zone.start + zone.spanned);
  return [...borders].toSorted((a, b) => a - b);
}

/** Neighbouring free runs differ in flags only; a free block can lie across them. */
function forEachFreeStretch(
  objects: ObjectRuns,
  visit: (start: number, end: number) => void,
): void {
  let start = -1;
  let end = -1;
  for (let i = 0; i < objects.length; i++) {
    if (objects.kind[i] !== FREE) continue;
    const first = objects.start[i];
    if (first !== end) {
      if (end > start) visit(start, end);
      start = first;
    }
    end = first + objects.pages[i] * objects.count[i];
  }
  if (end > start) visit(start, end);
}

/** Cuts frames start … end − 1 into the largest naturally aligned blocks. */
function countBlocks(start: number, end: number, blocks: number[]): void {
  const largest = 2 ** MAX_BUDDY_ORDER;
  let at = start;
  while (at < end) {
    if (at % largest === 0 && end - at >= largest) {
      const many = Math.floor((end - at) / largest);
      blocks[MAX_BUDDY_ORDER] += many;
      at += many * largest;
      continue;
    }
    // Alignment of the frame (its lowest set bit) and what fits before the end.
    const aligned = at === 0 ? MAX_BUDDY_ORDER : 31 - Math.clz32(at & -at);
    const fits = 31 - Math.clz32(end - at);
    const order = Math.min(MAX_BUDDY_ORDER, aligned, fits);
    blocks[order]++;
    at += 2 ** order;
  }
}

class Tally {
  private pages = 0;
  private objects = 0;
  private orders = 0;
  private largest = 0;

  add(pagesEach: number, count: number): void {
    if (count === 0) return;
    const order = Math.log2(pagesEach);
    this.pages += pagesEach * count;
    this.objects += count;
    this.orders += order * count;
    this.largest = Math.max(this.largest, Math.floor(order));
  }

  row(kind: Kind, pageSize: number): KindRow {
    const counted = this.objects > 0 && !NO_OBJECTS.has(kind);
    return {
      kind,
      pages: this.pages,
      bytes: this.pages * pageSize,
      objects: counted ? this.objects : 0,
      meanOrder: counted ? this.orders / this.objects : null,
      largestOrder: counted ? this.largest : null,
    };
  }
}
