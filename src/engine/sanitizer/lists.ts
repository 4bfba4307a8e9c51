/**
 * Rules of the lists: free lists and per-CPU lists agree with the words of the
 * pages on them and with every count that is kept of them.
 *
 * Source: mm/page_alloc.c (__add_to_free_list warns where a block's type is not
 * its pageblock's; page_is_buddy; free_pcppages_bulk counts pages, not blocks).
 */
import { PCP_COUNT } from "../layout/generated/offsets.js";
import { MAX_ORDER } from "../pages/zones.js";
import type { Report, Rule } from "./rule.js";
import type { List, View } from "./view.js";

/** next and prev of neighbours name each other, and the head names both ends. */
function links(list: List, view: View, report: Report): void {
  let before = -1;
  for (const { pfn } of list.blocks) {
    const prev = view.m.design.prevOf(pfn);
    if (prev !== before)
      report(pfn, `${list.name}: prev is ${prev}, the block before is ${before}`);
    before = pfn;
  }
  if (list.last !== before)
    report(list.last, `${list.name}: its head's last is ${list.last}, its last block ${before}`);
}

export const LINKS_AGREE: Rule = {
  name: "links agree",
  says: "on every list each block's prev is the block whose next it is, and the head names both ends",
  watch(view, report) {
    for (const list of [...view.freeLists, ...view.pcpLists]) links(list, view, report);
  },
};

export const FREE_BLOCKS_SAY_SO: Rule = {
  name: "free blocks say so",
  says: "the first page of a block on a free list says free and its order, and the block is naturally aligned",
  watch({ m, freeLists }, report) {
    for (const list of freeLists) {
      for (const { pfn, order } of list.blocks) {
        const says = m.design.freeOrderAt(pfn);
        if (says !== order) report(pfn, `${list.name}: its word says order ${says}`);
        if (pfn % 2 ** order !== 0) report(pfn, `${list.name}: not aligned to its order`);
      }
    }
  },
};

export const FREE_BLOCKS_ARE_OF_THEIR_PAGEBLOCK: Rule = {
  name: "free blocks are of their pageblock's type",
  says: "a free block is on the list of its pageblock's migrate type",
  watch({ m, freeLists }, report) {
    for (const list of freeLists) {
      for (const { pfn, migrateType } of list.blocks) {
        const type = m.zones.migrateTypeOf(pfn);
        if (type !== migrateType) report(pfn, `${list.name}: its pageblock is of type ${type}`);
      }
    }
  },
};

export const LISTED_BLOCKS_ARE_OF_THE_ZONE: Rule = {
  name: "listed blocks are of the zone",
  says: "every block on a zone's lists lies in that zone from end to end",
  watch({ m, freeLists, pcpLists }, report) {
    for (const list of [...freeLists, ...pcpLists]) {
      for (const { pfn, order, zone } of list.blocks) {
        const run = m.zones.runs.find((r) => pfn >= r.start && pfn < r.end);
        if (run === undefined || run.zone !== zone || pfn + 2 ** order > run.end)
          report(pfn, `${list.name}: it is not all the zone's`);
      }
    }
  },
};

export const FREE_COUNTS_AGREE: Rule = {
  name: "free counts agree",
  says: "nr_free of each area is the number of blocks on its lists, and the zone's free pages their sum",
  watch({ m, freeLists }, report) {
    const areas = MAX_ORDER + 1;
    const listed = new Int32Array(m.config.zones.length * areas);
    for (const list of freeLists) for (const b of list.blocks) listed[b.zone * areas + b.order]++;
    for (let zone = 0; zone < m.config.zones.length; zone++) {
      let pages = 0;
      for (let order = 0; order <= MAX_ORDER; order++) {
        const blocks = listed[zone * areas + order];
        const counted = m.buddy.freeBlocks(zone, order);
        if (counted !== blocks)
          report(
            -1,
            `zone ${zone}, order ${order}: nr_free is ${counted}, ${blocks} blocks are on the lists`,
          );
        pages += blocks * 2 ** order;
      }
      const free = m.buddy.freePages(zone);
      if (free !== pages)
        report(-1, `zone ${zone}: ${free} free pages are counted, ${pages} are on the lists`);
    }
  },
};

export const PCP_COUNTS_AGREE: Rule = {
  name: "per-CPU counts agree",
  says: "the count of a CPU's lists is the number of pages on them",
  watch({ m, pcpLists }, report) {
    for (let zone = 0; zone < m.config.zones.length; zone++) {
      for (let cpu = 0; cpu < m.config.cpus; cpu++) {
        const blocks = pcpLists
          .filter((l) => l.zone === zone && l.cpu === cpu)
          .flatMap((l) => l.blocks);
        const pages = blocks.reduce((sum, b) => sum + 2 ** b.order, 0);
        const counted = m.w.load32(m.allocator.pcpRef(zone, cpu), PCP_COUNT);
        if (counted !== pages)
          report(
            -1,
            `zone ${zone}, CPU ${cpu}: ${counted} pages are counted, ${pages} are on the lists`,
          );
      }
    }
  },
};

export const PCP_BLOCKS_DO_NOT_MERGE: Rule = {
  name: "per-CPU blocks do not merge",
  says: "a block on a per-CPU list does not look like a free block of the buddy lists, and is aligned",
  watch({ m, pcpLists }, report) {
    for (const list of pcpLists) {
      for (const { pfn, order } of list.blocks) {
        const says = m.design.freeOrderAt(pfn);
        if (says >= 0) report(pfn, `${list.name}: its word says it is free with order ${says}`);
        if (pfn % 2 ** order !== 0) report(pfn, `${list.name}: not aligned to its order`);
      }
    }
  },
};
