/**
 * The tree of device-private ranges: which page map has a page of the one address
 * space of devices, and where the lowest gap for another is
 * (device_private_pgmap_tree: mtree_alloc_range, mtree_load, mtree_erase).
 *
 * A maple tree with MT_FLAGS_ALLOC_RANGE. Every page up to the tree's end is in
 * one slot of one leaf, with an entry or in a gap, and a gap is always one slot:
 * never do two gaps meet, not even over the border of two leaves. So the largest
 * gap that a node keeps for each child is exact, and the search goes down once.
 * Nodes are filled as a B-tree's: one that overflows leans on a neighbour or
 * splits, one that runs low takes from a neighbour or joins it, which needs no
 * memory. Nodes for a store are there before its first write.
 *
 * Facts: device-facts §2.4; lib/maple_tree.c. Node forms: range-tree-node.ts.
 * Simplified: its callers take turns (no ma_lock).
 */
import type { Ref } from "../../../units.js";
import {
  MAPLE_NODE_PIVOTS,
  MAPLE_TREE_MA_FLAGS,
  MAPLE_TREE_MA_ROOT,
} from "../../layout/generated/offsets.js";
import { addressHigh, addressLow, refOfAddress, type Words } from "../../words/words.js";
import {
  cellOf,
  INNER_PIVOTS_END,
  INNER_SLOT,
  largestGap,
  LEAF_PIVOTS_END,
  LEAF_SLOT,
  leastSlots,
  mostSlots,
  pageOf,
  RangeNodes,
  type Cell,
} from "./offset-range-tree-node.js";

const NONE = 0 as Ref;
const ENOMEM = -12;
const EBUSY = -16;
const EEXIST = -17;
const EINVAL = -22;
/** Pages that the tree is about, and the last of them. */
const SPACE = 2 ** 31;
const LAST = SPACE - 1;
/** ma_flags: MT_FLAGS_ALLOC_RANGE, and how many levels from bit 2 on. */
const ALLOC_RANGE = 1;
const HEIGHT_SHIFT = 2;

/** What the tree is built on. */
export interface RangeTreeContext {
  readonly w: Words;
  /** struct maple_tree: 16 bytes, zero at boot and whenever the tree is empty. */
  readonly root: Ref;
  /** A zeroed node (struct MAPLE_NODE), 16-byte aligned; 0 without memory. */
  newNode(): Ref;
  freeNode(node: Ref): void;
}

export class RangeTree {
  readonly #c: RangeTreeContext;
  readonly #w: Words;
  readonly #n: RangeNodes;

  constructor(context: RangeTreeContext) {
    this.#c = context;
    this.#w = context.w;
    this.#n = new RangeNodes(context.w);
  }

  /** mtree_load: the entry whose range has the page; 0 for none. */
  load(page: number): Ref {
    const leaf = page >= 0 && page <= LAST ? this.#leafOf(page) : NONE;
    if (leaf === NONE) return NONE;
    const w = this.#w;
    let off = MAPLE_NODE_PIVOTS;
    for (; off < LEAF_PIVOTS_END; off += 8) {
      const pivot = w.load64(leaf, off);
      if (pivot === 0 || page <= pageOf(pivot, w.hi)) break;
    }
    const lo = w.load64(leaf, off + LEAF_SLOT);
    return refOfAddress(lo, w.hi);
  }

  /**
   * mtree_alloc_range: gives `entry` the lowest free `pages` pages that begin at a
   * multiple of `align` (a power of two) and end at `limit` or below. Returns the
   * first of them; EBUSY where no gap is large enough, ENOMEM without a node,
   * EINVAL for no pages or no entry. Nothing has changed then.
   */
  alloc(pages: number, limit: number, entry: Ref, align = 1): number {
    if (pages < 1 || entry === NONE) return EINVAL;
    const end = Math.min(limit, SPACE);
    const height = this.depth();
    let first = pages <= end ? 0 : -1;
    if (height > 0) first = this.#lowest(this.#top(), height, 0, LAST, pages, end, align);
    if (first < 0) return EBUSY;
    const error = this.insert(first, pages, entry);
    return error === 0 ? first : error;
  }

  /**
   * mtree_insert_range: gives `entry` the `pages` pages from `first` on. 0; EEXIST
   * where one of them is taken, ENOMEM without a node, EINVAL for no pages, no
   * entry or pages that the tree does not have. Nothing has changed then.
   */
  insert(first: number, pages: number, entry: Ref): number {
    if (first < 0 || pages < 1 || pages > SPACE - first || entry === NONE) return EINVAL;
    const found = this.#leafOf(first);
    const leaf = found === NONE ? this.#c.newNode() : found;
    if (leaf === NONE) return ENOMEM;
    const cells = found === NONE ? [gapCell(0, LAST)] : this.#cells(leaf, 1);
    const at = cellOf(cells, first);
    const { last, to } = cells[at];
    const end = first + pages - 1;
    if (to !== NONE || last < end) return EEXIST;
    const start = at === 0 ? this.#min(leaf) : cells[at - 1].last + 1;
    const parts: Cell[] = [{ last: end, to: entry, gap: 0 }];
    if (start < first) parts.unshift(gapCell(start, first - 1));
    if (end < last) parts.push(gapCell(end + 1, last));
    cells.splice(at, 1, ...parts);
    const error = this.#grow(leaf, cells);
    if (error === 0 && found === NONE) this.#setTop(leaf, 1);
    return error;
  }

  /**
   * mtree_erase: frees the range that begins at `first` and returns its entry; 0
   * where none begins there. Needs no memory.
   */
  erase(first: number): Ref {
    const leaf = first >= 0 && first <= LAST ? this.#leafOf(first) : NONE;
    if (leaf === NONE) return NONE;
    const min = this.#min(leaf);
    const cells = this.#cells(leaf, 1);
    const startOf = (i: number): number => (i === 0 ? min : cells[i - 1].last + 1);
    const at = cellOf(cells, first);
    const { to } = cells[at];
    if (to === NONE || startOf(at) !== first) return NONE;
    const from = at > 0 && cells[at - 1].to === NONE ? at - 1 : at;
    const upTo = at + 1 < cells.length && cells[at + 1].to === NONE ? at + 1 : at;
    cells.splice(from, upTo - from + 1, gapCell(startOf(from), cells[upTo].last));
    if (cells.length === 1 && this.#n.parent(leaf) === NONE) {
      this.#setTop(NONE, 0);
      this.#c.freeNode(leaf);
      return to;
    }
    this.#put(leaf, 1, cells);
    // Only one border can have gaps on both sides: a leaf is never a gap alone.
    const right = from === cells.length - 1;
    const border = from === 0 || right ? this.#joinGaps(right ? leaf : this.#leafOf(min - 1)) : -1;
    this.#fill(this.#leafOf(first));
    if (border >= 0) this.#fill(this.#leafOf(border));
    return to;
  }

  /** Visits every range in order. The tree must not change meanwhile. */
  forEach(visit: (first: number, pages: number, entry: Ref) => void): void {
    const height = this.depth();
    if (height > 0) this.#walk(this.#top(), height, 0, LAST, visit);
  }

  /** Nodes in use, counted by a walk. */
  nodes(): number {
    const height = this.depth();
    return height === 0 ? 0 : this.#nodesBelow(this.#top(), height);
  }

  /** Levels from the root to a leaf; 0 for an empty tree. */
  depth(): number {
    return this.#w.load32(this.#c.root, MAPLE_TREE_MA_FLAGS) >>> HEIGHT_SHIFT;
  }

  #top(): Ref {
    const lo = this.#w.load64(this.#c.root, MAPLE_TREE_MA_ROOT);
    return refOfAddress(lo, this.#w.hi);
  }

  #setTop(node: Ref, height: number): void {
    const w = this.#w;
    const { root } = this.#c;
    if (node !== NONE) this.#n.setParent(node, NONE, 0);
    w.store64(root, MAPLE_TREE_MA_ROOT, addressLow(node), addressHigh(node));
    const flags = node === NONE ? 0 : ALLOC_RANGE | (height << HEIGHT_SHIFT);
    w.store32(root, MAPLE_TREE_MA_FLAGS, flags);
  }

  /** The leaf that a page is in; 0 for an empty tree. */
  #leafOf(page: number): Ref {
    const w = this.#w;
    const { root } = this.#c;
    let level = w.load32(root, MAPLE_TREE_MA_FLAGS) >>> HEIGHT_SHIFT;
    let lo = w.load64(root, MAPLE_TREE_MA_ROOT);
    let node = refOfAddress(lo, w.hi);
    for (; level > 1; level--) {
      let off = MAPLE_NODE_PIVOTS;
      for (; off < INNER_PIVOTS_END; off += 8) {
        const pivot = w.load64(node, off);
        if (pivot === 0 || page <= pageOf(pivot, w.hi)) break;
      }
      lo = w.load64(node, off + INNER_SLOT);
      node = refOfAddress(lo, w.hi);
    }
    return node;
  }

  /** The first and the last page of a node, as the pivots above it say. */
  #min(node: Ref): number {
    for (let at = node, up = this.#n.parent(at); up !== NONE; at = up, up = this.#n.parent(at)) {
      const slot = this.#n.slotInParent(at);
      if (slot > 0) return this.#n.pivot(up, slot - 1) + 1;
    }
    return 0;
  }

  #max(node: Ref): number {
    const above = this.#above(node);
    return above === NONE
      ? LAST
      : this.#n.pivot(this.#n.parent(above), this.#n.slotInParent(above));
  }

  /** The node or the one over it that ends with it and is not its parent's last; 0 for none. */
  #above(node: Ref): Ref {
    for (let at = node, up = this.#n.parent(at); up !== NONE; at = up, up = this.#n.parent(at))
      if (this.#n.slotInParent(at) < this.#n.count(up, 2) - 1) return at;
    return NONE;
  }

  #cells(node: Ref, level: number): Cell[] {
    return this.#n.read(node, level, this.#min(node), this.#max(node));
  }

  /** First page of the lowest gap for a range, in a node and below `limit`; −1 for none. */
  #lowest(
    node: Ref,
    level: number,
    min: number,
    max: number,
    pages: number,
    limit: number,
    align: number,
  ): number {
    let start = min;
    for (const { last, to, gap } of this.#n.read(node, level, min, max)) {
      if (start + pages > limit) break;
      if (gap >= pages) {
        let found = Math.ceil(start / align) * align;
        if (level > 1) found = this.#lowest(to, level - 1, start, last, pages, limit, align);
        else if (found + pages > Math.min(last + 1, limit)) found = -1;
        if (found >= 0) return found;
      }
      start = last + 1;
    }
    return -1;
  }

  /** Writes a node, and its largest gap into those above it. */
  #put(node: Ref, level: number, cells: readonly Cell[]): void {
    this.#n.write(node, level, cells);
    this.#tellGap(node, largestGap(cells));
  }

  /** mas_parent_gap: upwards, until a node knows already. */
  #tellGap(node: Ref, gap: number): void {
    const n = this.#n;
    let most = gap;
    for (let at = node, up = n.parent(at); up !== NONE; at = up, up = n.parent(at)) {
      const slot = n.slotInParent(at);
      if (n.gap(up, slot) === most) return;
      n.setGap(up, slot, most);
      most = 0;
      for (let i = n.count(up, 2) - 1; i >= 0; i--) most = Math.max(most, n.gap(up, i));
    }
  }

  /** A node beside this one, of the same parent, that leaves both room for `count` slots; 0 for none. */
  #roomBeside(node: Ref, level: number, count: number): Ref {
    const n = this.#n;
    const parent = n.parent(node);
    if (parent === NONE) return NONE;
    const slot = n.slotInParent(node);
    const last = n.count(parent, level + 1) - 1;
    for (const beside of [slot - 1, slot + 1]) {
      if (beside < 0 || beside > last) continue;
      const other = n.child(parent, beside);
      if (n.count(other, level) + count <= 2 * mostSlots(level)) return other;
    }
    return NONE;
  }

  /** Gets the nodes that it takes to give a leaf `count` slots; null without memory. */
  #reserve(leaf: Ref, count: number): Ref[] | null {
    let need = 0;
    let node = leaf;
    let slots = count;
    for (let level = 1; slots > mostSlots(level); level++) {
      if (this.#roomBeside(node, level, slots) !== NONE) break;
      need++;
      node = this.#n.parent(node);
      if (node === NONE) {
        need++;
        break;
      }
      slots = this.#n.count(node, level + 1) + 1;
    }
    const nodes: Ref[] = [];
    for (; need > 0; need--) {
      const fresh = this.#c.newNode();
      if (fresh === NONE) {
        for (const node of nodes.toReversed()) this.#c.freeNode(node);
        return null;
      }
      nodes.push(fresh);
    }
    return nodes;
  }

  /** Gives a leaf its new cells, which may be two more than it has slots. 0 or ENOMEM. */
  #grow(leaf: Ref, leafCells: Cell[]): number {
    const fresh = this.#reserve(leaf, leafCells.length);
    if (fresh === null) return ENOMEM;
    let node = leaf;
    let cells = leafCells;
    for (let level = 1; ; level++) {
      if (cells.length <= mostSlots(level)) {
        this.#put(node, level, cells);
        return 0;
      }
      const beside = this.#roomBeside(node, level, cells.length);
      if (beside !== NONE) {
        this.#share(node, beside, level, cells);
        return 0;
      }
      const two = this.#split(node, fresh.pop() ?? NONE, level, cells);
      const parent = this.#n.parent(node);
      if (parent === NONE) {
        const top = fresh.pop() ?? NONE;
        this.#n.write(top, level + 1, two);
        this.#setTop(top, level + 1);
        return 0;
      }
      cells = this.#cells(parent, level + 1);
      cells.splice(this.#n.slotInParent(node), 1, ...two);
      node = parent;
    }
  }

  /** Writes the cells of one node into two; returns the cells that lead to them. */
  #split(left: Ref, right: Ref, level: number, cells: readonly Cell[]): Cell[] {
    const half = (cells.length + 1) >> 1;
    return [
      this.#half(left, level, cells.slice(0, half)),
      this.#half(right, level, cells.slice(half)),
    ];
  }

  #half(node: Ref, level: number, cells: readonly Cell[]): Cell {
    this.#n.write(node, level, cells);
    return { last: cells[cells.length - 1].last, to: node, gap: largestGap(cells) };
  }

  /** Two nodes of one parent have the same number of slots from now on; `cells` are the first's. */
  #share(node: Ref, beside: Ref, level: number, cells: readonly Cell[]): void {
    const n = this.#n;
    const others = this.#cells(beside, level);
    const parent = n.parent(node);
    const first = n.slotInParent(node) < n.slotInParent(beside);
    const [left, right] = first ? [node, beside] : [beside, node];
    const all = first ? [...cells, ...others] : [...others, ...cells];
    const two = this.#split(left, right, level, all);
    n.setPivot(parent, n.slotInParent(left), two[0].last);
    this.#tellGap(left, two[0].gap);
    this.#tellGap(right, two[1].gap);
  }

  /**
   * Where a leaf ends in a gap and the next begins with one, the next has all of
   * it. Returns the page that the leaf ends with then; −1 where there was nothing
   * to do.
   */
  #joinGaps(leaf: Ref): number {
    const n = this.#n;
    const above = leaf === NONE ? NONE : this.#above(leaf);
    if (above === NONE) return -1;
    const next = this.#leafOf(this.#max(leaf) + 1);
    const cells = this.#cells(leaf, 1);
    if (cells[cells.length - 1].to !== NONE || this.#cells(next, 1)[0].to !== NONE) return -1;
    cells.pop();
    const { last } = cells[cells.length - 1];
    n.setPivot(n.parent(above), n.slotInParent(above), last);
    this.#put(leaf, 1, cells);
    this.#tellGap(next, largestGap(this.#cells(next, 1)));
    return last;
  }

  /** A node that runs low takes slots from the one beside it or becomes one with it, and so upwards. */
  #fill(leaf: Ref): void {
    const n = this.#n;
    let node = leaf;
    for (let level = 1; ; level++) {
      const parent = n.parent(node);
      const count = n.count(node, level);
      if (parent === NONE) {
        if (level === 1 || count > 1) return;
        this.#setTop(n.child(node, 0), level - 1);
        this.#c.freeNode(node);
        return;
      }
      if (count >= leastSlots(level)) return;
      const slot = n.slotInParent(node);
      const beside = n.child(parent, slot === 0 ? 1 : slot - 1);
      if (count + n.count(beside, level) > mostSlots(level)) {
        this.#share(node, beside, level, this.#cells(node, level));
        return;
      }
      if (slot === 0) this.#merge(node, beside, level);
      else this.#merge(beside, node, level);
      node = parent;
    }
  }

  /** The left node takes the slots of the right one, which is freed. */
  #merge(left: Ref, right: Ref, level: number): void {
    const n = this.#n;
    const parent = n.parent(left);
    const slot = n.slotInParent(left);
    const above = this.#cells(parent, level + 1);
    const one = this.#half(left, level, [
      ...this.#cells(left, level),
      ...this.#cells(right, level),
    ]);
    above.splice(slot, 2, one);
    this.#put(parent, level + 1, above);
    this.#c.freeNode(right);
  }

  #walk(
    node: Ref,
    level: number,
    min: number,
    max: number,
    visit: (first: number, pages: number, entry: Ref) => void,
  ): void {
    let start = min;
    for (const { last, to } of this.#n.read(node, level, min, max)) {
      if (level > 1) this.#walk(to, level - 1, start, last, visit);
      else if (to !== NONE) visit(start, last - start + 1, to);
      start = last + 1;
    }
  }

  #nodesBelow(node: Ref, level: number): number {
    if (level === 1) return 1;
    let n = 1;
    for (let i = this.#n.count(node, level) - 1; i >= 0; i--)
      n += this.#nodesBelow(this.#n.child(node, i), level - 1);
    return n;
  }
}

/** A slot without an entry. */
const gapCell = (first: number, last: number): Cell => ({
  last,
  to: NONE,
  gap: last - first + 1,
});
