/**
 * Locks as words: spin locks, read-write semaphores, bits to wait for.
 *
 * Whoever cannot have a lock sleeps until its word changes and tries again, so
 * the same code blocks and wakes where threads interleave and costs one compare
 * and exchange where only one runs. No fairness (simplified: the kernel's queued
 * locks hand over in order).
 */
import type { Ref } from "../../units.js";
import type { Words } from "../words/words.js";

export function spinLock(w: Words, ref: Ref, off: number): void {
  while (!w.cas32(ref, off, 0, 1)) w.await32(ref, off, 0);
}

export function spinUnlock(w: Words, ref: Ref, off: number): void {
  w.store32(ref, off, 0);
}

/** down_read: 0 is free, n > 0 readers, −1 a writer. */
export function downRead(w: Words, ref: Ref, off: number): void {
  for (;;) {
    const n = w.load32(ref, off);
    if (n < 0) w.awaitChange32(ref, off, n);
    else if (w.cas32(ref, off, n, n + 1)) return;
  }
}

export function upRead(w: Words, ref: Ref, off: number): void {
  w.add32(ref, off, -1);
}

export function downWrite(w: Words, ref: Ref, off: number): void {
  for (;;) {
    const n = w.load32(ref, off);
    if (n !== 0) w.awaitChange32(ref, off, n);
    else if (w.cas32(ref, off, 0, -1)) return;
  }
}

export function upWrite(w: Words, ref: Ref, off: number): void {
  w.store32(ref, off, 0);
}

/** Sets bits of a word that others may change at the same time; says what it was. */
export function setBits(w: Words, ref: Ref, off: number, mask: number): number {
  for (;;) {
    const was = w.load32(ref, off);
    if ((was & mask) === mask || w.cas32(ref, off, was, was | mask)) return was;
  }
}

export function clearBits(w: Words, ref: Ref, off: number, mask: number): number {
  for (;;) {
    const was = w.load32(ref, off);
    if ((was & mask) === 0 || w.cas32(ref, off, was, was & ~mask)) return was;
  }
}

/** Waits until none of the bits is set. */
export function waitBitsClear(w: Words, ref: Ref, off: number, mask: number): void {
  for (;;) {
    const is = w.load32(ref, off);
    if ((is & mask) === 0) return;
    w.awaitChange32(ref, off, is);
  }
}
