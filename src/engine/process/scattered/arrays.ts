/**
 * Arrays with an entry for each page of an object: page numbers, or slots.
 *
 * Up to half a page they are an object of a general cache, beyond that whole
 * pages with a directory over them, so that every entry can be reached and every
 * byte is one that was allocated. The kernel has kmalloc for the first and a
 * nested vmalloc for the second (__vmalloc_area_node of 6.18), whose page tables
 * stand where the directory is here (simplified).
 */
import type { Ref } from "../../../units.js";
import { MISC_VMALLOC } from "../../design/word/axis-types.js";
import { MIGRATE_UNMOVABLE } from "../../pages/zones.js";
import type { Core } from "../core.js";
import { O_KMALLOC } from "../objects.js";

const NONE = 0 as Ref;
const CHUNK = 4096;
const SMALLEST = 64;
const LARGEST = 2048;
const ZEROES = new Int32Array(4);

/** Entries that an array of that stride may have: one directory page of chunks. */
export const mostEntries = (stride: number): number => (CHUNK / 8) * (CHUNK / stride);

export class Arrays {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** A page for the kernel itself; its frame, or ENOMEM. May reclaim. */
  page(order = 0): number {
    const { machine } = this.core;
    for (;;) {
      const pfn = machine.allocator.alloc(order, MIGRATE_UNMOVABLE);
      // What is costly to find is not reclaimed for: the caller can do with less.
      if (pfn >= 0 || order > 0 || !machine.onPressure()) return pfn;
    }
  }

  /** An array of zeroes for `n` entries of 8 or 16 bytes; 0 without memory. */
  alloc(n: number, stride: number): Ref {
    if (n > mostEntries(stride)) return NONE;
    if (n * stride <= LARGEST) return this.#small(n * stride);
    const chunks = Math.ceil((n * stride) / CHUNK);
    const directory = this.#block(chunks * 8);
    if (directory === NONE) return NONE;
    for (let i = 0; i < chunks; i++) {
      const chunk = this.#chunk();
      if (chunk === NONE) {
        this.#freeChunks(directory, i);
        this.#freeBlock(directory, chunks * 8);
        return NONE;
      }
      this.core.setPointer((directory + (i >> 1)) as Ref, (i & 1) << 3, chunk);
    }
    return directory;
  }

  free(array: Ref, n: number, stride: number): void {
    if (n * stride <= LARGEST) return this.#freeSmall(array, n * stride);
    const chunks = Math.ceil((n * stride) / CHUNK);
    this.#freeChunks(array, chunks);
    this.#freeBlock(array, chunks * 8);
  }

  /** Where entry `i` is, to 16 bytes; `(i × stride) & 15` goes on from there. */
  at(array: Ref, n: number, stride: number, i: number): Ref {
    const byte = i * stride;
    if (n * stride <= LARGEST) return (array + (byte >> 4)) as Ref;
    const c = Math.floor(byte / CHUNK);
    const chunk = this.core.pointer((array + (c >> 1)) as Ref, (c & 1) << 3);
    return (chunk + ((byte % CHUNK) >> 4)) as Ref;
  }

  /** Bytes that were allocated for such an array. */
  bytes(n: number, stride: number): number {
    if (n * stride <= LARGEST) return sizeClass(n * stride);
    const chunks = Math.ceil((n * stride) / CHUNK);
    return chunks * CHUNK + (chunks * 8 <= LARGEST ? sizeClass(chunks * 8) : CHUNK);
  }

  #block(size: number): Ref {
    return size <= LARGEST ? this.#small(size) : this.#chunk();
  }

  #freeBlock(block: Ref, size: number): void {
    if (size <= LARGEST) this.#freeSmall(block, size);
    else this.#freeChunk(block);
  }

  #freeChunks(directory: Ref, n: number): void {
    for (let i = 0; i < n; i++)
      this.#freeChunk(this.core.pointer((directory + (i >> 1)) as Ref, (i & 1) << 3));
  }

  #small(size: number): Ref {
    return this.core.newObject(kindOf(size));
  }

  #freeSmall(object: Ref, size: number): void {
    this.core.freeObject(kindOf(size), object);
  }

  #chunk(): Ref {
    const { machine, design, w } = this.core;
    const pfn = this.page();
    if (pfn < 0) return NONE;
    if (!machine.heap.hasRoom(1)) {
      machine.allocator.free(pfn, 0);
      return NONE;
    }
    design.bindMisc(pfn, 0, MISC_VMALLOC, false, design.zoneOf(pfn));
    const chunk = machine.heap.take(pfn, 1);
    w.fillRun(chunk, 0, ZEROES, CHUNK / 16, null, 0, 0);
    return chunk;
  }

  #freeChunk(chunk: Ref): void {
    const { machine, design } = this.core;
    const pfn = machine.heap.frameOf(chunk);
    machine.heap.give(chunk, 1);
    design.release(pfn, 0);
    machine.allocator.free(pfn, 0);
  }
}

const classOf = (size: number): number =>
  Math.max(0, Math.ceil(Math.log2(Math.max(1, size) / SMALLEST)));
const kindOf = (size: number): number => O_KMALLOC + classOf(size);
const sizeClass = (size: number): number => SMALLEST * 2 ** classOf(size);
