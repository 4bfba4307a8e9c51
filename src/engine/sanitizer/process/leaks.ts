/**
 * Rules of what is left: no folio that nobody holds, and, once all has ended,
 * nothing at all.
 *
 * "All has ended" is what the caller says: every process gone, files closed and
 * unlinked, cgroups destroyed, the hugetlb pool emptied. Memory that a kernel
 * keeps for ever (the zero pages, empty slabs of a cache) has a name here.
 */
import { OBJECTS } from "../../process/objects.js";
import { notifiersOf } from "./notifiers.js";
import type { KernelReport, KernelRule } from "./rule.js";
import { explained } from "./tally.js";
import { fileName } from "./file-view.js";
import { framesOfArrays, holderOf, kernelTables, type ProcessView } from "./view.js";

export const FOLIOS_ARE_HELD: KernelRule = {
  name: "folios are held by somebody",
  says: "every folio is mapped, cached, swapped or held by somebody outside; processes are known, or a notifier keeps what is left of them",
  watch(view, report) {
    for (const folio of view.folios.values())
      if (explained(view.kernel, folio) === 0 && folio.migrating === 0)
        report(
          folio.pfn,
          `a folio of order ${folio.order} with ${view.base.folios.refcount(folio.ref)} references that nobody has`,
          "nobody",
        );
    for (const mm of view.mms)
      if (mm.pid < 0 && notifiersOf(view, mm.mm).length === 0)
        report(-1, `address space ${mm.id} is no process's`, "nobody");
  },
};

export const NOTHING_MOVES_BETWEEN_OPERATIONS: KernelRule = {
  name: "nothing is on its way between operations",
  says: "no migration entry is left behind by an operation that has ended",
  watch(view, report) {
    for (const folio of view.folios.values())
      if (folio.migrating > 0)
        report(folio.pfn, `${folio.migrating} migration entries wait for it`, holderOf(folio));
  },
};

function objects(view: ProcessView, report: KernelReport): void {
  for (const [kind, spec] of OBJECTS.entries()) {
    const n = view.objects[kind].size;
    if (n > 0) report(-1, `${n} objects of ${spec.name} are left`, "nobody");
  }
}

/** What is left at the end that should not be. A rule of its own: it holds only after the end. */
export const NOTHING_IS_LEFT: KernelRule = {
  name: "nothing is left",
  says: "after the end there is no process, file, folio, page table, used swap slot, held content or kernel object",
  watch(view, report) {
    for (const { pid } of view.mms) report(-1, `process ${pid} is left`, `process ${pid}`);
    for (const file of view.files) report(-1, "it is left", fileName(file));
    for (const folio of view.folios.values())
      report(folio.pfn, `a folio of order ${folio.order} is left`, holderOf(folio));
    if (view.base.swap.used > 0)
      report(-1, `${view.base.swap.used} swap slots are used`, "the swap device");
    if (view.base.deferred.count > 0)
      report(-1, `${view.base.deferred.count} folios are queued to be split`, "the deferred queue");
    if (view.core.content.size > 0)
      report(-1, `${view.core.content.size} frames hold contents`, "nobody");
    for (const pfn of framesOfArrays(view.kernel))
      report(pfn, "a page of an array is left", "nobody");
    for (const { pfn } of kernelTables(view.kernel))
      report(pfn, "a page table of the kernel's own range is left", "nobody");
    objects(view, report);
  },
};
