/**
 * A process: system calls on its memory, and accesses as its instructions make
 * them.
 *
 * Addresses and lengths are bytes; a refused call throws MmError with the
 * kernel's errno, a bad access SignalError, an argument that is no number, text or
 * bytes as it should be RangeError or TypeError. Once a process has ended every
 * use of it is refused with ESRCH. What a process sees of its pages is in
 * `pagemap`, as /proc/PID/pagemap shows it.
 */
import { ERRNO, MmError, SignalError } from "../errors.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import { bits, byteArray, copyLength, oneOf, wholeNumber, word64 } from "./arguments.js";
import {
  EDEADLK,
  FAULT_RETRY,
  FAULT_SIGSEGV,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_POPULATE,
  MREMAP_MAYMOVE,
  TASK_PAGES,
} from "./constants.js";
import { PMD_HUGE, ptePfn, PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_WRITE } from "./entry.js";
import { pmdAt, pteAt } from "./page-tables.js";
import type { Operations } from "./operations.js";
import type { OpenFile } from "./open-file.js";
import {
  pagemapOf,
  rssOf,
  vmasOf,
  type PagemapEntry,
  type Rss,
  type VmaFacts,
} from "./process-facts.js";
import { eachSpan } from "./spans.js";
import { waitsForEver } from "./user-faults.js";
import { UserFaultFd } from "./userfaultfd.js";
import { UserPages } from "./user-pages.js";

export type { PagemapEntry, Rss, VmaFacts } from "./process-facts.js";

const NONE = 0 as Ref;

/** What mmap is asked for. */
export interface MmapOptions {
  /** Wanted address, bytes; without MAP_FIXED a hint. */
  readonly addr?: number;
  /** Bytes, more than 0; rounded up to pages. */
  readonly length: number;
  /** PROT_READ | PROT_WRITE | PROT_EXEC, or PROT_NONE. */
  readonly prot: number;
  /** MAP_ flags: MAP_SHARED or MAP_PRIVATE, and any others. */
  readonly flags: number;
  /** What is mapped; left out with MAP_ANONYMOUS. */
  readonly file?: OpenFile;
  /** Offset in the file, bytes; a multiple of the page size. */
  readonly offset?: number;
}

/** How an access is made. */
const ACCESSES = ["read", "write"] as const;
/** Bytes that one `gup` may ask for: 4 GiB, the largest machine. */
const GUP_MAX = 2 ** 32;

/** A process: what `Kernel.createProcess` and `Process.fork` give. */
export class Process {
  readonly kernel: Operations;
  /** Its number, from 1. */
  readonly pid: number;
  readonly #mm: Ref;
  #alive = true;

  /** Gives an address space its number. Processes come from `Kernel.createProcess` and `fork`. */
  constructor(kernel: Operations, mm: Ref) {
    this.kernel = kernel;
    this.#mm = mm;
    this.pid = kernel.nextPid();
    kernel.processes.set(this.pid, this);
  }

  /** Whether it has not ended. */
  get alive(): boolean {
    return this.#alive;
  }

  /** struct mm_struct. Throws MmError (ESRCH) once the process has ended: so does all that needs it. */
  get mm(): Ref {
    if (!this.#alive) throw new MmError(ERRNO.ESRCH, `use process ${this.pid}`, "it has ended");
    return this.#mm;
  }

  /**
   * Maps memory; its address. Throws MmError: EINVAL, ENOMEM, EEXIST, EPERM, EBADF,
   * EACCES, EOVERFLOW, EOPNOTSUPP.
   */
  mmap(options: MmapOptions): number {
    const { file, ...rest } = options;
    const { mm } = this;
    word64("mmap's length", rest.length);
    bits("mmap's prot", rest.prot);
    bits("mmap's flags", rest.flags);
    if (rest.addr !== undefined) word64("mmap's addr", rest.addr);
    if (rest.offset !== undefined) word64("mmap's offset", rest.offset);
    const wanted = file === undefined ? rest : { ...rest, file: file.file };
    const page = this.kernel.mappings.map(mm, wanted);
    this.#check(page, `mmap ${rest.length} bytes`, () => this.#noRoom(rest.length, rest.flags));
    if ((rest.flags & (MAP_POPULATE | MAP_LOCKED)) !== 0)
      this.kernel.advice.populateNew(mm, page, page + Math.ceil(rest.length / PAGE_SIZE));
    return page * PAGE_SIZE;
  }

  /** Unmaps what is there; nothing need be. Throws MmError: EINVAL, ENOMEM. */
  munmap(addr: number, length: number): void {
    word64("munmap's addr", addr);
    word64("munmap's length", length);
    const error = this.kernel.mappings.unmap(this.mm, addr, length);
    this.#check(error, `munmap ${hex(addr)}, ${length} bytes`, () => "no memory to cut a mapping");
  }

  /** Sets rights (PROT_). Throws MmError: EINVAL, ENOMEM (a hole in the range, or no memory), EACCES. */
  mprotect(addr: number, length: number, prot: number): void {
    word64("mprotect's addr", addr);
    word64("mprotect's length", length);
    bits("mprotect's prot", prot);
    const error = this.kernel.mappings.protect(this.mm, addr, length, prot);
    const asked = `mprotect ${hex(addr)}, ${length} bytes`;
    this.#check(error, asked, () => this.#holeOr(addr, length, "no memory"));
  }

  /**
   * Moves, grows or shrinks a mapping; its address. `flags` are MREMAP_ bits. Throws
   * MmError: EFAULT, EINVAL, ENOMEM.
   */
  mremap(addr: number, oldLength: number, newLength: number, flags = 0, newAddr = 0): number {
    word64("mremap's addr", addr);
    word64("mremap's old length", oldLength);
    word64("mremap's new length", newLength);
    bits("mremap's flags", flags);
    word64("mremap's new addr", newAddr);
    const { remap } = this.kernel;
    const page = remap.remap(this.mm, addr, oldLength, newLength, flags, newAddr);
    const asked = `mremap ${hex(addr)}, ${oldLength} to ${newLength} bytes`;
    const stays = newLength > oldLength && (flags & MREMAP_MAYMOVE) === 0;
    this.#check(page, asked, () =>
      stays ? "there is no room behind it, and MREMAP_MAYMOVE is not given" : NO_ROOM,
    );
    return page * PAGE_SIZE;
  }

  /** Advice is one of MADV_. Throws MmError: EINVAL, ENOMEM, EACCES, EBADF, EAGAIN, EFAULT. */
  madvise(addr: number, length: number, advice: number): void {
    word64("madvise's addr", addr);
    word64("madvise's length", length);
    bits("madvise's advice", advice);
    const error = this.kernel.advice.advise(this.mm, addr, length, advice);
    const asked = `madvise ${hex(addr)}, ${length} bytes, advice ${advice}`;
    this.#check(error, asked, () => this.#holeOr(addr, length, "no memory"));
  }

  /**
   * KSM: the pages of two addresses become one where their contents are the same,
   * until somebody writes. Both must lie in VMAs with MADV_MERGEABLE. Throws
   * MmError: EFAULT (no anonymous page), EINVAL (not mergeable, or contents differ),
   * EAGAIN (somebody else holds one of them), ENOMEM. `kernel.ksm.merge` is the same
   * by page numbers, and returns the errno.
   */
  mergeWith(addr: number, other: Process, otherAddr: number): void {
    const error = this.kernel.ksm.merge(
      { mm: this.mm, vpn: pageOf("mergeWith's addr", addr) },
      { mm: other.mm, vpn: pageOf("mergeWith's other addr", otherAddr) },
    );
    const asked = `merge ${hex(addr)} with ${hex(otherAddr)} of process ${other.pid}`;
    this.#check(error, asked, () => "no memory for the shared page");
  }

  /**
   * get_user_pages or pin_user_pages (FOLL_PIN), fast or slow: the pages of a
   * range of bytes, all of them. Throws MmError: EFAULT, ENOMEM, EHWPOISON, and
   * EINVAL for FOLL_PIN with FOLL_GET and for FOLL_LONGTERM without FOLL_PIN; then
   * nothing is held.
   */
  gup(addr: number, length: number, flags: number, how: "fast" | "slow" = "fast"): UserPages {
    word64("gup's addr", addr);
    wholeNumber("gup's length", length, 0, GUP_MAX);
    bits("gup's flags", flags);
    oneOf("gup's way", how, ["fast", "slow"]);
    return UserPages.get(this, addr, length, flags, how);
  }

  /** A child with the same memory. Throws MmError (ENOMEM). */
  fork(): Process {
    const child = this.kernel.forks.fork(this.mm);
    if (child === NONE) throw new MmError(12, `fork of process ${this.pid}`, "no memory");
    return new Process(this.kernel, child);
  }

  /**
   * userfaultfd(2): the process wants to hear of pages that it lacks, and fills them
   * itself. Closed with the process. Throws MmError (ENOMEM).
   */
  userfaultfd(): UserFaultFd {
    return UserFaultFd.open(this);
  }

  /**
   * Ends it: gives back all memory. Throws MmError: ESRCH the second time, EBUSY where
   * it is called by who answers the process's userfaultfd (simplified: an access waits
   * for that answer, and could not end in a process that is gone).
   */
  exit(): void {
    const { mm } = this;
    const { forks, userFaults } = this.kernel;
    if (userFaults.waits(mm))
      throw new MmError(ERRNO.EBUSY, `end process ${this.pid}`, "it waits for its userfaultfd");
    forks.exit(mm);
    userFaults.exit(mm);
    this.#alive = false;
    this.kernel.processes.delete(this.pid);
  }

  /** `noMemory` says why, where the answer is ENOMEM. */
  #check(result: number, asked: string, noMemory: () => string): void {
    if (result >= 0) return;
    if (result === EDEADLK) throw waitsForEver(asked);
    const why = -result === ERRNO.ENOMEM ? noMemory() : REASONS[-result];
    throw new MmError(-result, asked, why ?? "refused");
  }

  /** Why mmap finds no room. */
  #noRoom(length: number, flags: number): string {
    if (length > TASK_PAGES * PAGE_SIZE) return "it is longer than the address space";
    if ((flags & MAP_HUGETLB) !== 0) return "the hugetlb pool has too few free pages, or no memory";
    return NO_ROOM;
  }

  /** The first page in the range that nothing is mapped at, or the other reason. */
  #holeOr(addr: number, length: number, otherwise: string): string {
    const { tree } = this.kernel.base.vmas;
    const end = Math.ceil((addr + length) / PAGE_SIZE);
    for (let page = Math.floor(addr / PAGE_SIZE); page < end;) {
      const vma = page < TASK_PAGES ? tree.lookup(this.mm, page) : NONE;
      if (vma === NONE || tree.start(vma) > page)
        return `nothing is mapped at ${hex(page * PAGE_SIZE)}`;
      page = tree.end(vma);
    }
    return otherwise;
  }

  /** One access of the processor, as to the first byte of `addr`'s page. Throws SignalError. */
  touch(addr: number, how: "read" | "write"): void {
    word64("touch's addr", addr);
    oneOf("touch's way", how, ACCESSES);
    this.#frame(Math.floor(addr / PAGE_SIZE), how === "write", addr);
  }

  /** Loads `length` bytes, at most 1 GiB. Throws SignalError where a page may not be read. */
  read(addr: number, length: number): Uint8Array {
    word64("read's addr", addr);
    const out = new Uint8Array(copyLength("read's length", length));
    this.#mustLive();
    eachSpan(addr, length, (at, from, done, n) => {
      const frame = this.#frame(Math.floor(at / PAGE_SIZE), false, at);
      this.kernel.base.core.content.read(frame, from, out.subarray(done, done + n));
    });
    return out;
  }

  /** Stores bytes. Throws SignalError where a page may not be written; pages before it are. */
  write(addr: number, bytes: Uint8Array): void {
    word64("write's addr", addr);
    byteArray("what is written", bytes);
    this.#mustLive();
    eachSpan(addr, bytes.length, (at, from, done, n) => {
      const frame = this.#frame(Math.floor(at / PAGE_SIZE), true, at);
      this.kernel.base.core.content.write(frame, from, bytes.subarray(done, done + n));
      this.kernel.base.core.watch?.wrote(frame);
    });
  }

  /** Also where there is nothing to read or write. */
  #mustLive(): void {
    if (!this.#alive) void this.mm;
  }

  /** Walks the tables as hardware does, faulting until the access goes through; the frame. */
  #frame(vpn: number, write: boolean, addr: number): number {
    for (;;) {
      const frame = this.translate(vpn, write);
      if (frame >= 0) return frame;
      const result =
        vpn >= 2 ** 31 ? FAULT_SIGSEGV : this.kernel.faults.handle(this.mm, vpn, write);
      if (result === 0) continue;
      if (result === FAULT_RETRY) {
        const asked = `process ${this.pid} ${write ? "writes" : "reads"} ${hex(addr)}`;
        throw waitsForEver(asked);
      }
      const why = result === FAULT_SIGSEGV ? this.#whyRefused(vpn, write) : undefined;
      throw new SignalError(result, addr, write, this.pid, why);
    }
  }

  #whyRefused(vpn: number, write: boolean): string {
    const { tree } = this.kernel.base.vmas;
    const vma = vpn < TASK_PAGES ? tree.lookup(this.mm, vpn) : NONE;
    if (vma === NONE || tree.start(vma) > vpn) return "nothing is mapped there";
    return `what is mapped there may not be ${write ? "written" : "read"}`;
  }

  /**
   * The frame that an access to `addr` gets from the page tables alone, with
   * accessed and dirty set as the processor sets them; −1 where it would fault.
   */
  walk(addr: number, how: "read" | "write"): number {
    oneOf("walk's way", how, ACCESSES);
    return this.translate(pageOf("walk's addr", addr), how === "write");
  }

  /** The same by page number (address / 4096), unchecked: for what runs often. */
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
    return pagemapOf(this.kernel.base, this.mm, pageOf("pagemap's addr", addr));
  }

  /** Pages in memory and in swap, by kind. */
  get rss(): Rss {
    return rssOf(this.kernel.base, this.mm);
  }

  /** VMAs by address, as /proc/PID/maps lists them. */
  maps(): VmaFacts[] {
    return vmasOf(this.kernel.base, this.mm);
  }
}

/** Page number of an address. */
const pageOf = (what: string, addr: number): number => Math.floor(word64(what, addr) / PAGE_SIZE);

const hex = (n: number): string => `0x${n.toString(16)}`;

const NO_ROOM = "no memory for it, or no gap of that size in the address space";

/** Why an errno usually comes. */
const REASONS: Readonly<Record<number, string>> = {
  1: "the address is below the lowest that may be mapped",
  9: "there is no file",
  11: "somebody else holds a page",
  14: "the range, or what it maps, allows no such access",
  95: "the kind of memory does not allow it",
  13: "the mapping does not allow it",
  17: "something is mapped there",
  22: "an argument is not aligned or out of range",
};
