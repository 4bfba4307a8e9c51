/**
 * Crash dump: which pages the dump of a dead kernel has.
 *
 * The headers of the dump list the RAM, and nothing else; of what they list the filter
 * leaves out by struct page (zero pages, cache, user data, free pages). Neither a
 * device's range nor the one that private memory has stolen is RAM, so no page of a
 * device is ever in a dump; where private pages have no pfn there is nothing that could
 * be listed.
 *
 * Source: kernel/kexec_file.c, fs/proc/vmcore.c of 6.18 (walk_system_ram_res: "System
 * RAM" only); makedumpfile's dump levels. A reader outside of the kernel, so what it
 * takes for granted is the layout of struct page (simplified: the engine's answers).
 */
import {
  MISC_ZERO,
  T_ANON,
  T_ANON_EXCLUSIVE,
  T_BUDDY,
  T_FILE,
  T_KSM,
  T_MISC,
} from "../../design/word/axis-types.js";
import { nothingMet, type Met, type RawPfns } from "./raw-pfns.js";

// makedumpfile -d: what is left out.
export const DUMP_NO_ZERO = 1;
export const DUMP_NO_CACHE = 2 | 4;
export const DUMP_NO_USER = 8;
export const DUMP_NO_FREE = 16;

export interface CrashDump {
  readonly dumped: number;
  readonly left: {
    readonly zero: number;
    readonly cache: number;
    readonly user: number;
    readonly free: number;
  };
  readonly met: Met;
}

export class CrashDumps {
  readonly #pfns: RawPfns;

  constructor(pfns: RawPfns) {
    this.#pfns = pfns;
  }

  /** Pages of a dump at that level. */
  count(level: number): CrashDump {
    const left = { zero: 0, cache: 0, user: 0, free: 0 };
    const met = nothingMet();
    let dumped = 0;
    for (let pfn = 0; pfn < this.#pfns.ramEnd; pfn++) {
      this.#pfns.count(met, pfn);
      const why = this.#leftOut(this.#pfns.page(pfn), level);
      if (why === null) dumped++;
      else left[why]++;
    }
    return { dumped, left, met };
  }

  #leftOut(frame: number, level: number): keyof CrashDump["left"] | null {
    const { design } = this.#pfns.devices.base.core;
    const type = design.typeOf(frame);
    if ((level & DUMP_NO_FREE) !== 0 && type === T_BUDDY) return "free";
    if ((level & DUMP_NO_CACHE) !== 0 && type === T_FILE) return "cache";
    const user = type === T_ANON || type === T_ANON_EXCLUSIVE || type === T_KSM;
    if ((level & DUMP_NO_USER) !== 0 && user) return "user";
    const zero = type === T_MISC && design.subtypeOf(frame) === MISC_ZERO;
    return (level & DUMP_NO_ZERO) !== 0 && zero ? "zero" : null;
  }
}
