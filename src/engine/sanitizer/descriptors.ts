/**
 * Rules of the descriptors: every descriptor is one object of one slab of the
 * right cache, and all that caches and slabs count is what is there.
 *
 * Facts: memdesc-facts §1.1 (16-byte alignment, type-safe caches). A slab of slab
 * descriptors is described by its own first object (invented here; the proposals
 * leave the recursion open).
 */
import {
  KMEM_CACHE_NR_EMPTY,
  KMEM_CACHE_NR_OBJECTS,
  KMEM_CACHE_NR_PARTIAL,
  KMEM_CACHE_NR_SLABS,
  KMEM_CACHE_PARTIAL_FIRST,
  KMEM_CACHE_PARTIAL_LAST,
} from "../layout/generated/offsets.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import { T_HWPOISON, T_SLAB } from "../design/word/axis-types.js";
import { REFS_PER_PAGE } from "../pages/arena.js";
import type { Report, Rule } from "./rule.js";
import type { SlabView, View } from "./view.js";

/** Number of the object in its slab; −1 for a reference that is no object's. */
function indexIn(view: View, slab: SlabView, object: Ref): number {
  const index = (object - slab.page) / view.m.caches.stride[slab.cache];
  return Number.isInteger(index) && index >= 0 && index < view.m.caches.perSlab[slab.cache]
    ? index
    : -1;
}

/** The free objects of a slab, by number: on its free list, or never handed out. */
function freeIn(view: View, slab: SlabView): Set<number> {
  const per = view.m.caches.perSlab[slab.cache];
  const free = new Set(slab.free.map((o) => indexIn(view, slab, o)));
  for (let i = per - slab.fresh; i < per; i++) free.add(i);
  return free;
}

export const SLABS_ADD_UP: Rule = {
  name: "slabs add up",
  says: "objects in use, on the free list and never handed out are the objects of the slab, each once",
  watch(view, report) {
    for (const slab of view.slabs) {
      const per = view.m.caches.perSlab[slab.cache];
      if (per === undefined) {
        report(slab.pfn, `its slab says cache ${slab.cache}`);
        continue;
      }
      const free = freeIn(view, slab);
      if (free.has(-1)) report(slab.pfn, "its free list names what is no object of the slab");
      if (free.size !== slab.free.length + slab.fresh)
        report(slab.pfn, "an object is on its free list twice, or was never handed out");
      if (slab.inuse + free.size !== per)
        report(slab.pfn, `${slab.inuse} objects in use and ${free.size} free of ${per}`);
    }
  },
};

/** Everything that holds a descriptor: who, of which cache, where. */
function* ownersOf(view: View): Generator<{ pfn: number; cache: number; object: Ref }> {
  const { design } = view.m;
  for (const b of [...view.held, ...view.described]) {
    const cache = design.cacheFor(b.type, b.order);
    const object = design.separateOf(b.pfn);
    if (cache >= 0 || object !== 0) yield { pfn: b.pfn, cache, object };
  }
  if (view.slabCache < 0) return;
  for (const s of view.slabs)
    yield { pfn: s.pfn, cache: view.slabCache, object: design.separateOf(s.pfn) };
}

/**
 * Descriptors that mark a bad page, which stand beside what the page is: one for
 * each. A block that is hwpoison and nothing else is an owner, counted already.
 */
function marks({ m, slabs }: View, counted: ReadonlyMap<number, number>): number {
  const cache = m.design.cacheFor(T_HWPOISON, 0);
  if (cache < 0 || slabs.every((s) => s.cache !== cache || s.inuse === 0)) return 0;
  let n = 0;
  for (let pfn = 0; pfn < m.config.frames; pfn++)
    if (m.design.isPoisoned(pfn) && m.design.poisonCache(pfn) >= 0)
      if (m.design.typeOf(pfn) !== T_HWPOISON || !counted.has(m.design.separateOf(pfn))) n++;
  return n;
}

export const DESCRIPTORS_ARE_OBJECTS: Rule = {
  name: "descriptors are objects",
  says: "every descriptor is an object in use of a slab of its type's cache, no two blocks share one, and every object in use is some block's",
  watch(view, report) {
    const slabAt = new Map(view.slabs.map((s) => [s.pfn, s]));
    const used = new Map<number, number>();
    for (const { pfn, cache, object } of ownersOf(view)) {
      const slab = slabAt.get(view.m.caches.slabOf(object));
      if (slab === undefined || slab.cache !== cache || indexIn(view, slab, object) < 0) {
        report(pfn, `its descriptor ${object} is no object of cache ${cache}`);
        continue;
      }
      if (freeIn(view, slab).has(indexIn(view, slab, object)))
        report(pfn, `its descriptor ${object} is free`);
      if (used.has(object))
        report(pfn, `it shares descriptor ${object} with frame ${used.get(object)}`);
      used.set(object, pfn);
    }
    // The caches behind those of the design hold other objects of a kernel.
    const inuse = view.slabs
      .filter((s) => s.cache < view.m.design.caches.length)
      .reduce((sum, s) => sum + s.inuse, 0);
    const expected = used.size + marks(view, used);
    if (inuse !== expected) report(-1, `${inuse} objects are in use, ${expected} blocks have one`);
  },
};

export const SLABS_OF_SLABS_DESCRIBE_THEMSELVES: Rule = {
  name: "slabs of slabs describe themselves",
  says: "a slab of slab descriptors is described by its own first object; no other slab is described by an object of its own",
  watch({ m, slabs, slabCache }, report) {
    for (const s of slabs) {
      if (m.design.typeOf(s.pfn) !== T_SLAB) report(s.pfn, "its page is not of type slab");
      if (m.heap.frameOf(s.page) !== s.pfn) report(s.pfn, "its bytes are another frame's");
      if (slabCache < 0) continue;
      const own = m.design.separateOf(s.pfn) === s.page;
      if (own !== (s.cache === slabCache))
        report(s.pfn, own ? "it describes itself" : "its descriptor is not its first object");
    }
  },
};

function cacheCounts(view: View, cache: number, report: Report): void {
  const { m, slabCache } = view;
  const ref = m.caches.cacheRef(cache);
  const slabs = view.slabs.filter((s) => s.cache === cache);
  const empty = cache === slabCache ? 1 : 0;
  const expect = (name: string, off: number, is: number): void => {
    const counted = m.w.load32(ref, off);
    if (counted !== is)
      report(-1, `cache ${m.caches.specs[cache].name}: ${name} is ${counted}, ${is} are there`);
  };
  expect("nr_slabs", KMEM_CACHE_NR_SLABS, slabs.length);
  expect(
    "nr_objects",
    KMEM_CACHE_NR_OBJECTS,
    slabs.reduce((sum, s) => sum + s.inuse, 0),
  );
  expect(
    "nr_partial",
    KMEM_CACHE_NR_PARTIAL,
    slabs.filter((s) => s.inuse < m.caches.perSlab[cache]).length,
  );
  expect("nr_empty", KMEM_CACHE_NR_EMPTY, slabs.filter((s) => s.inuse === empty).length);
}

export const CACHES_ADD_UP: Rule = {
  name: "caches add up",
  says: "a cache's slabs, objects, partial and empty slabs are as many as it counts",
  watch(view, report) {
    for (let cache = 0; cache < view.m.caches.specs.length; cache++)
      cacheCounts(view, cache, report);
  },
};

function partialList(view: View, cache: number, report: Report): void {
  const { m } = view;
  const { next, prev } = m.design.slab;
  const ref = m.caches.cacheRef(cache);
  const partial = new Set(
    view.slabs
      .filter((s) => s.cache === cache && s.inuse < m.caches.perSlab[cache])
      .map((s) => s.pfn),
  );
  let before = -1;
  for (let pfn = m.w.load32(ref, KMEM_CACHE_PARTIAL_FIRST) - 1; pfn >= 0;) {
    if (!partial.delete(pfn))
      return report(pfn, "it is on a partial list and has no free object, or is there twice");
    const meta = m.design.descriptorOf(pfn);
    if (m.w.load32(meta, prev) - 1 !== before)
      report(pfn, "its way back on the partial list is wrong");
    before = pfn;
    pfn = m.w.load32(meta, next) - 1;
  }
  if (m.w.load32(ref, KMEM_CACHE_PARTIAL_LAST) - 1 !== before)
    report(before, "it ends the partial list, and the cache says another does");
  for (const pfn of partial) report(pfn, "it has free objects and is on no partial list");
}

export const PARTIAL_LISTS_ARE_WHOLE: Rule = {
  name: "partial lists are whole",
  says: "the slabs with free objects are on their cache's partial list, each once, linked both ways",
  watch(view, report) {
    for (let cache = 0; cache < view.m.caches.specs.length; cache++)
      partialList(view, cache, report);
  },
};

export const BYTES_ADD_UP: Rule = {
  name: "bytes add up",
  says: "slabs × 4096 is the bytes of objects in use and waste, and the frames that the caches took are their slabs",
  watch({ m, slabs }, report) {
    const usage = m.caches.usage();
    const counted = usage.reduce((sum, c) => sum + c.slabs, 0);
    if (counted !== slabs.length)
      report(-1, `${counted} slabs are counted, ${slabs.length} frames hold descriptors`);
    for (const [cache, c] of usage.entries()) {
      const waste = c.slabs * PAGE_SIZE - c.objects * c.objectSize;
      const free = slabs
        .filter((s) => s.cache === cache)
        .reduce((sum, s) => sum + s.free.length + s.fresh, 0);
      const ends =
        c.slabs * (REFS_PER_PAGE - m.caches.perSlab[cache] * m.caches.stride[cache]) * 16;
      if (waste !== free * c.objectSize + ends)
        report(
          -1,
          `cache ${c.name}: ${waste} bytes of waste, free objects and ends of slabs make ${free * c.objectSize + ends}`,
        );
    }
  },
};
