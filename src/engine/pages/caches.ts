/**
 * Typed descriptor caches: slabs of descriptors in pages of the same allocator
 * that the descriptors describe.
 *
 * Objects are 16-byte aligned and type-safe: a freed object stays of its type
 * (and its reference count 0) until its page is given back, and that waits for a
 * grace period. Where the free pointer lives is a property of the cache: inside
 * the object, in its second word, or outside, which makes every object larger.
 *
 * The recursion is solved so: a slab page needs a slab descriptor, which comes
 * from the slab-descriptor cache; a new slab of that cache is described by its
 * own first object. Describing a page therefore takes at most three pages, in a
 * fixed order, and a failure at any of them puts back what was taken before.
 * Freeing takes nothing.
 *
 * Source: mm/slub.c (typesafe caches, freeptr_offset, partial lists, min_partial).
 * Simplified: no per-CPU slabs, objects of a new slab are handed out in address
 * order, one partial list per cache, slabs of one page.
 */
import type { Ref } from "../../units.js";
import {
  KMEM_CACHE_NR_EMPTY,
  KMEM_CACHE_NR_OBJECTS,
  KMEM_CACHE_NR_PARTIAL,
  KMEM_CACHE_NR_SLABS,
  KMEM_CACHE_PARTIAL_FIRST,
  KMEM_CACHE_PARTIAL_LAST,
  KMEM_CACHE_SIZE,
} from "../layout/generated/offsets.js";
import {
  CACHE_SHIFT,
  type CacheSpec,
  type PageDesign,
  type PageImage,
  type SlabRun,
} from "../design/word/axis.js";
import { T_SLAB } from "../design/word/axis-types.js";
import { objectSize, type FreePointer } from "../design/free-pointer.js";
import type { Rcu } from "../rcu.js";
import type { Words } from "../words/words.js";
import { ALLOC_LOW, ALLOC_NO_WATERMARKS, type PageAllocator } from "./allocator.js";
import type { ArenaHeap } from "./arena.js";
import { MAX_ORDER, MIGRATE_UNMOVABLE } from "./zones.js";

/** Empty slabs that a cache keeps rather than gives back (kmem_cache min_partial). */
const MIN_EMPTY = 5;
/** The free pointer's place inside a free object: its second word, which no type's count is in. */
const FREE_POINTER_INSIDE = 8;

/** What one cache costs: counted from its own words. */
export interface CacheUsage {
  readonly name: string;
  readonly objectSize: number;
  readonly objects: number;
  readonly slabs: number;
  readonly fidelity: CacheSpec["fidelity"];
  readonly source: string;
}

/** A stretch of objects handed out at once: part of a slab, or whole slabs in a row. */
export type TakeRun = (first: Ref, count: number, slabs?: SlabRun) => void;

export class DescriptorCaches {
  readonly w: Words;
  readonly design: PageDesign;
  readonly allocator: PageAllocator;
  readonly heap: ArenaHeap;
  readonly rcu: Rcu;
  readonly specs: readonly CacheSpec[];
  /** References from one object to the next, by cache. */
  readonly stride: Int32Array;
  readonly perSlab: Int32Array;
  readonly #freePointer: Int32Array;
  readonly #base: Ref;
  /** The cache that slab descriptors come from; −1 where a slab needs none. */
  readonly #slabCache: number;

  constructor(
    w: Words,
    design: PageDesign,
    allocator: PageAllocator,
    heap: ArenaHeap,
    rcu: Rcu,
    base: Ref,
    freePointer: FreePointer,
    objects: readonly CacheSpec[] = [],
  ) {
    this.w = w;
    this.design = design;
    this.allocator = allocator;
    this.heap = heap;
    this.rcu = rcu;
    this.specs = [...design.caches, ...objects];
    this.#base = base;
    this.#slabCache = design.cacheFor(T_SLAB, 0);
    // Where the free pointer lies is a question of descriptors: other objects have it inside.
    const pointer = (cache: number): FreePointer =>
      cache < design.caches.length ? freePointer : "inside";
    this.stride = Int32Array.from(
      this.specs,
      (s, cache) => objectSize(s.size, pointer(cache)) / 16,
    );
    this.perSlab = Int32Array.from(this.stride, (stride) => Math.floor(heap.refsPerPage / stride));
    this.#freePointer = Int32Array.from(this.specs, (s, cache) =>
      pointer(cache) === "inside" ? FREE_POINTER_INSIDE : Math.ceil(s.size / 8) * 8,
    );
  }

  static bytes(caches: number): number {
    return caches * KMEM_CACHE_SIZE;
  }

  /** struct kmem_cache of a cache, for checks. */
  cacheRef(cache: number): Ref {
    return this.#cache(cache);
  }

  /** Byte of a free object at which the reference of the next free one is. */
  freePointerAt(cache: number): number {
    return this.#freePointer[cache];
  }

  #cache(cache: number): Ref {
    return (this.#base + (cache * KMEM_CACHE_SIZE) / 16) as Ref;
  }

  /**
   * One object of the cache, or 0 when there is no memory for its slab. The
   * machine is then as it was.
   */
  alloc(cache: number, effort: number = ALLOC_LOW): Ref {
    const c = this.#cache(cache);
    let slab = this.w.load32(c, KMEM_CACHE_PARTIAL_FIRST) - 1;
    if (slab < 0) {
      slab = this.#grow(cache, effort);
      if (slab < 0) return 0 as Ref;
    }
    return this.#takeFrom(cache, c, slab);
  }

  #takeFrom(cache: number, c: Ref, slab: number): Ref {
    const { w } = this;
    const { freelist, counters } = this.design.slab;
    const meta = this.design.descriptorOf(slab);
    const count = w.load32(meta, counters);
    const inuse = (count & 0xffff) + 1;
    let fresh = count >>> 16;
    let object = w.load32(meta, freelist) as Ref;
    if (object !== 0) w.store32(meta, freelist, w.load32(object, this.#freePointer[cache]));
    else
      object = (this.#pageOf(meta) + (this.perSlab[cache] - fresh--) * this.stride[cache]) as Ref;
    w.store32(meta, counters, inuse | (fresh << 16));
    if ((count & 0xffff) === this.#ownObjects(cache)) w.add32(c, KMEM_CACHE_NR_EMPTY, -1);
    if (inuse === this.perSlab[cache]) this.#unlinkPartial(c, meta, slab);
    w.add32(c, KMEM_CACHE_NR_OBJECTS, 1);
    return object;
  }

  /** Where a slab's objects begin. */
  #pageOf(meta: Ref): Ref {
    return this.w.load32(meta, this.design.slab.page) as Ref;
  }

  /** The slab's frame that an object lies in. */
  slabOf(object: Ref): number {
    return this.heap.frameOf(object);
  }

  /** Gives an object back. Allocates nothing; may give its page back too. */
  free(cache: number, object: Ref): void {
    const { w } = this;
    const { freelist, counters } = this.design.slab;
    const c = this.#cache(cache);
    const slab = this.slabOf(object);
    const meta = this.design.descriptorOf(slab);
    w.store32(object, this.#freePointer[cache], w.load32(meta, freelist));
    w.store32(meta, freelist, object);
    const count = w.load32(meta, counters);
    const inuse = (count & 0xffff) - 1;
    w.store32(meta, counters, inuse | (count & ~0xffff));
    w.add32(c, KMEM_CACHE_NR_OBJECTS, -1);
    if (inuse + 1 === this.perSlab[cache]) {
      // Slabs that were handed out full did not need to know where they begin.
      const { refsPerPage } = this.heap;
      w.store32(meta, this.design.slab.page, Math.floor(object / refsPerPage) * refsPerPage);
      this.#linkPartial(c, meta, slab);
    }
    if (inuse > this.#ownObjects(cache)) return;
    const empty = w.add32(c, KMEM_CACHE_NR_EMPTY, 1);
    if (empty > MIN_EMPTY && this.rcu.isQuiet()) this.#discard(cache, slab);
  }

  /** Objects of an empty slab: 1 in the cache whose slabs' first object describes the slab itself. */
  #ownObjects(cache: number): number {
    return cache === this.#slabCache ? 1 : 0;
  }

  /** Waits for a grace period, then gives back every empty slab (kmem_cache_shrink). */
  shrink(): void {
    this.rcu.synchronize();
    // Slab descriptors last: giving back another cache's slab frees one of them.
    for (let i = 1; i <= this.specs.length; i++) {
      const cache = (this.#slabCache + i) % this.specs.length;
      const c = this.#cache(cache);
      let slab = this.w.load32(c, KMEM_CACHE_PARTIAL_FIRST) - 1;
      while (slab >= 0) {
        const meta = this.design.descriptorOf(slab);
        const next = this.w.load32(meta, this.design.slab.next) - 1;
        const inuse = this.w.load32(meta, this.design.slab.counters) & 0xffff;
        if (inuse <= this.#ownObjects(cache)) this.#discard(cache, slab);
        slab = next;
      }
    }
  }

  #linkPartial(c: Ref, meta: Ref, slab: number): void {
    const { w } = this;
    const { next, prev } = this.design.slab;
    const first = w.load32(c, KMEM_CACHE_PARTIAL_FIRST);
    w.store32(meta, next, first);
    w.store32(meta, prev, 0);
    if (first !== 0) w.store32(this.design.descriptorOf(first - 1), prev, slab + 1);
    else w.store32(c, KMEM_CACHE_PARTIAL_LAST, slab + 1);
    w.store32(c, KMEM_CACHE_PARTIAL_FIRST, slab + 1);
    w.add32(c, KMEM_CACHE_NR_PARTIAL, 1);
  }

  #unlinkPartial(c: Ref, meta: Ref, _slab: number): void {
    const { w } = this;
    const { next, prev } = this.design.slab;
    const after = w.load32(meta, next);
    const before = w.load32(meta, prev);
    if (before !== 0) w.store32(this.design.descriptorOf(before - 1), next, after);
    else w.store32(c, KMEM_CACHE_PARTIAL_FIRST, after);
    if (after !== 0) w.store32(this.design.descriptorOf(after - 1), prev, before);
    else w.store32(c, KMEM_CACHE_PARTIAL_LAST, before);
    w.store32(meta, next, 0);
    w.store32(meta, prev, 0);
    w.add32(c, KMEM_CACHE_NR_PARTIAL, -1);
  }

  /** A new slab with all objects free; its frame, or −1 without memory. */
  #grow(cache: number, effort: number): number {
    if (!this.heap.hasRoom(1)) return -1;
    const own = cache === this.#slabCache;
    // A slab of slab descriptors describes itself; any other asks for a descriptor first.
    const asks = !own && this.#slabCache >= 0;
    const slabs = this.slabSlabs();
    const descriptor = asks ? this.alloc(this.#slabCache, effort) : (0 as Ref);
    if (asks && descriptor === 0) return -1;
    const slab = this.heap.hasRoom(1) ? this.allocator.alloc(0, MIGRATE_UNMOVABLE, effort) : -1;
    if (slab < 0) {
      if (asks) this.undo(this.#slabCache, descriptor, slabs, slabs);
      return -1;
    }
    const page = this.heap.take(slab, 1);
    this.#describeSlab(cache, slab, page, own ? page : descriptor, own ? 1 : 0);
    return slab;
  }

  /** Whether the next object needs a new slab. */
  mustGrow(cache: number): boolean {
    return this.w.load32(this.#cache(cache), KMEM_CACHE_PARTIAL_FIRST) === 0;
  }

  /** Slabs of a cache now. */
  slabs(cache: number): number {
    return this.w.load32(this.#cache(cache), KMEM_CACHE_NR_SLABS);
  }

  /** Slabs of the slab-descriptor cache; 0 where there is none. */
  slabSlabs(): number {
    return this.#slabCache < 0 ? 0 : this.slabs(this.#slabCache);
  }

  /**
   * Gives back an object that nobody saw, after a failure, and the slabs that
   * were made for it: `slabs` and `slabSlabs` are what there was before.
   */
  undo(cache: number, object: Ref, slabs: number, slabSlabs: number): void {
    const slab = this.slabOf(object);
    const grew = this.slabs(cache) > slabs;
    this.free(cache, object);
    if (!grew || this.slabOf(object) !== slab) return;
    const descriptor = this.design.separateOf(slab);
    const holder = descriptor === 0 ? -1 : this.slabOf(descriptor);
    this.#discard(cache, slab);
    if (holder >= 0 && holder !== slab && this.slabSlabs() > slabSlabs)
      this.#discard(this.#slabCache, holder);
  }

  #describeSlab(cache: number, slab: number, page: Ref, descriptor: Ref, inuse: number): void {
    const { w } = this;
    const c = this.#cache(cache);
    const { cache: cacheAt, counters, freelist, page: pageAt } = this.design.slab;
    const fresh = this.perSlab[cache] - inuse;
    w.fillRun(page, 0, new Int32Array(4), this.heap.refsPerPage, null, 0, 0);
    this.design.bindRun(slab, 1, this.#image(slab, cache, inuse), descriptor, this.#slabStride());
    const meta = this.design.descriptorOf(slab);
    w.store32(meta, cacheAt, (cache + 1) << CACHE_SHIFT);
    w.store32(meta, freelist, 0);
    w.store32(meta, counters, inuse | (fresh << 16));
    w.store32(meta, pageAt, page);
    w.add32(c, KMEM_CACHE_NR_SLABS, 1);
    w.add32(c, KMEM_CACHE_NR_OBJECTS, inuse);
    w.add32(c, KMEM_CACHE_NR_EMPTY, 1);
    this.#linkPartial(c, meta, slab);
  }

  #slabStride(): number {
    return this.#slabCache < 0 ? 0 : this.stride[this.#slabCache];
  }

  #image(slab: number, cache: number, inuse: number): PageImage {
    return {
      type: T_SLAB,
      subtype: 0,
      mappable: false,
      order: 0,
      flags: 0,
      tailFlags: 0,
      mappingBits: 0,
      mapcount: 0,
      memcg: 0,
      hugetlb: false,
      rmappable: false,
      slabCache: cache + 1,
      slabInuse: inuse,
      zone: this.allocator.zones.ownerOf(slab),
    };
  }

  #discard(cache: number, slab: number): void {
    const { w } = this;
    const c = this.#cache(cache);
    const meta = this.design.descriptorOf(slab);
    const page = this.#pageOf(meta);
    const own = cache === this.#slabCache;
    const descriptor = this.design.separateOf(slab);
    this.#unlinkPartial(c, meta, slab);
    w.add32(c, KMEM_CACHE_NR_SLABS, -1);
    w.add32(c, KMEM_CACHE_NR_EMPTY, -1);
    if (own) w.add32(c, KMEM_CACHE_NR_OBJECTS, -1);
    this.design.release(slab, 0);
    this.heap.give(page, 1);
    if (!own && descriptor !== 0) this.free(this.#slabCache, descriptor);
    this.allocator.free(slab, 0);
  }

  /**
   * Hands out `count` objects from fresh, full slabs in as few and as long
   * stretches as the allocator's blocks allow: how a machine is populated. Calls
   * `take` per slab; returns how many objects it could serve.
   */
  allocRun(cache: number, count: number, take: TakeRun): number {
    let done = 0;
    while (done < count) {
      const slabs = Math.floor((count - done) / this.perSlab[cache]);
      if (slabs === 0) {
        const object = this.alloc(cache, ALLOC_NO_WATERMARKS);
        if (object === 0) return done;
        take(object, 1);
        done++;
        continue;
      }
      const got = this.#growRun(cache, slabs, take);
      if (got === 0) return done;
      done += got;
    }
    return done;
  }

  /** Up to `slabs` full slabs in one block of frames; how many objects were handed out. */
  #growRun(cache: number, slabs: number, take: TakeRun): number {
    const order = Math.min(MAX_ORDER, Math.floor(Math.log2(slabs)));
    for (let o = order; o >= 0; o--) {
      const count = 1 << o;
      if (!this.heap.hasRoom(count)) continue;
      const pfn = this.allocator.alloc(o, MIGRATE_UNMOVABLE, ALLOC_NO_WATERMARKS);
      if (pfn < 0) continue;
      return this.#describeRun(cache, pfn, count, take);
    }
    return 0;
  }

  #describeRun(cache: number, pfn: number, count: number, take: TakeRun): number {
    const page = this.heap.take(pfn, count);
    const c = this.#cache(cache);
    const own = cache === this.#slabCache;
    const per = this.perSlab[cache];
    const image = this.#image(pfn, cache, per);
    // A full slab needs its first byte named only once one of its objects is freed.
    const bindSlabs = (first: Ref, n: number, at: number, stride: number): void =>
      this.design.bindRun(pfn + at, n, image, first, stride);
    let described = count;
    if (own) bindSlabs(page, count, 0, this.heap.refsPerPage);
    else if (this.#slabCache < 0) bindSlabs(0 as Ref, count, 0, 0);
    else {
      let at = 0;
      described = this.allocRun(this.#slabCache, count, (first, n) => {
        bindSlabs(first, n, at, this.stride[this.#slabCache]);
        at += n;
      });
    }
    for (let i = described; i < count; i++) {
      this.heap.give((page + i * this.heap.refsPerPage) as Ref, 1);
      this.allocator.free(pfn + i, 0);
    }
    this.w.add32(c, KMEM_CACHE_NR_SLABS, described);
    this.w.add32(c, KMEM_CACHE_NR_OBJECTS, described * per);
    if (!own) {
      if (described > 0) take(page, described * per, { per, refs: this.heap.refsPerPage });
      return described * per;
    }
    // The first object of each describes the slab itself.
    for (let i = 0; i < described; i++) {
      take((page + i * this.heap.refsPerPage + this.stride[cache]) as Ref, per - 1);
    }
    return described * (per - 1);
  }

  /** What each cache holds now. */
  usage(): CacheUsage[] {
    return this.specs.map((spec, cache) => ({
      name: spec.name,
      objectSize: this.stride[cache] * 16,
      objects: this.w.load32(this.#cache(cache), KMEM_CACHE_NR_OBJECTS),
      slabs: this.w.load32(this.#cache(cache), KMEM_CACHE_NR_SLABS),
      fidelity: spec.fidelity,
      source: spec.source,
    }));
  }
}
