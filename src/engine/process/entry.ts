/**
 * Page-table entries: the bits of x86-64, as two 32-bit halves.
 *
 * A present entry has the frame in bits 12–51 and its rights around it; one that
 * is not present may be empty, a swap or migration entry (type in bits 59–63,
 * offset inverted in bits 9–58, exclusive in bit 3), or a page without access
 * (PROT_NONE: bit 8 without bit 0). A special entry has no folio: the zero page
 * or a frame that a driver mapped by number.
 *
 * Facts: arch/x86/include/asm/pgtable_types.h, pgtable_64.h of 6.18; types of
 * swap entries: include/linux/swap.h with device, migration, hwpoison and
 * markers configured. Simplified: no soft-dirty, no userfaultfd bits.
 */

export const PTE_PRESENT = 1;
export const PTE_WRITE = 2;
export const PTE_USER = 4;
export const PTE_ACCESSED = 0x20;
export const PTE_DIRTY = 0x40;
/** In a PMD: it maps a huge page. */
export const PMD_HUGE = 0x80;
/** Without PTE_PRESENT: the page is there, nobody may touch it. */
export const PTE_PROTNONE = 0x100;
export const PTE_SPECIAL = 0x200;
/** High half: not executable. */
export const PTE_NX_HI = 1 << 31;
/** A table below: present, writable, user, accessed, dirty. */
export const TABLE_FLAGS = 0x67;

/** Bits that say that there is a page, whether or not it may be touched. */
export const PTE_THERE = PTE_PRESENT | PTE_PROTNONE;

/** Low half of an entry for a frame. */
export const pteLow = (pfn: number, flags: number): number => (pfn << 12) | flags;
/** High half, without NX. */
export const pteHigh = (pfn: number): number => pfn >>> 20;
/** The frame that the two halves name. */
export const ptePfn = (lo: number, hi: number): number => (lo >>> 12) | ((hi & 0x7ff) << 20);

/*
 * Entries that are not present: swap devices, then the special types. Where
 * device-private pages have numbers of their own kind, migration entries for them
 * are types of their own, and three swap devices fewer are left for them (the
 * series moves all other types down; here they take the last three places).
 */
const SWAP_DEVICES = 21;
/** 22, between the two: to be read, and exclusive. */
export const SWP_DEVICE_MIGRATION_READ = 21;
export const SWP_DEVICE_MIGRATION_WRITE = 23;
export const SWP_HWPOISON = 24;
export const SWP_MIGRATION_READ = 25;
export const SWP_MIGRATION_READ_EXCLUSIVE = 26;
export const SWP_MIGRATION_WRITE = 27;
/** A device-private page, which its device has: writable by the process, or not. */
export const SWP_DEVICE_WRITE = 28;
export const SWP_DEVICE_READ = 29;
/** A page of the process on loan to a device for its atomic operations. */
export const SWP_DEVICE_EXCLUSIVE = 30;
/** Bit of a swap entry: the page was exclusive when it went. */
export const SWP_EXCLUSIVE = 8;

/** Low half of a swap entry. */
export const swapLow = (offset: number, exclusive: boolean): number =>
  ((~offset << 9) & ~0x1ff) | (exclusive ? SWP_EXCLUSIVE : 0);
export const swapHigh = (type: number, offset: number): number =>
  (type << 27) | (~(offset >>> 23) & 0x7ffffff);
export const swapType = (hi: number): number => hi >>> 27;
export const swapOffset = (lo: number, hi: number): number =>
  (((~lo >>> 9) & 0x7fffff) | (~hi << 23)) >>> 0;

/** Whether an entry is a migration entry. */
export const isMigration = (lo: number, hi: number): boolean =>
  (lo & PTE_THERE) === 0 && hi >>> 27 >= SWP_MIGRATION_READ && hi >>> 27 <= SWP_MIGRATION_WRITE;
/** Whether an entry names a slot of a swap device. */
export const isSwap = (lo: number, hi: number): boolean =>
  (lo & PTE_THERE) === 0 && (lo | hi) !== 0 && hi >>> 27 < SWAP_DEVICES;

// Numbers of device pages have 32 low bits, as a swap offset, and up to 16 above them.
/** High half of an entry for a number of two parts. */
export const deviceHigh = (type: number, low: number, high: number): number =>
  (type << 27) | (~((low >>> 23) | (high << 9)) & 0x7ffffff);
/** The part above the low 32 bits, which `swapOffset` gives. */
export const deviceNumberHigh = (hi: number): number => (~hi >>> 9) & 0x3ffff;
/** Whether an entry names a device-private page. */
export const isDevicePrivate = (lo: number, hi: number): boolean =>
  (lo & PTE_THERE) === 0 && (hi >>> 27 === SWP_DEVICE_WRITE || hi >>> 27 === SWP_DEVICE_READ);
