/**
 * The sequences that drivers share: pages of a process to a device, back for a CPU
 * fault, back because the device goes; always with what is in them.
 *
 * A driver may as well call setup, pages and finalize itself; these are the loops
 * between them. What a device page holds lies under the page's own number, which no
 * frame has, so that copying between RAM and a device is one call for both.
 *
 * Source: what the drivers of mm/migrate_device.c have in common:
 * dmirror_migrate_alloc_and_copy, nouveau_dmem_migrate_chunk,
 * drm_pagemap_migrate_populate_ram_pfn, svm_migrate_successful_pages,
 * nouveau_dmem_evict_chunk of the mm tree of July 2026. Falling back from a huge
 * page to single ones is dmirror's; splitting what no huge page of RAM can be had
 * for before it is evicted is invented.
 */
import type { Ref } from "../../units.js";
import { FAULT_OOM, FAULT_SIGBUS, PMD_ORDER, PMD_PAGES } from "../process/constants.js";
import type { Evict } from "./evict.js";
import { EBUSY, EINVAL } from "./kinds.js";
import type { MigrateVmaArgs } from "./migrate-args.js";
import {
  clearEntry,
  flagsAt,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  type MigratePfns,
} from "./migrate-pfn.js";
import type { MigrateVma } from "./migrate-vma.js";
import type { DevPagemap } from "./pagemap.js";
import type { PrivateSplits } from "./private-split.js";
import type { ZoneDevice } from "./zone-device.js";

/**
 * Where a page is to go: a locked page of 2^order pages, of the device or of RAM; a
 * negative errno where there is none. `from` is the page that is there, −1 for a
 * place of the process that has none; `i` is its entry in the array.
 */
export type GivePage = (from: number, i: number, order: number) => number;

/** What of the device layer is used here. */
export interface TransferContext {
  readonly migrate: MigrateVma;
  readonly evict: Evict;
  readonly pfns: MigratePfns;
  readonly zoneDevice: ZoneDevice;
  readonly privateSplits: PrivateSplits;
  allocSystem(order: number): number;
  copy(from: number, to: number, pages?: number): void;
  release(page: number): void;
}

export class Transfers {
  readonly #c: TransferContext;

  constructor(context: TransferContext) {
    this.#c = context;
  }

  /**
   * setup, a page from `give` for every entry that may be migrated, with its
   * contents, pages, finalize. Pages that migrated, or −EINVAL of setup. A huge page
   * that there is none for goes page by page.
   */
  migrateVma(args: MigrateVmaArgs, give: GivePage): number {
    const { migrate } = this.#c;
    const error = migrate.setup(args);
    if (error !== 0) return error;
    this.populate(args.src, args.dst, args.npages, give, true);
    migrate.pages(args);
    const migrated = this.migrated(args.src, args.dst, args.npages);
    migrate.finalize(args);
    return migrated;
  }

  /**
   * migrate_to_ram: device pages of the range come back. 0, FAULT_SIGBUS where setup
   * refuses, FAULT_OOM where there was no RAM for all of them.
   */
  bringBack(args: MigrateVmaArgs): number {
    const { migrate } = this.#c;
    if (migrate.setup(args) !== 0) return FAULT_SIGBUS;
    const lacking = this.populate(args.src, args.dst, args.npages, this.#ram, true);
    migrate.pages(args);
    migrate.finalize(args);
    return lacking > 0 ? FAULT_OOM : 0;
  }

  /** RAM for what a device has; nothing for a place that has no page. */
  readonly #ram: GivePage = (from, _i, order) => (from < 0 ? EINVAL : this.#c.allocSystem(order));

  /**
   * Between setup and pages: `dst` gets a page with the contents of each entry of
   * `src` that may be migrated. Pages that are there and got none; those stay where
   * they are. With `maySplit` 512 single pages may stand for a huge one.
   */
  populate(src: Int32Array, dst: Int32Array, n: number, give: GivePage, maySplit: boolean): number {
    let lacking = 0;
    for (let i = 0; i < n; i++) {
      const flags = flagsAt(src, i);
      if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
      const from = this.#c.pfns.page(src, i);
      const order = (flags & MIGRATE_PFN_COMPOUND) !== 0 ? PMD_ORDER : 0;
      const pages = Math.min(1 << order, n - i);
      let given = this.#one(dst, i, from, order, give) ? pages : 0;
      if (given === 0 && maySplit && order > 0) given = this.#singles(dst, i, pages, from, give);
      if (from >= 0) lacking += pages - given;
      i += pages - 1;
    }
    return lacking;
  }

  /** Single pages for a huge one; how many there were. */
  #singles(dst: Int32Array, i: number, pages: number, from: number, give: GivePage): number {
    let given = 0;
    for (let k = 0; k < pages; k++)
      if (this.#one(dst, i + k, from < 0 ? from : from + k, 0, give)) given++;
    return given;
  }

  #one(dst: Int32Array, i: number, from: number, order: number, give: GivePage): boolean {
    const to = give(from, i, order);
    if (to < 0) return false;
    this.#c.copy(from, to, 1 << order);
    this.#c.pfns.set(dst, i, to, order > 0 ? MIGRATE_PFN_COMPOUND : 0);
    return true;
  }

  /** Undoes `populate`: what was given is let go, nothing will be migrated. */
  unpopulate(dst: Int32Array, n: number): void {
    for (let i = 0; i < n; i++) {
      const page = this.#c.pfns.page(dst, i);
      if (page >= 0) this.#c.release(page);
      clearEntry(dst, i);
    }
  }

  /** Pages that did migrate, between pages and finalize: MIGRATE is still set, and there is a destination. */
  migrated(src: Int32Array, dst: Int32Array, n: number): number {
    let pages = 0;
    for (let i = 0; i < n; i++) {
      if ((flagsAt(src, i) & MIGRATE_PFN_MIGRATE) === 0 || this.#c.pfns.page(dst, i) < 0) continue;
      pages += (flagsAt(dst, i) & MIGRATE_PFN_COMPOUND) !== 0 ? PMD_PAGES : 1;
    }
    return pages;
  }

  /** evictPages of all pages of a map: before it goes. */
  evictAll(map: DevPagemap): number {
    return this.evictPages(
      map,
      Array.from({ length: map.pages }, (_, offset) => offset),
    );
  }

  /**
   * Brings pages of a map back to RAM without any process. Pages that are in service
   * afterwards: held or locked by somebody, or without RAM to go to. `tries` is how
   * often it is tried.
   */
  evictPages(map: DevPagemap, offsets: ArrayLike<number>, tries = 3): number {
    let left = this.#inService(map, offsets);
    for (let i = 0; left > 0 && i < tries; i++) {
      if (this.evictOnce(map, offsets) > 0) this.#splitAll(map, offsets);
      left = this.#inService(map, offsets);
    }
    return left;
  }

  /** migrate_device_pfns, RAM for all that could be taken, pages, finalize. Pages without RAM to go to. */
  evictOnce(map: DevPagemap, offsets: ArrayLike<number>): number {
    const { evict } = this.#c;
    const n = offsets.length;
    const src = new Int32Array(n * 2);
    const dst = new Int32Array(n * 2);
    for (let i = 0; i < n; i++) this.#name(src, i, map.pageAt(offsets[i]));
    evict.list(src, n);
    const lacking = this.populate(src, dst, n, this.#ram, false);
    evict.pages(src, dst, n);
    evict.finalize(src, dst, n);
    return lacking;
  }

  /** Only a page in service may be named: an idle one is nobody's to look at. */
  #name(src: Int32Array, i: number, page: number): void {
    if (this.#c.zoneDevice.refcountOf(page) > 0) this.#c.pfns.set(src, i, page, 0);
    else clearEntry(src, i);
  }

  #inService(map: DevPagemap, offsets: ArrayLike<number>): number {
    let n = 0;
    for (let i = 0; i < offsets.length; i++)
      if (this.#c.zoneDevice.refcountOf(map.pageAt(offsets[i])) > 0) n++;
    return n;
  }

  /** Huge pages that there is no huge page of RAM for: next time they go one by one. */
  #splitAll(map: DevPagemap, offsets: ArrayLike<number>): void {
    for (let i = 0; i < offsets.length; i++) this.splitFolio(map.pageAt(offsets[i]));
  }

  /**
   * folio_split of a large device-private folio, to single pages, by one of its
   * pages. 0, also where there is nothing to split; −EBUSY where it is locked or
   * somebody else holds it; −ENOMEM.
   */
  splitFolio(page: number): number {
    const { privateSplits, zoneDevice } = this.#c;
    const { privates } = privateSplits.moves;
    if (page < zoneDevice.firstPrivate || zoneDevice.refcountOf(page) === 0) return 0;
    if (privates.pages.orderOf(page) === 0) return 0;
    const head = privates.pages.blockOf(page);
    const folio: Ref = privates.folioOf(head);
    privates.folios.get(folio);
    if (!privates.folios.tryLock(folio)) {
      privates.folios.put(folio);
      return EBUSY;
    }
    const error = privateSplits.split(folio, 0);
    // The first part has lock and reference afterwards.
    const first = privates.folioOf(head);
    privates.folios.unlock(first);
    privates.folios.put(first);
    return error;
  }
}
