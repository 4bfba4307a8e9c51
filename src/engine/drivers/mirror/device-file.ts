/**
 * mmap of the mirror driver's device file: zeroed pages of the kernel, one for each
 * page of the mapping, that are its own from then on.
 *
 * vm_insert_page puts in pages that are counted, that GUP may get and HMM may hand
 * out: VM_MIXEDMAP and entries that are not special, read-only because the mapping
 * is private. In every design the cheapest kind of memory that is all this is a
 * folio, and the driver's memory says so. Without GUP a bare page or managed memory
 * would do; those are mapped by frame number (VM_PFNMAP), where HMM sees an error
 * and no page, in every design alike.
 *
 * Source: lib/test_hmm.c (dmirror_fops_mmap), mm/memory.c (vm_insert_page,
 * insert_page) of 6.18; device-facts §4.1.
 */
import { wholeNumber } from "../../process/arguments.js";
import { MAP_PRIVATE } from "../../process/constants.js";
import type { Kernel } from "../../process/kernel.js";
import type { Process } from "../../process/process.js";
import { DriverMemory, type DriverBlock } from "../driver-memory.js";
import { mapFrames } from "../map-pages.js";

/** What the pages of such a mapping must allow. */
const NEEDS = { userMap: true, refcount: true, gup: true };
/** Pages of one mapping at most: 4 GiB, the largest machine. */
const MOST = 2 ** 20;

/**
 * Maps `pages` fresh pages (1 … 2^20) of the device's file, private and writable; the
 * address. They go when nothing maps or holds them any more. Throws MmError (ENOMEM)
 * with nothing mapped, RangeError.
 */
export function mapDeviceFile(process: Process, kernel: Kernel, pages: number): number {
  wholeNumber("pages of a device file", pages, 1, MOST);
  const memory = new DriverMemory(kernel);
  const blocks: DriverBlock[] = [];
  try {
    for (let i = 0; i < pages; i++) {
      blocks.push(memory.allocate(NEEDS));
      setPlace(memory, blocks[i].pfn, i);
    }
    const frames = blocks.map((block) => block.pfn);
    return mapFrames(kernel, process, memory.file, frames, "folio", { flags: MAP_PRIVATE, own: 0 });
  } finally {
    // put_page: the mapping has a reference of its own, and holds the file.
    for (const block of blocks) block.free();
    memory.close();
  }
}

/**
 * The reverse map finds such a page by its place in the file (simplified: the kernel's
 * has neither mapping nor index, and no reverse map).
 */
function setPlace({ kernel }: DriverMemory, pfn: number, index: number): void {
  const { folios } = kernel.base;
  folios.setIndex(folios.ofPage(pfn), index);
}
