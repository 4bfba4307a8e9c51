/**
 * Map counts: how often a folio and its pages are mapped, by the policy of the
 * design.
 *
 * A folio of one page has one count. A large one counts all its mappings
 * (large), those of it as a whole (entire), and, where the word has room, each
 * page's own and how many pages are mapped at all. Two slots say which processes
 * map it how often: while one of them has all mappings it is exclusively theirs,
 * otherwise "maybe shared". What is not counted cannot be asked: without counts
 * per page a partially mapped folio is known by its total only.
 *
 * Source: include/linux/rmap.h, mm/rmap.c of 6.18 (folio_add_*_rmap_*,
 * __folio_remove_rmap, folio_set_large_mapcount; CONFIG_NO_PAGE_MAPCOUNT for
 * `per-folio`). The slots hold counts, not counts − 1 (simplified).
 */
import type { Ref } from "../../units.js";
import { MM_MM_ID, VMA_VM_MM } from "../layout/generated/offsets.js";
import type { Words } from "../words/words.js";
import type { FolioLayout } from "../design/word/axis.js";
import type { Core } from "./core.js";

/** Added to nr_pages_mapped while the folio is mapped as a whole. */
const ENTIRELY_MAPPED = 0x800000;
/** Top bits of the two process slots. */
const MM_IDS_SHARED = 1 << 30;
const MM_IDS_LOCK = 1 << 31;
const ID_MASK = MM_IDS_SHARED - 1;

/** Counts the mappings of single pages: adds and returns what it is then (−1: unmapped). */
export interface PageCounts {
  addOwnMapcount(page: number, n: number): number;
}

export class MapCounts {
  readonly core: Core;
  readonly w: Words;
  readonly layout: FolioLayout;
  readonly perPage: boolean;
  readonly #pages: PageCounts;

  /** Counts of folios with that layout; `pages` says what counts each page, null for nobody. */
  constructor(core: Core, layout: FolioLayout, pages: PageCounts | null) {
    this.core = core;
    this.w = core.w;
    this.layout = layout;
    this.perPage = pages !== null;
    this.#pages = pages ?? core.design;
  }

  /** The second part of a folio's fields. */
  #rest(folio: Ref): Ref {
    const { second } = this.layout;
    return second < 0 ? folio : this.core.pointer(folio, second);
  }

  /** Identity of the process that a VMA belongs to. */
  mmId(vma: Ref): number {
    return this.w.load32(this.core.pointer(vma, VMA_VM_MM), MM_MM_ID);
  }

  /** folio_mapcount: all mappings. */
  total(folio: Ref, order: number): number {
    const { layout } = this;
    if (order === 0) return this.w.load32(folio, layout.mapcount) + 1;
    return this.w.load32(this.#rest(folio), layout.largeMapcount) + 1;
  }

  entire(folio: Ref, order: number): number {
    if (order === 0) return 0;
    return this.w.load32(this.#rest(folio), this.layout.entireMapcount) + 1;
  }

  /** folio_maybe_mapped_shared: false only if one process has all mappings. */
  maybeShared(folio: Ref, order: number): boolean {
    const total = this.total(folio, order);
    // One mapping is nobody else's, even where the bit still says otherwise.
    if (order === 0 || total <= 1) return total > 1;
    return (this.w.load32(this.#rest(folio), this.layout.mmIds) & MM_IDS_SHARED) !== 0;
  }

  /** `n` pages of it from frame `pfn` on are mapped one by one. */
  addPtes(folio: Ref, pfn: number, order: number, n: number, mmId: number): void {
    const { w } = this;
    if (order === 0) {
      w.add32(folio, this.layout.mapcount, 1);
      return;
    }
    const rest = this.#rest(folio);
    if (this.perPage) {
      let fresh = 0;
      for (let i = 0; i < n; i++) if (this.#pages.addOwnMapcount(pfn + i, 1) === 0) fresh++;
      w.add32(rest, this.layout.nrPagesMapped, fresh);
    }
    this.#addTotal(rest, n, mmId);
  }

  /** The folio is mapped once more as a whole. */
  addPmd(folio: Ref, mmId: number): void {
    const { w } = this;
    const rest = this.#rest(folio);
    if (w.add32(rest, this.layout.entireMapcount, 1) === 0 && this.perPage)
      w.add32(rest, this.layout.nrPagesMapped, ENTIRELY_MAPPED);
    this.#addTotal(rest, 1, mmId);
  }

  /**
   * Undoes `addPtes`. True if a large folio that is still mapped has pages that
   * are not: it could be split to give them back.
   */
  removePtes(folio: Ref, pfn: number, order: number, n: number, mmId: number): boolean {
    const { w } = this;
    if (order === 0) {
      w.add32(folio, this.layout.mapcount, -1);
      return false;
    }
    const rest = this.#rest(folio);
    let gone = 0;
    if (this.perPage) {
      for (let i = 0; i < n; i++) if (this.#pages.addOwnMapcount(pfn + i, -1) < 0) gone++;
      w.add32(rest, this.layout.nrPagesMapped, -gone);
    }
    const total = this.#addTotal(rest, -n, mmId);
    return total > 0 && this.#partly(rest, order, total) && (gone > 0 || !this.perPage);
  }

  removePmd(folio: Ref, order: number, mmId: number): boolean {
    const { w } = this;
    const rest = this.#rest(folio);
    if (w.add32(rest, this.layout.entireMapcount, -1) < 0 && this.perPage)
      w.add32(rest, this.layout.nrPagesMapped, -ENTIRELY_MAPPED);
    const total = this.#addTotal(rest, -1, mmId);
    return total > 0 && this.#partly(rest, order, total);
  }

  /** Some pages have no mapping, as far as the counts can tell. */
  #partly(rest: Ref, order: number, total: number): boolean {
    const { w } = this;
    if (w.load32(rest, this.layout.entireMapcount) >= 0) return false;
    const mapped = this.perPage ? w.load32(rest, this.layout.nrPagesMapped) : total;
    return mapped < 1 << order;
  }

  /** The large map count and the process slots, under the folio's own bit lock. Returns the mappings now. */
  #addTotal(rest: Ref, n: number, mmId: number): number {
    const { w } = this;
    const { layout } = this;
    const second = layout.mmIds + 4;
    for (;;) {
      const was = w.load32(rest, second);
      if (was < 0) w.awaitChange32(rest, second, was);
      else if (w.cas32(rest, second, was, was | MM_IDS_LOCK)) break;
    }
    const total = w.add32(rest, layout.largeMapcount, n) + 1;
    const first = w.load32(rest, layout.mmIds);
    let a = first & ID_MASK;
    let b = w.load32(rest, second) & ID_MASK;
    let countA = w.load32(rest, layout.mmIdMapcount);
    let countB = w.load32(rest, layout.mmIdMapcount + 4);
    if (a === mmId || (a === 0 && b !== mmId && n > 0)) {
      countA += n;
      a = countA > 0 ? mmId : 0;
      w.store32(rest, layout.mmIdMapcount, countA);
    } else if (b === mmId || (b === 0 && n > 0)) {
      countB += n;
      b = countB > 0 ? mmId : 0;
      w.store32(rest, layout.mmIdMapcount + 4, countB);
    }
    const alone = total === countA || total === countB;
    w.store32(rest, layout.mmIds, a | (alone ? 0 : MM_IDS_SHARED));
    w.store32(rest, second, b);
    return total;
  }
}
