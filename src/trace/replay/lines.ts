/**
 * Cache lines of metadata per allocation and free, by kind and order, from the
 * operations whose lines were noted.
 */
import type { LineCount } from "../../engine/words/counted.js";
import { KINDS, kindOf, type Kind } from "../../observe/kinds.js";
import { OP_ALLOC } from "../classify/ops.js";

/** Mean lines of one kind of operation. */
export interface LinesRow {
  readonly what: "alloc" | "free";
  readonly kind: Kind;
  /** `0`, or larger ones together. */
  readonly order: "0" | ">0";
  /** Operations that were looked at. */
  readonly sampled: number;
  readonly read: number;
  readonly written: number;
  readonly touched: number;
}

const COLUMNS = 4;

export class LineTable {
  /** [alloc/free][kind][order 0 / more] × (n, read, written, touched). */
  readonly #sums = new Float64Array(2 * KINDS.length * 2 * COLUMNS);

  add(what: number, kind: number, order: number, lines: LineCount): void {
    const side = what === OP_ALLOC ? 0 : 1;
    const at = ((side * KINDS.length + kind) * 2 + (order > 0 ? 1 : 0)) * COLUMNS;
    this.#sums[at]++;
    this.#sums[at + 1] += lines.read;
    this.#sums[at + 2] += lines.written;
    this.#sums[at + 3] += lines.touched;
  }

  rows(): LinesRow[] {
    const rows: LinesRow[] = [];
    for (let i = 0; i < this.#sums.length; i += COLUMNS) {
      const n = this.#sums[i];
      if (n === 0) continue;
      const at = i / COLUMNS;
      rows.push({
        what: at < KINDS.length * 2 ? "alloc" : "free",
        kind: kindOf((at >> 1) % KINDS.length),
        order: at % 2 === 0 ? "0" : ">0",
        sampled: n,
        read: this.#sums[i + 1] / n,
        written: this.#sums[i + 2] / n,
        touched: this.#sums[i + 3] / n,
      });
    }
    return rows;
  }
}
