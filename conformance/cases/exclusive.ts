/**
 * Device-exclusive access: pages that a device has to itself until somebody else
 * touches them.
 *
 * Facts: device-facts §4.3, cases 25 to 27.
 */
import { PROT_READ } from "../../src/engine/process/constants.js";
import { PAGE_SIZE } from "../../src/units.js";
import { counting, HMM_BUFFER_SIZE, INTS, type HmmBuffer, type Test } from "../testing.js";
import { hmm, type Case } from "./case.js";

const NPAGES = HMM_BUFFER_SIZE / PAGE_SIZE;
const EPERM = -1;

/** `init i`; EXCLUSIVE c=n; mirror i. */
function lend(t: Test): HmmBuffer {
  const buffer = t.mapped(NPAGES);
  const must = t.init(buffer);
  t.line("EXCLUSIVE ret 0,c=n");
  t.did(t.exclusive(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
  return buffer;
}

/** ptr[i] read i and then incremented, for the integers of one page. */
function increment(t: Test, ptr: number, page: number): void {
  t.line("each ptr[i] read i and then incremented");
  t.sees(ptr + page * PAGE_SIZE, counting(PAGE_SIZE, page * INTS));
  t.write(ptr + page * PAGE_SIZE, counting(PAGE_SIZE, page * INTS + 1));
}

function allIncremented(t: Test, ptr: number): void {
  t.line("then all i+1");
  t.sees(ptr, counting(HMM_BUFFER_SIZE, 1));
}

function exclusive(t: Test): void {
  const buffer = lend(t);
  for (let page = 0; page < NPAGES; page++) increment(t, buffer.ptr, page);
  allIncremented(t, buffer.ptr);
  t.line("CHECK_EXCLUSIVE ret 0");
  t.ret(t.checkExclusive(t.fd, buffer, NPAGES), 0);
}

function exclusiveMprotect(t: Test): void {
  const buffer = lend(t);
  t.line("mprotect PROT_READ ok");
  t.ret(t.mprotect(buffer.ptr, HMM_BUFFER_SIZE, PROT_READ), 0);
  t.line("WRITE → −EPERM");
  t.ret(t.dmirrorWrite(t.fd, buffer, NPAGES), EPERM);
}

function exclusiveCow(t: Test): void {
  const buffer = lend(t);
  const child = t.fork();
  // Both run at once: a page of the one, the same page of the other, in turns.
  for (let page = 0; page < NPAGES; page++) {
    const [first, second] = page % 2 === 0 ? [child, t] : [t, child];
    first.runs((one) => increment(one, buffer.ptr, page));
    second.runs((one) => increment(one, buffer.ptr, page));
  }
  child.runs((c) => allIncremented(c, buffer.ptr));
  child.exit();
  allIncremented(t, buffer.ptr);
  t.line("child status 0");
  t.childDid(child);
}

export const EXCLUSIVE: readonly Case[] = [
  hmm("exclusive", exclusive),
  hmm("exclusive_mprotect", exclusiveMprotect),
  hmm("exclusive_cow", exclusiveCow),
];
