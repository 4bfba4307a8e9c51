/**
 * Numbers and names read from the bytes of a line, without making strings.
 *
 * Text of a trace is a hundred bytes per event and millions of lines: a string per
 * field would cost more than everything else. What comes up again and again (names of
 * events, gfp flags spelled out) is looked up by its bytes in a {@link ByteTable}.
 * Numbers may have 64 bits (an address in the upper half, printed in decimal), more than
 * a double holds: {@link pageAt} keeps the number of the page exactly, {@link low32At}
 * the low half.
 */

export const LF = 10;
export const CR = 13;
export const TAB = 9;
export const SPACE = 32;
export const COLON = 58;
export const EQUALS = 61;
export const DASH = 45;
export const DOT = 46;
export const SLASH = 47;
export const HASH = 35;
export const OPEN = 91;
export const CLOSE = 93;
export const PAREN = 40;
export const PAREN_END = 41;

export function isDigit(b: number): boolean {
  return b >= 48 && b <= 57;
}

/** The value of a hexadecimal digit; −1 for any other byte. */
export function hexDigit(b: number): number {
  if (b >= 48 && b <= 57) return b - 48;
  if (b >= 97 && b <= 102) return b - 87;
  if (b >= 65 && b <= 70) return b - 55;
  return -1;
}

/** Whether a number is written `0x…` at this place. */
function has0x(buf: Uint8Array, at: number, end: number): boolean {
  return at + 2 < end && buf[at] === 48 && (buf[at + 1] | 32) === 120;
}

/** The number at a place (`-12`, `345`, `0x1f`; hexadecimal without mark if `hex`), NaN for none. */
export function numberAt(buf: Uint8Array, at: number, end: number, hex = false): number {
  let i = at;
  const negative = i < end && buf[i] === DASH;
  if (negative) i++;
  let v = 0;
  const marked = has0x(buf, i, end);
  if (marked) i += 2;
  const first = i;
  if (marked || hex)
    for (; i < end; i++) {
      const d = hexDigit(buf[i]);
      if (d < 0) break;
      v = v * 16 + d;
    }
  else
    for (; i < end; i++) {
      const d = buf[i] - 48;
      if (d < 0 || d > 9) break;
      v = v * 10 + d;
    }
  if (i === first) return Number.NaN;
  return negative ? -v : v;
}

/** The low 32 bits of the number at a place, signed; NaN for none. */
export function low32At(buf: Uint8Array, at: number, end: number, hex = false): number {
  let i = at;
  const negative = i < end && buf[i] === DASH;
  if (negative) i++;
  let v = 0;
  const marked = has0x(buf, i, end);
  if (marked) i += 2;
  const first = i;
  if (marked || hex)
    for (; i < end; i++) {
      const d = hexDigit(buf[i]);
      if (d < 0) break;
      v = (v << 4) | d;
    }
  else
    for (; i < end; i++) {
      const d = buf[i] - 48;
      if (d < 0 || d > 9) break;
      v = (Math.imul(v, 10) + d) | 0;
    }
  if (i === first) return Number.NaN;
  return negative ? -v | 0 : v;
}

/** The number at a place divided by 4096, whole; exact for all 64-bit numbers. NaN for none. */
export function pageAt(buf: Uint8Array, at: number, end: number, hex = false): number {
  let i = at;
  const marked = has0x(buf, i, end);
  if (marked) i += 2;
  const first = i;
  if (marked || hex) {
    while (i < end && hexDigit(buf[i]) >= 0) i++;
    if (i === first) return Number.NaN;
    let v = 0;
    // Three digits are the place in the page.
    for (let j = first; j < i - 3; j++) v = v * 16 + hexDigit(buf[j]);
    return v;
  }
  while (i < end && isDigit(buf[i])) i++;
  if (i === first) return Number.NaN;
  // In two halves of ten digits: high × 10^10 = high × 2,441,406 × 4096 + high × 1024.
  const middle = Math.max(first, i - 10);
  let high = 0;
  for (let j = first; j < middle; j++) high = high * 10 + (buf[j] - 48);
  let low = 0;
  for (let j = middle; j < i; j++) low = low * 10 + (buf[j] - 48);
  return high * 2441406 + Math.floor((high * 1024 + low) / 4096);
}

/** Text of bytes, for names that are shown; what is no UTF-8 becomes U+FFFD. */
export function textOf(buf: Uint8Array, from: number, to: number): string {
  return decoder.decode(buf.subarray(from, to));
}
const decoder = new TextDecoder();

/** Whether the bytes at a place are these characters (ASCII). */
export function isAt(buf: Uint8Array, at: number, end: number, ascii: Uint8Array): boolean {
  const n = ascii.length;
  if (at + n > end) return false;
  for (let i = 0; i < n; i++) if (buf[at + i] !== ascii[i]) return false;
  return true;
}

/** Where these characters begin between two places, −1 if nowhere. */
export function findAt(buf: Uint8Array, from: number, to: number, ascii: Uint8Array): number {
  const first = ascii[0];
  for (let i = from; i + ascii.length <= to; i++)
    if (buf[i] === first && isAt(buf, i, to, ascii)) return i;
  return -1;
}

export function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/**
 * Byte strings numbered in the order they came: a hash table that makes a string only
 * for what it has not seen. Takes a bounded number, so that garbage cannot fill the
 * memory; beyond it, {@link find} says −1.
 */
export class ByteTable {
  readonly texts: string[] = [];
  private readonly bytes: Uint8Array[] = [];
  private readonly slots: Int32Array;
  private readonly most: number;

  constructor(most = 1024) {
    this.most = most;
    this.slots = new Int32Array(2 ** Math.ceil(Math.log2(most * 4)));
  }

  /** Number of these bytes, given to them if they are new; −1 if the table is full. */
  find(buf: Uint8Array, from: number, to: number): number {
    const n = to - from;
    const mask = this.slots.length - 1;
    let slot = hashOf(buf, from, to) & mask;
    for (;;) {
      const found = this.slots[slot] - 1;
      if (found < 0) break;
      const has = this.bytes[found];
      if (has.length === n) {
        let i = 0;
        while (i < n && has[i] === buf[from + i]) i++;
        if (i === n) return found;
      }
      slot = (slot + 1) & mask;
    }
    if (this.texts.length >= this.most) return -1;
    this.bytes.push(buf.slice(from, to));
    this.texts.push(textOf(buf, from, to));
    this.slots[slot] = this.texts.length;
    return this.texts.length - 1;
  }
}

/** Of the length and a few bytes: the comparison that follows sees them all. */
function hashOf(buf: Uint8Array, from: number, to: number): number {
  const n = to - from;
  let h = n;
  if (n > 0) {
    h = Math.imul(h ^ buf[from], 0x01000193);
    h = Math.imul(h ^ buf[to - 1], 0x01000193);
    h = Math.imul(h ^ buf[from + (n >> 1)], 0x01000193);
    h = Math.imul(h ^ buf[from + (n >> 2)], 0x01000193);
    h = Math.imul(h ^ buf[to - 1 - (n >> 2)], 0x01000193);
    h = Math.imul(h ^ buf[to - 1 - (n >> 3)], 0x01000193);
  }
  return h ^ (h >>> 15);
}
