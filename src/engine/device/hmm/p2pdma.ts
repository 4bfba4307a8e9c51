/**
 * Which devices reach the memory of which: the answers of pci_p2pdma, which are a
 * matter of the machine's PCI topology and are told here pair by pair.
 *
 * A provider is a page map of p2pdma memory, a client a device that wants to read or
 * write it. Between them lies nothing that can be passed (not supported), the host
 * bridge, which passes it on by physical addresses, or only switches, where the
 * provider's bus address is used and nothing is mapped. Ordinary memory has no
 * provider: nothing of the kind, mapped as ever.
 *
 * Source: include/linux/pci-p2pdma.h, drivers/pci/p2pdma.c of the mm tree of July
 * 2026 (enum pci_p2pdma_map_type, pci_p2pdma_state, pci_p2pdma_bus_addr_map).
 * Simplified: topology is said, not found by walking bridges.
 */
import { MEMORY_DEVICE_PCI_P2PDMA } from "../kinds.js";
import type { DevPagemap } from "../pagemap.js";
import type { Pagemaps } from "../pagemaps.js";
import type { DmaDevice } from "./dma-device.js";

/** No p2pdma page. */
export const PCI_P2PDMA_MAP_NONE = 1;
export const PCI_P2PDMA_MAP_NOT_SUPPORTED = 2;
export const PCI_P2PDMA_MAP_BUS_ADDR = 3;
export const PCI_P2PDMA_MAP_THRU_HOST_BRIDGE = 4;

/** struct pci_p2pdma_map_state: the answer for the provider that was met last. */
export interface P2pdmaMapState {
  mem: DevPagemap | null;
  map: number;
  /** What its bus addresses are above its physical ones, bytes. */
  busOffset: number;
}

interface Way {
  readonly map: number;
  readonly busOffset: number;
}

export class P2pdma {
  readonly #pagemaps: Pagemaps;
  readonly #ways = new Map<DevPagemap, Map<DmaDevice, Way>>();

  constructor(pagemaps: Pagemaps) {
    this.#pagemaps = pagemaps;
  }

  /** A fresh state, for one series of mappings. */
  state(): P2pdmaMapState {
    return { mem: null, map: PCI_P2PDMA_MAP_NONE, busOffset: 0 };
  }

  /** How `client` reaches the memory of `provider`; nothing said is not supported. */
  connect(provider: DevPagemap, client: DmaDevice, map: number, busOffset = 0): void {
    const ways = this.#ways.get(provider) ?? new Map<DmaDevice, Way>();
    this.#ways.set(provider, ways.set(client, { map, busOffset }));
  }

  /** pci_p2pdma_state: how the page behind a frame is mapped for a client. */
  stateOf(state: P2pdmaMapState, client: DmaDevice, frame: number): number {
    const provider = this.#pagemaps.ofFrame(frame);
    if (provider?.type !== MEMORY_DEVICE_PCI_P2PDMA) return PCI_P2PDMA_MAP_NONE;
    if (state.mem !== provider) {
      const way = this.#ways.get(provider)?.get(client);
      state.mem = provider;
      state.map = way?.map ?? PCI_P2PDMA_MAP_NOT_SUPPORTED;
      state.busOffset = way?.busOffset ?? 0;
    }
    return state.map;
  }
}
