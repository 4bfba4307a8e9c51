/**
 * What writing and reading a block have in common: the order of its rows by kind, and
 * rows that go from one batch into another.
 */
import type { EventBatch } from "../events.js";

/** Times that only grow need no sign. */
export const TIME_GROWS = 0;
export const TIME_SIGNED = 1;

/** Fills `counts` with the rows of each kind, and `order` with the rows in the order of kinds. */
export function rowsByKind(
  kind: Uint8Array,
  n: number,
  counts: Int32Array,
  order: Uint16Array,
): void {
  counts.fill(0);
  for (let i = 0; i < n; i++) counts[kind[i]]++;
  let sum = 0;
  for (let k = 0; k < 256; k++) {
    const count = counts[k];
    counts[k] = sum;
    sum += count;
  }
  for (let i = 0; i < n; i++) order[counts[kind[i]]++] = i;
  // Now each count is the end of its kind; back to lengths, from the last one on.
  for (let k = 255; k > 0; k--) counts[k] -= counts[k - 1];
}

/** Appends rows `begin` … `end − 1`; there is room. */
export function copyRows(from: EventBatch, begin: number, end: number, to: EventBatch): void {
  const at = to.length;
  to.time.set(from.time.subarray(begin, end), at);
  to.kind.set(from.kind.subarray(begin, end), at);
  to.cpu.set(from.cpu.subarray(begin, end), at);
  to.pid.set(from.pid.subarray(begin, end), at);
  to.x.set(from.x.subarray(begin, end), at);
  to.a.set(from.a.subarray(begin, end), at);
  to.b.set(from.b.subarray(begin, end), at);
  to.c.set(from.c.subarray(begin, end), at);
  to.length = at + end - begin;
}
