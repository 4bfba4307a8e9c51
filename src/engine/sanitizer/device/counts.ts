/**
 * Rules of the counts of device-private folios: the same as those of all folios, from the
 * records of devices instead of the machine's page words. Folios of device memory that the
 * processor reads are among the others.
 *
 * Source: include/linux/rmap.h of 6.18; mm/memory.c and mm/huge_memory.c of the mm tree of
 * July 2026 (a device-private entry is a mapping: held once, counted once).
 */
import type { Ref } from "../../../units.js";
import { isDevicePrivate } from "../../process/entry.js";
import { O_ANON_VMA, O_MEMCG } from "../../process/objects.js";
import { VM_SHARED } from "../../process/constants.js";
import { anonVmaLeadsTo } from "../process/anon-vmas.js";
import type { KernelReport, KernelRule } from "../process/rule.js";
import { byProcess } from "../process/counts.js";
import type { FolioView } from "../process/shape.js";
import { mapped } from "../process/tally.js";
import { holderOf, place, type ProcessView } from "../process/view.js";
import { deviceEntry, type DeviceLayer } from "./layer.js";

const NONE = 0 as Ref;
const ID_MASK = (1 << 30) - 1;
const ENTIRELY_MAPPED = 0x800000;

export const DEVICE_REFERENCES_ARE_EXPLAINED: KernelRule = {
  name: "references of device folios are explained",
  says: "a device-private folio's reference count is its entries and what outside holders say they hold",
  watch(view, report) {
    if (view.device === null) return;
    const { folios } = view.device.privates;
    for (const folio of view.privates.values()) {
      const count = folios.refcount(folio.ref);
      const must = mapped(folio) + folio.refs + folio.pins;
      if (count !== must)
        report(
          folio.pfn,
          `its count is ${count}, ${must} are explained: ${mapped(folio)} entries, ${folio.refs} references outside`,
          holderOf(folio),
        );
      if (folio.pins > 0) report(folio.pfn, "a page of a device is pinned", holderOf(folio));
    }
  },
};

/** The three counts of a large folio, and the one of a small one. */
function totals(device: DeviceLayer, folio: FolioView, report: KernelReport): void {
  const { counts, folios } = device.privates;
  const { ref, pfn, order } = folio;
  const tell = (what: string, is: number, must: number): void => {
    if (is !== must) report(pfn, `${what} is ${is}, it must be ${must}`, holderOf(folio));
  };
  tell("its map count", counts.total(ref, order), mapped(folio));
  if (order === 0) return;
  tell("its entire count", counts.entire(ref, order), folio.pmds);
  if (!counts.perPage) return;
  const pages = folio.ptes.filter((n) => n > 0).length + (folio.pmds > 0 ? ENTIRELY_MAPPED : 0);
  const { w } = device.base;
  tell("nr_pages_mapped", w.load32(folios.rest(ref), folios.layout.nrPagesMapped), pages);
}

/** The count of each page of a large folio, where the record keeps them. */
function pagesOf(device: DeviceLayer, folio: FolioView, report: KernelReport): void {
  const { record } = device.zoneDevice.privates;
  if (!record.countsPages || folio.order === 0) return;
  for (let i = 0; i < folio.ptes.length; i++) {
    const says = record.mapcountOf(folio.pfn + i);
    const n = folio.ptes[i] + folio.pmds;
    if (says !== n)
      report(folio.pfn + i, `page ${i} counts ${says} entries, ${n} are there`, holderOf(folio));
  }
}

export const DEVICE_MAP_COUNTS_MATCH: KernelRule = {
  name: "map counts of device folios match the page tables",
  says: "total, entire and (where kept) per-page map counts of device-private folios are the entries that all page tables have",
  watch(view, report) {
    if (view.device === null) return;
    for (const folio of view.privates.values()) {
      totals(view.device, folio, report);
      pagesOf(view.device, folio, report);
    }
  },
};

export const SHARED_DEVICE_FOLIOS_SAY_SO: KernelRule = {
  name: "shared device folios say so",
  says: "a large device-private folio that two processes map is maybe shared; a process slot counts no more than that process has, and its lock is free",
  watch(view, report) {
    if (view.device === null) return;
    const { counts, folios } = view.device.privates;
    const { w } = view.base;
    for (const folio of view.privates.values()) {
      if (folio.order === 0) continue;
      const by = byProcess(folio);
      if (by.size > 1 && !counts.maybeShared(folio.ref, folio.order))
        report(folio.pfn, `${by.size} processes map it and it says exclusive`, holderOf(folio));
      const rest = folios.rest(folio.ref);
      for (const off of [0, 4]) {
        const id = w.load32(rest, folios.layout.mmIds + off) & ID_MASK;
        const count = w.load32(rest, folios.layout.mmIdMapcount + off);
        const n = by.get(id) ?? 0;
        if (id !== 0 && count > n)
          report(folio.pfn, `its slot of ${id} counts ${count}, it maps ${n}`, holderOf(folio));
      }
      if (w.load32(rest, folios.layout.mmIds + 4) < 0)
        report(folio.pfn, "the lock of its process slots is held", holderOf(folio));
    }
  },
};

export const EXCLUSIVE_DEVICE_PAGES_ARE: KernelRule = {
  name: "exclusive device pages are mapped once",
  says: "a device-private page that is marked exclusive has one entry; a writable entry of a private mapping leads to an exclusive page",
  watch(view, report) {
    const { device } = view;
    if (device === null) return;
    const { pages } = device.privates;
    for (const folio of view.privates.values()) {
      for (let i = 0; i < folio.ptes.length; i++) {
        const n = folio.ptes[i] + folio.pmds;
        if (n > 1 && pages.isExclusive(folio.pfn + i))
          report(folio.pfn + i, `it is exclusive and mapped ${n} times`, holderOf(folio));
      }
      for (const { mm, entry, page } of folio.mappings) {
        const { lo, hi, vpn } = entry;
        if (!isDevicePrivate(lo, hi) || deviceEntry(device, lo, hi)?.write !== true) continue;
        const vma = view.vmaAt(mm, vpn);
        if (vma === undefined || (vma.flags & VM_SHARED) !== 0) continue;
        if (!pages.isExclusive(folio.pfn + page))
          report(folio.pfn + page, "it may be written and is not exclusive", place(mm, vpn));
      }
    }
  },
};

export const DEVICE_FOLIOS_NAME_LIVE_OBJECTS: KernelRule = {
  name: "device folios name live objects",
  says: "the anon_vma of a mapped device-private folio leads to each of its entries, at its address, and the cgroup that it is charged to is in use",
  watch(view, report) {
    if (view.device === null) return;
    const { folios } = view.device.privates;
    for (const folio of view.privates.values()) {
      const memcg = view.core.pointer(folio.ref, folios.layout.memcg);
      if (memcg !== NONE && !view.isObject(O_MEMCG, memcg))
        report(folio.pfn, `it is charged to cgroup ${memcg}, freed`, holderOf(folio));
      if (folio.mappings.length === 0) continue;
      reverseMap(view, folio, folios.mapping(folio.ref), folios.index(folio.ref), report);
    }
  },
};

function reverseMap(
  view: ProcessView,
  folio: FolioView,
  mapping: Ref,
  index: number,
  report: KernelReport,
): void {
  if (!view.device?.privates.folios.isAnon(folio.ref) || !view.isObject(O_ANON_VMA, mapping)) {
    report(folio.pfn, `its mapping names ${mapping}, no anon_vma in use`, holderOf(folio));
    return;
  }
  for (const { mm, entry, page } of folio.mappings) {
    const vma = view.vmaAt(mm, entry.vpn);
    if (vma === undefined) continue;
    if (((index + page) | 0) !== ((vma.pgoff + entry.vpn - vma.start) | 0))
      report(folio.pfn + page, "its index is another address's", place(mm, entry.vpn));
    if (!anonVmaLeadsTo(view, mapping, vma.vma))
      report(folio.pfn + page, "its reverse map does not lead there", place(mm, entry.vpn));
  }
}
