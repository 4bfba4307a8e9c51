/**
 * nouveau's device memory: a page map for every chunk of 2 MiB, each pinned in VRAM,
 * free pages in lists, the last one that came back used first.
 *
 * Where the kernel's lists link idle pages and find a chunk from a page's map
 * (container_of), here they lie outside of the pages and what is carried around is
 * (chunk, offset): nothing of an idle page is ever looked at. Everything is best
 * effort: what finds no page of the device stays in RAM. Chunks are given back only
 * at the end, when all of them are evicted with allocations that may not fail.
 *
 * Source: drivers/gpu/drm/nouveau/nouveau_dmem.c of the mm tree of July 2026
 * (nouveau_dmem_chunk_alloc, nouveau_dmem_page_alloc_locked, nouveau_dmem_folio_free,
 * nouveau_dmem_migrate_to_ram, nouveau_dmem_migrate_vma, nouveau_dmem_evict_chunk,
 * nouveau_dmem_fini); device-facts §6. Differs: a chunk has its own lists, not the
 * device one for all; a huge folio that no huge page of RAM can be had for is split
 * before it is evicted.
 */
import {
  EBUSY,
  EINVAL,
  ENOMEM,
  MEMORY_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  PAGE_SIZE,
  PMD_ORDER,
  PMD_PAGES,
  type DeviceFault,
  type DevPagemap,
  type Devices,
  type Process,
  type Ref,
} from "../../device/driver-api.js";
import { OutsideListAllocator } from "../allocators/outside-list.js";
import { GpuTable } from "../gpu-table.js";

const NONE = 0 as Ref;
/** DMEM_CHUNK_SIZE: 2 MiB. */
const CHUNK_PAGES = 512;

/** struct nouveau_dmem_chunk: a page map, and which of its pages are free. */
class Chunk {
  readonly #free = new OutsideListAllocator(CHUNK_PAGES);
  #map: DevPagemap | null = null;
  /** Pages of it that are handed out. */
  callocated = 0;

  /** Gets it a page map; 0 or a negative errno. */
  register(dmem: NouveauDmem, name: string): number {
    const map = dmem.devices.pagemaps.create({
      name,
      type: MEMORY_DEVICE_PRIVATE,
      pages: CHUNK_PAGES,
      owner: dmem,
      nid: 0,
      ops: {
        folioFree: (page, order) => this.give(this.map.offsetOf(page), order),
        migrateToRam: (fault) => dmem.migrateToRam(fault),
        folioSplit: (head, tail) => this.#folioSplit(head, tail),
      },
    });
    if (typeof map === "number") return map;
    this.#map = map;
    return 0;
  }

  get map(): DevPagemap {
    if (this.#map === null) throw new RangeError("a chunk is used before it has a page map");
    return this.#map;
  }

  /** Offset of 2^order pages that are free; negative for none. */
  take(order: number): number {
    const offset = this.#free.alloc(order);
    if (offset >= 0) this.callocated += 1 << order;
    return offset;
  }

  /** nouveau_dmem_folio_free */
  give(offset: number, order: number): void {
    this.callocated -= 1 << order;
    this.#free.free(offset, order);
  }

  /** nouveau_dmem_folio_split: its parts come back one by one. */
  #folioSplit(head: number, tail: number | null): void {
    if (tail === null) this.#free.split(this.map.offsetOf(head), PMD_ORDER, 0);
  }
}

export class NouveauDmem {
  readonly devices: Devices;
  /** Pages of VRAM that are not pinned. */
  #vramPages: number;
  readonly #chunks: Chunk[] = [];

  /** nouveau_dmem_init: a GPU with so many pages of VRAM; no chunk is there yet. */
  constructor(devices: Devices, vramPages: number) {
    this.devices = devices;
    this.#vramPages = vramPages;
  }

  /** Page maps, and pages handed out, of each chunk. */
  get chunks(): readonly { readonly map: DevPagemap; readonly callocated: number }[] {
    return this.#chunks;
  }

  /** nouveau_dmem_chunk_alloc: 2 MiB of VRAM are pinned and get a page map. 0 or −ENOMEM. */
  #chunkAlloc(): number {
    // nouveau_bo_new_pin
    if (this.#vramPages < CHUNK_PAGES) return ENOMEM;
    const chunk = new Chunk();
    const error = chunk.register(this, `nouveau chunk ${this.#chunks.length}`);
    if (error !== 0) return error;
    this.#chunks.push(chunk);
    this.#vramPages -= CHUNK_PAGES;
    return 0;
  }

  /** nouveau_dmem_page_alloc_locked: a locked page of the device, or a huge one; a negative errno. */
  #pageAlloc(order: number): number {
    for (;;) {
      for (const chunk of this.#chunks) {
        const offset = chunk.take(order);
        if (offset < 0) continue;
        const page = this.devices.activate(chunk.map, offset, order);
        if (page < 0) chunk.give(offset, order);
        return page;
      }
      const error = this.#chunkAlloc();
      if (error !== 0) return error;
    }
  }

  /** nouveau_dmem_migrate_to_ram: the page, or all of a folio that one entry maps. */
  migrateToRam({ vma, vpn, page, huge }: DeviceFault): number {
    const pages = huge ? PMD_PAGES : 1;
    const start = vpn - (vpn % pages);
    const flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE | (huge ? MIGRATE_VMA_SELECT_COMPOUND : 0);
    const fields = { vma, start, end: start + pages, flags, owner: this, faultPage: page };
    return this.devices.bringBack(migrateArgs(pages, fields));
  }

  /**
   * nouveau_dmem_migrate_vma: pages of a process go to the device, 2 MiB at a time,
   * with the process locked. Pages that went, or −EINVAL where nothing is mapped.
   */
  migrateVma(mm: Ref, start: number, end: number): number {
    const { devices } = this;
    const flags = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;
    let went = 0;
    for (let at = start; at < end;) {
      const vma = devices.vmaLookup(mm, at);
      if (vma === NONE) return EINVAL;
      const next = Math.min(end, devices.vmaEnd(vma), at - (at % PMD_PAGES) + PMD_PAGES);
      const args = migrateArgs(next - at, { vma, start: at, end: next, flags, owner: this });
      const moved = devices.migrateVma(args, (_from, _i, order) => this.#pageAlloc(order));
      if (moved < 0) return moved;
      went += moved;
      at = next;
    }
    return went;
  }

  /** nouveau_dmem_fini: every chunk is evicted, unmapped and unpinned. −EBUSY while pages stay (the kernel waits). */
  fini(): number {
    for (let chunk = this.#chunks.at(-1); chunk !== undefined; chunk = this.#chunks.at(-1)) {
      if (this.#evictChunk(chunk) > 0) return EBUSY;
      this.devices.unmapPages(chunk.map);
      this.#chunks.pop();
      this.#vramPages += CHUNK_PAGES;
    }
    return 0;
  }

  /** nouveau_dmem_evict_chunk: with __GFP_NOFAIL, as long as memory can be found. Pages that stay. */
  #evictChunk(chunk: Chunk): number {
    const { devices } = this;
    let left = devices.evictAll(chunk.map);
    while (left > 0 && devices.kernel.machine.onPressure()) left = devices.evictAll(chunk.map);
    return left;
  }
}

/** nouveau_svm: what a process shares with the GPU. */
export class NouveauSvm {
  readonly dmem: NouveauDmem;
  readonly mm: Ref;
  readonly gpu: GpuTable;

  /** NOUVEAU_SVM_INIT. Throws MmError (ENOMEM). */
  constructor(dmem: NouveauDmem, process: Process) {
    this.dmem = dmem;
    this.mm = process.mm;
    this.gpu = new GpuTable(dmem.devices, process.mm, dmem);
  }

  /** NOUVEAU_SVM_BIND to VRAM: pages that went, or −EINVAL. */
  bind(addr: number, length: number): number {
    const { devices } = this.dmem;
    devices.mmapReadLock(this.mm);
    const went = this.dmem.migrateVma(this.mm, addr / PAGE_SIZE, (addr + length) / PAGE_SIZE);
    devices.mmapReadUnlock(this.mm);
    return went;
  }

  close(): void {
    this.gpu.close();
  }
}
