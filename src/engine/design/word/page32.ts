/**
 * page32: the 32-byte stage in its early 2025 layout.
 *
 * flags; union{ buddy_list | pcp_list | {memdesc, _refcount} }; union{ private |
 * _mapcount }. Node and zone, reserved, hwpoison and anon-exclusive stay in the
 * page's own flags; everything else about a folio is in a separate struct folio,
 * whose flags carry a copy of node and zone. A free block keeps its order in
 * private. List pointers overlap the memdesc and are only 4-byte aligned, so the
 * type codes 0, 4, 8 and 12 all mean "on a list"; which list, the high half of
 * private says (1 buddy, 2 per-CPU; invented). Map counts stay per page.
 *
 * Facts: memdesc-facts §1.7, §3.1.
 */
import type { Ref } from "../../../units.js";
import {
  FOLIO_LARGE_ENTIRE_MAPCOUNT,
  PAGE32_FLAGS,
  PAGE32_LIST_NEXT,
  PAGE32_LIST_PREV,
  PAGE32_MAPCOUNT,
  PAGE32_MEMDESC,
  PAGE32_PRIVATE,
  PAGE32_REFCOUNT,
} from "../../layout/generated/offsets.js";
import { addressHigh, addressLow, refOfAddress } from "../../words/words.js";
import {
  addUnlessZero,
  type CountsBarePages,
  type CountsPages,
  type DesignContext,
  type KeepsPrivate,
  type PageImage,
  type WordOptions,
} from "./axis.js";
import { changeBits } from "./axis-descriptors.js";
import { TaggedDesign } from "./axis-tagged.js";
import { locationKey, PG_HWPOISON, PG_OWNER_2, PG_RESERVED } from "./axis-flags.js";
import { isFolioType, MISC_RESERVED, T_ANON, T_BUDDY, T_MISC } from "./axis-types.js";

/** Flags that stay in page->flags at this stage. */
const OWN_FLAGS = PG_RESERVED | PG_HWPOISON | PG_OWNER_2;
const ON_BUDDY = 1;
const ON_PCP = 2;

export class Page32 extends TaggedDesign implements KeepsPrivate, CountsPages, CountsBarePages {
  readonly name = "page32";
  readonly pageBytes = 32;
  readonly summary = "32 B";
  readonly mapcounts: "per-page" | "per-folio";
  override readonly ownFlags = "few";
  readonly bareRefcount = PAGE32_REFCOUNT;
  readonly reach = 2 ** 32;
  readonly bytesPerPageblock = 0;
  readonly #base: number;

  constructor(context: DesignContext, options: WordOptions) {
    super(context, options, false);
    this.mapcounts = options.mapcounts;
    this.#base = context.base;
  }

  #page(pfn: number): Ref {
    return (this.#base + pfn * 2) as Ref;
  }

  /** The memdesc, or 0 for a page on a list: its list word is no memdesc. */
  protected loadWord(pfn: number): number {
    const page = this.#page(pfn);
    const lo = this.w.load64(page, PAGE32_MEMDESC);
    if (this.types.type[lo & 15] !== T_BUDDY) return lo;
    // 0, 4, 8, 12: the neighbour's list head, or a list's end, or nothing at all.
    this.w.hi = 0;
    return 0;
  }

  protected storeWord(pfn: number, lo: number, hi: number): void {
    const page = this.#page(pfn);
    this.w.store64(page, PAGE32_MEMDESC, lo, hi);
    this.w.store64(page, PAGE32_REFCOUNT, 0, 0);
    this.w.store64(page, PAGE32_PRIVATE, -1, 0);
    if (lo === 0) this.#setOwnFlags(pfn, 0);
  }

  /** Private and the map count share their bytes: −1 is an unmapped page, and no pointer. */
  privateOf(pfn: number): Ref {
    const lo = this.w.load64(this.#page(pfn), PAGE32_PRIVATE);
    return (lo & 15) !== 0 ? (0 as Ref) : refOfAddress(lo, this.w.hi);
  }

  setPrivate(pfn: number, value: Ref): void {
    const unmapped = value === 0;
    this.w.store64(
      this.#page(pfn),
      PAGE32_PRIVATE,
      unmapped ? -1 : addressLow(value),
      addressHigh(value),
    );
  }

  protected override storePointer(pfn: number, to: Ref): void {
    this.setPrivate(pfn, to);
  }

  protected override loadPointer(pfn: number): Ref {
    return this.privateOf(pfn);
  }

  tryGetPage(pfn: number, n: number): boolean {
    return addUnlessZero(this.w, this.#page(pfn), PAGE32_REFCOUNT, n);
  }

  addPageRefs(pfn: number, n: number): number {
    return this.w.add32(this.#page(pfn), PAGE32_REFCOUNT, n);
  }

  addPageMaps(pfn: number, n: number): number {
    return this.w.add32(this.#page(pfn), PAGE32_MAPCOUNT, n) + 1;
  }

  #setOwnFlags(pfn: number, flags: number): void {
    this.w.store32(this.#page(pfn), PAGE32_FLAGS, flags);
  }

  protected retag(pfn: number, lo: number, hi: number): void {
    this.w.store64(this.#page(pfn), PAGE32_MEMDESC, lo, hi);
  }

  override setExclusive(pfn: number, on: boolean): void {
    if (this.pageBits !== "word") return super.setExclusive(pfn, on);
    changeBits(this.w, this.#page(pfn), PAGE32_FLAGS, PG_OWNER_2, on);
  }

  override addOwnMapcount(pfn: number, n: number): number {
    return this.w.add32(this.#page(pfn), PAGE32_MAPCOUNT, n);
  }

  protected fillWords(
    pfn: number,
    words: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
    image: PageImage,
    startsWithHead: boolean,
  ): void {
    const pages = words.length / 2;
    const wide = new Int32Array(8 * pages);
    const bits = this.context.zones.bits[image.zone];
    const reserved = image.type === T_MISC && image.subtype === MISC_RESERVED ? PG_RESERVED : 0;
    const mapcount = isFolioType(image.type) && !image.hugetlb ? image.mapcount - 1 : -1;
    for (let i = 0; i < pages; i++) {
      const head = startsWithHead && (pages === 1 || i % 2 ** image.order === 0);
      wide[i * 8] = ((head ? image.flags : image.tailFlags) & OWN_FLAGS) | reserved;
      wide[i * 8 + 1] = bits;
      wide[i * 8 + PAGE32_MEMDESC / 4] = words[i * 2];
      wide[i * 8 + PAGE32_MEMDESC / 4 + 1] = words[i * 2 + 1];
      wide[i * 8 + PAGE32_MAPCOUNT / 4] = mapcount;
    }
    const steps = strided === null ? null : placesOfMemdesc(strided);
    this.w.fillRun(this.#page(pfn), 0, wide, periods, steps, base, delta);
  }

  override blankRun(pfn: number, count: number, zone: number): void {
    const page = new Int32Array(8);
    page[1] = this.context.zones.bits[zone];
    page[PAGE32_MAPCOUNT / 4] = -1;
    this.w.fillRun(this.#page(pfn), 0, page, count, null, 0, 0);
  }

  override setPageFlags(pfn: number, flags: number): boolean {
    this.#setOwnFlags(pfn, flags);
    return true;
  }

  override bindMisc(
    pfn: number,
    order: number,
    subtype: number,
    mappable: boolean,
    zone: number,
  ): void {
    super.bindMisc(pfn, order, subtype, mappable, zone);
    const own = subtype === MISC_RESERVED ? PG_RESERVED : 0;
    for (let i = 0; i < 1 << order; i++) this.#setOwnFlags(pfn + i, own);
  }

  override isPoisoned(pfn: number): boolean {
    if (this.pageBits !== "word") return super.isPoisoned(pfn);
    return (this.w.load32(this.#page(pfn), PAGE32_FLAGS) & PG_HWPOISON) !== 0;
  }

  override poisonCache(pfn: number): number {
    return this.pageBits === "word" ? -1 : super.poisonCache(pfn);
  }

  override poison(pfn: number, descriptor: Ref): void {
    if (this.pageBits !== "word") return super.poison(pfn, descriptor);
    const page = this.#page(pfn);
    this.w.store32(page, PAGE32_FLAGS, this.w.load32(page, PAGE32_FLAGS) | PG_HWPOISON);
  }

  override flagsOf(pfn: number): number {
    const block = this.blockOf(pfn);
    return super.flagsOf(pfn) | (this.w.load32(this.#page(block), PAGE32_FLAGS) & OWN_FLAGS);
  }

  override pageFlagsOf(pfn: number): number {
    const own = this.w.load32(this.#page(pfn), PAGE32_FLAGS);
    return this.blockOf(pfn) === pfn ? super.flagsOf(pfn) | own : own;
  }

  protected override exclusiveOf(pfn: number): number {
    if (this.pageBits !== "word") return super.exclusiveOf(pfn);
    return this.typeOf(pfn) === T_ANON
      ? this.w.load32(this.#page(pfn), PAGE32_FLAGS) & PG_OWNER_2
      : 0;
  }

  override mapcountOf(pfn: number): number {
    if (this.mapcounts === "per-folio") return super.mapcountOf(pfn);
    if (!isFolioType(this.typeOf(pfn))) return 0;
    // A folio of one page keeps the count itself.
    if (this.orderOf(pfn) === 0) return super.mapcountOf(pfn);
    const entire = this.w.load32(this.descriptorOf(pfn), FOLIO_LARGE_ENTIRE_MAPCOUNT) + 1;
    return this.w.load32(this.#page(pfn), PAGE32_MAPCOUNT) + 1 + entire;
  }

  override addMapcount(pfn: number, n: number): void {
    super.addMapcount(pfn, n);
    if (this.mapcounts === "per-page") this.w.add32(this.#page(pfn), PAGE32_MAPCOUNT, n);
  }

  zoneOf(pfn: number): number {
    this.w.load64(this.#page(pfn), PAGE32_FLAGS);
    return this.context.zones.byKey[locationKey(this.w.hi)];
  }

  freeOrderAt(pfn: number): number {
    const order = this.w.load64(this.#page(pfn), PAGE32_PRIVATE);
    if (this.w.hi !== ON_BUDDY) return -1;
    return this.types.type[this.w.load32(this.#page(pfn), PAGE32_LIST_NEXT) & 15] === T_BUDDY
      ? order
      : -1;
  }

  #setLink(pfn: number, off: number, neighbour: number): void {
    if (neighbour < 0) return this.w.store64(this.#page(pfn), off, 0, 0);
    const to = this.#page(neighbour);
    this.w.store64(this.#page(pfn), off, addressLow(to) | PAGE32_LIST_NEXT, addressHigh(to));
  }

  #linkAt(pfn: number, off: number): number {
    const lo = this.w.load64(this.#page(pfn), off);
    const to = refOfAddress(lo, this.w.hi);
    return to === 0 ? -1 : (to - this.#base) / 2;
  }

  link(pfn: number, order: number, next: number, prev: number, pcp: number): void {
    this.#setLink(pfn, PAGE32_LIST_NEXT, next);
    this.#setLink(pfn, PAGE32_LIST_PREV, prev);
    this.w.store64(this.#page(pfn), PAGE32_PRIVATE, order, pcp === 0 ? ON_BUDDY : ON_PCP);
  }

  unlink(pfn: number): void {
    this.storeWord(pfn, 0, 0);
  }

  setNext(pfn: number, next: number): void {
    this.#setLink(pfn, PAGE32_LIST_NEXT, next);
  }

  setPrev(pfn: number, prev: number): void {
    this.#setLink(pfn, PAGE32_LIST_PREV, prev);
  }

  nextOf(pfn: number): number {
    return this.#linkAt(pfn, PAGE32_LIST_NEXT);
  }

  prevOf(pfn: number): number {
    return this.#linkAt(pfn, PAGE32_LIST_PREV);
  }

  wordsOf(pfn: number): { ref: Ref; off: number; struct: string } {
    return { ref: this.#page(pfn), off: 0, struct: "PAGE32" };
  }
}

/** Where the memdescs of a template are, from their places in one of bare words. A loop: it is called for every run. */
function placesOfMemdesc(strided: Int32Array): Int32Array {
  const places = new Int32Array(strided.length);
  for (let s = 0; s < strided.length; s++) places[s] = strided[s] * 4 + PAGE32_MEMDESC / 4;
  return places;
}
