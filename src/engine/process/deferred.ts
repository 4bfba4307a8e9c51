/**
 * Large folios of which some pages are mapped no more: a queue of what could be
 * split to get memory back, worked off by reclaim.
 *
 * Source: mm/huge_memory.c of 6.18 (deferred_split_folio, deferred_split_scan).
 * Simplified: one queue, not one per memory cgroup and node. Folios of order 1
 * are never queued: they have no third page for the list today.
 */
import type { Ref } from "../../units.js";
import type { Words } from "../words/words.js";
import { S_DEFERRED_COUNT, S_DEFERRED_FIRST, S_DEFERRED_LOCK, type Core } from "./core.js";
import { spinLock, spinUnlock } from "./locks.js";

const NONE = 0 as Ref;

export class DeferredSplits {
  readonly core: Core;
  readonly w: Words;

  constructor(core: Core) {
    this.core = core;
    this.w = core.w;
  }

  get count(): number {
    return this.w.load32(this.core.state, S_DEFERRED_COUNT);
  }

  /** First in the queue. */
  get first(): Ref {
    return this.w.load32(this.core.state, S_DEFERRED_FIRST) as Ref;
  }

  /** The one behind it. */
  next(folio: Ref): Ref {
    return this.core.pointer(this.core.rest(folio), this.core.layout.deferredList);
  }

  #queued(folio: Ref): boolean {
    const rest = this.core.rest(folio);
    return (
      this.core.pointer(rest, this.core.layout.deferredList + 8) !== NONE || this.first === folio
    );
  }

  add(folio: Ref, order: number): void {
    const { core, w } = this;
    // The memory of a device is not split to be given back to the allocator.
    if (order < 2 || core.pfnOf(folio) >= core.machine.deviceFirst) return;
    spinLock(w, core.state, S_DEFERRED_LOCK);
    if (!this.#queued(folio)) {
      const { deferredList } = core.layout;
      const rest = core.rest(folio);
      const first = this.first;
      core.setPointer(rest, deferredList, first);
      core.setPointer(rest, deferredList + 8, NONE);
      if (first !== NONE) core.setPointer(core.rest(first), deferredList + 8, folio);
      w.store32(core.state, S_DEFERRED_FIRST, folio);
      w.add32(core.state, S_DEFERRED_COUNT, 1);
    }
    spinUnlock(w, core.state, S_DEFERRED_LOCK);
  }

  /** folio_unqueue_deferred_split: before it is freed or split. Says whether it was queued. */
  remove(folio: Ref, order: number): boolean {
    if (order < 2) return false;
    const { core, w } = this;
    if (this.count === 0) return false;
    spinLock(w, core.state, S_DEFERRED_LOCK);
    const queued = this.#queued(folio);
    if (queued) {
      const { deferredList } = core.layout;
      const rest = core.rest(folio);
      const next = core.pointer(rest, deferredList);
      const prev = core.pointer(rest, deferredList + 8);
      if (prev !== NONE) core.setPointer(core.rest(prev), deferredList, next);
      else w.store32(core.state, S_DEFERRED_FIRST, next);
      if (next !== NONE) core.setPointer(core.rest(next), deferredList + 8, prev);
      core.setPointer(rest, deferredList, NONE);
      core.setPointer(rest, deferredList + 8, NONE);
      w.add32(core.state, S_DEFERRED_COUNT, -1);
    }
    spinUnlock(w, core.state, S_DEFERRED_LOCK);
    return queued;
  }
}
