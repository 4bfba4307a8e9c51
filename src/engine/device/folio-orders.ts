/**
 * Of which folios an idle page map consists, where requests are to find an order and
 * not to set it ("folio orders inside the pgmap are already set up and stable").
 *
 * Every page belongs to one folio, naturally aligned: one of the order that the map
 * was made with, unless its driver set another one up. Only what was set up is kept,
 * so a map of any size costs nothing until then. A larger folio that is taken apart
 * falls into the largest ones beside the one that is wanted, as a buddy does.
 *
 * Facts: device-facts §1.3, §1.4. In the proposal orders lie in the idle struct pages;
 * here beside them, since there need not be any (invented).
 */

/** Order of the largest folio: 1 GiB. */
const ORDER_MAX = 18;

export class FolioOrders {
  readonly usual: number;
  /** Order of each folio that was set up, by its first offset. */
  readonly #set = new Map<number, number>();

  constructor(usual: number) {
    this.usual = usual;
  }

  /** First offset of the folio that a page belongs to. */
  headOf(offset: number): number {
    for (let order = 0; order <= ORDER_MAX && this.#set.size > 0; order++) {
      const head = alignDown(offset, order);
      if (this.#set.get(head) === order) return head;
    }
    return alignDown(offset, this.usual);
  }

  /** Order of the folio that begins at an offset; −1 where one goes on from before. */
  at(offset: number): number {
    const head = this.headOf(offset);
    return head === offset ? (this.#set.get(head) ?? this.usual) : -1;
  }

  /** A folio of that order begins there; what lay there before must be idle. */
  set(offset: number, order: number): void {
    if (this.at(offset) === order) return;
    this.#takeApart(offset, order);
    for (let i = offset; i < offset + 2 ** order; i++) this.#set.delete(i);
    this.#set.set(offset, order);
  }

  /** The folio at an offset was cut into folios of a smaller order. */
  split(offset: number, order: number, into: number): void {
    for (let i = offset; i < offset + 2 ** order; i += 2 ** into) this.#set.set(i, into);
  }

  /** Leaves no folio larger than `order` around an offset. */
  #takeApart(offset: number, order: number): void {
    const head = this.headOf(offset);
    let is = this.#set.get(head) ?? this.usual;
    this.#set.delete(head);
    while (is > order) {
      is--;
      const half = alignDown(offset, is);
      // The half in which the offset is not.
      this.#set.set(half % 2 ** (is + 1) === 0 ? half + 2 ** is : half - 2 ** is, is);
      this.#set.set(half, is);
    }
  }
}

const alignDown = (offset: number, order: number): number => offset - (offset % 2 ** order);
