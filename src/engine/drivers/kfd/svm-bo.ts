/**
 * Buffer objects in VRAM for ranges of shared virtual memory: how many pages a BO
 * has, where they lie, and who holds it.
 *
 * A BO is allocated whole by TTM, in as few aligned stretches as there are holes for;
 * a cursor walks them page by page. It is held by the range that it was made for and
 * by each of its pages that is in service, and goes with the last.
 *
 * Source: drivers/gpu/drm/amd/amdkfd/kfd_svm.c (svm_range_vram_node_new,
 * svm_range_bo_release), amdgpu_res_cursor.h, ttm_bo.c (ttm_bo_evict_first: the one
 * that was used longest ago). Simplified: a BO is released at once, not by a worker.
 * Differs: it knows which of its pages are in service. After a fork the child may have
 * a coherent page whose place the parent migrates to once more; the kernel's driver
 * would put that page into service a second time (inferred from its source).
 */
import type { DeviceFault } from "../../device/driver-api.js";
import { NO_SPACE, type OffsetAllocator } from "../allocators/axis.js";

/** Stretches of at most 2 MiB. */
const ORDER_MAX = 9;

/** A stretch of VRAM: 2^order pages from an offset of the page map on. */
interface Stretch {
  readonly offset: number;
  readonly order: number;
}

/** What a BO asks of the ranges that it is for. */
export interface BoOwner {
  /** Brings all of it back; −EBUSY where pages stay. */
  evictBo(bo: SvmBo): number;
  /** None of its pages is in service any more. */
  boIdle(bo: SvmBo): void;
  /** A process touched a page of it; 0 or a negative errno. */
  cpuFault(fault: DeviceFault): number;
}

/** struct svm_range_bo */
export class SvmBo {
  readonly svms: BoOwner;
  readonly stretches: readonly Stretch[];
  /** Its number, which its pages carry. */
  handle = 0;
  /** kref: ranges, and pages in service. */
  refs = 1;
  /** Offsets of its pages in service. */
  readonly inService = new Set<number>();

  constructor(svms: BoOwner, stretches: readonly Stretch[]) {
    this.svms = svms;
    this.stretches = stretches;
  }
}

/** amdgpu_bo_create: stretches of VRAM for so many pages; null, with nothing taken, where they do not fit. */
export function allocStretches(vram: OffsetAllocator, pages: number): Stretch[] | null {
  const got: Stretch[] = [];
  let order = ORDER_MAX;
  for (let left = pages; left > 0;) {
    while (1 << order > left) order--;
    const offset = vram.alloc(order);
    if (offset !== NO_SPACE) {
      got.push({ offset, order });
      left -= 1 << order;
    } else if (order-- === 0) {
      freeStretches(vram, got);
      return null;
    }
  }
  return got;
}

export function freeStretches(vram: OffsetAllocator, stretches: readonly Stretch[]): void {
  for (const { offset, order } of stretches) vram.free(offset, order);
}

/** amdgpu_res_first, amdgpu_res_next: where page after page of a BO lies. */
export class VramCursor {
  readonly #stretches: readonly Stretch[];
  #at = 0;
  #in: number;

  /** At page `page` of the BO. */
  constructor(stretches: readonly Stretch[], page: number) {
    this.#stretches = stretches;
    this.#in = page;
    this.#settle();
  }

  #settle(): void {
    while (this.#at < this.#stretches.length && this.#in >= 1 << this.#stretches[this.#at].order)
      this.#in -= 1 << this.#stretches[this.#at++].order;
  }

  /** Offset in the page map. */
  get offset(): number {
    return this.#stretches[this.#at].offset + this.#in;
  }

  next(pages: number): void {
    this.#in += pages;
    this.#settle();
  }
}
