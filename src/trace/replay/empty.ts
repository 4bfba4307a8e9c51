/**
 * A machine that a trace without a snapshot begins on: all of its frames free, in
 * the zones of the traced one where its zoneinfo is known.
 */
import { assemble } from "../../observe/assemble.js";
import { KPF } from "../../observe/kpageflags.js";
import { PageRunsBuilder } from "../../observe/page-runs-builder.js";
import { parseZoneinfo } from "../../observe/procfs/zoneinfo.js";
import type { Snapshot } from "../../observe/snapshot.js";

/** Frames of a section: machines are counted in whole ones. */
const SECTION = 32_768;
/** Frames that are pushed at once. */
const PIECE = 1 << 16;

/** Where the last zone that has memory ends. Throws InputError for a zoneinfo that is none. */
const endOf = (zoneinfo: string): number =>
  parseZoneinfo(zoneinfo)
    .zones.filter((zone) => zone.present > 0)
    .reduce((end, zone) => Math.max(end, zone.start + zone.spanned), 0);

/** A snapshot in which every frame is free. `zoneinfo` is the text of that file, or null. */
export function emptySnapshot(frames: number, zoneinfo: string | null): Snapshot {
  const pages = new PageRunsBuilder();
  const end = zoneinfo === null ? 0 : endOf(zoneinfo);
  const total = Math.max(SECTION, Math.ceil(Math.max(frames, end) / SECTION) * SECTION);
  const words = new Uint32Array(PIECE * 2);
  for (let i = 0; i < words.length; i += 2) words[i] = 1 << KPF.BUDDY;
  for (let at = 0; at < total; at += PIECE)
    pages.push(Math.min(PIECE, total - at), words, null, null);
  return assemble({
    label: "an empty machine",
    origin: "folder",
    pages: pages.finish(),
    hasMapcount: false,
    hasCgroup: false,
    texts: zoneinfo === null ? {} : { zoneinfo },
    sys: null,
    structSizes: null,
    notes: [],
  });
}
