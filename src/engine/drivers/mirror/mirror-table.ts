/**
 * The page table of a mirroring device: for each page of the process that it may
 * use, which page that is and how it may be used.
 *
 * It is there only while nothing has changed in the process since it was asked:
 * presence is words, entries are taken away by the notifier's callback under the
 * device's lock.
 *
 * Source: lib/test_hmm.c (struct dmirror, pt: an xarray of page pointers with a tag
 * of two bits).
 */
import { lowHalf, type Words } from "../../words/words.js";
import { RadixTree } from "../../words/radix-tree.js";
import type { Core } from "../../process/core.js";
import { O_INDEX_NODE } from "../../process/objects.js";
import type { Ref } from "../../../units.js";

/** An entry may be read … */
export const TAG_READ = 0;
/** … belongs to the device's atomic operations … */
export const TAG_ATOMIC = 1;
/** … or may be written. */
export const TAG_WRITE = 3;

/** High half of an entry: it is there, and its tag. */
const THERE = 1 << 31;

export class MirrorTable {
  readonly w: Words;
  readonly #tree: RadixTree;
  /** Tag of the entry that was looked up last. */
  tag = 0;

  constructor(core: Core, root: Ref) {
    this.w = core.w;
    this.#tree = new RadixTree({
      w: core.w,
      root,
      newNode: () => core.newObject(O_INDEX_NODE),
      freeNode: (node) => core.freeObject(O_INDEX_NODE, node),
    });
  }

  /** Page at a page number of the process, its tag in `tag`; −1 for none. */
  load(vpn: number): number {
    const lo = this.#tree.load(vpn);
    const { hi } = this.w;
    if ((hi & THERE) === 0) return -1;
    this.tag = hi & 3;
    return lo >>> 0;
  }

  /** False without memory. */
  store(vpn: number, page: number, tag: number): boolean {
    return this.#tree.store(vpn, lowHalf(page), THERE | tag);
  }

  /** Nothing from `start` up to `end` is there any more. */
  erase(start: number, end: number): void {
    this.#tree.forEach(start, end, (vpn) => this.#tree.erase(vpn));
  }

  forEach(
    start: number,
    end: number,
    visit: (vpn: number, page: number, tag: number) => void,
  ): void {
    this.#tree.forEach(start, end, (vpn, lo, hi) => visit(vpn, lo >>> 0, hi & 3));
  }
}
