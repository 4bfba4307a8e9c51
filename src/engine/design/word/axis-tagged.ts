/**
 * What the three words with a tagged pointer share: page32, memdesc16, memdesc8.
 *
 * Bits 0–3 of the word are the type, the rest is a 16-byte-aligned pointer or,
 * for Misc, in-place data: subtype in bits 4–10, may-be-mapped in bit 11, order
 * in bits 12–17, node and zone on top. All pages of a block carry the same word
 * (but for per-page bits that a type is spent on). A word of 0 is harmless: the
 * page is in a free block whose aligned head says so, or it was never set up.
 *
 * Where the word lies and how free blocks are linked is each design's own.
 * Facts: memdesc-facts §1.1–1.4, §1.6; node, zone on top as in §1.3.
 */
import type { Ref } from "../../../units.js";
import {
  FOLIO_FLAGS,
  FOLIO_LARGE_LARGE_MAPCOUNT,
  FOLIO_LARGE_SIZE,
  FOLIO_MAPCOUNT,
  FOLIO_MAPPING,
  HWPOISON_OWNER_MEMDESC,
  SCATTERED_SLOT_FLAGS,
} from "../../layout/generated/offsets.js";
import { addressHigh, addressLow, refOfAddress, type Words } from "../../words/words.js";
import type {
  CacheSpec,
  DesignContext,
  PageDesign,
  PageImage,
  SlabRun,
  WordOptions,
} from "./axis.js";
import {
  averageMapcount,
  changeBits,
  blockOfDescriptor,
  descriptorCaches,
  describeRun,
  EXCLUSIVE_BIT,
  pageBit,
  POISON_BIT,
  setPageBit,
  freeHead,
  orderOfDescriptor,
  PAGE_BITS_AT,
  placeOf,
  PTDESC_LAYOUT,
  repeated,
  SEPARATE_FOLIO,
  SLAB_LAYOUT,
  type DescriptorCaches,
} from "./axis-descriptors.js";
import {
  FL_HUGETLB,
  FL_LARGE_RMAPPABLE,
  locationKey,
  LOCATION_MASK,
  MAPPING_ANON,
  MAPPING_KSM,
  PG_OWNER_2,
} from "./axis-flags.js";
import {
  isFolioType,
  T_ANON,
  T_ANON_EXCLUSIVE,
  T_BUDDY,
  T_FILE,
  T_HWPOISON,
  MISC_VMALLOC,
  T_KSM,
  T_MISC,
  T_SCATTERED,
  type PageType,
} from "./axis-types.js";

const MISC_MAPPABLE = 1 << 11;
const MISC_SUBTYPE_SHIFT = 4;
const MISC_ORDER_SHIFT = 12;

/** Low half of a Misc word. */
const miscWord = (code: number, subtype: number, mappable: boolean, order: number): number =>
  code |
  (subtype << MISC_SUBTYPE_SHIFT) |
  (mappable ? MISC_MAPPABLE : 0) |
  (order << MISC_ORDER_SHIFT);

export abstract class TaggedDesign implements PageDesign {
  abstract readonly name: string;
  abstract readonly pageBytes: number;
  abstract readonly summary: string;
  abstract readonly mapcounts: "per-page" | "per-folio";
  readonly ownFlags: PageDesign["ownFlags"] = "none";
  readonly overlay = false;
  abstract readonly reach: number;
  abstract readonly bytesPerPageblock: number;
  readonly types: PageDesign["types"];
  readonly caches: readonly CacheSpec[];
  readonly folio = SEPARATE_FOLIO;
  readonly slab = SLAB_LAYOUT;
  readonly ptdesc = PTDESC_LAYOUT;
  readonly w: Words;
  protected readonly context: DesignContext;
  protected readonly pageBits: WordOptions["pageBits"];
  /** Where a page that leads to a scattered object has its node and zone. */
  protected readonly scatteredNid: WordOptions["scatteredNid"];
  readonly #descriptors: DescriptorCaches;
  /** Codes of Misc and hwpoison, looked at on every word. */
  readonly #misc: number;
  readonly #hwpoison: number;

  constructor(context: DesignContext, options: WordOptions, anonFolio: boolean) {
    this.w = context.w;
    this.context = context;
    this.types = options.types;
    this.pageBits = options.pageBits;
    this.scatteredNid = options.scatteredNid;
    this.#descriptors = descriptorCaches(options, anonFolio);
    this.caches = this.#descriptors.specs;
    this.#misc = options.types.code[T_MISC];
    this.#hwpoison = options.types.code[T_HWPOISON];
  }

  /** Low half of the tagged word; the high half is in `w.hi`. */
  protected abstract loadWord(pfn: number): number;
  protected abstract storeWord(pfn: number, lo: number, hi: number): void;
  /** Changes the tagged word and nothing else of the page. */
  protected abstract retag(pfn: number, lo: number, hi: number): void;
  /** Copies a template of whole pages over `periods` × its length of pages. */
  protected abstract fillWords(
    pfn: number,
    words: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
    image: PageImage,
    startsWithHead: boolean,
  ): void;
  abstract zoneOf(pfn: number): number;
  abstract freeOrderAt(pfn: number): number;
  abstract link(pfn: number, order: number, next: number, prev: number, pcp: number): void;
  abstract unlink(pfn: number): void;
  abstract setNext(pfn: number, next: number): void;
  abstract setPrev(pfn: number, prev: number): void;
  abstract nextOf(pfn: number): number;
  abstract prevOf(pfn: number): number;
  abstract wordsOf(pfn: number): { ref: Ref; off: number; struct: string };

  /** Type of a word that is not 0. */
  #typeOfWord(lo: number): PageType {
    const type = this.types.type[lo & 15];
    return (type < 0 ? T_MISC : type) as PageType;
  }

  /**
   * The word that says who owns the page: its own, or, where a type is spent on
   * hwpoison, the one it had before, which the hwpoison descriptor keeps.
   */
  #ownersWord(pfn: number): number {
    const lo = this.loadWord(pfn);
    if ((lo & 15) !== this.#hwpoison || (lo | this.w.hi) === 0) return lo;
    const hi = this.w.hi;
    const before = this.w.load64(refOfAddress(lo, hi), HWPOISON_OWNER_MEMDESC);
    if ((before | this.w.hi) !== 0) return before;
    this.w.hi = hi;
    return lo;
  }

  isPoisoned(pfn: number): boolean {
    const lo = this.loadWord(pfn);
    if ((lo | this.w.hi) === 0) return false;
    if ((lo & 15) === this.#hwpoison) return true;
    const type = this.#typeOfWord(lo);
    if (this.pageBits !== "descriptor" || !isFolioType(type)) return false;
    const descriptor = refOfAddress(lo, this.w.hi);
    const order = orderOfDescriptor(this.w, descriptor, type);
    const index = pfn - blockOfDescriptor(this.w, descriptor, type);
    return pageBit(this.w, descriptor, order, index, POISON_BIT);
  }

  poisonCache(pfn: number): number {
    const inFolio = this.pageBits === "descriptor" && isFolioType(this.typeOf(pfn));
    return inFolio ? -1 : this.cacheFor(T_HWPOISON, 0);
  }

  poison(pfn: number, descriptor: Ref): void {
    const type = this.typeOf(pfn);
    if (descriptor === 0) {
      const folio = this.descriptorOf(pfn);
      setPageBit(this.w, folio, this.orderOf(pfn), pfn - this.blockOf(pfn), POISON_BIT);
      if (!isFolioType(type)) throw new RangeError(`page type ${type} has no page bits`);
      return;
    }
    const lo = this.loadWord(pfn);
    const hi = this.w.hi;
    this.#descriptors.init(
      this.w,
      descriptor,
      pfn,
      0,
      T_HWPOISON,
      this.context.zones.bits[this.zoneOf(pfn)],
    );
    this.w.store64(descriptor, HWPOISON_OWNER_MEMDESC, lo, hi);
    this.storeWord(pfn, addressLow(descriptor) | this.#hwpoison, addressHigh(descriptor));
  }

  typeOf(pfn: number): PageType {
    const lo = this.#ownersWord(pfn);
    if ((lo | this.w.hi) !== 0) return this.#typeOfWord(lo);
    return freeHead(this, pfn) >= 0 ? T_BUDDY : T_MISC;
  }

  subtypeOf(pfn: number): number {
    return (this.#ownersWord(pfn) >>> MISC_SUBTYPE_SHIFT) & 127;
  }

  descriptorOf(pfn: number): Ref {
    const lo = this.#ownersWord(pfn);
    const hi = this.w.hi;
    if ((lo | hi) === 0) return 0 as Ref;
    const type = this.#typeOfWord(lo);
    // A scattered object describes pages that are no block: it is not theirs alone.
    if (type === T_MISC || type === T_BUDDY || type === T_SCATTERED) return 0 as Ref;
    return refOfAddress(lo, hi);
  }

  separateOf(pfn: number): Ref {
    return this.descriptorOf(pfn);
  }

  /** A word of 0 is harmless, so fresh memory is blank already. */
  blankRun(_pfn: number, _count: number, _zone: number): void {}

  /** There is no flags word per page. */
  setPageFlags(_pfn: number, _flags: number): boolean {
    return false;
  }

  blockOf(pfn: number): number {
    const lo = this.#ownersWord(pfn);
    const hi = this.w.hi;
    const type = (lo | hi) === 0 ? T_BUDDY : this.#typeOfWord(lo);
    if (type === T_MISC) return pfn - (pfn % 2 ** ((lo >>> MISC_ORDER_SHIFT) & 63));
    if (type === T_SCATTERED) return pfn;
    if (type !== T_BUDDY) return blockOfDescriptor(this.w, refOfAddress(lo, hi), type);
    const head = freeHead(this, pfn);
    return head >= 0 ? head : pfn;
  }

  orderOf(pfn: number): number {
    const lo = this.#ownersWord(pfn);
    const hi = this.w.hi;
    const type = (lo | hi) === 0 ? T_BUDDY : this.#typeOfWord(lo);
    if (type === T_MISC) return (lo >>> MISC_ORDER_SHIFT) & 63;
    if (type === T_SCATTERED) return 0;
    if (type !== T_BUDDY) return orderOfDescriptor(this.w, refOfAddress(lo, hi), type);
    const head = freeHead(this, pfn);
    return head >= 0 ? this.freeOrderAt(head) : 0;
  }

  bindScattered(pfn: number, to: Ref, zone: number): void {
    if (this.scatteredNid === "word") {
      this.bindMisc(pfn, 0, MISC_VMALLOC, true, zone);
      this.storePointer(pfn, to);
      return;
    }
    this.storeWord(pfn, addressLow(to) | this.types.code[T_SCATTERED], addressHigh(to));
  }

  scatteredOf(pfn: number): Ref {
    const lo = this.#ownersWord(pfn);
    const hi = this.w.hi;
    if ((lo | hi) === 0) return 0 as Ref;
    const type = this.#typeOfWord(lo);
    if (type === T_SCATTERED) return refOfAddress(lo, hi);
    const beside = this.scatteredNid === "word" && type === T_MISC;
    const vmalloc = ((lo >>> MISC_SUBTYPE_SHIFT) & 127) === MISC_VMALLOC;
    return beside && vmalloc ? this.loadPointer(pfn) : (0 as Ref);
  }

  /** A pointer beside the tagged word of a bare page; a word alone has no place for one. */
  protected storePointer(pfn: number, _to: Ref): void {
    throw new RangeError(`${this.name} has no second word (frame ${pfn})`);
  }

  protected loadPointer(_pfn: number): Ref {
    return 0 as Ref;
  }

  ownerWord(pfn: number): number {
    return this.loadWord(pfn);
  }

  folioOfOwner(lo: number, hi: number): Ref {
    if ((lo | hi) === 0) return 0 as Ref;
    return isFolioType(this.#typeOfWord(lo)) ? refOfAddress(lo, hi) : (0 as Ref);
  }

  flagsOf(pfn: number): number {
    const descriptor = this.descriptorOf(pfn);
    if (descriptor === 0) return 0;
    const flags = this.w.load32(descriptor, FOLIO_FLAGS) & ~(FL_HUGETLB | FL_LARGE_RMAPPABLE);
    return flags | this.exclusiveOf(this.blockOf(pfn));
  }

  pageFlagsOf(pfn: number): number {
    return this.blockOf(pfn) === pfn ? this.flagsOf(pfn) : this.exclusiveOf(pfn);
  }

  /** PG_OWNER_2 where this anonymous page is exclusive, at the home its design gives that bit. */
  protected exclusiveOf(pfn: number): number {
    const lo = this.#ownersWord(pfn);
    const hi = this.w.hi;
    if ((lo | hi) === 0) return 0;
    const type = this.#typeOfWord(lo);
    if (type === T_ANON_EXCLUSIVE) return PG_OWNER_2;
    if (type !== T_ANON || this.pageBits !== "descriptor") return 0;
    const descriptor = refOfAddress(lo, hi);
    const order = orderOfDescriptor(this.w, descriptor, type);
    const index = pfn - blockOfDescriptor(this.w, descriptor, type);
    return pageBit(this.w, descriptor, order, index, EXCLUSIVE_BIT) ? PG_OWNER_2 : 0;
  }

  mappingBitsOf(pfn: number): number {
    const descriptor = this.descriptorOf(pfn);
    if (descriptor === 0 || !isFolioType(this.typeOf(pfn))) return 0;
    return this.w.load32(descriptor, FOLIO_MAPPING) & 3;
  }

  mapcountOf(pfn: number): number {
    const type = this.typeOf(pfn);
    if (!isFolioType(type)) return 0;
    const descriptor = this.descriptorOf(pfn);
    return averageMapcount(this.w, descriptor, orderOfDescriptor(this.w, descriptor, type));
  }

  isMapped(pfn: number): boolean {
    const type = this.typeOf(pfn);
    if (!isFolioType(type)) return false;
    const descriptor = this.descriptorOf(pfn);
    return averageMapcount(this.w, descriptor, orderOfDescriptor(this.w, descriptor, type)) > 0;
  }

  isExclusive(pfn: number): boolean {
    return this.exclusiveOf(pfn) !== 0;
  }

  setExclusive(pfn: number, on: boolean): void {
    const lo = this.loadWord(pfn);
    const hi = this.w.hi;
    if (this.pageBits === "type")
      return this.retag(pfn, (lo & ~15) | this.types.code[on ? T_ANON_EXCLUSIVE : T_ANON], hi);
    const folio = refOfAddress(lo, hi);
    const index = pfn - blockOfDescriptor(this.w, folio, T_ANON);
    const order = orderOfDescriptor(this.w, folio, T_ANON);
    setPageBit(this.w, folio, order, index, EXCLUSIVE_BIT, on);
  }

  folioClassOf(pfn: number): number {
    const descriptor = this.descriptorOf(pfn);
    if (descriptor === 0) return 0;
    const flags = this.w.load32(descriptor, FOLIO_FLAGS);
    return flags & FL_HUGETLB ? 1 : flags & FL_LARGE_RMAPPABLE ? 2 : 0;
  }

  setFolioClass(pfn: number, folioClass: number): void {
    const folio = this.descriptorOf(pfn);
    changeBits(this.w, folio, FOLIO_FLAGS, FL_HUGETLB | FL_LARGE_RMAPPABLE, false);
    const bit = folioClass === 1 ? FL_HUGETLB : folioClass === 2 ? FL_LARGE_RMAPPABLE : 0;
    if (bit !== 0) changeBits(this.w, folio, FOLIO_FLAGS, bit, true);
  }

  holds(type: PageType): boolean {
    return this.types.code[type] >= 0 && this.cacheFor(type, 0) >= 0;
  }

  cacheFor(type: PageType, order: number): number {
    return this.#descriptors.cacheFor(type, order);
  }

  bind(pfn: number, order: number, type: PageType, descriptor: Ref): void {
    const lo = addressLow(descriptor) | this.types.code[type];
    const hi = addressHigh(descriptor);
    if (order === 0) return this.storeWord(pfn, lo, hi);
    for (let i = 0; i < 1 << order; i++) this.storeWord(pfn + i, lo, hi);
  }

  bindMisc(pfn: number, order: number, subtype: number, mappable: boolean, zone: number): void {
    const lo = miscWord(this.#misc, subtype, mappable, order);
    const hi = this.context.zones.bits[zone];
    for (let i = 0; i < 1 << order; i++) this.storeWord(pfn + i, lo, hi);
  }

  release(pfn: number, order: number): void {
    for (let i = 0; i < 1 << order; i++) this.storeWord(pfn + i, 0, 0);
  }

  split(
    pfn: number,
    order: number,
    newOrder: number,
    type: PageType,
    descriptors: Int32Array,
  ): void {
    const location = this.context.zones.bits[this.zoneOf(pfn)];
    for (let i = 0; i < descriptors.length; i++) {
      const descriptor = descriptors[i] as Ref;
      const at = pfn + (i << newOrder);
      this.#descriptors.init(this.w, descriptor, at, newOrder, type, location);
      if (this.pageBits === "descriptor" && type !== T_KSM)
        this.#clearPageBits(descriptor, newOrder);
    }
    for (let i = 0; i < 1 << order; i++) {
      const descriptor = descriptors[i >> newOrder] as Ref;
      const lo = addressLow(descriptor) | this.types.code[type];
      this.#setOwnersWord(pfn + i, lo, addressHigh(descriptor));
    }
  }

  /** Changes who owns the page: in its word, or in what its hwpoison descriptor keeps of it. */
  #setOwnersWord(pfn: number, lo: number, hi: number): void {
    const was = this.loadWord(pfn);
    if ((was & 15) !== this.#hwpoison) return this.retag(pfn, lo, hi);
    this.w.store64(refOfAddress(was, this.w.hi), HWPOISON_OWNER_MEMDESC, lo, hi);
  }

  initFolio(pfn: number, order: number, type: PageType, descriptor: Ref, zone: number): void {
    this.#descriptors.init(this.w, descriptor, pfn, order, type, this.context.zones.bits[zone]);
    if (!isFolioType(type)) return;
    const anon = type !== T_FILE;
    const target = anon ? this.context.anonVma : this.context.addressSpace;
    const bits = type === T_KSM ? MAPPING_KSM : anon ? MAPPING_ANON : 0;
    this.w.store64(descriptor, FOLIO_MAPPING, addressLow(target) | bits, addressHigh(target));
    if (type !== T_KSM && this.pageBits === "descriptor") this.#clearPageBits(descriptor, order);
  }

  #clearPageBits(descriptor: Ref, order: number): void {
    if (order === 0) return;
    const end = FOLIO_LARGE_SIZE + Math.ceil(2 ** order / 64) * 16;
    for (let off = FOLIO_LARGE_SIZE; off < end; off += 8) this.w.store64(descriptor, off, 0, 0);
  }

  bindRun(
    pfn: number,
    count: number,
    image: PageImage,
    descriptor: Ref,
    stride: number,
    slabs?: SlabRun,
  ): void {
    if (descriptor === 0) return this.#miscRun(pfn, count, image);
    const pages = 2 ** image.order;
    const anon = image.type === T_ANON;
    const headCode =
      this.types.code[anon && this.spendsType(image.flags) ? T_ANON_EXCLUSIVE : image.type];
    const tailCode =
      this.types.code[anon && this.spendsType(image.tailFlags) ? T_ANON_EXCLUSIVE : image.type];
    if (image.order <= 4) {
      const block = new Int32Array(2 * pages);
      const strided = new Int32Array(pages);
      for (let i = 0; i < pages; i++) {
        block[i * 2] = i === 0 ? headCode : tailCode;
        strided[i] = i * 2;
      }
      const per = slabs?.per ?? 1;
      const run =
        per === 1 ? { words: block, strided } : repeated(block, strided, per, stride * 16);
      const delta = (slabs?.refs ?? stride) * 16;
      this.fillWords(pfn, run.words, count / per, run.strided, descriptor * 16, delta, image, true);
    } else {
      const head = new Int32Array([headCode, 0]);
      const tail = new Int32Array([tailCode, 0]);
      const one = new Int32Array([0]);
      for (let i = 0; i < count; i++) {
        const at = pfn + i * pages;
        const address = (descriptor + placeOf(i, stride, slabs)) * 16;
        this.fillWords(at, head, 1, one, address, 0, image, true);
        this.fillWords(at + 1, tail, pages - 1, one, address, 0, image, false);
      }
    }
    this.#describe(pfn, count, image, descriptor, stride, slabs);
  }

  #miscRun(pfn: number, count: number, image: PageImage): void {
    const lo = miscWord(this.#misc, image.subtype, image.mappable, image.order);
    const word = new Int32Array([lo, this.context.zones.bits[image.zone]]);
    this.fillWords(pfn, word, count * 2 ** image.order, null, 0, 0, image, true);
  }

  #describe(
    pfn: number,
    count: number,
    image: PageImage,
    descriptor: Ref,
    stride: number,
    slabs: SlabRun | undefined,
  ): void {
    const bits = image.type === T_ANON && this.pageBits === "descriptor";
    // Anon-exclusive has a home of its own, but for an order-0 folio with bits in its flags.
    const elsewhere = image.type === T_ANON && !(bits && image.order === 0);
    const folio = elsewhere ? { ...image, flags: image.flags & ~PG_OWNER_2 } : image;
    describeRun(this.w, this.context, pfn, count, folio, descriptor, stride, slabs);
    if (!bits || image.order === 0) return;
    for (let i = 0; i < count; i++) {
      this.#fillPageBits((descriptor + placeOf(i, stride, slabs)) as Ref, image);
    }
  }

  #fillPageBits(descriptor: Ref, image: PageImage): void {
    const tails = image.tailFlags & PG_OWNER_2 ? 0x55555555 : 0;
    for (let i = 0; i < Math.max(1, 2 ** image.order / 16); i++)
      this.w.store32(descriptor, PAGE_BITS_AT + i * 4, tails);
    const head = image.flags & PG_OWNER_2 ? 1 : 0;
    this.w.store32(descriptor, PAGE_BITS_AT, (tails & ~1) | head);
  }

  /** Whether a page with these flags gets the type that is spent on anon-exclusive. */
  protected spendsType(flags: number): boolean {
    return this.pageBits === "type" && (flags & PG_OWNER_2) !== 0;
  }

  addMapcount(pfn: number, n: number): void {
    const descriptor = this.descriptorOf(pfn);
    const large = orderOfDescriptor(this.w, descriptor, this.typeOf(pfn)) > 0;
    this.w.add32(descriptor, large ? FOLIO_LARGE_LARGE_MAPCOUNT : FOLIO_MAPCOUNT, n);
  }

  addOwnMapcount(pfn: number, _n: number): number {
    throw new RangeError(`${this.name} keeps no map count of single pages (frame ${pfn})`);
  }

  /** Zone of a page from its Misc word, else from its descriptor's flags, else −1. */
  protected zoneInWords(pfn: number): number {
    const lo = this.loadWord(pfn);
    const hi = this.w.hi;
    if ((lo | hi) === 0) return -1;
    const type = this.#typeOfWord(lo);
    if (type === T_BUDDY) return -1;
    if (type === T_MISC) return this.context.zones.byKey[locationKey(hi & LOCATION_MASK)];
    if (type === T_SCATTERED) {
      if (this.scatteredNid !== "flags") return -1;
      this.w.load64(refOfAddress(lo, hi), SCATTERED_SLOT_FLAGS);
      return this.context.zones.byKey[locationKey(this.w.hi)];
    }
    this.w.load64(refOfAddress(lo, hi), FOLIO_FLAGS);
    return this.context.zones.byKey[locationKey(this.w.hi)];
  }
}
