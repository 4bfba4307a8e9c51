/**
 * The buddy allocator of graphics drivers (xe, amdgpu): an address space cut into
 * power-of-two roots, each split in halves where a smaller block is wanted and merged
 * again when both halves are back.
 *
 * The smallest order that has a free block gives it, and of that order the block with
 * the highest offset (the last of its tree); of every split the right half goes on and
 * the left one stays free. A size that is no power of two has a root for each of its
 * bits, the largest first, so a root is aligned to itself and blocks of two roots are
 * never buddies: the buddy of a root would reach over the end.
 *
 * Source: drivers/gpu/buddy.c (once drm/drm_buddy.c): gpu_buddy_init,
 * alloc_from_freetree, split_block, __gpu_buddy_free.
 * Simplified: no tree of cleared blocks (what comes back is dirty), no allocation in a
 * range or from the top, every allocation is one block; an order's tree is a bitmap
 * with summaries, which has the same last block.
 */
import { NO_SPACE, type OffsetAllocator } from "./axis.js";
import { MemberBits, noMembers, type Members } from "./bits.js";
import { Ledger, nothingOut } from "./ledger.js";

export interface BuddyState {
  readonly out: Uint8Array;
  /** For each order the numbers (offset >> order) of its free blocks. */
  readonly trees: Members[];
  /** Orders that have a free block, a bit each. */
  orders: number;
  /** gpu_buddy_block objects: roots, split blocks and their halves. */
  blocks: number;
  freePages: number;
}

/**
 * sizeof(struct gpu_buddy), of a block of it, of struct rb_root and of a pointer, added
 * up from include/linux/gpu_buddy.h as it came from drm_buddy.h; later in 2026 a block
 * has 8 bytes more (subtree_max_alignment) and the manager 16.
 */
const MM_BYTES = 56;
const BLOCK_BYTES = 80;
const RB_ROOT_BYTES = 8;
const POINTER_BYTES = 8;
/** GPU_BUDDY_MAX_FREE_TREES: cleared and dirty. */
const TREES = 2;

export class BuddyAllocator implements OffsetAllocator {
  readonly name = "buddy";
  readonly pages: number;
  /** mm->max_order: of the largest root. */
  readonly maxOrder: number;
  readonly state: BuddyState;
  readonly #trees: readonly MemberBits[];
  readonly #ledger: Ledger;

  constructor(pages: number, state?: BuddyState) {
    this.pages = pages;
    this.state = state ?? fresh(pages);
    this.#trees = this.state.trees.map((tree) => new MemberBits(tree));
    this.#ledger = new Ledger(this.name, this.state.out);
    this.maxOrder = this.#ledger.maxOrder;
    if (state === undefined) this.#makeRoots();
  }

  #makeRoots(): void {
    let offset = 0;
    for (let order = this.maxOrder; order >= 0; order--) {
      if ((this.pages & (1 << order)) === 0) continue;
      this.#add(order, offset >>> order);
      offset += 1 << order;
      this.state.blocks++;
    }
  }

  get freePages(): number {
    return this.state.freePages;
  }

  /** Blocks that there are now: roots, split ones, and their halves. */
  get blocks(): number {
    return this.state.blocks;
  }

  get bookkeepingBytes(): number {
    const roots = bitsIn(this.pages) * POINTER_BYTES;
    const trees = TREES * (POINTER_BYTES + (this.maxOrder + 1) * RB_ROOT_BYTES);
    return MM_BYTES + roots + trees + this.state.blocks * BLOCK_BYTES;
  }

  alloc(order: number): number {
    if (!this.#ledger.fits(order)) return NO_SPACE;
    const { state } = this;
    const enough = state.orders & (-1 << order);
    if (enough === 0) return NO_SPACE;
    let current = 31 - Math.clz32(enough & -enough);
    let block = this.#trees[current].last();
    this.#remove(current, block);
    while (current > order) {
      // split_block: the left half is free, the right one goes on.
      current--;
      block *= 2;
      this.#add(current, block);
      block++;
      state.blocks += 2;
    }
    const offset = block << order;
    state.freePages -= 1 << order;
    this.#ledger.take(offset, order);
    return offset;
  }

  free(offset: number, order: number): void {
    this.#ledger.check(offset, order);
    const { state } = this;
    let current = order;
    let block = offset >>> order;
    while (current < this.maxOrder && this.#trees[current].has(block ^ 1)) {
      this.#remove(current, block ^ 1);
      block >>>= 1;
      current++;
      state.blocks -= 2;
    }
    this.#add(current, block);
    state.freePages += 1 << order;
    this.#ledger.give(offset);
  }

  /** As gpu_buddy_block_trim would: a block that is out becomes blocks that are out. */
  split(offset: number, order: number, into: number): void {
    this.#ledger.split(offset, order, into);
    this.state.blocks += 2 * (2 ** (order - into) - 1);
  }

  #add(order: number, block: number): void {
    this.#trees[order].add(block);
    this.state.orders |= 1 << order;
  }

  #remove(order: number, block: number): void {
    if (this.#trees[order].delete(block)) this.state.orders &= ~(1 << order);
  }
}

/** hweight: a root for each. */
function bitsIn(n: number): number {
  let count = 0;
  for (let left = n; left !== 0; left &= left - 1) count++;
  return count;
}

function fresh(pages: number): BuddyState {
  const out = nothingOut(pages);
  const trees: Members[] = [];
  for (let order = 0; pages >>> order !== 0; order++) trees.push(noMembers(pages >>> order));
  return { out, trees, orders: 0, blocks: 0, freePages: pages };
}
