/** /proc/slabinfo, format 2.x: one line per slab cache (mm/slab_common.c). */
import { excerpt, InputError } from "../input-error.js";
import type { SlabInfo } from "../snapshot.js";
import { linesOf, parseCount } from "./text.js";

const LINE =
  /^(\S.*?)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+: tunables\s+\d+\s+\d+\s+\d+\s+: slabdata\s+(\d+)\s+(\d+)\s+\d+/;

export function parseSlabinfo(text: string, file = "slabinfo"): SlabInfo[] {
  const lines = linesOf(text);
  const version = /^slabinfo - version: (\S+)/.exec(lines[0] ?? "");
  if (!version)
    throw new InputError({ file, line: 1 }, "does not begin with `slabinfo - version:`");
  if (!/^2\.\d+$/.test(version[1])) {
    throw new InputError(
      { file, line: 1 },
      `slabinfo version ${excerpt(version[1])} is not known`,
      "2.x is",
    );
  }
  const rows: SlabInfo[] = [];
  lines.forEach((raw, i) => {
    const line = i + 1;
    if (i === 0 || raw.startsWith("#") || raw.trim() === "") return;
    const m = LINE.exec(raw);
    if (!m) throw new InputError({ file, line }, `not a line of slabinfo: ${excerpt(raw)}`);
    const n = (k: number, what: string): number => parseCount(m[k], what, file, line);
    rows.push({
      name: m[1],
      activeObjects: n(2, "active_objs"),
      objects: n(3, "num_objs"),
      objectSize: n(4, "objsize"),
      objectsPerSlab: n(5, "objperslab"),
      pagesPerSlab: n(6, "pagesperslab"),
      slabs: n(8, "num_slabs"),
    });
  });
  return rows;
}
