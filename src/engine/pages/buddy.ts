/**
 * The buddy allocator: free blocks of orders 0–10 in per-zone, per-migrate-type
 * lists, whose links lie inside the free pages themselves.
 *
 * The order of choices is the kernel's: smallest sufficient block first, upper
 * halves of a split back to the head of their lists, merging upwards on free,
 * to the tail where a bigger merge is likely; then claiming a whole pageblock of
 * another type, largest block first, then stealing a single block, smallest
 * first. A free block is always on the list of its pageblock's migrate type.
 *
 * Source: mm/page_alloc.c of 6.18 (__rmqueue_smallest, expand, __rmqueue_claim,
 * try_to_claim_block, __rmqueue_steal, __free_one_page, buddy_merge_likely).
 * Simplified: no CMA, no watermark boosting, no page reporting, no capture by
 * compaction; every folio counts as movable, whether or not it is on an LRU list.
 */
import {
  FREE_AREA_NR_FREE,
  FREE_AREA_SIZE,
  ZONE_FREE_AREA,
  ZONE_NR_FREE,
} from "../layout/generated/offsets.js";
import type { Ref } from "../../units.js";
import type { PageDesign } from "../design/word/axis.js";
import { isFolioType, T_MOVABLE, T_ZPDESC, type PageType } from "../design/word/axis-types.js";
import type { Words } from "../words/words.js";
import {
  MAX_ORDER,
  MIGRATE_MOVABLE,
  MIGRATE_RECLAIMABLE,
  MIGRATE_UNMOVABLE,
  PAGEBLOCK_ORDER,
  PAGEBLOCK_PAGES,
  type Zones,
} from "./zones.js";

/** Which types an allocation may fall back to, in order; two columns per type. */
const FALLBACKS = new Int8Array([
  MIGRATE_RECLAIMABLE,
  MIGRATE_MOVABLE, // for unmovable
  MIGRATE_RECLAIMABLE,
  MIGRATE_UNMOVABLE, // for movable
  MIGRATE_UNMOVABLE,
  MIGRATE_MOVABLE, // for reclaimable
]);
/** Types below this are kept on per-CPU lists and may merge with each other. */
const PCP_TYPES = 3;
const NO_FALLBACK = -1;
const NOT_CLAIMABLE = -2;
/** Links of a list head: the first and last block's frame + 1. */
const FIRST = 0;
const LAST = 8;

export class Buddy {
  readonly w: Words;
  readonly design: PageDesign;
  readonly zones: Zones;
  readonly zoneRefs: Int32Array;
  readonly #start: Float64Array;
  readonly #end: Float64Array;
  /** Blocks that the last `takeRun` gave. */
  taken = 0;
  /** Zones whose spans overlap: then a span does not say who owns a frame. */
  readonly #interleaved: boolean;

  constructor(w: Words, design: PageDesign, zones: Zones, zoneRefs: Int32Array) {
    this.w = w;
    this.design = design;
    this.zones = zones;
    this.zoneRefs = zoneRefs;
    this.#start = Float64Array.from(zones.config, (z) => z.start);
    this.#end = Float64Array.from(zones.config, (z) => z.start + z.spanned);
    this.#interleaved = zones.config.some((a, i) =>
      zones.config.some(
        (b, j) => i < j && a.start < b.start + b.spanned && b.start < a.start + a.spanned,
      ),
    );
  }

  listRef(zone: number, order: number, migrateType: number): Ref {
    return (this.zoneRefs[zone] +
      ((ZONE_FREE_AREA + order * FREE_AREA_SIZE) >> 4) +
      migrateType) as Ref;
  }

  /** First block of a free list; −1 when it is empty. */
  firstFree(zone: number, order: number, migrateType: number): number {
    return this.w.load32(this.listRef(zone, order, migrateType), FIRST) - 1;
  }

  freePages(zone: number): number {
    return this.w.load32(this.zoneRefs[zone] as Ref, ZONE_NR_FREE);
  }

  /** Free blocks of an order, all migrate types together. */
  freeBlocks(zone: number, order: number): number {
    return this.w.load32(
      this.zoneRefs[zone] as Ref,
      ZONE_FREE_AREA + order * FREE_AREA_SIZE + FREE_AREA_NR_FREE,
    );
  }

  #count(zone: number, order: number, by: number): void {
    const ref = this.zoneRefs[zone] as Ref;
    this.w.add32(ref, ZONE_FREE_AREA + order * FREE_AREA_SIZE + FREE_AREA_NR_FREE, by);
    this.w.add32(ref, ZONE_NR_FREE, by << order);
  }

  #add(zone: number, pfn: number, order: number, migrateType: number, tail: boolean): void {
    const { w, design } = this;
    const list = this.listRef(zone, order, migrateType);
    if (tail) {
      const last = w.load32(list, LAST) - 1;
      design.link(pfn, order, -1, last, 0);
      if (last >= 0) design.setNext(last, pfn);
      else w.store32(list, FIRST, pfn + 1);
      w.store32(list, LAST, pfn + 1);
    } else {
      const first = w.load32(list, FIRST) - 1;
      design.link(pfn, order, first, -1, 0);
      if (first >= 0) design.setPrev(first, pfn);
      else w.store32(list, LAST, pfn + 1);
      w.store32(list, FIRST, pfn + 1);
    }
    this.#count(zone, order, 1);
  }

  #remove(zone: number, pfn: number, order: number, migrateType: number): void {
    const { w, design } = this;
    const list = this.listRef(zone, order, migrateType);
    const next = design.nextOf(pfn);
    const prev = design.prevOf(pfn);
    if (prev >= 0) design.setNext(prev, next);
    else w.store32(list, FIRST, next + 1);
    if (next >= 0) design.setPrev(next, prev);
    else w.store32(list, LAST, prev + 1);
    design.unlink(pfn);
    this.#count(zone, order, -1);
  }

  /** Splits a block taken from a list down to `low`; upper halves go back. */
  #expand(zone: number, pfn: number, low: number, high: number, migrateType: number): void {
    while (high > low) {
      high--;
      this.#add(zone, pfn + (1 << high), high, migrateType, false);
    }
  }

  #smallest(zone: number, order: number, migrateType: number): number {
    for (let current = order; current <= MAX_ORDER; current++) {
      const pfn = this.firstFree(zone, current, migrateType);
      if (pfn < 0) continue;
      this.#remove(zone, pfn, current, migrateType);
      this.#expand(zone, pfn, order, current, migrateType);
      return pfn;
    }
    return -1;
  }

  /**
   * As many blocks as `count` successive takes from the type's own lists would
   * give while they lie one behind the other: the first frame, −1 where the lists
   * are empty; `taken` says how many. The lists are afterwards as after the takes.
   */
  takeRun(zone: number, order: number, migrateType: number, count: number): number {
    for (let current = order; current <= MAX_ORDER; current++) {
      const pfn = this.firstFree(zone, current, migrateType);
      if (pfn < 0) continue;
      this.#remove(zone, pfn, current, migrateType);
      this.taken = Math.min(count, 1 << (current - order));
      // What is left of the block, in its largest aligned parts.
      let at = pfn + (this.taken << order);
      for (let part = order; part < current; part++) {
        if ((at & (1 << part)) === 0) continue;
        this.#add(zone, at, part, migrateType, false);
        at += 1 << part;
      }
      return pfn;
    }
    return -1;
  }

  /** find_suitable_fallback: a type with a block of that order. */
  #fallback(zone: number, order: number, migrateType: number, claiming: boolean): number {
    if (claiming && !mayClaim(order, migrateType)) return NOT_CLAIMABLE;
    if (this.freeBlocks(zone, order) === 0) return NO_FALLBACK;
    for (let i = 0; i < 2; i++) {
      const type = FALLBACKS[migrateType * 2 + i];
      if (this.firstFree(zone, order, type) >= 0) return type;
    }
    return NO_FALLBACK;
  }

  /** __rmqueue_claim: the largest block of another type, its pageblock with it. */
  #claim(zone: number, order: number, migrateType: number, noFragment: boolean): number {
    const least = noFragment && order < PAGEBLOCK_ORDER ? PAGEBLOCK_ORDER : order;
    for (let current = MAX_ORDER; current >= least; current--) {
      const type = this.#fallback(zone, current, migrateType, true);
      if (type === NO_FALLBACK) continue;
      if (type === NOT_CLAIMABLE) break;
      const pfn = this.#tryClaim(
        zone,
        this.firstFree(zone, current, type),
        current,
        order,
        migrateType,
        type,
      );
      if (pfn >= 0) return pfn;
    }
    return -1;
  }

  #tryClaim(
    zone: number,
    pfn: number,
    current: number,
    order: number,
    migrateType: number,
    blockType: number,
  ): number {
    if (current >= PAGEBLOCK_ORDER) {
      this.#remove(zone, pfn, current, blockType);
      for (let at = pfn; at < pfn + (1 << current); at += PAGEBLOCK_PAGES)
        this.zones.setMigrateType(at, migrateType);
      this.#expand(zone, pfn, order, current, migrateType);
      return pfn;
    }
    const start = pfn - (pfn % PAGEBLOCK_PAGES);
    if (!this.#owns(zone, start) || !this.#owns(zone, start + PAGEBLOCK_PAGES - 1)) return -1;
    const { free, movable } = this.#survey(start);
    // Pages that would become alike: what fits the wanted type, as far as can be told.
    const other = PAGEBLOCK_PAGES - (free + movable);
    const alike =
      migrateType === MIGRATE_MOVABLE ? movable : blockType === MIGRATE_MOVABLE ? other : 0;
    if (free + alike < PAGEBLOCK_PAGES / 2) return -1;
    this.moveBlock(zone, start, blockType, migrateType);
    return this.#smallest(zone, order, migrateType);
  }

  /** Free and movable pages of a pageblock (prep_move_freepages_block). */
  #survey(start: number): { free: number; movable: number } {
    let free = 0;
    let movable = 0;
    for (let pfn = start; pfn < start + PAGEBLOCK_PAGES;) {
      const order = this.design.freeOrderAt(pfn);
      if (order >= 0) {
        free += 1 << order;
        pfn += 1 << order;
        continue;
      }
      if (isMovable(this.design.typeOf(pfn))) movable++;
      pfn++;
    }
    return { free, movable };
  }

  /** Moves a pageblock's free blocks to another type's lists and renames it. */
  moveBlock(zone: number, start: number, from: number, to: number): void {
    for (let pfn = start; pfn < start + PAGEBLOCK_PAGES;) {
      const order = this.design.freeOrderAt(pfn);
      if (order < 0) {
        pfn++;
        continue;
      }
      this.#remove(zone, pfn, order, from);
      // To the tail, as move_to_free_list: what was moved is not used next.
      this.#add(zone, pfn, order, to, true);
      pfn += 1 << order;
    }
    this.zones.setMigrateType(start, to);
  }

  /** __rmqueue_steal: one block of another type, the smallest that does. */
  steal(zone: number, order: number, migrateType: number): number {
    for (let current = order; current <= MAX_ORDER; current++) {
      const type = this.#fallback(zone, current, migrateType, false);
      if (type < 0) continue;
      const pfn = this.firstFree(zone, current, type);
      this.#remove(zone, pfn, current, type);
      this.#expand(zone, pfn, order, current, type);
      return pfn;
    }
    return -1;
  }

  /** The part of __rmqueue that keeps pageblocks pure: own lists, then a claimed pageblock. */
  takePure(zone: number, order: number, migrateType: number, noFragment: boolean): number {
    const pfn = this.#smallest(zone, order, migrateType);
    return pfn >= 0 ? pfn : this.#claim(zone, order, migrateType, noFragment);
  }

  /** __rmqueue: a block of exactly `order`, unlinked; −1 if the zone has none. */
  take(zone: number, order: number, migrateType: number, noFragment: boolean): number {
    const pfn = this.takePure(zone, order, migrateType, noFragment);
    return pfn >= 0 || noFragment ? pfn : this.steal(zone, order, migrateType);
  }

  /** __isolate_free_page: takes the free block that starts at this very page; its order, −1 if none does. */
  takeAt(pfn: number): number {
    const order = this.design.freeOrderAt(pfn);
    if (order < 0) return -1;
    const zone = this.design.zoneOf(pfn);
    this.#remove(zone, pfn, order, this.zones.migrateTypeOf(pfn));
    return order;
  }

  #owns(zone: number, pfn: number): boolean {
    if (pfn < this.#start[zone] || pfn >= this.#end[zone]) return false;
    return !this.#interleaved || this.zones.ownerOf(pfn) === zone;
  }

  /** page_is_buddy: a free block of that order, in this zone, starts there. */
  #isBuddy(zone: number, pfn: number, order: number): boolean {
    return this.#owns(zone, pfn) && this.design.freeOrderAt(pfn) === order;
  }

  /**
   * __free_one_page: gives a block back, merging with its buddies. Never
   * allocates. The block must have been released from its owner; one larger than
   * a pageblock must be of one type (see giveLarge). `toTail` puts it behind all
   * others, as boot does (FPI_TO_TAIL).
   */
  give(zone: number, pfn: number, order: number, migrateType: number, toTail = false): void {
    while (order < MAX_ORDER) {
      const buddy = pfn ^ (1 << order);
      if (!this.#isBuddy(zone, buddy, order)) break;
      let type = migrateType;
      if (order >= PAGEBLOCK_ORDER) {
        type = this.zones.migrateTypeOf(buddy);
        if (type !== migrateType && (type >= PCP_TYPES || migrateType >= PCP_TYPES)) break;
      }
      this.#remove(zone, buddy, order, type);
      if (type !== migrateType) this.#rename(buddy, order, migrateType);
      pfn &= buddy;
      order++;
    }
    this.#add(zone, pfn, order, migrateType, toTail || this.#mergeLikely(zone, pfn, order));
  }

  /** buddy_merge_likely: were our buddy free, would the pair merge once more? */
  #mergeLikely(zone: number, pfn: number, order: number): boolean {
    return (
      order < MAX_ORDER - 1 &&
      this.#isBuddy(zone, (pfn & ~(1 << order)) ^ (1 << (order + 1)), order + 1)
    );
  }

  /** split_large_buddy: a block of several pageblocks goes back one by one, each as its own type. */
  giveLarge(zone: number, pfn: number, order: number, toTail = false): void {
    const step = Math.min(order, PAGEBLOCK_ORDER);
    for (let at = pfn; at < pfn + (1 << order); at += 1 << step) {
      this.give(zone, at, step, this.zones.migrateTypeOf(at), toTail);
    }
  }

  #rename(pfn: number, order: number, migrateType: number): void {
    for (let at = pfn; at < pfn + (1 << order); at += PAGEBLOCK_PAGES)
      this.zones.setMigrateType(at, migrateType);
  }
}

/** should_try_claim_block: small movable requests would only fragment for a while. */
function mayClaim(order: number, migrateType: number): boolean {
  return order >= PAGEBLOCK_ORDER >> 1 || migrateType !== MIGRATE_MOVABLE;
}

/** Pages that compaction could move: on an LRU list or with movable_ops. Any folio counts as on a list. */
const isMovable = (type: PageType): boolean =>
  isFolioType(type) || type === T_ZPDESC || type === T_MOVABLE;
