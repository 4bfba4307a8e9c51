/**
 * Everything that can be asked of one page frame, in one answer that means the
 * same in every design: what it is, who counts it, its flags by name.
 *
 * Reads words and writes none. What a design does not keep is null, and what it
 * can only guess says so.
 */
import { countsBarePages } from "../design/word/axis.js";
import { FLAG_NAMES } from "../design/word/axis-flag-names.js";
import {
  FL_HUGETLB,
  FL_LARGE_RMAPPABLE,
  PG_DIRTY,
  PG_HEAD,
  PG_LOCKED,
  PG_OWNER_2,
  PG_OWNER_PRIV_1,
  PG_SWAPBACKED,
} from "../design/word/axis-flags.js";
import {
  isFolioType,
  MISC_NAMES,
  T_ANON,
  T_ANON_EXCLUSIVE,
  T_MISC,
  TYPE_NAMES,
} from "../design/word/axis-types.js";
import type { Ref } from "../../units.js";
import { wholeNumber } from "./arguments.js";
import type { Base } from "./base.js";
import { PIN_BIAS } from "./folio-fields.js";

/** What is known of a page frame: see `Kernel.page`. */
export interface PageFacts {
  readonly pfn: number;
  /** `anon`, `file`, `ksm`, `slab`, `page-table`, `buddy` (free), `misc/unknown` (alloc_pages), … */
  readonly type: string;
  /** First frame of the block that it belongs to. */
  readonly block: number;
  /** The block has 2^order pages. */
  readonly order: number;
  /** A folio of the hugetlb pool. */
  readonly hugetlb: boolean;
  /** References of its folio, or of the page where bare pages are counted; null where nothing counts. */
  readonly refcount: number | null;
  /** folio_mapcount: all mappings of its folio; null for what is no folio. */
  readonly mapcount: number | null;
  /** Mappings of this very page; null where the design keeps no such count, or it is no folio's. */
  readonly pageMapcount: number | null;
  /** Whether any page of its folio is mapped. */
  readonly mapped: boolean;
  /**
   * Pins (FOLL_PIN) of its folio, where they are counted. `"maybe"` where a pin is
   * 1024 references and there are as many, as folio_maybe_dma_pinned says; null for
   * what is no folio.
   */
  readonly pins: number | "maybe" | null;
  /** PageAnonExclusive of this very page; false for what is not anonymous. */
  readonly exclusive: boolean;
  readonly dirty: boolean;
  readonly locked: boolean;
  /** Place in its file or mapping, pages; null for what is no folio. */
  readonly index: number | null;
  /** Memory cgroup that pays for its folio; 0 for none. */
  readonly memcg: Ref;
  /** Flags of its folio by the kernel's names, alike in all designs: `uptodate`, `lru`, `swapcache`, … */
  readonly flags: readonly string[];
}

/** What the design alone says in a flags word, or another field here says. */
const ELSEWHERE = PG_HEAD | FL_HUGETLB | FL_LARGE_RMAPPABLE;

/** Facts of a frame. Throws RangeError for one that the machine does not have. */
export function pageFacts(base: Base, pfn: number): PageFacts {
  const { core, folios, counts, w } = base;
  const { design, machine } = core;
  wholeNumber("a frame", pfn, 0, machine.config.frames - 1);
  const type = design.typeOf(pfn);
  const block = design.blockOf(pfn);
  const order = design.orderOf(pfn);
  const shared = { pfn, type: typeName(base, pfn), block, order };
  if (!isFolioType(type)) {
    const counted = type === T_MISC && countsBarePages(design);
    const refcount = counted ? w.load32(design.wordsOf(block).ref, design.bareRefcount) : null;
    return { ...NO_FOLIO, ...shared, refcount };
  }
  const folio = design.descriptorOf(pfn);
  const anon = type === T_ANON || type === T_ANON_EXCLUSIVE;
  const flags = folios.flags(folio);
  return {
    ...shared,
    hugetlb: order > 0 && design.folioClassOf(pfn) === 1,
    refcount: folios.refcount(folio),
    mapcount: counts.total(folio, order),
    pageMapcount: design.mapcounts === "per-page" ? design.mapcountOf(pfn) : null,
    mapped: design.isMapped(pfn),
    pins: pinsOf(base, folio, order),
    exclusive: anon && design.isExclusive(pfn),
    dirty: (flags & PG_DIRTY) !== 0,
    locked: (flags & PG_LOCKED) !== 0,
    index: folios.index(folio) + pfn - block,
    memcg: core.pointer(folio, core.layout.memcg),
    flags: flagNames(anon ? flags & ~PG_OWNER_2 : flags),
  };
}

const NO_FOLIO = {
  hugetlb: false,
  mapcount: null,
  pageMapcount: null,
  mapped: false,
  pins: null,
  exclusive: false,
  dirty: false,
  locked: false,
  index: null,
  memcg: 0 as Ref,
  flags: [],
} as const;

/** The type as people call it, the same in every design. */
function typeName({ core: { design } }: Base, pfn: number): string {
  const type = design.typeOf(pfn);
  if (type === T_MISC) return `misc/${MISC_NAMES[design.subtypeOf(pfn)] ?? "unassigned"}`;
  // Some designs spend a type on what others keep as a flag.
  return TYPE_NAMES[type === T_ANON_EXCLUSIVE ? T_ANON : type];
}

function pinsOf({ core, folios, w }: Base, folio: Ref, order: number): number | "maybe" {
  const { layout } = core;
  const at = order > 0 ? layout.pincount : layout.smallPincount;
  if (at >= 0) return w.load32(core.rest(folio), at);
  return folios.refcount(folio) >= PIN_BIAS ? "maybe" : 0;
}

/** Bit 10 of what swap backs is PG_swapcache. */
function flagNames(flags: number): string[] {
  const swapcache = (flags & PG_OWNER_PRIV_1) !== 0 && (flags & PG_SWAPBACKED) !== 0;
  return FLAG_NAMES.filter(([bit]) => (flags & bit & ~ELSEWHERE) !== 0).map(([bit, name]) =>
    swapcache && bit === PG_OWNER_PRIV_1 ? "swapcache" : name,
  );
}
