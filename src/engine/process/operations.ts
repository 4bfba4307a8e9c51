/**
 * All operations of memory management on one machine, made once and in the order
 * in which they need each other.
 *
 * It also knows who lives on it: processes and holders of their pages, by number
 * and name only, so that what they hold can be accounted for.
 */
import type { Machine } from "../machine.js";
import type { Ref } from "../../units.js";
import { MIGRATE_UNMOVABLE } from "../pages/zones.js";
import { Advice } from "./madvise.js";
import { Base } from "./base.js";
import { Collapse } from "./collapse.js";
import { Compaction } from "./compaction.js";
import { CopyOnWrite } from "./cow.js";
import { Faults } from "./fault.js";
import { FileFaults } from "./file-fault.js";
import { Files } from "./files.js";
import { Forks } from "./fork.js";
import { Gup } from "./gup.js";
import { HugeFaults } from "./huge-fault.js";
import { Hugetlb } from "./hugetlb.js";
import { Ksm } from "./ksm.js";
import { Mappings } from "./mmap.js";
import { Migration, type NewFolio } from "./migrate.js";
import type { Policy } from "./policy.js";
import { Reclaim } from "./reclaim.js";
import { Remap } from "./mremap.js";
import { Splits } from "./split.js";
import { SwapFaults } from "./swap-fault.js";
import { ThpPolicy } from "./thp-policy.js";
import { Truncation } from "./truncate.js";
import { Unmap } from "./unmap.js";
import { UserFaults } from "./user-faults.js";

/** A process, as the kernel's books know it. */
export interface Living {
  readonly pid: number;
  readonly mm: Ref;
  exit(): void;
}

/** Somebody who holds pages of a process. */
export interface Holder {
  /** Frames held, once for each time they are named. */
  readonly pfns: Int32Array;
  readonly pinned: boolean;
  /** Process whose pages they were. */
  readonly pid: number;
}

export interface OperationsOptions {
  readonly policy: Policy;
  readonly swapSlots: number;
  readonly chargeDescriptors: boolean;
  /** Words of the hugetlb pool's stack, and blocks that it has room for. */
  readonly hugetlbStack: Ref;
  readonly hugetlbRoom: number;
}

export class Operations {
  readonly machine: Machine;
  readonly base: Base;
  readonly files: Files;
  readonly hugetlb: Hugetlb;
  readonly mappings: Mappings;
  readonly faults: Faults;
  readonly forks: Forks;
  readonly gup: Gup;
  readonly remap: Remap;
  readonly unmap: Unmap;
  readonly splits: Splits;
  readonly migration: Migration;
  readonly compaction: Compaction;
  readonly reclaim: Reclaim;
  readonly collapse: Collapse;
  readonly ksm: Ksm;
  readonly advice: Advice;
  readonly userFaults: UserFaults;
  /** Processes that have not ended, by number. */
  readonly processes = new Map<number, Living>();
  /** Pages of processes that somebody holds. */
  readonly userPages = new Set<Holder>();
  #nextPid = 1;

  constructor(machine: Machine, options: OperationsOptions) {
    this.machine = machine;
    this.base = new Base(machine, options);
    const thp = new ThpPolicy(options.policy);
    this.files = new Files(this.base);
    this.files.disown = (mapping) => this.#disown(mapping);
    this.hugetlb = new Hugetlb(this.base, this.files, options.hugetlbStack, options.hugetlbRoom);
    this.mappings = new Mappings(this.base, this.files, this.hugetlb);
    const cow = new CopyOnWrite(this.base, this.files);
    this.faults = new Faults(
      this.base,
      cow,
      new FileFaults(this.base, this.files),
      new HugeFaults(this.base, thp),
      this.hugetlb,
      new SwapFaults(this.base, cow),
      thp,
    );
    this.forks = new Forks(this.base, this.mappings);
    this.gup = new Gup(this.base, this.faults, this.files);
    this.remap = new Remap(this.base, this.mappings);
    this.unmap = new Unmap(this.base);
    this.splits = new Splits(this.base, this.unmap);
    const truncation = new Truncation(this.files);
    truncation.splitFolio = (folio) => this.splits.split(folio, 0) === 0;
    this.migration = new Migration(this.base, this.unmap);
    this.gup.migrateForPin = (pfn) => this.migration.move(pfn, unmovable(this.machine)) === 0;
    this.compaction = new Compaction(this.base, this.migration);
    this.reclaim = new Reclaim(this.base, this.files, this.splits, this.unmap);
    this.collapse = new Collapse(this.base, this.faults);
    this.ksm = new Ksm(this.base, this.faults);
    this.advice = new Advice(
      this.base,
      this.faults,
      this.gup,
      this.files,
      this.reclaim,
      this.splits,
      this.collapse,
      this.ksm,
    );
    this.userFaults = new UserFaults(this.base);
    this.faults.onRetry = (mm, vpn, write) => this.userFaults.retry(mm, vpn, write);
    this.remap.populate = (mm, start, end) => this.advice.populateNew(mm, start, end);
  }

  /** A device's pages that are held outlive its file: they are of no file then, as if truncated. */
  #disown(mapping: Ref): void {
    const { folios } = this.base;
    for (const { pfns } of this.userPages)
      for (const pfn of pfns) {
        const folio = folios.ofPage(pfn);
        if (folio !== 0 && folios.mapping(folio) === mapping) folios.setMapping(folio, 0 as Ref, 0);
      }
  }

  /** Number of the next process. */
  nextPid(): number {
    return this.#nextPid++;
  }
}

/** Destinations outside of ZONE_MOVABLE: unmovable memory never lies there. */
const unmovable =
  (machine: Machine): NewFolio =>
  (order, type) => {
    const pfn = machine.allocator.alloc(order, MIGRATE_UNMOVABLE);
    if (pfn < 0 || machine.adoptFolio(pfn, order, type)) return pfn;
    machine.allocator.free(pfn, order);
    return -12;
  };
