/**
 * Events → operations: a bounded look ahead in which it shows what each allocation
 * was, and the frames of the traced machine, to which every free is put.
 *
 * Nothing says at the time of an allocation what it is for; the LRU list or the page
 * cache says so a little later. Events therefore wait in a ring of a fixed number, and
 * an allocation takes the kind that the strongest rule gave it until it leaves.
 * Memory does not grow with the trace. Each allocation and each free is counted under
 * exactly one heading of {@link Tally}: what could not be followed has its reason.
 *
 * Rules and facts: docs/classification.md; trace-facts.
 */
import {
  EV_ALLOC,
  EV_CACHE_ADD,
  EV_CACHE_DELETE,
  EV_FAULT_KERNEL,
  EV_FAULT_USER,
  EV_FREE,
  EV_FREE_BATCHED,
  EV_LOST,
  EV_LRU_INSERTION,
  EV_POOL_HOLD,
  EV_SAMPLE,
  EVENT_KINDS,
  type EventBatch,
} from "../events.js";
import {
  answerOfBlock,
  blockWord,
  Frames,
  FRAMES_MAX,
  isTraced,
  kindOfBlock,
  ORDER_MAX,
  orderOfBlock,
} from "./frames.js";
import {
  byFlags,
  byLru,
  byRule,
  FILE,
  KERNEL,
  kindOfAnswer,
  R_CACHE_ADD,
  R_CACHE_DELETE,
  R_GFP_ACCOUNT,
  R_LRU_ANON,
  R_LRU_FILE,
  R_LRU_SHMEM,
  R_PAGE_POOL,
  R_SAMPLED,
  ruleOfAnswer,
  SHMEM,
  TRACE_RULES,
} from "./kinds.js";
import {
  CHARGED,
  MIGRATE_MASK,
  OP_ALLOC,
  OP_FAULT,
  OP_FREE,
  OP_SPLIT,
  type OpBatch,
} from "./ops.js";
import { kindOfFlags } from "./sampled.js";

/** Events that wait: a second and more of a busy machine. */
export const LOOK_AHEAD = 1 << 18;

/** Most operations that one event can become: a block cut, its parts freed, and the event's own. */
const OPS_PER_EVENT = (1 << ORDER_MAX) + 64;

/** Where every allocation and free of a trace went. Sums: see {@link Decide.tally}. */
export interface Tally {
  /** Rows by kind of event. */
  readonly events: Float64Array;
  /** Allocations that became an operation. */
  allocations: number;
  /** Frees that became operations. */
  frees: number;
  /** Allocations and frees of a frame or order that no machine has. */
  impossible: number;
  /** Frees of frames that nobody was known to hold: allocated silently, or before a trace without snapshot. */
  unknownFrees: number;
  /** Pages of those. */
  unknownPages: number;
  /** Blocks that were still held when their frames were allocated again; their pages, by why: */
  overtaken: number;
  /** On a per-CPU list when the snapshot was taken, which looks like a kernel page. */
  perCpuPages: number;
  /** Of the same kind in the snapshot: allocated while it was being read. */
  shownPages: number;
  /** Their free was not seen. */
  unseenPages: number;
  /** Blocks cut because a part of them was freed. */
  splits: number;
  /** Frees that took several smaller blocks. */
  joined: number;
  /** Insertions into an LRU list of frames that nobody was known to hold: migration targets, silent ones. */
  strangers: number;
  /** Insertions that came after their allocation had left the look-ahead and said another kind. */
  late: number;
  /** Allocations by rule. */
  readonly rules: Float64Array;
  /** Allocations by kind and order: kind × 11 + order. */
  readonly orders: Float64Array;
}

export class Decide {
  readonly frames: Frames;
  readonly tally: Tally = {
    events: new Float64Array(EVENT_KINDS),
    allocations: 0,
    frees: 0,
    impossible: 0,
    unknownFrees: 0,
    unknownPages: 0,
    overtaken: 0,
    perCpuPages: 0,
    shownPages: 0,
    unseenPages: 0,
    splits: 0,
    joined: 0,
    strangers: 0,
    late: 0,
    rules: new Float64Array(TRACE_RULES.length),
    orders: new Float64Array(32 * (ORDER_MAX + 1)),
  };
  /** Milliseconds of the trace, + 1, at which each block was allocated; null where nobody asks. */
  born: Frames | null = null;
  /** Called once, before the first effect at that time or later. */
  onMoment: (() => void) | null = null;
  moment = Infinity;
  /** Time of the first effect. */
  began = -1;
  readonly #size: number;
  // The ring: what an operation needs of its event.
  readonly #time: Float64Array;
  readonly #kind: Uint8Array;
  readonly #cpu: Uint16Array;
  readonly #pfn: Int32Array;
  readonly #order: Uint8Array;
  readonly #type: Uint8Array;
  /** Allocations: kind and rule as far as known. */
  readonly #answer: Int32Array;
  #first = 0;
  #count = 0;
  /** Place in the ring of the allocation that a frame waits with, + 1. */
  readonly #waiting = new Frames();

  constructor(frames = new Frames(), lookAhead = LOOK_AHEAD) {
    this.frames = frames;
    this.#size = lookAhead;
    this.#time = new Float64Array(lookAhead);
    this.#kind = new Uint8Array(lookAhead);
    this.#cpu = new Uint16Array(lookAhead);
    this.#pfn = new Int32Array(lookAhead);
    this.#order = new Uint8Array(lookAhead);
    this.#type = new Uint8Array(lookAhead);
    this.#answer = new Int32Array(lookAhead);
  }

  /**
   * Takes in a batch; `full` is handed operations whenever `ops` has no room for
   * what one more event may become, and must empty it.
   */
  take(batch: EventBatch, ops: OpBatch, full: () => void): void {
    const { events } = this.tally;
    for (let i = 0; i < batch.length; i++) {
      const kind = batch.kind[i];
      events[kind]++;
      switch (kind) {
        case EV_ALLOC:
          this.#alloc(batch, i, ops, full);
          break;
        case EV_FREE:
          if (this.#isPossible(batch.x[i], batch.a[i])) this.#wait(batch, i, 0, ops, full);
          else this.tally.impossible++;
          break;
        case EV_FAULT_USER:
        case EV_FAULT_KERNEL:
          this.#wait(batch, i, 0, ops, full);
          break;
        case EV_LRU_INSERTION:
          this.#says(batch.x[i], byLru(batch.b[i]), true);
          break;
        case EV_CACHE_ADD:
          this.#says(batch.x[i], byRule(FILE, R_CACHE_ADD), true);
          break;
        case EV_CACHE_DELETE:
          this.#says(batch.x[i], byRule(SHMEM, R_CACHE_DELETE), false);
          break;
        case EV_POOL_HOLD:
          this.#says(batch.x[i], byRule(KERNEL, R_PAGE_POOL), false);
          break;
        case EV_SAMPLE:
          this.#sampled(batch.x[i], batch.a[i], batch.b[i]);
          break;
        // A batched free repeats an ordinary one; the others say nothing of who holds what.
        case EV_FREE_BATCHED:
        case EV_LOST:
        default:
      }
    }
  }

  /** The end of the trace: what waits is decided. */
  finish(ops: OpBatch, full: () => void): void {
    while (this.#count > 0) this.#leave(ops, full);
  }

  #isPossible(pfn: number, order: number): boolean {
    return pfn >= 0 && pfn < FRAMES_MAX && order >= 0 && order <= ORDER_MAX && pfn % 1 === 0;
  }

  #alloc(batch: EventBatch, i: number, ops: OpBatch, full: () => void): void {
    const pfn = batch.x[i];
    const order = batch.a[i];
    // An allocation that failed is traced with frame −1, and no page was got.
    if (!this.#isPossible(pfn, order)) {
      this.tally.impossible++;
      return;
    }
    const at = this.#wait(batch, i, byFlags(order, batch.b[i]), ops, full);
    this.#waiting.set(pfn, at + 1);
  }

  /** Puts an event at the end of the ring; its place. */
  #wait(batch: EventBatch, i: number, answer: number, ops: OpBatch, full: () => void): number {
    if (this.#count === this.#size) this.#leave(ops, full);
    const at = (this.#first + this.#count++) % this.#size;
    this.#time[at] = batch.time[i];
    this.#kind[at] = batch.kind[i];
    this.#cpu[at] = batch.cpu[i];
    this.#pfn[at] = batch.x[i];
    this.#order[at] = batch.a[i];
    this.#type[at] = batch.c[i];
    this.#answer[at] = answer;
    return at;
  }

  /** Strength of a rule: a stronger one is not overruled. */
  #isStronger(answer: number, than: number): boolean {
    return STRENGTH[ruleOfAnswer(answer)] > STRENGTH[ruleOfAnswer(than)];
  }

  /** Something says what a frame's page is; its block may wait, or be held already. */
  #says(pfn: number, answer: number, counts: boolean): void {
    if (!(pfn >= 0 && pfn < FRAMES_MAX)) return;
    const waits = this.#waiting.at(pfn);
    if (waits !== 0) {
      if (this.#isStronger(answer, this.#answer[waits - 1])) this.#answer[waits - 1] = answer;
      return;
    }
    const head = this.frames.headOf(pfn);
    if (head < 0) {
      if (counts) this.tally.strangers++;
      return;
    }
    const word = this.frames.at(head);
    if (!isTraced(word) || !this.#isStronger(answer, answerOfBlock(word))) return;
    // Too late for the machine, not for the account of what is there at the end.
    if (kindOfBlock(word) !== kindOfAnswer(answer)) this.tally.late++;
    this.frames.set(head, blockWord(orderOfBlock(word), answer, true));
  }

  #sampled(pfn: number, lo: number, hi: number): void {
    const kind = kindOfFlags(lo, hi);
    if (kind === null) return;
    // A word without any bit that tells is kernel memory, or a page of the cache that waits
    // for its LRU list: it overrules what was asked for, not what an event has said.
    if (kind === KERNEL && this.#isToldByEvent(pfn)) return;
    this.#says(pfn, byRule(kind, R_SAMPLED), false);
  }

  #isToldByEvent(pfn: number): boolean {
    if (!(pfn >= 0 && pfn < FRAMES_MAX)) return false;
    const waits = this.#waiting.at(pfn);
    const head = waits === 0 ? this.frames.headOf(pfn) : -1;
    if (waits === 0 && head < 0) return false;
    const answer = waits === 0 ? answerOfBlock(this.frames.at(head)) : this.#answer[waits - 1];
    return STRENGTH[ruleOfAnswer(answer)] > 1;
  }

  /** The oldest event leaves the ring and takes effect. */
  #leave(ops: OpBatch, full: () => void): void {
    if (ops.capacity - ops.length < OPS_PER_EVENT) full();
    const at = this.#first;
    this.#first = (at + 1) % this.#size;
    this.#count--;
    const time = this.#time[at];
    const cpu = this.#cpu[at];
    const pfn = this.#pfn[at];
    if (this.began < 0) this.began = time;
    if (time >= this.moment) {
      this.moment = Infinity;
      this.onMoment?.();
    }
    switch (this.#kind[at]) {
      case EV_ALLOC:
        if (this.#waiting.at(pfn) === at + 1) this.#waiting.set(pfn, 0);
        return this.#allocated(
          ops,
          time,
          cpu,
          pfn,
          this.#order[at],
          this.#answer[at],
          this.#type[at],
        );
      case EV_FREE:
        return this.#freed(ops, time, cpu, pfn, this.#order[at]);
      default:
        ops.push(time, OP_FAULT, cpu, 0, 0, 0, 0);
    }
  }

  #allocated(
    ops: OpBatch,
    time: number,
    cpu: number,
    pfn: number,
    order: number,
    answer: number,
    migrateType: number,
  ): void {
    const { tally, frames } = this;
    const kind = kindOfAnswer(answer);
    // Whoever was held here was freed, and nothing said so.
    for (let at = pfn; at < pfn + (1 << order); at++) {
      const head = at === pfn ? frames.headOf(at) : frames.at(at) === 0 ? -1 : at;
      if (head < 0) continue;
      const word = frames.at(head);
      const pages = 1 << orderOfBlock(word);
      if (!isTraced(word) && kindOfBlock(word) === KERNEL) tally.perCpuPages += pages;
      else if (!isTraced(word) && kindOfBlock(word) === kind) tally.shownPages += pages;
      else tally.unseenPages += pages;
      tally.overtaken++;
      this.#drop(ops, time, cpu, head, word);
    }
    frames.set(pfn, blockWord(order, answer, true));
    if (this.born !== null) this.born.set(pfn, Math.floor((time - this.began) / 1e6) + 1);
    tally.allocations++;
    tally.rules[ruleOfAnswer(answer)]++;
    tally.orders[kind * (ORDER_MAX + 1) + order]++;
    const charged = ruleOfAnswer(answer) === R_GFP_ACCOUNT ? CHARGED : 0;
    ops.push(time, OP_ALLOC, cpu, pfn, order, kind, (migrateType & MIGRATE_MASK) | charged);
  }

  #drop(ops: OpBatch, time: number, cpu: number, pfn: number, word: number): void {
    this.frames.set(pfn, 0);
    ops.push(time, OP_FREE, cpu, pfn, orderOfBlock(word), kindOfBlock(word), 0);
  }

  /** mm_page_free: of a whole block, of a part of one, or of several at once. */
  #freed(ops: OpBatch, time: number, cpu: number, pfn: number, order: number): void {
    const { tally, frames } = this;
    const head = frames.headOf(pfn);
    if (head >= 0 && orderOfBlock(frames.at(head)) > order) this.#cut(ops, time, cpu, head, order);
    const end = pfn + (1 << order);
    let found = 0;
    let pages = 0;
    for (let at = pfn; at < end;) {
      const word = frames.at(at);
      if (word === 0) {
        at++;
        continue;
      }
      const size = 1 << orderOfBlock(word);
      this.#drop(ops, time, cpu, at, word);
      found++;
      pages += size;
      at += size;
    }
    if (found === 0) {
      tally.unknownFrees++;
      tally.unknownPages += 1 << order;
      return;
    }
    tally.frees++;
    if (found > 1) tally.joined++;
    if (pages < 1 << order) tally.unknownPages += (1 << order) - pages;
  }

  /** A part of a block is freed: it was cut into blocks of that order before. */
  #cut(ops: OpBatch, time: number, cpu: number, head: number, order: number): void {
    const { frames } = this;
    const word = frames.at(head);
    const was = orderOfBlock(word);
    const part = blockWord(order, answerOfBlock(word), isTraced(word));
    for (let at = head; at < head + (1 << was); at += 1 << order) frames.set(at, part);
    this.tally.splits++;
    ops.push(time, OP_SPLIT, cpu, head, was, kindOfBlock(word), order);
  }
}

/** How far a rule is believed: what looked at the page, before what was asked for it. */
const STRENGTH = Uint8Array.from(TRACE_RULES, (_, rule) => {
  if (rule === R_SAMPLED) return 9;
  if (rule === R_LRU_ANON || rule === R_LRU_SHMEM || rule === R_LRU_FILE) return 8;
  if (rule === R_CACHE_ADD) return 7;
  if (rule === R_PAGE_POOL) return 6;
  if (rule === R_CACHE_DELETE) return 5;
  return 1;
});
