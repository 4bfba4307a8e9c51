/**
 * Folios of the machine's own memory: allocation with charge, what the last
 * reference does, LRU lists; their fields are in folio-fields.ts.
 *
 * A folio is named by the reference of its descriptor (or overlay). Every field
 * is reached through the design's layout, so this is one code for all words; a
 * folio goes when its last reference goes, wherever that happens.
 *
 * Source: include/linux/mm.h, mm/swap.c, mm/page_alloc.c (__folio_put), mm/gup.c
 * (pin counting) of 6.18. Simplified: folios join LRU lists at once, not in
 * per-CPU batches of 31.
 */
import type { Ref } from "../../units.js";
import {
  PG_ACTIVE,
  PG_LRU,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UNEVICTABLE,
} from "../design/word/axis-flags.js";
import { T_ANON, type PageType } from "../design/word/axis-types.js";
import { addressHigh, addressLow, refOfAddress } from "../words/words.js";
import { ALLOC_LOW } from "../pages/allocator.js";
import type { Core } from "./core.js";
import { FolioFields } from "./folio-fields.js";
import { spinLock, spinUnlock } from "./locks.js";
import { ENOMEM } from "./constants.js";
import { swapOffset } from "./entry.js";
import { IN_PAGE_TABLE, TOLD_BY_TYPE } from "./number-witness.js";
import { LRUVEC_LISTS, LRUVEC_LRU_LOCK, LRUVEC_SIZES } from "../layout/generated/offsets.js";
import type { Memcgs } from "./memcg.js";

/** PAGE_ALLOC_COSTLY_ORDER */
const COSTLY_ORDER = 3;

export const LRU_INACTIVE_ANON = 0;
export const LRU_ACTIVE_ANON = 1;
export const LRU_INACTIVE_FILE = 2;
export const LRU_ACTIVE_FILE = 3;
export const LRU_UNEVICTABLE = 4;
export const LRU_LISTS = 5;

/** folio_lru_list: the list that a folio's flags name. */
function listOf(flags: number): number {
  if ((flags & PG_UNEVICTABLE) !== 0) return LRU_UNEVICTABLE;
  const file = (flags & PG_SWAPBACKED) !== 0 ? 0 : LRU_INACTIVE_FILE;
  return file + ((flags & PG_ACTIVE) !== 0 ? 1 : 0);
}

export class Folios extends FolioFields {
  readonly memcgs: Memcgs;
  /** Takes a large folio that goes out of the queue of those to be split. */
  unqueue: (folio: Ref, order: number) => void = () => {};
  /** Gets memory back, of a cgroup and those below it or of all (0); false where there is none to be had. */
  reclaim: (pages: number, memcg: Ref) => boolean = () => false;
  /** Makes room for a block of that order by moving pages; false where that is no use. */
  compact: (order: number) => boolean = () => false;
  /** Frees what a KSM folio's mapping points at. */
  freeStableNode: (node: Ref) => void = () => {};
  /** Takes back frames of a device. */
  toDevice: (folio: Ref, pfn: number) => void = () => {};
  /** Takes back a block of the hugetlb pool. */
  toPool: (pfn: number) => void = () => {};

  constructor(core: Core, memcgs: Memcgs) {
    super(core, core.layout);
    this.memcgs = memcgs;
  }

  override pageOf(folio: Ref): number {
    return this.core.pfnOf(folio);
  }

  /**
   * A charged folio with one reference and empty pages; frame, or ENOMEM with
   * nothing changed. `memcg` 0 charges nobody.
   */
  alloc(order: number, type: PageType, memcg: Ref, effort: number = ALLOC_LOW): number {
    const { machine, layout } = this.core;
    const pages = 1 << order;
    if (memcg !== 0 && !this.#charge(memcg, pages, order)) return ENOMEM;
    let pfn = machine.allocFolio(order, type, effort);
    if (pfn < 0 && order > COSTLY_ORDER && this.compact(order))
      pfn = machine.allocFolio(order, type, effort);
    // What is costly to find is not reclaimed for: the caller can do with less.
    if (order <= COSTLY_ORDER) {
      while (pfn < 0 && this.reclaim(pages, 0 as Ref))
        pfn = machine.allocFolio(order, type, effort);
    }
    if (pfn < 0) {
      if (memcg !== 0) this.memcgs.uncharge(memcg, pages);
      return pfn;
    }
    const { folio } = machine;
    this.core.setPointer(folio, layout.memcg, memcg);
    if (order > 0) this.prepareLarge(folio, order);
    if (memcg !== 0) this.memcgs.chargeDescriptor(memcg, pfn, order, 1);
    return pfn;
  }

  /** try_charge_memcg, with reclaim below the cgroup whose limit is reached. */
  #charge(memcg: Ref, pages: number, order: number): boolean {
    const { memcgs } = this;
    while (!memcgs.charge(memcg, pages))
      if (order > COSTLY_ORDER || !this.reclaim(pages, memcgs.over)) return false;
    return true;
  }

  /** prep_compound: what a large folio counts beside its pages. */
  prepareLarge(folio: Ref, order: number): void {
    const { w } = this;
    const { layout } = this.core;
    const rest = this.core.rest(folio);
    w.store32(rest, layout.largeMapcount, -1);
    w.store32(rest, layout.entireMapcount, -1);
    w.store32(rest, layout.nrPagesMapped, 0);
    w.store64(rest, layout.mmIdMapcount, 0, 0);
    w.store64(rest, layout.mmIds, 0, 0);
    if (layout.pincount >= 0) w.store32(rest, layout.pincount, 0);
    // An order-1 folio has no third page for it today, and is never deferred.
    if (order > 1) {
      w.store64(rest, layout.deferredList, 0, 0);
      w.store64(rest, layout.deferredList + 8, 0, 0);
      this.core.design.setFolioClass(this.core.pfnOf(folio), 2);
    }
  }

  /** __folio_put */
  protected override free(folio: Ref): void {
    const { core, w } = this;
    const { design, machine, layout } = core;
    const pfn = core.pfnOf(folio);
    if (core.watch !== null) core.watch.freeing(folio, pfn);
    if (pfn >= machine.deviceFirst) return this.toDevice(folio, pfn);
    const order = design.orderOf(pfn);
    if (order > 1) this.unqueue(folio, order);
    if ((w.load32(folio, layout.flags) & PG_LRU) !== 0) this.lruDel(folio, order);
    if (this.isKsm(folio)) this.freeStableNode(this.mapping(folio));
    const memcg = core.pointer(folio, layout.memcg);
    if (memcg !== 0) {
      this.memcgs.chargeDescriptor(memcg, pfn, order, -1);
      this.memcgs.uncharge(memcg, 1 << order);
    }
    core.content.clearBlock(pfn, order);
    if (order > 0 && design.folioClassOf(pfn) === 1) {
      // A pool's folio goes back to its pool, without an owner.
      machine.disownFolio(pfn);
      return this.toPool(pfn);
    }
    machine.freeBlock(pfn, order);
  }

  /** folio_mark_accessed: referenced the first time, active the second. */
  markAccessed(folio: Ref): void {
    const is = this.flags(folio);
    if ((is & PG_REFERENCED) === 0) return this.set(folio, PG_REFERENCED);
    if ((is & (PG_UNEVICTABLE | PG_ACTIVE)) !== 0 || (is & PG_LRU) === 0) return;
    this.lruMove(folio, this.core.design.orderOf(this.core.pfnOf(folio)), PG_ACTIVE, PG_REFERENCED);
  }

  // LRU lists: doubly linked by the addresses of the folios, 0 at both ends.

  /** folio_add_lru: to the head of its list. */
  lruAdd(folio: Ref, order: number): void {
    const { w, core } = this;
    const { lru, flags } = core.layout;
    const is = w.load64(folio, flags);
    const vec = core.lruvec(w.hi >>> 22);
    spinLock(w, vec, LRUVEC_LRU_LOCK);
    const list = LRUVEC_LISTS + listOf(is) * 16;
    const first = w.load64(vec, list);
    const firstHi = w.hi;
    const at = core.rest(folio);
    const lo = addressLow(folio);
    const hi = addressHigh(folio);
    w.store64(at, lru, first, firstHi);
    w.store64(at, lru + 8, 0, 0);
    if ((first | firstHi) !== 0)
      w.store64(core.rest(refOfAddress(first, firstHi)), lru + 8, lo, hi);
    else w.store64(vec, list + 8, lo, hi);
    w.store64(vec, list, lo, hi);
    w.add32(vec, LRUVEC_SIZES + ((list - LRUVEC_LISTS) >> 2), 1 << order);
    if (!w.cas32(folio, flags, is, is | PG_LRU)) this.set(folio, PG_LRU);
    spinUnlock(w, vec, LRUVEC_LRU_LOCK);
  }

  /** lruvec_del_folio, and the flag with it: folio_isolate_lru, or on the way out. */
  lruDel(folio: Ref, order: number): void {
    const { w, core } = this;
    const { lru, flags } = core.layout;
    const is = w.load64(folio, flags);
    const vec = core.lruvec(w.hi >>> 22);
    spinLock(w, vec, LRUVEC_LRU_LOCK);
    const list = LRUVEC_LISTS + listOf(is) * 16;
    const at = core.rest(folio);
    const next = w.load64(at, lru);
    const nextHi = w.hi;
    const prev = w.load64(at, lru + 8);
    const prevHi = w.hi;
    if ((prev | prevHi) !== 0) w.store64(core.rest(refOfAddress(prev, prevHi)), lru, next, nextHi);
    else w.store64(vec, list, next, nextHi);
    if ((next | nextHi) !== 0)
      w.store64(core.rest(refOfAddress(next, nextHi)), lru + 8, prev, prevHi);
    else w.store64(vec, list + 8, prev, prevHi);
    w.store64(at, lru, 0, 0);
    w.store64(at, lru + 8, 0, 0);
    w.add32(vec, LRUVEC_SIZES + ((list - LRUVEC_LISTS) >> 2), -(1 << order));
    if (!w.cas32(folio, flags, is, is & ~PG_LRU)) this.clear(folio, PG_LRU);
    spinUnlock(w, vec, LRUVEC_LRU_LOCK);
  }

  /** Moves a folio to the list that its changed flags name. */
  lruMove(folio: Ref, order: number, set: number, clear: number): void {
    const listed = this.test(folio, PG_LRU);
    if (listed) this.lruDel(folio, order);
    if (clear !== 0) this.clear(folio, clear);
    if (set !== 0) this.set(folio, set);
    if (listed) this.lruAdd(folio, order);
  }

  /** Last folio of a list: the one that was there longest; 0 if it is empty. */
  lruTail(node: number, list: number): Ref {
    return this.core.pointer(this.core.lruvec(node), LRUVEC_LISTS + list * 16 + 8);
  }

  /** The one before it, towards the head. */
  lruPrevious(folio: Ref): Ref {
    return this.core.pointer(this.core.rest(folio), this.core.layout.lru + 8);
  }

  lruSize(node: number, list: number): number {
    return this.w.load32(this.core.lruvec(node), LRUVEC_SIZES + list * 4);
  }

  /**
   * page_folio of a page that is held: the folio it belongs to, 0 where it is no
   * folio. Struct page cannot tell a bare page from a folio of one page, so
   * `today` answers with the page itself, as its kernel does.
   */
  ofPage(pfn: number): Ref {
    const lo = this.core.design.ownerWord(pfn);
    return this.core.design.folioOfOwner(lo, this.w.hi);
  }

  /** softleaf_to_folio of a migration entry that is no device's: its number is a frame. */
  ofMigration(lo: number, hi: number): Ref {
    const pfn = swapOffset(lo, hi);
    const { witness } = this.core;
    if (witness !== null) witness.read(IN_PAGE_TABLE, TOLD_BY_TYPE, false, lo, hi, pfn);
    return this.ofPage(pfn);
  }

  /** The type an anonymous folio has. */
  static readonly ANON: PageType = T_ANON;
}
