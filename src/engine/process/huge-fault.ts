/**
 * Faults at PMD level: a huge page or the huge zero page where one fits, and
 * writes to a huge page that is shared.
 *
 * Source: mm/huge_memory.c of 6.18 (do_huge_pmd_anonymous_page,
 * do_huge_pmd_wp_page, do_huge_zero_wp_pmd). A PTE table is allocated with every
 * huge page and kept for when its entry is split.
 */
import type { Ref } from "../../units.js";
import { MM_MEMCG, MM_RSS_ANON } from "../layout/generated/offsets.js";
import { PG_DIRTY, PG_LOCKED, PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_ANON } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import {
  FAULT_OOM,
  FAULT_RETRY,
  PMD_ORDER,
  PMD_PAGES,
  VM_MAYSHARE,
  VM_SHARED,
  VM_UFFD_MISSING,
  VM_WRITE,
} from "./constants.js";
import {
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_THERE,
  PTE_WRITE,
} from "./entry.js";
import { MMU_NOTIFY_CLEAR } from "./notifier/events.js";
import { pmdAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";
import { PG_SWAPCACHE } from "./swap.js";
import type { ThpPolicy } from "./thp-policy.js";

/** VM_FAULT_FALLBACK: go on with single pages. */
export const FALLBACK = 1;
const NONE = 0 as Ref;

export class HugeFaults {
  readonly base: Base;
  readonly thp: ThpPolicy;

  constructor(base: Base, thp: ThpPolicy) {
    this.base = base;
    this.thp = thp;
  }

  /** The PMD entry is empty. */
  missing(vma: Ref, mm: Ref, pmds: Ref, vpn: number, write: boolean): number {
    const { vmas, anonVmas, core } = this.base;
    const flags = vmas.flags(vma);
    if (vmas.file(vma) !== NONE || vmas.ops(vma) !== 0) return FALLBACK;
    if ((this.thp.anonOrders(flags) >>> PMD_ORDER) % 2 === 0) return FALLBACK;
    const first = vpn & -PMD_PAGES;
    if (first < vmas.tree.start(vma) || first + PMD_PAGES > vmas.tree.end(vma)) return FALLBACK;
    if ((flags & VM_UFFD_MISSING) !== 0) return FAULT_RETRY;
    if (anonVmas.of(vma) === NONE && anonVmas.prepare(vma, vmas.nearAnonVma(vma)) !== 0)
      return FAULT_OOM;
    if (write || !this.base.policy.useHugeZeroPage) return this.#fresh(vma, mm, pmds, first, 0, 0);
    const zero = core.hugeZeroPage(PMD_ORDER);
    return zero < 0 ? FALLBACK : this.#mapZero(vma, mm, pmds, first, zero);
  }

  #mapZero(vma: Ref, mm: Ref, pmds: Ref, first: number, zero: number): number {
    const { w, tables, vmas } = this.base;
    const table = tables.alloc(mm);
    if (table === NONE) return FAULT_OOM;
    const desc = tables.lock(pmds);
    const off = pmdAt(first);
    const empty = (w.load64(pmds, off) | w.hi) === 0;
    if (empty) {
      const flags = vmas.flags(vma);
      tables.deposit(desc, table);
      w.store64(
        pmds,
        off,
        pteLow(zero, pteRights(flags, false) | PMD_HUGE),
        pteHigh(zero) | pteNx(flags),
      );
    }
    tables.unlock(desc);
    if (!empty) tables.free(mm, table);
    return 0;
  }

  /** A huge page in place of an entry that is (lo, hi): empty, or the huge zero page. */
  #fresh(vma: Ref, mm: Ref, pmds: Ref, first: number, lo: number, hi: number): number {
    const { w, tables, folios, core, rmap, vmas, notifiers } = this.base;
    const pfn = folios.alloc(PMD_ORDER, T_ANON, w.load32(mm, MM_MEMCG) as Ref);
    if (pfn < 0) return FALLBACK;
    const folio = core.design.descriptorOf(pfn);
    const deposited = (lo | hi) !== 0;
    const table = deposited ? NONE : tables.alloc(mm);
    if (!deposited && table === NONE) {
      folios.put(folio);
      return FAULT_OOM;
    }
    folios.mark(folio, PG_UPTODATE | PG_SWAPBACKED);
    // Where the huge zero page goes (do_huge_zero_wp_pmd); nobody knew of an empty entry.
    const tells = deposited && notifiers.any !== 0;
    if (tells) notifiers.start(mm, first, first + PMD_PAGES, MMU_NOTIFY_CLEAR);
    const desc = tables.lock(pmds);
    const off = pmdAt(first);
    if (w.load64(pmds, off) !== lo || w.hi !== hi) {
      tables.unlock(desc);
      if (tells) notifiers.end(mm, first, first + PMD_PAGES);
      folios.put(folio);
      if (table !== NONE) tables.free(mm, table);
      return 0;
    }
    if (table !== NONE) tables.deposit(desc, table);
    rmap.newAnon(folio, pfn, PMD_ORDER, vma, first, true);
    folios.lruAdd(folio, PMD_ORDER);
    w.add32(mm, MM_RSS_ANON, PMD_PAGES);
    const flags = vmas.flags(vma);
    const bits =
      pteRights(flags, false) | PMD_HUGE | PTE_DIRTY | ((flags & VM_WRITE) !== 0 ? PTE_WRITE : 0);
    w.store64(pmds, off, pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
    tables.unlock(desc);
    if (tells) notifiers.end(mm, first, first + PMD_PAGES);
    return 0;
  }

  /** The PMD entry maps a huge page, or one that is on its way elsewhere. */
  present(vma: Ref, mm: Ref, pmds: Ref, vpn: number, write: boolean, unshare: boolean): number {
    const { w, tables, folios } = this.base;
    const off = pmdAt(vpn);
    const desc = tables.lock(pmds);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    if ((lo & PTE_THERE) === 0) {
      tables.unlock(desc);
      if ((lo | hi) === 0) return 0;
      const { device } = this.base;
      if (device !== null && device.owns(lo, hi))
        return device.faultHuge(vma, mm, pmds, vpn, lo, hi);
      const moving = folios.ofMigration(lo, hi);
      if (moving !== NONE) folios.waitClear(moving, PG_LOCKED);
      return 0;
    }
    if ((lo & PMD_HUGE) === 0) {
      tables.unlock(desc);
      return FALLBACK;
    }
    if ((write || unshare) && (lo & PTE_WRITE) === 0)
      return this.#writeProtected(vma, mm, pmds, desc, vpn, lo, hi, unshare);
    w.store64(pmds, off, lo | PTE_ACCESSED | (write ? PTE_DIRTY : 0), hi);
    tables.unlock(desc);
    return 0;
  }

  /** do_huge_pmd_wp_page, with the lock, which it gives back. */
  #writeProtected(
    vma: Ref,
    mm: Ref,
    pmds: Ref,
    desc: Ref,
    vpn: number,
    lo: number,
    hi: number,
    unshare: boolean,
  ): number {
    const { w, tables, folios, core, vmas, rmap, counts, zap, swap } = this.base;
    const pfn = ptePfn(lo & ~PMD_HUGE, hi);
    const flags = vmas.flags(vma);
    if (core.isHugeZero(pfn)) {
      tables.unlock(desc);
      const result = unshare ? FALLBACK : this.#fresh(vma, mm, pmds, vpn & -PMD_PAGES, lo, hi);
      if (result === FALLBACK) zap.splitPmd(mm, counts.mmId(vma), pmds, vpn);
      return result;
    }
    const folio = folios.ofPage(pfn);
    const shared = (flags & (VM_SHARED | VM_MAYSHARE)) !== 0;
    let reuse = shared || core.design.isExclusive(pfn);
    if (!reuse && folios.isAnon(folio) && folios.tryLock(folio)) {
      if (folios.test(folio, PG_SWAPCACHE)) swap.dropCache(folio);
      if (folios.refcount(folio) === 1) {
        rmap.moveAnon(folio, vma);
        core.design.setExclusive(pfn, true);
        reuse = true;
      }
      folios.unlock(folio);
    }
    if (reuse) {
      if (shared) folios.set(folio, PG_DIRTY);
      if (!unshare) {
        const write = (flags & VM_WRITE) !== 0 ? PTE_WRITE : 0;
        w.store64(pmds, pmdAt(vpn), lo | write | PTE_DIRTY | PTE_ACCESSED, hi);
      }
      tables.unlock(desc);
      return 0;
    }
    tables.unlock(desc);
    zap.splitPmd(mm, counts.mmId(vma), pmds, vpn);
    return FALLBACK;
  }
}
