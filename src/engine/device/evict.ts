/**
 * Bringing device memory back without a process: everything of a range of pages,
 * before a page map goes or because the device is short of memory; and a coherent
 * page that somebody wants to pin for long.
 *
 * A page is taken only while somebody holds it and nobody has it locked; free and
 * busy pages are passed over, so a driver tries again until none is left.
 *
 * Source: mm/migrate_device.c of the mm tree of July 2026 (migrate_device_range,
 * migrate_device_pfns, migrate_device_coherent_folio); device-facts §5.3.
 */
import { T_ANON } from "../design/word/axis-types.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import {
  clearEntry,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  type MigratePfns,
} from "./migrate-pfn.js";
import type { MigrateVma } from "./migrate-vma.js";
import type { Moves } from "./moves.js";
import type { ZoneDevice } from "./zone-device.js";

const NONE = 0 as Ref;

export class Evict {
  readonly base: Base;
  readonly migrate: MigrateVma;
  readonly moves: Moves;
  readonly pfns: MigratePfns;
  readonly zoneDevice: ZoneDevice;
  readonly #src = new Int32Array(2);
  readonly #dst = new Int32Array(2);

  constructor(migrate: MigrateVma, zoneDevice: ZoneDevice) {
    this.base = migrate.base;
    this.migrate = migrate;
    this.moves = migrate.moves;
    this.pfns = migrate.pfns;
    this.zoneDevice = zoneDevice;
  }

  /** migrate_device_range: `src` is filled with the `n` pages from `first` on that can be taken. Always 0. */
  range(src: Int32Array, first: number, n: number): number {
    for (let i = 0; i < n;) i += this.#take(src, i, n, first + i);
    this.migrate.unmapAll(src, n, -1);
    return 0;
  }

  /** migrate_device_pfns: the same for the pages that `src` names. */
  list(src: Int32Array, n: number): number {
    for (let i = 0; i < n;) {
      const page = this.pfns.page(src, i);
      if (page < 0) clearEntry(src, i++);
      else i += this.#take(src, i, n, page);
    }
    this.migrate.unmapAll(src, n, -1);
    return 0;
  }

  /** Entry `i` gets a page, locked and held; pages that it stands for, the others of a large folio 0. */
  #take(src: Int32Array, i: number, n: number, page: number): number {
    clearEntry(src, i);
    if (this.zoneDevice.refcountOf(page) === 0) return 1;
    const side = this.moves.sideOf(page);
    const folio = side.folioOf(page);
    side.folios.get(folio);
    if (!side.folios.tryLock(folio)) {
      side.folios.put(folio);
      return 1;
    }
    const pages = 1 << side.pages.orderOf(page);
    // The rest of a folio that began before the range is not a folio to be taken.
    if (side.pages.blockOf(page) !== page || i + pages > n) {
      side.folios.unlock(folio);
      side.folios.put(folio);
      return 1;
    }
    const large = pages > 1 ? MIGRATE_PFN_COMPOUND : 0;
    this.pfns.set(src, i, page, MIGRATE_PFN_MIGRATE | large);
    for (let k = 1; k < pages; k++) clearEntry(src, i + k);
    return pages;
  }

  /** migrate_device_pages */
  pages(src: Int32Array, dst: Int32Array, n: number): void {
    this.migrate.pagesOf(src, dst, n, -1, null);
  }

  /** migrate_device_finalize */
  finalize(src: Int32Array, dst: Int32Array, n: number): void {
    this.migrate.finalizeOf(src, dst, n, -1);
  }

  /** migrate_device_coherent_folio: to RAM, so that a long pin does not hold a device; false where it stays. */
  coherent(pfn: number): boolean {
    const { folios, core } = this.base;
    const folio = folios.ofPage(pfn);
    if (folio === NONE || core.design.orderOf(pfn) > 0) return false;
    folios.get(folio);
    if (!folios.tryLock(folio)) {
      folios.put(folio);
      return false;
    }
    this.pfns.set(this.#src, 0, pfn, MIGRATE_PFN_MIGRATE);
    clearEntry(this.#dst, 0);
    this.migrate.unmapAll(this.#src, 1, -1);
    if ((this.#src[0] & MIGRATE_PFN_MIGRATE) === 0) return false;
    const fresh = folios.alloc(0, T_ANON, NONE);
    if (fresh >= 0) {
      folios.tryLock(core.design.descriptorOf(fresh));
      folios.setMapping(core.design.descriptorOf(fresh), NONE, 0);
      this.pfns.set(this.#dst, 0, fresh, 0);
    }
    this.migrate.pagesOf(this.#src, this.#dst, 1, -1, null);
    const moved = (this.#src[0] & MIGRATE_PFN_MIGRATE) !== 0;
    if (moved) core.content.copy(pfn, fresh);
    this.migrate.finalizeOf(this.#src, this.#dst, 1, -1);
    return moved;
  }
}
