/**
 * Sparse words: memory for machines larger than the host.
 *
 * Populating writes in runs, and a run is kept as what it says (a template and
 * how far its pointers move from one period to the next), not as bytes. The
 * first single write to a 64-byte chunk materialises it: the chunk is computed
 * once from the runs below it and lives in an overlay from then on. Host memory
 * is so proportional to runs and written chunks (architecture, rule 1). A later
 * run wins over what was there before, wholly or in part.
 *
 * A Ref here goes up to 2^32 (64 GiB of metadata); a signed one is taken as its
 * unsigned twin. Chunk numbers (refs / 4) are 30-bit integers, word numbers are
 * doubles and appear only where a run is searched.
 */
import type { Ref } from "../../units.js";
import { ChunkOverlay, CHUNK_WORDS } from "./sparse-chunks.js";
import { SparseRuns } from "./sparse-runs.js";
import { Deadlock, type Words } from "./words.js";

/** Number of the 64-byte chunk that a place lies in, and of its word there. */
const chunkOf = (ref: Ref, off: number): number => (ref + (off >> 4)) >>> 2;
const wordOf = (ref: Ref, off: number): number =>
  (((ref + (off >> 4)) & 3) << 2) | ((off >> 2) & 3);

export class SparseWords implements Words {
  hi = 0;
  readonly #runs = new SparseRuns();
  readonly #chunks = new ChunkOverlay();
  /** The chunk that was found last, and where; −1 for none. The one that was not found last. */
  #chunk = -1;
  #absent = -1;
  #words: Int32Array = new Int32Array(0);
  #at = 0;

  /** Bytes of host memory held: runs, templates, materialised chunks and their index. */
  bytesHeld(): number {
    return this.#runs.bytesHeld() + this.#chunks.bytesHeld();
  }

  /** Runs kept, and 64-byte chunks that were written singly. */
  usage(): { readonly runs: number; readonly chunks: number } {
    return { runs: this.#runs.size, chunks: this.#chunks.size };
  }

  /** Points #words and #at at a materialised chunk; false where there is none. */
  #find(chunk: number): boolean {
    if (chunk === this.#chunk) return true;
    if (chunk === this.#absent) return false;
    const slot = this.#chunks.find(chunk);
    if (slot < 0) {
      this.#absent = chunk;
      return false;
    }
    this.#point(chunk, slot);
    return true;
  }

  #point(chunk: number, slot: number): void {
    this.#chunk = chunk;
    this.#words = this.#chunks.block(slot);
    this.#at = this.#chunks.offset(slot);
  }

  /** The same for writing: makes the chunk from the runs below where there is none. */
  #materialise(chunk: number): void {
    if (this.#find(chunk)) return;
    this.#absent = -1;
    const slot = this.#chunks.insert(chunk);
    this.#point(chunk, slot);
    const first = chunk * CHUNK_WORDS;
    for (let i = 0; i < CHUNK_WORDS; i++) this.#words[this.#at + i] = this.#runs.word(first + i);
  }

  load32(ref: Ref, off: number): number {
    const chunk = chunkOf(ref, off);
    const word = wordOf(ref, off);
    return this.#find(chunk)
      ? this.#words[this.#at + word]
      : this.#runs.word(chunk * CHUNK_WORDS + word);
  }

  store32(ref: Ref, off: number, value: number): void {
    this.#materialise(chunkOf(ref, off));
    this.#words[this.#at + wordOf(ref, off)] = value;
  }

  load64(ref: Ref, off: number): number {
    const chunk = chunkOf(ref, off);
    const word = wordOf(ref, off);
    if (this.#find(chunk)) {
      const i = this.#at + word;
      this.hi = this.#words[i + 1];
      return this.#words[i];
    }
    const index = chunk * CHUNK_WORDS + word;
    this.hi = this.#runs.word(index + 1);
    return this.#runs.word(index);
  }

  store64(ref: Ref, off: number, lo: number, hi: number): void {
    this.#materialise(chunkOf(ref, off));
    const i = this.#at + wordOf(ref, off);
    this.#words[i] = lo;
    this.#words[i + 1] = hi;
  }

  cas32(ref: Ref, off: number, expected: number, value: number): boolean {
    if (this.load32(ref, off) !== expected) return false;
    this.store32(ref, off, value);
    return true;
  }

  cas64(ref: Ref, off: number, elo: number, ehi: number, lo: number, hi: number): boolean {
    const was = this.hi;
    const same = this.load64(ref, off) === elo && this.hi === ehi;
    this.hi = was;
    if (same) this.store64(ref, off, lo, hi);
    return same;
  }

  add32(ref: Ref, off: number, delta: number): number {
    this.#materialise(chunkOf(ref, off));
    const i = this.#at + wordOf(ref, off);
    return (this.#words[i] = (this.#words[i] + delta) | 0);
  }

  await32(ref: Ref, off: number, value: number): void {
    const is = this.load32(ref, off);
    if (is !== value) throw new Deadlock(ref, off, is, value);
  }

  awaitChange32(ref: Ref, off: number, value: number): void {
    const is = this.load32(ref, off);
    if (is === value) throw new Deadlock(ref, off, is, value);
  }

  fillRun(
    ref: Ref,
    off: number,
    template: Int32Array,
    periods: number,
    strided: Int32Array | null,
    base: number,
    delta: number,
  ): void {
    const start = chunkOf(ref, off) * CHUNK_WORDS + wordOf(ref, off);
    const end = start + template.length * periods;
    if (end === start) return;
    this.#runs.fill(start, end, template, strided, base, delta);
    this.#rewrite(start, end);
  }

  /** A run was written over these words: chunks that it covers go back to being computed, others take its words in. */
  #rewrite(start: number, end: number): void {
    if (this.#chunks.size === 0) return;
    const first = Math.floor(start / CHUNK_WORDS);
    const last = Math.floor((end - 1) / CHUNK_WORDS);
    if (start % CHUNK_WORDS !== 0 || end < (first + 1) * CHUNK_WORDS)
      this.#rewriteEdge(first, start, end);
    if (last > first && end % CHUNK_WORDS !== 0) this.#rewriteEdge(last, start, end);
    const from = Math.ceil(start / CHUNK_WORDS);
    const to = Math.floor(end / CHUNK_WORDS);
    if (from >= to) return;
    this.#chunk = -1;
    this.#chunks.removeRange(from, to);
  }

  #rewriteEdge(chunk: number, start: number, end: number): void {
    if (!this.#find(chunk)) return;
    const first = chunk * CHUNK_WORDS;
    const from = Math.max(start, first);
    const to = Math.min(end, first + CHUNK_WORDS);
    for (let i = from; i < to; i++) this.#words[this.#at + i - first] = this.#runs.word(i);
  }
}
