/**
 * The driver of docs/writing-a-driver.md: a GPU with memory of its own to which pages
 * of processes move, and which reads and writes processes' memory wherever it is.
 *
 * It is complete and small, not in the manner of any one driver of the kernel; its
 * text is the guide's, block by block.
 */
import {
  ALL_PAGES,
  DriverLock,
  ERRNO,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_WRITE,
  MEMORY_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  MmError,
  PAGE_SIZE,
  type DeviceFault,
  type DevPagemap,
  type Devices,
  type HmmRange,
  type MmuNotifierRange,
  type Ref,
} from "../../device/driver-api.js";
import { BitmapAllocator } from "../allocators/bitmap.js";

export class ToyGpu {
  readonly devices: Devices;
  readonly map: DevPagemap;
  readonly #free: BitmapAllocator;
  /** Offsets in use, the oldest first. */
  readonly #used = new Set<number>();

  constructor(devices: Devices, pages: number) {
    this.devices = devices;
    this.#free = new BitmapAllocator(pages);
    this.map = devices.mapPages({
      name: "toy gpu",
      type: MEMORY_DEVICE_PRIVATE,
      pages,
      owner: this,
      ops: {
        folioFree: (page) => this.#pageFree(this.map.offsetOf(page)),
        migrateToRam: (fault) => this.#migrateToRam(fault),
      },
    });
  }

  /** A locked page of the device; a negative errno where there is none. */
  #pageAlloc(): number {
    const offset = this.#free.alloc(0);
    if (offset < 0) return offset;
    const page = this.devices.activate(this.map, offset, 0);
    if (page < 0) this.#free.free(offset, 0);
    else this.#used.add(offset);
    return page;
  }

  /** folio_free: nobody has the page any more. */
  #pageFree(offset: number): void {
    this.#used.delete(offset);
    this.#free.free(offset, 0);
  }

  /** Pages of a process go to the device; how many went, or −EFAULT where nothing is mapped. */
  toDevice(mm: Ref, addr: number, pages: number): number {
    const { devices } = this;
    const end = addr / PAGE_SIZE + pages;
    this.#makeRoom(pages);
    let went = 0;
    devices.mmapReadLock(mm);
    for (let at = addr / PAGE_SIZE; at < end && went >= 0;) {
      const vma = devices.vmaLookup(mm, at);
      const next = vma === 0 ? end : Math.min(end, devices.vmaEnd(vma));
      const fields = { vma, start: at, end: next, flags: MIGRATE_VMA_SELECT_SYSTEM, owner: this };
      const moved = devices.migrateVma(migrateArgs(next - at, fields), () => this.#pageAlloc());
      went = moved < 0 ? -ERRNO.EFAULT : went + moved;
      at = next;
    }
    devices.mmapReadUnlock(mm);
    return went;
  }

  /** migrate_to_ram: the processor touched a page that the device has. */
  #migrateToRam({ vma, vpn, page }: DeviceFault): number {
    const flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
    const fields = { vma, start: vpn, end: vpn + 1, flags, owner: this, faultPage: page };
    return this.devices.bringBack(migrateArgs(1, fields));
  }

  /** Pages that came first go back to RAM, until so many are free. */
  #makeRoom(pages: number): void {
    const lacking = Math.max(pages - this.#free.freePages, 0);
    this.devices.evictPages(this.map, [...this.#used].slice(0, lacking));
  }

  /** The driver goes. −EBUSY where somebody still holds a page of the device. */
  remove(): number {
    if (this.devices.evictAll(this.map) > 0) return -ERRNO.EBUSY;
    this.devices.unmapPages(this.map);
    return 0;
  }
}

/** What the GPU sees of one process. */
export class ToyGpuProcess {
  readonly gpu: ToyGpu;
  /** The GPU's page table: by page of the process a page of RAM or of the device. */
  readonly #table = new Map<number, { page: number; write: boolean }>();
  readonly #lock: DriverLock;
  readonly #range: HmmRange;

  constructor(gpu: ToyGpu, mm: Ref) {
    this.gpu = gpu;
    this.#lock = new DriverLock(gpu.devices);
    const notifier = gpu.devices.base.notifiers.insert(mm, 0, ALL_PAGES, {
      invalidate: (range, seq) => this.#invalidate(range, seq),
    });
    if (notifier <= 0) throw new MmError(ERRNO.ENOMEM, "mirror a process", "no notifier");
    const pfns = new Int32Array(2);
    const all = { notifierSeq: 0, start: 0, end: 0, defaultFlags: 0, pfnFlagsMask: 0 };
    this.#range = { mm, notifier, pfns, owner: gpu, ...all };
  }

  /** The process is about to change these pages: the GPU forgets them. */
  #invalidate({ start, end, blockable }: MmuNotifierRange, seq: number): boolean {
    if (blockable) this.#lock.lock();
    else if (!this.#lock.tryLock()) return false;
    this.gpu.devices.base.notifiers.setSeq(this.#range.notifier, seq);
    for (const vpn of this.#table.keys()) if (vpn >= start && vpn < end) this.#table.delete(vpn);
    this.#lock.unlock();
    return true;
  }

  /** The GPU uses a page of the process: `use` gets the page. 0 or a negative errno. */
  access(addr: number, write: boolean, use: (page: number) => void): number {
    const vpn = Math.floor(addr / PAGE_SIZE);
    for (;;) {
      this.#lock.lock();
      const entry = this.#table.get(vpn);
      const there = entry !== undefined && (entry.write || !write);
      if (there) use(entry.page);
      this.#lock.unlock();
      if (there) return 0;
      const error = this.#fault(vpn, write);
      if (error !== 0 && error !== -ERRNO.EBUSY) return error;
    }
  }

  /** A GPU fault. −EBUSY where something changed meanwhile: try again. */
  #fault(vpn: number, write: boolean): number {
    const { devices } = this.gpu;
    const { notifiers } = devices.base;
    const range = this.#range;
    range.start = vpn;
    range.end = vpn + 1;
    range.defaultFlags = HMM_PFN_REQ_FAULT | (write ? HMM_PFN_REQ_WRITE : 0);
    range.notifierSeq = notifiers.readBegin(range.notifier);
    devices.mmapReadLock(range.mm);
    const error = devices.hmm.hmmRangeFault(range);
    devices.mmapReadUnlock(range.mm);
    if (error !== 0) return error;
    const page = devices.hmm.page(range.pfns, 0);
    const mayWrite = (devices.hmm.pfns.flags(range.pfns, 0) & HMM_PFN_WRITE) !== 0;
    this.#lock.lock();
    const changed = notifiers.readRetry(range.notifier, range.notifierSeq);
    if (!changed) this.#table.set(vpn, { page, write: mayWrite });
    this.#lock.unlock();
    if (changed) return -ERRNO.EBUSY;
    // A page of its own that processes share since a fork is given as it is: it must be copied.
    return write && !mayWrite ? devices.fixupUserFault(range.mm, vpn, true) : 0;
  }

  /** The process is mirrored no longer. */
  close(): void {
    this.gpu.devices.base.notifiers.remove(this.#range.notifier);
    this.#lock.free();
  }
}
