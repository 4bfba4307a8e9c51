/** /proc/meminfo: bytes by field name (fs/proc/meminfo.c); fields without kB stay counts. */
import { excerpt, InputError } from "../input-error.js";
import { linesOf, parseCount } from "./text.js";

export function parseMeminfo(text: string, file = "meminfo"): Record<string, number> {
  const fields = new Map<string, number>();
  linesOf(text).forEach((raw, i) => {
    if (raw.trim() === "") return;
    const m = /^([A-Za-z_][\w()]*):\s+(\d+)( kB)?\s*$/.exec(raw);
    if (!m) throw new InputError({ file, line: i + 1 }, `not a line of meminfo: ${excerpt(raw)}`);
    const n = parseCount(m[2], m[1], file, i + 1) * (m[3] === undefined ? 1 : 1024);
    if (!Number.isSafeInteger(n))
      throw new InputError({ file, line: i + 1 }, `${m[1]} is beyond 2^53 bytes`);
    fields.set(m[1], n);
  });
  if (fields.size === 0) throw new InputError({ file }, "no field in it");
  return Object.fromEntries(fields);
}
