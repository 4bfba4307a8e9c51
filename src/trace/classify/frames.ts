/**
 * The frames of the traced machine: which are allocated, as part of what, and how
 * that is known.
 *
 * One word per frame: 0 for a frame that nobody is known to hold and for the frames
 * of a block behind its first; for the first one the block's order, kind, rule and
 * where it came from.
 *
 * A free names a frame and an order; the block that it means is found under it (the
 * same block, a larger one that was split, several smaller ones). Source of what can
 * happen: trace-facts, rule 3; mm/page_alloc.c (split_page, free_the_page).
 */
import type { KindId } from "../../observe/kinds.js";
import { FrameWords } from "../frame-words.js";
import { kindOfAnswer } from "./kinds.js";

/** Frames that a machine can have: 8 TiB of 4 KiB pages, as the engine's. */
export const FRAMES_MAX = 2 ** 31;
/** Largest order of an allocation: MAX_PAGE_ORDER. */
export const ORDER_MAX = 10;

const USED = 1;
const ORDER_SHIFT = 1;
const ANSWER_SHIFT = 6;
const TRACED = 1 << 30;

/** A block's word: its order, what it is by which rule, whether the trace allocated it. */
export const blockWord = (order: number, answer: number, traced: boolean): number =>
  USED | (order << ORDER_SHIFT) | (answer << ANSWER_SHIFT) | (traced ? TRACED : 0);
export const orderOfBlock = (word: number): number => (word >> ORDER_SHIFT) & 31;
export const answerOfBlock = (word: number): number => (word & ~TRACED) >> ANSWER_SHIFT;
export const kindOfBlock = (word: number): KindId => kindOfAnswer(answerOfBlock(word));
export const isTraced = (word: number): boolean => (word & TRACED) !== 0;

/** The word of a frame is 0 where it begins no block. */
export class Frames extends FrameWords {
  /** First frame of the block that a frame belongs to; −1 for none. */
  headOf(pfn: number): number {
    if (this.at(pfn) !== 0) return pfn;
    for (let order = 1; order <= ORDER_MAX; order++) {
      const head = pfn - (pfn & ((1 << order) - 1));
      const word = this.at(head);
      if (word !== 0) return pfn < head + (1 << orderOfBlock(word)) ? head : -1;
    }
    return -1;
  }
}
