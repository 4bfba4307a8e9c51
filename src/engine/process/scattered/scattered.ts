/**
 * Scattered memory of a kernel: the front door. vmalloc areas, lists of pages,
 * kernel stacks and ring buffers on the object that the design has, and what can
 * be said of all of them together.
 *
 * At this edge a negative errno becomes an MmError.
 */
import { MmError } from "../../errors.js";
import { PAGE_SIZE, type Ref } from "../../../units.js";
import { MISC_UNKNOWN, MISC_VMALLOC, T_MISC, T_SCATTERED } from "../../design/word/axis-types.js";
import { countsPages } from "../../design/word/axis.js";
import { VM_STRUCT_PAGES } from "../../layout/generated/offsets.js";
import type { Base } from "../base.js";
import { EOPNOTSUPP } from "../constants.js";
import { KIND_DEVICE } from "../files.js";
import { O_SCAMEM, O_VM_STRUCT, O_VMAP_AREA } from "../objects.js";
import { OpenFile } from "../open-file.js";
import type { Operations } from "../operations.js";
import { Area, type FreeReport } from "./area.js";
import { refuseStale, staleMappings, type StaleMapping } from "./audit.js";
import { KernelStack, STACK_PAGES } from "./kernel-stack.js";
import { ScatteredObjects } from "./objects.js";
import { RingBuffer } from "./ring-buffer.js";
import { ScatterList } from "./scatter-list.js";
import { UserMaps } from "./user-map.js";
import { VM_ALLOW_HUGE_VMAP, VM_USERMAP, Vmalloc } from "./vmalloc.js";

const NONE = 0 as Ref;

/** What vmalloc is asked for. */
export interface AreaOptions {
  /** May be mapped to user space (vmalloc_user); default true. */
  readonly user?: boolean;
  /** Huge pages where they are to be had (vmalloc_huge); default false. */
  readonly huge?: boolean;
}

export class Scattered {
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
  }

  /** An area of that many bytes, rounded up to pages. Throws MmError: EINVAL, ENOMEM. */
  alloc(length: number, options: AreaOptions = {}): Area {
    const asked = `vmalloc ${length} bytes`;
    if (!Number.isInteger(length) || length <= 0) throw new MmError(22, asked, "nothing to map");
    const flags =
      (options.user === false ? 0 : VM_USERMAP) | (options.huge === true ? VM_ALLOW_HUGE_VMAP : 0);
    const area = this.vmalloc.alloc(Math.ceil(length / PAGE_SIZE), flags);
    if (area < 0) throw new MmError(-area, asked, "no memory");
    return new Area(this, area as Ref);
  }

  /**
   * `pages` single pages as one object. Throws MmError: EINVAL, ENOMEM, EOPNOTSUPP
   * where the count is an area's.
   */
  list(pages: number): ScatterList {
    const asked = `a list of ${pages} pages`;
    if (!Number.isInteger(pages) || pages <= 0) throw new MmError(22, asked, "no pages");
    if (!this.objects.object.standsAlone)
      throw new MmError(
        -EOPNOTSUPP,
        asked,
        "the count is in vm_struct, and pages without an address in the vmalloc range have none",
      );
    const pfns = this.vmalloc.takePages(pages, 0);
    const object = pfns === null ? -12 : this.objects.make(NONE, pfns);
    if (object < 0) {
      if (pfns !== null) this.vmalloc.givePages(pfns);
      throw new MmError(12, asked, "no memory");
    }
    return new ScatterList(this, object as Ref, pages);
  }

  /** A stack for a kernel thread. Throws MmError (ENOMEM). */
  stack(): KernelStack {
    return new KernelStack(this.alloc(STACK_PAGES * PAGE_SIZE, { user: false }));
  }

  /** A ring buffer of 2^order data pages. Throws MmError (ENOMEM). */
  ringBuffer(order: number): RingBuffer {
    return new RingBuffer(this.alloc((1 + 2 ** order) * PAGE_SIZE));
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

  /** An area over pages of a list, which holds the object; null without memory. */
  viewOf(object: Ref, frames: readonly number[]): Area | null {
    const counted = this.objects.counted;
    if (counted && !this.objects.object.tryGet(object, -1, 1)) return null;
    const area = this.vmalloc.vmap(Int32Array.from(frames), 0);
    if (area < 0) {
      if (counted) this.objects.putObject(object, 1);
      return null;
    }
    const vm = area as Ref;
    if (counted) this.base.core.setPointer(vm, VM_STRUCT_PAGES, object);
    return new Area(this, vm);
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
    free();
    const freed = this.objects.freedPages - before;
    this.#early = this.stale();
    return { freed, kept: pages - freed, stale: this.#early };
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
    const early = new Set(this.#early.map((m) => `${m.pid} ${m.addr} ${m.pfn}`));
    return staleMappings(
      this.base,
      this.#kernel.processes.values(),
      (pid, addr, pfn) => this.isAlive(pfn) && !early.has(`${pid} ${addr} ${pfn}`),
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
