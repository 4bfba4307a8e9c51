/**
 * Which offsets of a page map are in use: the allocators that drivers bring.
 *
 * A page map says what its pages are and takes them into service one request at a
 * time; which offset is asked for next is the driver's own business, for nobody may
 * learn it from a page that is idle ("you can bring your own allocator for what
 * offsets are in or out of service in pgmap space", Dan Williams, seed 001). Here is
 * one file per way that drivers have of keeping account:
 *
 * | file | whose | where the account lies |
 * | --- | --- | --- |
 * | `bitmap.ts` | uvmem of KVM on POWER | a bit per page |
 * | `gen-pool.ts` | what seed 001 suggests | a bit per page, in chunks |
 * | `buddy.ts` | xe, amdgpu | a tree of blocks, those that are free sorted |
 * | `ttm-ranges.ts` | TTM's range manager | a list of ranges and of the holes between them |
 * | `outside-list.ts` | what the next one must become | links in an array |
 * | `in-page-list.ts` | test_hmm, nouveau, as they are | links in the idle pages themselves |
 *
 * All of them keep three rules. A block is naturally aligned and never overlaps
 * another that is out. Running out is a negative errno and changes nothing. A block
 * that comes back must be one that is out, at its order: anything else is a driver's
 * mistake and a RangeError that says whose, which offset and why (the kernel would
 * corrupt its account or hit a BUG). `ledger.ts` holds that last rule for all, from a
 * record that no kernel keeps and that no figure here counts.
 *
 * An account is the driver's private memory and no word of the machine, except that
 * of the in-page list, whose links go through a callback. It is a plain record in
 * typed arrays, `state`: a structuredClone of it, handed to the constructor, goes on
 * from there.
 *
 * Source: device-facts §1.3, §1.4, §6; each file names its own.
 */
import { ERRNO } from "../../errors.js";

/** Keeps account of the offsets of one page map. */
export interface OffsetAllocator {
  /** `bitmap`, `gen-pool`, `buddy`, `ttm-ranges`, `outside-list`, `in-page-list`. */
  readonly name: string;
  /** Pages of the page map: offsets are 0 … pages − 1. */
  readonly pages: number;
  /** Pages that are free. */
  readonly freePages: number;
  /**
   * Host bytes that the account takes as the kernel's own structures would: their
   * sizes, as they are asked for (no rounding by kmalloc). What grows with the
   * allocations is counted as it stands now.
   */
  readonly bookkeepingBytes: number;
  /** Everything it knows, as a plain record. */
  readonly state: object;

  /** First offset of 2^order pages, aligned to them; −ENOSPC. Throws RangeError for what is no order. */
  alloc(order: number): number;
  /** Gives back what `alloc` gave. Throws RangeError for anything else. */
  free(offset: number, order: number): void;
  /**
   * The owner has split a block that is out (folio_split): from now on its parts, of
   * 2^into pages each, are what comes back. Throws RangeError where no such block is
   * out, or where the allocator has no place for parts of that size.
   */
  split(offset: number, order: number, into: number): void;
}

/** No block of that order is free. */
export const NO_SPACE = -ERRNO.ENOSPC;
/** Pages of a page map at most: 4 TiB, so that offsets and their sums are small integers. */
export const PAGES_MAX = 2 ** 30;
