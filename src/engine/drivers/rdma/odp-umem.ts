/**
 * The pages of a region with on-demand paging: which of them the device has, getting
 * more, and losing them.
 *
 * An interval notifier hears of the range. A page that the device wants is faulted:
 * begin to listen, hmm_range_fault with the process locked, take the own lock, look
 * whether anything changed meanwhile, and only then map it for DMA and tell the device.
 * What changes is taken from the device first and unmapped then, before the change is
 * made; so the device never uses a page that the process has no longer.
 *
 * A page of another device's private memory is taken by its alias where both sides offer
 * it, and read where it is. Only mapping the alias says whether this device reaches it.
 * Where it does not, that page alone is asked for again without alias, which brings it
 * to RAM.
 *
 * Source: drivers/infiniband/core/umem_odp.c (ib_umem_odp_get,
 * ib_umem_odp_map_dma_and_lock, ib_umem_odp_unmap_dma_pages, ib_umem_odp_release),
 * drivers/infiniband/hw/mlx5/odp.c (mlx5_ib_invalidate_range, populate_mtt,
 * pagefault_real_mr) of the mm tree of July 2026; peers: "RDMA/mlx5: Enable P2P DMA with
 * fallback mechanism" (Maman, v2, July 2025). As posted that asks again with the region's
 * lock held, which the second look takes once more, and so does the invalidation that the
 * migration to RAM causes; and it clears a flag of the pages that could not be mapped
 * which no page has, so that all of them would go to RAM. Here the lock is given back
 * first, and only the pages that failed go, as the patch's text has it. Differs also:
 * hmm_range_fault fills a copy of the entries, whose DMA flags are read under the lock
 * (the kernel hands it the list itself). Simplified: pages of 4 KiB (page_shift 12),
 * tries in place of the time limit of 1000 ms.
 */
import {
  DMA_MAPPING_ERROR,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOMEM,
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_INOUT_FLAGS,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_WRITE,
  PAGE_SIZE,
  type Devices,
  type HmmDmaMap,
  type HmmRange,
  type MmuNotifierRange,
  type P2pdmaMapState,
  type Ref,
} from "../../device/driver-api.js";
import { spinLock, spinUnlock } from "../../process/locks.js";
import { O_KMALLOC } from "../../process/objects.js";
import { highHalf, lowHalf } from "../../words/words.js";
import type { Nic } from "./nic.js";
import { OdpTable } from "./odp-table.js";

/** Pages that are asked for at once. */
const WINDOW = 512;
/** Tries until the process is said to be too busy. */
export const TRIES = 1000;

// Words of a region: two roots of 16 bytes, what the DMA API said last, counts, a lock.
const ANSWER = 32;
const FAULTS = 40;
const INVALIDATIONS = 44;
const RETRIES = 48;
const FALLBACKS = 52;
const MAPPED = 56;
const MUTEX = 60;
/** Bits of an answer's high half for the upper part of an address's page. */
const ADDRESS_HIGH = 0xffff;
/** Flags of an entry that is a peer's. */
const PEER = HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS;

/** What of a process is registered. */
export interface OdpRange {
  readonly mm: Ref;
  /** First page of the process, and how many. */
  readonly first: number;
  readonly pages: number;
  readonly writable: boolean;
}

/** What a umem has of the machine. */
interface Held {
  readonly words: Ref;
  readonly map: HmmDmaMap;
  readonly notifier: Ref;
}

export class OdpUmem {
  readonly nic: Nic;
  readonly devices: Devices;
  readonly range: OdpRange;
  readonly table: OdpTable;
  /** Nothing of it is there any more. */
  released = false;
  /** Runs between two looks at the process, with nothing locked: what another thread may do meanwhile. */
  between: () => void = () => {};
  readonly #held: Held;

  /** ib_umem_odp_get: a negative errno (EOPNOTSUPP, ENOMEM, EINVAL, EOVERFLOW) with nothing left behind. */
  static get(nic: Nic, range: OdpRange): OdpUmem | number {
    const { base, hmm } = nic.devices;
    const map = hmm.dma.hmmDmaMapAlloc(nic.dma, range.pages);
    if (typeof map === "number") return map;
    const words = base.core.newObject(O_KMALLOC);
    let umem: OdpUmem | null = null;
    const notifier =
      words === 0
        ? words
        : base.notifiers.insert(range.mm, range.first, range.pages, {
            invalidate: (change, seq) => umem?.invalidate(change, seq) ?? true,
          });
    if (notifier > 0) return (umem = new OdpUmem(nic, range, { words, map, notifier }));
    if (words !== 0) base.core.freeObject(O_KMALLOC, words);
    hmm.dma.hmmDmaMapFree(nic.dma, map);
    return notifier === 0 ? ENOMEM : notifier;
  }

  private constructor(nic: Nic, range: OdpRange, held: Held) {
    this.nic = nic;
    this.devices = nic.devices;
    this.range = range;
    this.#held = held;
    this.table = new OdpTable(nic.devices.base.core, held.words);
  }

  lock(): void {
    spinLock(this.devices.base.w, this.#held.words, MUTEX);
  }

  unlock(): void {
    spinUnlock(this.devices.base.w, this.#held.words, MUTEX);
  }

  #count(at: number): number {
    return this.released ? 0 : this.devices.base.w.load32(this.#held.words, at);
  }

  #add(at: number, n: number): void {
    this.devices.base.w.add32(this.#held.words, at, n);
  }

  /** Page faults of the device; pages that were taken from it; looks that came too late; pages asked for again without alias. */
  get faults(): number {
    return this.#count(FAULTS);
  }

  get invalidations(): number {
    return this.#count(INVALIDATIONS);
  }

  get retries(): number {
    return this.#count(RETRIES);
  }

  get fallbacks(): number {
    return this.#count(FALLBACKS);
  }

  /** Pages that are mapped for the device now (npages). */
  get mapped(): number {
    return this.#count(MAPPED);
  }

  /** mlx5_ib_invalidate_range */
  invalidate(change: MmuNotifierRange, seq: number): boolean {
    if (!change.blockable) return false;
    const { first } = this.range;
    this.lock();
    this.devices.base.notifiers.setSeq(this.#held.notifier, seq);
    this.#add(INVALIDATIONS, this.#unmapAll(Math.max(0, change.start - first), change.end - first));
    this.unlock();
    return true;
  }

  /** ib_umem_odp_unmap_dma_pages, with the lock: pages that were mapped. */
  #unmapAll(start: number, end: number): number {
    let unmapped = 0;
    this.table.forEach(start, Math.min(end, this.range.pages), (i, lo, hi) => {
      this.#unmap(i, lo, hi);
      unmapped++;
    });
    return unmapped;
  }

  /** The device forgets the page first; then it is unmapped, and dirty if it could be written. */
  #unmap(i: number, lo: number, hi: number): void {
    const { table, nic } = this;
    const address = table.address(i);
    table.zap(i);
    if ((hi & HMM_PFN_P2PDMA_BUS) === 0) nic.unlink(address);
    this.#unmapDma(i, lo, hi);
    table.drop(i);
    this.#add(MAPPED, -1);
    // set_page_dirty; not of an alias, whose own page is never in service.
    if ((hi & HMM_PFN_WRITE) === 0 || (hi & PEER) !== 0) return;
    const { folios } = this.devices.base;
    const folio = folios.ofPage(lo >>> 0);
    if (folio !== 0) folios.markDirty(folio);
  }

  /** hmm_dma_unmap_pfn; no word, so not done again by a thread that is run again. */
  #unmapDma(i: number, lo: number, hi: number): void {
    const { base, hmm } = this.devices;
    if (base.core.content.muted) return;
    const { map } = this.#held;
    map.pfnList[i * 2] = lo;
    map.pfnList[i * 2 + 1] = hi;
    hmm.dma.hmmDmaUnmapPfn(this.nic.dma, map, i);
  }

  /**
   * pagefault_real_mr: pages `first` … before `end` of the region are the device's to use
   * afterwards, unless they were taken away again at once. Pages; −EFAULT for what lies
   * outside, cannot be had or cannot be mapped, −EPERM for a writable region where the
   * process may not write, −EINVAL once the process has ended, −EBUSY, −ENOMEM.
   */
  fault(first: number, end: number): number {
    if (!(first >= 0 && first < end && end <= this.range.pages)) return EFAULT;
    if (this.released || !this.devices.isAlive(this.range.mm)) return EINVAL;
    this.#add(FAULTS, 1);
    const unreached: number[] = [];
    for (let at = first; at < end; at += WINDOW) {
      const error = this.#look(at, Math.min(end, at + WINDOW), this.nic.allowP2p, unreached);
      if (error !== 0) return error;
    }
    if (unreached.length > 0 && !this.nic.fallback) return EFAULT;
    for (const i of unreached) {
      // A peer's page that this device does not reach: without alias it comes to RAM.
      this.#add(FALLBACKS, 1);
      const error = this.#look(i, i + 1, false, null);
      if (error !== 0) return error;
    }
    return end - first;
  }

  /**
   * ib_umem_odp_map_dma_and_lock, populate_mtt: 0 or an errno. Pages of peers that cannot
   * be mapped go to `unreached`; −EFAULT where that is null.
   */
  #look(first: number, end: number, allowP2p: boolean, unreached: number[] | null): number {
    const { base, hmm } = this.devices;
    const { mm } = this.range;
    const range = this.#rangeOf(first, end, allowP2p);
    for (let tries = 0; tries < TRIES; tries++) {
      range.notifierSeq = base.notifiers.readBegin(range.notifier);
      this.#takeFlags(range.pfns, first, end);
      this.between();
      this.devices.mmapReadLock(mm);
      const error = hmm.hmmRangeFault(range);
      this.devices.mmapReadUnlock(mm);
      this.between();
      if (error !== 0 && error !== EBUSY) return error;
      if (error === 0) {
        this.lock();
        const same = !base.notifiers.readRetry(range.notifier, range.notifierSeq);
        const result = same ? this.#mapAll(range.pfns, first, end, unreached) : EBUSY;
        this.unlock();
        if (same) return result;
      }
      this.#add(RETRIES, 1);
    }
    return EBUSY;
  }

  #rangeOf(first: number, end: number, allowP2p: boolean): HmmRange {
    return {
      mm: this.range.mm,
      notifier: this.#held.notifier,
      notifierSeq: 0,
      start: this.range.first + first,
      end: this.range.first + end,
      pfns: new Int32Array((end - first) * 2),
      // A region that may be written is faulted for writing, whatever is done with it (mlx5).
      defaultFlags: HMM_PFN_REQ_FAULT | (this.range.writable ? HMM_PFN_REQ_WRITE : 0),
      pfnFlagsMask: 0,
      // Nobody's private memory is of use to a NIC as it is.
      owner: null,
      allowP2p,
    };
  }

  /** What is mapped already goes in with the request, to come out again. */
  #takeFlags(pfns: Int32Array, first: number, end: number): void {
    pfns.fill(0);
    this.lock();
    this.table.forEach(first, end, (i, _lo, hi) => {
      pfns[(i - first) * 2 + 1] = hi & HMM_PFN_INOUT_FLAGS;
    });
    this.unlock();
  }

  /** populate_mtt, with the lock. */
  #mapAll(pfns: Int32Array, first: number, end: number, unreached: number[] | null): number {
    const state = this.devices.hmm.p2pdma.state();
    for (let i = first; i < end; i++) {
      const at = (i - first) * 2;
      const error = this.#mapOne(i, pfns[at], pfns[at + 1], state);
      if (error === EFAULT && unreached !== null && (pfns[at + 1] & HMM_PFN_P2PDMA) !== 0)
        unreached.push(i);
      else if (error !== 0) return error;
    }
    return 0;
  }

  #mapOne(i: number, lo: number, hi: number, state: P2pdmaMapState): number {
    const { table, nic } = this;
    const write = (hi & HMM_PFN_WRITE) !== 0;
    // It may have gained a right; it is where it was.
    if ((hi & HMM_PFN_DMA_MAPPED) !== 0)
      return table.store(i, lo, hi, table.address(i), write) ? 0 : ENOMEM;
    const flags = this.#mapDma(i, lo, hi, state);
    if ((flags & HMM_PFN_DMA_MAPPED) === 0) return EFAULT;
    const { w } = this.devices.base;
    const page = w.load64(this.#held.words, ANSWER) >>> 0;
    const address = ((w.hi & ADDRESS_HIGH) * 2 ** 32 + page) * PAGE_SIZE;
    const now = (hi & ~HMM_PFN_INOUT_FLAGS) | flags;
    const isBus = (flags & HMM_PFN_P2PDMA_BUS) !== 0;
    const linked = isBus || nic.link(address, lo >>> 0);
    if (linked && table.store(i, lo, now, address, write)) {
      this.#add(MAPPED, 1);
      return 0;
    }
    if (linked && !isBus) nic.unlink(address);
    this.#unmapDma(i, lo, now);
    return ENOMEM;
  }

  /**
   * hmm_dma_map_pfn: the DMA flags that the entry has now; the address is in ANSWER. What
   * the DMA API says is in no word, so it is put into one before it is looked at: a thread
   * that is run again is told what it was told.
   */
  #mapDma(i: number, lo: number, hi: number, state: P2pdmaMapState): number {
    const { base, hmm } = this.devices;
    const { map, words } = this.#held;
    let page = 0;
    if (!base.core.content.muted) {
      map.pfnList[i * 2] = lo;
      map.pfnList[i * 2 + 1] = hi;
      const address = hmm.dma.hmmDmaMapPfn(this.nic.dma, map, i, state);
      if (address !== DMA_MAPPING_ERROR) page = address / PAGE_SIZE;
    }
    const flags = map.pfnList[i * 2 + 1] & HMM_PFN_INOUT_FLAGS;
    base.w.store64(words, ANSWER, lowHalf(page), highHalf(page) | flags);
    base.w.load64(words, ANSWER);
    return base.w.hi & HMM_PFN_INOUT_FLAGS;
  }

  /** ib_umem_odp_release: nothing is mapped for the device, nothing of the process is heard any more. */
  release(): void {
    const { base, hmm } = this.devices;
    const { words, map, notifier } = this.#held;
    this.lock();
    this.#unmapAll(0, this.range.pages);
    this.unlock();
    base.notifiers.remove(notifier);
    this.released = true;
    hmm.dma.hmmDmaMapFree(this.nic.dma, map);
    base.core.freeObject(O_KMALLOC, words);
  }
}
