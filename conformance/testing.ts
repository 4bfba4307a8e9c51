/**
 * What a case is written with: a process of its own, the mirror devices that its
 * fixture opened, buffers, system calls that answer with an errno, and checks that
 * say which line of the text does not hold.
 *
 * Names are those of the self-tests: a buffer has `ptr`, `mirror`, `cpages`,
 * `faults`; `init i` fills it with the numbers of its integers. A process reads and
 * writes whole pages at once where the test goes through its integers one by one;
 * every page is touched in the same order.
 *
 * Facts: device-facts §4.2.
 */
import { errnoName, MmError } from "../src/engine/errors.js";
import type { Devices } from "../src/engine/device/devices.js";
import type { Answer, Mirror } from "../src/engine/drivers/mirror/mirror.js";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../src/engine/process/constants.js";
import type { Kernel } from "../src/engine/process/kernel.js";
import type { OpenFile } from "../src/engine/process/open-file.js";
import type { Process } from "../src/engine/process/process.js";
import { PAGE_SIZE } from "../src/units.js";

export const RW = PROT_READ | PROT_WRITE;
export const PRIVATE_ANON = MAP_PRIVATE | MAP_ANONYMOUS;
/** HMM_BUFFER_SIZE: 4 MiB. */
export const HMM_BUFFER_SIZE = 1024 * PAGE_SIZE;
export const TWOMEG = 2 * 2 ** 20;
/** Bytes of a PMD: what the tests ask of /sys. */
export const PMD_SIZE = 512 * PAGE_SIZE;
export const NTIMES = 10;
/** Integers of a page. */
export const INTS = PAGE_SIZE / 4;
/** Integers that are read and compared at a time. */
const PART = 16 * INTS;

/** A line of the text that does not hold. */
export class CaseFailure extends Error {
  override readonly name = "CaseFailure";
  readonly line: string;

  constructor(line: string, what: string) {
    super(line === "" ? what : `"${line}": ${what}`);
    this.line = line;
  }
}

/** A buffer of the test, and what its device last said of it. */
export interface HmmBuffer {
  ptr: number;
  readonly npages: number;
  /** What was mapped for it, and goes with it: more than it uses where it must be aligned. */
  mapped: { readonly addr: number; readonly length: number } | null;
  /**
   * The test's copy of what the device sees; commands write it only where they
   * succeed. It is replaced, never changed, so that a fork's copy is the same array.
   */
  mirror: Int32Array;
  cpages: number;
  faults: number;
}

/** What a process that ended said. */
export type Ended = { readonly status: number } | { readonly signal: number };

/** An answer in words: `0`, `−ENOENT`. */
export const answerName = (n: number): string => (n < 0 ? `−${errnoName(n)}` : String(n));

/** Integers that were made already, and none of whose users changes them. */
let numbers = new Int32Array(0);
let negatives = new Int32Array(0);
const zeroes = new Int32Array(HMM_BUFFER_SIZE / 4);

/** `ptr[i] = i + first` for so many bytes; not to be changed. */
export function counting(bytes: number, first = 0): Int32Array {
  const end = first + bytes / 4;
  if (numbers.length < end) numbers = Int32Array.from({ length: end * 2 }, (_, i) => i);
  return numbers.subarray(first, end);
}

/** `mirror[i] = −i`; not to be changed. */
export function negated(bytes: number): Int32Array {
  const end = bytes / 4;
  if (negatives.length < end) negatives = Int32Array.from({ length: end }, (_, i) => -i);
  return negatives.subarray(0, end);
}

export const bytesOf = (ints: Int32Array): Uint8Array =>
  new Uint8Array(ints.buffer, ints.byteOffset, ints.byteLength);
/** Whether two stretches are the same, at the speed of memory. */
const same = (a: Int32Array, b: Int32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );
const intsOf = (bytes: Uint8Array): Int32Array =>
  new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

/** What makes a test: the machine it runs on, and which device a number opens. */
export interface Bench {
  readonly kernel: Kernel;
  readonly devices: Devices;
  /** Opens /dev/hmm_dmirrorN in a process. */
  open(device: number, process: Process): Mirror;
  /** close of what was opened; nothing where it was closed before. */
  close(mirror: Mirror): void;
  /** An open file without a name, closed at the end. */
  tmpfile(size: number): OpenFile;
  /** Milliseconds of a clock, for what measures. */
  now(): number;
  /** Largest size of the benchmark, in PMDs. */
  readonly largest: number;
  /** What a test prints. */
  readonly notes: string[];
}

/** A process of a test: the test's own, or a child's. */
export class Test {
  readonly bench: Bench;
  readonly kernel: Kernel;
  readonly process: Process;
  /** Numbers of the fixture's devices. */
  readonly numbers: readonly number[];
  /** What the fixture opened, of the process that opened it. */
  readonly fds: readonly Mirror[];
  /** Whether the variant is the one of device-private memory. */
  readonly isPrivate: boolean;
  /** Seed of what the test draws by lot. */
  readonly seed: number;
  readonly #opened: Mirror[] = [];
  /** What is mapped for buffers: gone at the end. */
  readonly #buffers: HmmBuffer[] = [];
  #line = "";
  #ended: Ended | null = null;
  /** Why a child's own checks failed. */
  #why = "";

  constructor(
    bench: Bench,
    process: Process,
    fixture: { readonly numbers: readonly number[]; readonly fds: readonly Mirror[] },
    isPrivate: boolean,
    seed: number,
  ) {
    this.bench = bench;
    this.kernel = bench.kernel;
    this.process = process;
    this.numbers = fixture.numbers;
    this.fds = fixture.fds;
    this.isPrivate = isPrivate;
    this.seed = seed;
  }

  /** Fixture hmm: its device. */
  get fd(): Mirror {
    return this.fds[0];
  }

  // Checks.

  /** The line of the text that what follows is about. */
  line(text: string): void {
    this.#line = text;
  }

  /** The line that was said last. */
  get at(): string {
    return this.#line;
  }

  fail(what: string): never {
    throw new CaseFailure(this.#line, what);
  }

  equal(what: string, is: number, must: number): void {
    if (is !== must) this.fail(`${what} is ${is}, must be ${must}`);
  }

  truth(what: string, is: boolean): void {
    if (!is) this.fail(what);
  }

  /** `ret` of a command or system call: 0, or a negative errno. */
  ret(is: number, must: number): void {
    if (is !== must) this.fail(`ret is ${answerName(is)}, must be ${answerName(must)}`);
  }

  /** `c=n,f=1`, or ret 0 and cpages alone. */
  did(ret: number, buffer: HmmBuffer, cpages: number, faults?: number): void {
    this.ret(ret, 0);
    this.equal("cpages", buffer.cpages, cpages);
    if (faults !== undefined) this.equal("faults", buffer.faults, faults);
  }

  /** Integers as they must be; `first` is the number of the first one. */
  ints(what: string, is: Int32Array, must: Int32Array, first = 0): void {
    if (same(is, must)) return;
    const n = Math.min(is.length, must.length);
    let i = 0;
    while (i < n && is[i] === must[i]) i++;
    if (i < n) {
      const at = first + i;
      this.fail(`${what}[${at}] (page ${Math.floor(at / INTS)}) is ${is[i]}, must be ${must[i]}`);
    }
    this.equal(`length of ${what}`, is.length, must.length);
  }

  /** Every integer the same. */
  allInts(what: string, is: Int32Array, must: number): void {
    const i = is.findIndex((n) => n !== must);
    if (i >= 0)
      this.fail(`${what}[${i}] (page ${Math.floor(i / INTS)}) is ${is[i]}, must be ${must}`);
  }

  /** A line that the test prints. */
  note(text: string): void {
    this.bench.notes.push(text);
  }

  // Memory.

  /** A buffer of so many pages that is nowhere yet; its mirror is zeroes. */
  buffer(npages: number): HmmBuffer {
    const buffer: HmmBuffer = {
      ptr: 0,
      npages,
      mapped: null,
      mirror:
        npages * INTS > zeroes.length
          ? new Int32Array(npages * INTS)
          : zeroes.subarray(0, npages * INTS),
      cpages: 0,
      faults: 0,
    };
    this.#buffers.push(buffer);
    return buffer;
  }

  /** mmap of private anonymous memory, unless said otherwise; a test fails where it does. */
  mmap(length: number, prot: number, flags = PRIVATE_ANON, file?: OpenFile): number {
    return this.process.mmap({ length, prot, flags, ...(file === undefined ? {} : { file }) });
  }

  /** A buffer with memory behind it: private and anonymous, unless said otherwise. */
  mapped(npages: number, prot = RW, flags = PRIVATE_ANON, file?: OpenFile): HmmBuffer {
    const buffer = this.buffer(npages);
    buffer.ptr = this.mmap(npages * PAGE_SIZE, prot, flags, file);
    buffer.mapped = { addr: buffer.ptr, length: npages * PAGE_SIZE };
    return buffer;
  }

  /** A buffer of `npages` at the first PMD of a mapping of `times` its size. */
  aligned(npages: number, prot = RW, times = 2): HmmBuffer {
    const buffer = this.buffer(npages);
    this.remap(buffer, prot, times);
    return buffer;
  }

  /** The same again, after it was unmapped. */
  remap(buffer: HmmBuffer, prot = RW, times = 2): void {
    const length = times * buffer.npages * PAGE_SIZE;
    const addr = this.mmap(length, prot);
    buffer.mapped = { addr, length };
    buffer.ptr = Math.ceil(addr / PMD_SIZE) * PMD_SIZE;
  }

  /** munmap of all that was mapped for a buffer. */
  unmap(buffer: HmmBuffer): void {
    const { mapped } = buffer;
    buffer.mapped = null;
    if (mapped !== null) this.ret(this.munmap(mapped.addr, mapped.length), 0);
  }

  /** 0, or the negative errno of a system call. */
  #errno(call: () => void): number {
    try {
      call();
      return 0;
    } catch (error) {
      if (error instanceof MmError) return -error.errno;
      throw error;
    }
  }

  munmap(addr: number, length: number): number {
    return this.#errno(() => this.process.munmap(addr, length));
  }

  mprotect(addr: number, length: number, prot: number): number {
    return this.#errno(() => this.process.mprotect(addr, length, prot));
  }

  madvise(addr: number, length: number, advice: number): number {
    return this.#errno(() => this.process.madvise(addr, length, advice));
  }

  /** Frees a buffer: what is mapped there goes. */
  free(buffer: HmmBuffer): void {
    const at = this.#buffers.indexOf(buffer);
    if (at >= 0) this.#buffers.splice(at, 1);
    this.unmap(buffer);
  }

  /** The process stores integers. */
  write(ptr: number, ints: Int32Array): void {
    this.process.write(ptr, bytesOf(ints));
  }

  /** `init i`: ptr[i] = i (+ first). */
  init(buffer: HmmBuffer, first = 0): Int32Array {
    const ints = counting(buffer.npages * PAGE_SIZE, first);
    this.write(buffer.ptr, ints);
    return ints;
  }

  /** Integers that the process reads. */
  read(ptr: number, bytes: number): Int32Array {
    return intsOf(this.process.read(ptr, bytes));
  }

  /** One integer. */
  peek(ptr: number): number {
    return this.read(ptr, 4)[0];
  }

  poke(ptr: number, value: number): void {
    this.write(ptr, Int32Array.of(value));
  }

  /** "CPU sees": page by page from the first on. */
  sees(ptr: number, must: Int32Array): void {
    for (let at = 0; at < must.length; at += PART) {
      const part = must.subarray(at, at + PART);
      this.ints("ptr", this.read(ptr + at * 4, part.length * 4), part, at);
    }
  }

  // The device.

  /** open("/dev/hmm_dmirrorN") in this process. */
  open(device: number): Mirror {
    const mirror = this.bench.open(device, this.process);
    this.#opened.push(mirror);
    return mirror;
  }

  close(mirror: Mirror): number {
    const at = this.#opened.indexOf(mirror);
    if (at >= 0) this.#opened.splice(at, 1);
    this.bench.close(mirror);
    return 0;
  }

  /** What comes back of a command: its data only where it succeeded. */
  #take(buffer: HmmBuffer, answer: Answer): number {
    buffer.cpages = answer.cpages;
    buffer.faults = answer.faults;
    const { data, error } = answer;
    if (error !== 0 || data.length === 0) return error;
    if (data.length !== buffer.mirror.byteLength) {
      const whole = bytesOf(buffer.mirror).slice();
      whole.set(data);
      buffer.mirror = intsOf(whole);
    } else buffer.mirror = intsOf(data);
    return 0;
  }

  /** HMM_DMIRROR_READ */
  dmirrorRead(fd: Mirror, buffer: HmmBuffer, npages: number): number {
    return this.#take(buffer, fd.read(buffer.ptr, npages));
  }

  /** HMM_DMIRROR_READ_UNLOCKED */
  dmirrorReadUnlocked(fd: Mirror, buffer: HmmBuffer, npages: number): number {
    return this.#take(buffer, fd.readUnlocked(buffer.ptr, npages));
  }

  /** HMM_DMIRROR_WRITE: the first pages of the mirror. */
  dmirrorWrite(fd: Mirror, buffer: HmmBuffer, npages: number): number {
    const data = bytesOf(buffer.mirror).subarray(0, npages * PAGE_SIZE);
    return this.#take(buffer, fd.write(buffer.ptr, data));
  }

  /** HMM_DMIRROR_MIGRATE_TO_DEV */
  toDevice(fd: Mirror, buffer: HmmBuffer, npages: number, ptr = buffer.ptr): number {
    return this.#take(buffer, fd.migrateToDevice(ptr, npages));
  }

  /** HMM_DMIRROR_MIGRATE_TO_SYS */
  toSystem(fd: Mirror, buffer: HmmBuffer, npages: number): number {
    return this.#take(buffer, fd.migrateToSystem(buffer.ptr, npages));
  }

  /** HMM_DMIRROR_SNAPSHOT: a byte for each page, in the mirror's first bytes. */
  snapshot(fd: Mirror, buffer: HmmBuffer, npages: number): number {
    return this.#take(buffer, fd.snapshot(buffer.ptr, npages));
  }

  /** What a snapshot said: m[0] … */
  codes(buffer: HmmBuffer, npages: number): Uint8Array {
    return bytesOf(buffer.mirror).subarray(0, npages);
  }

  /** HMM_DMIRROR_EXCLUSIVE */
  exclusive(fd: Mirror, buffer: HmmBuffer, npages: number): number {
    return this.#take(buffer, fd.exclusive(buffer.ptr, npages));
  }

  /** HMM_DMIRROR_CHECK_EXCLUSIVE */
  checkExclusive(fd: Mirror, buffer: HmmBuffer, npages: number): number {
    return this.#take(buffer, fd.checkExclusive(buffer.ptr, npages));
  }

  /** HMM_DMIRROR_RELEASE */
  release(fd: Mirror, buffer: HmmBuffer, npages: number): number {
    return this.#take(buffer, fd.release(buffer.ptr, npages));
  }

  /** HMM_DMIRROR_FLAGS: the value goes where the number of pages does. */
  flags(fd: Mirror, buffer: HmmBuffer, value: number): number {
    return this.#take(buffer, fd.flags(buffer.ptr, value));
  }

  // Other processes.

  /** fork: a child with the same memory, which does nothing until it is told. */
  fork(): Test {
    const process = this.process.fork();
    const fixture = { numbers: this.numbers, fds: this.fds };
    const child = new Test(this.bench, process, fixture, this.isPrivate, this.seed);
    child.#line = this.#line;
    return child;
  }

  /** The child's copy of a buffer: memory and mirror as they were at the fork. */
  copyOf(buffer: HmmBuffer): HmmBuffer {
    return { ...buffer };
  }

  /** A part of what a child does: a check that fails ends it with status 1. */
  runs(work: (child: Test) => void): void {
    if (this.#ended !== null) return;
    try {
      work(this);
    } catch (error) {
      if (!(error instanceof CaseFailure)) throw error;
      this.#why = error.message;
      this.#exit({ status: 1 });
    }
  }

  /** exit(0): its memory goes, then what it had open. */
  exit(): void {
    if (this.#ended === null) this.#exit({ status: 0 });
  }

  /** kill */
  kill(signal: number): void {
    if (this.#ended === null) this.#exit({ signal });
  }

  #exit(how: Ended): void {
    this.#ended = how;
    this.process.exit();
    for (const mirror of this.#opened.splice(0)) this.bench.close(mirror);
  }

  /** waitpid of a child: how it ended. It must have. */
  waitpid(child: Test): Ended {
    if (child.#ended === null) this.fail("the child still runs");
    return child.#ended;
  }

  /** "child exited normally", with status 0. */
  childDid(child: Test): void {
    const ended = this.waitpid(child);
    if ("signal" in ended) this.fail(`the child was killed by signal ${ended.signal}`);
    if (ended.status !== 0) this.fail(`the child's exit status is ${ended.status}: ${child.#why}`);
  }

  /** Frees what buffers are left. */
  freeAll(): void {
    for (const buffer of this.#buffers.splice(0)) this.unmap(buffer);
  }
}
