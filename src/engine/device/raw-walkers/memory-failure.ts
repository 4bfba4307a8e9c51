/**
 * Memory failure: the hardware reports a pfn whose memory is bad.
 *
 * The one walker that must deal with pages of devices: a report may name any pfn. It
 * asks for the online page first; where there is none and the pfn is a device's, the
 * driver is asked (`memoryFailure`), who alone knows what to do about private and
 * coherent memory; what nobody deals with is −ENXIO. A device's pages that have no pfn
 * cannot be reported here at all: their driver has to bring its own way.
 *
 * Of RAM a free page is taken off the free lists. A page that processes map is taken out
 * of all page tables, each entry replaced by one that says hwpoison, so that whoever
 * touches it next is killed; then its frame is kept for ever.
 *
 * Source: mm/memory-failure.c of 6.18 (memory_failure, memory_failure_dev_pagemap,
 * mf_generic_kill_procs, hwpoison_user_mappings, me_pagecache_clean,
 * page_handle_poison). Simplified: processes that map the page are named and not
 * killed; dirty pages of files, KSM and hugetlb pages are left alone (−EBUSY); the frame
 * is taken from its folio before it is marked, since tagged words have no room for both.
 */
import { MAPPING_KSM, PG_DIRTY, PG_LRU } from "../../design/word/axis-flags.js";
import { MISC_UNKNOWN, T_BUDDY } from "../../design/word/axis-types.js";
import { MM_MM_ID, MM_RSS_ANON } from "../../layout/generated/offsets.js";
import type { Ref } from "../../../units.js";
import { EHWPOISON } from "../../process/constants.js";
import {
  PTE_SPECIAL,
  PTE_THERE,
  ptePfn,
  SWP_HWPOISON,
  swapHigh,
  swapLow,
} from "../../process/entry.js";
import { IN_PAGE_TABLE } from "../../process/number-witness.js";
import { MMU_NOTIFY_CLEAR } from "../../process/notifier/events.js";
import { pteAt } from "../../process/page-tables.js";
import { PG_SWAPCACHE } from "../../process/swap.js";
import { EBUSY, ENOMEM, ENXIO, EOPNOTSUPP } from "../kinds.js";
import type { RawPfns } from "./raw-pfns.js";

const NONE = 0 as Ref;
const MAX_ORDER = 10;

/** What became of a report. */
export interface MemoryFailure {
  /** 0 where the page is out of use; −EHWPOISON where it was already, −EBUSY, −ENXIO, or the driver's. */
  readonly error: number;
  /** Who dealt with it. */
  readonly by: "free list" | "anonymous" | "page cache" | "driver" | "nobody";
  /** Numbers of the address spaces (mm_id) whose processes are to be killed. */
  readonly killed: readonly number[];
}

const nobody = (error: number): MemoryFailure => ({ error, by: "nobody", killed: [] });

export class MemoryFailures {
  readonly #pfns: RawPfns;
  /** Frames that are out of use. */
  readonly poisoned = new Set<number>();

  constructor(pfns: RawPfns) {
    this.#pfns = pfns;
  }

  /** memory_failure */
  report(pfn: number): MemoryFailure {
    const frame = this.#pfns.online(pfn);
    if (frame < 0) return this.#device(pfn);
    const { base } = this.#pfns.devices;
    const { design, machine } = base.core;
    if (design.isPoisoned(frame)) return nobody(EHWPOISON);
    machine.allocator.drainAll();
    if (design.typeOf(frame) === T_BUDDY) return this.#keep(frame, "free list", []);
    const folio = base.folios.ofPage(frame);
    if (folio === NONE || !base.folios.test(folio, PG_LRU)) return nobody(EBUSY);
    return this.#folio(frame);
  }

  /** memory_failure_dev_pagemap: what lies under the pfn is said by its page map alone. */
  #device(pfn: number): MemoryFailure {
    const map = this.#pfns.map(pfn);
    const page = this.#pfns.page(pfn);
    // Memory outside of the kernel's control.
    if (map === null || page < 0 || !map.tryGet(1)) return nobody(ENXIO);
    const error = map.ops.memoryFailure?.(page, 1) ?? EOPNOTSUPP;
    map.put(1);
    if (error !== EOPNOTSUPP) return { error, by: "driver", killed: [] };
    // mf_generic_kill_procs: device-side memory is nothing that it knows (private, coherent).
    return nobody(ENXIO);
  }

  /** A page of a folio on a list. */
  #folio(frame: number): MemoryFailure {
    const { base, kernel } = this.#pfns.devices;
    const { folios, core } = base;
    let folio = folios.ofPage(frame);
    folios.get(folio);
    // Whoever has it locked is not waited for (simplified).
    if (!folios.tryLock(folio)) return this.#letGo(folio, false);
    if (folios.mappingBits(folio) === MAPPING_KSM) return this.#letGo(folio, true);
    if (core.design.orderOf(frame) > 0) {
      const head = core.design.blockOf(frame);
      const error = kernel.splits.split(folio, 0);
      if (error !== 0) return this.#letGo(folio, true);
      // try_to_split_thp_page: lock and reference go from the first part to the bad one.
      const first = folios.ofPage(head);
      folio = folios.ofPage(frame);
      if (folio !== first) {
        folios.get(folio);
        folios.unlock(first);
        folios.put(first);
        if (!folios.tryLock(folio)) return this.#letGo(folio, false);
      }
    }
    return folios.isAnon(folio) ? this.#anon(folio, frame) : this.#file(folio, frame);
  }

  #letGo(folio: Ref, locked: boolean): MemoryFailure {
    const { folios } = this.#pfns.devices.base;
    if (locked) folios.unlock(folio);
    folios.put(folio);
    return nobody(EBUSY);
  }

  /** Entries say hwpoison from now on; the folio goes with its last reference. */
  #anon(folio: Ref, frame: number): MemoryFailure {
    const { folios, swap, counts } = this.#pfns.devices.base;
    if (folios.test(folio, PG_SWAPCACHE)) swap.dropCache(folio);
    if (folios.maybePinned(folio, 0) || folios.refcount(folio) !== counts.total(folio, 0) + 1)
      return this.#letGo(folio, true);
    const killed = this.#poisonEntries(folio, frame);
    folios.unlock(folio);
    folios.put(folio);
    return this.#keep(frame, "anonymous", killed);
  }

  /** me_pagecache_clean: a clean page is dropped and read again from its file. */
  #file(folio: Ref, frame: number): MemoryFailure {
    const { base, kernel } = this.#pfns.devices;
    const { folios, cache } = base;
    const mapping = folios.mapping(folio);
    const clean = mapping !== NONE && !folios.test(folio, PG_DIRTY);
    if (!clean || !kernel.unmap.folio(folio, "nothing", true)) return this.#letGo(folio, true);
    // The caller's reference and the cache's, and nobody else's.
    if (folios.test(folio, PG_DIRTY) || folios.refcount(folio) !== 2)
      return this.#letGo(folio, true);
    cache.delete(mapping, folios.index(folio), 0);
    folios.setMapping(folio, NONE, 0);
    folios.unlock(folio);
    folios.put(folio, 2);
    return this.#keep(frame, "page cache", []);
  }

  /** try_to_unmap with TTU_HWPOISON: every entry of the page. Whose they were. */
  #poisonEntries(folio: Ref, frame: number): number[] {
    const { rmap, folios, notifiers, tables, w } = this.#pfns.devices.base;
    const killed: number[] = [];
    rmap.walkRange(folio, folios.index(folio), 1, (vma, mm, vpn) => {
      if (notifiers.any !== 0) notifiers.start(mm, vpn, vpn + 1, MMU_NOTIFY_CLEAR);
      const table = tables.pteTable(mm, vpn);
      const found = table !== NONE && this.#poisonEntry(folio, frame, vma, mm, table, vpn);
      if (found) killed.push(w.load32(mm, MM_MM_ID));
      if (notifiers.any !== 0) notifiers.end(mm, vpn, vpn + 1);
      return true;
    });
    return killed;
  }

  #poisonEntry(folio: Ref, frame: number, vma: Ref, mm: Ref, table: Ref, vpn: number): boolean {
    const { base } = this.#pfns.devices;
    const { w, tables, counts, folios, core } = base;
    const off = pteAt(vpn);
    const desc = tables.lock(table);
    // A page on loan to a device comes back first.
    if ((w.load64(table, off) & PTE_THERE) === 0) base.device?.takeBack(vma, table, vpn, frame);
    const lo = w.load64(table, off);
    const mapped = (lo & PTE_THERE) !== 0 && (lo & PTE_SPECIAL) === 0;
    const found = mapped && ptePfn(lo, w.hi) === frame;
    if (found) {
      const low = swapLow(frame, false);
      const high = swapHigh(SWP_HWPOISON, frame);
      if (core.witness !== null) core.witness.made(IN_PAGE_TABLE, low, high, frame);
      w.store64(table, off, low, high);
      w.add32(mm, MM_RSS_ANON, -1);
      counts.removePtes(folio, frame, 0, 1, counts.mmId(vma));
      folios.put(folio);
    }
    tables.unlock(desc);
    return found;
  }

  /** A free frame is taken off the free lists, marked, and never given out again. */
  #keep(frame: number, by: MemoryFailure["by"], killed: readonly number[]): MemoryFailure {
    const { design, machine } = this.#pfns.devices.base.core;
    machine.allocator.drainAll();
    if (!this.#takeOff(frame)) return { error: EBUSY, by: "nobody", killed };
    design.bindMisc(frame, 0, MISC_UNKNOWN, false, design.zoneOf(frame));
    const cache = design.poisonCache(frame);
    const descriptor = cache < 0 ? NONE : machine.caches.alloc(cache);
    this.poisoned.add(frame);
    // The frame is out of use all the same, only nobody can see why.
    if (cache >= 0 && descriptor === NONE) return { error: ENOMEM, by, killed };
    design.poison(frame, descriptor);
    return { error: 0, by, killed };
  }

  /** take_page_off_buddy: what is left of its free block goes back in halves. */
  #takeOff(frame: number): boolean {
    const { buddy, zones } = this.#pfns.devices.base.core.machine;
    const { design } = buddy;
    for (let order = 0; order <= MAX_ORDER; order++) {
      const head = frame & (-1 << order);
      if (design.freeOrderAt(head) < order) continue;
      let size = buddy.takeAt(head);
      for (let at = head; size > 0;) {
        size--;
        const half = at + (1 << size);
        const rest = frame >= half ? at : half;
        if (frame >= half) at = half;
        buddy.give(design.zoneOf(rest), rest, size, zones.migrateTypeOf(rest));
      }
      return true;
    }
    return false;
  }
}
