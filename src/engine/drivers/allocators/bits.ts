/**
 * Bitmaps that find their next bit at once: what a search through every word finds,
 * in as many steps as the bitmap has levels.
 *
 * The kernel's find_first_zero_bit and find_next_bit read word after word, its trees
 * of free blocks go down from the root. Both find the one bit that is first (or last),
 * so any way of finding it makes the same choices: here each level has a bit for
 * every word of the level below. A level is an Int32Array; all zero is a bitmap in
 * which nothing is used (`UsedBits`) or nothing is a member (`MemberBits`), so that an
 * account of terabytes costs the host only what was touched.
 *
 * Source: include/linux/find.h, lib/bitmap.c (bitmap_find_next_zero_area_off) of 6.18.
 */

const FULL = -1;

/** Number of the lowest bit that is set. The word is not 0. */
const lowest = (word: number): number => 31 - Math.clz32(word & -word);

/** Levels for a number of bits, all zero: the bits first, then summaries down to one word. */
function noBits(count: number): Int32Array[] {
  const levels: Int32Array[] = [];
  for (let bits = count; ;) {
    const words = Math.ceil(bits / 32);
    levels.push(new Int32Array(words));
    if (words <= 1) return levels;
    bits = words;
  }
}

/** As `noBits`, for `UsedBits`: what lies behind the last bit is used, so that no search finds it. */
export function noneUsed(count: number): Int32Array[] {
  const levels = noBits(count);
  for (let i = 0, bits = count; i < levels.length; bits = levels[i++].length)
    if (bits % 32 !== 0) levels[i][levels[i].length - 1] = FULL << (bits % 32);
  return levels;
}

/** A bit for each page that is used; a summary bit for each word that is full. */
export class UsedBits {
  readonly #levels: readonly Int32Array[];

  constructor(levels: readonly Int32Array[]) {
    this.#levels = levels;
  }

  /** find_next_zero_bit: the first bit from `from` on that is clear; −1. */
  nextZero(from: number): number {
    const levels = this.#levels;
    for (let level = 0, at = from; level < levels.length; level++) {
      const words = levels[level];
      const word = at >>> 5;
      if (word >= words.length) return -1;
      const clear = ~words[word] & (FULL << (at & 31));
      if (clear !== 0) return this.#down(level, word * 32 + lowest(clear));
      at = word + 1;
    }
    return -1;
  }

  #down(level: number, at: number): number {
    const levels = this.#levels;
    for (let i = level - 1, index = at; ; i--) {
      if (i < 0) return index;
      index = index * 32 + lowest(~levels[i][index]);
    }
  }

  /** find_next_bit: the first bit from `from` on, below `end`, that is set; −1. */
  nextOne(from: number, end: number): number {
    const words = this.#levels[0];
    for (let at = from; at < end; at = (at | 31) + 1) {
      const set = words[at >>> 5] & (FULL << (at & 31));
      if (set === 0) continue;
      const found = (at & ~31) + lowest(set);
      return found < end ? found : -1;
    }
    return -1;
  }

  /** bitmap_find_next_zero_area: the first 2^order clear bits between `from` and `end`, aligned; −1. */
  zeroArea(from: number, end: number, order: number): number {
    const size = 1 << order;
    for (let at = this.nextZero(from); at >= 0; at = this.nextZero(at)) {
      at = (at + size - 1) & -size;
      if (at + size > end) return -1;
      const used = this.nextOne(at, at + size);
      if (used < 0) return at;
      at = used + 1;
    }
    return -1;
  }

  /** bitmap_set of 2^order bits, aligned. */
  setArea(start: number, order: number): void {
    const levels = this.#levels;
    for (let level = 0, at = start, left = order; level < levels.length; level++, at >>>= 5) {
      const words = levels[level];
      if (left >= 5) {
        // Whole words; the bits above that stand for them are an area themselves.
        left -= 5;
        words.fill(FULL, at >>> 5, (at >>> 5) + (1 << left));
      } else {
        const word = (words[at >>> 5] |= areaMask(at, left));
        if (word !== FULL) return;
        left = 0;
      }
    }
  }

  /** bitmap_clear of 2^order bits, aligned. All of them are set. */
  clearArea(start: number, order: number): void {
    const levels = this.#levels;
    for (let level = 0, at = start, left = order; level < levels.length; level++, at >>>= 5) {
      const words = levels[level];
      if (left >= 5) {
        left -= 5;
        words.fill(0, at >>> 5, (at >>> 5) + (1 << left));
      } else {
        const was = words[at >>> 5];
        words[at >>> 5] = was & ~areaMask(at, left);
        if (was !== FULL) return;
        left = 0;
      }
    }
  }
}

/** The bits of an aligned area that is smaller than a word. */
const areaMask = (start: number, order: number): number =>
  ((1 << (1 << order)) - 1) << (start & 31);

/** A set of small numbers, as a record. */
export interface Members {
  /** Empty while there is an only one. */
  readonly levels: readonly Int32Array[];
  /** The only member, −1 where there are more or none. */
  only: number;
}

export const noMembers = (count: number): Members => ({ levels: noBits(count), only: -1 });

/**
 * A bit for each member; a summary bit for each word that has one. The first member of
 * an empty set is kept beside the bits: a buddy allocator that splits its last block
 * down to a page and merges it again has sets of one all the way.
 */
export class MemberBits {
  readonly #set: Members;
  readonly #levels: readonly Int32Array[];
  readonly #top: Int32Array;

  constructor(set: Members) {
    this.#set = set;
    this.#levels = set.levels;
    this.#top = set.levels[set.levels.length - 1];
  }

  has(member: number): boolean {
    return (
      this.#set.only === member || (this.#levels[0][member >>> 5] & (1 << (member & 31))) !== 0
    );
  }

  add(member: number): void {
    const set = this.#set;
    if (set.only >= 0) {
      this.#mark(set.only);
      set.only = -1;
    } else if (this.#top[0] === 0) {
      set.only = member;
      return;
    }
    this.#mark(member);
  }

  #mark(member: number): void {
    for (let level = 0, at = member; level < this.#levels.length; level++, at >>>= 5) {
      const words = this.#levels[level];
      const was = words[at >>> 5];
      words[at >>> 5] = was | (1 << (at & 31));
      if (was !== 0) return;
    }
  }

  /** Says whether none is left. */
  delete(member: number): boolean {
    if (this.#set.only === member) {
      this.#set.only = -1;
      return true;
    }
    for (let level = 0, at = member; level < this.#levels.length; level++, at >>>= 5) {
      const word = (this.#levels[level][at >>> 5] &= ~(1 << (at & 31)));
      if (word !== 0) return false;
    }
    return true;
  }

  /** The largest member; there is one. */
  last(): number {
    if (this.#set.only >= 0) return this.#set.only;
    let at = 0;
    for (let level = this.#levels.length - 1; level >= 0; level--)
      at = at * 32 + 31 - Math.clz32(this.#levels[level][at]);
    return at;
  }

  /** The smallest member from `from` on; −1. */
  next(from: number): number {
    const { only } = this.#set;
    if (only >= 0) return only >= from ? only : -1;
    const levels = this.#levels;
    for (let level = 0, at = from; level < levels.length; level++) {
      const words = levels[level];
      const word = at >>> 5;
      if (word >= words.length) return -1;
      const set = words[word] & (FULL << (at & 31));
      if (set !== 0) return this.#down(level, word * 32 + lowest(set));
      at = word + 1;
    }
    return -1;
  }

  #down(level: number, at: number): number {
    const levels = this.#levels;
    for (let i = level - 1, index = at; ; i--) {
      if (i < 0) return index;
      index = index * 32 + lowest(levels[i][index]);
    }
  }
}
