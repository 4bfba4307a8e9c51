/**
 * Reclaim: memory is got back from the ends of the LRU lists.
 *
 * Anonymous pages go to swap, clean file pages are dropped, dirty ones written
 * back first; what was used since the last look stays. A large folio that swap
 * has no room for as a whole, or that is mapped in part, is split, and the
 * descriptors of its parts come from below all watermarks: reclaim must not wait
 * for the memory that it is to find.
 *
 * Source: mm/vmscan.c of 6.18 (shrink_folio_list, folio_check_references,
 * pageout, __remove_mapping). Simplified: all lists are scanned alike (no
 * swappiness, no proportional pressure), shared memory is not swapped, reclaim for
 * a cgroup looks at all folios and takes those of the cgroup and of all below it.
 */
import type { Ref } from "../../units.js";
import { ADDRESS_SPACE_HOST } from "../layout/generated/offsets.js";
import {
  PG_ACTIVE,
  PG_DIRTY,
  PG_LRU,
  PG_RECLAIM,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_WRITEBACK,
} from "../design/word/axis-flags.js";
import { ALLOC_NO_WATERMARKS } from "../pages/allocator.js";
import type { Base } from "./base.js";
import { PMD_HUGE, ptePfn, PTE_ACCESSED, PTE_THERE } from "./entry.js";
import { KIND_DISK, type Files } from "./files.js";
import {
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
} from "./folios.js";
import { pmdAt, pteAt } from "./page-tables.js";
import type { Splits } from "./split.js";
import { PG_SWAPCACHE } from "./swap.js";
import type { Unmap } from "./unmap.js";

const NONE = 0 as Ref;
/** Pages that one call tries to get back (SWAP_CLUSTER_MAX). */
const CLUSTER = 32;

export class Reclaim {
  readonly base: Base;
  readonly files: Files;
  readonly splits: Splits;
  readonly unmap: Unmap;
  /** Pages scanned, got back, written to swap. */
  scanned = 0;
  reclaimed = 0;
  swapped = 0;
  /** The process said that it will not use it: marks of use do not count (MADV_PAGEOUT). */
  #pageOut = false;
  /** The folio at hand was split: its other parts are to be looked at too. */
  #cut = false;

  constructor(base: Base, files: Files, splits: Splits, unmap: Unmap) {
    this.base = base;
    this.files = files;
    this.splits = splits;
    this.unmap = unmap;
    base.folios.reclaim = (pages, memcg) => this.some(Math.max(pages, CLUSTER), memcg) > 0;
    base.memcgs.reclaim = base.folios.reclaim;
    base.core.machine.onPressure = () => this.some(CLUSTER, NONE) > 0;
  }

  /** Whether a folio is charged to a cgroup or to one below it; 0 takes all. */
  #isOf(folio: Ref, memcg: Ref): boolean {
    if (memcg === NONE) return true;
    const { core, memcgs } = this.base;
    return memcgs.isUnder(core.pointer(folio, core.layout.memcg), memcg);
  }

  /** Pages got back, at most about `pages`; of a cgroup and those below it, or of all (0). */
  some(pages: number, memcg: Ref): number {
    let got = 0;
    for (let priority = 0; priority < 4 && got < pages; priority++) {
      got += this.#deferred(pages - got, memcg);
      for (let node = 0; node < this.base.core.nodes && got < pages; node++) {
        if (priority > 0) this.#age(node);
        got += this.#list(node, LRU_INACTIVE_FILE, pages - got, memcg);
        if (got < pages) got += this.#list(node, LRU_INACTIVE_ANON, pages - got, memcg);
      }
    }
    this.reclaimed += got;
    return got;
  }

  /** shrink_active_list: what was not used becomes inactive. */
  #age(node: number): void {
    const { folios, core } = this.base;
    for (const list of [LRU_ACTIVE_FILE, LRU_ACTIVE_ANON]) {
      let folio = folios.lruTail(node, list);
      for (let n = 0; folio !== NONE && n < CLUSTER; n++) {
        const before = folios.lruPrevious(folio);
        const order = core.design.orderOf(core.pfnOf(folio));
        this.#referenced(folio, order);
        folios.lruMove(folio, order, 0, PG_ACTIVE);
        folio = before;
      }
    }
  }

  /** deferred_split_scan: folios mapped in part are split, the rest goes as single pages. */
  #deferred(pages: number, memcg: Ref): number {
    const { deferred, folios, core } = this.base;
    let got = 0;
    let folio = deferred.first;
    for (let n = deferred.count; folio !== NONE && n > 0 && got < pages; n--) {
      const next = deferred.next(folio);
      if (this.#isOf(folio, memcg) && folios.tryLock(folio)) {
        const pfn = core.pfnOf(folio);
        const order = core.design.orderOf(pfn);
        folios.get(folio);
        const before = this.#free();
        if (this.splits.split(folio, 0, ALLOC_NO_WATERMARKS) === 0) {
          const first = core.design.descriptorOf(pfn);
          folios.unlock(first);
          folios.put(first);
          got += Math.max(0, this.#free() - before);
        } else {
          deferred.remove(folio, order);
          folios.unlock(folio);
          folios.put(folio);
        }
      }
      folio = next;
    }
    return got;
  }

  #free(): number {
    const { buddy, zones } = this.base.core.machine;
    let pages = 0;
    for (let zone = 0; zone < zones.config.length; zone++) pages += buddy.freePages(zone);
    return pages;
  }

  #list(node: number, list: number, pages: number, memcg: Ref): number {
    const { folios, core } = this.base;
    let got = 0;
    let folio = folios.lruTail(node, list);
    const length = folios.lruSize(node, list);
    for (let n = 0; folio !== NONE && n < length && got < pages; n++) {
      const before = folios.lruPrevious(folio);
      if (this.#isOf(folio, memcg)) {
        const order = core.design.orderOf(core.pfnOf(folio));
        this.scanned += 1 << order;
        got += this.one(folio, order);
      }
      folio = before;
    }
    return got;
  }

  /** shrink_folio_list for one folio on a list: pages got back. */
  one(folio: Ref, order: number, pageOut = false): number {
    const { folios, core } = this.base;
    if (!folios.tryLock(folio)) return 0;
    folios.get(folio);
    folios.lruDel(folio, order);
    const pfn = core.pfnOf(folio);
    this.#pageOut = pageOut;
    this.#cut = false;
    const got = this.#shrink(folio, pfn, order);
    const cut = this.#cut;
    if (got === 0) {
      // A split leaves the first part in its place.
      const left = folios.ofPage(pfn);
      const leftOrder = core.design.orderOf(pfn);
      folios.lruAdd(left, leftOrder);
      folios.unlock(left);
      folios.put(left);
    }
    return cut ? got + this.#others(pfn, order, pageOut) : got;
  }

  /** split_folio_to_list: the other parts come next. Zeroes have become the zero page, and are gone. */
  #others(pfn: number, order: number, pageOut: boolean): number {
    const { folios, core } = this.base;
    let got = 0;
    for (let i = 1; i < 1 << order; i++) {
      const part = folios.ofPage(pfn + i);
      if (part === NONE || core.design.orderOf(pfn + i) !== 0) continue;
      if (folios.isAnon(part) && folios.test(part, PG_LRU)) got += this.one(part, 0, pageOut);
    }
    return got;
  }

  /** The folio is locked, isolated and held once. Pages got back, all of it, or 0. */
  #shrink(folio: Ref, pfn: number, order: number): number {
    const { folios, counts } = this.base;
    if (folios.test(folio, PG_WRITEBACK) || folios.isKsm(folio)) return 0;
    if (!this.#pageOut && counts.total(folio, order) > 0 && this.#referenced(folio, order)) {
      folios.set(folio, PG_ACTIVE);
      return 0;
    }
    if (!folios.isAnon(folio)) return this.#shrinkFile(folio, order);
    if (!folios.test(folio, PG_SWAPBACKED)) return this.#discard(folio, order);
    return this.#shrinkAnon(folio, pfn, order);
  }

  #shrinkAnon(folio: Ref, pfn: number, order: number): number {
    const { folios, swap, core } = this.base;
    if (folios.maybePinned(folio, order)) return 0;
    if (!folios.test(folio, PG_SWAPCACHE) && swap.allocate(folio, 1 << order) < 0) {
      if (order === 0) {
        folios.set(folio, PG_ACTIVE);
        return 0;
      }
      if (this.splits.split(folio, 0, ALLOC_NO_WATERMARKS) !== 0) return 0;
      this.#cut = true;
      return this.#shrink(core.design.descriptorOf(pfn), pfn, 0);
    }
    const slot = folios.private(folio);
    if (!this.unmap.folio(folio, "swap", true)) return 0;
    for (let i = 0; i < 1 << order; i++) swap.write(slot + i, pfn + i);
    this.swapped += 1 << order;
    folios.clear(folio, PG_DIRTY);
    // __remove_mapping: the caller's reference and the cache's, and nobody else's.
    if (!folios.freeze(folio, 1 + (1 << order))) return 0;
    folios.unfreeze(folio, 1 + (1 << order));
    swap.removeFromCache(folio, 1 << order);
    folios.unlock(folio);
    folios.put(folio);
    return 1 << order;
  }

  /** A lazily freed page that is still clean. */
  #discard(folio: Ref, order: number): number {
    const { folios, counts } = this.base;
    if (folios.test(folio, PG_DIRTY)) {
      // A device wrote to it: it holds something after all.
      folios.set(folio, PG_SWAPBACKED | PG_ACTIVE);
      return 0;
    }
    if (!this.unmap.folio(folio, "nothing", true)) {
      // Its process wrote to it (try_to_unmap_one), which the page is told: it is no candidate any more.
      const written = folios.test(folio, PG_SWAPBACKED);
      folios.set(folio, PG_ACTIVE | (written ? PG_DIRTY : 0));
      return 0;
    }
    if (folios.refcount(folio) !== 1 || counts.total(folio, order) > 0) return 0;
    folios.unlock(folio);
    folios.put(folio);
    return 1 << order;
  }

  #shrinkFile(folio: Ref, order: number): number {
    const { folios, core, cache } = this.base;
    const mapping = folios.mapping(folio);
    if (mapping === NONE) {
      // Truncated while somebody held it: the last one has gone, or will.
      if (folios.refcount(folio) !== 1) return 0;
      folios.unlock(folio);
      folios.put(folio);
      return 1 << order;
    }
    const inode = core.pointer(mapping, ADDRESS_SPACE_HOST);
    const disk = this.files.kind(inode) === KIND_DISK;
    if (!disk && !this.#pageOut) return 0;
    // What cannot be unmapped, or is pinned, is no candidate.
    if (!this.unmap.folio(folio, "nothing", true) || folios.maybePinned(folio, order)) {
      folios.set(folio, PG_ACTIVE);
      return 0;
    }
    if ((!disk || this.#pageOut) && folios.test(folio, PG_DIRTY)) {
      // Nowhere to write it, or the flusher's to write: it stays cached, and active.
      folios.set(folio, PG_ACTIVE | (disk ? PG_RECLAIM : 0));
      return 0;
    }
    if (folios.test(folio, PG_DIRTY)) {
      folios.unlock(folio);
      this.files.writeBack(inode, folio, order);
      if (!folios.tryLock(folio)) return 0;
    }
    const held = 1 + (1 << order);
    if (!folios.freeze(folio, held)) return 0;
    folios.unfreeze(folio, held);
    cache.delete(mapping, folios.index(folio), order);
    folios.setMapping(folio, NONE, 0);
    folios.unlock(folio);
    folios.put(folio, held);
    return 1 << order;
  }

  /** folio_referenced: whether any mapping was used; their marks are taken. */
  #referenced(folio: Ref, order: number): boolean {
    const { rmap, folios, w, tables, core } = this.base;
    const pfn = core.pfnOf(folio);
    const first = folios.index(folio);
    let used = folios.test(folio, PG_REFERENCED) && !folios.isAnon(folio);
    folios.clear(folio, PG_REFERENCED);
    for (let i = 0; i < 1 << order; i++) {
      rmap.walk(folio, first + i, (_vma, mm, vpn) => {
        const pmds = tables.pmdTable(mm, vpn);
        if (pmds === NONE) return true;
        const pmd = w.load64(pmds, pmdAt(vpn));
        const huge = (pmd & PMD_HUGE) !== 0 && (pmd & PTE_THERE) !== 0;
        const table = huge ? pmds : tables.below(pmds, pmdAt(vpn));
        if (table === NONE) return true;
        const off = huge ? pmdAt(vpn) : pteAt(vpn);
        const lo = w.load64(table, off);
        const hi = w.hi;
        if ((lo & PTE_THERE) === 0 || (lo & PTE_ACCESSED) === 0) return true;
        if (ptePfn(huge ? lo & ~PMD_HUGE : lo, hi) !== (huge ? pfn : pfn + i)) return true;
        used = true;
        w.store64(table, off, lo & ~PTE_ACCESSED, hi);
        return true;
      });
    }
    return used;
  }
}
