/**
 * Rules of what a page is: nothing is mapped, cached or listed that is no folio,
 * no freed descriptor is named, a folio lies in one zone, special entries have
 * no folio.
 *
 * Facts: memdesc-facts §1.4 (who has counts and may be mapped). Struct page and
 * the slot cannot tell a bare page from a folio of one page; there a mapped bare
 * page is seen by what its page type or slot says it is.
 */
import type { Ref } from "../../../units.js";
import { isFolioType, TYPE_NAMES } from "../../design/word/axis-types.js";
import { PTE_SPECIAL, PTE_WRITE } from "../../process/entry.js";
import { VM_MIXEDMAP, VM_PFNMAP } from "../../process/constants.js";
import { O_ANON_VMA, O_INODE, O_MEMCG } from "../../process/objects.js";
import type { KernelRule } from "./rule.js";
import type { FolioView } from "./shape.js";
import { holderOf, place, type ProcessView } from "./view.js";

const NONE = 0 as Ref;
const nameOf = (type: number): string => TYPE_NAMES[type] ?? `type ${type}`;

export const MAPPED_PAGES_ARE_FOLIOS: KernelRule = {
  name: "mapped pages are folios",
  says: "an entry that is not special leads to a page of a folio: not to a free page, a slab, a page table or any page without counts",
  watch(view, report) {
    for (const { pfn, mm, entry } of view.strayEntries) {
      if (mm === undefined || entry === undefined) continue;
      const inside = pfn < view.kernel.machine.config.frames;
      const type = inside ? nameOf(view.core.design.typeOf(pfn)) : "none: it is no frame";
      report(pfn, `it is mapped as a folio, its type is ${type}`, place(mm, entry.vpn));
    }
  },
};

export const NAMED_FOLIOS_LIVE: KernelRule = {
  name: "named folios live",
  says: "a page cache slot, a swap cache word, a holder names a folio that its pages name too: none that was freed",
  watch(view, report) {
    for (const { named, who } of view.strayNames)
      report(view.core.pfnOf(named), `descriptor ${named} is named and no page belongs to it`, who);
    for (const { pfn, who } of view.strayHolders)
      report(pfn, "it is held as a folio and is none", who);
  },
};

export const LIVE_FOLIOS_ARE_COUNTED: KernelRule = {
  name: "references are above zero",
  says: "a folio that pages belong to has a reference",
  watch(view, report) {
    for (const folio of view.folios.values()) {
      const count = view.base.folios.refcount(folio.ref);
      if (count <= 0) report(folio.pfn, `its reference count is ${count}`, holderOf(folio));
    }
  },
};

/** What the mapping word of a folio names must be in use. */
function owner(view: ProcessView, folio: FolioView): string | null {
  const { folios } = view.base;
  const mapping = folios.mapping(folio.ref);
  if (mapping === NONE) return null;
  if (folios.isKsm(folio.ref)) return null;
  if (folios.isAnon(folio.ref))
    return view.isObject(O_ANON_VMA, mapping) ? null : `anon_vma ${mapping}`;
  const inode = view.kernel.files.inodeOf(mapping);
  return view.isObject(O_INODE, inode) ? null : `address_space ${mapping}`;
}

export const FOLIOS_NAME_LIVE_OBJECTS: KernelRule = {
  name: "folios name live objects",
  says: "the anon_vma or address_space in a mapped folio's mapping and the cgroup it is charged to are in use",
  watch(view, report) {
    for (const folio of view.folios.values()) {
      // Unmapped anonymous folios keep a mapping that nobody follows.
      const followed = folio.mappings.length > 0 || folio.cached > 0;
      const gone = followed ? owner(view, folio) : null;
      if (gone !== null) report(folio.pfn, `its mapping names ${gone}, freed`, holderOf(folio));
      const memcg = view.core.pointer(folio.ref, view.core.layout.memcg);
      if (memcg !== NONE && !view.isObject(O_MEMCG, memcg))
        report(folio.pfn, `it is charged to cgroup ${memcg}, freed`, holderOf(folio));
    }
  },
};

export const FOLIOS_LIE_IN_ONE_ZONE: KernelRule = {
  name: "folios lie in one zone",
  says: "all pages of a folio are of one zone",
  watch(view, report) {
    const { zones } = view.kernel.machine;
    for (const folio of view.folios.values()) {
      const zone = zones.ownerOf(folio.pfn);
      const last = folio.pfn + 2 ** folio.order - 1;
      if (zones.ownerOf(last) !== zone)
        report(
          folio.pfn,
          `it goes from zone ${zone} into zone ${zones.ownerOf(last)}`,
          holderOf(folio),
        );
    }
  },
};

export const SPECIAL_ENTRIES_HAVE_NO_FOLIO: KernelRule = {
  name: "special entries have no folio",
  says: "a special entry is the zero page, read-only in private memory, or lies in a VMA of a driver; its page is no folio, unless it is mapped by frame number",
  watch(view, report) {
    const { core } = view;
    for (const mm of view.mms) {
      for (const { vpn, lo, huge, there, pfn } of mm.entries) {
        if (!there) continue;
        const hugeZero = huge && core.isHugeZero(pfn);
        if ((huge || (lo & PTE_SPECIAL) === 0) && !hugeZero) continue;
        const zero = hugeZero || core.isZeroPage(pfn);
        const flags = view.vmaAt(mm, vpn)?.flags ?? 0;
        if (zero && (lo & PTE_WRITE) !== 0)
          report(pfn, "the zero page may be written", place(mm, vpn));
        if (!zero && (flags & (VM_PFNMAP | VM_MIXEDMAP)) === 0)
          report(pfn, "a special entry outside of a driver's mapping", place(mm, vpn));
        const inside = pfn < view.kernel.machine.config.frames;
        // By frame number anything may be mapped.
        const byNumber = (flags & VM_PFNMAP) !== 0;
        if (inside && !byNumber && !core.design.overlay && isFolioType(core.design.typeOf(pfn)))
          report(pfn, "a special entry leads to a page of a folio", place(mm, vpn));
      }
    }
  },
};
