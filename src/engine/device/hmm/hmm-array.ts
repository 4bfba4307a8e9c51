/**
 * The array of an hmm_range_fault: what is asked of each page, and what is answered.
 *
 * Both are in the same entry, the request until the answer is written over it; flags
 * that say how the page is mapped for DMA are carried from one to the other. One
 * object for each call.
 *
 * Source: mm/hmm.c of the mm tree of July 2026 (hmm_pte_need_fault,
 * hmm_range_need_fault, hmm_record_fault, hmm_pfns_fill).
 */
import {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_INOUT_FLAGS,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from "./hmm-pfn.js";
import type { HmmRange } from "./hmm-range.js";

/** Inside: pages `last` … before `end` must be faulted, `required` says how. */
export const FAULT_PENDING = 1;
/** What a page lacks: HMM_NEED_FAULT, HMM_NEED_WRITE_FAULT. */
const NEED_FAULT = 1;
export const NEED_WRITE_FAULT = 2;
const NEED_ALL = NEED_FAULT | NEED_WRITE_FAULT;

export class HmmArray {
  readonly pfns: Int32Array;
  readonly start: number;
  /** Whether any page can be asked for: without that nothing is ever faulted. */
  readonly asks: boolean;
  /**
   * Flags that an entry carries which is not mapped for DMA: all, or none where the
   * range itself says which pages are a peer's.
   */
  readonly keep: number;
  readonly #defaults: number;
  readonly #mask: number;
  /** First page that has no output yet. */
  last: number;
  end = 0;
  required = 0;

  constructor(range: HmmRange, saysPeers: boolean) {
    this.pfns = range.pfns;
    this.start = range.start;
    this.asks = ((range.defaultFlags | range.pfnFlagsMask) & HMM_PFN_REQ_FAULT) !== 0;
    this.keep = saysPeers ? 0 : HMM_PFN_INOUT_FLAGS;
    this.#defaults = range.defaultFlags;
    this.#mask = range.pfnFlagsMask;
    this.last = range.start;
  }

  /** Where a page's entry is. */
  at(vpn: number): number {
    return (vpn - this.start) << 1;
  }

  /** hmm_pte_need_fault: what a page lacks, by what was asked in its entry. */
  need(asked: number, has: number): number {
    const wants = (asked & this.#mask) | this.#defaults;
    if ((wants & HMM_PFN_REQ_FAULT) === 0) return 0;
    if ((wants & HMM_PFN_REQ_WRITE) !== 0 && (has & HMM_PFN_WRITE) === 0) return NEED_ALL;
    return (has & HMM_PFN_VALID) === 0 ? NEED_FAULT : 0;
  }

  /** The same of the entry at a place. */
  needAt(at: number, has: number): number {
    return this.need(this.pfns[at + 1], has);
  }

  /** hmm_range_need_fault: the same for pages `vpn` … before `next`. */
  needs(vpn: number, next: number, has: number): number {
    if (!this.asks) return 0;
    let need = 0;
    for (let at = this.at(vpn); at < this.at(next) && need !== NEED_ALL; at += 2)
      need |= this.need(this.pfns[at + 1], has);
    return need;
  }

  /** hmm_record_fault */
  pend(vpn: number, next: number, required: number): number {
    this.last = vpn;
    this.end = next;
    this.required = required;
    return FAULT_PENDING;
  }

  /** One entry's answer: number, and the rest of the high half. */
  put(at: number, number: number, high: number): void {
    const was = this.pfns[at + 1];
    const carried = (was & HMM_PFN_DMA_MAPPED) !== 0 ? HMM_PFN_INOUT_FLAGS : this.keep;
    this.pfns[at] = number;
    this.pfns[at + 1] = (was & carried) | high;
  }

  /** hmm_pfns_fill: the same flags for all, and no number. */
  fill(vpn: number, next: number, high: number): number {
    for (let at = this.at(vpn); at < this.at(next); at += 2) this.put(at, 0, high);
    return 0;
  }

  /** Numbers one after another, with the same high half. */
  fillRun(vpn: number, next: number, number: number, high: number): number {
    const from = this.at(vpn);
    for (let i = 0; i < next - vpn; i++) this.put(from + (i << 1), number + i, high);
    return 0;
  }
}
