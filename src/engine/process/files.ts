/**
 * Files: inodes with their page cache, reading, writing, writeback.
 *
 * Two kinds: files of a disk, whose pages are read from and written back to a
 * store, and files of memory (tmpfs, shared anonymous memory), whose pages are
 * all there is of them. The store stands for the disk and is no part of the
 * machine's memory.
 *
 * Source: mm/filemap.c, mm/shmem.c of 6.18, and fs/ext4/inode.c as the disk's
 * file system. Simplified: reading and writing a disk is one step, no file system
 * metadata, no dirty throttling.
 */
import { PAGE_SIZE, type Ref } from "../../units.js";
import {
  FILE_F_INODE,
  FILE_F_REF,
  INODE_HOST,
  INODE_I_COUNT,
  INODE_I_INO,
  INODE_I_KIND,
  INODE_I_PRIVATE,
  INODE_I_SIZE,
} from "../layout/generated/offsets.js";
import {
  PG_DIRTY,
  PG_RECLAIM,
  PG_SWAPBACKED,
  PG_UPTODATE,
  PG_WRITEBACK,
} from "../design/word/axis-flags.js";
import { T_FILE } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import { ENOMEM, PMD_ORDER } from "./constants.js";
import { S_INODES } from "./core.js";
import { O_FILE, O_INODE } from "./objects.js";
import { mkClean } from "./write-notify.js";

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
  /** ftruncate; fallocate(PUNCH_HOLE); what both share. Set by the layer of truncation. */
  truncate: (inode: Ref, size: number) => void = () => {};
  punchHole: (inode: Ref, offset: number, length: number) => void = () => {};
  zeroPartialBlocks: (inode: Ref, from: number, to: number) => void = () => {};
  dropAll: (inode: Ref) => void = () => {};
  /** Takes a device's name off its pages that somebody still holds. Set by who knows them. */
  disown: (mapping: Ref) => void = () => {};
  /** Somebody who wants so many pages came to a marked one. Set by readahead. */
  onMark: (mapping: Ref, folio: Ref, index: number, wanted: number, memcg: Ref) => void = () => {};

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
    this.setSize(inode, size);
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
    this.dropAll(inode);
    if (this.kind(inode) === KIND_DEVICE) this.disown(this.mappingOf(inode));
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

  setSize(inode: Ref, size: number): void {
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
    if (there === NONE) return this.#readFolio(mapping, index, memcg);
    folios.get(there);
    if (!folios.test(there, PG_UPTODATE)) this.#fill(mapping, there);
    return there;
  }

  #readFolio(mapping: Ref, index: number, memcg: Ref): Ref | number {
    let order = this.base.policy.fileFolioOrder;
    while (order > 0 && !this.#fits(mapping, index, order)) order--;
    const folio = this.readIn(mapping, index & (-1 << order), order, memcg);
    return folio < 0 && order > 0 ? this.readIn(mapping, index, 0, memcg) : folio;
  }

  /** Whether a folio of that order over `index` would hold pages of the file only, none of them cached. */
  #fits(mapping: Ref, index: number, order: number): boolean {
    const first = index & (-1 << order);
    const end = first + (1 << order);
    if (end > this.pages(this.inodeOf(mapping))) return false;
    return this.base.cache.next(mapping, first, end) === NONE;
  }

  /** A folio of pages that are not cached, read, with a reference; ENOMEM. */
  readIn(mapping: Ref, first: number, order: number, memcg: Ref): Ref | number {
    const folio = this.newFolio(mapping, first, order, memcg);
    if (folio >= 0) this.#fill(mapping, folio as Ref);
    return folio;
  }

  /** __filemap_get_folio with FGP_CREAT: a folio in the cache that holds nothing yet, with a reference; ENOMEM. */
  newFolio(mapping: Ref, first: number, order: number, memcg: Ref): Ref | number {
    const { cache, folios, core } = this.base;
    const pfn = folios.alloc(order, T_FILE, memcg);
    if (pfn < 0) return pfn;
    const folio = core.design.descriptorOf(pfn);
    if (this.kind(this.inodeOf(mapping)) !== KIND_DISK) folios.set(folio, PG_SWAPBACKED);
    folios.tryLock(folio);
    const error = cache.add(mapping, first, folio, order);
    if (error === 0) folios.lruAdd(folio, order);
    folios.unlock(folio);
    if (error === 0) return folio;
    folios.put(folio);
    return ENOMEM;
  }

  /** read_folio: what the disk has, zeroes where it has nothing. */
  #fill(mapping: Ref, folio: Ref): void {
    const { folios, core } = this.base;
    folios.lock(folio);
    const pfn = core.pfnOf(folio);
    const first = folios.index(folio);
    const pages = this.#disk.get(this.#number(this.inodeOf(mapping)));
    const count = pages === undefined ? 0 : 1 << core.design.orderOf(pfn);
    for (let i = 0; i < count; i++) {
      const page = pages?.get(first + i);
      if (page !== undefined) core.content.write(pfn + i, 0, page);
    }
    folios.set(folio, PG_UPTODATE);
    folios.unlock(folio);
  }

  /** What the disk holds of a page; undefined for a hole. */
  stored(inode: Ref, index: number): Uint8Array | undefined {
    return this.#disk.get(this.#number(inode))?.get(index);
  }

  /** The disk's pages from `first` to before `end` become holes. */
  forget(inode: Ref, first: number, end: number): void {
    const pages = this.#disk.get(this.#number(inode));
    for (const index of pages?.keys() ?? [])
      if (index >= first && index < end) pages?.delete(index);
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
      // Bit 16 is readahead here (filemap_readahead).
      if (this.kind(inode) === KIND_DISK && this.base.folios.test(folio as Ref, PG_RECLAIM)) {
        const wanted = Math.ceil((offset + length) / PAGE_SIZE) - index;
        this.onMark(mapping, folio as Ref, index, wanted, memcg);
      }
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
    const { folios } = this.base;
    const disk = this.kind(inode) === KIND_DISK;
    const end = offset + bytes.length;
    for (let at = offset; at < end;) {
      const was = this.size(inode);
      const page = Math.min(end, at - (at % PAGE_SIZE) + PAGE_SIZE);
      if (was < page) this.setSize(inode, page);
      const folio = this.#folioToWrite(inode, at, end - at, memcg);
      if (folio < 0) {
        this.setSize(inode, was);
        return folio;
      }
      const to = Math.min(end, this.#endOf(folio as Ref) * PAGE_SIZE);
      if (was < to) this.setSize(inode, to);
      this.#put(folio as Ref, at, bytes.subarray(at - offset, to - offset));
      // mark_buffer_dirty: unlike folio_mark_dirty it leaves the mark of reclaim alone.
      if (disk) folios.set(folio as Ref, PG_DIRTY);
      else {
        folios.markAccessed(folio as Ref);
        folios.markDirty(folio as Ref);
      }
      folios.put(folio as Ref);
      // What lies between the old end and the write (ext4_da_do_write_end).
      if (disk && at > was) this.zeroPartialBlocks(inode, was, at);
      at = to;
    }
    return 0;
  }

  /** write_begin_get_folio: a fresh one is as large as what is still to be written, where the file system has large ones. */
  #folioToWrite(inode: Ref, at: number, length: number, memcg: Ref): Ref | number {
    const { cache, policy } = this.base;
    const mapping = this.mappingOf(inode);
    const index = Math.floor(at / PAGE_SIZE);
    const large = policy.largeFolios && this.kind(inode) === KIND_DISK && length >= 2 * PAGE_SIZE;
    if (!large || cache.lookup(mapping, index) !== NONE)
      return this.getFolio(mapping, index, memcg);
    let order = Math.min(PMD_ORDER, 31 - Math.clz32(length / PAGE_SIZE));
    if (index % (1 << order) !== 0) order = 31 - Math.clz32(index & -index);
    while (order > 0 && cache.next(mapping, index, index + (1 << order)) !== NONE) order--;
    const folio = this.readIn(mapping, index, order, memcg);
    return folio < 0 && order > 0 ? this.readIn(mapping, index, 0, memcg) : folio;
  }

  /** Page behind the last one of a folio. */
  #endOf(folio: Ref): number {
    const { core, folios } = this.base;
    return folios.index(folio) + (1 << core.design.orderOf(core.pfnOf(folio)));
  }

  /** Bytes from byte `at` of the file on, within one folio. */
  #put(folio: Ref, at: number, bytes: Uint8Array): void {
    const { core } = this.base;
    for (let done = 0; done < bytes.length;) {
      const from = (at + done) % PAGE_SIZE;
      const n = Math.min(PAGE_SIZE - from, bytes.length - done);
      const pfn = this.frameIn(folio, Math.floor((at + done) / PAGE_SIZE));
      core.content.write(pfn, from, bytes.subarray(done, done + n));
      core.watch?.wrote(pfn);
      done += n;
    }
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

  /** One folio to the disk; its mappings are write-protected and hear of the next write (folio_clear_dirty_for_io). */
  writeBack(inode: Ref, folio: Ref, order: number): void {
    const { folios, core } = this.base;
    folios.lock(folio);
    if (mkClean(this.base, folio, order)) folios.markDirty(folio);
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
