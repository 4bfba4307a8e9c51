/**
 * hmm_range_fault: what a process has at a range of addresses, for a device that
 * mirrors its page table; pages that the device wants are faulted in first.
 *
 * The page tables are walked (hmm-walk.ts) until the end, a refusal, or a page that
 * must be faulted; faults are made with the walk given up and nothing locked but the
 * process, then the walk starts again where it was. Entries before that are output,
 * those from there on still input. Whatever the notifier heard of meanwhile makes
 * all of it worthless: -EBUSY.
 *
 * Source: mm/hmm.c of the mm tree of July 2026 (hmm_range_fault_locked, hmm_do_fault,
 * hmm_range_fault_unlocked_timeout), device-facts §5.8. Simplified: a budget is
 * counted in retries, as the engine has no clock; a fatal signal is a flag that the
 * caller has.
 */
import { MM_MMAP_LOCK } from "../../layout/generated/offsets.js";
import type { Ref } from "../../../units.js";
import { FAULT_OOM, FAULT_RETRY, VM_WRITE } from "../../process/constants.js";
import type { Faults } from "../../process/fault.js";
import { downRead, upRead } from "../../process/locks.js";
import { EBUSY, EFAULT, EINTR, EINVAL, ENOMEM, EPERM } from "../kinds.js";
import type { HmmContext } from "./context.js";
import { FAULT_PENDING, HmmWalk, NEED_WRITE_FAULT } from "./hmm-walk.js";
import type { Peers } from "./peers.js";

const NONE = 0 as Ref;
/** Inside: the fault could only go on with the process's lock let go. */
const FAULT_UNLOCKED = 2;

/** struct hmm_range. Pages are page numbers; the driver may use it again. */
export interface HmmRange {
  /** The process, and the interval notifier that hears of its changes over the range. */
  readonly mm: Ref;
  readonly notifier: Ref;
  /** What `Notifiers.readBegin` said. */
  notifierSeq: number;
  /** First page, and the page behind the last one. */
  start: number;
  end: number;
  /** Two words for each page: see hmm-pfn.ts. */
  readonly pfns: Int32Array;
  /** Asked of every page: HMM_PFN_REQ_… (bits of the high half). */
  defaultFlags: number;
  /** Which request flags of the entries themselves count. */
  pfnFlagsMask: number;
  /** dev_private_owner: whose device-private pages are given as they are; null for nobody's. */
  owner: object | null;
  /** HMM_PFN_ALLOW_P2P: a peer's page may be given by another address that can be reached. */
  allowP2p?: boolean;
}

/** fatal_signal_pending of whoever calls. */
export interface FatalSignal {
  readonly pending: boolean;
}

const NO_SIGNAL: FatalSignal = { pending: false };

export class HmmRanges {
  readonly #c: HmmContext;
  readonly #peers: Peers;
  /** Pages that were faulted in, and walks that began again for them, since boot. */
  faults = 0;
  walks = 0;

  constructor(context: HmmContext, peers: Peers) {
    this.#c = context;
    this.#peers = peers;
  }

  /** hmm_range_fault, with the process locked for reading: 0, or EINVAL, ENOMEM, EPERM, EBUSY, EFAULT. */
  fault(range: HmmRange): number {
    const result = this.#locked(range, false);
    return result === FAULT_UNLOCKED ? EFAULT : result;
  }

  /** The same, with the lock taken for it. */
  faultLocking(range: HmmRange): number {
    const { w } = this.#c.base;
    downRead(w, range.mm, MM_MMAP_LOCK);
    const result = this.fault(range);
    upRead(w, range.mm, MM_MMAP_LOCK);
    return result;
  }

  /**
   * hmm_range_fault_unlocked_timeout: takes the lock, begins again by itself where
   * something changed, and lets faults go on without the lock. `timeout` is how
   * often, 0 for ever; it counts from the start again after a fault that dropped
   * the lock, which was progress. Beside the answers of `fault` EINTR.
   */
  faultUnlocked(range: HmmRange, timeout: number, dropLock: boolean, signal = NO_SIGNAL): number {
    const { base } = this.#c;
    const { w, notifiers } = base;
    let left = timeout;
    for (;;) {
      range.notifierSeq = notifiers.readBegin(range.notifier);
      // mmap_read_lock_killable
      if (signal.pending) return EINTR;
      downRead(w, range.mm, MM_MMAP_LOCK);
      const exhausted = timeout !== 0 && left-- < 0;
      const result = exhausted ? EBUSY : this.#locked(range, dropLock);
      upRead(w, range.mm, MM_MMAP_LOCK);
      if (exhausted) return EBUSY;
      if (result === FAULT_UNLOCKED) {
        this.#retried();
        if (signal.pending) return EINTR;
        left = timeout;
      } else if (result !== EBUSY) return result;
    }
  }

  /** Whoever made a fault wait for the lock does its part now. */
  #retried(): void {
    const faults = this.#c.kernel.faults as Faults & { onRetry?: () => void };
    faults.onRetry?.();
  }

  /** hmm_range_fault_locked */
  #locked(range: HmmRange, mayDrop: boolean): number {
    const { notifiers } = this.#c.base;
    const { start, end } = range;
    if (!(start >= 0 && start < end) || range.pfns.length < (end - start) * 2) return EINVAL;
    if (notifiers.mm(range.notifier) !== range.mm) return EINVAL;
    const walk = new HmmWalk(this.#c, this.#peers, range);
    for (;;) {
      if (notifiers.checkRetry(range.notifier, range.notifierSeq)) return EBUSY;
      let result = walk.run();
      this.walks++;
      if (result === FAULT_PENDING) result = this.#fault(range.mm, walk, mayDrop);
      if (result !== EBUSY) return result;
    }
  }

  /** hmm_do_fault: the pages that the walk stopped at. EBUSY where all went well. */
  #fault(mm: Ref, walk: HmmWalk, mayDrop: boolean): number {
    const { vmas } = this.#c.base;
    const { faults } = this.#c.kernel;
    const vma = vmas.tree.lookup(mm, walk.last);
    if (vma === NONE) return EFAULT;
    const write = (walk.required & NEED_WRITE_FAULT) !== 0;
    if (write && (vmas.flags(vma) & VM_WRITE) === 0) return EPERM;
    for (let vpn = walk.last; vpn < walk.end; vpn++) {
      const result = faults.inVma(vma, mm, vpn, write, false);
      this.faults++;
      if (result === 0) continue;
      // Without FAULT_FLAG_ALLOW_RETRY a handler that needs it answers SIGBUS.
      if (result === FAULT_RETRY) return mayDrop ? FAULT_UNLOCKED : EFAULT;
      // vm_fault_to_errno
      return result === FAULT_OOM ? ENOMEM : EFAULT;
    }
    return EBUSY;
  }
}
