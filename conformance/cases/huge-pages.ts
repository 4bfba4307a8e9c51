/**
 * Huge pages: a PMD's memory moves to a device and back whole, is split there, or
 * moves page by page where no huge page can be had.
 *
 * Facts: device-facts §4.3, cases 30 to 38.
 */
import { FLAG_FAIL_ALLOC } from "../../src/engine/drivers/mirror/mirror.js";
import {
  PROT_DEV_PRIVATE_LOCAL,
  PROT_PMD,
  PROT_WRITE as DEV_WRITE,
} from "../../src/engine/drivers/mirror/snapshot-codes.js";
import {
  MADV_COLLAPSE,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_READ,
} from "../../src/engine/process/constants.js";
import { PAGE_SIZE } from "../../src/units.js";
import { PMD_SIZE, RW, type HmmBuffer, type Test } from "../testing.js";
import { hmm, type Case } from "./case.js";
import { showsEverywhere } from "./codes.js";

const SIZE = PMD_SIZE;
const NPAGES = SIZE / PAGE_SIZE;
/** The integer that the tests look at: first of page 2. */
const PROBE = 2048;

/** Bytes 0xFF. */
const PRESET = new Int32Array(SIZE / 4).fill(-1);

/** A buffer of one PMD at the aligned start of twice as much, mirror preset 0xFF. */
function pmdBuffer(t: Test, prot: number, times = 2): HmmBuffer {
  const buffer = t.aligned(NPAGES, prot, times);
  buffer.mirror = PRESET;
  return buffer;
}

function hugepage(t: Test, buffer: HmmBuffer): void {
  t.line("MADV_HUGEPAGE");
  t.ret(t.madvise(buffer.ptr, SIZE, MADV_HUGEPAGE), 0);
}

/** To dev ret 0,c=n; mirror as given. */
function movesToDevice(t: Test, buffer: HmmBuffer, must: Int32Array | 0, round = ""): void {
  t.line(`${round}to dev ret 0,c=n`);
  t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.line(`${round}mirror ${must === 0 ? "all 0" : "i"}`);
  if (must === 0) t.allInts("mirror", buffer.mirror, 0);
  else t.ints("mirror", buffer.mirror, must);
}

/** FLAGS FAIL_ALLOC: the next allocation of a destination fails. */
function failAlloc(t: Test, buffer: HmmBuffer): void {
  t.line("FLAGS FAIL_ALLOC ok");
  t.ret(t.flags(t.fd, buffer, FLAG_FAIL_ALLOC), 0);
}

/** munmap and mmap anew, HUGEPAGE. */
function anew(t: Test, buffer: HmmBuffer, prot: number): void {
  t.line("munmap and mmap anew");
  t.unmap(buffer);
  t.remap(buffer, prot);
  hugepage(t, buffer);
}

function migrateAnonHugeEmpty(t: Test): void {
  const buffer = pmdBuffer(t, PROT_READ);
  hugepage(t, buffer);
  movesToDevice(t, buffer, 0);
}

function migrateAnonHugeZero(t: Test): void {
  const buffer = pmdBuffer(t, PROT_READ);
  hugepage(t, buffer);
  t.line("CPU read one int (0 → huge zero page)");
  t.equal("the int", t.peek(buffer.ptr), 0);
  movesToDevice(t, buffer, 0);
  t.line("CPU reads all 0");
  t.allInts("ptr", t.read(buffer.ptr, SIZE), 0);
}

function migrateAnonHugeFree(t: Test): void {
  const buffer = pmdBuffer(t, RW);
  hugepage(t, buffer);
  const must = t.init(buffer);
  movesToDevice(t, buffer, must);
  t.line("madvise(MADV_FREE) on it returns 0");
  t.ret(t.madvise(buffer.ptr, SIZE, MADV_FREE), 0);
}

function migrateAnonHugeFault(t: Test): void {
  const buffer = pmdBuffer(t, RW);
  const must = t.init(buffer);
  t.line("madvise(MADV_COLLAPSE)==0");
  t.ret(t.madvise(buffer.ptr, SIZE, MADV_COLLAPSE), 0);
  movesToDevice(t, buffer, must);
  if (t.isPrivate) {
    t.line("private variant: SNAPSHOT c=n");
    t.did(t.snapshot(t.fd, buffer, NPAGES), buffer, NPAGES);
    t.line("every byte == DEV_PRIVATE_LOCAL|WRITE|PMD (0x26)");
    showsEverywhere(t, buffer, NPAGES, PROT_DEV_PRIVATE_LOCAL | DEV_WRITE | PROT_PMD);
    t.line("/proc/self/pagemap for every page: swap bit set, present bit clear");
    for (let i = 0; i < NPAGES; i++) {
      const { swapped, present } = t.process.pagemap(buffer.ptr + i * PAGE_SIZE);
      t.truth(`swap bit of page ${i} is clear`, swapped);
      t.truth(`present bit of page ${i} is set`, !present);
    }
  }
  t.line("CPU reads all i");
  t.sees(buffer.ptr, must);
}

/** Both advices, with their name in the text. */
const THP = [
  { use: 0, advice: MADV_NOHUGEPAGE },
  { use: 1, advice: MADV_HUGEPAGE },
] as const;
const OFFSETS = [0, SIZE / 4, SIZE / 2] as const;

function migratePartialUnmapFault(t: Test): void {
  for (const { use, advice } of THP)
    for (const offset of OFFSETS) {
      const round = `use_thp ${use}, offset ${offset}: `;
      const buffer = pmdBuffer(t, RW);
      t.line(`${round}madvise`);
      t.ret(t.madvise(buffer.ptr, SIZE, advice), 0);
      const must = t.init(buffer);
      movesToDevice(t, buffer, must, round);
      t.line(`${round}munmap(ptr+offset, size/2)`);
      t.ret(t.munmap(buffer.ptr + offset, SIZE / 2), 0);
      t.line(`${round}CPU reads i everywhere outside the hole`);
      const end = offset + SIZE / 2;
      t.sees(buffer.ptr, must.subarray(0, offset / 4));
      t.sees(buffer.ptr + end, must.subarray(end / 4));
      t.free(buffer);
    }
}

/** One of the 24 combinations of migrate_remap_fault. */
function remapFault(
  t: Test,
  before: boolean,
  dontUnmap: boolean,
  thp: (typeof THP)[number],
  offset: number,
): void {
  const round = `before ${Number(before)}, DONTUNMAP ${Number(dontUnmap)}, use_thp ${thp.use}, offset ${offset}: `;
  const buffer = pmdBuffer(t, RW, 8);
  const map = buffer.ptr;
  const flags = MREMAP_MAYMOVE | MREMAP_FIXED | (dontUnmap ? MREMAP_DONTUNMAP : 0);
  const move = (): void => {
    const to = map + SIZE + offset;
    t.line(`${round}mremap(map, size → size, map+size+offset)`);
    t.equal("its address", t.process.mremap(map, SIZE, SIZE, flags, to), to);
    buffer.ptr = to;
  };
  t.line(`${round}madvise`);
  t.ret(t.madvise(map, SIZE, thp.advice), 0);
  t.line(`${round}munmap(map+size, 2·size)`);
  t.ret(t.munmap(map + SIZE, 2 * SIZE), 0);
  const must = t.init(buffer);
  if (before) move();
  movesToDevice(t, buffer, must, round);
  if (!before) move();
  t.line(`${round}CPU reads all i at the new address`);
  t.sees(buffer.ptr, must);
  t.line(`${round}munmap(new,size)`);
  t.ret(t.munmap(buffer.ptr, SIZE), 0);
  t.free(buffer);
}

function migrateRemapFault(t: Test): void {
  for (const before of [false, true])
    for (const dontUnmap of [false, true])
      for (const thp of THP)
        for (const offset of OFFSETS) remapFault(t, before, dontUnmap, thp, offset);
}

function migrateAnonHugeErr(t: Test): void {
  const buffer = pmdBuffer(t, RW);
  hugepage(t, buffer);
  const must = t.init(buffer);
  failAlloc(t, buffer);
  movesToDevice(t, buffer, must, "falls back to 512 small device pages: ");
  t.line("CPU reads ptr[2048]==2048");
  t.equal("ptr[2048]", t.peek(buffer.ptr + PROBE * 4), PROBE);
  anew(t, buffer, RW);
  t.init(buffer);
  movesToDevice(t, buffer, must, "huge: ");
  failAlloc(t, buffer);
  t.line("MIGRATE_TO_SYS ret 0 (falls back to small system pages)");
  t.ret(t.toSystem(t.fd, buffer, NPAGES), 0);
  t.line("ptr[2048]==2048");
  t.equal("ptr[2048]", t.peek(buffer.ptr + PROBE * 4), PROBE);
}

function migrateAnonHugeZeroErr(t: Test): void {
  const buffer = pmdBuffer(t, PROT_READ);
  hugepage(t, buffer);
  failAlloc(t, buffer);
  movesToDevice(t, buffer, 0);
  t.line("ptr[2048]==0");
  t.equal("ptr[2048]", t.peek(buffer.ptr + PROBE * 4), 0);
  anew(t, buffer, PROT_READ);
  t.line("read one int (0)");
  t.equal("the int", t.peek(buffer.ptr), 0);
  failAlloc(t, buffer);
  t.line("to dev ret 0,c=n");
  t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.line("CPU reads all 0");
  t.allInts("ptr", t.read(buffer.ptr, SIZE), 0);
}

/** Sizes of the benchmark in PMDs. */
const SIZES = [1 / 4, 1 / 2, 1, 2, 4, 8, 128] as const;
const TIMED = 5;
/** i & 0xFF */
const PATTERN = Uint8Array.from({ length: 256 }, (_, i) => i);

/** One size, with or without huge pages: ms of the moves there and back. */
function timeMoves(t: Test, size: number, advice: number): { there: number; back: number } {
  const npages = size / PAGE_SIZE;
  const buffer = size < PMD_SIZE ? t.mapped(npages) : t.aligned(npages);
  t.ret(t.madvise(buffer.ptr, size, advice), 0);
  t.process.write(buffer.ptr, Buffer.alloc(size, PATTERN));
  let [there, back] = [0, 0];
  for (let round = 0; round <= TIMED; round++) {
    const began = t.bench.now();
    t.ret(t.toDevice(t.fd, buffer, npages), 0);
    const middle = t.bench.now();
    t.ret(t.toSystem(t.fd, buffer, npages), 0);
    // The first round only warms up.
    if (round === 0) continue;
    there += middle - began;
    back += t.bench.now() - middle;
  }
  t.free(buffer);
  return { there: there / TIMED, back: back / TIMED };
}

function benchmarkThpMigration(t: Test): void {
  for (const pmds of SIZES) {
    const size = pmds * PMD_SIZE;
    if (pmds > t.bench.largest) {
      t.note(`${pmds} PMDs: not run, up to ${t.bench.largest} are asked for`);
      continue;
    }
    for (const [name, advice] of [
      ["THP", MADV_HUGEPAGE],
      ["small pages", MADV_NOHUGEPAGE],
    ] as const) {
      t.line(`size pmdsz×${pmds}, ${name}: all must return 0`);
      const { there, back } = timeMoves(t, size, advice);
      const rate = (ms: number): string => (size / 2 ** 30 / (ms / 1000)).toFixed(2);
      t.note(
        `${pmds} PMDs, ${name}: to the device ${there.toFixed(2)} ms (${rate(there)} GB/s), back ${back.toFixed(2)} ms (${rate(back)} GB/s)`,
      );
    }
  }
}

export const HUGE_PAGES: readonly Case[] = [
  hmm("migrate_anon_huge_empty", migrateAnonHugeEmpty),
  hmm("migrate_anon_huge_zero", migrateAnonHugeZero),
  hmm("migrate_anon_huge_free", migrateAnonHugeFree),
  hmm("migrate_anon_huge_fault", migrateAnonHugeFault),
  hmm("migrate_partial_unmap_fault", migratePartialUnmapFault),
  hmm("migrate_remap_fault", migrateRemapFault),
  hmm("migrate_anon_huge_err", migrateAnonHugeErr),
  hmm("migrate_anon_huge_zero_err", migrateAnonHugeZeroErr),
  hmm("benchmark_thp_migration", benchmarkThpMigration),
];
