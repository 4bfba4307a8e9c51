/**
 * /proc/vmallocinfo: how many areas there are and how many pages they hold
 * (mm/vmalloc.c). Addresses and callers are read over and not kept.
 */
import { pageCount } from "../../units.js";
import { excerpt, InputError } from "../input-error.js";
import type { VmallocInfo } from "../snapshot.js";
import { linesOf, parseCount } from "./text.js";

export function parseVmallocinfo(text: string, file = "vmallocinfo"): VmallocInfo {
  let areas = 0;
  let pages = 0;
  linesOf(text).forEach((raw, i) => {
    if (raw.trim() === "") return;
    if (!/^(?:0x)?[0-9a-fA-F]{1,16}-(?:0x)?[0-9a-fA-F]{1,16}\s+\d+/.test(raw)) {
      throw new InputError({ file, line: i + 1 }, `not a line of vmallocinfo: ${excerpt(raw)}`);
    }
    areas++;
    const m = /\spages=(\d+)/.exec(raw);
    if (m) pages += parseCount(m[1], "pages", file, i + 1);
  });
  if (!Number.isSafeInteger(pages))
    throw new InputError({ file }, "areas hold more than 2^53 pages");
  return { areas, pages: pageCount(pages) };
}
