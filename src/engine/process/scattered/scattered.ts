/**
 * Scattered memory of a kernel: the front door. vmalloc areas, lists of pages,
 * kernel stacks and ring buffers on the object that the design has.
 *
 * At this edge a negative errno becomes an MmError.
 */
import { MmError } from "../../errors.js";
import { PAGE_SIZE, type Ref } from "../../../units.js";
import { described, wholeNumber } from "../arguments.js";
import { EOPNOTSUPP } from "../constants.js";
import { Area } from "./area.js";
import { KernelStack, STACK_PAGES } from "./kernel-stack.js";
import { RingBuffer } from "./ring-buffer.js";
import { ScatterList } from "./scatter-list.js";
import { ScatteredBase } from "./scattered-base.js";
import { VM_ALLOW_HUGE_VMAP, VM_USERMAP } from "./vmalloc.js";

const NONE = 0 as Ref;

/** What vmalloc is asked for. */
export interface AreaOptions {
  /** May be mapped to user space (vmalloc_user); default true. */
  readonly user?: boolean;
  /** Huge pages where they are to be had (vmalloc_huge); default false. */
  readonly huge?: boolean;
}

/** vmalloc and its relatives: `kernel.scattered`. */
export class Scattered extends ScatteredBase {
  /** An area of that many bytes, 1 … 2^43, rounded up to pages. Throws MmError: EINVAL (0), ENOMEM. */
  alloc(length: number, options: AreaOptions = {}): Area {
    const asked = `vmalloc ${described(length)} bytes`;
    if (wholeNumber("an area's length", length, 0, 2 ** 43) === 0)
      throw new MmError(22, asked, "nothing to map");
    const flags =
      (options.user === false ? 0 : VM_USERMAP) | (options.huge === true ? VM_ALLOW_HUGE_VMAP : 0);
    const area = this.vmalloc.alloc(Math.ceil(length / PAGE_SIZE), flags);
    if (area < 0) throw new MmError(-area, asked, "no memory");
    return new Area(this, area as Ref);
  }

  /**
   * `pages` single pages (1 … 2^20) as one object. Throws MmError: EINVAL (0), ENOMEM,
   * EOPNOTSUPP where the count is an area's.
   */
  list(pages: number): ScatterList {
    const asked = `a list of ${described(pages)} pages`;
    if (wholeNumber("a list's pages", pages, 0, 2 ** 20) === 0)
      throw new MmError(22, asked, "no pages");
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

  /** A ring buffer of one control page and 2^order data pages, order 0 … 20. Throws MmError (ENOMEM). */
  ringBuffer(order: number): RingBuffer {
    wholeNumber("a ring buffer's order", order, 0, 20);
    return new RingBuffer(this.alloc((1 + 2 ** order) * PAGE_SIZE));
  }
}
