/**
 * A replay's report written by hand, for tests of the views only: every field is
 * used, names from outside hold what must be escaped or quoted. No figure in it was
 * measured, and no view may depend on what the figures are.
 */
import {
  REPLAY_SCHEMA,
  type DesignCost,
  type ReplayReport,
} from "../../src/report/replay-model.js";

const MIB = 2 ** 20;
const ORDERS = 11;
const orders = (of: Readonly<Record<number, number>>): number[] =>
  Array.from({ length: ORDERS }, (_, order) => of[order] ?? 0);

/** Samples a second apart; metadata and descriptors rise to the middle and fall again. */
function samples(start: number, caches: number): DesignCost["samples"] {
  return [0, 1, 2, 3].map((i) => {
    const more = i === 0 ? 0 : 4 - i;
    return {
      time: i * 1e9 + (i === 3 ? 500_000_001 : 0),
      metadata: start + (caches > 0 ? more * 4096 : 0),
      objects: Array.from({ length: caches }, (_, c) => 12_000 * (2 - c) + more * 100),
      slabs: Array.from({ length: caches }, (_, c) => 300 * (2 - c) + more),
      free: orders({ 0: 1000 + more, 8: 3, 9: 40, 10: 700 - more }),
    };
  });
}

function design(name: string, start: number, rest: Partial<DesignCost>): DesignCost {
  const caches = rest.caches ?? [];
  const over = samples(start, caches.length);
  return {
    design: name,
    caches,
    pageArray: start,
    zoneTable: 0,
    start,
    peak: start + 4 * 4096,
    mean: start + 1234.5,
    end: over.at(-1)?.metadata ?? start,
    duration: over.at(-1)?.time ?? 0,
    samples: over,
    allocations: 150_000,
    frees: 149_000,
    splits: 3,
    refused: [
      { why: "ENOMEM", operations: 0 },
      { why: "its allocation was refused", operations: 0 },
      { why: "no descriptor for a part", operations: 0 },
    ],
    firstRefused: null,
    faults: 70_000,
    descriptorsTaken: 0,
    descriptorsGiven: 0,
    slabPagesGained: 0,
    slabPagesLost: 0,
    lines: [
      {
        what: "alloc",
        kind: "anon",
        order: "0",
        sampled: 2000,
        read: 3,
        written: 3.25,
        touched: 4.5,
      },
      { what: "alloc", kind: "file", order: ">0", sampled: 20, read: 6, written: 90, touched: 94 },
      { what: "free", kind: "anon", order: "0", sampled: 1900, read: 3, written: 3, touched: 4 },
    ],
    faultLines: { anon: 21, file: 35 },
    perOrder: Array.from({ length: ORDERS }, (_, order) => 64 * 2 ** order),
    freeFrames: 730_000,
    change: 0,
    breakEven: null,
    folioBytesPerPage: 64,
    descriptorsPerAllocation: 0,
    verdict: "the measure",
    ...rest,
  };
}

/** A name with all that HTML and CSV must not be broken by. */
export const EVIL = `</title><script>alert("1")</script>'&,\r\n`;

export const SAMPLE_REPLAY: ReplayReport = {
  schema: REPLAY_SCHEMA,
  trace: {
    source: "big <build> & co.mdt",
    format: "mdt",
    kernel: "6.18.0",
    clock: "mono",
    cpus: 2,
    seconds: 3.500_000_001,
    lost: 12,
    lostPerCpu: [12, 0],
    counts: { mm_page_alloc: 150_010, mm_page_free: 149_020, mm_page_free_batched: 90_000 },
    others: { sched_switch: 17 },
    notes: [{ subject: "page_pool_state_hold", text: "the kernel has no such event" }],
    damage: { where: "byte 81920", why: "the checksum is wrong" },
    begins: "empty",
  },
  whatIf: { fileOrder: 4, anonOrder: 2, pcpHigh: 1024, pcpBatch: 63, freeMib: 512 },
  events: 500_000,
  recorded: 299_030,
  replayed: 299_000,
  refused: 30,
  refusals: [
    { why: "a free of what nobody was seen to allocate", events: 28 },
    { why: "no frame or order that a machine has", events: 2 },
  ],
  unseen: [
    { what: "freed, and nobody was seen to allocate them", pages: 28 },
    { what: "put on an LRU list, and nobody was seen to allocate them", pages: 0 },
  ],
  splits: 3,
  kinds: [
    { kind: "file", orders: orders({ 0: 10_000, 2: 500, 9: 30 }) },
    { kind: "anon", orders: orders({ 0: 120_000, 9: 12 }) },
    { kind: "kernel", orders: orders({ 0: 11_000, 3: 2 }) },
  ],
  rules: [
    { rule: "lru-anon", goesBy: "mm_lru_insertion with flag a", allocations: 120_012 },
    { rule: "gfp-kernel", goesBy: "what is left", allocations: 11_002 },
  ],
  against: {
    accuracy: {
      rows: [
        {
          derived: "file",
          pages: 70_000,
          right: 69_000,
          wrong: [{ kind: "shmem", pages: 1000 }],
          free: 5,
        },
        { derived: "anon", pages: 300, right: 300, wrong: [], free: 0 },
      ],
      pages: 70_300,
      right: 69_300,
    },
    totals: [
      { kind: "file", derived: 295_000, real: 294_000, silent: 12 },
      { kind: "kernel", derived: 216_000, real: 270_000, silent: 53_000 },
    ],
    free: { derived: 3_100_000, listed: 3_050_000, perCpu: 49_000 },
    secondsIn: 3.1,
    readFrom: 3,
  },
  designs: [
    design("today", 384 * MIB, {}),
    design("slot64", 384 * MIB, {
      caches: [
        { name: "folio, second object", size: 32, assumed: false },
        { name: "slab", size: 64, assumed: true },
      ],
      descriptorsTaken: 140_000,
      descriptorsGiven: 130_000,
      slabPagesGained: 4,
      slabPagesLost: 3,
      perOrder: Array.from({ length: ORDERS }, (_, order) => 32 * 2 ** order + 48),
      change: 4 * MIB,
      breakEven: 1,
      folioBytesPerPage: 82.9,
      descriptorsPerAllocation: 0.93,
      refused: [{ why: "ENOMEM", operations: 7 }],
      verdict: "+1.0 % metadata, 0.93 descriptors per allocation; 7 operations refused",
    }),
  ],
  notShown: "No trace shows lookups.",
};

/** A report of a trace in which nothing happened. */
export const EMPTY_REPLAY: ReplayReport = {
  ...SAMPLE_REPLAY,
  trace: { ...SAMPLE_REPLAY.trace, seconds: 0, lost: -1, lostPerCpu: [-1], counts: {}, others: {} },
  events: 0,
  recorded: 0,
  replayed: 0,
  refused: 0,
  kinds: [],
  rules: [],
  against: null,
  designs: SAMPLE_REPLAY.designs.map((one) => ({ ...one, samples: [], lines: [], duration: 0 })),
};
