/**
 * GUP and copy-on-write on memory that is on a device.
 *
 * The kernel's gup_test module is `Process.gup` here: GUP_BASIC_TEST gets pages the
 * slow way, GUP_FAST_BENCHMARK the fast one, PIN_FAST_BENCHMARK and
 * PIN_LONGTERM_BENCHMARK pin them for long; each lets them go again.
 *
 * Facts: device-facts §4.3, cases 28 and 29.
 */
import { MmError } from "../../src/engine/errors.js";
import {
  PROT_DEV_COHERENT_LOCAL,
  PROT_WRITE as DEV_WRITE,
} from "../../src/engine/drivers/mirror/snapshot-codes.js";
import { FOLL_GET, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../src/engine/process/gup.js";
import { PAGE_SIZE } from "../../src/units.js";
import type { Test } from "../testing.js";
import { hmm, type Case } from "./case.js";
import { showsCodes } from "./codes.js";

const SIGKILL = 9;
const PIN_LONG = FOLL_PIN | FOLL_LONGTERM;

/** An ioctl of gup_test on one page, with FOLL_WRITE: 0 or a negative errno. */
function gupTest(t: Test, addr: number, flags: number, how: "fast" | "slow"): number {
  try {
    t.process.gup(addr, PAGE_SIZE, flags | FOLL_WRITE, how).release();
    return 0;
  } catch (error) {
    if (error instanceof MmError) return -error.errno;
    throw error;
  }
}

function hmmGupTest(t: Test): void {
  const buffer = t.mapped(4);
  const must = t.init(buffer);
  t.line("to dev c=4");
  t.did(t.toDevice(t.fd, buffer, 4), buffer, 4);
  t.line("mirror i");
  t.ints("mirror", buffer.mirror, must);
  const page = (i: number): number => buffer.ptr + i * PAGE_SIZE;
  t.line("page 0 GUP_BASIC_TEST returns 0");
  t.ret(gupTest(t, page(0), FOLL_GET, "slow"), 0);
  t.line("page 1 GUP_FAST_BENCHMARK returns 0");
  t.ret(gupTest(t, page(1), FOLL_GET, "fast"), 0);
  t.line("page 2 PIN_FAST_BENCHMARK+FOLL_LONGTERM returns 0");
  t.ret(gupTest(t, page(2), PIN_LONG, "fast"), 0);
  t.line("page 3 PIN_LONGTERM_BENCHMARK returns 0");
  t.ret(gupTest(t, page(3), PIN_LONG, "slow"), 0);
  t.line("SNAPSHOT c=4");
  t.did(t.snapshot(t.fd, buffer, 4), buffer, 4);
  t.line(
    "private variant all four WRITE; coherent: m0,m1 = DEV_COHERENT_LOCAL|WRITE, m2,m3 = WRITE",
  );
  const stays = t.isPrivate ? DEV_WRITE : PROT_DEV_COHERENT_LOCAL | DEV_WRITE;
  showsCodes(t, buffer, [stays, stays, DEV_WRITE, DEV_WRITE]);
  t.line("CPU sees i");
  t.sees(buffer.ptr, must);
}

function hmmCowInDevice(t: Test): void {
  const buffer = t.mapped(4);
  const must = t.init(buffer);
  t.line("to dev c=4");
  t.did(t.toDevice(t.fd, buffer, 4), buffer, 4);
  // The child spins: it never touches its memory.
  const child = t.fork();
  t.line("parent writes all");
  t.write(buffer.ptr, must);
  t.line("parent SIGKILLs child (waitpid ok, WIFSIGNALED, SIGKILL)");
  child.kill(SIGKILL);
  const ended = t.waitpid(child);
  t.truth("the child was not killed by SIGKILL", "signal" in ended && ended.signal === SIGKILL);
  t.line("SNAPSHOT c=4, all WRITE");
  t.did(t.snapshot(t.fd, buffer, 4), buffer, 4);
  showsCodes(t, buffer, [DEV_WRITE, DEV_WRITE, DEV_WRITE, DEV_WRITE]);
}

export const GUP_COW: readonly Case[] = [
  hmm("hmm_gup_test", hmmGupTest),
  hmm("hmm_cow_in_device", hmmCowInDevice),
];
