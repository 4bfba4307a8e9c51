/**
 * What a region of an RDMA device has of each of its pages: the HMM entry with its DMA
 * flags, and the device's own translation to an address for DMA.
 *
 * The notifier's callback and the page fault both change it, so both lists are words
 * (rule 1), under the region's lock: the entries of the array that the kernel gives to
 * hmm_range_fault (pfn_list), and the memory translation table (MTT) that the device
 * reads. A page has a translation only while its entry is DMA_MAPPED.
 *
 * Source: struct hmm_dma_map (pfn_list, dma_list); mlx5's MTT (MLX5_IB_MTT_READ,
 * MLX5_IB_MTT_WRITE). Simplified: a tree where the kernel has arrays and the device a
 * table in its memory, so an empty region costs nothing.
 */
import type { Ref } from "../../device/driver-api.js";
import type { Core } from "../../process/core.js";
import { O_INDEX_NODE } from "../../process/objects.js";
import { RadixTree } from "../../words/radix-tree.js";
import { highHalf, lowHalf, type Words } from "../../words/words.js";

const PAGE = 4096;
/** High half of a translation: the device may read, and write; below, the upper bits of the page. */
const MTT_READ = 1 << 31;
const MTT_WRITE = 1 << 30;
const ADDRESS_HIGH = 0xffff;

/** A tree of the kernel's index nodes at a root of eight bytes. */
export const indexTree = (core: Core, root: Ref): RadixTree =>
  new RadixTree({
    w: core.w,
    root,
    newNode: () => core.newObject(O_INDEX_NODE),
    freeNode: (node) => core.freeObject(O_INDEX_NODE, node),
  });

export class OdpTable {
  readonly w: Words;
  readonly #entries: RadixTree;
  readonly #mtt: RadixTree;
  /** Whether the device may write where `address` led to last. */
  mayWrite = false;

  /** Two roots of 16 bytes each from `roots` on. */
  constructor(core: Core, roots: Ref) {
    this.w = core.w;
    this.#entries = indexTree(core, roots);
    this.#mtt = indexTree(core, (roots + 1) as Ref);
  }

  /** Low half of the HMM entry of page `i`, the high one in `w.hi`; both 0 for none. */
  entry(i: number): number {
    return this.#entries.load(i);
  }

  /** DMA address of page `i`, its rights in `mayWrite`; −1 where the device has none. */
  address(i: number): number {
    const lo = this.#mtt.load(i);
    const { hi } = this.w;
    if ((hi & MTT_READ) === 0) return -1;
    this.mayWrite = (hi & MTT_WRITE) !== 0;
    return ((hi & ADDRESS_HIGH) * 2 ** 32 + (lo >>> 0)) * PAGE;
  }

  /** Page `i` is mapped; false without memory, with nothing changed. */
  store(i: number, lo: number, hi: number, address: number, write: boolean): boolean {
    if (!this.#entries.store(i, lo, hi)) return false;
    const page = address / PAGE;
    const rights = write ? MTT_READ | MTT_WRITE : MTT_READ;
    if (this.#mtt.store(i, lowHalf(page), highHalf(page) | rights)) return true;
    this.#entries.erase(i);
    return false;
  }

  /** Zaps the translation: the device cannot use the page any more. */
  zap(i: number): void {
    this.#mtt.erase(i);
  }

  /** Nothing is known of page `i` any more. */
  drop(i: number): void {
    this.#entries.erase(i);
  }

  /** Every page from `start` up to `end` that has an entry; it may be dropped meanwhile. */
  forEach(start: number, end: number, visit: (i: number, lo: number, hi: number) => void): void {
    this.#entries.forEach(start, end, visit);
  }
}
