/**
 * A process: system calls on its memory, and accesses as its instructions make
 * them.
 *
 * Addresses and lengths are bytes; a refused call throws MmError with the
 * kernel's errno, a bad access SignalError. What a process sees of its pages is
 * in `pagemap`, as /proc/PID/pagemap shows it.
 */
import { MmError, SignalError } from "../errors.js";
import {
  MM_RSS_ANON,
  MM_RSS_FILE,
  MM_RSS_SHMEM,
  MM_RSS_SWAP,
} from "../layout/generated/offsets.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import { FAULT_SIGSEGV, MAP_LOCKED, MAP_POPULATE } from "./constants.js";
import {
  isSwap,
  PMD_HUGE,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
} from "./entry.js";
import { pmdAt, pteAt } from "./page-tables.js";
import type { Operations } from "./operations.js";
import type { OpenFile } from "./open-file.js";
import { eachSpan } from "./spans.js";
import { UserPages } from "./user-pages.js";

const NONE = 0 as Ref;

/** What mmap is asked for. */
export interface MmapOptions {
  /** Wanted address, bytes; without MAP_FIXED a hint. */
  readonly addr?: number;
  readonly length: number;
  /** PROT_READ | PROT_WRITE | PROT_EXEC. */
  readonly prot: number;
  /** MAP_ flags. */
  readonly flags: number;
  readonly file?: OpenFile;
  /** Offset in the file, bytes. */
  readonly offset?: number;
}

/** One page as /proc/PID/pagemap and its frame show it. */
export interface PagemapEntry {
  readonly present: boolean;
  readonly swapped: boolean;
  /** Frame; −1 where there is none. */
  readonly pfn: number;
  /** Mapped by one page-table entry only, as far as the design can tell (bit 56). */
  readonly exclusive: boolean;
  /** Of a file or shared memory (bit 61). */
  readonly file: boolean;
  readonly writable: boolean;
  /** Mapped by a PMD. */
  readonly huge: boolean;
  readonly zero: boolean;
}

export interface Rss {
  /** Pages. */
  readonly anon: number;
  readonly file: number;
  readonly shmem: number;
  readonly swap: number;
}

export class Process {
  readonly kernel: Operations;
  /** struct mm_struct. */
  readonly mm: Ref;
  readonly pid: number;
  #alive = true;

  /** Gives an address space its number. Processes come from `Kernel.createProcess` and `fork`. */
  constructor(kernel: Operations, mm: Ref) {
    this.kernel = kernel;
    this.mm = mm;
    this.pid = kernel.nextPid();
    kernel.processes.set(this.pid, this);
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Maps memory; its address. Throws MmError: EINVAL, ENOMEM, EEXIST, EPERM, EBADF. */
  mmap(options: MmapOptions): number {
    const { file, ...rest } = options;
    const page = this.kernel.mappings.map(
      this.mm,
      file === undefined ? rest : { ...rest, file: file.file },
    );
    this.#check(page, `mmap ${options.length} bytes`, "mmap");
    if ((options.flags & (MAP_POPULATE | MAP_LOCKED)) !== 0)
      this.kernel.advice.populateNew(this.mm, page, page + Math.ceil(options.length / PAGE_SIZE));
    return page * PAGE_SIZE;
  }

  /** Throws MmError: EINVAL, ENOMEM. */
  munmap(addr: number, length: number): void {
    const error = this.kernel.mappings.unmap(this.mm, addr, length);
    this.#check(error, `munmap ${hex(addr)}, ${length} bytes`, "munmap");
  }

  /** Throws MmError: EINVAL, ENOMEM, EACCES. */
  mprotect(addr: number, length: number, prot: number): void {
    const error = this.kernel.mappings.protect(this.mm, addr, length, prot);
    this.#check(error, `mprotect ${hex(addr)}, ${length} bytes`, "mprotect");
  }

  /**
   * Moves, grows or shrinks a mapping; its address. Throws MmError: EFAULT, EINVAL,
   * ENOMEM.
   */
  mremap(addr: number, oldLength: number, newLength: number, flags = 0, newAddr = 0): number {
    const { remap } = this.kernel;
    const page = remap.remap(this.mm, addr, oldLength, newLength, flags, newAddr);
    this.#check(page, `mremap ${hex(addr)}, ${oldLength} to ${newLength} bytes`, "mremap");
    return page * PAGE_SIZE;
  }

  /** Advice is one of MADV_. Throws MmError: EINVAL, ENOMEM, EACCES, EBADF, EAGAIN, EFAULT. */
  madvise(addr: number, length: number, advice: number): void {
    const error = this.kernel.advice.advise(this.mm, addr, length, advice);
    this.#check(error, `madvise ${hex(addr)}, ${length} bytes, advice ${advice}`, "madvise");
  }

  /**
   * get_user_pages or pin_user_pages (FOLL_PIN), fast or slow: the pages of a
   * range of bytes, all of them. Throws MmError: EFAULT, ENOMEM, EHWPOISON; then
   * nothing is held.
   */
  gup(addr: number, length: number, flags: number, how: "fast" | "slow" = "fast"): UserPages {
    return UserPages.get(this, addr, length, flags, how);
  }

  /** A child with the same memory. Throws MmError (ENOMEM). */
  fork(): Process {
    const child = this.kernel.forks.fork(this.mm);
    if (child === NONE) throw new MmError(12, `fork of process ${this.pid}`, "no memory");
    return new Process(this.kernel, child);
  }

  /** Gives back all memory. */
  exit(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.kernel.processes.delete(this.pid);
    this.kernel.forks.exit(this.mm);
  }

  #check(result: number, asked: string, why: string): void {
    if (result < 0) throw new MmError(-result, asked, REASONS[-result] ?? `refused by ${why}`);
  }

  /** One access of the processor, as to the first byte of `addr`'s page. Throws SignalError. */
  touch(addr: number, how: "read" | "write"): void {
    this.#frame(Math.floor(addr / PAGE_SIZE), how === "write", addr);
  }

  /** Loads `length` bytes. Throws SignalError where a page may not be read. */
  read(addr: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    eachSpan(addr, length, (at, from, done, n) => {
      const frame = this.#frame(Math.floor(at / PAGE_SIZE), false, at);
      this.kernel.base.core.content.read(frame, from, out.subarray(done, done + n));
    });
    return out;
  }

  /** Stores bytes. Throws SignalError where a page may not be written; pages before it are. */
  write(addr: number, bytes: Uint8Array): void {
    eachSpan(addr, bytes.length, (at, from, done, n) => {
      const frame = this.#frame(Math.floor(at / PAGE_SIZE), true, at);
      this.kernel.base.core.content.write(frame, from, bytes.subarray(done, done + n));
      this.kernel.base.core.watch?.wrote(frame);
    });
  }

  /** Walks the tables as hardware does, faulting until the access goes through; the frame. */
  #frame(vpn: number, write: boolean, addr: number): number {
    for (;;) {
      const frame = this.translate(vpn, write);
      if (frame >= 0) return frame;
      const result =
        vpn >= 2 ** 31 ? FAULT_SIGSEGV : this.kernel.faults.handle(this.mm, vpn, write);
      if (result !== 0) throw new SignalError(result, addr, write, this.pid);
    }
  }

  /**
   * The frame that an access gets from the page tables alone, with accessed and
   * dirty set; −1 where it would fault.
   */
  translate(vpn: number, write: boolean): number {
    const { w, tables } = this.kernel.base;
    if (vpn >= 2 ** 31) return -1;
    const pmds = tables.pmdTable(this.mm, vpn);
    if (pmds === NONE) return -1;
    const pmd = w.load64(pmds, pmdAt(vpn));
    const huge = (pmd & PMD_HUGE) !== 0;
    const table = huge ? pmds : tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return -1;
    const off = huge ? pmdAt(vpn) : pteAt(vpn);
    const lo = w.load64(table, off);
    const hi = w.hi;
    if ((lo & PTE_PRESENT) === 0 || (write && (lo & PTE_WRITE) === 0)) return -1;
    const marks = PTE_ACCESSED | (write ? PTE_DIRTY : 0);
    if ((lo & marks) !== marks) w.store64(table, off, lo | marks, hi);
    const first = ptePfn(huge ? lo & ~PMD_HUGE : lo, hi);
    return huge ? first + (vpn & 511) : first;
  }

  /** What /proc/PID/pagemap says of the page at `addr`. */
  pagemap(addr: number): PagemapEntry {
    const { w, tables, core, folios, counts } = this.kernel.base;
    const vpn = Math.floor(addr / PAGE_SIZE);
    const pmds = tables.pmdTable(this.mm, vpn);
    const pmd = pmds === NONE ? 0 : w.load64(pmds, pmdAt(vpn));
    const huge = (pmd & PMD_HUGE) !== 0 && (pmd & PTE_THERE) !== 0;
    const table = huge ? pmds : pmds === NONE ? NONE : tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return ABSENT;
    const lo = w.load64(table, huge ? pmdAt(vpn) : pteAt(vpn));
    const hi = w.hi;
    if ((lo & PTE_THERE) === 0) return { ...ABSENT, swapped: isSwap(lo, hi) };
    const pfn = ptePfn(huge ? lo & ~PMD_HUGE : lo, hi) + (huge ? vpn & 511 : 0);
    const zero = core.isZeroPage(pfn) || (huge && core.isHugeZero(pfn - (vpn & 511)));
    const special = zero || (lo & PTE_SPECIAL) !== 0;
    const folio = special ? NONE : folios.ofPage(pfn);
    const order = folio === NONE ? 0 : core.design.orderOf(pfn);
    return {
      present: true,
      swapped: false,
      pfn,
      exclusive:
        folio !== NONE &&
        (core.design.mapcounts === "per-page"
          ? // Of a huge entry the kernel asks the first page for all of them.
            core.design.mapcountOf(huge ? pfn - (vpn & 511) : pfn) === 1
          : !counts.maybeShared(folio, order)),
      // The huge zero page is no anonymous one, so it counts as a file's (bit 61).
      file: (huge && zero) || (folio !== NONE && !folios.isAnon(folio)),
      writable: (lo & PTE_WRITE) !== 0,
      huge,
      zero,
    };
  }

  /** Pages in memory and in swap, by kind. */
  get rss(): Rss {
    const { w } = this.kernel.base;
    return {
      anon: w.load32(this.mm, MM_RSS_ANON),
      file: w.load32(this.mm, MM_RSS_FILE),
      shmem: w.load32(this.mm, MM_RSS_SHMEM),
      swap: w.load32(this.mm, MM_RSS_SWAP),
    };
  }

  /** VMAs, as /proc/PID/maps lists them. */
  maps(): { start: number; end: number; flags: number; pgoff: number }[] {
    const { vmas } = this.kernel.base;
    const list = [];
    for (let vma = vmas.tree.first(this.mm); vma !== NONE; vma = vmas.tree.next(vma)) {
      list.push({
        start: vmas.tree.start(vma) * PAGE_SIZE,
        end: vmas.tree.end(vma) * PAGE_SIZE,
        flags: vmas.flags(vma),
        pgoff: vmas.pgoff(vma),
      });
    }
    return list;
  }
}

const ABSENT: PagemapEntry = {
  present: false,
  swapped: false,
  pfn: -1,
  exclusive: false,
  file: false,
  writable: false,
  huge: false,
  zero: false,
};

const hex = (n: number): string => `0x${n.toString(16)}`;

/** Why an errno usually comes. */
const REASONS: Readonly<Record<number, string>> = {
  1: "the address is below the lowest that may be mapped",
  9: "there is no file",
  11: "somebody else holds a page",
  12: "no memory, or a page in the range is not mapped",
  14: "the range, or what it maps, allows no such access",
  95: "the kind of memory does not allow it",
  13: "the mapping does not allow it",
  17: "something is mapped there",
  22: "an argument is not aligned or out of range",
};
