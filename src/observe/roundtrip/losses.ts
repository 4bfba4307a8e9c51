/**
 * Bits that a design has no place for, and why: said before anything is
 * compared, by what the design is and what the page is. A difference that no
 * rule here allows is a failed round trip.
 */
import {
  isFolioType,
  MISC_RESERVED,
  T_BUDDY,
  T_HWPOISON,
  T_MISC,
  T_SLAB,
  type PageType,
} from "../../engine/design/word/axis-types.js";
import type { PageDesign } from "../../engine/design/word/axis.js";
import { high, KPF, low } from "../kpageflags.js";
import { COPIED_HIGH, COPIED_LOW } from "./page-flags.js";

/** Two halves of bits that may be missing, and the reason. */
export interface Loss {
  readonly lo: number;
  readonly hi: number;
  readonly why: string;
}

/** Derived bits: they follow from what a page is. */
const DERIVED =
  low(KPF.SLAB) |
  low(KPF.BUDDY) |
  low(KPF.MMAP) |
  low(KPF.ANON) |
  low(KPF.SWAPCACHE) |
  low(KPF.COMPOUND_HEAD) |
  low(KPF.COMPOUND_TAIL) |
  low(KPF.HUGE) |
  low(KPF.NOPAGE) |
  low(KPF.KSM) |
  low(KPF.THP) |
  low(KPF.OFFLINE) |
  low(KPF.ZERO_PAGE) |
  low(KPF.PGTABLE);

const FLAGS = { lo: COPIED_LOW | low(KPF.SWAPCACHE), hi: COPIED_HIGH };
/** What stays in page->flags at the 32-byte stage. */
const FEW = { lo: low(KPF.HWPOISON), hi: high(KPF.RESERVED) | high(KPF.OWNER_2) };
const UNKNOWN: Loss = {
  lo: ~(COPIED_LOW | DERIVED),
  hi: ~COPIED_HIGH,
  why: "not a flag of Linux 6.18: no word has a place for it",
};

/** Whether pages of that type are described by an overlay on the page array. */
const isOverlay = (design: PageDesign, type: PageType): boolean =>
  design.overlay && design.cacheFor(type, 0) < 0;

/** Everything that may be missing of a page of that type in that design. */
export function lossesOf(
  design: PageDesign,
  type: PageType,
  subtype: number,
  tail: boolean,
  tailsShowOwn: boolean,
): readonly Loss[] {
  const losses = [UNKNOWN];
  const few = design.ownFlags === "few" ? FEW : { lo: 0, hi: 0 };
  if (design.ownFlags !== "all" && type === T_MISC) {
    const kept = subtype === MISC_RESERVED ? high(KPF.RESERVED) : 0;
    losses.push({
      lo: FLAGS.lo & ~few.lo,
      hi: FLAGS.hi & ~few.hi & ~kept,
      why: "Misc words carry no flags",
    });
  }
  if (type === T_MISC && !design.overlay)
    losses.push({ lo: low(KPF.MMAP), hi: 0, why: "Misc has no map count (mapped as PFNMAP)" });
  if (type === T_BUDDY && design.ownFlags === "none")
    losses.push({ ...FLAGS, why: "the word of a free page holds links, no flags" });
  if (type === T_SLAB && !isOverlay(design, type)) {
    losses.push({
      lo: low(KPF.ANON) | low(KPF.KSM),
      hi: 0,
      why: "false bits: a slab's list pointer seen as a mapping, gone without overlays",
    });
  }
  if (type === T_HWPOISON) {
    losses.push({
      lo: low(KPF.ANON) | low(KPF.KSM) | low(KPF.MMAP),
      hi: 0,
      why: "the hwpoison descriptor has neither mapping nor map count",
    });
  }
  if (tail && tailsShowOwn && design.ownFlags !== "all") {
    losses.push({
      lo: FLAGS.lo & ~few.lo,
      hi: FLAGS.hi & ~few.hi & ~high(KPF.OWNER_2),
      why: "tail pages have no flags of their own",
    });
  }
  if (tail && tailsShowOwn && design.overlay) {
    losses.push({
      lo: SECOND_PAGE,
      hi: 0,
      why: "the second page's low flags are the folio's order since 6.18",
    });
  }
  return losses;
}

/** kpageflags copies of the PG_ flags 0–7 and 9, which a second page uses for the folio. */
const SECOND_PAGE =
  low(KPF.LOCKED) |
  low(KPF.WRITEBACK) |
  low(KPF.REFERENCED) |
  low(KPF.UPTODATE) |
  low(KPF.DIRTY) |
  low(KPF.LRU) |
  low(KPF.ACTIVE);

/** Whether a design can hold the map count of each page of such a page's owner. */
export function holdsMapcount(design: PageDesign, type: PageType): "exact" | "average" | "none" {
  if (!isFolioType(type)) return design.overlay ? "exact" : "none";
  return design.mapcounts === "per-page" ? "exact" : "average";
}
