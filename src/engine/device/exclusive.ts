/**
 * Device-exclusive access: a device works atomically on a page of RAM, which the
 * process finds again at its next access.
 *
 * The page is faulted in writable, its folio locked, whoever else mirrors it told,
 * and its entry replaced by one that only names it. It stays mapped and counted.
 * Whoever touches it (the process, fork, GUP) puts the entry back under the folio's
 * lock.
 *
 * Source: mm/rmap.c (make_device_exclusive), mm/memory.c
 * (remove_device_exclusive_entry, restore_exclusive_pte) of the mm tree of July
 * 2026; device-facts §5.5.
 */
import { PG_LOCKED } from "../design/word/axis-flags.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { EFAULT, EOPNOTSUPP, VM_HUGETLB, VM_WRITE } from "../process/constants.js";
import {
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
} from "../process/entry.js";
import { FOLL_WRITE, type Gup } from "../process/gup.js";
import { MMU_NOTIFY_CLEAR, MMU_NOTIFY_EXCLUSIVE } from "../process/notifier/events.js";
import { pmdAt, pteAt } from "../process/page-tables.js";
import { pteNx, pteRights } from "../process/protection.js";
import type { Numbers } from "./numbers.js";

const NONE = 0 as Ref;

export class Exclusive {
  readonly base: Base;
  readonly gup: Gup;
  readonly numbers: Numbers;

  constructor(base: Base, gup: Gup, numbers: Numbers) {
    this.base = base;
    this.gup = gup;
    this.numbers = numbers;
  }

  /**
   * make_device_exclusive: with the process locked. The frame, its folio locked and
   * held once more; −EFAULT where it cannot be had writable, −EOPNOTSUPP for what is
   * no anonymous page.
   */
  make(mm: Ref, vpn: number, owner: number): number {
    const { vmas, folios, notifiers } = this.base;
    for (;;) {
      const vma = vmas.tree.lookup(mm, vpn);
      if (vma === NONE) return EFAULT;
      if ((vmas.flags(vma) & VM_HUGETLB) !== 0) return EOPNOTSUPP;
      const error = this.gup.populate(vma, mm, vpn, FOLL_WRITE);
      if (error < 0) return error;
      // FOLL_SPLIT_PMD
      this.#splitPmd(vma, mm, vpn);
      const table = this.base.tables.pteTable(mm, vpn);
      const pfn = table === NONE ? -1 : this.#writable(table, vpn);
      if (pfn < 0) continue;
      const folio = folios.ofPage(pfn);
      if (folio === NONE || !folios.isAnon(folio)) return EOPNOTSUPP;
      folios.get(folio);
      folios.lock(folio);
      notifiers.start(mm, vpn, vpn + 1, MMU_NOTIFY_EXCLUSIVE, owner);
      const done = this.#lend(table, vpn, pfn);
      notifiers.end(mm, vpn, vpn + 1);
      if (done) return pfn;
      folios.unlock(folio);
      folios.put(folio);
    }
  }

  #splitPmd(vma: Ref, mm: Ref, vpn: number): void {
    const { w, tables, zap, counts } = this.base;
    const pmds = tables.pmdTable(mm, vpn);
    // Splitting is told to all of the PMD's range: not where there is nothing to split.
    if (pmds !== NONE && (w.load64(pmds, pmdAt(vpn)) & PMD_HUGE) !== 0)
      zap.splitPmd(mm, counts.mmId(vma), pmds, vpn);
  }

  /** Frame that an entry maps writable; −1 for none. */
  #writable(table: Ref, vpn: number): number {
    const lo = this.base.w.load64(table, pteAt(vpn));
    if ((lo & PTE_THERE) === 0 || (lo & PTE_WRITE) === 0 || (lo & PTE_SPECIAL) !== 0) return -1;
    return ptePfn(lo, this.base.w.hi);
  }

  /** The entry becomes one that names the page; false where it is another one by now. */
  #lend(table: Ref, vpn: number, pfn: number): boolean {
    const { w, tables, folios } = this.base;
    const desc = tables.lock(table);
    const same = this.#writable(table, vpn) === pfn;
    if (same) {
      const lo = w.load64(table, pteAt(vpn));
      if ((lo & PTE_DIRTY) !== 0) folios.markDirty(folios.ofPage(pfn));
      w.store64(table, pteAt(vpn), this.numbers.exclusiveEntry(pfn), this.numbers.hi);
    }
    tables.unlock(desc);
    return same;
  }

  /** remove_device_exclusive_entry: an access of the process takes the page back. */
  remove(vma: Ref, mm: Ref, table: Ref, vpn: number, lo: number, hi: number): number {
    const { w, tables, folios, notifiers } = this.base;
    const folio = folios.ofPage(this.numbers.lent(lo, hi));
    folios.get(folio);
    folios.lock(folio);
    // Not the event of its making: to who hears it this is an entry that is cleared.
    notifiers.start(mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR);
    const desc = tables.lock(table);
    if (w.load64(table, pteAt(vpn)) === lo && w.hi === hi) this.#put(vma, table, vpn, lo, hi);
    tables.unlock(desc);
    notifiers.end(mm, vpn, vpn + 1);
    folios.unlock(folio);
    folios.put(folio);
    return 0;
  }

  /** try_restore_exclusive_pte: with the table's lock, as fork meets it. */
  restore(vma: Ref, table: Ref, vpn: number, lo: number, hi: number): void {
    const { folios } = this.base;
    const folio = folios.ofPage(this.numbers.lent(lo, hi));
    // −EBUSY in the kernel, which drops its locks and waits.
    folios.waitClear(folio, PG_LOCKED);
    this.#put(vma, table, vpn, lo, hi);
  }

  /** The same where the caller has the folio's lock: reverse-map walks. */
  takeBack(vma: Ref, table: Ref, vpn: number, lo: number, hi: number): void {
    this.#put(vma, table, vpn, lo, hi);
  }

  /** restore_exclusive_pte */
  #put(vma: Ref, table: Ref, vpn: number, lo: number, hi: number): void {
    const { w, vmas, core } = this.base;
    const pfn = this.numbers.lent(lo, hi);
    const flags = vmas.flags(vma);
    const write =
      (flags & VM_WRITE) !== 0 && core.design.isExclusive(pfn) ? PTE_WRITE | PTE_DIRTY : 0;
    w.store64(
      table,
      pteAt(vpn),
      pteLow(pfn, pteRights(flags, true) | write),
      pteHigh(pfn) | pteNx(flags),
    );
  }
}
