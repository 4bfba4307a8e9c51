/**
 * What an interval notifier is told, and what it answers: the events of a change to
 * page tables, with the kernel's numbers.
 *
 * A driver's answer is code, so these are plain objects; all that is counted or
 * waited for is words (rule 1), in notifiers.ts.
 *
 * Source: include/linux/mmu_notifier.h of 6.18 (enum mmu_notifier_event, struct
 * mmu_notifier_range, struct mmu_interval_notifier_ops). Ranges are pages here.
 */
import type { Ref } from "../../../units.js";

/** munmap, or mremap away from there. */
export const MMU_NOTIFY_UNMAP = 0;
/** Entries are cleared for another reason: advice, a page replaced by another one, reclaim, migration. */
export const MMU_NOTIFY_CLEAR = 1;
/** The VMA's rights change, and with them those of all its entries. */
export const MMU_NOTIFY_PROTECTION_VMA = 2;
/** Entries change their rights one by one. */
export const MMU_NOTIFY_PROTECTION_PAGE = 3;
/** Soft-dirty accounting: entries are write-protected, nothing else. */
const MMU_NOTIFY_SOFT_DIRTY = 4;
/** The address space ends. */
export const MMU_NOTIFY_RELEASE = 5;
/** Pages move to or from a device; `owner` says whose move it is. */
export const MMU_NOTIFY_MIGRATE = 6;
/** Pages become one device's alone; `owner` says whose. */
export const MMU_NOTIFY_EXCLUSIVE = 7;

/** Names of the events, for who tells of them. */
export const NOTIFY_NAMES: Readonly<Record<number, string>> = {
  [MMU_NOTIFY_UNMAP]: "unmap",
  [MMU_NOTIFY_CLEAR]: "clear",
  [MMU_NOTIFY_PROTECTION_VMA]: "protection of the VMA",
  [MMU_NOTIFY_PROTECTION_PAGE]: "protection of pages",
  [MMU_NOTIFY_SOFT_DIRTY]: "soft dirty",
  [MMU_NOTIFY_RELEASE]: "release",
  [MMU_NOTIFY_MIGRATE]: "migrate",
  [MMU_NOTIFY_EXCLUSIVE]: "exclusive",
};

/** Pages of 64 bits of addresses: the end of a range that is everything (ULONG_MAX). */
export const ALL_PAGES = 2 ** 52;

/** struct mmu_notifier_range: what is about to change. */
export interface MmuNotifierRange {
  readonly mm: Ref;
  /** First page, and the page behind the last one. */
  readonly start: number;
  readonly end: number;
  /** One of MMU_NOTIFY_…. */
  readonly event: number;
  /** Who does it, for MMU_NOTIFY_MIGRATE and _EXCLUSIVE; 0 for nobody in particular. */
  readonly owner: number;
  /** Whether the callback may sleep (MMU_NOTIFIER_RANGE_BLOCKABLE). */
  readonly blockable: boolean;
}

/** struct mmu_interval_notifier_ops */
export interface IntervalOps {
  /**
   * Entries of the range are about to change: takes the driver's lock, calls
   * `Notifiers.setSeq` with `curSeq` under it, and makes the device forget what it
   * knows of them. False only where that would sleep and the range is not
   * blockable. It may neither insert nor remove notifiers of this process, nor
   * change its memory. `sub` is the notifier that is told: one object can answer
   * for many.
   */
  invalidate(range: MmuNotifierRange, curSeq: number, sub: Ref): boolean;
}
