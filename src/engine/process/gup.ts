/**
 * get_user_pages and pin_user_pages: pages of a process for somebody who is not
 * the process.
 *
 * Fast: only the page tables, no VMA, no lock; a reference is taken and the entry
 * read again; anything unusual makes it give up. Slow: the VMA's rights are
 * checked, missing pages are faulted in, pages that a pin must not share are
 * unshared first. Pins for a long time never hold pages of ZONE_MOVABLE, nor those
 * that a device must be able to give up. What a release needs is the page, or what
 * the pin carried.
 *
 * Source: mm/gup.c of 6.18 (is_valid_gup_args, gup_fast_pte_range, follow_page_pte,
 * can_follow_write_common, check_vma_flags, gup_must_unshare, try_grab_folio,
 * unpin_user_page); its errno for each refusal.
 */
import type { Ref } from "../../units.js";
import { MM_FLAGS, MM_MMAP_LOCK } from "../layout/generated/offsets.js";
import { PG_REFERENCED } from "../design/word/axis-flags.js";
import { tryGetFolio } from "../pages/lookup.js";
import type { Base } from "./base.js";
import {
  EBUSY,
  EDEADLK,
  EFAULT,
  EHWPOISON,
  EINVAL,
  ENOMEM,
  FAULT_HWPOISON,
  FAULT_OOM,
  FAULT_RETRY,
  MMF_HAS_PINNED,
  PMD_ORDER,
  VM_IO,
  VM_MAYREAD,
  VM_HUGETLB,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from "./constants.js";
import {
  PMD_HUGE,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
} from "./entry.js";
import type { Faults } from "./fault.js";
import { downRead, setBits, upRead } from "./locks.js";
import { pmdAt, pteAt } from "./page-tables.js";
import type { Files } from "./files.js";

export const FOLL_WRITE = 1 << 0;
export const FOLL_FORCE = 1 << 4;
/** A poisoned page is told from one that is not there. */
const FOLL_HWPOISON = 1 << 6;
export const FOLL_LONGTERM = 1 << 8;
export const FOLL_GET = 1 << 17;
export const FOLL_PIN = 1 << 19;

const NONE = 0 as Ref;
const ZONE_MOVABLE = 3;
/** Inside: fault it in and look again. */
const NOT_THERE = 1;
/** Inside: make it one's own and look again (-EMLINK). */
const MUST_UNSHARE = 2;
/** Inside: it lies where nothing may be held for long; move it and look again. */
const MUST_MOVE = 3;

/** Pages that were got: frames, and what each release needs beside the frame. */
export interface GotPages {
  readonly pfns: Int32Array;
  /** 0 where the page says itself whom it belongs to. */
  readonly carried: Int32Array;
}

/** is_valid_gup_args: got or pinned, not both; only a pin can be for a long time. */
const isValid = (flags: number): boolean => {
  const pins = (flags & FOLL_PIN) !== 0;
  return pins ? (flags & FOLL_GET) === 0 : (flags & FOLL_LONGTERM) === 0;
};

export class Gup {
  readonly base: Base;
  readonly faults: Faults;
  readonly files: Files;
  /** Moves a folio out of ZONE_MOVABLE; false where it cannot. Set by the migration layer. */
  migrateForPin: (pfn: number) => boolean = () => false;
  /** Pages that the fast walk got since boot, and those that the slow one did. */
  fast = 0;
  slow = 0;
  /** Object that the last page got is held by, 0 for its folio. */
  #holder = NONE;
  /** Frame that has to move before it is pinned. */
  #moves = 0;

  constructor(base: Base, faults: Faults, files: Files) {
    this.base = base;
    this.faults = faults;
    this.files = files;
  }

  /**
   * get_user_pages_fast, pin_user_pages_fast: `count` pages from `vpn` on. How
   * many there are, at least one, or an errno if there is none: EINVAL for FOLL_PIN
   * with FOLL_GET, and for FOLL_LONGTERM without FOLL_PIN.
   */
  getFast(mm: Ref, vpn: number, count: number, flags: number, out: GotPages): number {
    if (!isValid(flags)) return EINVAL;
    this.#markPinned(mm, flags);
    let got = 0;
    while (got < count && this.#fastOne(mm, vpn + got, flags, out, got)) got++;
    this.fast += got;
    if (got === count) return got;
    const more = this.#slowMany(mm, vpn + got, count - got, flags, out, got);
    return more < 0 && got > 0 ? got : more < 0 ? more : got + more;
  }

  /** get_user_pages, pin_user_pages: the slow way only. Answers as `getFast` does. */
  get(mm: Ref, vpn: number, count: number, flags: number, out: GotPages): number {
    if (!isValid(flags)) return EINVAL;
    this.#markPinned(mm, flags);
    return this.#slowMany(mm, vpn, count, flags, out, 0);
  }

  #markPinned(mm: Ref, flags: number): void {
    if ((flags & FOLL_PIN) !== 0) setBits(this.base.w, mm, MM_FLAGS, MMF_HAS_PINNED);
  }

  /** gup_fast_pte_range and gup_fast_pmd_leaf for one page; false gives up. */
  #fastOne(mm: Ref, vpn: number, flags: number, out: GotPages, at: number): boolean {
    const { w, tables, core, folios } = this.base;
    const pmds = tables.pmdTable(mm, vpn);
    if (pmds === NONE) return false;
    const pmd = w.load64(pmds, pmdAt(vpn));
    const huge = (pmd & PMD_HUGE) !== 0 && (pmd & PTE_PRESENT) !== 0;
    const table = huge ? pmds : tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return false;
    const off = huge ? pmdAt(vpn) : pteAt(vpn);
    const lo = w.load64(table, off);
    const hi = w.hi;
    if ((lo & PTE_PRESENT) === 0) return false;
    if ((flags & FOLL_WRITE) !== 0 && (lo & PTE_WRITE) === 0) return false;
    const pfn = ptePfn(huge ? lo & ~PMD_HUGE : lo, hi) + (huge ? vpn & 511 : 0);
    if ((lo & PTE_SPECIAL) !== 0) return this.#fastSpecial(pfn, out, at, table, off);
    if (huge && core.isHugeZero(pfn - (vpn & 511))) return false;
    // The lookup of memory descriptors: read, check, take, read again.
    const folio = tryGetFolio(core.machine, core.cpu, pfn);
    if (folio === NONE) return false;
    const order = core.design.orderOf(pfn);
    const bad =
      w.load64(table, off) !== lo ||
      w.hi !== hi ||
      !this.#mayPin(folio, pfn, flags) ||
      ((lo & PTE_WRITE) === 0 && this.#mustUnshare(NONE, folio, pfn, flags));
    if (bad) {
      folios.put(folio);
      return false;
    }
    if ((flags & FOLL_PIN) !== 0) {
      folios.pin(folio, order, 1);
      folios.put(folio);
    }
    folios.set(folio, PG_REFERENCED);
    core.watch?.pinned(pfn, false);
    out.pfns[at] = pfn;
    out.carried[at] = 0;
    return true;
  }

  /** A special entry: only where the page alone leads to what holds it. */
  #fastSpecial(pfn: number, out: GotPages, at: number, table: Ref, off: number): boolean {
    const { special, core, w } = this.base;
    if (special === null || special.carries || core.isZeroPage(pfn)) return false;
    const lo = w.load64(table, off);
    const hi = w.hi;
    if ((lo & PTE_SPECIAL) === 0 || ptePfn(lo, hi) !== pfn) return false;
    if (special.getFromPage(pfn, 1) === NONE) return false;
    if (w.load64(table, off) !== lo || w.hi !== hi) {
      special.put(pfn, NONE, 1);
      return false;
    }
    core.watch?.pinned(pfn, true);
    out.pfns[at] = pfn;
    out.carried[at] = 0;
    return true;
  }

  /** Longterm pins keep out of ZONE_MOVABLE; writing ones out of files that track dirt. */
  #mayPin(folio: Ref, pfn: number, flags: number): boolean {
    const { core, folios } = this.base;
    if ((flags & FOLL_LONGTERM) === 0) return true;
    if (pfn >= core.machine.deviceFirst && this.base.device?.mayPinLong(pfn) !== true) return false;
    const zone = core.machine.config.zones[core.design.zoneOf(pfn)];
    if (zone.type === ZONE_MOVABLE) return false;
    if ((flags & FOLL_WRITE) === 0 || folios.isAnon(folio)) return true;
    // gup_fast_folio_allowed: only memory's own files; what has no mapping goes the slow way.
    const mapping = folios.mapping(folio);
    return mapping !== NONE && this.files.kind(this.files.inodeOf(mapping)) !== 0;
  }

  /** gup_must_unshare: a pin of what may be shared would see copies go by. */
  #mustUnshare(vma: Ref, folio: Ref, pfn: number, flags: number): boolean {
    const { vmas, folios } = this.base;
    if ((flags & FOLL_PIN) === 0 || (flags & FOLL_WRITE) !== 0) return false;
    if (folio !== NONE && folios.isAnon(folio)) return !this.#isExclusive(folio, pfn);
    if ((flags & FOLL_LONGTERM) === 0) return false;
    if (vma === NONE) return true;
    const is = vmas.flags(vma);
    return (is & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
  }

  /** PageAnonExclusive of an anonymous folio's page. */
  #isExclusive(folio: Ref, pfn: number): boolean {
    const { core, counts } = this.base;
    if (core.design.isExclusive(pfn)) return true;
    // Of a folio mapped by a PMD the first page has the mark.
    const order = core.design.orderOf(pfn);
    if (order !== PMD_ORDER || !core.design.isExclusive(core.design.blockOf(pfn))) return false;
    return counts.entire(folio, order) > 0;
  }

  /** can_follow_write_common: with FOLL_FORCE an entry may stay read-only once the page is one's own. */
  #mayForce(vma: Ref, pfn: number, lo: number, flags: number): boolean {
    const { vmas, folios } = this.base;
    if ((flags & FOLL_FORCE) === 0 || (lo & PTE_SPECIAL) !== 0) return false;
    const is = vmas.flags(vma) & (VM_SHARED | VM_MAYSHARE | VM_MAYWRITE | VM_WRITE);
    if (is !== VM_MAYWRITE) return false;
    const folio = folios.ofPage(pfn);
    return folio !== NONE && folios.isAnon(folio) && this.#isExclusive(folio, pfn);
  }

  #slowMany(
    mm: Ref,
    vpn: number,
    count: number,
    flags: number,
    out: GotPages,
    from: number,
  ): number {
    const { w, core } = this.base;
    downRead(w, mm, MM_MMAP_LOCK);
    let got = 0;
    let error = 0;
    while (got < count) {
      const pfn = this.#slowOne(mm, vpn + got, flags);
      if (pfn === FAULT_RETRY) {
        // FOLL_UNLOCKABLE: whoever reads the userfaultfd may need the lock.
        upRead(w, mm, MM_MMAP_LOCK);
        const answered = this.faults.onRetry(mm, vpn + got, (flags & FOLL_WRITE) !== 0);
        downRead(w, mm, MM_MMAP_LOCK);
        if (answered) continue;
        error = EDEADLK;
        break;
      }
      if (pfn < 0) {
        error = pfn;
        break;
      }
      core.watch?.pinned(pfn, this.#holder !== NONE);
      out.pfns[from + got] = pfn;
      out.carried[from + got] = this.base.special?.carries === true ? this.#holder : 0;
      got++;
    }
    upRead(w, mm, MM_MMAP_LOCK);
    this.slow += got;
    return got > 0 ? got : error;
  }

  /** One page with the process locked: its frame, or an errno. */
  #slowOne(mm: Ref, vpn: number, flags: number): number {
    const { vmas } = this.base;
    const vma = vmas.tree.lookup(mm, vpn);
    if (vma === NONE) return EFAULT;
    const refused = this.#checkVma(vma, flags);
    return refused !== 0 ? refused : this.#find(vma, mm, vpn, flags);
  }

  /** migrate_longterm_unpinnable_folios, with no table locked: 0, ENOMEM, or EBUSY for a device's page. */
  #move(pfn: number): number {
    const { core, device } = this.base;
    if (pfn < core.machine.deviceFirst) return this.migrateForPin(pfn) ? 0 : ENOMEM;
    return device?.moveForPin(pfn) === true ? 0 : EBUSY;
  }

  /** Looks, faults, looks again. */
  #find(vma: Ref, mm: Ref, vpn: number, flags: number): number {
    for (;;) {
      const found = this.#follow(vma, mm, vpn, flags);
      if (found === -MUST_MOVE) {
        const error = this.#move(this.#moves);
        if (error !== 0) return error;
        continue;
      }
      if (found !== -NOT_THERE && found !== -MUST_UNSHARE) return found;
      const unshare = found === -MUST_UNSHARE;
      const write = (flags & FOLL_WRITE) !== 0;
      const result = this.faults.inVma(vma, mm, vpn, write && !unshare, unshare);
      if (result === FAULT_RETRY) return result;
      if (result === FAULT_OOM) return ENOMEM;
      if (result === FAULT_HWPOISON && (flags & FOLL_HWPOISON) !== 0) return EHWPOISON;
      if (result !== 0) return EFAULT;
    }
  }

  /**
   * populate_vma_page_range, faultin_page_range for one page with the process
   * locked: it is there afterwards, and nobody holds it. 0, an errno, or FAULT_RETRY,
   * which is for the caller to answer.
   */
  faultIn(vma: Ref, mm: Ref, vpn: number, flags: number): number {
    const refused = this.#checkVma(vma, flags);
    return refused !== 0 ? refused : Math.min(this.#find(vma, mm, vpn, flags | FOLL_HWPOISON), 0);
  }

  /** The same for who keeps the lock: no userfaultfd is asked, what it would have to say is EFAULT. */
  populate(vma: Ref, mm: Ref, vpn: number, flags: number): number {
    const result = this.faultIn(vma, mm, vpn, flags);
    return result === FAULT_RETRY ? EFAULT : result;
  }

  /** check_vma_flags */
  #checkVma(vma: Ref, flags: number): number {
    const { vmas } = this.base;
    const is = vmas.flags(vma);
    if ((is & (VM_IO | VM_PFNMAP)) !== 0) return EFAULT;
    const force = (flags & FOLL_FORCE) !== 0;
    if ((flags & FOLL_WRITE) === 0)
      return (is & VM_READ) !== 0 || (force && (is & VM_MAYREAD) !== 0) ? 0 : EFAULT;
    const file = vmas.file(vma);
    const pinsLong = FOLL_PIN | FOLL_LONGTERM;
    if (file !== NONE && (flags & pinsLong) === pinsLong && (is & VM_SHARED) !== 0) {
      // writable_file_mapping_allowed: the file could not write the page back.
      if (this.files.kind(this.files.inodeOf(vmas.mapping(vma))) === 0) return EFAULT;
    }
    if ((is & VM_WRITE) !== 0) return 0;
    return force && (is & (VM_MAYWRITE | VM_SHARED)) === VM_MAYWRITE ? 0 : EFAULT;
  }

  /** follow_page_mask: the frame with its reference, an errno, or −1, −2: fault, unshare. */
  #follow(vma: Ref, mm: Ref, vpn: number, flags: number): number {
    const { w, tables, vmas } = this.base;
    this.#holder = NONE;
    const pmds = tables.pmdTable(mm, vpn);
    if (pmds === NONE) return -NOT_THERE;
    const pmd = w.load64(pmds, pmdAt(vpn));
    const huge = (pmd & PMD_HUGE) !== 0 && (pmd & PTE_THERE) !== 0;
    const table = huge ? pmds : tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return -NOT_THERE;
    const off = huge ? pmdAt(vpn) : pteAt(vpn);
    const desc = tables.lock(table);
    const lo = w.load64(table, off);
    const hi = w.hi;
    const pfn = ptePfn(huge ? lo & ~PMD_HUGE : lo, hi) + (huge ? vpn & 511 : 0);
    const result = this.#grab(vma, vpn, pfn, lo, huge, flags);
    // touch_pmd: an entry that is to be written is marked, one that is read is not.
    const touched = huge && result >= 0 && (flags & FOLL_WRITE) !== 0;
    if (touched && (vmas.flags(vma) & VM_HUGETLB) === 0)
      w.store64(table, off, lo | PTE_ACCESSED | PTE_DIRTY, hi);
    tables.unlock(desc);
    return result;
  }

  #grab(vma: Ref, vpn: number, pfn: number, lo: number, huge: boolean, flags: number): number {
    const { core, folios, special } = this.base;
    // A page without access is there for who forces his way (gup_can_follow_protnone).
    if ((lo & PTE_THERE) === 0) return -NOT_THERE;
    const zero = core.isZeroPage(pfn) || (huge && core.isHugeZero(pfn - (vpn & 511)));
    if ((flags & FOLL_WRITE) !== 0 && (lo & PTE_WRITE) === 0) {
      if (zero || !this.#mayForce(vma, pfn, lo, flags)) return -NOT_THERE;
    }
    if ((lo & PTE_SPECIAL) !== 0 && !zero) {
      if (special === null) return EFAULT;
      // Populated only: it is there, and nobody holds it.
      if ((flags & (FOLL_GET | FOLL_PIN)) === 0) return pfn;
      const holder = special.getFromVma(vma, vpn, pfn, 1);
      if (holder < 0) return holder;
      this.#holder = holder as Ref;
      return pfn;
    }
    const folio = zero ? NONE : folios.ofPage(pfn);
    if ((lo & PTE_WRITE) === 0 && this.#mustUnshare(vma, folio, pfn, flags)) return -MUST_UNSHARE;
    // The zero page goes nowhere: it is neither counted nor pinned.
    if (zero) return pfn;
    if (folio === NONE) return EFAULT;
    const order = core.design.orderOf(pfn);
    if ((flags & FOLL_LONGTERM) !== 0 && !this.#mayPin(folio, pfn, flags & ~FOLL_WRITE)) {
      // check_and_migrate_movable_pages: it must move first.
      this.#moves = pfn;
      return -MUST_MOVE;
    }
    if ((flags & FOLL_PIN) !== 0) folios.pin(folio, order, 1);
    else if ((flags & FOLL_GET) !== 0) folios.get(folio);
    // FOLL_TOUCH; of a huge page only the entry is marked.
    if (huge) return pfn;
    if ((flags & FOLL_WRITE) !== 0 && (lo & PTE_DIRTY) === 0) folios.markDirty(folio);
    folios.markAccessed(folio);
    return pfn;
  }

  /** unpin_user_page and put_page: `pinned` says how it was got. `dirty` marks it written first. */
  release(pfn: number, carried: Ref, pinned: boolean, dirty: boolean): void {
    const { core, folios, special } = this.base;
    if (core.isZeroPage(pfn) || this.#inHugeZero(pfn)) return;
    const folio = folios.ofPage(pfn);
    if (carried !== NONE || (special !== null && (folio === NONE || special.owns(pfn)))) {
      special?.put(pfn, carried, 1);
      return;
    }
    if (folio === NONE) {
      core.watch?.countless(pfn, "unpinned, and its type has no reference count");
      return;
    }
    if (dirty) folios.markDirty(folio);
    const order = core.design.orderOf(pfn);
    if (pinned) folios.unpin(folio, order, 1);
    else folios.put(folio);
  }

  #inHugeZero(pfn: number): boolean {
    return this.base.core.isHugeZero(pfn & (-1 << PMD_ORDER));
  }
}
