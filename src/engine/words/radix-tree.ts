/**
 * A radix tree in words from a number to a 64-bit value, read without a lock: nodes
 * of 64 slots, as struct xa_node, taken when they are needed and given back when
 * nothing is in them.
 *
 * Whoever owns a tree brings its root (two words: the top node, the shift of its
 * level) and its nodes. A value of 0 is nothing.
 *
 * Source: lib/xarray.c of 6.18, without marks, multi-index entries and RCU callbacks.
 */
import type { Ref } from "../../units.js";
import { XA_NODE_SHIFT, XA_NODE_SLOTS } from "../layout/generated/offsets.js";
import { addressHigh, addressLow, refOfAddress, type Words } from "./words.js";

const BITS = 6;
/** Shift of the first level whose slot is not within the low 32 bits of an index. */
const FAR = 30;
const NONE = 0 as Ref;
/** Words of the root: the top node, and the shift of its level. */
const ROOT = 0;
const HEIGHT = 4;
/** Slots in use, in the third byte of a node's first word (xa_node.count). */
const COUNT_UNIT = 1 << 16;

/** What a tree stands on. */
export interface RadixContext {
  readonly w: Words;
  /** Eight bytes of words, zero before the first entry. */
  readonly root: Ref;
  /** A zeroed node, 0 without memory. */
  newNode(): Ref;
  freeNode(node: Ref): void;
}

export class RadixTree {
  readonly #c: RadixContext;

  constructor(context: RadixContext) {
    this.#c = context;
  }

  #at(shift: number, index: number): number {
    // Indexes have more than 32 bits; shifts of integers do not.
    const slot = shift < FAR ? index >>> shift : Math.floor(index / 2 ** shift);
    return XA_NODE_SLOTS + ((slot & 63) << 3);
  }

  #get(node: Ref, off: number): Ref {
    const lo = this.#c.w.load64(node, off);
    return refOfAddress(lo, this.#c.w.hi);
  }

  #set(node: Ref, off: number, to: Ref, n: number): void {
    const { w } = this.#c;
    w.store64(node, off, addressLow(to), addressHigh(to));
    w.add32(node, XA_NODE_SHIFT, n * COUNT_UNIT);
  }

  #node(shift: number): Ref {
    const node = this.#c.newNode();
    if (node !== NONE) this.#c.w.store32(node, XA_NODE_SHIFT, shift);
    return node;
  }

  /** Makes the tree high enough; false without memory. */
  #grow(index: number): boolean {
    const { w, root } = this.#c;
    if (w.load32(root, ROOT) === 0) {
      const top = this.#node(0);
      if (top === NONE) return false;
      w.store32(root, HEIGHT, 0);
      w.store32(root, ROOT, top);
    }
    for (;;) {
      const shift = w.load32(root, HEIGHT);
      if (index < 2 ** (shift + BITS)) return true;
      const top = this.#node(shift + BITS);
      if (top === NONE) return false;
      this.#set(top, XA_NODE_SLOTS, w.load32(root, ROOT) as Ref, 1);
      w.store32(root, HEIGHT, shift + BITS);
      w.store32(root, ROOT, top);
    }
  }

  /** Puts a value that is not 0 at a place that has none; false without memory, with nothing changed. */
  store(index: number, lo: number, hi: number): boolean {
    if (!this.#grow(index)) {
      this.#shrinkTop();
      return false;
    }
    const { w, root } = this.#c;
    let node = w.load32(root, ROOT) as Ref;
    for (let shift = w.load32(root, HEIGHT); shift > 0; shift -= BITS) {
      const off = this.#at(shift, index);
      let below = this.#get(node, off);
      if (below === NONE) {
        below = this.#node(shift - BITS);
        if (below === NONE) {
          this.#prune(index);
          return false;
        }
        this.#set(node, off, below, 1);
      }
      node = below;
    }
    const off = this.#at(0, index);
    const fresh = (w.load64(node, off) | w.hi) === 0;
    w.store64(node, off, lo, hi);
    if (fresh) w.add32(node, XA_NODE_SHIFT, COUNT_UNIT);
    return true;
  }

  /** Leaf node that a place is in; 0 for none. */
  #leaf(index: number): Ref {
    const { w, root } = this.#c;
    let node = w.load32(root, ROOT) as Ref;
    const height = w.load32(root, HEIGHT);
    if (node === NONE || index >= 2 ** (height + BITS)) return NONE;
    for (let shift = height; shift > 0 && node !== NONE; shift -= BITS)
      node = this.#get(node, this.#at(shift, index));
    return node;
  }

  /** Takes a value away; nothing need be there. */
  erase(index: number): void {
    const { w } = this.#c;
    const node = this.#leaf(index);
    if (node === NONE || (w.load64(node, this.#at(0, index)) | w.hi) === 0) return;
    this.#set(node, this.#at(0, index), NONE, -1);
    if (this.#used(node) === 0) this.#prune(index);
  }

  /** Frees the nodes over a place that are empty, from the last level up. */
  #prune(index: number): void {
    const { w, root } = this.#c;
    const top = w.load32(root, HEIGHT);
    for (let level = 0; level <= top; level += BITS) {
      let parent = NONE;
      let node = w.load32(root, ROOT) as Ref;
      for (let shift = top; shift > level && node !== NONE; shift -= BITS) {
        parent = node;
        node = this.#get(node, this.#at(shift, index));
      }
      if (node === NONE || this.#used(node) > 0) continue;
      if (parent === NONE) w.store64(root, ROOT, 0, 0);
      else this.#set(parent, this.#at(level + BITS, index), NONE, -1);
      this.#c.freeNode(node);
    }
    this.#shrinkTop();
  }

  /** A top node that leads to its first slot only is one level too many. */
  #shrinkTop(): void {
    const { w, root } = this.#c;
    for (;;) {
      const top = w.load32(root, ROOT) as Ref;
      const shift = w.load32(root, HEIGHT);
      if (top === NONE) return;
      if (this.#used(top) === 0) w.store64(root, ROOT, 0, 0);
      else {
        const first = this.#get(top, XA_NODE_SLOTS);
        if (shift === 0 || first === NONE || this.#used(top) > 1) return;
        w.store32(root, ROOT, first);
        w.store32(root, HEIGHT, shift - BITS);
      }
      this.#c.freeNode(top);
    }
  }

  #used(node: Ref): number {
    return (this.#c.w.load32(node, XA_NODE_SHIFT) >>> 16) & 0xff;
  }

  /** Low half of the value at a place, the high one in `w.hi`; both 0 for none. */
  load(index: number): number {
    const node = this.#leaf(index);
    if (node !== NONE) return this.#c.w.load64(node, this.#at(0, index));
    this.#c.w.hi = 0;
    return 0;
  }

  /** Every value at a place from `start` up to `end`, in order; it may be erased meanwhile. */
  forEach(
    start: number,
    end: number,
    visit: (index: number, lo: number, hi: number) => void,
  ): void {
    const { w, root } = this.#c;
    for (let index = start; index < end;) {
      let node = w.load32(root, ROOT) as Ref;
      let shift = w.load32(root, HEIGHT);
      if (node === NONE || index >= 2 ** (shift + BITS)) return;
      for (; shift > 0 && node !== NONE; shift -= BITS)
        node = this.#get(node, this.#at(shift, index));
      // What a missing node would be over is passed by at once.
      const over = 2 ** (shift + BITS);
      const last = Math.min(end, index - (index % over) + over);
      for (let at = node === NONE ? last : index; at < last; at++) {
        const lo = this.load(at);
        if ((lo | w.hi) !== 0) visit(at, lo, w.hi);
      }
      index = last;
    }
  }
}
