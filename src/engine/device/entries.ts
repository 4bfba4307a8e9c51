/**
 * Entries of devices in the page tables of processes, as fork, munmap, mprotect,
 * splits and faults meet them.
 *
 * A device-private entry is mapped like a page: its folio is held and counted once
 * for it. An exclusive entry stands for a page of RAM that stays mapped and
 * counted. A migration entry of a device page stands for nothing but who waits.
 *
 * Source: mm/memory.c (do_swap_page, copy_nonpresent_pte, zap_nonpresent_ptes,
 * remove_device_exclusive_entry), mm/huge_memory.c (do_huge_pmd_device_private,
 * copy_huge_non_present_pmd, __split_huge_pmd_locked), mm/mprotect.c of the mm tree
 * of July 2026; device-facts §5.4–5.6.
 */
import { PG_LOCKED } from "../design/word/axis-flags.js";
import { MM_RSS_ANON } from "../layout/generated/offsets.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { FAULT_SIGBUS, PMD_ORDER, PMD_PAGES } from "../process/constants.js";
import type { DeviceEntries } from "../process/device-entries.js";
import {
  SWP_DEVICE_EXCLUSIVE,
  SWP_DEVICE_WRITE,
  swapOffset,
  swapType,
  isDevicePrivate,
} from "../process/entry.js";
import { pmdAt, pteAt } from "../process/page-tables.js";
import type { DeviceFault } from "./device-fault.js";
import type { Exclusive } from "./exclusive.js";
import { MEMORY_DEVICE_COHERENT, MEMORY_DEVICE_FS_DAX } from "./kinds.js";
import type { Mutants } from "./mutants.js";
import { movesAs, MOVES_WRITE, type Numbers } from "./numbers.js";
import type { DevPagemap } from "./pagemap.js";
import type { Pagemaps } from "./pagemaps.js";
import type { Side } from "./side.js";
import type { ZoneDevice } from "./zone-device.js";

const NONE = 0 as Ref;

export class Entries implements DeviceEntries {
  readonly base: Base;
  readonly numbers: Numbers;
  readonly privates: Side;
  readonly pagemaps: Pagemaps;
  readonly zoneDevice: ZoneDevice;
  readonly exclusive: Exclusive;
  readonly mutants: Mutants;
  /** Whose the folio is that is being cut, and its driver's number. */
  #cut: { readonly map: DevPagemap; readonly data: number } | null = null;
  /** migrate_device_coherent_folio */
  expelCoherent: (pfn: number) => boolean = () => false;

  constructor(
    base: Base,
    numbers: Numbers,
    privates: Side,
    pagemaps: Pagemaps,
    zoneDevice: ZoneDevice,
    exclusive: Exclusive,
    mutants: Mutants,
  ) {
    this.base = base;
    this.numbers = numbers;
    this.privates = privates;
    this.pagemaps = pagemaps;
    this.zoneDevice = zoneDevice;
    this.exclusive = exclusive;
    this.mutants = mutants;
  }

  owns(lo: number, hi: number): boolean {
    return this.numbers.owns(lo, hi);
  }

  /** Folio of a private page's entry; 0 where the number names none. */
  #folio(page: number): Ref {
    return page < 0 ? NONE : this.privates.folioOf(page);
  }

  fault(vma: Ref, mm: Ref, table: Ref, vpn: number, lo: number, hi: number): number {
    if (swapType(hi) === SWP_DEVICE_EXCLUSIVE)
      return this.exclusive.remove(vma, mm, table, vpn, lo, hi);
    if (!isDevicePrivate(lo, hi)) return this.#wait(lo, hi);
    return this.#bringBack(vma, mm, table, pteAt(vpn), vpn, lo, hi, false);
  }

  faultHuge(vma: Ref, mm: Ref, pmds: Ref, vpn: number, lo: number, hi: number): number {
    if (!isDevicePrivate(lo, hi)) return this.#wait(lo, hi);
    return this.#bringBack(vma, mm, pmds, pmdAt(vpn), vpn, lo, hi, true);
  }

  /** migration_entry_wait */
  #wait(lo: number, hi: number): number {
    const folio = this.#folio(this.numbers.moving(lo, hi));
    if (folio !== NONE) this.privates.folios.waitClear(folio, PG_LOCKED);
    return 0;
  }

  /** The page goes back to RAM: its driver is asked, with the page locked. */
  #bringBack(
    vma: Ref,
    mm: Ref,
    table: Ref,
    off: number,
    vpn: number,
    lo: number,
    hi: number,
    huge: boolean,
  ): number {
    const { w, tables } = this.base;
    const { folios } = this.privates;
    const desc = tables.lock(table);
    const same = w.load64(table, off) === lo && w.hi === hi;
    const first = same ? this.numbers.find(lo, hi) : -1;
    if (first < 0) {
      tables.unlock(desc);
      return same ? FAULT_SIGBUS : 0;
    }
    const folio = this.privates.folioOf(first);
    const page = huge ? first + (vpn % PMD_PAGES) : first;
    if (!folios.tryLock(folio)) {
      // Since February 2026: whoever has it is waited for, then tried again.
      folios.get(folio);
      tables.unlock(desc);
      folios.waitClear(folio, PG_LOCKED);
      folios.put(folio);
      return 0;
    }
    folios.get(folio);
    tables.unlock(desc);
    const map = this.pagemaps.ofPage(page);
    const fault: DeviceFault = { mm, vma, vpn, page, huge };
    const result = map?.ops.migrateToRam?.(fault) ?? FAULT_SIGBUS;
    // It may have been split meanwhile: the lock follows the page of the fault.
    const now = this.privates.folioOf(page);
    folios.unlock(now);
    folios.put(now);
    return result;
  }

  zap(mm: Ref, mmId: number, table: Ref, off: number, lo: number, hi: number): void {
    const { w, counts, folios } = this.base;
    w.store64(table, off, 0, 0);
    w.add32(mm, MM_RSS_ANON, -1);
    if (swapType(hi) === SWP_DEVICE_EXCLUSIVE) {
      const pfn = this.numbers.lent(lo, hi);
      const folio = folios.ofPage(pfn);
      const order = this.base.core.design.orderOf(pfn);
      if (counts.removePtes(folio, pfn, order, 1, mmId)) this.base.deferred.add(folio, order);
      folios.put(folio);
    } else if (isDevicePrivate(lo, hi)) {
      const page = this.numbers.find(lo, hi);
      const folio = this.#folio(page);
      if (folio === NONE) return;
      const { privates } = this;
      privates.counts.removePtes(folio, page, privates.pages.orderOf(page), 1, mmId);
      privates.folios.put(folio);
    }
  }

  zapHuge(mm: Ref, mmId: number, lo: number, hi: number): void {
    this.base.w.add32(mm, MM_RSS_ANON, -PMD_PAGES);
    if (!isDevicePrivate(lo, hi)) return;
    const folio = this.#folio(this.numbers.find(lo, hi));
    if (folio === NONE) return;
    this.privates.counts.removePmd(folio, PMD_ORDER, mmId);
    this.privates.folios.put(folio);
  }

  copy(
    child: Ref,
    copy: Ref,
    vma: Ref,
    from: Ref,
    to: Ref,
    vpn: number,
    lo: number,
    hi: number,
  ): boolean {
    const { w } = this.base;
    if (swapType(hi) === SWP_DEVICE_EXCLUSIVE) {
      this.exclusive.restore(vma, from, vpn, lo, hi);
      return false;
    }
    const off = pteAt(vpn);
    w.add32(child, MM_RSS_ANON, 1);
    const low = this.#shared(lo, hi);
    w.store64(from, off, low, this.numbers.hi);
    w.store64(to, off, low, this.numbers.hi);
    if (!isDevicePrivate(lo, hi)) return true;
    const page = this.numbers.find(lo, hi);
    const { privates } = this;
    const folio = privates.folioOf(page);
    privates.folios.get(folio);
    privates.pages.setExclusive(page, false);
    const mmId = privates.counts.mmId(copy);
    privates.counts.addPtes(folio, page, privates.pages.orderOf(page), 1, mmId);
    return true;
  }

  copyHuge(
    _child: Ref,
    copy: Ref,
    pmds: Ref,
    target: Ref,
    vpn: number,
    lo: number,
    hi: number,
  ): void {
    const { w } = this.base;
    const off = pmdAt(vpn);
    const low = this.#shared(lo, hi);
    w.store64(pmds, off, low, this.numbers.hi);
    w.store64(target, off, low, this.numbers.hi);
    if (!isDevicePrivate(lo, hi)) return;
    const page = this.numbers.find(lo, hi);
    const { privates } = this;
    const folio = privates.folioOf(page);
    privates.folios.get(folio);
    privates.pages.setExclusive(page, false);
    privates.counts.addPmd(folio, privates.counts.mmId(copy));
  }

  /** The entry without write permission, of the same page; high half in `numbers.hi`. */
  #shared(lo: number, hi: number): number {
    const { numbers } = this;
    if (isDevicePrivate(lo, hi)) return numbers.privateEntry(numbers.find(lo, hi), false);
    return numbers.migrationEntry(numbers.moving(lo, hi), movesAs(false, false));
  }

  takeBack(vma: Ref, table: Ref, vpn: number, pfn: number): boolean {
    const lo = this.base.w.load64(table, pteAt(vpn));
    const { hi } = this.base.w;
    const lent = swapType(hi) === SWP_DEVICE_EXCLUSIVE && this.numbers.lent(lo, hi) === pfn;
    if (!lent && !this.#aliases(lo, hi, pfn)) return false;
    this.exclusive.takeBack(vma, table, vpn, lo, hi);
    return true;
  }

  /** Before a walk knew of kinds, a device-private entry of the same number would do. */
  #aliases(lo: number, hi: number, pfn: number): boolean {
    return this.mutants.aliasing && isDevicePrivate(lo, hi) && swapOffset(lo, hi) === pfn;
  }

  protect(table: Ref, off: number, lo: number, hi: number): void {
    const { numbers } = this;
    const { w } = this.base;
    if (swapType(hi) === SWP_DEVICE_WRITE)
      w.store64(table, off, numbers.privateEntry(numbers.find(lo, hi), false), numbers.hi);
    else if (numbers.isMigration(lo, hi) && numbers.movesHow(hi) === MOVES_WRITE)
      w.store64(
        table,
        off,
        numbers.migrationEntry(numbers.moving(lo, hi), movesAs(false, true)),
        numbers.hi,
      );
  }

  isFound(lo: number, hi: number): boolean {
    return this.mutants.pmdWalk && isDevicePrivate(lo, hi);
  }

  isSplittable(lo: number, hi: number): boolean {
    return isDevicePrivate(lo, hi);
  }

  split(_mm: Ref, mmId: number, table: Ref, lo: number, hi: number): void {
    const { w } = this.base;
    const { privates, numbers } = this;
    const page = numbers.find(lo, hi);
    const folio = privates.folioOf(page);
    const write = swapType(hi) === SWP_DEVICE_WRITE;
    const exclusive = privates.pages.isExclusive(page);
    privates.folios.get(folio, PMD_PAGES - 1);
    for (let i = 0; i < PMD_PAGES; i++) {
      w.store64(table, i << 3, numbers.privateEntry(page + i, write), numbers.hi);
      if (exclusive && i > 0) privates.pages.setExclusive(page + i, true);
    }
    privates.counts.addPtes(folio, page, PMD_ORDER, PMD_PAGES, mmId);
    privates.counts.removePmd(folio, PMD_ORDER, mmId);
  }

  cutBegins(folio: Ref): void {
    const { record } = this.zoneDevice.frames;
    this.#cut = {
      map: this.pagemaps.mapOfFolio(folio, record),
      data: this.base.w.load32(record.home(folio), record.dataAt),
    };
  }

  cutEnds(pfn: number, order: number, newOrder: number): void {
    const { zoneDevice } = this;
    const { record } = zoneDevice.frames;
    const cut = this.#cut;
    if (cut === null) return;
    const { map, data } = cut;
    for (let at = pfn; at < pfn + 2 ** order; at += 2 ** newOrder) {
      const part = record.folioOf(at);
      record.setPgmap(part, map.words);
      this.base.w.store32(record.home(part), record.dataAt, data);
      if (at === pfn) continue;
      // Each part stands for itself in the map's count from now on.
      map.tryGet(zoneDevice.extraRefs(map), true);
      map.ops.folioSplit?.(pfn, at);
    }
    map.orders?.split(map.offsetOf(pfn), order, newOrder);
    zoneDevice.rows.split(pfn, order, newOrder);
    map.ops.folioSplit?.(pfn, null);
    this.#cut = null;
  }

  free(folio: Ref, pfn: number): void {
    this.zoneDevice.free(folio, pfn);
  }

  /** Coherent memory stays evictable, a file system its own to truncate (fs-dax). */
  mayPinLong(pfn: number): boolean {
    const type = this.pagemaps.ofFrame(pfn)?.type;
    return type !== MEMORY_DEVICE_COHERENT && type !== MEMORY_DEVICE_FS_DAX;
  }

  moveForPin(pfn: number): boolean {
    return this.expelCoherent(pfn);
  }
}
