/**
 * What every part of the process layer stands on: the machine's words and page
 * design, the caches of kernel objects, page contents, and the machine-wide words
 * that are no object of a cache (LRU lists, the zero page, per-CPU stocks).
 *
 * Nothing here has state of its own but contents; everything else is words.
 */
import type { Ref } from "../../units.js";
import { FOLIO_PFN, LRUVEC_SIZE, MM_SIZE } from "../layout/generated/offsets.js";
import type { FolioLayout, PageDesign } from "../design/word/axis.js";
import { MISC_ZERO } from "../design/word/axis-types.js";
import type { Machine } from "../machine.js";
import { addressHigh, addressLow, refOfAddress, type Words } from "../words/words.js";
import { Content } from "./content.js";
import type { NumberWitness } from "./number-witness.js";
import type { Watch } from "./watch.js";

// Words of the machine-wide state, from `core.state`.
export const S_ZERO_PFN = 0;
export const S_HUGE_ZERO_PFN = 4;
export const S_MM_IDS = 8;
export const S_INODES = 12;
/** Large folios that are mapped in part, waiting to be split: first, last, how many, lock. */
export const S_DEFERRED_FIRST = 24;
export const S_DEFERRED_COUNT = 32;
export const S_DEFERRED_LOCK = 36;
/** hugetlb: pages of the pool, those free, those promised; lock. */
export const S_HUGETLB_TOTAL = 40;
export const S_HUGETLB_FREE = 44;
export const S_HUGETLB_RESERVED = 48;
export const S_HUGETLB_LOCK = 56;
/** First vmap_area of the vmalloc range, and the lock of that list. */
export const S_VM_FIRST = 64;
export const S_VM_LOCK = 68;
/** Swap: slots in use, where to look next, lock. */
export const S_SWAP_USED = 72;
export const S_SWAP_NEXT = 76;
export const S_SWAP_LOCK = 80;
/** mm_all_locks_mutex */
export const S_ALL_LOCKS = 84;
/** The index of scattered pages. */
export const S_PFN_INDEX = 96;
/** What the naming of device memory keeps: 16 bytes. */
export const S_DEVICE_NAME = 112;
/** init_mm, which is no object of a cache; it has page tables while there are areas. */
const S_INIT_MM = 128;
const S_LRUVECS = S_INIT_MM + Math.ceil(MM_SIZE / 64) * 64;
const LRUVEC_STRIDE = Math.ceil(LRUVEC_SIZE / 16) * 16;
const STOCK_BYTES = 16;

/** Bytes of swap metadata for each slot: its cache word (6.18's swap table) and its count. */
export const SWAP_SLOT_BYTES = 12;

/** Bytes of words that a machine with processes needs beside its objects. */
export const stateBytes = (
  nodes: number,
  cpus: number,
  swapSlots: number,
  hugetlbPages: number,
): number =>
  S_LRUVECS +
  nodes * LRUVEC_STRIDE +
  cpus * STOCK_BYTES +
  Math.ceil((swapSlots * SWAP_SLOT_BYTES) / 16) * 16 +
  hugetlbPages * 4;

/** A template of zeroes for clearing objects. */
const ZEROES = new Int32Array(4);

export class Core {
  readonly machine: Machine;
  readonly w: Words;
  readonly design: PageDesign;
  /** Where a folio's fields are. */
  readonly layout: FolioLayout;
  readonly content = new Content();
  readonly state: Ref;
  readonly nodes: number;
  /** Events for the sanitizer; null while it is off. */
  watch: Watch | null = null;
  /** Who is told of numbers of pages; null while nobody checks them. */
  witness: NumberWitness | null = null;
  /** Number of operations so far, for reports. */
  step = 0;
  readonly #firstObject: number;
  readonly #pages: number;
  readonly #refsPerPage: number;
  readonly #pagesEnd: number;

  constructor(machine: Machine) {
    this.machine = machine;
    this.w = machine.w;
    this.design = machine.design;
    this.layout = machine.design.folio;
    this.state = machine.state;
    this.nodes = machine.config.zones.reduce((most, z) => Math.max(most, z.node + 1), 1);
    this.#firstObject = machine.design.caches.length;
    this.#pages = machine.design.wordsOf(0).ref;
    this.#refsPerPage = machine.design.pageBytes / 16;
    this.#pagesEnd = this.#pages + machine.config.frames * this.#refsPerPage;
  }

  /** The kernel's own address space. */
  get initMm(): Ref {
    return (this.state + S_INIT_MM / 16) as Ref;
  }

  /** LRU lists of a node. */
  lruvec(node: number): Ref {
    return (this.state + (S_LRUVECS + node * LRUVEC_STRIDE) / 16) as Ref;
  }

  /** Memory cgroup pages charged ahead on a CPU. */
  stock(cpu: number): Ref {
    return (this.state + (S_LRUVECS + this.nodes * LRUVEC_STRIDE + cpu * STOCK_BYTES) / 16) as Ref;
  }

  /** Words of the swap device's slots. */
  swapWords(): Ref {
    return this.stock(this.machine.allocator.cpus);
  }

  /** A zeroed object of one of `OBJECTS`, or 0 without memory. May reclaim. */
  newObject(kind: number): Ref {
    let object = this.tryObject(kind);
    while (object === 0 && this.machine.onPressure()) object = this.tryObject(kind);
    return object;
  }

  /** The same without reclaim: for whoever is in the middle of something that reclaim looks at. */
  tryObject(kind: number): Ref {
    const { caches } = this.machine;
    const cache = this.#firstObject + kind;
    const object = caches.alloc(cache);
    if (object !== 0) this.w.fillRun(object, 0, ZEROES, caches.stride[cache], null, 0, 0);
    return object;
  }

  freeObject(kind: number, object: Ref): void {
    this.machine.caches.free(this.#firstObject + kind, object);
  }

  /** Objects of a kind in use. */
  objects(kind: number): number {
    return this.machine.caches.usage()[this.#firstObject + kind].objects;
  }

  /** The second part of a folio's fields: the folio itself but in typed slots. */
  rest(folio: Ref): Ref {
    const { second } = this.layout;
    return second < 0 ? folio : this.pointer(folio, second);
  }

  /** First frame of a folio: its place in the page array, or its own pfn. */
  pfnOf(folio: Ref): number {
    if (folio >= this.#pages && folio < this.#pagesEnd)
      return (folio - this.#pages) / this.#refsPerPage;
    return this.w.load32(folio, FOLIO_PFN);
  }

  /** Follows a pointer; the low four bits of it are its tag. */
  pointer(ref: Ref, off: number): Ref {
    const lo = this.w.load64(ref, off);
    return refOfAddress(lo, this.w.hi);
  }

  setPointer(ref: Ref, off: number, to: Ref): void {
    this.w.store64(ref, off, addressLow(to), addressHigh(to));
  }

  /** CPU that the caller runs on. */
  get cpu(): number {
    return this.machine.allocator.cpu;
  }

  /** The frame that reads of untouched anonymous memory map: made when first asked for. */
  zeroPage(): number {
    const pfn = this.w.load32(this.state, S_ZERO_PFN) - 1;
    if (pfn >= 0) return pfn;
    const fresh = this.machine.allocPages(0);
    if (fresh < 0) return fresh;
    this.design.release(fresh, 0);
    this.design.bindMisc(fresh, 0, MISC_ZERO, true, this.design.zoneOf(fresh));
    this.w.store32(this.state, S_ZERO_PFN, fresh + 1);
    return fresh;
  }

  /** The same for a PMD; ENOMEM where there is no block of 2 MiB. */
  hugeZeroPage(order: number): number {
    const pfn = this.w.load32(this.state, S_HUGE_ZERO_PFN) - 1;
    if (pfn >= 0) return pfn;
    // Its entry may be split later, where nothing may fail: the small one must be there by then.
    const small = this.zeroPage();
    if (small < 0) return small;
    const fresh = this.machine.allocPages(order);
    if (fresh < 0) return fresh;
    this.design.release(fresh, order);
    this.design.bindMisc(fresh, order, MISC_ZERO, true, this.design.zoneOf(fresh));
    this.w.store32(this.state, S_HUGE_ZERO_PFN, fresh + 1);
    return fresh;
  }

  isZeroPage(pfn: number): boolean {
    return pfn + 1 === this.w.load32(this.state, S_ZERO_PFN);
  }

  isHugeZero(pfn: number): boolean {
    return pfn + 1 === this.w.load32(this.state, S_HUGE_ZERO_PFN);
  }
}
