/**
 * Which places in the records of device-private memory no page map has: the lowest
 * stretch that is long enough is taken.
 *
 * It stands for nothing in a kernel, where a page map's array is wherever its memory
 * was found; here places of records are given at boot, so that a page's number and its
 * record are one multiplication apart.
 */

interface Stretch {
  start: number;
  end: number;
}

export class RecordRoom {
  readonly #align: number;
  /** Free stretches in order, none beside another. */
  readonly #free: Stretch[];

  /** Pages `start` … `start + pages − 1`, given out in multiples of `align`. */
  constructor(start: number, pages: number, align: number) {
    this.#align = align;
    this.#free = pages > 0 ? [{ start, end: start + pages }] : [];
  }

  #round(pages: number): number {
    return Math.ceil(pages / this.#align) * this.#align;
  }

  /** First place of that many; −1 where no stretch has them. */
  take(pages: number): number {
    const size = this.#round(pages);
    const at = this.#free.findIndex(({ start, end }) => end - start >= size);
    if (at < 0) return -1;
    const stretch = this.#free[at];
    const { start } = stretch;
    stretch.start += size;
    if (stretch.start === stretch.end) this.#free.splice(at, 1);
    return start;
  }

  /** Gives back what `take` gave. */
  give(start: number, pages: number): void {
    const end = start + this.#round(pages);
    let at = this.#free.findIndex((s) => s.start >= end);
    if (at < 0) at = this.#free.length;
    this.#free.splice(at, 0, { start, end });
    this.#join(at);
    this.#join(at - 1);
  }

  /** Joins a stretch with the one behind it where they meet. */
  #join(at: number): void {
    const [a, b] = [this.#free[at], this.#free[at + 1]];
    if (a === undefined || b === undefined || a.end !== b.start) return;
    a.end = b.end;
    this.#free.splice(at + 1, 1);
  }
}
