/**
 * What each run of objects of a snapshot is for the engine: page type, flags,
 * mapping bits, counts.
 *
 * This is where kinds that /proc shows meet the types that a design has. A kind
 * whose type has no descriptor in the design (or in its table of types) becomes
 * Misc of unknown owner; a charged kernel page becomes accounted memory. Facts:
 * memdesc-facts §7.4.
 */
import type { PageDesign, PageImage } from "../../engine/design/word/axis.js";
import { MAPPING_ANON, MAPPING_KSM, PG_HWPOISON } from "../../engine/design/word/axis-flags.js";
import {
  MISC_OFFLINE,
  MISC_RESERVED,
  MISC_UNKNOWN,
  MISC_ZERO,
  T_ACCTMEM,
  T_ANON,
  T_FILE,
  T_HWPOISON,
  T_KSM,
  T_MISC,
  T_PGTABLE,
  T_SLAB,
  type PageType,
} from "../../engine/design/word/axis-types.js";
import { hasBit, KPF } from "../kpageflags.js";
import { kindOf, type Kind } from "../kinds.js";
import { CGROUP_VARIES, FLAGS_VARY, VARIES, type Classification } from "../objects.js";
import type { Snapshot } from "../snapshot.js";
import { pageFlags } from "./page-flags.js";

/** Type and Misc subtype of a kind; null for frames that are nobody's. */
function typeOf(
  kind: Kind,
  anon: boolean,
  charged: boolean,
  design: PageDesign,
): { type: PageType; subtype: number } | null {
  const misc = (subtype: number) => ({ type: T_MISC, subtype });
  const typed = (type: PageType) => ({ type, subtype: 0 });
  const described = (type: PageType) =>
    design.cacheFor(type, 0) >= 0 ? typed(type) : misc(MISC_UNKNOWN);
  switch (kind) {
    case "file":
    case "shmem":
      return typed(T_FILE);
    case "anon":
      return typed(T_ANON);
    case "ksm":
      return typed(T_KSM);
    case "hugetlb":
      return typed(anon ? T_ANON : T_FILE);
    case "slab":
      return typed(T_SLAB);
    case "page-table":
      return typed(T_PGTABLE);
    case "hwpoison":
      return described(T_HWPOISON);
    case "zero":
      return misc(MISC_ZERO);
    case "offline":
      return misc(MISC_OFFLINE);
    case "reserved":
      return misc(MISC_RESERVED);
    case "kernel":
      return charged ? described(T_ACCTMEM) : misc(MISC_UNKNOWN);
    case "uninitialised":
      // What memmap_init leaves: a page that nobody has yet, not one that is reserved.
      return misc(MISC_UNKNOWN);
    case "free":
    case "metadata":
    case "absent":
      return null;
    default:
      return kind satisfies never;
  }
}

/** Images by run, for one snapshot and one design. */
export class Images {
  readonly #snapshot: Snapshot;
  readonly #classification: Classification;
  readonly #design: PageDesign;
  /** PG_ flags of each distinct flag word. */
  readonly #flags: Int32Array;

  constructor(snapshot: Snapshot, classification: Classification, design: PageDesign) {
    this.#snapshot = snapshot;
    this.#classification = classification;
    this.#design = design;
    const { lo, hi, length } = snapshot.flagWords;
    this.#flags = Int32Array.from({ length }, (_, i) => pageFlags(lo[i], hi[i]));
  }

  /** PG_ flags that a flag word shows. */
  flagsOf(word: number): number {
    return this.#flags[word];
  }

  /** What run i is, but for its zone; null where nobody owns the frames. */
  of(i: number): Omit<PageImage, "zone"> | null {
    const { objects, ksmUnknown, tailFlags } = this.#classification;
    const { flagWords, cgroups } = this.#snapshot;
    const word = objects.headFlags[i];
    const lo = flagWords.lo[word];
    const hi = flagWords.hi[word];
    const anon = hasBit(lo, hi, KPF.ANON);
    const cgroup = objects.cgroup[i] === CGROUP_VARIES ? 0 : cgroups[objects.cgroup[i]];
    // Where every anonymous page has the KSM bit, it says nothing.
    const ksm = hasBit(lo, hi, KPF.KSM) && !ksmUnknown;
    const kind = kindOf(objects.kind[i]);
    const what = typeOf(kind, anon, cgroup !== 0, this.#design) ?? unownedType(kind, lo, hi);
    if (what === null) return null;
    const order = Math.log2(objects.pages[i]);
    const uniform = objects.mapcount[i] !== VARIES;
    const tail = objects.tailFlags[i];
    // Spelled out, not spread: one shape for every run is several times as fast.
    return {
      type: what.type,
      subtype: what.subtype,
      mappable: what.type === T_MISC && hasBit(lo, hi, KPF.MMAP),
      order,
      // Inside a compound page hwpoison is one page's, and is set on it afterwards.
      flags: order > 0 ? this.#flags[word] & ~PG_HWPOISON : this.#flags[word],
      tailFlags:
        tailFlags === "folio" || tail === FLAGS_VARY || order === 0
          ? 0
          : this.#flags[tail] & ~PG_HWPOISON,
      mappingBits: ksm ? MAPPING_KSM : anon ? MAPPING_ANON : 0,
      mapcount: uniform ? objects.mapcount[i] : 0,
      memcg: cgroup * 16,
      hugetlb: kind === "hugetlb",
      rmappable: hasBit(lo, hi, KPF.THP) && kind !== "zero",
      slabCache: 0,
      slabInuse: 0,
    };
  }
}

/** Struct pages of a section beyond the last frame are marked reserved: they are kept so. */
function unownedType(
  kind: Kind,
  lo: number,
  hi: number,
): { type: PageType; subtype: number } | null {
  return kind === "absent" && hasBit(lo, hi, KPF.RESERVED)
    ? { type: T_MISC, subtype: MISC_RESERVED }
    : null;
}
