/**
 * Migrating pages of a process to a device and back: setup, pages, finalize.
 *
 * The driver calls setup, fills `dst` with locked pages of its own (or of RAM) and
 * copies the data, calls pages, and then finalize. Between setup and finalize every
 * page in question is locked, unmapped, and stands behind a migration entry; what
 * does not migrate is put back as it was. Whether an entry did shows after `pages`:
 * MIGRATE is still set in `src`.
 *
 * Source: mm/migrate_device.c of the mm tree of July 2026 (migrate_vma_setup,
 * migrate_device_unmap, __migrate_device_pages, __migrate_device_finalize);
 * device-facts §5.1–5.2. Simplified: pages are on their LRU list at once, so
 * nothing has to be drained.
 */
import {
  PG_ACTIVE,
  PG_DIRTY,
  PG_LRU,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UPTODATE,
} from "../design/word/axis-flags.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import {
  EINVAL,
  PMD_ORDER,
  PMD_PAGES,
  VM_DONTEXPAND,
  VM_HUGETLB,
  VM_IO,
  VM_MIXEDMAP,
  VM_PFNMAP,
} from "../process/constants.js";
import { MMU_NOTIFY_MIGRATE } from "../process/notifier/events.js";
import { PG_SWAPCACHE } from "../process/swap.js";
import type { Splits } from "../process/split.js";
import type { Unmap } from "../process/unmap.js";
import type { Collect } from "./collect.js";
import type { HoleFill } from "./hole-fill.js";
import type { MigrateVmaArgs } from "./migrate-args.js";
import {
  clearEntry,
  clearMigrate,
  flagsAt,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_WRITE,
  type MigratePfns,
} from "./migrate-pfn.js";
import type { Moves } from "./moves.js";
import type { Side } from "./side.js";
import type { PrivateSplits } from "./private-split.js";

const NONE = 0 as Ref;
const VM_SPECIAL = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP;
/** folio_migrate_flags */
const MOVED = PG_DIRTY | PG_UPTODATE | PG_SWAPBACKED | PG_ACTIVE | PG_REFERENCED;

export class MigrateVma {
  readonly base: Base;
  readonly collect: Collect;
  readonly pfns: MigratePfns;
  readonly moves: Moves;
  readonly unmap: Unmap;
  readonly splits: Splits;
  readonly privateSplits: PrivateSplits;
  readonly holes: HoleFill;
  /** Number of an owner, for notifiers. */
  ownerId: (owner: object | null) => number = () => 0;
  /** Pages that went to a device, came back, and were refused after setup. */
  toDevice = 0;
  toSystem = 0;
  refused = 0;

  constructor(
    collect: Collect,
    unmap: Unmap,
    splits: Splits,
    privateSplits: PrivateSplits,
    holes: HoleFill,
  ) {
    this.base = collect.base;
    this.collect = collect;
    this.pfns = collect.pfns;
    this.moves = collect.moves;
    this.unmap = unmap;
    this.splits = splits;
    this.privateSplits = privateSplits;
    this.holes = holes;
  }

  /**
   * migrate_vma_setup: 0, also where nothing can be migrated (see `cpages`); −EINVAL
   * for a range or a VMA that cannot be, or a fault page that is not the caller's.
   */
  setup(args: MigrateVmaArgs): number {
    const { vmas, notifiers } = this.base;
    const refused = this.#refuses(args);
    if (refused !== 0) return refused;
    args.npages = 0;
    args.cpages = 0;
    const mm = vmas.mm(args.vma);
    const { start, end } = args;
    if (notifiers.any !== 0)
      notifiers.start(mm, start, end, MMU_NOTIFY_MIGRATE, this.ownerId(args.owner));
    this.collect.range(args);
    if (notifiers.any !== 0) notifiers.end(mm, start, end);
    args.end = args.start + args.npages;
    if (args.cpages > 0) this.unmapAll(args.src, args.npages, args.faultPage, args);
    return 0;
  }

  #refuses({ vma, start, end, src, dst, faultPage }: MigrateVmaArgs): number {
    const { vmas } = this.base;
    if (vma === NONE) return EINVAL;
    if ((vmas.flags(vma) & (VM_HUGETLB | VM_SPECIAL)) !== 0) return EINVAL;
    if (start >= end || start < vmas.tree.start(vma) || end > vmas.tree.end(vma)) return EINVAL;
    if (src.length < (end - start) * 2 || dst.length < (end - start) * 2) return EINVAL;
    if (faultPage < 0) return 0;
    const side = this.moves.sideOf(faultPage);
    const folio = side.folioOf(faultPage);
    return side.isPrivate && folio !== NONE && side.folios.isLocked(folio) ? 0 : EINVAL;
  }

  /**
   * migrate_device_unmap: what is still mapped elsewhere is unmapped, what others
   * hold is put back. `args` loses the pages that are.
   */
  unmapAll(
    src: Int32Array,
    n: number,
    faultPage: number,
    args: { cpages: number } | null = null,
  ): void {
    let back = 0;
    for (let i = 0; i < n; i++) {
      const page = this.pfns.page(src, i);
      if (page < 0) continue;
      const side = this.moves.sideOf(page);
      const folio = side.folioOf(page);
      const order = orderAt(src, i, side, page);
      if (
        this.#isolated(side, folio, page, order) &&
        this.#unmapped(side, folio, page, order, faultPage)
      )
        continue;
      clearMigrate(src, i);
      if (args !== null) args.cpages -= 1 << order;
      back++;
    }
    for (let i = 0; back > 0 && i < n; i++) {
      const page = this.pfns.page(src, i);
      if (page < 0 || (flagsAt(src, i) & MIGRATE_PFN_MIGRATE) !== 0) continue;
      const side = this.moves.sideOf(page);
      const folio = side.folioOf(page);
      const order = orderAt(src, i, side, page);
      this.moves.restore(page, page, order);
      clearEntry(src, i);
      if (!this.#isFault(folio, faultPage)) side.folios.unlock(folio);
      this.#putBack(side, folio, order);
      back--;
      this.refused++;
    }
  }

  /** folio_isolate_lru: pages of devices are on no list. */
  #isolated(side: Side, folio: Ref, page: number, order: number): boolean {
    const { folios, core } = this.base;
    if (side.isPrivate || page >= core.machine.deviceFirst) return true;
    if (!folios.test(folio, PG_LRU)) return false;
    folios.lruDel(folio, order);
    return true;
  }

  /** The folio goes back to its list, and the reference of the collection goes. */
  #putBack(side: Side, folio: Ref, order: number): void {
    const { folios, core } = this.base;
    const listed =
      side.isPrivate || core.pfnOf(folio) >= core.machine.deviceFirst || folios.test(folio, PG_LRU);
    if (!listed) folios.lruAdd(folio, order);
    side.folios.put(folio);
  }

  #isFault(folio: Ref, faultPage: number): boolean {
    return faultPage >= 0 && this.moves.sideOf(faultPage).folioOf(faultPage) === folio;
  }

  /** try_to_migrate, and migrate_vma_check_page: nobody maps it and nobody else holds it. */
  #unmapped(side: Side, folio: Ref, page: number, order: number, faultPage: number): boolean {
    const { core } = this.base;
    if (side.counts.total(folio, order) > 0) {
      if (side.isPrivate) this.moves.unmap(folio, page, order);
      else this.unmap.folio(folio, "migration", false);
      if (side.counts.total(folio, order) > 0) return false;
    }
    const device = side.isPrivate || page >= core.machine.deviceFirst;
    // A page of a device has one more, of old; of a file those of the cache.
    let extra = 1 + (this.#isFault(folio, faultPage) ? 1 : 0) + (device ? 1 : 0);
    if (!side.isPrivate && this.#mapping(folio)) extra += 1 << order;
    return side.folios.refcount(folio) <= extra;
  }

  /** folio_mapping: a file's, or the swap cache's. */
  #mapping(folio: Ref): boolean {
    const { folios } = this.base;
    if (folios.test(folio, PG_SWAPCACHE)) return true;
    return !folios.isAnon(folio) && folios.mapping(folio) !== NONE;
  }

  /** migrate_vma_pages: what can move does, where the driver gave a page for it. */
  pages(args: MigrateVmaArgs): void {
    this.holes.begin(args);
    this.pagesOf(args.src, args.dst, args.npages, args.faultPage, args);
    this.holes.end(args);
  }

  /** __migrate_device_pages; `args` is null where no process is asked (eviction). */
  pagesOf(
    src: Int32Array,
    dst: Int32Array,
    n: number,
    faultPage: number,
    args: MigrateVmaArgs | null,
  ): void {
    for (let i = 0; i < n; i++) {
      const to = this.pfns.page(dst, i);
      const from = this.pfns.page(src, i);
      if (to < 0) {
        clearMigrate(src, i);
        continue;
      }
      if ((flagsAt(src, i) & MIGRATE_PFN_MIGRATE) === 0) continue;
      const large = (flagsAt(src, i) & MIGRATE_PFN_COMPOUND) !== 0;
      const toLarge = (flagsAt(dst, i) & MIGRATE_PFN_COMPOUND) !== 0;
      if (from < 0) {
        // A huge place that single pages were brought for: each of them is inserted.
        if (large && !toLarge)
          for (let k = i; k < i + PMD_PAGES && k < n; k++) src[k << 1] = MIGRATE_PFN_MIGRATE;
        if (args === null || !this.holes.fill(args, i, to)) clearMigrate(src, i);
        continue;
      }
      if (large && !toLarge && !this.#splitSource(src, i, from, faultPage, args)) {
        clearMigrate(src, i);
        continue;
      }
      const order = large && toLarge ? PMD_ORDER : 0;
      if ((!large && toLarge) || !this.#move(from, to, order, faultPage)) {
        clearMigrate(src, i);
        this.refused++;
      }
    }
  }

  /** migrate_vma_split_unmapped_folio: an entry for each page of the source. */
  #splitSource(
    src: Int32Array,
    i: number,
    from: number,
    faultPage: number,
    args: MigrateVmaArgs | null,
  ): boolean {
    // Without a process there is nothing whose entries could be split (device-facts §5.3).
    if (args === null) return false;
    const side = this.moves.sideOf(from);
    const folio = side.folioOf(from);
    const isFaults = this.#isFault(folio, faultPage);
    const write = flagsAt(src, i) & MIGRATE_PFN_WRITE;
    this.moves.splitMoving(this.base.vmas.mm(args.vma), args.start + i);
    const error = side.isPrivate
      ? this.privateSplits.splitUnmapped(folio, isFaults ? faultPage : -1)
      : this.splits.unmapped(folio);
    if (error !== 0) return false;
    for (let k = 0; k < PMD_PAGES; k++)
      this.pfns.set(src, i + k, from + k, MIGRATE_PFN_MIGRATE | write);
    return true;
  }

  /** migrate_folio with the checks before it: the destination takes the source's place. */
  #move(from: number, to: number, order: number, faultPage: number): boolean {
    const { core, folios, swap } = this.base;
    const a = this.moves.sideOf(from);
    const b = this.moves.sideOf(to);
    const folio = a.folioOf(from);
    const target = b.folioOf(to);
    const toDevice = b.isPrivate || to >= core.machine.deviceFirst;
    if (toDevice && !a.isPrivate) {
      if (folios.test(folio, PG_SWAPCACHE)) swap.dropCache(folio);
      // Only anonymous memory goes to devices.
      if (this.#mapping(folio)) return false;
    }
    const expected = 1 + (this.#isFault(folio, faultPage) ? 1 : 0);
    if (!a.folios.freeze(folio, expected)) return false;
    const was = a.folios.flags(folio);
    b.folios.set(target, was & MOVED);
    b.folios.setMapping(target, a.folios.mapping(folio), a.folios.mappingBits(folio));
    b.folios.setIndex(target, a.folios.index(folio));
    // mem_cgroup_migrate
    const memcg = core.pointer(folio, a.folios.layout.memcg);
    this.#charge(b, target, to, order, memcg);
    // What describes the source is no longer charged; records of private memory never were.
    if (memcg !== NONE && !a.isPrivate) this.base.memcgs.chargeDescriptor(memcg, from, order, -1);
    core.setPointer(folio, a.folios.layout.memcg, NONE);
    if (!a.isPrivate && order > 1) this.base.deferred.remove(folio, order);
    a.folios.setMapping(folio, NONE, 0);
    a.folios.unfreeze(folio, expected);
    if (toDevice) this.toDevice += 1 << order;
    else this.toSystem += 1 << order;
    return true;
  }

  /** The charge moves; what the driver had charged its new page to gets it back. */
  #charge(side: Side, target: Ref, page: number, order: number, memcg: Ref): void {
    const { core, memcgs } = this.base;
    const own = core.pointer(target, side.folios.layout.memcg);
    if (own !== NONE) {
      if (!side.isPrivate) memcgs.chargeDescriptor(own, page, order, -1);
      memcgs.uncharge(own, 1 << order);
    }
    core.setPointer(target, side.folios.layout.memcg, memcg);
    if (memcg !== NONE && !side.isPrivate) memcgs.chargeDescriptor(memcg, page, order, 1);
  }

  /** migrate_vma_finalize: entries map what is there now, everything is unlocked and let go. */
  finalize(args: MigrateVmaArgs): void {
    this.finalizeOf(args.src, args.dst, args.npages, args.faultPage);
  }

  /** __migrate_device_finalize */
  finalizeOf(src: Int32Array, dst: Int32Array, n: number, faultPage: number): void {
    for (let i = 0; i < n; i++) {
      const to = this.pfns.page(dst, i);
      const from = this.pfns.page(src, i);
      const moved = (flagsAt(src, i) & MIGRATE_PFN_MIGRATE) !== 0 && to >= 0;
      const toOrder = to < 0 ? 0 : orderAt(dst, i, this.moves.sideOf(to), to);
      if (to >= 0 && !moved) this.#done(to, toOrder);
      if (from < 0) {
        if (moved) this.#done(to, toOrder);
        continue;
      }
      const side = this.moves.sideOf(from);
      const folio = side.folioOf(from);
      const order = orderAt(src, i, side, from);
      this.moves.restore(from, moved ? to : from, moved ? toOrder : order);
      if (!this.#isFault(folio, faultPage)) side.folios.unlock(folio);
      if (moved) {
        side.folios.put(folio);
        this.#done(to, toOrder);
      } else this.#putBack(side, folio, order);
    }
  }

  /** A destination is unlocked, joins its list, and is its mappings' alone. */
  #done(to: number, order: number): void {
    const { folios, core } = this.base;
    const side = this.moves.sideOf(to);
    const folio = side.folioOf(to);
    side.folios.unlock(folio);
    const listed = side.isPrivate || to >= core.machine.deviceFirst;
    if (!listed && folios.mapping(folio) !== NONE) folios.lruAdd(folio, order);
    side.folios.put(folio);
  }
}

/** Order of the folio that entry `i` stands for: a single page, or one marked compound. */
const orderAt = (array: Int32Array, i: number, side: Side, page: number): number =>
  (flagsAt(array, i) & MIGRATE_PFN_COMPOUND) === 0 ? 0 : side.pages.orderOf(page);
