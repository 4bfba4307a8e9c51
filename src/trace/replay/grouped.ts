/**
 * A what-if: user memory comes in larger folios than it did.
 *
 * Pages that the traced kernel allocated one by one are parts of one folio of the
 * order that is asked for: those that come one after another, of the same kind and on
 * the same processor, as read-ahead and fault-around would have had them. The folio is
 * freed when the last of its parts is; until then what was freed of it stays taken,
 * which is the price of large folios, and is seen. Where there is no block of that
 * order the page gets its own.
 */
import type { PageType } from "../../engine/design/word/axis-types.js";
import type { Machine } from "../../engine/machine.js";
import { Homes } from "./homes.js";

/** A folio that still takes in parts. */
interface Open {
  head: number;
  used: number;
}

export class Grouped {
  /** Folios that were made and freed here. */
  made = 0;
  freed = 0;
  readonly #machine: Machine;
  /** Order asked for, by kind; 0 for kinds that are left alone. */
  readonly #orders: Uint8Array;
  readonly #open = new Map<number, Open>();
  /** Pages in use of each folio that was made here, by its first frame. */
  readonly #live = new Homes(false);

  constructor(machine: Machine, orders: Uint8Array) {
    this.#machine = machine;
    this.#orders = orders;
  }

  /** Frame of the part, in a folio of the order asked for; −1 where the page shall get its own. */
  alloc(order: number, kind: number, cpu: number, type: PageType): number {
    const asked = this.#orders[kind];
    if (order >= asked) return -1;
    const key = kind * 65_536 + cpu;
    const size = 1 << order;
    const open = this.#open.get(key);
    // Parts are aligned to their own size, as blocks are.
    const at = open === undefined ? 0 : (open.used + size - 1) & ~(size - 1);
    if (open === undefined || at + size > 1 << asked) {
      if (open !== undefined) this.#close(key, open);
      const head = this.#machine.allocFolio(asked, type);
      if (head < 0) return -1;
      this.made++;
      this.#open.set(key, { head, used: size });
      this.#live.set(head, size);
      return head;
    }
    open.used = at + size;
    this.#live.set(open.head, this.#live.at(open.head) + size);
    return open.head + at;
  }

  /** The folio takes in no more parts; one of which nothing is left goes. */
  #close(key: number, open: Open): void {
    this.#open.delete(key);
    if (this.#live.at(open.head) === 0) this.#free(open.head);
  }

  #free(head: number): void {
    this.freed++;
    this.#live.set(head, -1);
    this.#machine.putFolio(head);
  }

  /** Frees a part; false for a frame of no folio that was made here. */
  free(at: number, order: number): boolean {
    const head = this.#machine.design.blockOf(at);
    const live = this.#live.at(head);
    if (live < 0) return false;
    const left = live - (1 << order);
    this.#live.set(head, left);
    if (left > 0) return true;
    for (const [key, open] of this.#open)
      if (open.head === head) {
        this.#open.delete(key);
        break;
      }
    this.#free(head);
    return true;
  }
}
