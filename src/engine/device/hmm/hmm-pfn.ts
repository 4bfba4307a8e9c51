/**
 * Entries of HMM arrays: 64 bits, six flags and the kind on top, the order of the
 * mapping below them, the page's number at the bottom.
 *
 *     63 VALID   62 WRITE   61 ERROR   60 DMA_MAPPED   59 P2PDMA   58 P2PDMA_BUS
 *     57 DEVICE_PRIVATE     52–56 order of the mapping      0–51 number
 *
 * An array is an Int32Array with two words for an entry, low half first, as the
 * kernel's array of longs lies in memory; flags are bits of the high half.
 *
 * The number is a frame for memory that has frames. For a device-private page it is
 * what the naming says: an offset, or (space, index) with the index in bits 0–31 and
 * the space in bits 32–47, so that 65,536 spaces of 2^32 pages fit and bits 48–51
 * stay zero. A number that is not a frame is marked DEVICE_PRIVATE. Where private
 * pages have pfns of a stolen range nothing marks them, as in the kernel of July
 * 2026: only the number can be asked.
 *
 * Bit 57 has three claimants: DEVICE_PRIVATE (series of 2026), ALLOW_P2P (peer DMA
 * v2), MIGRATE (Penttilä). The first moved the order field down by one, from 53 to
 * 52. The second did not: there the bit is the top one of the order, so a PUD's
 * order 18 reads as the flag, and the flag on a single page as order 16
 * (`hmmOrderSets`, device-facts §2.5).
 *
 * Source: include/linux/hmm.h of the mm tree of July 2026; HMM_PFN_DEVICE_PRIVATE
 * and HMM_PFN_ORDER_SHIFT of the series' patch 12 (device-facts §2.3). Simplified:
 * every design has this layout, also those without the series.
 */
import { MEMORY_DEVICE_PCI_P2PDMA, MEMORY_DEVICE_PRIVATE, MEMORY_TYPE_NAMES } from "../kinds.js";
import { IN_HMM_ARRAY, TOLD_BY_FLAG, TOLD_BY_STRUCT } from "../../process/number-witness.js";
import type { HmmContext } from "./context.js";

// Bits of the high half.
export const HMM_PFN_VALID = 1 << 31;
/** Output, in the high half of an entry of hmm_range_fault: the page may be written. */
export const HMM_PFN_WRITE = 1 << 30;
export const HMM_PFN_ERROR = 1 << 29;
export const HMM_PFN_DMA_MAPPED = 1 << 28;
export const HMM_PFN_P2PDMA = 1 << 27;
export const HMM_PFN_P2PDMA_BUS = 1 << 26;
export const HMM_PFN_DEVICE_PRIVATE = 1 << 25;
/** What is carried from input to output. */
export const HMM_PFN_INOUT_FLAGS = HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS;

/** Input, in the bits of VALID and WRITE: the page must be there, or be brought; and be writable. */
export const HMM_PFN_REQ_FAULT = 1 << 31;
/** Input, in the high half of an entry: the page must be writable. */
export const HMM_PFN_REQ_WRITE = 1 << 30;

/** Bits of the whole entry: where the order begins, how wide it is, how wide the number. */
export const HMM_PFN_ORDER_SHIFT = 52;
export const HMM_PFN_ORDER_BITS = 5;
/** Bits of the number for an index, and for a space above it. */
export const HMM_PFN_INDEX_BITS = 32;
export const HMM_PFN_SPACE_BITS = 16;

const ORDER_AT = HMM_PFN_ORDER_SHIFT - 32;
const ORDER_MASK = (1 << HMM_PFN_ORDER_BITS) - 1;
const NUMBER_HIGH = (1 << ORDER_AT) - 1;

/** hmm_pfn_flags_order: an order as bits of the high half. */
export const hmmOrderFlags = (order: number): number => order << ORDER_AT;

/** Whether an order in a field of five bits from `shift` on sets bit `bit` of an entry. */
export const hmmOrderSets = (order: number, shift: number, bit: number): boolean =>
  bit >= shift && bit < shift + HMM_PFN_ORDER_BITS && ((order >>> (bit - shift)) & 1) === 1;

/** What an entry is about: what the processor reads, or a device's memory by its type. */
export type HmmKind = "none" | "error" | "ram" | (typeof MEMORY_TYPE_NAMES)[number];

export class HmmPfns {
  readonly #c: HmmContext;
  readonly #ownKind: boolean;
  readonly #firstDevice: number;

  constructor(context: HmmContext) {
    this.#c = context;
    this.#ownKind = context.naming.ownKind;
    this.#firstDevice = context.base.core.machine.deviceFirst;
  }

  /** Flags that say of what kind a page's number is. */
  kindFlags(page: number): number {
    return this.#ownKind && page >= this.#c.firstPrivate ? HMM_PFN_DEVICE_PRIVATE : 0;
  }

  /** Entry `i`: a page of either kind with flags of the high half, mapped as 2^order pages. */
  set(array: Int32Array, i: number, page: number, flags: number, order: number): void {
    const { numbers, firstPrivate } = this.#c;
    const high = this.kindFlags(page) | flags | hmmOrderFlags(order);
    const isPrivate = page >= firstPrivate;
    array[i << 1] = isPrivate ? numbers.low(page) : page;
    array[(i << 1) + 1] = isPrivate ? numbers.high(page) | high : high;
    const { witness } = numbers;
    if (witness !== null) witness.made(IN_HMM_ARRAY, array[i << 1], array[(i << 1) + 1], page);
  }

  /** hmm_pfn_to_page: frame or private page; −1 for an entry that is not valid, or names none. */
  page(array: Int32Array, i: number): number {
    const hi = array[(i << 1) + 1];
    if ((hi & HMM_PFN_VALID) === 0) return -1;
    const low = array[i << 1] >>> 0;
    const { naming, firstPrivate } = this.#c;
    if ((hi & HMM_PFN_DEVICE_PRIVATE) !== 0)
      return this.#read(TOLD_BY_FLAG, true, low, hi, naming.find(low, hi & NUMBER_HIGH));
    if (this.#ownKind) return this.#read(TOLD_BY_FLAG, false, low, hi, low);
    // A pfn among pfns: what memory it is of only its struct page says.
    const isPrivate = low >= firstPrivate;
    return this.#read(TOLD_BY_STRUCT, isPrivate, low, hi, isPrivate ? naming.find(low, 0) : low);
  }

  #read(told: number, isPrivate: boolean, lo: number, hi: number, page: number): number {
    const { witness } = this.#c.numbers;
    if (witness !== null) witness.read(IN_HMM_ARRAY, told, isPrivate, lo, hi, page);
    return page;
  }

  /** hmm_pfn_to_map_order */
  mapOrder(array: Int32Array, i: number): number {
    return (array[(i << 1) + 1] >>> ORDER_AT) & ORDER_MASK;
  }

  /** Flags of entry `i`: bits of its high half. */
  flags(array: Int32Array, i: number): number {
    return array[(i << 1) + 1] & ~((ORDER_MASK << ORDER_AT) | NUMBER_HIGH);
  }

  /** The two halves of its number. */
  numberLow(array: Int32Array, i: number): number {
    return array[i << 1] >>> 0;
  }

  numberHigh(array: Int32Array, i: number): number {
    return array[(i << 1) + 1] & NUMBER_HIGH;
  }

  /**
   * What is behind entry `i`. The flags say `private` (where its number is of a kind
   * of its own) and `p2pdma` (where peers are told apart); else the page is asked.
   */
  kind(array: Int32Array, i: number): HmmKind {
    const flags = array[(i << 1) + 1];
    if ((flags & HMM_PFN_ERROR) !== 0) return "error";
    if ((flags & HMM_PFN_VALID) === 0) return "none";
    if ((flags & HMM_PFN_DEVICE_PRIVATE) !== 0) return MEMORY_TYPE_NAMES[MEMORY_DEVICE_PRIVATE];
    if ((flags & (HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS)) !== 0)
      return MEMORY_TYPE_NAMES[MEMORY_DEVICE_PCI_P2PDMA];
    return this.kindOfPage(this.page(array, i));
  }

  /** The same of a page. */
  kindOfPage(page: number): HmmKind {
    if (page < 0) return "none";
    if (page >= this.#c.firstPrivate) return MEMORY_TYPE_NAMES[MEMORY_DEVICE_PRIVATE];
    if (page < this.#firstDevice) return "ram";
    return MEMORY_TYPE_NAMES[this.#c.pagemaps.ofFrame(page)?.type ?? 0];
  }
}
