/** xorshift32: the same seed gives the same numbers, 1 … 2^32 − 1. */
export class Random {
  #x: number;

  constructor(seed: number) {
    this.#x = seed | 0 || 1;
  }

  /** A whole number from 0 up to but without `n`. */
  below(n: number): number {
    let x = this.#x;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#x = x;
    return (x >>> 0) % n;
  }
}
