/**
 * The rule of mmu notifiers: between two operations nothing is half told.
 *
 * An operation that starts a change and does not end it leaves a count that never
 * comes down: readers of that process would sleep for ever.
 */
import type { Ref } from "../../../units.js";
import {
  MM_MM_COUNT,
  MMU_INTERVAL_INVALIDATE_SEQ,
  MMU_SUBSCRIPTIONS_ACTIVE_INVALIDATE_RANGES,
  MMU_SUBSCRIPTIONS_INVALIDATE_SEQ,
} from "../../layout/generated/offsets.js";
import { O_MMU_INTERVAL, O_MMU_SUBSCRIPTIONS } from "../../process/objects.js";
import type { KernelReport, KernelRule } from "./rule.js";
import type { MmView } from "./shape.js";
import type { ProcessView } from "./view.js";

const NONE = 0 as Ref;

/** Notifiers that hear of a process. Each keeps its mm_struct. */
export function notifiersOf({ base, objects }: ProcessView, mm: Ref): Ref[] {
  return [...objects[O_MMU_INTERVAL]].filter((sub) => base.notifiers.mm(sub) === mm);
}

const nameOf = (mm: MmView): string =>
  mm.pid < 0 ? `address space ${mm.id} without a process` : `process ${mm.pid}`;

/** Those that hear, in the order of the list. */
function listed(view: ProcessView, subs: Ref): Ref[] {
  const { intervals } = view.base.notifiers;
  const found: Ref[] = [];
  let sub = intervals.first(subs, 0, Infinity);
  while (view.isObject(O_MMU_INTERVAL, sub) && !found.includes(sub)) {
    found.push(sub);
    sub = intervals.next(sub, 0, Infinity);
  }
  return found;
}

function atRest(view: ProcessView, mm: MmView, subs: Ref, report: (detail: string) => void): void {
  const { base, core } = view;
  const { w } = core;
  const active = w.load32(subs, MMU_SUBSCRIPTIONS_ACTIVE_INVALIDATE_RANGES);
  if (active !== 0) report(`${active} changes were told of that have not ended`);
  const seq = w.load32(subs, MMU_SUBSCRIPTIONS_INVALIDATE_SEQ);
  if ((seq & 1) !== 0) report(`its sequence number ${seq} is odd`);
  if (base.notifiers.intervals.firstDeferred(subs) !== NONE) report("a notifier waits");
  const hear = listed(view, subs);
  if (hear.length !== notifiersOf(view, mm.mm).length)
    report(`${hear.length} of ${notifiersOf(view, mm.mm).length} notifiers hear of it`);
  for (const sub of hear)
    if ((w.load32(sub, MMU_INTERVAL_INVALIDATE_SEQ) & 1) === 0)
      report("a notifier's sequence number is even");
}

export const NOTIFIERS_ARE_AT_REST: KernelRule = {
  name: "notifiers are at rest",
  says: "between operations no change is under way that notifiers were told of, each hears of its process and keeps its mm_struct",
  watch(view, report: KernelReport) {
    for (const mm of view.mms) {
      const tell = (detail: string): void => report(-1, detail, nameOf(mm));
      const subs = view.base.notifiers.of(mm.mm);
      const hear = notifiersOf(view, mm.mm).length;
      const holds = (mm.pid < 0 ? 0 : 1) + hear;
      const count = view.core.w.load32(mm.mm, MM_MM_COUNT);
      // A process without a number at all is another rule's.
      if (count !== holds && (mm.pid >= 0 || hear > 0)) tell(`mm_count is ${count}, not ${holds}`);
      if (view.isObject(O_MMU_SUBSCRIPTIONS, subs)) atRest(view, mm, subs, tell);
      else if (subs !== NONE || hear > 0) tell("its subscriptions are no object");
    }
  },
};
