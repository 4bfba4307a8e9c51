/**
 * /proc/buddyinfo: free blocks by node, zone and order (mm/vmstat.c).
 *
 * Used for reconciliation only: the pages themselves come from kpageflags.
 */
import { nodeId } from "../../units.js";
import { excerpt, InputError } from "../input-error.js";
import type { BuddyInfo } from "../snapshot.js";
import { linesOf, parseCount, wordsOf } from "./text.js";

/** Most orders a kernel has ever had (MAX_PAGE_ORDER of arm64 with 64K pages is 13). */
const MAX_ORDERS = 64;

export function parseBuddyinfo(text: string, file = "buddyinfo"): BuddyInfo[] {
  const rows: BuddyInfo[] = [];
  linesOf(text).forEach((raw, i) => {
    const line = i + 1;
    if (raw.trim() === "") return;
    const m = /^Node (\d+), zone\s+(\S+)\s+(\d[\d\s]*)$/.exec(raw);
    if (!m) throw new InputError({ file, line }, `not a line of buddyinfo: ${excerpt(raw)}`);
    const free = wordsOf(m[3]).map((w) => parseCount(w, "free blocks", file, line));
    if (free.length > MAX_ORDERS)
      throw new InputError({ file, line }, `${free.length} orders, more than any kernel has`);
    rows.push({ node: nodeId(parseCount(m[1], "node", file, line)), zone: m[2], free });
  });
  return rows;
}
