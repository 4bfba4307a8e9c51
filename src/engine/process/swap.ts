/**
 * Swap: slots of a simulated device, how many entries name each, and the folio
 * that holds a slot's page in memory (swap cache).
 *
 * A slot has a cache word (the folio's address) and a count, in words; what is
 * written to it is kept beside. A slot is free once no entry names it and no
 * folio is cached for it.
 *
 * Source: mm/swapfile.c, mm/swap_state.c of 6.18 (swap table: one word per slot).
 * Simplified: one device, first free slot from where the last one was found,
 * counts of 32 bits where the kernel has bytes and continuations.
 */
import type { Ref } from "../../units.js";
import { PG_DIRTY, PG_OWNER_PRIV_1 } from "../design/word/axis-flags.js";
import type { Words } from "../words/words.js";
import { S_SWAP_LOCK, S_SWAP_NEXT, S_SWAP_USED, type Core } from "./core.js";
import { ENOMEM } from "./constants.js";
import type { Folios } from "./folios.js";
import { spinLock, spinUnlock } from "./locks.js";

/** Alias of owner_priv_1 on anonymous folios: it has a slot, named by `private`. */
export const PG_SWAPCACHE = PG_OWNER_PRIV_1;
const NONE = 0 as Ref;

export class Swap {
  readonly core: Core;
  readonly w: Words;
  readonly folios: Folios;
  readonly slots: number;
  readonly #base: Ref;
  /** What each slot holds; the simulated disk. */
  readonly #store = new Map<number, Uint8Array>();

  constructor(core: Core, folios: Folios, slots: number) {
    this.core = core;
    this.w = core.w;
    this.folios = folios;
    this.slots = slots;
    this.#base = core.swapWords();
  }

  get used(): number {
    return this.w.load32(this.core.state, S_SWAP_USED);
  }

  #cacheAt(slot: number): number {
    return slot * 8;
  }

  #countAt(slot: number): number {
    return this.slots * 8 + slot * 4;
  }

  /** Page-table entries that name a slot. */
  count(slot: number): number {
    return this.w.load32(this.#base, this.#countAt(slot));
  }

  /** The folio in memory that stands for a slot; 0 for none. */
  cached(slot: number): Ref {
    return this.core.pointer(this.#base, this.#cacheAt(slot));
  }

  /** folio_alloc_swap: `n` slots side by side, cached by the folio; the first, or ENOMEM. */
  allocate(folio: Ref, n: number): number {
    const { w, core } = this;
    spinLock(w, core.state, S_SWAP_LOCK);
    const slot = this.#find(n);
    if (slot >= 0) {
      for (let i = 0; i < n; i++) core.setPointer(this.#base, this.#cacheAt(slot + i), folio);
      w.add32(core.state, S_SWAP_USED, n);
      w.store32(core.state, S_SWAP_NEXT, slot + n);
    }
    spinUnlock(w, core.state, S_SWAP_LOCK);
    if (slot < 0) return ENOMEM;
    this.folios.setPrivate(folio, slot);
    this.folios.set(folio, PG_SWAPCACHE | PG_DIRTY);
    this.folios.get(folio, n);
    return slot;
  }

  /** First stretch of free slots, from where the last was found, then from the start. */
  #find(n: number): number {
    const from = this.w.load32(this.core.state, S_SWAP_NEXT);
    for (const [start, end] of [
      [from, this.slots],
      [0, Math.min(this.slots, from + n)],
    ]) {
      let run = 0;
      for (let slot = start; slot < end; slot++) {
        run = this.count(slot) === 0 && this.cached(slot) === NONE ? run + 1 : 0;
        if (run === n) return slot - n + 1;
      }
    }
    return -1;
  }

  /** swap_duplicate: one more entry names the slot. */
  duplicate(slot: number): void {
    this.w.add32(this.#base, this.#countAt(slot), 1);
  }

  /** swap_free: `n` entries less; the slot goes with the last, unless a folio is cached for it. */
  free(slot: number, n: number): void {
    const count = this.w.add32(this.#base, this.#countAt(slot), -n);
    if (count > 0) return;
    const folio = this.cached(slot);
    if (folio === NONE) this.#release(slot);
    else if (this.folios.tryLock(folio)) {
      this.dropCache(folio);
      this.folios.unlock(folio);
    }
  }

  #release(slot: number): void {
    const { w, core } = this;
    this.#store.delete(slot);
    spinLock(w, core.state, S_SWAP_LOCK);
    w.add32(core.state, S_SWAP_USED, -1);
    spinUnlock(w, core.state, S_SWAP_LOCK);
  }

  /** Whether any entry names a slot of this folio. */
  isNamed(folio: Ref, pages: number): boolean {
    const slot = this.folios.private(folio);
    for (let i = 0; i < pages; i++) if (this.count(slot + i) > 0) return true;
    return false;
  }

  /** folio_free_swap on a locked folio: it gives its slots up if no entry names them. */
  dropCache(folio: Ref): boolean {
    const { core, folios } = this;
    if (!folios.test(folio, PG_SWAPCACHE)) return false;
    const pages = 1 << core.design.orderOf(core.pfnOf(folio));
    if (this.isNamed(folio, pages)) return false;
    this.removeFromCache(folio, pages);
    return true;
  }

  /** delete_from_swap_cache: slots that are still named stay, with what is written in them. */
  removeFromCache(folio: Ref, pages: number): void {
    const { core, folios } = this;
    const slot = folios.private(folio);
    for (let i = 0; i < pages; i++) {
      core.setPointer(this.#base, this.#cacheAt(slot + i), NONE);
      if (this.count(slot + i) === 0) this.#release(slot + i);
    }
    folios.setPrivate(folio, 0);
    folios.clear(folio, PG_SWAPCACHE);
    folios.set(folio, PG_DIRTY);
    folios.put(folio, pages);
  }

  /** A folio was split: each part stands for its own slots. */
  moveCache(slot: number, folio: Ref, pages: number): void {
    for (let i = 0; i < pages; i++)
      this.core.setPointer(this.#base, this.#cacheAt(slot + i), folio);
  }

  /** Puts a fresh folio of one page in front of a slot (swap-in). */
  cache(slot: number, folio: Ref): void {
    this.core.setPointer(this.#base, this.#cacheAt(slot), folio);
    this.folios.setPrivate(folio, slot);
    this.folios.set(folio, PG_SWAPCACHE);
    this.folios.get(folio);
  }

  /** Writes a frame's content to a slot. */
  write(slot: number, frame: number): void {
    if (this.core.watch !== null) this.core.watch.copied(frame, -1 - slot);
    const page = new Uint8Array(4096);
    this.core.content.read(frame, 0, page);
    if (page.every((b) => b === 0)) this.#store.delete(slot);
    else this.#store.set(slot, page);
  }

  read(slot: number, frame: number): void {
    if (this.core.watch !== null) this.core.watch.copied(-1 - slot, frame);
    const page = this.#store.get(slot);
    if (page === undefined) this.core.content.clear(frame);
    else this.core.content.write(frame, 0, page);
  }
}
