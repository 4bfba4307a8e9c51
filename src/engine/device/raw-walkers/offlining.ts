/**
 * Memory offlining: whether a stretch of memory can be taken away, and which pages are
 * in the way.
 *
 * What is taken away is RAM from end to end; a stretch with anything else in it is
 * refused before a single page is looked at, so that the scan behind it may take every
 * number for a frame. Memory of devices goes another way: with its page map.
 *
 * Source: mm/memory_hotplug.c (offline_pages: walk_system_ram_range, −EINVAL),
 * mm/page_isolation.c (has_unmovable_pages) of 6.18. Simplified: nothing is isolated or
 * moved, it is only said what would have to be.
 */
import { PG_LRU } from "../../design/word/axis-flags.js";
import { T_BUDDY, T_MISC, T_MOVABLE, T_ZPDESC, TYPE_NAMES } from "../../design/word/axis-types.js";
import { MISC_NAMES } from "../../design/word/axis-types.js";
import { PAGEBLOCK_PAGES } from "../../pages/zones.js";
import { EINVAL } from "../kinds.js";
import type { RawPfns } from "./raw-pfns.js";

export interface OffliningScan {
  /** 0, or −EINVAL: not RAM from end to end, or not whole pageblocks. */
  readonly error: number;
  readonly free: number;
  /** Pages of folios that could move elsewhere. */
  readonly movable: number;
  /** What cannot, and what it is. */
  readonly blocks: readonly { readonly pfn: number; readonly why: string }[];
}

const REFUSED: OffliningScan = { error: EINVAL, free: 0, movable: 0, blocks: [] };

export class Offlining {
  readonly #pfns: RawPfns;

  constructor(pfns: RawPfns) {
    this.#pfns = pfns;
  }

  /** Looks at `pages` pages from `start` on. */
  scan(start: number, pages: number): OffliningScan {
    if (pages <= 0 || start % PAGEBLOCK_PAGES !== 0 || pages % PAGEBLOCK_PAGES !== 0)
      return REFUSED;
    if (start < 0 || start + pages > this.#pfns.ramEnd) return REFUSED;
    let free = 0;
    let movable = 0;
    const blocks: { pfn: number; why: string }[] = [];
    for (let pfn = start; pfn < start + pages; pfn++) {
      const why = this.#inTheWay(this.#pfns.page(pfn));
      if (why === "free") free++;
      else if (why === "movable") movable++;
      else blocks.push({ pfn, why });
    }
    return { error: 0, free, movable, blocks };
  }

  /** What one page of RAM is to a scan: `free`, `movable`, or why it stays. */
  #inTheWay(frame: number): string {
    const { core, folios } = this.#pfns.devices.base;
    const { design } = core;
    const type = design.typeOf(frame);
    if (type === T_BUDDY) return "free";
    if (type === T_MOVABLE || type === T_ZPDESC) return "movable";
    const folio = folios.ofPage(frame);
    if (folio !== 0 && folios.test(folio, PG_LRU))
      return folios.maybePinned(folio, design.orderOf(frame)) ? "pinned" : "movable";
    return type === T_MISC
      ? `misc/${MISC_NAMES[design.subtypeOf(frame)] ?? "unassigned"}`
      : TYPE_NAMES[type];
  }
}
