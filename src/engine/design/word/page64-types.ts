/**
 * Page types of struct page: the top byte of the word that is the map count of a
 * page that can be mapped (enum pagetype of 6.18), and which kind each stands for.
 *
 * Kinds that 6.18 has no page type for get one only where they are separated:
 * 0xf9 was proposed for page_pool (netpp) and reverted, the others are invented.
 */
import {
  MISC_GUARD,
  MISC_KMALLOC_LARGE,
  MISC_OFFLINE,
  T_ACCTMEM,
  T_BUDDY,
  T_BUMP,
  T_HWPOISON,
  T_MANAGED,
  T_MISC,
  T_MOVABLE,
  T_PERCPU,
  T_PGTABLE,
  T_SLAB,
  T_ZPDESC,
  type PageType,
} from "./axis-types.js";

export const PGTY_BUDDY = 0xf0;
export const PGTY_OFFLINE = 0xf1;
export const PGTY_TABLE = 0xf2;
export const PGTY_GUARD = 0xf3;
export const PGTY_HUGETLB = 0xf4;
export const PGTY_SLAB = 0xf5;
export const PGTY_ZSMALLOC = 0xf6;
export const PGTY_LARGE_KMALLOC = 0xf8;

const SEPARATED: Readonly<Record<number, number>> = {
  [T_BUMP]: 0xf9,
  [T_MOVABLE]: 0xfa,
  [T_HWPOISON]: 0xfb,
  [T_PERCPU]: 0xfc,
  [T_ACCTMEM]: 0xfd,
  [T_MANAGED]: 0xfe,
};

/** Kind by type byte; −1 where the byte says nothing, or only that the page is of a hugetlb folio. */
const KIND = new Int8Array(256).fill(-1);
for (const [type, byte] of Object.entries(SEPARATED)) KIND[byte] = Number(type);
KIND[PGTY_BUDDY] = T_BUDDY;
KIND[PGTY_SLAB] = T_SLAB;
KIND[PGTY_TABLE] = T_PGTABLE;
KIND[PGTY_ZSMALLOC] = T_ZPDESC;
for (const byte of [PGTY_OFFLINE, PGTY_GUARD, PGTY_LARGE_KMALLOC]) KIND[byte] = T_MISC;

/** The kind that a type byte alone says, or −1. */
export const kindOfByte = (byte: number): number => KIND[byte];

/** A page whose type byte says that it is no folio. */
export const isTyped = (byte: number): boolean =>
  byte >= PGTY_BUDDY && byte !== PGTY_HUGETLB && byte !== 0xff;

/** The type word of a page of that kind; −1, no type and not mapped, where there is none. */
export function pageTypeWord(
  type: PageType,
  subtype: number,
  hugetlb: boolean,
  separated: boolean,
): number {
  if (type === T_SLAB) return PGTY_SLAB << 24;
  if (type === T_PGTABLE) return PGTY_TABLE << 24;
  if (type === T_ZPDESC) return PGTY_ZSMALLOC << 24;
  if (hugetlb) return PGTY_HUGETLB << 24;
  const own = SEPARATED[type];
  if (own !== undefined && separated) return own << 24;
  if (type !== T_MISC) return -1;
  if (subtype === MISC_OFFLINE) return PGTY_OFFLINE << 24;
  if (subtype === MISC_GUARD) return PGTY_GUARD << 24;
  return subtype === MISC_KMALLOC_LARGE ? PGTY_LARGE_KMALLOC << 24 : -1;
}
