/**
 * The interval notifiers of a process as lists in words: those that hear, in the
 * order of their first page, and those whose insertion or removal has to wait.
 *
 * The caller holds the lock of the subscriptions for whatever changes a list. One
 * that hears nothing yet points at itself, as the node of a tree does after
 * RB_CLEAR_NODE.
 *
 * Source: mm/mmu_notifier.c, include/linux/interval_tree_generic.h of 6.18.
 * Simplified: a list where the kernel has an interval tree; both give what overlaps
 * in the same order.
 */
import type { Ref } from "../../../units.js";
import {
  MMU_INTERVAL_DEFERRED_NEXT,
  MMU_INTERVAL_DEFERRED_PREV,
  MMU_INTERVAL_LAST,
  MMU_INTERVAL_NEXT,
  MMU_INTERVAL_PREV,
  MMU_INTERVAL_START,
  MMU_SUBSCRIPTIONS_DEFERRED_LIST,
  MMU_SUBSCRIPTIONS_ITREE,
} from "../../layout/generated/offsets.js";
import { highHalf, lowHalf } from "../../words/words.js";
import type { Core } from "../core.js";

const NONE = 0 as Ref;

export class Intervals {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** A fresh one: its pages, and that it is in no list. */
  init(sub: Ref, first: number, last: number): void {
    const { core } = this;
    core.w.store64(sub, MMU_INTERVAL_START, lowHalf(first), highHalf(first));
    core.w.store64(sub, MMU_INTERVAL_LAST, lowHalf(last), highHalf(last));
    core.setPointer(sub, MMU_INTERVAL_NEXT, sub);
  }

  /** First page of it. */
  start(sub: Ref): number {
    return this.#page(sub, MMU_INTERVAL_START);
  }

  /** Last page of it. */
  last(sub: Ref): number {
    return this.#page(sub, MMU_INTERVAL_LAST);
  }

  #page(sub: Ref, off: number): number {
    const { w } = this.core;
    const lo = w.load64(sub, off);
    return w.hi * 2 ** 32 + (lo >>> 0);
  }

  /** Whether it hears (not RB_EMPTY_NODE). */
  hears(sub: Ref): boolean {
    return this.core.pointer(sub, MMU_INTERVAL_NEXT) !== sub;
  }

  /** interval_tree_insert: behind those that begin before it or with it. */
  insert(subs: Ref, sub: Ref): void {
    const { core } = this;
    const first = this.start(sub);
    let prev = NONE;
    let next = core.pointer(subs, MMU_SUBSCRIPTIONS_ITREE);
    while (next !== NONE && this.start(next) <= first) {
      prev = next;
      next = core.pointer(next, MMU_INTERVAL_NEXT);
    }
    core.setPointer(sub, MMU_INTERVAL_NEXT, next);
    core.setPointer(sub, MMU_INTERVAL_PREV, prev);
    if (next !== NONE) core.setPointer(next, MMU_INTERVAL_PREV, sub);
    if (prev !== NONE) core.setPointer(prev, MMU_INTERVAL_NEXT, sub);
    else core.setPointer(subs, MMU_SUBSCRIPTIONS_ITREE, sub);
  }

  /** interval_tree_remove */
  remove(subs: Ref, sub: Ref): void {
    const { core } = this;
    const next = core.pointer(sub, MMU_INTERVAL_NEXT);
    const prev = core.pointer(sub, MMU_INTERVAL_PREV);
    if (next !== NONE) core.setPointer(next, MMU_INTERVAL_PREV, prev);
    if (prev !== NONE) core.setPointer(prev, MMU_INTERVAL_NEXT, next);
    else core.setPointer(subs, MMU_SUBSCRIPTIONS_ITREE, next);
    core.setPointer(sub, MMU_INTERVAL_NEXT, sub);
  }

  /** interval_tree_iter_first: the first one with a page of `start` … before `end`; 0 for none. */
  first(subs: Ref, start: number, end: number): Ref {
    return this.#overlapping(this.core.pointer(subs, MMU_SUBSCRIPTIONS_ITREE), start, end);
  }

  /** interval_tree_iter_next */
  next(sub: Ref, start: number, end: number): Ref {
    return this.#overlapping(this.core.pointer(sub, MMU_INTERVAL_NEXT), start, end);
  }

  #overlapping(from: Ref, start: number, end: number): Ref {
    for (let sub = from; sub !== NONE; sub = this.core.pointer(sub, MMU_INTERVAL_NEXT)) {
      if (this.start(sub) >= end) return NONE;
      if (this.last(sub) >= start) return sub;
    }
    return NONE;
  }

  /** First of those that wait; 0 for none. */
  firstDeferred(subs: Ref): Ref {
    return this.core.pointer(subs, MMU_SUBSCRIPTIONS_DEFERRED_LIST);
  }

  /** hlist_add_head: the last to come is the first to be done. */
  defer(subs: Ref, sub: Ref): void {
    const { core } = this;
    const head = this.firstDeferred(subs);
    core.setPointer(sub, MMU_INTERVAL_DEFERRED_NEXT, head);
    core.setPointer(sub, MMU_INTERVAL_DEFERRED_PREV, NONE);
    if (head !== NONE) core.setPointer(head, MMU_INTERVAL_DEFERRED_PREV, sub);
    core.setPointer(subs, MMU_SUBSCRIPTIONS_DEFERRED_LIST, sub);
  }

  /** It waits no longer. */
  undefer(subs: Ref, sub: Ref): void {
    const { core } = this;
    const next = core.pointer(sub, MMU_INTERVAL_DEFERRED_NEXT);
    const prev = core.pointer(sub, MMU_INTERVAL_DEFERRED_PREV);
    if (next !== NONE) core.setPointer(next, MMU_INTERVAL_DEFERRED_PREV, prev);
    if (prev !== NONE) core.setPointer(prev, MMU_INTERVAL_DEFERRED_NEXT, next);
    else core.setPointer(subs, MMU_SUBSCRIPTIONS_DEFERRED_LIST, next);
  }
}
