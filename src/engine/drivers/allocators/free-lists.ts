/**
 * Free pages linked one behind the other, what came back last used first: one list of
 * single pages and one of blocks of PMD order, as test_hmm and nouveau keep them
 * (free_pages, free_folios). Where the links lie is another's business: in the idle
 * pages (`in-page-list.ts`) or outside of them (`outside-list.ts`). Everything else is
 * the same, so the two can be compared.
 *
 * At first every aligned block that fits is on the list of blocks, what is left over
 * at the end on that of pages, both from the lowest offset on, so the highest is used
 * first. test_hmm takes a new chunk when a list is empty, and a chunk is cut into
 * pages or into blocks once and for all; a page map has no more to give, so here the
 * first block of the list is broken when single pages run out. Pages become a block
 * again only when no block is left, one is wanted, and all pages of one are back: then
 * the list is walked once and every such block taken off it. A block broken and not
 * yet complete again is lost to large folios, which is how these lists fragment. Only
 * these two orders can be had.
 *
 * Source: lib/test_hmm.c (dmirror_allocate_chunk, dmirror_devmem_alloc_page,
 * dmirror_devmem_free), drivers/gpu/drm/nouveau/nouveau_dmem.c
 * (nouveau_dmem_chunk_alloc, nouveau_dmem_folio_free) with large folios; device-facts
 * §4.1. Breaking and merging are invented.
 */
import { wholeNumber } from "../../process/arguments.js";
import { NO_SPACE, type OffsetAllocator } from "./axis.js";
import { Ledger, nothingOut } from "./ledger.js";

/**
 * The link that a free page has: 1 + the offset of the next one, 0 at the end. An
 * owner to whom idle pages are out of bounds throws from either; an allocator changes
 * nothing of its own before its first touch.
 */
export interface IdlePageWord {
  load(offset: number): number;
  store(offset: number, value: number): void;
}

export interface FreeListsState {
  readonly out: Uint8Array;
  /** First free page and first free block: offset + 1, 0 where the list is empty. */
  firstPage: number;
  firstFolio: number;
  /** For each block: how many of its pages are on the list of pages. */
  readonly singles: Uint16Array;
  /** Blocks that have all of their pages there. */
  complete: number;
  freePages: number;
}

/** So many pages does a counter of 16 bits hold. */
const LARGE_ORDER_MAX = 15;
/** Bytes of the counters of pages that are back, for each block. */
export const COUNTER_BYTES = Uint16Array.BYTES_PER_ELEMENT;

export abstract class FreeLists<S extends FreeListsState> implements OffsetAllocator {
  readonly name: string;
  readonly pages: number;
  /** The other order that can be had, besides 0. */
  readonly largeOrder: number;
  readonly state: S;
  readonly #word: IdlePageWord;
  readonly #ledger: Ledger;

  /** Links everything that is free, unless the state is one that goes on. */
  constructor(name: string, word: IdlePageWord, largeOrder: number, state: S, goesOn: boolean) {
    this.name = name;
    this.pages = state.out.length;
    this.largeOrder = largeOrder;
    this.state = state;
    this.#word = word;
    this.#ledger = new Ledger(name, state.out);
    if (!goesOn) this.#linkAll();
  }

  /** dmirror_allocate_chunk with is_large. */
  #linkAll(): void {
    const blocks = this.state.singles.length;
    for (let block = 0; block < blocks; block++) this.#pushFolio(block << this.largeOrder);
    for (let page = blocks << this.largeOrder; page < this.pages; page++) this.#pushPage(page);
  }

  get freePages(): number {
    return this.state.freePages;
  }

  abstract get bookkeepingBytes(): number;

  alloc(order: number): number {
    if (!this.#ledger.fits(order)) return NO_SPACE;
    const ready =
      order === 0 ? this.#hasPage() : order === this.largeOrder ? this.#hasFolio() : false;
    if (!ready) return NO_SPACE;
    const offset = order === 0 ? this.#popPage() : this.#popFolio();
    this.state.freePages -= 1 << order;
    this.#ledger.take(offset, order);
    return offset;
  }

  free(offset: number, order: number): void {
    this.#ledger.check(offset, order);
    if (order === 0) this.#pushPage(offset);
    else this.#pushFolio(offset);
    this.state.freePages += 1 << order;
    this.#ledger.give(offset);
  }

  split(offset: number, order: number, into: number): void {
    this.#ledger.check(offset, order, "split");
    if (into > 0 && into < order)
      throw this.#ledger.error(offset, order, "split", `there is no list for order ${into}`);
    this.#ledger.split(offset, order, into);
  }

  /** Is there a page, if need be of a block that is broken for it? */
  #hasPage(): boolean {
    if (this.state.firstPage !== 0) return true;
    if (this.state.firstFolio === 0) return false;
    this.#breakFolio();
    return true;
  }

  /** Is there a block, if need be of pages that are all back? */
  #hasFolio(): boolean {
    if (this.state.firstFolio !== 0) return true;
    if (this.state.complete === 0) return false;
    this.#merge();
    return true;
  }

  #pushPage(offset: number): void {
    const { state } = this;
    this.#word.store(offset, state.firstPage);
    state.firstPage = offset + 1;
    const block = offset >>> this.largeOrder;
    if (block >= state.singles.length) return;
    if (++state.singles[block] === 1 << this.largeOrder) state.complete++;
  }

  #popPage(): number {
    const { state } = this;
    const offset = state.firstPage - 1;
    state.firstPage = this.#word.load(offset);
    const block = offset >>> this.largeOrder;
    if (block < state.singles.length && state.singles[block]-- === 1 << this.largeOrder)
      state.complete--;
    return offset;
  }

  #pushFolio(offset: number): void {
    this.#word.store(offset, this.state.firstFolio);
    this.state.firstFolio = offset + 1;
  }

  #popFolio(): number {
    const offset = this.state.firstFolio - 1;
    this.state.firstFolio = this.#word.load(offset);
    return offset;
  }

  /** The list of pages is empty: the first block becomes it, from its last page on. */
  #breakFolio(): void {
    const { state } = this;
    const head = state.firstFolio - 1;
    const rest = this.#word.load(head);
    const size = 1 << this.largeOrder;
    // The head last: until then it is still the first of the other list.
    for (let i = size - 1; i > 0; i--) this.#word.store(head + i, head + i);
    this.#word.store(head, 0);
    state.firstFolio = rest;
    state.firstPage = head + size;
    state.singles[head >>> this.largeOrder] = size;
    state.complete++;
  }

  /** Takes the pages of complete blocks off the list of pages and puts the blocks on theirs. */
  #merge(): void {
    const { state } = this;
    const size = 1 << this.largeOrder;
    state.firstPage = this.#withoutComplete(size);
    for (let block = 0; state.complete > 0; block++) {
      if (state.singles[block] !== size) continue;
      this.#pushFolio(block << this.largeOrder);
      state.singles[block] = 0;
      state.complete--;
    }
  }

  /** Links those that stay with each other; the first of them. */
  #withoutComplete(size: number): number {
    const { state } = this;
    let first = 0;
    let last = 0;
    let gap = false;
    for (let link = state.firstPage; link !== 0;) {
      const page = link;
      link = this.#word.load(page - 1);
      const goes = state.singles[(page - 1) >>> this.largeOrder] === size;
      if (!goes && last === 0) first = page;
      else if (!goes && gap) this.#word.store(last - 1, page);
      if (!goes) last = page;
      gap = goes;
    }
    if (gap && last !== 0) this.#word.store(last - 1, 0);
    return first;
  }
}

/** The record of lists in which nothing is linked yet. */
export function unlinked(pages: number, largeOrder: number): FreeListsState {
  const order = wholeNumber("order of a large folio", largeOrder, 1, LARGE_ORDER_MAX);
  return {
    out: nothingOut(pages),
    firstPage: 0,
    firstFolio: 0,
    singles: new Uint16Array(pages >>> order),
    complete: 0,
    freePages: pages,
  };
}
