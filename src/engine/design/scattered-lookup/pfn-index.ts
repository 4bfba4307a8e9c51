/**
 * pfn-index: a tree from frame to object, read without a lock. The page keeps
 * node and zone; a lookup costs a walk, an object an entry for every page.
 *
 * A radix tree of 64 slots a node, as struct xa_node (576 bytes); what the seed
 * leaves open ("look up the page's pfn in some data structure") is invented.
 */
import type { Ref } from "../../../units.js";
import { XA_NODE_SHIFT, XA_NODE_SLOTS } from "../../layout/generated/offsets.js";
import { addressHigh, addressLow, refOfAddress } from "../../words/words.js";
import { MISC_VMALLOC, type LookupContext, type ScatteredLookup } from "./axis.js";

const BITS = 6;
const NONE = 0 as Ref;
/** Words of the root: the top node, and the shift of its level (−1: no tree). */
const ROOT = 0;
const HEIGHT = 4;
/** Slots in use, in the third byte of a node's first word (xa_node.count). */
const COUNT_UNIT = 1 << 16;

export class PfnIndex implements ScatteredLookup {
  readonly name = "pfn-index";
  readonly fromPage = true;
  readonly mappingHolds = "page";
  readonly slotBytes = 0;
  readonly #c: LookupContext;

  constructor(context: LookupContext) {
    this.#c = context;
  }

  enter(pfn: number, zone: number, object: Ref, _slot: Ref): boolean {
    if (!this.#store(pfn, object)) return false;
    this.#c.link.bindMisc(pfn, 0, MISC_VMALLOC, true, zone);
    return true;
  }

  #at(shift: number, pfn: number): number {
    return XA_NODE_SLOTS + (((pfn >>> shift) & 63) << 3);
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
  #grow(pfn: number): boolean {
    const { w, indexRoot } = this.#c;
    if (w.load32(indexRoot, ROOT) === 0) {
      const top = this.#node(0);
      if (top === NONE) return false;
      w.store32(indexRoot, HEIGHT, 0);
      w.store32(indexRoot, ROOT, top);
    }
    for (;;) {
      const shift = w.load32(indexRoot, HEIGHT);
      if (pfn < 2 ** (shift + BITS)) return true;
      const top = this.#node(shift + BITS);
      if (top === NONE) return false;
      this.#set(top, XA_NODE_SLOTS, w.load32(indexRoot, ROOT) as Ref, 1);
      w.store32(indexRoot, HEIGHT, shift + BITS);
      w.store32(indexRoot, ROOT, top);
    }
  }

  #store(pfn: number, object: Ref): boolean {
    if (!this.#grow(pfn)) {
      this.#shrinkTop();
      return false;
    }
    const { w, indexRoot } = this.#c;
    let node = w.load32(indexRoot, ROOT) as Ref;
    for (let shift = w.load32(indexRoot, HEIGHT); shift > 0; shift -= BITS) {
      const off = this.#at(shift, pfn);
      let below = this.#get(node, off);
      if (below === NONE) {
        below = this.#node(shift - BITS);
        if (below === NONE) {
          this.#prune(pfn);
          return false;
        }
        this.#set(node, off, below, 1);
      }
      node = below;
    }
    this.#set(node, this.#at(0, pfn), object, 1);
    return true;
  }

  leave(pfn: number): void {
    const { w, indexRoot } = this.#c;
    let node = w.load32(indexRoot, ROOT) as Ref;
    for (let shift = w.load32(indexRoot, HEIGHT); shift > 0; shift -= BITS)
      node = this.#get(node, this.#at(shift, pfn));
    this.#set(node, this.#at(0, pfn), NONE, -1);
    this.#prune(pfn);
  }

  /** Frees the nodes over a frame that are empty, from the last level up. */
  #prune(pfn: number): void {
    const { w, indexRoot } = this.#c;
    const top = w.load32(indexRoot, HEIGHT);
    for (let level = 0; level <= top; level += BITS) {
      let parent = NONE;
      let node = w.load32(indexRoot, ROOT) as Ref;
      for (let shift = top; shift > level && node !== NONE; shift -= BITS) {
        parent = node;
        node = this.#get(node, this.#at(shift, pfn));
      }
      if (node === NONE || this.#used(node) > 0) continue;
      if (parent === NONE) w.store64(indexRoot, ROOT, 0, 0);
      else this.#set(parent, this.#at(level + BITS, pfn), NONE, -1);
      this.#c.freeNode(node);
    }
    this.#shrinkTop();
  }

  /** A top node that leads to its first slot only is one level too many. */
  #shrinkTop(): void {
    const { w, indexRoot } = this.#c;
    for (;;) {
      const top = w.load32(indexRoot, ROOT) as Ref;
      const shift = w.load32(indexRoot, HEIGHT);
      if (top === NONE) return;
      if (this.#used(top) === 0) w.store64(indexRoot, ROOT, 0, 0);
      else {
        const first = this.#get(top, XA_NODE_SLOTS);
        if (shift === 0 || first === NONE || this.#used(top) > 1) return;
        w.store32(indexRoot, ROOT, first);
        w.store32(indexRoot, HEIGHT, shift - BITS);
      }
      this.#c.freeNode(top);
    }
  }

  #used(node: Ref): number {
    return (this.#c.w.load32(node, XA_NODE_SHIFT) >>> 16) & 0xff;
  }

  ofPage(pfn: number): Ref {
    const { w, indexRoot } = this.#c;
    let node = w.load32(indexRoot, ROOT) as Ref;
    const height = w.load32(indexRoot, HEIGHT);
    if (node === NONE || pfn >= 2 ** (height + BITS)) return NONE;
    for (let shift = height; shift > 0 && node !== NONE; shift -= BITS)
      node = this.#get(node, this.#at(shift, pfn));
    return node === NONE ? node : this.#get(node, this.#at(0, pfn));
  }

  ofVma(_privateData: Ref, _filePrivate: Ref): Ref {
    return NONE;
  }
}
