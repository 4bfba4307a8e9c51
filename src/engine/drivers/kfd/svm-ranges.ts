/**
 * Shared virtual memory of one process on a GPU under amdkfd: ranges of its address
 * space, where they are, and moving them.
 *
 * A range that is in VRAM has a BO and a place in it. What cannot be moved stays
 * where it is: part of a range is good enough. A CPU fault brings back a window of
 * 2^granularity pages around it, within the range. A fault of a process that shares
 * pages since a fork is answered from the ranges of the one that made them, in the
 * page table of the one that faulted.
 *
 * Source: drivers/gpu/drm/amd/amdkfd/kfd_migrate.c (svm_migrate_ram_to_vram,
 * svm_migrate_vma_to_vram, svm_migrate_vram_to_ram, svm_migrate_vma_to_ram,
 * svm_migrate_to_ram), kfd_svm.c (svm_range_unmap_from_cpu,
 * svm_range_evict_svm_bo_worker). Simplified: one GPU for all ranges of a process;
 * ranges do not overlap; a range is cut where it is unmapped at once, not by a
 * worker; whether a range is in VRAM is told by the pages of its BO in service.
 */
import {
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOMEM,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  MMU_NOTIFY_RELEASE,
  MMU_NOTIFY_UNMAP,
  PAGE_SIZE,
  type DeviceFault,
  type MmuNotifierRange,
  type Process,
  type Ref,
} from "../../device/driver-api.js";
import { GpuTable } from "../gpu-table.js";
import type { KfdDevice } from "./kfd-device.js";
import { VramCursor, type BoOwner, type SvmBo } from "./svm-bo.js";

const NONE = 0 as Ref;
/** KFD_IOCTL_SVM_ATTR_GRANULARITY: 512 pages. */
const GRANULARITY = 9;
const EVICT_TRIES = 3;

/** struct svm_range, in pages. */
interface SvmRange {
  readonly start: number;
  readonly end: number;
  readonly granularity: number;
  bo: SvmBo | null;
  /** Page of the BO that it begins with. */
  readonly offset: number;
}

export class SvmRangeList implements BoOwner {
  readonly device: KfdDevice;
  readonly mm: Ref;
  /** What the GPU sees of the process. */
  readonly gpu: GpuTable;
  #ranges: SvmRange[] = [];
  #closed = false;
  /** BO that pages are on their way to. */
  #filling: SvmBo | null = null;

  /** svm_range_list_init: the process uses the GPU. Throws MmError (ENOMEM). */
  constructor(device: KfdDevice, process: Process) {
    this.device = device;
    this.mm = process.mm;
    this.gpu = new GpuTable(device.devices, process.mm, device.owner, (range) =>
      this.#changed(range),
    );
  }

  /**
   * KFD_IOCTL_SVM_OP_SET_ATTR: memory that the GPU will use. 0; −EINVAL, −EEXIST where
   * it is one already, −EFAULT where nothing is mapped (svm_range_is_valid).
   */
  setRange(addr: number, length: number, granularity = GRANULARITY): number {
    const start = addr / PAGE_SIZE;
    const end = start + length / PAGE_SIZE;
    if (!Number.isInteger(start) || !Number.isInteger(end) || end <= start) return EINVAL;
    if (this.#ranges.some((r) => start < r.end && r.start < end)) return EEXIST;
    const { devices } = this.device;
    devices.mmapReadLock(this.mm);
    const error = this.#eachVma(this.mm, start, end, () => 0);
    devices.mmapReadUnlock(this.mm);
    if (error === 0) this.#ranges.push({ start, end, granularity, bo: null, offset: 0 });
    return error;
  }

  /** Ranges that have a BO. */
  get inVram(): number {
    return this.#ranges.filter((r) => r.bo !== null).length;
  }

  /** svm_range_from_addr */
  #rangeOf(vpn: number): SvmRange | undefined {
    return this.#ranges.find((r) => vpn >= r.start && vpn < r.end);
  }

  /** svm_migrate_to_vram: the range at an address. Pages that went, or −EINVAL, −ENOSPC. */
  toVram(addr: number): number {
    const range = this.#rangeOf(Math.floor(addr / PAGE_SIZE));
    if (range === undefined) return EINVAL;
    const { devices } = this.device;
    if (range.bo === null) {
      const bo = this.device.newBo(this, range.end - range.start);
      if (typeof bo === "number") return bo;
      range.bo = bo;
    }
    const { bo } = range;
    this.#filling = bo;
    devices.mmapReadLock(this.mm);
    let went = 0;
    this.#eachVma(this.mm, range.start, range.end, (vma, start, end) => {
      went += this.#vmaToVram(range, bo, vma, start, end);
      return 0;
    });
    devices.mmapReadUnlock(this.mm);
    this.#filling = null;
    if (bo.inService.size === 0) this.boIdle(bo);
    return went;
  }

  /** VMAs of a stretch, from page to page; −EFAULT where one is missing. */
  #eachVma(
    mm: Ref,
    start: number,
    end: number,
    move: (vma: Ref, start: number, end: number) => number,
  ): number {
    const { devices } = this.device;
    for (let at = start; at < end;) {
      const vma = devices.vmaLookup(mm, at);
      if (vma === NONE) return EFAULT;
      const next = Math.min(end, devices.vmaEnd(vma));
      const error = move(vma, at, next);
      if (error !== 0) return error;
      at = next;
    }
    return 0;
  }

  /** svm_migrate_vma_to_vram: pages that went. */
  #vmaToVram(range: SvmRange, bo: SvmBo, vma: Ref, start: number, end: number): number {
    const { device } = this;
    const owner = device.owner;
    const args = migrateArgs(end - start, {
      vma,
      start,
      end,
      flags: MIGRATE_VMA_SELECT_SYSTEM,
      owner,
    });
    const cursor = new VramCursor(bo.stretches, range.offset + start - range.start);
    let at = 0;
    const went = device.devices.migrateVma(args, (_from, i) => {
      cursor.next(i - at);
      at = i;
      return device.getVramPage(bo, cursor.offset);
    });
    return Math.max(went, 0);
  }

  /** svm_range_vram_node_free: nothing of its ranges is in VRAM, and nothing is on its way there. */
  boIdle(bo: SvmBo): void {
    if (bo === this.#filling) return;
    for (const range of this.#ranges)
      if (range.bo === bo) {
        range.bo = null;
        this.device.unrefBo(bo);
      }
  }

  /** svm_migrate_vram_to_ram: pages `start` … before `end` of a range, where `mm` has them. 0 or a negative errno. */
  #toRam(range: SvmRange, mm: Ref, start: number, end: number, faultPage: number): number {
    if (range.bo === null) return 0;
    const { devices, isCoherent, owner } = this.device;
    const flags = isCoherent
      ? MIGRATE_VMA_SELECT_DEVICE_COHERENT
      : MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
    return this.#eachVma(mm, start, end, (vma, from, to) => {
      const fields = { vma, start: from, end: to, flags, owner, faultPage };
      return devices.bringBack(migrateArgs(to - from, fields)) === 0 ? 0 : ENOMEM;
    });
  }

  /** A range comes back to RAM. 0; −EINVAL where there is none, −EFAULT, −ENOMEM. */
  toRam(addr: number): number {
    const range = this.#rangeOf(Math.floor(addr / PAGE_SIZE));
    if (range === undefined) return EINVAL;
    const { devices } = this.device;
    devices.mmapReadLock(this.mm);
    const error = this.#toRam(range, this.mm, range.start, range.end, -1);
    devices.mmapReadUnlock(this.mm);
    return error;
  }

  /** svm_migrate_to_ram, with the process that faulted locked: a window of the range around the page. */
  cpuFault({ mm, vpn, page }: DeviceFault): number {
    const range = this.#rangeOf(vpn);
    if (range === undefined) return EFAULT;
    const size = 1 << range.granularity;
    const first = vpn - (vpn % size);
    const start = Math.max(first, range.start);
    const end = Math.min(first + size, range.end);
    return this.#toRam(range, mm, start, end, page);
  }

  /** svm_range_evict_svm_bo_worker: all ranges in a BO come back. −EBUSY where pages stay in it. */
  evictBo(bo: SvmBo): number {
    const { devices } = this.device;
    // mmget_not_zero(eviction_fence->mm)
    if (this.#closed || !devices.isAlive(this.mm)) return EBUSY;
    devices.mmapReadLock(this.mm);
    for (const range of this.#ranges.filter((r) => r.bo === bo))
      for (let tries = 0; range.bo !== null && tries < EVICT_TRIES; tries++)
        if (this.#toRam(range, this.mm, range.start, range.end, -1) !== 0) break;
    devices.mmapReadUnlock(this.mm);
    return bo.inService.size > 0 ? EBUSY : 0;
  }

  /** svm_range_cpu_invalidate_pagetables: what is unmapped is no range any more. */
  #changed({ event, start, end }: MmuNotifierRange): void {
    if (event !== MMU_NOTIFY_UNMAP && event !== MMU_NOTIFY_RELEASE) return;
    this.#ranges = this.#ranges.flatMap((r) => {
      if (start >= r.end || r.start >= end) return [r];
      const parts: SvmRange[] = [];
      if (r.start < start) parts.push({ ...r, end: start });
      if (r.end > end) parts.push({ ...r, start: end, offset: r.offset + end - r.start });
      // Each part holds the BO for itself; the pages in service hold it too.
      if (r.bo !== null) r.bo.refs += parts.length;
      if (r.bo !== null) this.device.unrefBo(r.bo);
      return parts;
    });
  }

  /** svm_range_list_fini: the process ends, or uses the GPU no longer. */
  close(): void {
    this.#closed = true;
    for (const range of this.#ranges) if (range.bo !== null) this.device.unrefBo(range.bo);
    this.#ranges = [];
    this.gpu.close();
  }
}
