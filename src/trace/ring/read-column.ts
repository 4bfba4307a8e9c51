/**
 * One field of an event as the number that its column holds.
 *
 * 64 bits become a double by halves: frames, pages of addresses and sizes are below
 * 2^53 and exact, and no bigint is made on the way.
 *
 * Facts: include/trace/events/kmem.h (mm_page_alloc: −1UL where there was no page);
 * arch/x86/include/asm/pgtable_64.h and pgtable-invert.h, include/linux/swapops.h
 * (SWP_PFN_BITS, swp_offset_pfn()) for page-table entries.
 */
import {
  READ_I16,
  READ_I32,
  READ_I64,
  READ_I8,
  READ_NONE,
  READ_PAGE,
  READ_PAGES,
  READ_PFN,
  READ_PFN_32,
  READ_PTE,
  READ_U16,
  READ_U32,
  READ_U64,
  READ_U8,
} from "./decode-table.js";

/** The column `x` of an event: −1 for none. */
export function readLarge(words: Int32Array, bytes: Uint8Array, at: number, how: number): number {
  if (how === READ_NONE) return -1;
  if (how < READ_U32) return readSmall(words, bytes, at, how);
  const low = words[at >> 2];
  if (how === READ_U32) return low >>> 0;
  if (how === READ_I32) return low;
  if (how === READ_PFN_32) return low === -1 ? -1 : low >>> 0;
  const high = words[(at >> 2) + 1];
  if (how === READ_PFN && low === -1 && high === -1) return -1;
  return how === READ_I64 ? (low >>> 0) + high * 2 ** 32 : ofLong(low, high, how);
}

/** A small column: the low 32 bits of what it is. */
export function readSmall(words: Int32Array, bytes: Uint8Array, at: number, how: number): number {
  switch (how) {
    case READ_NONE:
      return 0;
    case READ_U32:
    case READ_I32:
    case READ_U64:
    case READ_I64:
      return words[at >> 2];
    case READ_U8:
      return bytes[at];
    case READ_I8:
      return (bytes[at] << 24) >> 24;
    case READ_U16:
      return bytes[at] | (bytes[at + 1] << 8);
    case READ_I16:
      return ((bytes[at] | (bytes[at + 1] << 8)) << 16) >> 16;
    default:
      return ofLong(words[at >> 2], words[(at >> 2) + 1], how) | 0;
  }
}

function ofLong(low: number, high: number, how: number): number {
  switch (how) {
    case READ_PAGE:
      return (low >>> 12) + (high >>> 0) * 2 ** 20;
    case READ_PAGES:
      return Math.ceil(((low >>> 0) + (high >>> 0) * 2 ** 32) / 4096);
    case READ_PTE:
      return frameOfPte(low, high);
    default:
      return (low >>> 0) + (high >>> 0) * 2 ** 32;
  }
}

/**
 * The frame in a page-table entry of x86-64; −1 for an entry of nothing.
 *
 * Present (bit 0): bits 12 … 51. PROT_NONE (bit 8 without bit 0): the same bits,
 * inverted against L1TF. Else a swap entry, as migration leaves them: type in bits
 * 59 … 63, the offset inverted in 9 … 58. Its low bits are the frame: 34 of them,
 * above which 6.1 and later keep marks of young and dirty. (With five levels of page
 * tables the frame has 40 and the marks are above those; 34 bits are 64 TiB.)
 */
export function frameOfPte(low: number, high: number): number {
  if ((low & 1) !== 0) return (low >>> 12) + (high & 0xf_ffff) * 2 ** 20;
  if (low === 0 && high === 0) return -1;
  if ((low & 0x100) !== 0) return (~low >>> 12) + (~high & 0xf_ffff) * 2 ** 20;
  return (~low >>> 9) + (~high & 0x7ff) * 2 ** 23;
}
