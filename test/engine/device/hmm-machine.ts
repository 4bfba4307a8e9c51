/**
 * What the tests of HMM share: a machine with a device, a driver of a few lines that
 * moves pages of a process to it and back, and who mirrors a stretch of a process.
 */
import assert from "node:assert/strict";
import { Devices } from "../../../src/engine/device/devices.js";
import type { DeviceFault } from "../../../src/engine/device/device-fault.js";
import type { Hmm, HmmRange } from "../../../src/engine/device/hmm/hmm.js";
import { HMM_PFN_REQ_FAULT, HMM_PFN_REQ_WRITE } from "../../../src/engine/device/hmm/hmm-pfn.js";
import { EBUSY, MEMORY_DEVICE_PRIVATE } from "../../../src/engine/device/kinds.js";
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  type MigrateVmaArgs,
} from "../../../src/engine/device/migrate-args.js";
import {
  flagsAt,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
} from "../../../src/engine/device/migrate-pfn.js";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { MM_MMAP_LOCK } from "../../../src/engine/layout/generated/offsets.js";
import {
  FAULT_OOM,
  FAULT_SIGBUS,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../../../src/engine/process/constants.js";
import { Kernel, type KernelRequest } from "../../../src/engine/process/kernel.js";
import { downRead, upRead } from "../../../src/engine/process/locks.js";
import { pmdAt, pteAt } from "../../../src/engine/process/page-tables.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { PlainWords } from "../../../src/engine/words/plain.js";
import type { Ref } from "../../../src/units.js";

export const PAGE = 4096;
export const HUGE = 512;

export const HMM_DESIGNS: readonly string[] = [
  "today",
  "device-offset",
  "device-tuple",
  "memdesc8+device-name=tuple+device-record=folio+activation=request",
];

/** Where a wait would be for ever, somebody else gets a turn. */
export class TurnWords extends PlainWords {
  turn: (() => void) | null = null;

  #take(): void {
    const { turn } = this;
    this.turn = null;
    turn?.();
  }

  override await32(ref: Ref, off: number, value: number): void {
    if (this.load32(ref, off) !== value) this.#take();
    super.await32(ref, off, value);
  }

  override awaitChange32(ref: Ref, off: number, value: number): void {
    if (this.load32(ref, off) === value) this.#take();
    super.awaitChange32(ref, off, value);
  }
}

/** A kernel with room for devices, and one process. */
export class Rig {
  readonly kernel: Kernel;
  readonly devices: Devices;
  readonly hmm: Hmm;
  readonly process: Process;
  readonly words: TurnWords;

  constructor(design: string, more: Partial<KernelRequest> = {}) {
    let words: TurnWords | undefined;
    this.kernel = Kernel.boot(
      { memory: "64MiB", device: { private: "256MiB", span: "128MiB" }, ...more },
      parseDesign(design),
      (size) => (words = new TurnWords(size)),
    );
    if (words === undefined) throw new Error("no words");
    this.words = words;
    this.devices = Devices.attach(this.kernel);
    this.hmm = this.devices.hmm;
    this.process = this.kernel.createProcess();
  }

  /** Private anonymous memory; `huge` at a multiple of 2 MiB, with MADV_HUGEPAGE. */
  map(pages: number, prot = PROT_READ | PROT_WRITE, huge = false): number {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (!huge) return this.process.mmap({ length: pages * PAGE, prot, flags });
    const wide = this.process.mmap({ length: (pages + HUGE) * PAGE, prot: 0, flags });
    this.process.munmap(wide, (pages + HUGE) * PAGE);
    const addr = Math.ceil(wide / (HUGE * PAGE)) * HUGE * PAGE;
    this.process.mmap({ addr, length: pages * PAGE, prot, flags: flags | MAP_FIXED });
    this.process.madvise(addr, pages * PAGE, MADV_HUGEPAGE);
    return addr;
  }

  /** Memory whose pages are written, each with its own byte. */
  written(pages: number, huge = false): number {
    const addr = this.map(pages, PROT_READ | PROT_WRITE, huge);
    for (let i = 0; i < pages; i++) this.write(addr + i * PAGE, i + 1);
    return addr;
  }

  write(addr: number, byte: number): void {
    this.process.write(addr, new Uint8Array([byte & 0xff]));
  }

  read(addr: number): number {
    return this.process.read(addr, 1)[0];
  }

  /** The frame that a page is mapped to. */
  frame(addr: number): number {
    return this.process.translate(addr / PAGE, false);
  }

  /** A PTE, both halves, and a way to change it behind everybody's back. */
  entry(addr: number): { lo: number; hi: number; set: (lo: number, hi: number) => void } {
    const { w, tables } = this.kernel.base;
    const table = tables.pteTable(this.process.mm, addr / PAGE);
    const lo = w.load64(table, pteAt(addr / PAGE));
    return { lo, hi: w.hi, set: (l, h) => w.store64(table, pteAt(addr / PAGE), l, h) };
  }

  pmdEntry(addr: number): { lo: number; hi: number; set: (lo: number, hi: number) => void } {
    const { w, tables } = this.kernel.base;
    const pmds = tables.pmdTable(this.process.mm, addr / PAGE);
    const lo = w.load64(pmds, pmdAt(addr / PAGE));
    return { lo, hi: w.hi, set: (l, h) => w.store64(pmds, pmdAt(addr / PAGE), l, h) };
  }

  locked(act: () => void): void {
    const { w } = this.kernel.base;
    downRead(w, this.process.mm, MM_MMAP_LOCK);
    act();
    upRead(w, this.process.mm, MM_MMAP_LOCK);
  }

  /** Nobody mirrors it any more. */
  readonly watched: Ref[] = [];

  /** The process ends; then nothing is wrong, no device has a page, and nothing was warned about. */
  expectClean(): void {
    for (const sub of this.watched) this.kernel.base.notifiers.remove(sub);
    this.watched.length = 0;
    if (this.process.alive) this.process.exit();
    for (const map of this.devices.pagemaps.maps.values()) assert.equal(map.inService, 0);
    assert.deepEqual(
      inspectKernel(this.kernel).map((v) => v.message),
      [],
    );
    assert.deepEqual(this.devices.zoneDevice.warnings, []);
  }
}

/** A device with private memory, and nothing else. */
export class TestDevice {
  readonly rig: Rig;
  readonly owner: object;
  readonly map: DevPagemap;
  /** Idle offsets, and idle offsets of whole PMDs. */
  readonly free: number[];
  readonly freeHuge: number[];
  /** CPU faults that it answered. */
  faults = 0;

  constructor(
    rig: Rig,
    name: string,
    more: { owner?: object; dmaAlias?: (page: number) => number } = {},
  ) {
    this.rig = rig;
    this.owner = more.owner ?? { name };
    this.free = Array.from({ length: HUGE }, (_, i) => HUGE - 1 - i);
    this.freeHuge = [2 * HUGE, HUGE];
    this.map = rig.devices.mapPages({
      name,
      type: MEMORY_DEVICE_PRIVATE,
      pages: 3 * HUGE,
      owner: this.owner,
      ops: {
        folioFree: (page, order) => this.#freed(page, order),
        migrateToRam: (fault) => this.#toRam(fault),
        ...(more.dmaAlias === undefined ? {} : { dmaAlias: more.dmaAlias }),
      },
    });
  }

  #freed(page: number, order: number): void {
    const offset = this.map.offsetOf(page);
    if (order > 0) this.freeHuge.push(offset);
    else if (offset < HUGE) this.free.push(offset);
  }

  #args(start: number, pages: number): MigrateVmaArgs {
    const args = migrateArgs(pages);
    args.vma = this.rig.kernel.base.vmas.tree.lookup(this.rig.process.mm, start);
    args.start = start;
    args.end = start + pages;
    args.owner = this.owner;
    return args;
  }

  /** Setup, up to the point where every page is locked and stands behind a migration entry. */
  begin(addr: number, pages: number): MigrateVmaArgs {
    const { devices } = this.rig;
    const args = this.#args(addr / PAGE, pages);
    args.flags = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;
    assert.equal(devices.migrate.setup(args), 0);
    for (let i = 0; i < args.npages; i++) {
      const flags = flagsAt(args.src, i);
      if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
      const order = (flags & MIGRATE_PFN_COMPOUND) !== 0 ? 9 : 0;
      const offset = (order > 0 ? this.freeHuge : this.free).pop();
      if (offset === undefined) throw new Error("the device is full");
      const page = devices.activate(this.map, offset, order);
      assert.ok(page > 0);
      const from = devices.pfns.page(args.src, i);
      if (from >= 0) devices.copy(from, page, 1 << order);
      devices.pfns.set(args.dst, i, page, flags & MIGRATE_PFN_COMPOUND);
    }
    return args;
  }

  end(args: MigrateVmaArgs): void {
    this.rig.devices.migrate.pages(args);
    this.rig.devices.migrate.finalize(args);
  }

  /** Pages of the process go to the device; how many did. */
  take(addr: number, pages: number): number {
    const before = this.map.inService;
    this.rig.locked(() => this.end(this.begin(addr, pages)));
    return this.map.inService - before;
  }

  #toRam({ vma, vpn, page, huge }: DeviceFault): number {
    const { devices } = this.rig;
    this.faults++;
    const args = this.#args(huge ? vpn - (vpn % HUGE) : vpn, huge ? HUGE : 1);
    args.vma = vma;
    args.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE | MIGRATE_VMA_SELECT_COMPOUND;
    args.faultPage = page;
    if (devices.migrate.setup(args) !== 0) return FAULT_SIGBUS;
    for (let i = 0; i < args.npages; i++) {
      const flags = flagsAt(args.src, i);
      if ((flags & MIGRATE_PFN_MIGRATE) === 0) continue;
      const order = (flags & MIGRATE_PFN_COMPOUND) !== 0 ? 9 : 0;
      const to = devices.allocSystem(order);
      if (to < 0) return FAULT_OOM;
      devices.copy(devices.pfns.page(args.src, i), to, 1 << order);
      devices.pfns.set(args.dst, i, to, flags & MIGRATE_PFN_COMPOUND);
    }
    this.end(args);
    return 0;
  }
}

/** What is asked of a stretch. */
export interface Asked {
  readonly write?: boolean;
  readonly owner?: object | null;
  readonly allowP2p?: boolean;
}

/** Who mirrors pages of the rig's process from an address on. */
export class Watcher {
  readonly rig: Rig;
  readonly addr: number;
  readonly pages: number;
  readonly range: HmmRange;
  /** Calls that said that something had changed. */
  busy = 0;

  constructor(rig: Rig, addr: number, pages: number) {
    this.rig = rig;
    this.addr = addr;
    this.pages = pages;
    const { notifiers } = rig.kernel.base;
    const { mm } = rig.process;
    const notifier = notifiers.insert(mm, addr / PAGE, pages, {
      invalidate(_range, seq, sub) {
        notifiers.setSeq(sub, seq);
        return true;
      },
    });
    rig.watched.push(notifier);
    this.range = {
      mm,
      notifier,
      notifierSeq: 0,
      start: addr / PAGE,
      end: addr / PAGE + pages,
      pfns: new Int32Array(pages * 2),
      defaultFlags: 0,
      pfnFlagsMask: 0,
      owner: null,
    };
  }

  get pfns(): Int32Array {
    return this.range.pfns;
  }

  /** One look without asking for anything: the result. */
  look(asked: Asked = {}): number {
    return this.#call(0, asked);
  }

  /** Asked for all of it, again for as long as something changes meanwhile. */
  fault(asked: Asked = {}): number {
    return this.#call(HMM_PFN_REQ_FAULT | (asked.write === true ? HMM_PFN_REQ_WRITE : 0), asked);
  }

  #call(flags: number, { owner = null, allowP2p }: Asked): number {
    const { range } = this;
    range.defaultFlags = flags;
    range.pfnFlagsMask = 0;
    range.owner = owner;
    if (allowP2p === undefined) delete range.allowP2p;
    else range.allowP2p = allowP2p;
    return this.again();
  }

  /** The call as it is set up. */
  again(): number {
    const { hmm, kernel } = this.rig;
    for (let tries = 0; tries < 64; tries++) {
      this.range.notifierSeq = kernel.base.notifiers.readBegin(this.range.notifier);
      const result = hmm.hmmRangeFaultLocking(this.range);
      if (result !== EBUSY) return result;
      this.busy++;
    }
    return EBUSY;
  }

  /** Flags of page `i`. */
  flags(i: number): number {
    return this.rig.hmm.pfns.flags(this.pfns, i);
  }

  page(i: number): number {
    return this.rig.hmm.page(this.pfns, i);
  }

  /** Both halves of page `i`. */
  entry(i: number): [number, number] {
    return [this.pfns[i * 2], this.pfns[i * 2 + 1]];
  }
}
