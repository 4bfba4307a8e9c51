/**
 * The engine as a subject: a machine in the `today` preset, processes and files
 * made anew for every program, operations as calls of `Process` and `OpenFile`.
 *
 * What the engine does not have (argument checks of the file system calls,
 * si_code) is done here as the kernel's system-call layer does it; everything
 * about memory is the engine's own answer. Operations in `LACKS` are not there
 * yet and left out of programs, which a run says.
 */
import { parseDesign } from "../src/engine/design/presets.js";
import { MmError, SignalError } from "../src/engine/errors.js";
import { Kernel } from "../src/engine/process/kernel.js";
import type { OpenFile } from "../src/engine/process/open-file.js";
import type { Policy, ThpChoice } from "../src/engine/process/policy.js";
import type { Process } from "../src/engine/process/process.js";
import { UserPages } from "../src/engine/process/user-pages.js";
import * as k from "./constants.js";
import { arenaOf, showEngine } from "./engine-view.js";
import { NO_RESULT, type Result } from "./observe.js";
import {
  ARENAS,
  FILES,
  DISK,
  HASH_START,
  HOLE,
  IO_BYTES,
  PAGE,
  PINS,
  fileByte,
  mix,
  type Op,
  type OpName,
  type OpOf,
} from "./program.js";
import { StateWriter } from "./state-writer.js";
import type { MachineConfig, StepSubject } from "./subject.js";

/** Operations that the engine does not offer. */
export const LACKS: ReadonlySet<OpName> = new Set(["msync", "mlock", "munlock", "directRead"]);

const MEMORY = "256MiB";
const ENOENT = 2;
const ESRCH = 3;
const EBADF = 9;
const EFAULT = 14;
const EBUSY = 16;
const EINVAL = 22;
const EOPNOTSUPP = 95;
/** io_uring's limit of one buffer. */
const MOST_PINNED = 2 ** 30;
/** si_code: nothing mapped, mapped but not so, no such page. */
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const BUS_ADRERR = 2;
const SIGNALS: Readonly<Record<string, number>> = { SIGBUS: 7, SIGKILL: 9, SIGSEGV: 11 };

/** A program under way. */
interface Running {
  readonly kernel: Kernel;
  readonly files: readonly OpenFile[];
  readonly processes: Map<number, Process>;
  readonly writer: StateWriter;
  /** Pins by process and slot. */
  readonly pins: Map<string, UserPages>;
}

export class EngineSubject implements StepSubject {
  readonly #config: MachineConfig;
  #running: Running | null = null;

  constructor(config: MachineConfig) {
    this.#config = config;
  }

  start(): void {
    const kernel = Kernel.boot(
      { memory: MEMORY, policy: policyOf(this.#config) },
      parseDesign("today"),
    );
    kernel.setHugePages(this.#config.hugetlbPages);
    const files = FILES.map(({ size }, number) => {
      const file = kernel.createFile(number === DISK ? "disk" : "tmpfs", 0);
      if (number === HOLE) file.truncate(size);
      // Page by page, as the executor does: each is a folio of its own.
      else
        for (let at = 0; at < size; at += PAGE)
          file.write(
            at,
            Uint8Array.from({ length: Math.min(PAGE, size - at) }, (_, i) =>
              fileByte(number, at + i),
            ),
          );
      return file;
    });
    const processes = new Map([[0, kernel.createProcess()]]);
    this.#running = { kernel, files, processes, writer: new StateWriter(), pins: new Map() };
  }

  step(op: Op): Result {
    const running = this.#now();
    const process = running.processes.get(op.process);
    // A fork that was refused leaves steps behind for a process that never was.
    if (process === undefined) return { ...NO_RESULT, error: ESRCH };
    const result = answer(running, process, op);
    if (result.error === 0) running.writer.forgetReplaced(op);
    return result;
  }

  observe(): Int32Array {
    const { kernel, files, processes, writer } = this.#now();
    return writer.write(showEngine(kernel, files, processes));
  }

  end(): void {
    this.#running = null;
  }

  #now(): Running {
    if (this.#running === null) throw new Error("no program was started");
    return this.#running;
  }
}

function answer(running: Running, process: Process, op: Op): Result {
  try {
    return { ...NO_RESULT, ...perform(running, process, op) };
  } catch (error) {
    if (error instanceof MmError) return { ...NO_RESULT, error: error.errno };
    throw error;
  }
}

function perform(running: Running, process: Process, op: Op): Partial<Result> {
  const { files, processes } = running;
  switch (op.op) {
    case "mmap":
      return { value: doMmap(process, files, op) / PAGE };
    case "munmap":
      process.munmap(unsigned(op.address), unsigned(op.length));
      return {};
    case "mprotect":
      process.mprotect(unsigned(op.address), unsigned(op.length), op.prot);
      return {};
    case "read":
    case "check":
    case "write":
      return touch(process, op);
    case "mremap":
      return { value: doMremap(process, op) / PAGE };
    case "madvise":
      process.madvise(unsigned(op.address), unsigned(op.length), op.advice);
      return {};
    case "pin":
      return pin(running.pins, process, op);
    case "unpin":
      return unpin(running.pins, op.process, op.slot);
    case "fork":
      processes.set(op.child, process.fork());
      return {};
    case "exit":
      for (let slot = 0; slot < PINS; slot++) unpin(running.pins, op.process, slot);
      process.exit();
      processes.delete(op.process);
      return {};
    case "pread":
    case "pwrite":
      return transfer(files, op);
    case "truncate":
      if (op.size < 0) return { error: EINVAL };
      files[op.file].truncate(op.size);
      return {};
    case "punch":
      return punch(files[op.file], op);
    default:
      throw new Error(`the engine has no ${op.op}`);
  }
}

/**
 * A number of the program as the unsigned long that the kernel sees. Near 2^64 a
 * number has no bits for single bytes: what is not a whole page stands in the
 * middle of its page, which is all that the kernel asks of it.
 */
function unsigned(value: number): number {
  if (value >= 0) return value;
  const page = Math.floor(value / PAGE) * PAGE;
  return 2 ** 64 + (page === value ? page : page + PAGE / 2);
}

function doMmap(process: Process, files: readonly OpenFile[], op: OpOf<"mmap">): number {
  const request = {
    addr: unsigned(op.address),
    length: unsigned(op.length),
    prot: op.prot,
    flags: op.flags,
    offset: unsigned(op.offset),
  };
  const file = files[op.file];
  const at = process.mmap(file === undefined ? request : { ...request, file });
  // As worker.c does: no readahead, and no marking as accessed when unmapped.
  if (op.file === DISK) process.madvise(at, request.length, k.MADV_RANDOM);
  return at;
}

/** What lands where the engine liked is brought to the landing place, as worker.c does. */
function doMremap(process: Process, op: OpOf<"mremap">): number {
  const [old, size] = [unsigned(op.length), unsigned(op.newLength)];
  const at = process.mremap(unsigned(op.address), old, size, op.flags, unsigned(op.newAddress));
  if (arenaOf(at / PAGE) !== undefined) return at;
  const bytes = Math.ceil(size / PAGE) * PAGE;
  const flags = k.MREMAP_MAYMOVE | k.MREMAP_FIXED;
  try {
    process.mremap(at, bytes, bytes, flags, ARENAS[2].start);
  } catch (error) {
    process.munmap(at, bytes);
    throw error;
  }
  return 0;
}

/** io_uring's registered buffers: the checks of io_buffer_validate, then a long-term pin. */
function pin(pins: Map<string, UserPages>, process: Process, op: OpOf<"pin">): Partial<Result> {
  const key = `${op.process} ${op.slot}`;
  if (pins.has(key)) return { error: EBUSY };
  if (op.length < 0) return { error: EINVAL };
  if (op.length === 0 || op.length > MOST_PINNED) return { error: EFAULT };
  pins.set(key, UserPages.register(process, op.address, op.length));
  return { value: 1 };
}

function unpin(pins: Map<string, UserPages>, process: number, slot: number): Partial<Result> {
  const key = `${process} ${slot}`;
  const pages = pins.get(key);
  if (pages === undefined) return { error: ENOENT };
  pages.release();
  pins.delete(key);
  return { value: 1 };
}

function touch(
  process: Process,
  op: OpOf<"read"> | OpOf<"check"> | OpOf<"write">,
): Partial<Result> {
  const first = op.address - (op.address % 4);
  let hash = HASH_START;
  for (let page = 0; page < op.pages; page++) {
    const at = first + page * PAGE;
    try {
      if (op.op === "write") process.write(at, bytesOf(op.value + page));
      else if (op.op === "read") hash = mixAll(hash, process.read(at, 4));
      else hash = mixAll(hash, process.read(at - (at % PAGE), PAGE));
    } catch (error) {
      if (!(error instanceof SignalError)) throw error;
      const signal = SIGNALS[error.signal] ?? -1;
      const value = op.op === "write" ? 0 : hash;
      return { signal, code: codeOf(process, error.signal, at), page, value };
    }
  }
  return { value: op.op === "write" ? 0 : hash };
}

/** si_code, which the engine does not tell: whether an area is there. */
function codeOf(process: Process, signal: string, at: number): number {
  if (signal === "SIGBUS") return BUS_ADRERR;
  const there = process.maps().some(({ start, end }) => at >= start && at < end);
  return there ? SEGV_ACCERR : SEGV_MAPERR;
}

function bytesOf(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

function mixAll(hash: number, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < bytes.length; i += 4) hash = mix(hash, view.getUint32(i, true));
  return hash;
}

/** pread and pwrite: the checks of ksys_pread64, then the engine. */
function transfer(files: readonly OpenFile[], op: OpOf<"pread"> | OpOf<"pwrite">): Partial<Result> {
  const file = files[op.file];
  if (file === undefined) return { error: EBADF };
  if (op.offset < 0) return { error: EINVAL };
  const length = Math.min(unsigned(op.length), IO_BYTES);
  if (op.op === "pwrite") {
    if (length > 0)
      file.write(
        op.offset,
        Uint8Array.from({ length }, (_, i) => op.value + i),
      );
    return { value: length };
  }
  const got = file.read(op.offset, length);
  const hash = got.reduce((all, byte) => mix(all, byte), HASH_START);
  return { value: got.length > 0 ? mix(hash, got.length) : 0 };
}

/** fallocate: the checks of vfs_fallocate, then the engine. */
function punch(file: OpenFile, op: OpOf<"punch">): Partial<Result> {
  if (op.offset < 0 || op.length <= 0) return { error: EINVAL };
  if (op.mode !== (k.FALLOC_KEEP_SIZE | k.FALLOC_PUNCH_HOLE)) return { error: EOPNOTSUPP };
  file.punchHole(op.offset, op.length);
  return {};
}

/** The engine's settings for what /sys/kernel/mm of the live kernel says. */
function policyOf(config: MachineConfig): Partial<Policy> {
  const thpOrders: Record<number, ThpChoice> = {};
  for (const [name, value] of config.thp) {
    const kib = /^hugepages-(\d+)kB\/enabled$/.exec(name)?.[1];
    if (kib !== undefined && isChoice(value)) thpOrders[Math.log2(Number(kib) / 4)] = value;
  }
  const enabled = config.thp.get("enabled");
  return {
    thp: enabled === "always" || enabled === "madvise" ? enabled : "never",
    thpOrders,
    useHugeZeroPage: config.thp.get("use_zero_page") === "1",
    faultAroundPages: Math.max(config.faultAroundBytes / PAGE, 1),
    readaheadPages: config.readaheadPages,
    largeFolios: config.largeFolios,
    fileFolioOrder: 0,
  };
}

function isChoice(value: string): value is ThpChoice {
  return ["always", "madvise", "inherit", "never"].includes(value);
}
