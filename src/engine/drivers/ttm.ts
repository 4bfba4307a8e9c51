/**
 * A graphics driver in the manner of TTM: tables of pages that are its own, a
 * process's (user pointers), or another driver's (imported), which it must tell
 * apart when a table goes.
 *
 * It may recognise its own by page->mapping (as amdgpu does), by a unique value in
 * page->private, by the mapping of a folio, or by a mark in its own table. Each
 * way asks something of the page; where the design has no such word it is refused,
 * and where somebody else writes that word the wrong pages are taken for its own.
 * The answer of the driver's author is the default: no GUP on these pages, mapped
 * by frame number, private already taken (ttm_pool.c keeps the order there). The
 * pool believes that word when a page comes back (ttm_pool_page_order), so whoever
 * writes it makes the pool free the wrong block: that is reported, and not done.
 *
 * Source: drivers/gpu/drm/ttm/ttm_pool.c, ttm_tt.c, amdgpu_ttm.c of 6.18; seed 000
 * and Christian König's answer of 2025-03-18 (memdesc-facts §4.2). Simplified:
 * pages of order 0, no DMA mapping, no shrinker.
 */
import { MmError, RuleViolation } from "../errors.js";
import { keepsMapping, keepsPrivate } from "../design/word/axis.js";
import { isFolioType, MISC_UNKNOWN, T_FILE } from "../design/word/axis-types.js";
import { byteArray, oneOf, wholeNumber } from "../process/arguments.js";
import { EOPNOTSUPP } from "../process/constants.js";
import { FOLL_PIN, FOLL_WRITE } from "../process/gup.js";
import type { Kernel } from "../process/kernel.js";
import type { OpenFile } from "../process/open-file.js";
import type { Process } from "../process/process.js";
import type { UserPages } from "../process/user-pages.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import { mapFrames } from "./map-pages.js";

/** Ways to know one's own pages. */
export const RECOGNITIONS = ["mapping", "private", "folio", "table"] as const;
/** One of them. */
export type Recognition = (typeof RECOGNITIONS)[number];

/** How a graphics driver keeps its pages. */
export interface TtmOptions {
  /** How it tells its own pages from others; default `mapping`, as amdgpu does. */
  readonly recognise?: Recognition;
  /**
   * Where its pool keeps the order of a page: in `private`, as ttm_pool.c does (the
   * default where pages have that word), or in a table (elsewhere).
   */
  readonly poolOrder?: "private" | "table";
}

/** What an entry of a table really is: the truth that recognition is compared with. */
type Truth = "own" | "user" | "imported";

const NONE = 0 as Ref;
const POOL_ORDERS = ["private", "table"] as const;
/** Pages that one call may ask for: those of the largest machine. */
const PAGES_MAX = 2 ** 20;

/** A graphics driver with a pool of pages. */
export class TtmDevice {
  readonly kernel: Kernel;
  readonly recognise: Recognition;
  readonly poolOrder: "private" | "table";
  /** Its device file. Throws MmError (EBADF) once the device is closed. */
  readonly file: OpenFile;
  /** Pages that the pool has handed out and not got back. */
  lent = 0;

  /** Throws MmError: EOPNOTSUPP where pages have no such word, EBUSY where the pool has taken it; ENOMEM. */
  constructor(kernel: Kernel, options: TtmOptions = {}) {
    this.kernel = kernel;
    this.recognise = oneOf("recognise", options.recognise ?? "mapping", RECOGNITIONS);
    const { design } = kernel.machine;
    const usual = keepsPrivate(design) ? "private" : "table";
    this.poolOrder = oneOf("poolOrder", options.poolOrder ?? usual, POOL_ORDERS);
    const refused = this.#refusal();
    if (refused !== null)
      throw new MmError(refused.errno, `recognise pages by ${this.recognise}`, refused.why);
    this.file = kernel.scattered.openDevice();
  }

  #refusal(): { readonly errno: number; readonly why: string } | null {
    const { design } = this.kernel.machine;
    const errno = -EOPNOTSUPP;
    if (this.poolOrder === "private" && !keepsPrivate(design))
      return { errno, why: `the pool's order: a page of ${design.name} has no private word` };
    if (this.recognise === "mapping" && !keepsMapping(design))
      return { errno, why: `a page of ${design.name} has no mapping word` };
    if (this.recognise === "private" && !keepsPrivate(design))
      return { errno, why: `a page of ${design.name} has no private word` };
    if (this.recognise === "private" && this.poolOrder === "private")
      return { errno: 16, why: "private is taken: the pool keeps the page's order there" };
    return null;
  }

  /** bdev->dev_mapping: the address space of its device file. */
  get devMapping(): Ref {
    return this.kernel.files.mappingOf(this.file.inode);
  }

  /** An empty table. */
  table(): TtmTable {
    return new TtmTable(this);
  }

  /** A page of the pool, marked as the driver's own. Frame, or ENOMEM. */
  allocPage(): number {
    const { machine, base } = this.kernel;
    const { design } = machine;
    if (this.recognise === "folio") {
      const pfn = base.folios.alloc(0, T_FILE, NONE);
      if (pfn < 0) return pfn;
      base.folios.setMapping(design.descriptorOf(pfn), this.devMapping, 0);
      this.#hold(pfn);
      this.lent++;
      return pfn;
    }
    const pfn = machine.allocator.alloc(0, 0);
    if (pfn < 0) return pfn;
    design.bindMisc(pfn, 0, MISC_UNKNOWN, true, design.zoneOf(pfn));
    if (keepsPrivate(design)) {
      // Order 0, as the pool writes it; the mark of a page that is recognised by it.
      if (this.recognise === "private") design.setPrivate(pfn, this.devMapping);
      else design.setPrivate(pfn, NONE);
    }
    if (this.recognise === "mapping" && keepsMapping(design))
      design.setBarePageMapping(pfn, this.devMapping);
    // Struct page: with a mapping it is a file's folio to everybody else.
    if (isFolioType(design.typeOf(pfn))) this.#hold(pfn);
    this.lent++;
    return pfn;
  }

  /** Says who holds a folio that no mapping or cache explains. */
  #hold(pfn: number): void {
    this.kernel.userPages.add({ pfns: Int32Array.of(pfn), pinned: false, pid: 0 });
  }

  #unhold(pfn: number): void {
    for (const holder of this.kernel.userPages)
      if (holder.pid === 0 && holder.pfns[0] === pfn) this.kernel.userPages.delete(holder);
  }

  /** ttm_pool_page_order: what the pool takes for the order of a page, 0 as long as nobody else wrote it. */
  #orderInPool(pfn: number): number {
    const { machine, base } = this.kernel;
    const { design } = machine;
    if (this.poolOrder === "table") return 0;
    if (this.recognise === "folio") return base.folios.private(design.descriptorOf(pfn));
    return keepsPrivate(design) ? design.privateOf(pfn) * 16 : 0;
  }

  /**
   * Gives a page of the pool back. Throws RuleViolation, and leaves the page as it
   * is, where its private is no more what the pool wrote: it would free another
   * block than the page.
   */
  freePage(pfn: number): void {
    const { machine, base } = this.kernel;
    const { design } = machine;
    const order = this.#orderInPool(pfn);
    if (order !== 0)
      throw new RuleViolation(
        "the pool's order is the page's",
        pfn,
        `its private says 0x${order.toString(16)}, and the pool would free a block of that order; it is one page`,
      );
    this.lent--;
    this.#unhold(pfn);
    if (this.recognise === "folio") return base.folios.put(design.descriptorOf(pfn));
    base.core.content.clear(pfn);
    if (keepsMapping(design)) design.setBarePageMapping(pfn, NONE);
    if (keepsPrivate(design)) design.setPrivate(pfn, NONE);
    machine.freePages(pfn, 0);
  }

  /** Whether a page looks like the driver's own, from the page alone. */
  looksOwn(pfn: number): boolean {
    const { machine, base } = this.kernel;
    const { design } = machine;
    switch (this.recognise) {
      case "mapping":
        return keepsMapping(design) && design.barePageMapping(pfn) === this.devMapping;
      case "private":
        return (
          keepsPrivate(design) && this.#isBare(pfn) && design.privateOf(pfn) === this.devMapping
        );
      case "folio": {
        const folio = base.folios.ofPage(pfn);
        return folio !== NONE && base.folios.mapping(folio) === this.devMapping;
      }
      default:
        return false;
    }
  }

  /** Where pages know whether they are folios, a folio's word is not read as a bare page's. */
  #isBare(pfn: number): boolean {
    const { design } = this.kernel.machine;
    return design.overlay || !isFolioType(design.typeOf(pfn));
  }

  /** Bytes that telling its pages apart costs for each page, beside the page array. */
  get bytesPerPage(): number {
    const { design, caches } = this.kernel.machine;
    const mark = this.recognise === "table" ? 1 : 0;
    const order = this.poolOrder === "table" ? 1 : 0;
    const cache = this.recognise === "folio" ? design.cacheFor(T_FILE, 0) : -1;
    return mark + order + (cache < 0 ? 0 : caches.stride[cache] * 16);
  }

  /** Closes the device. */
  close(): void {
    this.file.close();
  }
}

/** What the end of a table came to. */
export interface Unpopulated {
  /** Pages given back to the pool. */
  readonly freed: number;
  /**
   * What went wrong: own pages that were lost, others' pages that would have been
   * freed, own pages whose order in the pool somebody overwrote.
   */
  readonly wrong: readonly RuleViolation[];
}

/** Pages that the graphics processor sees one after another: what `TtmDevice.table` gives. */
export class TtmTable {
  readonly device: TtmDevice;
  readonly #frames: number[] = [];
  readonly #truth: Truth[] = [];
  /** The mark of recognition by table. */
  readonly #marks: boolean[] = [];
  #user: UserPages[] = [];

  constructor(device: TtmDevice) {
    this.device = device;
  }

  /** Frames in order. */
  get frames(): readonly number[] {
    return this.#frames;
  }

  #add(pfn: number, truth: Truth): void {
    this.#frames.push(pfn);
    this.#truth.push(truth);
    this.#marks.push(truth === "own");
  }

  /** `pages` of the driver's own, 0 … 2^20. Throws MmError (ENOMEM), RangeError. */
  populate(pages: number): void {
    wholeNumber("the pages to populate", pages, 0, PAGES_MAX);
    for (let i = 0; i < pages; i++) {
      const pfn = this.device.allocPage();
      if (pfn < 0) throw new MmError(12, `populate ${pages} pages`, "no memory");
      this.#add(pfn, "own");
    }
  }

  /** Bytes of a process's memory (amdgpu_ttm_tt_get_user_pages). Throws MmError (EFAULT, ENOMEM, ESRCH). */
  addUserPages(process: Process, addr: number, length: number): void {
    const pages = process.gup(addr, length, FOLL_PIN | FOLL_WRITE);
    this.#user.push(pages);
    for (const pfn of pages.pfns) this.#add(pfn, "user");
  }

  /** Frames that another driver lends (DMA-buf). Throws RangeError for one that there is not. */
  importPages(frames: Iterable<number>): void {
    const { frames: all } = this.device.kernel.machine.config;
    for (const pfn of frames) this.#add(wholeNumber("a frame", pfn, 0, all - 1), "imported");
  }

  /**
   * Maps it into a process, by frame number: GUP on it is refused. Throws MmError:
   * EPERM with user pointers in it (amdgpu_gem_object_mmap), EOPNOTSUPP with
   * imported pages, which are their driver's to map; ENOMEM.
   */
  mmap(process: Process): number {
    const asked = `map a table of ${this.#frames.length} pages`;
    if (this.#truth.includes("user")) throw new MmError(1, asked, "user pointers are in it");
    if (this.#truth.includes("imported"))
      throw new MmError(-EOPNOTSUPP, asked, "imported pages are their own driver's to map");
    const { kernel, file } = this.device;
    return mapFrames(kernel, process, file, this.#frames, "pfn");
  }

  /** Bytes from `at` on, through the table, as the GPU writes them. Throws RangeError past its end. */
  write(at: number, data: Uint8Array): void {
    const end = at + byteArray("what is written", data).length;
    wholeNumber("the first byte", at, 0, this.#frames.length * PAGE_SIZE);
    wholeNumber("the byte behind the last one", end, 0, this.#frames.length * PAGE_SIZE);
    const { content } = this.device.kernel.base.core;
    for (let i = 0; i < data.length; i++) {
      const place = at + i;
      const pfn = this.#frames[Math.floor(place / PAGE_SIZE)];
      content.write(pfn, place % PAGE_SIZE, data.subarray(i, i + 1));
      this.device.kernel.base.core.watch?.wrote(pfn);
    }
  }

  /**
   * The table goes: own pages back to the pool, user pages released, imported ones
   * left alone. A page that is taken for what it is not is reported, and left as
   * it is: a lost page stays lost, another's page is not freed.
   */
  unpopulate(): Unpopulated {
    const wrong: RuleViolation[] = [];
    let freed = 0;
    for (const [i, pfn] of this.#frames.entries()) {
      const looks = this.device.recognise === "table" ? this.#marks[i] : this.device.looksOwn(pfn);
      const own = this.#truth[i] === "own";
      if (looks && own) {
        const lost = this.#free(pfn);
        if (lost === null) freed++;
        else wrong.push(lost);
      } else if (looks)
        wrong.push(this.#wrong(pfn, `it is ${this.#truth[i]} and taken for its own`));
      else if (own) wrong.push(this.#wrong(pfn, "it is its own, not recognised, and lost"));
    }
    for (const pages of this.#user) pages.release(true);
    this.#user = [];
    this.#frames.length = 0;
    this.#truth.length = 0;
    this.#marks.length = 0;
    return { freed, wrong };
  }

  /** Null, or why the page could not go. */
  #free(pfn: number): RuleViolation | null {
    try {
      this.device.freePage(pfn);
      return null;
    } catch (error) {
      if (error instanceof RuleViolation) return error;
      throw error;
    }
  }

  #wrong(pfn: number, what: string): RuleViolation {
    return new RuleViolation(
      "a driver knows its own pages",
      pfn,
      `${what} (recognised by ${this.device.recognise})`,
    );
  }
}

/** A second driver: it has pages of its own to lend, and writes `private` of pages it is given. */
export class PrivateWriter {
  readonly kernel: Kernel;
  readonly #own: number[] = [];

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** `pages` more of its own, 0 … 2^20; the frames of all it has. Throws MmError (ENOMEM), RangeError. */
  allocate(pages: number): readonly number[] {
    wholeNumber("the pages to allocate", pages, 0, PAGES_MAX);
    for (let i = 0; i < pages; i++) {
      const pfn = this.kernel.machine.allocPages(0);
      if (pfn < 0) throw new MmError(12, `allocate ${pages} pages`, "no memory");
      this.#own.push(pfn);
    }
    return this.#own;
  }

  /**
   * Writes `private` of a page: a value of the size of a pointer (`ref(n)` is n × 16;
   * `ref(0)` is what the pool of a TtmDevice wrote). Throws MmError (EOPNOTSUPP) where a page has none,
   * RuleViolation for a page that is a folio: its words are no bare page's.
   */
  writePrivate(pfn: number, value: Ref): void {
    const { design } = this.kernel.machine;
    if (!keepsPrivate(design))
      throw new MmError(
        -EOPNOTSUPP,
        `write private of frame ${pfn}`,
        `a page of ${design.name} has no private word`,
      );
    if (!design.overlay && isFolioType(design.typeOf(pfn)))
      throw new RuleViolation(
        "private belongs to bare pages",
        pfn,
        "it is a folio, whose private is in its descriptor",
      );
    design.setPrivate(pfn, value);
  }

  /** Gives its pages back. */
  free(): void {
    const { design } = this.kernel.machine;
    for (const pfn of this.#own.splice(0)) {
      if (keepsPrivate(design)) design.setPrivate(pfn, NONE);
      this.kernel.machine.freePages(pfn, 0);
    }
  }
}
