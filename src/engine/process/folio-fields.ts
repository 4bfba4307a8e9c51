/**
 * The fields of a folio, wherever a layout puts them: references, lock with
 * waiters, flags, pins, mapping and index.
 *
 * A folio is named by the reference of its descriptor. Folios of the machine have
 * the layout of its page words, those of device-private memory that of their
 * record; what the last reference does is each one's own.
 *
 * Source: include/linux/mm.h, mm/swap.c, mm/gup.c (pin counting) of 6.18.
 */
import type { Ref } from "../../units.js";
import type { FolioLayout } from "../design/word/axis.js";
import { PG_DIRTY, PG_LOCKED, PG_RECLAIM } from "../design/word/axis-flags.js";
import { addressHigh, addressLow, lowHalf, type Words } from "../words/words.js";
import type { Core } from "./core.js";
import { clearBits, setBits, waitBitsClear } from "./locks.js";

/** Bit 7: somebody waits for the lock or for writeback. */
export const PG_WAITERS = 1 << 7;
/** What a pin counts where a folio has no count of pins (GUP_PIN_COUNTING_BIAS). */
export const PIN_BIAS = 1024;

export abstract class FolioFields {
  readonly core: Core;
  readonly w: Words;
  readonly layout: FolioLayout;

  constructor(core: Core, layout: FolioLayout) {
    this.core = core;
    this.w = core.w;
    this.layout = layout;
  }

  /** The page that it begins with. */
  abstract pageOf(folio: Ref): number;
  /** __folio_put: nobody holds it any more. */
  protected abstract free(folio: Ref): void;

  /** The second part of a folio's fields: the folio itself but in typed slots. */
  rest(folio: Ref): Ref {
    const { second } = this.layout;
    return second < 0 ? folio : this.core.pointer(folio, second);
  }

  refcount(folio: Ref): number {
    return this.w.load32(folio, this.layout.refcount);
  }

  get(folio: Ref, n = 1): void {
    const count = this.w.add32(folio, this.layout.refcount, n);
    if (this.core.watch !== null) this.core.watch.reference(folio, this.pageOf(folio), n, count);
  }

  /** folio_put: the last reference frees the folio. */
  put(folio: Ref, n = 1): void {
    const count = this.w.add32(folio, this.layout.refcount, -n);
    if (this.core.watch !== null) this.core.watch.reference(folio, this.pageOf(folio), -n, count);
    if (count === 0) this.free(folio);
  }

  /** folio_ref_freeze: takes all references if there are exactly that many. */
  freeze(folio: Ref, count: number): boolean {
    return this.w.cas32(folio, this.layout.refcount, count, 0);
  }

  unfreeze(folio: Ref, count: number): void {
    this.w.store32(folio, this.layout.refcount, count);
  }

  flags(folio: Ref): number {
    return this.w.load32(folio, this.layout.flags);
  }

  test(folio: Ref, mask: number): boolean {
    return (this.w.load32(folio, this.layout.flags) & mask) !== 0;
  }

  /** __folio_set_…: on a folio that nobody else can see yet. */
  mark(folio: Ref, mask: number): void {
    const { flags } = this.layout;
    this.w.store32(folio, flags, this.w.load32(folio, flags) | mask);
  }

  /** folio_mark_dirty: what was to be reclaimed once it is clean is so no more. */
  markDirty(folio: Ref): void {
    this.set(folio, PG_DIRTY);
    if (this.test(folio, PG_RECLAIM)) this.clear(folio, PG_RECLAIM);
  }

  set(folio: Ref, mask: number): void {
    setBits(this.w, folio, this.layout.flags, mask);
  }

  clear(folio: Ref, mask: number): void {
    clearBits(this.w, folio, this.layout.flags, mask);
  }

  /** folio_trylock */
  tryLock(folio: Ref): boolean {
    return (setBits(this.w, folio, this.layout.flags, PG_LOCKED) & PG_LOCKED) === 0;
  }

  /** folio_test_locked */
  isLocked(folio: Ref): boolean {
    return this.test(folio, PG_LOCKED);
  }

  /** folio_lock: sleeps while somebody else has it, and says so in the flags. */
  lock(folio: Ref): void {
    while (!this.tryLock(folio)) {
      this.set(folio, PG_WAITERS);
      waitBitsClear(this.w, folio, this.layout.flags, PG_LOCKED);
    }
  }

  /** folio_unlock: wakes all who wait. */
  unlock(folio: Ref): void {
    this.clear(folio, PG_LOCKED | PG_WAITERS);
  }

  /** Waits for a flag to be cleared: writeback, the lock of a migration. */
  waitClear(folio: Ref, mask: number): void {
    waitBitsClear(this.w, folio, this.layout.flags, mask);
  }

  index(folio: Ref): number {
    return this.w.load32(this.rest(folio), this.layout.index);
  }

  setIndex(folio: Ref, index: number): void {
    this.w.store64(this.rest(folio), this.layout.index, index, 0);
  }

  /** `mapping` without its low bits: an anon_vma, an address_space, a stable node. */
  mapping(folio: Ref): Ref {
    return this.core.pointer(folio, this.layout.mapping);
  }

  /** Low two bits of `mapping`. */
  mappingBits(folio: Ref): number {
    return this.w.load32(folio, this.layout.mapping) & 3;
  }

  setMapping(folio: Ref, to: Ref, bits: number): void {
    this.w.store64(folio, this.layout.mapping, addressLow(to) | bits, addressHigh(to));
  }

  private(folio: Ref): number {
    return this.w.load32(this.rest(folio), this.layout.private);
  }

  setPrivate(folio: Ref, value: number): void {
    this.w.store64(this.rest(folio), this.layout.private, lowHalf(value), 0);
  }

  /** Whether anybody may have pinned it: exact where pins are counted (folio_maybe_dma_pinned). */
  maybePinned(folio: Ref, order: number): boolean {
    const { layout } = this;
    const at = order > 0 ? layout.pincount : layout.smallPincount;
    if (at >= 0) return this.w.load32(this.rest(folio), at) > 0;
    return this.refcount(folio) >= PIN_BIAS;
  }

  /** try_grab_folio for FOLL_PIN on a folio that is held otherwise: pins and references. */
  pin(folio: Ref, order: number, n: number): void {
    const { layout } = this;
    const at = order > 0 ? layout.pincount : layout.smallPincount;
    if (at < 0) return this.get(folio, n * PIN_BIAS);
    this.w.add32(this.rest(folio), at, n);
    this.get(folio, n);
  }

  /** gup_put_folio */
  unpin(folio: Ref, order: number, n: number): void {
    const { layout } = this;
    const at = order > 0 ? layout.pincount : layout.smallPincount;
    if (at < 0) return this.put(folio, n * PIN_BIAS);
    this.w.add32(this.rest(folio), at, -n);
    this.put(folio, n);
  }

  /** folio_nid: every folio's flags carry its node on top. */
  nodeOf(folio: Ref): number {
    this.w.load64(folio, this.layout.flags);
    return this.w.hi >>> 22;
  }

  isAnon(folio: Ref): boolean {
    return (this.mappingBits(folio) & 1) !== 0;
  }

  /** folio_test_ksm */
  isKsm(folio: Ref): boolean {
    return this.mappingBits(folio) === 3;
  }
}
