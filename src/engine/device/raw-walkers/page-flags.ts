/**
 * /proc/kpageflags: what every page of the machine is, by pfn.
 *
 * The reader asks for the online page and says NOPAGE where there is none. So pages of
 * devices, which a scan does come by (private ones too where they have pfns), read as no
 * page in every naming: nothing is assumed of them and nothing is said.
 *
 * Source: fs/proc/page.c of 6.18 (kpageflags_read, stable_page_flags).
 */
import { FLAG_NAMES } from "../../design/word/axis-flag-names.js";
import { TYPE_NAMES } from "../../design/word/axis-types.js";
import { nothingMet, type Met, type RawPfns } from "./raw-pfns.js";

/** One word of the file; null is KPF_NOPAGE. */
export type PageFlags = {
  readonly type: (typeof TYPE_NAMES)[number];
  readonly flags: readonly string[];
  readonly poisoned: boolean;
} | null;

export class PageFlagsFile {
  readonly #pfns: RawPfns;

  constructor(pfns: RawPfns) {
    this.#pfns = pfns;
  }

  /** The word of one pfn. */
  at(pfn: number): PageFlags {
    const frame = this.#pfns.online(pfn);
    if (frame < 0) return null;
    const { design } = this.#pfns.devices.base.core;
    const bits = design.pageFlagsOf(frame);
    return {
      type: TYPE_NAMES[design.typeOf(frame)],
      flags: FLAG_NAMES.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name),
      poisoned: design.isPoisoned(frame),
    };
  }

  /** Reads the whole file: pages by type, what the scan came by, and pfns that read NOPAGE. */
  readAll(): {
    readonly types: ReadonlyMap<string, number>;
    readonly met: Met;
    readonly noPage: number;
  } {
    const types = new Map<string, number>();
    const met = nothingMet();
    let noPage = 0;
    this.#pfns.forEach((pfn) => {
      this.#pfns.count(met, pfn);
      const word = this.at(pfn);
      if (word === null) noPage++;
      else types.set(word.type, (types.get(word.type) ?? 0) + 1);
    });
    return { types, met, noPage };
  }
}
