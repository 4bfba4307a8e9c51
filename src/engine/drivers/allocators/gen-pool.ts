/**
 * gen_pool: the general allocator for memory that is not the kernel's own, which the
 * author of page requests proposed for offsets ("switch to using gen_pool_alloc() to
 * track which offsets of a pgmap are allocated").
 *
 * A pool has chunks, here one for each range of the page map, and a bitmap in each.
 * The chunk that was added last is searched first (list_add_rcu puts it in front), one
 * with too few pages left is passed over, and the first area that fits and is aligned
 * is taken. No block spans two chunks, even where they lie side by side.
 *
 * Source: lib/genalloc.c of 6.18 (gen_pool_alloc_algo_owner, gen_pool_free_owner,
 * gen_pool_first_fit_order_align). Simplified: alignment is that of the offset, as
 * gen_pool_first_fit_align counts it, not of the place in its chunk; sizes are powers
 * of two; no lock-free retries, one caller at a time.
 */
import { wholeNumber } from "../../process/arguments.js";
import { NO_SPACE, PAGES_MAX, type OffsetAllocator } from "./axis.js";
import { bitmapBytes } from "./bitmap.js";
import { noneUsed, UsedBits } from "./bits.js";
import { Ledger, nothingOut } from "./ledger.js";

export interface GenPoolState {
  readonly out: Uint8Array;
  /** The bitmaps of all chunks, one behind the other. */
  readonly used: Int32Array[];
  /** gen_pool_chunk.avail, in pages. */
  readonly avail: Int32Array;
  freePages: number;
}

/** sizeof(struct gen_pool) and of struct gen_pool_chunk without its bits (BTF of 6.1, 6.12 and 6.18). */
const POOL_BYTES = 56;
const CHUNK_BYTES = 56;

export class GenPoolAllocator implements OffsetAllocator {
  readonly name = "gen-pool";
  readonly pages: number;
  readonly state: GenPoolState;
  /** Where the chunks begin, and the end of the last one. */
  readonly #starts: Int32Array;
  readonly #used: UsedBits;
  readonly #ledger: Ledger;

  /** `chunks`: pages of each, in the order in which they are added. */
  constructor(chunks: readonly number[], state: GenPoolState = fresh(chunks)) {
    this.pages = sum(chunks);
    this.state = state;
    this.#starts = new Int32Array(chunks.length + 1);
    for (let i = 0; i < chunks.length; i++) this.#starts[i + 1] = this.#starts[i] + chunks[i];
    this.#used = new UsedBits(state.used);
    this.#ledger = new Ledger(this.name, state.out);
  }

  get freePages(): number {
    return this.state.freePages;
  }

  get bookkeepingBytes(): number {
    let bytes = POOL_BYTES;
    for (let i = 0; i + 1 < this.#starts.length; i++)
      bytes += CHUNK_BYTES + bitmapBytes(this.#starts[i + 1] - this.#starts[i]);
    return bytes;
  }

  alloc(order: number): number {
    if (!this.#ledger.fits(order)) return NO_SPACE;
    const { state } = this;
    const size = 1 << order;
    for (let chunk = state.avail.length - 1; chunk >= 0; chunk--) {
      if (state.avail[chunk] < size) continue;
      const offset = this.#used.zeroArea(this.#starts[chunk], this.#starts[chunk + 1], order);
      if (offset < 0) continue;
      this.#used.setArea(offset, order);
      state.avail[chunk] -= size;
      state.freePages -= size;
      this.#ledger.take(offset, order);
      return offset;
    }
    return NO_SPACE;
  }

  free(offset: number, order: number): void {
    this.#ledger.check(offset, order);
    this.#used.clearArea(offset, order);
    this.state.avail[this.#chunkOf(offset)] += 1 << order;
    this.state.freePages += 1 << order;
    this.#ledger.give(offset);
  }

  /** A pool does not know blocks: gen_pool_free takes any part of one. */
  split(offset: number, order: number, into: number): void {
    this.#ledger.split(offset, order, into);
  }

  #chunkOf(offset: number): number {
    let chunk = this.state.avail.length - 1;
    while (this.#starts[chunk] > offset) chunk--;
    return chunk;
  }
}

const sum = (chunks: readonly number[]): number => chunks.reduce((all, pages) => all + pages, 0);

function fresh(chunks: readonly number[]): GenPoolState {
  for (const pages of chunks) wholeNumber("pages of a chunk", pages, 1, PAGES_MAX);
  const pages = sum(chunks);
  return {
    out: nothingOut(pages),
    used: noneUsed(pages),
    avail: Int32Array.from(chunks),
    freePages: pages,
  };
}
