/**
 * A kernel on a simulated machine: the front door of the process layer.
 *
 * `Kernel.boot` boots a machine with the caches that processes need and gives its
 * memory to the allocator. Processes, files and cgroups are made from it; what
 * they do is in the classes beside this one, all on the words of the same
 * machine. At this edge, and only here, a negative errno becomes an MmError and a
 * bad access a SignalError.
 */
import type { Design } from "../design/presets.js";
import { MmError } from "../errors.js";
import { Machine } from "../machine.js";
import { layOut, type MachineRequest, type Stretch } from "../machine-plan.js";
import { parseBytes, type Bytes, type Ref } from "../../units.js";
import { MIGRATE_UNMOVABLE } from "../pages/zones.js";
import type { Words } from "../words/words.js";
import { Base } from "./base.js";
import { Advice } from "./madvise.js";
import { Collapse } from "./collapse.js";
import { Compaction } from "./compaction.js";
import { CopyOnWrite } from "./cow.js";
import { stateBytes } from "./core.js";
import { Faults } from "./fault.js";
import { FileFaults } from "./file-fault.js";
import { Files, KIND_DISK, KIND_TMPFS } from "./files.js";
import { OpenFile } from "./open-file.js";
import { Forks } from "./fork.js";
import { Gup } from "./gup.js";
import { HugeFaults } from "./huge-fault.js";
import { Hugetlb } from "./hugetlb.js";
import { Ksm } from "./ksm.js";
import { Migration, type NewFolio } from "./migrate.js";
import { Mappings } from "./mmap.js";
import { Remap } from "./mremap.js";
import { OBJECTS } from "./objects.js";
import { DEFAULT_POLICY, type Policy } from "./policy.js";
import { Process } from "./process.js";
import { Reclaim } from "./reclaim.js";
import { Splits } from "./split.js";
import { SwapFaults } from "./swap-fault.js";
import { ThpPolicy } from "./thp-policy.js";
import { Unmap } from "./unmap.js";
import type { UserPages } from "./user-pages.js";

/** The machine and kernel that are wanted. Everything may be left out. */
export interface KernelRequest extends MachineRequest {
  /** Size of the swap device, `"64MiB"` or bytes; default none. */
  readonly swap?: string | number;
  /** Most 2 MiB pages that the hugetlb pool may ever have; default 64. */
  readonly hugetlbRoom?: number;
  /** Settings under /sys/kernel/mm; what is left out is the default of 6.18. */
  readonly policy?: Partial<Policy>;
  /** Memory cgroups pay for the descriptors of their folios. */
  readonly chargeDescriptors?: boolean;
}

const HUGETLB_ROOM = 64;

export class Kernel {
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
  /** Frames that were given to the allocator at boot. */
  readonly given: readonly Stretch[];
  /** Processes that have not ended, by number. */
  readonly processes = new Map<number, Process>();
  /** Pages of processes that somebody holds. */
  readonly userPages = new Set<UserPages>();
  #nextPid = 1;

  /**
   * Boots a machine of that size in a design. Throws DesignError where the design
   * cannot have it, RangeError for a swap size that is none.
   */
  static boot(asked: KernelRequest, design: Design, makeWords?: (size: Bytes) => Words): Kernel {
    return new Kernel(asked, design, makeWords);
  }

  private constructor(
    asked: KernelRequest,
    design: Design,
    makeWords: ((size: Bytes) => Words) | undefined,
  ) {
    const { config, given, arrays } = layOut(asked, design);
    const swapSlots = Math.floor(sizeOf(asked.swap ?? 0) / 4096);
    const room = asked.hugetlbRoom ?? HUGETLB_ROOM;
    const nodes = asked.nodes ?? 1;
    const state = stateBytes(nodes, config.cpus, swapSlots, room);
    this.machine = Machine.boot(
      { ...config, objects: OBJECTS, stateBytes: state },
      design,
      makeWords,
    );
    for (const { start, end } of arrays) this.machine.reserveRange(start, end);
    for (const { start, end } of given) this.machine.giveRange(start, end);
    this.given = given;
    const policy = { ...DEFAULT_POLICY, ...asked.policy };
    this.base = new Base(this.machine, {
      policy,
      swapSlots,
      chargeDescriptors: asked.chargeDescriptors ?? false,
    });
    const stack = (this.machine.state + (state - room * 4) / 16) as Ref;
    const thp = new ThpPolicy(policy);
    this.files = new Files(this.base);
    this.hugetlb = new Hugetlb(this.base, stack, room);
    this.mappings = new Mappings(this.base, this.files, this.hugetlb);
    const cow = new CopyOnWrite(this.base);
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
    this.files.splitFolio = (folio) => this.splits.split(folio, 0) === 0;
    this.migration = new Migration(this.base, this.unmap);
    this.gup.migrateForPin = (pfn) => this.migration.move(pfn, unmovable(this.machine)) === 0;
    this.compaction = new Compaction(this.base, this.migration);
    this.reclaim = new Reclaim(this.base, this.files, this.splits, this.unmap);
    this.collapse = new Collapse(this.base, this.faults);
    this.ksm = new Ksm(this.base, this.faults);
    this.advice = new Advice(
      this.base,
      this.faults,
      this.files,
      this.reclaim,
      this.splits,
      this.collapse,
      this.ksm,
    );
  }

  /** A new process with nothing mapped, charged to `memcg`. Throws MmError (ENOMEM). */
  createProcess(memcg: Ref = 0 as Ref): Process {
    const mm = this.forks.create(memcg);
    if (mm === 0) throw new MmError(12, "create a process", "no memory for its mm_struct");
    return this.adopt(mm);
  }

  /** Gives a forked or new address space its number. */
  adopt(mm: Ref): Process {
    const process = new Process(this, mm, this.#nextPid++);
    this.processes.set(process.pid, process);
    return process;
  }

  /** A memory cgroup with a limit in pages, 0 … 2^31 − 1. Throws MmError (ENOMEM). */
  createMemcg(maxPages?: number, parent: Ref = 0 as Ref): Ref {
    const memcg = this.base.memcgs.create(parent, maxPages);
    if (memcg === 0) throw new MmError(12, "create a memory cgroup", "no memory");
    return memcg;
  }

  /** A file of a disk or of memory (tmpfs) of `size` bytes, open. Throws MmError (ENOMEM). */
  createFile(kind: "disk" | "tmpfs", size = 0): OpenFile {
    const inode = this.files.create(kind === "disk" ? KIND_DISK : KIND_TMPFS, size);
    const file = inode === 0 ? (0 as Ref) : this.files.open(inode);
    if (file === 0) throw new MmError(12, "create a file", "no memory");
    return new OpenFile(this, file, inode);
  }

  /** vm.nr_hugepages: pages of 2 MiB that the pool has afterwards. */
  setHugePages(pages: number): number {
    return this.hugetlb.resize(pages);
  }

  /** Ends every process; files, cgroups and pools stay. */
  exitAll(): void {
    for (const process of [...this.processes.values()]) process.exit();
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

function sizeOf(size: string | number): number {
  const bytes = typeof size === "number" ? size : parseBytes(size);
  if (bytes === undefined || bytes < 0)
    throw new RangeError(`"${size}" is no size of a swap device`);
  return bytes;
}
