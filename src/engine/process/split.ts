/**
 * Splitting a large folio into smaller ones.
 *
 * The descriptors of the parts are taken first, while nothing has changed; then
 * the folio is unmapped with migration entries, frozen (nobody but the caller may
 * hold it), cut, and its parts mapped again. A pinned folio is not split.
 *
 * Source: mm/huge_memory.c of 6.18 (__folio_split, __split_unmapped_folio,
 * unmap_folio, remap_page). Every part gets a fresh descriptor and the old one
 * goes (invented: a design could keep it for the first part).
 */
import type { Ref } from "../../units.js";
import {
  PG_DIRTY,
  PG_LOCKED,
  PG_LRU,
  PG_SWAPBACKED,
  PG_UPTODATE,
  PG_ACTIVE,
  PG_REFERENCED,
} from "../design/word/axis-flags.js";
import { T_ANON, T_FILE } from "../design/word/axis-types.js";
import { ALLOC_LOW } from "../pages/allocator.js";
import type { Base } from "./base.js";
import { EAGAIN, EBUSY, EINVAL, ENOMEM } from "./constants.js";
import { PG_SWAPCACHE } from "./swap.js";
import type { Unmap } from "./unmap.js";

const NONE = 0 as Ref;
/** Flags that every part keeps. */
const KEPT =
  PG_DIRTY | PG_UPTODATE | PG_SWAPBACKED | PG_ACTIVE | PG_REFERENCED | PG_SWAPCACHE | PG_LOCKED;

export class Splits {
  readonly base: Base;
  readonly unmap: Unmap;
  /** Splits done, and those given up because the folio was held. */
  done = 0;
  refused = 0;

  constructor(base: Base, unmap: Unmap) {
    this.base = base;
    this.unmap = unmap;
  }

  /**
   * split_folio_to_order: the caller holds the folio's lock and one reference and
   * has both of the first part afterwards. 0; EAGAIN where somebody else holds
   * it, ENOMEM without descriptors, EINVAL for what cannot be split; then all is
   * as before.
   */
  split(folio: Ref, newOrder: number, effort: number = ALLOC_LOW): number {
    const { core, folios, counts } = this.base;
    const { design } = core;
    const pfn = core.pfnOf(folio);
    const order = design.orderOf(pfn);
    const anon = folios.isAnon(folio);
    // An anonymous folio of two pages would have no place for its own deferral.
    if (newOrder >= order || (anon && newOrder === 1)) return EINVAL;
    if (design.folioClassOf(pfn) === 1) return EINVAL;
    if (!anon && folios.mapping(folio) === NONE) return EBUSY;
    const swapcache = anon && folios.test(folio, PG_SWAPCACHE);
    const held = (anon && !swapcache ? 0 : 1 << order) + 1;
    if (folios.refcount(folio) !== counts.total(folio, order) + held) {
      this.refused++;
      return EAGAIN;
    }
    const type = anon ? T_ANON : T_FILE;
    const parts = 1 << (order - newOrder);
    const descriptors = this.#descriptors(type, newOrder, parts, effort);
    if (descriptors === null) return ENOMEM;
    if (!anon && !this.base.cache.reserve(order)) {
      this.#giveBack(type, newOrder, descriptors);
      return ENOMEM;
    }
    // A file's pages fault in again; anonymous ones have nowhere else to be found.
    const out = this.unmap.folio(folio, anon ? "migration" : "nothing", true);
    if (!out || !folios.freeze(folio, held)) {
      if (anon) this.unmap.restore(folio, pfn, pfn, order);
      this.#giveBack(type, newOrder, descriptors);
      this.base.cache.releaseReserve();
      this.refused++;
      return EAGAIN;
    }
    this.#cut(folio, pfn, order, newOrder, anon, descriptors);
    this.base.cache.releaseReserve();
    this.done++;
    return 0;
  }

  /**
   * folio_split_unmapped: to single pages, of an anonymous folio that nothing maps,
   * on no list, whose lock and only reference the caller has: of every part
   * afterwards. 0, EAGAIN or ENOMEM.
   */
  unmapped(folio: Ref): number {
    const { core, folios } = this.base;
    const pfn = core.pfnOf(folio);
    const order = core.design.orderOf(pfn);
    const descriptors = this.#descriptors(T_ANON, 0, 1 << order, ALLOC_LOW);
    if (descriptors === null) return ENOMEM;
    if (!folios.freeze(folio, 1)) {
      this.#giveBack(T_ANON, 0, descriptors);
      return EAGAIN;
    }
    this.#cut(folio, pfn, order, 0, true, descriptors, true);
    this.done++;
    return 0;
  }

  /** Descriptors for the parts, all or none. */
  #descriptors(
    type: typeof T_ANON,
    order: number,
    parts: number,
    effort: number,
  ): Int32Array | null {
    const { design, machine } = this.base.core;
    const found = new Int32Array(parts);
    const cache = design.cacheFor(type, order);
    if (cache < 0) return found;
    for (let i = 0; i < parts; i++) {
      found[i] = machine.caches.alloc(cache, effort);
      if (found[i] !== 0) continue;
      this.#giveBack(type, order, found.subarray(0, i));
      return null;
    }
    return found;
  }

  #giveBack(type: typeof T_ANON, order: number, descriptors: Int32Array): void {
    const { design, machine } = this.base.core;
    const cache = design.cacheFor(type, order);
    if (cache < 0) return;
    for (const d of descriptors) machine.caches.free(cache, d as Ref);
  }

  /**
   * __split_unmapped_folio and what follows: nobody sees the folio now. With `keeps`
   * every part stays the caller's, locked and off all lists.
   */
  #cut(
    folio: Ref,
    pfn: number,
    order: number,
    newOrder: number,
    anon: boolean,
    descriptors: Int32Array,
    keeps = false,
  ): void {
    const { core, folios, cache, swap, deferred } = this.base;
    const { design, machine, layout } = core;
    const type = anon ? T_ANON : T_FILE;
    const flags = folios.flags(folio) & KEPT;
    const listed = folios.test(folio, PG_LRU);
    const index = folios.index(folio);
    const mapping = folios.mapping(folio);
    const bits = folios.mappingBits(folio);
    const memcg = core.pointer(folio, layout.memcg);
    const swapcache = anon && (flags & PG_SWAPCACHE) !== 0;
    const slot = swapcache ? folios.private(folio) : 0;
    const device = pfn >= machine.deviceFirst ? this.base.device : null;
    device?.cutBegins(folio);
    deferred.remove(folio, order);
    if (listed) folios.lruDel(folio, order);
    const oldCache = design.cacheFor(type, order);
    const old = oldCache < 0 ? NONE : design.separateOf(pfn);
    if (memcg !== NONE) this.base.memcgs.chargeDescriptor(memcg, pfn, order, -1);
    design.split(pfn, order, newOrder, type, descriptors);
    if (old !== NONE) machine.caches.free(oldCache, old);
    const pages = 1 << newOrder;
    const inCache = !anon || swapcache;
    for (let at = 0; at < 1 << order; at += pages) {
      const part = design.descriptorOf(pfn + at);
      this.#fill(part, newOrder, flags, mapping, bits, index + at, memcg);
      if (swapcache) {
        folios.setPrivate(part, slot + at);
        swap.moveCache(slot + at, part, pages);
      } else if (!anon) {
        if (at === 0) cache.delete(mapping, index, order);
        cache.insertSplit(mapping, index + at, part, newOrder);
      }
      if (memcg !== NONE) this.base.memcgs.chargeDescriptor(memcg, pfn + at, newOrder, 1);
      // The caller's reference, and the cache's.
      folios.unfreeze(part, 1 + (inCache ? pages : 0));
      // Pages of devices are on no list.
      if (!keeps && device === null && (listed || at > 0)) folios.lruAdd(part, newOrder);
    }
    device?.cutEnds(pfn, order, newOrder);
    if (keeps) return;
    for (let at = 0; at < (anon ? 1 << order : 0); at += pages)
      this.unmap.restore(
        design.descriptorOf(pfn + at),
        pfn + at,
        pfn + at,
        newOrder,
        newOrder === 0 && !swapcache,
      );
    // The first part stays locked and held by the caller; the others are let go.
    for (let at = pages; at < 1 << order; at += pages) {
      const part = design.descriptorOf(pfn + at);
      folios.unlock(part);
      folios.put(part);
    }
  }

  /** What a fresh descriptor says, but for its reference count. */
  #fill(
    part: Ref,
    order: number,
    flags: number,
    mapping: Ref,
    bits: number,
    index: number,
    memcg: Ref,
  ): void {
    const { core, folios, w } = this.base;
    const { layout } = core;
    folios.set(part, flags);
    folios.setMapping(part, mapping, bits);
    folios.setIndex(part, index);
    folios.setPrivate(part, 0);
    core.setPointer(part, layout.memcg, memcg);
    if (order === 0) w.store32(part, layout.mapcount, -1);
    else folios.prepareLarge(part, order);
  }
}
