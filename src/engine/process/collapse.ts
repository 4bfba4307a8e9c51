/**
 * Collapse: single pages that fill a PMD become one huge page.
 *
 * The new folio is allocated first; then, with the process locked, the pages are
 * copied, their table taken out and the huge page mapped. Pages that somebody
 * else holds stop it.
 *
 * Source: mm/khugepaged.c of 6.18 (madvise_collapse, collapse_huge_page,
 * hpage_collapse_scan_pmd). Simplified: anonymous memory only, no khugepaged; the
 * entries are taken under the lock of the process, not isolated before.
 */
import type { Ref } from "../../units.js";
import { MM_MEMCG, MM_RSS_ANON } from "../layout/generated/offsets.js";
import { PG_LRU, PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_ANON } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import {
  EAGAIN,
  EBUSY,
  EINVAL,
  ENOMEM,
  PMD_ORDER,
  PMD_PAGES,
  VM_DONTEXPAND,
  VM_HUGETLB,
  VM_IO,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_UFFD_MISSING,
  VM_WRITE,
} from "./constants.js";
import {
  isSwap,
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
} from "./entry.js";
import type { Faults } from "./fault.js";
import { MMU_NOTIFY_CLEAR } from "./notifier/events.js";
import { pmdAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";
import { PG_SWAPCACHE } from "./swap.js";

const NONE = 0 as Ref;

export class Collapse {
  readonly base: Base;
  readonly faults: Faults;
  /** Huge pages made. */
  done = 0;

  constructor(base: Base, faults: Faults) {
    this.base = base;
    this.faults = faults;
  }

  /** MADV_COLLAPSE on part of a VMA, the process locked for writing: 0 if every PMD is huge afterwards. */
  range(mm: Ref, vma: Ref, start: number, end: number): number {
    const { vmas, anonVmas } = this.base;
    const flags = vmas.flags(vma);
    const special = VM_HUGETLB | VM_PFNMAP | VM_IO | VM_MIXEDMAP | VM_DONTEXPAND;
    if ((flags & special) !== 0) return EINVAL;
    const first = Math.ceil(start / PMD_PAGES) * PMD_PAGES;
    const last = end - (end % PMD_PAGES);
    // No huge page would fit: it cannot be allowed here.
    const fits = Math.ceil(vmas.tree.start(vma) / PMD_PAGES) * PMD_PAGES;
    if (fits + PMD_PAGES > vmas.tree.end(vma)) return EINVAL;
    if (vmas.file(vma) !== NONE || vmas.ops(vma) !== 0 || anonVmas.of(vma) === NONE) return EINVAL;
    if (first > last) return EINVAL;
    let error = 0;
    for (let vpn = first; vpn < last; vpn += PMD_PAGES) {
      const result = this.#one(mm, vma, vpn);
      if (result !== 0) error = result;
      if (result === ENOMEM) break;
    }
    return error;
  }

  #one(mm: Ref, vma: Ref, vpn: number): number {
    const { w, tables, core, folios } = this.base;
    const pmds = tables.pmdTable(mm, vpn);
    if (pmds === NONE) return EINVAL;
    const pmd = w.load64(pmds, pmdAt(vpn));
    if ((pmd & PMD_HUGE) !== 0 && (pmd & PTE_THERE) !== 0) return 0;
    const table = tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return EINVAL;
    if (!this.#swapIn(mm, vma, table, vpn)) return ENOMEM;
    const armed = (this.base.vmas.flags(vma) & VM_UFFD_MISSING) !== 0;
    const refused = this.#scan(table, armed);
    if (refused !== 0) return refused;
    const pfn = folios.alloc(PMD_ORDER, T_ANON, w.load32(mm, MM_MEMCG) as Ref);
    if (pfn < 0) return ENOMEM;
    // Reclaim for the huge page may have taken some of the pages.
    if (this.#scan(table, armed) !== 0) {
      folios.put(core.design.descriptorOf(pfn));
      return EAGAIN;
    }
    this.#replace(mm, vma, pmds, table, vpn, pfn);
    this.done++;
    return 0;
  }

  /** __collapse_huge_page_swapin */
  #swapIn(mm: Ref, vma: Ref, table: Ref, vpn: number): boolean {
    const { w } = this.base;
    for (let i = 0; i < PMD_PAGES; i++) {
      const lo = w.load64(table, i << 3);
      if (!isSwap(lo, w.hi)) continue;
      if (this.faults.inVma(vma, mm, vpn + i, false, false) !== 0) return false;
    }
    return true;
  }

  /**
   * Whether every page that is there can be taken: anonymous, on a list, held by its
   * mappings only. What is missing is made up, unless a userfaultfd wants to hear of it.
   */
  #scan(table: Ref, armed: boolean): number {
    const { w, folios, core, counts } = this.base;
    let present = 0;
    for (let i = 0; i < PMD_PAGES; i++) {
      const lo = w.load64(table, i << 3);
      const hi = w.hi;
      const there = (lo & PTE_THERE) !== 0;
      const gap = (lo | hi) === 0 || (there && (lo & PTE_SPECIAL) !== 0);
      if (gap && armed) return EBUSY;
      if (gap) continue;
      if (!there) return EAGAIN;
      const pfn = ptePfn(lo, hi);
      const folio = folios.ofPage(pfn);
      if (folio === NONE || !folios.isAnon(folio) || folios.isKsm(folio)) return EINVAL;
      const order = core.design.orderOf(pfn);
      if (!folios.test(folio, PG_LRU)) return EAGAIN;
      const cached = folios.test(folio, PG_SWAPCACHE) ? 1 << order : 0;
      if (folios.refcount(folio) !== counts.total(folio, order) + cached) return EAGAIN;
      present++;
    }
    return present === 0 ? EINVAL : 0;
  }

  /** The huge page takes the place of the table, which is kept for when it is split. */
  #replace(mm: Ref, vma: Ref, pmds: Ref, table: Ref, vpn: number, pfn: number): void {
    const { w, tables, core, folios, rmap, vmas, counts, deferred, notifiers } = this.base;
    const folio = core.design.descriptorOf(pfn);
    folios.set(folio, PG_UPTODATE | PG_SWAPBACKED);
    if (notifiers.any !== 0) notifiers.start(mm, vpn, vpn + PMD_PAGES, MMU_NOTIFY_CLEAR);
    const desc = tables.lock(pmds);
    w.store64(pmds, pmdAt(vpn), 0, 0);
    const mmId = counts.mmId(vma);
    let anon = 0;
    for (let i = 0; i < PMD_PAGES; i++) {
      const lo = w.load64(table, i << 3);
      const hi = w.hi;
      w.store64(table, i << 3, 0, 0);
      if ((lo | hi) === 0 || (lo & PTE_SPECIAL) !== 0) continue;
      const page = ptePfn(lo, hi);
      const old = folios.ofPage(page);
      const order = core.design.orderOf(page);
      core.content.copy(page, pfn + i);
      if (counts.removePtes(old, page, order, 1, mmId)) deferred.add(old, order);
      folios.put(old);
      anon++;
    }
    tables.deposit(desc, table);
    rmap.newAnon(folio, pfn, PMD_ORDER, vma, vpn, true);
    folios.lruAdd(folio, PMD_ORDER);
    w.add32(mm, MM_RSS_ANON, PMD_PAGES - anon);
    const flags = vmas.flags(vma);
    const bits =
      pteRights(flags, false) | PMD_HUGE | PTE_DIRTY | ((flags & VM_WRITE) !== 0 ? PTE_WRITE : 0);
    w.store64(pmds, pmdAt(vpn), pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
    tables.unlock(desc);
    if (notifiers.any !== 0) notifiers.end(mm, vpn, vpn + PMD_PAGES);
  }
}
