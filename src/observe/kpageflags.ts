/**
 * The bits of /proc/kpageflags, by number and by name.
 *
 * 0–26 are the stable interface (include/uapi/linux/kernel-page-flags.h),
 * 32–42 the kernel-hacking range (include/linux/kernel-page-flags.h). Names are
 * those that `page-types` prints. Facts: memdesc-facts §7.1. A bit that is not
 * in this table is reported by number and never fatal.
 */

export const KPF = {
  LOCKED: 0,
  ERROR: 1,
  REFERENCED: 2,
  UPTODATE: 3,
  DIRTY: 4,
  LRU: 5,
  ACTIVE: 6,
  SLAB: 7,
  WRITEBACK: 8,
  RECLAIM: 9,
  BUDDY: 10,
  MMAP: 11,
  ANON: 12,
  SWAPCACHE: 13,
  SWAPBACKED: 14,
  COMPOUND_HEAD: 15,
  COMPOUND_TAIL: 16,
  HUGE: 17,
  UNEVICTABLE: 18,
  HWPOISON: 19,
  NOPAGE: 20,
  KSM: 21,
  THP: 22,
  OFFLINE: 23,
  ZERO_PAGE: 24,
  IDLE: 25,
  PGTABLE: 26,
  RESERVED: 32,
  MLOCKED: 33,
  OWNER_2: 34,
  PRIVATE: 35,
  PRIVATE_2: 36,
  OWNER_PRIVATE: 37,
  ARCH: 38,
  UNCACHED: 39,
  SOFTDIRTY: 40,
  ARCH_2: 41,
  ARCH_3: 42,
} as const;

export type KpfName = keyof typeof KPF;

const NAMES: Readonly<Record<KpfName, string>> = {
  LOCKED: "locked",
  ERROR: "error",
  REFERENCED: "referenced",
  UPTODATE: "uptodate",
  DIRTY: "dirty",
  LRU: "lru",
  ACTIVE: "active",
  SLAB: "slab",
  WRITEBACK: "writeback",
  RECLAIM: "reclaim",
  BUDDY: "buddy",
  MMAP: "mmap",
  ANON: "anonymous",
  SWAPCACHE: "swapcache",
  SWAPBACKED: "swapbacked",
  COMPOUND_HEAD: "compound_head",
  COMPOUND_TAIL: "compound_tail",
  HUGE: "huge",
  UNEVICTABLE: "unevictable",
  HWPOISON: "hwpoison",
  NOPAGE: "nopage",
  KSM: "ksm",
  THP: "thp",
  OFFLINE: "offline",
  ZERO_PAGE: "zero_page",
  IDLE: "idle_page",
  PGTABLE: "pgtable",
  RESERVED: "reserved",
  MLOCKED: "mlocked",
  OWNER_2: "owner_2",
  PRIVATE: "private",
  PRIVATE_2: "private_2",
  OWNER_PRIVATE: "owner_private",
  ARCH: "arch",
  UNCACHED: "uncached",
  SOFTDIRTY: "softdirty",
  ARCH_2: "arch_2",
  ARCH_3: "arch_3",
};

/** Name of each of the 64 bits; null for a bit that no known kernel sets. */
export const BIT_NAMES: readonly (string | null)[] = (() => {
  const names: (string | null)[] = Array.from({ length: 64 }, () => null);
  for (const key of Object.keys(KPF) as KpfName[]) names[KPF[key]] = NAMES[key];
  return names;
})();

/** Mask of a bit below 32, in the low half of the word. */
export const low = (bit: number): number => (1 << bit) >>> 0;
/** Mask of a bit from 32 on, in the high half of the word. */
export const high = (bit: number): number => (1 << (bit - 32)) >>> 0;

/** True where bit `bit` is set in the word (lo, hi). */
export function hasBit(lo: number, hi: number, bit: number): boolean {
  return bit < 32 ? ((lo >>> bit) & 1) !== 0 : ((hi >>> (bit - 32)) & 1) !== 0;
}

/** Names of the set bits in ascending order; an unknown bit is `bit N`. */
export function flagNames(lo: number, hi: number): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (hasBit(lo, hi, bit)) names.push(BIT_NAMES[bit] ?? `bit ${bit}`);
  }
  return names;
}
