/**
 * Taking a folio out of all page tables through its reverse map: with migration
 * entries that lead back to it, with swap entries, or with nothing.
 *
 * Source: mm/rmap.c of 6.18 (try_to_migrate_one, try_to_unmap_one,
 * folio_try_share_anon_rmap_pte), mm/migrate.c (remove_migration_pte). An
 * exclusive page that may be pinned stays where it is.
 */
import type { Ref } from "../../units.js";
import { MM_RSS_ANON, MM_RSS_SWAP } from "../layout/generated/offsets.js";
import { PG_DIRTY, PG_SWAPBACKED } from "../design/word/axis-flags.js";
import type { Base } from "./base.js";
import { PMD_ORDER, VM_HUGETLB, VM_LOCKED, VM_WRITE } from "./constants.js";
import {
  isMigration,
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_DIRTY,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
  SWP_EXCLUSIVE,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_READ_EXCLUSIVE,
  SWP_MIGRATION_WRITE,
  swapHigh,
  swapLow,
  swapOffset,
  swapType,
} from "./entry.js";
import { MMU_NOTIFY_CLEAR } from "./notifier/events.js";
import { IN_PAGE_TABLE, TOLD_BY_TYPE } from "./number-witness.js";
import { pmdAt, pteAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";

const NONE = 0 as Ref;

/** What takes the place of the entries. */
export type Replacement = "migration" | "swap" | "nothing";

export class Unmap {
  readonly base: Base;
  #zeroUnused = false;

  constructor(base: Base) {
    this.base = base;
  }

  /**
   * Takes a locked folio out of every page table; false if some entry had to
   * stay. With `split`, huge entries are split first, so that single pages are
   * left to come back to.
   */
  folio(folio: Ref, by: Replacement, split: boolean): boolean {
    const { core, rmap, folios, counts } = this.base;
    const pfn = core.pfnOf(folio);
    const order = core.design.orderOf(pfn);
    const first = folios.index(folio);
    let ok = true;
    let left = counts.total(folio, order);
    if (left > 0)
      rmap.walkRange(folio, first, 1 << order, (vma, mm, vpn, i, n) => {
        ok = this.#vma(folio, pfn, order, i, n, vma, mm, vpn, by, split) && ok;
        left = counts.total(folio, order);
        return left > 0;
      });
    return ok && left === 0;
  }

  /** try_to_migrate_one, try_to_unmap_one: `n` pages from page `i` on, in one VMA, of which it is told once. */
  #vma(
    folio: Ref,
    pfn: number,
    order: number,
    i: number,
    n: number,
    vma: Ref,
    mm: Ref,
    vpn: number,
    by: Replacement,
    split: boolean,
  ): boolean {
    const { notifiers, counts } = this.base;
    let ok = true;
    if (notifiers.any !== 0) notifiers.start(mm, vpn, vpn + n, MMU_NOTIFY_CLEAR);
    for (let k = 0; k < n && (k === 0 || counts.total(folio, order) > 0); k++)
      ok = this.#one(folio, pfn, order, i + k, vma, mm, vpn + k, by, split) && ok;
    if (notifiers.any !== 0) notifiers.end(mm, vpn, vpn + n);
    return ok;
  }

  /** Page `i` of the folio, where one VMA may map it. */
  #one(
    folio: Ref,
    pfn: number,
    order: number,
    i: number,
    vma: Ref,
    mm: Ref,
    vpn: number,
    by: Replacement,
    split: boolean,
  ): boolean {
    const { w, tables, zap, counts, vmas } = this.base;
    const pmds = tables.pmdTable(mm, vpn);
    if (pmds === NONE) return true;
    const off = pmdAt(vpn);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    if ((lo & PMD_HUGE) !== 0 && (lo & PTE_THERE) !== 0) {
      if (ptePfn(lo & ~PMD_HUGE, hi) !== pfn) return true;
      const hugetlb = (vmas.flags(vma) & VM_HUGETLB) !== 0;
      if (!split && by === "migration") return this.#huge(folio, pfn, vma, mm, pmds, vpn - i);
      if (hugetlb) return false;
      zap.splitTold(mm, counts.mmId(vma), pmds, vpn);
    }
    const table = tables.below(pmds, off);
    if (table === NONE) {
      const found = this.base.device?.isFound(lo, hi) === true && by === "migration";
      return !found || this.#huge(folio, pfn, vma, mm, pmds, vpn - i);
    }
    const desc = tables.lock(table);
    const ok = this.#pte(folio, pfn + i, order, vma, mm, table, vpn, by);
    tables.unlock(desc);
    return ok;
  }

  #pte(
    folio: Ref,
    pfn: number,
    order: number,
    vma: Ref,
    mm: Ref,
    table: Ref,
    vpn: number,
    by: Replacement,
  ): boolean {
    const { w, folios, core, counts, swap, vmas, zap } = this.base;
    const off = pteAt(vpn);
    let lo = w.load64(table, off);
    let hi = w.hi;
    if ((lo & PTE_THERE) === 0 && this.base.device?.takeBack(vma, table, vpn, pfn) === true) {
      lo = w.load64(table, off);
      hi = w.hi;
    }
    if ((lo & PTE_THERE) === 0 || (lo & PTE_SPECIAL) !== 0 || ptePfn(lo, hi) !== pfn) return true;
    const anon = folios.isAnon(folio);
    if (by !== "migration" && (vmas.flags(vma) & VM_LOCKED) !== 0) return false;
    const exclusive = anon && core.design.isExclusive(pfn);
    if (by === "nothing" && anon && (lo & PTE_DIRTY) !== 0) {
      // A lazily freed page that was written after all, which is seen before who holds it.
      folios.lruMove(folio, order, PG_SWAPBACKED, 0);
      return false;
    }
    // folio_try_share_anon_rmap_pte: a device may know this very page.
    if (exclusive && folios.maybePinned(folio, order)) return false;
    if (exclusive) core.design.setExclusive(pfn, false);
    if ((lo & PTE_DIRTY) !== 0) folios.set(folio, PG_DIRTY);
    if (by === "migration") {
      const type =
        (lo & PTE_WRITE) !== 0
          ? SWP_MIGRATION_WRITE
          : exclusive
            ? SWP_MIGRATION_READ_EXCLUSIVE
            : SWP_MIGRATION_READ;
      this.#setMigration(table, off, pfn, type, exclusive);
    } else if (by === "swap" && anon) {
      const slot = folios.private(folio) + pfn - core.pfnOf(folio);
      swap.duplicate(slot);
      w.add32(mm, MM_RSS_ANON, -1);
      w.add32(mm, MM_RSS_SWAP, 1);
      w.store64(table, off, swapLow(slot, exclusive), swapHigh(0, slot));
    } else {
      w.store64(table, off, 0, 0);
      w.add32(mm, zap.rssOf(folio), -1);
    }
    counts.removePtes(folio, pfn, order, 1, counts.mmId(vma));
    folios.put(folio);
    return true;
  }

  /** set_pmd_migration_entry */
  #huge(folio: Ref, pfn: number, vma: Ref, _mm: Ref, pmds: Ref, vpn: number): boolean {
    const { w, folios, core, counts, tables } = this.base;
    const desc = tables.lock(pmds);
    const off = pmdAt(vpn);
    const lo = w.load64(pmds, off);
    const exclusive = folios.isAnon(folio) && core.design.isExclusive(pfn);
    if (exclusive && folios.maybePinned(folio, PMD_ORDER)) {
      tables.unlock(desc);
      return false;
    }
    if (exclusive) core.design.setExclusive(pfn, false);
    if ((lo & PTE_DIRTY) !== 0) folios.set(folio, PG_DIRTY);
    const type =
      (lo & PTE_WRITE) !== 0
        ? SWP_MIGRATION_WRITE
        : exclusive
          ? SWP_MIGRATION_READ_EXCLUSIVE
          : SWP_MIGRATION_READ;
    this.#setMigration(pmds, off, pfn, type, exclusive);
    tables.unlock(desc);
    counts.removePmd(folio, PMD_ORDER, counts.mmId(vma));
    folios.put(folio);
    return true;
  }

  /**
   * remove_migration_ptes: every entry that stands for pages of the old block is
   * made to map the same page of the new one. `folio` is what page 0 … belongs to
   * now; after a split each part is called for itself. With `zeroUnused` pages of
   * zeroes are replaced by the zero page.
   */
  restore(folio: Ref, oldPfn: number, newPfn: number, order: number, zeroUnused = false): void {
    const { rmap, folios } = this.base;
    this.#zeroUnused = zeroUnused;
    const first = folios.index(folio);
    for (let i = 0; i < 1 << order; i++) {
      rmap.walk(folio, first + i, (vma, mm, vpn) => {
        this.#back(folio, oldPfn + i, newPfn + i, order, vma, mm, vpn, i);
        return true;
      });
    }
  }

  /** Whether a migration entry is of that frame: a device page's is of a type of its own, or of a pfn that no frame has. */
  #leadsTo(lo: number, hi: number, pfn: number): boolean {
    const { witness } = this.base.core;
    if (witness !== null)
      witness.read(IN_PAGE_TABLE, TOLD_BY_TYPE, false, lo, hi, swapOffset(lo, hi));
    return swapOffset(lo, hi) === pfn;
  }

  /** make_…_migration_entry, in its place. */
  #setMigration(table: Ref, off: number, pfn: number, type: number, exclusive: boolean): void {
    const lo = swapLow(pfn, exclusive);
    const hi = swapHigh(type, pfn);
    const { witness } = this.base.core;
    if (witness !== null) witness.made(IN_PAGE_TABLE, lo, hi, pfn);
    this.base.w.store64(table, off, lo, hi);
  }

  #back(
    folio: Ref,
    oldPfn: number,
    pfn: number,
    order: number,
    vma: Ref,
    mm: Ref,
    vpn: number,
    i: number,
  ): void {
    const { w, tables, core, folios, counts, vmas } = this.base;
    const pmds = tables.pmdTable(mm, vpn);
    if (pmds === NONE) return;
    const pmd = w.load64(pmds, pmdAt(vpn));
    const pmdHi = w.hi;
    if (isMigration(pmd, pmdHi)) {
      if (i === 0 && this.#leadsTo(pmd, pmdHi, oldPfn))
        this.#backHuge(folio, pfn, vma, pmds, vpn, pmd, pmdHi);
      return;
    }
    const table = tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return;
    const off = pteAt(vpn);
    const desc = tables.lock(table);
    const lo = w.load64(table, off);
    const hi = w.hi;
    if (isMigration(lo, hi) && this.#leadsTo(lo, hi, oldPfn)) {
      const flags = vmas.flags(vma);
      const unused = this.#zeroUnused && (flags & VM_LOCKED) === 0 && core.content.isZero(pfn);
      const zero = unused ? core.zeroPage() : -1;
      if (zero >= 0) {
        // try_to_map_unused_to_zeropage: a page of zeroes need not be kept.
        const bits = pteRights(flags, false) | PTE_SPECIAL;
        w.store64(table, off, pteLow(zero, bits), pteHigh(zero) | pteNx(flags));
        w.add32(mm, MM_RSS_ANON, -1);
        tables.unlock(desc);
        return;
      }
      const anon = folios.isAnon(folio);
      const write = swapType(hi) === SWP_MIGRATION_WRITE && (flags & VM_WRITE) !== 0;
      const exclusive = anon && (swapType(hi) !== SWP_MIGRATION_READ || (lo & SWP_EXCLUSIVE) !== 0);
      const rights = pteRights(flags, true) | (folios.test(folio, PG_DIRTY) ? PTE_DIRTY : 0);
      const bits = rights | (write && (rights & PTE_PROTNONE) === 0 ? PTE_WRITE : 0);
      folios.get(folio);
      counts.addPtes(folio, pfn, order, 1, counts.mmId(vma));
      if (exclusive) core.design.setExclusive(pfn, true);
      w.store64(table, off, pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
    }
    tables.unlock(desc);
  }

  #backHuge(
    folio: Ref,
    pfn: number,
    vma: Ref,
    pmds: Ref,
    vpn: number,
    lo: number,
    hi: number,
  ): void {
    const { w, tables, core, folios, counts, vmas } = this.base;
    const flags = vmas.flags(vma);
    const write = swapType(hi) === SWP_MIGRATION_WRITE && (flags & VM_WRITE) !== 0;
    const exclusive =
      folios.isAnon(folio) && (swapType(hi) !== SWP_MIGRATION_READ || (lo & SWP_EXCLUSIVE) !== 0);
    const rights =
      pteRights(flags, true) | PMD_HUGE | (folios.test(folio, PG_DIRTY) ? PTE_DIRTY : 0);
    const desc = tables.lock(pmds);
    folios.get(folio);
    counts.addPmd(folio, counts.mmId(vma));
    if (exclusive) core.design.setExclusive(pfn, true);
    w.store64(
      pmds,
      pmdAt(vpn),
      pteLow(pfn, rights | (write ? PTE_WRITE : 0)),
      pteHigh(pfn) | pteNx(flags),
    );
    tables.unlock(desc);
  }
}
