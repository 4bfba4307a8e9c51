/**
 * Entries of migrate arrays: 64 bits, six of them flags, the page's number above.
 *
 * A device-private page's number is marked as one where it is of a kind of its
 * own, so that an entry says what its number counts. An array is an Int32Array
 * with two words for an entry, low half first, as the kernel's array of longs lies
 * in memory.
 *
 * Source: include/linux/migrate.h of the mm tree of July 2026;
 * MIGRATE_PFN_DEVICE_PRIVATE of the series of 2026 (device-facts §2.3).
 */
import { IN_MIGRATE_ARRAY, TOLD_BY_FLAG, TOLD_BY_STRUCT } from "../process/number-witness.js";
import type { Mutants } from "./mutants.js";
import type { Numbers } from "./numbers.js";

/** Bit of an entry of migrate_vma: it has a number. */
export const MIGRATE_PFN_VALID = 1 << 0;
/** Bit of an entry of migrate_vma: it can migrate; after `pages`: it did. */
export const MIGRATE_PFN_MIGRATE = 1 << 1;
/** Bit of an entry of migrate_vma: the process may write to it. */
export const MIGRATE_PFN_WRITE = 1 << 3;
/** Bit of an entry of migrate_vma: the first of a huge page. */
export const MIGRATE_PFN_COMPOUND = 1 << 4;
export const MIGRATE_PFN_DEVICE_PRIVATE = 1 << 5;
export const MIGRATE_PFN_SHIFT = 6;

/** Bits of a number that an entry has room for. */
export const MIGRATE_PFN_BITS = 64 - MIGRATE_PFN_SHIFT;

export class MigratePfns {
  readonly numbers: Numbers;
  readonly mutants: Mutants;
  readonly #firstPrivate: number;
  readonly #firstDevice: number;
  readonly #ownKind: boolean;

  constructor(numbers: Numbers, mutants: Mutants, firstDevice: number) {
    this.numbers = numbers;
    this.mutants = mutants;
    this.#firstPrivate = numbers.firstPrivate;
    this.#firstDevice = firstDevice;
    this.#ownKind = numbers.naming.ownKind;
  }

  /** migrate_pfn_from_page, into entry `i`. */
  set(array: Int32Array, i: number, page: number, flags: number): void {
    this.#set(array, i, page, flags);
    const { witness } = this.numbers;
    if (witness !== null) witness.made(IN_MIGRATE_ARRAY, array[i << 1], array[(i << 1) + 1], page);
  }

  #set(array: Int32Array, i: number, page: number, flags: number): void {
    if (page < this.#firstPrivate) {
      // Version 1 of the series took all device memory for private (device-facts §2.2).
      const mixed = this.mutants.coherentMix && this.#ownKind && page >= this.#firstDevice;
      const kind = mixed ? MIGRATE_PFN_DEVICE_PRIVATE : 0;
      array[i << 1] = (page << MIGRATE_PFN_SHIFT) | flags | MIGRATE_PFN_VALID | kind;
      array[(i << 1) + 1] = page >>> (32 - MIGRATE_PFN_SHIFT);
      return;
    }
    const low = this.numbers.low(page);
    const kind = this.#ownKind ? MIGRATE_PFN_DEVICE_PRIVATE : 0;
    array[i << 1] = (low << MIGRATE_PFN_SHIFT) | flags | MIGRATE_PFN_VALID | kind;
    array[(i << 1) + 1] =
      (low >>> (32 - MIGRATE_PFN_SHIFT)) | (this.numbers.above << MIGRATE_PFN_SHIFT);
  }

  /** migrate_pfn_to_page: frame or private page; −1 for none. */
  page(array: Int32Array, i: number): number {
    const lo = array[i << 1];
    if ((lo & MIGRATE_PFN_VALID) === 0) return -1;
    const hi = array[(i << 1) + 1];
    const low = ((lo >>> MIGRATE_PFN_SHIFT) | (hi << (32 - MIGRATE_PFN_SHIFT))) >>> 0;
    const { naming } = this.numbers;
    if ((lo & MIGRATE_PFN_DEVICE_PRIVATE) !== 0)
      return this.#read(TOLD_BY_FLAG, true, lo, hi, naming.find(low, hi >>> MIGRATE_PFN_SHIFT));
    if (this.#ownKind) return this.#read(TOLD_BY_FLAG, false, lo, hi, low);
    // A pfn among pfns: what memory it is of only its struct page says.
    const isPrivate = low >= this.#firstPrivate;
    return this.#read(TOLD_BY_STRUCT, isPrivate, lo, hi, isPrivate ? naming.find(low, 0) : low);
  }

  #read(told: number, isPrivate: boolean, lo: number, hi: number, page: number): number {
    const { witness } = this.numbers;
    if (witness !== null) witness.read(IN_MIGRATE_ARRAY, told, isPrivate, lo, hi, page);
    return page;
  }
}

/** Flags of entry `i`. */
export const flagsAt = (array: Int32Array, i: number): number => array[i << 1];

/** Entry `i` is not to be migrated, or was not. */
export function clearMigrate(array: Int32Array, i: number): void {
  array[i << 1] &= ~MIGRATE_PFN_MIGRATE;
}

/** Nothing is in entry `i`. */
export function clearEntry(array: Int32Array, i: number): void {
  array[i << 1] = 0;
  array[(i << 1) + 1] = 0;
}
