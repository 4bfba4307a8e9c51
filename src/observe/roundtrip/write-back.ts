/**
 * Machine → kpageflags and kpagecount: what /proc would show of the simulated
 * machine, from its words and nothing else.
 *
 * The logic is stable_page_flags() and kpagecount_read() of fs/proc/page.c. Two
 * things differ between kernels and are parameters: whether a tail page shows
 * its own flags (before 6.10) or its folio's, and whether the KSM bit is set on
 * every anonymous page (6.12).
 */
import {
  MISC_OFFLINE,
  MISC_RESERVED,
  MISC_ZERO,
  T_BUDDY,
  T_MISC,
  T_PGTABLE,
  T_SLAB,
  type PageType,
} from "../../engine/design/word/axis-types.js";
import { PG_HWPOISON } from "../../engine/design/word/axis-flags.js";
import type { PageDesign } from "../../engine/design/word/axis.js";
import { high, KPF, low } from "../kpageflags.js";
import { copiedBits } from "./page-flags.js";

/** What the source's kernel does its own way. */
export interface Dialect {
  readonly tailFlags: "own" | "folio";
  readonly ksmOnEveryAnon: boolean;
}

const CLASS_HUGETLB = 1;
const CLASS_RMAPPABLE = 2;

export class WriteBack {
  readonly #design: PageDesign;
  readonly #dialect: Dialect;
  /** Copied bits by PG_ flags: a machine has few distinct combinations. */
  readonly #memo = new Map<number, { lo: number; hi: number }>();
  /** High half of the last word. */
  hi = 0;
  #from = 0;
  #to = 0;
  #lo = 0;
  #hi = 0;
  /** The stretch is a free block whose pages have flags of their own. */
  #isFree = false;

  constructor(design: PageDesign, dialect: Dialect) {
    this.#design = design;
    this.#dialect = dialect;
  }

  /** Low half of the copied bits, hwpoison apart; the high half is in `hi`. */
  #copied(all: number): number {
    const flags = all & ~PG_HWPOISON;
    let bits = this.#memo.get(flags);
    if (bits === undefined) this.#memo.set(flags, (bits = copiedBits(flags)));
    this.hi = bits.hi;
    return bits.lo;
  }

  /**
   * Low half of the frame's kpageflags word (signed); the high half is in `hi`.
   * Made for a scan in ascending order: what all further pages of a block show
   * alike is worked out once.
   */
  flags(pfn: number): number {
    if (pfn >= this.#from && pfn < this.#to) {
      if (!this.#isFree) {
        this.hi = this.#hi;
        return this.#lo | this.#poison(pfn);
      }
      return this.#copied(this.#design.pageFlagsOf(pfn)) | low(KPF.BUDDY) | this.#poison(pfn);
    }
    const d = this.#design;
    const type = d.typeOf(pfn);
    const block = d.blockOf(pfn);
    if (type === T_BUDDY) return this.#freePage(pfn, block);
    const order = d.orderOf(pfn);
    const lo = this.#ownedPage(pfn, type, block, order);
    if (pfn === block || this.#dialect.tailFlags === "own") return lo | this.#poison(pfn);
    this.#alike(pfn, block + 2 ** order, lo, false);
    return lo | this.#poison(pfn);
  }

  /** hwpoison is the one flag that every kernel reads from the page itself. */
  #poison(pfn: number): number {
    return this.#design.isPoisoned(pfn) ? low(KPF.HWPOISON) : 0;
  }

  /** Pages from `from` on up to `to` show the same word. */
  #alike(from: number, to: number, lo: number, isFree: boolean): void {
    this.#from = from;
    this.#to = to;
    this.#lo = lo;
    this.#hi = this.hi;
    this.#isFree = isFree;
  }

  #freePage(pfn: number, block: number): number {
    const d = this.#design;
    const lo = this.#copied(d.pageFlagsOf(pfn)) | this.#poison(pfn);
    const order = d.freeOrderAt(block);
    // A block on a per-CPU list is free and says so to nobody.
    if (order < 0) return lo;
    this.#alike(pfn, block + 2 ** order, lo | low(KPF.BUDDY), d.ownFlags !== "none");
    return lo | low(KPF.BUDDY);
  }

  #ownedPage(pfn: number, type: PageType, block: number, order: number): number {
    const d = this.#design;
    const tail = pfn !== block;
    const own = this.#dialect.tailFlags === "own";
    let lo = this.#copied(own && tail ? d.pageFlagsOf(pfn) : d.flagsOf(pfn));
    if (order > 0) lo |= low(tail ? KPF.COMPOUND_TAIL : KPF.COMPOUND_HEAD);
    if (type === T_MISC) lo = this.#misc(pfn, lo, order);
    else {
      const mapping = d.mappingBitsOf(pfn);
      if (mapping & 1) lo |= low(KPF.ANON);
      if (mapping === 3 || (mapping !== 0 && this.#dialect.ksmOnEveryAnon)) lo |= low(KPF.KSM);
    }
    if (type === T_SLAB) return lo | low(KPF.SLAB);
    if (type === T_PGTABLE) return lo | low(KPF.PGTABLE);
    if (own ? d.mapcountOf(pfn) > 0 : d.isMapped(pfn)) lo |= low(KPF.MMAP);
    const folioClass = type === T_MISC ? 0 : d.folioClassOf(pfn);
    if (folioClass === CLASS_HUGETLB) lo |= low(KPF.HUGE);
    if (folioClass === CLASS_RMAPPABLE) lo |= low(KPF.THP);
    return lo;
  }

  #misc(pfn: number, lo: number, order: number): number {
    switch (this.#design.subtypeOf(pfn)) {
      case MISC_RESERVED:
        this.hi |= high(KPF.RESERVED);
        return lo;
      case MISC_ZERO:
        return lo | low(KPF.ZERO_PAGE) | (order > 0 ? low(KPF.THP) : 0);
      case MISC_OFFLINE:
        return lo | low(KPF.OFFLINE);
      default:
        return lo;
    }
  }

  /** The frame's kpagecount. */
  count(pfn: number): number {
    return this.#design.mapcountOf(pfn);
  }
}
