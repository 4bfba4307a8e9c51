/**
 * Faults that a process answers itself: VMAs that a userfaultfd hears of, pages
 * put in for it, the wait of whoever needs one that is missing.
 *
 * A VMA that is registered names a context (vm_userfaultfd_ctx, VM_UFFD_MISSING).
 * A fault on what it lacks changes nothing and comes to FAULT_RETRY; who faulted
 * lets go of its locks and has the context's reader called (`retry`). Pages are
 * put in whole or not at all: an entry that is in use is never replaced.
 *
 * Source: fs/userfaultfd.c, mm/userfaultfd.c of 6.18 (validate_range,
 * userfaultfd_register, userfaultfd_register_range, userfaultfd_unregister,
 * userfaultfd_release_all, handle_userfault, mfill_atomic and what it calls); each
 * errno as a live 6.18.44 gives it. Simplified: missing mode only; private
 * anonymous memory only, where the kernel takes tmpfs and hugetlb too; no optional
 * features, so no events of fork, mremap and munmap; the reader runs in the thread
 * that waits for it.
 */
import type { Ref } from "../../units.js";
import { PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_ANON } from "../design/word/axis-types.js";
import { ERRNO, MmError } from "../errors.js";
import {
  MM_MEMCG,
  MM_MMAP_LOCK,
  MM_RSS_ANON,
  USERFAULTFD_CTX_MM,
  USERFAULTFD_CTX_REFCOUNT,
} from "../layout/generated/offsets.js";
import type { Base } from "./base.js";
import {
  EBUSY,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  MIN_MAP_PAGE,
  TASK_PAGES,
  VM_SHARED,
  VM_UFFD_MISSING,
  VM_WRITE,
} from "./constants.js";
import { pteHigh, pteLow, PTE_DIRTY, PTE_SPECIAL, PTE_WRITE } from "./entry.js";
import { downRead, downWrite, upRead, upWrite } from "./locks.js";
import { O_USERFAULTFD_CTX } from "./objects.js";
import { pmdAt, pteAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";

const NONE = 0 as Ref;
const PAGE = 4096;

/** Who reads a userfaultfd. */
export interface FaultReader {
  /** Whether it is being called now: somebody waits for it. */
  isBusy(): boolean;
  /** Page `vpn` is missing; whether who waits for it was woken. */
  deliver(vpn: number, write: boolean): boolean;
}

export class UserFaults {
  readonly base: Base;
  /** Readers of contexts: who they are is no word of the machine. */
  readonly #readers = new Map<Ref, FaultReader>();

  constructor(base: Base) {
    this.base = base;
  }

  /** new_userfaultfd: a context of process `mm`; 0 without memory. */
  create(mm: Ref, reader: FaultReader): Ref {
    const { core, w } = this.base;
    const ctx = core.newObject(O_USERFAULTFD_CTX);
    if (ctx === NONE) return ctx;
    w.store32(ctx, USERFAULTFD_CTX_REFCOUNT, 1);
    core.setPointer(ctx, USERFAULTFD_CTX_MM, mm);
    this.#readers.set(ctx, reader);
    return ctx;
  }

  /** Contexts that there are. */
  contexts(): Ref[] {
    return [...this.#readers.keys()];
  }

  /** struct mm_struct of a context's process. */
  mm(ctx: Ref): Ref {
    return this.base.core.pointer(ctx, USERFAULTFD_CTX_MM);
  }

  /** userfaultfd_release: the process's memory is its own again. */
  release(ctx: Ref): void {
    const { w, vmas } = this.base;
    const mm = this.mm(ctx);
    downWrite(w, mm, MM_MMAP_LOCK);
    for (let vma = vmas.tree.first(mm); vma !== NONE; vma = vmas.tree.next(vma)) {
      if (vmas.userfault(vma) !== ctx) continue;
      vmas.setUserfault(vma, NONE);
      vma = vmas.merge(mm, vma);
    }
    upWrite(w, mm, MM_MMAP_LOCK);
    this.#free(ctx);
  }

  #free(ctx: Ref): void {
    const { core, w } = this.base;
    this.#readers.delete(ctx);
    if (w.add32(ctx, USERFAULTFD_CTX_REFCOUNT, -1) === 0) core.freeObject(O_USERFAULTFD_CTX, ctx);
  }

  /** The process is gone, its VMAs too: what it had open is closed. */
  exit(mm: Ref): void {
    for (const ctx of this.contexts()) if (this.mm(ctx) === mm) this.#free(ctx);
  }

  /** Whether some access of a process waits for an answer now. */
  waits(mm: Ref): boolean {
    for (const [ctx, reader] of this.#readers)
      if (reader.isBusy() && this.mm(ctx) === mm) return true;
    return false;
  }

  /** validate_range: 0 or EINVAL. */
  validate(addr: number, length: number): number {
    if (addr % PAGE !== 0 || length % PAGE !== 0 || length === 0) return EINVAL;
    if (addr < MIN_MAP_PAGE * PAGE || addr >= TASK_PAGES * PAGE) return EINVAL;
    return length > TASK_PAGES * PAGE - addr ? EINVAL : 0;
  }

  /**
   * UFFDIO_REGISTER in missing mode: 0, EINVAL (nothing there, or memory of another
   * kind), EBUSY (another context's), ENOMEM; then what was before it is registered.
   */
  register(ctx: Ref, addr: number, length: number): number {
    return this.#change(ctx, addr, length, EBUSY, (mm, vma, start, end) =>
      this.#set(mm, vma, start, end, ctx),
    );
  }

  /** UFFDIO_UNREGISTER: 0, EINVAL (the same, or another context's), ENOMEM. */
  unregister(ctx: Ref, addr: number, length: number): number {
    return this.#change(ctx, addr, length, EINVAL, (mm, vma, start, end) =>
      this.#set(mm, vma, start, end, NONE),
    );
  }

  /** Checks every VMA of a range, and only then changes what is there of each. */
  #change(
    ctx: Ref,
    addr: number,
    length: number,
    taken: number,
    change: (mm: Ref, vma: Ref, start: number, end: number) => number,
  ): number {
    const { w, vmas } = this.base;
    const { tree } = vmas;
    const refused = this.validate(addr, length);
    if (refused !== 0) return refused;
    const mm = this.mm(ctx);
    const end = (addr + length) / PAGE;
    downWrite(w, mm, MM_MMAP_LOCK);
    const first = tree.find(mm, addr / PAGE);
    let error = first === NONE || tree.start(first) >= end ? EINVAL : 0;
    for (let vma = first; error === 0 && vma !== NONE; vma = tree.next(vma)) {
      if (tree.start(vma) >= end) break;
      error = this.#refuses(vma, ctx, taken);
    }
    for (let at = addr / PAGE; error === 0 && at < end;) {
      const vma = tree.find(mm, at);
      if (vma === NONE || tree.start(vma) >= end) break;
      const start = Math.max(at, tree.start(vma));
      at = Math.min(end, tree.end(vma));
      error = change(mm, vma, start, at);
    }
    upWrite(w, mm, MM_MMAP_LOCK);
    return error;
  }

  /** vma_can_userfault, and whose it is; no private anonymous VMA is without VM_MAYWRITE (EPERM). */
  #refuses(vma: Ref, ctx: Ref, taken: number): number {
    const { vmas } = this.base;
    if (vmas.file(vma) !== NONE || vmas.ops(vma) !== 0) return EINVAL;
    const owner = vmas.userfault(vma);
    return owner !== NONE && owner !== ctx ? taken : 0;
  }

  /** vma_modify_flags_uffd: part of a VMA. */
  #set(mm: Ref, vma: Ref, start: number, end: number, ctx: Ref): number {
    const { vmas } = this.base;
    if (vmas.userfault(vma) === ctx) return 0;
    const error = vmas.isolate(mm, start, end);
    if (error !== 0) return error;
    const part = vmas.tree.find(mm, start);
    vmas.setUserfault(part, ctx);
    vmas.merge(mm, part);
    return 0;
  }

  /**
   * mfill_atomic: pages that were put in from `addr` on, at least one, with what is
   * in `bytes` or, without it, as the zero page; or an errno: ENOENT where the range
   * lies in no single VMA that is registered (by whom does not matter), EEXIST where
   * the first page is there, EINVAL, ENOMEM.
   */
  fill(ctx: Ref, addr: number, length: number, bytes: Uint8Array | null): number {
    const { w, vmas } = this.base;
    const refused = this.validate(addr, length);
    if (refused !== 0) return refused;
    const mm = this.mm(ctx);
    const start = addr / PAGE;
    const pages = length / PAGE;
    downRead(w, mm, MM_MMAP_LOCK);
    const vma = vmas.tree.lookup(mm, start);
    let error = this.#destination(vma, start + pages);
    let done = 0;
    while (error === 0 && done < pages) {
      const page = bytes?.subarray(done * PAGE, (done + 1) * PAGE) ?? null;
      error = this.#fillOne(vma, mm, start + done, page);
      if (error === 0) done++;
    }
    upRead(w, mm, MM_MMAP_LOCK);
    return done > 0 ? done : error;
  }

  /** uffd_mfill_lock: whether pages up to `end` may be put in. */
  #destination(vma: Ref, end: number): number {
    const { vmas, anonVmas } = this.base;
    if (vma === NONE) return ENOENT;
    const flags = vmas.flags(vma);
    // find_vma_and_prepare_anon does so before anybody asks whether it is registered.
    if ((flags & VM_SHARED) === 0 && anonVmas.prepare(vma, vmas.nearAnonVma(vma)) !== 0)
      return ENOMEM;
    return (flags & VM_UFFD_MISSING) === 0 || end > vmas.tree.end(vma) ? ENOENT : 0;
  }

  #fillOne(vma: Ref, mm: Ref, vpn: number, bytes: Uint8Array | null): number {
    const table = this.#table(mm, vpn);
    if (table < 0) return table;
    return bytes === null
      ? this.#zeroPage(vma, table as Ref, vpn)
      : this.#copy(vma, mm, table as Ref, vpn, bytes);
  }

  /** The PTE table for a page, or ENOMEM; EEXIST under a huge entry, whatever it maps. */
  #table(mm: Ref, vpn: number): Ref | number {
    const { w, tables } = this.base;
    const pmds = tables.ensurePmd(mm, vpn);
    if (pmds === NONE) return ENOMEM;
    const lo = w.load64(pmds, pmdAt(vpn));
    if ((lo | w.hi) !== 0 && tables.below(pmds, pmdAt(vpn)) === NONE) return EEXIST;
    const table = tables.ensurePte(mm, vpn);
    return table === NONE ? ENOMEM : table;
  }

  /** mfill_atomic_pte_copy, mfill_atomic_install_pte */
  #copy(vma: Ref, mm: Ref, table: Ref, vpn: number, bytes: Uint8Array): number {
    const { w, vmas, tables, core, folios, rmap } = this.base;
    const pfn = folios.alloc(0, T_ANON, w.load32(mm, MM_MEMCG) as Ref);
    if (pfn < 0) return ENOMEM;
    const { folio } = core.machine;
    core.content.write(pfn, 0, bytes);
    core.watch?.wrote(pfn);
    folios.mark(folio, PG_UPTODATE | PG_SWAPBACKED);
    const desc = tables.lock(table);
    const off = pteAt(vpn);
    if ((w.load64(table, off) | w.hi) !== 0) {
      tables.unlock(desc);
      folios.put(folio);
      return EEXIST;
    }
    rmap.newAnon(folio, pfn, 0, vma, vpn, false);
    folios.lruAdd(folio, 0);
    w.add32(mm, MM_RSS_ANON, 1);
    // Dirty also where the VMA is read-only: nobody can read it from anywhere else.
    const flags = vmas.flags(vma);
    const write = (flags & VM_WRITE) !== 0 ? PTE_WRITE : 0;
    const bits = pteRights(flags, false) | PTE_DIRTY | write;
    w.store64(table, off, pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
    tables.unlock(desc);
    return 0;
  }

  /** mfill_atomic_pte_zeropage */
  #zeroPage(vma: Ref, table: Ref, vpn: number): number {
    const { w, vmas, tables, core } = this.base;
    const zero = core.zeroPage();
    if (zero < 0) return ENOMEM;
    const flags = vmas.flags(vma);
    const desc = tables.lock(table);
    const off = pteAt(vpn);
    const empty = (w.load64(table, off) | w.hi) === 0;
    if (empty) {
      const bits = pteRights(flags, false) | PTE_SPECIAL;
      w.store64(table, off, pteLow(zero, bits), pteHigh(zero) | pteNx(flags));
    }
    tables.unlock(desc);
    return empty ? 0 : EEXIST;
  }

  /** See `Faults.onRetry`. */
  retry(mm: Ref, vpn: number, write: boolean): boolean {
    const ctx = this.#mustWait(mm, vpn);
    return ctx === NONE || this.#readers.get(ctx)?.deliver(vpn, write) === true;
  }

  /** userfaultfd_must_wait: the context that is to hear of a page; 0 where nothing is missing by now. */
  #mustWait(mm: Ref, vpn: number): Ref {
    const { w, vmas, tables } = this.base;
    downRead(w, mm, MM_MMAP_LOCK);
    const vma = vmas.tree.lookup(mm, vpn);
    let ctx = vma === NONE ? NONE : vmas.userfault(vma);
    const pmds = ctx === NONE ? NONE : tables.pmdTable(mm, vpn);
    if (pmds !== NONE && (w.load64(pmds, pmdAt(vpn)) | w.hi) !== 0) {
      const table = tables.below(pmds, pmdAt(vpn));
      if (table === NONE || (w.load64(table, pteAt(vpn)) | w.hi) !== 0) ctx = NONE;
    }
    upRead(w, mm, MM_MMAP_LOCK);
    return ctx;
  }
}

/** The error of who waits where nobody answers. */
export const waitsForEver = (asked: string): MmError =>
  new MmError(ERRNO.EDEADLK, asked, "it waits for its userfaultfd, and nobody wakes it");
