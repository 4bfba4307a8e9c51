/**
 * mremap: a mapping shrinks, grows or moves, with its pages.
 *
 * Source: mm/mremap.c of 6.18 (check_mremap_params, remap_move, check_prep_vma,
 * mremap_to, mremap_at, move_vma, move_page_tables). Simplified: tables above PMD level
 * are not relinked.
 */
import type { Ref } from "../../units.js";
import { MM_MMAP_LOCK, MM_TOTAL_VM, VMA_ANON_VMA_CHAIN } from "../layout/generated/offsets.js";
import type { Base } from "./base.js";
import {
  EFAULT,
  EINVAL,
  ENOMEM,
  EPERM,
  MAX_MAP_COUNT,
  MIN_MAP_PAGE,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PMD_PAGES,
  TASK_PAGES,
  VM_DONTEXPAND,
  VM_HUGETLB,
  VM_LOCKED,
  VM_MAYSHARE,
  VM_PFNMAP,
  VM_SHARED,
  VM_UFFD_MISSING,
} from "./constants.js";
import { PMD_HUGE, PTE_THERE } from "./entry.js";
import { downWrite, upWrite } from "./locks.js";
import type { Mappings } from "./mmap.js";
import { ALL_PAGES, MMU_NOTIFY_CLEAR, MMU_NOTIFY_UNMAP } from "./notifier/events.js";
import { pmdAt, pteAt } from "./page-tables.js";

const NONE = 0 as Ref;

/** PAGE_ALIGN in 64 bits: what is within a page of the end wraps to nothing. */
const pagesOf = (bytes: number): number => Math.max(0, Math.ceil(bytes / 4096)) % ALL_PAGES;

/** vrm_implies_new_addr */
const impliesPlace = (flags: number): boolean => (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0;

/** What mremap is asked for, in pages. */
interface Ask {
  readonly from: number;
  readonly old: number;
  readonly pages: number;
  readonly flags: number;
  readonly to: number;
}

export class Remap {
  readonly base: Base;
  readonly mappings: Mappings;
  /** mm_populate: has pages made as if they were touched. Set by the layer of advice. */
  populate: (mm: Ref, start: number, end: number) => void = () => {};

  constructor(base: Base, mappings: Mappings) {
    this.base = base;
    this.mappings = mappings;
  }

  /** mremap of bytes: first page of the mapping afterwards, or an errno. */
  remap(
    mm: Ref,
    addr: number,
    oldLength: number,
    newLength: number,
    flags: number,
    newAddr: number,
  ): number {
    const ask = {
      from: addr / 4096,
      old: pagesOf(oldLength),
      pages: pagesOf(newLength),
      flags,
      to: newAddr / 4096,
    };
    const refused = this.#check(mm, ask);
    if (refused !== 0) return refused;
    const { w } = this.base;
    downWrite(w, mm, MM_MMAP_LOCK);
    const page = this.#locked(mm, ask);
    const grown = page >= 0 && ask.pages > ask.old && this.#keepsPages(mm, page);
    upWrite(w, mm, MM_MMAP_LOCK);
    if (grown) this.populate(mm, page + ask.old, page + ask.pages);
    return page;
  }

  /** Whether the pages of a mapping are to be there always (VM_LOCKED). */
  #keepsPages(mm: Ref, vpn: number): boolean {
    const { vmas } = this.base;
    return (vmas.flags(vmas.tree.lookup(mm, vpn)) & VM_LOCKED) !== 0;
  }

  /** check_mremap_params */
  #check(mm: Ref, { from, old, pages, flags, to }: Ask): number {
    if ((flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) !== 0) return EINVAL;
    if (!Number.isInteger(from) || pages === 0 || pages > TASK_PAGES) return EINVAL;
    if (!impliesPlace(flags)) return 0;
    if (to > TASK_PAGES - pages || !Number.isInteger(to)) return EINVAL;
    if ((flags & MREMAP_MAYMOVE) === 0) return EINVAL;
    if ((flags & MREMAP_DONTUNMAP) !== 0 && old !== pages) return EINVAL;
    // vrm_overlaps: an old end beyond 2^64 wraps round, and overlaps nothing then.
    if ((from + old) % ALL_PAGES > to && to + pages > from) return EINVAL;
    return this.base.vmas.tree.count(mm) + 2 >= MAX_MAP_COUNT - 3 ? ENOMEM : 0;
  }

  #locked(mm: Ref, ask: Ask): number {
    const { from, old, pages, flags } = ask;
    if ((flags & MREMAP_FIXED) !== 0 && old === pages) return this.#moveMany(mm, ask);
    const vma = this.base.vmas.tree.lookup(mm, from);
    if (vma === NONE) return EFAULT;
    const whole = this.#whole(vma, ask);
    if (whole === null) return EINVAL;
    const refused = this.#checkVma(vma, whole);
    if (refused !== 0) return refused;
    return impliesPlace(flags) ? this.#to(mm, whole) : this.#at(mm, vma, whole);
  }

  /** align_hugetlb: lengths of whole huge pages; null where an address is none of theirs, or it would grow. */
  #whole(vma: Ref, ask: Ask): Ask | null {
    if ((this.base.vmas.flags(vma) & VM_HUGETLB) === 0) return ask;
    const old = Math.ceil(ask.old / PMD_PAGES) * PMD_PAGES;
    const pages = Math.ceil(ask.pages / PMD_PAGES) * PMD_PAGES;
    if (ask.from % PMD_PAGES !== 0 || ask.to % PMD_PAGES !== 0 || pages > old) return null;
    return { ...ask, old, pages };
  }

  /** remap_move: every VMA of the range goes to the same place in the new one; gaps between them stay gaps. */
  #moveMany(mm: Ref, { from, old, flags, to }: Ask): number {
    const { tree } = this.base.vmas;
    const end = from + old;
    let first = EFAULT;
    for (let at = from; at < end;) {
      const vma = tree.find(mm, at);
      if (vma === NONE || tree.start(vma) >= end) break;
      if (at === from && tree.start(vma) > from) return EFAULT;
      // vma_multi_allowed: one that a userfaultfd hears of moves alone.
      const armed = (this.base.vmas.flags(vma) & VM_UFFD_MISSING) !== 0;
      if (armed && (at > from || tree.end(vma) < end)) return EFAULT;
      const start = Math.max(at, tree.start(vma));
      const length = Math.min(end, tree.end(vma)) - start;
      const part = { from: start, old: length, pages: length, flags, to: to + start - from };
      const whole = this.#whole(vma, part);
      if (whole === null) return EINVAL;
      at = start + length;
      const page = this.#checkVma(vma, whole) || this.#to(mm, whole);
      if (page < 0) return page;
      if (start === from) first = page;
    }
    return first;
  }

  /** check_prep_vma, for a length of whole huge pages where the VMA has them. */
  #checkVma(vma: Ref, { from, old, pages, flags }: Ask): number {
    const { vmas } = this.base;
    const is = vmas.flags(vma);
    const moves = impliesPlace(flags);
    if (pages <= old && !moves) return 0;
    if (old === 0 && (is & (VM_SHARED | VM_MAYSHARE)) === 0) return EINVAL;
    if ((flags & MREMAP_DONTUNMAP) !== 0 && (is & (VM_DONTEXPAND | VM_PFNMAP)) !== 0) return EINVAL;
    if (Math.min(old, pages) > vmas.tree.end(vma) - from) return EFAULT;
    if (pages <= old) return 0;
    return (is & (VM_DONTEXPAND | VM_PFNMAP)) !== 0 ? EFAULT : 0;
  }

  /** mremap_to: the caller says where, or wants the old place to stay. */
  #to(mm: Ref, { from, old, pages, flags, to }: Ask): number {
    const { tree } = this.base.vmas;
    if ((flags & MREMAP_FIXED) !== 0) {
      const error = this.mappings.unmapLocked(mm, to, to + pages);
      if (error !== 0) return error;
      // What was unmapped may have been part of the VMA that is to move.
      if (tree.lookup(mm, from) === NONE) return EFAULT;
    }
    let length = old;
    if (pages < old) {
      const error = this.#shrink(mm, from, old, pages);
      if (error !== 0) return error;
      if (tree.lookup(mm, from) === NONE) return EFAULT;
      length = pages;
    }
    const vma = tree.lookup(mm, from);
    const at = this.#place(mm, vma, pages, flags, to);
    if (at < 0) return at;
    return this.#move(mm, vma, from, length, pages, at, (flags & MREMAP_DONTUNMAP) !== 0);
  }

  /** vrm_set_new_addr */
  #place(mm: Ref, vma: Ref, pages: number, flags: number, to: number): number {
    if ((flags & MREMAP_FIXED) !== 0) return to < MIN_MAP_PAGE ? EPERM : to;
    if (to >= MIN_MAP_PAGE && this.mappings.isFree(mm, to, pages)) return to;
    const hugetlb = (this.base.vmas.flags(vma) & VM_HUGETLB) !== 0;
    return this.mappings.findGap(mm, pages, hugetlb ? PMD_PAGES : 1);
  }

  /** shrink_vma: what is behind the new end goes, whosever it is. */
  #shrink(mm: Ref, from: number, old: number, pages: number): number {
    if (from + old > TASK_PAGES) return EINVAL;
    return this.mappings.unmapLocked(mm, from + pages, from + old);
  }

  /** mremap_at: the mapping stays where it is, if it can. */
  #at(mm: Ref, vma: Ref, { from, old, pages, flags }: Ask): number {
    if (pages < old) return this.#shrink(mm, from, old, pages) || from;
    if (pages === old) return from;
    return this.#grow(mm, vma, from, old, pages, flags);
  }

  /** expand_vma: in place where there is room, elsewhere where that is allowed. */
  #grow(mm: Ref, vma: Ref, from: number, old: number, pages: number, flags: number): number {
    const { w, vmas } = this.base;
    const { tree } = vmas;
    const next = tree.next(vma);
    const end = from + pages;
    const room = next === NONE ? TASK_PAGES : tree.start(next);
    if (old > 0 && from + old === tree.end(vma) && end <= room) {
      tree.setRange(vma, tree.start(vma), end);
      w.add32(mm, MM_TOTAL_VM, pages - old);
      vmas.mergeGrown(mm, vma);
      return from;
    }
    if ((flags & MREMAP_MAYMOVE) === 0) return ENOMEM;
    const to = this.mappings.findGap(mm, pages);
    return to < 0 ? to : this.#move(mm, vma, from, old, pages, to, false);
  }

  /** move_vma */
  #move(
    mm: Ref,
    vma: Ref,
    from: number,
    old: number,
    pages: number,
    to: number,
    keepOld: boolean,
  ): number {
    const { w, core, vmas, anonVmas } = this.base;
    const { tree } = vmas;
    if (tree.count(mm) >= MAX_MAP_COUNT - 3) return ENOMEM;
    const flags = vmas.flags(vma);
    const anonymous = vmas.file(vma) === NONE && vmas.ops(vma) === 0;
    // Pages that nobody has yet can be counted from the new place.
    const fresh = anonymous && anonVmas.of(vma) === NONE;
    const pgoff = fresh ? to : vmas.pgoff(vma) + from - tree.start(vma);
    const copy = vmas.duplicate(mm, vma, to, to + pages, pgoff);
    if (copy === NONE) return ENOMEM;
    if (core.pointer(vma, VMA_ANON_VMA_CHAIN) !== NONE) {
      anonVmas.adopt(copy, anonVmas.of(vma));
      if (anonVmas.clone(copy, vma, false) !== 0) {
        vmas.remove(mm, copy);
        return ENOMEM;
      }
    }
    // mremap_userfaultfd_prep: the new place is nobody's, UFFD_EVENT_REMAP was not asked for.
    const armed = (flags & VM_UFFD_MISSING) !== 0;
    if (armed) vmas.setUserfault(copy, NONE);
    w.add32(mm, MM_TOTAL_VM, pages);
    if (!this.#moveTables(mm, vma, from, to, Math.min(old, pages))) {
      // What was moved goes back: its tables are there still.
      this.#moveTables(mm, copy, to, from, Math.min(old, pages));
      this.mappings.unmapLocked(mm, to, to + pages);
      return ENOMEM;
    }
    if (!keepOld) {
      // Without memory to split it the old VMA stays, empty: the pages have moved already.
      if (old > 0) this.mappings.unmapLocked(mm, from, from + old);
    } else {
      vmas.setFlags(vma, flags & ~VM_LOCKED);
      const whole = tree.start(vma) === from && tree.end(vma) === from + old;
      // Nothing of it is left in the old place, so nobody needs to look there.
      if (whole && anonVmas.of(vma) !== NONE) anonVmas.unlink(vma);
    }
    // Neighbours are asked while it still is as the old one was.
    if (!armed) vmas.merge(mm, tree.lookup(mm, to));
    return to;
  }

  /** move_page_tables, of which the old place is told; false without memory for tables. */
  #moveTables(mm: Ref, vma: Ref, from: number, to: number, pages: number): boolean {
    const { notifiers, vmas } = this.base;
    if (notifiers.any === 0 || pages === 0) return this.#moveRange(mm, vma, from, to, pages);
    const hugetlb = (vmas.flags(vma) & VM_HUGETLB) !== 0;
    notifiers.start(mm, from, from + pages, hugetlb ? MMU_NOTIFY_CLEAR : MMU_NOTIFY_UNMAP);
    const done = this.#moveRange(mm, vma, from, to, pages);
    notifiers.end(mm, from, from + pages);
    return done;
  }

  #moveRange(mm: Ref, vma: Ref, from: number, to: number, pages: number): boolean {
    const { w, tables, zap, counts } = this.base;
    const mmId = counts.mmId(vma);
    this.base.core.watch?.forgotten(mmId, from, from + pages);
    this.base.core.watch?.forgotten(mmId, to, to + pages);
    for (let i = 0; i < pages;) {
      const vpn = from + i;
      const at = to + i;
      const pmds = tables.pmdTable(mm, vpn);
      const step = PMD_PAGES - (vpn % PMD_PAGES);
      if (pmds === NONE) {
        i += step;
        continue;
      }
      const lo = w.load64(pmds, pmdAt(vpn));
      const hi = w.hi;
      const huge = (lo & PMD_HUGE) !== 0 || ((lo & PTE_THERE) === 0 && (lo | hi) !== 0);
      if (huge && step === PMD_PAGES && at % PMD_PAGES === 0 && pages - i >= PMD_PAGES) {
        if (!this.#moveHuge(mm, pmds, vpn, at)) return false;
        i += PMD_PAGES;
        continue;
      }
      if ((lo & PMD_HUGE) !== 0) zap.splitPmd(mm, mmId, pmds, vpn);
      else if (huge && zap.splitDevicePmd(mm, mmId, pmds, vpn)) continue;
      const whole = step === PMD_PAGES && at % PMD_PAGES === 0 && pages - i >= PMD_PAGES;
      if (whole && this.#moveTable(mm, pmds, vpn, at)) {
        i += PMD_PAGES;
        continue;
      }
      const table = tables.below(pmds, pmdAt(vpn));
      const n = Math.min(step, PMD_PAGES - (at % PMD_PAGES), pages - i);
      if (table !== NONE && !this.#movePtes(mm, table, vpn, at, n)) return false;
      i += n;
    }
    return true;
  }

  /** move_huge_pmd, with the table that was deposited for it. */
  #moveHuge(mm: Ref, pmds: Ref, vpn: number, at: number): boolean {
    const { w, tables, vmas } = this.base;
    const target = tables.ensurePmd(mm, at);
    if (target === NONE) return false;
    const from = tables.lock(pmds);
    const lo = w.load64(pmds, pmdAt(vpn));
    const hi = w.hi;
    w.store64(pmds, pmdAt(vpn), 0, 0);
    const hugetlb = (vmas.flags(vmas.tree.lookup(mm, vpn)) & VM_HUGETLB) !== 0;
    const table = hugetlb ? NONE : tables.withdraw(from);
    tables.unlock(from);
    const to = tables.lock(target);
    if (table !== NONE) tables.deposit(to, table);
    w.store64(target, pmdAt(at), lo, hi);
    tables.unlock(to);
    return true;
  }

  /** move_normal_pmd: a whole table changes its place; false where there is none, or one in its way. */
  #moveTable(mm: Ref, pmds: Ref, vpn: number, at: number): boolean {
    const { w, tables } = this.base;
    const table = tables.below(pmds, pmdAt(vpn));
    const target = table === NONE ? NONE : tables.ensurePmd(mm, at);
    if (target === NONE || (w.load64(target, pmdAt(at)) | w.hi) !== 0) return false;
    const from = tables.lock(pmds);
    w.store64(pmds, pmdAt(vpn), 0, 0);
    tables.unlock(from);
    const to = tables.lock(target);
    tables.setTable(target, pmdAt(at), table);
    tables.unlock(to);
    return true;
  }

  /** move_ptes */
  #movePtes(mm: Ref, table: Ref, vpn: number, at: number, n: number): boolean {
    const { w, tables } = this.base;
    const target = tables.ensurePte(mm, at);
    if (target === NONE) return false;
    const from = tables.lock(table);
    const to = target === table ? NONE : tables.lock(target);
    for (let i = 0; i < n; i++) {
      const lo = w.load64(table, pteAt(vpn + i));
      const hi = w.hi;
      if ((lo | hi) === 0) continue;
      w.store64(table, pteAt(vpn + i), 0, 0);
      w.store64(target, pteAt(at + i), lo, hi);
    }
    if (to !== NONE) tables.unlock(to);
    tables.unlock(from);
    return true;
  }
}
