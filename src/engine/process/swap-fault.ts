/**
 * Faults on entries that are not present: swap-in, waiting for a migration,
 * poisoned pages.
 *
 * Source: mm/memory.c of 6.18 (do_swap_page). Simplified: one page at a time, no
 * readahead from swap.
 */
import type { Ref } from "../../units.js";
import { ANON_VMA_ROOT, MM_MEMCG, MM_RSS_ANON, MM_RSS_SWAP } from "../layout/generated/offsets.js";
import { MAPPING_ANON, PG_LOCKED, PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_ANON } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import { FAULT_HWPOISON, FAULT_OOM, FAULT_SIGBUS, VM_WRITE } from "./constants.js";
import type { CopyOnWrite } from "./cow.js";
import {
  isMigration,
  isSwap,
  pteHigh,
  pteLow,
  PTE_DIRTY,
  PTE_WRITE,
  SWP_EXCLUSIVE,
  SWP_HWPOISON,
  swapOffset,
  swapType,
} from "./entry.js";
import { pteAt } from "./page-tables.js";
import { pteNx, pteRights } from "./protection.js";

const NONE = 0 as Ref;

export class SwapFaults {
  readonly base: Base;
  readonly cow: CopyOnWrite;

  constructor(base: Base, cow: CopyOnWrite) {
    this.base = base;
    this.cow = cow;
  }

  fault(
    vma: Ref,
    mm: Ref,
    table: Ref,
    vpn: number,
    lo: number,
    hi: number,
    write: boolean,
  ): number {
    const { folios, device } = this.base;
    if (device !== null && device.owns(lo, hi)) return device.fault(vma, mm, table, vpn, lo, hi);
    if (isMigration(lo, hi)) {
      const moving = folios.ofMigration(lo, hi);
      if (moving !== NONE) folios.waitClear(moving, PG_LOCKED);
      return 0;
    }
    if (isSwap(lo, hi)) return this.#swapIn(vma, mm, table, vpn, lo, hi, write);
    return swapType(hi) === SWP_HWPOISON ? FAULT_HWPOISON : FAULT_SIGBUS;
  }

  /** The folio for a slot, locked and with a reference; 0 without memory. */
  #folioFor(slot: number, mm: Ref): Ref {
    const { w, folios, swap, core } = this.base;
    const cached = swap.cached(slot);
    if (cached !== NONE) {
      folios.get(cached);
      folios.lock(cached);
      return cached;
    }
    const pfn = folios.alloc(0, T_ANON, w.load32(mm, MM_MEMCG) as Ref);
    if (pfn < 0) return NONE;
    const folio = core.design.descriptorOf(pfn);
    folios.tryLock(folio);
    folios.set(folio, PG_SWAPBACKED);
    folios.setMapping(folio, NONE, 0);
    swap.cache(slot, folio);
    swap.read(slot, pfn);
    folios.set(folio, PG_UPTODATE);
    folios.lruAdd(folio, 0);
    return folio;
  }

  #swapIn(
    vma: Ref,
    mm: Ref,
    table: Ref,
    vpn: number,
    lo: number,
    hi: number,
    write: boolean,
  ): number {
    const { w, folios, swap, core, rmap, counts, tables, vmas, anonVmas } = this.base;
    if (anonVmas.of(vma) === NONE && anonVmas.prepare(vma, vmas.nearAnonVma(vma)) !== 0)
      return FAULT_OOM;
    const slot = swapOffset(lo, hi);
    const folio = this.#folioFor(slot, mm);
    if (folio === NONE) return FAULT_OOM;
    const first = core.pfnOf(folio);
    const order = core.design.orderOf(first);
    const pfn = first + slot - folios.private(folio);
    const off = pteAt(vpn);
    const desc = tables.lock(table);
    if (w.load64(table, off) !== lo || w.hi !== hi) {
      tables.unlock(desc);
      folios.unlock(folio);
      folios.put(folio);
      return 0;
    }
    const flags = vmas.flags(vma);
    const fresh = folios.mapping(folio) === NONE;
    swap.free(slot, 1);
    if (write && folios.refcount(folio) === 2 + (1 << order) - 1) swap.dropCache(folio);
    w.add32(mm, MM_RSS_SWAP, -1);
    w.add32(mm, MM_RSS_ANON, 1);
    let bits = pteRights(flags, false);
    // Nobody else holds it: the reference taken above is the only one.
    const exclusive = (lo & SWP_EXCLUSIVE) !== 0 || folios.refcount(folio) === 1;
    if (write && exclusive && (flags & VM_WRITE) !== 0) bits |= PTE_WRITE | PTE_DIRTY;
    folios.get(folio);
    if (fresh) {
      if (exclusive) rmap.moveAnon(folio, vma);
      else folios.setMapping(folio, core.pointer(anonVmas.of(vma), ANON_VMA_ROOT), MAPPING_ANON);
      folios.setIndex(folio, rmap.index(vma, vpn));
    }
    counts.addPtes(folio, pfn, order, 1, counts.mmId(vma));
    core.design.setExclusive(pfn, exclusive);
    const entry = pteLow(pfn, bits);
    const high = pteHigh(pfn) | pteNx(flags);
    w.store64(table, off, entry, high);
    folios.unlock(folio);
    folios.put(folio);
    if (write && (bits & PTE_WRITE) === 0)
      return this.cow.fault(vma, mm, table, desc, vpn, entry, high, false);
    tables.unlock(desc);
    return 0;
  }
}
