/**
 * vmalloc areas: addresses in the kernel's own range, their pages, and the
 * kernel's page tables over them.
 *
 * An area is a vmap_area (the address) with a vm_struct (what is there), a guard
 * page behind it. Huge areas come from order-9 blocks that are cut into single
 * pages at once, as the kernel does so that drivers may count each; the kernel
 * maps them by PMDs.
 *
 * Source: mm/vmalloc.c of 6.18 (__vmalloc_node_range, vm_area_alloc_pages,
 * alloc_vmap_area, vmap_pages_range, vfree, find_vm_area). Simplified: first fit
 * in one sorted list where the kernel has trees per node; page tables go with the
 * last area over them, where the kernel keeps them; one address range of 4 TiB.
 */
import type { Ref } from "../../../units.js";
import {
  MM_PGD,
  VM_STRUCT_ADDR,
  VM_STRUCT_AREA_SIZE,
  VM_STRUCT_FLAGS,
  VM_STRUCT_NR_PAGES,
  VM_STRUCT_PAGE_ORDER,
  VM_STRUCT_PAGES,
  VM_STRUCT_REQUESTED_SIZE,
  VMAP_AREA_LIST,
  VMAP_AREA_VA_END,
  VMAP_AREA_VA_START,
  VMAP_AREA_VM,
} from "../../layout/generated/offsets.js";
import type { Base } from "../base.js";
import { ENOMEM, PMD_ORDER, PMD_PAGES } from "../constants.js";
import { S_VM_FIRST, S_VM_LOCK } from "../core.js";
import {
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_NX_HI,
  PTE_PRESENT,
  PTE_THERE,
  PTE_WRITE,
} from "../entry.js";
import { spinLock, spinUnlock } from "../locks.js";
import { O_VM_STRUCT, O_VMAP_AREA } from "../objects.js";
import { pmdAt, pteAt } from "../page-tables.js";
import type { ScatteredObjects } from "./objects.js";

// vm_struct.flags
export const VM_ALLOC = 2;
export const VM_MAP = 4;
/** May be mapped to user space. */
export const VM_USERMAP = 8;
export const VM_ALLOW_HUGE_VMAP = 0x400;

const NONE = 0 as Ref;
/** Pages of the range: the upper half of what a page number can say. */
export const VMALLOC_START = 2 ** 30;
const VMALLOC_END = 2 ** 31 - 1024;
/** What the first of them is called in a kernel (x86-64, four levels, no KASLR). */
export const VMALLOC_ADDRESS = 0xffffc90000000000n;
const NEXT = VMAP_AREA_LIST;
/** PAGE_KERNEL */
const KERNEL = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY;

export class Vmalloc {
  readonly base: Base;
  readonly objects: ScatteredObjects;

  constructor(base: Base, objects: ScatteredObjects) {
    this.base = base;
    this.objects = objects;
  }

  /** First page of an area. */
  start(area: Ref): number {
    const lo = this.base.w.load64(area, VM_STRUCT_ADDR);
    return (lo >>> 12) | (this.base.w.hi << 20);
  }

  /** Pages without the guard page. */
  pages(area: Ref): number {
    const lo = this.base.w.load64(area, VM_STRUCT_AREA_SIZE);
    return ((lo >>> 12) | (this.base.w.hi << 20)) - 1;
  }

  flags(area: Ref): number {
    return this.base.w.load32(area, VM_STRUCT_FLAGS);
  }

  /**
   * __vmalloc_node_range: an area of `pages` fresh pages, mapped; its vm_struct,
   * or ENOMEM with nothing changed. With VM_ALLOW_HUGE_VMAP an area of a PMD or
   * more is made of whole huge pages, where there are such blocks.
   */
  alloc(pages: number, flags: number): number {
    if (pages <= 0) return ENOMEM;
    if ((flags & VM_ALLOW_HUGE_VMAP) !== 0 && pages >= PMD_PAGES) {
      const whole = Math.ceil(pages / PMD_PAGES) * PMD_PAGES;
      const area = this.#alloc(whole, pages, flags, PMD_ORDER);
      if (area >= 0) return area;
    }
    return this.#alloc(pages, pages, flags, 0);
  }

  #alloc(pages: number, requested: number, flags: number, order: number): number {
    const pfns = this.takePages(pages, order);
    if (pfns === null) return ENOMEM;
    const area = this.area(pages, requested, flags | VM_ALLOC, order);
    if (area === NONE) {
      this.givePages(pfns);
      return ENOMEM;
    }
    const object = this.objects.make(area, pfns);
    if (object < 0 || !this.#map(area, pfns, order)) {
      this.#unlink(area);
      if (object >= 0) this.#letGo(area);
      else this.givePages(pfns);
      // The last reference takes a vm_struct along where that is what is counted.
      if (object < 0 || this.objects.object.name !== "vm-struct")
        this.base.core.freeObject(O_VM_STRUCT, area);
      return ENOMEM;
    }
    return area;
  }

  /** vm_area_alloc_pages: single pages, cut from blocks of `order`; null without memory. */
  takePages(n: number, order: number): Int32Array | null {
    const pfns = new Int32Array(n);
    for (let i = 0; i < n; i += 1 << order) {
      const pfn = this.objects.arrays.page(order);
      if (pfn < 0) {
        this.givePages(pfns.subarray(0, i));
        return null;
      }
      // vmalloc_user: what it held before is nobody's business (__GFP_ZERO).
      this.base.core.content.clearBlock(pfn, order);
      for (let k = 0; k < 1 << order; k++) pfns[i + k] = pfn + k;
    }
    return pfns;
  }

  /** Back to the allocator, pages that belong to no object. */
  givePages(pfns: Int32Array): void {
    const { design, machine } = this.base.core;
    for (const pfn of pfns) {
      design.release(pfn, 0);
      machine.allocator.free(pfn, 0);
    }
  }

  /** get_vm_area: an address and a vm_struct for it, nothing mapped; 0 without memory. */
  area(pages: number, requested: number, flags: number, order: number): Ref {
    const { core, w } = this.base;
    const area = core.newObject(O_VM_STRUCT);
    if (area === NONE) return area;
    const va = core.newObject(O_VMAP_AREA);
    const start = va === NONE ? ENOMEM : this.#place(va, pages + 1, 1 << order);
    if (start < 0) {
      if (va !== NONE) core.freeObject(O_VMAP_AREA, va);
      core.freeObject(O_VM_STRUCT, area);
      return NONE;
    }
    core.setPointer(va, VMAP_AREA_VM, area);
    storePages(w, area, VM_STRUCT_ADDR, start);
    storePages(w, area, VM_STRUCT_AREA_SIZE, pages + 1);
    storePages(w, area, VM_STRUCT_REQUESTED_SIZE, requested);
    w.store32(area, VM_STRUCT_FLAGS, flags);
    w.store32(area, VM_STRUCT_PAGE_ORDER, order);
    return area;
  }

  /** alloc_vmap_area: the lowest gap that fits; its first page or ENOMEM. The list is by address. */
  #place(va: Ref, pages: number, align: number): number {
    const { core, w } = this.base;
    spinLock(w, core.state, S_VM_LOCK);
    let before = NONE;
    let next = w.load32(core.state, S_VM_FIRST) as Ref;
    let start = VMALLOC_START;
    while (next !== NONE) {
      const from = Math.ceil(start / align) * align;
      if (from + pages <= this.#va(next, VMAP_AREA_VA_START)) break;
      start = this.#va(next, VMAP_AREA_VA_END);
      before = next;
      next = core.pointer(next, NEXT);
    }
    start = Math.ceil(start / align) * align;
    const fits = start + pages <= VMALLOC_END;
    if (fits) {
      storePages(w, va, VMAP_AREA_VA_START, start);
      storePages(w, va, VMAP_AREA_VA_END, start + pages);
      core.setPointer(va, NEXT, next);
      if (before === NONE) w.store32(core.state, S_VM_FIRST, va);
      else core.setPointer(before, NEXT, va);
    }
    spinUnlock(w, core.state, S_VM_LOCK);
    return fits ? start : ENOMEM;
  }

  #va(va: Ref, off: number): number {
    const lo = this.base.w.load64(va, off);
    return (lo >>> 12) | (this.base.w.hi << 20);
  }

  /** Every vm_struct whose address is taken, from the lowest up. */
  *areas(): Generator<Ref> {
    const { core, w } = this.base;
    let va = w.load32(core.state, S_VM_FIRST) as Ref;
    while (va !== NONE) {
      yield core.pointer(va, VMAP_AREA_VM);
      va = core.pointer(va, NEXT);
    }
  }

  /** find_vm_area: the area over a page of the range; 0 for none, a guard page included. */
  find(vpn: number): Ref {
    for (const area of this.areas()) {
      const start = this.start(area);
      if (vpn >= start && vpn < start + this.pages(area)) return area;
    }
    return NONE;
  }

  /** vmap: an area over pages that are somebody else's; its vm_struct, or ENOMEM. */
  vmap(pfns: Int32Array, flags: number): number {
    const area = this.area(pfns.length, pfns.length, flags | VM_MAP, 0);
    if (area === NONE) return ENOMEM;
    if (this.#map(area, pfns, 0)) return area;
    this.#unlink(area);
    this.base.core.freeObject(O_VM_STRUCT, area);
    return ENOMEM;
  }

  /** vunmap: the address goes, the pages are somebody else's. */
  vunmap(area: Ref): void {
    this.#unmap(area);
    this.#unlink(area);
    this.base.core.freeObject(O_VM_STRUCT, area);
  }

  /** vfree: the address goes at once, the pages with their last holder. */
  free(area: Ref): void {
    this.#unmap(area);
    this.#unlink(area);
    const counted = this.objects.object.name === "vm-struct";
    this.#letGo(area);
    if (!counted) this.base.core.freeObject(O_VM_STRUCT, area);
  }

  /** The area's own reference, or references, or what it has where nothing is counted. */
  #letGo(area: Ref): void {
    const { objects } = this;
    if (objects.counted) return objects.putObject(objects.ofArea(area), 1);
    const n = objects.count(area);
    const pages = objects.pagesOf(area);
    for (let i = 0; i < n; i++) {
      const pfn = objects.frame(pages, n, i);
      if (objects.object.holds === "page") objects.putPage(pfn, 1);
      else objects.freePage(pfn);
    }
    objects.freeArrays(pages, NONE, n);
  }

  /** Takes the address off the list. */
  #unlink(area: Ref): void {
    const { core, w, tables } = this.base;
    const start = this.start(area);
    spinLock(w, core.state, S_VM_LOCK);
    let before = NONE;
    let va = w.load32(core.state, S_VM_FIRST) as Ref;
    while (core.pointer(va, VMAP_AREA_VM) !== area) {
      before = va;
      va = core.pointer(va, NEXT);
    }
    const next = core.pointer(va, NEXT);
    if (before === NONE) w.store32(core.state, S_VM_FIRST, next);
    else core.setPointer(before, NEXT, next);
    spinUnlock(w, core.state, S_VM_LOCK);
    core.freeObject(O_VMAP_AREA, va);
    const pgd = tables.pgd(core.initMm);
    if (pgd === NONE) return;
    const floor = before === NONE ? 0 : this.#va(before, VMAP_AREA_VA_END);
    const ceiling = next === NONE ? 2 ** 31 : this.#va(next, VMAP_AREA_VA_START);
    tables.freeRange(core.initMm, start, start + this.pages(area), floor, ceiling);
    if (before !== NONE || next !== NONE) return;
    core.setPointer(core.initMm, MM_PGD, NONE);
    tables.free(core.initMm, pgd);
  }

  /** vmap_pages_range; false without memory, with nothing mapped. */
  #map(area: Ref, pfns: ArrayLike<number>, order: number): boolean {
    const { core, tables } = this.base;
    if (tables.pgd(core.initMm) === NONE) {
      const pgd = tables.alloc(core.initMm);
      if (pgd === NONE) return false;
      core.setPointer(core.initMm, MM_PGD, pgd);
    }
    const start = this.start(area);
    const step = 1 << order;
    for (let i = 0; i < pfns.length; i += step) {
      const ok = order > 0 ? this.#mapHuge(start + i, pfns[i]) : this.#mapOne(start + i, pfns[i]);
      if (ok) continue;
      this.#clear(start, i);
      return false;
    }
    return true;
  }

  #mapOne(vpn: number, pfn: number): boolean {
    const { core, w, tables } = this.base;
    const table = tables.ensurePte(core.initMm, vpn);
    if (table === NONE) return false;
    w.store64(table, pteAt(vpn), pteLow(pfn, KERNEL), pteHigh(pfn) | PTE_NX_HI);
    return true;
  }

  #mapHuge(vpn: number, pfn: number): boolean {
    const { core, w, tables } = this.base;
    const pmds = tables.ensurePmd(core.initMm, vpn);
    if (pmds === NONE) return false;
    w.store64(pmds, pmdAt(vpn), pteLow(pfn, KERNEL | PMD_HUGE), pteHigh(pfn) | PTE_NX_HI);
    return true;
  }

  #unmap(area: Ref): void {
    this.#clear(this.start(area), this.pages(area));
  }

  /** vunmap_range_noflush */
  #clear(start: number, pages: number): void {
    const { core, w, tables } = this.base;
    for (let vpn = start; vpn < start + pages;) {
      const pmds = tables.pmdTable(core.initMm, vpn);
      const lo = pmds === NONE ? 0 : w.load64(pmds, pmdAt(vpn));
      if ((lo & PMD_HUGE) !== 0) {
        w.store64(pmds, pmdAt(vpn), 0, 0);
        vpn += PMD_PAGES;
        continue;
      }
      const table = pmds === NONE ? NONE : tables.below(pmds, pmdAt(vpn));
      if (table !== NONE) w.store64(table, pteAt(vpn), 0, 0);
      vpn++;
    }
  }

  /** What the kernel's tables map at a page of the range; −1 for nothing: a fault in the kernel. */
  translate(vpn: number): number {
    const { core, w, tables } = this.base;
    if (tables.pgd(core.initMm) === NONE) return -1;
    const pmds = tables.pmdTable(core.initMm, vpn);
    if (pmds === NONE) return -1;
    const pmd = w.load64(pmds, pmdAt(vpn));
    if ((pmd & PMD_HUGE) !== 0) return ptePfn(pmd & ~PMD_HUGE, w.hi) + (vpn & 511);
    const table = tables.below(pmds, pmdAt(vpn));
    if (table === NONE) return -1;
    const lo = w.load64(table, pteAt(vpn));
    return (lo & PTE_THERE) === 0 ? -1 : ptePfn(lo, w.hi);
  }

  /** Whether an area is made of huge pages. */
  isHuge(area: Ref): boolean {
    return this.base.w.load32(area, VM_STRUCT_PAGE_ORDER) > 0;
  }

  /** Whether the area owns its pages (vmalloc) or only maps them (vmap). */
  owns(area: Ref): boolean {
    return (this.flags(area) & VM_ALLOC) !== 0;
  }

  /** Pages that its vm_struct names; 0 for a vmap, whose pages are its caller's. */
  named(area: Ref): number {
    return this.owns(area) ? this.base.w.load32(area, VM_STRUCT_NR_PAGES) : 0;
  }

  /** vm_struct.pages, whatever that leads to in the design at hand. */
  pagesField(area: Ref): Ref {
    return this.base.core.pointer(area, VM_STRUCT_PAGES);
  }
}

/** Stores a number of pages as bytes. */
function storePages(w: Base["w"], ref: Ref, off: number, pages: number): void {
  w.store64(ref, off, pages << 12, pages >>> 20);
}
