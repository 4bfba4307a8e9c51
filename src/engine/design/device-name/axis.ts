/**
 * The device-name axis: what number a page of device-private memory has in page
 * tables, migration entries, migrate arrays and HMM arrays, and how the page is
 * found from it.
 *
 * A number is two integers: 32 low bits and at most 16 high ones. Only a naming
 * that says so has high ones, and only a naming with pfns can say what pfn a page
 * has: for the others the function is not there to be called.
 *
 * Facts: device-facts §2.3–2.4 (offset), §3.4 (tuple).
 */
import type { DeviceIndex, DeviceOffset, DevicePage, Pfn, Ref, SpaceId } from "../../../units.js";
import type { Words } from "../../words/words.js";

/** Pages of one page map at most: engine integers hold 31 bits of an index. */
export const PAGES_MAX = 2 ** 31;

/** Bits that a number has in each place that holds one; `space` is 0 but for a tuple. */
export interface NumberBits {
  readonly number: number;
  readonly space: number;
}

/** What a naming is built on. */
export interface DeviceNameContext {
  readonly w: Words;
  /** First page of device-private memory, and pages of it at most. */
  readonly firstPrivate: number;
  readonly pages: number;
  /** Words that are the naming's own: root of a tree, first free space. */
  readonly state: Ref;
  /** The table of spaces. */
  readonly spaces: Ref;
  /** The lowest bit that a physical address cannot have. */
  readonly physicalBits: number;
  newNode(): Ref;
  freeNode(node: Ref): void;
  /** Gets and gives back a row of the table of spaces. */
  takeSpace(space: number): boolean;
  giveSpace(space: number): void;
  /** Hears of every page that is looked up by its number for somebody who has no entry with it. */
  looked(page: number): void;
  /** request_free_mem_region: a free stretch of physical pages, from the top; −ERANGE. */
  findPhysical(pages: number): number;
  givePhysical(first: number, pages: number): void;
}

/** Offsets of a page map's words that a naming reads and writes. */
export const PGMAP = { first: 0, pages: 4, start: 8, space: 12 } as const;

interface Naming {
  /** Whether its numbers are of a kind of their own, with entry types of their own for migration. */
  readonly ownKind: boolean;
  readonly bits: NumberBits;
  /** What a page map of more than PAGES_MAX pages is refused with: a negative errno. */
  readonly beyond: number;
  /**
   * Gives a new page map its numbers: `first` and `pages` are in its words. 0 or a
   * negative errno (ERANGE, EBUSY, ENOSPC, ENOMEM), with nothing changed.
   */
  assign(pgmap: Ref): number;
  /** Takes them back. */
  retire(pgmap: Ref): void;
  /** The page that a number names; −1 for none. Takes no reference. */
  find(lo: number, hi: number): number;
  /** The page map that a number lies in; 0 for none. */
  mapOf(lo: number, hi: number): Ref;
  /** The two halves of a page's number, given its page map. */
  numberLow(page: number, pgmap: Ref): number;
  numberHigh(page: number, pgmap: Ref): number;
}

/** A stolen physical range: the only naming in which a device page has a pfn. */
export interface PhysicalNaming extends Naming {
  readonly name: "physical";
  /** page_to_pfn: of a page of that page map. */
  pfnOf(page: DevicePage, pgmap: Ref): Pfn;
  pageOf(pfn: Pfn): DevicePage | -1;
}

/** One global address space of devices. */
export interface OffsetNaming extends Naming {
  readonly name: "offset";
  /** device_private_page_to_offset: of a page of that page map. */
  offsetOf(page: DevicePage, pgmap: Ref): DeviceOffset;
  /** device_private_offset_to_page */
  pageOf(offset: DeviceOffset): DevicePage | -1;
}

/** A space for each page map, counted from 0. */
export interface TupleNaming extends Naming {
  readonly name: "tuple";
  /** The space that a page map is, and a page's place in it. */
  spaceOf(pgmap: Ref): SpaceId;
  indexOf(page: DevicePage, pgmap: Ref): DeviceIndex;
  pageOf(space: SpaceId, index: DeviceIndex): DevicePage | -1;
}

export type DeviceNaming = PhysicalNaming | OffsetNaming | TupleNaming;
