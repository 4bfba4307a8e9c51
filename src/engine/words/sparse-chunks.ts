/**
 * The overlay of sparse words: 64-byte chunks that were written singly, in
 * growing blocks, found through an open-addressing hash of chunk number to slot.
 *
 * Deleting shifts later entries back, so that probing never meets a gravestone.
 */

/** 32-bit words in a chunk: one cache line. */
export const CHUNK_WORDS = 16;
/** Slots in a block of 256 KiB. */
const BLOCK_BITS = 12;
const BLOCK_SLOTS = 1 << BLOCK_BITS;
const EMPTY = -1;
/** Chunks in a region of 256 KiB: how many of each region are held is counted, so that clearing skips the rest. */
const REGION_BITS = 12;

export class ChunkOverlay {
  /** Chunks held. */
  size = 0;
  #keys = new Int32Array(64).fill(EMPTY);
  #slots = new Int32Array(64);
  #mask = 63;
  readonly #blocks: Int32Array[] = [];
  /** Slots ever handed out, and those that came back. */
  #used = 0;
  readonly #free: number[] = [];
  #regions = new Uint16Array(64);

  bytesHeld(): number {
    const blocks = this.#blocks.length * BLOCK_SLOTS * CHUNK_WORDS * 4;
    return (
      blocks +
      this.#keys.byteLength +
      this.#slots.byteLength +
      this.#free.length * 8 +
      this.#regions.byteLength
    );
  }

  block(slot: number): Int32Array {
    return this.#blocks[slot >>> BLOCK_BITS];
  }

  offset(slot: number): number {
    return (slot & (BLOCK_SLOTS - 1)) * CHUNK_WORDS;
  }

  #home(chunk: number): number {
    const h = Math.imul(chunk, 0x9e3779b1);
    return (h ^ (h >>> 15)) & this.#mask;
  }

  /** Slot of a chunk; −1 where it is not held. */
  find(chunk: number): number {
    for (let i = this.#home(chunk); ; i = (i + 1) & this.#mask) {
      const key = this.#keys[i];
      if (key === chunk) return this.#slots[i];
      if (key === EMPTY) return -1;
    }
  }

  /** A slot for a chunk that is not held yet; its words are whatever they were. */
  insert(chunk: number): number {
    if ((this.size + 1) * 5 > (this.#mask + 1) * 3) this.#grow();
    const slot = this.#free.pop() ?? this.#used++;
    if (slot >>> BLOCK_BITS === this.#blocks.length)
      this.#blocks.push(new Int32Array(BLOCK_SLOTS * CHUNK_WORDS));
    this.#put(chunk, slot);
    this.size++;
    this.#count(chunk >>> REGION_BITS);
    return slot;
  }

  #count(region: number): void {
    if (region >= this.#regions.length) {
      const wider = new Uint16Array(Math.max(region + 1, this.#regions.length * 2));
      wider.set(this.#regions);
      this.#regions = wider;
    }
    this.#regions[region]++;
  }

  #put(chunk: number, slot: number): void {
    let i = this.#home(chunk);
    while (this.#keys[i] !== EMPTY) i = (i + 1) & this.#mask;
    this.#keys[i] = chunk;
    this.#slots[i] = slot;
  }

  #grow(): void {
    const keys = this.#keys;
    const slots = this.#slots;
    this.#mask = this.#mask * 2 + 1;
    this.#keys = new Int32Array(this.#mask + 1).fill(EMPTY);
    this.#slots = new Int32Array(this.#mask + 1);
    for (let i = 0; i < keys.length; i++) if (keys[i] !== EMPTY) this.#put(keys[i], slots[i]);
  }

  /** Forgets a chunk, if it is held. */
  remove(chunk: number): void {
    let hole = this.#home(chunk);
    while (this.#keys[hole] !== chunk) {
      if (this.#keys[hole] === EMPTY) return;
      hole = (hole + 1) & this.#mask;
    }
    this.#free.push(this.#slots[hole]);
    this.size--;
    this.#regions[chunk >>> REGION_BITS]--;
    for (let i = (hole + 1) & this.#mask; this.#keys[i] !== EMPTY; i = (i + 1) & this.#mask) {
      // An entry moves into the hole unless its home lies behind it.
      const home = this.#home(this.#keys[i]);
      if (((i - home) & this.#mask) < ((i - hole) & this.#mask)) continue;
      this.#keys[hole] = this.#keys[i];
      this.#slots[hole] = this.#slots[i];
      hole = i;
    }
    this.#keys[hole] = EMPTY;
  }

  /** Forgets every chunk from `from` up to but without `to`. */
  removeRange(from: number, to: number): void {
    const last = Math.min((to - 1) >>> REGION_BITS, this.#regions.length - 1);
    for (let region = from >>> REGION_BITS; region <= last; region++) {
      const first = region << REGION_BITS;
      const end = Math.min(to, first + (1 << REGION_BITS));
      for (let chunk = Math.max(from, first); chunk < end && this.#regions[region] > 0; chunk++)
        this.remove(chunk);
    }
  }
}
