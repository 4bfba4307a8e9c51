/**
 * A range of bytes, page by page: what every reader and writer of contents walks.
 */
import { PAGE_SIZE } from "../../units.js";

/**
 * Calls back for each page that `length` bytes from `at` on touch: the byte that
 * comes next, its place in its page, bytes done before, bytes in this page.
 */
export function eachSpan(
  at: number,
  length: number,
  visit: (byte: number, from: number, done: number, n: number) => void,
): void {
  for (let done = 0; done < length;) {
    const byte = at + done;
    // A byte before the start lies in the page before: whoever visits refuses it.
    const from = ((byte % PAGE_SIZE) + PAGE_SIZE) % PAGE_SIZE;
    const n = Math.min(PAGE_SIZE - from, length - done);
    visit(byte, from, done, n);
    done += n;
  }
}
