/**
 * What a run of equal blocks looks like in struct page: the first page, the
 * second, which has the folio's order, counts and class, and the other tails.
 *
 * Facts: memdesc-facts §5 (BTF of 6.18.44).
 */
import type { Ref } from "../../../units.js";
import {
  FOLIO64_ENTIRE_MAPCOUNT,
  FOLIO64_LARGE_MAPCOUNT,
  FOLIO64_NR_PAGES,
  PAGE64_COMPOUND_HEAD,
  PAGE64_MAPCOUNT,
  PAGE64_MAPPING,
  PAGE64_MEMCG_DATA,
  PAGE64_REFCOUNT,
} from "../../layout/generated/offsets.js";
import { addressHigh, addressLow, highHalf, lowHalf } from "../../words/words.js";
import type { DesignContext, PageImage } from "./axis.js";
import { fillSlab } from "./axis-descriptors.js";
import { PG_HEAD, PG_RESERVED } from "./axis-flags.js";
import { isFolioType, MISC_RESERVED, T_MISC, T_SLAB, type PageType } from "./axis-types.js";

/** 32-bit words of a struct page. */
export const PAGE_WORDS = 16;
/** Bits of the second page's flags that belong to the folio. */
export const SECOND_PAGE = 0x2ff;
/** large_rmappable is bit 9 of the second page's flags; the order is its low byte. */
export const FLAGS_1_RMAPPABLE = 1 << 9;
/** The head's second word holds the address of a separate folio … */
export const SEPARATED = 2;
/** … or of a separate descriptor of another kind. */
export const SEPARATED_OTHER = 6;

/** Low bits of the head's second word: a separate folio, or another descriptor. */
export const tagOf = (type: PageType): number => (isFolioType(type) ? SEPARATED : SEPARATED_OTHER);

/** First page. `typeWord` is what stands where the map count would; −1 leaves it the map count. */
export function headTemplate(
  context: DesignContext,
  image: PageImage,
  descriptor: Ref,
  typeWord: number,
  folioSeparate: boolean,
): Int32Array {
  const t = new Int32Array(PAGE_WORDS);
  const folio = isFolioType(image.type);
  const reserved = image.type === T_MISC && image.subtype === MISC_RESERVED ? PG_RESERVED : 0;
  t[0] = image.flags | reserved | (image.order > 0 ? PG_HEAD : 0);
  t[1] = context.zones.bits[image.zone];
  if (descriptor !== 0) t[PAGE64_COMPOUND_HEAD / 4] = tagOf(image.type);
  if (folio && !folioSeparate) {
    const target = image.mappingBits === 0 ? context.addressSpace : context.anonVma;
    t[PAGE64_MAPPING / 4] = addressLow(target);
    t[PAGE64_MAPPING / 4 + 1] = addressHigh(target);
  }
  t[PAGE64_MAPPING / 4] |= image.mappingBits;
  if (image.type === T_SLAB && descriptor === 0) fillSlab(t, image);
  t[PAGE64_MAPCOUNT / 4] = typeWord === -1 ? image.mapcount - 1 : typeWord;
  // Slab pages are frozen: they are never counted. A separate folio has its own count.
  const counted = image.type !== T_SLAB && !(folio && folioSeparate);
  t[PAGE64_REFCOUNT / 4] = counted ? 1 + image.mapcount : 0;
  t[PAGE64_MEMCG_DATA / 4] = lowHalf(image.memcg);
  t[PAGE64_MEMCG_DATA / 4 + 1] = highHalf(image.memcg);
  return t;
}

/** Any page behind the first: bit 0 of its second word marks it, the way to its head is added by the run. */
export function tailTemplate(context: DesignContext, image: PageImage): Int32Array {
  const t = new Int32Array(PAGE_WORDS);
  t[0] = image.tailFlags;
  t[1] = context.zones.bits[image.zone];
  t[PAGE64_COMPOUND_HEAD / 4] = 1;
  t[PAGE64_MAPCOUNT / 4] = image.hugetlb ? -1 : image.mapcount - 1;
  return t;
}

/** The second page: a tail that carries the folio's order, counts and class. */
export function secondTemplate(image: PageImage, tail: Int32Array): Int32Array {
  const t = tail.slice();
  const pages = 2 ** image.order;
  t[0] = (image.tailFlags & ~SECOND_PAGE) | image.order | (image.rmappable ? FLAGS_1_RMAPPABLE : 0);
  t[(FOLIO64_LARGE_MAPCOUNT - 64) / 4] = image.mapcount * (image.hugetlb ? 1 : pages) - 1;
  t[(FOLIO64_ENTIRE_MAPCOUNT - 64) / 4] = image.hugetlb ? image.mapcount - 1 : -1;
  t[(FOLIO64_NR_PAGES - 64) / 4] = pages;
  return t;
}
