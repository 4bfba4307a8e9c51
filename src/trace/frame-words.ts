/**
 * A 32-bit word per frame of a machine whose size nobody has said: 0 until it is set.
 * Chunks of 65,536 frames are made when one of them is first written.
 */
const CHUNK_SHIFT = 16;
const CHUNK = 1 << CHUNK_SHIFT;

export class FrameWords {
  readonly #chunks: (Int32Array | undefined)[] = [];

  /** The word of a frame, signed. */
  at(pfn: number): number {
    const chunk = this.#chunks[pfn >>> CHUNK_SHIFT];
    return chunk === undefined ? 0 : chunk[pfn & (CHUNK - 1)];
  }

  set(pfn: number, word: number): void {
    const i = pfn >>> CHUNK_SHIFT;
    while (this.#chunks.length <= i) this.#chunks.push(undefined);
    const chunk = (this.#chunks[i] ??= new Int32Array(CHUNK));
    chunk[pfn & (CHUNK - 1)] = word;
  }

  /** Every word that is not 0, in order of frames. */
  forEach(visit: (pfn: number, word: number) => void): void {
    for (const [i, chunk] of this.#chunks.entries()) {
      if (chunk === undefined) continue;
      for (let j = 0; j < CHUNK; j++) if (chunk[j] !== 0) visit(i * CHUNK + j, chunk[j]);
    }
  }
}
