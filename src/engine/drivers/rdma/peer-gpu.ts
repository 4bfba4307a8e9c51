/**
 * A GPU that lets other devices at its memory: device-private pages, and a window of PCI
 * memory (a BAR) in which a part of them can be reached.
 *
 * To the process the memory is device-private and has no address. Through the window a
 * peer reads the same bytes where they are; the window's pages are p2pdma memory, with
 * pfns and pages of their own, whatever the private ones have. So each byte of the window
 * has two descriptions: two struct pages today, one beside a device_private record in the
 * tuple design. The window's pages are never taken into service: the private page is what
 * is held, and a notifier hears when it goes.
 *
 * A byte lies in one place: under the private page's number. At a frame of the window the
 * GPU answers with it (Content.openWindow).
 *
 * Source: nouveau_dmem.c with "nouveau/dmem: HMM P2P DMA for private dev pages" (Maman,
 * v2, July 2025; device-facts §3.3). As posted, nouveau_dmem_get_dma_pfn makes a byte
 * address where a pfn is asked for, its upper limit lets the byte behind the window pass,
 * and it writes to the entry also where it refuses. Here all is in pages, the end is
 * exclusive, and a refusal is an errno and nothing else. The window shows one stretch of
 * the memory (nouveau's shows one buffer object for each chunk); pages are allocated by a
 * buddy allocator (nouveau has lists).
 */
import {
  EBUSY,
  FAULT_SIGBUS,
  HMM_PFN_REQ_FAULT,
  MEMORY_DEVICE_PCI_P2PDMA,
  MEMORY_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  EINVAL,
  ENOMEM,
  PAGE_SIZE,
  PMD_ORDER,
  PMD_PAGES,
  type DeviceFault,
  type DevPagemap,
  type Devices,
  type GivePage,
  type HmmRange,
  type PhysicalRange,
  type Process,
} from "../../device/driver-api.js";
import { BuddyAllocator } from "../allocators/buddy.js";

export interface PeerGpuConfig {
  /** Default `gpu0`. */
  readonly name?: string;
  /** Pages of its memory. */
  readonly pages: number;
  /** Where its window lies, in whole 2 MiB of the machine's span for devices; none where left out. */
  readonly bar?: PhysicalRange;
  /** First page of its memory that the window shows; default 0. */
  readonly barOffset?: number;
  /** Whether it offers aliases (get_dma_pfn_for_device); default where there is a window. */
  readonly offersAlias?: boolean;
  /** Whose private memory it is; default its own. Devices with one owner use each other's as it is. */
  readonly owner?: object;
}

export class PeerGpu {
  readonly devices: Devices;
  readonly name: string;
  readonly owner: object;
  /** Its private memory, and its window. */
  readonly map: DevPagemap;
  readonly window: DevPagemap | null;
  readonly barOffset: number;
  readonly #buddy: BuddyAllocator;

  /** Throws MmError where its memory or its window cannot be described, with nothing left of it. */
  constructor(devices: Devices, config: PeerGpuConfig) {
    const { name = "gpu0", pages, bar, barOffset = 0, offersAlias = bar !== undefined } = config;
    this.devices = devices;
    this.name = name;
    this.owner = config.owner ?? this;
    this.barOffset = barOffset;
    this.#buddy = new BuddyAllocator(pages);
    const alias = { dmaAlias: (page: number) => this.dmaAlias(page) };
    this.map = devices.mapPages({
      name,
      type: MEMORY_DEVICE_PRIVATE,
      pages,
      owner: this.owner,
      ops: {
        folioFree: (page, order) => this.#buddy.free(this.map.offsetOf(page), order),
        migrateToRam: (fault) => this.#migrateToRam(fault),
        folioSplit: (head, tail) => this.#split(head, tail),
        ...(offersAlias ? alias : {}),
      },
    });
    this.window = bar === undefined ? null : this.#openWindow(bar);
  }

  /** pci_p2pdma_add_resource */
  #openWindow(bar: PhysicalRange): DevPagemap {
    const { devices, map, barOffset } = this;
    try {
      const window = devices.mapPages({
        name: `${this.name} BAR`,
        type: MEMORY_DEVICE_PCI_P2PDMA,
        ranges: [bar],
      });
      const shown = Math.min(bar.pages, map.pages - barOffset);
      devices.base.core.content.openWindow(bar.start, shown, map.first + barOffset);
      return window;
    } catch (error) {
      devices.unmapPages(map);
      throw error;
    }
  }

  /** get_dma_pfn_for_device: the frame of the window that shows a page; −ENOMEM where none does. */
  dmaAlias(page: number): number {
    const { window, barOffset } = this;
    if (window === null) return ENOMEM;
    const place = this.map.offsetOf(page) - barOffset;
    return place >= 0 && place < window.pages ? window.ranges[0].start + place : ENOMEM;
  }

  /** Structures that describe each byte of the window: the private page's, and the window's own. */
  get descriptions(): readonly string[] {
    const { record, zoneDevice } = this.devices;
    const own = record.struct;
    return this.window === null ? [own] : [own, zoneDevice.frames.record.struct];
  }

  /** A locked page of its own, or a huge one; a negative errno for none. */
  #alloc(order: number): number {
    const offset = this.#buddy.alloc(order);
    if (offset < 0) return offset;
    const page = this.devices.activate(this.map, offset, order);
    if (page < 0) this.#buddy.free(offset, order);
    return page;
  }

  /** folio_split: what comes back from now on are single pages. */
  #split(head: number, tail: number | null): void {
    if (tail === null) this.#buddy.split(this.map.offsetOf(head), PMD_ORDER, 0);
  }

  /**
   * Moves pages of a process into its memory, holes too; huge pages as they are. Pages
   * that went; −EINVAL where there is no memory that could.
   */
  toDevice(process: Pick<Process, "mm">, addr: number, pages: number): number {
    const give: GivePage = (_from, _i, order) => this.#alloc(order);
    return this.#move(process, addr, pages, MIGRATE_VMA_SELECT_SYSTEM, give);
  }

  /** Moves its pages of a process back to RAM. Pages that went; −EINVAL as above. */
  toRam(process: Pick<Process, "mm">, addr: number, pages: number): number {
    const give: GivePage = (from, _i, order) =>
      from < 0 ? EINVAL : this.devices.allocSystem(order);
    return this.#move(process, addr, pages, MIGRATE_VMA_SELECT_DEVICE_PRIVATE, give);
  }

  #move(
    { mm }: Pick<Process, "mm">,
    addr: number,
    pages: number,
    select: number,
    give: GivePage,
  ): number {
    const { devices } = this;
    const end = Math.floor(addr / PAGE_SIZE) + pages;
    const flags = select | MIGRATE_VMA_SELECT_COMPOUND;
    let moved = 0;
    devices.mmapReadLock(mm);
    for (let start = end - pages; moved >= 0 && start < end;) {
      const vma = devices.vmaLookup(mm, start);
      // A piece ends where its table does, so that a huge page is never cut.
      const piece = start - (start % PMD_PAGES) + PMD_PAGES;
      const next = vma === 0 ? end : Math.min(end, piece, devices.vmaEnd(vma));
      const args = migrateArgs(next - start, { vma, start, end: next, flags, owner: this.owner });
      const n = devices.migrateVma(args, give);
      moved = n < 0 ? n : moved + n;
      start = next;
    }
    devices.mmapReadUnlock(mm);
    return moved;
  }

  /** nouveau_dmem_migrate_to_ram: the process touched a page, or the whole huge page it is in. */
  #migrateToRam({ vma, vpn, page, huge }: DeviceFault): number {
    const pages = huge ? PMD_PAGES : 1;
    const start = vpn - (vpn % pages);
    if (this.map.offsetOf(page) < 0) return FAULT_SIGBUS;
    return this.devices.bringBack(
      migrateArgs(pages, {
        vma,
        start,
        end: start + pages,
        owner: this.owner,
        faultPage: page,
        flags: MIGRATE_VMA_SELECT_DEVICE_PRIVATE | MIGRATE_VMA_SELECT_COMPOUND,
      }),
    );
  }

  /** The page of its memory that a process has at an address; −1 where that is another's. */
  pageAt(process: Pick<Process, "mm">, addr: number): number {
    const { base, hmm } = this.devices;
    const start = Math.floor(addr / PAGE_SIZE);
    const notifier = base.notifiers.insert(process.mm, start, 1, {
      invalidate: (_range, seq, sub) => {
        base.notifiers.setSeq(sub, seq);
        return true;
      },
    });
    if (notifier <= 0) return -1;
    const range: HmmRange = {
      mm: process.mm,
      notifier,
      notifierSeq: base.notifiers.readBegin(notifier),
      start,
      end: start + 1,
      pfns: new Int32Array(2),
      defaultFlags: 0,
      pfnFlagsMask: HMM_PFN_REQ_FAULT,
      owner: this.owner,
    };
    const page = hmm.hmmRangeFaultLocking(range) === 0 ? hmm.page(range.pfns, 0) : -1;
    base.notifiers.remove(notifier);
    return this.map.offsetOf(page) < 0 ? -1 : page;
  }

  /** What a shader of its own stores at an address of the process; false where the page is not its own. */
  store(process: Pick<Process, "mm">, addr: number, bytes: Uint8Array): boolean {
    const page = this.pageAt(process, addr);
    if (page >= 0) this.devices.store(page, addr % PAGE_SIZE, bytes);
    return page >= 0;
  }

  /**
   * Unloading: every page goes back to RAM, which takes it from whoever has it by its
   * alias; then memory and window go. −EBUSY, with both still there, where a page stays.
   */
  unload(): number {
    const { devices, map, window } = this;
    if (devices.evictAll(map) > 0) return EBUSY;
    devices.unmapPages(map);
    if (window === null) return 0;
    devices.base.core.content.closeWindow(window.ranges[0].start);
    devices.unmapPages(window);
    return 0;
  }
}
