/**
 * A device as the DMA API sees it: what it can address, whether an IOMMU stands
 * before it, and which of its addresses are in use.
 *
 * Addresses are bytes. With an IOMMU they are its own (IOVA), handed out one behind
 * another; without one they are physical, and mapping is a sum. What is mapped is
 * counted, so that a test sees what was left mapped.
 *
 * Source: include/linux/dma-mapping.h, drivers/iommu/dma-iommu.c of the mm tree of
 * July 2026 (dma_iova_try_alloc, dma_iova_link, dma_map_phys). Simplified: addresses
 * are handed out upwards and used again only once all are given back; no page table
 * of the IOMMU exists.
 */

/** ~0 in the kernel: no address. */
export const DMA_MAPPING_ERROR = -1;

export interface DmaDeviceConfig {
  readonly name: string;
  /** Whether memory must be synchronised by hand for it (not coherent, or bounced); default no. */
  readonly needsSync?: boolean;
  /** Bits of an address that it can give, 32 … 52; default 52. */
  readonly maskBits?: number;
  /** Whether an IOMMU translates its addresses; default yes. */
  readonly iommu?: boolean;
  /** Whether the IOMMU gives one stretch of addresses for many pages (dma_iova_try_alloc); default yes. */
  readonly iovaBlocks?: boolean;
  /** Addresses that the IOMMU has for it, bytes; default 2^48. */
  readonly iovaBytes?: number;
}

export class DmaDevice {
  readonly name: string;
  readonly needsSync: boolean;
  readonly maskBits: number;
  readonly iommu: boolean;
  readonly iovaBlocks: boolean;
  readonly iovaBytes: number;
  /** Pages that are mapped for it now. */
  mapped = 0;
  /** Bytes of addresses that are in use. */
  reserved = 0;
  /** The next so many mappings fail, as where the IOMMU has no memory for its tables. */
  failing = 0;
  /** Page 0 is no address. */
  #next = 4096;

  constructor(config: DmaDeviceConfig) {
    this.name = config.name;
    this.needsSync = config.needsSync ?? false;
    this.maskBits = config.maskBits ?? 52;
    this.iommu = config.iommu ?? true;
    this.iovaBlocks = config.iovaBlocks ?? true;
    this.iovaBytes = config.iovaBytes ?? 2 ** 48;
  }

  /** dma_need_unmap: whether a mapping is more than a sum. */
  get needsUnmap(): boolean {
    return this.iommu;
  }

  /** alloc_iova: a stretch of addresses; DMA_MAPPING_ERROR where there is none. */
  takeIova(bytes: number): number {
    const start = this.#next;
    if (start + bytes > this.iovaBytes) return DMA_MAPPING_ERROR;
    this.#next += bytes;
    this.reserved += bytes;
    return start;
  }

  giveIova(bytes: number): void {
    this.reserved -= bytes;
    if (this.reserved === 0) this.#next = 4096;
  }

  /** Whether the next mapping can be made; counts it. */
  link(): boolean {
    if (this.failing > 0) {
      this.failing--;
      return false;
    }
    this.mapped++;
    return true;
  }

  unlink(): void {
    this.mapped--;
  }
}
