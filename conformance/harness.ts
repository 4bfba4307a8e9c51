/**
 * The machine that cases run on: one kernel of a design, with the test's four mirror
 * devices, and what must hold after every case.
 *
 * Devices 0 and 1 are private, 2 and 3 coherent, in ranges behind the RAM. A device
 * is made when it is first opened and taken away after the case, as the module is
 * loaded and unloaded around a run; its memory comes in chunks of 16 MiB where the
 * kernel's are of 256 (smaller machines, more chunks); a coherent device has one, of
 * single pages, as in the kernel.
 *
 * After a case every rule of the sanitizer is looked at, with what the test has still
 * mapped, on its devices and in their tables; then all is closed and ended, and there must be as many
 * free pages as before and no warning of a page map. Nothing is left out of that
 * count: the zero pages, which stay, are there from the start. What is
 * left when the last case is done is looked at by all rules once more.
 *
 * A kernel on which a case failed is not used again.
 */
import { Devices } from "../src/engine/device/devices.js";
import type { Design } from "../src/engine/design/presets.js";
import { MISC_UNKNOWN, T_MISC } from "../src/engine/design/word/axis-types.js";
import { Mirror } from "../src/engine/drivers/mirror/mirror.js";
import { TAG_READ } from "../src/engine/drivers/mirror/mirror-table.js";
import { MirrorDevice } from "../src/engine/drivers/mirror/mirror-device.js";
import { MADV_HUGEPAGE } from "../src/engine/process/constants.js";
import { Kernel } from "../src/engine/process/kernel.js";
import type { OpenFile } from "../src/engine/process/open-file.js";
import type { Process } from "../src/engine/process/process.js";
import { ALL_PAGES } from "../src/engine/process/notifier/events.js";
import { watchDevices } from "../src/engine/sanitizer/device/sanitizer.js";
import { inspectKernel, watchKernel } from "../src/engine/sanitizer/process/sanitizer.js";
import type { HeldMirror } from "../src/engine/sanitizer/process/shape.js";
import type { HeldBlock } from "../src/engine/sanitizer/view.js";
import type { Case, Variant } from "./cases/case.js";
import { FIXTURES } from "./cases/case.js";
import { PAGE_SIZE } from "../src/units.js";
import { PMD_SIZE, PRIVATE_ANON, RW, Test, type Bench } from "./testing.js";

/** Pages of a chunk: 16 MiB, and the kernel's 256 where more is moved at once. */
const SMALL_CHUNK = 4096;
const KERNEL_CHUNK = 65536;
const MIB = 2 ** 20;
/** Physical ranges of private devices begin on multiples of it. */
const SECTION = 128 * MIB;
/** Largest size of the benchmark, in PMDs, that a small machine does. */
const SMALL = 8;
/** Host buffers of pages that are kept: what a case writes, twice over. */
const SPARE = 4096;
/** Violations that are told of one case. */
const TOLD = 3;

export interface RigOptions {
  /** Largest size of the benchmark, in PMDs. */
  readonly largest: number;
  /** Seed of what cases draw by lot. */
  readonly seed: number;
  /** Milliseconds of a clock. */
  readonly now: () => number;
}

export interface CaseResult {
  readonly name: string;
  readonly variant: Variant;
  /** What does not hold; null where all does. */
  readonly failure: string | null;
  /** Why the case cannot be represented on the design; null where it was run. */
  readonly cannot: string | null;
  readonly ms: number;
  readonly notes: readonly string[];
}

/** Something that must hold after every case and does not. */
class Broken extends Error {
  override readonly name = "Broken";
}

/** RAM for a benchmark of that size: its buffer, the same on the device, and room to work. */
const memoryFor = (pmds: number): number =>
  pmds <= SMALL ? 64 * MIB : (pmds * PMD_SIZE * 5) / 2 + 128 * MIB;

/** What a device has in its table of a process. */
function believed(mirror: Mirror): HeldMirror {
  const entries: { vpn: number; page: number; write: boolean }[] = [];
  mirror.table.forEach(0, ALL_PAGES, (vpn, page, tag) =>
    entries.push({ vpn, page, write: tag !== TAG_READ }),
  );
  return { mm: mirror.mm, entries, who: mirror.device.name };
}

export class Rig implements Bench {
  readonly kernel: Kernel;
  readonly devices: Devices;
  readonly largest: number;
  readonly notes: string[] = [];
  readonly #options: RigOptions;
  readonly #chunkPages: number;
  readonly #made = new Map<number, MirrorDevice>();
  #opened = new Set<Mirror>();
  #files: OpenFile[] = [];
  /** A case failed on it. */
  broken = false;

  /** Boots the machine of a design. */
  constructor(design: Design, options: RigOptions) {
    this.#options = options;
    this.largest = options.largest;
    this.#chunkPages = options.largest <= SMALL ? SMALL_CHUNK : KERNEL_CHUNK;
    // Two private devices, each with a chunk of either kind and one more; two coherent ones.
    const chunk = this.#chunkPages * PAGE_SIZE;
    this.kernel = Kernel.boot(
      {
        memory: memoryFor(options.largest),
        device: { private: 6 * Math.max(chunk, SECTION), span: 2 * Math.max(chunk, SECTION / 2) },
      },
      design,
    );
    this.devices = Devices.attach(this.kernel);
    watchKernel(this.kernel);
    watchDevices(this.devices.entries);
    this.kernel.base.core.content.spare = SPARE;
    this.#warm();
  }

  /** The zero pages, which a kernel keeps from their first use on. */
  #warm(): void {
    const process = this.kernel.createProcess();
    const addr = process.mmap({ length: 2 * PMD_SIZE, prot: RW, flags: PRIVATE_ANON });
    process.read(addr, 1);
    process.madvise(addr, 2 * PMD_SIZE, MADV_HUGEPAGE);
    process.read(Math.ceil((addr + 1) / PMD_SIZE) * PMD_SIZE, 1);
    process.exit();
  }

  now(): number {
    return this.#options.now();
  }

  #device(id: number): MirrorDevice {
    let device = this.#made.get(id);
    if (device === undefined) {
      const isPrivate = id < 2;
      const pages = this.#chunkPages;
      const start = this.kernel.machine.deviceFirst + (id - 2) * pages;
      device = new MirrorDevice(this.devices, {
        id,
        kind: isPrivate ? "private" : "coherent",
        chunkPages: pages,
        ...(isPrivate ? {} : { range: { start, pages } }),
      });
      this.#made.set(id, device);
    }
    return device;
  }

  open(id: number, process: Process): Mirror {
    const mirror = new Mirror(this.#device(id), process);
    this.#opened.add(mirror);
    return mirror;
  }

  close(mirror: Mirror): void {
    if (this.#opened.delete(mirror)) mirror.close();
  }

  tmpfile(size: number): OpenFile {
    const file = this.kernel.createFile("disk", size);
    file.unlink();
    this.#files.push(file);
    return file;
  }

  /** Runs one case in one variant. */
  run(what: Case, variant: Variant): CaseResult {
    const began = this.now();
    const failure = this.#failureOf(what, variant);
    this.broken = failure !== null;
    const notes = this.notes.splice(0);
    return { name: what.name, variant, failure, cannot: null, ms: this.now() - began, notes };
  }

  #failureOf(what: Case, variant: Variant): string | null {
    let test: Test | null = null;
    try {
      const before = this.kernel.settle();
      test = this.#begin(what, variant);
      what.run(test);
      this.#inspect("at its end");
      this.#finish(test);
      this.#left(before);
      return null;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const at =
        test === null || test.at === "" || error.name === "CaseFailure" ? "" : ` ("${test.at}")`;
      const kind = error.name === "CaseFailure" || error.name === "Broken" ? "" : `${error.name}: `;
      const stack = process.env["MEMDESC_DEBUG"] === "1" ? `\n${error.stack}` : "";
      return `${kind}${error.message}${at}${stack}`;
    }
  }

  /** FIXTURE_SETUP */
  #begin(what: Case, variant: Variant): Test {
    if (what.hugePages !== undefined && what.hugePages > 0)
      this.kernel.setHugePages(what.hugePages);
    const process = this.kernel.createProcess();
    const numbers = FIXTURES[what.fixture][variant];
    const fds = numbers.map((n) => this.open(n, process));
    const isPrivate = variant === "device_private";
    return new Test(this, process, { numbers, fds }, isPrivate, this.#options.seed);
  }

  /** FIXTURE_TEARDOWN, the end of the process, unloading the module. */
  #finish(test: Test): void {
    test.freeAll();
    for (const fd of test.fds) this.close(fd);
    test.exit();
    for (const mirror of this.#opened) this.close(mirror);
    for (const file of this.#files.splice(0)) file.close();
    for (const device of this.#made.values()) device.removeChunks();
    this.#made.clear();
    this.kernel.setHugePages(0);
  }

  /** After the last case: what does not hold of a machine on which all has ended; null where all does. */
  end(): string | null {
    try {
      this.#inspect("after all has ended");
      return null;
    } catch (error) {
      if (error instanceof Broken) return error.message;
      throw error;
    }
  }

  /** Every rule of the sanitizer. */
  #inspect(when: string): void {
    const broken = inspectKernel(this.kernel, {
      blocks: this.#backing(),
      mirrors: [...this.#opened].map((mirror) => believed(mirror)),
    });
    if (broken.length === 0) return;
    const told = broken.slice(0, TOLD).map((v) => v.message);
    const more = broken.length > TOLD ? [`and ${broken.length - TOLD} more`] : [];
    throw new Broken(`rules are broken ${when}: ${[...told, ...more].join("; ")}`);
  }

  /** What private devices keep in RAM. */
  *#backing(): Generator<HeldBlock> {
    for (const device of this.#made.values())
      for (const [pfn, order] of device.backing.blocks)
        yield { pfn, order, type: T_MISC, subtype: MISC_UNKNOWN, refs: 0 };
  }

  /** Nothing of the case is left. */
  #left(before: number): void {
    const after = this.kernel.settle();
    if (after !== before) {
      // Where a rule knows more, it says so.
      this.#inspect("after all has ended");
      throw new Broken(`${before - after} pages are not free that were before the case`);
    }
    const { warnings } = this.devices.zoneDevice;
    if (warnings.length > 0) throw new Broken(`the kernel warned: ${warnings[0]}`);
    if (this.kernel.processes.size > 0)
      throw new Broken(`${this.kernel.processes.size} processes are left`);
  }
}
