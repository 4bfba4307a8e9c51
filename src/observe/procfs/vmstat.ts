/**
 * /proc/vmstat: the kernel's counters by name, in pages or events
 * (mm/vmstat.c). Every name is kept; which exist depends on the kernel.
 */
import { excerpt, InputError } from "../input-error.js";
import type { Note } from "../snapshot.js";
import { linesOf } from "./text.js";

export interface Vmstat {
  readonly counters: Readonly<Record<string, number>>;
  readonly notes: readonly Note[];
}

export function parseVmstat(text: string, file = "vmstat"): Vmstat {
  const counters = new Map<string, number>();
  const beyond: string[] = [];
  linesOf(text).forEach((raw, i) => {
    if (raw.trim() === "") return;
    const m = /^([A-Za-z_][\w-]*) (-?\d{1,20})$/.exec(raw.trim());
    if (!m) throw new InputError({ file, line: i + 1 }, `not a line of vmstat: ${excerpt(raw)}`);
    const n = Number(m[2]);
    // Counters are summed per CPU without a lock: one that is briefly below
    // zero is printed as a number near 2^64, which says nothing.
    if (Number.isSafeInteger(n) && n >= 0) counters.set(m[1], n);
    else beyond.push(m[1]);
  });
  if (counters.size === 0) throw new InputError({ file }, "no counter in it");
  const notes = beyond.map((name) => ({
    subject: `${file} ${name}`,
    text: "not a count: left out",
  }));
  return { counters: Object.fromEntries(counters), notes };
}
