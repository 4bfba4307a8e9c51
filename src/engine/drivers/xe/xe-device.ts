/**
 * A GPU under xe: VRAM in the hands of a buddy allocator, a drm_pagemap over it, and
 * shared virtual memory of processes in pieces of 2 MiB, 64 KiB and a page.
 *
 * A piece is one buffer object: blocks of the buddy allocator, whose offsets are the
 * offsets that pages are put into service by. Where VRAM is full, the object that was
 * made longest ago is evicted.
 *
 * Source: drivers/gpu/drm/xe/xe_svm.c (xe_devm_add, xe_drm_pagemap_populate_mm,
 * xe_svm_populate_devmem_pfn, xe_svm_devmem_release, fault_chunk_sizes), xe_bo.c
 * (xe_evict_flags), drm_gpusvm.c; device-facts §6. Simplified: a range is not kept
 * once it was moved; blocks are taken one by one, the largest first.
 */
import {
  EBUSY,
  ENOSPC,
  PAGE_SIZE,
  type Devices,
  type Process,
  type Ref,
} from "../../device/driver-api.js";
import { BuddyAllocator } from "../allocators/buddy.js";
import { GpuTable } from "../gpu-table.js";
import { DrmPagemap, type Devmem, type DevmemOwner } from "./drm-pagemap.js";

/** fault_chunk_sizes: 2 MiB, 64 KiB, 4 KiB, in pages. */
const PIECES = [512, 16, 1];
/** Blocks of at most 2 MiB. */
const ORDER_MAX = 9;

interface Block {
  readonly offset: number;
  readonly order: number;
}

/** struct xe_bo with its drm_pagemap_devmem. */
class XeBo implements Devmem {
  readonly owner: DevmemOwner;
  readonly pages: number;
  readonly blocks: readonly Block[];
  readonly #free: (bo: XeBo) => void;
  detached = false;

  constructor(
    owner: DevmemOwner,
    pages: number,
    blocks: readonly Block[],
    free: (bo: XeBo) => void,
  ) {
    this.owner = owner;
    this.pages = pages;
    this.blocks = blocks;
    this.#free = free;
  }

  /** xe_svm_populate_devmem_pfn */
  populate(): Int32Array {
    const offsets = new Int32Array(this.pages);
    let i = 0;
    for (const { offset, order } of this.blocks)
      for (let k = 0; k < 1 << order; k++) offsets[i++] = offset + k;
    return offsets;
  }

  release(): void {
    this.#free(this);
  }
}

export class XeDevice {
  readonly devices: Devices;
  readonly dpagemap: DrmPagemap;
  readonly #buddy: BuddyAllocator;
  /** Objects in the order in which they were made: TTM's LRU list. */
  readonly #lru = new Set<XeBo>();
  /** Objects that were evicted. */
  evictions = 0;

  /** xe_devm_add: so many pages of VRAM (usable_size). Throws MmError. */
  constructor(devices: Devices, name: string, pages: number) {
    this.devices = devices;
    this.#buddy = new BuddyAllocator(pages);
    this.dpagemap = new DrmPagemap(devices, name, pages, this);
  }

  get freePages(): number {
    return this.#buddy.freePages;
  }

  /** Objects that have pages in service. */
  get objects(): number {
    return this.#lru.size;
  }

  /** xe_bo_create_locked in VRAM; null, with nothing taken, where no eviction makes room. */
  #newBo(owner: DevmemOwner, pages: number): XeBo | null {
    let blocks = this.#allocBlocks(pages);
    for (const victim of this.#lru) {
      if (blocks !== null) break;
      if (this.dpagemap.evictToRam(victim) === 0) this.evictions++;
      blocks = this.#allocBlocks(pages);
    }
    if (blocks === null) return null;
    const bo = new XeBo(owner, pages, blocks, (it) => this.#release(it));
    this.#lru.add(bo);
    return bo;
  }

  /** drm_buddy_alloc_blocks */
  #allocBlocks(pages: number): Block[] | null {
    const blocks: Block[] = [];
    let order = ORDER_MAX;
    for (let left = pages; left > 0;) {
      while (1 << order > left) order--;
      const offset = this.#buddy.alloc(order);
      if (offset >= 0) {
        blocks.push({ offset, order });
        left -= 1 << order;
      } else if (order-- === 0) {
        for (const block of blocks) this.#buddy.free(block.offset, block.order);
        return null;
      }
    }
    return blocks;
  }

  /** xe_svm_devmem_release */
  #release(bo: XeBo): void {
    this.#lru.delete(bo);
    for (const { offset, order } of bo.blocks) this.#buddy.free(offset, order);
  }

  /**
   * xe_drm_pagemap_populate_mm, with the process locked: one piece in an object of
   * its own. 0; −ENOSPC, and what drm_pagemap says.
   */
  populateMm(owner: DevmemOwner, start: number, end: number): number {
    const bo = this.#newBo(owner, end - start);
    return bo === null ? ENOSPC : this.dpagemap.migrateToDevmem(bo, start, end);
  }

  /** The device goes: all objects are evicted first. −EBUSY while pages stay (the kernel waits). */
  fini(): number {
    for (const bo of this.#lru) this.dpagemap.evictToRam(bo);
    if (this.dpagemap.map.inService > 0) return EBUSY;
    this.devices.unmapPages(this.dpagemap.map);
    return 0;
  }
}

/** drm_gpusvm: what a process shares with the GPU. */
export class XeSvm implements DevmemOwner {
  readonly device: XeDevice;
  readonly mm: Ref;
  readonly gpu: GpuTable;
  #closed = false;

  /** xe_svm_init. Throws MmError (ENOMEM). */
  constructor(device: XeDevice, process: Process) {
    this.device = device;
    this.mm = process.mm;
    this.gpu = new GpuTable(device.devices, process.mm, device);
  }

  /**
   * Prefetches a stretch of memory to VRAM, in aligned pieces as large as fit. Pages
   * that went; of pieces that were refused none did.
   */
  toVram(addr: number, length: number): number {
    const { devices } = this.device;
    const end = (addr + length) / PAGE_SIZE;
    let went = 0;
    devices.mmapReadLock(this.mm);
    for (let at = addr / PAGE_SIZE; at < end;) {
      const from = at;
      const pages = PIECES.find((n) => from % n === 0 && from + n <= end) ?? 1;
      if (this.device.populateMm(this, at, at + pages) === 0) went += pages;
      at += pages;
    }
    devices.mmapReadUnlock(this.mm);
    return went;
  }

  get isAlive(): boolean {
    return !this.#closed && this.device.devices.isAlive(this.mm);
  }

  /** xe_svm_fini */
  close(): void {
    this.#closed = true;
    this.gpu.close();
  }
}
