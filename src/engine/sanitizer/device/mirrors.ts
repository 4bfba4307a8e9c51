/**
 * The rule of whoever mirrors a process: what a device has in its page table is what the
 * process has in its own, or less.
 *
 * Facts: device-facts §7.6 (I5: entries of devices exist only for addresses whose sequence
 * number has not changed since they were looked up).
 */
import { PTE_WRITE } from "../../process/entry.js";
import type { EntryView } from "../process/entries.js";
import type { KernelRule } from "../process/rule.js";
import { addressOf, type ProcessView } from "../process/view.js";
import { deviceEntry } from "./layer.js";

/** What an entry of a process maps at a page: which page, and whether it may be written. */
function mappedAt(
  view: ProcessView,
  entry: EntryView,
  vpn: number,
): { page: number; write: boolean } {
  const inside = entry.huge ? vpn - entry.vpn : 0;
  if (entry.there) return { page: entry.pfn + inside, write: (entry.lo & PTE_WRITE) !== 0 };
  const own = view.device === null ? null : deviceEntry(view.device, entry.lo, entry.hi);
  if (own === null || own.kind === "migration" || own.page < 0) return { page: -1, write: false };
  return { page: own.page + inside, write: own.write };
}

export const MIRRORS_SHOW_WHAT_IS_MAPPED: KernelRule = {
  name: "mirrors show what is mapped",
  says: "every page that a device has in its page table of a process is the one that the process maps there, and is writable there only if the process's is",
  watch(view, report) {
    for (const { mm, entries, who } of view.holdings.mirrors ?? []) {
      const found = view.mms.find((m) => m.mm === mm);
      const at = new Map<number, EntryView>();
      for (const entry of found?.entries ?? []) at.set(entry.vpn, entry);
      for (const { vpn, page, write } of entries) {
        const single = at.get(vpn);
        const huge = at.get(vpn - (vpn % 512));
        const entry = single ?? (huge?.huge === true ? huge : undefined);
        const is = entry === undefined ? { page: -1, write: false } : mappedAt(view, entry, vpn);
        if (is.page !== page)
          report(page, `it has it at ${addressOf(vpn)}, the process has ${is.page}`, who);
        else if (write && !is.write)
          report(page, `it may write to it at ${addressOf(vpn)}, the process may not`, who);
      }
    }
  },
};
