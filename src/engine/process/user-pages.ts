/**
 * Pages of a process that somebody else holds: what GUP gave, with what each
 * release needs.
 *
 * Two kinds of users stand for all: one that writes into the pages once and lets
 * go (O_DIRECT), and one that keeps them as a registered region that a device
 * reads and writes for as long as it lives (RDMA, io_uring buffers).
 */
import { MmError } from "../errors.js";
import { MM_PINNED_VM } from "../layout/generated/offsets.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import { eachSpan } from "./spans.js";
import { FOLL_GET, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "./gup.js";
import type { Holder, Operations } from "./operations.js";

/** Whose pages are wanted: a process. */
export interface PagesOf {
  readonly kernel: Operations;
  readonly mm: Ref;
  readonly pid: number;
}

export class UserPages implements Holder {
  readonly kernel: Operations;
  readonly pid: number;
  /** First byte in the first page. */
  readonly offset: number;
  /** Frames, in order. */
  readonly pfns: Int32Array;
  readonly #carried: Int32Array;
  readonly #flags: number;
  readonly #mm: Ref;
  #accounted = 0;
  #held = true;

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
    this.pfns = pfns;
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
    const out = { pfns: new Int32Array(count), carried: new Int32Array(count) };
    const { gup } = process.kernel;
    const wants = (flags & FOLL_PIN) !== 0 ? flags : flags | FOLL_GET;
    let got = 0;
    let error = 0;
    while (got < count && error === 0) {
      const part = { pfns: out.pfns.subarray(got), carried: out.carried.subarray(got) };
      const n =
        how === "fast"
          ? gup.getFast(process.mm, first + got, count - got, wants, part)
          : gup.get(process.mm, first + got, count - got, wants, part);
      if (n < 0) error = n;
      else got += n;
    }
    const pages = new UserPages(
      process,
      addr % PAGE_SIZE,
      out.pfns.subarray(0, got),
      out.carried.subarray(0, got),
      flags,
    );
    process.kernel.userPages.add(pages);
    if (error === 0) return pages;
    pages.release();
    const what = (flags & FOLL_PIN) !== 0 ? "pin" : "get";
    const why = `page ${got} of ${count} cannot be had`;
    throw new MmError(-error, `${what} ${length} bytes at 0x${addr.toString(16)}`, why);
  }

  /** O_DIRECT into user memory: pins for the time of one write. */
  static directRead(process: PagesOf, addr: number, bytes: Uint8Array): void {
    const pages = UserPages.get(process, addr, bytes.length, FOLL_PIN | FOLL_WRITE, "fast");
    pages.write(0, bytes);
    pages.release(true);
  }

  /** Registers memory with a device: pinned for a long time, writable. */
  static register(process: PagesOf, addr: number, length: number): UserPages {
    const flags = FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM;
    const pages = UserPages.get(process, addr, length, flags, "fast");
    pages.#account(pages.pfns.length);
    return pages;
  }

  /** Pages that a device keeps count against who registered them (mm->pinned_vm). */
  #account(pages: number): void {
    this.#accounted += pages;
    this.kernel.base.w.add32(this.#mm, MM_PINNED_VM, pages);
  }

  /** Whether they are pinned, not merely got. */
  get pinned(): boolean {
    return (this.#flags & FOLL_PIN) !== 0;
  }

  /** What the device reads: bytes from `at` on, by frame, whatever the process maps now. */
  read(at: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.#each(at, length, (pfn, from, done, n) =>
      this.kernel.base.core.content.read(pfn, from, out.subarray(done, done + n)),
    );
    return out;
  }

  /** What the device writes. */
  write(at: number, bytes: Uint8Array): void {
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
      visit(this.pfns[Math.floor(byte / PAGE_SIZE)], from, done, n),
    );
  }

  /** put_page or unpin_user_page on every page; `dirty` marks them written first. Once. */
  release(dirty = false): void {
    if (!this.#held) return;
    this.#held = false;
    const { gup, userPages } = this.kernel;
    userPages.delete(this);
    if (this.#accounted > 0 && this.kernel.processes.has(this.pid)) this.#account(-this.#accounted);
    for (let i = 0; i < this.pfns.length; i++)
      gup.release(this.pfns[i], this.#carried[i] as Ref, this.pinned, dirty);
  }
}
