/**
 * Where a private mirror device keeps what is in its pages: pages of RAM that it
 * allocates, bare ones, a block for a huge page that can be cut into single pages.
 *
 * Source: lib/test_hmm.c (dmirror_devmem_alloc_page: alloc_page or folio_alloc for
 * each page of a private zone).
 */
import type { Devices } from "../../device/devices.js";
import { PMD_ORDER } from "../../process/constants.js";
import { MISC_UNKNOWN } from "../../design/word/axis-types.js";

export class Backing {
  readonly #devices: Devices;
  /** Order of each block, by its first frame. */
  readonly #blocks = new Map<number, number>();

  constructor(devices: Devices) {
    this.#devices = devices;
  }

  /** First frame of 2^order pages; a negative errno for none. */
  alloc(order: number): number {
    const { machine } = this.#devices.base.core;
    let pfn = machine.allocPages(order);
    if (order === 0) while (pfn < 0 && machine.onPressure()) pfn = machine.allocPages(0);
    if (pfn >= 0) this.#blocks.set(pfn, order);
    return pfn;
  }

  free(pfn: number, order: number): void {
    const { core } = this.#devices.base;
    core.content.clearBlock(pfn, order);
    this.#blocks.delete(pfn);
    core.machine.freePages(pfn, order);
  }

  /** split_page: a huge page's block becomes single pages. */
  split(pfn: number): void {
    const { design } = this.#devices.base.core;
    design.release(pfn, PMD_ORDER);
    this.#blocks.delete(pfn);
    for (let i = pfn; i < pfn + (1 << PMD_ORDER); i++) {
      design.bindMisc(i, 0, MISC_UNKNOWN, false, design.zoneOf(i));
      this.#blocks.set(i, 0);
    }
  }

  /** What it holds: for whoever checks the machine. */
  get blocks(): ReadonlyMap<number, number> {
    return this.#blocks;
  }
}
