/**
 * Where the blocks of the traced machine are in the simulated one: a frame there for
 * the first frame of each block here.
 *
 * What the machine was populated with lies at its own frames, so a frame that was
 * never named since is its own home. Chunks are made when a frame in them is named.
 */
const CHUNK_SHIFT = 16;
const CHUNK = 1 << CHUNK_SHIFT;
/** Nothing is there: freed, or its allocation was refused. */
const NOWHERE = -1;

export class Homes {
  /** Whether frames that were never named hold what they held in the snapshot. */
  readonly #populated: boolean;
  /** Frame + 1; 0: never named; −1: nowhere. */
  readonly #chunks: (Int32Array | undefined)[] = [];

  constructor(populated: boolean) {
    this.#populated = populated;
  }

  /** Frame of the block that begins at a frame of the traced machine; −1 for none. */
  at(pfn: number): number {
    const home = this.#chunks[pfn >>> CHUNK_SHIFT]?.[pfn & (CHUNK - 1)] ?? 0;
    if (home > 0) return home - 1;
    return home === 0 && this.#populated ? pfn : NOWHERE;
  }

  /** The block is there now; −1 for nowhere. */
  set(pfn: number, at: number): void {
    const i = pfn >>> CHUNK_SHIFT;
    while (this.#chunks.length <= i) this.#chunks.push(undefined);
    const chunk = (this.#chunks[i] ??= new Int32Array(CHUNK));
    chunk[pfn & (CHUNK - 1)] = at < 0 ? NOWHERE : at + 1;
  }

  /** The same as `at`; nothing is there afterwards. */
  take(pfn: number): number {
    const at = this.at(pfn);
    this.set(pfn, NOWHERE);
    return at;
  }
}
