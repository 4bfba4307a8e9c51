/**
 * Which blocks are out, and at which order: what an allocator asks before it takes
 * one back, so that a driver's mistake is named instead of believed.
 *
 * One byte per page, read only at the first page of a block. No kernel keeps this:
 * uvmem clears a bit that is clear already and says nothing, gen_pool hits a BUG on a
 * clear bit but takes any part of a block, a free list takes a page twice and hands
 * it out twice. It is the simulation's own check and is in no account of bytes.
 */
import { wholeNumber } from "../../process/arguments.js";
import { PAGES_MAX } from "./axis.js";

/** A block that started here came back. Otherwise 0 (none ever did) or order + 1. */
const BACK = 0x80;

export class Ledger {
  readonly owner: string;
  readonly pages: number;
  /** Order of the largest block that fits. */
  readonly maxOrder: number;
  readonly #out: Uint8Array;

  constructor(owner: string, out: Uint8Array) {
    this.owner = owner;
    this.pages = out.length;
    this.maxOrder = 31 - Math.clz32(this.pages);
    this.#out = out;
  }

  /** Whether a block of that order fits at all. Throws RangeError for what is no order. */
  fits(order: number): boolean {
    if ((order | 0) !== order || order < 0)
      throw new RangeError(`${this.owner}: ${order} is no order`);
    return order <= this.maxOrder;
  }

  /** A block goes out. */
  take(offset: number, order: number): void {
    this.#out[offset] = order + 1;
  }

  /** Throws RangeError where no block of that order starts at that offset. */
  check(offset: number, order: number, verb = "free"): void {
    // An offset that is none reads as undefined, which is no order; orders that are none
    // must not be taken for the marks of what is not out.
    if (this.#out[offset] !== order + 1 || order >>> 0 > this.maxOrder)
      throw this.error(offset, order, verb, this.#why(offset));
  }

  /** A block that was checked is back. */
  give(offset: number): void {
    this.#out[offset] = BACK;
  }

  /** A block that is out becomes blocks of 2^into pages. Throws RangeError. */
  split(offset: number, order: number, into: number): void {
    this.check(offset, order, "split");
    if ((into | 0) !== into || into < 0 || into >= order)
      throw this.error(offset, order, "split", `parts of order ${into} are not smaller`);
    const step = 1 << into;
    for (let at = offset; at < offset + (1 << order); at += step) this.#out[at] = into + 1;
  }

  /** A refusal in the words of all others. */
  error(offset: number, order: number, verb: string, why: string): RangeError {
    return new RangeError(`${this.owner}: ${verb} offset ${offset}, order ${order}: ${why}`);
  }

  #why(offset: number): string {
    if (!Number.isInteger(offset) || offset < 0 || offset >= this.pages)
      return `the page map has offsets 0 … ${this.pages - 1}`;
    const is = this.#out[offset];
    if (is !== 0 && is !== BACK) return `the block there has order ${is - 1}`;
    for (let order = 1; order <= this.maxOrder; order++) {
      const head = offset - (offset % 2 ** order);
      const around = this.#out[head];
      if (around !== BACK && around > order)
        return `it is inside of the block of order ${around - 1} at offset ${head}`;
    }
    return is === BACK ? "it is free: it came back already" : "it is free: it was never given";
  }
}

/** The record of a ledger in which nothing is out. Throws RangeError or TypeError for what is no size. */
export const nothingOut = (pages: number): Uint8Array =>
  new Uint8Array(wholeNumber("pages of a page map", pages, 1, PAGES_MAX));
