/**
 * VMAs as objects: made and freed, split and merged, linked to their file.
 *
 * Two neighbours merge when they differ in nothing but their addresses and their
 * pages lie one behind the other in the same mapping; two that both had anonymous
 * pages before only if they share their anon_vma.
 *
 * Source: mm/vma.c of 6.18 (can_vma_merge_*, is_mergeable_anon_vma, __split_vma).
 */
import type { Ref } from "../../units.js";
import {
  ADDRESS_SPACE_I_MMAP,
  ADDRESS_SPACE_I_MMAP_RWSEM,
  AVC_SAME_VMA_NEXT,
  FILE_F_INODE,
  FILE_F_REF,
  FILE_PRIVATE_DATA,
  INODE_HOST,
  INODE_I_COUNT,
  VMA_ANON_VMA_CHAIN,
  VMA_SHARED_NEXT,
  VMA_SHARED_PREV,
  VMA_VM_FILE,
  VMA_VM_FLAGS,
  VMA_VM_MM,
  VMA_VM_OPS,
  VMA_VM_PGOFF,
  VMA_VM_PRIVATE_DATA,
  VMA_VM_USERFAULTFD_CTX,
} from "../layout/generated/offsets.js";
import type { Words } from "../words/words.js";
import type { AnonVmas } from "./anon-vma.js";
import {
  EINVAL,
  ENOMEM,
  MAX_MAP_COUNT,
  PMD_PAGES,
  VM_DONTEXPAND,
  VM_HUGETLB,
  VM_IO,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_UFFD_MISSING,
} from "./constants.js";
import type { Core } from "./core.js";
import { downWrite, upWrite } from "./locks.js";
import { O_FILE, O_VMA } from "./objects.js";
import { VmaTree } from "./vma-tree.js";

const NONE = 0 as Ref;
/** VM_SPECIAL: never merged. */
const SPECIAL = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP;

/** What a VMA is made from. */
export interface VmaSpec {
  readonly start: number;
  readonly end: number;
  readonly flags: number;
  readonly pgoff: number;
  /** struct file, 0 for anonymous memory. */
  readonly file: Ref;
  /** What the owner of a special mapping keeps there: a driver, a scamem. */
  readonly ops?: number;
  readonly privateData?: Ref;
}

/** Called when the last reference to an open file goes. */
export type ReleaseInode = (inode: Ref) => void;

export class Vmas {
  readonly core: Core;
  readonly w: Words;
  readonly tree: VmaTree;
  readonly anonVmas: AnonVmas;
  /** Set by the file layer: what happens to an inode that nobody has open. */
  releaseInode: ReleaseInode = () => {};
  /** Splits a huge entry that a border is to go through (vma_adjust_trans_huge). */
  splitHuge: (vma: Ref, page: number) => void = () => {};
  /** Called for a VMA that is copied or goes away, where its ops ask for it. */
  opened: (vma: Ref) => void = () => {};
  closed: (vma: Ref) => void = () => {};
  /** Called for an open file with private data whose last reference went. */
  releaseFile: (file: Ref) => void = () => {};

  constructor(core: Core, anonVmas: AnonVmas) {
    this.core = core;
    this.w = core.w;
    this.tree = new VmaTree(core.w);
    this.anonVmas = anonVmas;
  }

  flags(vma: Ref): number {
    return this.w.load32(vma, VMA_VM_FLAGS);
  }

  setFlags(vma: Ref, flags: number): void {
    this.w.store32(vma, VMA_VM_FLAGS, flags);
  }

  pgoff(vma: Ref): number {
    const lo = this.w.load64(vma, VMA_VM_PGOFF);
    return (lo >>> 0) + this.w.hi * 2 ** 32;
  }

  mm(vma: Ref): Ref {
    return this.core.pointer(vma, VMA_VM_MM);
  }

  file(vma: Ref): Ref {
    return this.core.pointer(vma, VMA_VM_FILE);
  }

  /** address_space of its file; 0 for anonymous memory. */
  mapping(vma: Ref): Ref {
    const file = this.file(vma);
    return file === NONE ? NONE : this.mappingOfFile(file);
  }

  mappingOfFile(file: Ref): Ref {
    return (this.core.pointer(file, FILE_F_INODE) + INODE_HOST / 16) as Ref;
  }

  ops(vma: Ref): number {
    return this.w.load32(vma, VMA_VM_OPS);
  }

  privateData(vma: Ref): Ref {
    return this.core.pointer(vma, VMA_VM_PRIVATE_DATA);
  }

  /** userfaultfd_ctx that hears of its missing pages; 0 where VM_UFFD_MISSING is not set. */
  userfault(vma: Ref): Ref {
    return this.core.pointer(vma, VMA_VM_USERFAULTFD_CTX);
  }

  /** userfaultfd_set_ctx, userfaultfd_reset_ctx (0): the flag is set where there is a context. */
  setUserfault(vma: Ref, ctx: Ref): void {
    const others = this.flags(vma) & ~VM_UFFD_MISSING;
    this.setFlags(vma, ctx === NONE ? others : others | VM_UFFD_MISSING);
    this.core.setPointer(vma, VMA_VM_USERFAULTFD_CTX, ctx);
  }

  getFile(file: Ref): void {
    this.w.add32(file, FILE_F_REF, 1);
  }

  /** fput: the last one closes the file. */
  putFile(file: Ref): void {
    if (this.w.add32(file, FILE_F_REF, -1) !== 0) return;
    const inode = this.core.pointer(file, FILE_F_INODE);
    if (this.core.pointer(file, FILE_PRIVATE_DATA) !== NONE) this.releaseFile(file);
    this.core.freeObject(O_FILE, file);
    if (this.w.add32(inode, INODE_I_COUNT, -1) === 0) this.releaseInode(inode);
  }

  /** A VMA in its process's tree; 0 without memory. */
  create(mm: Ref, spec: VmaSpec): Ref {
    const { core, w } = this;
    const vma = core.newObject(O_VMA);
    if (vma === NONE) return vma;
    this.tree.setRange(vma, spec.start, spec.end);
    core.setPointer(vma, VMA_VM_MM, mm);
    w.store32(vma, VMA_VM_FLAGS, spec.flags);
    w.store64(vma, VMA_VM_PGOFF, spec.pgoff | 0, Math.floor(spec.pgoff / 2 ** 32));
    w.store32(vma, VMA_VM_OPS, spec.ops ?? 0);
    core.setPointer(vma, VMA_VM_PRIVATE_DATA, spec.privateData ?? NONE);
    core.setPointer(vma, VMA_VM_FILE, spec.file);
    if (spec.file !== NONE) {
      this.getFile(spec.file);
      this.#linkFile(vma);
    }
    this.tree.insert(mm, vma);
    return vma;
  }

  /** Frees a VMA that maps nothing any more. */
  remove(mm: Ref, vma: Ref): void {
    if (this.ops(vma) !== 0) this.closed(vma);
    this.#drop(mm, vma);
  }

  #drop(mm: Ref, vma: Ref): void {
    this.tree.remove(mm, vma);
    if (this.core.pointer(vma, VMA_ANON_VMA_CHAIN) !== NONE) this.anonVmas.unlink(vma);
    const file = this.file(vma);
    if (file !== NONE) {
      this.#unlinkFile(vma);
      this.putFile(file);
    }
    this.core.freeObject(O_VMA, vma);
  }

  /** vma_interval_tree_insert: the file's reverse map finds it. */
  #linkFile(vma: Ref): void {
    const { core, w } = this;
    const mapping = this.mapping(vma);
    downWrite(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
    const first = core.pointer(mapping, ADDRESS_SPACE_I_MMAP);
    core.setPointer(vma, VMA_SHARED_NEXT, first);
    core.setPointer(vma, VMA_SHARED_PREV, NONE);
    if (first !== NONE) core.setPointer(first, VMA_SHARED_PREV, vma);
    core.setPointer(mapping, ADDRESS_SPACE_I_MMAP, vma);
    upWrite(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
  }

  #unlinkFile(vma: Ref): void {
    const { core, w } = this;
    const mapping = this.mapping(vma);
    downWrite(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
    const next = core.pointer(vma, VMA_SHARED_NEXT);
    const prev = core.pointer(vma, VMA_SHARED_PREV);
    if (prev !== NONE) core.setPointer(prev, VMA_SHARED_NEXT, next);
    else core.setPointer(mapping, ADDRESS_SPACE_I_MMAP, next);
    if (next !== NONE) core.setPointer(next, VMA_SHARED_PREV, prev);
    upWrite(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
  }

  /** Copies a VMA for another process or place, without its anon_vma. 0 without memory. */
  duplicate(mm: Ref, vma: Ref, start: number, end: number, pgoff: number): Ref {
    const copy = this.create(mm, {
      start,
      end,
      pgoff,
      flags: this.flags(vma),
      file: this.file(vma),
      ops: this.ops(vma),
      privateData: this.privateData(vma),
    });
    if (copy === NONE) return copy;
    // The low bits too: what hugetlb says of the mapping there.
    this.w.store32(copy, VMA_VM_PRIVATE_DATA, this.w.load32(vma, VMA_VM_PRIVATE_DATA));
    if ((this.flags(vma) & VM_UFFD_MISSING) !== 0) this.setUserfault(copy, this.userfault(vma));
    if (this.ops(copy) !== 0) this.opened(copy);
    return copy;
  }

  /** __split_vma: `vma` ends at `page` afterwards, a new one goes on from there. 0 or an errno. */
  split(vma: Ref, page: number): number {
    const { tree } = this;
    const mm = this.mm(vma);
    // Huge pages of a pool are mapped whole or not at all.
    if ((this.flags(vma) & VM_HUGETLB) !== 0 && page % PMD_PAGES !== 0) return EINVAL;
    if (tree.count(mm) >= MAX_MAP_COUNT) return ENOMEM;
    const start = tree.start(vma);
    const end = tree.end(vma);
    if (page % PMD_PAGES !== 0) this.splitHuge(vma, page);
    tree.setRange(vma, start, page);
    const upper = this.duplicate(mm, vma, page, end, this.pgoff(vma) + page - start);
    const error = upper === NONE ? ENOMEM : this.#share(upper, vma);
    if (error === 0) return 0;
    if (upper !== NONE) this.remove(mm, upper);
    tree.setRange(vma, start, end);
    return error;
  }

  /** The new half of a VMA belongs to the same anon_vmas. */
  #share(to: Ref, from: Ref): number {
    const av = this.anonVmas.of(from);
    if (this.core.pointer(from, VMA_ANON_VMA_CHAIN) === NONE) return 0;
    this.anonVmas.adopt(to, av);
    return this.anonVmas.clone(to, from, false);
  }

  /** Makes borders at both ends of a range that lies in VMAs. 0 or an errno. */
  isolate(mm: Ref, start: number, end: number): number {
    const first = this.tree.find(mm, start);
    if (first !== NONE && this.tree.start(first) < start) {
      const error = this.split(first, start);
      if (error !== 0) return error;
    }
    const last = this.tree.find(mm, end - 1);
    if (last !== NONE && this.tree.start(last) < end && this.tree.end(last) > end)
      return this.split(last, end);
    return 0;
  }

  /** Merges a VMA with its neighbours where that is possible; the VMA that is left. */
  merge(mm: Ref, vma: Ref): Ref {
    const prev = this.tree.prev(vma);
    let left = vma;
    if (prev !== NONE && this.#join(mm, prev, vma)) left = prev;
    const next = this.tree.next(left);
    if (next !== NONE) this.#join(mm, left, next);
    return left;
  }

  /**
   * vma_merge_extend: a VMA that grew up to its neighbour swallows it where they fit.
   * 6.18 does not ask there whose pages the grown one may have from a parent.
   */
  mergeGrown(mm: Ref, vma: Ref): void {
    const next = this.tree.next(vma);
    if (next !== NONE) this.#join(mm, vma, next, true);
  }

  /** `a` swallows its neighbour `b`, if they fit. */
  #join(mm: Ref, a: Ref, b: Ref, grown = false): boolean {
    const { tree } = this;
    if (tree.end(a) !== tree.start(b)) return false;
    const flags = this.flags(a);
    if (flags !== this.flags(b) || (flags & (SPECIAL | VM_HUGETLB)) !== 0) return false;
    const file = this.file(a);
    if (file !== this.file(b) || this.ops(a) !== this.ops(b)) return false;
    if (this.privateData(a) !== this.privateData(b)) return false;
    if ((flags & VM_UFFD_MISSING) !== 0 && this.userfault(a) !== this.userfault(b)) return false;
    if (this.pgoff(a) + tree.end(a) - tree.start(a) !== this.pgoff(b)) return false;
    if (!this.#mergeableAnon(a, b, grown)) return false;
    const av = this.anonVmas.of(b);
    if (this.anonVmas.of(a) === NONE && av !== NONE) {
      this.anonVmas.adopt(a, av);
      if (this.anonVmas.clone(a, b, false) !== 0) return false;
    }
    const [start, end] = [tree.start(a), tree.end(b)];
    this.#drop(mm, b);
    tree.setRange(a, start, end);
    return true;
  }

  /** is_mergeable_anon_vma: the same one, or one has none and the other no parent's. */
  #mergeableAnon(a: Ref, b: Ref, grown: boolean): boolean {
    const [x, y] = [this.anonVmas.of(a), this.anonVmas.of(b)];
    if (x === y) return true;
    return (x === NONE && this.#single(b)) || (y === NONE && (grown || this.#single(a)));
  }

  #single(vma: Ref): boolean {
    const first = this.core.pointer(vma, VMA_ANON_VMA_CHAIN);
    return first !== NONE && this.core.pointer(first, AVC_SAME_VMA_NEXT) === NONE;
  }

  /** find_mergeable_anon_vma: a neighbour's, if the two could merge but for it. */
  nearAnonVma(vma: Ref): Ref {
    for (const [a, b, other] of [
      [vma, this.tree.next(vma), this.tree.next(vma)],
      [this.tree.prev(vma), vma, this.tree.prev(vma)],
    ] as const) {
      if (other === NONE || !this.#single(other) || !this.#alike(a, b)) continue;
      return this.anonVmas.of(other);
    }
    return NONE;
  }

  /** Whether two neighbours would merge, access rights apart (they change often). */
  #alike(a: Ref, b: Ref): boolean {
    const { tree } = this;
    const rights = 7;
    return (
      tree.end(a) === tree.start(b) &&
      this.file(a) === this.file(b) &&
      (this.flags(a) & ~rights) === (this.flags(b) & ~rights) &&
      this.pgoff(a) + tree.end(a) - tree.start(a) === this.pgoff(b)
    );
  }
}
