/**
 * A set of cache lines: bits in chunks that are there where one of their lines is.
 *
 * An operation touches a few lines or, where it describes a large device, tens of
 * millions: more than a Set of the language can hold (2^24).
 */

/** Lines of a chunk: 2^14, that is 2 KiB for 1 MiB of memory. */
const CHUNK_SHIFT = 14;
const CHUNK_MASK = 2 ** CHUNK_SHIFT - 1;

export class LineSet {
  readonly #chunks = new Map<number, Int32Array>();
  /** The chunk that was used last. */
  #at = -1;
  #bits: Int32Array = new Int32Array(0);
  /** Lines in the set. */
  size = 0;

  add(line: number): void {
    const chunk = Math.floor(line / 2 ** CHUNK_SHIFT);
    if (chunk !== this.#at) this.#goTo(chunk);
    const i = (line & CHUNK_MASK) >> 5;
    const bit = 1 << (line & 31);
    if ((this.#bits[i] & bit) !== 0) return;
    this.#bits[i] |= bit;
    this.size++;
  }

  #goTo(chunk: number): void {
    let bits = this.#chunks.get(chunk);
    if (bits === undefined) {
      bits = new Int32Array((CHUNK_MASK + 1) >> 5);
      this.#chunks.set(chunk, bits);
    }
    this.#at = chunk;
    this.#bits = bits;
  }

  /** Lines that are in both. */
  inBoth(other: LineSet): number {
    let lines = 0;
    for (const [chunk, bits] of this.#chunks) {
      const others = other.#chunks.get(chunk);
      if (others === undefined) continue;
      for (let i = 0; i < bits.length; i++) {
        for (let both = bits[i] & others[i]; both !== 0; both &= both - 1) lines++;
      }
    }
    return lines;
  }

  clear(): void {
    this.#chunks.clear();
    this.#at = -1;
    this.size = 0;
  }
}
