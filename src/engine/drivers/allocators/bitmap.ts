/**
 * A bit per page, the first clear one taken: how KVM on POWER keeps account of its
 * secure memory. The number of the bit is the offset, so nothing about it has to
 * change when pages are requested by offset.
 *
 * uvmem only ever takes one page (of 64 KiB); 2^order pages are found as every
 * kernel bitmap finds them, by bitmap_find_next_zero_area with their alignment.
 *
 * Source: kvmppc_uvmem_get_page, kvmppc_uvmem_page_free, kvmppc_uvmem_init
 * (bitmap_zalloc) of arch/powerpc/kvm/book3s_hv_uvmem.c; lib/bitmap.c. Simplified:
 * the spin lock is not taken, an allocator has one caller at a time.
 */
import { NO_SPACE, type OffsetAllocator } from "./axis.js";
import { noneUsed, UsedBits } from "./bits.js";
import { Ledger, nothingOut } from "./ledger.js";

export interface BitmapState {
  readonly out: Uint8Array;
  readonly used: Int32Array[];
  freePages: number;
}

/** kvmppc_uvmem_bitmap_lock: sizeof(spinlock_t) without lock debugging (BTF of 6.18). */
const LOCK_BYTES = 4;

/** Bytes of a kernel bitmap: whole longs. */
export const bitmapBytes = (bits: number): number => Math.ceil(bits / 64) * 8;

export class BitmapAllocator implements OffsetAllocator {
  readonly name = "bitmap";
  readonly pages: number;
  readonly state: BitmapState;
  readonly #used: UsedBits;
  readonly #ledger: Ledger;

  constructor(pages: number, state: BitmapState = fresh(pages)) {
    this.pages = pages;
    this.state = state;
    this.#used = new UsedBits(state.used);
    this.#ledger = new Ledger(this.name, state.out);
  }

  get freePages(): number {
    return this.state.freePages;
  }

  get bookkeepingBytes(): number {
    return LOCK_BYTES + bitmapBytes(this.pages);
  }

  alloc(order: number): number {
    if (!this.#ledger.fits(order)) return NO_SPACE;
    const offset = order === 0 ? this.#used.nextZero(0) : this.#used.zeroArea(0, this.pages, order);
    if (offset < 0) return NO_SPACE;
    this.#used.setArea(offset, order);
    this.state.freePages -= 1 << order;
    this.#ledger.take(offset, order);
    return offset;
  }

  free(offset: number, order: number): void {
    this.#ledger.check(offset, order);
    this.#used.clearArea(offset, order);
    this.state.freePages += 1 << order;
    this.#ledger.give(offset);
  }

  /** A bitmap does not know blocks: its parts are bits like all others. */
  split(offset: number, order: number, into: number): void {
    this.#ledger.split(offset, order, into);
  }
}

function fresh(pages: number): BitmapState {
  return { out: nothingOut(pages), used: noneUsed(pages), freePages: pages };
}
