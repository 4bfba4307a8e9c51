/**
 * The nodes of the range tree as words: struct maple_node, 256 bytes.
 *
 * A leaf is a maple_range_64 of 16 slots; a slot is a range's entry, or 0 for a
 * gap. Above leaves a node is a maple_arange_64 of 10 slots, which keeps the
 * largest gap below each. A pivot is the last byte of its slot's range; the last
 * slot in use has none, it ends where its node ends, and a pivot of 0 says so. So
 * moving the border between two nodes writes one word.
 *
 * Facts: include/linux/maple_tree.h, lib/maple_tree.c; offsets of BTF 6.12.
 */
import type { Ref } from "../../../units.js";
import {
  MAPLE_NODE_INNER_GAPS,
  MAPLE_NODE_INNER_META,
  MAPLE_NODE_INNER_SLOTS,
  MAPLE_NODE_META,
  MAPLE_NODE_PARENT,
  MAPLE_NODE_PIVOTS,
  MAPLE_NODE_SLOTS,
} from "../../layout/generated/offsets.js";
import { addressHigh, addressLow, refOfAddress, type Words } from "../../words/words.js";

/** MAPLE_RANGE64_SLOTS and MAPLE_ARANGE64_SLOTS. */
const LEAF_SLOTS = 16;
const INNER_SLOTS = 10;
/** Where the pivots of either form end. */
export const LEAF_PIVOTS_END = MAPLE_NODE_PIVOTS + (LEAF_SLOTS - 1) * 8;
export const INNER_PIVOTS_END = MAPLE_NODE_PIVOTS + (INNER_SLOTS - 1) * 8;
/** From a pivot to the slot that it ends. */
export const LEAF_SLOT = MAPLE_NODE_SLOTS - MAPLE_NODE_PIVOTS;
export const INNER_SLOT = MAPLE_NODE_INNER_SLOTS - MAPLE_NODE_PIVOTS;

/** Slots of a node at most, and at least (mt_min_slots) but for the root. */
export const mostSlots = (level: number): number => (level === 1 ? LEAF_SLOTS : INNER_SLOTS);
export const leastSlots = (level: number): number =>
  level === 1 ? LEAF_SLOTS / 2 - 2 : INNER_SLOTS / 2 - 1;

/** The page that the byte before an address, or an address, lies in. */
export const pageOf = (lo: number, hi: number): number => (lo >>> 12) | (hi << 20);

/** One slot, taken out of its node: its last page, where it leads, its largest gap in pages. */
export interface Cell {
  readonly last: number;
  readonly to: Ref;
  readonly gap: number;
}

export function largestGap(cells: readonly Cell[]): number {
  let most = 0;
  for (const { gap } of cells) if (gap > most) most = gap;
  return most;
}

/** The cell that has a page. */
export const cellOf = (cells: readonly Cell[], page: number): number =>
  cells.findIndex(({ last }) => page <= last);

/** Levels count from the leaves, which are level 1. */
export class RangeNodes {
  readonly w: Words;

  constructor(w: Words) {
    this.w = w;
  }

  /** Slots in use. The word that says so is a full leaf's last slot. */
  count(node: Ref, level: number): number {
    const { w } = this;
    if (level > 1) return (w.load32(node, MAPLE_NODE_INNER_META) & 0xff) + 1;
    if (w.load32(node, LEAF_PIVOTS_END - 8) !== 0) return LEAF_SLOTS;
    return (w.load32(node, MAPLE_NODE_META) & 0xff) + 1;
  }

  /** 0 for the root. */
  parent(node: Ref): Ref {
    const lo = this.w.load64(node, MAPLE_NODE_PARENT);
    return refOfAddress(lo, this.w.hi);
  }

  /** Which slot of its parent leads to a node: in the low bits of its parent's address. */
  slotInParent(node: Ref): number {
    return this.w.load32(node, MAPLE_NODE_PARENT) & 15;
  }

  setParent(node: Ref, parent: Ref, slot: number): void {
    this.w.store64(node, MAPLE_NODE_PARENT, addressLow(parent) | slot, addressHigh(parent));
  }

  child(node: Ref, slot: number): Ref {
    const lo = this.w.load64(node, MAPLE_NODE_INNER_SLOTS + slot * 8);
    return refOfAddress(lo, this.w.hi);
  }

  pivot(node: Ref, slot: number): number {
    const lo = this.w.load64(node, MAPLE_NODE_PIVOTS + slot * 8);
    return pageOf(lo, this.w.hi);
  }

  setPivot(node: Ref, slot: number, last: number): void {
    this.w.store64(node, MAPLE_NODE_PIVOTS + slot * 8, (last << 12) | 0xfff, last >>> 20);
  }

  gap(node: Ref, slot: number): number {
    const lo = this.w.load64(node, MAPLE_NODE_INNER_GAPS + slot * 8);
    return pageOf(lo, this.w.hi);
  }

  setGap(node: Ref, slot: number, pages: number): void {
    this.w.store64(node, MAPLE_NODE_INNER_GAPS + slot * 8, pages << 12, pages >>> 20);
  }

  /** Takes a node that has the pages from `min` to `max` apart. */
  read(node: Ref, level: number, min: number, max: number): Cell[] {
    const { w } = this;
    const slots = level === 1 ? MAPLE_NODE_SLOTS : MAPLE_NODE_INNER_SLOTS;
    const n = this.count(node, level);
    const cells: Cell[] = [];
    for (let i = 0, start = min; i < n; i++) {
      const last = i === n - 1 ? max : this.pivot(node, i);
      const lo = w.load64(node, slots + i * 8);
      const to = refOfAddress(lo, w.hi);
      const gap = level > 1 ? this.gap(node, i) : to === 0 ? last - start + 1 : 0;
      cells.push({ last, to, gap });
      start = last + 1;
    }
    return cells;
  }

  /** Makes a node what `cells` say, its children's way up included. */
  write(node: Ref, level: number, cells: readonly Cell[]): void {
    const { w } = this;
    const most = mostSlots(level);
    const slots = level === 1 ? MAPLE_NODE_SLOTS : MAPLE_NODE_INNER_SLOTS;
    const n = cells.length;
    for (let i = 0; i < n - 1; i++) this.setPivot(node, i, cells[i].last);
    for (let i = n - 1; i < most - 1; i++) w.store64(node, MAPLE_NODE_PIVOTS + i * 8, 0, 0);
    for (let i = 0; i < most; i++) {
      const to = i < n ? cells[i].to : (0 as Ref);
      w.store64(node, slots + i * 8, addressLow(to), addressHigh(to));
      if (level === 1) continue;
      this.setGap(node, i, i < n ? cells[i].gap : 0);
      if (i < n) this.setParent(to, node, i);
    }
    if (level > 1) w.store32(node, MAPLE_NODE_INNER_META, n - 1);
    else if (n < LEAF_SLOTS) w.store32(node, MAPLE_NODE_META, n - 1);
  }
}
