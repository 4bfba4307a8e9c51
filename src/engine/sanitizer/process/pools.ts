/**
 * Rules of what is counted out: swap slots, the hugetlb pool, memory cgroups.
 */
import type { Ref } from "../../../units.js";
import {
  MEMCG_DESCRIPTOR_BYTES,
  MEMCG_PARENT,
  MEMCG_USAGE,
} from "../../layout/generated/offsets.js";
import { S_HUGETLB_LOCK, S_SWAP_LOCK, SWAP_SLOT_BYTES } from "../../process/core.js";
import { O_MEMCG } from "../../process/objects.js";
import { PG_SWAPCACHE } from "../../process/swap.js";
import { PMD_PAGES, VM_HUGETLB, VM_NORESERVE, VM_SHARED } from "../../process/constants.js";
import type { Kernel } from "../../process/kernel.js";
import { fileName } from "./file-view.js";
import type { KernelReport, KernelRule } from "./rule.js";
import { holderOf, type ProcessView } from "./view.js";

const NONE = 0 as Ref;
const KIND_HUGETLB = 2;

export const SWAP_SLOTS_ARE_COUNTED: KernelRule = {
  name: "swap slots are counted",
  says: "a slot counts the entries that name it; the folio cached for it has it; slots in use are those that are named or cached",
  watch(view, report) {
    const { swap, folios, w } = view.base;
    let used = 0;
    for (let slot = 0; slot < swap.slots; slot++) {
      const count = swap.count(slot);
      const named = view.slotEntries.get(slot) ?? 0;
      const cached = swap.cached(slot);
      if (count !== named)
        report(-1, `it counts ${count} entries, ${named} name it`, `swap slot ${slot}`);
      if (count !== 0 || cached !== NONE) used++;
      const folio = view.folios.get(cached);
      if (folio === undefined) continue;
      const first = folios.private(cached);
      if (!folios.test(cached, PG_SWAPCACHE) || slot < first || slot >= first + 2 ** folio.order)
        report(
          folio.pfn,
          `it is cached for slot ${slot} and says ${folios.test(cached, PG_SWAPCACHE) ? `slot ${first}` : "none"}`,
          holderOf(folio),
        );
    }
    for (const slot of view.slotEntries.keys())
      if (slot >= swap.slots) report(-1, "an entry names a slot beyond the device", `slot ${slot}`);
    for (const folio of view.folios.values())
      if (
        folios.isAnon(folio.ref) &&
        folios.test(folio.ref, PG_SWAPCACHE) &&
        folio.slots !== 2 ** folio.order
      )
        report(folio.pfn, `it says swap cache, ${folio.slots} slots name it`, holderOf(folio));
    if (swap.used !== used)
      report(-1, `${swap.used} slots are counted, ${used} are in use`, "the swap device");
    if (w.load32(view.core.state, S_SWAP_LOCK) !== 0)
      report(-1, "its lock is held", "the swap device");
  },
};

/** Frames of the blocks that the pool keeps free. */
export function freeHugePages(kernel: Kernel): number[] {
  const { core, swap, w } = kernel.base;
  const stack = (core.swapWords() + Math.ceil((swap.slots * SWAP_SLOT_BYTES) / 16)) as Ref;
  return Array.from({ length: kernel.hugetlb.free }, (_, i) => w.load32(stack, i * 4));
}

/** Pages that mappings were promised and no fault has taken. */
function promised(view: ProcessView): number {
  let pages = 0;
  for (const mm of view.mms) {
    for (const v of mm.vmas) {
      if ((v.flags & (VM_HUGETLB | VM_SHARED | VM_NORESERVE)) !== VM_HUGETLB) continue;
      const taken = mm.entries.filter((e) => e.there && e.vpn >= v.start && e.vpn < v.end).length;
      pages += (v.end - v.start) / PMD_PAGES - taken;
    }
  }
  return pages;
}

export const HUGETLB_POOL_ADDS_UP: KernelRule = {
  name: "the hugetlb pool adds up",
  says: "pages of the pool are free or folios in use, each once; no more are promised than are free, and never fewer than none",
  watch(view, report) {
    const { hugetlb } = view.kernel;
    const who = "the hugetlb pool";
    const free = freeHugePages(view.kernel);
    if (new Set(free).size !== free.length) report(-1, "a free page is in the pool twice", who);
    for (const pfn of free)
      if (view.folioAt(pfn) !== undefined)
        report(pfn, "it is free in the pool and a folio", holderOf(view.folioAt(pfn)));
    const used = [...view.folios.values()].filter(
      (f) => f.order > 0 && view.core.design.folioClassOf(f.pfn) === 1,
    ).length;
    if (hugetlb.total !== hugetlb.free + used)
      report(-1, `it has ${hugetlb.total} pages, ${hugetlb.free} free and ${used} in use`, who);
    if (hugetlb.reserved < 0 || hugetlb.reserved > hugetlb.free)
      report(-1, `${hugetlb.reserved} pages are promised, ${hugetlb.free} are free`, who);
    const files = view.files.filter((f) => f.kind === KIND_HUGETLB).map(fileName);
    if (files.length === 0 && hugetlb.reserved > Math.max(0, promised(view)))
      report(-1, `${hugetlb.reserved} pages are promised, ${promised(view)} to mappings`, who);
    if (view.base.w.load32(view.core.state, S_HUGETLB_LOCK) !== 0)
      report(-1, "its lock is held", who);
  },
};

/** Pages and descriptor bytes charged to each cgroup itself. */
function charges(view: ProcessView): Map<Ref, { pages: number; bytes: number }> {
  const { design, caches } = view.kernel.machine;
  const own = new Map<Ref, { pages: number; bytes: number }>();
  for (const memcg of view.objects[O_MEMCG]) own.set(memcg, { pages: 0, bytes: 0 });
  for (const folio of view.folios.values()) {
    const charge = own.get(view.core.pointer(folio.ref, view.core.layout.memcg));
    if (charge === undefined) continue;
    charge.pages += 2 ** folio.order;
    const cache = design.cacheFor(design.typeOf(folio.pfn), folio.order);
    if (cache >= 0) charge.bytes += caches.stride[cache] * 16;
  }
  for (const folio of view.privates.values()) {
    const at = view.device?.privates.folios.layout.memcg ?? 0;
    const charge = own.get(view.core.pointer(folio.ref, at));
    if (charge !== undefined) charge.pages += 2 ** folio.order;
  }
  return own;
}

/** Pages charged ahead on every CPU, by cgroup. */
function stocks(view: ProcessView): Map<Ref, number> {
  const ahead = new Map<Ref, number>();
  for (let cpu = 0; cpu < view.kernel.machine.allocator.cpus; cpu++) {
    const stock = view.core.stock(cpu);
    const memcg = view.base.w.load32(stock, 0) as Ref;
    if (memcg !== NONE) ahead.set(memcg, (ahead.get(memcg) ?? 0) + view.base.w.load32(stock, 4));
  }
  return ahead;
}

function descriptors(view: ProcessView, memcg: Ref, bytes: number, report: KernelReport): number {
  if (!view.base.memcgs.chargesDescriptors) return 0;
  const says = view.base.w.load32(memcg, MEMCG_DESCRIPTOR_BYTES);
  if (says !== bytes)
    report(
      -1,
      `${says} bytes of descriptors are charged, its folios have ${bytes}`,
      `cgroup ${memcg}`,
    );
  return Math.ceil(bytes / 4096);
}

export const CGROUPS_COUNT_THEIR_FOLIOS: KernelRule = {
  name: "cgroups count their folios",
  says: "a cgroup's usage is the pages of the folios charged to it and below it, their descriptors where those are charged, and what CPUs charged ahead",
  watch(view, report) {
    const own = charges(view);
    const ahead = stocks(view);
    const must = new Map<Ref, number>();
    for (const [memcg, { pages, bytes }] of own) {
      const n = pages + (ahead.get(memcg) ?? 0) + descriptors(view, memcg, bytes, report);
      for (let at = memcg; own.has(at); at = view.core.pointer(at, MEMCG_PARENT))
        must.set(at, (must.get(at) ?? 0) + n);
    }
    for (const memcg of own.keys()) {
      const says = view.base.w.load32(memcg, MEMCG_USAGE);
      if (says !== (must.get(memcg) ?? 0))
        report(-1, `its usage is ${says}, ${must.get(memcg) ?? 0} are charged`, `cgroup ${memcg}`);
    }
    for (const memcg of ahead.keys())
      if (!own.has(memcg)) report(-1, "a CPU charged ahead for it, it is freed", `cgroup ${memcg}`);
  },
};
