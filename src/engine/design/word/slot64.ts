/**
 * slot64: one static, typed 64-byte slot per frame, for comparison only.
 *
 * After the frame metadata of a Rust kernel: 40 bytes of typed storage, a
 * reference count whose value names the life-cycle state (all ones: unused; 0:
 * being built or torn down; n: in use), a vtable word that is the type, and the
 * list the frame is on. As large as struct page, but typed. What a folio or a
 * slab has beyond 40 bytes goes to a second object from a cache, which is
 * counted; page tables, zsmalloc and the rest fit.
 *
 * Facts: anchors B2 (slot layout, states). Invented: what lies where in the 40
 * bytes, a tail's slot saying how far its head is, and the second object.
 */
import type { Ref } from "../../../units.js";
import {
  SLOT_FOLIO_LARGE_REST_DEFERRED_LIST,
  SLOT_FOLIO_LARGE_REST_ENTIRE_MAPCOUNT,
  SLOT_FOLIO_LARGE_REST_LARGE_MAPCOUNT,
  SLOT_FOLIO_LARGE_REST_MM_ID_MAPCOUNT,
  SLOT_FOLIO_LARGE_REST_MM_IDS,
  SLOT_FOLIO_LARGE_REST_NR_PAGES_MAPPED,
  SLOT_FOLIO_LARGE_REST_PINCOUNT,
  SLOT_FOLIO_REST_INDEX,
  SLOT_FOLIO_REST_LRU,
  SLOT_FOLIO_REST_PRIVATE,
  SLOT64_IN_LIST,
  SLOT64_REF_COUNT,
  SLOT64_STORAGE,
  SLOT64_VTABLE,
} from "../../layout/generated/offsets.js";
import { STRUCTS } from "../../layout/generated/tables.js";
import { addressHigh, addressLow, highHalf, lowHalf, refOfAddress } from "../../words/words.js";
import {
  CACHE_SHIFT,
  type CacheSpec,
  type DesignContext,
  type FolioLayout,
  type KnowsHead,
  type PageDesign,
  type PageImage,
  type WordOptions,
  type SlabRun,
} from "./axis.js";
import { averageOf, changeBits, freeHead, placeOf, repeated } from "./axis-descriptors.js";
import { MAPPING_ANON, MAPPING_KSM } from "./axis-flags.js";
import {
  isFolioType,
  MISC_UNKNOWN,
  MISC_VMALLOC,
  T_BUDDY,
  T_FILE,
  T_KSM,
  T_MISC,
  T_SLAB,
  type PageType,
} from "./axis-types.js";
import { WideWord, type WideFields } from "./axis-wide.js";

// The 40 typed bytes of a frame in use. Node and zone are in the high half of
// flags in every state, so a free frame leaves the first 8 bytes alone.
const FLAGS = SLOT64_STORAGE;
const MAPPING = SLOT64_STORAGE + 8;
const MAPCOUNT = SLOT64_STORAGE + 16;
const ORDER = SLOT64_STORAGE + 20;
const MEMCG = SLOT64_STORAGE + 24;
const REST = SLOT64_STORAGE + 32;
/** A tail says how far its head is where its head has the second object. */
const HEAD = REST;
const AT_REST = new Int32Array([REST / 4]);
// The same bytes of a free frame.
const NEXT = SLOT64_STORAGE + 8;
const PREV = SLOT64_STORAGE + 12;
const FREE_ORDER = SLOT64_STORAGE + 20;

const UNUSED = -1;
const ON_BUDDY = 1;
const ON_PCP = 2;
/** Bits of the vtable word: type, then what it is within the type. */
const V_TAIL = 1 << 8;
const V_HUGETLB = 1 << 9;
const V_RMAPPABLE = 1 << 10;
const V_MAPPABLE = 1 << 11;
const V_SUBTYPE_SHIFT = 16;

const CACHE_FOLIO = 0;
const CACHE_LARGE = 1;
const CACHE_SLAB = 2;
const spec = (
  name: string,
  struct: "SLOT_FOLIO_REST" | "SLOT_FOLIO_LARGE_REST" | "SLOT_SLAB_REST",
): CacheSpec => {
  const { size, fidelity, source } = STRUCTS[struct];
  return { name, size, fidelity, source };
};

const FIELDS: WideFields = {
  flags: FLAGS,
  mapping: MAPPING,
  mapcount: MAPCOUNT,
  refcount: SLOT64_REF_COUNT,
  // A bare page has the 8 bytes of its slot that are a folio's memory cgroup.
  private: MEMCG,
};

export class Slot64 extends WideWord implements PageDesign, KnowsHead {
  readonly name = "slot64";
  readonly summary = "slot 64 B";
  readonly overlay = false;
  readonly caches = [
    spec("folio, second object", "SLOT_FOLIO_REST"),
    spec("large folio, second object", "SLOT_FOLIO_LARGE_REST"),
    spec("slab, second object", "SLOT_SLAB_REST"),
  ];
  readonly folio: FolioLayout = {
    flags: FLAGS,
    mapping: MAPPING,
    refcount: SLOT64_REF_COUNT,
    mapcount: MAPCOUNT,
    memcg: MEMCG,
    second: REST,
    lru: SLOT_FOLIO_REST_LRU,
    index: SLOT_FOLIO_REST_INDEX,
    private: SLOT_FOLIO_REST_PRIVATE,
    smallPincount: -1,
    pincount: SLOT_FOLIO_LARGE_REST_PINCOUNT,
    largeMapcount: SLOT_FOLIO_LARGE_REST_LARGE_MAPCOUNT,
    nrPagesMapped: SLOT_FOLIO_LARGE_REST_NR_PAGES_MAPPED,
    entireMapcount: SLOT_FOLIO_LARGE_REST_ENTIRE_MAPCOUNT,
    mmIdMapcount: SLOT_FOLIO_LARGE_REST_MM_ID_MAPCOUNT,
    mmIds: SLOT_FOLIO_LARGE_REST_MM_IDS,
    deferredList: SLOT_FOLIO_LARGE_REST_DEFERRED_LIST,
  };
  readonly ptdesc = { ptl: MAPCOUNT, mm: MAPPING, pmdHugePte: MEMCG, deposited: REST };
  // The pointers of struct slab are wider than the slot has room for: the second
  // object has them, the engine's own 32-bit forms are here.
  readonly slab = {
    cache: MAPCOUNT,
    next: MAPPING,
    prev: MAPPING + 4,
    freelist: MEMCG,
    counters: MEMCG + 4,
    page: SLOT64_IN_LIST + 4,
  };

  constructor(context: DesignContext, options: WordOptions) {
    super(context, options, FIELDS);
  }

  #inUse(pfn: number): boolean {
    return this.w.load32(this.page(pfn), SLOT64_REF_COUNT) !== UNUSED;
  }

  #vtable(pfn: number): number {
    return this.w.load32(this.page(pfn), SLOT64_VTABLE);
  }

  isTail(pfn: number): boolean {
    return this.#inUse(pfn) && (this.#vtable(pfn) & V_TAIL) !== 0;
  }

  isHead(pfn: number): boolean {
    return (
      this.#inUse(pfn) && !this.isTail(pfn) && (this.w.load32(this.page(pfn), ORDER) & 0xff) > 0
    );
  }

  #headOf(pfn: number): number {
    return this.isTail(pfn) ? pfn - this.w.load32(this.page(pfn), HEAD) : pfn;
  }

  typeOf(pfn: number): PageType {
    if (this.#inUse(pfn)) return (this.#vtable(pfn) & 15) as PageType;
    return freeHead(this, pfn) >= 0 ? T_BUDDY : T_MISC;
  }

  subtypeOf(pfn: number): number {
    return this.#inUse(pfn) ? (this.#vtable(pfn) >>> V_SUBTYPE_SHIFT) & 127 : MISC_UNKNOWN;
  }

  descriptorOf(pfn: number): Ref {
    return this.page(this.#headOf(pfn));
  }

  separateOf(pfn: number): Ref {
    const slot = this.descriptorOf(pfn);
    if (this.cacheFor(this.typeOf(pfn), this.orderOf(pfn)) < 0) return 0 as Ref;
    const lo = this.w.load64(slot, REST);
    return refOfAddress(lo, this.w.hi);
  }

  blockOf(pfn: number): number {
    if (this.#inUse(pfn)) return this.#headOf(pfn);
    const head = freeHead(this, pfn);
    return head >= 0 ? head : pfn;
  }

  orderOf(pfn: number): number {
    if (this.#inUse(pfn)) return this.w.load32(this.descriptorOf(pfn), ORDER) & 0xff;
    const head = freeHead(this, pfn);
    return head >= 0 ? this.freeOrderAt(head) : 0;
  }

  ownerWord(pfn: number): number {
    const slot = this.descriptorOf(pfn);
    this.w.hi = addressHigh(slot);
    return addressLow(slot);
  }

  folioOfOwner(lo: number, hi: number): Ref {
    const slot = refOfAddress(lo, hi);
    const type = (this.w.load32(slot, SLOT64_VTABLE) & 15) as PageType;
    return isFolioType(type) ? slot : (0 as Ref);
  }

  flagsOf(pfn: number): number {
    return this.w.load32(this.descriptorOf(pfn), FLAGS);
  }

  pageFlagsOf(pfn: number): number {
    return this.w.load32(this.page(pfn), FLAGS);
  }

  mappingBitsOf(pfn: number): number {
    return isFolioType(this.typeOf(pfn)) ? this.w.load32(this.descriptorOf(pfn), MAPPING) & 3 : 0;
  }

  mapcountOf(pfn: number): number {
    if (!isFolioType(this.typeOf(pfn))) return 0;
    const own = this.w.load32(this.page(pfn), MAPCOUNT) + 1;
    const order = this.orderOf(pfn);
    const rest = order > 0 ? this.separateOf(pfn) : (0 as Ref);
    if (rest === 0) return own;
    const entire = this.w.load32(rest, SLOT_FOLIO_LARGE_REST_ENTIRE_MAPCOUNT) + 1;
    if (this.mapcounts === "per-page") return own + entire;
    const total = this.w.load32(rest, SLOT_FOLIO_LARGE_REST_LARGE_MAPCOUNT) + 1;
    return averageOf(total, entire, order);
  }

  setFolioClass(pfn: number, folioClass: number): void {
    const slot = this.page(pfn);
    changeBits(this.w, slot, SLOT64_VTABLE, V_HUGETLB | V_RMAPPABLE, false);
    const bit = folioClass === 1 ? V_HUGETLB : folioClass === 2 ? V_RMAPPABLE : 0;
    if (bit !== 0) changeBits(this.w, slot, SLOT64_VTABLE, bit, true);
  }

  split(
    pfn: number,
    _order: number,
    newOrder: number,
    type: PageType,
    descriptors: Int32Array,
  ): void {
    for (let i = 0; i < descriptors.length; i++)
      this.#start(pfn + (i << newOrder), newOrder, type, 0, descriptors[i] as Ref);
  }

  isMapped(pfn: number): boolean {
    const block = this.blockOf(pfn);
    for (let i = 0; i < 2 ** this.orderOf(pfn); i++)
      if (this.mapcountOf(block + i) > 0) return true;
    return false;
  }

  folioClassOf(pfn: number): number {
    if (!this.#inUse(pfn)) return 0;
    const v = this.w.load32(this.descriptorOf(pfn), SLOT64_VTABLE);
    return v & V_HUGETLB ? 1 : v & V_RMAPPABLE ? 2 : 0;
  }

  cacheFor(type: PageType, order: number): number {
    if (type === T_SLAB) return CACHE_SLAB;
    return isFolioType(type) ? (order > 0 ? CACHE_LARGE : CACHE_FOLIO) : -1;
  }

  bind(pfn: number, order: number, type: PageType, descriptor: Ref): void {
    this.#start(pfn, order, type, 0, descriptor);
    // Everything but a folio is in use from here on; a folio's count comes last.
    if (!isFolioType(type)) this.w.store64(this.page(pfn), SLOT64_REF_COUNT, 1, 0);
  }

  #start(pfn: number, order: number, type: number, extra: number, rest: Ref): void {
    const w = this.w;
    const slot = this.page(pfn);
    w.store64(slot, SLOT64_REF_COUNT, 0, 0);
    w.store64(slot, SLOT64_VTABLE, type | extra, 0);
    w.store32(slot, MAPCOUNT, -1);
    w.store32(slot, ORDER, order);
    w.store64(slot, REST, addressLow(rest), addressHigh(rest));
    for (let i = 1; i < 1 << order; i++) {
      const tail = (slot + i * 4) as Ref;
      w.store64(tail, SLOT64_VTABLE, type | extra | V_TAIL, 0);
      w.store32(tail, MAPCOUNT, -1);
      w.store64(tail, HEAD, i, 0);
      w.store64(tail, SLOT64_REF_COUNT, 0, 0);
    }
  }

  bindMisc(pfn: number, order: number, subtype: number, mappable: boolean, _zone: number): void {
    this.#start(
      pfn,
      order,
      T_MISC,
      (subtype << V_SUBTYPE_SHIFT) | (mappable ? V_MAPPABLE : 0),
      0 as Ref,
    );
    this.w.store64(this.page(pfn), SLOT64_REF_COUNT, 1, 0);
  }

  release(pfn: number, order: number): void {
    for (let i = 0; i < 1 << order; i++) {
      const slot = this.page(pfn + i);
      this.w.store64(slot, SLOT64_REF_COUNT, UNUSED, UNUSED);
      this.w.store32(slot, FLAGS, 0);
      for (let off = MAPPING; off <= REST; off += 8) this.w.store64(slot, off, 0, 0);
      this.w.store64(slot, SLOT64_VTABLE, 0, 0);
      this.w.store64(slot, SLOT64_IN_LIST, 0, 0);
    }
  }

  initFolio(pfn: number, _order: number, type: PageType, _descriptor: Ref, _zone: number): void {
    if (!isFolioType(type)) return;
    const target = type === T_FILE ? this.context.addressSpace : this.context.anonVma;
    const bits = type === T_KSM ? MAPPING_KSM : type === T_FILE ? 0 : MAPPING_ANON;
    this.w.store64(this.page(pfn), MAPPING, addressLow(target) | bits, addressHigh(target));
  }

  #headTemplate(image: PageImage): Int32Array {
    const t = new Int32Array(16);
    const folio = isFolioType(image.type);
    t[0] = image.flags;
    t[1] = this.context.zones.bits[image.zone];
    if (folio) {
      const target = image.mappingBits === 0 ? this.context.addressSpace : this.context.anonVma;
      t[MAPPING / 4] = addressLow(target) | image.mappingBits;
      t[MAPPING / 4 + 1] = addressHigh(target);
    }
    t[MAPCOUNT / 4] = image.mapcount - 1;
    t[ORDER / 4] = image.order;
    t[MEMCG / 4] = lowHalf(image.memcg);
    t[MEMCG / 4 + 1] = highHalf(image.memcg);
    if (image.type === T_SLAB) {
      t[this.slab.cache / 4] = image.slabCache << CACHE_SHIFT;
      t[this.slab.counters / 4] = image.slabInuse;
    }
    t[SLOT64_REF_COUNT / 4] = folio ? 1 + image.mapcount : 1;
    const kind =
      (image.hugetlb ? V_HUGETLB : 0) |
      (image.rmappable ? V_RMAPPABLE : 0) |
      (image.mappable ? V_MAPPABLE : 0);
    t[SLOT64_VTABLE / 4] = image.type | kind | (image.subtype << V_SUBTYPE_SHIFT);
    return t;
  }

  #tailTemplate(image: PageImage): Int32Array {
    const t = new Int32Array(16);
    t[0] = image.tailFlags;
    t[1] = this.context.zones.bits[image.zone];
    t[MAPCOUNT / 4] = image.mapcount - 1;
    t[SLOT64_VTABLE / 4] = image.type | V_TAIL | (image.subtype << V_SUBTYPE_SHIFT);
    return t;
  }

  bindRun(
    pfn: number,
    count: number,
    image: PageImage,
    descriptor: Ref,
    stride: number,
    slabs?: SlabRun,
  ): void {
    const { w } = this;
    const pages = 2 ** image.order;
    if (image.order > 0 && isFolioType(image.type) && descriptor !== 0)
      this.#fillRest(count, image, descriptor, stride, slabs);
    const head = this.#headTemplate(image);
    const tail = this.#tailTemplate(image);
    if (image.order <= 4) {
      const block = new Int32Array(16 * pages);
      block.set(head);
      for (let i = 1; i < pages; i++) {
        block.set(tail, i * 16);
        block[i * 16 + HEAD / 4] = i;
      }
      const slot = this.page(pfn);
      if (descriptor === 0) return w.fillRun(slot, 0, block, count, null, 0, 0);
      const per = slabs?.per ?? 1;
      const run = repeated(block, AT_REST, per, stride * 16);
      const delta = (slabs?.refs ?? stride) * 16;
      return w.fillRun(slot, 0, run.words, count / per, run.strided, descriptor * 16, delta);
    }
    for (let i = 0; i < count; i++) {
      const slot = this.page(pfn + i * pages);
      const second = descriptor === 0 ? 0 : (descriptor + placeOf(i, stride, slabs)) * 16;
      w.fillRun(slot, 0, head, 1, AT_REST, second, 0);
      w.fillRun(slot, 64, tail, pages - 1, AT_REST, 1, 1);
    }
  }

  /** Second objects of large folios, from the first one on. */
  #fillRest(
    count: number,
    image: PageImage,
    descriptor: Ref,
    stride: number,
    slabs: SlabRun | undefined,
  ): void {
    const t = new Int32Array(stride * 4);
    t[SLOT_FOLIO_LARGE_REST_LARGE_MAPCOUNT / 4] = image.mapcount * 2 ** image.order - 1;
    t[SLOT_FOLIO_LARGE_REST_ENTIRE_MAPCOUNT / 4] = -1;
    if (slabs === undefined) return this.w.fillRun(descriptor, 0, t, count, null, 0, 0);
    for (let at = 0; at < count; at += slabs.per)
      this.w.fillRun((placeOf(at, stride, slabs) + descriptor) as Ref, 0, t, slabs.per, null, 0, 0);
  }

  blankRun(pfn: number, count: number, zone: number): void {
    const t = new Int32Array(16);
    t[1] = this.context.zones.bits[zone];
    t[SLOT64_REF_COUNT / 4] = UNUSED;
    t[SLOT64_REF_COUNT / 4 + 1] = UNUSED;
    this.w.fillRun(this.page(pfn), 0, t, count, null, 0, 0);
  }

  setPageFlags(pfn: number, flags: number): boolean {
    this.w.store32(this.page(pfn), FLAGS, flags);
    return true;
  }

  addMapcount(pfn: number, n: number): void {
    this.w.add32(this.page(pfn), MAPCOUNT, n);
  }

  bindScattered(pfn: number, to: Ref, zone: number): void {
    this.bindMisc(pfn, 0, MISC_VMALLOC, true, zone);
    this.setPrivate(pfn, to);
  }

  scatteredOf(pfn: number): Ref {
    const mine = this.#inUse(pfn) && this.typeOf(pfn) === T_MISC;
    return mine && this.subtypeOf(pfn) === MISC_VMALLOC ? this.privateOf(pfn) : (0 as Ref);
  }

  freeOrderAt(pfn: number): number {
    const slot = this.page(pfn);
    if (this.w.load32(slot, SLOT64_IN_LIST) !== ON_BUDDY) return -1;
    return this.w.load32(slot, FREE_ORDER);
  }

  link(pfn: number, order: number, next: number, prev: number, pcp: number): void {
    const slot = this.page(pfn);
    this.w.store64(slot, NEXT, next + 1, prev + 1);
    this.w.store32(slot, FREE_ORDER, order);
    this.w.store32(slot, SLOT64_IN_LIST, pcp === 0 ? ON_BUDDY : ON_PCP);
  }

  unlink(pfn: number): void {
    const slot = this.page(pfn);
    this.w.store64(slot, NEXT, 0, 0);
    this.w.store32(slot, FREE_ORDER, 0);
    this.w.store32(slot, SLOT64_IN_LIST, 0);
  }

  setNext(pfn: number, next: number): void {
    this.w.store32(this.page(pfn), NEXT, next + 1);
  }

  setPrev(pfn: number, prev: number): void {
    this.w.store32(this.page(pfn), PREV, prev + 1);
  }

  nextOf(pfn: number): number {
    return this.w.load32(this.page(pfn), NEXT) - 1;
  }

  prevOf(pfn: number): number {
    return this.w.load32(this.page(pfn), PREV) - 1;
  }

  wordsOf(pfn: number): { ref: Ref; off: number; struct: string } {
    return { ref: this.page(pfn), off: 0, struct: "SLOT64" };
  }
}
