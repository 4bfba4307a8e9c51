/**
 * HMM_DMIRROR_SNAPSHOT: what a process maps, page by page, without a fault: one byte
 * for each.
 *
 * Each window has a notifier of its own for as long as it is looked at.
 *
 * Source: lib/test_hmm.c (dmirror_snapshot, dmirror_range_snapshot, dmirror_mkentry).
 */
import { EBUSY, ENOMEM, MEMORY_DEVICE_COHERENT } from "../../device/kinds.js";
import { HMM_PFN_ERROR, HMM_PFN_VALID, HMM_PFN_WRITE } from "../../device/hmm/hmm-pfn.js";
import type { HmmRange } from "../../device/hmm/hmm-range.js";
import { MM_MMAP_LOCK } from "../../layout/generated/offsets.js";
import { PMD_ORDER } from "../../process/constants.js";
import { downRead, upRead } from "../../process/locks.js";
import type { FaultingMirror } from "./faulting-mirror.js";
import {
  PROT_DEV_COHERENT_LOCAL,
  PROT_DEV_COHERENT_REMOTE,
  PROT_DEV_PRIVATE_LOCAL,
  PROT_DEV_PRIVATE_REMOTE,
  PROT_ERROR,
  PROT_NONE,
  PROT_PMD,
  PROT_PUD,
  PROT_READ,
  PROT_WRITE,
  PROT_ZERO,
} from "./snapshot-codes.js";

/** Pages of a window. */
const WINDOW = 32;
const PUD_ORDER = 18;
const TRIES = 1000;

/** Fills `out`, a byte for each page from `start` on; 0 or a negative errno. */
export function snapshotRange(mirror: FaultingMirror, start: number, out: Uint8Array): number {
  const end = start + out.length;
  for (let at = start; at < end; at += WINDOW) {
    const error = window(mirror, at, Math.min(end, at + WINDOW), out.subarray(at - start));
    if (error !== 0) return error;
  }
  return 0;
}

function window(mirror: FaultingMirror, start: number, end: number, out: Uint8Array): number {
  const { base } = mirror.devices;
  const notifier = base.notifiers.insert(mirror.mm, start, end - start, {
    invalidate: (_range, seq) => {
      mirror.lock();
      base.notifiers.setSeq(notifier, seq);
      mirror.unlock();
      return true;
    },
  });
  if (notifier <= 0) return notifier === 0 ? ENOMEM : notifier;
  const range: HmmRange = {
    mm: mirror.mm,
    notifier,
    notifierSeq: 0,
    start,
    end,
    pfns: new Int32Array((end - start) * 2),
    defaultFlags: 0,
    pfnFlagsMask: 0,
    owner: mirror.device,
  };
  const error = look(mirror, range, out);
  base.notifiers.remove(notifier);
  return error;
}

function look(mirror: FaultingMirror, range: HmmRange, out: Uint8Array): number {
  const { base, hmm } = mirror.devices;
  for (let tries = 0; tries < TRIES; tries++) {
    range.notifierSeq = base.notifiers.readBegin(range.notifier);
    downRead(base.w, mirror.mm, MM_MMAP_LOCK);
    const error = hmm.hmmRangeFault(range);
    upRead(base.w, mirror.mm, MM_MMAP_LOCK);
    if (error === EBUSY) continue;
    if (error !== 0) return error;
    mirror.lock();
    const changed = base.notifiers.readRetry(range.notifier, range.notifierSeq);
    const codes = changed ? 0 : range.end - range.start;
    for (let i = 0; i < codes; i++) out[i] = codeOf(mirror, range.pfns, i);
    mirror.unlock();
    if (!changed) return 0;
  }
  return EBUSY;
}

/** dmirror_mkentry */
function codeOf(mirror: FaultingMirror, pfns: Int32Array, i: number): number {
  const flags = pfns[(i << 1) + 1];
  if ((flags & HMM_PFN_ERROR) !== 0) return PROT_ERROR;
  if ((flags & HMM_PFN_VALID) === 0) return PROT_NONE;
  const { hmm } = mirror.devices;
  const order = hmm.pfns.mapOrder(pfns, i);
  const level = order === PMD_ORDER ? PROT_PMD : order === PUD_ORDER ? PROT_PUD : 0;
  const rights = (flags & HMM_PFN_WRITE) !== 0 ? PROT_WRITE : PROT_READ;
  return kindOf(mirror, hmm.pfns.page(pfns, i)) | rights | level;
}

function kindOf(mirror: FaultingMirror, page: number): number {
  const { devices } = mirror;
  const { core } = devices.base;
  if (page >= devices.firstPrivate)
    return devices.pagemaps.ofPage(page)?.owner === mirror.device
      ? PROT_DEV_PRIVATE_LOCAL
      : PROT_DEV_PRIVATE_REMOTE;
  if (page >= core.machine.deviceFirst) {
    const map = devices.pagemaps.ofPage(page);
    if (map?.type === MEMORY_DEVICE_COHERENT)
      return map.owner === mirror.device ? PROT_DEV_COHERENT_LOCAL : PROT_DEV_COHERENT_REMOTE;
  }
  return core.isZeroPage(page) ? PROT_ZERO : 0;
}
