/**
 * memdesc8: one 64-bit word per page, the goal of the redesign.
 *
 * A free block keeps its list links inside its own first word: type in bits
 * 0–3, order in bits 4–7, next in bits 8–35 and prev in bits 36–63, each 28 bits
 * of a frame number relative to the zone's start; a link to itself ends the
 * list. One zone may therefore span 2^28 pages, 1 TiB; a larger one is refused.
 * Blocks of order ≥ 1 own two words or more and would not need to compress, but
 * order 0 decides the reach, so one form serves all. Order codes 11–15 are
 * blocks on per-CPU lists (which the published proposal leaves out): 11 is the
 * huge-page order, 12–15 are orders 0–3.
 *
 * Node and zone of a free page are not in its word: they are rebuilt from a
 * table of one byte per pageblock, which is paid for (`bytesPerPageblock`).
 *
 * Facts: memdesc-facts §1.1, §2.1 (28-bit links: derived there); invented:
 * zone-relative links, the end mark, the per-CPU codes.
 */
import type { Ref } from "../../../units.js";
import type { DesignContext, WordOptions } from "./axis.js";
import { TaggedDesign } from "./axis-tagged.js";
import { T_BUDDY } from "./axis-types.js";

const LINK_BITS = 28;
const HIGH_ORDERS = 11;
const CODE_PCP_HUGE = 11;
const CODE_PCP_0 = 12;

export class Memdesc8 extends TaggedDesign {
  readonly name = "memdesc8";
  readonly pageBytes = 8;
  readonly summary = "8 B";
  readonly mapcounts = "per-folio";
  readonly reach = 2 ** LINK_BITS;
  readonly bytesPerPageblock = 1;
  readonly #base: number;
  readonly #buddy: number;
  /** Whether frame numbers fit a link as they are, so that they count from 0. */
  readonly #fits: boolean;

  constructor(context: DesignContext, options: WordOptions) {
    super(context, options, true);
    this.#base = context.base;
    this.#buddy = options.types.code[T_BUDDY];
    this.#fits = context.frames <= 2 ** LINK_BITS;
  }

  #ref(pfn: number): Ref {
    return (this.#base + (pfn >>> 1)) as Ref;
  }

  protected loadWord(pfn: number): number {
    return this.w.load64(this.#ref(pfn), (pfn & 1) << 3);
  }

  protected storeWord(pfn: number, lo: number, hi: number): void {
    this.w.store64(this.#ref(pfn), (pfn & 1) << 3, lo, hi);
  }

  protected retag(pfn: number, lo: number, hi: number): void {
    this.storeWord(pfn, lo, hi);
  }

  protected fillWords(
    pfn: number,
    words: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void {
    this.w.fillRun(this.#ref(pfn), (pfn & 1) << 3, words, periods, strided, base, delta);
  }

  zoneOf(pfn: number): number {
    const zone = this.zoneInWords(pfn);
    return zone >= 0 ? zone : this.context.zones.zoneOf(pfn);
  }

  freeOrderAt(pfn: number): number {
    const lo = this.loadWord(pfn);
    const code = (lo >>> 4) & 15;
    return (lo & 15) === this.#buddy && code < HIGH_ORDERS ? code : -1;
  }

  /** Where frame numbers of this page's zone are counted from. */
  #origin(pfn: number): number {
    return this.#fits ? 0 : this.context.zones.start[this.context.zones.zoneOf(pfn)];
  }

  #store(pfn: number, code: number, next: number, prev: number): void {
    const lo = this.#buddy | (code << 4) | (next << 8);
    this.storeWord(pfn, lo, (next >>> 24) | (prev << 4));
  }

  link(pfn: number, order: number, next: number, prev: number, pcp: number): void {
    const origin = this.#origin(pfn);
    const code = pcp === 0 ? order : order > 3 ? CODE_PCP_HUGE : CODE_PCP_0 + order;
    this.#store(pfn, code, (next < 0 ? pfn : next) - origin, (prev < 0 ? pfn : prev) - origin);
  }

  unlink(pfn: number): void {
    this.storeWord(pfn, 0, 0);
  }

  setNext(pfn: number, next: number): void {
    const origin = this.#origin(pfn);
    const lo = this.loadWord(pfn);
    const to = (next < 0 ? pfn : next) - origin;
    this.storeWord(pfn, (lo & 0xff) | (to << 8), (this.w.hi & ~15) | (to >>> 24));
  }

  setPrev(pfn: number, prev: number): void {
    const origin = this.#origin(pfn);
    const lo = this.loadWord(pfn);
    this.storeWord(pfn, lo, (this.w.hi & 15) | (((prev < 0 ? pfn : prev) - origin) << 4));
  }

  nextOf(pfn: number): number {
    const lo = this.loadWord(pfn);
    const to = ((lo >>> 8) | ((this.w.hi & 15) << 24)) + this.#origin(pfn);
    return to === pfn ? -1 : to;
  }

  prevOf(pfn: number): number {
    this.loadWord(pfn);
    const to = (this.w.hi >>> 4) + this.#origin(pfn);
    return to === pfn ? -1 : to;
  }

  wordsOf(pfn: number): { ref: Ref; off: number; struct: string } {
    return { ref: this.#ref(pfn), off: (pfn & 1) << 3, struct: "PAGE8" };
  }
}
