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
import type { Words } from "../words/words.js";
import { stateBytes } from "./core.js";
import { KIND_DISK, KIND_TMPFS } from "./files.js";
import { OBJECTS } from "./objects.js";
import { OpenFile } from "./open-file.js";
import { Operations } from "./operations.js";
import { DEFAULT_POLICY, type Policy } from "./policy.js";
import { Process } from "./process.js";
import { Scattered } from "./scattered/scattered.js";

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

export class Kernel extends Operations {
  /** Frames that were given to the allocator at boot. */
  readonly given: readonly Stretch[];
  #scattered: Scattered | null = null;

  /**
   * Boots a machine of that size in a design. Throws DesignError where the design
   * cannot have it, RangeError for a swap size that is none.
   */
  static boot(asked: KernelRequest, design: Design, makeWords?: (size: Bytes) => Words): Kernel {
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
  }

  /** A new process with nothing mapped, charged to `memcg`. Throws MmError (ENOMEM). */
  createProcess(memcg: Ref = 0 as Ref): Process {
    const mm = this.forks.create(memcg);
    if (mm === 0) throw new MmError(12, "create a process", "no memory for its mm_struct");
    return new Process(this, mm);
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
    if (file === 0) {
      if (inode !== 0) this.files.iput(inode);
      throw new MmError(12, "create a file", "no memory");
    }
    return new OpenFile(this, file, inode);
  }

  /** vmalloc areas, lists of pages, kernel stacks, ring buffers: mapped, pinned, freed. */
  get scattered(): Scattered {
    this.#scattered ??= new Scattered(this);
    return this.#scattered;
  }

  /** vm.nr_hugepages: pages of 2 MiB that the pool has afterwards. */
  setHugePages(pages: number): number {
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
