/**
 * Wrong arguments on purpose: unaligned, empty, too long, wrapped round, never
 * mapped, unknown flags, contradictions. Which of several faults the kernel
 * names first is part of its interface, so they also come in pairs.
 */
import * as k from "./constants.js";
import type { Random } from "./random.js";
import { ARENAS, DISK, PAGE, argsOf, withArgs, type Kind, type Op } from "./program.js";

/** Addresses at which nothing is ever mapped, neither by programs nor by the executor. */
const NOWHERE = [0x10_0000_0000, ARENAS[0].start - 512 * PAGE, 0x180_0000_0000];
/** No addresses of a process at all. */
const BEYOND = [2 ** 47, 2 ** 52];
/** Ends below 8 TiB, the end of the engine's address space. */
const TERABYTES = 2 ** 42;

/** The operation with one or two arguments made wrong; as it was where it has none. */
export function spoil(random: Random, op: Op): Op {
  const once = spoilOne(random, op);
  return random.percent(25) ? spoilOne(random, once) : once;
}

function spoilOne(random: Random, op: Op): Op {
  const args = argsOf(op).filter(([, kind]) => WRONG[kind] !== undefined);
  if (args.length === 0) return op;
  const [name, kind, value] = random.pick(args);
  const wrong = WRONG[kind]?.(random, value, op);
  return wrong === undefined ? op : withArgs(op, { [name]: wrong });
}

type Wrong = (random: Random, value: number, op: Op) => number;

const WRONG: Readonly<Partial<Record<Kind, Wrong>>> = {
  // A mapping at an address of the kernel's choice would be seen nowhere, so an
  // address of mmap is only made unaligned.
  address: (random, value, op) =>
    op.op === "mmap" || random.percent(50)
      ? value + 1 + random.below(PAGE - 1)
      : random.pick("pages" in op ? NOWHERE : [...NOWHERE, ...BEYOND]),
  bytes: wrongBytes,
  prot: (random, value) => value | random.pick([0x8, 0x10, 0x01000000, 0x02000000]),
  mapFlags: (random, value) =>
    random.pick([
      value | k.MAP_TYPE,
      value & ~k.MAP_TYPE,
      (value & ~k.MAP_TYPE) | 3,
      value | k.MAP_HUGETLB,
      value & ~k.MAP_ANONYMOUS,
    ]),
  remapFlags: (random, value) =>
    random.pick([8, k.MREMAP_FIXED, k.MREMAP_DONTUNMAP, value | 0x10, value ^ k.MREMAP_DONTUNMAP]),
  advice: (random) => random.pick([-1, 7, 26, 99, k.MADV_MERGEABLE]),
  syncFlags: (random) => random.pick([8, k.MS_ASYNC | k.MS_SYNC, 0x100]),
  punchMode: (random) => random.pick([k.FALLOC_PUNCH_HOLE, 0x200, 0x4]),
};

/** Lengths, sizes and offsets: a little off, nothing, or far too much. */
function wrongBytes(random: Random, value: number, op: Op): number {
  // What succeeds with these must stay within the arenas, the files within 4 MiB.
  const inFile = "file" in op && op.op !== "mmap" && op.op !== "directRead";
  if (inFile) return op.op === "truncate" || op.file === DISK ? -1 : random.pick([-1, 0]);
  // Advice for more than the arenas would reach the executor's own memory, and a
  // mapping of terabytes could not be observed.
  const far = op.op === "madvise" ? [TERABYTES] : [2 ** 47, 2 ** 52];
  const wide = op.op === "mmap" || op.op === "mremap" ? [] : [TERABYTES];
  return random.pick([0, value + 1, Math.max(value - 1, 0), -PAGE, -1, ...far, ...wide]);
}
