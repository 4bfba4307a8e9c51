/**
 * What areas and lists of scattered memory stand on: the object that the design
 * has, the vmalloc range, the mappings in user space, and what a free left
 * behind.
 */
import { MmError } from "../../errors.js";
import { PAGE_SIZE, type Ref } from "../../../units.js";
import { MISC_UNKNOWN, MISC_VMALLOC, T_MISC, T_SCATTERED } from "../../design/word/axis-types.js";
import { countsPages } from "../../design/word/axis.js";
import { VM_STRUCT_PAGES } from "../../layout/generated/offsets.js";
import type { Base } from "../base.js";
import { KIND_DEVICE } from "../files.js";
import { O_SCAMEM, O_VM_STRUCT, O_VMAP_AREA } from "../objects.js";
import { OpenFile } from "../open-file.js";
import type { Operations } from "../operations.js";
import { refuseStale, staleMappings, type StaleMapping } from "./audit.js";
import { ScatteredObjects } from "./objects.js";
import { UserMaps } from "./user-map.js";
import { Vmalloc } from "./vmalloc.js";

const NONE = 0 as Ref;

/** What a free did. */
export interface FreeReport {
  /** Pages that went back to the allocator at once. */
  readonly freed: number;
  /** Pages that stay for as long as somebody holds them. */
  readonly kept: number;
  /** Pages of it that processes can still reach although they were freed. */
  readonly stale: readonly StaleMapping[];
}

const nameOf = (m: StaleMapping): string => `${m.pid} ${m.addr} ${m.pfn}`;

export class ScatteredBase {
  readonly base: Base;
  readonly objects: ScatteredObjects;
  readonly vmalloc: Vmalloc;
  readonly users: UserMaps;
  readonly #kernel: Operations;
  /** What frees left mapped so far. */
  #early: readonly StaleMapping[] = [];

  constructor(kernel: Operations) {
    this.#kernel = kernel;
    this.base = kernel.base;
    this.objects = new ScatteredObjects(kernel.base);
    this.vmalloc = new Vmalloc(kernel.base, this.objects);
    this.users = new UserMaps(kernel.base, this.objects);
    this.users.onClosed = (mm, start, end) => this.#closed(mm, start, end);
  }

  /** A mapping that went is stale no more: its place may come again with the same frame. */
  #closed(mm: Ref, start: number, end: number): void {
    if (this.#early.length === 0) return;
    this.#early = this.#early.filter(({ pid, addr }) => {
      // A process that ends is known no more, and its number does not come again.
      const alive = this.#kernel.processes.get(pid);
      const page = addr / PAGE_SIZE;
      return alive !== undefined && (alive.mm !== mm || page < start || page >= end);
    });
  }

  /** A driver's file, opened: what a process maps to reach a driver's memory. Throws MmError (ENOMEM). */
  openDevice(): OpenFile {
    const { files } = this.#kernel;
    const inode = files.create(KIND_DEVICE, 0);
    const file = inode === NONE ? NONE : files.open(inode);
    if (inode !== NONE) files.iput(inode);
    if (file === NONE) throw new MmError(12, "open a device", "no memory");
    return new OpenFile(this.#kernel, file, inode, false);
  }

  /** A vm_struct over pages of a list, which holds the object; 0 without memory. */
  viewOf(object: Ref, frames: readonly number[]): Ref {
    const counted = this.objects.counted;
    if (counted && !this.objects.object.tryGet(object, -1, 1)) return NONE;
    const area = this.vmalloc.vmap(Int32Array.from(frames), 0);
    if (area < 0) {
      if (counted) this.objects.putObject(object, 1);
      return NONE;
    }
    const vm = area as Ref;
    if (counted) this.base.core.setPointer(vm, VM_STRUCT_PAGES, object);
    return vm;
  }

  /** vunmap of such an area. */
  dropView(vm: Ref): void {
    const object = this.vmalloc.pagesField(vm);
    this.vmalloc.vunmap(vm);
    if (this.objects.counted && object !== NONE) this.objects.putObject(object, 1);
  }

  /** The driver's own reference to a list, or its references to each page. */
  dropList(object: Ref, array: Ref, n: number): void {
    const { objects } = this;
    if (objects.counted) return objects.putObject(object, 1);
    for (let i = 0; i < n; i++) {
      const pfn = objects.frame(array, n, i);
      if (objects.object.holds === "page") objects.putPage(pfn, 1);
      else objects.freePage(pfn);
    }
    objects.freeArrays(array, NONE, n);
  }

  /** Frees something of `pages` pages and says what became of them. */
  reporting(pages: number, free: () => void): FreeReport {
    const before = this.objects.freedPages;
    const known = new Set(this.stale().map(nameOf));
    free();
    const freed = this.objects.freedPages - before;
    this.#early = this.stale();
    const stale = this.#early.filter((m) => !known.has(nameOf(m)));
    return { freed, kept: pages - freed, stale };
  }

  /** Whether a frame is one of scattered memory now. */
  isAlive(pfn: number): boolean {
    const { design } = this.base.core;
    const type = design.typeOf(pfn);
    if (type === T_SCATTERED) return true;
    if (type !== T_MISC) return false;
    const subtype = design.subtypeOf(pfn);
    if (!design.overlay) return subtype === MISC_VMALLOC;
    // Struct page: a bare page with a reference.
    const counted = countsPages(design) && design.addPageRefs(pfn, 0) > 0;
    return counted && subtype === MISC_UNKNOWN;
  }

  /**
   * Mappings that lead to freed pages: to frames that are nobody's or another's
   * now, and those that a free left behind and that are there still.
   */
  stale(): StaleMapping[] {
    const early = new Set(this.#early.map(nameOf));
    return staleMappings(
      this.base,
      this.#kernel.processes.values(),
      (m) => this.isAlive(m.pfn) && !early.has(nameOf(m)),
    );
  }

  /** Throws RuleViolation where a process can reach memory that was freed. */
  check(): void {
    refuseStale(this.stale());
  }

  /** Bytes of the structs of one area: vm_struct, vmap_area and, where there is one, scamem. */
  structBytes(): number {
    const { caches, design } = this.base.core.machine;
    const size = (kind: number): number => caches.stride[design.caches.length + kind] * 16;
    const own = this.objects.object.name === "scamem" ? size(O_SCAMEM) : 0;
    return size(O_VM_STRUCT) + size(O_VMAP_AREA) + own;
  }
}
