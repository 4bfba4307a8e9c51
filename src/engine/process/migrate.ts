/**
 * Migration: a folio's content, state and mappings move to other frames.
 *
 * The source is isolated and locked, its mappings become migration entries (who
 * faults on one waits for the lock), its references are frozen at what is
 * expected, and only then does the destination take its place. A design with
 * separate descriptors allocates the destination's with its pages, in the middle
 * of compaction or reclaim too; a destination that cannot be had changes nothing.
 *
 * Source: mm/migrate.c of 6.18 (migrate_pages, migrate_folio_unmap,
 * __folio_migrate_mapping, folio_migrate_flags). Simplified: a whole folio is
 * copied by a new one of the same order; the kernel could move the descriptor.
 */
import type { Ref } from "../../units.js";
import {
  PG_ACTIVE,
  PG_DIRTY,
  PG_LRU,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UNEVICTABLE,
  PG_UPTODATE,
  PG_WRITEBACK,
} from "../design/word/axis-flags.js";
import { T_ANON, T_FILE, type PageType } from "../design/word/axis-types.js";
import { ALLOC_LOW } from "../pages/allocator.js";
import type { Base } from "./base.js";
import { EAGAIN, EBUSY, ENOMEM } from "./constants.js";
import { PG_SWAPCACHE } from "./swap.js";
import type { Unmap } from "./unmap.js";

const NONE = 0 as Ref;
/** folio_migrate_flags */
const MOVED =
  PG_DIRTY |
  PG_UPTODATE |
  PG_SWAPBACKED |
  PG_ACTIVE |
  PG_REFERENCED |
  PG_SWAPCACHE |
  PG_UNEVICTABLE;

/** Makes the destination: a folio of that order and type with one reference, or an errno. */
export type NewFolio = (order: number, type: PageType) => number;

export class Migration {
  readonly base: Base;
  readonly unmap: Unmap;
  /** Folios that moved, and those that could not. */
  moved = 0;
  failed = 0;

  constructor(base: Base, unmap: Unmap) {
    this.base = base;
    this.unmap = unmap;
  }

  /**
   * Moves the folio of page `pfn` to frames that `make` gives (by default the
   * allocator). 0, or an errno with nothing changed: EBUSY where it is isolated
   * or no folio, EAGAIN where somebody holds it, ENOMEM.
   */
  move(pfn: number, make?: NewFolio): number {
    const { folios, core } = this.base;
    const folio = folios.ofPage(pfn);
    if (folio === NONE || !folios.test(folio, PG_LRU) || folios.isKsm(folio)) return EBUSY;
    folios.get(folio);
    const order = core.design.orderOf(core.pfnOf(folio));
    folios.lruDel(folio, order);
    const error = this.isolated(folio, order, make);
    if (error !== 0) {
      this.failed++;
      folios.lruAdd(folio, order);
      folios.put(folio);
    } else this.moved++;
    return error;
  }

  /** The same for a folio that is isolated and held once by the caller; on success both are gone. */
  isolated(folio: Ref, order: number, make?: NewFolio): number {
    const { core, folios } = this.base;
    if (!folios.tryLock(folio)) return EAGAIN;
    const anon = folios.isAnon(folio);
    const target = (make ?? ((o, t) => core.machine.allocFolio(o, t, ALLOC_LOW)))(
      order,
      anon ? T_ANON : T_FILE,
    );
    if (target < 0) {
      folios.unlock(folio);
      return ENOMEM;
    }
    const to = core.design.descriptorOf(target);
    core.setPointer(to, core.layout.memcg, NONE);
    if (order > 0) folios.prepareLarge(to, order);
    folios.tryLock(to);
    const error = this.#swap(folio, to, order);
    if (error === 0) return 0;
    folios.unlock(folio);
    folios.unlock(to);
    folios.put(to);
    return error;
  }

  /** Both locked: the source is unmapped, frozen, and the destination put in its place. */
  #swap(folio: Ref, to: Ref, order: number): number {
    const { core, folios, cache, swap, counts, deferred } = this.base;
    const { layout, design } = core;
    const pfn = core.pfnOf(folio);
    const target = core.pfnOf(to);
    const pages = 1 << order;
    const anon = folios.isAnon(folio);
    const mapping = folios.mapping(folio);
    const inCache = (!anon && mapping !== NONE) || folios.test(folio, PG_SWAPCACHE);
    const expected = 1 + (inCache ? pages : 0);
    if (folios.test(folio, PG_WRITEBACK)) return EBUSY;
    if (folios.refcount(folio) !== expected + counts.total(folio, order)) return EAGAIN;
    const mapped = counts.total(folio, order) > 0;
    const out = !mapped || this.unmap.folio(folio, "migration", false);
    if (!out || !folios.freeze(folio, expected)) {
      this.unmap.restore(folio, pfn, pfn, order);
      return EAGAIN;
    }
    const was = folios.flags(folio);
    folios.set(to, was & MOVED);
    folios.setMapping(to, mapping, folios.mappingBits(folio));
    folios.setIndex(to, folios.index(folio));
    folios.setPrivate(to, folios.private(folio));
    if (design.folioClassOf(pfn) === 2) design.setFolioClass(target, 2);
    const memcg = core.pointer(folio, layout.memcg);
    core.setPointer(to, layout.memcg, memcg);
    core.setPointer(folio, layout.memcg, NONE);
    folios.unfreeze(to, expected);
    if (!anon && mapping !== NONE) cache.replace(mapping, folios.index(folio), to, order);
    else if ((was & PG_SWAPCACHE) !== 0) swap.moveCache(folios.private(folio), to, pages);
    for (let i = 0; i < pages; i++) core.content.copy(pfn + i, target + i);
    if (deferred.remove(folio, order)) deferred.add(to, order);
    folios.clear(folio, PG_SWAPCACHE);
    folios.setMapping(folio, NONE, 0);
    folios.unfreeze(folio, 1);
    // Whoever faults on an entry now finds the destination.
    if (mapped) this.unmap.restore(to, pfn, target, order);
    folios.lruAdd(to, order);
    folios.unlock(to);
    folios.put(to);
    folios.unlock(folio);
    folios.put(folio);
    return 0;
  }
}
