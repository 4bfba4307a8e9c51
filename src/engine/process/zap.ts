/**
 * Taking mappings away: entries are cleared, map counts and references go down,
 * folios that nobody holds are freed.
 *
 * Source: mm/memory.c (zap_pte_range, zap_present_folio_ptes), mm/huge_memory.c
 * (zap_huge_pmd, __split_huge_pmd_locked) of 6.18. Simplified: pages are freed at
 * once, not gathered for one TLB flush; there is no TLB.
 */
import type { Ref } from "../../units.js";
import {
  MM_RSS_ANON,
  MM_RSS_FILE,
  MM_RSS_SHMEM,
  MM_RSS_SWAP,
  VMA_VM_FLAGS,
} from "../layout/generated/offsets.js";
import { PG_SWAPBACKED } from "../design/word/axis-flags.js";
import type { Words } from "../words/words.js";
import { PMD_ORDER, PMD_PAGES, VM_RAND_READ, VM_SEQ_READ } from "./constants.js";
import type { Core } from "./core.js";
import type { DeferredSplits } from "./deferred.js";
import type { DeviceEntries } from "./device-entries.js";
import {
  isMigration,
  isSwap,
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_NX_HI,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
  swapOffset,
} from "./entry.js";
import type { Folios } from "./folios.js";
import type { MapCounts } from "./map-counts.js";
import { MMU_NOTIFY_CLEAR } from "./notifier/events.js";
import type { Notifiers } from "./notifier/notifiers.js";
import { pmdAt, pteAt, type PageTables } from "./page-tables.js";
import type { SpecialPages } from "./special.js";
import { PG_SWAPCACHE, type Swap } from "./swap.js";

const NONE = 0 as Ref;

export class Zap {
  /** Who counts special entries; null: nobody. */
  special: SpecialPages | null = null;
  /** Who knows the entries of devices; null: nobody. */
  device: DeviceEntries | null = null;
  readonly core: Core;
  readonly w: Words;
  readonly folios: Folios;
  readonly counts: MapCounts;
  readonly tables: PageTables;
  readonly deferred: DeferredSplits;
  readonly swap: Swap;
  readonly notifiers: Notifiers;
  /** Whether the VMA being unmapped says anything about what is used (vma_has_recency). */
  #recency = true;

  constructor(
    core: Core,
    folios: Folios,
    counts: MapCounts,
    tables: PageTables,
    deferred: DeferredSplits,
    swap: Swap,
    notifiers: Notifiers,
  ) {
    this.core = core;
    this.w = core.w;
    this.folios = folios;
    this.counts = counts;
    this.tables = tables;
    this.deferred = deferred;
    this.swap = swap;
    this.notifiers = notifiers;
  }

  /** Which of the process's counters a folio's pages are in. */
  rssOf(folio: Ref): number {
    if (this.folios.isAnon(folio)) return MM_RSS_ANON;
    return this.folios.test(folio, PG_SWAPBACKED) ? MM_RSS_SHMEM : MM_RSS_FILE;
  }

  /** zap_page_range_single: `range` for one VMA alone, of which who listens is told. */
  single(vma: Ref, mm: Ref, mmId: number, start: number, end: number, keepAnon = false): number {
    const { notifiers } = this;
    if (notifiers.any === 0) return this.range(vma, mm, mmId, start, end, keepAnon);
    notifiers.start(mm, start, end, MMU_NOTIFY_CLEAR);
    const error = this.range(vma, mm, mmId, start, end, keepAnon);
    notifiers.end(mm, start, end);
    return error;
  }

  /**
   * unmap_page_range: nothing of pages `start` … `end` of a VMA is mapped
   * afterwards. `keepAnon` leaves private copies of file pages (truncation of the
   * file with even_cows off). 0, or ENOMEM where a huge entry had to be split.
   */
  range(vma: Ref, mm: Ref, mmId: number, start: number, end: number, keepAnon = false): number {
    const { tables, w } = this;
    this.#recency = (w.load32(vma, VMA_VM_FLAGS) & (VM_SEQ_READ | VM_RAND_READ)) === 0;
    if (this.core.watch !== null) this.core.watch.forgotten(mmId, start, end);
    for (let vpn = start; vpn < end;) {
      const next = Math.min(end, vpn - (vpn % PMD_PAGES) + PMD_PAGES);
      const pmds = tables.pmdTable(mm, vpn);
      if (pmds === NONE) {
        // Nothing in this gigabyte.
        vpn = vpn - (vpn % (PMD_PAGES * PMD_PAGES)) + PMD_PAGES * PMD_PAGES;
        continue;
      }
      const lo = w.load64(pmds, pmdAt(vpn));
      const hi = w.hi;
      if ((lo & PTE_THERE) !== 0 && (lo & PMD_HUGE) !== 0) {
        if (next - vpn === PMD_PAGES) this.#hugePmd(mm, mmId, pmds, vpn, keepAnon);
        else {
          const error = this.splitPmd(mm, mmId, pmds, vpn);
          if (error !== 0) return error;
          continue;
        }
      } else if ((lo & PTE_THERE) === 0 && (lo | hi) !== 0) {
        if (next - vpn < PMD_PAGES && this.splitDevicePmd(mm, mmId, pmds, vpn)) continue;
        this.#migratingPmd(mm, mmId, pmds, vpn);
      } else if ((lo | hi) !== 0)
        this.#ptes(mm, mmId, tables.below(pmds, pmdAt(vpn)), vpn, next, keepAnon);
      vpn = next;
    }
    return 0;
  }

  #ptes(mm: Ref, mmId: number, table: Ref, start: number, end: number, keepAnon: boolean): void {
    const { w, folios } = this;
    const { design } = this.core;
    const desc = this.tables.lock(table);
    for (let vpn = start; vpn < end; vpn++) {
      const off = pteAt(vpn);
      const lo = w.load64(table, off);
      const hi = w.hi;
      if ((lo | hi) === 0) continue;
      if ((lo & PTE_THERE) === 0) {
        this.#absent(mm, mmId, table, off, lo, hi, keepAnon);
        continue;
      }
      if ((lo & PTE_SPECIAL) !== 0) {
        w.store64(table, off, 0, 0);
        this.special?.unmapped(ptePfn(lo, hi));
        continue;
      }
      const pfn = ptePfn(lo, hi);
      const folio = folios.ofPage(pfn);
      if (folio === NONE) {
        // Mapped with counts it has not: a driver's mistake that the sanitizer names.
        this.core.watch?.countless(pfn, "unmapped as if it had a map count");
        w.store64(table, off, 0, 0);
        continue;
      }
      const anon = folios.isAnon(folio);
      if (anon && keepAnon) continue;
      const order = design.orderOf(pfn);
      w.store64(table, off, 0, 0);
      let n = 1;
      let seen = lo;
      if (order > 0) {
        // folio_pte_batch: the pages of one folio that are mapped side by side.
        const last = design.blockOf(pfn) + (1 << order);
        while (vpn + n < end && pfn + n < last) {
          const more = w.load64(table, pteAt(vpn + n));
          if ((more & PTE_THERE) === 0 || (more & PTE_SPECIAL) !== 0) break;
          if (ptePfn(more, w.hi) !== pfn + n) break;
          seen |= more;
          w.store64(table, pteAt(vpn + n), 0, 0);
          n++;
        }
      }
      if (!anon) {
        if ((seen & PTE_DIRTY) !== 0) folios.markDirty(folio);
        if ((seen & PTE_ACCESSED) !== 0 && this.#recency) folios.markAccessed(folio);
      }
      w.add32(mm, this.rssOf(folio), -n);
      const partly = this.counts.removePtes(folio, pfn, order, n, mmId);
      if (partly && anon) this.deferred.add(folio, order);
      if (anon) this.freeSwapCache(folio, order);
      folios.put(folio, n);
      vpn += n - 1;
    }
    this.tables.unlock(desc);
  }

  /** An entry that is not present: a swap slot or a page on its way elsewhere. */
  #absent(
    mm: Ref,
    mmId: number,
    table: Ref,
    off: number,
    lo: number,
    hi: number,
    keepAnon: boolean,
  ): void {
    const { w } = this;
    if (this.device !== null && this.device.owns(lo, hi)) {
      // All of them are the process's own.
      if (!keepAnon) this.device.zap(mm, mmId, table, off, lo, hi);
      return;
    }
    if (isSwap(lo, hi)) {
      if (keepAnon) return;
      w.add32(mm, MM_RSS_SWAP, -1);
      this.swap.free(swapOffset(lo, hi), 1);
    } else if (isMigration(lo, hi)) {
      const folio = this.folios.ofMigration(lo, hi);
      if (folio !== NONE) w.add32(mm, this.rssOf(folio), -1);
    }
    w.store64(table, off, 0, 0);
  }

  /** zap_huge_pmd */
  #hugePmd(mm: Ref, mmId: number, pmds: Ref, vpn: number, keepAnon: boolean): void {
    const { w, folios, tables } = this;
    const desc = tables.lock(pmds);
    const off = pmdAt(vpn);
    const lo = w.load64(pmds, off);
    const pfn = ptePfn(lo & ~PMD_HUGE, w.hi);
    const zero = this.core.isHugeZero(pfn);
    const folio = zero ? NONE : folios.ofPage(pfn);
    const anon = !zero && folios.isAnon(folio);
    if (anon && keepAnon) return tables.unlock(desc);
    w.store64(pmds, off, 0, 0);
    const table = anon || zero ? tables.withdraw(desc) : NONE;
    tables.unlock(desc);
    if (folio !== NONE) {
      if (!anon && (lo & PTE_DIRTY) !== 0) folios.markDirty(folio);
      w.add32(mm, this.rssOf(folio), -PMD_PAGES);
      const partly = this.counts.removePmd(folio, PMD_ORDER, mmId);
      if (partly && anon) this.deferred.add(folio, PMD_ORDER);
      if (anon) this.freeSwapCache(folio, PMD_ORDER);
      folios.put(folio);
    }
    if (table !== NONE) tables.free(mm, table);
  }

  /** free_swap_cache: a folio that nobody maps any more keeps no slot for itself. */
  freeSwapCache(folio: Ref, order: number): void {
    const { folios } = this;
    if (!folios.test(folio, PG_SWAPCACHE) || this.counts.total(folio, order) > 0) return;
    if (!folios.tryLock(folio)) return;
    this.swap.dropCache(folio);
    folios.unlock(folio);
  }

  /** `splitPmd` of a device's entry: false where there is none, or one that is on its way. */
  splitDevicePmd(mm: Ref, mmId: number, pmds: Ref, vpn: number): boolean {
    const lo = this.w.load64(pmds, pmdAt(vpn));
    const { hi } = this.w;
    if (!this.#isDevices(lo, hi)) return false;
    this.splitPmd(mm, mmId, pmds, vpn);
    return true;
  }

  /** A huge page that a device has. */
  #isDevices(lo: number, hi: number): boolean {
    if (this.device === null || (lo & PTE_THERE) !== 0 || (lo | hi) === 0) return false;
    return this.device.isSplittable(lo, hi);
  }

  /** A huge page on its way elsewhere, or with a device. */
  #migratingPmd(mm: Ref, mmId: number, pmds: Ref, vpn: number): void {
    const { w, tables } = this;
    const desc = tables.lock(pmds);
    const lo = w.load64(pmds, pmdAt(vpn));
    const hi = w.hi;
    w.store64(pmds, pmdAt(vpn), 0, 0);
    if (this.device !== null && this.device.owns(lo, hi)) {
      const kept = tables.withdraw(desc);
      tables.unlock(desc);
      this.device.zapHuge(mm, mmId, lo, hi);
      return tables.free(mm, kept);
    }
    const folio = this.folios.ofMigration(lo, hi);
    if (folio !== NONE) w.add32(mm, this.rssOf(folio), -PMD_PAGES);
    const table = tables.withdraw(desc);
    tables.unlock(desc);
    tables.free(mm, table);
  }

  /**
   * __split_huge_pmd: 512 entries for one, the folio stays as it is. A page of a
   * file is unmapped instead, and mapped anew when touched. 0; nothing fails,
   * the table for it was deposited.
   */
  splitPmd(mm: Ref, mmId: number, pmds: Ref, vpn: number): number {
    const { notifiers } = this;
    if (notifiers.any === 0) return this.splitTold(mm, mmId, pmds, vpn);
    const first = vpn & -PMD_PAGES;
    notifiers.start(mm, first, first + PMD_PAGES, MMU_NOTIFY_CLEAR);
    const error = this.splitTold(mm, mmId, pmds, vpn);
    notifiers.end(mm, first, first + PMD_PAGES);
    return error;
  }

  /** split_huge_pmd_locked: the same by who has told of it already. */
  splitTold(mm: Ref, mmId: number, pmds: Ref, vpn: number): number {
    const { w, tables, folios, core } = this;
    const desc = tables.lock(pmds);
    const off = pmdAt(vpn);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    if (this.#isDevices(lo, hi)) {
      const spread = tables.withdraw(desc);
      this.device?.split(mm, mmId, spread, lo, hi);
      tables.setTable(pmds, off, spread);
      tables.unlock(desc);
      return 0;
    }
    if ((lo & PMD_HUGE) === 0 || (lo & PTE_THERE) === 0) {
      tables.unlock(desc);
      return 0;
    }
    const pfn = ptePfn(lo & ~PMD_HUGE, hi);
    const zero = core.isHugeZero(pfn);
    const folio = zero ? NONE : folios.ofPage(pfn);
    if (!zero && !folios.isAnon(folio)) {
      tables.unlock(desc);
      this.#hugePmd(mm, mmId, pmds, vpn, false);
      return 0;
    }
    const table = tables.withdraw(desc);
    const nx = hi & PTE_NX_HI;
    if (zero) {
      const at = core.zeroPage();
      const rights = (lo & 0xf7f & ~PTE_WRITE) | PTE_SPECIAL;
      for (let i = 0; i < PMD_PAGES; i++)
        w.store64(table, i << 3, pteLow(at, rights), pteHigh(at) | nx);
    } else this.#spread(folio, pfn, table, lo, nx, mmId);
    tables.setTable(pmds, off, table);
    tables.unlock(desc);
    return 0;
  }

  /** The folio's pages are mapped one by one; exclusive if the folio was. */
  #spread(folio: Ref, pfn: number, table: Ref, lo: number, nx: number, mmId: number): void {
    const { w, core, counts } = this;
    const exclusive = core.design.isExclusive(pfn);
    if ((lo & PTE_DIRTY) !== 0) this.folios.markDirty(folio);
    this.folios.get(folio, PMD_PAGES - 1);
    const rights = lo & 0xf7f;
    for (let i = 0; i < PMD_PAGES; i++) {
      w.store64(table, i << 3, pteLow(pfn + i, rights), pteHigh(pfn + i) | nx);
      if (exclusive && i > 0) core.design.setExclusive(pfn + i, true);
    }
    counts.addPtes(folio, pfn, PMD_ORDER, PMD_PAGES, mmId);
    counts.removePmd(folio, PMD_ORDER, mmId);
  }
}
