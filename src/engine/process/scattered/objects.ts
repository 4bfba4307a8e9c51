/**
 * "Some pages as one object", as the design at hand has it: made, found, held,
 * let go.
 *
 * The choices are in design/scattered*; here they meet the machine: the object's
 * arrays, its pages' words, what happens when the last reference goes. The host
 * of an object is its vm_struct (vm-struct, and where nothing is counted), a
 * scamem, or, for a list of pages without an area and without a counted object,
 * nothing but the array.
 *
 * Facts: memdesc-facts §4.1.
 */
import type { Ref } from "../../../units.js";
import {
  SCAMEM_NR,
  SCAMEM_PAGES,
  SCAMEM_SLOTS,
  SCATTERED_SLOT_OBJECT,
  VM_STRUCT_NR_PAGES,
  VM_STRUCT_PAGES,
  VM_STRUCT_SLOTS,
} from "../../layout/generated/offsets.js";
import { createScattered } from "../../design/scattered-choices.js";
import type { ScatteredLookup } from "../../design/scattered-lookup/axis.js";
import type { ScatteredNid } from "../../design/scattered-nid/axis.js";
import type { ScatteredObject } from "../../design/scattered/axis.js";
import { countsPages } from "../../design/word/axis.js";
import { MISC_UNKNOWN, MISC_VMALLOC, T_MISC } from "../../design/word/axis-types.js";
import type { Base } from "../base.js";
import { ENOMEM } from "../constants.js";
import { S_PFN_INDEX } from "../core.js";
import { O_INDEX_NODE, O_SCAMEM, O_VM_STRUCT } from "../objects.js";
import { Arrays } from "./arrays.js";

const NONE = 0 as Ref;
const PAGE_ENTRY = 8;

export class ScatteredObjects {
  readonly base: Base;
  readonly arrays: Arrays;
  readonly object: ScatteredObject;
  /** Null where there is nothing to find. */
  readonly lookup: ScatteredLookup | null;
  readonly nid: ScatteredNid;
  /**
   * Struct page with its folio in it: what counts a page is what counts a folio,
   * and the kernel does not tell the two apart (page_folio of a bare page).
   */
  readonly asFolio: boolean;
  /** Pages that went back through this class since boot: what reports count. */
  freedPages = 0;

  constructor(base: Base) {
    this.base = base;
    const { core, w } = base;
    const { machine, design } = core;
    this.arrays = new Arrays(core);
    const parts = createScattered(machine.choice, {
      w,
      pages: countsPages(design) ? design : null,
      link: design,
      indexRoot: (core.state + S_PFN_INDEX / 16) as Ref,
      newNode: () => core.newObject(O_INDEX_NODE),
      freeNode: (node) => {
        machine.rcu.synchronize();
        core.freeObject(O_INDEX_NODE, node);
      },
    });
    this.object = parts.object;
    this.lookup = parts.lookup;
    this.nid = parts.nid;
    const { choice } = machine;
    this.asFolio =
      parts.object.name === "per-page" && design.overlay && !choice.separated.has("file");
  }

  /** Whether a reference holds all pages of an object. */
  get counted(): boolean {
    return this.object.holds === "object";
  }

  /** Bytes of an entry of the pages array, or of a slot where that names the page. */
  get stride(): number {
    const slots = this.lookup?.slotBytes ?? 0;
    return slots > 0 && !this.nid.inSlot ? slots : PAGE_ENTRY;
  }

  /** Whether slots are an array beside the one of page numbers. */
  get twoArrays(): boolean {
    return this.nid.inSlot;
  }

  /**
   * The pages' array and what else the object needs, every page entered; the
   * first reference last. `host` is a vm_struct or 0 (then a scamem is made where
   * the design has them). The object, the bare array where nothing counts, or
   * ENOMEM with nothing changed; the pages are the caller's until then.
   */
  make(host: Ref, pfns: ArrayLike<number>): number {
    const { core } = this.base;
    const scamem = this.object.name === "scamem";
    const object = scamem ? core.newObject(O_SCAMEM) : host;
    if (scamem && object === NONE) return ENOMEM;
    const n = pfns.length;
    const pages = this.arrays.alloc(n, this.stride);
    const slots = pages !== NONE && this.twoArrays ? this.arrays.alloc(n, 16) : NONE;
    const ok =
      pages !== NONE &&
      (slots !== NONE || !this.twoArrays) &&
      this.#enterAll(object, pages, slots, pfns);
    if (!ok) {
      if (slots !== NONE) this.arrays.free(slots, n, 16);
      if (pages !== NONE) this.arrays.free(pages, n, this.stride);
      if (scamem) core.freeObject(O_SCAMEM, object);
      return ENOMEM;
    }
    this.#setHost(host, object, pages, slots, n);
    if (this.counted) this.object.init(object, -1);
    return this.counted ? object : host !== NONE ? host : pages;
  }

  #setHost(host: Ref, object: Ref, pages: Ref, slots: Ref, n: number): void {
    const { core, w } = this.base;
    if (this.object.name === "scamem") {
      w.store32(object, SCAMEM_NR, n);
      core.setPointer(object, SCAMEM_PAGES, pages);
      core.setPointer(object, SCAMEM_SLOTS, slots);
    }
    if (host === NONE) return;
    w.store32(host, VM_STRUCT_NR_PAGES, n);
    core.setPointer(host, VM_STRUCT_PAGES, this.object.name === "scamem" ? object : pages);
    if (this.object.name !== "scamem") core.setPointer(host, VM_STRUCT_SLOTS, slots);
  }

  #enterAll(object: Ref, pages: Ref, slots: Ref, pfns: ArrayLike<number>): boolean {
    const n = pfns.length;
    for (let i = 0; i < n; i++) {
      const slot = this.#fill(object, pages, slots, n, i, pfns[i]);
      if (this.#enter(pfns[i], object, slot)) continue;
      // What was entered is Misc again, as the caller's pages were.
      for (let j = 0; j < i; j++) this.lookup?.leave(pfns[j]);
      return false;
    }
    return true;
  }

  /** Entry `i` of the arrays; its slot, or 0. */
  #fill(object: Ref, pages: Ref, slots: Ref, n: number, i: number, pfn: number): Ref {
    const { core, w } = this.base;
    const { design } = core;
    const slotBytes = this.lookup?.slotBytes ?? 0;
    const inPages = slotBytes > 0 && !this.twoArrays;
    const entry = this.arrays.at(pages, n, this.stride, i);
    if (!inPages) w.store64(entry, (i * PAGE_ENTRY) & 15, pfn, 0);
    if (slotBytes === 0) return NONE;
    const slot = inPages ? entry : this.arrays.at(slots, n, 16, i);
    core.setPointer(slot, SCATTERED_SLOT_OBJECT, object);
    this.nid.fill(w, slot, pfn, core.machine.zones.bits[design.zoneOf(pfn)]);
    return slot;
  }

  #enter(pfn: number, object: Ref, slot: Ref): boolean {
    const { design } = this.base.core;
    const zone = design.zoneOf(pfn);
    if (this.lookup !== null && this.object.name !== "per-page")
      return this.lookup.enter(pfn, zone, object, slot);
    // Struct page has no name for vmalloc: a page that is counted beside folios is marked.
    if (design.overlay && this.object.name === "per-page" && !this.asFolio)
      design.bindScattered(pfn, design.wordsOf(pfn).ref, zone);
    else design.bindMisc(pfn, 0, design.overlay ? MISC_UNKNOWN : MISC_VMALLOC, true, zone);
    if (this.object.name === "per-page") this.object.init(NONE, pfn);
    return true;
  }

  /** The object of an area, or its own vm_struct. */
  ofArea(area: Ref): Ref {
    return this.object.name === "scamem" ? this.base.core.pointer(area, VM_STRUCT_PAGES) : area;
  }

  /** Pages that an object, or an uncounted host, has. */
  count(object: Ref): number {
    const at = this.object.name === "scamem" ? SCAMEM_NR : VM_STRUCT_NR_PAGES;
    return this.base.w.load32(object, at);
  }

  pagesOf(object: Ref): Ref {
    const at = this.object.name === "scamem" ? SCAMEM_PAGES : VM_STRUCT_PAGES;
    return this.base.core.pointer(object, at);
  }

  #slotsOf(object: Ref): Ref {
    const at = this.object.name === "scamem" ? SCAMEM_SLOTS : VM_STRUCT_SLOTS;
    return this.base.core.pointer(object, at);
  }

  /** Frame of page `i` of an array of `n`. */
  frame(pages: Ref, n: number, i: number): number {
    const entry = this.arrays.at(pages, n, this.stride, i);
    const off = this.stride === 16 ? 8 : (i * PAGE_ENTRY) & 15;
    return this.base.w.load64(entry, off);
  }

  /** The object that a page belongs to; 0 where the page cannot say or is none's. */
  ofPage(pfn: number): Ref {
    return this.lookup === null || !this.counted ? NONE : this.lookup.ofPage(pfn);
  }

  /** Whether a page counts itself as one of scattered memory. */
  countsItself(pfn: number): boolean {
    if (this.object.name !== "per-page" || this.asFolio) return false;
    const { design } = this.base.core;
    if (design.overlay) return design.scatteredOf(pfn) !== NONE;
    return design.typeOf(pfn) === T_MISC && design.subtypeOf(pfn) === MISC_VMALLOC;
  }

  /** The page's own map count, where pages count themselves. */
  addMaps(pfn: number, n: number): number {
    const { design } = this.base.core;
    return countsPages(design) ? design.addPageMaps(pfn, n) : 0;
  }

  /** Gives `n` references to a counted object back; the last one frees it wherever that happens. */
  putObject(object: Ref, n: number): void {
    const left = this.object.put(object, -1, n);
    if (left === 0) this.#destroy(object);
    else if (left < 0)
      this.base.core.watch?.countless(-1, "a scattered object was put more often than it was got");
  }

  /** Gives `n` references to a page back; the last one frees the page. */
  putPage(pfn: number, n: number): void {
    if (this.asFolio) {
      const { folios } = this.base;
      const folio = folios.ofPage(pfn);
      if (folios.refcount(folio) === n) this.freedPages++;
      return folios.put(folio, n);
    }
    if (this.object.put(NONE, pfn, n) === 0) this.freePage(pfn);
  }

  /** A page back to the allocator; it belongs to no object any more. */
  freePage(pfn: number): void {
    const { core } = this.base;
    core.content.clear(pfn);
    core.design.release(pfn, 0);
    core.machine.allocator.free(pfn, 0);
    this.freedPages++;
  }

  /** The last reference went: pages, arrays, the object itself. */
  #destroy(object: Ref): void {
    const { core } = this.base;
    const n = this.count(object);
    const pages = this.pagesOf(object);
    for (let i = 0; i < n; i++) {
      const pfn = this.frame(pages, n, i);
      this.lookup?.leave(pfn);
      this.freePage(pfn);
    }
    this.freeArrays(pages, this.#slotsOf(object), n);
    core.freeObject(this.object.name === "scamem" ? O_SCAMEM : O_VM_STRUCT, object);
  }

  /** Frees the arrays; slots that a reader without a lock may still follow wait for it. */
  freeArrays(pages: Ref, slots: Ref, n: number): void {
    if ((this.lookup?.slotBytes ?? 0) > 0) this.base.core.machine.rcu.synchronize();
    this.arrays.free(pages, n, this.stride);
    if (slots !== NONE) this.arrays.free(slots, n, 16);
  }

  /** Bytes of the arrays of an object of `n` pages. */
  arrayBytes(n: number): number {
    const own = this.arrays.bytes(n, this.stride);
    return own + (this.twoArrays ? this.arrays.bytes(n, 16) : 0);
  }
}
