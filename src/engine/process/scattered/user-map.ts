/**
 * Scattered pages in user space: mapped by remap_vmalloc_range, counted through
 * fork, split, mremap and munmap, got by GUP.
 *
 * Entries are special, but in today's kernel with counts of every page, where a
 * bare page is mapped as a file's folio would be. Who has a reference for a
 * mapping is the lookup's: each mapped page where a page leads to its object,
 * the VMA, or the open file.
 *
 * Source: mm/vmalloc.c of 6.18 (remap_vmalloc_range_partial), mm/memory.c
 * (insert_page, remap_pfn_range); memdesc-facts §4.1 for the rest.
 */
import type { Ref } from "../../../units.js";
import {
  FILE_PRIVATE_DATA,
  MM_MMAP_LOCK,
  VMA_VM_OPS,
  VMA_VM_PRIVATE_DATA,
} from "../../layout/generated/offsets.js";
import { T_MISC } from "../../design/word/axis-types.js";
import type { Base } from "../base.js";
import {
  EBUSY,
  EFAULT,
  EINVAL,
  ENOMEM,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_IO,
  VM_MIXEDMAP,
  VM_PFNMAP,
  VM_SHARED,
} from "../constants.js";
import { pteHigh, pteLow, PTE_SPECIAL } from "../entry.js";
import { downWrite, upWrite } from "../locks.js";
import { pteAt } from "../page-tables.js";
import { pteNx, pteRights } from "../protection.js";
import type { SpecialPages } from "../special.js";
import type { ScatteredObjects } from "./objects.js";

const NONE = 0 as Ref;
/** vm_ops of scattered memory, and of frames that a driver maps by number. */
export const OPS_SCATTERED = 1;
export const OPS_PFN = 2;

export class UserMaps implements SpecialPages {
  readonly base: Base;
  readonly objects: ScatteredObjects;
  readonly carries: boolean;
  /** Hears of mappings that went: pages `start` … `end` of an address space. */
  onClosed: (mm: Ref, start: number, end: number) => void = () => {};

  #installed = false;

  constructor(base: Base, objects: ScatteredObjects) {
    this.base = base;
    this.objects = objects;
    this.carries = objects.counted && objects.lookup?.fromPage === false;
  }

  /** From the first mapping on everybody asks here; before it nobody has to. */
  #install(): void {
    if (this.#installed) return;
    this.#installed = true;
    const { base } = this;
    base.special = this;
    base.zap.special = this;
    const { opened, closed, releaseFile } = base.vmas;
    base.vmas.opened = (vma) => {
      opened(vma);
      this.#opened(vma);
    };
    base.vmas.closed = (vma) => {
      closed(vma);
      this.#closed(vma);
    };
    base.vmas.releaseFile = (file) => {
      releaseFile(file);
      this.#released(file);
    };
  }

  /**
   * Maps pages `first` … of an array of `n` over the whole of a fresh VMA. 0, or
   * an errno with nothing mapped: EINVAL where the VMA is private or larger than
   * what is there, EBUSY where the file belongs to another object, ENOMEM.
   */
  map(mm: Ref, vpn: number, object: Ref, pages: Ref, n: number, first: number): number {
    const { w, vmas } = this.base;
    this.#install();
    downWrite(w, mm, MM_MMAP_LOCK);
    const vma = vmas.tree.lookup(mm, vpn);
    const error =
      vma === NONE || vmas.tree.start(vma) !== vpn
        ? EINVAL
        : this.#map(mm, vma, object, pages, n, first);
    upWrite(w, mm, MM_MMAP_LOCK);
    return error;
  }

  #map(mm: Ref, vma: Ref, object: Ref, pages: Ref, n: number, first: number): number {
    const { vmas, zap, counts } = this.base;
    const start = vmas.tree.start(vma);
    const end = vmas.tree.end(vma);
    if (first < 0 || first + end - start > n) return EINVAL;
    if ((vmas.flags(vma) & VM_SHARED) === 0) return EINVAL;
    const error = this.#attach(vma, object);
    if (error !== 0) return error;
    for (let vpn = start; vpn < end; vpn++) {
      const result = this.#insert(mm, vma, vpn, this.objects.frame(pages, n, first + vpn - start));
      if (result === 0) continue;
      zap.single(vma, mm, counts.mmId(vma), start, vpn);
      this.#detach(vma);
      return result;
    }
    return 0;
  }

  /** What the VMA is from now on, and what it or its file holds. */
  #attach(vma: Ref, object: Ref): number {
    const { core, w, vmas } = this.base;
    const holds = this.objects.counted ? this.objects.lookup?.mappingHolds : "page";
    if (holds === "vma") {
      if (!this.objects.object.tryGet(object, -1, 1)) return EFAULT;
      core.setPointer(vma, VMA_VM_PRIVATE_DATA, object);
    } else if (holds === "file") {
      const file = vmas.file(vma);
      const has = file === NONE ? NONE : core.pointer(file, FILE_PRIVATE_DATA);
      if (file === NONE) return EINVAL;
      if (has !== NONE && has !== object) return EBUSY;
      if (has === NONE) {
        if (!this.objects.object.tryGet(object, -1, 1)) return EFAULT;
        core.setPointer(file, FILE_PRIVATE_DATA, object);
      }
    }
    const kind = this.objects.object.name === "none" ? VM_PFNMAP | VM_IO : VM_MIXEDMAP;
    vmas.setFlags(vma, vmas.flags(vma) | kind | VM_DONTEXPAND | VM_DONTDUMP);
    w.store32(vma, VMA_VM_OPS, OPS_SCATTERED);
    return 0;
  }

  /** A mapping that failed: its VMA holds nothing and is nobody's. */
  #detach(vma: Ref): void {
    this.#closed(vma);
    this.base.core.setPointer(vma, VMA_VM_PRIVATE_DATA, NONE);
    this.base.w.store32(vma, VMA_VM_OPS, 0);
  }

  /** vm_insert_page, or one page of remap_pfn_range. */
  #insert(mm: Ref, vma: Ref, vpn: number, pfn: number): number {
    const { w, tables, vmas } = this.base;
    const table = tables.ensurePte(mm, vpn);
    if (table === NONE) return ENOMEM;
    const desc = tables.lock(table);
    const off = pteAt(vpn);
    let error = (w.load64(table, off) | w.hi) !== 0 ? EBUSY : 0;
    if (error === 0 && !this.#get(mm, vma, pfn)) error = EFAULT;
    if (error === 0) {
      const flags = vmas.flags(vma);
      const special = this.objects.asFolio ? 0 : PTE_SPECIAL;
      const bits = pteRights(flags, false) | special;
      w.store64(table, off, pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
    }
    tables.unlock(desc);
    return error;
  }

  /** What a mapping of one page holds. */
  #get(mm: Ref, vma: Ref, pfn: number): boolean {
    const { objects } = this;
    if (objects.asFolio) {
      const { w, folios, counts, zap } = this.base;
      const folio = folios.ofPage(pfn);
      folios.get(folio);
      counts.addPtes(folio, pfn, 0, 1, counts.mmId(vma));
      w.add32(mm, zap.rssOf(folio), 1);
      return true;
    }
    this.mapped(pfn);
    return true;
  }

  mapped(pfn: number): void {
    const { objects } = this;
    if (objects.countsItself(pfn)) {
      objects.object.tryGet(NONE, pfn, 1);
      objects.addMaps(pfn, 1);
      return;
    }
    const object = this.#objectOfMapping(pfn);
    if (object !== NONE) objects.object.tryGet(object, pfn, 1);
  }

  unmapped(pfn: number): void {
    const { objects } = this;
    if (objects.countsItself(pfn)) {
      objects.addMaps(pfn, -1);
      objects.putPage(pfn, 1);
      return;
    }
    const object = this.#objectOfMapping(pfn);
    if (object !== NONE) objects.putObject(object, 1);
  }

  /** The object that a mapped page holds; 0 where the VMA or file does, or nobody. */
  #objectOfMapping(pfn: number): Ref {
    const { lookup } = this.objects;
    return lookup?.mappingHolds === "page" ? this.objects.ofPage(pfn) : NONE;
  }

  /** A VMA was copied: fork, split, mremap. */
  #opened(vma: Ref): void {
    const object = this.#heldBy(vma);
    if (object !== NONE) this.objects.object.tryGet(object, -1, 1);
  }

  #closed(vma: Ref): void {
    const { vmas } = this.base;
    if (vmas.ops(vma) === OPS_SCATTERED)
      this.onClosed(vmas.mm(vma), vmas.tree.start(vma), vmas.tree.end(vma));
    const object = this.#heldBy(vma);
    if (object !== NONE) this.objects.putObject(object, 1);
  }

  #heldBy(vma: Ref): Ref {
    const { vmas } = this.base;
    if (vmas.ops(vma) !== OPS_SCATTERED || !this.objects.counted) return NONE;
    return this.objects.lookup?.mappingHolds === "vma" ? vmas.privateData(vma) : NONE;
  }

  /** The last reference to an open file went. */
  #released(file: Ref): void {
    const { core } = this.base;
    const object = core.pointer(file, FILE_PRIVATE_DATA);
    if (!this.objects.counted || this.objects.lookup?.mappingHolds !== "file") return;
    core.setPointer(file, FILE_PRIVATE_DATA, NONE);
    this.objects.putObject(object, 1);
  }

  /** Read the page's word, take a reference unless there is none, read the word again. */
  getFromPage(pfn: number, n: number): Ref {
    const { objects } = this;
    const { core } = this.base;
    if (objects.countsItself(pfn))
      return objects.object.tryGet(NONE, pfn, n) ? core.design.wordsOf(pfn).ref : NONE;
    const { rcu } = core.machine;
    rcu.readLock(core.cpu);
    const object = objects.ofPage(pfn);
    const got = object !== NONE && objects.object.tryGet(object, pfn, n);
    const same = got && objects.ofPage(pfn) === object;
    rcu.readUnlock(core.cpu);
    if (got && !same) objects.putObject(object, n);
    return same ? object : NONE;
  }

  getFromVma(vma: Ref, _vpn: number, pfn: number, n: number): Ref | number {
    const { core, vmas } = this.base;
    if (vmas.ops(vma) !== OPS_SCATTERED) return EFAULT;
    if (!this.carries) {
      const from = this.getFromPage(pfn, n);
      return from === NONE ? EFAULT : from;
    }
    const file = vmas.file(vma);
    const filePrivate = file === NONE ? NONE : core.pointer(file, FILE_PRIVATE_DATA);
    const object = this.objects.lookup?.ofVma(vmas.privateData(vma), filePrivate) ?? NONE;
    return object !== NONE && this.objects.object.tryGet(object, pfn, n) ? object : EFAULT;
  }

  countsAsFolio(pfn: number): boolean {
    return this.objects.asFolio && this.base.core.design.typeOf(pfn) === T_MISC;
  }

  owns(pfn: number): boolean {
    return this.objects.countsItself(pfn) || this.objects.ofPage(pfn) !== NONE;
  }

  put(pfn: number, holder: Ref, n: number): void {
    const { objects } = this;
    if (holder !== NONE) return objects.putObject(holder, n);
    if (objects.countsItself(pfn)) return objects.putPage(pfn, n);
    const object = objects.ofPage(pfn);
    if (object !== NONE) objects.putObject(object, n);
    else this.base.core.watch?.countless(pfn, "released, and it belongs to no object");
  }
}
