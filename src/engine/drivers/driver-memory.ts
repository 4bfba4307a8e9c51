/**
 * Memory for a driver that says what it needs of it: the cheapest legal kind in
 * the design at hand, or a refusal that says why.
 *
 * Misc: pages and nothing else; may be mapped by frame number. Managed: a small
 * descriptor with a reference count and a list head. Folio: everything, GUP and
 * pins included. In today's kernel a bare page is a struct page with a count and a
 * list head in it, and a folio costs no more than that.
 *
 * Facts: memdesc-facts §1.3, §1.4 (Wilcox, 2026-05-26: a refcount or list_head:
 * managed memory; everything: a folio), seed 000.
 */
import { ERRNO, MmError } from "../errors.js";
import { MGDESC_LIST, MGDESC_REFCOUNT } from "../layout/generated/offsets.js";
import { countsBarePages, keepsList } from "../design/word/axis.js";
import { MISC_UNKNOWN, T_FILE, T_MANAGED } from "../design/word/axis-types.js";
import { oneOf, wholeNumber } from "../process/arguments.js";
import { EOPNOTSUPP } from "../process/constants.js";
import { PG_UPTODATE } from "../design/word/axis-flags.js";
import type { Kernel } from "../process/kernel.js";
import type { OpenFile } from "../process/open-file.js";
import type { Holder } from "../process/operations.js";
import type { Process } from "../process/process.js";
import { staleMappings, type StaleMapping } from "../process/scattered/audit.js";
import { OPS_PFN } from "../process/scattered/user-map.js";
import { bytes, type Bytes, type Ref } from "../../units.js";
import { mapFrames, type HowMapped } from "./map-pages.js";

/** Kinds of driver memory, the simplest first. */
export const MEMORY_KINDS = ["misc", "managed", "folio"] as const;
/** One of them. */
export type MemoryKind = (typeof MEMORY_KINDS)[number];

/** What a driver needs of its memory. Everything may be left out. */
export interface MemoryNeeds {
  /** References of its own that keep the memory. */
  readonly refcount?: boolean;
  /** User space may name it in system calls that get its pages (O_DIRECT from and to it). */
  readonly gup?: boolean;
  /** … and pin them for long (RDMA). */
  readonly pin?: boolean;
  /** It is mapped to user space. */
  readonly userMap?: boolean;
  /** A list head in the memory's own description. */
  readonly list?: boolean;
  /** Block of 2^order pages, 0 … 10; default 0. */
  readonly order?: number;
}

/** One kind of memory, for some needs, in one design. */
export interface Offer {
  readonly kind: MemoryKind;
  /** Why it does not do; null where it does. */
  readonly refused: string | null;
  /** Bytes that describe a block: its page words and its descriptor. */
  readonly bytes: Bytes;
}

const NONE = 0 as Ref;
/** MAX_PAGE_ORDER */
const ORDER_MAX = 10;

/** A driver that allocates by what it needs. */
export class DriverMemory {
  readonly kernel: Kernel;
  /** Its device file, which its mappings are of. Closed by `close`. */
  readonly file: OpenFile;

  /** Opens the driver's device file. Throws MmError (ENOMEM). */
  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.file = kernel.scattered.openDevice();
  }

  /** The driver goes. Throws MmError (EBADF) the second time. */
  close(): void {
    this.file.close();
  }

  /** All kinds, in order of what they cost; of equals the simpler first. Throws RangeError for an order that is none. */
  offers(needs: MemoryNeeds): Offer[] {
    const order = wholeNumber("order", needs.order ?? 0, 0, ORDER_MAX);
    const offers = MEMORY_KINDS.map((kind) => ({
      kind,
      refused: this.#refusal(kind, needs),
      bytes: this.#bytes(kind, order),
    }));
    return offers.sort((a, b) => a.bytes - b.bytes);
  }

  /**
   * The cheapest kind that does. Throws MmError: EOPNOTSUPP where none does, with
   * each kind's reason; ENOMEM. RangeError for an order that is none.
   */
  allocate(needs: MemoryNeeds = {}): DriverBlock {
    const offers = this.offers(needs);
    const best = offers.find((o) => o.refused === null);
    if (best === undefined)
      throw new MmError(
        -EOPNOTSUPP,
        "driver memory",
        offers.map((o) => `${o.kind}: ${String(o.refused)}`).join("; "),
      );
    return this.make(best.kind, needs);
  }

  /** A block of a kind that the caller names. Throws MmError: EOPNOTSUPP, ENOMEM; RangeError. */
  make(kind: MemoryKind, needs: MemoryNeeds = {}): DriverBlock {
    oneOf("a kind of driver memory", kind, MEMORY_KINDS);
    const order = wholeNumber("order", needs.order ?? 0, 0, ORDER_MAX);
    const refused = this.#refusal(kind, needs);
    if (refused !== null) throw new MmError(-EOPNOTSUPP, `${kind} memory`, refused);
    const pfn = this.#alloc(kind, order, needs);
    if (pfn < 0) throw new MmError(-pfn, `${kind} memory of order ${order}`, "no memory");
    return new DriverBlock(this, kind, pfn, order, needs);
  }

  #alloc(kind: MemoryKind, order: number, needs: MemoryNeeds): number {
    const { machine, base } = this.kernel;
    const { design } = machine;
    if (kind === "folio") {
      const pfn = base.folios.alloc(order, T_FILE, NONE);
      if (pfn < 0) return pfn;
      const folio = design.descriptorOf(pfn);
      base.folios.setMapping(folio, this.mapping, 0);
      base.folios.setIndex(folio, 0);
      base.folios.set(folio, PG_UPTODATE);
      return pfn;
    }
    if (kind === "managed") {
      const pfn = machine.allocTyped(order, T_MANAGED);
      if (pfn < 0) return pfn;
      const desc = design.descriptorOf(pfn);
      base.w.store64(desc, MGDESC_LIST, 0, 0);
      base.w.store64(desc, MGDESC_LIST + 8, 0, 0);
      base.w.store32(desc, MGDESC_REFCOUNT, 1);
      return pfn;
    }
    const pfn = machine.allocator.alloc(order, 0);
    if (pfn < 0) return pfn;
    design.bindMisc(pfn, order, MISC_UNKNOWN, needs.userMap === true, design.zoneOf(pfn));
    if (countsBarePages(design)) base.w.store32(design.wordsOf(pfn).ref, design.bareRefcount, 1);
    return pfn;
  }

  /** address_space of the device: what tells the driver's folios from others. */
  get mapping(): Ref {
    return this.kernel.files.mappingOf(this.file.inode);
  }

  #refusal(kind: MemoryKind, needs: MemoryNeeds): string | null {
    const { design } = this.kernel.machine;
    if (kind === "folio") return null;
    if (kind === "managed") {
      if (design.cacheFor(T_MANAGED, 0) < 0)
        return design.overlay || design.holds(T_MANAGED)
          ? "this design has no managed descriptor: a page is described by its own words"
          : "this design's type table has no code for managed memory";
      if (needs.gup === true || needs.pin === true)
        return "mgdesc has a reference count and a list head; GUP and pins need a folio";
      return null;
    }
    if (needs.gup === true || needs.pin === true)
      return "Misc pages are mapped by frame number, and GUP refuses that (EFAULT)";
    if (needs.refcount === true && !countsBarePages(design))
      return "Misc has no reference count: get and put on it are errors";
    if (needs.list === true && !keepsList(design)) return "Misc has no room for a list head";
    return null;
  }

  #bytes(kind: MemoryKind, order: number): Bytes {
    const { design, caches } = this.kernel.machine;
    const type = kind === "folio" ? T_FILE : T_MANAGED;
    const cache = kind === "misc" ? -1 : design.cacheFor(type, order);
    return bytes(2 ** order * design.pageBytes + (cache < 0 ? 0 : caches.stride[cache] * 16));
  }

  /** Mappings by frame number that lead to freed memory. */
  stale(freed: ReadonlySet<number>): StaleMapping[] {
    const { base, processes } = this.kernel;
    return staleMappings(base, processes.values(), (m) => !freed.has(m.pfn), OPS_PFN);
  }
}

/** A block of driver memory. Freed once, every use of it is refused (EINVAL). */
export class DriverBlock implements Holder {
  readonly memory: DriverMemory;
  readonly kind: MemoryKind;
  readonly pfn: number;
  readonly order: number;
  readonly needs: MemoryNeeds;
  readonly pinned = false;
  readonly pid = 0;
  #freed = false;
  /** References that the driver has. */
  #own = 1;

  constructor(
    memory: DriverMemory,
    kind: MemoryKind,
    pfn: number,
    order: number,
    needs: MemoryNeeds,
  ) {
    this.memory = memory;
    this.kind = kind;
    this.pfn = pfn;
    this.order = order;
    this.needs = needs;
    memory.kernel.userPages.add(this);
  }

  /** For whoever accounts for the references of folios: the driver's own. */
  get pfns(): Int32Array {
    return new Int32Array(this.kind === "folio" ? this.#own : 0).fill(this.pfn);
  }

  /** 2^order. */
  get pages(): number {
    return 2 ** this.order;
  }

  /** Bytes that describe it, for each page: its own word and its part of the descriptor. */
  get bytesPerPage(): number {
    const { design, caches } = this.memory.kernel.machine;
    const descriptor = design.separateOf(this.pfn);
    const cache = descriptor === 0 ? -1 : design.cacheFor(design.typeOf(this.pfn), this.order);
    return design.pageBytes + (cache < 0 ? 0 : (caches.stride[cache] * 16) / this.pages);
  }

  /** How user space sees it: pages of a folio, or frames by number. */
  get mappedAs(): HowMapped {
    return this.kind === "folio" ? "folio" : "pfn";
  }

  /** Maps it into a process; the address. Throws MmError: EPERM where that was not asked for; ENOMEM. */
  mmap(process: Process): number {
    this.#alive();
    const { kernel, file } = this.memory;
    if (this.needs.userMap !== true)
      throw new MmError(1, "map driver memory", "it was not allocated for user space");
    const frames = Array.from({ length: this.pages }, (_, i) => this.pfn + i);
    return mapFrames(kernel, process, file, frames, this.mappedAs);
  }

  /** Where its reference count is; null where it has none. */
  #count(): { readonly ref: Ref; readonly off: number } | null {
    const { design } = this.memory.kernel.machine;
    if (this.kind === "folio")
      return { ref: design.descriptorOf(this.pfn), off: design.folio.refcount };
    if (this.kind === "managed")
      return { ref: design.descriptorOf(this.pfn), off: MGDESC_REFCOUNT };
    return countsBarePages(design)
      ? { ref: design.wordsOf(this.pfn).ref, off: design.bareRefcount }
      : null;
  }

  /** References there are. Throws MmError (EOPNOTSUPP) where there is no count. */
  get references(): number {
    const { ref, off } = this.#counted();
    return this.memory.kernel.base.w.load32(ref, off);
  }

  #counted(): { readonly ref: Ref; readonly off: number } {
    this.#alive();
    const count = this.#count();
    if (count === null)
      throw new MmError(-EOPNOTSUPP, `count frame ${this.pfn}`, "Misc has no reference count");
    return count;
  }

  #alive(): void {
    if (this.#freed) throw new MmError(ERRNO.EINVAL, "use driver memory", "it was freed");
  }

  /** One more reference. Throws MmError (EOPNOTSUPP) where there is no count. */
  get(): void {
    const { ref, off } = this.#counted();
    this.memory.kernel.base.w.add32(ref, off, 1);
    this.#own++;
  }

  /**
   * One less; with its last one the driver has let go. Says whether that freed
   * the block: mappings and pins may still hold a folio.
   */
  put(): boolean {
    const { ref, off } = this.#counted();
    const last = this.memory.kernel.base.w.load32(ref, off) === 1;
    if (--this.#own === 0) this.#release();
    else this.memory.kernel.base.w.add32(ref, off, -1);
    return last;
  }

  /**
   * The driver's own reference, or the block where nothing is counted. Says which
   * mappings by frame number lead to what is free now: a driver's mistake.
   */
  free(): readonly StaleMapping[] {
    this.#alive();
    if (this.kind === "folio") {
      // Mappings and pins keep the folio; the driver has let go.
      this.#release();
      return [];
    }
    this.#release();
    return this.memory.stale(new Set(Array.from({ length: this.pages }, (_, i) => this.pfn + i)));
  }

  #release(): void {
    const { kernel } = this.memory;
    const { base, machine } = kernel;
    this.#freed = true;
    kernel.userPages.delete(this);
    if (this.kind === "folio") return base.folios.put(base.folios.ofPage(this.pfn));
    base.core.content.clearBlock(this.pfn, this.order);
    if (this.kind === "managed") {
      base.w.store32(machine.design.descriptorOf(this.pfn), MGDESC_REFCOUNT, 0);
      return machine.freeTyped(this.pfn);
    }
    machine.freePages(this.pfn, this.order);
  }
}
