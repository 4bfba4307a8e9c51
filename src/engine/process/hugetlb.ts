/**
 * hugetlb: a pool of 2 MiB pages set aside, mapped whole or not at all.
 *
 * A mapping reserves its pages when it is made, so that a fault finds one; a page
 * without a reservation may be refused, which is SIGBUS. Where a copy for the
 * owner of the reservation finds none, its children lose their view of the page
 * instead. The pool keeps blocks whose pages say that they are Misc; the folio's
 * descriptor is made when a page is taken (invented: no proposal says what a
 * pooled page's descriptor is).
 *
 * Source: mm/hugetlb.c of 6.18 (hugetlb_no_page, hugetlb_wp, unmap_ref_private,
 * __unmap_hugepage_range, hugetlb_acct_memory). Simplified: one size, one pool,
 * reservations are a count per mapping, given back when the mapping goes.
 */
import type { Ref } from "../../units.js";
import { PG_DIRTY, PG_UPTODATE } from "../design/word/axis-flags.js";
import { MISC_UNKNOWN, T_ANON, T_FILE, type PageType } from "../design/word/axis-types.js";
import {
  ADDRESS_SPACE_I_MMAP,
  ADDRESS_SPACE_I_MMAP_RWSEM,
  VMA_SHARED_NEXT,
  VMA_VM_PRIVATE_DATA,
} from "../layout/generated/offsets.js";
import { MIGRATE_MOVABLE } from "../pages/zones.js";
import type { Base } from "./base.js";
import {
  ENOMEM,
  FAULT_OOM,
  FAULT_SIGBUS,
  PMD_ORDER,
  PMD_PAGES,
  VM_NORESERVE,
  VM_SHARED,
  VM_WRITE,
} from "./constants.js";
import { S_HUGETLB_FREE, S_HUGETLB_LOCK, S_HUGETLB_RESERVED, S_HUGETLB_TOTAL } from "./core.js";
import {
  PMD_HUGE,
  PTE_NX_HI,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_THERE,
  PTE_WRITE,
} from "./entry.js";
import type { Files } from "./files.js";
import { downRead, spinLock, spinUnlock, upRead } from "./locks.js";
import { MMU_NOTIFY_CLEAR } from "./notifier/events.js";
import { pmdAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";

const NONE = 0 as Ref;
/** HPAGE_RESV_UNMAPPED: bit of a VMA's private data; the owner of the pages took one away from it. */
const UNMAPPED = 2;

export class Hugetlb {
  readonly base: Base;
  readonly files: Files;
  /** Words of the pool's stack of free blocks, and how many it has room for. */
  readonly #stack: Ref;
  readonly #room: number;
  /** Mappings that lost a page to the owner of the promises, since boot. */
  taken = 0;

  constructor(base: Base, files: Files, stack: Ref, room: number) {
    this.base = base;
    this.files = files;
    files.releasePromises = (pages) => this.unreserve(pages);
    this.#stack = stack;
    this.#room = room;
    base.folios.toPool = (pfn) => this.#give(pfn);
  }

  get total(): number {
    return this.base.w.load32(this.base.core.state, S_HUGETLB_TOTAL);
  }

  get free(): number {
    return this.base.w.load32(this.base.core.state, S_HUGETLB_FREE);
  }

  /** Pages promised to mappings and not taken yet. */
  get reserved(): number {
    return this.base.w.load32(this.base.core.state, S_HUGETLB_RESERVED);
  }

  /** nr_hugepages: fills the pool as far as there are blocks, or gives free ones back. Pages it has then. */
  resize(pages: number): number {
    const { core, w } = this.base;
    const { allocator } = core.machine;
    while (this.total < Math.min(pages, this.#room)) {
      const pfn = allocator.alloc(PMD_ORDER, MIGRATE_MOVABLE);
      if (pfn < 0) break;
      w.add32(core.state, S_HUGETLB_TOTAL, 1);
      this.#give(pfn);
    }
    while (this.total > pages && this.free > this.reserved) {
      allocator.free(this.#take(), PMD_ORDER);
      w.add32(core.state, S_HUGETLB_TOTAL, -1);
    }
    return this.total;
  }

  /** A block comes to the pool: each page of it says that it is nobody's folio. */
  #give(pfn: number): void {
    const { core, w } = this.base;
    const zone = core.design.zoneOf(pfn);
    for (let i = 0; i < PMD_PAGES; i++) core.design.bindMisc(pfn + i, 0, MISC_UNKNOWN, false, zone);
    spinLock(w, core.state, S_HUGETLB_LOCK);
    w.store32(this.#stack, (w.add32(core.state, S_HUGETLB_FREE, 1) - 1) * 4, pfn);
    spinUnlock(w, core.state, S_HUGETLB_LOCK);
  }

  /** A block leaves it, without a word about itself; below zero for none. */
  #take(): number {
    const { core, w } = this.base;
    spinLock(w, core.state, S_HUGETLB_LOCK);
    const free = this.free;
    const pfn = free === 0 ? -1 : w.load32(this.#stack, (free - 1) * 4);
    if (pfn >= 0) w.store32(core.state, S_HUGETLB_FREE, free - 1);
    spinUnlock(w, core.state, S_HUGETLB_LOCK);
    if (pfn >= 0) core.design.release(pfn, PMD_ORDER);
    return pfn;
  }

  /** hugetlb_acct_memory: promises `pages` huge pages, or refuses. */
  reserve(pages: number): number {
    const { core, w } = this.base;
    if (this.free - this.reserved < pages) return ENOMEM;
    w.add32(core.state, S_HUGETLB_RESERVED, pages);
    return 0;
  }

  unreserve(pages: number): void {
    this.base.w.add32(this.base.core.state, S_HUGETLB_RESERVED, -pages);
  }

  /** A folio of the pool for a fault; below zero if there is none. */
  allocFolio(type: PageType, promised: boolean): number {
    const { core, folios } = this.base;
    if (!promised && this.free - this.reserved <= 0) return ENOMEM;
    const pfn = this.#take();
    if (pfn < 0) return ENOMEM;
    if (!core.machine.adoptFolio(pfn, PMD_ORDER, type)) {
      this.#give(pfn);
      return ENOMEM;
    }
    if (promised) this.unreserve(1);
    const folio = core.design.descriptorOf(pfn);
    core.setPointer(folio, core.layout.memcg, NONE);
    folios.prepareLarge(folio, PMD_ORDER);
    core.design.setFolioClass(pfn, 1);
    folios.set(folio, PG_UPTODATE);
    return pfn;
  }

  /** hugetlb_fault */
  fault(vma: Ref, mm: Ref, vpn: number, write: boolean, unshare: boolean): number {
    const { w, tables, vmas } = this.base;
    const pmds = tables.ensurePmd(mm, vpn);
    if (pmds === NONE) return FAULT_OOM;
    const first = vpn & -PMD_PAGES;
    const off = pmdAt(first);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    if ((lo | hi) === 0) return this.#missing(vma, mm, pmds, first, write);
    if ((lo & PTE_THERE) === 0) return 0;
    if ((write || unshare) && (lo & PTE_WRITE) === 0)
      return this.#writeProtected(vma, mm, pmds, first, lo, hi, unshare);
    const desc = tables.lock(pmds);
    w.store64(pmds, off, lo | PTE_ACCESSED | (write ? PTE_DIRTY : 0), hi);
    tables.unlock(desc);
    void vmas;
    return 0;
  }

  /** hugetlb_no_page: of the file's cache for a shared mapping, of one's own for a private one. */
  #missing(vma: Ref, mm: Ref, pmds: Ref, first: number, write: boolean): number {
    const { w, vmas, tables, core, rmap, counts, anonVmas, folios, cache } = this.base;
    const flags = vmas.flags(vma);
    const mapping = vmas.mapping(vma);
    const shared = (flags & VM_SHARED) !== 0;
    const index = rmap.index(vma, first);
    let folio = shared ? cache.lookup(mapping, index) : NONE;
    if (folio !== NONE) folios.get(folio);
    else {
      const inode = this.files.inodeOf(mapping);
      if (index >= this.files.pages(inode)) return FAULT_SIGBUS;
      // Its page was taken away: a fresh one would look as if its contents were lost.
      if (this.hasLost(vma)) return FAULT_SIGBUS;
      // A forked copy of a private mapping has no promises of its own.
      const promised = (shared || this.#owns(vma)) && this.files.promised(inode) > 0;
      const pfn = this.allocFolio(shared ? T_FILE : T_ANON, promised);
      if (pfn < 0) return FAULT_SIGBUS;
      if (promised) this.files.promise(inode, -1);
      folio = core.design.descriptorOf(pfn);
      if (!shared && anonVmas.of(vma) === NONE && anonVmas.prepare(vma, NONE) !== 0) {
        folios.put(folio);
        return FAULT_OOM;
      }
      if (shared && cache.add(mapping, index, folio, PMD_ORDER) !== 0) {
        folios.put(folio);
        return FAULT_OOM;
      }
    }
    const pfn = core.pfnOf(folio);
    const desc = tables.lock(pmds);
    if (shared) counts.addPmd(folio, counts.mmId(vma));
    else rmap.newAnon(folio, pfn, PMD_ORDER, vma, first, true);
    let bits = pteRights(flags, false) | PMD_HUGE;
    if ((write || shared) && (flags & VM_WRITE) !== 0) bits |= PTE_WRITE | PTE_DIRTY;
    w.store64(pmds, pmdAt(first), pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
    tables.unlock(desc);
    void mm;
    return 0;
  }

  /** hugetlb_wp */
  #writeProtected(
    vma: Ref,
    mm: Ref,
    pmds: Ref,
    first: number,
    lo: number,
    hi: number,
    unshare: boolean,
  ): number {
    const { w, vmas, tables, core, rmap, counts, anonVmas, folios, notifiers } = this.base;
    const off = pmdAt(first);
    const old = ptePfn(lo & ~PMD_HUGE, hi);
    const folio = folios.ofPage(old);
    const flags = vmas.flags(vma);
    // huge_pte_mkdirty, maybe_mkwrite: who forces his way (FOLL_FORCE) leaves it read-only.
    const write = unshare ? 0 : PTE_DIRTY | ((flags & VM_WRITE) !== 0 ? PTE_WRITE : 0);
    if (this.#reusable(folio, old, flags)) {
      this.#reuse(vma, folio, old);
      w.store64(pmds, off, lo | write, hi);
      return 0;
    }
    if (anonVmas.of(vma) === NONE && anonVmas.prepare(vma, NONE) !== 0) return FAULT_OOM;
    const fresh = this.allocFolio(T_ANON, false);
    if (fresh < 0) {
      if (!folios.isAnon(folio) || !this.#owns(vma)) return FAULT_SIGBUS;
      this.#takeFromOthers(vma, first, old);
      if (!this.#reusable(folio, old, flags)) return FAULT_SIGBUS;
      this.#reuse(vma, folio, old);
      w.store64(pmds, off, lo | write, hi);
      return 0;
    }
    for (let i = 0; i < PMD_PAGES; i++) core.content.copy(old + i, fresh + i);
    const copy = core.design.descriptorOf(fresh);
    if (notifiers.any !== 0) notifiers.start(mm, first, first + PMD_PAGES, MMU_NOTIFY_CLEAR);
    const desc = tables.lock(pmds);
    rmap.newAnon(copy, fresh, PMD_ORDER, vma, first, true);
    w.store64(
      pmds,
      off,
      pteLow(fresh, pteRights(flags, false) | PMD_HUGE | write),
      pteHigh(fresh) | pteNx(flags),
    );
    counts.removePmd(folio, PMD_ORDER, counts.mmId(vma));
    tables.unlock(desc);
    if (notifiers.any !== 0) notifiers.end(mm, first, first + PMD_PAGES);
    folios.put(folio);
    return 0;
  }

  /** is_vma_resv_set(HPAGE_RESV_OWNER): whether the pool promised its pages to this very mapping. */
  #owns(vma: Ref): boolean {
    const { vmas } = this.base;
    if ((vmas.flags(vma) & (VM_SHARED | VM_NORESERVE)) !== 0) return false;
    return vmas.privateData(vma) === this.files.inodeOf(vmas.mapping(vma));
  }

  /** is_vma_resv_set(HPAGE_RESV_UNMAPPED): whether a mapping lost a page to its owner; it gets no new ones. */
  hasLost(vma: Ref): boolean {
    return (this.base.w.load32(vma, VMA_VM_PRIVATE_DATA) & UNMAPPED) !== 0;
  }

  /** Whether a write needs no copy: of a shared mapping, or of a page that nobody else maps. */
  #reusable(folio: Ref, pfn: number, flags: number): boolean {
    const { folios, core, counts } = this.base;
    if ((flags & VM_SHARED) !== 0) return true;
    if (!folios.isAnon(folio)) return false;
    return core.design.isExclusive(pfn) || counts.total(folio, PMD_ORDER) === 1;
  }

  #reuse(vma: Ref, folio: Ref, pfn: number): void {
    const { folios, core, rmap } = this.base;
    if (folios.isAnon(folio) && !core.design.isExclusive(pfn)) {
      rmap.moveAnon(folio, vma);
      core.design.setExclusive(pfn, true);
    }
    folios.set(folio, PG_DIRTY);
  }

  /**
   * unmap_ref_private: the owner of the promises needs the page for itself. Who
   * else has it privately, and was promised nothing, loses it; a fault there is
   * SIGBUS from then on.
   */
  #takeFromOthers(owner: Ref, first: number, pfn: number): void {
    const { core, vmas, tables, w } = this.base;
    const mapping = vmas.mapping(owner);
    downRead(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
    for (
      let vma = core.pointer(mapping, ADDRESS_SPACE_I_MMAP);
      vma !== NONE;
      vma = core.pointer(vma, VMA_SHARED_NEXT)
    ) {
      if (vma === owner || (vmas.flags(vma) & VM_SHARED) !== 0 || this.#owns(vma)) continue;
      // At the owner's address: in a child that is where its copy of the mapping lies.
      if (first < vmas.tree.start(vma) || first >= vmas.tree.end(vma)) continue;
      const mm = vmas.mm(vma);
      const pmds = tables.pmdTable(mm, first);
      const lo = pmds === NONE ? 0 : w.load64(pmds, pmdAt(first));
      if ((lo & PTE_THERE) === 0 || ptePfn(lo & ~PMD_HUGE, w.hi) !== pfn) continue;
      w.store64(vma, VMA_VM_PRIVATE_DATA, UNMAPPED, 0);
      this.taken++;
      this.#unmapRange(vma, mm, first, first + PMD_PAGES);
    }
    upRead(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
  }

  /** hugetlb_install_folio: the child of a fork gets a copy of a pinned page now; false without one. */
  copyFor(child: Ref, copy: Ref, from: number, vpn: number, lo: number, hi: number): boolean {
    const { w, core, tables, rmap } = this.base;
    const pmds = tables.ensurePmd(child, vpn);
    const pfn = pmds === NONE ? ENOMEM : this.allocFolio(T_ANON, false);
    if (pfn < 0) return false;
    for (let i = 0; i < PMD_PAGES; i++) core.content.copy(from + i, pfn + i);
    const desc = tables.lock(pmds);
    rmap.newAnon(core.design.descriptorOf(pfn), pfn, PMD_ORDER, copy, vpn, true);
    w.store64(pmds, pmdAt(vpn), pteLow(pfn, lo & 0xfff), pteHigh(pfn) | (hi & PTE_NX_HI));
    tables.unlock(desc);
    return true;
  }

  /** Huge pages of a VMA that are mapped. */
  mapped(_vma: Ref, mm: Ref, start: number, end: number): number {
    const { w, tables } = this.base;
    let n = 0;
    for (let vpn = start; vpn < end; vpn += PMD_PAGES) {
      const pmds = tables.pmdTable(mm, vpn);
      if (pmds !== NONE && (w.load64(pmds, pmdAt(vpn)) & PTE_THERE) !== 0) n++;
    }
    return n;
  }

  /**
   * MADV_DONTNEED: whole huge pages go, and what the mapping was promised for
   * those that the pool gets back is promised again.
   */
  discard(vma: Ref, mm: Ref, start: number, end: number): void {
    const before = this.free;
    this.#unmapRange(vma, mm, start, end);
    if (!this.#owns(vma)) return;
    const back = this.free - before;
    this.base.w.add32(this.base.core.state, S_HUGETLB_RESERVED, back);
    this.files.promise(this.files.inodeOf(this.base.vmas.mapping(vma)), back);
  }

  /** unmap_hugepage_range: of which who listens is told. */
  #unmapRange(vma: Ref, mm: Ref, start: number, end: number): void {
    const { notifiers } = this.base;
    if (notifiers.any !== 0) notifiers.start(mm, start, end, MMU_NOTIFY_CLEAR);
    this.unmap(vma, mm, start, end);
    if (notifiers.any !== 0) notifiers.end(mm, start, end);
  }

  /** __unmap_hugepage_range: of whole huge pages. */
  unmap(vma: Ref, mm: Ref, start: number, end: number): void {
    const { w, tables, folios, counts } = this.base;
    const mmId = counts.mmId(vma);
    if (this.base.core.watch !== null) this.base.core.watch.forgotten(mmId, start, end);
    for (let vpn = start; vpn < end; vpn += PMD_PAGES) {
      const pmds = tables.pmdTable(mm, vpn);
      if (pmds === NONE) continue;
      const desc = tables.lock(pmds);
      const lo = w.load64(pmds, pmdAt(vpn));
      const hi = w.hi;
      w.store64(pmds, pmdAt(vpn), 0, 0);
      tables.unlock(desc);
      if ((lo & PTE_THERE) === 0) continue;
      const folio = folios.ofPage(ptePfn(lo & ~PMD_HUGE, hi));
      if ((lo & PTE_DIRTY) !== 0) folios.set(folio, PG_DIRTY);
      counts.removePmd(folio, PMD_ORDER, mmId);
      folios.put(folio);
    }
  }
}
