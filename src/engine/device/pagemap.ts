/**
 * dev_pagemap: a stretch of device memory with a life of its own.
 *
 * A page map lives from its creation until its driver unmaps it, which kills it
 * (nobody can take its pages into service any more) and waits until every page
 * that is in service came back. Its counts are words, so that the wait is one.
 * Ranges, callbacks and owner are configuration. Offsets count pages over all
 * ranges in order. Where a private map lies in the numbers of devices is an output:
 * `range` says it once the map is there.
 *
 * Source: mm/memremap.c, include/linux/memremap.h of the mm tree of July 2026;
 * device-facts §1.3, §1.5, §2.4.
 */
import type { Ref } from "../../units.js";
import {
  DEV_PAGEMAP_DONE,
  DEV_PAGEMAP_DYING,
  DEV_PAGEMAP_IN_SERVICE,
  DEV_PAGEMAP_RANGE_START,
  DEV_PAGEMAP_REF,
} from "../layout/generated/offsets.js";
import type { Words } from "../words/words.js";
import type { DeviceFault } from "./device-fault.js";
import { FolioOrders } from "./folio-orders.js";

const PAGE = 4096;

/** Frames start … start + pages − 1. */
export interface PhysicalRange {
  readonly start: number;
  readonly pages: number;
}

/** What the driver of a page map answers. Pages are places in the records (DevicePage). */
export interface PagemapOps {
  /** folio_free: 2^order pages from `page` on are idle again. `data` is what the driver stored with them. */
  folioFree?(page: number, order: number, data: number): void;
  /** migrate_to_ram: brings the page of a CPU fault back; 0 or FAULT_SIGBUS, FAULT_OOM. */
  migrateToRam?(fault: DeviceFault): number;
  /** memory_failure: 0 where the driver deals with it itself, −EOPNOTSUPP for the generic way. */
  memoryFailure?(page: number, pages: number): number;
  /** folio_split: `tail` begins a folio of its own now; null once for the head. */
  folioSplit?(head: number, tail: number | null): void;
  /** get_dma_pfn_for_device: a frame that another device can reach the page at, or an errno. */
  dmaAlias?(page: number): number;
}

export interface PagemapConfig {
  readonly name: string;
  readonly type: number;
  /** Private memory: pages of it … */
  readonly pages?: number;
  /** … or bytes, of which the last page need not be full (DIV_ROUND_UP). */
  readonly size?: number;
  /** Everything else: where it is. */
  readonly ranges?: readonly PhysicalRange[];
  readonly ops?: PagemapOps;
  /** Who may use its device-private pages as they are; compared, never looked into. */
  readonly owner?: object;
  /** NUMA node; −1, or left out, for none (NUMA_NO_NODE): that of the processor. */
  readonly nid?: number;
  /** vmemmap_shift: order of the folios that generic memory consists of. */
  readonly folioOrder?: number;
}

/** struct range: bytes, the last one included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A page map that exists. `Pagemaps` makes and ends them. */
export class DevPagemap {
  readonly config: PagemapConfig;
  readonly name: string;
  readonly type: number;
  readonly ops: PagemapOps;
  readonly owner: object | null;
  readonly nid: number;
  /** struct dev_pagemap. */
  readonly words: Ref;
  /** Pages of all ranges. */
  readonly pages: number;
  /** First page: in the records of private memory, else the first frame. */
  readonly first: number;
  readonly ranges: readonly PhysicalRange[];
  /** Zone of its pages. */
  readonly zone: number;
  readonly #w: Words;
  /** Its words are gone. */
  #ended = false;
  /** Folios that requests are to find; null where requests set the order. */
  readonly orders: FolioOrders | null;

  constructor(
    w: Words,
    words: Ref,
    config: PagemapConfig,
    at: {
      first: number;
      pages: number;
      ranges: readonly PhysicalRange[];
      zone: number;
      nid: number;
    },
    keepsOrders: boolean,
  ) {
    this.#w = w;
    this.words = words;
    this.config = config;
    this.name = config.name;
    this.type = config.type;
    this.ops = config.ops ?? {};
    this.owner = config.owner ?? null;
    this.nid = at.nid;
    this.first = at.first;
    this.pages = at.pages;
    this.ranges = at.ranges;
    this.zone = at.zone;
    this.orders = keepsOrders ? new FolioOrders(config.folioOrder ?? 0) : null;
  }

  /** `live`, `dying` once it was killed, `dead` once it is gone. */
  get state(): "live" | "dying" | "dead" {
    if (this.#ended) return "dead";
    return this.isDying ? "dying" : "live";
  }

  /** percpu_ref_is_dying */
  get isDying(): boolean {
    return this.#ended || this.#w.load32(this.words, DEV_PAGEMAP_DYING) !== 0;
  }

  /** References: one while it lives, those of its pages in service, those charged ahead. */
  get refs(): number {
    return this.#ended ? 0 : this.#w.load32(this.words, DEV_PAGEMAP_REF);
  }

  /** Base pages in service. */
  get inService(): number {
    return this.#ended ? 0 : this.#w.load32(this.words, DEV_PAGEMAP_IN_SERVICE);
  }

  /**
   * pgmap->range: where it lies, in bytes. Of a private map with numbers of its own
   * that is its stretch of the device address space (a space of its own begins at 0);
   * of several ranges the first. Empty once the map is gone.
   */
  get range(): ByteRange {
    if (this.#ended) return { start: 0, end: -1 };
    const start = this.#w.load32(this.words, DEV_PAGEMAP_RANGE_START) * PAGE;
    const pages = this.ranges.length > 1 ? this.ranges[0].pages : this.pages;
    return { start, end: start + pages * PAGE - 1 };
  }

  /**
   * percpu_ref_tryget_live, of many: false once it is dying, or nobody holds it any
   * more. With `force` percpu_ref_get_many, for who holds it otherwise.
   */
  tryGet(n: number, force = false): boolean {
    const w = this.#w;
    if (force) {
      w.add32(this.words, DEV_PAGEMAP_REF, n);
      return true;
    }
    if (this.isDying) return false;
    for (;;) {
      // Whoever kills it meanwhile waits for these, too; from 0 there is no way back.
      const refs = w.load32(this.words, DEV_PAGEMAP_REF);
      if (refs === 0) return false;
      if (w.cas32(this.words, DEV_PAGEMAP_REF, refs, refs + n)) return true;
    }
  }

  /** percpu_ref_put_many: the last one ends the wait of whoever kills it. */
  put(n: number): void {
    if (n > 0 && this.#w.add32(this.words, DEV_PAGEMAP_REF, -n) === 0)
      this.#w.store32(this.words, DEV_PAGEMAP_DONE, 1);
  }

  /** It is gone: nothing of it is in words any more. */
  end(): void {
    this.#ended = true;
  }

  /** The page at an offset over all ranges; −1 beyond them. */
  pageAt(offset: number): number {
    let rest = offset;
    for (const { start, pages } of this.ranges) {
      if (rest >= 0 && rest < pages) return start + rest;
      rest -= pages;
    }
    return -1;
  }

  /** The range that has a page. */
  rangeOf(page: number): PhysicalRange | undefined {
    return this.ranges.find(({ start, pages }) => page >= start && page < start + pages);
  }

  /** Offset of a page, in service or not; −1 for one of another map. */
  offsetOf(page: number): number {
    let before = 0;
    for (const { start, pages } of this.ranges) {
      if (page >= start && page < start + pages) return before + page - start;
      before += pages;
    }
    return -1;
  }
}
