/**
 * HMM: how the driver of a device learns what a process has in its page tables, and
 * maps it for DMA. The front door of the folder; functions have the kernel's names.
 *
 * The pattern (Documentation/mm/hmm.rst): `Notifiers.readBegin`, `hmmRangeFault`,
 * the driver's own lock, `Notifiers.readRetry`, and only then the array is used.
 */
import type { HmmContext } from "./context.js";
import { HmmDma } from "./hmm-dma.js";
import { HmmFault } from "./hmm-fault.js";
import { HmmPfns, type HmmKind } from "./hmm-pfn.js";
import type { FatalSignal, HmmRange } from "./hmm-range.js";
import { P2pdma } from "./p2pdma.js";
import { Peers } from "./peers.js";

export type { FatalSignal, HmmRange } from "./hmm-range.js";

export class Hmm {
  readonly pfns: HmmPfns;
  readonly faults: HmmFault;
  readonly peers: Peers;
  readonly p2pdma: P2pdma;
  readonly dma: HmmDma;

  /** HMM on the device memory of a kernel: takes `Devices`. */
  constructor(devices: HmmContext) {
    this.pfns = new HmmPfns(devices);
    this.peers = new Peers(devices.pagemaps, devices.zoneDevice, devices.choice.peer === "alias");
    this.faults = new HmmFault(devices, this.peers);
    this.p2pdma = new P2pdma(devices.pagemaps);
    this.dma = new HmmDma(devices, this.pfns, this.p2pdma);
  }

  /**
   * hmm_range_fault, with the process locked for reading. 0; −EINVAL for a range that
   * is none, −ENOMEM, −EPERM for a write to what is read-only, −EBUSY where something
   * changed since `notifierSeq`, −EFAULT for a page that cannot be had. Entries before
   * the page that it stopped at are output.
   */
  hmmRangeFault(range: HmmRange): number {
    return this.faults.fault(range);
  }

  /** The same, with the process's lock taken for it. */
  hmmRangeFaultLocking(range: HmmRange): number {
    return this.faults.faultLocking(range);
  }

  /**
   * hmm_range_fault_unlocked_timeout: takes the lock, sets `notifierSeq` and begins
   * again by itself: at most `timeout` times, 0 for as long as it takes, −EBUSY then.
   * Where faults may not drop the lock (`dropLock` false) one that has to is −EFAULT.
   * −EINTR once `signal` is pending. −EDEADLK where a page waits for a userfaultfd
   * that nobody reads (the kernel sleeps on).
   */
  hmmRangeFaultUnlockedTimeout(
    range: HmmRange,
    timeout: number,
    dropLock = true,
    signal?: FatalSignal,
  ): number {
    return this.faults.faultUnlocked(range, timeout, dropLock, signal);
  }

  /** hmm_pfn_to_page: frame, or device-private page; −1 for an entry that is not valid. */
  page(pfns: Int32Array, i: number): number {
    return this.pfns.page(pfns, i);
  }

  /** hmm_pfn_to_map_order: order of the CPU's mapping. */
  mapOrder(pfns: Int32Array, i: number): number {
    return this.pfns.mapOrder(pfns, i);
  }

  /** What is behind an entry: `ram`, `coherent`, `private`, `p2pdma`, …, `none`, `error`. */
  kind(pfns: Int32Array, i: number): HmmKind {
    return this.pfns.kind(pfns, i);
  }
}
