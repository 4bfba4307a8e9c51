/**
 * Files that become shorter, longer, or get a hole: which pages leave the cache
 * and every process, and which bytes become zeroes.
 *
 * A page that is cut in part stays mapped. Memory's own files mark it dirty. A
 * disk's file system looks at the block instead: the page comes into the cache
 * for it, marked as looked at, and is written only where the disk has the block.
 *
 * Source: mm/truncate.c, mm/shmem.c, and fs/ext4/inode.c as the disk's file
 * system (ext4_setattr, ext4_punch_hole, ext4_zero_partial_blocks) of 6.18.
 * Simplified: blocks are as large as pages, no journal.
 */
import { PAGE_SIZE, type Ref } from "../../units.js";
import {
  ADDRESS_SPACE_I_MMAP,
  ADDRESS_SPACE_I_MMAP_RWSEM,
  VMA_SHARED_NEXT,
} from "../layout/generated/offsets.js";
import { PG_DIRTY, PG_REFERENCED } from "../design/word/axis-flags.js";
import { KIND_DISK, type Files } from "./files.js";
import { downRead, upRead } from "./locks.js";

const NONE = 0 as Ref;
/** Behind every page that a file can have here. */
const END = 2 ** 31 - 1;

/** The byte where the page of `at` ends; `at` itself between two pages. */
const pageEnd = (at: number): number => Math.ceil(at / PAGE_SIZE) * PAGE_SIZE;

export class Truncation {
  readonly files: Files;
  /** Splits a locked folio that is cut; false where it cannot. Set by the split layer. */
  splitFolio: (folio: Ref) => boolean = () => false;

  constructor(files: Files) {
    this.files = files;
    files.truncate = (inode, size) => this.truncate(inode, size);
    files.punchHole = (inode, offset, length) => this.punchHole(inode, offset, length);
    files.zeroPartialBlocks = (inode, from, to) => this.zeroPartialBlocks(inode, from, to);
    files.dropAll = (inode) => this.dropAll(inode);
  }

  /** ftruncate. A size that the file has already is truncated to all the same. */
  truncate(inode: Ref, size: number): void {
    const { files } = this;
    const old = files.size(inode);
    const disk = files.kind(inode) === KIND_DISK;
    // What the old end left of its page must read as zeroes once it is inside.
    if (size > old && disk) this.#zeroBlock(inode, old, pageEnd(old));
    files.setSize(inode, size);
    if (size > old && !disk) return;
    const mapping = files.mappingOf(inode);
    const first = Math.ceil(size / PAGE_SIZE);
    this.unmap(mapping, first, END, false);
    this.#dropRange(inode, first, END);
    // Faults that raced with it have mapped pages again that are gone now.
    this.unmap(mapping, first, END, false);
    if (size > old) return;
    if (disk) this.#zeroBlock(inode, size, pageEnd(size));
    else this.#zeroCached(inode, size, pageEnd(size));
  }

  /** fallocate(PUNCH_HOLE): whole pages go, of the ends the bytes. */
  punchHole(inode: Ref, offset: number, length: number): void {
    const { files } = this;
    const disk = files.kind(inode) === KIND_DISK;
    const pages = files.pages(inode) * PAGE_SIZE;
    if (disk && offset >= files.size(inode)) return;
    // A hole that goes on behind the end of a disk's file takes its last page whole.
    const end = Math.min(
      disk && offset + length > files.size(inode) ? Infinity : offset + length,
      pages,
    );
    const first = Math.ceil(offset / PAGE_SIZE);
    const last = Math.floor(end / PAGE_SIZE);
    // A hole that ends in the first page ends, rounded down, before the file: 6.18 takes
    // that for everything from its start on, and unmaps more than goes.
    const unmapped = last === 0 ? END : last;
    if (first < unmapped) this.unmap(files.mappingOf(inode), first, unmapped, true);
    if (first < last) this.#dropRange(inode, first, last);
    if (disk) return this.zeroPartialBlocks(inode, offset, end);
    this.#zeroCached(inode, offset, Math.min(end, first * PAGE_SIZE));
    if (last >= first) this.#zeroCached(inode, last * PAGE_SIZE, end);
  }

  /** ext4_zero_partial_blocks: of what is between two bytes, the blocks that are not whole. */
  zeroPartialBlocks(inode: Ref, from: number, to: number): void {
    const head = pageEnd(from);
    if (head >= to) {
      if (from % PAGE_SIZE !== 0 || to % PAGE_SIZE !== 0) this.#zeroBlock(inode, from, to);
      return;
    }
    this.#zeroBlock(inode, from, head);
    this.#zeroBlock(inode, Math.floor(to / PAGE_SIZE) * PAGE_SIZE, to);
  }

  /** The end of an inode: its pages go, nobody maps them. */
  dropAll(inode: Ref): void {
    this.#dropRange(inode, 0, END);
  }

  /** unmap_mapping_pages: from every VMA that maps the file; private copies too unless they are kept. */
  unmap(mapping: Ref, first: number, end: number, keepAnon: boolean): void {
    const { core, w, vmas, zap, counts } = this.files.base;
    downRead(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
    for (
      let vma = core.pointer(mapping, ADDRESS_SPACE_I_MMAP);
      vma !== NONE;
      vma = core.pointer(vma, VMA_SHARED_NEXT)
    ) {
      const start = vmas.tree.start(vma);
      const pgoff = vmas.pgoff(vma);
      const from = Math.max(start, start + first - pgoff);
      const to = Math.min(vmas.tree.end(vma), start + end - pgoff);
      if (from < to) zap.single(vma, vmas.mm(vma), counts.mmId(vma), from, to, keepAnon);
    }
    upRead(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
  }

  /** A part of one cached page of memory's own files: shmem_undo_range marks it dirty, whatever it held. */
  #zeroCached(inode: Ref, from: number, to: number): void {
    if (from >= to) return;
    const { cache, folios } = this.files.base;
    const folio = cache.lookup(this.files.mappingOf(inode), Math.floor(from / PAGE_SIZE));
    if (folio === NONE) return;
    this.#zero(folio, from, to);
    folios.markDirty(folio);
  }

  /**
   * __ext4_block_zero_page_range: a part of one block. A block that the disk does
   * not have, and that nothing cached stands for, is zeroes already; then the page
   * stays without contents until somebody reads it.
   */
  #zeroBlock(inode: Ref, from: number, to: number): void {
    if (from >= to) return;
    const { cache, folios } = this.files.base;
    const mapping = this.files.mappingOf(inode);
    const index = Math.floor(from / PAGE_SIZE);
    const stored = this.files.stored(inode, index);
    let folio: Ref | number = cache.lookup(mapping, index);
    if (folio !== NONE) {
      folios.get(folio as Ref);
      folios.markAccessed(folio as Ref);
    } else {
      folio =
        stored === undefined
          ? this.files.newFolio(mapping, index, 0, NONE)
          : this.files.getFolio(mapping, index, NONE);
      if (folio < 0) {
        stored?.fill(0, from % PAGE_SIZE, (from % PAGE_SIZE) + to - from);
        return;
      }
      folios.set(folio as Ref, PG_REFERENCED);
    }
    if (stored !== undefined || folios.test(folio as Ref, PG_DIRTY)) {
      this.#zero(folio as Ref, from, to);
      // mark_buffer_dirty: unlike folio_mark_dirty it leaves the mark of reclaim alone.
      folios.set(folio as Ref, PG_DIRTY);
    }
    folios.put(folio as Ref);
  }

  #zero(folio: Ref, from: number, to: number): void {
    const { core } = this.files.base;
    const pfn = this.files.frameIn(folio, Math.floor(from / PAGE_SIZE));
    core.content.write(pfn, from % PAGE_SIZE, new Uint8Array(to - from));
    core.watch?.wrote(pfn);
  }

  /** truncate_inode_pages_range: whole pages leave the cache and the disk. */
  #dropRange(inode: Ref, first: number, end: number): void {
    const { cache, folios, core } = this.files.base;
    const mapping = this.files.mappingOf(inode);
    for (let index = first; index < end;) {
      const folio = cache.next(mapping, index, end);
      if (folio === NONE) break;
      const order = core.design.orderOf(core.pfnOf(folio));
      const at = folios.index(folio);
      if (at < first || at + (1 << order) > end) {
        if (this.#cut(inode, folio, order, first, end)) continue;
      } else this.files.remove(mapping, folio, order);
      index = at + (1 << order);
    }
    this.files.forget(inode, first, end);
  }

  /**
   * truncate_inode_partial_folio: the pages that go become zeroes, and the folio
   * is split. True where it was. A disk's folio that waits to be written cannot be
   * split (its buffers hold it): it stays whole, but nobody maps it any more.
   */
  #cut(inode: Ref, folio: Ref, order: number, first: number, end: number): boolean {
    const { folios, core } = this.files.base;
    const at = folios.index(folio);
    const head = core.pfnOf(folio);
    const disk = this.files.kind(inode) === KIND_DISK;
    folios.get(folio);
    folios.lock(folio);
    for (let i = Math.max(at, first); i < Math.min(at + (1 << order), end); i++)
      core.content.clear(this.files.frameIn(folio, i));
    const split = !(disk && folios.test(folio, PG_DIRTY)) && this.splitFolio(folio);
    const now = core.design.descriptorOf(head);
    folios.unlock(now);
    folios.put(now);
    if (!split && disk) this.unmap(this.files.mappingOf(inode), at, at + (1 << order), true);
    return split;
  }
}
