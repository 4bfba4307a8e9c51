/**
 * Memory cgroups: page counters with a limit, in a tree.
 *
 * A charge goes up to the root; where one counter is full nothing is charged, and
 * memory is got back from the subtree of that counter, not of who asked. Each CPU keeps a stock of pages that were charged ahead for one cgroup, so
 * that most charges touch one word. Charging the bytes of separate descriptors
 * to who caused them is a choice of the machine (obj_cgroup does it for slab
 * objects today; that it would for descriptors is open).
 *
 * Source: mm/memcontrol.c, mm/page_counter.c of 6.18 (MEMCG_CHARGE_BATCH 64).
 */
import type { Ref } from "../../units.js";
import {
  MEMCG_DESCRIPTOR_BYTES,
  MEMCG_FAILCNT,
  MEMCG_MAX,
  MEMCG_PARENT,
  MEMCG_USAGE,
} from "../layout/generated/offsets.js";
import type { Words } from "../words/words.js";
import type { Core } from "./core.js";
import { O_MEMCG } from "./objects.js";

const BATCH = 64;
const NO_LIMIT = 0x7fffffff;
const STOCK_MEMCG = 0;
const STOCK_PAGES = 4;

/** MAX_RECLAIM_RETRIES: how often memory_max_write tries in vain. */
const MAX_RETRIES = 16;

export class Memcgs {
  readonly core: Core;
  readonly w: Words;
  /** Gets memory back of a cgroup and those below it; false where there is none to be had. Set by reclaim. */
  reclaim: (pages: number, memcg: Ref) => boolean = () => false;
  /** The cgroup whose limit refused the last charge (mem_over_limit). */
  over = 0 as Ref;
  /** Whether descriptors are charged with the pages they describe. */
  readonly chargesDescriptors: boolean;

  constructor(core: Core, chargesDescriptors: boolean) {
    this.core = core;
    this.w = core.w;
    this.chargesDescriptors = chargesDescriptors;
  }

  /** A cgroup under `parent` (0: under the root, which is not counted); 0 without memory. */
  create(parent: Ref, maxPages: number = NO_LIMIT): Ref {
    const memcg = this.core.newObject(O_MEMCG);
    if (memcg === 0) return memcg;
    this.w.store32(memcg, MEMCG_MAX, maxPages);
    this.core.setPointer(memcg, MEMCG_PARENT, parent);
    return memcg;
  }

  destroy(memcg: Ref): void {
    this.drainStocks();
    this.core.freeObject(O_MEMCG, memcg);
  }

  /** Pages charged, those in stocks not counted. */
  usage(memcg: Ref): number {
    let pages = this.w.load32(memcg, MEMCG_USAGE);
    for (let cpu = 0; cpu < this.core.machine.allocator.cpus; cpu++) {
      const stock = this.core.stock(cpu);
      if (this.w.load32(stock, STOCK_MEMCG) === memcg) pages -= this.w.load32(stock, STOCK_PAGES);
    }
    return pages;
  }

  max(memcg: Ref): number {
    return this.w.load32(memcg, MEMCG_MAX);
  }

  /**
   * memory.max: what is above a lower limit is reclaimed; where that is not to be
   * had, usage stays above it, and nothing more is charged.
   */
  setMax(memcg: Ref, pages: number): void {
    const { w } = this;
    w.store32(memcg, MEMCG_MAX, pages);
    if (w.load32(memcg, MEMCG_USAGE) <= pages) return;
    this.drainStocks();
    for (let tries = MAX_RETRIES; tries > 0;) {
      const above = w.load32(memcg, MEMCG_USAGE) - pages;
      if (above <= 0) return;
      if (!this.reclaim(above, memcg)) tries--;
      this.drainStocks();
    }
  }

  /** mem_cgroup_is_descendant: whether a cgroup is `root` or lies below it. */
  isUnder(memcg: Ref, root: Ref): boolean {
    let at = memcg;
    while (at !== root && at !== 0) at = this.core.pointer(at, MEMCG_PARENT);
    return at === root;
  }

  /** try_charge: false when a counter on the way to the root is full; `over` says which. */
  charge(memcg: Ref, pages: number): boolean {
    const { w } = this;
    const stock = this.core.stock(this.core.cpu);
    if (pages <= BATCH && w.load32(stock, STOCK_MEMCG) === memcg) {
      const left = w.load32(stock, STOCK_PAGES);
      if (left >= pages) {
        w.store32(stock, STOCK_PAGES, left - pages);
        return true;
      }
    }
    if (pages < BATCH && this.#count(memcg, BATCH)) {
      this.#refill(stock, memcg, BATCH - pages);
      return true;
    }
    if (this.#count(memcg, pages)) return true;
    this.drainStocks();
    return this.#count(memcg, pages);
  }

  #count(memcg: Ref, pages: number): boolean {
    const { w } = this;
    for (let at = memcg; at !== 0; at = this.core.pointer(at, MEMCG_PARENT)) {
      if (w.add32(at, MEMCG_USAGE, pages) <= w.load32(at, MEMCG_MAX)) continue;
      w.add32(at, MEMCG_FAILCNT, 1);
      this.over = at;
      for (let back = memcg; ; back = this.core.pointer(back, MEMCG_PARENT)) {
        w.add32(back, MEMCG_USAGE, -pages);
        if (back === at) return false;
      }
    }
    return true;
  }

  #refill(stock: Ref, memcg: Ref, pages: number): void {
    const { w } = this;
    if (w.load32(stock, STOCK_MEMCG) !== memcg) {
      this.#drain(stock);
      w.store32(stock, STOCK_MEMCG, memcg);
    }
    if (w.add32(stock, STOCK_PAGES, pages) > BATCH) this.#drain(stock);
  }

  #drain(stock: Ref): void {
    const { w } = this;
    const pages = w.load32(stock, STOCK_PAGES);
    if (pages === 0) return;
    w.store32(stock, STOCK_PAGES, 0);
    this.#uncount(w.load32(stock, STOCK_MEMCG) as Ref, pages);
  }

  #uncount(memcg: Ref, pages: number): void {
    for (let at = memcg; at !== 0; at = this.core.pointer(at, MEMCG_PARENT))
      this.w.add32(at, MEMCG_USAGE, -pages);
  }

  uncharge(memcg: Ref, pages: number): void {
    const stock = this.core.stock(this.core.cpu);
    if (pages < BATCH && this.w.load32(stock, STOCK_MEMCG) === memcg)
      return this.#refill(stock, memcg, pages);
    this.#uncount(memcg, pages);
  }

  /** drain_all_stock */
  drainStocks(): void {
    for (let cpu = 0; cpu < this.core.machine.allocator.cpus; cpu++) {
      const stock = this.core.stock(cpu);
      this.#drain(stock);
      this.w.store32(stock, STOCK_MEMCG, 0);
    }
  }

  /** Bytes of descriptors charged to a cgroup. */
  descriptorBytes(memcg: Ref): number {
    return this.w.load32(memcg, MEMCG_DESCRIPTOR_BYTES);
  }

  /** Counts a block's descriptor, whole pages of them as pages. Never refuses. */
  chargeDescriptor(memcg: Ref, pfn: number, order: number, n: 1 | -1): void {
    if (!this.chargesDescriptors) return;
    const { design, machine } = this.core;
    const cache = design.cacheFor(design.typeOf(pfn), order);
    if (cache < 0) return;
    const bytes = machine.caches.stride[cache] * 16 * n;
    const after = this.w.add32(memcg, MEMCG_DESCRIPTOR_BYTES, bytes);
    const pages = Math.ceil(after / 4096) - Math.ceil((after - bytes) / 4096);
    if (pages === 0) return;
    for (let at = memcg; at !== 0; at = this.core.pointer(at, MEMCG_PARENT))
      this.w.add32(at, MEMCG_USAGE, pages);
  }
}
