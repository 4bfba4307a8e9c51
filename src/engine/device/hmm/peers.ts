/**
 * A page of a device by an address that another device can reach.
 *
 * A device-private page cannot be reached by anybody. Its owner may know an alias: a
 * frame of PCI memory through which the same bytes can be had. Both sides opt in, the
 * owner with `dmaAlias`, who asks with `allowP2p`, and the design must have peers.
 * Whether a certain device really reaches the alias is not said here: mapping it for
 * DMA says so. An alias must be a frame of a page map of PCI p2pdma memory, so that
 * it has a pfn and a page of its own; what an owner names beside that is warned about
 * and not given out.
 *
 * Facts: GPU Direct RDMA for device private pages v2 (device-facts §3.2–3.4). The
 * check of the alias is what the review asked for and nobody wrote; its form is
 * invented.
 */
import { IN_ANSWER, TOLD_BY_CALLER } from "../../process/number-witness.js";
import { MEMORY_DEVICE_PCI_P2PDMA } from "../kinds.js";
import type { DevPagemap } from "../pagemap.js";
import type { Pagemaps } from "../pagemaps.js";
import type { ZoneDevice } from "../zone-device.js";

export class Peers {
  readonly #pagemaps: Pagemaps;
  readonly #device: ZoneDevice;
  /** Whether the design has peers at all. */
  readonly enabled: boolean;
  /** Aliases that were given out since boot, and owners' answers that were none. */
  given = 0;
  refused = 0;

  constructor(pagemaps: Pagemaps, device: ZoneDevice, enabled: boolean) {
    this.#pagemaps = pagemaps;
    this.#device = device;
    this.enabled = enabled;
  }

  /** Whether a frame is PCI memory that peers may reach, of a map that lives. */
  isP2p(frame: number): boolean {
    const map = this.#pagemaps.ofFrame(frame);
    return map !== null && map.type === MEMORY_DEVICE_PCI_P2PDMA && !map.isDying;
  }

  /** get_dma_pfn_for_device: the frame that stands for a page of a foreign map; −1 for none. */
  aliasOf(map: DevPagemap, page: number): number {
    const frame = map.ops.dmaAlias?.(page) ?? -1;
    if (frame < 0) {
      this.refused++;
      return -1;
    }
    // That it is a pfn is what the callback is for; whose, only its page map says.
    const { witness } = this.#device.base.core;
    if (witness !== null) witness.read(IN_ANSWER, TOLD_BY_CALLER, false, frame, 0, frame);
    if (!this.isP2p(frame)) {
      this.#device.warn(`${map.name}: the alias ${frame} of page ${page} is no p2pdma memory`);
      this.refused++;
      return -1;
    }
    this.given++;
    return frame;
  }
}
