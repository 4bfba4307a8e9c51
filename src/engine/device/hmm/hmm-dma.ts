/**
 * hmm_dma_map: pages of an HMM array as addresses of a device.
 *
 * A map has the array itself and either one stretch of addresses, in which each page
 * has its place, or a list of them. What is mapped is marked in the entry, and the
 * mark survives the next hmm_range_fault, so that a page which only gained a right is
 * not mapped anew. Memory of another device is mapped the way that pci_p2pdma says,
 * each time; where it says no the mapping fails, and only then is it known.
 *
 * Source: mm/hmm.c, include/linux/hmm-dma.h of the mm tree of July 2026
 * (hmm_dma_map_alloc, hmm_dma_map_pfn, hmm_dma_unmap_pfn), device-facts §3.5. The
 * arrays are the host's memory (simplified): -ENOMEM only beyond kvmalloc's limit of
 * 2^31 bytes. A device-private page is refused with a warning: without a pfn it has no
 * address (today's kernel maps the address that its false pfn makes; simplified).
 */
import { EOPNOTSUPP, ENOMEM } from "../kinds.js";
import type { HmmContext } from "./context.js";
import { DMA_MAPPING_ERROR, type DmaDevice } from "./dma-device.js";
import {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_VALID,
  type HmmPfns,
} from "./hmm-pfn.js";
import {
  PCI_P2PDMA_MAP_BUS_ADDR,
  PCI_P2PDMA_MAP_NONE,
  PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
  type P2pdma,
  type P2pdmaMapState,
} from "./p2pdma.js";

const PAGE = 4096;
/** Bytes that kvmalloc refuses to give, whatever there is. */
const KVMALLOC_LIMIT = 2 ** 31;
const MAPPED = HMM_PFN_VALID | HMM_PFN_DMA_MAPPED;

/** struct hmm_dma_map */
export interface HmmDmaMap {
  /** The HMM array: two words an entry. */
  readonly pfnList: Int32Array;
  /** Address of each page, where there is no stretch; null where they need not be kept. */
  readonly dmaList: Float64Array | null;
  /** First address of the stretch; DMA_MAPPING_ERROR for none. */
  readonly iova: number;
  /** Bytes that an entry stands for. */
  readonly entrySize: number;
  readonly entries: number;
}

export class HmmDma {
  readonly #c: HmmContext;
  readonly #pfns: HmmPfns;
  readonly #p2pdma: P2pdma;

  constructor(context: HmmContext, pfns: HmmPfns, p2pdma: P2pdma) {
    this.#c = context;
    this.#pfns = pfns;
    this.#p2pdma = p2pdma;
  }

  /** dma_addressing_limited: whether there is memory that the device cannot address. */
  #isLimited(dev: DmaDevice): boolean {
    return 2 ** dev.maskBits < this.#c.base.core.machine.deviceFirst * PAGE;
  }

  /**
   * hmm_dma_map_alloc: −EOPNOTSUPP for a device whose memory would have to be
   * synchronised or bounced, as HMM never hands a buffer over; −ENOMEM.
   */
  hmmDmaMapAlloc(dev: DmaDevice, entries: number, entrySize = PAGE): HmmDmaMap | number {
    if (dev.needsSync || this.#isLimited(dev)) return EOPNOTSUPP;
    if (entries * 8 >= KVMALLOC_LIMIT) return ENOMEM;
    const blocks = dev.iommu && dev.iovaBlocks;
    const iova = blocks ? dev.takeIova(entries * PAGE) : DMA_MAPPING_ERROR;
    const list = iova === DMA_MAPPING_ERROR && dev.needsUnmap;
    return {
      pfnList: new Int32Array(entries * 2),
      dmaList: list ? new Float64Array(entries) : null,
      iova,
      entrySize,
      entries,
    };
  }

  /** hmm_dma_map_free: everything was unmapped before. */
  hmmDmaMapFree(dev: DmaDevice, map: HmmDmaMap): void {
    if (map.iova !== DMA_MAPPING_ERROR) dev.giveIova(map.entries * PAGE);
  }

  /**
   * hmm_dma_map_pfn: the address at which the device finds page `i`, which must be
   * VALID; DMA_MAPPING_ERROR where it cannot. What is mapped already keeps its address.
   */
  hmmDmaMapPfn(dev: DmaDevice, map: HmmDmaMap, i: number, state: P2pdmaMapState): number {
    const { pfnList } = map;
    const at = (i << 1) + 1;
    const flags = pfnList[at];
    if ((flags & HMM_PFN_DMA_MAPPED) !== 0 && (flags & HMM_PFN_P2PDMA_BUS) === 0) {
      if (map.iova !== DMA_MAPPING_ERROR) return map.iova + i * map.entrySize;
      if (map.dmaList !== null) return map.dmaList[i];
      // Nothing is kept where mapping is a sum: it is made again.
    }
    const frame = this.#pfns.page(pfnList, i);
    if (frame < 0) return DMA_MAPPING_ERROR;
    if (frame >= this.#c.firstPrivate) {
      this.#c.zoneDevice.warn(`${dev.name}: a device-private page has no address for DMA`);
      return DMA_MAPPING_ERROR;
    }
    switch (this.#p2pdma.stateOf(state, dev, frame)) {
      case PCI_P2PDMA_MAP_NONE:
        break;
      case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
        pfnList[at] |= HMM_PFN_P2PDMA;
        break;
      case PCI_P2PDMA_MAP_BUS_ADDR:
        pfnList[at] |= HMM_PFN_P2PDMA_BUS | HMM_PFN_DMA_MAPPED;
        return frame * PAGE + state.busOffset;
      default:
        return DMA_MAPPING_ERROR;
    }
    const address = this.#map(dev, map, i, frame);
    if (address === DMA_MAPPING_ERROR) pfnList[at] &= ~HMM_PFN_P2PDMA;
    else pfnList[at] |= HMM_PFN_DMA_MAPPED;
    return address;
  }

  /** dma_iova_link, or dma_map_phys. */
  #map(dev: DmaDevice, map: HmmDmaMap, i: number, frame: number): number {
    const again = (map.pfnList[(i << 1) + 1] & HMM_PFN_DMA_MAPPED) !== 0;
    if (!again && !dev.link()) return DMA_MAPPING_ERROR;
    if (map.iova !== DMA_MAPPING_ERROR) return map.iova + i * map.entrySize;
    if (map.dmaList === null) return frame * PAGE;
    const address = dev.takeIova(map.entrySize);
    if (address === DMA_MAPPING_ERROR) dev.unlink();
    else map.dmaList[i] = address;
    return address;
  }

  /** hmm_dma_unmap_pfn: whether page `i` was mapped, and is no longer. */
  hmmDmaUnmapPfn(dev: DmaDevice, map: HmmDmaMap, i: number): boolean {
    const { pfnList } = map;
    const at = (i << 1) + 1;
    if ((pfnList[at] & MAPPED) !== MAPPED) return false;
    // Nothing was mapped where a bus address is used.
    if ((pfnList[at] & HMM_PFN_P2PDMA_BUS) === 0) {
      dev.unlink();
      if (map.dmaList !== null) dev.giveIova(map.entrySize);
    }
    pfnList[at] &= ~(HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS);
    return true;
  }
}
