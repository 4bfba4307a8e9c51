/**
 * The parts that all operations on memory share, made once for a machine:
 * folios, counts, reverse map, tables, VMAs, the page cache, swap.
 *
 * An operation (a fault, fork, migration, GUP …) is a class of its own that takes
 * this bundle; parts know only what is below them.
 */
import type { Machine } from "../machine.js";
import type { Words } from "../words/words.js";
import { AnonVmas } from "./anon-vma.js";
import { PMD_PAGES } from "./constants.js";
import { Core } from "./core.js";
import { DeferredSplits } from "./deferred.js";
import type { DeviceEntries } from "./device-entries.js";
import { Folios } from "./folios.js";
import { MapCounts } from "./map-counts.js";
import { Memcgs } from "./memcg.js";
import { Notifiers } from "./notifier/notifiers.js";
import { PageCache } from "./page-cache.js";
import { PageTables } from "./page-tables.js";
import type { Policy } from "./policy.js";
import { Rmap } from "./rmap.js";
import type { SpecialPages } from "./special.js";
import { Swap } from "./swap.js";
import { Vmas } from "./vmas.js";
import { Zap } from "./zap.js";

export interface BaseOptions {
  readonly policy: Policy;
  readonly swapSlots: number;
  /** Whether memory cgroups pay for the descriptors of their folios. */
  readonly chargeDescriptors: boolean;
}

export class Base {
  readonly core: Core;
  readonly w: Words;
  readonly policy: Policy;
  readonly memcgs: Memcgs;
  readonly folios: Folios;
  readonly counts: MapCounts;
  readonly anonVmas: AnonVmas;
  readonly tables: PageTables;
  readonly vmas: Vmas;
  readonly notifiers: Notifiers;
  readonly rmap: Rmap;
  readonly deferred: DeferredSplits;
  readonly swap: Swap;
  readonly cache: PageCache;
  readonly zap: Zap;
  /** Who answers for pages that are no folios; null: nobody. */
  special: SpecialPages | null = null;
  /** Who answers for entries and frames of devices; null: nobody. */
  device: DeviceEntries | null = null;

  constructor(machine: Machine, options: BaseOptions) {
    this.core = new Core(machine);
    this.w = machine.w;
    this.policy = options.policy;
    this.memcgs = new Memcgs(this.core, options.chargeDescriptors);
    this.folios = new Folios(this.core, this.memcgs);
    const { design } = machine;
    this.counts = new MapCounts(
      this.core,
      design.folio,
      design.mapcounts === "per-page" ? design : null,
    );
    this.anonVmas = new AnonVmas(this.core);
    this.tables = new PageTables(this.core);
    this.vmas = new Vmas(this.core, this.anonVmas);
    this.notifiers = new Notifiers(this.core, this.vmas, this.tables);
    this.rmap = new Rmap(
      this.core,
      this.folios,
      this.counts,
      this.anonVmas,
      this.tables,
      this.vmas.tree,
    );
    this.deferred = new DeferredSplits(this.core);
    this.swap = new Swap(this.core, this.folios, options.swapSlots);
    this.cache = new PageCache(this.core, this.folios);
    this.zap = new Zap(
      this.core,
      this.folios,
      this.counts,
      this.tables,
      this.deferred,
      this.swap,
      this.notifiers,
    );
    this.vmas.splitHuge = (vma, page) => {
      // A huge entry lies in one VMA whole (split_huge_pmd_if_needed).
      const first = page & -PMD_PAGES;
      const { tree } = this.vmas;
      if (first < tree.start(vma) || first + PMD_PAGES > tree.end(vma)) return;
      const pmds = this.tables.pmdTable(this.vmas.mm(vma), page);
      if (pmds !== 0) this.zap.splitPmd(this.vmas.mm(vma), this.counts.mmId(vma), pmds, page);
    };
    this.folios.unqueue = (folio, order) => void this.deferred.remove(folio, order);
  }
}
