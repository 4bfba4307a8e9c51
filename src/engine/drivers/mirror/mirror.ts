/**
 * The mirror driver: one process's memory as a device sees it, and every ioctl of
 * the kernel's HMM test device.
 *
 * Opening the device mirrors a process: an interval notifier over all of it, and a
 * table of the pages that the device may use, under one lock. Commands take a page
 * aligned address and a number of pages, answer 0 or a negative errno, and say how
 * many pages they did and how often they had to fault.
 *
 * Source: lib/test_hmm.c of the mm tree of July 2026 (dmirror_read, dmirror_write,
 * dmirror_migrate_to_device, dmirror_migrate_to_system, dmirror_snapshot,
 * dmirror_exclusive, dmirror_check_atomic, dmirror_interval_invalidate), to the byte
 * of its snapshot codes; device-facts §4.1.
 */
import { ERRNO, MmError } from "../../errors.js";
import { PAGE_SIZE, type Ref } from "../../../units.js";
import { EINVAL, ENOENT, ENOMEM, EPERM } from "../../device/kinds.js";
import type { Devices } from "../../device/devices.js";
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  type MigrateVmaArgs,
} from "../../device/migrate-args.js";
import {
  flagsAt,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
} from "../../device/migrate-pfn.js";
import { MM_MMAP_LOCK } from "../../layout/generated/offsets.js";
import { PMD_PAGES, VM_READ, VM_WRITE } from "../../process/constants.js";
import { downRead, spinLock, spinUnlock, upRead } from "../../process/locks.js";
import {
  ALL_PAGES,
  MMU_NOTIFY_MIGRATE,
  type MmuNotifierRange,
} from "../../process/notifier/events.js";
import { O_KMALLOC } from "../../process/objects.js";
import type { Process } from "../../process/process.js";
import type { MirrorDevice, OpenMirror } from "./mirror-device.js";
import { MirrorFault } from "./mirror-fault.js";
import { MirrorTable, TAG_ATOMIC, TAG_READ, TAG_WRITE } from "./mirror-table.js";
import { snapshotRange } from "./mirror-snapshot.js";

const NONE = 0 as Ref;
/** Words of an open device: its lock, and the root of its table. */
const MUTEX = 0;
const TABLE_REF = 1;
/** PTRS_PER_PTE: pages that one migration takes at most. */
const PER_MIGRATION = PMD_PAGES;
/** HMM_DMIRROR_FLAG_FAIL_ALLOC */
export const FLAG_FAIL_ALLOC = 1;

/** struct hmm_dmirror_cmd as it comes back. */
export interface Answer {
  /** 0, or a negative errno: then the rest is 0. */
  readonly error: number;
  readonly cpages: number;
  readonly faults: number;
  /** What was copied out: data, or one byte for each page of a snapshot. */
  readonly data: Uint8Array;
}

const EMPTY = new Uint8Array(0);
const refusal = (error: number): Answer => ({ error, cpages: 0, faults: 0, data: EMPTY });

export class Mirror implements OpenMirror {
  readonly device: MirrorDevice;
  readonly devices: Devices;
  readonly mm: Ref;
  readonly table: MirrorTable;
  /** Runs between two looks at the process, with nothing locked: what another thread may do meanwhile. */
  between: () => void = () => {};
  readonly #words: Ref;
  readonly #fault: MirrorFault;
  readonly #notifier: Ref;
  readonly #args = migrateArgs(PER_MIGRATION);
  #flags = 0;
  #closed = false;

  /** open("/dev/hmm_dmirrorN") in a process. Throws MmError (ENOMEM). */
  constructor(device: MirrorDevice, process: Process) {
    const { devices } = device;
    const { core, notifiers } = devices.base;
    this.device = device;
    this.devices = devices;
    this.mm = process.mm;
    this.#words = core.newObject(O_KMALLOC);
    if (this.#words === NONE) throw new MmError(ERRNO.ENOMEM, `open ${device.name}`, "no memory");
    this.table = new MirrorTable(core, (this.#words + TABLE_REF) as Ref);
    this.#notifier = notifiers.insert(this.mm, 0, ALL_PAGES, {
      invalidate: (range, seq) => this.#invalidate(range, seq),
    });
    if (this.#notifier <= 0) {
      core.freeObject(O_KMALLOC, this.#words);
      throw new MmError(ERRNO.ENOMEM, `open ${device.name}`, "no memory for its notifier");
    }
    this.#fault = new MirrorFault(this, this.#notifier);
    device.open.add(this);
  }

  lock(): void {
    spinLock(this.devices.base.w, this.#words, MUTEX);
  }

  unlock(): void {
    spinUnlock(this.devices.base.w, this.#words, MUTEX);
  }

  takeFailure(): boolean {
    const fails = (this.#flags & FLAG_FAIL_ALLOC) !== 0;
    this.#flags &= ~FLAG_FAIL_ALLOC;
    return fails;
  }

  /** dmirror_interval_invalidate: moves of this very device's own are known. */
  #invalidate(range: MmuNotifierRange, seq: number): boolean {
    const { base } = this.devices;
    if (range.event === MMU_NOTIFY_MIGRATE && range.owner === this.devices.ownerId(this.device))
      return true;
    if (range.blockable) this.lock();
    else if (!base.w.cas32(this.#words, MUTEX, 0, 1)) return false;
    base.notifiers.setSeq(this.#notifier, seq);
    this.table.erase(range.start, range.end);
    this.unlock();
    return true;
  }

  /** What every command checks first: page aligned, not empty, no overflow. */
  #refuses(addr: number, npages: number): boolean {
    return addr % PAGE_SIZE !== 0 || addr + npages * PAGE_SIZE <= addr;
  }

  /** HMM_DMIRROR_READ: what the process has there, as the device reads it. */
  read(addr: number, npages: number): Answer {
    return this.#readVia(addr, npages, false);
  }

  /** HMM_DMIRROR_READ_UNLOCKED: the same, letting the process's lock go where a fault needs that. */
  readUnlocked(addr: number, npages: number): Answer {
    return this.#readVia(addr, npages, true);
  }

  #readVia(addr: number, npages: number, unlocked: boolean): Answer {
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    const start = addr / PAGE_SIZE;
    const data = new Uint8Array(npages * PAGE_SIZE);
    let done = 0;
    for (let faults = 0; ; faults++) {
      this.lock();
      done += this.#readThere(start + done, start + npages, data.subarray(done * PAGE_SIZE));
      this.unlock();
      if (done === npages) return { error: 0, cpages: npages, faults, data };
      const error = this.#fault.range(start + done, start + npages, false, unlocked);
      if (error !== 0) return refusal(error);
    }
  }

  /** dmirror_do_read: pages from `vpn` on that are in the table, up to the first that is not. */
  #readThere(vpn: number, end: number, out: Uint8Array): number {
    let n = 0;
    for (; vpn + n < end; n++) {
      const page = this.table.load(vpn + n);
      if (page < 0) break;
      this.#load(page, out.subarray(n * PAGE_SIZE, (n + 1) * PAGE_SIZE));
    }
    return n;
  }

  /** Frame that a page of the table is stored in. */
  frameOf(page: number): number {
    return page >= this.devices.firstPrivate ? this.device.frameOf(page) : page;
  }

  #load(page: number, out: Uint8Array): void {
    this.devices.base.core.content.read(this.frameOf(page), 0, out);
  }

  /** HMM_DMIRROR_WRITE: the device stores `data`, whole pages, into the process's memory. */
  write(addr: number, data: Uint8Array): Answer {
    const npages = Math.ceil(data.length / PAGE_SIZE);
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    const start = addr / PAGE_SIZE;
    let done = 0;
    for (let faults = 0; ; faults++) {
      this.lock();
      while (done < npages && this.#storeOne(start + done, data, done)) done++;
      this.unlock();
      if (done === npages) return { error: 0, cpages: npages, faults, data: EMPTY };
      const error = this.#fault.range(start + done, start + npages, true, false);
      if (error !== 0) return refusal(error);
    }
  }

  #storeOne(vpn: number, data: Uint8Array, i: number): boolean {
    const page = this.table.load(vpn);
    if (page < 0 || this.table.tag !== TAG_WRITE) return false;
    const { core } = this.devices.base;
    const frame = this.frameOf(page);
    core.content.write(frame, 0, data.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE));
    core.watch?.wrote(frame);
    return true;
  }

  /** HMM_DMIRROR_MIGRATE_TO_DEV: moves the pages there, then reads them back from there. */
  migrateToDevice(addr: number, npages: number): Answer {
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    const error = this.#eachVma(addr / PAGE_SIZE, npages, (args) => this.#toDevice(args));
    return error !== 0 ? refusal(error) : this.#readBack(addr / PAGE_SIZE, npages);
  }

  /** The range in pieces of one VMA and at most one table's pages each. */
  #eachVma(start: number, npages: number, move: (args: MigrateVmaArgs) => number): number {
    const { w, vmas } = this.devices.base;
    const end = start + npages;
    const args = this.#args;
    downRead(w, this.mm, MM_MMAP_LOCK);
    let error = 0;
    for (let at = start; error === 0 && at < end; at = args.end) {
      const vma = vmas.tree.lookup(this.mm, at);
      if (vma === NONE || (vmas.flags(vma) & VM_READ) === 0) {
        error = EINVAL;
        break;
      }
      args.vma = vma;
      args.start = at;
      args.end = Math.min(end, at + PER_MIGRATION, vmas.tree.end(vma));
      args.owner = this.device;
      args.faultPage = -1;
      error = move(args);
    }
    upRead(w, this.mm, MM_MMAP_LOCK);
    return error;
  }

  #toDevice(args: MigrateVmaArgs): number {
    const { migrate } = this.devices;
    args.flags = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;
    const error = migrate.setup(args);
    if (error !== 0) return error;
    this.#allocAndCopy(args);
    migrate.pages(args);
    this.#map(args);
    migrate.finalize(args);
    return 0;
  }

  /** dmirror_migrate_alloc_and_copy */
  #allocAndCopy(args: MigrateVmaArgs): void {
    const { devices, device } = this;
    const writable = (devices.base.vmas.flags(args.vma) & VM_WRITE) !== 0;
    for (let i = 0; i < args.npages; i++) {
      const flags = flagsAt(args.src, i);
      if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
      const from = devices.pfns.page(args.src, i);
      const large = (flags & MIGRATE_PFN_COMPOUND) !== 0;
      const mayWrite = from < 0 ? writable : (flags & MIGRATE_PFN_WRITE) !== 0;
      const write = mayWrite ? MIGRATE_PFN_WRITE : 0;
      const to = this.takeFailure() ? ENOMEM : device.alloc(large);
      if (to >= 0) {
        this.#copyIn(from, to, large ? PMD_PAGES : 1);
        devices.pfns.set(args.dst, i, to, write | (large ? MIGRATE_PFN_COMPOUND : 0));
      } else if (large) this.#allocSmall(args, i, from, write);
      if (large) i += PMD_PAGES - 1;
    }
  }

  /** Single pages where there is no huge one. */
  #allocSmall(args: MigrateVmaArgs, i: number, from: number, write: number): void {
    for (let k = 0; k < PMD_PAGES && i + k < args.npages; k++) {
      const to = this.device.alloc(false);
      if (to < 0) continue;
      this.#copyIn(from < 0 ? from : from + k, to, 1);
      this.devices.pfns.set(args.dst, i + k, to, write);
    }
  }

  #copyIn(from: number, to: number, pages: number): void {
    const frame = this.device.frameOf(to);
    if (from >= 0) this.devices.copy(from, frame, pages);
    else for (let k = 0; k < pages; k++) this.devices.base.core.content.clear(frame + k);
  }

  /** dmirror_migrate_finalize_and_map: what migrated is in the device's table. */
  #map(args: MigrateVmaArgs): void {
    this.lock();
    for (let i = 0; i < args.npages; i++) {
      if ((flagsAt(args.src, i) & MIGRATE_PFN_MIGRATE) === 0) continue;
      const to = this.devices.pfns.page(args.dst, i);
      if (to < 0) continue;
      const tag = (flagsAt(args.dst, i) & MIGRATE_PFN_WRITE) !== 0 ? TAG_WRITE : TAG_READ;
      const pages = (flagsAt(args.dst, i) & MIGRATE_PFN_COMPOUND) !== 0 ? PMD_PAGES : 1;
      for (let k = 0; k < pages; k++) this.table.store(args.start + i + k, to + k, tag);
      i += pages - 1;
    }
    this.unlock();
  }

  /** The range as the device's table has it; −ENOENT where it has not all of it. */
  #readBack(start: number, npages: number): Answer {
    const data = new Uint8Array(npages * PAGE_SIZE);
    this.lock();
    const cpages = this.#readThere(start, start + npages, data);
    this.unlock();
    return cpages < npages ? refusal(ENOENT) : { error: 0, cpages, faults: 0, data };
  }

  /** HMM_DMIRROR_MIGRATE_TO_SYS: brings the device's pages of the range back to RAM. */
  migrateToSystem(addr: number, npages: number): Answer {
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    const { migrate } = this.devices;
    let cpages = 0;
    const error = this.#eachVma(addr / PAGE_SIZE, npages, (args) => {
      args.flags = this.device.select | MIGRATE_VMA_SELECT_COMPOUND;
      const refused = migrate.setup(args);
      if (refused !== 0) return refused;
      this.device.toSystem(args, this);
      migrate.pages(args);
      cpages += migrated(args);
      migrate.finalize(args);
      return 0;
    });
    return error !== 0 ? refusal(error) : { error: 0, cpages, faults: 0, data: EMPTY };
  }

  /** HMM_DMIRROR_SNAPSHOT: one byte for each page, without faulting anything in. */
  snapshot(addr: number, npages: number): Answer {
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    const data = new Uint8Array(npages);
    const error = snapshotRange(this, addr / PAGE_SIZE, data);
    return error !== 0 ? refusal(error) : { error: 0, cpages: npages, faults: 0, data };
  }

  /** HMM_DMIRROR_EXCLUSIVE: the pages are the device's to work on atomically. */
  exclusive(addr: number, npages: number): Answer {
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    const { base, exclusive, system } = this.devices;
    const start = addr / PAGE_SIZE;
    let error = 0;
    downRead(base.w, this.mm, MM_MMAP_LOCK);
    for (let vpn = start; error === 0 && vpn < start + npages; vpn++) {
      const pfn = exclusive.make(this.mm, vpn, 0);
      if (pfn < 0) error = pfn;
      else {
        this.lock();
        if (!this.table.store(vpn, pfn, TAG_ATOMIC)) error = ENOMEM;
        this.unlock();
        const folio = system.folioOf(pfn);
        system.folios.unlock(folio);
        system.folios.put(folio);
      }
    }
    upRead(base.w, this.mm, MM_MMAP_LOCK);
    return error !== 0 ? refusal(error) : this.#readBack(start, npages);
  }

  /** HMM_DMIRROR_CHECK_EXCLUSIVE: −EPERM while the device still has a page of the range to itself. */
  checkExclusive(addr: number, npages: number): Answer {
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    const start = addr / PAGE_SIZE;
    let error = 0;
    this.lock();
    this.table.forEach(start, start + npages, (_vpn, _page, tag) => {
      if (tag === TAG_ATOMIC) error = EPERM;
    });
    this.unlock();
    return refusal(error);
  }

  /** HMM_DMIRROR_RELEASE: the device gives back all of its memory. */
  release(addr: number, npages: number): Answer {
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    this.device.removeChunks();
    return refusal(0);
  }

  /** HMM_DMIRROR_FLAGS: the value comes in the place of the number of pages. */
  flags(addr: number, npages: number): Answer {
    if (this.#refuses(addr, npages)) return refusal(EINVAL);
    this.#flags = npages;
    return refusal(0);
  }

  /** close: the process is no longer mirrored, and what the device has of any process goes back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { core, notifiers } = this.devices.base;
    notifiers.remove(this.#notifier);
    this.table.erase(0, ALL_PAGES);
    this.device.open.delete(this);
    core.freeObject(O_KMALLOC, this.#words);
    this.device.evict();
  }
}

/** dmirror_successful_migrated_pages */
function migrated(args: MigrateVmaArgs): number {
  const both = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;
  let n = 0;
  for (let i = 0; i < args.npages; i++) {
    if ((flagsAt(args.src, i) & both) !== both) continue;
    n += (flagsAt(args.src, i) & MIGRATE_PFN_COMPOUND) !== 0 ? PMD_PAGES : 1;
  }
  return n;
}
