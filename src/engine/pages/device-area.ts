/**
 * Room in the arena for what describes device memory, with frames behind it only
 * where somebody asked for them.
 *
 * The records of a device lie one behind another at fixed places, as struct pages
 * do in the vmemmap, so that a page number and the place of its record are one
 * multiplication apart whatever the lifetime of records is. Which pages of the
 * arena have a frame is a table in words: how many users each has, and which frame.
 * The first user brings a zeroed frame from the page allocator, the last one gives
 * it back. What a design costs is the frames that are taken here.
 *
 * Source: mm/sparse-vmemmap.c, mm/memremap.c (arrays of struct page come with
 * their range); on demand: invented, for `chunk` and `request`. Simplified: frames
 * of one page each where the kernel takes 2 MiB at a time, and the page tables of
 * the array are not counted.
 */
import { MISC_VMALLOC } from "../design/word/axis-types.js";
import type { PageDesign } from "../design/word/axis.js";
import type { Ref } from "../../units.js";
import type { Words } from "../words/words.js";
import type { PageAllocator } from "./allocator.js";
import { MIGRATE_UNMOVABLE } from "./zones.js";

const ZEROES = new Int32Array(4);
/** Bytes of the table for one page: frame + 1, and users. */
const ENTRY = 8;
/** Bytes that are counted in 32 bits. */
const NEAR = 2 ** 30;
/** Behind the entries: frames of each group of so many pages, so that gaps are passed over. */
const GROUP = 512;

export class DeviceArea {
  readonly w: Words;
  readonly #table: Ref;
  readonly #allocator: PageAllocator;
  readonly #design: PageDesign;
  readonly #first: number;
  readonly #pages: number;
  readonly #refsPerPage: number;
  /** Its logarithm. */
  readonly #shift: number;
  /** Asked before it is given up; says whether to try again. */
  onPressure: () => boolean = () => false;

  /** Bytes of the table of that many arena pages. */
  static bytes(pages: number): number {
    return 16 + pages * ENTRY + Math.ceil(pages / GROUP) * 4;
  }

  /** Arena pages `first` … `first + pages − 1`. */
  constructor(
    w: Words,
    table: Ref,
    allocator: PageAllocator,
    design: PageDesign,
    first: number,
    pages: number,
    refsPerPage: number,
  ) {
    this.w = w;
    this.#table = table;
    this.#allocator = allocator;
    this.#design = design;
    this.#first = first;
    this.#pages = pages;
    this.#refsPerPage = refsPerPage;
    this.#shift = Math.log2(refsPerPage);
  }

  /** Frames that are taken now. */
  get frames(): number {
    return this.w.load32(this.#table, 0);
  }

  /** Place of a group's count in the table. */
  #group(page: number): number {
    return 16 + this.#pages * ENTRY + Math.floor(page / GROUP) * 4;
  }

  /** Index of the arena page that has byte `at` behind a reference. */
  #page(ref: Ref, at: number): number {
    // A row is near; the end of a whole device may be far.
    return at < NEAR
      ? ((ref + (at >> 4)) >>> this.#shift) - this.#first
      : Math.floor((ref + Math.floor(at / 16)) / this.#refsPerPage) - this.#first;
  }

  /**
   * `bytes` bytes from (ref, off) on are used once more; false without memory,
   * with nothing changed. Pages that had no user are zeroes.
   */
  take(ref: Ref, off: number, bytes: number): boolean {
    const from = this.#page(ref, off);
    const to = this.#page(ref, off + bytes - 1);
    for (let page = from; page <= to; page++) {
      if (this.#use(page)) continue;
      for (let p = from; p < page; p++) this.#leave(p);
      return false;
    }
    return true;
  }

  /** Undoes `take`. */
  give(ref: Ref, off: number, bytes: number): void {
    const to = this.#page(ref, off + bytes - 1);
    for (let page = this.#page(ref, off); page <= to; page++) this.#leave(page);
  }

  /** Whether a place has a frame behind it: all of its `bytes` bytes. */
  isThere(ref: Ref, off = 0, bytes = 1): boolean {
    const page = this.#page(ref, off);
    return this.#has(page) && (bytes === 1 || this.#has(this.#page(ref, off + bytes - 1)));
  }

  #has(page: number): boolean {
    return page >= 0 && page < this.#pages && this.w.load32(this.#table, 16 + page * ENTRY) !== 0;
  }

  /** Bytes of an arena page. */
  get pageBytes(): number {
    return this.#refsPerPage * 16;
  }

  /** Bytes from a place to the end of its arena page. */
  bytesLeft(ref: Ref, off: number): number {
    const size = this.pageBytes;
    return size - (((ref % this.#refsPerPage) * 16 + off) % size);
  }

  /** Number of the arena page that a place lies in, counted from the area's first. */
  pageOf(ref: Ref, off: number): number {
    return this.#page(ref, off);
  }

  #use(page: number): boolean {
    const { w } = this;
    const at = 16 + page * ENTRY;
    if (w.load32(this.#table, at) !== 0) {
      w.add32(this.#table, at + 4, 1);
      return true;
    }
    let pfn = this.#allocator.alloc(0, MIGRATE_UNMOVABLE);
    while (pfn < 0 && this.onPressure()) pfn = this.#allocator.alloc(0, MIGRATE_UNMOVABLE);
    if (pfn < 0) return false;
    this.#design.bindMisc(pfn, 0, MISC_VMALLOC, false, this.#design.zoneOf(pfn));
    w.store32(this.#table, at, pfn + 1);
    w.store32(this.#table, at + 4, 1);
    w.add32(this.#table, 0, 1);
    w.add32(this.#table, this.#group(page), 1);
    const refs = this.#refsPerPage;
    w.fillRun(((this.#first + page) * refs) as Ref, 0, ZEROES, refs, null, 0, 0);
    return true;
  }

  #leave(page: number): void {
    const { w } = this;
    const at = 16 + page * ENTRY;
    if (w.add32(this.#table, at + 4, -1) > 0) return;
    const pfn = w.load32(this.#table, at) - 1;
    w.store32(this.#table, at, 0);
    w.add32(this.#table, 0, -1);
    w.add32(this.#table, this.#group(page), -1);
    this.#design.release(pfn, 0);
    this.#allocator.free(pfn, 0);
  }

  /** Every frame that is taken, with the arena page that it is behind and how many use it. */
  forEachFrame(visit: (pfn: number, page: number, users: number) => void): void {
    for (let page = this.nextThere(0); page < this.#pages; page = this.nextThere(page + 1)) {
      const pfn = this.w.load32(this.#table, 16 + page * ENTRY) - 1;
      visit(pfn, page, this.w.load32(this.#table, 16 + page * ENTRY + 4));
    }
  }

  /** The first arena page from `page` on that has a frame; beyond them all for none. */
  nextThere(page: number): number {
    let at = page;
    while (at < this.#pages && !this.#has(at))
      at =
        this.w.load32(this.#table, this.#group(at)) === 0
          ? (Math.floor(at / GROUP) + 1) * GROUP
          : at + 1;
    return at;
  }
}
