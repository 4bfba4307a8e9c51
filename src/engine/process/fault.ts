/**
 * Page faults: what happens when an access finds no entry that allows it.
 *
 * The VMA says whether the access may be; what is missing is made (anonymous,
 * from a file, from swap), what is read-only is copied or taken over. An access
 * is then tried again, as hardware does.
 *
 * Source: mm/memory.c of 6.18 (handle_mm_fault, do_anonymous_page,
 * alloc_anon_folio, handle_pte_fault). Simplified: the whole process is locked
 * for reading where the kernel locks one VMA.
 */
import type { Ref } from "../../units.js";
import { MM_MEMCG, MM_MMAP_LOCK, MM_RSS_ANON } from "../layout/generated/offsets.js";
import { PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_ANON } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import {
  FAULT_OOM,
  FAULT_RETRY,
  FAULT_SIGBUS,
  FAULT_SIGSEGV,
  VM_HUGETLB,
  VM_SHARED,
  VM_UFFD_MISSING,
  VM_WRITE,
} from "./constants.js";
import type { CopyOnWrite } from "./cow.js";
import {
  pteHigh,
  pteLow,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
} from "./entry.js";
import type { FileFaults } from "./file-fault.js";
import { FALLBACK, type HugeFaults } from "./huge-fault.js";
import type { Hugetlb } from "./hugetlb.js";
import { downRead, upRead } from "./locks.js";
import { pmdAt, pteAt } from "./page-tables.js";
import { forbids, pteNx, pteRights } from "./protection.js";
import type { SwapFaults } from "./swap-fault.js";
import type { ThpPolicy } from "./thp-policy.js";

const NONE = 0 as Ref;

export class Faults {
  readonly base: Base;
  readonly cow: CopyOnWrite;
  readonly files: FileFaults;
  readonly huge: HugeFaults;
  readonly hugetlb: Hugetlb;
  readonly swapIn: SwapFaults;
  readonly thp: ThpPolicy;
  /**
   * handle_userfault, after FAULT_RETRY and with no lock held: has the reader of the
   * userfaultfd called that page `vpn` is missing. True: fault again. False: nobody
   * will ever wake who waits there (EDEADLK). Set by the layer of userfaultfd.
   */
  onRetry: (mm: Ref, vpn: number, write: boolean) => boolean = () => false;
  /** Order that `#allocAnon` gave last. */
  #order = 0;

  constructor(
    base: Base,
    cow: CopyOnWrite,
    files: FileFaults,
    huge: HugeFaults,
    hugetlb: Hugetlb,
    swapIn: SwapFaults,
    thp: ThpPolicy,
  ) {
    this.base = base;
    this.cow = cow;
    this.files = files;
    this.huge = huge;
    this.hugetlb = hugetlb;
    this.swapIn = swapIn;
    this.thp = thp;
  }

  /** A fault of process `mm` at page `vpn`: 0, or FAULT_… */
  handle(mm: Ref, vpn: number, write: boolean): number {
    const { w, vmas } = this.base;
    downRead(w, mm, MM_MMAP_LOCK);
    const vma = vmas.tree.lookup(mm, vpn);
    const result =
      vma === NONE || forbids(vmas.flags(vma), write)
        ? FAULT_SIGSEGV
        : this.inVma(vma, mm, vpn, write, false);
    upRead(w, mm, MM_MMAP_LOCK);
    return result === FAULT_RETRY && this.onRetry(mm, vpn, write) ? 0 : result;
  }

  /** userfaultfd_missing: what a VMA lacks is its userfaultfd's business. */
  userfaultfdMissing(vma: Ref): boolean {
    return (this.base.vmas.flags(vma) & VM_UFFD_MISSING) !== 0;
  }

  /**
   * handle_mm_fault, with the process locked. `unshare` asks for a page of one's own
   * without writing. Nothing has changed where the answer is FAULT_RETRY; who cannot
   * let go of the lock takes it as FAULT_SIGBUS.
   */
  inVma(vma: Ref, mm: Ref, vpn: number, write: boolean, unshare: boolean): number {
    const { w, vmas, tables } = this.base;
    const flags = vmas.flags(vma);
    if ((flags & VM_HUGETLB) !== 0) return this.hugetlb.fault(vma, mm, vpn, write, unshare);
    let table = tables.pteTable(mm, vpn);
    if (table === NONE) {
      const pmds = tables.ensurePmd(mm, vpn);
      if (pmds === NONE) return FAULT_OOM;
      const lo = w.load64(pmds, pmdAt(vpn));
      const result =
        (lo | w.hi) === 0
          ? this.huge.missing(vma, mm, pmds, vpn, write)
          : this.huge.present(vma, mm, pmds, vpn, write, unshare);
      if (result !== FALLBACK) return result;
      // Beyond the end of a file no table is made for the page that cannot be.
      if (vmas.file(vma) !== NONE && this.files.isBeyond(vma, vpn, !write))
        return this.files.beyond(vma, write);
      table = tables.ensurePte(mm, vpn);
      if (table === NONE) return FAULT_OOM;
      // For a file it matters that there was none (filemap_map_pages).
      if (vmas.file(vma) !== NONE) return this.files.missing(vma, mm, table, vpn, write, true);
    }
    return this.#pte(vma, mm, table, vpn, write, unshare, flags);
  }

  /** handle_pte_fault */
  #pte(
    vma: Ref,
    mm: Ref,
    table: Ref,
    vpn: number,
    write: boolean,
    unshare: boolean,
    flags: number,
  ): number {
    const { w, vmas, tables } = this.base;
    const off = pteAt(vpn);
    const lo = w.load64(table, off);
    const hi = w.hi;
    if ((lo | hi) === 0) {
      if (vmas.file(vma) === NONE && vmas.ops(vma) === 0)
        return this.#anonymous(vma, mm, table, vpn, write, flags);
      return this.files.missing(vma, mm, table, vpn, write);
    }
    if ((lo & PTE_THERE) === 0) return this.swapIn.fault(vma, mm, table, vpn, lo, hi, write);
    const desc = tables.lock(table);
    if (w.load64(table, off) !== lo || w.hi !== hi) {
      tables.unlock(desc);
      return 0;
    }
    if ((write || unshare) && (lo & PTE_WRITE) === 0)
      return this.cow.fault(vma, mm, table, desc, vpn, lo, hi, unshare);
    w.store64(table, off, lo | PTE_ACCESSED | (write ? PTE_DIRTY : 0), hi);
    tables.unlock(desc);
    return 0;
  }

  /** do_anonymous_page: the zero page for a read, a charged page or more for a write. */
  #anonymous(vma: Ref, mm: Ref, table: Ref, vpn: number, write: boolean, flags: number): number {
    const { w, vmas, tables, core, folios, anonVmas, rmap } = this.base;
    if ((flags & (VM_SHARED | VM_UFFD_MISSING)) !== 0)
      return (flags & VM_SHARED) !== 0 ? FAULT_SIGBUS : FAULT_RETRY;
    const off = pteAt(vpn);
    const rights = pteRights(flags, false);
    const nx = pteNx(flags);
    if (!write) {
      const zero = core.zeroPage();
      if (zero < 0) return FAULT_OOM;
      const desc = tables.lock(table);
      if ((w.load64(table, off) | w.hi) === 0)
        w.store64(table, off, pteLow(zero, rights | PTE_SPECIAL), pteHigh(zero) | nx);
      tables.unlock(desc);
      return 0;
    }
    if (anonVmas.of(vma) === NONE && anonVmas.prepare(vma, vmas.nearAnonVma(vma)) !== 0)
      return FAULT_OOM;
    const pfn = this.#allocAnon(vma, mm, table, vpn, flags);
    if (pfn < 0) return FAULT_OOM;
    const order = this.#order;
    const pages = 1 << order;
    const first = vpn & -pages;
    const { folio } = core.machine;
    folios.mark(folio, PG_UPTODATE | PG_SWAPBACKED);
    const desc = tables.lock(table);
    if (!this.#empty(table, first, pages)) {
      tables.unlock(desc);
      folios.put(folio);
      return 0;
    }
    if (order > 0) folios.get(folio, pages - 1);
    rmap.newAnon(folio, pfn, order, vma, first, false);
    folios.lruAdd(folio, order);
    w.add32(mm, MM_RSS_ANON, pages);
    // Where the VMA is read-only (FOLL_FORCE) it is neither.
    const bits = rights | ((flags & VM_WRITE) !== 0 ? PTE_WRITE | PTE_DIRTY : 0);
    for (let i = 0; i < pages; i++)
      w.store64(table, pteAt(first + i), pteLow(pfn + i, bits), pteHigh(pfn + i) | nx);
    tables.unlock(desc);
    return 0;
  }

  #empty(table: Ref, first: number, pages: number): boolean {
    const { w } = this.base;
    for (let i = 0; i < pages; i++)
      if ((w.load64(table, pteAt(first + i)) | w.hi) !== 0) return false;
    return true;
  }

  /** alloc_anon_folio: the largest order that is allowed, fits and can be had; `#order` says which. */
  #allocAnon(vma: Ref, mm: Ref, table: Ref, vpn: number, flags: number): number {
    const { w, vmas, folios } = this.base;
    const memcg = w.load32(mm, MM_MEMCG) as Ref;
    let orders = this.thp.anonOrders(flags) & 0x1ff;
    if (orders !== 0) {
      const start = vmas.tree.start(vma);
      const end = vmas.tree.end(vma);
      while (orders !== 0) {
        const order = 31 - Math.clz32(orders);
        orders &= ~(1 << order);
        const first = vpn & (-1 << order);
        if (first < start || first + (1 << order) > end) continue;
        if (!this.#empty(table, first, 1 << order)) continue;
        const pfn = folios.alloc(order, T_ANON, memcg);
        if (pfn < 0) continue;
        this.#order = order;
        return pfn;
      }
    }
    this.#order = 0;
    return folios.alloc(0, T_ANON, memcg);
  }
}
