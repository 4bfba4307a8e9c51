/**
 * Nodes, zones, pageblocks: where a frame is, and what its pageblock is for.
 *
 * A machine's zones are given as spans; spans may overlap (two nodes that
 * interleave), so who owns a frame is decided once, at boot, as a list of runs.
 * Designs whose words have no room for node and zone rebuild them from a table
 * of one byte per pageblock in words, which is part of what they cost; the
 * migrate type of each pageblock is four bits in words, as in the kernel, and
 * the same in every design.
 *
 * Facts: include/linux/mmzone.h (zone types, pageblock bits), memdesc-facts §5.
 */
import type { Ref } from "../../units.js";
import type { Words } from "../words/words.js";
import { locationBits } from "../design/word/axis-flags.js";
import type { ZoneMap } from "../design/word/axis.js";

export const ZONE_TYPES = ["DMA", "DMA32", "Normal", "Movable", "Device"] as const;
export const ZONE_DEVICE = ZONE_TYPES.indexOf("Device");
export const MAX_ORDER = 10;
export const PAGEBLOCK_ORDER = 9;
export const PAGEBLOCK_PAGES = 1 << PAGEBLOCK_ORDER;
/** Pages of a SPARSEMEM section: 128 MiB, what the page array is made in. */
export const SECTION_PAGES = 32768;

export const MIGRATE_UNMOVABLE = 0;
export const MIGRATE_MOVABLE = 1;
export const MIGRATE_RECLAIMABLE = 2;
export const MIGRATE_HIGHATOMIC = 3;
export const MIGRATE_ISOLATE = 4;
export const MIGRATE_TYPES = 5;

/** One zone of a machine to be booted. */
export interface ZoneConfig {
  readonly node: number;
  /** Index into ZONE_TYPES. */
  readonly type: number;
  /** First frame and frames spanned. */
  readonly start: number;
  readonly spanned: number;
  readonly min: number;
  readonly low: number;
  readonly high: number;
  readonly reserve: number;
}

/** A stretch of frames that one zone owns. */
export interface ZoneRun {
  readonly start: number;
  readonly end: number;
  readonly zone: number;
}

/**
 * Decides who owns each frame: the zone that spans it; where several do, the one
 * of the node that `owners` names for it, else the first of them; where none does
 * (struct pages before the first or beyond the last frame), the nearest zone.
 */
export function zoneRuns(
  zones: readonly ZoneConfig[],
  frames: number,
  owners: readonly { readonly start: number; readonly end: number; readonly node: number }[] = [],
): ZoneRun[] {
  const cuts = new Set([0, frames]);
  for (const z of zones)
    cuts.add(Math.min(z.start, frames)).add(Math.min(z.start + z.spanned, frames));
  for (const o of owners) cuts.add(Math.min(o.start, frames)).add(Math.min(o.end, frames));
  const at = [...cuts].toSorted((a, b) => a - b);
  const runs: ZoneRun[] = [];
  for (let i = 0; i + 1 < at.length; i++) {
    const [start, end] = [at[i], at[i + 1]];
    const zone = ownerOf(zones, start, owners);
    const last = runs.at(-1);
    if (last && last.zone === zone) runs[runs.length - 1] = { start: last.start, end, zone };
    else runs.push({ start, end, zone });
  }
  return runs;
}

function ownerOf(
  zones: readonly ZoneConfig[],
  pfn: number,
  owners: readonly { readonly start: number; readonly end: number; readonly node: number }[],
): number {
  const node = owners.find((o) => pfn >= o.start && pfn < o.end)?.node;
  let found = -1;
  let nearest = -1;
  let distance = Infinity;
  for (const [i, z] of zones.entries()) {
    if (z.spanned === 0) continue;
    const inside = pfn >= z.start && pfn < z.start + z.spanned;
    if (inside && (found < 0 || z.node === node)) found = i;
    const away = pfn < z.start ? z.start - pfn : pfn - (z.start + z.spanned);
    if (away < distance) [nearest, distance] = [i, away];
  }
  return found >= 0 ? found : nearest;
}

/** Zones, who owns which frame, and the per-pageblock tables in words. */
export class Zones implements ZoneMap {
  readonly byKey: Int16Array;
  readonly bits: Int32Array;
  readonly start: Float64Array;
  readonly config: readonly ZoneConfig[];
  readonly runs: readonly ZoneRun[];
  readonly #w: Words;
  /** One byte per pageblock; 0 where this design needs no such table. */
  readonly #table: Ref;
  readonly #blocks: Ref;

  constructor(
    w: Words,
    config: readonly ZoneConfig[],
    runs: readonly ZoneRun[],
    table: Ref,
    blocks: Ref,
  ) {
    this.#w = w;
    this.#table = table;
    this.#blocks = blocks;
    this.config = config;
    this.runs = runs;
    this.byKey = new Int16Array(1 << 13).fill(-1);
    this.bits = new Int32Array(config.length);
    this.start = new Float64Array(config.length);
    for (const [i, z] of config.entries()) {
      this.byKey[z.node * 8 + z.type] = i;
      this.bits[i] = locationBits(z.node, z.type);
      this.start[i] = z.start;
    }
    if (table !== 0) this.#fillTable();
  }

  /**
   * A pageblock that two zones share cannot be told apart by one byte: refused.
   * Kernels align zones to pageblocks but for the first frame of the machine.
   */
  #fillTable(): void {
    for (const [i, run] of this.runs.entries()) {
      const first = Math.floor(run.start / PAGEBLOCK_PAGES);
      if (i > 0 && run.start % PAGEBLOCK_PAGES !== 0) {
        throw new RangeError(
          `zones meet inside a pageblock at frame ${run.start}: one byte per pageblock cannot tell them apart`,
        );
      }
      const last = Math.ceil(run.end / PAGEBLOCK_PAGES);
      for (let block = first; block < last;) {
        if (block % 4 === 0 && block + 4 <= last) {
          // Four blocks a word, whole words at once.
          const words = Math.floor((last - block) / 4);
          const same = new Int32Array([run.zone * 0x01010101]);
          this.#w.fillRun(this.#table, block, same, words, null, 0, 0);
          block += words * 4;
        } else this.#setByte(block++, run.zone);
      }
    }
  }

  #setByte(block: number, zone: number): void {
    const off = block & ~3;
    const shift = (block & 3) * 8;
    const word = this.#w.load32(this.#table, off);
    this.#w.store32(this.#table, off, (word & ~(0xff << shift)) | (zone << shift));
  }

  zoneOf(pfn: number): number {
    if (this.#table === 0) return this.ownerOf(pfn);
    const block = pfn >>> PAGEBLOCK_ORDER;
    return (this.#w.load32(this.#table, block & ~3) >>> ((block & 3) * 8)) & 0xff;
  }

  /** Frames that are made to belong to another zone while it runs: a device's range gets its node. */
  setZone(start: number, end: number, zone: number): void {
    if (this.#table === 0) return;
    for (let block = start >>> PAGEBLOCK_ORDER; block < end / PAGEBLOCK_PAGES; block++)
      this.#setByte(block, zone);
  }

  /** Zone of a frame from the boot configuration; not hot. */
  ownerOf(pfn: number): number {
    let lo = 0;
    let hi = this.runs.length - 1;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (this.runs[mid].start <= pfn) lo = mid;
      else hi = mid - 1;
    }
    return this.runs[lo].zone;
  }

  /** get_pageblock_migratetype */
  migrateTypeOf(pfn: number): number {
    const block = pfn >>> PAGEBLOCK_ORDER;
    return (this.#w.load32(this.#blocks, (block >>> 3) << 2) >>> ((block & 7) << 2)) & 7;
  }

  /** set_pageblock_migratetype */
  setMigrateType(pfn: number, type: number): void {
    const block = pfn >>> PAGEBLOCK_ORDER;
    const off = (block >>> 3) << 2;
    const shift = (block & 7) << 2;
    const word = this.#w.load32(this.#blocks, off);
    this.#w.store32(this.#blocks, off, (word & ~(15 << shift)) | (type << shift));
  }

  /** Boot: every pageblock is movable (memmap_init). */
  setAllMovable(frames: number): void {
    const blocks = Math.ceil(frames / PAGEBLOCK_PAGES);
    this.#w.fillRun(
      this.#blocks,
      0,
      new Int32Array([0x11111111 * MIGRATE_MOVABLE]),
      Math.ceil(blocks / 8),
      null,
      0,
      0,
    );
  }
}
