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
import { EDEADLK, FAULT_OOM, FAULT_RETRY, VM_WRITE } from "../../process/constants.js";
import { downRead, upRead } from "../../process/locks.js";
import { EBUSY, EFAULT, EINTR, EINVAL, ENOMEM, EPERM } from "../kinds.js";
import type { HmmContext } from "./context.js";
import { FAULT_PENDING, NEED_WRITE_FAULT, type HmmArray } from "./hmm-array.js";
import type { FatalSignal, HmmRange } from "./hmm-range.js";
import { HmmWalk } from "./hmm-walk.js";
import type { Peers } from "./peers.js";

const NONE = 0 as Ref;
/** Inside: the fault could only go on with the process's lock let go. */
const FAULT_UNLOCKED = 2;

const NO_SIGNAL: FatalSignal = { pending: false };

export class HmmFault {
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
    const refused = this.#refuses(range);
    return refused !== 0 ? refused : this.#locked(range, this.#walk(range), false);
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
   * the lock, which was progress. Beside the answers of `fault` EINTR, and EDEADLK
   * where nobody will ever answer such a fault.
   */
  faultUnlocked(range: HmmRange, timeout: number, dropLock: boolean, signal = NO_SIGNAL): number {
    const { w, notifiers } = this.#c.base;
    const refused = this.#refuses(range);
    if (refused !== 0) return refused;
    let left = timeout;
    for (;;) {
      range.notifierSeq = notifiers.readBegin(range.notifier);
      // mmap_read_lock_killable
      if (signal.pending) return EINTR;
      downRead(w, range.mm, MM_MMAP_LOCK);
      const exhausted = timeout !== 0 && left-- < 0;
      const walk = this.#walk(range);
      const result = exhausted ? EBUSY : this.#locked(range, walk, dropLock);
      upRead(w, range.mm, MM_MMAP_LOCK);
      if (exhausted) return EBUSY;
      if (result === FAULT_UNLOCKED) {
        const { last, required } = walk.array;
        const write = (required & NEED_WRITE_FAULT) !== 0;
        if (!this.#c.kernel.faults.onRetry(range.mm, last, write)) return EDEADLK;
        if (signal.pending) return EINTR;
        left = timeout;
      } else if (result !== EBUSY) return result;
    }
  }

  #walk(range: HmmRange): HmmWalk {
    return new HmmWalk(this.#c, this.#peers, range);
  }

  #refuses({ mm, notifier, start, end, pfns }: HmmRange): number {
    if (!(start >= 0 && start < end) || pfns.length < (end - start) * 2) return EINVAL;
    return this.#c.base.notifiers.mm(notifier) === mm ? 0 : EINVAL;
  }

  /** hmm_range_fault_locked */
  #locked(range: HmmRange, walk: HmmWalk, mayDrop: boolean): number {
    const { notifiers } = this.#c.base;
    for (;;) {
      if (notifiers.checkRetry(range.notifier, range.notifierSeq)) return EBUSY;
      let result = walk.run();
      this.walks++;
      if (result === FAULT_PENDING) result = this.#fault(range.mm, walk.array, mayDrop);
      if (result !== EBUSY) return result;
    }
  }

  /** hmm_do_fault: the pages that the walk stopped at. EBUSY where all went well. */
  #fault(mm: Ref, array: HmmArray, mayDrop: boolean): number {
    const { vmas } = this.#c.base;
    const { faults } = this.#c.kernel;
    const vma = vmas.tree.lookup(mm, array.last);
    if (vma === NONE) return EFAULT;
    const write = (array.required & NEED_WRITE_FAULT) !== 0;
    if (write && (vmas.flags(vma) & VM_WRITE) === 0) return EPERM;
    for (let vpn = array.last; vpn < array.end; vpn++) {
      const result = faults.inVma(vma, mm, vpn, write, false);
      this.faults++;
      if (result === 0) continue;
      // Without FAULT_FLAG_ALLOW_RETRY a handler that needs it answers SIGBUS.
      if (result === FAULT_RETRY && !mayDrop) return EFAULT;
      if (result === FAULT_RETRY) {
        array.last = vpn;
        return FAULT_UNLOCKED;
      }
      // vm_fault_to_errno
      return result === FAULT_OOM ? ENOMEM : EFAULT;
    }
    return EBUSY;
  }
}
