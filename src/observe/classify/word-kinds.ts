/**
 * The kind of a page by its flag word, decided once per distinct word.
 *
 * The order of the tests is the kernel's logic read backwards (fs/proc/page.c;
 * memdesc-facts §7.2–7.4): the word "mapping" of a slab page is something else
 * and gives false anon and ksm bits, so slab is asked before them; the huge
 * zero page is a THP, the zero page is reserved, so zero is asked before both.
 * What no flag tells apart is `kernel`.
 */
import { KPF, low, high } from "../kpageflags.js";
import { type Kind, kindId } from "../kinds.js";
import type { Snapshot } from "../snapshot.js";

/** What a word says about compound pages. */
export const PLAIN = 0;
export const HEAD = 1;
export const TAIL = 2;

export interface WordTable {
  /** KindId by word. */
  readonly kind: Uint8Array;
  /** {@link PLAIN}, {@link HEAD} or {@link TAIL} by word. */
  readonly shape: Uint8Array;
  /** The kernel sets the KSM bit on every anonymous page. */
  readonly ksmUnknown: boolean;
  /** Whether a tail shows what its head shows, as since Linux 6.10. */
  tailFits(headWord: number, tailWord: number): boolean;
}

const at = (bit: number): number => low(bit);
const ANON_KSM = (at(KPF.ANON) | at(KPF.KSM)) >>> 0;
/** Any of these without anon: page cache, or a page that was in it. */
const CACHE =
  (at(KPF.LRU) |
    at(KPF.UPTODATE) |
    at(KPF.DIRTY) |
    at(KPF.WRITEBACK) |
    at(KPF.SWAPBACKED) |
    at(KPF.SWAPCACHE) |
    at(KPF.ACTIVE) |
    at(KPF.UNEVICTABLE)) >>>
  0;
const HIGH_RESERVED = high(KPF.RESERVED);

/** Bits that fs/proc/page.c takes from the page itself, not from its folio. */
const OWN_BITS =
  (at(KPF.HWPOISON) |
    at(KPF.BUDDY) |
    at(KPF.OFFLINE) |
    at(KPF.PGTABLE) |
    at(KPF.MMAP) |
    at(KPF.COMPOUND_HEAD) |
    at(KPF.COMPOUND_TAIL)) >>>
  0;

/** The kind of a word; ksm words count as anon where `ksmUnknown`. */
export function kindOfWord(lo: number, hi: number, ksmUnknown: boolean): Kind {
  const has = (bit: number): boolean => (lo & at(bit)) !== 0;
  const compound = (lo & (at(KPF.COMPOUND_HEAD) | at(KPF.COMPOUND_TAIL))) !== 0;
  if (has(KPF.NOPAGE)) return "absent";
  // A poisoned page inside a folio stays part of its folio.
  if (has(KPF.HWPOISON) && !compound) return "hwpoison";
  if (has(KPF.SLAB)) return "slab";
  if (has(KPF.PGTABLE)) return "page-table";
  if (has(KPF.BUDDY)) return "free";
  if (has(KPF.OFFLINE)) return "offline";
  if (has(KPF.HUGE)) return "hugetlb";
  if (has(KPF.ZERO_PAGE)) return "zero";
  if ((hi & HIGH_RESERVED) !== 0) return "reserved";
  if (has(KPF.ANON)) return has(KPF.KSM) && !ksmUnknown ? "ksm" : "anon";
  if ((lo & CACHE) !== 0) return has(KPF.SWAPBACKED) ? "shmem" : "file";
  return "kernel";
}

export function wordTable(snapshot: Snapshot): WordTable {
  const { flagWords } = snapshot;
  const ksmUnknown = ksmOnEveryAnon(snapshot);
  const kind = new Uint8Array(flagWords.length);
  const shape = new Uint8Array(flagWords.length);
  for (let i = 0; i < flagWords.length; i++) {
    const lo = flagWords.lo[i];
    kind[i] = kindId(kindOfWord(lo, flagWords.hi[i], ksmUnknown));
    shape[i] =
      (lo & at(KPF.COMPOUND_HEAD)) !== 0 ? HEAD : (lo & at(KPF.COMPOUND_TAIL)) !== 0 ? TAIL : PLAIN;
  }
  return {
    kind,
    shape,
    ksmUnknown,
    tailFits: (head, tail) =>
      flagWords.hi[head] === flagWords.hi[tail] &&
      ((flagWords.lo[head] ^ flagWords.lo[tail]) & ~OWN_BITS) === 0,
  };
}

/** Anonymous pages a snapshot must have before "all of them" means something. */
const HANDFUL = 64;

/**
 * Linux 6.12 sets KSM on every anonymous page (its mask for the mapping's low
 * bits is not tested for both bits). Told from the data: every anon page that
 * is no slab has the bit, there is more than a handful, and among them are
 * large folios or hugetlb pages, which KSM never shares.
 */
function ksmOnEveryAnon(snapshot: Snapshot): boolean {
  const { flagWords, runs } = snapshot;
  let all = 0;
  let large = 0;
  for (let i = 0; i < runs.length; i++) {
    const lo = flagWords.lo[runs.flags[i]];
    if ((lo & (at(KPF.ANON) | at(KPF.SLAB))) >>> 0 !== at(KPF.ANON)) continue;
    if ((lo & ANON_KSM) >>> 0 !== ANON_KSM) return false;
    const n = runs.start[i + 1] - runs.start[i];
    all += n;
    if ((lo & (at(KPF.THP) | at(KPF.HUGE))) !== 0) large += n;
  }
  return all >= HANDFUL && large > 0;
}
