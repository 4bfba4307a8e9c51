/**
 * Reverse map: a page becomes anonymous or stops being mapped, and from a folio
 * to the page-table entries that map it.
 *
 * Source: mm/rmap.c, mm/internal.h of 6.18 (__folio_set_anon,
 * folio_move_anon_rmap, rmap_walk).
 */
import type { Ref } from "../../units.js";
import {
  ADDRESS_SPACE_I_MMAP,
  ADDRESS_SPACE_I_MMAP_RWSEM,
  ANON_VMA_CHAINS,
  ANON_VMA_RWSEM,
  AVC_NEXT,
  AVC_VMA,
  VMA_SHARED_NEXT,
  VMA_VM_MM,
  VMA_VM_PGOFF,
} from "../layout/generated/offsets.js";
import { MAPPING_ANON } from "../design/word/axis-flags.js";
import type { Words } from "../words/words.js";
import type { AnonVmas } from "./anon-vma.js";
import type { Core } from "./core.js";
import type { Folios } from "./folios.js";
import { downRead, upRead } from "./locks.js";
import type { MapCounts } from "./map-counts.js";
import type { PageTables } from "./page-tables.js";
import type { VmaTree } from "./vma-tree.js";

const NONE = 0 as Ref;

export class Rmap {
  readonly core: Core;
  readonly w: Words;
  readonly folios: Folios;
  readonly counts: MapCounts;
  readonly anonVmas: AnonVmas;
  readonly tables: PageTables;
  readonly vmas: VmaTree;

  constructor(
    core: Core,
    folios: Folios,
    counts: MapCounts,
    anonVmas: AnonVmas,
    tables: PageTables,
    vmas: VmaTree,
  ) {
    this.core = core;
    this.w = core.w;
    this.folios = folios;
    this.counts = counts;
    this.anonVmas = anonVmas;
    this.tables = tables;
    this.vmas = vmas;
  }

  /** linear_page_index: where in its mapping page `vpn` of a VMA is. */
  index(vma: Ref, vpn: number): number {
    const lo = this.w.load64(vma, VMA_VM_PGOFF);
    const pgoff = this.w.hi === 0 ? lo >>> 0 : (lo >>> 0) + this.w.hi * 2 ** 32;
    return pgoff + vpn - this.vmas.start(vma);
  }

  /** folio_add_new_anon_rmap: a fresh folio, mapped by one process only. */
  newAnon(folio: Ref, pfn: number, order: number, vma: Ref, vpn: number, pmd: boolean): void {
    const { folios, counts, core } = this;
    folios.setMapping(folio, this.anonVmas.of(vma), MAPPING_ANON);
    folios.setIndex(folio, this.index(vma, vpn));
    const { design } = core;
    if (order === 0) {
      this.w.store32(folio, core.layout.mapcount, 0);
      design.setExclusive(pfn, true);
      return;
    }
    if (pmd) {
      counts.addPmd(folio, counts.mmId(vma));
      design.setExclusive(pfn, true);
      return;
    }
    counts.addPtes(folio, pfn, order, 1 << order, counts.mmId(vma));
    for (let i = 0; i < 1 << order; i++) design.setExclusive(pfn + i, true);
  }

  /** folio_move_anon_rmap: the only one left who maps it takes it over. */
  moveAnon(folio: Ref, vma: Ref): void {
    this.folios.setMapping(folio, this.anonVmas.of(vma), MAPPING_ANON);
  }

  /**
   * Every place where page `index` of the folio's mapping may be mapped: VMA and
   * page number. Whether it is, the entry there says. Stops when told to.
   */
  walk(folio: Ref, index: number, visit: (vma: Ref, mm: Ref, vpn: number) => boolean): void {
    this.walkRange(folio, index, 1, visit);
  }

  /**
   * rmap_walk: every VMA where some of `pages` pages, from `first` on, may be mapped,
   * once: from page number `vpn` on, which is page `i` of them, `n` of them.
   */
  walkRange(
    folio: Ref,
    first: number,
    pages: number,
    visit: (vma: Ref, mm: Ref, vpn: number, i: number, n: number) => boolean,
  ): void {
    // A KSM page's mappings are not followed (simplified): it is never moved or reclaimed.
    if (this.folios.isKsm(folio)) return;
    this.walkMapping(this.folios.mapping(folio), this.folios.isAnon(folio), first, pages, visit);
  }

  /** The same where the mapping is known: a device's folio has it elsewhere. */
  walkMapping(
    mapping: Ref,
    anon: boolean,
    first: number,
    pages: number,
    visit: (vma: Ref, mm: Ref, vpn: number, i: number, n: number) => boolean,
  ): void {
    const { w, core } = this;
    if (mapping === NONE) return;
    if (anon) {
      downRead(w, mapping, ANON_VMA_RWSEM);
      let chain = core.pointer(mapping, ANON_VMA_CHAINS);
      while (chain !== NONE) {
        // It may be taken away meanwhile.
        const next = core.pointer(chain, AVC_NEXT);
        if (!this.#visit(core.pointer(chain, AVC_VMA), first, pages, visit)) break;
        chain = next;
      }
      upRead(w, mapping, ANON_VMA_RWSEM);
      return;
    }
    downRead(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
    let vma = core.pointer(mapping, ADDRESS_SPACE_I_MMAP);
    while (vma !== NONE && this.#visit(vma, first, pages, visit))
      vma = core.pointer(vma, VMA_SHARED_NEXT);
    upRead(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
  }

  /** Where one VMA may map some of the pages. */
  #visit(
    vma: Ref,
    first: number,
    pages: number,
    visit: (vma: Ref, mm: Ref, vpn: number, i: number, n: number) => boolean,
  ): boolean {
    const start = this.vmas.start(vma);
    const from = start + ((first - this.w.load32(vma, VMA_VM_PGOFF)) | 0);
    const before = Math.max(0, start - from);
    if (before >= pages) return true;
    const n = Math.min(pages, this.vmas.end(vma) - from) - before;
    return n <= 0 || visit(vma, this.core.pointer(vma, VMA_VM_MM), from + before, before, n);
  }
}
