/**
 * A device's read of memory whose pages another thread puts in.
 *
 * Facts: device-facts §4.3, case 39 (added in July 2026).
 */
import { PAGE_SIZE } from "../../src/units.js";
import type { Test } from "../testing.js";
import { hmm, type Case } from "./case.js";

const FILL = 0xab;

function userfaultfdRead(t: Test): void {
  const buffer = t.mapped(4);
  const page = new Uint8Array(PAGE_SIZE).fill(FILL);
  const fd = t.process.userfaultfd();
  t.line("4 pages registered UFFDIO_REGISTER_MODE_MISSING");
  fd.register(buffer.ptr, 4 * PAGE_SIZE, { missing: true });
  t.line("handler answers each missing fault with UFFDIO_COPY of a page of 0xAB");
  let answered = 0;
  fd.onFault = ({ addr }) => {
    t.equal("bytes copied", fd.copy(addr, page), PAGE_SIZE);
    answered++;
  };
  t.line("READ_UNLOCKED 4 → ret 0,c=4");
  t.did(t.dmirrorReadUnlocked(t.fd, buffer, 4), buffer, 4);
  t.line("mirror bytes all 0xAB");
  t.allInts("mirror", buffer.mirror, 0xababab00 | FILL);
  t.equal("faults that the handler answered", answered, 4);
  t.line("stop via eventfd");
  fd.onFault = null;
  fd.close();
}

export const USERFAULTFD: readonly Case[] = [hmm("userfaultfd_read", userfaultfdRead)];
