/**
 * An RDMA device: a NIC that reads and writes the memory of processes by DMA, and
 * nothing but addresses to do it with.
 *
 * What lies behind an address is found as hardware does. A switch passes what is meant
 * for a peer's bus addresses to that peer. All else reaches the IOMMU, which knows the
 * pages that are mapped and no others; without one an address is physical. Where nobody
 * answers (nothing is mapped, the peer has gone) the access fails, so a device that used
 * a stale translation would be seen. The IOMMU's table is words.
 *
 * Bus addresses lie above all addresses of the IOMMU, as the kernel keeps PCI windows
 * out of an IOMMU's space (iova_reserve_pci_windows). Which peers are reached how is a
 * matter of topology and told by `connect`.
 *
 * Source: drivers/infiniband/hw/mlx5 (mr.c, odp.c), drivers/infiniband/core/verbs.c
 * (ib_check_mr_access), drivers/pci/p2pdma.c; device-facts §3.5. Simplified: no queue
 * pairs, keys or packets: a work request is a call, its completion what it returns.
 */
import {
  DmaDevice,
  EINVAL,
  ENOMEM,
  ERRNO,
  MEMORY_DEVICE_PCI_P2PDMA,
  MmError,
  PAGE_SIZE,
  PCI_P2PDMA_MAP_BUS_ADDR,
  PCI_P2PDMA_MAP_NOT_SUPPORTED,
  PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
  type Devices,
  type DevPagemap,
  type DmaDeviceConfig,
  type Process,
  type Ref,
} from "../../device/driver-api.js";
import { O_KMALLOC } from "../../process/objects.js";
import type { RadixTree } from "../../words/radix-tree.js";
import { lowHalf } from "../../words/words.js";
import { MemoryRegion } from "./memory-region.js";
import type { Nic } from "./nic.js";
import { indexTree } from "./odp-table.js";

/** What an IOMMU of the NIC has at most: 2^32 pages. */
const IOVA_BYTES = 2 ** 44;
/** Bus addresses of peers are so much above their physical ones where nothing is said. */
const BUS_OFFSET = 2 ** 46;
/** High half of a page of the IOMMU: it is there. */
const THERE = 1 << 31;

// enum ib_access_flags.
/** The device may write to the region, for who is here. */
export const IB_ACCESS_LOCAL_WRITE = 1 << 0;
/** … and for who is elsewhere; asks for IB_ACCESS_LOCAL_WRITE, too. */
export const IB_ACCESS_REMOTE_WRITE = 1 << 1;
/** Who is elsewhere may have it read. */
export const IB_ACCESS_REMOTE_READ = 1 << 2;
/** Nothing is pinned: pages are faulted when they are used. */
export const IB_ACCESS_ON_DEMAND = 1 << 6;
const WRITES = IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE;

/** How a NIC reaches a peer: not at all, through the host bridge, or past it. */
export type PeerWay = "none" | "host-bridge" | "bus";

const MAP_OF: Readonly<Record<PeerWay, number>> = {
  none: PCI_P2PDMA_MAP_NOT_SUPPORTED,
  "host-bridge": PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
  bus: PCI_P2PDMA_MAP_BUS_ADDR,
};

export interface RdmaConfig extends Omit<DmaDeviceConfig, "name" | "iovaBytes"> {
  /** Default `mlx5_0`. */
  readonly name?: string;
  /** Whether it asks for a peer's memory by its alias (HMM_PFN_ALLOW_P2P); default yes. */
  readonly allowP2p?: boolean;
  /**
   * Whether a page whose alias cannot be mapped for it is asked for again without alias,
   * so that it goes to RAM; default yes. No is the kernel of July 2026: −EFAULT.
   */
  readonly fallback?: boolean;
}

export class RdmaDevice implements Nic {
  readonly devices: Devices;
  readonly name: string;
  readonly dma: DmaDevice;
  readonly allowP2p: boolean;
  readonly fallback: boolean;
  /** Regions that are registered. */
  readonly regions = new Set<MemoryRegion>();
  readonly #words: Ref;
  readonly #iommu: RadixTree;
  /** Peers behind the same switch, and what their bus addresses are above physical ones, pages. */
  readonly #switched = new Map<DevPagemap, number>();

  /** Throws MmError (ENOMEM). */
  constructor(devices: Devices, config: RdmaConfig = {}) {
    const { name = "mlx5_0", allowP2p = true, fallback = true, ...dma } = config;
    const { core } = devices.base;
    this.devices = devices;
    this.name = name;
    this.allowP2p = allowP2p;
    this.fallback = fallback;
    this.dma = new DmaDevice({ ...dma, name, iovaBytes: IOVA_BYTES });
    this.#words = core.newObject(O_KMALLOC);
    if (this.#words === 0) throw new MmError(ERRNO.ENOMEM, `load ${name}`, "no memory");
    this.#iommu = indexTree(core, this.#words);
  }

  /**
   * How it reaches a peer's window, a page map of p2pdma memory. `busOffset`: what the
   * window's bus addresses are above its physical ones, bytes. Throws RangeError for
   * another kind of memory, or bus addresses that the IOMMU hands out itself.
   */
  connect(window: DevPagemap, way: PeerWay, busOffset = BUS_OFFSET): void {
    if (window.type !== MEMORY_DEVICE_PCI_P2PDMA)
      throw new RangeError(`${window.name} is no p2pdma memory`);
    const first = Math.min(...window.ranges.map((r) => r.start)) * PAGE_SIZE + busOffset;
    const lowest = this.dma.iommu ? IOVA_BYTES : this.devices.firstPrivate * PAGE_SIZE;
    if (way === "bus" && (first < lowest || busOffset % PAGE_SIZE !== 0))
      throw new RangeError(`bus address ${first} of ${window.name} is another's`);
    this.devices.hmm.p2pdma.connect(window, this.dma, MAP_OF[way], busOffset);
    if (way === "bus") this.#switched.set(window, busOffset / PAGE_SIZE);
    else this.#switched.delete(window);
  }

  /**
   * ibv_reg_mr with IB_ACCESS_ON_DEMAND: `length` bytes of a process from `addr` on, of
   * which nothing is looked at before it is used. Throws MmError: EINVAL without
   * ON_DEMAND, for no bytes, for REMOTE_WRITE without LOCAL_WRITE, for a process that has
   * ended; EOVERFLOW for bytes beyond all addresses; EOPNOTSUPP for a device whose
   * memory has to be synchronised or bounced; ENOMEM.
   */
  register(
    process: Pick<Process, "mm">,
    addr: number,
    length: number,
    access: number,
  ): MemoryRegion {
    const refuse = (errno: number, why: string): never => {
      throw new MmError(errno, `register ${length} bytes at 0x${addr.toString(16)}`, why);
    };
    if ((access & IB_ACCESS_ON_DEMAND) === 0)
      refuse(ERRNO.EINVAL, "IB_ACCESS_ON_DEMAND is not asked for: nothing is pinned here");
    if ((access & WRITES) === IB_ACCESS_REMOTE_WRITE)
      refuse(ERRNO.EINVAL, "who may write from afar may write here");
    if (!(Number.isInteger(addr) && addr >= 0 && Number.isInteger(length) && length > 0))
      refuse(ERRNO.EINVAL, "these are no bytes");
    if (!Number.isSafeInteger(addr + length)) refuse(ERRNO.EOVERFLOW, "no process has so many");
    const region = MemoryRegion.create(this, process.mm, addr, length, (access & WRITES) !== 0);
    if (typeof region !== "number") {
      this.regions.add(region);
      return region;
    }
    return refuse(-region, WHY[region] ?? "no notifier can be had");
  }

  /** Without an IOMMU there is nothing to do. */
  link(address: number, frame: number): boolean {
    return !this.dma.iommu || this.#iommu.store(address / PAGE_SIZE, lowHalf(frame), THERE);
  }

  unlink(address: number): void {
    if (this.dma.iommu) this.#iommu.erase(address / PAGE_SIZE);
  }

  frameAt(address: number): number {
    const page = address / PAGE_SIZE;
    for (const [window, offset] of this.#switched)
      if (window.state !== "dead" && window.offsetOf(page - offset) >= 0) return page - offset;
    if (!this.dma.iommu) return this.#answers(page) ? page : -1;
    if (page >= IOVA_BYTES / PAGE_SIZE) return -1;
    const frame = this.#iommu.load(page);
    const there = (this.devices.base.w.hi & THERE) !== 0;
    return there && this.#answers(frame) ? frame : -1;
  }

  /** RAM, or a device's memory that is still there. */
  #answers(frame: number): boolean {
    const { devices } = this;
    if (frame < devices.base.core.machine.deviceFirst) return true;
    return frame < devices.firstPrivate && devices.pagemaps.ofFrame(frame) !== null;
  }

  isPeer(frame: number): boolean {
    if (frame < this.devices.base.core.machine.deviceFirst) return false;
    return this.devices.pagemaps.ofFrame(frame)?.type === MEMORY_DEVICE_PCI_P2PDMA;
  }

  forget(region: MemoryRegion): void {
    this.regions.delete(region);
  }

  /** The driver goes: every region is deregistered. */
  close(): void {
    for (const region of this.regions) region.deregister();
    this.devices.base.core.freeObject(O_KMALLOC, this.#words);
  }
}

/** Why a region is refused. */
const WHY: Readonly<Record<number, string>> = {
  [EINVAL]: "the process has ended",
  [ENOMEM]: "no memory",
  [-ERRNO.EOVERFLOW]: "no process has so many",
  [-ERRNO.EOPNOTSUPP]: "its memory would have to be synchronised or bounced",
};
