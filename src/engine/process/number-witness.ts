/**
 * Who is told of every conversion between a page and its number, in checked runs.
 *
 * A page has a number in page tables, in migrate arrays and in HMM arrays, and a raw
 * scan of memory begins with one. Each place where a page becomes a number or a number
 * leads to a page says so here, with what told it of which kind the number is. Null in
 * fast runs: one comparison each.
 *
 * The rule that it serves: no generic path holds a number without knowing its kind
 * (the claim of the series of 2026, device-facts §2.1). The witness is
 * device/provenance.ts.
 */

/** Where a number is held. */
export const IN_PAGE_TABLE = 0;
export const IN_MIGRATE_ARRAY = 1;
export const IN_HMM_ARRAY = 2;
/** In nothing: a scan counts it up. */
export const IN_RAW_SCAN = 3;
/** In what a driver's callback answered. */
export const IN_ANSWER = 4;
/** In a snapshot of a page, for people. */
export const IN_SNAPSHOT = 5;

/** What told a reader of which kind a number is. */
export const TOLD_NOTHING = 0;
/** The type of the entry: present, migration, device-private, … */
export const TOLD_BY_TYPE = 1;
/** A flag of the array's entry, or that it is clear. */
export const TOLD_BY_FLAG = 2;
/** Only the page that it leads to, taken for a pfn: its struct says what it is. */
export const TOLD_BY_STRUCT = 3;
/** Nothing but that whoever gave the number answers with numbers of that kind. */
export const TOLD_BY_CALLER = 4;
/** The section of the memory map that a pfn lies in: RAM that is online. */
export const TOLD_BY_SECTION = 5;

export interface NumberWitness {
  /** Page `page` was given its number: the entry's two halves. */
  made(holder: number, lo: number, hi: number, page: number): void;
  /**
   * An entry was followed to `page` (−1: to none), its number taken for a
   * device-private one or for a frame's.
   */
  read(
    holder: number,
    told: number,
    isPrivate: boolean,
    lo: number,
    hi: number,
    page: number,
  ): void;
}
