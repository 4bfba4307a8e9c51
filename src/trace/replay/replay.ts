/**
 * Operations of a trace on a machine of one design, with all that it costs.
 *
 * The machine begins as the snapshot before the trace, or empty, and does with its
 * own allocator what the traced kernel did: the same blocks of the same kinds in the
 * same order and on the same processors, at frames of its own choosing. `home` says
 * where the block is that the traced machine had at a frame. What the machine cannot
 * do is counted by reason, and nothing of it is done.
 *
 * Costs are what the engine reserves: pages of slabs are read off its heap after
 * every operation, objects off its caches at every sample. One operation of
 * {@link LINES_EVERY} also notes which cache lines of metadata it reads and writes.
 */
import {
  isFolioType,
  MISC_UNKNOWN,
  T_ACCTMEM,
  T_ANON,
  T_FILE,
  T_MISC,
  T_PGTABLE,
  T_SLAB,
  type PageType,
} from "../../engine/design/word/axis-types.js";
import type { Machine } from "../../engine/machine.js";
import { PCP_TYPES } from "../../engine/pages/allocator.js";
import { SampledWords } from "../../engine/words/sampled.js";
import { KINDS } from "../../observe/kinds.js";
import {
  CHARGED,
  MIGRATE_MASK,
  OP_ALLOC,
  OP_FREE,
  OP_SPLIT,
  type OpBatch,
} from "../classify/ops.js";
import { ANON, FILE, PAGE_TABLE, SHMEM, SLAB } from "../classify/kinds.js";
import type { Grouped } from "./grouped.js";
import type { Homes } from "./homes.js";
import { LineTable } from "./lines.js";
import { Series } from "./series.js";

/** Of so many operations one has its cache lines noted. */
export const LINES_EVERY = 64;

/** Why an allocation, a free or a split was not done. */
export const REFUSALS = [
  "ENOMEM",
  "its allocation was refused",
  "no descriptor for a part",
] as const;

/** Kinds → the type that describes them; Misc for what none does. */
const TYPE_OF = KINDS.map((_, kind): PageType => {
  if (kind === FILE || kind === SHMEM) return T_FILE;
  if (kind === ANON) return T_ANON;
  if (kind === SLAB) return T_SLAB;
  if (kind === PAGE_TABLE) return T_PGTABLE;
  return T_MISC;
});

export class Replay {
  readonly machine: Machine;
  readonly homes: Homes;
  readonly series: Series;
  readonly lines = new LineTable();
  allocations = 0;
  frees = 0;
  splits = 0;
  /** Operations not done, by {@link REFUSALS}. */
  readonly refused = new Float64Array(REFUSALS.length);
  /** Time of the first allocation that was; −1 for none. */
  firstRefused = -1;
  #taken = 0;
  #given = 0;
  /** Pages of slabs that came to be and went. */
  slabPagesGained = 0;
  slabPagesLost = 0;
  faults = 0;
  readonly #words: SampledWords | null;
  readonly #cpus: number;
  #held: number;
  #until = LINES_EVERY;

  /** Larger folios for what comes in small ones; null where all is as it was. */
  readonly #grouped: Grouped | null;
  /** Type of charged kernel memory, where the design has one. */
  readonly #charged: PageType;

  /** `homes` knows the blocks that the machine was populated with. */
  constructor(machine: Machine, homes: Homes, grouped: Grouped | null = null) {
    this.#grouped = grouped;
    this.#charged = machine.design.cacheFor(T_ACCTMEM, 0) >= 0 ? T_ACCTMEM : T_MISC;
    this.machine = machine;
    this.homes = homes;
    this.#words = machine.w instanceof SampledWords ? machine.w : null;
    this.#cpus = machine.config.cpus;
    this.#held = machine.heap.held();
    this.series = new Series(machine);
  }

  /** Descriptors that were taken. */
  get descriptorsTaken(): number {
    return this.#taken + (this.#hasLarge() ? (this.#grouped?.made ?? 0) : 0);
  }

  /** Descriptors that were given back. */
  get descriptorsGiven(): number {
    return this.#given + (this.#hasLarge() ? (this.#grouped?.freed ?? 0) : 0);
  }

  /** Whether a large folio has a descriptor of its own. */
  #hasLarge(): boolean {
    return this.machine.design.cacheFor(T_FILE, 1) >= 0;
  }

  apply(ops: OpBatch): void {
    const { series } = this;
    for (let i = 0; i < ops.length; i++) {
      const time = ops.time[i];
      if (time >= series.next) series.sample(time);
      const what = ops.op[i];
      if (what === OP_ALLOC || what === OP_FREE) this.#one(ops, i, what);
      else if (what === OP_SPLIT) this.#split(ops.pfn[i], ops.order[i], ops.arg[i]);
      else this.faults++;
    }
  }

  /** An allocation or a free, and what it did to the heap of descriptors. */
  #one(ops: OpBatch, i: number, what: number): void {
    const { machine } = this;
    machine.allocator.cpu = ops.cpu[i] % this.#cpus;
    const words = --this.#until === 0 ? this.#words : null;
    if (words !== null) words.start();
    const order = ops.order[i];
    const kind = ops.kind[i];
    const done =
      what === OP_ALLOC
        ? this.#alloc(ops.pfn[i], order, kind, ops.arg[i])
        : this.#free(ops.pfn[i], order);
    if (!done && this.firstRefused < 0) this.firstRefused = ops.time[i];
    if (words !== null && done) this.lines.add(what, kind, order, words.stop());
    else if (words !== null) words.stop();
    if (this.#until === 0) this.#until = LINES_EVERY;
    const held = machine.heap.held();
    if (held !== this.#held) this.#heap(held, ops.time[i]);
  }

  #heap(held: number, time: number): void {
    if (held > this.#held) this.slabPagesGained += held - this.#held;
    else this.slabPagesLost += this.#held - held;
    this.#held = held;
    this.series.changed(time, held);
  }

  #alloc(pfn: number, order: number, kind: number, arg: number): boolean {
    const { machine } = this;
    const type = (arg & CHARGED) !== 0 ? this.#charged : TYPE_OF[kind];
    const part =
      this.#grouped === null ? -1 : this.#grouped.alloc(order, kind, machine.allocator.cpu, type);
    const got = part >= 0 ? part : this.#allocOne(order, type, arg & MIGRATE_MASK);
    this.homes.set(pfn, got);
    if (got < 0) {
      this.refused[0]++;
      return false;
    }
    this.allocations++;
    return true;
  }

  #allocOne(order: number, type: PageType, migrateType: number): number {
    const { machine } = this;
    const described = machine.design.cacheFor(type, order) >= 0;
    if (described) this.#taken++;
    const got = isFolioType(type)
      ? machine.allocFolio(order, type)
      : type !== T_MISC && machine.design.holds(type)
        ? machine.allocTyped(order, type)
        : machine.allocPages(order, migrateType < PCP_TYPES ? migrateType : 0);
    if (got < 0 && described) this.#taken--;
    return got;
  }

  #free(pfn: number, order: number): boolean {
    const { machine } = this;
    const at = this.homes.take(pfn);
    if (at < 0) {
      this.refused[1]++;
      return false;
    }
    this.frees++;
    if (this.#grouped !== null && this.#grouped.free(at, order)) return true;
    const type = machine.design.typeOf(at);
    if (machine.design.cacheFor(type, order) >= 0) this.#given++;
    if (isFolioType(type)) this.#putLast(at);
    machine.freeBlock(at, order);
    return true;
  }

  /** folio_put: of a snapshot's folio all references at once, whoever held them. */
  #putLast(at: number): void {
    const { w, design } = this.machine;
    w.store32(design.descriptorOf(at), design.folio.refcount, 0);
  }

  /** A block becomes smaller ones, each described for itself. */
  #split(pfn: number, order: number, into: number): void {
    const { machine, homes } = this;
    const { design } = machine;
    const at = homes.at(pfn);
    this.splits++;
    const type = at < 0 ? T_MISC : design.typeOf(at);
    // A part of a larger folio needs no descriptor of its own to be a part.
    const whole = at >= 0 && design.orderOf(at) === order && design.blockOf(at) === at;
    if (whole && design.cacheFor(type, order) >= 0) this.#given++;
    if (whole && isFolioType(type)) this.#putLast(at);
    if (whole) machine.disownFolio(at);
    for (let i = 0; i < 1 << order; i += 1 << into) {
      homes.set(pfn + i, at < 0 ? -1 : at + i);
      if (!whole) continue;
      if (isFolioType(type) && machine.adoptFolio(at + i, into, type)) {
        if (design.cacheFor(type, into) >= 0) this.#taken++;
        continue;
      }
      if (isFolioType(type)) this.refused[2]++;
      design.bindMisc(at + i, into, MISC_UNKNOWN, false, design.zoneOf(at + i));
    }
  }

  /** The end of the trace at a time. */
  finish(time: number): void {
    this.series.sample(time);
  }
}
