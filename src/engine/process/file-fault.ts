/**
 * Faults on file mappings: pages of the cache mapped in batches around the
 * fault, private copies for writes, shared pages written in place.
 *
 * Source: mm/memory.c of 6.18 (do_read_fault, do_fault_around, do_cow_fault,
 * do_shared_fault, finish_fault), mm/filemap.c (filemap_map_pages,
 * filemap_fault).
 */
import type { Ref } from "../../units.js";
import { MM_MEMCG, MM_RSS_ANON } from "../layout/generated/offsets.js";
import { PG_LOCKED, PG_RECLAIM, PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_ANON } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import {
  FAULT_OOM,
  FAULT_SIGBUS,
  PMD_PAGES,
  VM_HUGEPAGE,
  VM_RAND_READ,
  VM_SHARED,
  VM_WRITE,
} from "./constants.js";
import { pteHigh, pteLow, PTE_DIRTY, PTE_WRITE } from "./entry.js";
import { KIND_DISK, type Files } from "./files.js";
import { pteAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";

const NONE = 0 as Ref;

export class FileFaults {
  readonly base: Base;
  readonly files: Files;

  constructor(base: Base, files: Files) {
    this.base = base;
    this.files = files;
  }

  /** do_fault: the entry is empty. */
  missing(vma: Ref, mm: Ref, table: Ref, vpn: number, write: boolean): number {
    const { w, vmas, rmap, policy } = this.base;
    const mapping = vmas.mapping(vma);
    // A driver's mapping without a file maps all its pages at once: nothing can be missing.
    if (mapping === NONE) return FAULT_SIGBUS;
    if (!write && policy.faultAroundPages > 1) {
      this.#mapAround(vma, mm, mapping, table, vpn);
      if ((w.load64(table, pteAt(vpn)) | w.hi) !== 0) return 0;
    }
    const index = rmap.index(vma, vpn);
    const inode = this.files.inodeOf(mapping);
    if (this.isBeyond(vma, vpn)) return this.beyond(vma, write);
    const memcg = w.load32(mm, MM_MEMCG) as Ref;
    const flags = vmas.flags(vma);
    const huge = (flags & VM_HUGEPAGE) !== 0;
    if (this.base.cache.lookup(mapping, index) === NONE && (huge || (flags & VM_RAND_READ) === 0))
      this.files.readAround(mapping, index, memcg, huge);
    const folio = this.files.getFolio(mapping, index, memcg);
    if (folio < 0) return FAULT_OOM;
    const pfn = this.files.frameIn(folio as Ref, index);
    const result =
      write && (flags & VM_SHARED) === 0
        ? this.#copy(vma, mm, table, vpn, pfn, memcg)
        : this.#map(vma, mm, table, vpn, folio as Ref, pfn, write, inode);
    this.base.folios.put(folio as Ref);
    return result;
  }

  /**
   * Whether a page lies behind the end of the file that its VMA maps; with
   * `around`, whether all that a read would map with it does too.
   */
  isBeyond(vma: Ref, vpn: number, around = false): boolean {
    const { vmas, rmap, policy } = this.base;
    const inode = this.files.inodeOf(vmas.mapping(vma));
    const first = around ? vpn & -policy.faultAroundPages : vpn;
    return rmap.index(vma, Math.max(first, vmas.tree.start(vma))) >= this.files.pages(inode);
  }

  /** SIGBUS; a private write has got its anon_vma by then (do_cow_fault). */
  beyond(vma: Ref, write: boolean): number {
    const { vmas, anonVmas } = this.base;
    const copies = write && (vmas.flags(vma) & VM_SHARED) === 0;
    if (copies && anonVmas.of(vma) === NONE) anonVmas.prepare(vma, vmas.nearAnonVma(vma));
    return FAULT_SIGBUS;
  }

  /** do_fault_around: cached pages of the 64 KiB around, within the VMA and the table. */
  #mapAround(vma: Ref, mm: Ref, mapping: Ref, table: Ref, vpn: number): void {
    const { w, vmas, cache, folios, core, tables, counts, policy } = this.base;
    const around = policy.faultAroundPages;
    const place = vpn & (PMD_PAGES - 1);
    const before = vpn - vmas.tree.start(vma);
    const from = Math.max(place & -around, place - before);
    const to = Math.min(from + around, PMD_PAGES, place + vmas.tree.end(vma) - vpn);
    const inode = this.files.inodeOf(mapping);
    const size = this.files.pages(inode);
    const flags = vmas.flags(vma);
    const rights = pteRights(flags, this.notifies(inode));
    const nx = pteNx(flags);
    const mmId = counts.mmId(vma);
    const first = this.base.rmap.index(vma, vpn) - place;
    const desc = tables.lock(table);
    for (let i = from; i < to; i++) {
      const index = first + i;
      if (index >= size) break;
      if ((w.load64(table, i << 3) | w.hi) !== 0) continue;
      const folio = cache.lookup(mapping, index);
      if (folio === NONE) continue;
      const is = folios.flags(folio);
      // Bit 16 is readahead here: the fault itself is to see it.
      if ((is & (PG_LOCKED | PG_RECLAIM)) !== 0 || (is & PG_UPTODATE) === 0) continue;
      const pfn = this.files.frameIn(folio, index);
      if (core.design.isPoisoned(pfn)) continue;
      folios.get(folio);
      counts.addPtes(folio, pfn, core.design.orderOf(pfn), 1, mmId);
      w.add32(mm, this.base.zap.rssOf(folio), 1);
      w.store64(table, i << 3, pteLow(pfn, rights), pteHigh(pfn) | nx);
    }
    tables.unlock(desc);
  }

  /** Whether a file wants to hear of the first write to each page: disks do, memory does not. */
  notifies(inode: Ref): boolean {
    return this.files.kind(inode) === KIND_DISK;
  }

  /** finish_fault: the page itself is mapped. */
  #map(
    vma: Ref,
    mm: Ref,
    table: Ref,
    vpn: number,
    folio: Ref,
    pfn: number,
    write: boolean,
    inode: Ref,
  ): number {
    const { w, vmas, folios, core, tables, counts, zap } = this.base;
    const flags = vmas.flags(vma);
    let bits = pteRights(flags, this.notifies(inode));
    if (write) {
      folios.markDirty(folio);
      bits |= PTE_DIRTY | ((flags & VM_WRITE) !== 0 ? PTE_WRITE : 0);
    }
    const off = pteAt(vpn);
    const desc = tables.lock(table);
    if ((w.load64(table, off) | w.hi) === 0) {
      folios.get(folio);
      counts.addPtes(folio, pfn, core.design.orderOf(pfn), 1, counts.mmId(vma));
      w.add32(mm, zap.rssOf(folio), 1);
      w.store64(table, off, pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
    }
    tables.unlock(desc);
    return 0;
  }

  /** do_cow_fault: a write to a private mapping gets a copy at once. */
  #copy(vma: Ref, mm: Ref, table: Ref, vpn: number, from: number, memcg: Ref): number {
    const { w, vmas, folios, core, tables, rmap, anonVmas } = this.base;
    if (anonVmas.of(vma) === NONE && anonVmas.prepare(vma, vmas.nearAnonVma(vma)) !== 0)
      return FAULT_OOM;
    const pfn = folios.alloc(0, T_ANON, memcg);
    if (pfn < 0) return FAULT_OOM;
    core.content.copy(from, pfn);
    const folio = core.design.descriptorOf(pfn);
    folios.mark(folio, PG_UPTODATE | PG_SWAPBACKED);
    const off = pteAt(vpn);
    const desc = tables.lock(table);
    const empty = (w.load64(table, off) | w.hi) === 0;
    if (empty) {
      rmap.newAnon(folio, pfn, 0, vma, vpn, false);
      folios.lruAdd(folio, 0);
      w.add32(mm, MM_RSS_ANON, 1);
      const flags = vmas.flags(vma);
      const bits = pteRights(flags, false) | PTE_DIRTY | ((flags & VM_WRITE) !== 0 ? PTE_WRITE : 0);
      w.store64(table, off, pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
    }
    tables.unlock(desc);
    if (!empty) folios.put(folio);
    return 0;
  }
}
