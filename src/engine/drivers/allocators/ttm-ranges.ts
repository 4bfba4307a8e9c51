/**
 * TTM's range manager on drm_mm: an object of any size is one range, between the
 * ranges are holes, and the smallest hole that fits is used from its bottom.
 *
 * Of holes of one size the one that came about last is tried first; one that fits in
 * size but not when aligned is passed over for the next larger. A range that comes
 * back joins the holes on both of its sides.
 *
 * When a folio on a range is split, the range stays what it is: it belongs to a
 * buffer object, which goes when the last page of it is back (svm_bo of amdkfd, zdd
 * of xe). Until then pages of it that came back are neither out nor free.
 *
 * Source: drivers/gpu/drm/ttm/ttm_range_manager.c, drivers/gpu/drm/drm_mm.c of 6.18
 * (best_hole, next_hole, insert_hole_size, drm_mm_insert_node_in_range,
 * drm_mm_remove_node). Simplified: no placement in a part of the range, no top-down,
 * no colours, sizes are powers of two and aligned to themselves; holes are in lists by
 * size instead of in a tree by size, which have the same order.
 */
import { NO_SPACE, type OffsetAllocator } from "./axis.js";
import { MemberBits, noMembers, type Members } from "./bits.js";
import { Ledger, nothingOut } from "./ledger.js";

export interface TtmRangesState {
  readonly out: Uint8Array;
  /** Sizes of which there are holes. */
  readonly sizes: Members;
  /** For each size its last hole: first page + 1. */
  readonly newest: Int32Array;
  /** For each first page of a hole: the hole of that size that came before and after it, + 1. */
  readonly older: Int32Array;
  readonly newer: Int32Array;
  /** Size of the hole that starts at this page, and of the one that ends with it; 0 for none. */
  readonly sizeFrom: Int32Array;
  readonly sizeTo: Int32Array;
  /** Ranges whose folio was split, at their first page: order + 1, and pages still out. */
  readonly splitOrder: Uint8Array;
  readonly splitLeft: Int32Array;
  splits: number;
  ranges: number;
  freePages: number;
}

/**
 * struct ttm_range_manager, added up from the headers of 6.14–6.18: a resource manager
 * of 128 bytes, a drm_mm of 240, a lock of 4 and its padding.
 */
const MANAGER_BYTES = 128 + 240 + 8;
/** struct ttm_range_mgr_node, likewise: a ttm_resource of 88 bytes and a drm_mm_node of 168. */
const NODE_BYTES = 88 + 168;

export class TtmRangeAllocator implements OffsetAllocator {
  readonly name = "ttm-ranges";
  readonly pages: number;
  readonly state: TtmRangesState;
  readonly #sizes: MemberBits;
  readonly #ledger: Ledger;

  constructor(pages: number, state?: TtmRangesState) {
    this.pages = pages;
    this.state = state ?? fresh(pages);
    this.#sizes = new MemberBits(this.state.sizes);
    this.#ledger = new Ledger(this.name, this.state.out);
    if (state === undefined) this.#addHole(0, pages);
  }

  get freePages(): number {
    return this.state.freePages;
  }

  /** Ranges that there are: each is a node. */
  get ranges(): number {
    return this.state.ranges;
  }

  get bookkeepingBytes(): number {
    return MANAGER_BYTES + this.state.ranges * NODE_BYTES;
  }

  alloc(order: number): number {
    if (!this.#ledger.fits(order)) return NO_SPACE;
    const size = 1 << order;
    const { newest, older } = this.state;
    for (let hole = this.#sizes.next(size); hole >= 0; hole = this.#sizes.next(hole + 1))
      for (let link = newest[hole]; link !== 0; link = older[link - 1]) {
        const start = (link - 1 + size - 1) & -size;
        if (start + size > link - 1 + hole) continue;
        this.#insert(start, size, link - 1, hole);
        this.#ledger.take(start, order);
        return start;
      }
    return NO_SPACE;
  }

  /** What is left of the hole before and behind the new range are holes again, in this order. */
  #insert(start: number, size: number, hole: number, length: number): void {
    this.#removeHole(hole, length);
    if (start > hole) this.#addHole(hole, start - hole);
    const end = hole + length;
    if (start + size < end) this.#addHole(start + size, end - start - size);
    this.state.ranges++;
    this.state.freePages -= size;
  }

  free(offset: number, order: number): void {
    this.#ledger.check(offset, order);
    this.#ledger.give(offset);
    const { state } = this;
    const range = state.splits === 0 ? -1 : this.#splitRangeOf(offset, order);
    if (range < 0) return this.#removeRange(offset, 1 << order);
    state.splitLeft[range] -= 1 << order;
    if (state.splitLeft[range] !== 0) return;
    const size = 1 << (state.splitOrder[range] - 1);
    state.splitOrder[range] = 0;
    state.splits--;
    this.#removeRange(range, size);
  }

  /** drm_mm_remove_node: the hole behind the range goes, then the one before it; one comes. */
  #removeRange(offset: number, size: number): void {
    const { state } = this;
    const behind = offset + size < this.pages ? state.sizeFrom[offset + size] : 0;
    const before = offset > 0 ? state.sizeTo[offset - 1] : 0;
    if (behind !== 0) this.#removeHole(offset + size, behind);
    if (before !== 0) this.#removeHole(offset - before, before);
    this.#addHole(offset - before, before + size + behind);
    state.ranges--;
    state.freePages += size;
  }

  split(offset: number, order: number, into: number): void {
    this.#ledger.split(offset, order, into);
    const { state } = this;
    if (state.splits !== 0 && this.#splitRangeOf(offset, order) >= 0) return;
    state.splitOrder[offset] = order + 1;
    state.splitLeft[offset] = 1 << order;
    state.splits++;
  }

  /** The split range that a part of it belongs to; −1. */
  #splitRangeOf(offset: number, order: number): number {
    for (let around = order; around <= this.#ledger.maxOrder; around++) {
      const start = offset & (-1 << around);
      if (this.state.splitOrder[start] > around) return start;
    }
    return -1;
  }

  #addHole(start: number, size: number): void {
    const { state } = this;
    state.sizeFrom[start] = size;
    state.sizeTo[start + size - 1] = size;
    const older = state.newest[size];
    if (older === 0) this.#sizes.add(size);
    else state.newer[older - 1] = start + 1;
    state.older[start] = older;
    state.newer[start] = 0;
    state.newest[size] = start + 1;
  }

  #removeHole(start: number, size: number): void {
    const { state } = this;
    state.sizeFrom[start] = 0;
    state.sizeTo[start + size - 1] = 0;
    const older = state.older[start];
    const newer = state.newer[start];
    if (older !== 0) state.newer[older - 1] = newer;
    if (newer !== 0) state.older[newer - 1] = older;
    else state.newest[size] = older;
    if (state.newest[size] === 0) this.#sizes.delete(size);
  }
}

function fresh(pages: number): TtmRangesState {
  const out = nothingOut(pages);
  const perPage = (): Int32Array => new Int32Array(pages);
  return {
    out,
    sizes: noMembers(pages + 1),
    newest: new Int32Array(pages + 1),
    older: perPage(),
    newer: perPage(),
    sizeFrom: perPage(),
    sizeTo: perPage(),
    splitOrder: new Uint8Array(pages),
    splitLeft: perPage(),
    splits: 0,
    ranges: 0,
    freePages: pages,
  };
}
