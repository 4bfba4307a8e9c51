/**
 * A covering array: few designs in which every two values of two axes that go
 * together in some design do go together.
 *
 * Greedy and deterministic: again and again the combination that has most pairs
 * which are in none so far, the first one of equals. Most faults of a design need
 * one or two of its choices to show (Kuhn, Wallace, Gallo 2004), so these find
 * what the full product would, for a small part of its time.
 */
import type { Combination } from "./axes.js";

/** Numbers of the pairs of values in each combination, as `(i, j, value, value)` come up. */
function numberPairs(legal: readonly Combination[]): {
  readonly pairs: number;
  readonly of: readonly Int32Array[];
} {
  const numbers = new Map<string, number>();
  const of = legal.map(({ values }) => {
    const mine: number[] = [];
    for (let i = 0; i < values.length; i++)
      for (let j = i + 1; j < values.length; j++) {
        const key = `${i} ${values[i]} ${j} ${values[j]}`;
        let number = numbers.get(key);
        if (number === undefined) numbers.set(key, (number = numbers.size));
        mine.push(number);
      }
    return Int32Array.from(mine);
  });
  return { pairs: numbers.size, of };
}

/** Pairs of values of two axes that are in some of the combinations. */
export const countPairs = (legal: readonly Combination[]): number => numberPairs(legal).pairs;

/** Combinations out of `legal` that have every pair of values which any of them has. */
export function coveringArray(legal: readonly Combination[]): Combination[] {
  const { pairs, of } = numberPairs(legal);
  const covered = new Uint8Array(pairs);
  const fresh = (mine: Int32Array): number => {
    let n = 0;
    for (const pair of mine) n += 1 - covered[pair];
    return n;
  };
  // What a combination adds never grows: it is counted anew only where it may be the best.
  const most = of.map(fresh);
  const chosen: Combination[] = [];
  for (let left = pairs; left > 0;) {
    let best = -1;
    let gain = 0;
    for (let i = 0; i < of.length; i++) {
      if (most[i] <= gain) continue;
      most[i] = fresh(of[i]);
      if (most[i] > gain) [best, gain] = [i, most[i]];
    }
    for (const pair of of[best]) covered[pair] = 1;
    left -= gain;
    chosen.push(legal[best]);
  }
  return chosen;
}
