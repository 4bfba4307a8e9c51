/**
 * Migration of base pages to a device and back.
 *
 * Facts: device-facts §4.3, cases 12 to 20.
 */
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
} from "../../src/engine/process/constants.js";
import { PAGE_SIZE } from "../../src/units.js";
import { Random } from "../../differential/random.js";
import { counting, HMM_BUFFER_SIZE, NTIMES, RW, type Test } from "../testing.js";
import { hmm, hmm2, type Case } from "./case.js";

const NPAGES = HMM_BUFFER_SIZE / PAGE_SIZE;
const HALF = HMM_BUFFER_SIZE / 2;
const EINVAL = -22;
const ENOENT = -2;

function migrate(t: Test): void {
  const buffer = t.mapped(NPAGES);
  const must = t.init(buffer);
  t.line("MIGRATE_TO_DEV ret 0,c=n");
  t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
}

function migrateFilePrivate(t: Test): void {
  const file = t.bench.tmpfile(HMM_BUFFER_SIZE);
  const buffer = t.mapped(NPAGES, RW, MAP_PRIVATE, file);
  const must = t.init(buffer);
  t.line("MIGRATE_TO_DEV ret 0,c=n");
  t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
}

function migrateFault(t: Test): void {
  const buffer = t.mapped(NPAGES);
  const must = t.init(buffer);
  t.line("to dev c=n");
  t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
  t.line("CPU reads the first half (each i)");
  t.sees(buffer.ptr, must.subarray(0, must.length / 2));
  t.line("MIGRATE_TO_DEV again over everything: ret 0, c=n");
  t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
}

function migrateRelease(t: Test): void {
  const buffer = t.mapped(NPAGES);
  const must = t.init(buffer);
  t.line("to dev c=n");
  t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
  t.line("RELEASE ret 0");
  t.ret(t.release(t.fd, buffer, NPAGES), 0);
  t.line("CPU reads first half = i");
  t.sees(buffer.ptr, must.subarray(0, must.length / 2));
}

function migrateShared(t: Test): void {
  const buffer = t.mapped(NPAGES, RW, MAP_SHARED | MAP_ANONYMOUS);
  t.line("MIGRATE_TO_DEV → −ENOENT");
  t.ret(t.toDevice(t.fd, buffer, NPAGES), ENOENT);
}

function migrateMixed(t: Test): void {
  const [dev0, dev1] = t.fds;
  const buffer = t.mapped(6, PROT_NONE);
  const page = (i: number): number => buffer.ptr + i * PAGE_SIZE;
  t.line("(a) MIGRATE_TO_DEV(dev1, 6) → −EINVAL");
  t.ret(t.toDevice(dev1, buffer, 6), EINVAL);
  t.line("(b) munmap page 1");
  t.ret(t.munmap(page(1), PAGE_SIZE), 0);
  t.line("(b) MIGRATE_TO_DEV(dev1, first 3) → −EINVAL");
  t.ret(t.toDevice(dev1, buffer, 3), EINVAL);
  t.line("(c) page 2 PROT_READ, CPU read (0)");
  t.ret(t.mprotect(page(2), PAGE_SIZE, PROT_READ), 0);
  t.equal("the int", t.peek(page(2)), 0);
  t.line("(c) page 3 RW, write 3, then PROT_READ");
  t.ret(t.mprotect(page(3), PAGE_SIZE, RW), 0);
  t.poke(page(3), 3);
  t.ret(t.mprotect(page(3), PAGE_SIZE, PROT_READ), 0);
  t.line("(c) pages 4–5 RW, write 3 each");
  t.ret(t.mprotect(page(4), 2 * PAGE_SIZE, RW), 0);
  t.poke(page(4), 3);
  t.poke(page(5), 3);
  t.line("(d) MIGRATE_TO_DEV(dev1, pages 2–5) → ret 0, c=4");
  t.did(t.toDevice(dev1, buffer, 4, page(2)), buffer, 4);
  t.line("(e) MIGRATE_TO_DEV(dev0, page 5) → −ENOENT");
  t.ret(t.toDevice(dev0, buffer, 1, page(5)), ENOENT);
}

function migrateMultiple(t: Test): void {
  for (let c = 0; c < NTIMES; c++) {
    const buffer = t.mapped(NPAGES);
    const must = t.init(buffer);
    t.line(`round ${c}: to dev c=n`);
    t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
    t.line(`round ${c}: mirror i`);
    t.ints("mirror", buffer.mirror, must);
    if (!t.isPrivate) {
      t.line(`round ${c}: coherent: MIGRATE_TO_SYS ret 0,c=n`);
      t.did(t.toSystem(t.fd, buffer, NPAGES), buffer, NPAGES);
    }
    t.line(`round ${c}: CPU reads all i`);
    t.sees(buffer.ptr, must);
    t.free(buffer);
  }
}

function anonReadMultiple(t: Test): void {
  for (let c = 0; c < NTIMES; c++) {
    const buffer = t.mapped(NPAGES);
    const must = t.init(buffer, c);
    t.line(`round ${c}: READ c=n,f=1`);
    t.did(t.dmirrorRead(t.fd, buffer, NPAGES), buffer, NPAGES, 1);
    t.line(`round ${c}: mirror i+c`);
    t.ints("mirror", buffer.mirror, must);
    t.free(buffer);
  }
}

/** Moments of a READ of 1024 pages at which another thread may run: two for each window of 32. */
const MOMENTS = 64;
/** Moments of ten rounds; the last ones come when the READ is over. */
const DRAWN = (MOMENTS * 5) / 4;

/**
 * The second thread's sleep of up to 32,000 ns is a number of moments that it lets
 * pass (simplified): its munmap runs at one of those at which the reading device
 * holds no lock, drawn by lot, or when the READ is over. Every round draws from another
 * part of them, so that early, middle and late ones all come up.
 */
function anonTeardown(t: Test): void {
  const random = new Random(t.seed);
  for (let c = 0; c < NTIMES; c++) {
    const buffer = t.mapped(NPAGES);
    const must = t.init(buffer, c);
    const part = DRAWN / NTIMES;
    let left = part * c + random.below(part + 1);
    let done = false;
    const thread = (): void => {
      if (done || left-- > 0) return;
      done = true;
      t.ret(t.munmap(buffer.ptr + HALF, HALF), 0);
    };
    t.line(`round ${c}: munmap of the second half after ${left} of ${MOMENTS} moments, READ all`);
    t.fd.between = thread;
    const ret = t.dmirrorRead(t.fd, buffer, NPAGES);
    t.fd.between = () => {};
    left = 0;
    thread();
    if (ret === 0) {
      t.line(`round ${c}: ret==0: c=n,f=1 and mirror i+c`);
      t.did(ret, buffer, NPAGES, 1);
      t.ints("mirror", buffer.mirror, must);
    }
    t.line(`round ${c}: what is left is as it was`);
    t.sees(buffer.ptr, counting(HALF, c));
    t.free(buffer);
  }
}

export const BASE_PAGES: readonly Case[] = [
  hmm("migrate", migrate),
  hmm("migrate_file_private", migrateFilePrivate),
  hmm("migrate_fault", migrateFault),
  hmm("migrate_release", migrateRelease),
  hmm("migrate_shared", migrateShared),
  hmm2("migrate_mixed", migrateMixed),
  hmm("migrate_multiple", migrateMultiple),
  hmm("anon_read_multiple", anonReadMultiple),
  hmm("anon_teardown", anonTeardown),
];
