/**
 * What the tests of mutants and numbers share: a kernel with a device whose pages the
 * test chooses itself, several processes, and books that are kept beside the engine.
 */
import type { DeviceFault } from "../../../src/engine/device/device-fault.js";
import { Devices } from "../../../src/engine/device/devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../../../src/engine/device/kinds.js";
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  type MigrateVmaArgs,
} from "../../../src/engine/device/migrate-args.js";
import type { MutantName } from "../../../src/engine/device/mutants.js";
import type { DevPagemap, PagemapConfig } from "../../../src/engine/device/pagemap.js";
import { Provenance } from "../../../src/engine/device/provenance.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../../../src/engine/process/constants.js";
import { isDevicePrivate } from "../../../src/engine/process/entry.js";
import { Kernel, type KernelRequest } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import { walkTables } from "../../../src/engine/sanitizer/process/entries.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";

export const PAGE = 4096;
export const HUGE = 512;
const RW = PROT_READ | PROT_WRITE;

/** A kernel with room for devices, its numbers watched, perhaps with a known bug. */
export class Machine {
  readonly kernel: Kernel;
  readonly devices: Devices;
  readonly provenance: Provenance;

  constructor(design: string, mutant: MutantName | null = null, more: Partial<KernelRequest> = {}) {
    this.kernel = Kernel.boot(
      { memory: "16MiB", device: { private: "256MiB", span: "128MiB" }, ...more },
      parseDesign(design),
    );
    this.devices = Devices.attach(this.kernel);
    if (mutant !== null) this.devices.mutants.set(mutant);
    this.provenance = Provenance.watch(this.devices);
  }

  /** Private anonymous memory of a new process, each page with a byte of its own. */
  process(pages: number, huge = false): { process: Process; addr: number } {
    const process = this.kernel.createProcess();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const wide = process.mmap({ length: (pages + HUGE) * PAGE, prot: 0, flags });
    process.munmap(wide, (pages + HUGE) * PAGE);
    const addr = Math.ceil(wide / (HUGE * PAGE)) * HUGE * PAGE;
    process.mmap({ addr, length: pages * PAGE, prot: RW, flags: flags | MAP_FIXED });
    if (huge) process.madvise(addr, pages * PAGE, MADV_HUGEPAGE);
    return { process, addr };
  }

  /** Books that do not add up, by what they say; with what is mapped by whom. */
  books(): string[] {
    const { devices, kernel } = this;
    const { record, privates, zoneDevice, pagemaps } = devices;
    const wrong: string[] = [];
    const mapped = new Map<number, number>();
    for (const { mm } of kernel.processes.values())
      for (const { lo, hi, huge, there, vpn } of walkTables(devices.base, mm).entries) {
        if (there || !isDevicePrivate(lo, hi)) continue;
        const page = devices.numbers.find(lo, hi);
        if (page < 0 || zoneDevice.refcountOf(page) === 0) {
          wrong.push(`device entries lead to pages in service: page ${page} at ${vpn}`);
          continue;
        }
        const head = record.blockOf(page);
        mapped.set(head, (mapped.get(head) ?? 0) + 1);
        if (huge && head !== page) wrong.push(`a PMD maps a folio from its head: page ${page}`);
      }
    for (const map of pagemaps.maps.values()) {
      if (map.type !== MEMORY_DEVICE_PRIVATE) continue;
      for (let page = map.first; page < map.first + map.pages;) {
        if (zoneDevice.refcountOf(page) === 0) {
          page++;
          continue;
        }
        const folio = record.folioOf(page);
        const order = record.orderOf(page);
        if (order < 0 || order > 9 || record.blockOf(page) !== page) {
          wrong.push(`folios in service are whole: page ${page}`);
          page++;
          continue;
        }
        const n = mapped.get(page) ?? 0;
        const counts = privates.counts.total(folio, order);
        if (counts !== n)
          wrong.push(`map counts of device pages match the page tables: ${counts}, not ${n}`);
        const refs = privates.folios.refcount(folio);
        if (refs !== n) wrong.push(`references of device pages are explained: ${refs}, not ${n}`);
        if (privates.folios.nodeOf(folio) !== map.nid)
          wrong.push(`device pages are of a node that exists: ${privates.folios.nodeOf(folio)}`);
        page += 1 << order;
      }
    }
    return wrong;
  }

  /** Everything ends: what is left over, and what the sanitizer says of RAM. */
  end(): string[] {
    this.kernel.exitAll();
    const wrong = inspectKernel(this.kernel).map((v) => v.message);
    for (const map of this.devices.pagemaps.maps.values())
      if (map.inService > 0)
        wrong.push(`no page is left in service: ${map.inService} of ${map.name}`);
    return wrong;
  }
}

/** A device whose pages the test picks. */
export class Gpu {
  readonly machine: Machine;
  readonly map: DevPagemap;

  constructor(machine: Machine, pages: number, more: Partial<PagemapConfig> = {}) {
    this.machine = machine;
    this.map = machine.devices.mapPages({
      name: "gpu",
      type: MEMORY_DEVICE_PRIVATE,
      pages,
      owner: this,
      ops: { folioFree: () => {}, migrateToRam: (fault) => this.bringBack(fault) },
      ...more,
    });
  }

  #args(process: Process, start: number, pages: number): MigrateVmaArgs {
    const args = migrateArgs(pages);
    args.vma = this.machine.devices.vmaLookup(process.mm, start);
    args.start = start;
    args.end = start + pages;
    args.owner = this;
    return args;
  }

  /** Pages of a process from `addr` on go to the device's from `offset` on. How many went. */
  take(process: Process, addr: number, pages: number, offset: number): number {
    const { devices } = this.machine;
    const args = this.#args(process, addr / PAGE, pages);
    args.flags = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;
    devices.mmapReadLock(process.mm);
    const n = devices.migrateVma(args, (_from, i, order) =>
      devices.activate(this.map, offset + i, order),
    );
    devices.mmapReadUnlock(process.mm);
    return n;
  }

  /** migrate_to_ram */
  bringBack({ vma, vpn, page, huge }: DeviceFault): number {
    const pages = huge ? HUGE : 1;
    const args = migrateArgs(pages);
    args.vma = vma;
    args.start = vpn - (vpn % pages);
    args.end = args.start + pages;
    args.owner = this;
    args.faultPage = page;
    args.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE | (huge ? MIGRATE_VMA_SELECT_COMPOUND : 0);
    return this.machine.devices.bringBack(args);
  }

  /** Pages of its own go back to RAM without any process. Those that stay. */
  evict(offsets: readonly number[]): number {
    return this.machine.devices.transfers.evictPages(this.map, offsets, 1);
  }
}
