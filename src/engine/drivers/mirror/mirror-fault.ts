/**
 * Getting pages of the process into a mirror's table: the loop that every user of
 * HMM has. Begin to listen, look with the process locked, take the own lock, look
 * again whether anything changed, and only then use what was seen.
 *
 * Source: lib/test_hmm.c (dmirror_range_fault, dmirror_fault, dmirror_do_fault); the
 * time limit of 1000 ms is a number of tries here (simplified: there is no clock).
 */
import type { Ref } from "../../../units.js";
import { EBUSY, EFAULT, ENOMEM } from "../../device/kinds.js";
import { HMM_PFN_REQ_FAULT, HMM_PFN_REQ_WRITE, HMM_PFN_WRITE } from "../../device/hmm/hmm-pfn.js";
import type { HmmRange } from "../../device/hmm/hmm-range.js";
import { MM_MMAP_LOCK } from "../../layout/generated/offsets.js";
import { downRead, upRead } from "../../process/locks.js";
import { TAG_READ, TAG_WRITE } from "./mirror-table.js";
import type { FaultingMirror } from "./faulting-mirror.js";

/** Pages that are asked for at once. */
const WINDOW = 32;
/** Tries until the process is said to be too busy. */
const TRIES = 1000;

export class MirrorFault {
  readonly #mirror: FaultingMirror;
  readonly #range: HmmRange;

  constructor(mirror: FaultingMirror, notifier: Ref) {
    this.#mirror = mirror;
    this.#range = {
      mm: mirror.mm,
      notifier,
      notifierSeq: 0,
      start: 0,
      end: 0,
      pfns: new Int32Array(WINDOW * 2),
      defaultFlags: 0,
      pfnFlagsMask: 0,
      owner: mirror.device,
    };
  }

  /** dmirror_fault: pages from `start` up to `end` are in the table; 0 or a negative errno. */
  range(start: number, end: number, write: boolean, unlocked: boolean): number {
    const range = this.#range;
    for (let at = start; at < end; at = range.end) {
      range.start = at;
      range.end = Math.min(end, at + WINDOW);
      range.defaultFlags = HMM_PFN_REQ_FAULT | (write ? HMM_PFN_REQ_WRITE : 0);
      const error = unlocked ? this.#unlocked() : this.#locked();
      if (error !== 0) return error;
    }
    return 0;
  }

  /** dmirror_range_fault */
  #locked(): number {
    const mirror = this.#mirror;
    const { base, hmm } = mirror.devices;
    const range = this.#range;
    for (let tries = 0; tries < TRIES; tries++) {
      range.notifierSeq = base.notifiers.readBegin(range.notifier);
      mirror.between();
      downRead(base.w, mirror.mm, MM_MMAP_LOCK);
      const error = hmm.hmmRangeFault(range);
      upRead(base.w, mirror.mm, MM_MMAP_LOCK);
      mirror.between();
      if (error === EBUSY) continue;
      if (error !== 0) return error;
      mirror.lock();
      if (!base.notifiers.readRetry(range.notifier, range.notifierSeq)) return this.#store();
      mirror.unlock();
    }
    return EBUSY;
  }

  #unlocked(): number {
    const mirror = this.#mirror;
    const { base, hmm } = mirror.devices;
    const range = this.#range;
    for (let tries = 0; tries < TRIES; tries++) {
      const error = hmm.hmmRangeFaultUnlockedTimeout(range, 0);
      if (error !== 0) return error;
      mirror.lock();
      if (!base.notifiers.readRetry(range.notifier, range.notifierSeq)) return this.#store();
      mirror.unlock();
    }
    return EBUSY;
  }

  /** dmirror_do_fault, with the lock, which it gives back. */
  #store(): number {
    const mirror = this.#mirror;
    const range = this.#range;
    const { pfns } = range;
    let error = 0;
    for (let i = 0; error === 0 && i < range.end - range.start; i++) {
      const page = mirror.devices.hmm.pfns.page(pfns, i);
      const write = (pfns[(i << 1) + 1] & HMM_PFN_WRITE) !== 0;
      if (page < 0 || (!write && (range.defaultFlags & HMM_PFN_REQ_WRITE) !== 0)) error = EFAULT;
      else if (!mirror.table.store(range.start + i, page, write ? TAG_WRITE : TAG_READ))
        error = ENOMEM;
    }
    mirror.unlock();
    return error;
  }
}
