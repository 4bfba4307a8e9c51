/**
 * Free lists whose links lie in an array beside the pages: what test_hmm and nouveau
 * must become when idle pages are out of bounds. The same lists and the same choices
 * as `in-page-list.ts`; the difference is four bytes per page, in use or not.
 *
 * Source: as `free-lists.ts`; device-facts §6 (offset bitmap, gen_pool or lists outside
 * of the pages). No such driver exists, so the array is invented: a 32-bit offset + 1
 * for each page.
 */
import { PMD_ORDER } from "../../process/constants.js";
import { COUNTER_BYTES, FreeLists, unlinked, type FreeListsState } from "./free-lists.js";

export interface OutsideListState extends FreeListsState {
  /** For each page that is free: 1 + the offset of the next one, 0 at the end. */
  readonly links: Int32Array;
}

/** Two heads of 32 bits and a lock. */
const HEADS_BYTES = 12;

export class OutsideListAllocator extends FreeLists<OutsideListState> {
  constructor(pages: number, largeOrder = PMD_ORDER, state?: OutsideListState) {
    const own = state ?? fresh(pages, largeOrder);
    const { links } = own;
    const word = {
      load: (offset: number): number => links[offset],
      store: (offset: number, value: number): void => {
        links[offset] = value;
      },
    };
    super("outside-list", word, largeOrder, own, state !== undefined);
  }

  get bookkeepingBytes(): number {
    return (
      HEADS_BYTES +
      this.pages * Int32Array.BYTES_PER_ELEMENT +
      this.state.singles.length * COUNTER_BYTES
    );
  }
}

function fresh(pages: number, largeOrder: number): OutsideListState {
  return { ...unlinked(pages, largeOrder), links: new Int32Array(pages) };
}
