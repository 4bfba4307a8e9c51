/**
 * What a trace did to memory, decided: blocks allocated, freed, cut in smaller ones.
 *
 * Frames are those of the traced machine; a replay keeps for each of them where its
 * own allocator put the block. Every operation says which kind it is about, so a
 * machine of any design can follow without knowing any event.
 */
declare const op: unique symbol;
export type OpKind = number & { readonly [op]: "OpKind" };

/** A block of 2^order pages at `pfn` is allocated. */
export const OP_ALLOC = 1 as OpKind;
/** The block at `pfn` is freed. */
export const OP_FREE = 2 as OpKind;
/** The block of 2^order at `pfn` becomes blocks of 2^arg. */
export const OP_SPLIT = 3 as OpKind;
/** A user page fault; nothing but the time it happened. */
export const OP_FAULT = 4 as OpKind;

/** Allocations: in `arg`, beside the migrate type: charged to a cgroup, and no user's memory. */
export const CHARGED = 16;
export const MIGRATE_MASK = 15;

/** Operations in columns, refilled. */
export class OpBatch {
  readonly capacity: number;
  length = 0;
  readonly time: Float64Array;
  readonly op: Uint8Array;
  readonly cpu: Uint16Array;
  readonly pfn: Int32Array;
  readonly order: Uint8Array;
  /** KINDS of the block. */
  readonly kind: Uint8Array;
  /** Allocations: the migrate type that was asked for, and {@link CHARGED}; splits: the new order. */
  readonly arg: Uint8Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.time = new Float64Array(capacity);
    this.op = new Uint8Array(capacity);
    this.cpu = new Uint16Array(capacity);
    this.pfn = new Int32Array(capacity);
    this.order = new Uint8Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.arg = new Uint8Array(capacity);
  }

  push(
    time: number,
    what: OpKind,
    cpu: number,
    pfn: number,
    order: number,
    kind: number,
    arg: number,
  ): void {
    const i = this.length++;
    this.time[i] = time;
    this.op[i] = what;
    this.cpu[i] = cpu;
    this.pfn[i] = pfn;
    this.order[i] = order;
    this.kind[i] = kind;
    this.arg[i] = arg;
  }
}
