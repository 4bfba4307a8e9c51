/**
 * Numbers of device pages in entries: from an entry to the page it names and from
 * a page to its entry, whatever the naming.
 *
 * A number never travels without its kind. Where private pages have numbers of
 * their own the entry's type says so; where they have pfns, only the number itself
 * can be asked. The one place in which both are told apart.
 *
 * Facts: device-facts §2.3 (swap types), §2.4.
 */
import type { DeviceNaming } from "../design/device-name/axis.js";
import type { DeviceRecord } from "../design/device-record/axis.js";
import type { Ref } from "../../units.js";
import type { Words } from "../words/words.js";
import {
  deviceHigh,
  deviceNumberHigh,
  PTE_THERE,
  SWP_DEVICE_EXCLUSIVE,
  SWP_DEVICE_MIGRATION_READ,
  SWP_DEVICE_MIGRATION_WRITE,
  SWP_DEVICE_READ,
  SWP_DEVICE_WRITE,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_WRITE,
  swapHigh,
  swapLow,
  swapOffset,
  swapType,
} from "../process/entry.js";
import {
  IN_PAGE_TABLE,
  TOLD_BY_STRUCT,
  TOLD_BY_TYPE,
  type NumberWitness,
} from "../process/number-witness.js";

/** How a migration entry was mapped before. */
export const MOVES_READ = 0;
export const MOVES_READ_EXCLUSIVE = 1;
export const MOVES_WRITE = 2;

export class Numbers {
  readonly naming: DeviceNaming;
  readonly record: DeviceRecord;
  readonly w: Words;
  readonly firstPrivate: number;
  readonly #ownKind: boolean;
  /** Who is told of every number that is made or followed; null in fast runs. */
  witness: NumberWitness | null = null;
  /** High half of the entry that was made last. */
  hi = 0;
  /** High part of the number that `low` gave last. */
  above = 0;

  constructor(naming: DeviceNaming, record: DeviceRecord, w: Words, firstPrivate: number) {
    this.naming = naming;
    this.record = record;
    this.w = w;
    this.firstPrivate = firstPrivate;
    this.#ownKind = naming.ownKind;
  }

  /** struct dev_pagemap of a page in service. */
  #map(page: number): Ref {
    return this.record.pgmapOf(this.record.folioOf(page));
  }

  /** Low half of a private page's number; the high one in `above`. */
  low(page: number): number {
    const map = this.#map(page);
    this.above = this.naming.numberHigh(page, map);
    return this.naming.numberLow(page, map);
  }

  high(page: number): number {
    return this.naming.numberHigh(page, this.#map(page));
  }

  /** make_readable_device_private_entry, make_writable_…: low half, high half in `hi`. */
  privateEntry(page: number, write: boolean): number {
    const map = this.#map(page);
    const low = this.naming.numberLow(page, map);
    const type = write ? SWP_DEVICE_WRITE : SWP_DEVICE_READ;
    this.hi = deviceHigh(type, low, this.naming.numberHigh(page, map));
    return this.#made(swapLow(low, false), page);
  }

  #made(lo: number, page: number): number {
    if (this.witness !== null) this.witness.made(IN_PAGE_TABLE, lo, this.hi, page);
    return lo;
  }

  #read(told: number, isPrivate: boolean, lo: number, hi: number, page: number): number {
    if (this.witness !== null) this.witness.read(IN_PAGE_TABLE, told, isPrivate, lo, hi, page);
    return page;
  }

  /** make_…_migration_entry for a page of either side. */
  migrationEntry(page: number, how: number): number {
    if (page < this.firstPrivate) {
      this.hi = swapHigh(SWP_MIGRATION_READ + how, page);
      return this.#made(swapLow(page, how !== MOVES_READ), page);
    }
    const map = this.#map(page);
    const low = this.naming.numberLow(page, map);
    const first = this.#ownKind ? SWP_DEVICE_MIGRATION_READ : SWP_MIGRATION_READ;
    this.hi = deviceHigh(first + how, low, this.naming.numberHigh(page, map));
    return this.#made(swapLow(low, how !== MOVES_READ), page);
  }

  /** make_device_exclusive_entry: of a page of RAM. */
  exclusiveEntry(pfn: number): number {
    this.hi = swapHigh(SWP_DEVICE_EXCLUSIVE, pfn);
    return this.#made(swapLow(pfn, false), pfn);
  }

  /** Frame of an exclusive entry: its page is RAM. */
  lent(lo: number, hi: number): number {
    return this.#read(TOLD_BY_TYPE, false, lo, hi, swapOffset(lo, hi));
  }

  /** Page that an entry's number names among the private ones; −1 for none. */
  find(lo: number, hi: number): number {
    const page = this.naming.find(swapOffset(lo, hi), deviceNumberHigh(hi));
    return this.#read(TOLD_BY_TYPE, true, lo, hi, page);
  }

  /** softleaf_is_migration, of either kind. */
  isMigration(lo: number, hi: number): boolean {
    if ((lo & PTE_THERE) !== 0) return false;
    const type = swapType(hi);
    return (
      (type >= SWP_MIGRATION_READ && type <= SWP_MIGRATION_WRITE) ||
      (type >= SWP_DEVICE_MIGRATION_READ && type <= SWP_DEVICE_MIGRATION_WRITE)
    );
  }

  /** How the page of a migration entry was mapped: MOVES_… */
  movesHow(hi: number): number {
    const type = swapType(hi);
    return type >= SWP_MIGRATION_READ
      ? type - SWP_MIGRATION_READ
      : type - SWP_DEVICE_MIGRATION_READ;
  }

  /**
   * Page that a migration entry leads to: a frame, or a private page; −1 for none.
   * softleaf_to_page on a migration entry.
   */
  moving(lo: number, hi: number): number {
    const type = swapType(hi);
    const number = swapOffset(lo, hi);
    if (type <= SWP_DEVICE_MIGRATION_WRITE)
      return this.#read(TOLD_BY_TYPE, true, lo, hi, this.naming.find(number, deviceNumberHigh(hi)));
    if (this.#ownKind) return this.#read(TOLD_BY_TYPE, false, lo, hi, number);
    // A pfn among pfns: what memory it is of only its struct page says.
    const isPrivate = number >= this.firstPrivate;
    const page = isPrivate ? this.naming.find(number, 0) : number;
    return this.#read(TOLD_BY_STRUCT, isPrivate, lo, hi, page);
  }

  /** Whether an entry that is not present is the device layer's. */
  owns(lo: number, hi: number): boolean {
    const type = swapType(hi);
    if (type === SWP_DEVICE_WRITE || type === SWP_DEVICE_READ) return true;
    if (type === SWP_DEVICE_EXCLUSIVE) return true;
    if (type >= SWP_DEVICE_MIGRATION_READ && type <= SWP_DEVICE_MIGRATION_WRITE) return true;
    if (this.#ownKind || type < SWP_MIGRATION_READ || type > SWP_MIGRATION_WRITE) return false;
    const number = swapOffset(lo, hi);
    if (number < this.firstPrivate) return false;
    return this.#read(TOLD_BY_STRUCT, true, lo, hi, this.naming.find(number, 0)) >= 0;
  }
}

/** Kinds of a migration entry, by whether it was writable and exclusively the process's. */
export const movesAs = (write: boolean, exclusive: boolean): number =>
  write ? MOVES_WRITE : exclusive ? MOVES_READ_EXCLUSIVE : MOVES_READ;
