/**
 * Free lists whose links lie in the free pages themselves, in page->zone_device_data:
 * how test_hmm and nouveau do it today, and what no longer works once pages are
 * requested by offset. Whoever wants a page reads a field of one that is idle, whoever
 * gives one back writes to it when it is idle already; both are uses after free ("they
 * take steps like walk the pfns that were previously assigned and make use of other
 * data like page->zone_device_data", seed 001). The word belongs to the owner of the
 * pages, who may refuse it.
 *
 * Touched are, and nothing else: when the lists are made, the first page of every
 * block and each page left over (written); to allocate, what is allocated (read); to
 * free, what is freed (written); to break a block, its first page (read) and all of
 * its pages (written); to merge, each page of the list of pages (read), those whose
 * next one has gone and the first page of every block that is whole again (written).
 *
 * Source: as `free-lists.ts`; device-facts §6 (what changes per user).
 */
import { PMD_ORDER } from "../../process/constants.js";
import {
  COUNTER_BYTES,
  FreeLists,
  unlinked,
  type FreeListsState,
  type IdlePageWord,
} from "./free-lists.js";

export type { IdlePageWord } from "./free-lists.js";

/** free_pages, free_folios and the lock of struct dmirror_device, padded: the links cost nothing. */
const HEADS_BYTES = 24;

export class InPageListAllocator extends FreeLists<FreeListsState> {
  /** What `word` throws while the lists are made comes out of here. */
  constructor(pages: number, word: IdlePageWord, largeOrder = PMD_ORDER, state?: FreeListsState) {
    super(
      "in-page-list",
      word,
      largeOrder,
      state ?? unlinked(pages, largeOrder),
      state !== undefined,
    );
  }

  get bookkeepingBytes(): number {
    return HEADS_BYTES + this.state.singles.length * COUNTER_BYTES;
  }
}
