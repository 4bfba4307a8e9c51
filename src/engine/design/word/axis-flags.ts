/**
 * Page and folio flag bits, and the node and zone bits above them.
 *
 * Bits 0–23 are enum pageflags of the 6.18 configuration read from BTF. That
 * configuration has no memory failure and no arch_3, so the bits from 24 on are
 * numbers chosen here: the engine needs a place for what other kernels show.
 * Node is bits 54–63, zone bits 51–53, as derived for that configuration.
 * Facts: memdesc-facts §5 "page flags bits", §1.7.
 */

export const PG_LOCKED = 1 << 0;
export const PG_WRITEBACK = 1 << 1;
export const PG_REFERENCED = 1 << 2;
export const PG_UPTODATE = 1 << 3;
export const PG_DIRTY = 1 << 4;
export const PG_LRU = 1 << 5;
export const PG_HEAD = 1 << 6;
export const PG_ACTIVE = 1 << 8;
/** owner_priv_1; alias swapcache. */
export const PG_OWNER_PRIV_1 = 1 << 10;
/** owner_2; alias anon_exclusive. */
export const PG_OWNER_2 = 1 << 11;
export const PG_ARCH_1 = 1 << 12;
export const PG_RESERVED = 1 << 13;
export const PG_PRIVATE = 1 << 14;
export const PG_PRIVATE_2 = 1 << 15;
export const PG_RECLAIM = 1 << 16;
export const PG_SWAPBACKED = 1 << 17;
export const PG_UNEVICTABLE = 1 << 18;
export const PG_MLOCKED = 1 << 20;
export const PG_IDLE = 1 << 22;
export const PG_ARCH_2 = 1 << 23;
export const PG_HWPOISON = 1 << 24;
export const PG_ARCH_3 = 1 << 25;
/**
 * A folio from a hugetlb pool, where there is no page type to say so. The
 * proposals leave open how a separate folio says it (invented).
 */
export const FL_HUGETLB = 1 << 26;
/** folio->_flags_1's large_rmappable, moved into the one flags word of a separate folio. */
export const FL_LARGE_RMAPPABLE = 1 << 27;

/** High half of a flags word: node in bits 22–31, zone type in bits 19–21. */
export const locationBits = (node: number, zoneType: number): number =>
  (node << 22) | (zoneType << 19);
/** Node × 8 + zone type: the key that the zone table is indexed by. */
export const locationKey = (hi: number): number => hi >>> 19;
export const LOCATION_MASK = -1 << 19;

/** Low two bits of `mapping`: an anonymous page, a KSM page. */
export const MAPPING_ANON = 1;
export const MAPPING_KSM = 3;
