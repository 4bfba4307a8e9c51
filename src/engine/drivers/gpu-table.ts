/**
 * What a GPU sees of a process: a page table of its own, filled by hmm_range_fault
 * page by page as the GPU faults, emptied by an interval notifier.
 *
 * The part that all drivers for shared virtual memory have in common: an entry is
 * there only while nothing has changed in the process since it was looked up. What
 * is mapped may be RAM or the GPU's own memory; both are read and written by page.
 *
 * Source: the loop of Documentation/mm/hmm.rst as in svm_range_validate_and_map
 * (amdkfd), drm_gpusvm_range_get_pages (xe), nouveau_range_fault. Simplified: one
 * page at a time, one notifier over the whole process, a number of tries where they
 * have a time. A page of the GPU that the process shares since a fork is written by
 * the way of a CPU fault, so that it is copied (the drivers map it as it is).
 */
import {
  ALL_PAGES,
  DriverLock,
  EBUSY,
  EFAULT,
  ERRNO,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_WRITE,
  MmError,
  PAGE_SIZE,
  type Devices,
  type HmmRange,
  type MmuNotifierRange,
  type Ref,
} from "../device/driver-api.js";

/** HMM_RANGE_DEFAULT_TIMEOUT: 1000 ms. */
const TRIES = 1000;

interface Entry {
  readonly page: number;
  readonly write: boolean;
}

export class GpuTable {
  readonly devices: Devices;
  readonly mm: Ref;
  readonly #entries = new Map<number, Entry>();
  readonly #lock: DriverLock;
  readonly #range: HmmRange;
  readonly #onChange: (range: MmuNotifierRange) => void;
  /** GPU faults that were answered. */
  faults = 0;

  /**
   * `owner` is whose device memory is mapped as it is; `onChange` hears of every
   * change to the process, before it is made. Throws MmError (ENOMEM, EINVAL).
   */
  constructor(
    devices: Devices,
    mm: Ref,
    owner: object,
    onChange: (range: MmuNotifierRange) => void = () => {},
  ) {
    this.devices = devices;
    this.mm = mm;
    this.#onChange = onChange;
    this.#lock = new DriverLock(devices);
    const notifier = devices.base.notifiers.insert(mm, 0, ALL_PAGES, {
      invalidate: (range, seq) => this.#invalidate(range, seq),
    });
    if (notifier <= 0) {
      this.#lock.free();
      throw new MmError(-notifier || ERRNO.ENOMEM, "mirror a process", "no notifier can be had");
    }
    this.#range = {
      mm,
      notifier,
      notifierSeq: 0,
      start: 0,
      end: 0,
      pfns: new Int32Array(2),
      defaultFlags: 0,
      pfnFlagsMask: 0,
      owner,
    };
  }

  /** What the GPU has mapped: for who compares it with the process. */
  entries(): { vpn: number; page: number; write: boolean }[] {
    return [...this.#entries].map(([vpn, entry]) => ({ vpn, ...entry }));
  }

  #invalidate(range: MmuNotifierRange, seq: number): boolean {
    if (range.blockable) this.#lock.lock();
    else if (!this.#lock.tryLock()) return false;
    this.devices.base.notifiers.setSeq(this.#range.notifier, seq);
    if (range.end - range.start > this.#entries.size) {
      for (const vpn of this.#entries.keys())
        if (vpn >= range.start && vpn < range.end) this.#entries.delete(vpn);
    } else for (let vpn = range.start; vpn < range.end; vpn++) this.#entries.delete(vpn);
    this.#lock.unlock();
    this.#onChange(range);
    return true;
  }

  /** The GPU loads from the process's memory, within one page. 0 or a negative errno. */
  read(addr: number, out: Uint8Array): number {
    return this.#access(addr, false, (page, at) => this.devices.load(page, at, out));
  }

  /** The GPU stores into it. */
  write(addr: number, bytes: Uint8Array): number {
    return this.#access(addr, true, (page, at) => this.devices.store(page, at, bytes));
  }

  #access(addr: number, write: boolean, use: (page: number, at: number) => void): number {
    const vpn = Math.floor(addr / PAGE_SIZE);
    for (;;) {
      this.#lock.lock();
      const entry = this.#entries.get(vpn);
      const there = entry !== undefined && (entry.write || !write);
      if (there) use(entry.page, addr % PAGE_SIZE);
      this.#lock.unlock();
      if (there) return 0;
      const error = this.#fault(vpn, write);
      if (error !== 0) return error;
    }
  }

  /** A GPU fault: the page is in the table afterwards, unless it was taken away again at once. */
  #fault(vpn: number, write: boolean): number {
    const { devices } = this;
    const { notifiers } = devices.base;
    const range = this.#range;
    range.start = vpn;
    range.end = vpn + 1;
    range.defaultFlags = HMM_PFN_REQ_FAULT | (write ? HMM_PFN_REQ_WRITE : 0);
    this.faults++;
    for (let tries = 0; tries < TRIES; tries++) {
      range.notifierSeq = notifiers.readBegin(range.notifier);
      devices.mmapReadLock(this.mm);
      const error = devices.hmm.hmmRangeFault(range);
      devices.mmapReadUnlock(this.mm);
      if (error === EBUSY) continue;
      if (error !== 0) return error;
      this.#lock.lock();
      const same = !notifiers.readRetry(range.notifier, range.notifierSeq);
      if (same) {
        const mayWrite = (devices.hmm.pfns.flags(range.pfns, 0) & HMM_PFN_WRITE) !== 0;
        this.#entries.set(vpn, { page: devices.hmm.page(range.pfns, 0), write: mayWrite });
      }
      this.#lock.unlock();
      if (!same) continue;
      if (!write || this.#entries.get(vpn)?.write === true) return 0;
      // Shared by fork: hmm_range_fault gives an owner its pages as they are.
      if (devices.fixupUserFault(this.mm, vpn, true) !== 0) return EFAULT;
    }
    return EBUSY;
  }

  /** The process is mirrored no longer. */
  close(): void {
    this.devices.base.notifiers.remove(this.#range.notifier);
    this.#entries.clear();
    this.#lock.free();
  }
}
