/**
 * offset: one global address space of devices, whose ranges a tree hands out and
 * finds again. The first map starts at 0: a number of 0 is a page.
 *
 * Source: "Remove device private pages from physical address space" v6
 * (device-facts §2.4): device_private_pgmap_tree, mtree_alloc_range from 0 below
 * 1 << MAX_PHYSMEM_BITS, so that an offset fits wherever a pfn fits.
 */
import {
  deviceOffset,
  devicePage,
  type DeviceOffset,
  type DevicePage,
  type Ref,
} from "../../../units.js";
import { PGMAP, type DeviceNameContext, type OffsetNaming } from "./axis.js";
import { RangeTree } from "./offset-range-tree.js";

const EBUSY = -16;

export class OffsetName implements OffsetNaming {
  readonly name = "offset";
  readonly ownKind = true;
  readonly bits = { number: 31, space: 0 };
  /** mtree_alloc_range finds no gap. */
  readonly beyond = EBUSY;
  readonly tree: RangeTree;
  readonly #c: DeviceNameContext;

  constructor(context: DeviceNameContext) {
    this.#c = context;
    this.tree = new RangeTree({
      w: context.w,
      root: context.state,
      newNode: () => context.newNode(),
      freeNode: (node) => context.freeNode(node),
    });
  }

  assign(pgmap: Ref): number {
    const { w, physicalBits } = this.#c;
    const start = this.tree.alloc(w.load32(pgmap, PGMAP.pages), 2 ** (physicalBits - 12), pgmap);
    if (start < 0) return start;
    w.store32(pgmap, PGMAP.start, start);
    return 0;
  }

  retire(pgmap: Ref): void {
    this.tree.erase(this.#c.w.load32(pgmap, PGMAP.start));
  }

  find(lo: number, _hi: number): number {
    const { w } = this.#c;
    const pgmap = this.tree.load(lo >>> 0);
    if (pgmap === 0) return -1;
    return w.load32(pgmap, PGMAP.first) + lo - w.load32(pgmap, PGMAP.start);
  }

  mapOf(lo: number, _hi: number): Ref {
    return this.tree.load(lo >>> 0);
  }

  numberLow(page: number, pgmap: Ref): number {
    const { w } = this.#c;
    return w.load32(pgmap, PGMAP.start) + page - w.load32(pgmap, PGMAP.first);
  }

  numberHigh(_page: number, _pgmap: Ref): number {
    return 0;
  }

  offsetOf(page: DevicePage, pgmap: Ref): DeviceOffset {
    return deviceOffset(this.numberLow(page, pgmap));
  }

  pageOf(offset: DeviceOffset): DevicePage | -1 {
    const page = this.find(offset, 0);
    if (page < 0) return -1;
    this.#c.looked(page);
    return devicePage(page);
  }
}
