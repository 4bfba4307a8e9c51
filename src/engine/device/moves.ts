/**
 * Page tables while pages move between RAM and a device: mappings of a
 * device-private folio become migration entries, migration entries become mappings
 * of what took the page's place.
 *
 * An entry is the one looked for only if its kind is that of the folio and its
 * number is that of the page: numbers of both kinds overlap.
 *
 * Source: mm/rmap.c (try_to_migrate_one), mm/migrate.c (remove_migration_pte),
 * mm/page_vma_mapped.c (check_pte, check_pmd with the fix of June 2026) of the mm
 * tree of July 2026; device-facts §2.4, §2.6.
 */
import { PG_DIRTY } from "../design/word/axis-flags.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { PMD_ORDER, PMD_PAGES, VM_WRITE } from "../process/constants.js";
import {
  isDevicePrivate,
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_DIRTY,
  PTE_PROTNONE,
  PTE_THERE,
  PTE_WRITE,
  SWP_DEVICE_WRITE,
  swapType,
} from "../process/entry.js";
import { MMU_NOTIFY_CLEAR } from "../process/notifier/events.js";
import { IN_PAGE_TABLE, TOLD_NOTHING } from "../process/number-witness.js";
import { pmdAt, pteAt } from "../process/page-tables.js";
import { pteNx, pteRights } from "../process/protection.js";
import type { Mutants } from "./mutants.js";
import { movesAs, MOVES_READ, MOVES_WRITE, type Numbers } from "./numbers.js";
import type { Side } from "./side.js";

const NONE = 0 as Ref;

export class Moves {
  readonly base: Base;
  readonly numbers: Numbers;
  readonly privates: Side;
  readonly system: Side;
  readonly mutants: Mutants;
  /** What the walk at hand is about: it calls back without making anything. */
  readonly at: { side: Side; folio: Ref; from: number; to: number; order: number };

  constructor(base: Base, numbers: Numbers, system: Side, privates: Side, mutants: Mutants) {
    this.base = base;
    this.numbers = numbers;
    this.system = system;
    this.privates = privates;
    this.mutants = mutants;
    this.at = { side: system, folio: NONE, from: 0, to: 0, order: 0 };
  }

  /** The side that a page is on. */
  sideOf(page: number): Side {
    return page >= this.numbers.firstPrivate ? this.privates : this.system;
  }

  /** try_to_migrate of a locked device-private folio: nothing maps it afterwards. */
  unmap(folio: Ref, page: number, order: number): boolean {
    const { folios, counts } = this.privates;
    const { at } = this;
    at.folio = folio;
    at.from = page;
    at.order = order;
    const mapping = folios.mapping(folio);
    this.base.rmap.walkMapping(mapping, true, folios.index(folio), 1 << order, this.#unmapVma);
    return counts.total(folio, order) === 0;
  }

  /** try_to_migrate_one */
  readonly #unmapVma = (vma: Ref, mm: Ref, vpn: number, i: number, n: number): boolean => {
    const { notifiers } = this.base;
    const { folio, from, order } = this.at;
    if (notifiers.any !== 0) notifiers.start(mm, vpn, vpn + n, MMU_NOTIFY_CLEAR);
    for (let k = 0; k < n; k++)
      if (this.#unmapOne(folio, from, order, i + k, vma, mm, vpn + k)) break;
    if (notifiers.any !== 0) notifiers.end(mm, vpn, vpn + n);
    return this.privates.counts.total(folio, order) > 0;
  };

  /** Page `i` of the folio in one VMA; true where one entry was for all of it. */
  #unmapOne(
    folio: Ref,
    page: number,
    order: number,
    i: number,
    vma: Ref,
    mm: Ref,
    vpn: number,
  ): boolean {
    const { w, tables } = this.base;
    const pmds = tables.pmdTable(mm, vpn);
    if (pmds === NONE) return false;
    const off = pmdAt(vpn);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    const whole = (lo & PTE_THERE) === 0 && isDevicePrivate(lo, hi);
    const table = whole ? pmds : tables.below(pmds, off);
    if (table === NONE) return false;
    const desc = tables.lock(table);
    const done = whole
      ? this.#unmapPmd(folio, page, vma, table, off, hi)
      : this.#unmapPte(folio, page, order, i, vma, table, vpn);
    tables.unlock(desc);
    // It was split in between: its pages have entries of their own now.
    if (whole && !done && tables.below(pmds, off) !== NONE)
      return this.#unmapOne(folio, page, order, i, vma, mm, vpn);
    return whole && done;
  }

  /** check_pmd, read again under the lock; `seen` is the high half from before. */
  #unmapPmd(folio: Ref, page: number, vma: Ref, pmds: Ref, off: number, seen: number): boolean {
    const { w } = this.base;
    const { pages, counts, folios } = this.privates;
    const lo = w.load64(pmds, off);
    // Before June 2026 whatever was seen without the lock was the one, and not compared.
    const hi = this.mutants.pmdWalk ? seen : w.hi;
    if (!this.mutants.pmdWalk) {
      if (!isDevicePrivate(lo, hi)) return false;
      if (this.numbers.find(lo, hi) !== page) return false;
    }
    const exclusive = pages.isExclusive(page);
    if (exclusive) pages.setExclusive(page, false);
    const how = movesAs(swapType(hi) === SWP_DEVICE_WRITE, exclusive);
    w.store64(pmds, off, this.numbers.migrationEntry(page, how), this.numbers.hi);
    counts.removePmd(folio, PMD_ORDER, counts.mmId(vma));
    folios.put(folio);
    return true;
  }

  /** check_pte */
  #unmapPte(
    folio: Ref,
    page: number,
    order: number,
    i: number,
    vma: Ref,
    table: Ref,
    vpn: number,
  ): boolean {
    const { w } = this.base;
    const { pages, counts, folios } = this.privates;
    const lo = w.load64(table, pteAt(vpn));
    const hi = w.hi;
    if (!this.#names(lo, hi, page + i)) return false;
    const exclusive = pages.isExclusive(page + i);
    if (exclusive) pages.setExclusive(page + i, false);
    const how = movesAs(swapType(hi) === SWP_DEVICE_WRITE, exclusive);
    w.store64(table, pteAt(vpn), this.numbers.migrationEntry(page + i, how), this.numbers.hi);
    counts.removePtes(folio, page + i, order, 1, order === 0 ? 0 : counts.mmId(vma));
    folios.put(folio);
    return true;
  }

  /** Whether an entry maps that device-private page: its kind first, then its number. */
  #names(lo: number, hi: number, page: number): boolean {
    if (isDevicePrivate(lo, hi)) return this.numbers.find(lo, hi) === page;
    // Before the walk knew of kinds, a frame of the same number would do.
    if (!this.mutants.aliasing || (lo & PTE_THERE) === 0) return false;
    const { witness } = this.numbers;
    if (witness !== null && this.numbers.naming.ownKind)
      witness.read(IN_PAGE_TABLE, TOLD_NOTHING, true, lo, hi, page);
    return ptePfn(lo, hi) === this.numbers.low(page);
  }

  /** Before June 2026: a walk for migration entries (PVMW_MIGRATION) found any device-private PMD. */
  #misread(lo: number, hi: number): boolean {
    return this.mutants.pmdWalk && isDevicePrivate(lo, hi);
  }

  /**
   * remove_migration_ptes: entries that stand for the pages from `from` on are made
   * to map those from `to` on, which belong to a folio of that order now (one page
   * each after a split).
   */
  restore(from: number, to: number, order: number): void {
    const side = this.sideOf(to);
    const folio = side.folioOf(to);
    const { folios } = side;
    const { at } = this;
    at.side = side;
    at.folio = folio;
    at.from = from;
    at.to = to;
    at.order = order;
    const mapping = folios.mapping(folio);
    const anon = folios.isAnon(folio);
    this.base.rmap.walkMapping(mapping, anon, folios.index(folio), 1 << order, this.#backVma);
  }

  /** remove_migration_pte */
  readonly #backVma = (vma: Ref, mm: Ref, vpn: number, i: number, n: number): boolean => {
    const { side, folio, from, to, order } = this.at;
    for (let k = 0; k < n; k++)
      if (this.#back(side, folio, from + i + k, to + i + k, order, vma, mm, vpn + k)) break;
    return true;
  };

  /** One page in one VMA; true where one entry was for the whole folio. */
  #back(
    side: Side,
    folio: Ref,
    from: number,
    to: number,
    order: number,
    vma: Ref,
    mm: Ref,
    vpn: number,
  ): boolean {
    const { w, tables } = this.base;
    const pmds = tables.pmdTable(mm, vpn);
    if (pmds === NONE) return false;
    const lo = w.load64(pmds, pmdAt(vpn));
    const hi = w.hi;
    const whole = (lo | hi) !== 0 && (this.numbers.isMigration(lo, hi) || this.#misread(lo, hi));
    const table = whole ? pmds : tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return false;
    const off = whole ? pmdAt(vpn) : pteAt(vpn);
    const desc = tables.lock(table);
    const elo = w.load64(table, off);
    const ehi = w.hi;
    const found =
      (elo | ehi) !== 0 &&
      (this.numbers.isMigration(elo, ehi)
        ? this.numbers.moving(elo, ehi) === from
        : whole && this.#misread(elo, ehi));
    if (found) this.#map(side, folio, to, order, vma, table, off, ehi, whole);
    tables.unlock(desc);
    // It was split in between: its pages have entries of their own now.
    if (whole && !found && tables.below(pmds, off) !== NONE)
      return this.#back(side, folio, from, to, order, vma, mm, vpn);
    return found && whole;
  }

  /** The entry maps page `to`, with the rights that the migration entry remembers. */
  #map(
    side: Side,
    folio: Ref,
    to: number,
    order: number,
    vma: Ref,
    table: Ref,
    off: number,
    hi: number,
    whole: boolean,
  ): void {
    const { w, vmas } = this.base;
    const { counts, folios, pages } = side;
    const how = this.numbers.movesHow(hi);
    const flags = vmas.flags(vma);
    const write = how === MOVES_WRITE && (flags & VM_WRITE) !== 0;
    folios.get(folio);
    if (whole) counts.addPmd(folio, counts.mmId(vma));
    else counts.addPtes(folio, to, order, 1, order === 0 ? 0 : counts.mmId(vma));
    if (how !== MOVES_READ && folios.isAnon(folio)) pages.setExclusive(to, true);
    if (side.isPrivate) {
      w.store64(table, off, this.numbers.privateEntry(to, write), this.numbers.hi);
      return;
    }
    const dirty = folios.test(folio, PG_DIRTY) ? PTE_DIRTY : 0;
    const rights = pteRights(flags, true) | (whole ? PMD_HUGE : 0) | dirty;
    const bits = rights | (write && (rights & PTE_PROTNONE) === 0 ? PTE_WRITE : 0);
    w.store64(table, off, pteLow(to, bits), pteHigh(to) | pteNx(flags));
  }

  /** split_huge_pmd_address of a PMD that is on its way: an entry for each of its pages. */
  splitMoving(mm: Ref, vpn: number): void {
    const { w, tables } = this.base;
    const pmds = tables.pmdTable(mm, vpn);
    const off = pmdAt(vpn);
    const desc = tables.lock(pmds);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    if ((lo | hi) !== 0 && this.numbers.isMigration(lo, hi)) {
      const first = this.numbers.moving(lo, hi);
      const how = this.numbers.movesHow(hi);
      const table = tables.withdraw(desc);
      for (let i = 0; i < PMD_PAGES; i++)
        w.store64(table, i << 3, this.numbers.migrationEntry(first + i, how), this.numbers.hi);
      tables.setTable(pmds, off, table);
    }
    tables.unlock(desc);
  }
}
