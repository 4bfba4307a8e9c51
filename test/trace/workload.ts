/**
 * Workloads made of numbers, for the tests of deciding and replaying: a traced
 * machine as plain as it can be (who holds which block), and the events it would
 * have written. Some things happen without an event, as in a real kernel.
 */
import {
  EV_ALLOC,
  EV_CACHE_ADD,
  EV_FAULT_USER,
  EV_FREE,
  EV_FREE_BATCHED,
  EV_LRU_INSERTION,
  EventBatch,
  type EventKind,
} from "../../src/trace/events.js";

const HIGHUSER_MOVABLE = 0x100cca;
const ZERO = 0x100;
const COMP = 0x40000;
const PAGE_TABLE = 0x400cc0 | ZERO | COMP;
const ACCOUNTED = 0x400cc2;
const KERNEL = 0xcc0;
/** Flags of mm_lru_insertion: anonymous and swap-backed; mapped to disk. */
const LRU_ANON = 0x12;
const LRU_FILE = 0x20;
const LRU_SHMEM = 0x10;

export type MadeKind = "anon" | "file" | "shmem" | "page-table" | "kernel";

export interface MadeBlock {
  readonly pfn: number;
  readonly order: number;
  readonly kind: MadeKind;
}

export class Workload {
  readonly batch = new EventBatch(8192);
  readonly held: MadeBlock[] = [];
  readonly frames: number;
  allocations = 0;
  frees = 0;
  #time = 1000;

  constructor(frames: number) {
    this.frames = frames;
  }

  event(kind: EventKind, x: number, a = 0, b = 0, c = 0, cpu = 0): void {
    this.batch.push((this.#time += 1000), kind, cpu, 1, x, a, b, c);
  }

  #isFree(pfn: number, order: number): boolean {
    if (pfn + (1 << order) > this.frames) return false;
    return this.held.every((b) => b.pfn + (1 << b.order) <= pfn || b.pfn >= pfn + (1 << order));
  }

  /** An allocation at the first place where it fits, as `kind`; false where there is none. */
  alloc(order: number, kind: MadeKind, cpu = 0): boolean {
    let pfn = 0;
    while (pfn < this.frames && !this.#isFree(pfn, order)) pfn += 1 << order;
    if (pfn >= this.frames) return false;
    this.held.push({ pfn, order, kind });
    this.allocations++;
    const user = kind === "anon" || kind === "file" || kind === "shmem";
    const gfp = user
      ? HIGHUSER_MOVABLE | COMP | (kind === "anon" ? ZERO : 0)
      : kind === "page-table"
        ? PAGE_TABLE
        : cpu === 0
          ? KERNEL
          : ACCOUNTED;
    this.event(EV_ALLOC, pfn, order, gfp, user ? 1 : 0, cpu);
    if (kind === "file") this.event(EV_CACHE_ADD, pfn, order, 1, 1, cpu);
    if (kind === "anon") this.event(EV_LRU_INSERTION, pfn, 0, LRU_ANON, 0, cpu);
    if (kind === "file") this.event(EV_LRU_INSERTION, pfn, 0, LRU_FILE, 0, cpu);
    if (kind === "shmem") this.event(EV_LRU_INSERTION, pfn, 0, LRU_SHMEM, 0, cpu);
    return true;
  }

  free(pick: number, cpu = 0): void {
    if (this.held.length === 0) return;
    const [block] = this.held.splice(pick % this.held.length, 1);
    this.frees++;
    if (block.order === 0 && pick % 3 === 0) this.event(EV_FREE_BATCHED, block.pfn, 0, 0, 0, cpu);
    this.event(EV_FREE, block.pfn, block.order, 0, 0, cpu);
  }

  /** A block is freed in parts of another order: it was cut before. */
  freeInParts(pick: number, order: number): void {
    const large = this.held.filter((b) => b.order > order);
    if (large.length === 0) return;
    const block = large[pick % large.length];
    this.held.splice(this.held.indexOf(block), 1);
    for (let at = block.pfn; at < block.pfn + (1 << block.order); at += 1 << order) {
      this.frees++;
      this.event(EV_FREE, at, order);
    }
  }

  /** One step, decoded from a number. */
  step(n: number): void {
    const kinds: readonly MadeKind[] = ["anon", "anon", "file", "shmem", "page-table", "kernel"];
    const kind = kinds[(n >>> 4) % kinds.length];
    const order = kind === "page-table" ? 0 : [0, 0, 0, 1, 2, 3, 4, 5][(n >>> 8) & 7];
    const cpu = (n >>> 12) & 1;
    switch (n & 7) {
      case 0:
      case 1:
      case 2:
      case 3:
        this.alloc(order, kind, cpu);
        return;
      case 4:
      case 5:
        return this.free(n >>> 4, cpu);
      case 6:
        return this.freeInParts(n >>> 4, (n >>> 8) & 1);
      default:
        this.event(EV_FAULT_USER, (n >>> 4) & 0xffff, 6, 0, 0, cpu);
    }
  }
}
