/**
 * The page cache of one file: a radix tree from page index to folio whose nodes
 * are slab objects of 64 slots.
 *
 * A folio of several pages takes as many slots as it has pages on the level
 * where they fit: an order-9 folio eight slots of a node one level up. An entry
 * with bit 1 set leads to a node, any other one is a folio's address.
 *
 * Source: lib/xarray.c, mm/filemap.c of 6.18 (__filemap_add_folio,
 * page_cache_delete). Simplified: every slot of a folio holds its address where
 * the xarray has one entry and siblings; no marks, no shadow entries.
 */
import type { Ref } from "../../units.js";
import {
  ADDRESS_SPACE_NRPAGES,
  ADDRESS_SPACE_XA_HEAD,
  XA_NODE_PARENT,
  XA_NODE_SHIFT,
  XA_NODE_SLOTS,
} from "../layout/generated/offsets.js";
import { addressHigh, addressLow, refOfAddress, type Words } from "../words/words.js";
import { ENOMEM } from "./constants.js";
import type { Core } from "./core.js";
import type { Folios } from "./folios.js";
import { O_XA_NODE } from "./objects.js";

const NONE = 0 as Ref;
const SLOT_BITS = 6;
const SLOTS = 64;
/** Bit of an entry that leads to a node. */
const NODE = 2;

export class PageCache {
  readonly core: Core;
  readonly w: Words;
  readonly folios: Folios;
  /** Nodes of the split that is going on; none between operations. */
  #reserve: Ref[] = [];

  constructor(core: Core, folios: Folios) {
    this.core = core;
    this.w = core.w;
    this.folios = folios;
  }

  pages(mapping: Ref): number {
    return this.w.load32(mapping, ADDRESS_SPACE_NRPAGES);
  }

  /** Low byte: shift; third byte: slots in use; from bit 24 on nothing. */
  #head(node: Ref): number {
    return this.w.load32(node, XA_NODE_SHIFT);
  }

  #count(node: Ref, n: number): number {
    return (this.w.add32(node, XA_NODE_SHIFT, n << 16) >>> 16) & 0xff;
  }

  /** filemap_get_entry: the folio that has the page, 0 for none. No reference is taken. */
  lookup(mapping: Ref, index: number): Ref {
    const { w } = this;
    let lo = w.load64(mapping, ADDRESS_SPACE_XA_HEAD);
    let hi = w.hi;
    if ((lo & NODE) === 0) return index === 0 ? refOfAddress(lo, hi) : NONE;
    let node = refOfAddress(lo, hi);
    let shift = this.#head(node) & 0xff;
    if (index >= 2 ** (shift + SLOT_BITS)) return NONE;
    for (;;) {
      lo = w.load64(node, XA_NODE_SLOTS + (((index >>> shift) & (SLOTS - 1)) << 3));
      hi = w.hi;
      if ((lo & NODE) === 0) return refOfAddress(lo, hi);
      node = refOfAddress(lo, hi);
      shift -= SLOT_BITS;
    }
  }

  #newNode(shift: number, parent: Ref): Ref {
    const node = this.#reserve.pop() ?? this.core.tryObject(O_XA_NODE);
    if (node === NONE) return node;
    this.w.store32(node, XA_NODE_SHIFT, shift);
    this.core.setPointer(node, XA_NODE_PARENT, parent);
    return node;
  }

  #setNode(ref: Ref, off: number, node: Ref): void {
    this.w.store64(ref, off, addressLow(node) | NODE, addressHigh(node));
  }

  /** The tree is tall enough for `index`; false without memory. */
  #grow(mapping: Ref, index: number, order: number): boolean {
    const { w } = this;
    for (;;) {
      const lo = w.load64(mapping, ADDRESS_SPACE_XA_HEAD);
      const hi = w.hi;
      const empty = (lo | hi) === 0;
      const isNode = (lo & NODE) !== 0;
      const top = isNode ? (this.#head(refOfAddress(lo, hi)) & 0xff) + SLOT_BITS : 0;
      if (isNode && index < 2 ** top && order < top) return true;
      if (!isNode && index === 0 && order === 0 && empty) return true;
      const node = this.#newNode(empty ? heightFor(index, order) : top, NONE);
      if (node === NONE) return false;
      if (!empty) {
        w.store64(node, XA_NODE_SLOTS, lo, hi);
        this.#count(node, 1);
        if (isNode) this.core.setPointer(refOfAddress(lo, hi), XA_NODE_PARENT, node);
      }
      this.#setNode(mapping, ADDRESS_SPACE_XA_HEAD, node);
    }
  }

  /**
   * filemap_add_folio: 2^order pages from `index` on, which nobody has yet. Takes
   * a reference for each page. 0, or ENOMEM with the tree as it was but for empty
   * nodes.
   */
  add(mapping: Ref, index: number, folio: Ref, order: number): number {
    let error = this.#store(mapping, index, folio, order);
    // Reclaim may take nodes of this very tree away, so it runs between two tries.
    while (error !== 0 && this.core.machine.onPressure())
      error = this.#store(mapping, index, folio, order);
    if (error !== 0) return error;
    this.folios.setMapping(folio, mapping, 0);
    this.folios.setIndex(folio, index);
    this.folios.get(folio, 1 << order);
    this.w.add32(mapping, ADDRESS_SPACE_NRPAGES, 1 << order);
    return 0;
  }

  /**
   * xas_split_alloc: nodes enough for the parts of a split folio, kept until
   * `releaseReserve`. False without memory, with nothing kept.
   */
  reserve(order: number): boolean {
    for (let n = Math.ceil(2 ** order / SLOTS) + 3; n > 0; n--) {
      const node = this.core.newObject(O_XA_NODE);
      if (node === NONE) {
        this.releaseReserve();
        return false;
      }
      this.#reserve.push(node);
    }
    return true;
  }

  releaseReserve(): void {
    for (const node of this.#reserve) this.core.freeObject(O_XA_NODE, node);
    this.#reserve = [];
  }

  /** The parts of a folio that was split take its place. Its nodes were reserved. */
  insertSplit(mapping: Ref, index: number, folio: Ref, order: number): void {
    if (this.#store(mapping, index, folio, order) !== 0)
      throw new RangeError("the nodes of a split were not reserved");
    this.w.add32(mapping, ADDRESS_SPACE_NRPAGES, 1 << order);
  }

  #store(mapping: Ref, index: number, folio: Ref, order: number): number {
    const { w } = this;
    if (!this.#grow(mapping, index, order)) return ENOMEM;
    const lo = w.load64(mapping, ADDRESS_SPACE_XA_HEAD);
    if ((lo & NODE) === 0) {
      this.core.setPointer(mapping, ADDRESS_SPACE_XA_HEAD, folio);
      return 0;
    }
    const level = order - (order % SLOT_BITS);
    let node = refOfAddress(lo, w.hi);
    let shift = this.#head(node) & 0xff;
    while (shift > level) {
      const off = XA_NODE_SLOTS + (((index >>> shift) & (SLOTS - 1)) << 3);
      const entry = w.load64(node, off);
      let next = refOfAddress(entry, w.hi);
      if (next === NONE) {
        next = this.#newNode(shift - SLOT_BITS, node);
        if (next === NONE) {
          this.#shrink(mapping, node);
          return ENOMEM;
        }
        this.#setNode(node, off, next);
        this.#count(node, 1);
      }
      node = next;
      shift -= SLOT_BITS;
    }
    const slots = 1 << (order - level);
    const first = (index >>> level) & (SLOTS - 1);
    for (let i = 0; i < slots; i++)
      this.core.setPointer(node, XA_NODE_SLOTS + ((first + i) << 3), folio);
    this.#count(node, slots);
    return 0;
  }

  /** Puts another folio in its place: what migration does. */
  replace(mapping: Ref, index: number, folio: Ref, order: number): void {
    this.#overwrite(mapping, index, order, folio);
  }

  /** page_cache_delete: the folio leaves the cache; its references are the caller's to put. */
  delete(mapping: Ref, index: number, order: number): void {
    const node = this.#overwrite(mapping, index, order, NONE);
    if (node !== NONE) {
      this.#count(node, -(1 << (order % SLOT_BITS)));
      this.#shrink(mapping, node);
    }
    this.w.add32(mapping, ADDRESS_SPACE_NRPAGES, -(1 << order));
  }

  /** Node in which the entries are; 0 where the tree's head is the only entry. */
  #overwrite(mapping: Ref, index: number, order: number, folio: Ref): Ref {
    const { w } = this;
    const lo = w.load64(mapping, ADDRESS_SPACE_XA_HEAD);
    if ((lo & NODE) === 0) {
      this.core.setPointer(mapping, ADDRESS_SPACE_XA_HEAD, folio);
      return NONE;
    }
    const level = order - (order % SLOT_BITS);
    let node = refOfAddress(lo, w.hi);
    for (let shift = this.#head(node) & 0xff; shift > level; shift -= SLOT_BITS)
      node = this.core.pointer(node, XA_NODE_SLOTS + (((index >>> shift) & (SLOTS - 1)) << 3));
    const first = (index >>> level) & (SLOTS - 1);
    for (let i = 0; i < 1 << (order - level); i++)
      this.core.setPointer(node, XA_NODE_SLOTS + ((first + i) << 3), folio);
    return node;
  }

  /** Gives back nodes that hold nothing, upwards. */
  #shrink(mapping: Ref, from: Ref): void {
    const { w } = this;
    let node = from;
    while (node !== NONE && ((this.#head(node) >>> 16) & 0xff) === 0) {
      const parent = this.core.pointer(node, XA_NODE_PARENT);
      if (parent === NONE) w.store64(mapping, ADDRESS_SPACE_XA_HEAD, 0, 0);
      else {
        for (let i = 0; i < SLOTS; i++) {
          if (this.core.pointer(parent, XA_NODE_SLOTS + (i << 3)) !== node) continue;
          w.store64(parent, XA_NODE_SLOTS + (i << 3), 0, 0);
          this.#count(parent, -1);
        }
      }
      this.core.freeObject(O_XA_NODE, node);
      node = parent;
    }
  }

  /** The first folio at or after `index`; 0 if there is none below `end`. */
  next(mapping: Ref, index: number, end: number): Ref {
    const { w } = this;
    const lo = w.load64(mapping, ADDRESS_SPACE_XA_HEAD);
    if ((lo & NODE) === 0) return index === 0 && end > 0 ? refOfAddress(lo, w.hi) : NONE;
    return this.#nextIn(refOfAddress(lo, w.hi), 0, index, end);
  }

  #nextIn(node: Ref, base: number, index: number, end: number): Ref {
    const { w } = this;
    const shift = this.#head(node) & 0xff;
    const size = 2 ** shift;
    for (let i = Math.max(0, Math.floor((index - base) / size)); i < SLOTS; i++) {
      const at = base + i * size;
      if (at >= end) return NONE;
      const lo = w.load64(node, XA_NODE_SLOTS + (i << 3));
      const to = refOfAddress(lo, w.hi);
      if (to === NONE) continue;
      if ((lo & NODE) === 0) return to;
      const found = this.#nextIn(to, at, index, end);
      if (found !== NONE) return found;
    }
    return NONE;
  }
}

/** Shift of the one node that an empty tree needs for its first entry. */
function heightFor(index: number, order: number): number {
  let shift = 0;
  while (index >= 2 ** (shift + SLOT_BITS) || order >= shift + SLOT_BITS) shift += SLOT_BITS;
  return shift;
}
