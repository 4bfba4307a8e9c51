/**
 * What the rules look at: one walk over a machine's lists and slabs.
 *
 * The words do not say what a caller still holds, so whoever checks says it:
 * which frames were given to the allocator, and which blocks are held. All the
 * rest (free lists, per-CPU lists, slabs of descriptors) is read from the words.
 * Walks are bounded by the number of frames, so that a list bent into a ring is
 * reported and not followed for ever.
 */
import { PCP_LISTS } from "../layout/generated/offsets.js";
import type { Ref } from "../../units.js";
import { CACHE_SHIFT } from "../design/word/axis.js";
import { T_SLAB, type PageType } from "../design/word/axis-types.js";
import { RuleViolation } from "../errors.js";
import type { Machine } from "../machine.js";
import { MAX_ORDER, MIGRATE_TYPES, PAGEBLOCK_ORDER } from "../pages/zones.js";

/** Links of a list head: the first and last block's frame + 1. */
const FIRST = 0;
const LAST = 8;
const PCP_LIST_COUNT = 14;
const LOW_LISTS = 12;

/** A block that somebody holds. */
export interface HeldBlock {
  readonly pfn: number;
  readonly order: number;
  readonly type: PageType;
  /** Misc only. */
  readonly subtype: number;
  /** References held, for folios; 0 for what has no count. */
  readonly refs: number;
}

/** What the words cannot say and the checker must. */
export interface Claims {
  /** Frames that were ever given to the allocator. */
  readonly given: readonly { readonly start: number; readonly end: number }[];
  readonly held: Iterable<HeldBlock>;
  /** Folios of devices of whose pages nothing is asked: they have descriptors. */
  readonly described?: Iterable<HeldBlock>;
}

/** A block found on a list. */
export interface ListedBlock {
  readonly pfn: number;
  readonly order: number;
  readonly zone: number;
  /** Migrate type of a free list; −1 on a per-CPU list. */
  readonly migrateType: number;
}

/** One list: its blocks in order, and its ends as the head has them. */
export interface List {
  readonly name: string;
  readonly blocks: readonly ListedBlock[];
  readonly last: number;
}

/** One slab of descriptors. */
export interface SlabView {
  readonly pfn: number;
  readonly cache: number;
  readonly meta: Ref;
  /** Reference of its first byte. */
  readonly page: Ref;
  readonly inuse: number;
  readonly fresh: number;
  /** References of the objects on its free list. */
  readonly free: readonly Ref[];
}

export interface View {
  readonly m: Machine;
  readonly claims: Claims;
  readonly held: readonly HeldBlock[];
  readonly described: readonly HeldBlock[];
  readonly freeLists: readonly List[];
  readonly pcpLists: readonly (List & { readonly zone: number; readonly cpu: number })[];
  readonly slabs: readonly SlabView[];
  /** The cache that slab descriptors come from; −1 for none. */
  readonly slabCache: number;
}

/** Order of the blocks on a per-CPU list. */
const orderOfList = (index: number): number =>
  index >= LOW_LISTS ? PAGEBLOCK_ORDER : Math.floor(index / 3);

/** Walks the machine. Throws RuleViolation where a list never ends. */
export function viewOf(m: Machine, claims: Claims): View {
  const held = [...claims.held];
  const described = [...(claims.described ?? [])];
  return {
    m,
    claims,
    held,
    described,
    freeLists: freeLists(m),
    pcpLists: pcpLists(m),
    slabs: slabsOf(m, framesOf(held)),
    slabCache: m.design.cacheFor(T_SLAB, 0),
  };
}

function walk(m: Machine, head: Ref, name: string, make: (pfn: number) => ListedBlock): List {
  const blocks: ListedBlock[] = [];
  for (let pfn = m.w.load32(head, FIRST) - 1; pfn >= 0; pfn = m.design.nextOf(pfn)) {
    if (pfn >= m.deviceFirst)
      throw new RuleViolation("lists end", pfn, `${name} leads out of the machine`);
    if (blocks.length >= m.config.frames)
      throw new RuleViolation("lists end", pfn, `${name} is a ring`);
    blocks.push(make(pfn));
  }
  return { name, blocks, last: m.w.load32(head, LAST) - 1 };
}

function freeLists(m: Machine): List[] {
  const lists: List[] = [];
  for (let zone = 0; zone < m.config.zones.length; zone++) {
    for (let order = 0; order <= MAX_ORDER; order++) {
      for (let migrateType = 0; migrateType < MIGRATE_TYPES; migrateType++) {
        const name = `free list of zone ${zone}, order ${order}, type ${migrateType}`;
        const head = m.buddy.listRef(zone, order, migrateType);
        lists.push(walk(m, head, name, (pfn) => ({ pfn, order, zone, migrateType })));
      }
    }
  }
  return lists;
}

function pcpLists(m: Machine): (List & { zone: number; cpu: number })[] {
  const lists: (List & { zone: number; cpu: number })[] = [];
  for (let zone = 0; zone < m.config.zones.length; zone++) {
    for (let cpu = 0; cpu < m.config.cpus; cpu++) {
      for (let index = 0; index < PCP_LIST_COUNT; index++) {
        const head = (m.allocator.pcpRef(zone, cpu) + (PCP_LISTS >> 4) + index) as Ref;
        const order = orderOfList(index);
        const name = `per-CPU list ${index} of zone ${zone}, CPU ${cpu}`;
        lists.push({
          ...walk(m, head, name, (pfn) => ({ pfn, order, zone, migrateType: -1 })),
          zone,
          cpu,
        });
      }
    }
  }
  return lists;
}

/** First frames of the blocks. */
const framesOf = (held: readonly HeldBlock[]): ReadonlySet<number> =>
  new Set(held.map((b) => b.pfn));

/**
 * Every slab: all pages of the heap but those that somebody holds for something
 * else, as page tables are.
 */
export function slabsOf(m: Machine, others: ReadonlySet<number>): SlabView[] {
  const slabs: SlabView[] = [];
  const { slab } = m.design;
  m.heap.forEachFrame((pfn) => {
    if (others.has(pfn)) return;
    const meta = m.design.descriptorOf(pfn);
    const counters = m.w.load32(meta, slab.counters);
    const cache = (m.w.load32(meta, slab.cache) >>> CACHE_SHIFT) - 1;
    slabs.push({
      pfn,
      cache,
      meta,
      page: m.w.load32(meta, slab.page) as Ref,
      inuse: counters & 0xffff,
      fresh: counters >>> 16,
      free: freeObjects(m, meta, cache),
    });
  });
  return slabs;
}

/** The slab's free list, at most one more than a slab has room for. */
function freeObjects(m: Machine, meta: Ref, cache: number): Ref[] {
  const free: Ref[] = [];
  if (cache < 0 || cache >= m.caches.specs.length) return free;
  const at = m.caches.freePointerAt(cache);
  let object = m.w.load32(meta, m.design.slab.freelist) as Ref;
  while (object !== 0 && free.length <= m.caches.perSlab[cache]) {
    free.push(object);
    object = m.w.load32(object, at) as Ref;
  }
  return free;
}
