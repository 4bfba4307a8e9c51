/**
 * Words that also add up what is added to chosen words.
 *
 * A cache of descriptors counts its objects in one word, and every path that
 * takes or gives back an object adds to it there. Watching that word says how
 * many came and how many went, where the difference of two readings would hide
 * what was allocated and freed in one step.
 */
import type { Ref } from "../units.js";
import { ThreadedWords } from "./threaded-words.js";

/** What was added to a word, and what was taken from it, since it is watched. */
export interface Tally {
  up: number;
  down: number;
}

export class WatchedWords extends ThreadedWords {
  readonly #watched = new Map<number, Tally>();

  /** From now on adds up what `add32` changes of the word at (ref, off). */
  watch(ref: Ref, off: number): Tally {
    const tally: Tally = { up: 0, down: 0 };
    this.#watched.set(ref * 16 + off, tally);
    return tally;
  }

  override add32(ref: Ref, off: number, delta: number): number {
    const tally = this.#watched.get(ref * 16 + off);
    if (tally !== undefined && !this.replays) {
      if (delta > 0) tally.up += delta;
      else tally.down -= delta;
    }
    return super.add32(ref, off, delta);
  }
}
