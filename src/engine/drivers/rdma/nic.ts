/**
 * What a region asks of the device that it belongs to.
 */
import type { Devices, DmaDevice } from "../../device/driver-api.js";

export interface Nic {
  readonly devices: Devices;
  readonly name: string;
  readonly dma: DmaDevice;
  /** Whether it asks for a peer's memory by its alias (HMM_PFN_ALLOW_P2P). */
  readonly allowP2p: boolean;
  /** Whether a page whose alias cannot be mapped for it is asked for again without. */
  readonly fallback: boolean;
  /** iommu_map of a page for it; false without memory. */
  link(address: number, frame: number): boolean;
  unlink(address: number): void;
  /** The frame that answers at a DMA address; −1 for nobody. */
  frameAt(address: number): number;
  /** Whether a frame is a peer's window. */
  isPeer(frame: number): boolean;
  /** The region is none any more. */
  forget(region: object): void;
}
