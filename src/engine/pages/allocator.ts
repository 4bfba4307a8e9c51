/**
 * The page allocator: zones in order of preference, watermarks, per-CPU lists,
 * and the buddy lists behind them.
 *
 * Orders 0–3 and the huge-page order go through per-CPU lists, filled and
 * drained in batches; everything else goes to the buddy lists. Failure is a
 * negative errno and leaves the machine as it was. What comes out belongs to
 * nobody yet: binding it to an owner is the caller's next step, as in the
 * kernel's frozen allocations.
 *
 * Source: mm/page_alloc.c of 6.18 (get_page_from_freelist, zone_watermark_ok,
 * rmqueue_bulk, free_pcppages_bulk, order_to_pindex). Simplified: per-CPU high
 * and batch are fixed at boot, not tuned while running; no reclaim, no high-atomic
 * reserve; every CPU is on node 0, and nodes are as far from it as their number
 * says. docs/fidelity.md has the whole list.
 */
import {
  PCP_BATCH,
  PCP_COUNT,
  PCP_HIGH,
  PCP_LISTS,
  ZONE_LOWMEM_RESERVE,
  ZONE_WATERMARK_LOW,
  ZONE_WATERMARK_MIN,
} from "../layout/generated/offsets.js";
import type { Ref } from "../../units.js";
import type { PageDesign } from "../design/word/axis.js";
import type { Words } from "../words/words.js";
import type { Buddy } from "./buddy.js";
import {
  MAX_ORDER,
  MIGRATE_ISOLATE,
  MIGRATE_MOVABLE,
  PAGEBLOCK_ORDER,
  ZONE_DEVICE,
  type ZoneConfig,
  type Zones,
} from "./zones.js";

/** Negative errno values, as the kernel's functions return them. */
export const ENOMEM = -12;
export const EINVAL = -22;

const COSTLY_ORDER = 3;
const LOW_LISTS = 12;
const PCP_LIST_COUNT = 14;
/** Types with per-CPU lists of their own (MIGRATE_PCPTYPES). */
export const PCP_TYPES = 3;
const FIRST = 0;
const LAST = 8;
const ZONE_DMA32 = 1;
const ZONE_NORMAL = 2;

/** How hard an allocation may try: an ordinary one ends at the min watermark … */
export const ALLOC_LOW = 0;
const ALLOC_MIN = 1;
/** … and one that ignores watermarks (__GFP_MEMALLOC) at nothing: for tests and for populating a full machine. */
export const ALLOC_NO_WATERMARKS = 2;

export class PageAllocator {
  readonly w: Words;
  readonly design: PageDesign;
  readonly buddy: Buddy;
  readonly zones: Zones;
  readonly cpus: number;
  readonly #pcpRefs: Int32Array;
  /** Zones from the most to the least preferred. */
  readonly #zonelist: Int32Array;
  readonly #node: Int32Array;
  readonly #zoneType: Int32Array;
  /** Zone of the block that was allocated last. */
  zone = 0;
  /** CPU that the caller runs on. */
  cpu = 0;
  /** Fault injection: after n more allocations the next one fails; −1 for never. */
  failAfter = -1;
  /** Allocations tried so far: set it to 0, and an operation shows how many points it has. */
  tried = 0;
  /** ALLOC_NOFRAGMENT on the fast path (alloc_flags_nofragment). */
  readonly #noFragment: boolean;

  constructor(buddy: Buddy, pcpRefs: Int32Array, cpus: number) {
    this.w = buddy.w;
    this.design = buddy.design;
    this.buddy = buddy;
    this.zones = buddy.zones;
    this.cpus = cpus;
    this.#pcpRefs = pcpRefs;
    // Memory of devices is never the allocator's.
    const order = [...this.zones.config.keys()].filter(
      (z) => this.zones.config[z].spanned > 0 && this.zones.config[z].type !== ZONE_DEVICE,
    );
    // Node 0 first, in each node from the highest zone down: build_zonelists for node 0.
    order.sort(
      (a, b) =>
        this.zones.config[a].node - this.zones.config[b].node ||
        this.zones.config[b].type - this.zones.config[a].type,
    );
    this.#zonelist = Int32Array.from(order);
    this.#node = Int32Array.from(this.zones.config, (z) => z.node);
    this.#zoneType = Int32Array.from(this.zones.config, (z) => z.type);
    this.#noFragment = avoidsFragments(order.map((z) => this.zones.config[z]));
  }

  #pcp(zone: number): Ref {
    return this.#pcpRefs[zone * this.cpus + this.cpu] as Ref;
  }

  pcpRef(zone: number, cpu: number): Ref {
    return this.#pcpRefs[zone * this.cpus + cpu] as Ref;
  }

  /**
   * A block of 2^order pages that belongs to nobody, or ENOMEM. `effort` says
   * how deep below the low watermark it may go.
   */
  alloc(order: number, migrateType: number, effort: number = ALLOC_LOW): number {
    this.tried++;
    if (this.failAfter >= 0 && this.failAfter-- === 0) return ENOMEM;
    if (order < 0 || order > MAX_ORDER) return ENOMEM;
    // The fast path keeps pageblocks pure and stays above the low watermark, then
    // gives up the first of these; the slow path, without the reclaim that would
    // come between, goes to min.
    const fast = effort === ALLOC_MIN ? ALLOC_LOW : effort;
    let pfn = this.#noFragment ? this.#fromZones(order, migrateType, fast, true) : ENOMEM;
    if (pfn < 0) pfn = this.#fromZones(order, migrateType, fast, false);
    if (pfn < 0 && effort !== ALLOC_NO_WATERMARKS)
      pfn = this.#fromZones(order, migrateType, ALLOC_MIN, false);
    return pfn;
  }

  /** get_page_from_freelist: the first zone in the list that may and can. */
  #fromZones(order: number, migrateType: number, effort: number, noFragment: boolean): number {
    for (let i = 0; i < this.#zonelist.length; i++) {
      const zone = this.#zonelist[i];
      // gfp_zone: only movable pages may be in ZONE_MOVABLE.
      if (this.#zoneType[zone] > ZONE_NORMAL && migrateType !== MIGRATE_MOVABLE) continue;
      // Staying on the node matters more than keeping pageblocks pure.
      if (noFragment && this.#node[zone] !== this.#node[this.#zonelist[0]]) return ENOMEM;
      if (!this.#watermarkOk(zone, order, effort, i)) continue;
      const pfn = this.#fromZone(zone, order, migrateType, noFragment);
      if (pfn < 0) continue;
      this.zone = zone;
      return pfn;
    }
    return ENOMEM;
  }

  /** zone_watermark_ok: enough would be left, and a block of that order is there, per-CPU lists apart. */
  #watermarkOk(zone: number, order: number, effort: number, place: number): boolean {
    if (effort === ALLOC_NO_WATERMARKS) return true;
    const ref = this.buddy.zoneRefs[zone] as Ref;
    const free = this.buddy.freePages(zone) - ((1 << order) - 1);
    // A zone that is only a fallback keeps its reserve for those who need it.
    const reserve = place === 0 ? 0 : this.w.load32(ref, ZONE_LOWMEM_RESERVE);
    const mark = this.w.load32(ref, effort === ALLOC_MIN ? ZONE_WATERMARK_MIN : ZONE_WATERMARK_LOW);
    if (free <= mark + reserve) return false;
    if (order === 0) return true;
    for (let o = order; o <= MAX_ORDER; o++) if (this.#hasUsable(zone, o)) return true;
    return false;
  }

  #hasUsable(zone: number, order: number): boolean {
    if (this.buddy.freeBlocks(zone, order) === 0) return false;
    for (let type = 0; type < PCP_TYPES; type++)
      if (this.buddy.firstFree(zone, order, type) >= 0) return true;
    return false;
  }

  #fromZone(zone: number, order: number, migrateType: number, noFragment: boolean): number {
    if (!hasList(order)) return this.buddy.take(zone, order, migrateType, noFragment);
    const pcp = this.#pcp(zone);
    const list = (pcp + ((PCP_LISTS >> 4) + listIndex(order, migrateType))) as Ref;
    let pfn = this.w.load32(list, FIRST) - 1;
    if (pfn < 0) {
      this.#fill(zone, pcp, list, order, migrateType, noFragment);
      pfn = this.w.load32(list, FIRST) - 1;
      if (pfn < 0) return -1;
    }
    this.#unlink(pcp, list, pfn, order);
    return pfn;
  }

  /** rmqueue_bulk: a batch from the buddy lists, kept in the order it came. */
  #fill(
    zone: number,
    pcp: Ref,
    list: Ref,
    order: number,
    migrateType: number,
    noFragment: boolean,
  ): void {
    const { w, buddy } = this;
    const blocks = blocksToFill(w.load32(pcp, PCP_BATCH), w.load32(pcp, PCP_HIGH), order);
    let stealing = false;
    for (let i = 0; i < blocks;) {
      // Once a block had to be stolen, the rest of the batch is stolen too (RMQUEUE_STEAL).
      let n = 1;
      let pfn = stealing ? -1 : buddy.takeRun(zone, order, migrateType, blocks - i);
      if (pfn >= 0) n = buddy.taken;
      else if (!stealing) pfn = buddy.takePure(zone, order, migrateType, noFragment);
      if (pfn < 0 && !noFragment) {
        pfn = buddy.steal(zone, order, migrateType);
        stealing = true;
      }
      if (pfn < 0) return;
      this.#append(list, pfn, order, n);
      w.add32(pcp, PCP_COUNT, n << order);
      i += n;
    }
  }

  /** `n` blocks one behind the other, to the end of a per-CPU list. */
  #append(list: Ref, first: number, order: number, n: number): void {
    const { w, design } = this;
    const size = 1 << order;
    const end = first + n * size;
    let last = w.load32(list, LAST) - 1;
    if (last >= 0) design.setNext(last, first);
    else w.store32(list, FIRST, first + 1);
    for (let pfn = first; pfn < end; pfn += size) {
      design.link(pfn, order, pfn + size < end ? pfn + size : -1, last, 1);
      last = pfn;
    }
    w.store32(list, LAST, last + 1);
  }

  #unlink(pcp: Ref, list: Ref, pfn: number, order: number): void {
    const { w, design } = this;
    const next = design.nextOf(pfn);
    const prev = design.prevOf(pfn);
    if (prev >= 0) design.setNext(prev, next);
    else w.store32(list, FIRST, next + 1);
    if (next >= 0) design.setPrev(next, prev);
    else w.store32(list, LAST, prev + 1);
    design.unlink(pfn);
    w.add32(pcp, PCP_COUNT, -(1 << order));
  }

  /** Gives back a block that nobody owns any more. Never allocates. */
  free(pfn: number, order: number): void {
    const zone = this.design.zoneOf(pfn);
    const blockType = this.zones.migrateTypeOf(pfn);
    if (!hasList(order) || blockType === MIGRATE_ISOLATE)
      return this.buddy.giveLarge(zone, pfn, order);
    // Lists are for three types; what is in a high-atomic block counts as movable there.
    const migrateType = blockType < PCP_TYPES ? blockType : MIGRATE_MOVABLE;
    const { w, design } = this;
    const pcp = this.#pcp(zone);
    const index = listIndex(order, migrateType);
    const list = (pcp + ((PCP_LISTS >> 4) + index)) as Ref;
    const first = w.load32(list, FIRST) - 1;
    design.link(pfn, order, first, -1, 1);
    if (first >= 0) design.setPrev(first, pfn);
    else w.store32(list, LAST, pfn + 1);
    w.store32(list, FIRST, pfn + 1);
    const count = w.add32(pcp, PCP_COUNT, 1 << order);
    const high = w.load32(pcp, PCP_HIGH);
    if (count >= high) this.#drain(zone, pcp, pagesToDrain(w.load32(pcp, PCP_BATCH), high), index);
  }

  /** free_pcppages_bulk: oldest first, the given list before the others. */
  #drain(zone: number, pcp: Ref, pages: number, index: number): void {
    const { w } = this;
    let left = Math.min(pages, w.load32(pcp, PCP_COUNT));
    while (left > 0) {
      const list = (pcp + ((PCP_LISTS >> 4) + index)) as Ref;
      const order = orderOfList(index);
      while (left > 0) {
        const pfn = w.load32(list, LAST) - 1;
        if (pfn < 0) break;
        this.#unlink(pcp, list, pfn, order);
        this.buddy.give(zone, pfn, order, this.zones.migrateTypeOf(pfn));
        left -= 1 << order;
      }
      index = index === PCP_LIST_COUNT - 1 ? 0 : index + 1;
    }
  }

  /** drain_all_pages: every CPU's lists back to the buddy lists. Returns the pages that were on them. */
  drainAll(): number {
    const was = this.cpu;
    let pages = 0;
    for (let zone = 0; zone < this.zones.config.length; zone++) {
      for (this.cpu = 0; this.cpu < this.cpus; this.cpu++) {
        pages += this.w.load32(this.#pcp(zone), PCP_COUNT);
        this.#drain(zone, this.#pcp(zone), Infinity, 0);
      }
    }
    this.cpu = was;
    return pages;
  }

  /** Free blocks on per-CPU lists: calls back with each. For checks and reports. */
  forEachPcp(visit: (pfn: number, order: number, zone: number) => void): void {
    for (let zone = 0; zone < this.zones.config.length; zone++) {
      for (let cpu = 0; cpu < this.cpus; cpu++) {
        for (let index = 0; index < PCP_LIST_COUNT; index++) {
          const list = (this.pcpRef(zone, cpu) + ((PCP_LISTS >> 4) + index)) as Ref;
          for (let pfn = this.w.load32(list, FIRST) - 1; pfn >= 0; pfn = this.design.nextOf(pfn)) {
            visit(pfn, orderOfList(index), zone);
          }
        }
      }
    }
  }
}

/** nr_pcp_alloc, without the doubling for bursts: blocks to fill an empty list with. */
function blocksToFill(batch: number, high: number, order: number): number {
  if (high < batch || batch <= 1) return 1;
  return Math.max(batch >> order, 2);
}

/** nr_pcp_free, without the growth for bursts: a batch, but a batch must stay. */
const pagesToDrain = (batch: number, high: number): number =>
  Math.max(1, Math.min(batch, high - batch));

/** alloc_flags_nofragment: where Normal is preferred and DMA32 is there to spread to. */
function avoidsFragments(zonelist: readonly ZoneConfig[]): boolean {
  const first = zonelist[0];
  if (first === undefined || first.type !== ZONE_NORMAL) return false;
  const oneNode = zonelist.every((z) => z.node === first.node);
  return oneNode || zonelist.some((z) => z.node === first.node && z.type === ZONE_DMA32);
}

/** pcp_allowed_order */
const hasList = (order: number): boolean => order <= COSTLY_ORDER || order === PAGEBLOCK_ORDER;

/** order_to_pindex: three types for each low order, then huge movable and huge other. */
const listIndex = (order: number, migrateType: number): number =>
  order > COSTLY_ORDER
    ? LOW_LISTS + (migrateType === MIGRATE_MOVABLE ? 1 : 0)
    : 3 * order + migrateType;

const orderOfList = (index: number): number =>
  index >= LOW_LISTS ? PAGEBLOCK_ORDER : Math.floor(index / 3);
