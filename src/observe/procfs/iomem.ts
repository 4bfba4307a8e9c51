/**
 * /proc/iomem: which frames are RAM ("System RAM" at the outermost level).
 *
 * Rule 6: a reader without CAP_SYS_ADMIN sees every address as zero; that is
 * told by name and gives no ranges. Only RAM ranges are kept, no device
 * addresses. A frame counts as RAM when all of it is, as in the kernel, where
 * a zone's present pages are whole frames (mm/memblock.c rounds inwards).
 */
import { pfn } from "../../units.js";
import { InputError } from "../input-error.js";
import type { Note, PfnRange } from "../snapshot.js";
import { linesOf } from "./text.js";

export interface Iomem {
  readonly ram: readonly PfnRange[] | null;
  readonly notes: readonly Note[];
}

/** Reads iomem; `ram` is null where the addresses are hidden or no RAM is listed. */
export function parseIomem(text: string, file = "iomem"): Iomem {
  const ram: { start: number; end: number }[] = [];
  let entries = 0;
  let hidden = true;
  let partly = 0;
  linesOf(text).forEach((raw, i) => {
    if (raw.trim() === "") return;
    const m = /^(\s*)([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.*)$/.exec(raw);
    if (!m) throw new InputError({ file, line: i + 1 }, "not a line of iomem");
    entries++;
    const first = parseInt(m[2], 16);
    const last = parseInt(m[3], 16);
    if (last < first) throw new InputError({ file, line: i + 1 }, "range ends before it begins");
    if (last !== 0) hidden = false;
    if (m[1] !== "" || m[4].trim() !== "System RAM") return;
    const start = Math.ceil(first / 4096);
    const end = Math.floor((last + 1) / 4096);
    partly += (first % 4096 !== 0 ? 1 : 0) + ((last + 1) % 4096 !== 0 ? 1 : 0);
    if (end > 2 ** 32) throw new InputError({ file, line: i + 1 }, "System RAM beyond 16 TiB");
    if (end > start) ram.push({ start, end });
  });
  if (entries === 0)
    return { ram: null, notes: [{ subject: file, text: "empty: RAM ranges unknown" }] };
  if (hidden) {
    return {
      ram: null,
      notes: [
        {
          subject: file,
          text: "all addresses are zero (read without CAP_SYS_ADMIN): RAM ranges unknown",
        },
      ],
    };
  }
  if (ram.length === 0)
    return {
      ram: null,
      notes: [{ subject: file, text: "lists no System RAM: RAM ranges unknown" }],
    };
  const notes: Note[] = [];
  if (partly > 0) {
    notes.push({
      subject: file,
      text: `${partly} frame${partly === 1 ? " is" : "s are"} only partly RAM and not counted as RAM`,
    });
  }
  return { ram: merged(ram).map((r) => ({ start: pfn(r.start), end: pfn(r.end) })), notes };
}

/** Ranges in ascending order, touching and overlapping ones joined. */
export function merged(
  ranges: readonly { start: number; end: number }[],
): { start: number; end: number }[] {
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  const out: { start: number; end: number }[] = [];
  for (const r of sorted) {
    const last = out[out.length - 1];
    if (last && r.start <= last.end) last.end = Math.max(last.end, r.end);
    else out.push({ start: r.start, end: r.end });
  }
  return out;
}
