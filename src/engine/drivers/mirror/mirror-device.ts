/**
 * The mirror device: its memory, and how pages of processes move there and back.
 *
 * A private device keeps what it stores in pages of RAM that it allocates for each
 * of its own; a coherent one's pages are memory that the processor reads. Memory
 * comes in chunks, each a page map of its own and there for single pages or for huge
 * ones, whichever it was made for. A coherent device has one chunk in the kernel, of
 * single pages; here as many as its range has room for.
 *
 * Source: lib/test_hmm.c of the mm tree of July 2026 (dmirror_device,
 * dmirror_allocate_chunk, dmirror_devmem_alloc_page, dmirror_devmem_fault,
 * dmirror_devmem_free, dmirror_devmem_folio_split, dmirror_device_evict_chunk);
 * device-facts §4.1. Differs: free lists lie outside of the pages, as `request`
 * demands (device-facts §6), one for each chunk; pages of a huge page that was split
 * are not handed out as single ones, but become a huge page again when all are back.
 */
import { MmError } from "../../errors.js";
import type { Ref } from "../../../units.js";
import { MEMORY_DEVICE_COHERENT, MEMORY_DEVICE_PRIVATE, ENOMEM } from "../../device/kinds.js";
import type { DeviceFault } from "../../device/device-fault.js";
import type { Devices } from "../../device/devices.js";
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  migrateArgs,
  type MigrateVmaArgs,
} from "../../device/migrate-args.js";
import {
  clearEntry,
  flagsAt,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_WRITE,
} from "../../device/migrate-pfn.js";
import type { DevPagemap, PhysicalRange } from "../../device/pagemap.js";
import { FAULT_OOM, FAULT_SIGBUS, PMD_ORDER, PMD_PAGES } from "../../process/constants.js";
import { OutsideListAllocator } from "../allocators/outside-list.js";
import { Backing } from "./backing.js";
import type { MirrorTable } from "./mirror-table.js";

/** DEVMEM_CHUNK_SIZE: 256 MiB. */
const CHUNK_PAGES = 65536;

export interface MirrorConfig {
  /** 0, 1 private; 2, 3 coherent in the kernel's numbering; any number here. */
  readonly id: number;
  readonly kind: "private" | "coherent";
  /** Pages of a chunk; 65,536 (256 MiB) where left out. */
  readonly chunkPages?: number;
  /** Coherent only: where its memory is (spm_addr_dev), in whole chunks. */
  readonly range?: PhysicalRange;
}

/** Somebody who has the device open. */
export interface OpenMirror {
  /** Process that it mirrors. */
  readonly mm: Ref;
  readonly table: MirrorTable;
  /** HMM_DMIRROR_FLAG_FAIL_ALLOC: true once, where the next allocation is to fail. */
  takeFailure(): boolean;
}

interface Chunk {
  readonly map: DevPagemap;
  /** Whether it is for huge pages. */
  readonly large: boolean;
  readonly free: OutsideListAllocator;
  /** It is being taken away: what comes back is not handed out again. */
  removing: boolean;
}

export class MirrorDevice {
  readonly devices: Devices;
  readonly config: MirrorConfig;
  readonly name: string;
  readonly isPrivate: boolean;
  readonly backing: Backing;
  readonly #chunkPages: number;
  readonly #chunks: Chunk[] = [];
  /** Who has the device open. */
  readonly open = new Set<OpenMirror>();
  /** calloc and cfree: pages handed out of, and free in, its memory. */
  allocated = 0;

  /** Throws MmError where its first chunk cannot be had, as loading the module fails then. */
  constructor(devices: Devices, config: MirrorConfig) {
    this.devices = devices;
    this.config = config;
    this.name = `hmm_dmirror${config.id}`;
    this.isPrivate = config.kind === "private";
    this.backing = new Backing(devices);
    this.#chunkPages = config.chunkPages ?? CHUNK_PAGES;
    this.#chunks.push(this.#makeChunk(false));
  }

  /** Pages of its memory that are free. */
  get free(): number {
    return this.#chunks.reduce((sum, c) => sum + c.free.freePages, 0);
  }

  /** Its page maps that are there. */
  get maps(): readonly DevPagemap[] {
    return this.#chunks.map((c) => c.map);
  }

  #makeChunk(large: boolean): Chunk {
    const { devices } = this;
    const index = this.#chunks.length;
    const pages = this.#chunkPages;
    const ops = {
      folioFree: (page: number, order: number, data: number) => this.#freed(page, order, data),
      migrateToRam: (fault: DeviceFault) => this.#fault(fault),
      folioSplit: (head: number, tail: number | null) => this.#split(head, tail),
    };
    const common = { name: `${this.name} chunk ${index}`, ops, owner: this, nid: 0 };
    const map = devices.mapPages(
      this.isPrivate
        ? { ...common, type: MEMORY_DEVICE_PRIVATE, pages }
        : { ...common, type: MEMORY_DEVICE_COHERENT, ranges: [this.#rangeOf(index)] },
    );
    return { map, large, free: new OutsideListAllocator(pages), removing: false };
  }

  #rangeOf(index: number): PhysicalRange {
    const { start = 0, pages = 0 } = this.config.range ?? {};
    const first = index * this.#chunkPages;
    // Beyond its memory: a range that is refused.
    return {
      start: start + first,
      pages: first + this.#chunkPages <= pages ? this.#chunkPages : 0,
    };
  }

  /** dmirror_allocate_chunk: one more; false where there is none to be had. */
  #grow(large: boolean): boolean {
    try {
      this.#chunks.push(this.#makeChunk(large));
      return true;
    } catch (error) {
      if (error instanceof MmError) return false;
      throw error;
    }
  }

  #chunkOf(page: number): Chunk {
    const found = this.#chunks.find(({ map }) => map.offsetOf(page) >= 0);
    if (found === undefined) throw new RangeError(`${this.name}: page ${page} is not its own`);
    return found;
  }

  /** dmirror_devmem_alloc_page: a locked page of its own, or a huge one; a negative errno for none. */
  alloc(large: boolean): number {
    const order = large ? PMD_ORDER : 0;
    const store = this.isPrivate ? this.backing.alloc(order) : 0;
    if (store < 0) return store;
    const page = this.#take(large, order);
    if (page < 0) {
      if (this.isPrivate) this.backing.free(store, order);
      return page;
    }
    if (this.isPrivate) this.devices.setData(page, store);
    this.allocated += 1 << order;
    return page;
  }

  /** A page of a chunk that has one, or of a new chunk. */
  #take(large: boolean, order: number): number {
    for (const { map, free, large: isLarge, removing } of this.#chunks) {
      const offset = isLarge === large && !removing ? free.alloc(order) : -1;
      if (offset >= 0) return this.#activate(map, free, offset, order);
    }
    if (!this.#grow(large)) return ENOMEM;
    const { map, free } = this.#chunks[this.#chunks.length - 1];
    const offset = free.alloc(order);
    return offset < 0 ? ENOMEM : this.#activate(map, free, offset, order);
  }

  #activate(map: DevPagemap, free: OutsideListAllocator, offset: number, order: number): number {
    const page = this.devices.activate(map, offset, order);
    if (page < 0) free.free(offset, order);
    return page;
  }

  /** Frame in which the data of a page of its own is: BACKING_PAGE. */
  frameOf(page: number): number {
    if (!this.isPrivate) return page;
    const { record } = this.devices;
    return this.devices.data(page) + page - record.blockOf(page);
  }

  /** Whether a page is of this device. */
  owns(page: number): boolean {
    return this.devices.pagemaps.ofPage(page)?.owner === this;
  }

  /** folio_free: what was stored goes, the pages are free again. */
  #freed(page: number, order: number, data: number): void {
    if (this.isPrivate) this.backing.free(data, order);
    this.allocated -= 1 << order;
    const chunk = this.#chunkOf(page);
    chunk.free.free(chunk.map.offsetOf(page), order);
  }

  /** folio_split: the store is cut along. */
  #split(head: number, tail: number | null): void {
    const chunk = this.#chunkOf(head);
    if (tail === null) {
      chunk.free.split(chunk.map.offsetOf(head), PMD_ORDER, 0);
      if (this.isPrivate) this.backing.split(this.devices.data(head));
    } else if (this.isPrivate) this.devices.setData(tail, this.devices.data(head) + tail - head);
  }

  /** MIGRATE_VMA_SELECT_… for its own kind of memory. */
  get select(): number {
    return this.isPrivate ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE : MIGRATE_VMA_SELECT_DEVICE_COHERENT;
  }

  /** dmirror_devmem_fault: the process touched a page of the device, which goes back to RAM. */
  #fault({ vma, vpn, page, huge }: DeviceFault): number {
    const { devices } = this;
    const pages = huge ? PMD_PAGES : 1;
    const args = migrateArgs(pages);
    args.vma = vma;
    args.start = vpn - (vpn % pages);
    args.end = args.start + pages;
    args.owner = this;
    args.faultPage = page;
    args.flags = this.select | (huge ? MIGRATE_VMA_SELECT_COMPOUND : 0);
    if (devices.migrate.setup(args) !== 0) return FAULT_SIGBUS;
    const result = this.toSystem(args, null);
    devices.migrate.pages(args);
    devices.migrate.finalize(args);
    return result;
  }

  /**
   * dmirror_devmem_fault_alloc_and_copy: a page of RAM for each of the device's
   * pages that was collected. `mirror` has asked for it; null for a CPU fault. 0 or
   * FAULT_OOM.
   */
  toSystem(args: MigrateVmaArgs, mirror: OpenMirror | null): number {
    const { devices } = this;
    let result = 0;
    for (let i = 0; i < args.npages; i++) {
      const from = devices.pfns.page(args.src, i);
      if (from < 0 || (flagsAt(args.src, i) & MIGRATE_PFN_MIGRATE) === 0) continue;
      const large = (flagsAt(args.src, i) & MIGRATE_PFN_COMPOUND) !== 0;
      const write = flagsAt(args.src, i) & MIGRATE_PFN_WRITE;
      this.#forget(args.vma, args.start + i, large ? PMD_PAGES : 1);
      const failed = mirror?.takeFailure() === true;
      const to = failed ? ENOMEM : devices.allocSystem(large ? PMD_ORDER : 0);
      if (to >= 0) {
        this.#copyOut(from, to, large ? PMD_PAGES : 1);
        devices.pfns.set(args.dst, i, to, write | (large ? MIGRATE_PFN_COMPOUND : 0));
      } else if (!large || !this.#toSmall(args, i, from, write)) result = FAULT_OOM;
      if (large) i += PMD_PAGES - 1;
    }
    return result;
  }

  /** No huge page of RAM: 512 small ones; false where not all can be had. */
  #toSmall(args: MigrateVmaArgs, i: number, from: number, write: number): boolean {
    const { devices } = this;
    for (let k = 0; k < PMD_PAGES; k++) {
      const to = devices.allocSystem(0);
      if (to < 0) {
        while (k-- > 0) {
          devices.release(devices.pfns.page(args.dst, i + k));
          clearEntry(args.dst, i + k);
        }
        return false;
      }
      this.#copyOut(from + k, to, 1);
      devices.pfns.set(args.dst, i + k, to, write);
    }
    return true;
  }

  #copyOut(from: number, to: number, pages: number): void {
    const frame = this.frameOf(from);
    this.devices.copy(frame, to, pages);
  }

  /** xa_erase: nobody who mirrors the process finds the page with the device any more. */
  #forget(vma: Ref, vpn: number, pages: number): void {
    const mm = this.devices.base.vmas.mm(vma);
    for (const mirror of this.open) if (mirror.mm === mm) mirror.table.erase(vpn, vpn + pages);
  }

  /** Closing: everything that processes have here comes back to RAM. */
  evict(): void {
    for (const { map } of this.#chunks) this.#evict(map);
  }

  /** HMM_DMIRROR_RELEASE, unloading the module: everything comes back to RAM, and the memory goes. */
  removeChunks(): void {
    for (const chunk of this.#chunks) chunk.removing = true;
    for (const chunk of this.#chunks.slice()) {
      this.#evict(chunk.map);
      this.devices.pagemaps.unmap(chunk.map);
      this.#chunks.splice(this.#chunks.indexOf(chunk), 1);
    }
  }

  /** dmirror_device_evict_chunk */
  #evict(map: DevPagemap): void {
    const { devices } = this;
    const src = new Int32Array(map.pages * 2);
    const dst = new Int32Array(map.pages * 2);
    devices.evict.range(src, map.first, map.pages);
    for (let i = 0; i < map.pages; i++) {
      const from = devices.pfns.page(src, i);
      if (from < 0 || (flagsAt(src, i) & MIGRATE_PFN_MIGRATE) === 0) continue;
      const large = (flagsAt(src, i) & MIGRATE_PFN_COMPOUND) !== 0;
      const to = devices.allocSystem(large ? PMD_ORDER : 0);
      if (to < 0) continue;
      this.#copyOut(from, to, large ? PMD_PAGES : 1);
      devices.pfns.set(dst, i, to, large ? MIGRATE_PFN_COMPOUND : 0);
    }
    devices.evict.pages(src, dst, map.pages);
    devices.evict.finalize(src, dst, map.pages);
  }
}
