/**
 * page64: struct page as in Linux 6.18, 64 bytes per page.
 *
 * Everything is an overlay: a folio lies over the first pages of its block, a
 * slab over its first page, and what a page is has to be inferred from its page
 * type, its flags and the low bits of its mapping. Types that are separated get
 * a descriptor all the same: the head's second word, which is compound_head or
 * a list pointer otherwise, then holds its address with bit 1 set, and bit 2 for
 * what is no folio, as the path to memdescs describes (memdesc-facts §3.2; the
 * bits are invented).
 *
 * Facts: memdesc-facts §5 (BTF of 6.18.44), include/linux/page-flags.h.
 */
import type { Ref } from "../../../units.js";
import {
  FOLIO64_DEFERRED_LIST,
  FOLIO64_ENTIRE_MAPCOUNT,
  FOLIO64_FLAGS_1,
  FOLIO64_LARGE_MAPCOUNT,
  FOLIO64_MM_ID_MAPCOUNT,
  FOLIO64_MM_IDS,
  FOLIO64_NR_PAGES,
  FOLIO64_NR_PAGES_MAPPED,
  FOLIO64_PINCOUNT,
  GLOBALS_HUGE_ZERO_PFN,
  GLOBALS_ZERO_PFN,
  PAGE64_COMPOUND_HEAD,
  PAGE64_FLAGS,
  PAGE64_INDEX,
  PAGE64_LRU_NEXT,
  PAGE64_LRU_PREV,
  PAGE64_MAPCOUNT,
  PAGE64_MAPPING,
  PAGE64_MEMCG_DATA,
  PAGE64_PAGE_TYPE,
  PAGE64_PRIVATE,
  PAGE64_REFCOUNT,
} from "../../layout/generated/offsets.js";
import { addressHigh, addressLow, highHalf, lowHalf, refOfAddress } from "../../words/words.js";
import {
  type DesignContext,
  type FolioLayout,
  type KeepsList,
  type KnowsHead,
  type PageDesign,
  type PageImage,
  type SlabRun,
  type WordOptions,
} from "./axis.js";
import {
  descriptorCaches,
  describeRun,
  freeHead,
  averageOf,
  changeBits,
  placeOf,
  PTDESC_LAYOUT,
  repeated,
  SEPARATE_FOLIO,
  SLAB_LAYOUT,
  type DescriptorCaches,
} from "./axis-descriptors.js";
import {
  MAPPING_ANON,
  MAPPING_KSM,
  PG_HEAD,
  PG_LRU,
  PG_PRIVATE_2,
  PG_RESERVED,
  PG_SWAPBACKED,
} from "./axis-flags.js";
import {
  isFolioType,
  MISC_GUARD,
  MISC_KMALLOC_LARGE,
  MISC_OFFLINE,
  MISC_RESERVED,
  MISC_UNKNOWN,
  MISC_ZERO,
  T_ANON,
  T_BUDDY,
  T_FILE,
  T_KSM,
  T_MISC,
  T_PGTABLE,
  T_SLAB,
  type PageType,
} from "./axis-types.js";
import {
  FLAGS_1_RMAPPABLE,
  headTemplate,
  PAGE_WORDS,
  SECOND_PAGE,
  secondTemplate,
  SEPARATED,
  SEPARATED_OTHER,
  tagOf,
  tailTemplate,
} from "./page64-templates.js";
import {
  isTyped,
  kindOfByte,
  pageTypeWord,
  PGTY_BUDDY,
  PGTY_GUARD,
  PGTY_HUGETLB,
  PGTY_LARGE_KMALLOC,
  PGTY_OFFLINE,
} from "./page64-types.js";
import { WideWord, type WideFields } from "./axis-wide.js";

const FIELDS: WideFields = {
  flags: PAGE64_FLAGS,
  mapping: PAGE64_MAPPING,
  mapcount: PAGE64_MAPCOUNT,
  refcount: PAGE64_REFCOUNT,
  private: PAGE64_PRIVATE,
};

const OVERLAY_FOLIO: FolioLayout = {
  flags: PAGE64_FLAGS,
  mapping: PAGE64_MAPPING,
  refcount: PAGE64_REFCOUNT,
  mapcount: PAGE64_MAPCOUNT,
  memcg: PAGE64_MEMCG_DATA,
  second: -1,
  lru: PAGE64_LRU_NEXT,
  index: PAGE64_INDEX,
  private: PAGE64_PRIVATE,
  smallPincount: -1,
  pincount: FOLIO64_PINCOUNT,
  largeMapcount: FOLIO64_LARGE_MAPCOUNT,
  nrPagesMapped: FOLIO64_NR_PAGES_MAPPED,
  entireMapcount: FOLIO64_ENTIRE_MAPCOUNT,
  mmIdMapcount: FOLIO64_MM_ID_MAPCOUNT,
  mmIds: FOLIO64_MM_IDS,
  deferredList: FOLIO64_DEFERRED_LIST,
};

export class Page64 extends WideWord implements PageDesign, KnowsHead, KeepsList {
  readonly name = "page64";
  readonly summary = "struct page 64 B";
  readonly overlay = true;
  readonly caches: PageDesign["caches"];
  readonly folio: FolioLayout;
  readonly slab = SLAB_LAYOUT;
  readonly ptdesc = PTDESC_LAYOUT;
  readonly barePageList = PAGE64_LRU_NEXT;
  readonly #descriptors: DescriptorCaches;
  readonly #folioSeparate: boolean;
  /** A fresh page: what `blankRun` writes, but for its zone. */
  readonly #blank = new Int32Array(PAGE_WORDS);

  constructor(context: DesignContext, options: WordOptions) {
    super(context, options, FIELDS);
    this.#descriptors = descriptorCaches(options, false);
    this.caches = this.#descriptors.specs;
    this.#folioSeparate = options.separated.has("file");
    this.#blank[PAGE64_MAPCOUNT / 4] = -1;
    this.folio = this.#folioSeparate ? SEPARATE_FOLIO : OVERLAY_FOLIO;
  }

  #headOf(pfn: number): number {
    const word = this.w.load64(this.page(pfn), PAGE64_COMPOUND_HEAD);
    return (word & 3) === 1 ? this.pfnOf(refOfAddress(word, this.w.hi)) : pfn;
  }

  /** The descriptor of a head page, or the page itself where it is an overlay. */
  #owner(head: number): Ref {
    const page = this.page(head);
    const word = this.w.load64(page, PAGE64_COMPOUND_HEAD);
    return (word & 3) === SEPARATED ? refOfAddress(word, this.w.hi) : page;
  }

  isHead(pfn: number): boolean {
    return (this.w.load32(this.page(pfn), PAGE64_FLAGS) & PG_HEAD) !== 0;
  }

  isTail(pfn: number): boolean {
    return (this.w.load32(this.page(pfn), PAGE64_COMPOUND_HEAD) & 3) === 1;
  }

  typeOf(pfn: number): PageType {
    const head = this.#headOf(pfn);
    const page = this.page(head);
    const type = this.w.load32(page, PAGE64_PAGE_TYPE) >>> 24;
    const kind = kindOfByte(type);
    if (kind >= 0) return kind as PageType;
    const flags = this.w.load32(page, PAGE64_FLAGS);
    if (flags & PG_RESERVED) return T_MISC;
    const owner = this.#owner(head);
    const bits = this.w.load32(owner, this.folio.mapping) & 3;
    if (bits === MAPPING_KSM) return T_KSM;
    if (bits === MAPPING_ANON) return T_ANON;
    if (owner !== page) return T_FILE;
    // Where folios have descriptors a bare page's mapping is its owner's business.
    if (
      !this.#folioSeparate &&
      (this.w.load32(page, PAGE64_MAPPING) !== 0 ||
        (flags & (PG_LRU | PG_SWAPBACKED)) !== 0 ||
        type === PGTY_HUGETLB)
    )
      return T_FILE;
    if (this.w.load32(page, PAGE64_REFCOUNT) === 0 && freeHead(this, pfn) >= 0) return T_BUDDY;
    return T_MISC;
  }

  subtypeOf(pfn: number): number {
    const head = this.#headOf(pfn);
    const globals = this.context.globals;
    if (this.w.load32(globals, GLOBALS_ZERO_PFN) === head + 1) return MISC_ZERO;
    if (this.w.load32(globals, GLOBALS_HUGE_ZERO_PFN) === head + 1) return MISC_ZERO;
    const type = this.w.load32(this.page(head), PAGE64_PAGE_TYPE) >>> 24;
    if (type === PGTY_OFFLINE) return MISC_OFFLINE;
    if (type === PGTY_GUARD) return MISC_GUARD;
    if (type === PGTY_LARGE_KMALLOC) return MISC_KMALLOC_LARGE;
    return this.w.load32(this.page(head), PAGE64_FLAGS) & PG_RESERVED
      ? MISC_RESERVED
      : MISC_UNKNOWN;
  }

  descriptorOf(pfn: number): Ref {
    return this.#owner(this.#headOf(pfn));
  }

  separateOf(pfn: number): Ref {
    const head = this.#headOf(pfn);
    const owner = this.#owner(head);
    return owner === this.page(head) ? (0 as Ref) : owner;
  }

  blankRun(pfn: number, count: number, zone: number): void {
    this.#blank[1] = this.context.zones.bits[zone];
    this.w.fillRun(this.page(pfn), 0, this.#blank, count, null, 0, 0);
  }

  setPageFlags(pfn: number, flags: number): boolean {
    const page = this.page(pfn);
    // What the same word says besides: a head's mark, and the order in a second page.
    const was = this.w.load32(page, PAGE64_FLAGS);
    const kept = this.#headOf(pfn) === pfn - 1 ? SECOND_PAGE : PG_HEAD;
    this.w.store32(page, PAGE64_FLAGS, (flags & ~kept) | (was & kept));
    return true;
  }

  blockOf(pfn: number): number {
    const head = this.#headOf(pfn);
    if (head !== pfn || this.isHead(pfn)) return head;
    if (this.w.load32(this.page(pfn), PAGE64_REFCOUNT) !== 0) return pfn;
    // A folio whose last reference was just put: only its owner has a mapping there.
    if ((this.w.load64(this.page(pfn), PAGE64_MAPPING) | this.w.hi) !== 0) return pfn;
    const free = freeHead(this, pfn);
    return free >= 0 ? free : pfn;
  }

  orderOf(pfn: number): number {
    const block = this.blockOf(pfn);
    if (this.isHead(block)) return this.w.load32(this.page(block), FOLIO64_FLAGS_1) & 0xff;
    return Math.max(0, this.freeOrderAt(block));
  }

  /** page_folio: the address of the head, or of its descriptor. */
  ownerWord(pfn: number): number {
    let page = this.page(pfn);
    let word = this.w.load64(page, PAGE64_COMPOUND_HEAD);
    if ((word & 3) === 1) {
      page = refOfAddress(word, this.w.hi);
      word = this.w.load64(page, PAGE64_COMPOUND_HEAD);
    }
    if ((word & 3) === SEPARATED) return word;
    this.w.hi = addressHigh(page);
    return addressLow(page);
  }

  folioOfOwner(lo: number, hi: number): Ref {
    const owner = refOfAddress(lo, hi);
    if ((lo & 3) === SEPARATED) return (lo & 15) === SEPARATED ? owner : (0 as Ref);
    if (this.#folioSeparate) return 0 as Ref;
    return isTyped(this.w.load32(owner, PAGE64_PAGE_TYPE) >>> 24) ? (0 as Ref) : owner;
  }

  flagsOf(pfn: number): number {
    const head = this.#headOf(pfn);
    return this.w.load32(this.#owner(head), PAGE64_FLAGS) & ~PG_HEAD;
  }

  pageFlagsOf(pfn: number): number {
    const own = this.w.load32(this.page(pfn), PAGE64_FLAGS) & ~PG_HEAD;
    const head = this.#headOf(pfn);
    if (head === pfn) return this.flagsOf(pfn);
    // The low byte of the second page's flags is the order.
    return pfn === head + 1 ? own & ~SECOND_PAGE : own;
  }

  mappingBitsOf(pfn: number): number {
    // Read without asking what the page is, as /proc does: the word of a slab
    // overlay is a list pointer there and may look like a mapping.
    const head = this.#headOf(pfn);
    if ((this.w.load32(this.page(head), PAGE64_COMPOUND_HEAD) & 15) === SEPARATED_OTHER) return 0;
    return this.w.load32(this.#owner(head), this.folio.mapping) & 3;
  }

  mapcountOf(pfn: number): number {
    const head = this.#headOf(pfn);
    const headType = this.w.load32(this.page(head), PAGE64_PAGE_TYPE) >>> 24;
    const large = this.isHead(head);
    const owner = large ? this.#owner(head) : this.page(head);
    const entire = large ? this.w.load32(owner, this.folio.entireMapcount) + 1 : 0;
    if (headType === PGTY_HUGETLB) return entire;
    if (headType >= 0x80 && headType !== 0xff) return 0;
    if (large && this.mapcounts === "per-folio")
      return averageOf(
        this.w.load32(owner, this.folio.largeMapcount) + 1,
        entire,
        this.orderOf(pfn),
      );
    // A separate folio of one page keeps the count itself.
    if (!large)
      return (
        this.w.load32(
          this.#owner(head),
          this.#owner(head) === owner ? PAGE64_MAPCOUNT : this.folio.mapcount,
        ) + 1
      );
    return this.w.load32(this.page(pfn), PAGE64_MAPCOUNT) + 1 + entire;
  }

  isMapped(pfn: number): boolean {
    const head = this.#headOf(pfn);
    if (!this.isHead(head)) return this.mapcountOf(pfn) > 0;
    return this.w.load32(this.#owner(head), this.folio.largeMapcount) >= 0;
  }

  folioClassOf(pfn: number): number {
    const head = this.#headOf(pfn);
    if (this.w.load32(this.page(head), PAGE64_PAGE_TYPE) >>> 24 === PGTY_HUGETLB) return 1;
    return this.isHead(head) && this.w.load32(this.page(head), FOLIO64_FLAGS_1) & FLAGS_1_RMAPPABLE
      ? 2
      : 0;
  }

  setFolioClass(pfn: number, folioClass: number): void {
    const page = this.page(pfn);
    this.w.store32(page, PAGE64_PAGE_TYPE, this.#pageTypeWord(T_FILE, 0, folioClass === 1));
    changeBits(this.w, page, FOLIO64_FLAGS_1, FLAGS_1_RMAPPABLE, folioClass === 2);
  }

  split(
    pfn: number,
    order: number,
    newOrder: number,
    type: PageType,
    descriptors: Int32Array,
  ): void {
    const { w } = this;
    const location = this.context.zones.bits[this.zoneOf(pfn)];
    changeBits(w, this.page(pfn), PAGE64_FLAGS, PG_HEAD, false);
    for (let i = 0; i < 1 << order; i++) {
      const page = this.page(pfn + i);
      // What was the second page's folio fields, or a tail's way to its head.
      if (i === 1) changeBits(w, page, PAGE64_FLAGS, SECOND_PAGE, false);
      w.store64(page, PAGE64_COMPOUND_HEAD, 0, 0);
      w.store64(page, PAGE64_LRU_PREV, 0, 0);
    }
    for (let i = 0; i < 1 << order; i += 1 << newOrder) {
      const page = this.page(pfn + i);
      if (newOrder > 0) this.#compound(pfn + i, newOrder);
      const descriptor = descriptors[i >> newOrder] as Ref;
      if (descriptor === 0) continue;
      w.store64(
        page,
        PAGE64_COMPOUND_HEAD,
        addressLow(descriptor) | tagOf(type),
        addressHigh(descriptor),
      );
      this.#descriptors.init(w, descriptor, pfn + i, newOrder, type, location);
    }
  }

  cacheFor(type: PageType, order: number): number {
    return this.#descriptors.cacheFor(type, order);
  }

  #pageTypeWord(type: PageType, subtype: number, hugetlb: boolean): number {
    return pageTypeWord(type, subtype, hugetlb, this.cacheFor(type, 0) >= 0);
  }

  bind(pfn: number, order: number, type: PageType, descriptor: Ref): void {
    const w = this.w;
    const page = this.page(pfn);
    w.store32(page, PAGE64_PAGE_TYPE, this.#pageTypeWord(type, 0, false));
    if (descriptor !== 0)
      w.store64(
        page,
        PAGE64_COMPOUND_HEAD,
        addressLow(descriptor) | tagOf(type),
        addressHigh(descriptor),
      );
    if (order > 0) this.#compound(pfn, order);
    if (type === T_PGTABLE || (type !== T_SLAB && !isFolioType(type)))
      w.store32(page, PAGE64_REFCOUNT, 1);
  }

  /** prep_compound_page: the head's flag and order, and every tail's way to it. */
  #compound(pfn: number, order: number): void {
    const w = this.w;
    const page = this.page(pfn);
    w.store32(page, PAGE64_FLAGS, w.load32(page, PAGE64_FLAGS) | PG_HEAD);
    const lo = addressLow(page) | 1;
    const hi = addressHigh(page);
    for (let i = 1; i < 1 << order; i++)
      w.store64((page + i * 4) as Ref, PAGE64_COMPOUND_HEAD, lo, hi);
    w.store32(page, FOLIO64_FLAGS_1, order);
    w.store32(page, FOLIO64_NR_PAGES, 1 << order);
    w.store32(page, FOLIO64_LARGE_MAPCOUNT, -1);
    w.store32(page, FOLIO64_ENTIRE_MAPCOUNT, -1);
  }

  bindMisc(pfn: number, order: number, subtype: number, _mappable: boolean, _zone: number): void {
    const w = this.w;
    const page = this.page(pfn);
    if (subtype === MISC_RESERVED)
      w.store32(page, PAGE64_FLAGS, w.load32(page, PAGE64_FLAGS) | PG_RESERVED);
    if (subtype === MISC_ZERO)
      w.store32(
        this.context.globals,
        order > 0 ? GLOBALS_HUGE_ZERO_PFN : GLOBALS_ZERO_PFN,
        pfn + 1,
      );
    w.store32(page, PAGE64_PAGE_TYPE, this.#pageTypeWord(T_MISC, subtype, false));
    w.store32(page, PAGE64_REFCOUNT, 1);
    if (order > 0) this.#compound(pfn, order);
  }

  release(pfn: number, order: number): void {
    const w = this.w;
    for (let i = 0; i < 1 << order; i++) {
      const page = this.page(pfn + i);
      w.store32(page, PAGE64_FLAGS, 0);
      w.store64(page, PAGE64_LRU_NEXT, 0, 0);
      w.store64(page, PAGE64_MAPPING, 0, 0);
      w.store64(page, PAGE64_MAPCOUNT, -1, 0);
      w.store64(page, PAGE64_MEMCG_DATA, 0, 0);
    }
  }

  initFolio(pfn: number, order: number, type: PageType, descriptor: Ref, zone: number): void {
    if (descriptor !== 0) {
      this.#descriptors.init(this.w, descriptor, pfn, order, type, this.context.zones.bits[zone]);
    }
    if (!isFolioType(type)) return;
    const owner = descriptor !== 0 ? descriptor : this.page(pfn);
    const anon = type !== T_FILE;
    const target = anon ? this.context.anonVma : this.context.addressSpace;
    const bits = type === T_KSM ? MAPPING_KSM : anon ? MAPPING_ANON : 0;
    this.w.store64(owner, this.folio.mapping, addressLow(target) | bits, addressHigh(target));
    this.w.store32(owner, this.folio.mapcount, -1);
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
    const order = image.order;
    const pages = 2 ** order;
    const tail = tailTemplate(this.context, image);
    const strided = new Int32Array([PAGE64_COMPOUND_HEAD / 4]);
    if (order === 0) {
      const head = this.#head(image, descriptor);
      if (descriptor === 0) w.fillRun(this.page(pfn), 0, head, count, null, 0, 0);
      else {
        const per = slabs?.per ?? 1;
        const run = repeated(head, strided, per, stride * 16);
        const delta = (slabs?.refs ?? stride) * 16;
        w.fillRun(this.page(pfn), 0, run.words, count / per, run.strided, descriptor * 16, delta);
      }
    } else if (order <= 4) {
      // One template for the whole block: every tail's way to its head moves along.
      const block = new Int32Array(PAGE_WORDS * pages);
      block.set(this.#head(image, 0 as Ref));
      const ways = new Int32Array(pages - 1);
      for (let i = 1; i < pages; i++) {
        block.set(i === 1 ? secondTemplate(image, tail) : tail, i * PAGE_WORDS);
        ways[i - 1] = i * PAGE_WORDS + PAGE64_COMPOUND_HEAD / 4;
      }
      w.fillRun(this.page(pfn), 0, block, count, ways, this.page(pfn) * 16, pages * 64);
    } else {
      const head = this.#head(image, 0 as Ref);
      const second = secondTemplate(image, tail);
      for (let i = 0; i < count; i++) {
        const page = this.page(pfn + i * pages);
        w.fillRun(page, 0, head, 1, null, 0, 0);
        w.fillRun(page, 64, second, 1, strided, page * 16, 0);
        w.fillRun(page, 128, tail, pages - 2, strided, page * 16, 0);
      }
    }
    if (descriptor !== 0) this.#link(pfn, count, image, descriptor, stride, slabs);
    if (image.type === T_MISC && image.subtype === MISC_ZERO) this.#setZero(pfn, order);
  }

  /** Points the heads of separated blocks at their descriptors and fills those. */
  #link(
    pfn: number,
    count: number,
    image: PageImage,
    descriptor: Ref,
    stride: number,
    slabs: SlabRun | undefined,
  ): void {
    for (let i = 0; image.order > 0 && i < count; i++) {
      const at = (descriptor + placeOf(i, stride, slabs)) * 16;
      this.w.store64(
        this.page(pfn + i * 2 ** image.order),
        PAGE64_COMPOUND_HEAD,
        lowHalf(at) | tagOf(image.type),
        highHalf(at),
      );
    }
    describeRun(this.w, this.context, pfn, count, image, descriptor, stride, slabs);
  }

  #setZero(pfn: number, order: number): void {
    this.w.store32(
      this.context.globals,
      order > 0 ? GLOBALS_HUGE_ZERO_PFN : GLOBALS_ZERO_PFN,
      pfn + 1,
    );
  }

  #head(image: PageImage, descriptor: Ref): Int32Array {
    const type = this.#pageTypeWord(image.type, image.subtype, image.hugetlb);
    return headTemplate(this.context, image, descriptor, type, this.#folioSeparate);
  }

  addMapcount(pfn: number, n: number): void {
    const w = this.w;
    const head = this.#headOf(pfn);
    const owner = this.#owner(head);
    w.add32(this.page(pfn), PAGE64_MAPCOUNT, n);
    if (this.isHead(head)) w.add32(owner, this.folio.largeMapcount, n);
    else if (owner !== this.page(pfn)) w.add32(owner, this.folio.mapcount, n);
  }

  /** There is no page type left: the flag private_2 says that private leads to an object. */
  bindScattered(pfn: number, to: Ref, zone: number): void {
    this.bindMisc(pfn, 0, MISC_UNKNOWN, true, zone);
    changeBits(this.w, this.page(pfn), PAGE64_FLAGS, PG_PRIVATE_2, true);
    this.setPrivate(pfn, to);
  }

  scatteredOf(pfn: number): Ref {
    const marked = (this.w.load32(this.page(pfn), PAGE64_FLAGS) & PG_PRIVATE_2) !== 0;
    return marked && this.typeOf(pfn) === T_MISC ? this.privateOf(pfn) : (0 as Ref);
  }

  freeOrderAt(pfn: number): number {
    const page = this.page(pfn);
    if (this.w.load32(page, PAGE64_PAGE_TYPE) >>> 24 !== PGTY_BUDDY) return -1;
    return this.w.load32(page, PAGE64_PRIVATE);
  }

  link(pfn: number, order: number, next: number, prev: number, pcp: number): void {
    const page = this.page(pfn);
    this.#setLink(page, PAGE64_LRU_NEXT, next);
    this.#setLink(page, PAGE64_LRU_PREV, prev);
    if (pcp) return;
    this.w.store32(page, PAGE64_PRIVATE, order);
    this.w.store32(page, PAGE64_PAGE_TYPE, PGTY_BUDDY << 24);
  }

  unlink(pfn: number): void {
    const page = this.page(pfn);
    this.w.store64(page, PAGE64_LRU_NEXT, 0, 0);
    this.w.store64(page, PAGE64_LRU_PREV, 0, 0);
    this.w.store64(page, PAGE64_PRIVATE, 0, 0);
    this.w.store32(page, PAGE64_PAGE_TYPE, -1);
  }

  /** A list pointer is the address of the neighbour's list_head; NULL ends the list. */
  #setLink(page: Ref, off: number, neighbour: number): void {
    if (neighbour < 0) return this.w.store64(page, off, 0, 0);
    const to = this.page(neighbour);
    this.w.store64(page, off, addressLow(to) | PAGE64_LRU_NEXT, addressHigh(to));
  }

  #linkAt(pfn: number, off: number): number {
    const lo = this.w.load64(this.page(pfn), off);
    const to = refOfAddress(lo, this.w.hi);
    return to === 0 ? -1 : this.pfnOf(to);
  }

  setNext(pfn: number, next: number): void {
    this.#setLink(this.page(pfn), PAGE64_LRU_NEXT, next);
  }

  setPrev(pfn: number, prev: number): void {
    this.#setLink(this.page(pfn), PAGE64_LRU_PREV, prev);
  }

  nextOf(pfn: number): number {
    return this.#linkAt(pfn, PAGE64_LRU_NEXT);
  }

  prevOf(pfn: number): number {
    return this.#linkAt(pfn, PAGE64_LRU_PREV);
  }

  wordsOf(pfn: number): { ref: Ref; off: number; struct: string } {
    return { ref: this.page(pfn), off: 0, struct: "PAGE64" };
  }
}
