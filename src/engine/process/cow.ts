/**
 * Writing to what is mapped read-only: reuse the page, or copy it.
 *
 * A private anonymous page belongs to one process while its exclusive mark is
 * set; without the mark it may still turn out that nobody else holds it, and it
 * is taken over. Everything else of a private mapping is copied.
 *
 * Source: mm/memory.c of 6.18 (do_wp_page, wp_page_shared, wp_can_reuse_anon_folio,
 * __wp_can_reuse_large_anon_folio, wp_page_copy).
 */
import type { Ref } from "../../units.js";
import { MM_MEMCG, MM_RSS_ANON } from "../layout/generated/offsets.js";
import { PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_ANON } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import { FAULT_OOM, VM_MAYSHARE, VM_SHARED, VM_WRITE } from "./constants.js";
import {
  pteHigh,
  pteLow,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_WRITE,
} from "./entry.js";
import { KIND_DISK, type Files } from "./files.js";
import { MMU_NOTIFY_CLEAR } from "./notifier/events.js";
import { pteAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";
import { PG_SWAPCACHE } from "./swap.js";
import { pageMkWrite } from "./write-notify.js";

const NONE = 0 as Ref;

export class CopyOnWrite {
  readonly base: Base;
  readonly files: Files;

  constructor(base: Base, files: Files) {
    this.base = base;
    this.files = files;
  }

  /**
   * do_wp_page: a write to (or, with `unshare`, a longterm read of) an entry
   * without the right. Called with the table's lock, which it gives back.
   */
  fault(
    vma: Ref,
    mm: Ref,
    table: Ref,
    desc: Ref,
    vpn: number,
    lo: number,
    hi: number,
    unshare: boolean,
  ): number {
    const { w, vmas, folios, tables, core } = this.base;
    const flags = vmas.flags(vma);
    const pfn = ptePfn(lo, hi);
    const folio = (lo & PTE_SPECIAL) !== 0 ? NONE : folios.ofPage(pfn);
    if (!unshare && (flags & (VM_SHARED | VM_MAYSHARE)) !== 0)
      return this.#shared(vma, table, desc, vpn, lo, hi, folio);
    if (folio !== NONE && folios.isAnon(folio)) {
      if (core.design.isExclusive(pfn) || this.canReuse(folio, pfn, vma)) {
        if (!core.design.isExclusive(pfn)) core.design.setExclusive(pfn, true);
        if (!unshare) {
          const write = (flags & VM_WRITE) !== 0 ? PTE_WRITE : 0;
          w.store64(table, pteAt(vpn), lo | write | PTE_DIRTY | PTE_ACCESSED, hi);
        }
        tables.unlock(desc);
        return 0;
      }
    }
    if (folio !== NONE) folios.get(folio);
    tables.unlock(desc);
    const result = this.#copy(vma, mm, table, vpn, lo, hi, folio, pfn, unshare);
    if (folio !== NONE) folios.put(folio);
    return result;
  }

  /** wp_page_shared, wp_pfn_shared: the file is told of the write, the page is dirty. */
  #shared(
    vma: Ref,
    table: Ref,
    desc: Ref,
    vpn: number,
    lo: number,
    hi: number,
    folio: Ref,
  ): number {
    const { w, folios, tables, vmas } = this.base;
    const off = pteAt(vpn);
    const writable = lo | PTE_WRITE | PTE_DIRTY | PTE_ACCESSED;
    if (folio === NONE || !this.#tracksWrites(vma)) {
      if (folio !== NONE) folios.markDirty(folio);
      w.store64(table, off, writable, hi);
      tables.unlock(desc);
      return 0;
    }
    folios.get(folio);
    tables.unlock(desc);
    if (pageMkWrite(this.base, vmas.mapping(vma), folio)) {
      // finish_mkwrite_fault: unless somebody was quicker.
      tables.lock(table);
      if (w.load64(table, off) === lo && w.hi === hi) w.store64(table, off, writable, hi);
      tables.unlock(desc);
      folios.unlock(folio);
    }
    folios.put(folio);
    return 0;
  }

  /** Whether the file of a mapping hears of the first write to each page (page_mkwrite): a disk's does. */
  #tracksWrites(vma: Ref): boolean {
    const { vmas } = this.base;
    if (vmas.file(vma) === NONE) return false;
    return this.files.kind(this.files.inodeOf(vmas.mapping(vma))) === KIND_DISK;
  }

  /** wp_can_reuse_anon_folio: whether nobody else holds it; takes it over if so. */
  canReuse(folio: Ref, pfn: number, vma: Ref): boolean {
    const { folios, swap, rmap, core } = this.base;
    const order = core.design.orderOf(pfn);
    if (order > 0) return this.#canReuseLarge(folio, order);
    if (folios.isKsm(folio) || folios.refcount(folio) > 3) return false;
    if (folios.refcount(folio) > 1 + (folios.test(folio, PG_SWAPCACHE) ? 1 : 0)) return false;
    if (!folios.tryLock(folio)) return false;
    swap.dropCache(folio);
    const mine = !folios.isKsm(folio) && folios.refcount(folio) === 1;
    if (mine) rmap.moveAnon(folio, vma);
    folios.unlock(folio);
    return mine;
  }

  #canReuseLarge(folio: Ref, order: number): boolean {
    const { folios, counts, swap } = this.base;
    // A single page that is left of a large folio is copied, to free the folio.
    if (counts.total(folio, order) <= 1 || counts.maybeShared(folio, order)) return false;
    if (folios.test(folio, PG_SWAPCACHE)) {
      if (!folios.tryLock(folio)) return false;
      swap.dropCache(folio);
      folios.unlock(folio);
    }
    return counts.total(folio, order) === folios.refcount(folio);
  }

  /** wp_page_copy: a page of its own with the same content. */
  #copy(
    vma: Ref,
    mm: Ref,
    table: Ref,
    vpn: number,
    lo: number,
    hi: number,
    old: Ref,
    oldPfn: number,
    unshare: boolean,
  ): number {
    const { w, vmas, folios, tables, core, rmap, counts, anonVmas, zap, deferred, notifiers } =
      this.base;
    if (anonVmas.of(vma) === NONE && anonVmas.prepare(vma, vmas.nearAnonVma(vma)) !== 0)
      return FAULT_OOM;
    const fresh = folios.alloc(0, T_ANON, w.load32(mm, MM_MEMCG) as Ref);
    if (fresh < 0) return FAULT_OOM;
    core.content.copy(oldPfn, fresh);
    const folio = core.design.descriptorOf(fresh);
    folios.mark(folio, PG_UPTODATE | PG_SWAPBACKED);
    if (notifiers.any !== 0) notifiers.start(mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR);
    const desc = tables.lock(table);
    const off = pteAt(vpn);
    if (w.load64(table, off) !== lo || w.hi !== hi) {
      tables.unlock(desc);
      if (notifiers.any !== 0) notifiers.end(mm, vpn, vpn + 1);
      folios.put(folio);
      return 0;
    }
    const flags = vmas.flags(vma);
    if (old !== NONE) w.add32(mm, zap.rssOf(old), -1);
    w.add32(mm, MM_RSS_ANON, 1);
    const write = unshare ? 0 : ((flags & VM_WRITE) !== 0 ? PTE_WRITE : 0) | PTE_DIRTY;
    rmap.newAnon(folio, fresh, 0, vma, vpn, false);
    folios.lruAdd(folio, 0);
    w.store64(
      table,
      off,
      pteLow(fresh, pteRights(flags, false) | write),
      pteHigh(fresh) | pteNx(flags),
    );
    if (old !== NONE) {
      const order = core.design.orderOf(oldPfn);
      const partly = counts.removePtes(old, oldPfn, order, 1, counts.mmId(vma));
      if (partly && folios.isAnon(old)) deferred.add(old, order);
      if (folios.isAnon(old)) zap.freeSwapCache(old, order);
      folios.put(old);
    }
    tables.unlock(desc);
    if (notifiers.any !== 0) notifiers.end(mm, vpn, vpn + 1);
    return 0;
  }
}
