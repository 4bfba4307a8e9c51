/**
 * The word axis: what every page frame carries, and what can be asked of it.
 *
 * A page design owns the page array. It answers what a page is, binds blocks of
 * pages to their owner, releases them, and keeps the allocator's free-list links
 * inside the pages themselves. It speaks in words and numbers only: frame
 * numbers, orders, references. The two questions that not every design can
 * answer (is this the first page? what is this one page's map count?) are
 * separate interfaces, so that a program that asks them of a design without the
 * answer does not compile.
 *
 * Facts: memdesc-facts §1–§3, §5.
 */
import type { Ref } from "../../../units.js";
import type { Words } from "../../words/words.js";
import type { Fidelity } from "../../layout/struct-table.js";
import type { PageType, TypeName, TypeTable } from "./axis-types.js";

/** One cache of descriptors that a design needs. */
export interface CacheSpec {
  /** Row it is reported under: `folio`, `anon folio`, `slab`, … */
  readonly name: string;
  /** Bytes of the struct itself, before free pointer and alignment. */
  readonly size: number;
  readonly fidelity: Fidelity;
  readonly source: string;
}

/** Where the zones lie; what a design without location bits rebuilds them from. */
export interface ZoneMap {
  /** Zone index of node × 8 + zone type; −1 for none. */
  readonly byKey: Int16Array;
  /** High half of the location bits of each zone index. */
  readonly bits: Int32Array;
  readonly start: Float64Array;
  /** Zone index of any frame, from the per-pageblock table in words. */
  zoneOf(pfn: number): number;
}

/** What a design is built on. */
export interface DesignContext {
  readonly w: Words;
  /** First reference of the page array: frame 0's words. 64-byte aligned. */
  readonly base: Ref;
  /** Frames that the page array spans. */
  readonly frames: number;
  readonly zones: ZoneMap;
  /** An address_space and an anon_vma, for `mapping` to point at. */
  readonly addressSpace: Ref;
  readonly anonVma: Ref;
  /** GLOBALS: which page is the zero page. */
  readonly globals: Ref;
}

/** Everything a block of pages can be, for populating and for the readers. */
export interface PageImage {
  readonly type: PageType;
  /** Misc only. */
  readonly subtype: number;
  /** Misc only: may be mapped to user space (bit 11). */
  readonly mappable: boolean;
  readonly order: number;
  /** PG_ bits of the owner (low half). */
  readonly flags: number;
  /** PG_ bits of each tail page's own word, for kernels whose /proc shows them. */
  readonly tailFlags: number;
  /** Low two bits of `mapping`: 0, MAPPING_ANON or MAPPING_KSM. */
  readonly mappingBits: number;
  /** Times each page is mapped, the same for all. */
  readonly mapcount: number;
  /** memcg word: inode number × 16. */
  readonly memcg: number;
  readonly hugetlb: boolean;
  readonly rmappable: boolean;
  /** Slab only: number of the cache whose objects it holds, 0 for none of the engine's, and objects in use. */
  readonly slabCache: number;
  readonly slabInuse: number;
  /** Zone index. */
  readonly zone: number;
}

export interface PageDesign {
  readonly name: string;
  /** Bytes per page in the page array. */
  readonly pageBytes: number;
  /** For tables: `struct page 64 B`. */
  readonly summary: string;
  readonly types: TypeTable;
  readonly mapcounts: "per-page" | "per-folio";
  /**
   * What flags a page has of its own: `all` (a flags word per page), `few` (only
   * reserved, hwpoison, anon-exclusive; anything while free), `none`.
   */
  readonly ownFlags: "all" | "few" | "none";
  /** Whether owners are overlays, whose fields show through in each other's. */
  readonly overlay: boolean;
  /** Most frames that one zone may span; beyond it the design refuses the machine. */
  readonly reach: number;
  /** Bytes of tables per pageblock that only this design needs. */
  readonly bytesPerPageblock: number;
  readonly caches: readonly CacheSpec[];
  /** Offsets of the fields of a folio in `descriptorOf`, which are hot. */
  readonly folio: FolioLayout;
  /** The same for a slab. */
  readonly slab: SlabLayout;
  /** The same for a page table. */
  readonly ptdesc: PtdescLayout;

  /** What is this page? Any page of a block answers alike. */
  typeOf(pfn: number): PageType;
  /** Misc subtype; only for pages whose type is Misc. */
  subtypeOf(pfn: number): number;
  /** The descriptor (or overlay) of the block; 0 where the type has none. */
  descriptorOf(pfn: number): Ref;
  /** The descriptor that came from a cache; 0 for an overlay or none. */
  separateOf(pfn: number): Ref;
  /** First frame and order of the block this page belongs to. */
  blockOf(pfn: number): number;
  orderOf(pfn: number): number;
  /** Zone index of any page in any state. */
  zoneOf(pfn: number): number;
  /**
   * One read of what says who owns the page, for lookups without a lock: the low
   * half, the high half in `w.hi`. Two equal answers mean the same owner.
   */
  ownerWord(pfn: number): number;
  /** The folio that such an answer names; 0 where the owner is no folio. */
  folioOfOwner(lo: number, hi: number): Ref;
  /** PG_ flags of the owner. */
  flagsOf(pfn: number): number;
  /** PG_ flags as this very page shows them: its own word where it has one. */
  pageFlagsOf(pfn: number): number;
  /** Low two bits of the owner's mapping. */
  mappingBitsOf(pfn: number): number;
  /** What /proc/kpagecount shows: exact per page, or the folio's average. */
  mapcountOf(pfn: number): number;
  /** Whether this very page is marked hwpoison, at the home its design gives that bit. */
  isPoisoned(pfn: number): boolean;
  /** Cache of the descriptor that `poison` needs for this page; −1 for none. */
  poisonCache(pfn: number): number;
  /** Marks one page hwpoison, also inside a folio. */
  poison(pfn: number, descriptor: Ref): void;
  /** folio_mapped: whether any page of the block is mapped. */
  isMapped(pfn: number): boolean;
  /** PageAnonExclusive of this very page, at the home its design gives that bit. */
  isExclusive(pfn: number): boolean;
  /** SetPageAnonExclusive, ClearPageAnonExclusive on a page of an anonymous folio. */
  setExclusive(pfn: number, on: boolean): void;
  /** 1 hugetlb, 2 large and rmappable. */
  folioClassOf(pfn: number): number;
  /** Makes a folio that `bind` gave hugetlb (1), large and rmappable (2) or neither (0). */
  setFolioClass(pfn: number, folioClass: number): void;

  /** Whether a block can be given that type: its table has a code for it, and it a place for its descriptor. */
  holds(type: PageType): boolean;
  /** Index into `caches` of the descriptor for a block of that type; −1: none. */
  cacheFor(type: PageType, order: number): number;
  /** Writes the tagged word into every page of the block. */
  bind(pfn: number, order: number, type: PageType, descriptor: Ref): void;
  /** In-place Misc words: no descriptor. */
  bindMisc(pfn: number, order: number, subtype: number, mappable: boolean, zone: number): void;
  /** Back to no owner, before the block goes to the allocator. Never allocates. */
  release(pfn: number, order: number): void;
  /**
   * Cuts a block into blocks of a smaller order, each with a descriptor of its
   * own where the type has one: `descriptors[i]` for the i-th. Map counts of
   * single pages stay; every other field of a new owner is the caller's to fill.
   */
  split(
    pfn: number,
    order: number,
    newOrder: number,
    type: PageType,
    descriptors: Int32Array,
  ): void;
  /** Initial contents of a folio: all but the reference count, which comes last. */
  initFolio(pfn: number, order: number, type: PageType, descriptor: Ref, zone: number): void;

  /**
   * Describes `count` equal blocks in consecutive frames at once. Where the type
   * has descriptors, they lie at `descriptor`, `descriptor + stride`, … or, where
   * they fill whole slabs, as `slabs` says.
   */
  bindRun(
    pfn: number,
    count: number,
    image: PageImage,
    descriptor: Ref,
    stride: number,
    slabs?: SlabRun,
  ): void;
  /** Fresh pages without an owner: what boot leaves in the page array. */
  blankRun(pfn: number, count: number, zone: number): void;
  /** Sets a page's own flags; false where a page has no flags of its own. */
  setPageFlags(pfn: number, flags: number): boolean;
  /** The page is mapped `n` more times: its own count, or its folio's. */
  addMapcount(pfn: number, n: number): void;
  /**
   * Adds to the page's own _mapcount and returns what it is then (−1: unmapped).
   * Only for designs whose `mapcounts` are per page.
   */
  addOwnMapcount(pfn: number, n: number): number;

  // Free lists. next and prev are frames or −1; `pcp` is 1 for a per-CPU list.
  /** Order of the free block that starts at this very page; −1 if none does. */
  freeOrderAt(pfn: number): number;
  link(pfn: number, order: number, next: number, prev: number, pcp: number): void;
  unlink(pfn: number): void;
  setNext(pfn: number, next: number): void;
  setPrev(pfn: number, prev: number): void;
  nextOf(pfn: number): number;
  prevOf(pfn: number): number;

  /**
   * Makes one page (order 0) lead to its scattered object or to its slot in it,
   * marked so that no other page is taken for one. `zone` is its zone index.
   */
  bindScattered(pfn: number, to: Ref, zone: number): void;
  /** What `bindScattered` stored; 0 for every other page. */
  scatteredOf(pfn: number): Ref;

  /** The words of one page, for people: address and 64-bit values. */
  wordsOf(pfn: number): { readonly ref: Ref; readonly off: number; readonly struct: string };
}

/** Designs in which a bare page (Misc) has a private word that its owner may use. */
export interface KeepsPrivate {
  privateOf(pfn: number): Ref;
  setPrivate(pfn: number, value: Ref): void;
}

/** Designs in which a bare page has a mapping word that its owner may use. */
export interface KeepsMapping {
  barePageMapping(pfn: number): Ref;
  setBarePageMapping(pfn: number, value: Ref): void;
}

/** Designs in which a bare page counts its own references and mappings. */
export interface CountsPages {
  /** Takes `n` references unless there are none; false then. */
  tryGetPage(pfn: number, n: number): boolean;
  /** Adds to the references and returns what there is now. */
  addPageRefs(pfn: number, n: number): number;
  /** Adds to the mappings and returns what there is now: 0 for an unmapped page. */
  addPageMaps(pfn: number, n: number): number;
}

/** Designs in which alloc_pages() gives a page with a reference count, as it does today. */
export interface CountsBarePages {
  readonly bareRefcount: number;
}

export const countsBarePages = (d: PageDesign): d is PageDesign & CountsBarePages =>
  "bareRefcount" in d;

/** Designs in which a bare page has room for a list head of its owner's. */
export interface KeepsList {
  readonly barePageList: number;
}

export const keepsPrivate = (d: PageDesign): d is PageDesign & KeepsPrivate => "privateOf" in d;
export const keepsMapping = (d: PageDesign): d is PageDesign & KeepsMapping =>
  "barePageMapping" in d;
export const countsPages = (d: PageDesign): d is PageDesign & CountsPages => "tryGetPage" in d;
export const keepsList = (d: PageDesign): d is PageDesign & KeepsList => "barePageList" in d;

/** One more reference in a 32-bit count unless it is zero or less: what `tryGetPage` is made of. */
export function addUnlessZero(w: Words, ref: Ref, off: number, n: number): boolean {
  for (;;) {
    const count = w.load32(ref, off);
    if (count <= 0) return false;
    if (w.cas32(ref, off, count, count + n)) return true;
  }
}

/** Designs in which a page knows whether it is the first of its block. */
export interface KnowsHead {
  isHead(pfn: number): boolean;
  isTail(pfn: number): boolean;
}

/** Descriptors in whole slabs: `per` of them in each, the next slab `refs` references on. */
export interface SlabRun {
  readonly per: number;
  readonly refs: number;
}

/**
 * Where a folio's fields are. The first group counts from `descriptorOf`; the
 * others too, unless `second` says at which offset there is a pointer to the
 * object they are in. −1: nowhere.
 */
export interface FolioLayout {
  readonly flags: number;
  readonly mapping: number;
  readonly refcount: number;
  /** Of a folio of one page. */
  readonly mapcount: number;
  readonly memcg: number;
  readonly second: number;
  /** list_head: next, and prev 8 bytes on. */
  readonly lru: number;
  readonly index: number;
  readonly private: number;
  /** Pins of a folio of one page, of a large one; −1: pins are references × 1024. */
  readonly smallPincount: number;
  readonly pincount: number;
  // The rest is a large folio's.
  readonly largeMapcount: number;
  readonly nrPagesMapped: number;
  readonly entireMapcount: number;
  readonly mmIdMapcount: number;
  readonly mmIds: number;
  readonly deferredList: number;
}

/** Where a page table's fields are, from `descriptorOf`. */
export interface PtdescLayout {
  /** Spin lock of the table: 0 free, 1 held. */
  readonly ptl: number;
  /** The mm it belongs to. */
  readonly mm: number;
  /** In a PMD table: first of the PTE tables deposited for its huge entries … */
  readonly pmdHugePte: number;
  /** … and in each of those the next one. */
  readonly deposited: number;
}

/**
 * The number of a slab's cache is kept above the low four bits, as an aligned
 * pointer would be: in struct page they lie over compound_head's mark of a tail.
 */
export const CACHE_SHIFT = 4;

/**
 * Where a slab's bookkeeping is, from `descriptorOf`. Lists hold frame + 1, the
 * free list the reference of the first free object; counters are objects in
 * use (low 16 bits) and objects never yet handed out (high 16 bits).
 */
export interface SlabLayout {
  readonly cache: number;
  readonly next: number;
  readonly prev: number;
  readonly freelist: number;
  readonly counters: number;
  /** Reference of the slab's first byte. */
  readonly page: number;
}

/** What a design was asked to be: the choices of the other axes that touch the word. */
export interface WordOptions {
  /** Types with a descriptor of their own. */
  readonly separated: ReadonlySet<TypeName>;
  /** Where anon-exclusive and hwpoison live. */
  readonly pageBits: "word" | "type" | "descriptor";
  /** Whether a word with room for it keeps a map count of every page. */
  readonly mapcounts: "per-page" | "per-folio";
  readonly types: TypeTable;
  /** Where a page that leads to a scattered object has its node and zone. */
  readonly scatteredNid: "word" | "flags" | "rebuilt";
}
