/**
 * What a driver calls: page maps, pages of a device and what is in them, processes,
 * and the sequences that every driver has. `Devices` is one of these.
 *
 * At this edge a negative errno becomes an MmError where the kernel's function has
 * no other way to say no.
 *
 * Source: include/linux/memremap.h, migrate.h, mmap_lock.h, mm.h (vma_lookup,
 * vma_is_anonymous), sched/mm.h (mmget_not_zero) of the mm tree of July 2026, by
 * their names.
 */
import { T_ANON } from "../design/word/axis-types.js";
import type { Design } from "../design/presets.js";
import { ERRNO, MmError } from "../errors.js";
import { MM_MMAP_LOCK, MM_MM_USERS } from "../layout/generated/offsets.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { downRead, upRead } from "../process/locks.js";
import type { Operations } from "../process/operations.js";
import { EFAULT } from "./kinds.js";
import type { MigrateVmaArgs } from "./migrate-args.js";
import type { Moves } from "./moves.js";
import type { DevPagemap, PagemapConfig } from "./pagemap.js";
import type { Pagemaps } from "./pagemaps.js";
import type { Side } from "./side.js";
import type { GivePage, Transfers } from "./transfers.js";
import type { ZoneDevice } from "./zone-device.js";

const NONE = 0 as Ref;

export abstract class DriverCalls {
  abstract readonly kernel: Operations;
  abstract readonly base: Base;
  abstract readonly choice: Design;
  abstract readonly moves: Moves;
  abstract readonly pagemaps: Pagemaps;
  abstract readonly transfers: Transfers;
  abstract readonly zoneDevice: ZoneDevice;
  /** What describes and counts a page. */
  abstract sideOf(page: number): Side;

  /** The sanitizer hears who looks at a page. */
  protected look(page: number, what: string): void {
    if (this.zoneDevice.watch !== null) this.zoneDevice.look(page, what);
  }

  /** Makes a page map. Throws MmError with the kernel's errno. */
  mapPages(config: PagemapConfig): DevPagemap {
    const map = this.pagemaps.create(config);
    if (typeof map === "number")
      throw new MmError(-map, `map device memory ${config.name}`, WHY[-map] ?? "refused");
    return map;
  }

  /**
   * Takes 2^order pages at an offset of a map into service, the way the design
   * does: locked, with one reference. First page, or a negative errno.
   */
  activate(map: DevPagemap, offset: number, order: number): number {
    const { zoneDevice } = this;
    if (this.choice.activation === "init") return zoneDevice.initAt(map, offset, order);
    if (map.orders !== null && map.orders.at(offset) !== order)
      zoneDevice.setOrder(map, offset, order);
    const page = zoneDevice.request(map, offset, order);
    if (page < 0) return page;
    const side = this.sideOf(page);
    side.folios.tryLock(side.folioOf(page));
    return page;
  }

  /**
   * pgmap_request_folio (see ZoneDevice.request): first page, not locked, or a negative
   * errno; −EOPNOTSUPP in a design that initialises pages.
   */
  requestFolio(map: DevPagemap, offset: number, order: number): number {
    return this.choice.activation === "request"
      ? this.zoneDevice.request(map, offset, order)
      : -ERRNO.EOPNOTSUPP;
  }

  /** What pages of any side hold is in others too; zeroes where `from` is −1, no page. */
  copy(from: number, to: number, pages = 1): void {
    const { content } = this.base.core;
    for (let i = 0; i < pages; i++)
      if (from < 0) content.clear(to + i);
      else content.copy(from + i, to + i);
  }

  /** What the device itself loads from a page of any side, from byte `at` on. */
  load(page: number, at: number, out: Uint8Array): void {
    this.base.core.content.read(page, at, out);
  }

  /** What the device stores into one. */
  store(page: number, at: number, bytes: Uint8Array): void {
    const { core } = this.base;
    core.content.write(page, at, bytes);
    core.watch?.wrote(core.content.home(page));
  }

  /** mmap_read_lock: VMAs stay as they are. */
  mmapReadLock(mm: Ref): void {
    downRead(this.base.w, mm, MM_MMAP_LOCK);
  }

  mmapReadUnlock(mm: Ref): void {
    upRead(this.base.w, mm, MM_MMAP_LOCK);
  }

  /** vma_lookup: the VMA over a page, with the process locked; 0 for none. */
  vmaLookup(mm: Ref, vpn: number): Ref {
    return this.base.vmas.tree.lookup(mm, vpn);
  }

  /** vm_start, vm_end: first page, and the page behind the last one. */
  vmaStart(vma: Ref): number {
    return this.base.vmas.tree.start(vma);
  }

  vmaEnd(vma: Ref): number {
    return this.base.vmas.tree.end(vma);
  }

  /** vma_is_anonymous: nothing but faults fills it. */
  isAnonymous(vma: Ref): boolean {
    const { vmas } = this.base;
    return vmas.file(vma) === NONE && vmas.ops(vma) === 0;
  }

  /** Whether mmget_not_zero would succeed: of a process whose mm_struct somebody keeps, as a notifier does. */
  isAlive(mm: Ref): boolean {
    return this.base.w.load32(mm, MM_MM_USERS) > 0;
  }

  /** fixup_user_fault: what a page needs to be read or written is done as for an access. 0 or −EFAULT. */
  fixupUserFault(mm: Ref, vpn: number, write: boolean): number {
    return this.kernel.faults.handle(mm, vpn, write) === 0 ? 0 : EFAULT;
  }

  /** A whole migration (see Transfers.migrateVma): pages that migrated, or −EINVAL. */
  migrateVma(args: MigrateVmaArgs, give: GivePage): number {
    return this.transfers.migrateVma(args, give);
  }

  /** What migrate_to_ram does where nothing else is wanted (see Transfers.bringBack): 0 or FAULT_…. */
  bringBack(args: MigrateVmaArgs): number {
    return this.transfers.bringBack(args);
  }

  /** Brings the pages at some offsets back to RAM; pages that stay in service (see Transfers.evictPages). */
  evictPages(map: DevPagemap, offsets: ArrayLike<number>): number {
    return this.transfers.evictPages(map, offsets);
  }

  /** The same of all pages: before the map goes. */
  evictAll(map: DevPagemap): number {
    return this.transfers.evictAll(map);
  }

  /** memunmap_pages: kills the map, waits for its pages, takes it away. */
  unmapPages(map: DevPagemap): void {
    this.pagemaps.unmap(map);
  }

  /** Bytes that describe the pages of a map, once all of them are in service. */
  recordBytes(map: DevPagemap): number {
    return map.pages * this.zoneDevice.of(map.first).record.bytesPerPage;
  }

  /** A locked page of RAM for a migration, 2^order of them; −12 where there is none. */
  allocSystem(order: number, memcg: Ref = NONE): number {
    const { folios, core } = this.base;
    const pfn = folios.alloc(order, T_ANON, memcg);
    if (pfn < 0) return pfn;
    const folio = core.design.descriptorOf(pfn);
    folios.setMapping(folio, NONE, 0);
    folios.tryLock(folio);
    return pfn;
  }

  /** folio_unlock, folio_put of a page of either side that a driver does not need after all. */
  release(page: number): void {
    this.look(page, "folio_put");
    const side = this.moves.sideOf(page);
    const folio = side.folioOf(page);
    side.folios.unlock(folio);
    side.folios.put(folio);
  }

  /** zone_device_data: a driver's number with the folio that a page belongs to. */
  data(page: number): number {
    this.look(page, "zone_device_data");
    const { record } = this.zoneDevice.of(page);
    return this.base.w.load32(record.home(record.folioOf(page)), record.dataAt);
  }

  setData(page: number, data: number): void {
    this.look(page, "zone_device_data");
    const { record } = this.zoneDevice.of(page);
    this.base.w.store32(record.home(record.folioOf(page)), record.dataAt, data);
  }
}

/** Why a page map is refused, by errno. */
const WHY: Readonly<Record<number, string>> = {
  [ERRNO.EINVAL]: "its type, ranges, order, owner or callbacks are not what such a map needs",
  [ERRNO.ENOMEM]: "no memory to describe it, or another page map is there",
  [ERRNO.ENXIO]: "its range is RAM",
  [ERRNO.EEXIST]: "its range has another page map inside",
  [ERRNO.ERANGE]: "no free stretch of physical address space is large enough",
  [ERRNO.ENOSPC]: "all device spaces are in use",
  [ERRNO.EOVERFLOW]: "it has more pages than an index of 31 bits counts",
  [ERRNO.EBUSY]: "the device address space is full",
};
