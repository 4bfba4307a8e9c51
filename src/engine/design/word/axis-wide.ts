/**
 * What the two words of 64 bytes share: struct page and the typed slot. Each page
 * has its own flags (exclusive, poisoned, node and zone), its own map count, and,
 * while nobody described it, a reference count, a mapping and a private pointer:
 * what drivers count, recognise and link bare pages by.
 *
 * Where those fields are is each word's own.
 */
import type { Ref } from "../../../units.js";
import { addressHigh, addressLow, refOfAddress, type Words } from "../../words/words.js";
import {
  addUnlessZero,
  type CountsBarePages,
  type CountsPages,
  type DesignContext,
  type KeepsMapping,
  type KeepsPrivate,
  type PageDesign,
  type WordOptions,
} from "./axis.js";
import { changeBits } from "./axis-descriptors.js";
import { locationKey, PG_HWPOISON, PG_OWNER_2 } from "./axis-flags.js";
import { T_BUDDY, T_MISC, type PageType } from "./axis-types.js";

/** References (16 bytes) of a page's word. */
const PAGE_REFS = 4;

/** Byte offsets of a page's own fields. */
export interface WideFields {
  readonly flags: number;
  readonly mapping: number;
  readonly mapcount: number;
  readonly refcount: number;
  /** A bare page's pointer. */
  readonly private: number;
}

export abstract class WideWord implements KeepsPrivate, KeepsMapping, CountsPages, CountsBarePages {
  readonly pageBytes = 64;
  readonly reach = 2 ** 32;
  readonly bytesPerPageblock = 0;
  readonly ownFlags = "all";
  readonly bareRefcount: number;
  readonly types: PageDesign["types"];
  readonly mapcounts: PageDesign["mapcounts"];
  readonly w: Words;
  protected readonly context: DesignContext;
  readonly #base: number;
  readonly #at: WideFields;

  constructor(context: DesignContext, options: WordOptions, at: WideFields) {
    this.w = context.w;
    this.context = context;
    this.types = options.types;
    this.mapcounts = options.mapcounts;
    this.bareRefcount = at.refcount;
    this.#base = context.base;
    this.#at = at;
  }

  /** Where a page's word is. */
  protected page(pfn: number): Ref {
    return (this.#base + pfn * PAGE_REFS) as Ref;
  }

  /** The page whose word that is. */
  protected pfnOf(ref: number): number {
    return (ref - this.#base) / PAGE_REFS;
  }

  zoneOf(pfn: number): number {
    this.w.load64(this.page(pfn), this.#at.flags);
    return this.context.zones.byKey[locationKey(this.w.hi)];
  }

  isExclusive(pfn: number): boolean {
    return (this.w.load32(this.page(pfn), this.#at.flags) & PG_OWNER_2) !== 0;
  }

  setExclusive(pfn: number, on: boolean): void {
    changeBits(this.w, this.page(pfn), this.#at.flags, PG_OWNER_2, on);
  }

  isPoisoned(pfn: number): boolean {
    return (this.w.load32(this.page(pfn), this.#at.flags) & PG_HWPOISON) !== 0;
  }

  poisonCache(_pfn: number): number {
    return -1;
  }

  poison(pfn: number, _descriptor: Ref): void {
    changeBits(this.w, this.page(pfn), this.#at.flags, PG_HWPOISON, true);
  }

  holds(type: PageType): boolean {
    return type !== T_MISC && type !== T_BUDDY;
  }

  addOwnMapcount(pfn: number, n: number): number {
    return this.w.add32(this.page(pfn), this.#at.mapcount, n);
  }

  privateOf(pfn: number): Ref {
    const lo = this.w.load64(this.page(pfn), this.#at.private);
    return refOfAddress(lo, this.w.hi);
  }

  setPrivate(pfn: number, value: Ref): void {
    this.w.store64(this.page(pfn), this.#at.private, addressLow(value), addressHigh(value));
  }

  barePageMapping(pfn: number): Ref {
    const lo = this.w.load64(this.page(pfn), this.#at.mapping);
    // An anonymous folio's word leads to an anon_vma: no mapping.
    return (lo & 3) !== 0 ? (0 as Ref) : refOfAddress(lo, this.w.hi);
  }

  setBarePageMapping(pfn: number, value: Ref): void {
    this.w.store64(this.page(pfn), this.#at.mapping, addressLow(value), addressHigh(value));
  }

  tryGetPage(pfn: number, n: number): boolean {
    return addUnlessZero(this.w, this.page(pfn), this.#at.refcount, n);
  }

  addPageRefs(pfn: number, n: number): number {
    return this.w.add32(this.page(pfn), this.#at.refcount, n);
  }

  addPageMaps(pfn: number, n: number): number {
    return this.w.add32(this.page(pfn), this.#at.mapcount, n) + 1;
  }
}
