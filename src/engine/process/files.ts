/**
 * Files: inodes with their page cache, reading, writing, truncation, writeback.
 *
 * Two kinds: files of a disk, whose pages are read from and written back to a
 * store, and files of memory (tmpfs, shared anonymous memory), whose pages are
 * all there is of them. The store stands for the disk and is no part of the
 * machine's memory.
 *
 * Source: mm/filemap.c, mm/shmem.c, mm/truncate.c of 6.18. Simplified: reading
 * and writing a disk is one step, no file system metadata, no dirty throttling.
 */
import { PAGE_SIZE, type Ref } from "../../units.js";
import {
  ADDRESS_SPACE_I_MMAP,
  FILE_F_INODE,
  FILE_F_REF,
  INODE_HOST,
  INODE_I_COUNT,
  INODE_I_INO,
  INODE_I_KIND,
  INODE_I_PRIVATE,
  INODE_I_SIZE,
  VMA_SHARED_NEXT,
} from "../layout/generated/offsets.js";
import { PG_DIRTY, PG_SWAPBACKED, PG_UPTODATE, PG_WRITEBACK } from "../design/word/axis-flags.js";
import { T_FILE } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import { ENOMEM, PMD_PAGES } from "./constants.js";
import { S_INODES } from "./core.js";
import { O_FILE, O_INODE } from "./objects.js";

export const KIND_DISK = 0;
export const KIND_TMPFS = 1;
export const KIND_HUGETLB = 2;
/** A driver's: no pages of its own, what is mapped is the driver's business. */
export const KIND_DEVICE = 3;
export type FileKind =
  | typeof KIND_DISK
  | typeof KIND_TMPFS
  | typeof KIND_HUGETLB
  | typeof KIND_DEVICE;

const NONE = 0 as Ref;

export class Files {
  readonly base: Base;
  /** The disk: what each page of each file holds. */
  readonly #disk = new Map<number, Map<number, Uint8Array>>();
  /** Takes back promises of the hugetlb pool. Set by that layer. */
  releasePromises: (pages: number) => void = () => {};
  /** Splits a locked folio that truncation cuts; false where it cannot. Set by the split layer. */
  splitFolio: (folio: Ref) => boolean = () => false;

  constructor(base: Base) {
    this.base = base;
    base.vmas.releaseInode = (inode) => this.#evict(inode);
  }

  /** A new inode that one directory entry holds; 0 without memory. */
  create(kind: FileKind, size: number): Ref {
    const { core, w } = this.base;
    const inode = core.newObject(O_INODE);
    if (inode === NONE) return inode;
    w.store32(inode, INODE_I_KIND, kind);
    w.store32(inode, INODE_I_COUNT, 1);
    w.store32(inode, INODE_I_INO, w.add32(core.state, S_INODES, 1));
    core.setPointer(inode, INODE_HOST, inode);
    this.#setSize(inode, size);
    return inode;
  }

  /** An open file on an inode, with one reference; 0 without memory. */
  open(inode: Ref): Ref {
    const { core, w } = this.base;
    const file = core.newObject(O_FILE);
    if (file === NONE) return file;
    core.setPointer(file, FILE_F_INODE, inode);
    w.store32(file, FILE_F_REF, 1);
    w.add32(inode, INODE_I_COUNT, 1);
    return file;
  }

  /** unlink, or the end of what kept an inode: it goes with its last user. */
  iput(inode: Ref): void {
    if (this.base.w.add32(inode, INODE_I_COUNT, -1) === 0) this.#evict(inode);
  }

  #evict(inode: Ref): void {
    if (this.kind(inode) === KIND_HUGETLB) this.releasePromises(this.promised(inode));
    this.#dropPages(inode, 0);
    this.#disk.delete(this.#number(inode));
    this.base.core.freeObject(O_INODE, inode);
  }

  #number(inode: Ref): number {
    return this.base.w.load32(inode, INODE_I_INO);
  }

  /** Huge pages that a hugetlb file was promised and has not taken. */
  promised(inode: Ref): number {
    return this.base.w.load32(inode, INODE_I_PRIVATE);
  }

  promise(inode: Ref, pages: number): void {
    this.base.w.add32(inode, INODE_I_PRIVATE, pages);
  }

  inodeOf(mapping: Ref): Ref {
    return (mapping - INODE_HOST / 16) as Ref;
  }

  mappingOf(inode: Ref): Ref {
    return (inode + INODE_HOST / 16) as Ref;
  }

  kind(inode: Ref): number {
    return this.base.w.load32(inode, INODE_I_KIND);
  }

  /** Bytes. */
  size(inode: Ref): number {
    const lo = this.base.w.load64(inode, INODE_I_SIZE);
    return this.base.w.hi * 2 ** 32 + (lo >>> 0);
  }

  #setSize(inode: Ref, size: number): void {
    this.base.w.store64(inode, INODE_I_SIZE, size | 0, Math.floor(size / 2 ** 32));
  }

  /** Pages that the file has, the last one perhaps in part. */
  pages(inode: Ref): number {
    return Math.ceil(this.size(inode) / PAGE_SIZE);
  }

  /**
   * The folio with page `index`, uptodate and with a reference; ENOMEM as a
   * number below zero. `memcg` pays for what has to be made.
   */
  getFolio(mapping: Ref, index: number, memcg: Ref): Ref | number {
    const { cache, folios } = this.base;
    const there = cache.lookup(mapping, index);
    if (there !== NONE) {
      folios.get(there);
      return there;
    }
    return this.#readFolio(mapping, index, memcg);
  }

  #readFolio(mapping: Ref, index: number, memcg: Ref): Ref | number {
    const { cache, folios, core, policy } = this.base;
    const inode = this.inodeOf(mapping);
    const tmpfs = this.kind(inode) !== KIND_DISK;
    let order = policy.fileFolioOrder;
    while (order > 0 && !this.#fits(mapping, index, order)) order--;
    let pfn = folios.alloc(order, T_FILE, memcg);
    if (pfn < 0 && order > 0) pfn = folios.alloc((order = 0), T_FILE, memcg);
    if (pfn < 0) return pfn;
    const first = index & (-1 << order);
    const folio = core.design.descriptorOf(pfn);
    folios.tryLock(folio);
    if (tmpfs) folios.set(folio, PG_SWAPBACKED);
    if (cache.add(mapping, first, folio, order) !== 0) {
      folios.unlock(folio);
      folios.put(folio);
      return ENOMEM;
    }
    if (!tmpfs) this.#fill(inode, first, pfn, order);
    folios.set(folio, PG_UPTODATE);
    folios.lruAdd(folio, order);
    folios.unlock(folio);
    return folio;
  }

  /** Whether a folio of that order over `index` would hold pages of the file only, none of them cached. */
  #fits(mapping: Ref, index: number, order: number): boolean {
    const first = index & (-1 << order);
    const end = first + (1 << order);
    if (end > this.pages(this.inodeOf(mapping))) return false;
    return this.base.cache.next(mapping, first, end) === NONE;
  }

  #fill(inode: Ref, first: number, pfn: number, order: number): void {
    const pages = this.#disk.get(this.#number(inode));
    if (pages === undefined) return;
    for (let i = 0; i < 1 << order; i++) {
      const page = pages.get(first + i);
      if (page !== undefined) this.base.core.content.write(pfn + i, 0, page);
    }
  }

  /** Readahead: pages around one that is missing come into the cache. */
  readAround(mapping: Ref, index: number, memcg: Ref, huge: boolean): void {
    const inode = this.inodeOf(mapping);
    if (this.kind(inode) !== KIND_DISK) return;
    // VM_HUGEPAGE reads a whole huge page's worth, whatever readahead is set to.
    const window = huge ? PMD_PAGES : this.base.policy.readaheadPages;
    const start = huge ? index & -PMD_PAGES : Math.max(0, index - (window >> 1));
    const end = Math.min(this.pages(inode), start + window);
    for (let i = start; i < end; i++) {
      if (this.base.cache.lookup(mapping, i) !== NONE) continue;
      const got = this.#readFolio(mapping, i, memcg);
      if (got < 0) return;
      this.base.folios.put(got as Ref);
    }
  }

  /** pread: what is past the end is not read. */
  read(inode: Ref, offset: number, length: number, memcg: Ref): Uint8Array | number {
    const end = Math.min(offset + length, this.size(inode));
    const out = new Uint8Array(Math.max(0, end - offset));
    if (length === 0 && offset % PAGE_SIZE === 0) this.#readNothing(inode, offset);
    for (let at = offset; at < end;) {
      const index = Math.floor(at / PAGE_SIZE);
      const from = at % PAGE_SIZE;
      const n = Math.min(PAGE_SIZE - from, end - at);
      const mapping = this.mappingOf(inode);
      // A hole of memory's own files is read without a page for it.
      if (this.kind(inode) !== KIND_DISK && this.base.cache.lookup(mapping, index) === NONE) {
        at += n;
        continue;
      }
      const folio = this.getFolio(mapping, index, memcg);
      if (folio < 0) return folio;
      const pfn = this.frameIn(folio as Ref, index);
      this.base.core.content.read(pfn, from, out.subarray(at - offset, at - offset + n));
      if (this.#marks(inode, at, from)) this.base.folios.markAccessed(folio as Ref);
      this.base.folios.put(folio as Ref);
      at += n;
    }
    return out;
  }

  /** A read of no bytes looks at its page all the same, in memory's own files. */
  #readNothing(inode: Ref, offset: number): void {
    const { cache, folios } = this.base;
    if (this.kind(inode) === KIND_DISK || offset >= this.size(inode)) return;
    const folio = cache.lookup(this.mappingOf(inode), offset / PAGE_SIZE);
    if (folio !== NONE) folios.markAccessed(folio);
  }

  /**
   * Whether a read marks its page as used: memory's own files when it starts at
   * the page's beginning, disks when the read before ended elsewhere
   * (filemap_read; kept per inode, the kernel has it per open file).
   */
  #marks(inode: Ref, at: number, from: number): boolean {
    if (this.kind(inode) !== KIND_DISK) return from === 0;
    const { w } = this.base;
    const page = Math.floor(at / PAGE_SIZE) + 1;
    const before = w.load32(inode, INODE_I_PRIVATE);
    w.store32(inode, INODE_I_PRIVATE, page);
    return before !== page;
  }

  /** pwrite: the file grows where needed. 0, or an errno with a part written. */
  write(inode: Ref, offset: number, bytes: Uint8Array, memcg: Ref): number {
    const { folios, core, cache } = this.base;
    const end = offset + bytes.length;
    const old = this.size(inode);
    const tail = Math.min(offset, Math.ceil(old / PAGE_SIZE) * PAGE_SIZE);
    if (offset > old && this.kind(inode) === KIND_DISK) this.#zero(inode, old, tail);
    for (let at = offset; at < end;) {
      const index = Math.floor(at / PAGE_SIZE);
      const from = at % PAGE_SIZE;
      const n = Math.min(PAGE_SIZE - from, end - at);
      const was = this.size(inode);
      if (was < at + n) this.#setSize(inode, at + n);
      const fresh = cache.lookup(this.mappingOf(inode), index) === NONE;
      const folio = this.getFolio(this.mappingOf(inode), index, memcg);
      if (folio < 0) {
        this.#setSize(inode, was);
        return folio;
      }
      const pfn = this.frameIn(folio as Ref, index);
      core.content.write(pfn, from, bytes.subarray(at - offset, at - offset + n));
      core.watch?.wrote(pfn);
      // A disk's page that starts with a part of it is looked at first (seen on 6.18 with ext4).
      if (this.kind(inode) !== KIND_DISK || (fresh && from > 0)) folios.markAccessed(folio as Ref);
      folios.markDirty(folio as Ref);
      folios.put(folio as Ref);
      at += n;
    }
    return 0;
  }

  /** Frame of page `index` in its folio. */
  frameIn(folio: Ref, index: number): number {
    return this.base.core.pfnOf(folio) + index - this.base.folios.index(folio);
  }

  /** Writes every dirty page of a disk's file back. */
  sync(inode: Ref): void {
    const { cache, folios, core } = this.base;
    if (this.kind(inode) !== KIND_DISK) return;
    const mapping = this.mappingOf(inode);
    for (let index = 0; ;) {
      const folio = cache.next(mapping, index, 2 ** 31 - 1);
      if (folio === NONE) return;
      const order = core.design.orderOf(core.pfnOf(folio));
      if (folios.test(folio, PG_DIRTY)) this.writeBack(inode, folio, order);
      index = folios.index(folio) + (1 << order);
    }
  }

  /** One folio to the disk; its writable mappings hear of the next write again. */
  writeBack(inode: Ref, folio: Ref, order: number): void {
    const { folios, core } = this.base;
    folios.lock(folio);
    folios.clear(folio, PG_DIRTY);
    folios.set(folio, PG_WRITEBACK);
    const number = this.#number(inode);
    const pages = this.#disk.get(number) ?? new Map<number, Uint8Array>();
    this.#disk.set(number, pages);
    const first = folios.index(folio);
    for (let i = 0; i < 1 << order; i++) {
      const page = new Uint8Array(PAGE_SIZE);
      core.content.read(core.pfnOf(folio) + i, 0, page);
      pages.set(first + i, page);
    }
    folios.clear(folio, PG_WRITEBACK);
    folios.unlock(folio);
  }

  /** ftruncate: what is beyond goes from every process and from the cache. */
  truncate(inode: Ref, size: number): void {
    const old = this.size(inode);
    // What the old end left of its page must read as zeroes once it is inside.
    const rest = Math.min(size, Math.ceil(old / PAGE_SIZE) * PAGE_SIZE);
    if (size > old && this.kind(inode) === KIND_DISK) this.#zero(inode, old, rest);
    this.#setSize(inode, size);
    if (size >= old) return;
    const mapping = this.mappingOf(inode);
    const first = Math.ceil(size / PAGE_SIZE);
    this.unmap(mapping, first, 2 ** 31 - 1, false);
    if (size % PAGE_SIZE !== 0) this.#zero(inode, size, first * PAGE_SIZE);
    this.#dropPages(inode, first);
    // Faults that raced with it have mapped pages again that are gone now.
    this.unmap(mapping, first, 2 ** 31 - 1, false);
  }

  /** fallocate(PUNCH_HOLE): whole pages go, the ends are zeroed. */
  punchHole(inode: Ref, offset: number, length: number): void {
    if (this.kind(inode) === KIND_DISK && offset >= this.size(inode)) return;
    // A hole that goes on behind the end of a disk's file takes its last page whole.
    const size = this.size(inode);
    const past = this.kind(inode) === KIND_DISK && offset + length > size;
    const to = past ? Infinity : offset + length;
    const end = Math.min(to, this.pages(inode) * PAGE_SIZE);
    const first = Math.ceil(offset / PAGE_SIZE);
    const last = Math.floor(end / PAGE_SIZE);
    const mapping = this.mappingOf(inode);
    this.#zero(inode, offset, Math.min(end, first * PAGE_SIZE));
    if (last >= first) this.#zero(inode, last * PAGE_SIZE, end);
    if (first >= last) return;
    this.unmap(mapping, first, last, true);
    this.#dropRange(inode, first, last);
  }

  /** unmap_mapping_pages: from every VMA that maps the file; private copies too unless they are kept. */
  unmap(mapping: Ref, first: number, end: number, keepAnon: boolean): void {
    const { core, vmas, zap, counts } = this.base;
    for (
      let vma = core.pointer(mapping, ADDRESS_SPACE_I_MMAP);
      vma !== NONE;
      vma = core.pointer(vma, VMA_SHARED_NEXT)
    ) {
      const start = vmas.tree.start(vma);
      const pgoff = vmas.pgoff(vma);
      const from = Math.max(start, start + first - pgoff);
      const to = Math.min(vmas.tree.end(vma), start + end - pgoff);
      if (from < to) zap.range(vma, vmas.mm(vma), counts.mmId(vma), from, to, keepAnon);
    }
  }

  /**
   * Bytes of one page read as zeroes from now on: what is left of a page that a
   * hole or the new end cuts. A disk's page is read for it.
   */
  #zero(inode: Ref, from: number, to: number): void {
    if (from >= to) return;
    const { core, cache, folios } = this.base;
    const index = Math.floor(from / PAGE_SIZE);
    const mapping = this.mappingOf(inode);
    const disk = this.kind(inode) === KIND_DISK;
    const stored = this.#disk.get(this.#number(inode))?.get(index);
    const cached = cache.lookup(mapping, index);
    // What is a hole on the disk, and was not written since, is zeroes already.
    if (disk && stored === undefined && (cached === NONE || !folios.test(cached, PG_DIRTY))) return;
    const got = cached !== NONE || stored !== undefined;
    const folio = got ? this.getFolio(mapping, index, NONE) : 0;
    if (folio > 0) {
      const pfn = this.frameIn(folio as Ref, index);
      core.content.write(pfn, from % PAGE_SIZE, new Uint8Array(to - from));
      core.watch?.wrote(pfn);
      if (disk) folios.markAccessed(folio as Ref);
      folios.markDirty(folio as Ref);
      folios.put(folio as Ref);
    } else stored?.fill(0, from % PAGE_SIZE, (from % PAGE_SIZE) + to - from);
  }

  #dropPages(inode: Ref, first: number): void {
    this.#dropRange(inode, first, 2 ** 31 - 1);
    const pages = this.#disk.get(this.#number(inode));
    for (const index of pages?.keys() ?? []) if (index >= first) pages?.delete(index);
  }

  /** truncate_inode_pages_range */
  #dropRange(inode: Ref, first: number, end: number): void {
    const { cache, folios, core } = this.base;
    const mapping = this.mappingOf(inode);
    for (let index = first; index < end;) {
      const folio = cache.next(mapping, index, end);
      if (folio === NONE) break;
      const order = core.design.orderOf(core.pfnOf(folio));
      const at = folios.index(folio);
      if (at < first || at + (1 << order) > end) {
        // Cut in the middle: split it and go on with the parts, or zero what goes.
        const head = core.pfnOf(folio);
        folios.get(folio);
        folios.lock(folio);
        const split = this.splitFolio(folio);
        const now = core.design.descriptorOf(head);
        folios.unlock(now);
        folios.put(now);
        if (split) continue;
        for (let i = Math.max(at, first); i < Math.min(at + (1 << order), end); i++)
          core.content.clear(this.frameIn(folio, i));
      } else this.remove(mapping, folio, order);
      index = at + (1 << order);
    }
    const pages = this.#disk.get(this.#number(inode));
    for (const index of pages?.keys() ?? [])
      if (index >= first && index < end) pages?.delete(index);
  }

  /** filemap_remove_folio: out of the cache; it lives on while somebody holds it. */
  remove(mapping: Ref, folio: Ref, order: number): void {
    const { cache, folios } = this.base;
    folios.lock(folio);
    folios.waitClear(folio, PG_WRITEBACK);
    cache.delete(mapping, folios.index(folio), order);
    folios.setMapping(folio, NONE, 0);
    folios.clear(folio, PG_DIRTY);
    folios.unlock(folio);
    folios.put(folio, 1 << order);
  }
}
