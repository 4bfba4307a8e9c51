/**
 * What callers may pass at the public edges, and the one line that refuses the
 * rest.
 *
 * A number that is no number, a name that is no choice, a text where bytes belong
 * are the caller's mistakes and no answer of a kernel: they get a RangeError or a
 * TypeError that says what was asked for, its range and what came. What a system
 * call itself would refuse (a length of 0, an address that is not aligned) passes
 * here and gets its errno. Called once per call at the edge, never per page.
 */

/** A value as it may stand in a message: short, on one line. */
export function described(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  if (Array.isArray(value)) return "an array";
  if (typeof value === "function") return "a function";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** A whole number from `least` to `most`. Throws TypeError for no number, RangeError outside. */
export function wholeNumber(what: string, value: unknown, least: number, most: number): number {
  const wanted = `${what} is a whole number, ${range(least)} … ${range(most)}, not ${described(value)}`;
  if (typeof value !== "number") throw new TypeError(wanted);
  if (!Number.isInteger(value) || value < least || value > most) throw new RangeError(wanted);
  return value;
}

/** Powers of two are easier to read as such. */
function range(n: number): string {
  if (n <= -65536) return `−${range(-n)}`;
  if (n < 65536) return String(n);
  if (Number.isInteger(Math.log2(n))) return `2^${Math.log2(n)}`;
  return Number.isInteger(Math.log2(n + 1)) ? `2^${Math.log2(n + 1)} − 1` : String(n);
}

/** An address, a length or an offset as a system call takes it: 0 … 2^64. */
export const word64 = (what: string, value: unknown): number =>
  wholeNumber(what, value, 0, 2 ** 64);

/** A position in a file: 0 … 2^43, the last page that has a number here. */
export const position = (what: string, value: unknown): number =>
  wholeNumber(what, value, 0, 2 ** 43);

/** Bytes that are copied out or in one call at most: 1 GiB. */
const COPY_MAX = 2 ** 30;

/** A number of bytes to be copied out: 0 … 2^30. */
export const copyLength = (what: string, value: unknown): number =>
  wholeNumber(what, value, 0, COPY_MAX);

/** Bits of a system call: 32 of them, with or without a sign. */
export const bits = (what: string, value: unknown): number =>
  wholeNumber(what, value, -(2 ** 31), 2 ** 32 - 1);

/** Bytes to be stored. Throws TypeError where they are no Uint8Array. */
export function byteArray(what: string, value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`${what} is a Uint8Array, not ${described(value)}`);
}

/** One of some names. Throws RangeError for another. */
export function oneOf<T extends string>(what: string, value: unknown, names: readonly T[]): T {
  const found = names.find((name) => name === value);
  if (found !== undefined) return found;
  const list = names.map((name) => JSON.stringify(name)).join(", ");
  throw new RangeError(`${what} is one of ${list}, not ${described(value)}`);
}
