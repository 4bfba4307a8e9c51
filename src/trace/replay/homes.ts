/**
 * Where the blocks of the traced machine are in the simulated one: a frame there for
 * the first frame of each block here.
 *
 * What the machine was populated with lies at its own frames, so a frame that was
 * never named since is its own home.
 */
import { FrameWords } from "../frame-words.js";

/** Nothing is there: freed, or its allocation was refused. */
const NOWHERE = -1;

export class Homes {
  /** Whether frames that were never named hold what they held in the snapshot. */
  readonly #populated: boolean;
  /** Frame + 1; 0: never named; −1: nowhere. */
  readonly #words = new FrameWords();

  constructor(populated: boolean) {
    this.#populated = populated;
  }

  /** Frame of the block that begins at a frame of the traced machine; −1 for none. */
  at(pfn: number): number {
    const home = this.#words.at(pfn);
    if (home > 0) return home - 1;
    return home === 0 && this.#populated ? pfn : NOWHERE;
  }

  /** The block is there now; −1 for nowhere. */
  set(pfn: number, at: number): void {
    this.#words.set(pfn, at < 0 ? NOWHERE : at + 1);
  }

  /** The same as `at`; nothing is there afterwards. */
  take(pfn: number): number {
    const at = this.at(pfn);
    this.set(pfn, NOWHERE);
    return at;
  }
}
