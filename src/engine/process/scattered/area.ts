/**
 * A vmalloc area, as a driver holds it.
 *
 * Refusals are MmErrors with the kernel's errno. Freed once, every use of it is
 * refused (EINVAL); what its pages do then is in the report of `free`.
 */
import { eachSpan } from "../spans.js";
import { ERRNO, MmError, RuleViolation } from "../../errors.js";
import { bytes, PAGE_SIZE, type Bytes, type Ref } from "../../../units.js";
import { byteArray, copyLength, wholeNumber } from "../arguments.js";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../constants.js";
import type { OpenFile } from "../open-file.js";
import type { Process } from "../process.js";
import type { FreeReport, ScatteredBase } from "./scattered-base.js";
import { VM_USERMAP, VMALLOC_ADDRESS, VMALLOC_START } from "./vmalloc.js";

/** How a part of an object is mapped. */
export interface UserMapOptions {
  /** First page of the object that is mapped; default 0. */
  readonly first?: number;
  /** Pages; default: all from `first` on. */
  readonly pages?: number;
  /** Where, bytes; left open it is found. */
  readonly addr?: number;
  /** PROT_ bits; default read and write. */
  readonly prot?: number;
  /** The driver's file that is mapped; default: one opened for this mapping and closed again. */
  readonly file?: OpenFile;
}

/** Something whose pages can be mapped to user space. */
export abstract class PagesObject {
  readonly scattered: ScatteredBase;

  constructor(scattered: ScatteredBase) {
    this.scattered = scattered;
  }

  /** The counted object, the host of the array, or the bare array. */
  protected abstract object(): Ref;
  protected abstract array(): Ref;
  /** Pages that it has. */
  abstract get pages(): number;
  /** Whether user space may map it; the reason why not. */
  protected abstract mayMap(): string | null;

  /** Frame of page `i`. Throws RangeError outside of it. */
  frame(i: number): number {
    wholeNumber("a page of the object", i, 0, this.pages - 1);
    return this.scattered.objects.frame(this.array(), this.pages, i);
  }

  /** All frames in order. */
  frames(): number[] {
    return Array.from({ length: this.pages }, (_, i) => this.frame(i));
  }

  /** References that keep the whole object; −1 where each page is counted, or nothing is. */
  get references(): number {
    const { objects } = this.scattered;
    return objects.counted ? objects.object.count(this.object(), -1) : -1;
  }

  /** References of page `i` alone; −1 where pages are not counted. */
  pageReferences(i: number): number {
    const { objects } = this.scattered;
    return objects.object.holds === "page" ? objects.object.count(0 as Ref, this.frame(i)) : -1;
  }

  /**
   * Maps pages into a process (remap_vmalloc_range_partial); the address. Throws
   * MmError: EINVAL (more than there is, not for user space), EBUSY (the file
   * belongs to another object), ENOMEM.
   */
  mmap(process: Process, options: UserMapOptions = {}): number {
    const first = options.first ?? 0;
    const pages = options.pages ?? this.pages - first;
    const asked = `map ${pages} pages from page ${first} on`;
    const refused = this.mayMap();
    if (refused !== null) throw new MmError(22, asked, refused);
    if (!Number.isInteger(first) || first < 0 || pages < 1 || first + pages > this.pages)
      throw new MmError(22, asked, `there are ${this.pages} pages`);
    const file = options.file ?? this.scattered.openDevice();
    try {
      return this.#mapFile(process, file, first, pages, options);
    } finally {
      // The VMA holds the file, or nobody does.
      if (options.file === undefined) file.close();
    }
  }

  #mapFile(
    process: Process,
    file: OpenFile,
    first: number,
    pages: number,
    options: UserMapOptions,
  ): number {
    const addr = process.mmap({
      length: pages * PAGE_SIZE,
      prot: options.prot ?? PROT_READ | PROT_WRITE,
      flags: MAP_SHARED,
      file,
      offset: first * PAGE_SIZE,
      ...(options.addr === undefined ? {} : { addr: options.addr }),
    });
    const error = this.scattered.users.map(
      process.mm,
      addr / PAGE_SIZE,
      this.object(),
      this.array(),
      this.pages,
      first,
    );
    if (error === 0) return addr;
    process.munmap(addr, pages * PAGE_SIZE);
    const asked = `map ${pages} pages from page ${first} on`;
    throw new MmError(-error, asked, MAP_REASONS[-error] ?? "refused");
  }
}

const MAP_REASONS: Readonly<Record<number, string>> = {
  12: "no memory for page tables",
  14: "the object is being freed",
  16: "the open file belongs to another object",
  22: "the mapping is not shared or has no file",
};

/** A vmalloc area: what `Scattered.alloc` and `ScatterList.vmap` give. */
export class Area extends PagesObject {
  /** struct vm_struct; another's once the area is freed. */
  readonly vm: Ref;
  readonly #start: number;
  readonly #pages: number;
  /** Pages of others that went while this was their view. */
  readonly #gone = new Set<number>();
  #freed = false;

  constructor(scattered: ScatteredBase, vm: Ref) {
    super(scattered);
    this.vm = vm;
    this.#start = scattered.vmalloc.start(vm);
    this.#pages = scattered.vmalloc.pages(vm);
  }

  get pages(): number {
    return this.#pages;
  }

  /** Whether it was freed. */
  get freed(): boolean {
    return this.#freed;
  }

  /** Whether the kernel maps it by huge pages. */
  get huge(): boolean {
    this.#alive();
    return this.scattered.vmalloc.isHuge(this.vm);
  }

  /** Its address in the kernel's range, as a kernel would print it. */
  get address(): string {
    const offset = BigInt(this.#start - VMALLOC_START) * BigInt(PAGE_SIZE);
    return `0x${(VMALLOC_ADDRESS + offset).toString(16)}`;
  }

  /** Bytes of arrays and structs that describe it, page words and page tables apart. */
  get overhead(): Bytes {
    this.#alive();
    return bytes(this.scattered.structBytes() + this.scattered.objects.arrayBytes(this.#pages));
  }

  protected object(): Ref {
    this.#alive();
    return this.scattered.objects.ofArea(this.vm);
  }

  protected array(): Ref {
    return this.scattered.objects.pagesOf(this.object());
  }

  protected mayMap(): string | null {
    this.#alive();
    const { vmalloc } = this.scattered;
    if (!vmalloc.owns(this.vm)) return "the pages of a vmap are their owner's to map";
    return (vmalloc.flags(this.vm) & VM_USERMAP) !== 0
      ? null
      : "the area was not made for user space (VM_USERMAP)";
  }

  #alive(): void {
    if (this.#freed) throw new MmError(ERRNO.EINVAL, "use an area", "it was freed");
  }

  /**
   * Their owner let go of the pages that this is a view of: those that nobody
   * else holds are gone, whatever their frames become.
   */
  ownerLetGo(): void {
    if (this.#freed) return;
    for (let page = 0; page < this.#pages; page++) if (!this.#lives(page)) this.#gone.add(page);
  }

  /** Whether a page is one of scattered memory still. */
  #lives(page: number): boolean {
    const pfn = this.scattered.vmalloc.translate(this.#start + page);
    return pfn >= 0 && !this.#gone.has(page) && this.scattered.isAlive(pfn);
  }

  /**
   * vread: `length` bytes from byte `at` of it on, through the kernel's page tables.
   * Throws RuleViolation outside of what is mapped, and on a page that its owner
   * freed under a view (vmap).
   */
  read(at: number, length: number): Uint8Array {
    this.#alive();
    const out = new Uint8Array(copyLength("read's length", length));
    this.#each(at, length, (pfn, from, done, n) =>
      this.scattered.base.core.content.read(pfn, from, out.subarray(done, done + n)),
    );
    return out;
  }

  /** The kernel stores to it; the same refusals. */
  write(at: number, data: Uint8Array): void {
    this.#alive();
    byteArray("what is written", data);
    const { core } = this.scattered.base;
    this.#each(at, data.length, (pfn, from, done, n) => {
      core.content.write(pfn, from, data.subarray(done, done + n));
      core.watch?.wrote(pfn);
    });
  }

  #each(
    at: number,
    length: number,
    visit: (pfn: number, from: number, done: number, n: number) => void,
  ): void {
    // A byte before the start is an overflow to be caught, not a wrong argument.
    wholeNumber("the first byte", at, -(2 ** 31), 2 ** 43);
    eachSpan(at, length, (byte, from, done, n) => {
      const page = Math.floor(byte / PAGE_SIZE);
      const pfn = this.scattered.vmalloc.translate(this.#start + page);
      if (pfn < 0) {
        const guard = page === this.#pages ? "the guard page" : "nothing mapped";
        throw new RuleViolation(
          "the kernel touches what it maps",
          -1,
          `page ${page} of an area of ${this.#pages} at ${this.address}: ${guard}`,
        );
      }
      if (!this.scattered.vmalloc.owns(this.vm) && !this.#lives(page))
        throw new RuleViolation(
          "the kernel touches what lives",
          pfn,
          `page ${page} of a view of ${this.#pages} at ${this.address}: its owner freed it`,
        );
      visit(pfn, from, done, n);
    });
  }

  /** vfree, or vunmap of an area over others' pages. Throws MmError (EINVAL) the second time. */
  free(): FreeReport {
    this.#alive();
    const { vmalloc } = this.scattered;
    if (vmalloc.owns(this.vm)) {
      const report = this.scattered.reporting(this.#pages, () => vmalloc.free(this.vm));
      this.#freed = true;
      return report;
    }
    let alive = 0;
    for (let page = 0; page < this.#pages; page++) if (this.#lives(page)) alive++;
    const report = this.scattered.reporting(alive, () => this.scattered.dropView(this.vm));
    this.#freed = true;
    return report;
  }
}
