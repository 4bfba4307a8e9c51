/**
 * mmap and munmap: VMAs made and cut, with the kernel's order of checks.
 *
 * Source: mm/mmap.c, mm/vma.c of 6.18 (do_mmap, do_vmi_munmap). Simplified: no
 * rlimits, no overcommit accounting; an address that the caller leaves open is
 * found top-down below a fixed mmap_base, without randomisation.
 */
import type { Ref } from "../../units.js";
import { MM_MMAP_BASE, MM_MMAP_LOCK, MM_TOTAL_VM } from "../layout/generated/offsets.js";
import type { Base } from "./base.js";
import {
  EBADF,
  EEXIST,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAX_MAP_COUNT,
  MIN_MAP_PAGE,
  PMD_PAGES,
  TASK_PAGES,
  VM_ACCOUNT,
  VM_HUGETLB,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_SHARED,
  VM_WRITE,
} from "./constants.js";
import { KIND_HUGETLB, KIND_TMPFS, type Files } from "./files.js";
import type { Hugetlb } from "./hugetlb.js";
import { downWrite, upWrite } from "./locks.js";
import { Protection } from "./mprotect.js";
import { ALL_PAGES, MMU_NOTIFY_UNMAP } from "./notifier/events.js";

const NONE = 0 as Ref;
/** MAP_TYPE */
const MAP_TYPE = 15;
/** file_mmap_size_max: a mapping ends within 2^63 − 1 bytes of any file, whatever its file system can hold. */
const MOST_FILE_PAGES = 2 ** 51 - 1;
/** LEGACY_MAP_MASK: flags that mmap knew before MAP_SHARED_VALIDATE, which refuses all others. */
const LEGACY_MAP_MASK = 0x7c07f9f3;

/** What mmap is asked for; addresses and lengths in bytes. */
export interface MmapRequest {
  /** Wanted address; 0 leaves it open. */
  readonly addr?: number;
  readonly length: number;
  /** PROT_ bits. */
  readonly prot: number;
  /** MAP_ bits. */
  readonly flags: number;
  /** struct file; 0 for none. */
  readonly file?: Ref;
  /** Offset in the file, bytes. */
  readonly offset?: number;
}

export class Mappings {
  readonly base: Base;
  readonly files: Files;
  readonly hugetlb: Hugetlb;
  readonly #protection: Protection;

  constructor(base: Base, files: Files, hugetlb: Hugetlb) {
    this.#protection = new Protection(base, files);
    this.base = base;
    this.files = files;
    this.hugetlb = hugetlb;
  }

  /** mmap: first page of the mapping, or an errno with nothing changed (but what MAP_FIXED replaced). */
  map(mm: Ref, request: MmapRequest): number {
    downWrite(this.base.w, mm, MM_MMAP_LOCK);
    const page = this.#map(mm, request);
    upWrite(this.base.w, mm, MM_MMAP_LOCK);
    return page;
  }

  #map(mm: Ref, r: MmapRequest): number {
    const { vmas } = this.base;
    const { tree } = vmas;
    const addr = r.addr ?? 0;
    const offset = r.offset ?? 0;
    if (offset % 4096 !== 0) return EINVAL;
    if ((r.flags & MAP_ANONYMOUS) === 0 && (r.file ?? NONE) === NONE) return EBADF;
    if (r.length === 0) return EINVAL;
    const ofFile = (r.flags & MAP_ANONYMOUS) === 0;
    // Only a file of the pool itself could be mapped so.
    if (ofFile && (r.flags & MAP_HUGETLB) !== 0) return EINVAL;
    const hugetlb = (r.flags & MAP_HUGETLB) !== 0 && (r.flags & MAP_ANONYMOUS) !== 0;
    if (hugetlb && r.length > 2 ** 64 - PMD_PAGES * 4096) return EINVAL;
    let pages = Math.ceil(r.length / 4096);
    if (hugetlb) pages = Math.ceil(pages / PMD_PAGES) * PMD_PAGES;
    if (pages > TASK_PAGES) return ENOMEM;
    const pgoff = (offset < 0 ? offset + 2 ** 64 : offset) / 4096;
    if (tree.count(mm) > MAX_MAP_COUNT) return ENOMEM;
    const fixed = (r.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0;
    // Anonymous memory in whole PMDs is placed so that huge pages fit (thp_get_unmapped_area).
    const anonymous = (r.flags & MAP_ANONYMOUS) !== 0;
    const align = hugetlb || (anonymous && pages % PMD_PAGES === 0) ? PMD_PAGES : 1;
    const start = this.#place(mm, addr, pages, fixed, hugetlb, align);
    if (start < 0) return start;
    if ((r.flags & MAP_FIXED_NOREPLACE) !== 0) {
      const there = tree.find(mm, start);
      if (there !== NONE && tree.start(there) < start + pages) return EEXIST;
    }
    const file = (r.flags & MAP_ANONYMOUS) !== 0 ? NONE : (r.file ?? NONE);
    if ((file !== NONE || hugetlb) && pgoff + pages > MOST_FILE_PAGES) return EOVERFLOW;
    const flags = this.#flags(r, file, hugetlb);
    if (flags < 0 && flags > -4096) return flags;
    return this.#region(mm, start, pages, flags, file, hugetlb, pgoff);
  }

  /** Flags of the VMA to be, or an errno for a kind that is none. */
  #flags(r: MmapRequest, file: Ref, hugetlb: boolean): number {
    const type = r.flags & MAP_TYPE;
    let flags = (r.prot & 7) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
    if ((r.flags & MAP_LOCKED) !== 0) flags |= VM_LOCKED;
    if ((r.flags & MAP_NORESERVE) !== 0) flags |= VM_NORESERVE;
    if (hugetlb) flags |= VM_HUGETLB;
    if (type === MAP_SHARED || type === MAP_SHARED_VALIDATE) {
      if (type === MAP_SHARED_VALIDATE) {
        if (file === NONE && !hugetlb) return EINVAL;
        if ((r.flags & ~LEGACY_MAP_MASK) !== 0) return EOPNOTSUPP;
      }
      return flags | VM_SHARED | VM_MAYSHARE;
    }
    // accountable_mapping
    if ((flags & (VM_NORESERVE | VM_WRITE)) === VM_WRITE && !hugetlb) flags |= VM_ACCOUNT;
    return type === MAP_PRIVATE ? flags : EINVAL;
  }

  /** get_unmapped_area */
  #place(
    mm: Ref,
    addr: number,
    pages: number,
    fixed: boolean,
    hugetlb: boolean,
    align: number,
  ): number {
    if (fixed) {
      if (addr % 4096 !== 0) return EINVAL;
      const start = addr / 4096;
      if (start + pages > TASK_PAGES) return ENOMEM;
      if (hugetlb && start % PMD_PAGES !== 0) return EINVAL;
      return start < MIN_MAP_PAGE ? EPERM : start;
    }
    if (addr !== 0) {
      const start = Math.max(MIN_MAP_PAGE, Math.ceil(addr / 4096));
      if (hugetlb && start % PMD_PAGES !== 0) return this.findGap(mm, pages, align);
      if (start + pages <= TASK_PAGES && this.isFree(mm, start, pages)) return start;
    }
    return this.findGap(mm, pages, align);
  }

  /** Whether no VMA has any of these pages. */
  isFree(mm: Ref, start: number, pages: number): boolean {
    const { tree } = this.base.vmas;
    const vma = tree.find(mm, start);
    return vma === NONE || tree.start(vma) >= start + pages;
  }

  /** vm_unmapped_area, top-down: first page of the highest gap that fits, or ENOMEM. */
  findGap(mm: Ref, pages: number, align = 1): number {
    const { w, vmas } = this.base;
    const { tree } = vmas;
    let end = (w.load64(mm, MM_MMAP_BASE) >>> 12) | (w.hi << 20);
    let vma = tree.before(mm, end);
    for (;;) {
      const floor = vma === NONE ? MIN_MAP_PAGE : Math.min(tree.end(vma), end);
      const start = Math.floor((end - pages) / align) * align;
      if (start >= floor) return start;
      if (vma === NONE) return ENOMEM;
      end = tree.start(vma);
      vma = tree.prev(vma);
    }
  }

  /** mmap_region */
  #region(
    mm: Ref,
    start: number,
    pages: number,
    flags: number,
    file: Ref,
    hugetlb: boolean,
    fileOffset: number,
  ): number {
    const { w, vmas } = this.base;
    const error = this.unmapLocked(mm, start, start + pages);
    if (error !== 0) return error;
    let promised = 0;
    if (hugetlb && fileOffset % PMD_PAGES !== 0) return EINVAL;
    if (hugetlb) {
      promised = (flags & VM_NORESERVE) === 0 ? pages / PMD_PAGES : 0;
      const refused = this.hugetlb.reserve(promised);
      if (refused !== 0) return refused;
    }
    let opened = file;
    let pgoff = file === NONE ? start : fileOffset;
    if (file === NONE && (flags & (VM_SHARED | VM_HUGETLB)) !== 0) {
      // Shared anonymous memory and huge pages are a file of their own that nobody else can open.
      opened = this.#ownFile(pages, hugetlb, promised);
      if (opened === NONE) {
        this.hugetlb.unreserve(promised);
        return ENOMEM;
      }
      pgoff = 0;
      // Only a mapping that may write makes the file reach as far as it does (hugetlbfs_file_mmap).
      if (hugetlb && fileOffset > 0 && (flags & VM_WRITE) === 0)
        this.files.setSize(this.files.inodeOf(vmas.mappingOfFile(opened)), 0);
    }
    // The mapping that was promised pages is marked with its file; copies of it are not.
    const privateData = hugetlb ? this.files.inodeOf(vmas.mappingOfFile(opened)) : NONE;
    const vma = vmas.create(mm, {
      start,
      end: start + pages,
      flags,
      pgoff,
      file: opened,
      privateData,
    });
    if (opened !== file) vmas.putFile(opened);
    if (vma === NONE) return ENOMEM;
    w.add32(mm, MM_TOTAL_VM, pages);
    vmas.merge(mm, vma);
    return start;
  }

  #ownFile(pages: number, hugetlb: boolean, promised: number): Ref {
    const inode = this.files.create(hugetlb ? KIND_HUGETLB : KIND_TMPFS, pages * 4096);
    if (inode === NONE) return NONE;
    const file = this.files.open(inode);
    if (hugetlb && file !== NONE) this.files.promise(inode, promised);
    // The open file holds it from here on, or nobody does.
    this.files.iput(inode);
    return file;
  }

  /** munmap of bytes: 0 or an errno. */
  unmap(mm: Ref, addr: number, length: number): number {
    if (addr % 4096 !== 0 || length === 0) return EINVAL;
    const start = addr / 4096;
    const pages = Math.ceil(length / 4096);
    if (start + pages > TASK_PAGES) return EINVAL;
    downWrite(this.base.w, mm, MM_MMAP_LOCK);
    const error = this.unmapLocked(mm, start, start + pages);
    upWrite(this.base.w, mm, MM_MMAP_LOCK);
    return error;
  }

  /** do_vmi_munmap, with the process locked: pages `start` … `end` belong to no VMA afterwards. */
  unmapLocked(mm: Ref, start: number, end: number): number {
    return this.#unmap(mm, start, end, start, end);
  }

  /** exit_mmap: everything from the first VMA on; who listens is told of all there could be. */
  unmapAll(mm: Ref, start: number): void {
    this.#unmap(mm, start, TASK_PAGES, 0, ALL_PAGES);
  }

  /** Takes pages `start` … `end` out of the process, of which is told as of `from` … `to`. */
  #unmap(mm: Ref, start: number, end: number, from: number, to: number): number {
    const { w, vmas, notifiers } = this.base;
    const { tree } = vmas;
    let vma = tree.find(mm, start);
    if (vma === NONE || tree.start(vma) >= end) return 0;
    const error = vmas.isolate(mm, start, end);
    if (error !== 0) return error;
    vma = tree.find(mm, start);
    const prev = tree.prev(vma);
    let next = vma;
    // All is unmapped before any VMA goes: they hold the anon_vmas of what is freed.
    if (notifiers.any !== 0) notifiers.start(mm, from, to, MMU_NOTIFY_UNMAP);
    for (; next !== NONE && tree.start(next) < end; next = tree.next(next)) this.zapVma(mm, next);
    if (notifiers.any !== 0) notifiers.end(mm, from, to);
    const floor = prev === NONE ? 0 : tree.end(prev);
    const ceiling = next === NONE ? TASK_PAGES + 1 : tree.start(next);
    const first = tree.start(vma);
    const last = Math.min(end, next === NONE ? end : ceiling);
    while (vma !== next) {
      const following = tree.next(vma);
      w.add32(mm, MM_TOTAL_VM, tree.start(vma) - tree.end(vma));
      vmas.remove(mm, vma);
      vma = following;
    }
    this.base.tables.freeRange(mm, first, last, floor, ceiling);
    return 0;
  }

  /** Everything a VMA maps goes. */
  zapVma(mm: Ref, vma: Ref): void {
    const { vmas, zap, counts } = this.base;
    const start = vmas.tree.start(vma);
    const end = vmas.tree.end(vma);
    const flags = vmas.flags(vma);
    if ((flags & VM_HUGETLB) === 0) {
      zap.range(vma, mm, counts.mmId(vma), start, end);
      return;
    }
    const used = this.hugetlb.mapped(vma, mm, start, end);
    this.hugetlb.unmap(vma, mm, start, end);
    const inode = this.files.inodeOf(vmas.mapping(vma));
    if ((flags & VM_SHARED) !== 0 || vmas.privateData(vma) !== inode) return;
    // Promises that no fault has taken up are given back.
    const left = Math.min((end - start) / PMD_PAGES - used, this.files.promised(inode));
    this.hugetlb.unreserve(left);
    this.files.promise(inode, -left);
  }

  /** mprotect of bytes: 0 or an errno; VMAs before the one that refused are changed. */
  protect(mm: Ref, addr: number, length: number, prot: number): number {
    return this.#protection.protect(mm, addr, length, prot);
  }
}
