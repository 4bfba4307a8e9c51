/**
 * mmu interval notifiers: who keeps a copy of a process's page table is told of
 * every change before it is made, and can find out afterwards whether one came
 * between.
 *
 * The process has a sequence number, odd while a change is under way that somebody
 * hears of, and each notifier the number of the last change that met it. A reader
 * takes the notifier's number, looks at the page table, and under its own lock
 * compares again. While the number is odd the list of notifiers stays as it is:
 * who comes or goes then is seen to when the last change ends.
 *
 * Counts, numbers, locks and lists are words; only what a driver answers is not
 * (rule 1). Where nobody has ever subscribed, `any` is all that a change looks at.
 *
 * Source: mm/mmu_notifier.c of 6.18. Simplified: interval notifiers only, in one
 * pass; sequence numbers of 32 bits.
 */
import type { Ref } from "../../../units.js";
import {
  MM_MMAP_LOCK,
  MM_MM_COUNT,
  MM_MM_USERS,
  MM_NOTIFIER_SUBSCRIPTIONS,
  MMU_INTERVAL_INVALIDATE_SEQ,
  MMU_INTERVAL_MM,
  MMU_INTERVAL_OPS,
  MMU_SUBSCRIPTIONS_ACTIVE_INVALIDATE_RANGES as ACTIVE,
  MMU_SUBSCRIPTIONS_INVALIDATE_SEQ as SEQ,
  MMU_SUBSCRIPTIONS_LOCK as LOCK,
} from "../../layout/generated/offsets.js";
import type { Words } from "../../words/words.js";
import { EAGAIN, EINVAL, ENOMEM, EOVERFLOW } from "../constants.js";
import type { Core } from "../core.js";
import { downWrite, spinLock, spinUnlock, upWrite } from "../locks.js";
import { O_MM, O_MMU_INTERVAL, O_MMU_SUBSCRIPTIONS } from "../objects.js";
import type { PageTables } from "../page-tables.js";
import type { Vmas } from "../vmas.js";
import { dropAllLocks, takeAllLocks } from "./all-locks.js";
import { ALL_PAGES, MMU_NOTIFY_RELEASE, type IntervalOps } from "./events.js";
import { Intervals } from "./intervals.js";
import { OpsTable } from "./ops-table.js";

const NONE = 0 as Ref;
/** The first sequence number: even, and one below it is odd and not zero. */
const FIRST_SEQ = 2;

export class Notifiers {
  readonly core: Core;
  readonly w: Words;
  readonly vmas: Vmas;
  readonly tables: PageTables;
  readonly intervals: Intervals;
  /**
   * 1 from the machine's first subscription on, 0 before: then no change need be
   * told. It never goes back, as threads that are run again must find what they
   * found; an exploration makes its first subscription while it is set up.
   */
  any = 0;
  readonly #ops = new OpsTable();

  constructor(core: Core, vmas: Vmas, tables: PageTables) {
    this.core = core;
    this.w = core.w;
    this.vmas = vmas;
    this.tables = tables;
    this.intervals = new Intervals(core);
  }

  /** struct mmu_notifier_subscriptions of a process; 0 where nobody ever subscribed. */
  of(mm: Ref): Ref {
    return this.core.pointer(mm, MM_NOTIFIER_SUBSCRIPTIONS);
  }

  /** Process of a notifier. */
  mm(sub: Ref): Ref {
    return this.core.pointer(sub, MMU_INTERVAL_MM);
  }

  /**
   * mmu_interval_notifier_insert: `ops` hears of changes to `pages` pages from
   * `startPage` on. 0 without memory; EOVERFLOW for a range that is none, EINVAL
   * for a process that has ended. It may not hear yet when this returns: what
   * matters is `readBegin`. The process must not be locked.
   */
  insert(mm: Ref, startPage: number, pages: number, ops: IntervalOps): Ref {
    const refused = this.#refuses(mm, startPage, pages);
    if (refused !== 0) return refused as Ref;
    if (this.of(mm) === NONE) {
      downWrite(this.w, mm, MM_MMAP_LOCK);
      const error = this.#register(mm);
      upWrite(this.w, mm, MM_MMAP_LOCK);
      if (error !== 0) return NONE;
    }
    return this.#insert(mm, startPage, pages, ops);
  }

  /** mmu_interval_notifier_insert_locked: the same where the process is locked for writing. */
  insertLocked(mm: Ref, startPage: number, pages: number, ops: IntervalOps): Ref {
    const refused = this.#refuses(mm, startPage, pages);
    if (refused !== 0) return refused as Ref;
    return this.#register(mm) === 0 ? this.#insert(mm, startPage, pages, ops) : NONE;
  }

  #refuses(mm: Ref, startPage: number, pages: number): number {
    if (!(pages > 0) || startPage + pages > ALL_PAGES) return EOVERFLOW;
    return this.w.load32(mm, MM_MM_USERS) > 0 ? 0 : EINVAL;
  }

  /** __mmu_notifier_register: the process has subscriptions afterwards. 0 or ENOMEM. */
  #register(mm: Ref): number {
    const { core, w } = this;
    if (this.of(mm) !== NONE) return 0;
    const subs = core.newObject(O_MMU_SUBSCRIPTIONS);
    if (subs === NONE) return ENOMEM;
    w.store32(subs, SEQ, FIRST_SEQ);
    this.any = 1;
    const held = takeAllLocks(core, this.vmas, mm);
    core.setPointer(mm, MM_NOTIFIER_SUBSCRIPTIONS, subs);
    dropAllLocks(core, held);
    return 0;
  }

  #insert(mm: Ref, startPage: number, pages: number, ops: IntervalOps): Ref {
    const { core, w, intervals } = this;
    const sub = core.newObject(O_MMU_INTERVAL);
    if (sub === NONE) return NONE;
    w.store32(sub, MMU_INTERVAL_OPS, this.#ops.numberOf(ops));
    core.setPointer(sub, MMU_INTERVAL_MM, mm);
    intervals.init(sub, startPage, startPage + pages - 1);
    // mmgrab: the process's object stays until it is removed.
    w.add32(mm, MM_MM_COUNT, 1);
    const subs = this.of(mm);
    spinLock(w, subs, LOCK);
    const seq = w.load32(subs, SEQ);
    let own = seq;
    if (w.load32(subs, ACTIVE) === 0) {
      // Odd, and no number that a change has had or will have soon.
      own = (seq - 1) | 0;
      intervals.insert(subs, sub);
    } else if ((seq & 1) !== 0) intervals.defer(subs, sub);
    else {
      // Nobody knows what is being changed: it must be taken for these pages.
      own = seq | 1;
      w.store32(subs, SEQ, own);
      intervals.insert(subs, sub);
    }
    w.store32(sub, MMU_INTERVAL_INVALIDATE_SEQ, own);
    spinUnlock(w, subs, LOCK);
    return sub;
  }

  /**
   * mmu_interval_notifier_remove: nothing is heard afterwards, and no callback is
   * running. Waits for a change that is under way, so the caller may hold no lock
   * that a callback takes, and be none.
   */
  remove(sub: Ref): void {
    const { core, w, intervals } = this;
    const mm = this.mm(sub);
    const subs = this.of(mm);
    let wait = false;
    spinLock(w, subs, LOCK);
    const seq = w.load32(subs, SEQ);
    if ((seq & 1) === 0) intervals.remove(subs, sub);
    else if (intervals.hears(sub)) {
      intervals.defer(subs, sub);
      wait = true;
    } else intervals.undefer(subs, sub);
    spinUnlock(w, subs, LOCK);
    if (wait) {
      w.awaitChange32(subs, SEQ, seq);
      // mmu_interval_seq_released: who ends the change has the lock until the list is done.
      spinLock(w, subs, LOCK);
      spinUnlock(w, subs, LOCK);
    }
    core.freeObject(O_MMU_INTERVAL, sub);
    this.mmdrop(mm);
  }

  /** mmu_interval_set_seq: what every callback says first, under the driver's lock. */
  setSeq(sub: Ref, seq: number): void {
    this.w.store32(sub, MMU_INTERVAL_INVALIDATE_SEQ, seq);
  }

  /**
   * mmu_interval_read_begin: the number to compare with after looking at the page
   * table. Sleeps while a change that met this notifier is under way.
   */
  readBegin(sub: Ref): number {
    const { w } = this;
    const subs = this.of(this.mm(sub));
    spinLock(w, subs, LOCK);
    const seq = w.load32(sub, MMU_INTERVAL_INVALIDATE_SEQ);
    const invalidating = seq === w.load32(subs, SEQ);
    spinUnlock(w, subs, LOCK);
    if (invalidating) w.awaitChange32(subs, SEQ, seq);
    return seq;
  }

  /** mmu_interval_read_retry, under the driver's lock: whether what was read is no longer so. */
  readRetry(sub: Ref, seq: number): boolean {
    return this.w.load32(sub, MMU_INTERVAL_INVALIDATE_SEQ) !== seq;
  }

  /** mmu_interval_check_retry: the same without the lock; false may be wrong, true is not. */
  checkRetry(sub: Ref, seq: number): boolean {
    return this.readRetry(sub, seq);
  }

  /**
   * mmu_notifier_invalidate_range_start: entries of pages `startPage` … before
   * `endPage` are about to change. Called with no lock of a page table held. 0; or
   * EAGAIN where the caller may not sleep and somebody would have to, and then
   * there is no `end`.
   */
  start(
    mm: Ref,
    startPage: number,
    endPage: number,
    event: number,
    owner = 0,
    blockable = true,
  ): number {
    const { w, intervals } = this;
    const subs = this.of(mm);
    if (subs === NONE) return 0;
    spinLock(w, subs, LOCK);
    w.add32(subs, ACTIVE, 1);
    const first = intervals.first(subs, startPage, endPage);
    let seq = w.load32(subs, SEQ);
    if (first !== NONE) {
      seq |= 1;
      w.store32(subs, SEQ, seq);
    }
    spinUnlock(w, subs, LOCK);
    if (first === NONE) return 0;
    // While the number is odd the list does not change, so it is walked without the lock.
    const range = { mm, start: startPage, end: endPage, event, owner, blockable };
    for (let sub = first; sub !== NONE; sub = intervals.next(sub, startPage, endPage)) {
      const done = this.#ops.at(w.load32(sub, MMU_INTERVAL_OPS)).invalidate(range, seq, sub);
      // Who may sleep has no reason to refuse: the kernel warns and goes on.
      if (done || blockable) continue;
      this.#end(subs);
      return EAGAIN;
    }
    return 0;
  }

  /** mmu_notifier_invalidate_range_end: they have changed. The range is that of `start`. */
  end(mm: Ref, _startPage: number, _endPage: number): void {
    const subs = this.of(mm);
    if (subs !== NONE) this.#end(subs);
  }

  /** mn_itree_inv_end */
  #end(subs: Ref): void {
    const { w, intervals } = this;
    spinLock(w, subs, LOCK);
    const active = w.add32(subs, ACTIVE, -1);
    const seq = w.load32(subs, SEQ);
    if (active === 0 && (seq & 1) !== 0) {
      // Waiters go on from here; those that wait for the list want the lock first.
      w.store32(subs, SEQ, (seq + 1) | 0);
      for (let sub = intervals.firstDeferred(subs); sub !== NONE;) {
        intervals.undefer(subs, sub);
        if (intervals.hears(sub)) intervals.remove(subs, sub);
        else intervals.insert(subs, sub);
        sub = intervals.firstDeferred(subs);
      }
    }
    spinUnlock(w, subs, LOCK);
  }

  /** mmput's last user has gone: everybody hears that all of it ends (mmu_notifier_release). */
  release(mm: Ref): void {
    this.w.store32(mm, MM_MM_USERS, 0);
    const subs = this.of(mm);
    if (subs === NONE) return;
    this.start(mm, 0, ALL_PAGES, MMU_NOTIFY_RELEASE);
    this.#end(subs);
  }

  /** mmdrop: with the last reference, a notifier's or the process's own, go top table, subscriptions and mm_struct. */
  mmdrop(mm: Ref): void {
    const { core, tables } = this;
    if (this.w.add32(mm, MM_MM_COUNT, -1) !== 0) return;
    tables.freeTop(tables.pgd(mm));
    const subs = this.of(mm);
    if (subs !== NONE) core.freeObject(O_MMU_SUBSCRIPTIONS, subs);
    core.freeObject(O_MM, mm);
  }
}
