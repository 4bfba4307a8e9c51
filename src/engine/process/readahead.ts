/**
 * Readahead: which pages of a disk's file come into the cache with one that a
 * fault misses.
 *
 * Without advice the window lies around the page, for code it begins with it and
 * ends with the mapping, with MADV_HUGEPAGE it is the huge page. File systems
 * with large folios are asked for the largest that fit; where a page is cached
 * already, the rest of the window comes as single pages, between what is there.
 *
 * Source: mm/filemap.c (do_sync_mmap_readahead), mm/readahead.c
 * (page_cache_ra_order, page_cache_ra_unbounded, page_cache_async_ra) of 6.18. Simplified: no history
 * of windows, hits and misses per open file.
 */
import type { Ref } from "../../units.js";
import { PG_RECLAIM } from "../design/word/axis-flags.js";
import { PMD_ORDER, PMD_PAGES, VM_EXEC, VM_HUGEPAGE, VM_RAND_READ } from "./constants.js";
import type { Files } from "./files.js";

const NONE = 0 as Ref;
/** Order of the folios of a second window (2 more than the first one's). */
const AHEAD_ORDER = 2;

/** Pages that are read at once. */
interface Window {
  readonly mapping: Ref;
  readonly memcg: Ref;
  readonly start: number;
  readonly size: number;
  /** Pages at its end whose first one is marked: whoever comes there starts the next window. */
  readonly ahead: number;
  /** Largest order of its folios. */
  readonly order: number;
}

export class Readahead {
  readonly files: Files;

  constructor(files: Files) {
    this.files = files;
    files.onMark = (mapping, folio, index, wanted, memcg) =>
      this.onMark(mapping, folio, index, wanted, memcg);
  }

  /** do_sync_mmap_readahead: page `index` is missing. Memory that cannot be had ends it quietly. */
  onFault(vma: Ref, mapping: Ref, index: number, memcg: Ref): void {
    const { vmas, policy } = this.files.base;
    const flags = vmas.flags(vma);
    const random = (flags & VM_RAND_READ) !== 0;
    const window = { mapping, memcg, order: 0 };
    if ((flags & VM_HUGEPAGE) !== 0) {
      const start = index & -PMD_PAGES;
      const size = random ? PMD_PAGES : 2 * PMD_PAGES;
      return this.#read({ ...window, start, size, ahead: PMD_PAGES, order: PMD_ORDER });
    }
    const code = (flags & VM_EXEC) !== 0;
    const pages = policy.readaheadPages;
    if ((random && !code) || pages === 0) return;
    if (code) {
      const end = vmas.pgoff(vma) + vmas.tree.end(vma) - vmas.tree.start(vma);
      return this.#read({ ...window, start: index, size: Math.min(pages, end - index), ahead: 0 });
    }
    const start = Math.max(0, index - (pages >> 1));
    this.#read({ ...window, start, size: pages, ahead: pages >> 2 });
  }

  /**
   * page_cache_async_ra: somebody who wants `wanted` pages came to a marked page.
   * The mark goes, and what is missing behind it is read.
   */
  onMark(mapping: Ref, folio: Ref, index: number, wanted: number, memcg: Ref): void {
    const { cache, folios, policy } = this.files.base;
    const most = policy.readaheadPages;
    if (most === 0) return;
    folios.clear(folio, PG_RECLAIM);
    // Where a file begins, windows that were never opened seem to follow each other: nothing is read.
    if (index === 0) return;
    const end = Math.min(index + most, this.files.pages(this.files.inodeOf(mapping)) - 1);
    let start = index + 1;
    while (start <= end && cache.lookup(mapping, start) !== NONE) start++;
    if (start > end) return;
    const size = nextSize(start - index + wanted, most);
    const whole = (start + size) & -(1 << AHEAD_ORDER);
    const pages = whole > start ? whole - start : size;
    this.#read({ mapping, memcg, start, size: pages, ahead: pages, order: AHEAD_ORDER });
  }

  /** page_cache_ra_order */
  #read(window: Window): void {
    const { start, size, ahead } = window;
    const end = Math.min(start + size, this.#end(window));
    let at = start;
    if (this.files.base.policy.largeFolios) {
      const mark = start + size - ahead;
      while (at < end) {
        const order = orderAt(window, at, end);
        if (!this.#add(window, at, order, (mark & -(1 << order)) === at)) break;
        at += 1 << order;
      }
    }
    if (at < end) this.#fillGaps(window, at);
  }

  /** do_page_cache_ra: what is not cached from `from` on, page by page. */
  #fillGaps(window: Window, from: number): void {
    const { mapping, start, size, ahead } = window;
    const end = Math.min(start + size, this.#end(window));
    const mark = ahead <= end - from ? end - ahead : -1;
    for (let at = from; at < end; at++) {
      if (this.files.base.cache.lookup(mapping, at) !== NONE) continue;
      if (!this.#add(window, at, 0, at === mark)) return;
    }
  }

  /** Page behind the last one of the file. */
  #end({ mapping }: Window): number {
    return this.files.pages(this.files.inodeOf(mapping));
  }

  /** ra_alloc_folio: false where one of its pages is cached, or there is no memory. */
  #add({ mapping, memcg }: Window, at: number, order: number, marked: boolean): boolean {
    const { cache, folios } = this.files.base;
    if (cache.next(mapping, at, at + (1 << order)) !== NONE) return false;
    const folio = this.files.readIn(mapping, at, order, memcg);
    if (folio < 0) return false;
    if (marked) folios.set(folio as Ref, PG_RECLAIM);
    folios.put(folio as Ref);
    return true;
  }
}

/** get_next_ra_size */
function nextSize(size: number, most: number): number {
  if (size < most / 16) return 4 * size;
  return size <= most / 2 ? 2 * size : most;
}

/** Order of the folio at a page: aligned, and within the window and the file. */
function orderAt(window: Window, at: number, end: number): number {
  let order = Math.min(window.order, 31 - Math.clz32(window.size));
  if (at % (1 << order) !== 0) order = 31 - Math.clz32(at & -at);
  while (at + (1 << order) > end) order--;
  return order;
}
