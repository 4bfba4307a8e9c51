/**
 * How a file hears of the first write to each of its mapped pages.
 *
 * Pages of a disk's file are mapped read-only. The first store is a fault, which
 * waits for whoever has the page locked, and makes it dirty (page_mkwrite). When
 * the page is written back, every shared mapping of it is made clean and
 * read-only again (mkclean): else a store after fsync would change a page that
 * everybody believes to be on the disk. Private mappings never dirty a file's
 * page and stay as they are.
 *
 * Source: mm/memory.c (do_page_mkwrite), mm/rmap.c (folio_mkclean,
 * page_vma_mkclean_one), fs/ext4/inode.c (ext4_page_mkwrite) of 6.18.
 */
import type { Ref } from "../../units.js";
import { PG_WRITEBACK } from "../design/word/axis-flags.js";
import type { Base } from "./base.js";
import { VM_SHARED } from "./constants.js";
import { ptePfn, PTE_DIRTY, PTE_THERE, PTE_WRITE } from "./entry.js";
import { MMU_NOTIFY_PROTECTION_PAGE } from "./notifier/events.js";
import { pteAt } from "./page-tables.js";

const NONE = 0 as Ref;

/**
 * page_mkwrite: waits for the folio's lock and for its writeback, and makes it
 * dirty. It is locked afterwards; false, and not locked, where it was truncated
 * meanwhile.
 */
export function pageMkWrite({ folios }: Base, mapping: Ref, folio: Ref): boolean {
  folios.lock(folio);
  if (folios.mapping(folio) !== mapping) {
    folios.unlock(folio);
    return false;
  }
  folios.waitClear(folio, PG_WRITEBACK);
  folios.markDirty(folio);
  return true;
}

/** folio_mkclean of a locked folio of a file: whether any entry was dirty or writable. */
export function mkClean(base: Base, folio: Ref, order: number): boolean {
  if (base.counts.total(folio, order) === 0) return false;
  const pfn = base.core.pfnOf(folio);
  const first = base.folios.index(folio);
  let cleaned = false;
  base.rmap.walkRange(folio, first, 1 << order, (vma, mm, vpn, i, n) => {
    if ((base.vmas.flags(vma) & VM_SHARED) !== 0 && mkCleanVma(base, mm, vpn, pfn + i, n))
      cleaned = true;
    return true;
  });
  return cleaned;
}

/** page_mkclean_one: the pages that one VMA may map, of which it is told. */
function mkCleanVma(base: Base, mm: Ref, vpn: number, pfn: number, n: number): boolean {
  const { notifiers } = base;
  if (notifiers.any !== 0) notifiers.start(mm, vpn, vpn + n, MMU_NOTIFY_PROTECTION_PAGE);
  let cleaned = false;
  for (let k = 0; k < n; k++) if (protect(base, mm, vpn + k, pfn + k)) cleaned = true;
  if (notifiers.any !== 0) notifiers.end(mm, vpn, vpn + n);
  return cleaned;
}

/** page_vma_mkclean_one: the entry for one page, where it maps that frame. */
function protect({ w, tables }: Base, mm: Ref, vpn: number, pfn: number): boolean {
  const table = tables.pteTable(mm, vpn);
  if (table === NONE) return false;
  const desc = tables.lock(table);
  const lo = w.load64(table, pteAt(vpn));
  const hi = w.hi;
  const maps = (lo & PTE_THERE) !== 0 && ptePfn(lo, hi) === pfn;
  const used = maps && (lo & (PTE_DIRTY | PTE_WRITE)) !== 0;
  if (used) w.store64(table, pteAt(vpn), lo & ~(PTE_DIRTY | PTE_WRITE), hi);
  tables.unlock(desc);
  return used;
}
