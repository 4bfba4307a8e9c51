/**
 * What a scenario runs on, how it is booted and read: the one file that knows
 * which class of the engine that is.
 */
import { KMEM_CACHE_NR_OBJECTS, PCP_COUNT } from "../engine/layout/generated/offsets.js";
import type { Design } from "../engine/design/presets.js";
import type { RuleViolation } from "../engine/errors.js";
import type { Machine } from "../engine/machine.js";
import { Devices } from "../engine/device/devices.js";
import { Kernel, type KernelRequest } from "../engine/process/kernel.js";
import { O_DEVICE_FOLIO, O_DEVICE_FOLIO_LARGE } from "../engine/process/objects.js";
import { PMD_PAGES } from "../engine/process/constants.js";
import { S_INODES, S_MM_IDS } from "../engine/process/core.js";
import { freeHugePages } from "../engine/sanitizer/process/pools.js";
import { deviceBlocks, inspectProcesses } from "../engine/sanitizer/process/sanitizer.js";
import type { HeldFolio } from "../engine/sanitizer/process/shape.js";
import { inspectMachine } from "../engine/sanitizer/sanitizer.js";
import { DENSE_LIMIT } from "../engine/words/plain.js";
import { SparseWords } from "../engine/words/sparse.js";
import { heldBlocks } from "./held.js";
import type { Stretch } from "../engine/machine-plan.js";
import { WatchedWords, type Tally } from "./watched-words.js";

/** A machine under a scenario, with what is needed to measure and check it. */
export interface Subject {
  readonly kernel: Kernel;
  /** Device memory; null where the machine has no room for any. */
  readonly devices: Devices | null;
  readonly machine: Machine;
  readonly words: WatchedWords;
  /** Frames that were given to the allocator at boot. */
  readonly given: readonly Stretch[];
  /** Objects of each descriptor cache that came and went since boot. */
  readonly tallies: readonly Tally[];
}

/** What is counted before and after a step. */
export interface Reading {
  /** Bytes of metadata by kind: reserved, whether in use or not. */
  readonly metadata: ReadonlyMap<string, number>;
  readonly freePages: number;
  /** Objects allocated and freed since boot, by cache. */
  readonly allocated: readonly number[];
  readonly freed: readonly number[];
}

/** Boots the machine that the scenario asks for. Throws DesignError where the design cannot have it. */
export function bootSubject(asked: KernelRequest, design: Design): Subject {
  let words: WatchedWords | null = null;
  // What describes a large device is runs of equal rows: kept as such where bytes would be too many.
  const kernel = Kernel.boot(
    asked,
    design,
    (size) => (words = new WatchedWords(size, size > DENSE_LIMIT ? new SparseWords() : undefined)),
  );
  const { machine, given } = kernel;
  const tallies = watchCaches(machine, words);
  const devices = machine.deviceArea === null ? null : Devices.attach(kernel);
  return { kernel, devices, machine, words: mustHave(words), given, tallies };
}

function mustHave(words: WatchedWords | null): WatchedWords {
  if (words === null) throw new Error("the machine booted without asking for words");
  return words;
}

function watchCaches(machine: Machine, words: WatchedWords | null): Tally[] {
  return machine.caches.specs.map((_, cache) =>
    mustHave(words).watch(machine.caches.cacheRef(cache), KMEM_CACHE_NR_OBJECTS),
  );
}

/** Reads the counters. Writes nothing. */
export function readingOf(subject: Subject): Reading {
  const { machine, tallies } = subject;
  const metadata = new Map<string, number>([["page array", machine.pageArrayBytes]]);
  if (machine.zoneTableBytes > 0) metadata.set("zone table", machine.zoneTableBytes);
  // Behind the caches of descriptors lie those of other kernel objects: no metadata of pages.
  for (const cache of machine.caches.usage().slice(0, machine.design.caches.length)) {
    const kind = `${cache.name} descriptors`;
    metadata.set(kind, (metadata.get(kind) ?? 0) + cache.slabs * machine.pageSize);
  }
  if (machine.deviceArea !== null) metadata.set("device records", deviceBytes(machine));
  return {
    metadata,
    freePages: freePages(machine),
    allocated: tallies.map((t) => t.up),
    freed: tallies.map((t) => t.down),
  };
}

/** What describes device memory: its records, and folios of its own. */
function deviceBytes(machine: Machine): number {
  const usage = machine.caches.usage().slice(machine.design.caches.length);
  const slabs = usage[O_DEVICE_FOLIO].slabs + usage[O_DEVICE_FOLIO_LARGE].slabs;
  return ((machine.deviceArea?.frames ?? 0) + slabs) * machine.pageSize;
}

function freePages(machine: Machine): number {
  let pages = 0;
  for (let zone = 0; zone < machine.config.zones.length; zone++) {
    pages += machine.buddy.freePages(zone);
    for (let cpu = 0; cpu < machine.config.cpus; cpu++) {
      pages += machine.w.load32(machine.allocator.pcpRef(zone, cpu), PCP_COUNT);
    }
  }
  return pages;
}

/** Every rule of the machine that does not hold now. */
export function brokenRules(subject: Subject): RuleViolation[] {
  const { kernel, machine, given } = subject;
  const held = heldBlocks(machine, given, freeHugePages(kernel));
  const broken = inspectMachine(machine, { given, held, described: deviceBlocks(kernel) });
  // A scenario that never had a process or a file holds its folios itself.
  if (!hasProcesses(kernel)) return broken;
  return [...broken, ...inspectProcesses(kernel, { folios: pinsOf(kernel), blocks: held })];
}

const hasProcesses = ({ base }: Kernel): boolean =>
  base.w.load32(base.core.state, S_MM_IDS) > 0 || base.w.load32(base.core.state, S_INODES) > 0;

/** The zero pages are neither counted nor pinned. */
const isCounted = ({ base: { core } }: Kernel, pfn: number): boolean =>
  !core.isZeroPage(pfn) && !core.isHugeZero(pfn & -PMD_PAGES);

/** What user pages hold that the words cannot explain. */
function pinsOf(kernel: Kernel): HeldFolio[] {
  return [...kernel.userPages].flatMap((pages) =>
    [...pages.pfns]
      .filter((pfn) => isCounted(kernel, pfn))
      .map((pfn) => ({
        pfn,
        refs: pages.pinned ? 0 : 1,
        pins: pages.pinned ? 1 : 0,
        who: `pages of process ${pages.pid} that a device has`,
      })),
  );
}
