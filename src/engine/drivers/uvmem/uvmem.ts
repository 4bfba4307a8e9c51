/**
 * Secure memory of KVM guests on POWER: one global page map of all of it; a page of
 * a guest that is secure is a device-private page of the hypervisor's process.
 *
 * The number of a clear bit is the offset of a page, so requests by offset change
 * nothing here. Each page in use has a record of its own (pvt): whose it is, which
 * guest frame, and what is to become of both when it is let go. Every operation is
 * one page, all or an error. The map has no NUMA node.
 *
 * Source: arch/powerpc/kvm/book3s_hv_uvmem.c (kvmppc_uvmem_init,
 * kvmppc_uvmem_get_page, kvmppc_svm_page_in, __kvmppc_svm_page_out,
 * kvmppc_uvmem_migrate_to_ram, kvmppc_uvmem_page_free); device-facts §6. Simplified:
 * pages of 4 KiB where POWER has 64; the guests' lock is not taken. Differs: a
 * page_in that a late pin spoilt is −EBUSY and leaves the guest's frame as it was,
 * where the kernel says H_SUCCESS and has marked it secure.
 */
import {
  EBUSY,
  ENOMEM,
  FAULT_SIGBUS,
  flagsAt,
  Handles,
  MEMORY_DEVICE_PRIVATE,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  type DeviceFault,
  type DevPagemap,
  type Devices,
  type Ref,
} from "../../device/driver-api.js";
import { BitmapAllocator } from "../allocators/bitmap.js";

/** struct kvmppc_uvmem_page_pvt */
export interface UvmemPvt {
  readonly guest: UvmemOwner;
  /** Guest frame. */
  readonly gfn: number;
  readonly offset: number;
  /** Its contents are not wanted when it goes back. */
  skipPageOut: boolean;
  /** The guest's frame is an ordinary one afterwards, not one that is paged out. */
  removeGfn: boolean;
}

/** What secure memory asks of the guest that has it. */
export interface UvmemOwner {
  readonly mm: Ref;
  /** The page of a guest frame was let go. */
  pageFreed(pvt: UvmemPvt): void;
}

export class Uvmem {
  readonly devices: Devices;
  readonly map: DevPagemap;
  readonly #bitmap: BitmapAllocator;
  readonly #pvts = new Handles<UvmemPvt>();

  /** kvmppc_uvmem_init: all secure memory of the machine. Throws MmError. */
  constructor(devices: Devices, pages: number) {
    this.devices = devices;
    this.#bitmap = new BitmapAllocator(pages);
    this.map = devices.mapPages({
      name: "kvmppc_uvmem",
      type: MEMORY_DEVICE_PRIVATE,
      pages,
      owner: this,
      nid: -1,
      ops: {
        folioFree: (_page, _order, data) => this.#pageFree(data),
        migrateToRam: (fault) => this.#migrateToRam(fault),
      },
    });
  }

  get freePages(): number {
    return this.#bitmap.freePages;
  }

  /** Records of pages in use. */
  pvts(): readonly UvmemPvt[] {
    return this.#pvts.values();
  }

  /** kvmppc_uvmem_get_page: a locked page for a guest's frame, or −ENOMEM. */
  #getPage(guest: UvmemOwner, gfn: number): number {
    const offset = this.#bitmap.alloc(0);
    if (offset < 0) return ENOMEM;
    const page = this.devices.activate(this.map, offset, 0);
    if (page < 0) {
      this.#bitmap.free(offset, 0);
      return page;
    }
    const pvt: UvmemPvt = { guest, gfn, offset, skipPageOut: false, removeGfn: false };
    this.devices.setData(page, this.#pvts.add(pvt));
    return page;
  }

  /** The record of a secure page that is in use. */
  pvtOf(page: number): UvmemPvt {
    const pvt = this.#pvts.get(this.devices.data(page));
    if (pvt === undefined) throw new RangeError(`secure page ${page} is nobody's`);
    return pvt;
  }

  /** kvmppc_uvmem_page_free */
  #pageFree(data: number): void {
    const pvt = this.#pvts.get(data);
    if (pvt === undefined) return;
    this.#pvts.delete(data);
    this.#bitmap.free(pvt.offset, 0);
    pvt.guest.pageFreed(pvt);
  }

  /**
   * kvmppc_svm_page_in: what is at page `vpn` of the guest's process goes to secure
   * memory, with its contents if `copy`. The secure page; −EINVAL where nothing is
   * mapped, −EBUSY where the page cannot be moved, −ENOMEM without secure memory.
   */
  pageIn(guest: UvmemOwner, gfn: number, vpn: number, copy: boolean): number {
    const { devices } = this;
    const { migrate, pfns } = devices;
    const args = this.#args(devices.vmaLookup(guest.mm, vpn), vpn, MIGRATE_VMA_SELECT_SYSTEM);
    const error = migrate.setup(args);
    if (error !== 0) return error;
    let page =
      (flagsAt(args.src, 0) & MIGRATE_PFN_MIGRATE) === 0 ? EBUSY : this.#getPage(guest, gfn);
    if (page >= 0) {
      // uv_page_in
      if (copy) devices.copy(pfns.page(args.src, 0), page);
      pfns.set(args.dst, 0, page, 0);
    }
    migrate.pages(args);
    if (page >= 0 && (flagsAt(args.src, 0) & MIGRATE_PFN_MIGRATE) === 0) page = EBUSY;
    migrate.finalize(args);
    return page;
  }

  #args(vma: Ref, vpn: number, flags: number, faultPage = -1) {
    return migrateArgs(1, { vma, start: vpn, end: vpn + 1, flags, owner: this, faultPage });
  }

  /**
   * __kvmppc_svm_page_out: a page of RAM takes the place of the secure page at page
   * `vpn`, with its contents unless they are not wanted. 0, also where there is none;
   * −EINVAL, −ENOMEM.
   */
  pageOut(vma: Ref, vpn: number, faultPage = -1): number {
    const { devices } = this;
    const { migrate, pfns } = devices;
    const args = this.#args(vma, vpn, MIGRATE_VMA_SELECT_DEVICE_PRIVATE, faultPage);
    const error = migrate.setup(args);
    if (error !== 0) return error;
    const secure = pfns.page(args.src, 0);
    let result = 0;
    if (secure >= 0 && (flagsAt(args.src, 0) & MIGRATE_PFN_MIGRATE) !== 0) {
      const page = devices.allocSystem(0);
      if (page < 0) result = ENOMEM;
      else {
        // uv_page_out
        if (!this.pvtOf(secure).skipPageOut) devices.copy(secure, page);
        pfns.set(args.dst, 0, page, 0);
      }
    }
    migrate.pages(args);
    migrate.finalize(args);
    return result;
  }

  /** kvmppc_uvmem_migrate_to_ram: the hypervisor touched a page of a guest. */
  #migrateToRam({ vma, vpn, page }: DeviceFault): number {
    return this.pageOut(vma, vpn, page) === 0 ? 0 : FAULT_SIGBUS;
  }

  /** kvmppc_uvmem_free: no guest has any of it. −EBUSY where one has (the kernel waits for ever). */
  free(): number {
    if (this.map.inService > 0) return EBUSY;
    this.devices.unmapPages(this.map);
    return 0;
  }
}
