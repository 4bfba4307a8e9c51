/**
 * memdesc16: two words per page, union{ struct buddy | {memdesc, private} }.
 *
 * A free block is struct buddy, option 1: next and prev are addresses of pages,
 * the low four bits of next the type and those of prev the order, so all memory
 * is in reach. The second word of a page that is not free is its private word;
 * this design keeps the per-page bits there (page bits: `word`), which no
 * proposal says (invented). A block on a per-CPU list has order code 11 (huge)
 * or 12–15 (orders 0–3).
 *
 * Facts: memdesc-facts §2.1 (option 1), §3.1; node and zone of a free page come
 * from the per-pageblock table as in memdesc8.
 */
import type { Ref } from "../../../units.js";
import { PAGE16_MEMDESC, PAGE16_PRIVATE } from "../../layout/generated/offsets.js";
import { addressHigh, addressLow, refOfAddress } from "../../words/words.js";
import {
  addUnlessZero,
  type CountsPages,
  type DesignContext,
  type KeepsPrivate,
  type PageImage,
  type WordOptions,
} from "./axis.js";
import { changeBits } from "./axis-descriptors.js";
import { TaggedDesign } from "./axis-tagged.js";
import { PG_OWNER_2 } from "./axis-flags.js";
import { T_ANON, T_BUDDY, T_HWPOISON } from "./axis-types.js";

const HIGH_ORDERS = 11;
const CODE_PCP_HUGE = 11;
const CODE_PCP_0 = 12;
/** Bit 0 of the private word: this anonymous page is exclusive. */
const PRIVATE_EXCLUSIVE = 1;
/** Bit 1: this page is hwpoison. */
const PRIVATE_POISON = 2;

/** Low bits of the private word that say something about the page itself. */
const PRIVATE_BITS = 15;
/** A bare page that counts itself: mappings above those bits, references in the high half. */
const MAPS_UNIT = 16;

export class Memdesc16 extends TaggedDesign implements KeepsPrivate, CountsPages {
  readonly name = "memdesc16";
  readonly pageBytes = 16;
  readonly summary = "16 B";
  readonly mapcounts = "per-folio";
  readonly reach = 2 ** 32;
  readonly bytesPerPageblock = 1;
  readonly #base: number;
  readonly #buddy: number;

  constructor(context: DesignContext, options: WordOptions) {
    super(context, options, true);
    this.#base = context.base;
    this.#buddy = options.types.code[T_BUDDY];
  }

  #page(pfn: number): Ref {
    return (this.#base + pfn) as Ref;
  }

  protected loadWord(pfn: number): number {
    return this.w.load64(this.#page(pfn), PAGE16_MEMDESC);
  }

  protected storeWord(pfn: number, lo: number, hi: number): void {
    const page = this.#page(pfn);
    this.w.store64(page, PAGE16_MEMDESC, lo, hi);
    this.w.store64(page, PAGE16_PRIVATE, 0, 0);
  }

  privateOf(pfn: number): Ref {
    const lo = this.w.load64(this.#page(pfn), PAGE16_PRIVATE);
    return refOfAddress(lo, this.w.hi);
  }

  setPrivate(pfn: number, value: Ref): void {
    const page = this.#page(pfn);
    const bits = this.w.load32(page, PAGE16_PRIVATE) & PRIVATE_BITS;
    this.w.store64(page, PAGE16_PRIVATE, addressLow(value) | bits, addressHigh(value));
  }

  protected override storePointer(pfn: number, to: Ref): void {
    this.setPrivate(pfn, to);
  }

  protected override loadPointer(pfn: number): Ref {
    return this.privateOf(pfn);
  }

  tryGetPage(pfn: number, n: number): boolean {
    return addUnlessZero(this.w, this.#page(pfn), PAGE16_PRIVATE + 4, n);
  }

  addPageRefs(pfn: number, n: number): number {
    return this.w.add32(this.#page(pfn), PAGE16_PRIVATE + 4, n);
  }

  addPageMaps(pfn: number, n: number): number {
    return this.w.add32(this.#page(pfn), PAGE16_PRIVATE, n * MAPS_UNIT) >> 4;
  }

  protected retag(pfn: number, lo: number, hi: number): void {
    this.w.store64(this.#page(pfn), PAGE16_MEMDESC, lo, hi);
  }

  override setExclusive(pfn: number, on: boolean): void {
    if (this.pageBits !== "word") return super.setExclusive(pfn, on);
    changeBits(this.w, this.#page(pfn), PAGE16_PRIVATE, PRIVATE_EXCLUSIVE, on);
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
    const wide = new Int32Array(4 * pages);
    for (let i = 0; i < pages; i++) {
      wide[i * 4] = words[i * 2];
      wide[i * 4 + 1] = words[i * 2 + 1];
      const head = startsWithHead && (pages === 1 || i % 2 ** image.order === 0);
      wide[i * 4 + PAGE16_PRIVATE / 4] = this.#exclusiveBit(
        image,
        head ? image.flags : image.tailFlags,
      );
    }
    const steps = strided === null ? null : strided.map((s) => s * 2);
    this.w.fillRun(this.#page(pfn), 0, wide, periods, steps, base, delta);
  }

  #exclusiveBit(image: PageImage, flags: number): number {
    const here = this.pageBits === "word" && image.type === T_ANON;
    return here && (flags & PG_OWNER_2) !== 0 ? PRIVATE_EXCLUSIVE : 0;
  }

  protected override exclusiveOf(pfn: number): number {
    if (this.pageBits !== "word") return super.exclusiveOf(pfn);
    if (this.typeOf(pfn) !== T_ANON) return 0;
    return this.w.load32(this.#page(pfn), PAGE16_PRIVATE) & PRIVATE_EXCLUSIVE ? PG_OWNER_2 : 0;
  }

  override isPoisoned(pfn: number): boolean {
    if (this.pageBits !== "word") return super.isPoisoned(pfn);
    const type = this.typeOf(pfn);
    if (type === T_BUDDY || type === T_HWPOISON) return type === T_HWPOISON;
    return (this.w.load32(this.#page(pfn), PAGE16_PRIVATE) & PRIVATE_POISON) !== 0;
  }

  override poisonCache(pfn: number): number {
    return this.pageBits === "word" ? -1 : super.poisonCache(pfn);
  }

  override poison(pfn: number, descriptor: Ref): void {
    if (this.pageBits !== "word") return super.poison(pfn, descriptor);
    const page = this.#page(pfn);
    const bits = this.w.load32(page, PAGE16_PRIVATE);
    this.w.store32(page, PAGE16_PRIVATE, bits | PRIVATE_POISON);
  }

  zoneOf(pfn: number): number {
    const zone = this.zoneInWords(pfn);
    return zone >= 0 ? zone : this.context.zones.zoneOf(pfn);
  }

  freeOrderAt(pfn: number): number {
    if ((this.loadWord(pfn) & 15) !== this.#buddy) return -1;
    const code = this.w.load32(this.#page(pfn), PAGE16_PRIVATE) & 15;
    return code < HIGH_ORDERS ? code : -1;
  }

  #setLink(pfn: number, off: number, neighbour: number, tag: number): void {
    if (neighbour < 0) return this.w.store64(this.#page(pfn), off, tag, 0);
    const to = this.#page(neighbour);
    this.w.store64(this.#page(pfn), off, addressLow(to) | tag, addressHigh(to));
  }

  #linkAt(pfn: number, off: number): number {
    const lo = this.w.load64(this.#page(pfn), off);
    const to = refOfAddress(lo, this.w.hi);
    return to === 0 ? -1 : to - this.#base;
  }

  link(pfn: number, order: number, next: number, prev: number, pcp: number): void {
    this.#setLink(pfn, PAGE16_MEMDESC, next, this.#buddy);
    this.#setLink(
      pfn,
      PAGE16_PRIVATE,
      prev,
      pcp === 0 ? order : order > 3 ? CODE_PCP_HUGE : CODE_PCP_0 + order,
    );
  }

  unlink(pfn: number): void {
    this.storeWord(pfn, 0, 0);
  }

  setNext(pfn: number, next: number): void {
    this.#setLink(pfn, PAGE16_MEMDESC, next, this.#buddy);
  }

  setPrev(pfn: number, prev: number): void {
    const tag = this.w.load32(this.#page(pfn), PAGE16_PRIVATE) & 15;
    this.#setLink(pfn, PAGE16_PRIVATE, prev, tag);
  }

  nextOf(pfn: number): number {
    return this.#linkAt(pfn, PAGE16_MEMDESC);
  }

  prevOf(pfn: number): number {
    return this.#linkAt(pfn, PAGE16_PRIVATE);
  }

  wordsOf(pfn: number): { ref: Ref; off: number; struct: string } {
    return { ref: this.#page(pfn), off: 0, struct: "PAGE16" };
  }
}
