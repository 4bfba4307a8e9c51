/**
 * migrate_vma_setup, first half: the page tables of a range are walked, each page
 * that may be migrated is locked and its entry replaced by a migration entry.
 *
 * What refuses a page leaves its entry as it was and 0 in the array. Nothing here
 * fails as a whole.
 *
 * Source: mm/migrate_device.c of the mm tree of July 2026 (migrate_vma_collect_pmd,
 * migrate_vma_collect_huge_pmd, migrate_vma_collect_hole); device-facts §5.1.
 */
import { PG_DIRTY } from "../design/word/axis-flags.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { PMD_ORDER, PMD_PAGES } from "../process/constants.js";
import {
  isDevicePrivate,
  PMD_HUGE,
  ptePfn,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
  SWP_DEVICE_WRITE,
  swapType,
} from "../process/entry.js";
import { pmdAt, pteAt } from "../process/page-tables.js";
import type { Splits } from "../process/split.js";
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  type MigrateVmaArgs,
} from "./migrate-args.js";
import {
  clearEntry,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_WRITE,
  type MigratePfns,
} from "./migrate-pfn.js";
import type { Moves } from "./moves.js";
import { movesAs } from "./numbers.js";
import type { Pagemaps } from "./pagemaps.js";
import type { PrivateSplits } from "./private-split.js";

const NONE = 0 as Ref;
/** Inside: the page at hand belongs to a large folio that must be split first. */
const MUST_SPLIT = -2;

export class Collect {
  readonly base: Base;
  readonly pfns: MigratePfns;
  readonly moves: Moves;
  readonly pagemaps: Pagemaps;
  readonly splits: Splits;
  readonly privateSplits: PrivateSplits;

  constructor(
    base: Base,
    pfns: MigratePfns,
    moves: Moves,
    pagemaps: Pagemaps,
    splits: Splits,
    privateSplits: PrivateSplits,
  ) {
    this.base = base;
    this.pfns = pfns;
    this.moves = moves;
    this.pagemaps = pagemaps;
    this.splits = splits;
    this.privateSplits = privateSplits;
  }

  /** Fills `src` for every page from `start` to `end`. */
  range(args: MigrateVmaArgs): void {
    const { w, tables, vmas } = this.base;
    const mm = vmas.mm(args.vma);
    for (let vpn = args.start; vpn < args.end;) {
      const next = Math.min(args.end, vpn - (vpn % PMD_PAGES) + PMD_PAGES);
      const pmds = tables.pmdTable(mm, vpn);
      const lo = pmds === NONE ? 0 : w.load64(pmds, pmdAt(vpn));
      const hi = pmds === NONE ? 0 : w.hi;
      if ((lo | hi) === 0) this.#hole(args, vpn, next);
      else if (tables.below(pmds, pmdAt(vpn)) === NONE) {
        if (!this.#huge(args, mm, pmds, vpn, next)) continue;
      } else if (this.#table(args, tables.below(pmds, pmdAt(vpn)), vpn, next) === MUST_SPLIT)
        this.#skip(args, args.start + args.npages, next);
      vpn = next;
    }
  }

  /** migrate_vma_collect_skip */
  #skip(args: MigrateVmaArgs, from: number, to: number): void {
    for (let vpn = from; vpn < to; vpn++) {
      clearEntry(args.src, args.npages);
      clearEntry(args.dst, args.npages++);
    }
  }

  /** One entry, for `pages` pages. */
  #put(args: MigrateVmaArgs, flags: number, pages: number): void {
    args.src[args.npages << 1] = flags;
    args.src[(args.npages << 1) + 1] = 0;
    clearEntry(args.dst, args.npages++);
    args.cpages += pages;
  }

  #isAnonymous(vma: Ref): boolean {
    const { vmas } = this.base;
    return vmas.file(vma) === NONE && vmas.ops(vma) === 0;
  }

  /** migrate_vma_collect_hole: an empty place of anonymous memory may be filled. */
  #hole(args: MigrateVmaArgs, vpn: number, next: number): void {
    if (!this.#isAnonymous(args.vma)) return this.#skip(args, vpn, next);
    if (next - vpn === PMD_PAGES && (args.flags & MIGRATE_VMA_SELECT_COMPOUND) !== 0) {
      this.#put(args, MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND, PMD_PAGES);
      return this.#skip(args, vpn + 1, next);
    }
    for (let at = vpn; at < next; at++) this.#put(args, MIGRATE_PFN_MIGRATE, 1);
  }

  /** migrate_vma_collect_huge_pmd; false where it was split and is to be looked at again. */
  #huge(args: MigrateVmaArgs, mm: Ref, pmds: Ref, vpn: number, next: number): boolean {
    const { w, tables, core } = this.base;
    const off = pmdAt(vpn);
    const desc = tables.lock(pmds);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    const there = (lo & PTE_THERE) !== 0;
    const pfn = ptePfn(lo & ~PMD_HUGE, hi);
    const selected = (args.flags & MIGRATE_VMA_SELECT_SYSTEM) !== 0;
    if (there && core.isHugeZero(pfn)) {
      tables.unlock(desc);
      if (selected) this.#hole(args, vpn, next);
      else this.#skip(args, vpn, next);
      return true;
    }
    const page = there ? pfn : isDevicePrivate(lo, hi) ? this.moves.numbers.find(lo, hi) : -1;
    const wanted = there ? selected : page >= 0 && this.#wantsPrivate(args, page);
    if (!wanted) {
      tables.unlock(desc);
      this.#skip(args, vpn, next);
      return true;
    }
    const whole = next - vpn === PMD_PAGES && (args.flags & MIGRATE_VMA_SELECT_COMPOUND) !== 0;
    const taken = whole ? this.#takeHuge(args, pmds, off, page, lo, hi) : 0;
    tables.unlock(desc);
    if (taken === 1) {
      this.#skip(args, vpn + 1, next);
      return true;
    }
    if (taken < 0) {
      this.#skip(args, vpn, next);
      return true;
    }
    return !this.#splitPmd(args, mm, pmds, vpn, next);
  }

  /** The PMD's folio as a whole: 1, −1 where it is locked by others, 0 where it must be split. */
  #takeHuge(
    args: MigrateVmaArgs,
    pmds: Ref,
    off: number,
    page: number,
    lo: number,
    hi: number,
  ): number {
    const { w } = this.base;
    const side = this.moves.sideOf(page);
    const { folios, counts, pages } = side;
    const folio = side.folioOf(page);
    folios.get(folio);
    if (page !== args.faultPage && !this.#isFaults(args, page) && !folios.tryLock(folio)) {
      folios.put(folio);
      return -1;
    }
    const exclusive = folios.isAnon(folio) && pages.isExclusive(page);
    if (exclusive && !side.isPrivate && folios.maybePinned(folio, PMD_ORDER)) {
      folios.unlock(folio);
      folios.put(folio);
      return -1;
    }
    const write = side.isPrivate ? swapType(hi) === SWP_DEVICE_WRITE : (lo & PTE_WRITE) !== 0;
    if (exclusive) pages.setExclusive(page, false);
    if (!side.isPrivate && (lo & PTE_DIRTY) !== 0) folios.set(folio, PG_DIRTY);
    const { numbers } = this.moves;
    w.store64(pmds, off, numbers.migrationEntry(page, movesAs(write, exclusive)), numbers.hi);
    counts.removePmd(folio, PMD_ORDER, counts.mmId(args.vma));
    folios.put(folio);
    const flags = MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND | (write ? MIGRATE_PFN_WRITE : 0);
    this.pfns.set(args.src, args.npages, page, flags);
    clearEntry(args.dst, args.npages++);
    args.cpages += PMD_PAGES;
    return 1;
  }

  /** Whether the fault that this is for was on a page of the folio, which its handler has locked. */
  #isFaults(args: MigrateVmaArgs, page: number): boolean {
    if (args.faultPage < 0) return false;
    const side = this.moves.sideOf(page);
    const other = this.moves.sideOf(args.faultPage);
    return side === other && side.folioOf(page) === side.folioOf(args.faultPage);
  }

  /** The entry is split; true where there is a table now, else the range is skipped. */
  #splitPmd(args: MigrateVmaArgs, mm: Ref, pmds: Ref, vpn: number, next: number): boolean {
    const { w, zap, counts, tables } = this.base;
    const lo = w.load64(pmds, pmdAt(vpn));
    if ((lo & PTE_THERE) !== 0) zap.splitPmd(mm, counts.mmId(args.vma), pmds, vpn);
    else zap.splitDevicePmd(mm, counts.mmId(args.vma), pmds, vpn);
    if (tables.below(pmds, pmdAt(vpn)) !== NONE) return true;
    this.#skip(args, vpn, next);
    return false;
  }

  #wantsPrivate(args: MigrateVmaArgs, page: number): boolean {
    if ((args.flags & MIGRATE_VMA_SELECT_DEVICE_PRIVATE) === 0) return false;
    return this.pagemaps.ofPage(page)?.owner === args.owner;
  }

  /** The entries of one table; MUST_SPLIT where a large folio could not be split: the rest is left alone. */
  #table(args: MigrateVmaArgs, table: Ref, start: number, end: number): number {
    const { tables } = this.base;
    for (let vpn = start; vpn < end;) {
      const desc = tables.lock(table);
      let large = -1;
      while (vpn < end && large < 0) {
        large = this.#pte(args, table, vpn);
        if (large < 0) vpn++;
      }
      tables.unlock(desc);
      // With nothing locked; then the same entry again.
      if (large >= 0 && !this.#splitFolio(args, large)) return MUST_SPLIT;
    }
    return 0;
  }

  /** migrate_vma_split_folio: single pages are migrated one by one. */
  #splitFolio(args: MigrateVmaArgs, page: number): boolean {
    const side = this.moves.sideOf(page);
    const { folios } = side;
    const folio = side.folioOf(page);
    const held = this.#isFaults(args, page);
    const head = side.pages.blockOf(page);
    folios.get(folio);
    if (!held) folios.lock(folio);
    const done = side.isPrivate
      ? this.privateSplits.split(folio, 0, held ? args.faultPage : -1) === 0
      : this.splits.split(folio, 0) === 0;
    // The lock of a fault follows its page; otherwise the first part has lock and reference.
    const now = side.folioOf(done && held ? args.faultPage : head);
    if (!held) folios.unlock(now);
    folios.put(now);
    return done;
  }

  /** One entry; the page of a large folio that must be split first, or −1. */
  #pte(args: MigrateVmaArgs, table: Ref, vpn: number): number {
    const { w } = this.base;
    const off = pteAt(vpn);
    const lo = w.load64(table, off);
    const hi = w.hi;
    if ((lo | hi) === 0) {
      if (this.#isAnonymous(args.vma)) this.#put(args, MIGRATE_PFN_MIGRATE, 1);
      else this.#put(args, 0, 0);
      return -1;
    }
    const page = (lo & PTE_THERE) === 0 ? this.#absent(args, lo, hi) : this.#present(args, lo, hi);
    if (page < 0) return -1;
    const side = this.moves.sideOf(page);
    if (side.pages.orderOf(page) > 0) return page;
    if (!this.#take(args, table, off, page, lo, hi)) this.#put(args, 0, 0);
    return -1;
  }

  /** A page that is not mapped present: only a device's that is wanted; −1 with 0 put for others. */
  #absent(args: MigrateVmaArgs, lo: number, hi: number): number {
    const page = isDevicePrivate(lo, hi) ? this.moves.numbers.find(lo, hi) : -1;
    if (page >= 0 && this.#wantsPrivate(args, page)) return page;
    this.#put(args, 0, 0);
    return -1;
  }

  #present(args: MigrateVmaArgs, lo: number, hi: number): number {
    const { core, folios } = this.base;
    const pfn = ptePfn(lo, hi);
    const system = (args.flags & MIGRATE_VMA_SELECT_SYSTEM) !== 0;
    if (core.isZeroPage(pfn)) {
      this.#put(args, system ? MIGRATE_PFN_MIGRATE : 0, system ? 1 : 0);
      return -1;
    }
    const folio = (lo & PTE_SPECIAL) !== 0 ? NONE : folios.ofPage(pfn);
    const coherent = pfn >= core.machine.deviceFirst;
    const wanted = coherent ? this.#wantsCoherent(args, pfn) : system;
    // page->mapping NULL: nobody's page. The mappings of a KSM page are not followed (simplified).
    if (folio === NONE || !wanted || folios.mapping(folio) === NONE || folios.isKsm(folio)) {
      this.#put(args, 0, 0);
      return -1;
    }
    return pfn;
  }

  #wantsCoherent(args: MigrateVmaArgs, pfn: number): boolean {
    if ((args.flags & MIGRATE_VMA_SELECT_DEVICE_COHERENT) === 0) return false;
    return this.pagemaps.ofPage(pfn)?.owner === args.owner;
  }

  /** Locks the page and puts a migration entry in its place; false where it is somebody's. */
  #take(
    args: MigrateVmaArgs,
    table: Ref,
    off: number,
    page: number,
    lo: number,
    hi: number,
  ): boolean {
    const { w } = this.base;
    const side = this.moves.sideOf(page);
    const { folios, counts, pages } = side;
    const folio = side.folioOf(page);
    folios.get(folio);
    if (page !== args.faultPage && !folios.tryLock(folio)) {
      folios.put(folio);
      return false;
    }
    const exclusive = folios.isAnon(folio) && pages.isExclusive(page);
    // folio_try_share_anon_rmap_pte: somebody may know this very page.
    if (exclusive && !side.isPrivate && folios.maybePinned(folio, 0)) {
      folios.unlock(folio);
      folios.put(folio);
      return false;
    }
    const write = side.isPrivate ? swapType(hi) === SWP_DEVICE_WRITE : (lo & PTE_WRITE) !== 0;
    if (exclusive) pages.setExclusive(page, false);
    if (!side.isPrivate && (lo & PTE_DIRTY) !== 0) folios.set(folio, PG_DIRTY);
    const { numbers } = this.moves;
    w.store64(table, off, numbers.migrationEntry(page, movesAs(write, exclusive)), numbers.hi);
    this.pfns.set(
      args.src,
      args.npages,
      page,
      MIGRATE_PFN_MIGRATE | (write ? MIGRATE_PFN_WRITE : 0),
    );
    clearEntry(args.dst, args.npages++);
    args.cpages++;
    // A single page does not count who maps it.
    counts.removePtes(folio, page, 0, 1, 0);
    folios.put(folio);
    return true;
  }
}
