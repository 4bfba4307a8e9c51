/**
 * Compaction: movable folios at the low end of a zone move into free blocks at
 * its high end, until the two scanners meet.
 *
 * The destination's frames are taken from the free lists directly and its
 * descriptor from below all watermarks: compaction runs when memory is short.
 *
 * Source: mm/compaction.c of 6.18 (isolate_migratepages, isolate_freepages,
 * compaction_alloc). Simplified: every pageblock is scanned, no deferral, no skip
 * bits; the free scanner takes the block at the highest address that fits.
 */
import { PG_LRU } from "../design/word/axis-flags.js";
import type { PageType } from "../design/word/axis-types.js";
import { ALLOC_NO_WATERMARKS } from "../pages/allocator.js";
import type { Ref } from "../../units.js";
import type { Base } from "./base.js";
import { ENOMEM } from "./constants.js";
import type { Migration } from "./migrate.js";

const NONE = 0 as Ref;

export class Compaction {
  readonly base: Base;
  readonly migration: Migration;
  /** Pages that moved. */
  moved = 0;
  #top = 0;
  #bottom = 0;

  constructor(base: Base, migration: Migration) {
    this.base = base;
    this.migration = migration;
    base.folios.compact = (order) => this.forOrder(order);
  }

  /** Compacts zone by zone until a block of that order is free. */
  forOrder(order: number): boolean {
    const { machine } = this.base.core;
    for (let zone = 0; zone < machine.config.zones.length; zone++) {
      if (machine.buddy.freePages(zone) < 2 << order) continue;
      this.zone(zone, order);
      for (let o = order; o <= 10; o++) if (machine.buddy.freeBlocks(zone, o) > 0) return true;
    }
    return false;
  }

  /** compact_zone; `order` ends it as soon as such a block is free, −1 goes to the end. Pages moved. */
  zone(zone: number, order = -1): number {
    const { core, folios } = this.base;
    const { machine, design } = core;
    const { start, spanned } = machine.config.zones[zone];
    machine.allocator.drainAll();
    this.#bottom = start;
    this.#top = start + spanned;
    const before = this.moved;
    while (this.#bottom < this.#top) {
      const pfn = this.#bottom;
      const free = design.freeOrderAt(pfn);
      if (free >= 0) {
        this.#bottom += 1 << free;
        continue;
      }
      const folio = folios.ofPage(pfn);
      this.#bottom = pfn + 1;
      // Struct page takes a bare page for a folio: only what is on a list is one.
      if (folio === NONE || core.pfnOf(folio) !== pfn || !folios.test(folio, PG_LRU)) continue;
      const size = design.orderOf(pfn);
      this.#bottom = pfn + (1 << size);
      if (this.migration.move(pfn, (o, type) => this.#target(o, type)) === 0)
        this.moved += 1 << size;
      if (order >= 0 && this.#hasFree(zone, order)) break;
    }
    machine.allocator.drainAll();
    return this.moved - before;
  }

  #hasFree(zone: number, order: number): boolean {
    const { machine } = this.base.core;
    machine.allocator.drainAll();
    for (let o = order; o <= 10; o++) if (machine.buddy.freeBlocks(zone, o) > 0) return true;
    return false;
  }

  /** compaction_alloc: the highest free block that fits, above the migrate scanner. */
  #target(order: number, type: PageType): number {
    const { machine } = this.base.core;
    const size = 1 << order;
    for (let pfn = (this.#top - size) & -size; pfn >= this.#bottom; pfn -= size) {
      const found = this.#freeBlockOver(pfn, order);
      if (found < 0) continue;
      const block = machine.buddy.takeAt(found);
      this.#giveRest(found, block, pfn, order);
      this.#top = pfn;
      if (machine.adoptFolio(pfn, order, type, ALLOC_NO_WATERMARKS)) return pfn;
      machine.allocator.free(pfn, order);
      return ENOMEM;
    }
    return ENOMEM;
  }

  /** Head of the free block that holds all of a block of this order; −1 if there is none. */
  #freeBlockOver(pfn: number, order: number): number {
    const { design } = this.base.core;
    for (let o = order; o <= 10; o++) {
      const head = pfn & (-1 << o);
      if (design.freeOrderAt(head) >= o) return head;
    }
    return -1;
  }

  /** What is left of a free block around the part that was taken goes back. */
  #giveRest(head: number, block: number, pfn: number, order: number): void {
    const { buddy, zones } = this.base.core.machine;
    let at = head;
    let size = block;
    while (size > order) {
      size--;
      const half = at + (1 << size);
      const rest = pfn >= half ? at : half;
      if (pfn >= half) at = half;
      buddy.give(this.base.core.design.zoneOf(rest), rest, size, zones.migrateTypeOf(rest));
    }
  }
}
