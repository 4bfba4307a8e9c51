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
  VM_RAND_READ,
  VM_SHARED,
  VM_WRITE,
} from "./constants.js";
import { pteHigh, pteLow, PTE_DIRTY, PTE_WRITE } from "./entry.js";
import { KIND_DISK, type Files } from "./files.js";
import { pteAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";
import { Readahead } from "./readahead.js";
import { pageMkWrite } from "./write-notify.js";

const NONE = 0 as Ref;

export class FileFaults {
  readonly base: Base;
  readonly files: Files;
  readonly #readahead: Readahead;

  constructor(base: Base, files: Files) {
    this.base = base;
    this.files = files;
    this.#readahead = new Readahead(files);
  }

  /** do_fault: the entry is empty. `fresh`: its table was made for this fault. */
  missing(vma: Ref, mm: Ref, table: Ref, vpn: number, write: boolean, fresh = false): number {
    const { w, vmas, rmap } = this.base;
    const mapping = vmas.mapping(vma);
    // A driver's mapping without a file maps all its pages at once: nothing can be missing.
    if (mapping === NONE) return FAULT_SIGBUS;
    const index = rmap.index(vma, vpn);
    const inode = this.files.inodeOf(mapping);
    const memcg = w.load32(mm, MM_MEMCG) as Ref;
    // The fault that has read a page is done again, and looks around once more.
    for (let again = false, bare = fresh; ; again = true) {
      if (!write) {
        bare = this.#mapAround(vma, mm, mapping, table, vpn, bare);
        if ((w.load64(table, pteAt(vpn)) | w.hi) !== 0) return 0;
      }
      if (this.isBeyond(vma, vpn)) return this.beyond(vma, write);
      if (again || !this.#read(vma, mapping, index, memcg)) break;
    }
    const folio = this.files.getFolio(mapping, index, memcg);
    if (folio < 0) return FAULT_OOM;
    const pfn = this.files.frameIn(folio as Ref, index);
    const result =
      write && (vmas.flags(vma) & VM_SHARED) === 0
        ? this.#copy(vma, mm, table, vpn, pfn, memcg)
        : this.#map(vma, mm, table, vpn, folio as Ref, pfn, write, inode);
    this.base.folios.put(folio as Ref);
    return result;
  }

  /** filemap_fault: a page of a disk's file is read, with others; false where it need not be, or there is no memory. */
  #read(vma: Ref, mapping: Ref, index: number, memcg: Ref): boolean {
    const { cache, folios, vmas, policy } = this.base;
    if (this.files.kind(this.files.inodeOf(mapping)) !== KIND_DISK) return false;
    const there = cache.lookup(mapping, index);
    if (there !== NONE && folios.test(there, PG_UPTODATE)) {
      const marked = folios.test(there, PG_RECLAIM);
      if (!marked || (vmas.flags(vma) & VM_RAND_READ) !== 0) return false;
      this.#readahead.onMark(mapping, there, index, policy.readaheadPages, memcg);
      return true;
    }
    if (there === NONE) this.#readahead.onFault(vma, mapping, index, memcg);
    const folio = this.files.getFolio(mapping, index, memcg);
    if (folio < 0) return false;
    folios.put(folio as Ref);
    return true;
  }

  /**
   * Whether a page lies behind the end of the file that its VMA maps; with
   * `around`, whether no table is made for what a read would map with it either.
   */
  isBeyond(vma: Ref, vpn: number, around = false): boolean {
    const { vmas, rmap } = this.base;
    const mapping = vmas.mapping(vma);
    const pages = this.files.pages(this.files.inodeOf(mapping));
    if (rmap.index(vma, vpn) < pages) return false;
    if (!around) return true;
    const { from, to } = this.#window(vma, vpn);
    const shift = rmap.index(vma, vpn) - vpn;
    return this.#firstAround(mapping, from + shift, Math.min(to + shift, pages), true) === NONE;
  }

  /** do_fault_around: pages that a read maps with `vpn`, within the VMA and the table. */
  #window(vma: Ref, vpn: number): { readonly from: number; readonly to: number } {
    const { vmas, policy } = this.base;
    const around = policy.faultAroundPages;
    if (around <= 1) return { from: vpn, to: vpn };
    const from = Math.max(vpn & -around, vmas.tree.start(vma));
    const to = Math.min(from + around, (vpn & -PMD_PAGES) + PMD_PAGES, vmas.tree.end(vma));
    return { from, to };
  }

  /**
   * next_uptodate_folio: the first folio with pages `index` … before `end` that can
   * be mapped; 0 for none. Where there is no table yet (`bare`), one is made for it
   * unless it is a disk's last one (filemap_map_pages: no huge page may lie across
   * the end of a file), and then it is not mapped around either.
   */
  #firstAround(mapping: Ref, index: number, end: number, bare: boolean): Ref {
    const { cache, folios, core } = this.base;
    for (let at = index; at < end;) {
      const folio = cache.next(mapping, at, end);
      if (folio === NONE) return NONE;
      const next = folios.index(folio) + (1 << core.design.orderOf(core.pfnOf(folio)));
      at = next;
      if (!this.#mappable(folio)) continue;
      const inode = this.files.inodeOf(mapping);
      const last = next >= this.files.pages(inode);
      return bare && last && this.files.kind(inode) === KIND_DISK ? NONE : folio;
    }
    return NONE;
  }

  /** Read, in nobody's hands, and not the one that starts the next readahead (bit 16, as PG_reclaim). */
  #mappable(folio: Ref): boolean {
    return (this.base.folios.flags(folio) & (PG_LOCKED | PG_RECLAIM | PG_UPTODATE)) === PG_UPTODATE;
  }

  /** SIGBUS; a private write has got its anon_vma by then (do_cow_fault). */
  beyond(vma: Ref, write: boolean): number {
    const { vmas, anonVmas } = this.base;
    const copies = write && (vmas.flags(vma) & VM_SHARED) === 0;
    if (copies && anonVmas.of(vma) === NONE) anonVmas.prepare(vma, vmas.nearAnonVma(vma));
    return FAULT_SIGBUS;
  }

  /** do_fault_around: cached pages around `vpn`. Whether the table is still as if it were not there. */
  #mapAround(vma: Ref, mm: Ref, mapping: Ref, table: Ref, vpn: number, bare: boolean): boolean {
    const { w, rmap, cache, folios, core, tables, policy } = this.base;
    const { from, to } = this.#window(vma, vpn);
    const inode = this.files.inodeOf(mapping);
    const shift = rmap.index(vma, vpn) - vpn;
    const end = Math.min(to, this.files.pages(inode) - shift);
    if (bare && this.#firstAround(mapping, from + shift, end + shift, bare) === NONE) return true;
    const large = policy.largeFolios || policy.fileFolioOrder > 0;
    const desc = tables.lock(table);
    for (let at = from; at < end;) {
      const used = (w.load64(table, pteAt(at)) | w.hi) !== 0;
      const folio = used && !large ? NONE : cache.lookup(mapping, at + shift);
      if (folio === NONE) {
        at++;
        continue;
      }
      const order = large ? core.design.orderOf(core.pfnOf(folio)) : 0;
      const first = folios.index(folio) - shift;
      const next = first + (1 << order);
      if (this.#mappable(folio)) {
        const whole = order > 0 && this.#within(vma, first, order, inode, 1);
        this.#mapPart(
          vma,
          mm,
          table,
          folio,
          shift,
          whole ? first : at,
          whole ? next : Math.min(end, next),
        );
      }
      at = next;
    }
    tables.unlock(desc);
    return false;
  }

  /** set_pte_range: pages of one folio, where no entry is used yet. The table is locked. */
  #mapPart(
    vma: Ref,
    mm: Ref,
    table: Ref,
    folio: Ref,
    shift: number,
    from: number,
    to: number,
  ): void {
    const { w, vmas, folios, core, counts, zap } = this.base;
    const flags = vmas.flags(vma);
    const rights = pteRights(flags, this.notifies(this.files.inodeOf(vmas.mapping(vma))));
    const nx = pteNx(flags);
    for (let at = from; at < to; at++) {
      const off = pteAt(at);
      if ((w.load64(table, off) | w.hi) !== 0) continue;
      const pfn = this.files.frameIn(folio, at + shift);
      if (core.design.isPoisoned(pfn)) continue;
      folios.get(folio);
      counts.addPtes(folio, pfn, core.design.orderOf(pfn), 1, counts.mmId(vma));
      w.add32(mm, zap.rssOf(folio), 1);
      w.store64(table, off, pteLow(pfn, rights), pteHigh(pfn) | nx);
    }
  }

  /**
   * Whether a large folio's pages, from `first` on, all lie in the VMA, in one
   * table and, of a disk's file, `more` pages before its end.
   */
  #within(vma: Ref, first: number, order: number, inode: Ref, more: number): boolean {
    const { vmas, rmap } = this.base;
    const next = first + (1 << order);
    if (first < vmas.tree.start(vma) || next > vmas.tree.end(vma)) return false;
    if (first >> 9 !== (next - 1) >> 9) return false;
    return !this.notifies(inode) || rmap.index(vma, next) + more <= this.files.pages(inode);
  }

  /** Whether a file wants to hear of the first write to each page: disks do, memory does not. */
  notifies(inode: Ref): boolean {
    return this.files.kind(inode) === KIND_DISK;
  }

  /** finish_fault: the page itself is mapped, or the whole of its folio where that fits. */
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
    const notifies = this.notifies(inode);
    let bits = pteRights(flags, notifies);
    if (write) {
      // do_page_mkwrite; a folio that was truncated meanwhile is looked up again.
      if (!notifies) folios.markDirty(folio);
      else if (!pageMkWrite(this.base, vmas.mapping(vma), folio)) return 0;
      bits |= PTE_DIRTY | ((flags & VM_WRITE) !== 0 ? PTE_WRITE : 0);
    }
    const desc = tables.lock(table);
    const order = core.design.orderOf(pfn);
    const whole = order > 0 && this.#fitsWhole(vma, table, vpn, folio, order, inode);
    const head = core.pfnOf(folio);
    const first = whole ? vpn + head - pfn : vpn;
    const from = whole ? head : pfn;
    const n = whole ? 1 << order : 1;
    if ((w.load64(table, pteAt(vpn)) | w.hi) === 0) {
      folios.get(folio, n);
      counts.addPtes(folio, from, order, n, counts.mmId(vma));
      w.add32(mm, zap.rssOf(folio), n);
      for (let i = 0; i < n; i++)
        w.store64(
          table,
          pteAt(first + i),
          pteLow(from + i, bits),
          pteHigh(from + i) | pteNx(flags),
        );
    }
    tables.unlock(desc);
    if (write && notifies) folios.unlock(folio);
    return 0;
  }

  /** Whether all of a large folio is to be mapped with page `vpn`: within bounds, and no entry used. */
  #fitsWhole(vma: Ref, table: Ref, vpn: number, folio: Ref, order: number, inode: Ref): boolean {
    const { w, rmap, folios } = this.base;
    const first = vpn - rmap.index(vma, vpn) + folios.index(folio);
    if (!this.#within(vma, first, order, inode, 0)) return false;
    for (let i = 0; i < 1 << order; i++)
      if ((w.load64(table, pteAt(first + i)) | w.hi) !== 0) return false;
    return true;
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
