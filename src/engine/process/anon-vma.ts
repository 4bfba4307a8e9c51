/**
 * anon_vma: from an anonymous page to every VMA that may map it.
 *
 * A VMA gets an anon_vma with its first anonymous page; fork links the child's
 * VMA to all of its parent's and gives it one of its own for pages to come, or
 * reuses one of the parent's that nobody uses any more. Chains are the links of
 * this many-to-many relation.
 *
 * Source: mm/rmap.c of 6.18 (__anon_vma_prepare, anon_vma_clone, anon_vma_fork,
 * unlink_anon_vmas). Simplified: a list of chains per anon_vma where the kernel
 * has an interval tree; one lock each, not that of the root.
 */
import type { Ref } from "../../units.js";
import {
  ANON_VMA_CHAINS,
  ANON_VMA_NUM_ACTIVE_VMAS,
  ANON_VMA_NUM_CHILDREN,
  ANON_VMA_PARENT,
  ANON_VMA_REFCOUNT,
  ANON_VMA_ROOT,
  ANON_VMA_RWSEM,
  AVC_ANON_VMA,
  AVC_NEXT,
  AVC_PREV,
  AVC_SAME_VMA_NEXT,
  AVC_SAME_VMA_PREV,
  AVC_VMA,
  VMA_ANON_VMA,
  VMA_ANON_VMA_CHAIN,
} from "../layout/generated/offsets.js";
import type { Words } from "../words/words.js";
import type { Core } from "./core.js";
import { ENOMEM } from "./constants.js";
import { downWrite, upWrite } from "./locks.js";
import { O_ANON_VMA, O_AVC } from "./objects.js";

const NONE = 0 as Ref;
/** The list_head's second word. */
const LAST_CHAIN = VMA_ANON_VMA_CHAIN + 8;

export class AnonVmas {
  readonly core: Core;
  readonly w: Words;

  constructor(core: Core) {
    this.core = core;
    this.w = core.w;
  }

  of(vma: Ref): Ref {
    return this.core.pointer(vma, VMA_ANON_VMA);
  }

  #new(): Ref {
    const av = this.core.newObject(O_ANON_VMA);
    if (av !== NONE) {
      this.w.store32(av, ANON_VMA_REFCOUNT, 1);
      this.core.setPointer(av, ANON_VMA_ROOT, av);
      this.core.setPointer(av, ANON_VMA_PARENT, av);
    }
    return av;
  }

  /** anon_vma_prepare: the VMA has one afterwards; 0 or ENOMEM. `near` is one that may be shared. */
  prepare(vma: Ref, near: Ref): number {
    if (this.of(vma) !== NONE) return 0;
    const av = near !== NONE ? near : this.#new();
    if (av === NONE) return ENOMEM;
    const chain = this.core.newObject(O_AVC);
    if (chain === NONE) {
      if (near === NONE) this.core.freeObject(O_ANON_VMA, av);
      return ENOMEM;
    }
    if (near === NONE) this.w.add32(av, ANON_VMA_NUM_CHILDREN, 1);
    this.core.setPointer(vma, VMA_ANON_VMA, av);
    this.#link(vma, chain, av, false);
    this.w.add32(av, ANON_VMA_NUM_ACTIVE_VMAS, 1);
    return 0;
  }

  /**
   * anon_vma_chain_link. A VMA's chains are in order from the newest anon_vma to
   * the root, so that when they go a parent outlives its children.
   */
  #link(vma: Ref, chain: Ref, av: Ref, oldest: boolean): void {
    const { core, w } = this;
    core.setPointer(chain, AVC_VMA, vma);
    core.setPointer(chain, AVC_ANON_VMA, av);
    const next = oldest ? NONE : core.pointer(vma, VMA_ANON_VMA_CHAIN);
    const prev = oldest ? core.pointer(vma, LAST_CHAIN) : NONE;
    core.setPointer(chain, AVC_SAME_VMA_NEXT, next);
    core.setPointer(chain, AVC_SAME_VMA_PREV, prev);
    if (next !== NONE) core.setPointer(next, AVC_SAME_VMA_PREV, chain);
    else core.setPointer(vma, LAST_CHAIN, chain);
    if (prev !== NONE) core.setPointer(prev, AVC_SAME_VMA_NEXT, chain);
    else core.setPointer(vma, VMA_ANON_VMA_CHAIN, chain);
    downWrite(w, av, ANON_VMA_RWSEM);
    const head = core.pointer(av, ANON_VMA_CHAINS);
    core.setPointer(chain, AVC_NEXT, head);
    core.setPointer(chain, AVC_PREV, NONE);
    if (head !== NONE) core.setPointer(head, AVC_PREV, chain);
    core.setPointer(av, ANON_VMA_CHAINS, chain);
    upWrite(w, av, ANON_VMA_RWSEM);
  }

  /**
   * anon_vma_clone: `to` belongs to every anon_vma of `from`. With `reuse` the
   * child takes over one that has no VMA of its own left. 0, or ENOMEM with
   * nothing linked.
   */
  clone(to: Ref, from: Ref, reuse: boolean): number {
    const { core, w } = this;
    for (
      let chain = core.pointer(from, VMA_ANON_VMA_CHAIN);
      chain !== NONE;
      chain = core.pointer(chain, AVC_SAME_VMA_NEXT)
    ) {
      const av = core.pointer(chain, AVC_ANON_VMA);
      const fresh = core.newObject(O_AVC);
      if (fresh === NONE) {
        // It does not count as active yet, so it must not be counted down.
        core.setPointer(to, VMA_ANON_VMA, NONE);
        this.unlink(to);
        return ENOMEM;
      }
      this.#link(to, fresh, av, true);
      const idle =
        w.load32(av, ANON_VMA_NUM_CHILDREN) < 2 && w.load32(av, ANON_VMA_NUM_ACTIVE_VMAS) === 0;
      if (reuse && idle && this.of(to) === NONE) core.setPointer(to, VMA_ANON_VMA, av);
    }
    const own = this.of(to);
    if (own !== NONE) w.add32(own, ANON_VMA_NUM_ACTIVE_VMAS, 1);
    return 0;
  }

  /** The VMA's own anon_vma will be `av`: said before `clone`, as for half of a split VMA. */
  adopt(vma: Ref, av: Ref): void {
    this.core.setPointer(vma, VMA_ANON_VMA, av);
  }

  /** anon_vma_fork: 0 or ENOMEM with nothing left behind. */
  fork(child: Ref, parent: Ref): number {
    const { core, w } = this;
    core.setPointer(child, VMA_ANON_VMA, NONE);
    core.setPointer(child, VMA_ANON_VMA_CHAIN, NONE);
    core.setPointer(child, LAST_CHAIN, NONE);
    const parents = this.of(parent);
    if (parents === NONE) return 0;
    const error = this.clone(child, parent, true);
    if (error !== 0) return error;
    if (this.of(child) !== NONE) return 0;
    const av = this.#new();
    const chain = av === NONE ? NONE : core.newObject(O_AVC);
    if (chain === NONE) {
      if (av !== NONE) core.freeObject(O_ANON_VMA, av);
      this.unlink(child);
      return ENOMEM;
    }
    const root = core.pointer(parents, ANON_VMA_ROOT);
    core.setPointer(av, ANON_VMA_ROOT, root);
    core.setPointer(av, ANON_VMA_PARENT, parents);
    w.add32(root, ANON_VMA_REFCOUNT, 1);
    w.add32(parents, ANON_VMA_NUM_CHILDREN, 1);
    core.setPointer(child, VMA_ANON_VMA, av);
    w.store32(av, ANON_VMA_NUM_ACTIVE_VMAS, 1);
    this.#link(child, chain, av, false);
    return 0;
  }

  /** unlink_anon_vmas: the VMA leaves all of them; those that nobody needs go. */
  unlink(vma: Ref): void {
    const { core, w } = this;
    const own = this.of(vma);
    if (own !== NONE) w.add32(own, ANON_VMA_NUM_ACTIVE_VMAS, -1);
    let chain = core.pointer(vma, VMA_ANON_VMA_CHAIN);
    core.setPointer(vma, VMA_ANON_VMA_CHAIN, NONE);
    core.setPointer(vma, LAST_CHAIN, NONE);
    core.setPointer(vma, VMA_ANON_VMA, NONE);
    while (chain !== NONE) {
      const next = core.pointer(chain, AVC_SAME_VMA_NEXT);
      const av = core.pointer(chain, AVC_ANON_VMA);
      downWrite(w, av, ANON_VMA_RWSEM);
      const after = core.pointer(chain, AVC_NEXT);
      const before = core.pointer(chain, AVC_PREV);
      if (before !== NONE) core.setPointer(before, AVC_NEXT, after);
      else core.setPointer(av, ANON_VMA_CHAINS, after);
      if (after !== NONE) core.setPointer(after, AVC_PREV, before);
      const empty = core.pointer(av, ANON_VMA_CHAINS) === NONE;
      upWrite(w, av, ANON_VMA_RWSEM);
      core.freeObject(O_AVC, chain);
      if (empty) this.#leave(av);
      chain = next;
    }
  }

  /** The last VMA left: its parent has one child less, and the object goes unless others hold it. */
  #leave(av: Ref): void {
    const { core, w } = this;
    const parent = core.pointer(av, ANON_VMA_PARENT);
    w.add32(parent, ANON_VMA_NUM_CHILDREN, -1);
    this.put(av);
  }

  /** get_anon_vma: kept while it has no VMA, for a page that is on its way. */
  get(av: Ref): void {
    this.w.add32(av, ANON_VMA_REFCOUNT, 1);
  }

  put(av: Ref): void {
    const { core, w } = this;
    if (w.add32(av, ANON_VMA_REFCOUNT, -1) !== 0) return;
    const root = core.pointer(av, ANON_VMA_ROOT);
    core.freeObject(O_ANON_VMA, av);
    if (root !== av) this.put(root);
  }
}
