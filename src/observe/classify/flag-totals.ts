/**
 * Pages by flag word, as the kernel's own tool `page-types` counts them.
 *
 * `raw` is its option -r: overloaded bits get names of their own (47 and up,
 * which exist only in the tool). Otherwise the bits meant for kernel hackers
 * (32–47) are left out, and compound marks of all but hugetlb pages. The rules
 * are those of tools/mm/page-types.c (Linux 6.12), so that totals agree to the
 * page with what it prints for the same file.
 */
import { BIT_NAMES, hasBit, high, KPF, low } from "../kpageflags.js";
import type { Snapshot } from "../snapshot.js";

/** Bits that only page-types has, for overloaded ones. */
const DERIVED = { ANON_EXCLUSIVE: 47, READAHEAD: 48, SLUB_FROZEN: 50, SLUB_DEBUG: 51 } as const;
const DERIVED_NAMES: Readonly<Record<number, string>> = {
  [DERIVED.ANON_EXCLUSIVE]: "anon_exclusive",
  [DERIVED.READAHEAD]: "readahead",
  [DERIVED.SLUB_FROZEN]: "slub_frozen",
  [DERIVED.SLUB_DEBUG]: "slub_debug",
};

/** Pages that have one (expanded or reduced) flag word. */
export interface FlagTotal {
  readonly lo: number;
  readonly hi: number;
  readonly pages: number;
  /** Names of its bits, ascending. */
  readonly names: readonly string[];
}

/** Totals in ascending order of the word. */
export function flagTotals(snapshot: Snapshot, options: { readonly raw: boolean }): FlagTotal[] {
  const { flagWords, runs } = snapshot;
  const pages = new Float64Array(flagWords.length);
  for (let i = 0; i < runs.length; i++) pages[runs.flags[i]] += runs.start[i + 1] - runs.start[i];
  const totals = new Map<string, { lo: number; hi: number; pages: number }>();
  for (let w = 0; w < flagWords.length; w++) {
    const word = { lo: flagWords.lo[w], hi: flagWords.hi[w] };
    const { lo, hi } = options.raw ? expanded(word) : wellKnown(word);
    const key = `${hi}:${lo}`;
    const total = totals.get(key);
    if (total) total.pages += pages[w];
    else if (pages[w] > 0) totals.set(key, { lo, hi, pages: pages[w] });
  }
  return [...totals.values()]
    .sort((a, b) => a.hi - b.hi || a.lo - b.lo)
    .map((t) => ({ ...t, names: namesOf(t.lo, t.hi) }));
}

interface Word {
  readonly lo: number;
  readonly hi: number;
}

/** The word as page-types -r shows it. */
function expanded(word: Word): Word {
  let { lo, hi } = word;
  const both = (bit: number, more: number): boolean => hasBit(lo, hi, bit) && hasBit(lo, hi, more);
  if (both(KPF.ANON, KPF.OWNER_2)) hi = swap(hi, high(KPF.OWNER_2), high(DERIVED.ANON_EXCLUSIVE));
  if (both(KPF.SLAB, KPF.ACTIVE)) {
    lo = (lo & ~low(KPF.ACTIVE)) >>> 0;
    hi = (hi ^ high(DERIVED.SLUB_FROZEN)) >>> 0;
  }
  if (both(KPF.SLAB, KPF.ERROR)) {
    lo = (lo & ~low(KPF.ERROR)) >>> 0;
    hi = (hi ^ high(DERIVED.SLUB_DEBUG)) >>> 0;
  }
  if (hasBit(lo, hi, KPF.RECLAIM) && !hasBit(lo, hi, KPF.WRITEBACK)) {
    lo = (lo & ~low(KPF.RECLAIM)) >>> 0;
    hi = (hi ^ high(DERIVED.READAHEAD)) >>> 0;
  }
  return { lo, hi };
}

/** Both bits change, as the tool's exclusive or does. */
const swap = (half: number, a: number, b: number): number => (half ^ (a | b)) >>> 0;

const COMPOUND = (low(KPF.COMPOUND_HEAD) | low(KPF.COMPOUND_TAIL)) >>> 0;

/** The word as page-types shows it without -r. */
function wellKnown(word: Word): Word {
  const hugetlb = (word.lo & low(KPF.HUGE)) !== 0;
  return { lo: hugetlb ? word.lo : (word.lo & ~COMPOUND) >>> 0, hi: (word.hi & 0xffff0000) >>> 0 };
}

function namesOf(lo: number, hi: number): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (hasBit(lo, hi, bit)) names.push(BIT_NAMES[bit] ?? DERIVED_NAMES[bit] ?? `bit ${bit}`);
  }
  return names;
}
