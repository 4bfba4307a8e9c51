/**
 * mprotect: access rights of VMAs and of the entries below them.
 *
 * Source: mm/mprotect.c of 6.18 (do_mprotect_pkey, mprotect_fixup,
 * change_pte_range, can_change_pte_writable). Simplified: no protection keys, no
 * VMA that grows.
 */
import type { Ref } from "../../units.js";
import { MM_MMAP_LOCK } from "../layout/generated/offsets.js";
import type { Base } from "./base.js";
import {
  EACCES,
  EINVAL,
  ENOMEM,
  PMD_PAGES,
  TASK_PAGES,
  VM_ACCOUNT,
  VM_HUGETLB,
  VM_NORESERVE,
  VM_PFNMAP,
  VM_SHARED,
  VM_WRITE,
} from "./constants.js";
import {
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_NX_HI,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_USER,
  PTE_WRITE,
} from "./entry.js";
import { KIND_DISK, type Files } from "./files.js";
import { downWrite, upWrite } from "./locks.js";
import { MMU_NOTIFY_PROTECTION_VMA } from "./notifier/events.js";
import { pmdAt, pteAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";

const NONE = 0 as Ref;
/** PROT_GROWSDOWN: from the VMA's start. PROT_GROWSUP: to its end. */
const PROT_GROWSDOWN = 0x1000000;
const PROT_GROWS = 0x3000000;
/** Rights of an entry that mprotect replaces. */
const RIGHTS = PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_PROTNONE;

export class Protection {
  readonly base: Base;
  readonly files: Files;

  constructor(base: Base, files: Files) {
    this.base = base;
    this.files = files;
  }

  /** mprotect of bytes: 0 or an errno; VMAs before the one that refused are changed. */
  protect(mm: Ref, addr: number, length: number, prot: number): number {
    const grows = prot & PROT_GROWS;
    if (grows === PROT_GROWS || addr % 4096 !== 0) return EINVAL;
    if (length === 0) return 0;
    const start = addr / 4096;
    if (addr + length >= 2 ** 64) return ENOMEM;
    const end = Math.min(start + Math.ceil(length / 4096), TASK_PAGES + 1);
    if ((prot & ~(15 | PROT_GROWS)) !== 0) return EINVAL;
    const { w, vmas } = this.base;
    downWrite(w, mm, MM_MMAP_LOCK);
    let vma = vmas.tree.find(mm, start);
    let error = this.#refuses(vma, start, end, grows);
    for (let at = start; error === 0 && at < end;) {
      const to = Math.min(end, vmas.tree.end(vma));
      const was = vmas.flags(vma);
      let flags = (was & ~7) | (prot & 7);
      // Private memory that becomes writable counts against the commit limit from then on.
      const accounted = VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE;
      if ((prot & VM_WRITE) !== 0) flags |= (was & accounted) === 0 ? VM_ACCOUNT : 0;
      else if (this.#untouched(vma)) flags &= ~VM_ACCOUNT;
      // The newly wanted rights must be among those that may be.
      if ((flags & ~(flags >> 4) & 7) !== 0) error = EACCES;
      else error = this.#protectOne(mm, vma, at, to, flags);
      at = to;
      if (error !== 0 || at >= end) break;
      vma = vmas.tree.find(mm, at);
      if (vma === NONE || vmas.tree.start(vma) > at) error = ENOMEM;
    }
    upWrite(w, mm, MM_MMAP_LOCK);
    return error;
  }

  /** Whether there is a VMA to begin with; one that is to grow need not begin before `start`. */
  #refuses(vma: Ref, start: number, end: number, grows: number): number {
    const { tree } = this.base.vmas;
    if (vma === NONE || tree.start(vma) >= end) return ENOMEM;
    if (tree.start(vma) > start && (grows & PROT_GROWSDOWN) === 0) return ENOMEM;
    // No VMA here grows.
    return grows !== 0 ? EINVAL : 0;
  }

  /** Anonymous memory that never had a page: nothing is committed to it. */
  #untouched(vma: Ref): boolean {
    const { vmas, anonVmas } = this.base;
    return vmas.file(vma) === NONE && vmas.ops(vma) === 0 && anonVmas.of(vma) === NONE;
  }

  /** mprotect_fixup: a part of one VMA. */
  #protectOne(mm: Ref, vma: Ref, start: number, end: number, flags: number): number {
    const { vmas } = this.base;
    if (vmas.flags(vma) === flags) return 0;
    const error = vmas.isolate(mm, start, end);
    if (error !== 0) return error;
    const part = vmas.tree.find(mm, start);
    vmas.setFlags(part, flags);
    this.#changeProtection(mm, part, start, end);
    vmas.merge(mm, part);
    return 0;
  }

  /** change_protection: entries get the rights of their VMA's flags. */
  #changeProtection(mm: Ref, vma: Ref, start: number, end: number): void {
    const { w, tables, vmas, zap, counts, notifiers } = this.base;
    const flags = vmas.flags(vma);
    const rights = pteRights(flags, true);
    const nx = pteNx(flags);
    // Where the first gigabyte that has a table begins (change_pud_range); of huge pages at once.
    let told = -1;
    for (let vpn = start; vpn < end;) {
      const next = Math.min(end, vpn - (vpn % PMD_PAGES) + PMD_PAGES);
      const pmds = tables.pmdTable(mm, vpn);
      if (notifiers.any !== 0 && told < 0 && (pmds !== NONE || (flags & VM_HUGETLB) !== 0)) {
        told = vpn;
        notifiers.start(mm, told, end, MMU_NOTIFY_PROTECTION_VMA);
      }
      const lo = pmds === NONE ? 0 : w.load64(pmds, pmdAt(vpn));
      const hi = w.hi;
      if ((lo & PMD_HUGE) !== 0 && (lo & PTE_THERE) !== 0) {
        if (next - vpn < PMD_PAGES) {
          zap.splitPmd(mm, counts.mmId(vma), pmds, vpn);
          continue;
        }
        const desc = tables.lock(pmds);
        this.#change(pmds, pmdAt(vpn), rights, nx, vma, true);
        tables.unlock(desc);
      } else if (pmds !== NONE && (lo & PTE_THERE) === 0 && (lo | hi) !== 0) {
        // A huge page that a device has, or one on its way.
        if (next - vpn < PMD_PAGES && zap.splitDevicePmd(mm, counts.mmId(vma), pmds, vpn)) continue;
        const desc = tables.lock(pmds);
        this.#changeAbsent(pmds, pmdAt(vpn));
        tables.unlock(desc);
      } else if (lo !== 0)
        this.#changeTable(tables.below(pmds, pmdAt(vpn)), vpn, next, rights, nx, vma);
      vpn = next;
    }
    if (told >= 0) notifiers.end(mm, told, end);
  }

  #changeTable(table: Ref, from: number, to: number, rights: number, nx: number, vma: Ref): void {
    const { w, tables } = this.base;
    if (table === NONE) return;
    const desc = tables.lock(table);
    for (let vpn = from; vpn < to; vpn++) {
      const lo = w.load64(table, pteAt(vpn));
      // What is not present gets its rights when it comes back.
      if ((lo & PTE_THERE) !== 0) this.#change(table, pteAt(vpn), rights, nx, vma, false);
      else if ((lo | w.hi) !== 0) this.#changeAbsent(table, pteAt(vpn));
    }
    tables.unlock(desc);
  }

  /** A device's page is no longer writable by the process; that it may be again shows when it is back. */
  #changeAbsent(table: Ref, off: number): void {
    const { w, device } = this.base;
    const lo = w.load64(table, off);
    const hi = w.hi;
    if (device !== null && device.owns(lo, hi)) device.protect(table, off, lo, hi);
  }

  /** One entry. It stays writable only where writing needs no fault (can_change_pte_writable). */
  #change(table: Ref, off: number, rights: number, nx: number, vma: Ref, huge: boolean): void {
    const { w, vmas, core } = this.base;
    const lo = w.load64(table, off);
    const hi = w.hi;
    const flags = vmas.flags(vma);
    const pfn = ptePfn(huge ? lo & ~PMD_HUGE : lo, hi);
    let write = 0;
    if ((flags & VM_WRITE) !== 0 && (rights & PTE_PRESENT) !== 0) {
      const special = (lo & PTE_SPECIAL) !== 0 || core.isHugeZero(pfn);
      const folio = special ? NONE : this.base.folios.ofPage(pfn);
      if ((flags & VM_SHARED) !== 0) write = this.#sharedWritable(vma, lo);
      else if (folio !== NONE && this.base.folios.isAnon(folio) && core.design.isExclusive(pfn))
        write = PTE_WRITE;
    }
    const kept = lo & (PTE_ACCESSED | PTE_DIRTY | PTE_SPECIAL | (huge ? PMD_HUGE : 0));
    w.store64(
      table,
      off,
      pteLow(pfn, kept | (rights & RIGHTS) | write),
      pteHigh(pfn) | nx | (hi & ~PTE_NX_HI & 0x7ff00000),
    );
  }

  /** A shared page stays writable if its file does not want to hear of the write, or has heard. */
  #sharedWritable(vma: Ref, lo: number): number {
    const { vmas } = this.base;
    const file = vmas.file(vma);
    if (file === NONE || (vmas.flags(vma) & VM_PFNMAP) !== 0) return PTE_WRITE;
    const inode = this.files.inodeOf(vmas.mapping(vma));
    return this.files.kind(inode) !== KIND_DISK || (lo & PTE_DIRTY) !== 0 ? PTE_WRITE : 0;
  }
}
