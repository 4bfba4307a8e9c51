/**
 * madvise: what a process says about its memory, VMA by VMA.
 *
 * A gap in the range does not stop it: what is mapped gets the advice, and ENOMEM
 * says that something was not.
 *
 * Source: mm/madvise.c, mm/khugepaged.c (madvise_collapse), mm/ksm.c of 6.18.
 * Simplified: WILLNEED reads nothing ahead.
 */
import type { Ref } from "../../units.js";
import { MM_MMAP_LOCK } from "../layout/generated/offsets.js";
import {
  PG_ACTIVE,
  PG_DIRTY,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UNEVICTABLE,
} from "../design/word/axis-flags.js";
import type { Base } from "./base.js";
import * as c from "./constants.js";
import type { Collapse } from "./collapse.js";
import {
  isSwap,
  PMD_HUGE,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_THERE,
  swapOffset,
} from "./entry.js";
import type { Faults } from "./fault.js";
import type { Files } from "./files.js";
import { FOLL_FORCE, FOLL_WRITE, type Gup } from "./gup.js";
import type { Ksm } from "./ksm.js";
import { downRead, downWrite, upRead, upWrite } from "./locks.js";
import { MMU_NOTIFY_CLEAR } from "./notifier/events.js";
import { pmdAt, pteAt } from "./page-tables.js";
import type { Reclaim } from "./reclaim.js";
import type { Splits } from "./split.js";
import { PG_SWAPCACHE } from "./swap.js";
import { MM_RSS_SWAP } from "../layout/generated/offsets.js";

const NONE = 0 as Ref;
const NO_LRU = c.VM_LOCKED | c.VM_HUGETLB | c.VM_PFNMAP;
const SPECIAL = c.VM_IO | c.VM_DONTEXPAND | c.VM_PFNMAP | c.VM_MIXEDMAP;

const KNOWN: ReadonlySet<number> = new Set([
  c.MADV_NORMAL,
  c.MADV_RANDOM,
  c.MADV_SEQUENTIAL,
  c.MADV_WILLNEED,
  c.MADV_DONTNEED,
  c.MADV_FREE,
  c.MADV_REMOVE,
  c.MADV_DONTFORK,
  c.MADV_DOFORK,
  c.MADV_MERGEABLE,
  c.MADV_UNMERGEABLE,
  c.MADV_HUGEPAGE,
  c.MADV_NOHUGEPAGE,
  c.MADV_WIPEONFORK,
  c.MADV_KEEPONFORK,
  c.MADV_COLD,
  c.MADV_PAGEOUT,
  c.MADV_POPULATE_READ,
  c.MADV_POPULATE_WRITE,
  c.MADV_COLLAPSE,
]);

export class Advice {
  readonly base: Base;
  readonly faults: Faults;
  readonly gup: Gup;
  readonly files: Files;
  readonly reclaim: Reclaim;
  readonly splits: Splits;
  readonly collapse: Collapse;
  readonly ksm: Ksm;

  constructor(
    base: Base,
    faults: Faults,
    gup: Gup,
    files: Files,
    reclaim: Reclaim,
    splits: Splits,
    collapse: Collapse,
    ksm: Ksm,
  ) {
    this.base = base;
    this.faults = faults;
    this.gup = gup;
    this.files = files;
    this.reclaim = reclaim;
    this.splits = splits;
    this.collapse = collapse;
    this.ksm = ksm;
  }

  /** madvise of bytes: 0 or an errno. */
  advise(mm: Ref, addr: number, length: number, advice: number): number {
    if (!KNOWN.has(advice) || addr % 4096 !== 0) return c.EINVAL;
    const start = addr / 4096;
    if (addr + length >= 2 ** 64) return c.EINVAL;
    if (length === 0) return 0;
    if (start >= c.TASK_PAGES) return c.ENOMEM;
    const end = Math.min(start + Math.ceil(length / 4096), c.TASK_PAGES);
    const { w } = this.base;
    if (advice === c.MADV_POPULATE_READ || advice === c.MADV_POPULATE_WRITE)
      return this.#populate(mm, start, end, advice === c.MADV_POPULATE_WRITE);
    downWrite(w, mm, MM_MMAP_LOCK);
    const error = this.#walk(mm, start, end, advice);
    upWrite(w, mm, MM_MMAP_LOCK);
    return error;
  }

  /** madvise_walk_vmas */
  #walk(mm: Ref, start: number, end: number, advice: number): number {
    const { tree } = this.base.vmas;
    let unmapped = 0;
    for (let at = start; at < end;) {
      const vma = tree.find(mm, at);
      if (vma === NONE) return c.ENOMEM;
      if (tree.start(vma) > at) {
        unmapped = c.ENOMEM;
        at = tree.start(vma);
        if (at >= end) break;
      }
      const to = Math.min(end, tree.end(vma));
      const error = this.#one(mm, vma, at, to, advice);
      if (error !== 0) return error;
      at = to;
    }
    return unmapped;
  }

  #one(mm: Ref, vma: Ref, start: number, end: number, advice: number): number {
    const { vmas } = this.base;
    const flags = vmas.flags(vma);
    switch (advice) {
      case c.MADV_DONTNEED:
        return this.#dontNeed(mm, vma, start, end, flags);
      case c.MADV_FREE:
        if (!this.#anonymous(vma)) return c.EINVAL;
        return (flags & NO_LRU) !== 0 ? c.EINVAL : this.#freeVma(mm, vma, start, end);
      case c.MADV_COLD:
      case c.MADV_PAGEOUT:
        if ((flags & NO_LRU) !== 0) return c.EINVAL;
        this.#cold(mm, start, end, advice === c.MADV_PAGEOUT);
        return 0;
      case c.MADV_COLLAPSE:
        return this.collapse.range(mm, vma, start, end);
      case c.MADV_WILLNEED:
        return vmas.file(vma) === NONE && this.base.swap.slots === 0 ? -9 : 0;
      case c.MADV_REMOVE:
        return this.#remove(vma, start, end, flags);
      case c.MADV_UNMERGEABLE:
        return (
          this.ksm.unmerge(mm, vma, start, end) ||
          this.#setFlags(mm, vma, start, end, advice, flags)
        );
      default:
        return this.#setFlags(mm, vma, start, end, advice, flags);
    }
  }

  #anonymous(vma: Ref): boolean {
    return this.base.vmas.file(vma) === NONE && this.base.vmas.ops(vma) === 0;
  }

  #dontNeed(mm: Ref, vma: Ref, start: number, end: number, flags: number): number {
    const { zap, counts } = this.base;
    if ((flags & (c.VM_LOCKED | c.VM_PFNMAP)) !== 0) return c.EINVAL;
    if ((flags & c.VM_HUGETLB) !== 0) {
      if (start % c.PMD_PAGES !== 0) return c.EINVAL;
      this.faults.hugetlb.discard(vma, mm, start, end - (end % c.PMD_PAGES));
      return 0;
    }
    const error = zap.single(vma, mm, counts.mmId(vma), start, end);
    this.#reclaimTables(mm, start, end);
    return error;
  }

  /** CONFIG_PT_RECLAIM: a table that the advice emptied goes. */
  #reclaimTables(mm: Ref, start: number, end: number): void {
    const { w, tables } = this.base;
    const first = Math.ceil(start / c.PMD_PAGES) * c.PMD_PAGES;
    for (let vpn = first; vpn + c.PMD_PAGES <= end; vpn += c.PMD_PAGES) {
      const table = tables.pteTable(mm, vpn);
      if (table === NONE || !tables.isEmpty(table)) continue;
      w.store64(tables.pmdTable(mm, vpn), pmdAt(vpn), 0, 0);
      tables.free(mm, table);
    }
  }

  /** Advice that is a flag of the VMA. */
  #setFlags(mm: Ref, vma: Ref, start: number, end: number, advice: number, flags: number): number {
    const { vmas } = this.base;
    const next = this.#newFlags(vma, advice, flags);
    if (next === null) return c.EINVAL;
    if (next === flags) return 0;
    const error = vmas.isolate(mm, start, end);
    if (error !== 0) return error;
    const part = vmas.tree.find(mm, start);
    vmas.setFlags(part, next);
    vmas.merge(mm, part);
    return 0;
  }

  #newFlags(vma: Ref, advice: number, flags: number): number | null {
    const reading = c.VM_RAND_READ | c.VM_SEQ_READ;
    switch (advice) {
      case c.MADV_NORMAL:
        return flags & ~reading;
      case c.MADV_RANDOM:
        return (flags & ~reading) | c.VM_RAND_READ;
      case c.MADV_SEQUENTIAL:
        return (flags & ~reading) | c.VM_SEQ_READ;
      case c.MADV_DONTFORK:
        return flags | c.VM_DONTCOPY;
      case c.MADV_DOFORK:
        return (flags & SPECIAL) !== 0 ? null : flags & ~c.VM_DONTCOPY;
      case c.MADV_WIPEONFORK:
        return !this.#anonymous(vma) || (flags & c.VM_SHARED) !== 0
          ? null
          : flags | c.VM_WIPEONFORK;
      case c.MADV_KEEPONFORK:
        return flags & ~c.VM_WIPEONFORK;
      case c.MADV_HUGEPAGE:
        return (flags & ~c.VM_NOHUGEPAGE) | c.VM_HUGEPAGE;
      case c.MADV_NOHUGEPAGE:
        return (flags & ~c.VM_HUGEPAGE) | c.VM_NOHUGEPAGE;
      case c.MADV_MERGEABLE:
        // vma_ksm_compatible: what cannot be merged is left alone without a word.
        return (flags & (SPECIAL | c.VM_HUGETLB | c.VM_SHARED | c.VM_MAYSHARE)) !== 0
          ? flags
          : flags | c.VM_MERGEABLE;
      case c.MADV_UNMERGEABLE:
        return flags & ~c.VM_MERGEABLE;
      default:
        return null;
    }
  }

  /** madvise_remove: a hole in the file under a shared, writable mapping. */
  #remove(vma: Ref, start: number, end: number, flags: number): number {
    const { vmas, rmap } = this.base;
    if ((flags & c.VM_LOCKED) !== 0 || vmas.file(vma) === NONE) return c.EINVAL;
    if ((flags & (c.VM_SHARED | c.VM_WRITE)) !== (c.VM_SHARED | c.VM_WRITE)) return c.EACCES;
    const inode = this.files.inodeOf(vmas.mapping(vma));
    this.files.punchHole(inode, rmap.index(vma, start) * 4096, (end - start) * 4096);
    return 0;
  }

  /** Every entry of a range: PTE table, place, page number; huge entries that are cut are split first. */
  #entries(
    mm: Ref,
    start: number,
    end: number,
    visit: (table: Ref, off: number, vpn: number, huge: boolean) => void,
  ): void {
    const { w, tables } = this.base;
    for (let vpn = start; vpn < end;) {
      const next = Math.min(end, vpn - (vpn % c.PMD_PAGES) + c.PMD_PAGES);
      const pmds = tables.pmdTable(mm, vpn);
      const lo = pmds === NONE ? 0 : w.load64(pmds, pmdAt(vpn));
      if ((lo & PMD_HUGE) !== 0 && (lo & PTE_THERE) !== 0) {
        if (next - vpn === c.PMD_PAGES) visit(pmds, pmdAt(vpn), vpn, true);
        else {
          const pfn = ptePfn(lo & ~PMD_HUGE, w.hi);
          if (this.base.core.isHugeZero(pfn)) {
            vpn = next;
            continue;
          }
          // One that others have too is left alone.
          if (!this.#splitFolio(pfn)) vpn = next;
          continue;
        }
      } else if (pmds !== NONE) {
        const table = tables.below(pmds, pmdAt(vpn));
        if (table === NONE) {
          vpn = next;
          continue;
        }
        for (let at = vpn; at < next;) {
          const part = this.#part(table, at, next);
          for (let i = 0; i < -part; i++) visit(table, pteAt(at + i), at + i, false);
          at += Math.abs(part);
        }
      }
      vpn = next;
    }
  }

  /**
   * How many entries go together: −n are to be visited; n to be left alone,
   * because they map part of a large folio, the rest of which the advice is not
   * about and which could not be split.
   */
  #part(table: Ref, at: number, end: number): number {
    const { w, folios, core } = this.base;
    const lo = w.load64(table, pteAt(at));
    if ((lo & PTE_THERE) === 0 || (lo & PTE_SPECIAL) !== 0) return -1;
    const pfn = ptePfn(lo, w.hi);
    const folio = folios.ofPage(pfn);
    const order = folio === NONE ? 0 : core.design.orderOf(pfn);
    if (order === 0) return -1;
    let n = 1;
    while (at + n < end) {
      const more = w.load64(table, pteAt(at + n));
      if ((more & PTE_THERE) === 0 || (more & PTE_SPECIAL) !== 0) break;
      if (ptePfn(more, w.hi) !== pfn + n || folios.ofPage(pfn + n) !== folio) break;
      n++;
    }
    if (n === 1 << order) return -n;
    return this.#splitFolio(pfn) ? -1 : n;
  }

  /** A large folio that only part of the advice is about is split, if nobody else has it. */
  #splitFolio(pfn: number): boolean {
    const { folios, core, counts } = this.base;
    const folio = core.isHugeZero(pfn) ? NONE : folios.ofPage(pfn);
    if (folio === NONE || !folios.isAnon(folio)) return false;
    const order = core.design.orderOf(pfn);
    if (counts.maybeShared(folio, order) || !folios.tryLock(folio)) return false;
    const head = core.pfnOf(folio);
    folios.get(folio);
    const done = this.splits.split(folio, 0) === 0;
    const first = folios.ofPage(head);
    folios.unlock(first);
    folios.put(first);
    return done;
  }

  /** madvise_free_single_vma */
  #freeVma(mm: Ref, vma: Ref, start: number, end: number): number {
    const { notifiers } = this.base;
    if (notifiers.any !== 0) notifiers.start(mm, start, end, MMU_NOTIFY_CLEAR);
    this.#lazyFree(mm, vma, start, end);
    if (notifiers.any !== 0) notifiers.end(mm, start, end);
    return 0;
  }

  /** madvise_free_pte_range: clean again, and first to go. */
  #lazyFree(mm: Ref, vma: Ref, start: number, end: number): void {
    const { w, folios, swap, core, counts } = this.base;
    core.watch?.forgotten(counts.mmId(vma), start, end);
    this.#entries(mm, start, end, (table, off, _vpn, huge) => {
      const lo = w.load64(table, off);
      const hi = w.hi;
      if (isSwap(lo, hi)) {
        w.store64(table, off, 0, 0);
        w.add32(mm, MM_RSS_SWAP, -1);
        swap.free(swapOffset(lo, hi), 1);
        return;
      }
      if ((lo & PTE_THERE) === 0 || (lo & PTE_SPECIAL) !== 0) return;
      const pfn = ptePfn(huge ? lo & ~PMD_HUGE : lo, hi);
      if (huge && core.isHugeZero(pfn)) return;
      const folio = folios.ofPage(pfn);
      if (folio === NONE || !folios.isAnon(folio) || pfn >= core.machine.deviceFirst) return;
      const order = core.design.orderOf(pfn);
      if (order > 0 && counts.maybeShared(folio, order)) return;
      if (folios.test(folio, PG_SWAPCACHE | PG_DIRTY)) {
        if (order === 0 && counts.total(folio, 0) !== 1) return;
        if (!folios.tryLock(folio)) return;
        swap.dropCache(folio);
        folios.clear(folio, PG_DIRTY);
        folios.unlock(folio);
      }
      w.store64(table, off, lo & ~(PTE_DIRTY | PTE_ACCESSED), hi);
      // folio_mark_lazyfree: to the list of clean file pages.
      if (folios.test(folio, PG_SWAPBACKED) && !folios.test(folio, PG_SWAPCACHE | PG_UNEVICTABLE))
        folios.lruMove(folio, order, 0, PG_SWAPBACKED | PG_ACTIVE | PG_REFERENCED);
    });
  }

  /** madvise_cold_or_pageout_pte_range */
  #cold(mm: Ref, start: number, end: number, pageOut: boolean): void {
    const { w, folios, core, counts } = this.base;
    const frames: number[] = [];
    this.#entries(mm, start, end, (table, off, _vpn, huge) => {
      const lo = w.load64(table, off);
      const hi = w.hi;
      if ((lo & PTE_THERE) === 0 || (lo & PTE_SPECIAL) !== 0) return;
      const pfn = ptePfn(huge ? lo & ~PMD_HUGE : lo, hi);
      if (huge && core.isHugeZero(pfn)) return;
      const folio = folios.ofPage(pfn);
      // A device's memory is no memory to be got back.
      if (folio === NONE || pfn >= core.machine.deviceFirst) return;
      const order = core.design.orderOf(pfn);
      // Pages of others are left alone.
      if (counts.maybeShared(folio, order)) return;
      w.store64(table, off, lo & ~PTE_ACCESSED, hi);
      folios.clear(folio, PG_REFERENCED);
      if (folios.test(folio, PG_ACTIVE)) folios.lruMove(folio, order, 0, PG_ACTIVE);
      const first = core.pfnOf(folio);
      if (pageOut && frames.at(-1) !== first) frames.push(first);
    });
    for (const pfn of frames) this.#pageOut(pfn);
  }

  #pageOut(pfn: number): void {
    const { folios, core } = this.base;
    const folio = folios.ofPage(pfn);
    if (folio === NONE || !folios.test(folio, 1 << 5)) return;
    this.reclaim.one(folio, core.design.orderOf(core.pfnOf(folio)), true);
  }

  /** mm_populate after mmap with MAP_POPULATE: writable private memory as if written. Errors end it quietly. */
  populateNew(mm: Ref, start: number, end: number): void {
    const { w, vmas } = this.base;
    downRead(w, mm, MM_MMAP_LOCK);
    for (let vpn = start; vpn < end; vpn++) {
      const vma = vmas.tree.lookup(mm, vpn);
      if (vma === NONE) break;
      const flags = vmas.flags(vma);
      if ((flags & (c.VM_PFNMAP | c.VM_IO)) !== 0) break;
      const write = (flags & (c.VM_WRITE | c.VM_SHARED)) === c.VM_WRITE ? FOLL_WRITE : 0;
      const force = (flags & (c.VM_READ | c.VM_WRITE | c.VM_EXEC)) !== 0 ? FOLL_FORCE : 0;
      const result = this.gup.faultIn(vma, mm, vpn, write | force);
      if (result === c.FAULT_RETRY) {
        upRead(w, mm, MM_MMAP_LOCK);
        const answered = this.faults.onRetry(mm, vpn, write !== 0);
        downRead(w, mm, MM_MMAP_LOCK);
        if (!answered) break;
        vpn--;
      } else if (result !== 0) break;
    }
    upRead(w, mm, MM_MMAP_LOCK);
  }

  /** madvise_populate: as if every page were touched, without signals. */
  #populate(mm: Ref, start: number, end: number, write: boolean): number {
    const { w, vmas } = this.base;
    for (let vpn = start; vpn < end; vpn++) {
      downRead(w, mm, MM_MMAP_LOCK);
      const vma = vmas.tree.lookup(mm, vpn);
      let error = vma === NONE ? c.ENOMEM : 0;
      if (error === 0) error = this.#populateOne(mm, vma, vpn, write);
      upRead(w, mm, MM_MMAP_LOCK);
      if (error === c.FAULT_RETRY) {
        if (!this.faults.onRetry(mm, vpn, write)) return c.EDEADLK;
        vpn--;
      } else if (error !== 0) return error;
    }
    return 0;
  }

  #populateOne(mm: Ref, vma: Ref, vpn: number, write: boolean): number {
    const flags = this.base.vmas.flags(vma);
    if ((flags & (c.VM_PFNMAP | c.VM_IO)) !== 0) return c.EINVAL;
    const needs = write ? c.VM_WRITE : c.VM_READ;
    if ((flags & needs) === 0) return c.EINVAL;
    return this.gup.faultIn(vma, mm, vpn, write ? FOLL_WRITE : 0);
  }
}
