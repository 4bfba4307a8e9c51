/**
 * Who listens to a process in the tests of notifiers: a device's part played by a
 * few lines. It writes down what it is told, and how its first page was mapped
 * when it was.
 */
import type { Kernel } from "../../../src/engine/process/kernel.js";
import { PMD_HUGE, PTE_ACCESSED } from "../../../src/engine/process/entry.js";
import { pmdAt, pteAt } from "../../../src/engine/process/page-tables.js";
import type { Ref } from "../../../src/units.js";

/** One call. */
export interface Heard {
  readonly event: number;
  readonly start: number;
  readonly end: number;
  readonly owner: number;
  readonly seq: number;
  /** The entry of the listener's first page at that moment. */
  readonly entry: string;
}

export interface Listener {
  readonly sub: Ref;
  readonly heard: Heard[];
  /** What the next calls answer. */
  answer: boolean;
  /** Events heard, without the rest. */
  events(): number[];
}

/**
 * The entry that maps a page: table level and both halves, but for the mark of use,
 * which nobody is told of. Nothing is changed by looking.
 */
export function entryOf({ base }: Kernel, mm: Ref, page: number): string {
  const { w, tables } = base;
  const pmds = tables.pmdTable(mm, page);
  if (pmds === 0) return "none";
  const pmd = w.load64(pmds, pmdAt(page));
  const pmdHi = w.hi;
  const table = tables.below(pmds, pmdAt(page));
  if ((pmd & PMD_HUGE) !== 0 || table === 0) return `pmd ${pmdHi}:${pmd & ~PTE_ACCESSED}`;
  const pte = w.load64(table, pteAt(page));
  return `pte ${w.hi}:${pte & ~PTE_ACCESSED}`;
}

/** Subscribes to pages of a process. */
export function listen(kernel: Kernel, mm: Ref, page: number, pages: number): Listener {
  const { notifiers } = kernel.base;
  const heard: Heard[] = [];
  const sub = notifiers.insert(mm, page, pages, {
    invalidate(range, seq, told) {
      if (!listener.answer) return false;
      notifiers.setSeq(told, seq);
      const { event, start, end, owner } = range;
      heard.push({ event, start, end, owner, seq, entry: entryOf(kernel, mm, page) });
      return true;
    },
  });
  if (sub <= 0) throw new Error(`no notifier: ${sub}`);
  const listener: Listener = {
    sub,
    heard,
    answer: true,
    events: () => heard.map((h) => h.event),
  };
  return listener;
}
