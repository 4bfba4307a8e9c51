/**
 * KSM: anonymous pages with the same content become one, until somebody writes.
 *
 * Merging happens when asked for; there is no scanner. Both pages must lie in
 * VMAs that may be merged and be held by their mappings only; the shared page is
 * a folio of its own type, so that a design says from the word what it is.
 *
 * Source: mm/ksm.c of 6.18 (try_to_merge_with_ksm_page, write_protect_page,
 * replace_page, break_ksm). Simplified: a fresh page takes both places where the
 * kernel turns one of the two into the shared one; no reverse map to KSM pages,
 * so they are neither moved nor reclaimed.
 */
import type { Ref } from "../../units.js";
import {
  KSM_NODE_KPFN,
  KSM_NODE_RMAP_HLIST_LEN,
  MM_MMAP_LOCK,
} from "../layout/generated/offsets.js";
import { MAPPING_KSM, PG_LRU, PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { T_KSM } from "../design/word/axis-types.js";
import type { Base } from "./base.js";
import { EAGAIN, EFAULT, EINVAL, ENOMEM, VM_MERGEABLE } from "./constants.js";
import {
  pteHigh,
  pteLow,
  ptePfn,
  PTE_NX_HI,
  PTE_DIRTY,
  PTE_SPECIAL,
  PTE_THERE,
  PTE_WRITE,
} from "./entry.js";
import type { Faults } from "./fault.js";
import { downWrite, upWrite } from "./locks.js";
import { MMU_NOTIFY_CLEAR } from "./notifier/events.js";
import { O_KSM_NODE } from "./objects.js";
import { pmdAt, pteAt } from "./page-tables.js";

const NONE = 0 as Ref;

/** A page of a process. */
export interface PageOf {
  readonly mm: Ref;
  readonly vpn: number;
}

export class Ksm {
  readonly base: Base;
  readonly faults: Faults;

  constructor(base: Base, faults: Faults) {
    this.base = base;
    this.faults = faults;
    base.folios.freeStableNode = (node) => base.core.freeObject(O_KSM_NODE, node);
  }

  /**
   * Merges two pages: 0, or an errno with nothing changed. EFAULT where there is
   * no anonymous page, EINVAL where merging is not allowed or the contents
   * differ, EAGAIN where somebody else holds one of them, ENOMEM.
   */
  merge(a: PageOf, b: PageOf): number {
    const { w } = this.base;
    downWrite(w, a.mm, MM_MMAP_LOCK);
    if (b.mm !== a.mm) downWrite(w, b.mm, MM_MMAP_LOCK);
    const error = this.#merge(a, b);
    if (b.mm !== a.mm) upWrite(w, b.mm, MM_MMAP_LOCK);
    upWrite(w, a.mm, MM_MMAP_LOCK);
    return error;
  }

  #merge(a: PageOf, b: PageOf): number {
    const { core, folios } = this.base;
    const first = this.#frame(a);
    const second = this.#frame(b);
    if (first < 0) return first;
    if (second < 0) return second;
    if (first === second) return 0;
    if (!core.content.same(first, second)) return EINVAL;
    const shared = [first, second].find((pfn) => folios.isKsm(folios.ofPage(pfn)));
    if (shared !== undefined) {
      const other = shared === first ? b : a;
      return folios.isKsm(folios.ofPage(this.#frame(other))) ? EAGAIN : this.#point(other, shared);
    }
    if (!this.#free(first) || !this.#free(second)) return EAGAIN;
    const fresh = this.#make(first);
    if (fresh < 0) return fresh;
    const error = this.#point(a, fresh) || this.#point(b, fresh);
    // The reference of the allocation; the mappings have their own.
    folios.put(folios.ofPage(fresh));
    return error;
  }

  /** The anonymous page of order 0 that is mapped there, or an errno. */
  #frame(page: PageOf): number {
    const { w, vmas, tables, folios, core } = this.base;
    const vma = vmas.tree.lookup(page.mm, page.vpn);
    if (vma === NONE) return EFAULT;
    if ((vmas.flags(vma) & VM_MERGEABLE) === 0) return EINVAL;
    const pmds = tables.pmdTable(page.mm, page.vpn);
    const table = pmds === NONE ? NONE : tables.below(pmds, pmdAt(page.vpn));
    if (table === NONE) return EFAULT;
    const lo = w.load64(table, pteAt(page.vpn));
    const hi = w.hi;
    if ((lo & PTE_THERE) === 0 || (lo & PTE_SPECIAL) !== 0) return EFAULT;
    const pfn = ptePfn(lo, hi);
    const folio = folios.ofPage(pfn);
    if (folio === NONE || !folios.isAnon(folio) || core.design.orderOf(pfn) > 0) return EFAULT;
    return pfn;
  }

  /** Nobody holds the page but its one mapping (write_protect_page). */
  #free(pfn: number): boolean {
    const { folios, counts } = this.base;
    const folio = folios.ofPage(pfn);
    return (
      folios.refcount(folio) === 1 && counts.total(folio, 0) === 1 && folios.test(folio, PG_LRU)
    );
  }

  /** A KSM folio with the content of a frame and one reference. */
  #make(from: number): number {
    const { w, core, folios } = this.base;
    const node = core.newObject(O_KSM_NODE);
    if (node === NONE) return ENOMEM;
    const memcg = core.pointer(folios.ofPage(from), core.layout.memcg);
    const pfn = folios.alloc(0, T_KSM, memcg);
    if (pfn < 0) {
      core.freeObject(O_KSM_NODE, node);
      return pfn;
    }
    const folio = core.design.descriptorOf(pfn);
    core.content.copy(from, pfn);
    w.store64(node, KSM_NODE_KPFN, pfn, 0);
    folios.setMapping(folio, node, MAPPING_KSM);
    folios.set(folio, PG_UPTODATE | PG_SWAPBACKED);
    w.store32(folio, core.layout.mapcount, -1);
    folios.lruAdd(folio, 0);
    return pfn;
  }

  /** replace_page: a mapping of its own page becomes one of the shared page, read-only. */
  #point(page: PageOf, shared: number): number {
    const { w, vmas, tables, folios, core, counts, notifiers } = this.base;
    const { mm, vpn } = page;
    const old = this.#frame(page);
    if (old === shared) return 0;
    if (!this.#free(old)) return EAGAIN;
    const mmId = counts.mmId(vmas.tree.lookup(page.mm, page.vpn));
    const folio = folios.ofPage(shared);
    const own = folios.ofPage(old);
    const table = tables.pteTable(page.mm, page.vpn);
    if (notifiers.any !== 0) notifiers.start(mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR);
    const desc = tables.lock(table);
    const off = pteAt(page.vpn);
    const lo = w.load64(table, off);
    const nx = w.hi & PTE_NX_HI;
    folios.get(folio);
    counts.addPtes(folio, shared, 0, 1, mmId);
    w.add32(folios.mapping(folio), KSM_NODE_RMAP_HLIST_LEN, 1);
    const bits = lo & 0xfff & ~(PTE_WRITE | PTE_DIRTY);
    w.store64(table, off, pteLow(shared, bits), pteHigh(shared) | nx);
    core.design.setExclusive(old, false);
    counts.removePtes(own, old, 0, 1, mmId);
    folios.put(own);
    tables.unlock(desc);
    if (notifiers.any !== 0) notifiers.end(mm, vpn, vpn + 1);
    return 0;
  }

  /** MADV_UNMERGEABLE: every shared page of the range is copied for the process. 0 or ENOMEM. */
  unmerge(mm: Ref, vma: Ref, start: number, end: number): number {
    const { folios } = this.base;
    for (let vpn = start; vpn < end; vpn++) {
      const pfn = this.#frame({ mm, vpn });
      if (pfn < 0 || !folios.isKsm(folios.ofPage(pfn))) continue;
      if (this.faults.inVma(vma, mm, vpn, false, true) !== 0) return ENOMEM;
    }
    return 0;
  }
}
