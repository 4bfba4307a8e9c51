/**
 * Descriptors that page words point at: which struct each page type has, how a
 * fresh one is filled, and how its block is found from it.
 *
 * Shared by every word that can hold a tagged pointer. All descriptors begin
 * with a flags word that carries node and zone (memdesc_flags_t, memdesc-facts
 * §1.7) and say which frames are theirs: a folio in pfn and order, every other
 * one in a pfn word whose top byte is the order (invented: separate descriptors
 * of those types are not published field by field).
 */
import type { Ref } from "../../../units.js";
import {
  FOLIO_FLAGS,
  FOLIO_INDEX,
  FOLIO_LARGE_DEFERRED_LIST,
  FOLIO_LARGE_ENTIRE_MAPCOUNT,
  FOLIO_LARGE_LARGE_MAPCOUNT,
  FOLIO_LARGE_MM_ID_MAPCOUNT,
  FOLIO_LARGE_MM_IDS,
  FOLIO_LARGE_NR_PAGES,
  FOLIO_LARGE_NR_PAGES_MAPPED,
  FOLIO_LARGE_SIZE,
  FOLIO_LRU,
  FOLIO_MAPCOUNT,
  FOLIO_MAPPING,
  FOLIO_MEMCG,
  FOLIO_ORDER,
  FOLIO_PFN,
  FOLIO_PINCOUNT,
  FOLIO_PRIVATE,
  FOLIO_REFCOUNT,
  ACCTMEM_MEMCG,
  ACCTMEM_PFN,
  BUMP_PFN,
  HWPOISON_OWNER_MEMDESC,
  HWPOISON_PFN,
  MGDESC_PFN,
  MOVABLE_PFN,
  PCPUDESC_PFN,
  PTDESC_PFN,
  PTDESC_PMD_HUGE_PTE,
  PTDESC_PT_LIST,
  PTDESC_PT_MEMCG_DATA,
  PTDESC_PT_MM,
  PTDESC_PTL,
  SLAB_COUNTERS,
  SLAB_FREELIST,
  SLAB_OBJ_EXTS,
  SLAB_PFN,
  SLAB_SLAB_CACHE,
  SLAB_SLAB_LIST,
  ZPDESC_PFN,
} from "../../layout/generated/offsets.js";
import { STRUCTS } from "../../layout/generated/tables.js";
import { addressHigh, addressLow, highHalf, lowHalf, type Words } from "../../words/words.js";
import {
  CACHE_SHIFT,
  type CacheSpec,
  type DesignContext,
  type FolioLayout,
  type PageDesign,
  type PageImage,
  type PtdescLayout,
  type SlabLayout,
  type WordOptions,
  type SlabRun,
} from "./axis.js";
import { FL_HUGETLB, FL_LARGE_RMAPPABLE, PG_HWPOISON, PG_OWNER_2 } from "./axis-flags.js";
import {
  isFolioType,
  T_ACCTMEM,
  T_ANON,
  T_ANON_EXCLUSIVE,
  T_BUMP,
  T_FILE,
  T_HWPOISON,
  T_KSM,
  T_MANAGED,
  T_MOVABLE,
  T_PERCPU,
  T_PGTABLE,
  T_SLAB,
  T_ZPDESC,
  TYPE_NAMES,
  type PageType,
} from "./axis-types.js";

type StructName = keyof typeof STRUCTS;

export const STRUCT_OF: Readonly<Record<number, StructName>> = {
  [T_FILE]: "FOLIO",
  [T_ANON]: "FOLIO",
  [T_ANON_EXCLUSIVE]: "FOLIO",
  [T_KSM]: "FOLIO",
  [T_SLAB]: "SLAB",
  [T_BUMP]: "BUMP",
  [T_MOVABLE]: "MOVABLE",
  [T_PGTABLE]: "PTDESC",
  [T_HWPOISON]: "HWPOISON",
  [T_PERCPU]: "PCPUDESC",
  [T_ACCTMEM]: "ACCTMEM",
  [T_ZPDESC]: "ZPDESC",
  [T_MANAGED]: "MGDESC",
};

/** Offset of the word that says which frames are the descriptor's. */
const PFN_AT: Readonly<Record<number, number>> = {
  [T_SLAB]: SLAB_PFN,
  [T_BUMP]: BUMP_PFN,
  [T_MOVABLE]: MOVABLE_PFN,
  [T_PGTABLE]: PTDESC_PFN,
  [T_HWPOISON]: HWPOISON_PFN,
  [T_PERCPU]: PCPUDESC_PFN,
  [T_ACCTMEM]: ACCTMEM_PFN,
  [T_ZPDESC]: ZPDESC_PFN,
  [T_MANAGED]: MGDESC_PFN,
};

/** Where each kind of descriptor keeps its memory cgroup; folios apart. */
const MEMCG_AT: Readonly<Record<number, number>> = {
  [T_SLAB]: SLAB_OBJ_EXTS,
  [T_PGTABLE]: PTDESC_PT_MEMCG_DATA,
  [T_ACCTMEM]: ACCTMEM_MEMCG,
};

/** struct slab: the separate one and the overlay of 6.18 agree on these. */
export const SLAB_LAYOUT: SlabLayout = {
  cache: SLAB_SLAB_CACHE,
  next: SLAB_SLAB_LIST,
  prev: SLAB_SLAB_LIST + 8,
  freelist: SLAB_FREELIST,
  counters: SLAB_COUNTERS,
  page: SLAB_COUNTERS + 4,
};

/** Bit array of a large folio: two bits a page (anon-exclusive, hwpoison), from its end on. */
export const PAGE_BITS_AT = FOLIO_LARGE_SIZE;
const LARGEST_FOLIO_ORDER = 18;

/** The caches of one design and which of them serves which block. */
export interface DescriptorCaches {
  readonly specs: readonly CacheSpec[];
  cacheFor(type: PageType, order: number): number;
  /** A fresh folio as the allocator makes it: everything but the reference count. */
  init(
    w: Words,
    descriptor: Ref,
    pfn: number,
    order: number,
    type: PageType,
    location: number,
  ): void;
}

/**
 * One cache per separated type. Anonymous folios have a name of their own from
 * the 16-byte stage on (`anonFolio`); before that they are plain folios.
 */
export function descriptorCaches(options: WordOptions, anonFolio: boolean): DescriptorCaches {
  const specs: CacheSpec[] = [];
  const add = (name: string, struct: StructName, extra = 0): number => {
    const { size, fidelity, source } = STRUCTS[struct];
    const spec = { name, size: size + extra, fidelity, source };
    const guessed = {
      fidelity: "assumed",
      source: `no published size; that of struct folio (${size} bytes)`,
    } as const;
    return specs.push(/^(large )?(anon|ksm) folio/.test(name) ? { ...spec, ...guessed } : spec) - 1;
  };
  const small = new Int16Array(TYPE_NAMES.length).fill(-1);
  const large = new Int16Array(TYPE_NAMES.length).fill(-1);
  /** With page bits in the descriptor: a cache per type and order, 32 columns a type. */
  const perOrder = new Int16Array(TYPE_NAMES.length * 32).fill(-1);
  for (const [type, name] of TYPE_NAMES.entries()) {
    if (type === T_ANON_EXCLUSIVE || !options.separated.has(name)) continue;
    const struct = STRUCT_OF[type];
    if (struct === undefined) continue;
    if (struct !== "FOLIO") {
      small[type] = large[type] = add(name, struct);
      continue;
    }
    const folio = type === T_FILE ? "folio" : anonFolio ? `${name} folio` : "folio";
    const shared = !anonFolio && small[T_FILE] >= 0;
    small[type] = shared ? small[T_FILE] : add(folio, "FOLIO");
    large[type] = shared ? large[T_FILE] : add(`large ${folio}`, "FOLIO_LARGE");
    if (options.pageBits !== "descriptor" || type === T_KSM) continue;
    for (let order = 1; order <= LARGEST_FOLIO_ORDER; order++) {
      // One cache for both kinds of folio is one for each order of them too.
      perOrder[type * 32 + order] = shared
        ? perOrder[T_FILE * 32 + order]
        : add(
            `large ${folio}, order ${order}, with page bits`,
            "FOLIO_LARGE",
            Math.ceil(2 ** order / 64) * 16,
          );
    }
  }
  small[T_ANON_EXCLUSIVE] = small[T_ANON];
  large[T_ANON_EXCLUSIVE] = large[T_ANON];
  return {
    specs,
    cacheFor(type, order) {
      if (order === 0) return small[type];
      const withBits = perOrder[(type === T_ANON_EXCLUSIVE ? T_ANON : type) * 32 + order];
      return withBits >= 0 ? withBits : large[type];
    },
    init: initDescriptor,
  };
}

function initDescriptor(
  w: Words,
  descriptor: Ref,
  pfn: number,
  order: number,
  type: PageType,
  location: number,
): void {
  w.store64(descriptor, 0, 0, location);
  if (!isFolioType(type)) {
    // Where the free pointer was: a word that is not 0 would be the page's owner.
    if (type === T_HWPOISON) w.store64(descriptor, HWPOISON_OWNER_MEMDESC, 0, 0);
    w.store64(descriptor, PFN_AT[type], lowHalf(pfn), order << 24);
    return;
  }
  w.store64(descriptor, 8, 0, 0);
  w.store64(descriptor, 16, 0, 0);
  w.store64(descriptor, FOLIO_MAPPING, 0, 0);
  w.store64(descriptor, 32, -1, -1);
  w.store64(descriptor, 40, 0, 0);
  w.store32(descriptor, FOLIO_MAPCOUNT, -1);
  w.store64(descriptor, 56, 0, order);
  w.store64(descriptor, FOLIO_PFN, lowHalf(pfn), 0);
  w.store64(descriptor, FOLIO_MEMCG, 0, 0);
  if (order === 0) return;
  w.store64(descriptor, FOLIO_LARGE_LARGE_MAPCOUNT, -1, 0);
  w.store64(descriptor, FOLIO_LARGE_ENTIRE_MAPCOUNT, -1, 1 << order);
  for (let off = 96; off < FOLIO_LARGE_SIZE; off += 8) w.store64(descriptor, off, 0, 0);
}

/** Lists of one strided field, by its word: made once, not for every run. */
const AT_WORD: readonly Int32Array[] = Array.from({ length: FOLIO_LARGE_SIZE / 4 }, (_, i) =>
  Int32Array.of(i),
);

/** Fills the descriptors of `count` equal blocks; the reference `stride` apart. */
export function describeRun(
  w: Words,
  context: DesignContext,
  pfn: number,
  count: number,
  image: PageImage,
  descriptor: Ref,
  stride: number,
  slabs?: SlabRun,
): void {
  const t = new Int32Array(stride * 4);
  const folio = isFolioType(image.type);
  t[0] =
    image.flags | (image.hugetlb ? FL_HUGETLB : 0) | (image.rmappable ? FL_LARGE_RMAPPABLE : 0);
  t[1] = context.zones.bits[image.zone];
  const pfnAt = (folio ? FOLIO_PFN : PFN_AT[image.type]) / 4;
  t[pfnAt + 1] = folio ? 0 : image.order << 24;
  const memcgAt = folio ? FOLIO_MEMCG : MEMCG_AT[image.type];
  if (memcgAt !== undefined) {
    t[memcgAt / 4] = lowHalf(image.memcg);
    t[memcgAt / 4 + 1] = highHalf(image.memcg);
  }
  if (folio) fillFolio(t, context, image);
  if (image.type === T_SLAB) fillSlab(t, image);
  if (slabs === undefined) {
    w.fillRun(descriptor, 0, t, count, AT_WORD[pfnAt], pfn, 2 ** image.order);
    return;
  }
  const slab = repeated(t, AT_WORD[pfnAt], slabs.per, 2 ** image.order, slabs.refs * 4);
  const pages = slabs.per * 2 ** image.order;
  w.fillRun(descriptor, 0, slab.words, count / slabs.per, slab.strided, pfn, pages);
}

/**
 * `times` copies of a template one after another, each strided field `step`
 * more than in the copy before: one slab's worth, to be filled slab by slab.
 */
export function repeated(
  template: Int32Array,
  strided: Int32Array,
  times: number,
  step: number,
  length: number = template.length * times,
): { readonly words: Int32Array; readonly strided: Int32Array } {
  const words = new Int32Array(length);
  const all = new Int32Array(strided.length * times);
  for (let k = 0; k < times; k++) {
    words.set(template, k * template.length);
    for (let s = 0; s < strided.length; s++) {
      const at = strided[s] + k * template.length;
      words[at] += k * step;
      all[k * strided.length + s] = at;
    }
  }
  return { words, strided: all };
}

/** Place of the i-th descriptor, counted from the first. */
export function placeOf(i: number, stride: number, slabs: SlabRun | undefined): number {
  if (slabs === undefined) return i * stride;
  return Math.floor(i / slabs.per) * slabs.refs + (i % slabs.per) * stride;
}

/** The cache and the objects in use, in a slab whose template is `t`. */
export function fillSlab(t: Int32Array, image: PageImage): void {
  t[SLAB_LAYOUT.cache / 4] = image.slabCache << CACHE_SHIFT;
  t[SLAB_LAYOUT.counters / 4] = image.slabInuse;
}

function fillFolio(t: Int32Array, context: DesignContext, image: PageImage): void {
  const target = image.mappingBits === 0 ? context.addressSpace : context.anonVma;
  t[FOLIO_MAPPING / 4] = addressLow(target) | image.mappingBits;
  t[FOLIO_MAPPING / 4 + 1] = addressHigh(target);
  const pages = 2 ** image.order;
  t[FOLIO_REFCOUNT / 4] = 1 + image.mapcount;
  t[FOLIO_MAPCOUNT / 4] = image.order === 0 ? image.mapcount - 1 : -1;
  t[FOLIO_ORDER / 4] = image.order;
  if (image.order === 0) return;
  // Pages of a hugetlb folio are mapped together or not at all.
  t[FOLIO_LARGE_LARGE_MAPCOUNT / 4] = image.mapcount * (image.hugetlb ? 1 : pages) - 1;
  t[FOLIO_LARGE_ENTIRE_MAPCOUNT / 4] = image.hugetlb ? image.mapcount - 1 : -1;
  t[FOLIO_LARGE_NR_PAGES / 4] = pages;
}

/** First frame of a descriptor's block. */
export function blockOfDescriptor(w: Words, descriptor: Ref, type: PageType): number {
  return w.load32(descriptor, isFolioType(type) ? FOLIO_PFN : PFN_AT[type]) >>> 0;
}

export function orderOfDescriptor(w: Words, descriptor: Ref, type: PageType): number {
  if (isFolioType(type)) return w.load32(descriptor, FOLIO_ORDER) & 0xff;
  w.load64(descriptor, PFN_AT[type]);
  return w.hi >>> 24;
}

/**
 * The average that a kernel without per-page map counts shows
 * (folio_average_page_mapcount): rounded to the nearest, never 0 while mapped.
 */
export function averageMapcount(w: Words, descriptor: Ref, order: number): number {
  if (order === 0) return w.load32(descriptor, FOLIO_MAPCOUNT) + 1;
  const total = w.load32(descriptor, FOLIO_LARGE_LARGE_MAPCOUNT) + 1;
  return averageOf(total, w.load32(descriptor, FOLIO_LARGE_ENTIRE_MAPCOUNT) + 1, order);
}

/** The same from a large folio's count of all mappings and of those of it as a whole. */
export function averageOf(total: number, entire: number, order: number): number {
  if (total <= 0) return 0;
  if (total <= entire) return entire;
  const average = Math.floor((total - entire + 2 ** order / 2) / 2 ** order) + entire;
  return Math.max(1, average);
}

/** Which of the two bits of a page in a large folio's array. */
export const EXCLUSIVE_BIT = 0;
export const POISON_BIT = 1;

/** The page's bit in a large folio's array, or the folio's own flag at order 0. */
export function pageBit(
  w: Words,
  descriptor: Ref,
  order: number,
  index: number,
  which: number,
): boolean {
  if (order === 0) return (w.load32(descriptor, 0) & FOLIO_FLAG[which]) !== 0;
  const bit = index * 2 + which;
  return ((w.load32(descriptor, PAGE_BITS_AT + ((bit >> 5) << 2)) >>> (bit & 31)) & 1) !== 0;
}

export function setPageBit(
  w: Words,
  descriptor: Ref,
  order: number,
  index: number,
  which: number,
  on = true,
): void {
  const bit = index * 2 + which;
  const off = order === 0 ? 0 : PAGE_BITS_AT + ((bit >> 5) << 2);
  const mask = order === 0 ? FOLIO_FLAG[which] : 1 << (bit & 31);
  changeBits(w, descriptor, off, mask, on);
}

/** set_bit, clear_bit: atomic on its word. */
export function changeBits(w: Words, ref: Ref, off: number, mask: number, on: boolean): void {
  for (;;) {
    const was = w.load32(ref, off);
    const is = on ? was | mask : was & ~mask;
    if (is === was || w.cas32(ref, off, was, is)) return;
  }
}

/** Layout of a separate folio: small ones end after memcg. */
export const SEPARATE_FOLIO: FolioLayout = {
  flags: FOLIO_FLAGS,
  mapping: FOLIO_MAPPING,
  refcount: FOLIO_REFCOUNT,
  mapcount: FOLIO_MAPCOUNT,
  memcg: FOLIO_MEMCG,
  second: -1,
  lru: FOLIO_LRU,
  index: FOLIO_INDEX,
  private: FOLIO_PRIVATE,
  smallPincount: FOLIO_PINCOUNT,
  pincount: FOLIO_PINCOUNT,
  largeMapcount: FOLIO_LARGE_LARGE_MAPCOUNT,
  nrPagesMapped: FOLIO_LARGE_NR_PAGES_MAPPED,
  entireMapcount: FOLIO_LARGE_ENTIRE_MAPCOUNT,
  mmIdMapcount: FOLIO_LARGE_MM_ID_MAPCOUNT,
  mmIds: FOLIO_LARGE_MM_IDS,
  deferredList: FOLIO_LARGE_DEFERRED_LIST,
};

/** struct ptdesc: the separate one and the overlay of 6.18 agree on these. */
export const PTDESC_LAYOUT: PtdescLayout = {
  ptl: PTDESC_PTL,
  mm: PTDESC_PT_MM,
  pmdHugePte: PTDESC_PMD_HUGE_PTE,
  deposited: PTDESC_PT_LIST,
};

const FOLIO_FLAG = [PG_OWNER_2, PG_HWPOISON];

/**
 * The free block over a page that is not itself the head of one: blocks are
 * naturally aligned, so its head is the page's frame with low bits cleared.
 */
export function freeHead(design: Pick<PageDesign, "freeOrderAt">, pfn: number): number {
  for (let order = 0; order <= 10; order++) {
    const head = pfn & (-1 << order);
    if (design.freeOrderAt(head) >= order) return head;
  }
  return -1;
}
