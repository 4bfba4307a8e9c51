/**
 * /proc/kpageflags bits ↔ PG_ flags: which bit of a page's flags word each bit
 * of the file is a copy of (kpf_copy_bit in fs/proc/page.c). Every other bit of
 * the file is derived from what the page is, or has no place in a 6.18 flags
 * word (ERROR, UNCACHED, SOFTDIRTY, and whatever a newer kernel adds).
 */
import {
  PG_ACTIVE,
  PG_ARCH_1,
  PG_ARCH_2,
  PG_ARCH_3,
  PG_DIRTY,
  PG_HWPOISON,
  PG_IDLE,
  PG_LOCKED,
  PG_LRU,
  PG_MLOCKED,
  PG_OWNER_2,
  PG_OWNER_PRIV_1,
  PG_PRIVATE,
  PG_PRIVATE_2,
  PG_RECLAIM,
  PG_REFERENCED,
  PG_RESERVED,
  PG_SWAPBACKED,
  PG_UNEVICTABLE,
  PG_UPTODATE,
  PG_WRITEBACK,
} from "../../engine/design/word/axis-flags.js";
import { KPF } from "../kpageflags.js";

const COPIED: readonly (readonly [bit: number, flag: number])[] = [
  [KPF.LOCKED, PG_LOCKED],
  [KPF.REFERENCED, PG_REFERENCED],
  [KPF.UPTODATE, PG_UPTODATE],
  [KPF.DIRTY, PG_DIRTY],
  [KPF.LRU, PG_LRU],
  [KPF.ACTIVE, PG_ACTIVE],
  [KPF.WRITEBACK, PG_WRITEBACK],
  [KPF.RECLAIM, PG_RECLAIM],
  [KPF.SWAPBACKED, PG_SWAPBACKED],
  [KPF.UNEVICTABLE, PG_UNEVICTABLE],
  [KPF.HWPOISON, PG_HWPOISON],
  [KPF.IDLE, PG_IDLE],
  [KPF.RESERVED, PG_RESERVED],
  [KPF.MLOCKED, PG_MLOCKED],
  [KPF.OWNER_2, PG_OWNER_2],
  [KPF.PRIVATE, PG_PRIVATE],
  [KPF.PRIVATE_2, PG_PRIVATE_2],
  [KPF.OWNER_PRIVATE, PG_OWNER_PRIV_1],
  [KPF.ARCH, PG_ARCH_1],
  [KPF.ARCH_2, PG_ARCH_2],
  [KPF.ARCH_3, PG_ARCH_3],
];

/** The bits of kpageflags that are copies of a flag, as two halves. */
export const COPIED_LOW = COPIED.reduce((mask, [bit]) => (bit < 32 ? mask | (1 << bit) : mask), 0);
export const COPIED_HIGH = COPIED.reduce(
  (mask, [bit]) => (bit < 32 ? mask : mask | (1 << (bit - 32))),
  0,
);

/** PG_ flags that a word of kpageflags shows. */
export function pageFlags(lo: number, hi: number): number {
  let flags = 0;
  for (const [bit, flag] of COPIED) {
    const set = bit < 32 ? (lo >>> bit) & 1 : (hi >>> (bit - 32)) & 1;
    if (set) flags |= flag;
  }
  return flags;
}

/** Low and high half of the copied bits, by PG_ flags; memoised by the caller where it is hot. */
export function copiedBits(flags: number): { lo: number; hi: number } {
  let lo = 0;
  let hi = 0;
  for (const [bit, flag] of COPIED) {
    if ((flags & flag) === 0) continue;
    if (bit < 32) lo |= 1 << bit;
    else hi |= 1 << (bit - 32);
  }
  // PageSwapCache: the owner's private bit on swap-backed memory.
  if ((flags & PG_OWNER_PRIV_1) !== 0 && (flags & PG_SWAPBACKED) !== 0) lo |= 1 << KPF.SWAPCACHE;
  return { lo, hi };
}
