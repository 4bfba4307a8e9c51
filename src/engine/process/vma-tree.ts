/**
 * The VMAs of a process in order of address: a treap whose links are in the VMAs
 * themselves, and a list through them.
 *
 * A VMA's priority is a hash of where it lies, so the tree's shape follows from
 * the same inputs and needs no words. The kernel has a maple tree here, whose
 * nodes are objects of 256 bytes for up to 16 VMAs and are not counted
 * (simplified).
 */
import type { Ref } from "../../units.js";
import {
  MM_MAP_COUNT,
  MM_VMA_CACHE,
  MM_VMA_FIRST,
  MM_VMA_ROOT,
  VMA_LIST_NEXT,
  VMA_LIST_PREV,
  VMA_TREE_LEFT,
  VMA_TREE_RIGHT,
  VMA_VM_END,
  VMA_VM_START,
} from "../layout/generated/offsets.js";
import type { Words } from "../words/words.js";

const NONE = 0 as Ref;

export class VmaTree {
  readonly w: Words;

  constructor(w: Words) {
    this.w = w;
  }

  /** First page of a VMA. */
  start(vma: Ref): number {
    const lo = this.w.load64(vma, VMA_VM_START);
    return (lo >>> 12) | (this.w.hi << 20);
  }

  /** Page after its last one. */
  end(vma: Ref): number {
    const lo = this.w.load64(vma, VMA_VM_END);
    return (lo >>> 12) | (this.w.hi << 20);
  }

  /** Moves a VMA's borders; its place among the others must stay. */
  setRange(vma: Ref, start: number, end: number): void {
    this.w.store64(vma, VMA_VM_START, start << 12, start >>> 20);
    this.w.store64(vma, VMA_VM_END, end << 12, end >>> 20);
  }

  first(mm: Ref): Ref {
    return this.w.load32(mm, MM_VMA_FIRST) as Ref;
  }

  next(vma: Ref): Ref {
    return this.w.load32(vma, VMA_LIST_NEXT) as Ref;
  }

  prev(vma: Ref): Ref {
    return this.w.load32(vma, VMA_LIST_PREV) as Ref;
  }

  count(mm: Ref): number {
    return this.w.load32(mm, MM_MAP_COUNT);
  }

  /** find_vma: the first VMA that ends after `page`; 0 if there is none. */
  find(mm: Ref, page: number): Ref {
    const { w } = this;
    let best = NONE;
    let at = w.load32(mm, MM_VMA_ROOT) as Ref;
    while (at !== NONE) {
      if (this.end(at) > page) {
        best = at;
        at = w.load32(at, VMA_TREE_LEFT) as Ref;
      } else at = w.load32(at, VMA_TREE_RIGHT) as Ref;
    }
    return best;
  }

  /** The VMA that has this page, 0 for none: the one found last is tried first. */
  lookup(mm: Ref, page: number): Ref {
    const cached = this.w.load32(mm, MM_VMA_CACHE) as Ref;
    if (cached !== NONE && this.start(cached) <= page && page < this.end(cached)) return cached;
    const vma = this.find(mm, page);
    if (vma === NONE || this.start(vma) > page) return NONE;
    this.w.store32(mm, MM_VMA_CACHE, vma);
    return vma;
  }

  /** Last VMA that starts before `page`. */
  before(mm: Ref, page: number): Ref {
    const { w } = this;
    let best = NONE;
    let at = w.load32(mm, MM_VMA_ROOT) as Ref;
    while (at !== NONE) {
      if (this.start(at) < page) {
        best = at;
        at = w.load32(at, VMA_TREE_RIGHT) as Ref;
      } else at = w.load32(at, VMA_TREE_LEFT) as Ref;
    }
    return best;
  }

  insert(mm: Ref, vma: Ref): void {
    const { w } = this;
    const start = this.start(vma);
    const prev = this.before(mm, start);
    const next = prev === NONE ? this.first(mm) : this.next(prev);
    w.store64(vma, VMA_LIST_PREV, prev, next);
    if (prev === NONE) w.store32(mm, MM_VMA_FIRST, vma);
    else w.store32(prev, VMA_LIST_NEXT, vma);
    if (next !== NONE) w.store32(next, VMA_LIST_PREV, vma);
    w.store32(mm, MM_VMA_ROOT, this.#insert(w.load32(mm, MM_VMA_ROOT) as Ref, vma, start));
    w.add32(mm, MM_MAP_COUNT, 1);
  }

  remove(mm: Ref, vma: Ref): void {
    const { w } = this;
    const prev = this.prev(vma);
    const next = this.next(vma);
    if (prev === NONE) w.store32(mm, MM_VMA_FIRST, next);
    else w.store32(prev, VMA_LIST_NEXT, next);
    if (next !== NONE) w.store32(next, VMA_LIST_PREV, prev);
    w.store32(mm, MM_VMA_ROOT, this.#remove(w.load32(mm, MM_VMA_ROOT) as Ref, vma));
    w.add32(mm, MM_MAP_COUNT, -1);
    w.store32(mm, MM_VMA_CACHE, 0);
  }

  #insert(root: Ref, vma: Ref, start: number): Ref {
    const { w } = this;
    if (root === NONE || priority(vma) > priority(root)) {
      this.#split(root, start, vma);
      return vma;
    }
    const side = start < this.start(root) ? VMA_TREE_LEFT : VMA_TREE_RIGHT;
    w.store32(root, side, this.#insert(w.load32(root, side) as Ref, vma, start));
    return root;
  }

  /** What is below `start` becomes the new root's left, the rest its right. */
  #split(root: Ref, start: number, into: Ref): void {
    const { w } = this;
    let left = into;
    let leftSide = VMA_TREE_LEFT;
    let right = into;
    let rightSide = VMA_TREE_RIGHT;
    let at = root;
    while (at !== NONE) {
      if (this.start(at) < start) {
        w.store32(left, leftSide, at);
        left = at;
        leftSide = VMA_TREE_RIGHT;
        at = w.load32(at, VMA_TREE_RIGHT) as Ref;
      } else {
        w.store32(right, rightSide, at);
        right = at;
        rightSide = VMA_TREE_LEFT;
        at = w.load32(at, VMA_TREE_LEFT) as Ref;
      }
    }
    w.store32(left, leftSide, 0);
    w.store32(right, rightSide, 0);
  }

  #remove(root: Ref, vma: Ref): Ref {
    const { w } = this;
    if (root === vma)
      return this.#join(w.load32(vma, VMA_TREE_LEFT) as Ref, w.load32(vma, VMA_TREE_RIGHT) as Ref);
    const side = this.start(vma) < this.start(root) ? VMA_TREE_LEFT : VMA_TREE_RIGHT;
    w.store32(root, side, this.#remove(w.load32(root, side) as Ref, vma));
    return root;
  }

  #join(left: Ref, right: Ref): Ref {
    const { w } = this;
    if (left === NONE) return right;
    if (right === NONE) return left;
    if (priority(left) > priority(right)) {
      w.store32(left, VMA_TREE_RIGHT, this.#join(w.load32(left, VMA_TREE_RIGHT) as Ref, right));
      return left;
    }
    w.store32(right, VMA_TREE_LEFT, this.#join(left, w.load32(right, VMA_TREE_LEFT) as Ref));
    return right;
  }
}

/** A mix of the bits of where the VMA lies: the same in every run. */
function priority(vma: Ref): number {
  let x = Math.imul(vma ^ (vma >>> 15), 0x2c1b3c6d);
  x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
  return (x ^ (x >>> 15)) >>> 0;
}
