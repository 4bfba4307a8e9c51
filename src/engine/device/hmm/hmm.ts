/**
 * HMM: how the driver of a device learns what a process has in its page tables, and
 * maps it for DMA. The front door of the folder; functions have the kernel's names.
 *
 * The pattern (Documentation/mm/hmm.rst): `Notifiers.readBegin`, `hmmRangeFault`,
 * the driver's own lock, `Notifiers.readRetry`, and only then the array is used.
 */
import type { HmmContext } from "./context.js";
import { HmmDma } from "./hmm-dma.js";
import { HmmPfns } from "./hmm-pfn.js";
import { HmmRanges, type FatalSignal, type HmmRange } from "./hmm-range.js";
import { P2pdma } from "./p2pdma.js";
import { Peers } from "./peers.js";

export type { FatalSignal, HmmRange } from "./hmm-range.js";

export class Hmm {
  readonly pfns: HmmPfns;
  readonly ranges: HmmRanges;
  readonly peers: Peers;
  readonly p2pdma: P2pdma;
  readonly dma: HmmDma;

  /** HMM on the device memory of a kernel: takes `Devices`. */
  constructor(devices: HmmContext) {
    this.pfns = new HmmPfns(devices);
    this.peers = new Peers(devices.pagemaps, devices.zoneDevice, devices.choice.peer === "alias");
    this.ranges = new HmmRanges(devices, this.peers);
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
    return this.ranges.fault(range);
  }

  /** The same, with the process's lock taken for it. */
  hmmRangeFaultLocking(range: HmmRange): number {
    return this.ranges.faultLocking(range);
  }

  /**
   * hmm_range_fault_unlocked_timeout: takes the lock, sets `notifierSeq` and begins
   * again by itself: at most `timeout` times, 0 for as long as it takes, −EBUSY then.
   * Where faults may not drop the lock (`dropLock` false) one that has to is −EFAULT.
   * −EINTR once `signal` is pending.
   */
  hmmRangeFaultUnlockedTimeout(
    range: HmmRange,
    timeout: number,
    dropLock = true,
    signal?: FatalSignal,
  ): number {
    return this.ranges.faultUnlocked(range, timeout, dropLock, signal);
  }
}
