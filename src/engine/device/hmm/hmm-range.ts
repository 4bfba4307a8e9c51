/**
 * struct hmm_range: what a driver asks hmm_range_fault for, and where the answers go.
 *
 * Source: include/linux/hmm.h of the mm tree of July 2026; `allowP2p` is
 * HMM_PFN_ALLOW_P2P of the peer DMA patches (device-facts §3.1), a flag of the range
 * and not of its pages, as no bit of an entry is free for it.
 */
import type { Ref } from "../../../units.js";

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
