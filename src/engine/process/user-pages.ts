/**
 * Pages of a process that somebody else holds: what GUP gave, with what each
 * release needs.
 *
 * Two kinds of users stand for all: one that writes into the pages once and lets
 * go (O_DIRECT), and one that keeps them as a registered region that a device
 * reads and writes for as long as it lives (RDMA, io_uring buffers).
 *
 * Pages go all at once or in parts, each once; what was let go is not read,
 * written or let go again (EINVAL).
 */
import { ERRNO, MmError } from "../errors.js";
import { MM_PINNED_VM } from "../layout/generated/offsets.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import { Stop } from "../words/checked.js";
import { byteArray, copyLength, wholeNumber } from "./arguments.js";
import { EDEADLK } from "./constants.js";
import { eachSpan } from "./spans.js";
import { FOLL_GET, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "./gup.js";
import type { Holder, Operations } from "./operations.js";
import { waitsForEver } from "./user-faults.js";

/** Whose pages are wanted: a process. */
export interface PagesOf {
  readonly kernel: Operations;
  readonly mm: Ref;
  readonly pid: number;
}

/** Pages that `Process.gup` or `UserPages.register` gave. */
export class UserPages implements Holder {
  readonly kernel: Operations;
  /** Process whose pages they were. */
  readonly pid: number;
  /** First byte in the first page. */
  readonly offset: number;
  /** Pages that were got. */
  readonly count: number;
  readonly #frames: Int32Array;
  readonly #carried: Int32Array;
  readonly #flags: number;
  readonly #mm: Ref;
  /** Whether each page is counted against who registered them. */
  #accounted = false;
  /** 1 for each page that is held. */
  readonly #held: Uint8Array;
  /** Frames of those. */
  #pfns: Int32Array;

  private constructor(
    process: PagesOf,
    offset: number,
    pfns: Int32Array,
    carried: Int32Array,
    flags: number,
  ) {
    this.kernel = process.kernel;
    this.#mm = process.mm;
    this.pid = process.pid;
    this.offset = offset;
    this.count = pfns.length;
    this.#frames = pfns;
    this.#pfns = pfns;
    this.#held = new Uint8Array(pfns.length).fill(1);
    this.#carried = carried;
    this.#flags = flags;
  }

  /** See `Process.gup`. */
  static get(
    process: PagesOf,
    addr: number,
    length: number,
    flags: number,
    how: "fast" | "slow",
  ): UserPages {
    const first = Math.floor(addr / PAGE_SIZE);
    const count = Math.ceil((addr + length) / PAGE_SIZE) - first;
    const out = { pfns: new Int32Array(count).fill(-1), carried: new Int32Array(count) };
    const { gup } = process.kernel;
    const wants = (flags & FOLL_PIN) !== 0 ? flags : flags | FOLL_GET;
    const have = (got: number): UserPages =>
      new UserPages(
        process,
        addr % PAGE_SIZE,
        out.pfns.subarray(0, got),
        out.carried.subarray(0, got),
        flags,
      );
    let got = 0;
    let error = 0;
    try {
      while (got < count && error === 0) {
        const part = { pfns: out.pfns.subarray(got), carried: out.carried.subarray(got) };
        const n =
          how === "fast"
            ? gup.getFast(process.mm, first + got, count - got, wants, part)
            : gup.get(process.mm, first + got, count - got, wants, part);
        if (n < 0) error = n;
        else got += n;
      }
    } catch (thrown) {
      // Who reads the process's userfaultfd threw: what was got by then goes back.
      if (!(thrown instanceof Stop)) have(out.pfns.filter((pfn) => pfn >= 0).length).release();
      throw thrown;
    }
    const pages = have(got);
    process.kernel.userPages.add(pages);
    if (error === 0) return pages;
    pages.release();
    const what = (flags & FOLL_PIN) !== 0 ? "pin" : "get";
    const asked = `${what} ${length} bytes at 0x${addr.toString(16)}`;
    if (error === EDEADLK) throw waitsForEver(asked);
    throw new MmError(-error, asked, `page ${got} of ${count} cannot be had`);
  }

  /** O_DIRECT into user memory: pins for the time of one write. */
  static directRead(process: PagesOf, addr: number, bytes: Uint8Array): void {
    byteArray("what is read in", bytes);
    const pages = UserPages.get(process, addr, bytes.length, FOLL_PIN | FOLL_WRITE, "fast");
    pages.write(0, bytes);
    pages.release(true);
  }

  /** Registers memory with a device: pinned for a long time, writable. */
  static register(process: PagesOf, addr: number, length: number): UserPages {
    const flags = FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM;
    const pages = UserPages.get(process, addr, length, flags, "fast");
    pages.#accounted = true;
    pages.#account(pages.count);
    return pages;
  }

  /** Pages that a device keeps count against who registered them (mm->pinned_vm). */
  #account(pages: number): void {
    this.kernel.base.w.add32(this.#mm, MM_PINNED_VM, pages);
  }

  /** Frames that are held, in order; all of them until a part is let go. */
  get pfns(): Int32Array {
    return this.#pfns;
  }

  /** Whether they are pinned (FOLL_PIN), not merely got. */
  get pinned(): boolean {
    return (this.#flags & FOLL_PIN) !== 0;
  }

  /**
   * What the device reads: bytes from `at` on, by frame, whatever the process maps
   * now. Throws RangeError past the end, MmError (EINVAL) for pages let go.
   */
  read(at: number, length: number): Uint8Array {
    const out = new Uint8Array(copyLength("read's length", length));
    this.#mustHold(at, length);
    this.#each(at, length, (pfn, from, done, n) =>
      this.kernel.base.core.content.read(pfn, from, out.subarray(done, done + n)),
    );
    return out;
  }

  /** What the device writes; the same refusals. */
  write(at: number, bytes: Uint8Array): void {
    this.#mustHold(at, byteArray("what is written", bytes).length);
    const { core } = this.kernel.base;
    this.#each(at, bytes.length, (pfn, from, done, n) => {
      core.content.write(pfn, from, bytes.subarray(done, done + n));
      core.watch?.wrote(pfn);
    });
  }

  #each(
    at: number,
    length: number,
    visit: (pfn: number, from: number, done: number, n: number) => void,
  ): void {
    eachSpan(this.offset + at, length, (byte, from, done, n) =>
      visit(this.#frames[Math.floor(byte / PAGE_SIZE)], from, done, n),
    );
  }

  #mustHold(at: number, length: number): void {
    const bytes = this.count * PAGE_SIZE - this.offset;
    wholeNumber("the first byte", at, 0, bytes);
    wholeNumber("the byte behind the last one", at + length, 0, bytes);
    const first = Math.floor((this.offset + at) / PAGE_SIZE);
    const end = Math.max(first + 1, Math.ceil((this.offset + at + length) / PAGE_SIZE));
    if (this.#held.subarray(first, end).includes(0) || this.#pfns.length === 0)
      throw gone(`use of bytes ${at} … ${at + length} of user pages`);
  }

  /**
   * put_page or unpin_user_page on every page that is held; `dirty` marks them
   * written first. Throws MmError (EINVAL) where none is.
   */
  release(dirty = false): void {
    if (this.#pfns.length === 0 && this.count > 0) throw gone("release of user pages");
    this.#letGo(0, this.count, dirty);
  }

  /**
   * The same for `count` pages from page `first` on: unpin_user_page_range. Throws
   * RangeError for pages there are not, MmError (EINVAL) where one was let go before.
   */
  releasePart(first: number, count: number, dirty = false): void {
    wholeNumber("the first page", first, 0, this.count - 1);
    wholeNumber("the number of pages", count, 1, this.count - first);
    if (this.#held.subarray(first, first + count).includes(0))
      throw gone(`release of pages ${first} … ${first + count - 1}`);
    this.#letGo(first, first + count, dirty);
  }

  /** Lets one page of that frame go; false where none is held. See `Kernel.unpinPage`. */
  releaseFrame(pfn: number, dirty = false): boolean {
    const at = this.#frames.findIndex((frame, i) => frame === pfn && this.#held[i] === 1);
    if (at >= 0) this.#letGo(at, at + 1, dirty);
    return at >= 0;
  }

  #letGo(first: number, end: number, dirty: boolean): void {
    const { gup, userPages, processes } = this.kernel;
    const stays = (i: number): boolean => this.#held[i] === 1 && (i < first || i >= end);
    const left = this.#frames.filter((_, i) => stays(i));
    const going = this.#pfns.length - left.length;
    // The books first: a rule that breaks on the way finds them as they are to be.
    this.#pfns = left;
    if (left.length === 0) userPages.delete(this);
    if (this.#accounted && processes.has(this.pid)) this.#account(-going);
    for (let i = first; i < end; i++) {
      if (this.#held[i] === 0) continue;
      this.#held[i] = 0;
      gup.release(this.#frames[i], this.#carried[i] as Ref, this.pinned, dirty);
    }
  }
}

const gone = (asked: string): MmError =>
  new MmError(ERRNO.EINVAL, asked, "they were released before");
