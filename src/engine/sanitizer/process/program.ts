/**
 * Random programs: every step is one 32-bit number, from which all that the step
 * needs is drawn. A program is a list of numbers, so that it can be repeated from
 * a seed and a failing one shrunk by leaving steps out.
 */

/** Draws from one number. */
export class Draw {
  #x: number;

  constructor(n: number) {
    this.#x = Math.imul(n ^ 0x9e3779b9, 0x85ebca6b) | 1;
    this.next();
  }

  next(): number {
    let x = this.#x;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#x = x;
    return x >>> 0;
  }

  /** 0 … below − 1 */
  below(n: number): number {
    return Math.floor((this.next() / 2 ** 32) * n);
  }

  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }

  /** Bytes that are not zero, mostly. */
  bytes(n: number): Uint8Array {
    return Uint8Array.from({ length: n }, () => this.next() >>> 24);
  }
}

/** xorshift32: a whole run of steps follows from its seed. */
export function* numbers(seed: number): Generator<number> {
  let x = seed | 0 || 1;
  for (;;) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    yield x >>> 0;
  }
}
