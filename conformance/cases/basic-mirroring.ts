/**
 * Basic mirroring: a device reads and writes a process's memory through HMM.
 *
 * Facts: device-facts §4.3, cases 1 to 11.
 */
import {
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
} from "../../src/engine/process/constants.js";
import { PAGE_SIZE } from "../../src/units.js";
import {
  bytesOf,
  counting,
  HMM_BUFFER_SIZE,
  INTS,
  negated,
  PMD_SIZE,
  RW,
  TWOMEG,
  type Test,
} from "../testing.js";
import { hmm, type Case } from "./case.js";

const NPAGES = HMM_BUFFER_SIZE / PAGE_SIZE;
const EFAULT = -14;
const EPERM = -1;

function openClose(t: Test): void {
  t.line("open and close only; close returns 0");
  const fd = t.open(t.numbers[0]);
  t.ret(t.close(fd), 0);
}

function anonRead(t: Test): void {
  const buffer = t.mapped(NPAGES);
  const must = counting(HMM_BUFFER_SIZE).slice();
  t.line("init ints from page 2 on (pages 0,1 untouched)");
  t.write(buffer.ptr + 2 * PAGE_SIZE, must.subarray(2 * INTS));
  t.line("mprotect all PROT_READ ok");
  t.ret(t.mprotect(buffer.ptr, HMM_BUFFER_SIZE, PROT_READ), 0);
  t.line("CPU-read one int in page 1 (==0)");
  t.equal("the int", t.peek(buffer.ptr + PAGE_SIZE), 0);
  t.line("READ 1024 → c=n,f=1");
  t.did(t.dmirrorRead(t.fd, buffer, NPAGES), buffer, NPAGES, 1);
  t.line("mirror: first two pages all 0, rest i");
  must.fill(0, 0, 2 * INTS);
  t.ints("mirror", buffer.mirror, must);
}

function anonReadProt(t: Test): void {
  const buffer = t.mapped(NPAGES);
  const must = t.init(buffer);
  buffer.mirror = negated(HMM_BUFFER_SIZE);
  t.line("mprotect PROT_NONE");
  t.ret(t.mprotect(buffer.ptr, HMM_BUFFER_SIZE, PROT_NONE), 0);
  t.line("READ → −EFAULT");
  t.ret(t.dmirrorRead(t.fd, buffer, NPAGES), EFAULT);
  t.line("mprotect PROT_READ");
  t.ret(t.mprotect(buffer.ptr, HMM_BUFFER_SIZE, PROT_READ), 0);
  t.line("CPU sees i");
  t.sees(buffer.ptr, must);
  t.line("mirror still −i");
  t.ints("mirror", buffer.mirror, negated(HMM_BUFFER_SIZE));
}

function anonWrite(t: Test): void {
  const buffer = t.mapped(NPAGES);
  buffer.mirror = counting(HMM_BUFFER_SIZE);
  t.line("WRITE → c=n,f=1");
  t.did(t.dmirrorWrite(t.fd, buffer, NPAGES), buffer, NPAGES, 1);
  t.line("CPU sees i");
  t.sees(buffer.ptr, buffer.mirror);
}

function anonWriteProt(t: Test): void {
  const buffer = t.mapped(NPAGES, PROT_READ);
  t.line("READ of 1 page → ret 0,c=1,f=1 (zero page)");
  t.did(t.dmirrorRead(t.fd, buffer, 1), buffer, 1, 1);
  buffer.mirror = counting(HMM_BUFFER_SIZE);
  t.line("WRITE all → −EPERM");
  t.ret(t.dmirrorWrite(t.fd, buffer, NPAGES), EPERM);
  t.line("CPU sees all 0");
  t.allInts("ptr", t.read(buffer.ptr, HMM_BUFFER_SIZE), 0);
  t.line("mprotect RW");
  t.ret(t.mprotect(buffer.ptr, HMM_BUFFER_SIZE, RW), 0);
  t.line("WRITE → c=n,f=1");
  t.did(t.dmirrorWrite(t.fd, buffer, NPAGES), buffer, NPAGES, 1);
  t.line("CPU sees i");
  t.sees(buffer.ptr, buffer.mirror);
}

/** anon_write_child once: with the memory on the device or not, huge or not. */
function writeInChild(t: Test, migrate: boolean, thp: boolean): void {
  const size = thp ? PMD_SIZE : HMM_BUFFER_SIZE;
  const npages = size / PAGE_SIZE;
  const round = `migrate ${migrate ? 1 : 0}, use_thp ${thp ? 1 : 0}`;
  const buffer = t.aligned(npages);
  if (thp) {
    t.line(`${round}: MADV_HUGEPAGE`);
    t.ret(t.madvise(buffer.ptr, size, MADV_HUGEPAGE), 0);
  }
  const must = t.init(buffer);
  const negative = negated(size);
  buffer.mirror = negative;
  if (migrate) {
    t.line(`${round}: MIGRATE_TO_DEV ret 0,c=n`);
    t.did(t.toDevice(t.fd, buffer, npages), buffer, npages);
    t.ints("mirror", buffer.mirror, must);
  }
  const child = t.fork();
  child.runs((c) => {
    const own = c.copyOf(buffer);
    c.line(`${round}: child sees i; if !migrate mirror still −i`);
    c.sees(own.ptr, must);
    c.ints("mirror", own.mirror, migrate ? must : negative);
    c.line(`${round}: child opens device 0 itself; WRITE → c=n,f=1`);
    c.did(c.dmirrorWrite(c.open(0), own, npages), own, npages, 1);
    c.line(`${round}: if !migrate CPU sees −i`);
    if (!migrate) c.sees(own.ptr, negative);
  });
  child.exit();
  t.line(`${round}: child exited normally`);
  t.childDid(child);
  t.line(`${round}: parent data still i (COW)`);
  t.sees(buffer.ptr, must);
  t.free(buffer);
}

function anonWriteChild(t: Test): void {
  for (const migrate of [false, true])
    for (const thp of [false, true]) writeInChild(t, migrate, thp);
}

function anonWriteChildShared(t: Test): void {
  const buffer = t.mapped(NPAGES, RW, MAP_SHARED | MAP_ANONYMOUS);
  const must = t.init(buffer);
  const negative = negated(HMM_BUFFER_SIZE);
  buffer.mirror = negative;
  const child = t.fork();
  child.runs((c) => {
    const own = c.copyOf(buffer);
    c.line("child checks i");
    c.sees(own.ptr, must);
    c.ints("mirror", own.mirror, negative);
    c.line("child opens device 0, WRITE c=n,f=1");
    c.did(c.dmirrorWrite(c.open(0), own, NPAGES), own, NPAGES, 1);
    c.line("child sees −i");
    c.sees(own.ptr, negative);
  });
  child.exit();
  t.line("child exited normally");
  t.childDid(child);
  t.line("parent afterwards sees −i (no COW)");
  t.sees(buffer.ptr, negative);
}

function anonWriteHuge(t: Test): void {
  const npages = PMD_SIZE / PAGE_SIZE;
  const buffer = t.aligned(npages);
  t.line("MADV_HUGEPAGE");
  t.ret(t.madvise(buffer.ptr, PMD_SIZE, MADV_HUGEPAGE), 0);
  buffer.mirror = counting(PMD_SIZE);
  t.line("WRITE 512 pages c=n,f=1");
  t.did(t.dmirrorWrite(t.fd, buffer, npages), buffer, npages, 1);
  t.line("CPU sees i");
  t.sees(buffer.ptr, buffer.mirror);
}

function anonWriteHugetlbfs(t: Test): void {
  const npages = TWOMEG / PAGE_SIZE;
  const buffer = t.mapped(npages, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
  buffer.mirror = counting(TWOMEG);
  t.line("WRITE c=n,f=1");
  t.did(t.dmirrorWrite(t.fd, buffer, npages), buffer, npages, 1);
  t.line("CPU i");
  t.sees(buffer.ptr, buffer.mirror);
}

function fileRead(t: Test): void {
  const file = t.bench.tmpfile(HMM_BUFFER_SIZE);
  const must = counting(HMM_BUFFER_SIZE);
  t.line("pwrite i");
  file.write(0, bytesOf(must));
  const buffer = t.mapped(NPAGES, PROT_READ, MAP_SHARED, file);
  t.line("READ c=n,f=1");
  t.did(t.dmirrorRead(t.fd, buffer, NPAGES), buffer, NPAGES, 1);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
}

function fileWrite(t: Test): void {
  const file = t.bench.tmpfile(HMM_BUFFER_SIZE);
  const buffer = t.mapped(NPAGES, RW, MAP_SHARED, file);
  buffer.mirror = counting(HMM_BUFFER_SIZE);
  t.line("WRITE c=n,f=1");
  t.did(t.dmirrorWrite(t.fd, buffer, NPAGES), buffer, NPAGES, 1);
  t.line("CPU sees i");
  t.sees(buffer.ptr, buffer.mirror);
  t.line("pread returns i");
  const read = file.read(0, HMM_BUFFER_SIZE);
  t.ints("the file", new Int32Array(read.buffer, 0, read.length / 4), buffer.mirror);
}

export const BASIC_MIRRORING: readonly Case[] = [
  hmm("open_close", openClose),
  hmm("anon_read", anonRead),
  hmm("anon_read_prot", anonReadProt),
  hmm("anon_write", anonWrite),
  hmm("anon_write_prot", anonWriteProt),
  hmm("anon_write_child", anonWriteChild),
  hmm("anon_write_child_shared", anonWriteChildShared),
  hmm("anon_write_huge", anonWriteHuge),
  hmm("anon_write_hugetlbfs", anonWriteHugetlbfs, 1),
  hmm("file_read", fileRead),
  hmm("file_write", fileWrite),
];
