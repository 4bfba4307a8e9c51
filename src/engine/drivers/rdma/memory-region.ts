/**
 * A memory region: bytes of a process that an RDMA device reads and writes without
 * pinning anything.
 *
 * The device has addresses for DMA and nothing else: each access goes page by page
 * through its own translations to whatever answers there, RAM or a peer. A page without
 * a translation is a page fault of the device, after which it goes on. While it uses
 * translations the region is locked, as an invalidation waits for what is under way.
 *
 * Source: as odp-umem.ts; pagefault_single_data_segment of mlx5. A write to a region that
 * was not registered for it is −EPERM (invented: hardware answers with a completion in
 * error), an address where nobody answers −EIO.
 */
import {
  EBUSY,
  EFAULT,
  EINVAL,
  EPERM,
  ERRNO,
  HMM_PFN_P2PDMA_BUS,
  PAGE_SIZE,
  type HmmKind,
  type Ref,
} from "../../device/driver-api.js";
import type { Nic } from "./nic.js";
import { OdpUmem, TRIES } from "./odp-umem.js";

const EIO = -ERRNO.EIO;

/** What became of a read or a write: the work completion. */
export interface Completion {
  /** 0, or a negative errno. */
  readonly error: number;
  /** What was read; empty for a write and after an error. */
  readonly data: Uint8Array;
  /** Bytes that were a peer's, read or written where they are, and RAM's. */
  readonly peerBytes: number;
  readonly ramBytes: number;
  /** Page faults that the device had. */
  readonly faults: number;
}

/** A page that the device has mapped. */
export interface RegionPage {
  /** Every page of a region has one: RAM's, or that of the alias. */
  readonly pfn: number;
  /** What the device sees. */
  readonly address: number;
  readonly kind: HmmKind;
  readonly write: boolean;
  /** Whether the address is the peer's own on the bus, mapped by nobody. */
  readonly bus: boolean;
}

/** What has happened to a region since it was registered. */
export interface RegionCounts {
  /** Page faults of the device. */
  readonly faults: number;
  /** Pages that were taken from it because the process changed. */
  readonly invalidations: number;
  /** Looks at the process that came to nothing, as it had changed meanwhile. */
  readonly retries: number;
  /** Peers' pages that the device does not reach, asked for again without alias. */
  readonly fallbacks: number;
  /** Pages that are mapped for it now. */
  readonly mapped: number;
}

/** How far an access has come. */
interface Progress {
  at: number;
  peer: number;
  ram: number;
}

type Use = (frame: number, at: number, part: Uint8Array) => void;

const EMPTY = new Uint8Array(0);
const failure = (error: number, faults: number): Completion => ({
  error,
  data: EMPTY,
  peerBytes: 0,
  ramBytes: 0,
  faults,
});

export class MemoryRegion {
  /** The device whose region it is. */
  readonly nic: Nic;
  /** Its pages and how they are got. */
  readonly umem: OdpUmem;
  /** First byte in the process, and how many. */
  readonly addr: number;
  readonly length: number;

  /** `length` bytes of a process from `addr` on; a negative errno of `OdpUmem.get`. */
  static create(
    nic: Nic,
    mm: Ref,
    addr: number,
    length: number,
    writable: boolean,
  ): MemoryRegion | number {
    const first = Math.floor(addr / PAGE_SIZE);
    const pages = Math.ceil((addr + length) / PAGE_SIZE) - first;
    const umem = OdpUmem.get(nic, { mm, first, pages, writable });
    return typeof umem === "number" ? umem : new MemoryRegion(nic, umem, addr, length);
  }

  private constructor(nic: Nic, umem: OdpUmem, addr: number, length: number) {
    this.nic = nic;
    this.umem = umem;
    this.addr = addr;
    this.length = length;
  }

  /** Pages of the range, the first and the last of which it may have only a part of. */
  get pages(): number {
    return this.umem.range.pages;
  }

  /** Whether the device may write: what it faults, it faults for writing then. */
  get writable(): boolean {
    return this.umem.range.writable;
  }

  /** What has happened to it; zeroes once it is deregistered. */
  get counts(): RegionCounts {
    const { faults, invalidations, retries, fallbacks, mapped } = this.umem;
    return { faults, invalidations, retries, fallbacks, mapped };
  }

  /** Page `i` as the device has it; null where it is not mapped. */
  page(i: number): RegionPage | null {
    const { umem } = this;
    if (umem.released || !(i >= 0 && i < this.pages)) return null;
    const { base, hmm } = umem.devices;
    umem.lock();
    const lo = umem.table.entry(i);
    const hi = base.w.hi;
    const address = umem.table.address(i);
    umem.unlock();
    if (address < 0) return null;
    const entry = Int32Array.of(lo, hi);
    return {
      pfn: hmm.page(entry, 0),
      address,
      kind: hmm.kind(entry, 0),
      write: umem.table.mayWrite,
      bus: (hi & HMM_PFN_P2PDMA_BUS) !== 0,
    };
  }

  /** Prefetch: pages `first` … before `end` are mapped (see OdpUmem.fault). */
  fault(first = 0, end = this.pages): number {
    return this.umem.fault(first, end);
  }

  /** RDMA read: `n` bytes from byte `offset` of the region on. */
  read(offset: number, n: number): Completion {
    const { devices } = this.umem;
    const data = new Uint8Array(n >= 0 && n <= this.length ? n : 0);
    return this.#access(offset, n, false, data, (frame, at, part) => devices.load(frame, at, part));
  }

  /** RDMA write: `bytes` to byte `offset` of the region on; nothing is read in the completion. */
  write(offset: number, bytes: Uint8Array): Completion {
    const { devices } = this.umem;
    if (!this.writable) return failure(EPERM, 0);
    const done = this.#access(offset, bytes.length, true, bytes, (frame, at, part) =>
      devices.store(frame, at, part),
    );
    return { ...done, data: EMPTY };
  }

  #access(offset: number, n: number, write: boolean, bytes: Uint8Array, use: Use): Completion {
    const { umem } = this;
    if (umem.released) return failure(EINVAL, 0);
    if (!(offset >= 0 && n >= 0 && offset + n <= this.length)) return failure(EFAULT, 0);
    const start = (this.addr % PAGE_SIZE) + offset;
    const done: Progress = { at: 0, peer: 0, ram: 0 };
    for (let faults = 0, tries = 0; tries <= TRIES; faults++) {
      const before = done.at;
      umem.lock();
      let error = 0;
      while (error === 0 && done.at < n)
        error = this.#usePage(start + done.at, n - done.at, write, bytes, done, use);
      umem.unlock();
      if (error === EIO) return failure(error, faults);
      if (error === 0)
        return { error, data: bytes, peerBytes: done.peer, ramBytes: done.ram, faults };
      const end = Math.ceil((start + n) / PAGE_SIZE);
      const result = umem.fault(Math.floor((start + done.at) / PAGE_SIZE), end);
      if (result < 0) return failure(result, faults + 1);
      tries = done.at > before ? 0 : tries + 1;
    }
    return failure(EBUSY, TRIES);
  }

  /** With the lock, the part of one page: −EFAULT where the device has no translation, −EIO where nobody answers. */
  #usePage(
    from: number,
    left: number,
    write: boolean,
    bytes: Uint8Array,
    done: Progress,
    use: Use,
  ): number {
    const { nic } = this;
    const { table } = this.umem;
    const address = table.address(Math.floor(from / PAGE_SIZE));
    if (address < 0 || (write && !table.mayWrite)) return EFAULT;
    const frame = nic.frameAt(address);
    if (frame < 0) return EIO;
    const at = from % PAGE_SIZE;
    const n = Math.min(left, PAGE_SIZE - at);
    use(frame, at, bytes.subarray(done.at, done.at + n));
    done.at += n;
    if (nic.isPeer(frame)) done.peer += n;
    else done.ram += n;
    return 0;
  }

  /** ibv_dereg_mr: everything is unmapped, nothing of the process is heard any more. */
  deregister(): void {
    if (this.umem.released) return;
    this.umem.release();
    this.nic.forget(this);
  }
}
