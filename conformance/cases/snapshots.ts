/**
 * Snapshots: what a device learns of a process's memory without touching it.
 *
 * Facts: device-facts §4.3, cases 21 to 24; the codes §4.1.
 */
import { mapDeviceFile } from "../../src/engine/drivers/mirror/device-file.js";
import {
  PROT_DEV_COHERENT_LOCAL,
  PROT_DEV_COHERENT_REMOTE,
  PROT_DEV_PRIVATE_LOCAL,
  PROT_ERROR,
  PROT_PMD,
  PROT_PUD,
  PROT_READ as DEV_READ,
  PROT_WRITE as DEV_WRITE,
  PROT_ZERO,
} from "../../src/engine/drivers/mirror/snapshot-codes.js";
import {
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_PRIVATE,
  PROT_NONE,
  PROT_READ,
} from "../../src/engine/process/constants.js";
import { PAGE_SIZE } from "../../src/units.js";
import { RW, TWOMEG, type Test } from "../testing.js";
import { hmm, hmm2, type Case } from "./case.js";
import { showsCodes, showsEverywhere } from "./codes.js";

function mixedmap(t: Test): void {
  t.line("mmap 1 page of the device fd MAP_PRIVATE RW");
  const buffer = t.buffer(1);
  buffer.ptr = mapDeviceFile(t.process, t.kernel, 1);
  buffer.mapped = { addr: buffer.ptr, length: PAGE_SIZE };
  t.line("SNAPSHOT 1 → ret 0,c=1");
  t.did(t.snapshot(t.fd, buffer, 1), buffer, 1);
  t.line("m[0]==READ");
  showsCodes(t, buffer, [DEV_READ]);
}

function snapshot(t: Test): void {
  const [dev0, dev1] = t.fds;
  const buffer = t.mapped(7, PROT_NONE);
  const page = (i: number): number => buffer.ptr + i * PAGE_SIZE;
  t.line("munmap page 1");
  t.ret(t.munmap(page(1), PAGE_SIZE), 0);
  t.line("page 2 PROT_READ + CPU read (0)");
  t.ret(t.mprotect(page(2), PAGE_SIZE, PROT_READ), 0);
  t.equal("the int", t.peek(page(2)), 0);
  t.line("page 3 RW, write 3, then PROT_READ");
  t.ret(t.mprotect(page(3), PAGE_SIZE, RW), 0);
  t.poke(page(3), 3);
  t.ret(t.mprotect(page(3), PAGE_SIZE, PROT_READ), 0);
  t.line("pages 4–6 RW, write page 4");
  t.ret(t.mprotect(page(4), 3 * PAGE_SIZE, RW), 0);
  t.poke(page(4), 3);
  t.line("MIGRATE_TO_DEV page 5→dev0 (c=1)");
  t.did(t.toDevice(dev0, buffer, 1, page(5)), buffer, 1);
  t.line("MIGRATE_TO_DEV page 6→dev1 (c=1)");
  t.did(t.toDevice(dev1, buffer, 1, page(6)), buffer, 1);
  t.line("SNAPSHOT(dev0, 7) ret 0,c=7");
  t.did(t.snapshot(dev0, buffer, 7), buffer, 7);
  t.line("m0=ERROR, m1=ERROR, m2=ZERO|READ, m3=READ, m4=WRITE, m5 and m6 by variant");
  showsCodes(t, buffer, [
    PROT_ERROR,
    PROT_ERROR,
    PROT_ZERO | DEV_READ,
    DEV_READ,
    DEV_WRITE,
    (t.isPrivate ? PROT_DEV_PRIVATE_LOCAL : PROT_DEV_COHERENT_LOCAL) | DEV_WRITE,
    t.isPrivate ? 0 : PROT_DEV_COHERENT_REMOTE | DEV_WRITE,
  ]);
}

function compound(t: Test): void {
  const npages = TWOMEG / PAGE_SIZE;
  const buffer = t.mapped(npages, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
  t.init(buffer);
  t.line("SNAPSHOT ret 0,c=n");
  t.did(t.snapshot(t.fd, buffer, npages), buffer, npages);
  t.line("every byte == WRITE|L where L is PMD, or PUD if m[0] has PUD (all identical)");
  const level = (t.codes(buffer, 1)[0] & PROT_PUD) !== 0 ? PROT_PUD : PROT_PMD;
  showsEverywhere(t, buffer, npages, DEV_WRITE | level);
  t.line("mprotect PROT_READ");
  t.ret(t.mprotect(buffer.ptr, TWOMEG, PROT_READ), 0);
  t.line("SNAPSHOT: every byte == READ|L");
  t.did(t.snapshot(t.fd, buffer, npages), buffer, npages);
  showsEverywhere(t, buffer, npages, DEV_READ | level);
}

function doubleMap(t: Test): void {
  const [dev0, dev1] = t.fds;
  const buffer = t.mapped(6);
  const must = t.init(buffer);
  t.line("mprotect PROT_READ");
  t.ret(t.mprotect(buffer.ptr, 6 * PAGE_SIZE, PROT_READ), 0);
  t.line("READ dev0 c=6,f=1 mirror i");
  t.did(t.dmirrorRead(dev0, buffer, 6), buffer, 6, 1);
  t.ints("mirror", buffer.mirror, must);
  t.line("READ dev1 c=6,f=1 mirror i");
  t.did(t.dmirrorRead(dev1, buffer, 6), buffer, 6, 1);
  t.ints("mirror", buffer.mirror, must);
  t.line("MIGRATE_TO_DEV dev1 ret 0,c=6");
  t.did(t.toDevice(dev1, buffer, 6), buffer, 6);
  t.line("READ dev0 ret 0,c=6,f=1 (forces migration back out of dev1 in the private variant)");
  t.did(t.dmirrorRead(dev0, buffer, 6), buffer, 6, 1);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
}

export const SNAPSHOTS: readonly Case[] = [
  hmm("mixedmap", mixedmap),
  hmm2("snapshot", snapshot),
  hmm("compound", compound, 1),
  hmm2("double_map", doubleMap),
];
