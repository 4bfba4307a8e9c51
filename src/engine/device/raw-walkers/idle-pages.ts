/**
 * Idle page tracking (/sys/kernel/mm/page_idle/bitmap): a page is marked idle, and is
 * found idle later if nobody used it meanwhile.
 *
 * Only what is on an LRU list has an idle mark, which no page of a device ever is, so a
 * device's memory is never idle and never marked, whatever its pages are called. A
 * page's uses are found by its reverse map; the entries there are compared by kind (only
 * one that is present has a frame) and then by number.
 *
 * Source: mm/page_idle.c of 6.18 (page_idle_get_folio, page_idle_clear_pte_refs_one,
 * page_idle_bitmap_read, page_idle_bitmap_write). Simplified: no PG_young, so reclaim
 * does not hear of uses that were seen here.
 */
import { PG_IDLE, PG_LRU } from "../../design/word/axis-flags.js";
import { PMD_HUGE, PTE_ACCESSED, PTE_THERE, ptePfn } from "../../process/entry.js";
import { pmdAt, pteAt } from "../../process/page-tables.js";
import type { Ref } from "../../../units.js";
import type { RawPfns } from "./raw-pfns.js";

const NONE = 0 as Ref;

export class IdlePages {
  readonly #pfns: RawPfns;

  constructor(pfns: RawPfns) {
    this.#pfns = pfns;
  }

  /** page_idle_get_folio: the folio that begins at a pfn, held; 0 for what has no idle mark. */
  #folio(pfn: number): Ref {
    const frame = this.#pfns.online(pfn);
    if (frame < 0) return NONE;
    const { core, folios } = this.#pfns.devices.base;
    const folio = folios.ofPage(frame);
    // Struct page takes a bare page for a folio: only what is on a list is one.
    if (folio === NONE || core.pfnOf(folio) !== frame || !folios.test(folio, PG_LRU)) return NONE;
    folios.get(folio);
    return folio;
  }

  /** Writes a 1 for every pfn of a stretch: folios that are marked idle now. */
  mark(start: number, end: number): number {
    const { folios } = this.#pfns.devices.base;
    let marked = 0;
    for (let pfn = start; pfn < end; pfn++) {
      const folio = this.#folio(pfn);
      if (folio === NONE) continue;
      this.#used(folio);
      folios.set(folio, PG_IDLE);
      folios.put(folio);
      marked++;
    }
    return marked;
  }

  /** Reads the bit of one pfn: nobody used the page since it was marked. */
  isIdle(pfn: number): boolean {
    const { folios } = this.#pfns.devices.base;
    const folio = this.#folio(pfn);
    if (folio === NONE) return false;
    if (folios.test(folio, PG_IDLE) && this.#used(folio)) folios.clear(folio, PG_IDLE);
    const idle = folios.test(folio, PG_IDLE);
    folios.put(folio);
    return idle;
  }

  /** page_idle_clear_pte_refs: whether any mapping was used; their marks are taken. */
  #used(folio: Ref): boolean {
    const { core, rmap, folios } = this.#pfns.devices.base;
    const first = core.pfnOf(folio);
    let used = false;
    rmap.walkRange(
      folio,
      folios.index(folio),
      1 << core.design.orderOf(first),
      (_vma, mm, vpn, i, n) => {
        for (let k = 0; k < n; k++) used = this.#clear(mm, vpn + k, first, i + k) || used;
        return true;
      },
    );
    return used;
  }

  /** The entry of page `i` of a folio in one process, which may be one for all of it. */
  #clear(mm: Ref, vpn: number, first: number, i: number): boolean {
    const { w, tables } = this.#pfns.devices.base;
    const pmds = tables.pmdTable(mm, vpn);
    if (pmds === NONE) return false;
    const pmd = w.load64(pmds, pmdAt(vpn));
    const huge = (pmd & PMD_HUGE) !== 0 && (pmd & PTE_THERE) !== 0;
    const table = huge ? pmds : tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return false;
    const off = huge ? pmdAt(vpn) : pteAt(vpn);
    const desc = tables.lock(table);
    const lo = w.load64(table, off);
    const hi = w.hi;
    const frame = (lo & PTE_THERE) === 0 ? -1 : ptePfn(huge ? lo & ~PMD_HUGE : lo, hi);
    const used = frame === (huge ? first : first + i) && (lo & PTE_ACCESSED) !== 0;
    if (used) w.store64(table, off, lo & ~PTE_ACCESSED, hi);
    tables.unlock(desc);
    return used;
  }
}
