/**
 * dev_pagemap: a stretch of device memory with a life of its own.
 *
 * A page map lives from its creation until its driver unmaps it, which kills it
 * (nobody can take its pages into service any more) and waits until every page
 * that is in service came back. Its counts are words, so that the wait is one.
 * Ranges, callbacks and owner are configuration. Offsets count pages over all
 * ranges in order.
 *
 * Source: mm/memremap.c, include/linux/memremap.h of the mm tree of July 2026;
 * device-facts §1.3, §1.5, §2.4.
 */
import type { Ref } from "../../units.js";
import {
  DEV_PAGEMAP_DONE,
  DEV_PAGEMAP_DYING,
  DEV_PAGEMAP_IN_SERVICE,
  DEV_PAGEMAP_REF,
} from "../layout/generated/offsets.js";
import type { Words } from "../words/words.js";
import type { DeviceFault } from "./device-fault.js";

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
  /** Private memory: pages of it. */
  readonly pages?: number;
  /** Everything else: where it is. */
  readonly ranges?: readonly PhysicalRange[];
  readonly ops?: PagemapOps;
  /** Who may use its device-private pages as they are; compared, never looked into. */
  readonly owner?: object;
  /** NUMA node, −1 for none. */
  readonly nid?: number;
  /** vmemmap_shift: order of the folios that generic memory consists of. */
  readonly folioOrder?: number;
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
  /** Orders of the folios that requests are to find, by first page; null where requests set them. */
  readonly orders: Uint8Array | null;

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
    this.orders = keepsOrders ? new Uint8Array(at.pages).fill(config.folioOrder ?? 0) : null;
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

  /** percpu_ref_tryget_many; with `force` also while it is dying (percpu_ref_get_many). */
  tryGet(n: number, force = false): boolean {
    if (!force && this.isDying) return false;
    this.#w.add32(this.words, DEV_PAGEMAP_REF, n);
    return true;
  }

  /** percpu_ref_put_many: the last one ends the wait of whoever kills it. */
  put(n: number): void {
    if (this.#w.add32(this.words, DEV_PAGEMAP_REF, -n) === 0)
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
      if (rest < pages) return start + rest;
      rest -= pages;
    }
    return -1;
  }

  /** pfn_to_pgmap_offset, of a page; −1 for one of another map. */
  offsetOf(page: number): number {
    let before = 0;
    for (const { start, pages } of this.ranges) {
      if (page >= start && page < start + pages) return before + page - start;
      before += pages;
    }
    return -1;
  }
}
