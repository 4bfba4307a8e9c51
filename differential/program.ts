/**
 * Programs: the operations that random programs are made of, and the ranges
 * and files that they work on.
 *
 * One table says which operations there are, their numbers in the executor's
 * protocol and their arguments; the types, the printer, the parser, the encoder
 * and the shrinker follow from it. Every argument is a number, in the order in
 * which the executor takes it (executor/worker.c).
 */
/** Bytes of a page. */
export const PAGE = 4096;
/** Bytes of a huge page. */
export const HUGE = 2 << 20;
/** Pages of a huge page. */
export const HUGE_PAGES = HUGE / PAGE;

/** What kind of number an argument is: how it is printed and shrunk. */
export type Kind =
  | "address"
  | "bytes"
  | "pages"
  | "prot"
  | "mapFlags"
  | "remapFlags"
  | "advice"
  | "syncFlags"
  | "punchMode"
  | "file"
  | "process"
  | "number";

/** Operations by name: number in the protocol, arguments in order. */
export const OPS = {
  mmap: {
    code: 0,
    args: {
      address: "address",
      length: "bytes",
      prot: "prot",
      flags: "mapFlags",
      file: "file",
      offset: "bytes",
    },
  },
  /** Reads a word of each page; the value is a hash of them. */
  read: { code: 1, args: { address: "address", pages: "pages" } },
  /** Writes value, value + 1 … into a word of each page. */
  write: { code: 2, args: { address: "address", pages: "pages", value: "number" } },
  /** Reads every byte of each page; the value is a hash of them. */
  check: { code: 3, args: { address: "address", pages: "pages" } },
  mprotect: { code: 4, args: { address: "address", length: "bytes", prot: "prot" } },
  munmap: { code: 5, args: { address: "address", length: "bytes" } },
  mremap: {
    code: 6,
    args: {
      address: "address",
      length: "bytes",
      newLength: "bytes",
      flags: "remapFlags",
      newAddress: "address",
    },
  },
  madvise: { code: 7, args: { address: "address", length: "bytes", advice: "advice" } },
  fork: { code: 8, args: { child: "process" } },
  exit: { code: 9, args: {} },
  pread: { code: 10, args: { file: "file", offset: "bytes", length: "bytes" } },
  /** Writes the bytes value, value + 1 … (modulo 256). */
  pwrite: { code: 11, args: { file: "file", offset: "bytes", length: "bytes", value: "number" } },
  truncate: { code: 12, args: { file: "file", size: "bytes" } },
  punch: { code: 13, args: { file: "file", offset: "bytes", length: "bytes", mode: "punchMode" } },
  msync: { code: 14, args: { address: "address", length: "bytes", flags: "syncFlags" } },
  mlock: { code: 15, args: { address: "address", length: "bytes" } },
  munlock: { code: 16, args: { address: "address", length: "bytes" } },
  /** A long-term writable pin: io_uring's registered buffers. */
  pin: { code: 17, args: { address: "address", length: "bytes", slot: "number" } },
  unpin: { code: 18, args: { slot: "number" } },
  /** pread with O_DIRECT into the program's own memory. */
  directRead: {
    code: 19,
    args: { address: "address", length: "bytes", offset: "bytes", file: "file" },
  },
} as const satisfies Record<string, { code: number; args: Readonly<Record<string, Kind>> }>;

export type OpName = keyof typeof OPS;
/** An operation with this name and its arguments, done by a process. */
export type OpOf<K extends OpName> = { readonly op: K; readonly process: number } & {
  readonly [A in keyof (typeof OPS)[K]["args"]]: number;
};
/** One step of a program. */
export type Op = { [K in OpName]: OpOf<K> }[OpName];

/** A program: what is done, by whom, in which order. */
export interface Program {
  /** What it was generated from; null where it was written or shrunk. */
  readonly seed: number | null;
  readonly steps: readonly Op[];
}

/** A range of addresses that programs use. */
export interface Arena {
  readonly name: string;
  /** Address of the first byte; a multiple of 4096. */
  readonly start: number;
  /** Pages that are observed. */
  readonly pages: number;
  /** Pages that programs aim at: fewer, so that what is rounded up is still seen. */
  readonly used: number;
}

/** The same as in executor/controller.c. */
export const ARENAS: readonly Arena[] = [
  { name: "a", start: 0x100_001e_0000, pages: 80, used: 64 },
  { name: "b", start: 0x100_3fc0_0000, pages: 2560, used: 2048 },
  /** Where a mapping lands that mremap put where the kernel liked. */
  { name: "c", start: 0x200_0000_0000, pages: 512, used: 0 },
];

/** Most processes of a program: numbers 0 … 15; 0 is there at the start. */
export const MAX_PROCESSES = 16;
/** Pins that a process can hold at a time. */
export const PINS = 4;
/** Most bytes of one pread or pwrite; more is cut off. */
export const IO_BYTES = 16384;

/** Test files by number: where they lie and how large they are at the start. */
export const FILES = [
  { name: "tmpfs", size: 24 * PAGE + 100 },
  { name: "disk", size: 24 * PAGE + 100 },
  { name: "hole", size: 1024 * PAGE },
] as const;
export const TMPFS = 0;
export const DISK = 1;
/** On tmpfs like the first, but nothing written yet. */
export const HOLE = 2;

/** A byte of a test file at the start of a program; `hole` is all zeroes. */
export function fileByte(file: number, at: number): number {
  return file === HOLE ? 0 : (file * 101 + Math.floor(at / PAGE) * 13 + (at % PAGE)) & 0xff;
}

/** One step of the hash that read, check and pread answer with. */
export function mix(hash: number, word: number): number {
  return Math.imul(hash ^ word, 0x01000193) >>> 0;
}
/** What a hash starts from. */
export const HASH_START = 0x811c9dc5;

/** An operation's arguments, by name, in the executor's order. */
export function argsOf(op: Op): (readonly [name: string, kind: Kind, value: number])[] {
  const values: Readonly<Record<string, string | number>> = op;
  return Object.entries(OPS[op.op].args).map(([name, kind]) => [name, kind, Number(values[name])]);
}

/** The operation with some arguments changed. */
export function withArgs(op: Op, changed: Readonly<Record<string, number>>): Op {
  const made: object = { ...op, ...changed };
  if (!isOp(made)) throw new Error(`not an argument of ${op.op}: ${Object.keys(changed).join()}`);
  return made;
}

/** Whether an object is an operation: known name, every argument a number, nothing else. */
export function isOp(thing: object): thing is Op {
  const values = new Map<string, unknown>(Object.entries(thing));
  const name = values.get("op");
  if (typeof name !== "string" || !isOpName(name)) return false;
  const wanted = ["process", ...Object.keys(OPS[name].args)];
  return (
    values.size === wanted.length + 1 &&
    wanted.every((key) => Number.isSafeInteger(values.get(key)))
  );
}

export function isOpName(name: string): name is OpName {
  return Object.hasOwn(OPS, name);
}

/**
 * Leaves out what a process does that is not there: before it was forked, after
 * it ended. A number is used once. What remains means the same to every subject.
 */
export function withoutTheDead(steps: readonly Op[]): Op[] {
  const alive = new Set([0]);
  const used = new Set([0]);
  return steps.filter((op) => {
    if (!alive.has(op.process)) return false;
    if (op.op === "exit") alive.delete(op.process);
    if (op.op !== "fork") return true;
    if (used.has(op.child) || op.child >= MAX_PROCESSES) return false;
    used.add(op.child);
    alive.add(op.child);
    return true;
  });
}

/** Parts of the vocabulary that can be left out. */
export const FEATURES = [
  "shared",
  "tmpfs",
  "disk",
  "hugetlb",
  "thp",
  "collapse",
  "fork",
  "mremap",
  "mlock",
  "pin",
  "direct",
  "reclaim",
  "wrong",
] as const;
export type Feature = (typeof FEATURES)[number];
