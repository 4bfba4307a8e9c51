/**
 * The runs of sparse words: sorted, disjoint intervals of word numbers, each with
 * the template it repeats and where its strided fields begin.
 *
 * Intervals lie in leaves of a few hundred, in columns; the leaves are found by
 * their first word. Populating appends to several rising streams at once (page
 * array, descriptors), so each stream fills leaves of its own; a leaf that is
 * full at its end gets a new neighbour rather than being split. Templates are
 * interned: equal ones are kept once.
 */

/** A template with what repeats it: the same for all runs that only differ in place and start. */
interface Template {
  readonly words: Int32Array;
  /** For each word 0: constant, 1: low half of a strided field, 2: high half. */
  readonly part: Uint8Array;
  /** What strided fields grow by from one period to the next. */
  readonly delta: number;
  readonly strided: boolean;
}

const LEAF = 256;
const CONSTANT = 0;
const LOW = 1;

class Leaf {
  count = 0;
  readonly start = new Float64Array(LEAF);
  readonly end = new Float64Array(LEAF);
  /** Word where the run's period 0 begins; before `start` where its beginning was overwritten. */
  readonly origin = new Float64Array(LEAF);
  /** Value added in period 0. */
  readonly base = new Float64Array(LEAF);
  readonly template = new Int32Array(LEAF);

  /** Makes room at `at` by moving what lies behind. */
  open(at: number): void {
    for (const column of [this.start, this.end, this.origin, this.base, this.template])
      column.copyWithin(at + 1, at, this.count);
    this.count++;
  }

  close(at: number, n: number): void {
    for (const column of [this.start, this.end, this.origin, this.base, this.template])
      column.copyWithin(at, at + n, this.count);
    this.count -= n;
  }

  /** Moves the entries from `at` on to a new leaf. */
  split(at: number): Leaf {
    const right = new Leaf();
    right.count = this.count - at;
    right.start.set(this.start.subarray(at, this.count));
    right.end.set(this.end.subarray(at, this.count));
    right.origin.set(this.origin.subarray(at, this.count));
    right.base.set(this.base.subarray(at, this.count));
    right.template.set(this.template.subarray(at, this.count));
    this.count = at;
    return right;
  }
}

/** Host bytes of a leaf's columns. */
const LEAF_BYTES = LEAF * (4 * 8 + 4);

export class SparseRuns {
  /** Runs kept. */
  size = 0;
  /** Never empty; every leaf but a sole one holds at least one run. */
  readonly #leaves: Leaf[] = [new Leaf()];
  readonly #templates: Template[] = [];
  readonly #byContent = new Map<number, number[]>();
  #templateBytes = 0;
  // The stretch that the last search settled, a run's or (no template) a gap's: the next word is nearby as a rule.
  #from = 0;
  #to = 0;
  #last: Template | null = null;
  #origin = 0;
  #base = 0;

  bytesHeld(): number {
    return this.#leaves.length * LEAF_BYTES + this.#templateBytes;
  }

  /** The 32-bit word of that number; 0 where no run ever was. */
  word(index: number): number {
    if (index < this.#from || index >= this.#to) this.#seek(index);
    const t = this.#last;
    if (t === null) return 0;
    const n = t.words.length;
    const place = index - this.#origin;
    // Integer arithmetic where the place is one: a remainder of doubles is slow.
    const j = place <= 0x7fffffff ? (place | 0) % n : place % n;
    if (!t.strided) return t.words[j];
    const period = (place - j) / n;
    if (t.part[j] === CONSTANT) return t.words[j];
    const value = this.#base + period * t.delta;
    if (t.part[j] === LOW) return ((t.words[j] >>> 0) + ((value | 0) >>> 0)) | 0;
    const carry = (t.words[j - 1] >>> 0) + ((value | 0) >>> 0) > 0xffffffff ? 1 : 0;
    return (t.words[j] + Math.floor(value / 0x1_0000_0000) + carry) | 0;
  }

  /** Settles the run or gap that a word lies in. */
  #seek(index: number): void {
    const l = this.#leafOf(index);
    const leaf = this.#leaves[l];
    const i = lastAtOrBefore(leaf, index);
    if (i >= 0 && index < leaf.end[i]) {
      this.#from = leaf.start[i];
      this.#to = leaf.end[i];
      this.#last = this.#templates[leaf.template[i]];
      this.#origin = leaf.origin[i];
      this.#base = leaf.base[i];
      return;
    }
    this.#last = null;
    this.#from = i >= 0 ? leaf.end[i] : 0;
    if (i + 1 < leaf.count) this.#to = leaf.start[i + 1];
    else this.#to = l + 1 < this.#leaves.length ? this.#leaves[l + 1].start[0] : Infinity;
  }

  #forget(): void {
    this.#from = 0;
    this.#to = 0;
  }

  /** The last leaf whose first run starts at or before a word; the first leaf otherwise. */
  #leafOf(index: number): number {
    const leaves = this.#leaves;
    let lo = 0;
    let hi = leaves.length - 1;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (leaves[mid].start[0] <= index) lo = mid;
      else hi = mid - 1;
    }
    return lo;
  }

  /** Writes a run over the words from `start` up to but without `end`. */
  fill(
    start: number,
    end: number,
    words: Int32Array,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void {
    this.#forget();
    const template = this.#intern(words, strided, delta);
    this.#clear(start, end);
    const l = this.#leafOf(start);
    const before = lastAtOrBefore(this.#leaves[l], start);
    if (before >= 0 && this.#continues(this.#leaves[l], before, start, template, base)) {
      this.#leaves[l].end[before] = end;
      return;
    }
    this.#insert(l, before + 1, start, end, start, base, template);
  }

  /** Whether a run that begins at `start` only goes on with the one before it. */
  #continues(leaf: Leaf, i: number, start: number, template: number, base: number): boolean {
    if (leaf.end[i] !== start || leaf.template[i] !== template) return false;
    const t = this.#templates[template];
    const periods = (start - leaf.origin[i]) / t.words.length;
    return Number.isInteger(periods) && (!t.strided || leaf.base[i] + periods * t.delta === base);
  }

  #insert(
    l: number,
    i: number,
    start: number,
    end: number,
    origin: number,
    base: number,
    template: number,
  ): void {
    let leaf = this.#leaves[l];
    if (leaf.count === LEAF) {
      // At the end of a rising stream the full leaf stays full.
      const right = i === LEAF ? new Leaf() : leaf.split(LEAF / 2);
      this.#leaves.splice(l + 1, 0, right);
      if (i > leaf.count || i === LEAF) {
        i -= leaf.count;
        leaf = right;
      }
    }
    leaf.open(i);
    leaf.start[i] = start;
    leaf.end[i] = end;
    leaf.origin[i] = origin;
    leaf.base[i] = base;
    leaf.template[i] = template;
    this.size++;
  }

  /** Takes the words from `start` up to but without `end` out of every run. */
  #clear(start: number, end: number): void {
    let l = this.#leafOf(start);
    let i = lastAtOrBefore(this.#leaves[l], start);
    if (i >= 0) {
      const leaf = this.#leaves[l];
      const runEnd = leaf.end[i];
      if (runEnd > end && leaf.start[i] < start) return this.#cutOut(l, i, start, end);
      if (runEnd > start && leaf.start[i] < start) leaf.end[i] = start;
      if (leaf.start[i] < start) i++;
    } else i = 0;
    // From here on runs start in the range: whole ones go, the last may keep its end.
    for (;;) {
      const leaf = this.#leaves[l];
      let n = 0;
      while (i + n < leaf.count && leaf.end[i + n] <= end) n++;
      if (n > 0) {
        leaf.close(i, n);
        this.size -= n;
      }
      if (i < leaf.count) {
        if (leaf.start[i] < end) leaf.start[i] = end;
        return;
      }
      if (this.#dropEmpty(l)) l--;
      if (++l >= this.#leaves.length) return;
      i = 0;
    }
  }

  /** Removes an empty leaf unless it is the only one. */
  #dropEmpty(l: number): boolean {
    if (this.#leaves[l].count > 0 || this.#leaves.length === 1) return false;
    this.#leaves.splice(l, 1);
    return true;
  }

  /** A hole in the middle of one run leaves two. */
  #cutOut(l: number, i: number, start: number, end: number): void {
    const leaf = this.#leaves[l];
    const { [i]: runEnd } = leaf.end;
    const { [i]: origin } = leaf.origin;
    const { [i]: base } = leaf.base;
    const { [i]: template } = leaf.template;
    leaf.end[i] = start;
    this.#insert(l, i + 1, end, runEnd, origin, base, template);
  }

  #intern(words: Int32Array, strided: Int32Array | null, delta: number): number {
    const step = strided === null || strided.length === 0 ? 0 : delta;
    let hash = words.length ^ Math.imul(step, 0x9e3779b1);
    for (const word of words) hash = Math.imul(hash ^ word, 0x85ebca6b) ^ (hash >>> 13);
    const part = new Uint8Array(words.length);
    for (const at of strided ?? []) {
      part[at] = LOW;
      part[at + 1] = LOW + 1;
    }
    const same = this.#byContent.get(hash) ?? [];
    for (const id of same) if (isTemplate(this.#templates[id], words, part, step)) return id;
    const id =
      this.#templates.push({
        words: words.slice(),
        part,
        delta: step,
        strided: part.includes(LOW),
      }) - 1;
    same.push(id);
    this.#byContent.set(hash, same);
    // The arrays, and about what the objects around them take.
    this.#templateBytes += words.byteLength + part.byteLength + 256;
    return id;
  }
}

function isTemplate(t: Template, words: Int32Array, part: Uint8Array, delta: number): boolean {
  if (t.delta !== delta || t.words.length !== words.length) return false;
  for (let i = 0; i < words.length; i++)
    if (t.words[i] !== words[i] || t.part[i] !== part[i]) return false;
  return true;
}

/** Index of the last run of a leaf that starts at or before a word; −1 for none. */
function lastAtOrBefore(leaf: Leaf, index: number): number {
  let lo = -1;
  let hi = leaf.count - 1;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (leaf.start[mid] <= index) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}
