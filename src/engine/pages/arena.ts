/**
 * The metadata arena: where in the words the page array, the zone structs and
 * the pages of descriptors lie, and which frame each page of descriptors is in.
 *
 * The fixed part is laid out at boot. The heap behind it hands out runs of arena
 * pages, each paired with the frames that the page allocator gave for it;
 * addresses in the arena are what pointers in page words hold, frames are for
 * printing and for giving the memory back (architecture, rule 1).
 */
import { PAGE_SIZE, type Ref } from "../../units.js";
import type { Words } from "../words/words.js";

/** References of 16 bytes in a page of 4 KiB. */
export const REFS_PER_PAGE = PAGE_SIZE / 16;

/** Lays out fixed regions one after another from the arena's second page on. */
export class ArenaPlan {
  readonly #refsPerPage: number;
  #next: number;

  constructor(refsPerPage: number) {
    this.#refsPerPage = refsPerPage;
    this.#next = refsPerPage;
  }

  /** A region of `size` bytes, aligned to 64 bytes (a cache line). */
  take(size: number): Ref {
    const at = Math.ceil(this.#next / 4) * 4;
    this.#next = at + Math.ceil(size / 16);
    return at as Ref;
  }

  /** A region that starts on a page of the arena. */
  takePages(size: number): Ref {
    this.#next = Math.ceil(this.#next / this.#refsPerPage) * this.#refsPerPage;
    return this.take(size);
  }

  /** First page of the heap. */
  end(): number {
    return Math.ceil(this.#next / this.#refsPerPage);
  }
}

/**
 * Arena pages of the heap, in runs, each page paired with a frame.
 *
 * Its table is words like everything that threads share, but it stands for
 * nothing in a kernel (there an address says where it lies), so it costs nothing
 * in any report.
 */
export class ArenaHeap {
  /** References of 16 bytes in a page of this machine. */
  readonly refsPerPage: number;
  /** Its logarithm: pages are a power of two. */
  readonly #pageShift: number;
  readonly #w: Words;
  readonly #table: Ref;
  readonly #first: number;
  readonly #limit: number;

  /** Bytes of the table for a heap of that many pages. */
  static bytes(pages: number): number {
    return 16 + pages * 4;
  }

  /** Pages `first` … `limit − 1` of the arena; `table` has room for `bytes`. */
  constructor(w: Words, table: Ref, first: number, limit: number, refsPerPage: number) {
    this.refsPerPage = refsPerPage;
    this.#pageShift = Math.log2(refsPerPage);
    this.#w = w;
    this.#table = table;
    this.#first = first;
    this.#limit = limit;
  }

  /** Heap pages ever taken from the end. */
  #used(): number {
    return this.#w.load32(this.#table, 0);
  }

  /** Heap pages that hold something now. */
  held(): number {
    return this.#w.load32(this.#table, 8);
  }

  #at(index: number): number {
    return 16 + index * 4;
  }

  /** Whether `pages` more pages could be taken. */
  hasRoom(pages: number): boolean {
    if (pages === 1 && this.#w.load32(this.#table, 4) !== 0) return true;
    return this.#first + this.#used() + pages <= this.#limit;
  }

  /** A run of arena pages for the frames from `pfn` on. Ask `hasRoom` first. */
  take(pfn: number, pages: number): Ref {
    const w = this.#w;
    const free = w.load32(this.#table, 4);
    w.add32(this.#table, 8, pages);
    if (pages === 1 && free !== 0) {
      // Single pages are reused, last freed first: a free entry names the next one.
      w.store32(this.#table, 4, -w.load32(this.#table, this.#at(free - 1)));
      w.store32(this.#table, this.#at(free - 1), pfn + 1);
      return ((this.#first + free - 1) * this.refsPerPage) as Ref;
    }
    const index = this.#used();
    w.store32(this.#table, 0, index + pages);
    for (let i = 0; i < pages; i++) w.store32(this.#table, this.#at(index + i), pfn + i + 1);
    return ((this.#first + index) * this.refsPerPage) as Ref;
  }

  /** Gives back the pages that hold `ref`'s run. */
  give(ref: Ref, pages: number): void {
    const w = this.#w;
    const index = ref / this.refsPerPage - this.#first;
    w.add32(this.#table, 8, -pages);
    for (let i = 0; i < pages; i++) {
      w.store32(this.#table, this.#at(index + i), -w.load32(this.#table, 4));
      w.store32(this.#table, 4, index + i + 1);
    }
  }

  /** Frame in which a place of the heap lies; −1 for places outside of it. */
  frameOf(ref: Ref): number {
    const index = (ref >>> this.#pageShift) - this.#first;
    if (index < 0 || index >= this.#limit - this.#first) return -1;
    const frame = this.#w.load32(this.#table, this.#at(index));
    return frame > 0 ? frame - 1 : -1;
  }

  /** Every frame that holds a page of the heap. */
  forEachFrame(visit: (pfn: number) => void): void {
    const used = this.#used();
    for (let i = 0; i < used; i++) {
      const frame = this.#w.load32(this.#table, this.#at(i));
      if (frame > 0) visit(frame - 1);
    }
  }
}
