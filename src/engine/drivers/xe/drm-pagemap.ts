/**
 * drm_pagemap: ranges of a process in allocations of device memory, all of a range
 * or nothing of it.
 *
 * An allocation is bound to a range for as long as a page of it is in service: its
 * pages carry a zdd, which is counted, and with the last of them the allocation is
 * detached and goes back to whoever made it. A CPU fault brings all of the
 * allocation back. Eviction has no process to ask: it names the pages by their place
 * in device memory and tries three times.
 *
 * Source: drivers/gpu/drm/drm_pagemap.c (drm_pagemap_migrate_to_devmem,
 * drm_pagemap_evict_to_ram, __drm_pagemap_migrate_to_ram, drm_pagemap_zdd_destroy,
 * drm_pagemap_folio_free, drm_pagemap_folio_split); device-facts §6. Simplified: no
 * migration from one device to another (SELECT_DEVICE_PRIVATE is not set there
 * either), no time slices; a CPU fault takes single pages of RAM where it finds no
 * huge one (a TODO there).
 */
import {
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  FAULT_SIGBUS,
  Handles,
  MEMORY_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  type DeviceFault,
  type DevPagemap,
  type Devices,
  type MigrateVmaArgs,
  type Ref,
} from "../../device/driver-api.js";

const NONE = 0 as Ref;
/** drm_pagemap_evict_to_ram: once, and two more times. */
const EVICT_TRIES = 3;

/** A process that shares its memory with the device. */
export interface DevmemOwner {
  readonly mm: Ref;
  /** mmget_not_zero */
  readonly isAlive: boolean;
}

/** struct drm_pagemap_devmem: device memory for a range; what makes it knows where it lies. */
export interface Devmem {
  /** The process that its range is of. */
  readonly owner: DevmemOwner;
  readonly pages: number;
  /** completion: no page of it is in service any more. */
  detached: boolean;
  /** populate_devmem_pfn: offset in the page map of each of its pages. */
  populate(): Int32Array;
  /** devmem_release */
  release(): void;
}

/** struct drm_pagemap_zdd: what the pages of an allocation carry. */
interface Zdd {
  readonly devmem: Devmem;
  handle: number;
  refs: number;
}

export class DrmPagemap {
  readonly devices: Devices;
  readonly owner: object;
  readonly map: DevPagemap;
  readonly #zdds = new Handles<Zdd>();

  /** drm_pagemap_create: one page map over a region of device memory. Throws MmError. */
  constructor(devices: Devices, name: string, pages: number, owner: object) {
    this.devices = devices;
    this.owner = owner;
    this.map = devices.mapPages({
      name,
      type: MEMORY_DEVICE_PRIVATE,
      pages,
      owner,
      nid: 0,
      ops: {
        folioFree: (_page, _order, data) => this.#zddPut(data),
        migrateToRam: (fault) => this.#migrateToRam(fault),
        folioSplit: (head, tail) => this.#split(head, tail),
      },
    });
  }

  #zddPut(handle: number): void {
    const zdd = this.#zdds.get(handle);
    if (zdd === undefined || --zdd.refs > 0) return;
    this.#zdds.delete(handle);
    zdd.devmem.detached = true;
    zdd.devmem.release();
  }

  /** drm_pagemap_folio_split: each part holds the zdd, which it carries already. */
  #split(head: number, tail: number | null): void {
    const zdd = this.#zdds.get(this.devices.data(head));
    if (zdd !== undefined && tail !== null) zdd.refs++;
  }

  /**
   * drm_pagemap_migrate_to_devmem, with the process locked: pages `start` … before
   * `end` go to an allocation of that size, which is used up also where it fails. 0;
   * −ENOENT without a VMA, −EINVAL where it does not cover the range, −EBUSY where it
   * is no anonymous memory or not every page can go, −ENOMEM.
   */
  migrateToDevmem(devmem: Devmem, start: number, end: number): number {
    const { devices } = this;
    const { mm } = devmem.owner;
    const vma = devices.vmaLookup(mm, start);
    const refused =
      vma === NONE
        ? ENOENT
        : end > devices.vmaEnd(vma)
          ? EINVAL
          : devices.isAnonymous(vma)
            ? 0
            : EBUSY;
    if (refused !== 0) {
      devmem.release();
      return refused;
    }
    const zdd: Zdd = { devmem, handle: 0, refs: 1 };
    zdd.handle = this.#zdds.add(zdd);
    const flags =
      MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_DEVICE_COHERENT | MIGRATE_VMA_SELECT_COMPOUND;
    const args = migrateArgs(end - start, { vma, start, end, flags, owner: this.owner });
    const error = devices.migrate.setup(args) === 0 ? this.#move(args, zdd) : EINVAL;
    this.#zddPut(zdd.handle);
    return error;
  }

  /** From setup to finalize: all of it, or nothing. */
  #move(args: MigrateVmaArgs, zdd: Zdd): number {
    const { devices } = this;
    const { migrate, transfers } = devices;
    const { src, dst } = args;
    const wanted = zdd.devmem.pages;
    const offsets = zdd.devmem.populate();
    let error = args.cpages === wanted ? 0 : EBUSY;
    if (error === 0) {
      let given = 0;
      transfers.populate(
        src,
        dst,
        args.npages,
        (_from, i, order) => {
          const page = this.#getPage(zdd, offsets, i, order);
          if (page >= 0) given += 1 << order;
          return page;
        },
        true,
      );
      if (given < wanted) {
        transfers.unpopulate(dst, args.npages);
        error = ENOMEM;
      }
    }
    migrate.pages(args);
    // Raced while finalizing: what did go stays there.
    if (error === 0 && transfers.migrated(src, dst, args.npages) < wanted) error = EBUSY;
    migrate.finalize(args);
    return error;
  }

  /** drm_pagemap_get_devmem_page: entry `i` as 2^order pages, if they lie together. */
  #getPage(zdd: Zdd, offsets: Int32Array, i: number, order: number): number {
    const { devices, map } = this;
    const first = offsets[i];
    const together = offsets[i + (1 << order) - 1] === first + (1 << order) - 1;
    if (first % (1 << order) !== 0 || !together) return EINVAL;
    const page = devices.activate(map, first, order);
    if (page < 0) return page;
    devices.setData(page, zdd.handle);
    zdd.refs++;
    return page;
  }

  /** drm_pagemap_migrate_to_ram: all pages of the allocation that are still around the one that was touched. */
  #migrateToRam({ vma, vpn, page }: DeviceFault): number {
    const { devices } = this;
    const handle = devices.data(page);
    const zdd = this.#zdds.get(handle);
    if (zdd === undefined) return FAULT_SIGBUS;
    const size = zdd.devmem.pages;
    const first = vpn - (vpn % size);
    // The VMA may have been unmapped in part.
    const start = Math.max(first, devices.vmaStart(vma));
    const end = Math.min(first + size, devices.vmaEnd(vma));
    const flags =
      MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
      MIGRATE_VMA_SELECT_DEVICE_COHERENT |
      MIGRATE_VMA_SELECT_COMPOUND;
    const fields = { vma, start, end, flags, owner: this.owner, faultPage: page };
    const args = migrateArgs(end - start, fields);
    const { migrate, transfers } = devices;
    if (migrate.setup(args) !== 0) return FAULT_SIGBUS;
    let lacking = 0;
    const give = (from: number, _i: number, order: number): number => {
      // Those of other allocations stay.
      if (from < 0 || devices.data(from) !== handle) return EINVAL;
      const to = devices.allocSystem(order);
      if (to < 0 && order === 0) lacking++;
      return to;
    };
    transfers.populate(args.src, args.dst, args.npages, give, true);
    migrate.pages(args);
    migrate.finalize(args);
    return lacking > 0 ? FAULT_SIGBUS : 0;
  }

  /**
   * drm_pagemap_evict_to_ram: all of an allocation, without its process. 0 once it is
   * detached; −EFAULT where the process has ended, −EBUSY after three tries.
   */
  evictToRam(devmem: Devmem): number {
    const { devices, map } = this;
    for (let tries = 0; tries < EVICT_TRIES; tries++) {
      if (!devmem.owner.isAlive) return EFAULT;
      devices.transfers.evictPages(map, devmem.populate(), 1);
      if (devmem.detached) return 0;
    }
    return EBUSY;
  }
}
