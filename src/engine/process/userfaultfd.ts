/**
 * userfaultfd as a process has it: memory registered, faults read, pages put in.
 *
 * The thread of the process that reads the fd is `onFault`. It is called with
 * nothing locked whenever an access (the process's own, or GUP's, or a device's)
 * meets a page that is missing, and wakes that access as `copy`, `zeropage` and
 * `wake` do. Where it does not, or there is none, or it needs such a page itself,
 * the access would sleep for ever; on a machine where nobody else runs that is
 * EDEADLK. What `onFault` throws comes out of the access that waits. At this edge a
 * negative errno becomes an MmError.
 *
 * Source: fs/userfaultfd.c of 6.18; uapi/linux/userfaultfd.h.
 */
import { ERRNO, MmError } from "../errors.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import { byteArray, described, word64 } from "./arguments.js";
import type { FaultReader } from "./user-faults.js";
import type { PagesOf } from "./user-pages.js";

const NONE = 0 as Ref;

/** A page that is missing: what UFFD_EVENT_PAGEFAULT says. */
export interface UserFault {
  /** First byte of the page. */
  readonly addr: number;
  /** The access was to write (UFFD_PAGEFAULT_FLAG_WRITE). */
  readonly write: boolean;
}

/** Reads a fault, and answers it. */
export type FaultHandler = (fault: UserFault) => void;

/** What a range is registered for. */
export interface RegisterModes {
  /** UFFDIO_REGISTER_MODE_MISSING: the only mode there is here, and must be asked for. */
  readonly missing: boolean;
}

/** How pages are put in. */
export interface FillOptions {
  /** UFFDIO_COPY_MODE_DONTWAKE: who waits is woken later, by `wake`. Default false. */
  readonly dontWake?: boolean;
}

/** The access that waits while its fault is read. */
interface Sleeper {
  readonly addr: number;
  woken: boolean;
}

/** An open userfaultfd: what `Process.userfaultfd` gives. */
export class UserFaultFd {
  /** Reads and answers faults; null: nobody does. */
  onFault: FaultHandler | null = null;
  readonly #process: PagesOf;
  #ctx = NONE;
  #sleeper: Sleeper | null = null;

  private constructor(process: PagesOf) {
    this.#process = process;
  }

  /** See `Process.userfaultfd`. */
  static open(process: PagesOf): UserFaultFd {
    const fd = new UserFaultFd(process);
    const reader: FaultReader = {
      isBusy: () => fd.#sleeper !== null,
      deliver: (vpn, write) => fd.#deliver(vpn, write),
    };
    fd.#ctx = process.kernel.userFaults.create(process.mm, reader);
    if (fd.#ctx === NONE)
      throw new MmError(ERRNO.ENOMEM, `userfaultfd of process ${process.pid}`, "no memory");
    return fd;
  }

  /** The context. Throws MmError: ESRCH once the process has ended, EBADF once the fd is closed. */
  #use(): Ref {
    void this.#process.mm;
    if (this.#ctx === NONE)
      throw new MmError(ERRNO.EBADF, `userfaultfd of process ${this.#process.pid}`, "it is closed");
    return this.#ctx;
  }

  /**
   * UFFDIO_REGISTER: faults of a range are read here from now on. Gaps in it stay gaps.
   * Throws MmError: EINVAL (not whole pages, no memory there, not private anonymous
   * memory, another mode), EBUSY (another userfaultfd has part of it), ENOMEM.
   */
  register(addr: number, length: number, modes: RegisterModes): void {
    const asked = this.#range("register", addr, length);
    const ctx = this.#use();
    if (!isMissingOnly(modes)) throw new MmError(ERRNO.EINVAL, asked, "not in missing mode alone");
    this.#check(this.#process.kernel.userFaults.register(ctx, addr, length), asked);
  }

  /**
   * UFFDIO_UNREGISTER: the kernel fills the range again; who waits there is woken. What
   * was not registered stays as it is. Throws MmError: EINVAL as `register`, and where
   * another userfaultfd has part of it; ENOMEM.
   */
  unregister(addr: number, length: number): void {
    const asked = this.#range("unregister", addr, length);
    this.#check(this.#process.kernel.userFaults.unregister(this.#use(), addr, length), asked);
    this.#woken(addr, length);
  }

  /**
   * UFFDIO_COPY: puts in pages that hold `bytes`; how many bytes that were, fewer than
   * asked for where a later page is there already or memory ran out (there the ioctl
   * says EAGAIN). Throws MmError where not one page was put in: EEXIST (it is there),
   * ENOENT (the range lies in no single VMA that is registered), EINVAL, ENOMEM.
   */
  copy(dst: number, bytes: Uint8Array, options: FillOptions = {}): number {
    word64("copy's dst", dst);
    const { length } = byteArray("what is copied", bytes);
    return this.#fill("copy", dst, length, bytes, options);
  }

  /** UFFDIO_ZEROPAGE: the same with the zero page. */
  zeropage(addr: number, length: number, options: FillOptions = {}): number {
    this.#range("zeropage", addr, length);
    return this.#fill("zeropage", addr, length, null, options);
  }

  #fill(
    what: string,
    addr: number,
    length: number,
    bytes: Uint8Array | null,
    options: FillOptions,
  ): number {
    const pages = this.#process.kernel.userFaults.fill(this.#use(), addr, length, bytes);
    this.#check(pages, `${what} ${hex(addr)}, ${length} bytes`);
    if (options.dontWake !== true) this.#woken(addr, pages * PAGE_SIZE);
    return pages * PAGE_SIZE;
  }

  /** UFFDIO_WAKE: who waits for a page of the range tries again. Throws MmError (EINVAL). */
  wake(addr: number, length: number): void {
    const asked = this.#range("wake", addr, length);
    this.#use();
    this.#check(this.#process.kernel.userFaults.validate(addr, length), asked);
    this.#woken(addr, length);
  }

  /** close(2): all that was registered is the kernel's to fill, who waits is woken. Throws MmError: EBADF, ESRCH. */
  close(): void {
    this.#process.kernel.userFaults.release(this.#use());
    this.#ctx = NONE;
    this.#woken(0, Infinity);
  }

  /** __wake_userfault */
  #woken(addr: number, length: number): void {
    const waits = this.#sleeper;
    if (waits !== null && waits.addr >= addr && waits.addr < addr + length) waits.woken = true;
  }

  /** Has a fault read, and says whether its access was woken. */
  #deliver(vpn: number, write: boolean): boolean {
    // It reads one fault at a time: what it needs itself while it does, nobody brings.
    if (this.onFault === null || this.#sleeper !== null) return false;
    const sleeper: Sleeper = { addr: vpn * PAGE_SIZE, woken: false };
    this.#sleeper = sleeper;
    try {
      this.onFault({ addr: sleeper.addr, write });
    } finally {
      this.#sleeper = null;
    }
    return sleeper.woken;
  }

  /** Checks that a range is one of numbers; names what is asked for. */
  #range(what: string, addr: number, length: number): string {
    word64(`${what}'s addr`, addr);
    word64(`${what}'s length`, length);
    return `${what} ${hex(addr)}, ${length} bytes`;
  }

  #check(result: number, asked: string): void {
    if (result < 0) throw new MmError(-result, `userfaultfd ${asked}`, WHY[-result] ?? "refused");
  }
}

/** Modes of a caller without types, too: one that is not simulated must not pass unheard. */
function isMissingOnly(modes: unknown): boolean {
  if (typeof modes !== "object" || modes === null)
    throw new TypeError(
      `what a range is registered for is { missing: true }, not ${described(modes)}`,
    );
  const asked = Object.entries(modes).filter(([, wanted]) => wanted !== false);
  return asked.length === 1 && asked[0][0] === "missing" && asked[0][1] === true;
}

const hex = (n: number): string => `0x${n.toString(16)}`;

const WHY: Readonly<Record<number, string>> = {
  [ERRNO.ENOENT]: "the range lies in no single mapping that is registered",
  [ERRNO.ENOMEM]: "no memory",
  [ERRNO.EBUSY]: "another userfaultfd has part of it",
  [ERRNO.EEXIST]: "a page is there already",
  [ERRNO.EINVAL]:
    "not whole pages of the address space, nothing mapped there, memory that is not private and anonymous, or another userfaultfd's",
};
