/**
 * What a word of /proc/kpageflags says that a frame is, as far as one word can say
 * it: for frames that were looked at while recording, and for comparing.
 *
 * Facts: memdesc-facts §7; false anon and ksm bits on slabs (fixtures).
 */
import { kindId, type KindId } from "../../observe/kinds.js";
import { hasBit, KPF } from "../../observe/kpageflags.js";
import { ANON, FILE, KERNEL, PAGE_TABLE, SHMEM, SLAB } from "./kinds.js";

const HUGETLB = kindId("hugetlb");

/** Kind of a frame; null for one that is free, a tail (which its head speaks for), or no page. */
export function kindOfFlags(lo: number, hi: number): KindId | null {
  const has = (bit: number): boolean => hasBit(lo, hi, bit);
  if (has(KPF.BUDDY) || has(KPF.NOPAGE) || has(KPF.RESERVED)) return null;
  if (has(KPF.SLAB)) return SLAB;
  if (has(KPF.PGTABLE)) return PAGE_TABLE;
  if (has(KPF.HUGE)) return HUGETLB;
  if (has(KPF.ANON)) return ANON;
  if (has(KPF.LRU) || has(KPF.UNEVICTABLE) || has(KPF.MMAP))
    return has(KPF.SWAPBACKED) ? SHMEM : FILE;
  // Shared memory that waits for its LRU list.
  return has(KPF.SWAPBACKED) ? SHMEM : KERNEL;
}
