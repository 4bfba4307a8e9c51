/**
 * Rules of the counts: what folios count is what is there. Every mapping of
 * every folio is counted anew from all page tables, then compared with what the
 * design keeps: one total, the mappings as a whole, the count of every page
 * where the word has room, the two process slots, references, pins.
 *
 * Source: include/linux/rmap.h, include/linux/mm.h of 6.18 (what the counts
 * mean); memdesc-facts §1.5.
 */
import { PTE_WRITE } from "../../process/entry.js";
import { VM_SHARED } from "../../process/constants.js";
import { T_ANON, T_ANON_EXCLUSIVE } from "../../design/word/axis-types.js";
import type { KernelReport, KernelRule } from "./rule.js";
import { explained, mapped } from "./tally.js";
import type { FolioView } from "./shape.js";
import { holderOf, place, type ProcessView } from "./view.js";

/** Low bits of a process slot: the process; bit 30: maybe shared. */
const ID_MASK = (1 << 30) - 1;
const ENTIRELY_MAPPED = 0x800000;

export const REFERENCES_ARE_EXPLAINED: KernelRule = {
  name: "references are explained",
  says: "a folio's reference count is its mappings, its pages in a file's cache, its swap slots and what outside holders say they hold",
  watch(view, report) {
    for (const folio of view.folios.values()) {
      const count = view.base.folios.refcount(folio.ref);
      const must = explained(view.kernel, folio);
      if (count === must) continue;
      const parts = `${mapped(folio)} mappings, ${folio.cached} pages in a cache, ${folio.slots} swap slots, ${folio.refs} references and ${folio.pins} pins outside`;
      report(folio.pfn, `its count is ${count}, ${must} are explained: ${parts}`, holderOf(folio));
    }
  },
};

export const PINS_ARE_EXPLAINED: KernelRule = {
  name: "pins are explained",
  says: "where a folio counts its pins, they are those of the outside holders",
  watch(view, report) {
    const { layout } = view.core;
    for (const folio of view.folios.values()) {
      const at = folio.order > 0 ? layout.pincount : layout.smallPincount;
      if (at < 0) continue;
      const pins = view.base.w.load32(view.core.rest(folio.ref), at);
      if (pins !== folio.pins)
        report(folio.pfn, `it counts ${pins} pins, ${folio.pins} are held`, holderOf(folio));
    }
  },
};

/** Counts of the folio as a whole. */
function totals(view: ProcessView, folio: FolioView, report: KernelReport): void {
  const { counts, w } = view.base;
  const { ref, pfn, order } = folio;
  const n = mapped(folio);
  const total = counts.total(ref, order);
  if (total !== n)
    report(pfn, `its map count is ${total}, the page tables map it ${n} times`, holderOf(folio));
  if (order === 0) return;
  const entire = counts.entire(ref, order);
  if (entire !== folio.pmds)
    report(pfn, `its entire count is ${entire}, ${folio.pmds} PMDs map it`, holderOf(folio));
  if (!counts.perPage) return;
  const pages = folio.ptes.filter((m) => m > 0).length + (folio.pmds > 0 ? ENTIRELY_MAPPED : 0);
  const says = w.load32(view.core.rest(ref), view.core.layout.nrPagesMapped);
  if (says !== pages)
    report(pfn, `nr_pages_mapped is ${says}, it must be ${pages}`, holderOf(folio));
}

/** Counts of each page, where the design keeps them. */
function pages(view: ProcessView, folio: FolioView, report: KernelReport): void {
  if (!view.base.counts.perPage) return;
  const hugetlb = view.core.design.folioClassOf(folio.pfn) === 1;
  for (let i = 0; i < folio.ptes.length; i++) {
    const says = view.core.design.mapcountOf(folio.pfn + i);
    const n = folio.ptes[i] + folio.pmds;
    if (says !== n)
      report(
        folio.pfn + i,
        `page ${i} of the folio counts ${says} mappings, ${n} are there`,
        holderOf(folio),
      );
    if (hugetlb && folio.ptes[i] > 0)
      report(folio.pfn + i, "a hugetlb page is mapped by a single entry", holderOf(folio));
  }
}

export const MAP_COUNTS_MATCH: KernelRule = {
  name: "map counts match the page tables",
  says: "total, entire and (where kept) per-page map counts are the mappings that all page tables have",
  watch(view, report) {
    for (const folio of view.folios.values()) {
      totals(view, folio, report);
      pages(view, folio, report);
    }
  },
};

/** Mappings of the folio by process. */
export function byProcess(folio: FolioView): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { mm } of folio.mappings) counts.set(mm.id, (counts.get(mm.id) ?? 0) + 1);
  return counts;
}

export const SHARED_FOLIOS_SAY_SO: KernelRule = {
  name: "shared folios say so",
  says: "a large folio that two processes map is maybe shared; a process slot counts no more than that process has",
  watch(view, report) {
    const { w } = view.base;
    const { layout } = view.core;
    for (const folio of view.folios.values()) {
      if (folio.order === 0) continue;
      const by = byProcess(folio);
      if (by.size > 1 && !view.base.counts.maybeShared(folio.ref, folio.order))
        report(folio.pfn, `${by.size} processes map it and it says exclusive`, holderOf(folio));
      const rest = view.core.rest(folio.ref);
      for (const off of [0, 4]) {
        const id = w.load32(rest, layout.mmIds + off) & ID_MASK;
        const count = w.load32(rest, layout.mmIdMapcount + off);
        const n = by.get(id) ?? 0;
        if (id !== 0 && count > n)
          report(
            folio.pfn,
            `its slot of address space ${id} counts ${count}, it maps ${n}`,
            holderOf(folio),
          );
        if (w.load32(rest, layout.mmIds + 4) < 0)
          report(folio.pfn, "the lock of its process slots is held", holderOf(folio));
      }
    }
  },
};

const isAnon = (folio: FolioView): boolean =>
  folio.type === T_ANON || folio.type === T_ANON_EXCLUSIVE;

export const EXCLUSIVE_PAGES_ARE: KernelRule = {
  name: "exclusive pages are mapped once",
  says: "a page that is marked anon-exclusive belongs to an anonymous folio and is mapped once",
  watch(view, report) {
    for (const folio of view.folios.values()) {
      if (!isAnon(folio)) continue;
      for (let i = 0; i < folio.ptes.length; i++) {
        const n = folio.ptes[i] + folio.pmds;
        if (n > 1 && view.core.design.isExclusive(folio.pfn + i))
          report(folio.pfn + i, `it is exclusive and mapped ${n} times`, holderOf(folio));
      }
    }
  },
};

export const WRITABLE_PRIVATE_PAGES_ARE_EXCLUSIVE: KernelRule = {
  name: "writable private pages are exclusive",
  says: "an entry of a private mapping that may be written without a fault leads to an anonymous page that is marked exclusive",
  watch(view, report) {
    for (const folio of view.folios.values()) {
      for (const { mm, entry } of folio.mappings) {
        if ((entry.lo & PTE_WRITE) === 0) continue;
        const vma = view.vmaAt(mm, entry.vpn);
        if (vma === undefined || (vma.flags & VM_SHARED) !== 0) continue;
        if (!isAnon(folio))
          report(
            entry.pfn,
            "a private mapping may write to a page of a file",
            place(mm, entry.vpn),
          );
        else if (!view.core.design.isExclusive(entry.pfn))
          report(
            entry.pfn,
            "a private mapping may write to a page that is not its own",
            `${place(mm, entry.vpn)}; ${holderOf(folio)}`,
          );
      }
    }
  },
};
