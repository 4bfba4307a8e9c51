/**
 * tuple: (space, index). Every page map is a space of its own, its pages counted
 * from 0; there is no conversion to or from a pfn.
 *
 * A space is a row of a table: where its records begin, how many, which page map.
 * An entry has 16 bits for the space and 32 for the index, so that both and the
 * two bits that migration entries keep for young and dirty fit the 50 that x86-64
 * leaves; the engine's indexes end at 2^31 pages. 65,536 page maps are the limit.
 *
 * Source: Gunthorpe, August 2025 (device-facts §3.4); the table, the widths and
 * the lowest free space first are invented.
 */
import {
  deviceIndex,
  devicePage,
  spaceId,
  type DeviceIndex,
  type DevicePage,
  type Ref,
  type SpaceId,
} from "../../../units.js";
import {
  DEVICE_SPACE_FIRST,
  DEVICE_SPACE_NR_PAGES,
  DEVICE_SPACE_PGMAP,
  DEVICE_SPACE_SIZE,
} from "../../layout/generated/offsets.js";
import { PGMAP, type DeviceNameContext, type TupleNaming } from "./axis.js";

const SPACES = 2 ** 16;
/** Beside the number of spaces that were ever in use: where the lowest free one may be. */
const FROM = 4;
const ENOSPC = -28;
const ENOMEM = -12;
const EOVERFLOW = -75;

export class TupleName implements TupleNaming {
  readonly name = "tuple";
  readonly ownKind = true;
  readonly bits = { number: 32, space: 16 };
  readonly beyond = EOVERFLOW;
  readonly #c: DeviceNameContext;

  constructor(context: DeviceNameContext) {
    this.#c = context;
  }

  /** Row of a space; `state` counts spaces up to the last in use: no row beyond is there. */
  #row(space: number): Ref {
    return (this.#c.spaces + (space * DEVICE_SPACE_SIZE) / 16) as Ref;
  }

  assign(pgmap: Ref): number {
    const { w, state } = this.#c;
    const used = w.load32(state, 0);
    // All spaces below are in use.
    let space = w.load32(state, FROM);
    while (space < used && w.load32(this.#row(space), DEVICE_SPACE_PGMAP) !== 0) space++;
    if (space === SPACES) return ENOSPC;
    if (space === used) {
      if (!this.#c.takeSpace(space)) return ENOMEM;
      w.store32(state, 0, used + 1);
    }
    w.store32(state, FROM, space + 1);
    const row = this.#row(space);
    w.store32(row, DEVICE_SPACE_FIRST, w.load32(pgmap, PGMAP.first));
    w.store32(row, DEVICE_SPACE_NR_PAGES, w.load32(pgmap, PGMAP.pages));
    w.store32(row, DEVICE_SPACE_PGMAP, pgmap);
    w.store32(pgmap, PGMAP.space, space);
    return 0;
  }

  retire(pgmap: Ref): void {
    const { w, state } = this.#c;
    const space = w.load32(pgmap, PGMAP.space);
    w.store64(this.#row(space), DEVICE_SPACE_FIRST, 0, 0);
    w.store32(this.#row(space), DEVICE_SPACE_PGMAP, 0);
    w.store32(state, FROM, Math.min(space, w.load32(state, FROM)));
    // Rows behind the last space in use go, so that the table is what its spaces need.
    let used = w.load32(state, 0);
    while (used > 0 && w.load32(this.#row(used - 1), DEVICE_SPACE_PGMAP) === 0) {
      used--;
      this.#c.giveSpace(used);
    }
    w.store32(state, 0, used);
  }

  find(lo: number, hi: number): number {
    const row = this.#row(hi);
    const pages = this.#c.w.load32(row, DEVICE_SPACE_NR_PAGES);
    if (lo >>> 0 >= pages) return -1;
    return this.#c.w.load32(row, DEVICE_SPACE_FIRST) + lo;
  }

  mapOf(lo: number, hi: number): Ref {
    const row = this.#row(hi);
    if (lo >>> 0 >= this.#c.w.load32(row, DEVICE_SPACE_NR_PAGES)) return 0 as Ref;
    return this.#c.w.load32(row, DEVICE_SPACE_PGMAP) as Ref;
  }

  numberLow(page: number, pgmap: Ref): number {
    return page - this.#c.w.load32(pgmap, PGMAP.first);
  }

  numberHigh(_page: number, pgmap: Ref): number {
    return this.#c.w.load32(pgmap, PGMAP.space);
  }

  spaceOf(pgmap: Ref): SpaceId {
    return spaceId(this.#c.w.load32(pgmap, PGMAP.space));
  }

  indexOf(page: DevicePage, pgmap: Ref): DeviceIndex {
    return deviceIndex(this.numberLow(page, pgmap));
  }

  pageOf(space: SpaceId, index: DeviceIndex): DevicePage | -1 {
    const page = this.find(index, space);
    if (page < 0) return -1;
    this.#c.looked(page);
    return devicePage(page);
  }
}
