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
import { ERRNO, MmError } from "../errors.js";
import { Machine } from "../machine.js";
import { layOut, type DeviceRequest, type MachineRequest, type Stretch } from "../machine-plan.js";
import { parseBytes, type Bytes, type Ref } from "../../units.js";
import { MEMCG_FAILCNT } from "../layout/generated/offsets.js";
import type { Words } from "../words/words.js";
import { oneOf, position, wholeNumber } from "./arguments.js";
import { stateBytes } from "./core.js";
import { KIND_DISK, KIND_TMPFS } from "./files.js";
import { OBJECTS } from "./objects.js";
import { OpenFile } from "./open-file.js";
import { Operations } from "./operations.js";
import { pageFacts, type PageFacts } from "./page-facts.js";
import { DEFAULT_POLICY, type Policy } from "./policy.js";
import { checkPolicy } from "./policy-check.js";
import { Process } from "./process.js";
import { Scattered } from "./scattered/scattered.js";
import { UserPages } from "./user-pages.js";

/** The machine and kernel that are wanted. Everything may be left out. */
export interface KernelRequest extends MachineRequest {
  /** Size of the swap device, `"64MiB"` or bytes; default none. */
  readonly swap?: string | number;
  /** Most 2 MiB pages that the hugetlb pool may ever have, 1 … 2^19; default 64. */
  readonly hugetlbRoom?: number;
  /** Settings under /sys/kernel/mm; what is left out is the default of 6.18. */
  readonly policy?: Partial<Policy>;
  /** Memory cgroups pay for the descriptors of their folios; default false. */
  readonly chargeDescriptors?: boolean;
}

/** What a memory cgroup counts: see `Kernel.memcg`. */
export interface MemcgFacts {
  /** Pages charged; those that CPUs charged ahead are not counted. */
  readonly usage: number;
  /** Limit in pages; 2^31 − 1 is none. */
  readonly max: number;
  /** Charges that met the limit, before memory was reclaimed for them. */
  readonly failures: number;
  /** Bytes of descriptors charged to it, with `chargeDescriptors`. */
  readonly descriptorBytes: number;
}

const HUGETLB_ROOM = 64;
const HUGETLB_ROOM_MAX = 2 ** 19;
const MEMCG_MAX_PAGES = 2 ** 31 - 1;
const FILE_KINDS = ["disk", "tmpfs"] as const;

/** A kernel that runs on a machine: processes, files, cgroups and scattered memory are made from it. */
export class Kernel extends Operations {
  /** Frames that were given to the allocator at boot. */
  readonly given: readonly Stretch[];
  /** What was asked of device memory. */
  readonly deviceRequest: DeviceRequest | undefined;
  #scattered: Scattered | null = null;

  /**
   * Boots a machine of that size in a design. Throws DesignError where the design
   * cannot have it, RangeError or TypeError for a request that is none.
   */
  static boot(asked: KernelRequest, design: Design, makeWords?: (size: Bytes) => Words): Kernel {
    checkPolicy(asked.policy ?? {});
    if (asked.hugetlbRoom !== undefined)
      wholeNumber("hugetlbRoom", asked.hugetlbRoom, 1, HUGETLB_ROOM_MAX);
    const { config, given, arrays } = layOut(asked, design);
    const swapSlots = Math.floor(sizeOf(asked.swap ?? 0) / 4096);
    const room = asked.hugetlbRoom ?? HUGETLB_ROOM;
    const bytes = stateBytes(asked.nodes ?? 1, config.cpus, swapSlots, room);
    const machine = Machine.boot(
      { ...config, objects: OBJECTS, stateBytes: bytes },
      design,
      makeWords,
    );
    for (const { start, end } of arrays) machine.reserveRange(start, end);
    for (const { start, end } of given) machine.giveRange(start, end);
    return new Kernel(machine, asked, given, swapSlots, bytes, room);
  }

  private constructor(
    machine: Machine,
    asked: KernelRequest,
    given: readonly Stretch[],
    swapSlots: number,
    bytes: number,
    room: number,
  ) {
    super(machine, {
      policy: { ...DEFAULT_POLICY, ...asked.policy },
      swapSlots,
      chargeDescriptors: asked.chargeDescriptors ?? false,
      hugetlbStack: (machine.state + (bytes - room * 4) / 16) as Ref,
      hugetlbRoom: room,
    });
    this.given = given;
    this.deviceRequest = asked.device;
  }

  /** A new process with nothing mapped, charged to `memcg`. Throws MmError (ENOMEM). */
  createProcess(memcg: Ref = 0 as Ref): Process {
    const mm = this.forks.create(memcg);
    if (mm === 0) throw new MmError(12, "create a process", "no memory for its mm_struct");
    return new Process(this, mm);
  }

  /**
   * A memory cgroup with a limit in pages, 0 … 2^31 − 1; no limit where left out.
   * Throws MmError (ENOMEM), RangeError.
   */
  createMemcg(maxPages: number = MEMCG_MAX_PAGES, parent: Ref = 0 as Ref): Ref {
    wholeNumber("a cgroup's limit", maxPages, 0, MEMCG_MAX_PAGES);
    wholeNumber("a cgroup's parent", parent, 0, MEMCG_MAX_PAGES);
    const memcg = this.base.memcgs.create(parent, maxPages);
    if (memcg === 0) throw new MmError(12, "create a memory cgroup", "no memory");
    return memcg;
  }

  /** memory.current, memory.max and what else a cgroup counts. */
  memcg(memcg: Ref): MemcgFacts {
    const { memcgs, w } = this.base;
    wholeNumber("a cgroup", memcg, 1, MEMCG_MAX_PAGES);
    return {
      usage: memcgs.usage(memcg),
      max: memcgs.max(memcg),
      failures: w.load32(memcg, MEMCG_FAILCNT),
      descriptorBytes: memcgs.descriptorBytes(memcg),
    };
  }

  /**
   * memory.max: a new limit in pages, 0 … 2^31 − 1; what is charged beyond it is
   * reclaimed as far as that goes. Gives back the pages charged then (simplified:
   * where they are still too many the kernel kills a process).
   */
  setMemcgMax(memcg: Ref, maxPages: number): number {
    const { memcgs, folios } = this.base;
    wholeNumber("a cgroup", memcg, 1, MEMCG_MAX_PAGES);
    memcgs.setMax(memcg, wholeNumber("a cgroup's limit", maxPages, 0, MEMCG_MAX_PAGES));
    for (let over = memcgs.usage(memcg) - maxPages; over > 0;) {
      if (!folios.reclaim(over, memcg)) break;
      over = memcgs.usage(memcg) - maxPages;
    }
    return memcgs.usage(memcg);
  }

  /**
   * A file of a disk or of memory (tmpfs) of `size` bytes (0 … 2^43), open. Throws
   * MmError (ENOMEM), RangeError.
   */
  createFile(kind: "disk" | "tmpfs", size = 0): OpenFile {
    oneOf("a file's kind", kind, FILE_KINDS);
    position("a file's size", size);
    const inode = this.files.create(kind === "disk" ? KIND_DISK : KIND_TMPFS, size);
    const file = inode === 0 ? (0 as Ref) : this.files.open(inode);
    if (file === 0) {
      if (inode !== 0) this.files.iput(inode);
      throw new MmError(12, "create a file", "no memory");
    }
    return new OpenFile(this, file, inode);
  }

  /** Everything that is known of a page frame. Throws RangeError for one that the machine does not have. */
  page(pfn: number): PageFacts {
    return pageFacts(this.base, pfn);
  }

  /**
   * unpin_user_page: lets one pin of a page go, whoever of the `UserPages` has it;
   * `dirty` marks it written first. Throws MmError (EINVAL) where nobody has it
   * pinned, RangeError for no frame.
   */
  unpinPage(pfn: number, dirty = false): void {
    this.#letGo(pfn, true, dirty);
  }

  /** put_page of a page that GUP gave without FOLL_PIN. Throws MmError (EINVAL), RangeError. */
  putPage(pfn: number, dirty = false): void {
    this.#letGo(pfn, false, dirty);
  }

  #letGo(pfn: number, pinned: boolean, dirty: boolean): void {
    wholeNumber("a frame", pfn, 0, this.machine.config.frames - 1);
    for (const holder of this.userPages) {
      if (!(holder instanceof UserPages) || holder.pinned !== pinned) continue;
      if (holder.releaseFrame(pfn, dirty)) return;
    }
    const asked = `${pinned ? "unpin" : "put"} frame ${pfn}`;
    const why = pinned ? "nobody has it pinned" : "nobody has it by GUP without FOLL_PIN";
    throw new MmError(ERRNO.EINVAL, asked, why);
  }

  /**
   * Gives back what is only kept for later: empty slabs of caches, per-CPU lists of
   * pages, charges that CPUs made ahead. Gives back the free pages, so that two calls
   * can be compared: they are equal where nothing is left behind. Page cache, swap
   * cache, the zero pages and the hugetlb pool are in use and stay.
   */
  settle(): number {
    const { machine, base } = this;
    base.memcgs.drainStocks();
    machine.caches.shrink();
    machine.allocator.drainAll();
    return machine.freeFrames();
  }

  /** vmalloc areas, lists of pages, kernel stacks, ring buffers: mapped, pinned, freed. */
  get scattered(): Scattered {
    this.#scattered ??= new Scattered(this);
    return this.#scattered;
  }

  /**
   * vm.nr_hugepages: asks for so many pages of 2 MiB in the pool, 0 … 2^19, and says
   * how many it has afterwards. Throws RangeError.
   */
  setHugePages(pages: number): number {
    wholeNumber("huge pages", pages, 0, HUGETLB_ROOM_MAX);
    return this.hugetlb.resize(pages);
  }

  /** Ends every process; files, cgroups and pools stay. */
  exitAll(): void {
    for (const process of this.processes.values()) process.exit();
  }
}

function sizeOf(size: string | number): number {
  const bytes = typeof size === "number" ? size : parseBytes(size);
  if (bytes === undefined || bytes < 0)
    throw new RangeError(`"${size}" is no size of a swap device`);
  return bytes;
}
