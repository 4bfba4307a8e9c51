/**
 * A GPU under amdkfd: one page map over all of its VRAM, private, or coherent where
 * the GPU is connected to the processor by XGMI.
 *
 * The page map brings no allocator: VRAM is TTM's, and the place of a page in its BO
 * is the offset that it is put into service by. A page leads to its BO and that to
 * the ranges of the process. Where VRAM is full, the BO that was made longest ago is
 * evicted.
 *
 * Source: drivers/gpu/drm/amd/amdkfd/kfd_migrate.c (kgd2kfd_init_zone_device,
 * svm_migrate_folio_free, svm_migrate_to_ram), kfd_svm.c; device-facts §6.
 */
import {
  EBUSY,
  ENOSPC,
  FAULT_SIGBUS,
  Handles,
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_PRIVATE,
  type DeviceFault,
  type DevPagemap,
  type Devices,
} from "../../device/driver-api.js";
import { TtmRangeAllocator } from "../allocators/ttm-ranges.js";
import { allocStretches, freeStretches, SvmBo, type BoOwner } from "./svm-bo.js";

/** ALIGN(real_vram_size, 2 MiB) */
const ALIGN_PAGES = 512;

export interface KfdConfig {
  readonly name: string;
  /** real_vram_size, in pages. */
  readonly vramPages: number;
  /** gmc.xgmi.connected_to_cpu: the first frame of its aperture. */
  readonly aperture?: number;
  /** The XGMI hive, whose GPUs use each other's memory; else the GPU for itself. */
  readonly hive?: object;
}

export class KfdDevice {
  readonly devices: Devices;
  readonly map: DevPagemap;
  readonly isCoherent: boolean;
  /** SVM_ADEV_PGMAP_OWNER */
  readonly owner: object;
  /** amdgpu_amdkfd_reserve_system_mem: what the records of its pages take. */
  readonly reservedBytes: number;
  readonly #vram: TtmRangeAllocator;
  readonly #bos = new Handles<SvmBo>();
  /** BOs in the order in which they were made: TTM's LRU list. */
  readonly #lru = new Set<SvmBo>();
  /** BOs that were evicted. */
  evictions = 0;

  /** kgd2kfd_init_zone_device. Throws MmError. */
  constructor(devices: Devices, config: KfdConfig) {
    const pages = Math.ceil(config.vramPages / ALIGN_PAGES) * ALIGN_PAGES;
    const { name, aperture, hive } = config;
    this.devices = devices;
    this.owner = hive ?? this;
    this.isCoherent = aperture !== undefined;
    const common = {
      name,
      owner: this.owner,
      nid: 0,
      ops: {
        folioFree: (page: number, _order: number, data: number) => this.#pageFree(page, data),
        migrateToRam: (fault: DeviceFault) => this.#migrateToRam(fault),
      },
    };
    this.map = devices.mapPages(
      aperture === undefined
        ? { ...common, type: MEMORY_DEVICE_PRIVATE, pages }
        : { ...common, type: MEMORY_DEVICE_COHERENT, ranges: [{ start: aperture, pages }] },
    );
    this.reservedBytes = devices.recordBytes(this.map);
    this.#vram = new TtmRangeAllocator(pages);
  }

  get freePages(): number {
    return this.#vram.freePages;
  }

  /** svm_range_vram_node_new: a BO held once, others evicted for it; −ENOSPC. */
  newBo(svms: BoOwner, pages: number): SvmBo | number {
    // amdgpu_amdkfd_reserve_mem_limit
    if (pages > this.map.pages) return ENOSPC;
    let stretches = allocStretches(this.#vram, pages);
    for (const victim of this.#lru) {
      if (stretches !== null) break;
      this.evictions++;
      victim.svms.evictBo(victim);
      stretches = allocStretches(this.#vram, pages);
    }
    if (stretches === null) return ENOSPC;
    const bo = new SvmBo(svms, stretches);
    bo.handle = this.#bos.add(bo);
    this.#lru.add(bo);
    return bo;
  }

  /** svm_range_bo_unref */
  unrefBo(bo: SvmBo): void {
    if (--bo.refs > 0) return;
    this.#bos.delete(bo.handle);
    this.#lru.delete(bo);
    freeStretches(this.#vram, bo.stretches);
  }

  /** svm_migrate_get_vram_page: a locked page of a BO, which it holds; a negative errno. */
  getVramPage(bo: SvmBo, offset: number): number {
    if (bo.inService.has(offset)) return EBUSY;
    const page = this.devices.activate(this.map, offset, 0);
    if (page < 0) return page;
    this.devices.setData(page, bo.handle);
    bo.refs++;
    bo.inService.add(offset);
    return page;
  }

  /** svm_migrate_folio_free */
  #pageFree(page: number, handle: number): void {
    const bo = this.#bos.get(handle);
    if (bo === undefined) return;
    bo.inService.delete(this.map.offsetOf(page));
    if (bo.inService.size === 0) bo.svms.boIdle(bo);
    this.unrefBo(bo);
  }

  /** svm_migrate_to_ram: of the process that the BO is of, also where another one touched the page. */
  #migrateToRam(fault: DeviceFault): number {
    const bo = this.#bos.get(this.devices.data(fault.page));
    if (bo === undefined) return FAULT_SIGBUS;
    // The ranges of a process that ended are gone: a child that outlives it gets a signal.
    return bo.svms.cpuFault(fault) === 0 ? 0 : FAULT_SIGBUS;
  }

  /** The driver lets the device go: every BO is evicted first. −EBUSY while pages stay (the kernel waits). */
  fini(): number {
    for (const bo of this.#lru) bo.svms.evictBo(bo);
    if (this.map.inService > 0) return EBUSY;
    this.devices.unmapPages(this.map);
    return 0;
  }
}
