/** Accepted differences are those that they name, and no others. */
import { describe, expect, it } from "vitest";
import type { Difference } from "../../differential/compare.js";
import { EngineSubject } from "../../differential/engine-subject.js";
import { knownAs } from "../../differential/known.js";
import type { Op } from "../../differential/program.js";
import { parseProgram } from "../../differential/text.js";

/** The difference after the last step of a program, and the program. */
function name(text: string, what: string, lines: readonly string[] = []): string | null {
  const program = parseProgram(text);
  const step = program.steps.length - 1;
  const op: Op = program.steps[step];
  const difference: Difference = { step, op, what, lines };
  return knownAs(difference, program)?.name ?? null;
}

describe("activation of pages in batches", () => {
  const exit = "p0 exit\n";
  const line = (flags: string): string => `kernel: present ${flags}, mapped 1 times`;
  const batches = "activation of pages in batches";

  it("is a mark of use on an active file page after an unmapping", () => {
    const lines = [line("file lru active"), line("file referenced lru active")];
    expect(name(exit, "page: referenced after exit", lines)).toBe(batches);
  });

  it("is nothing on a page that is not active, not a file's, or that was touched", () => {
    const still = [line("file lru"), line("file referenced lru active")];
    expect(name(exit, "page: referenced after exit", still)).toBeNull();
    const anonymous = [line("lru active anon"), line("referenced lru active anon")];
    expect(name(exit, "page: referenced after exit", anonymous)).toBeNull();
    const lines = [line("file lru active"), line("file referenced lru active")];
    expect(name(exit, "page: referenced active after exit", lines)).toBeNull();
    const read = "p0 read address=a+0p pages=1\n";
    expect(name(read, "page: referenced after read", lines)).toBeNull();
    expect(name(`p1 exit\n${read}`, "page: referenced after read", lines)).toBe(batches);
  });
});

describe("activation that still waits", () => {
  const read = "p0 read address=b+0p pages=1\n";
  const what = "page: referenced active after read";
  const lines = ["kernel: present file referenced lru", "engine: present file lru active"];

  it("is a file's page that the kernel has marked and the engine activated, not the other way round", () => {
    expect(name(read, what, lines)).toBe("activation that still waits");
    const turned = ["kernel: present file lru active", "engine: present file referenced lru"];
    expect(name(read, what, turned)).toBeNull();
    const anonymous = lines.map((line) => line.replace("file ", ""));
    expect(name(read, what, anonymous)).toBeNull();
  });
});

describe("pages that come back", () => {
  const out = "p0 madvise address=b+0p length=4p advice=pageout\n";
  const read = "p0 read address=b+0p pages=1\n";
  const lines = ["kernel: present file lru active", "engine: present file lru"];
  const what = "page: active after read";

  it("are a file's, active on the kernel, after pages were reclaimed", () => {
    expect(name(out + read, what, lines)).toBe("pages that come back");
    expect(name(read, what, lines)).toBeNull();
    const anonymous = ["kernel: present lru active anon", "engine: present lru anon"];
    expect(name(out + read, what, anonymous)).toBeNull();
    const engine = ["kernel: present file lru", "engine: present file lru active"];
    expect(name(out + read, what, engine)).toBeNull();
  });
});

describe("promises of pinned huge pages", () => {
  const hugetlb =
    "p0 mmap address=b+0p length=512p prot=rw flags=private|fixed|anonymous|hugetlb file=none offset=0\n";
  const pin = "p0 pin address=b+0p length=1p slot=0\n";
  const unmap = "p0 munmap address=b+0p length=512p\n";
  const write = "p0 write address=b+512p pages=1 value=1\n";
  const what = "result of write: ok or SIGBUS";

  it("is a page that one of both gets after pinned ones were unmapped", () => {
    expect(name(hugetlb + pin + unmap + write, what)).toBe("promises of pinned huge pages");
  });

  it("needs all of it, in this order", () => {
    expect(name(hugetlb + pin + write, what)).toBeNull();
    expect(name(hugetlb + unmap + pin + write, what)).toBeNull();
    expect(name(pin + unmap + write, what)).toBeNull();
    expect(name(hugetlb + pin + unmap + write, "result of write: SIGBUS or ok")).toBeNull();
  });
});

it("PROT_GROWSDOWN finds the executor's memory only over terabytes", () => {
  const protect = (length: string): string =>
    `p0 mprotect address=a+0p length=${length} prot=rw|0x1000000\n`;
  const what = "result of mprotect: EINVAL or ENOMEM";
  expect(name(protect("4398046511104"), what)).toMatch(/PROT_GROWSDOWN/);
  expect(name(protect("8p"), what)).toBeNull();
  expect(name(protect("4398046511104").replace("|0x1000000", ""), what)).toBeNull();
});

it("a process that a refused fork did not make is not there: ESRCH, as the executor says", () => {
  const subject = new EngineSubject({
    release: "6.18",
    hugetlbPages: 0,
    faultAroundBytes: 65536,
    readaheadPages: 32,
    largeFolios: true,
    thp: new Map(),
    memoryPages: 65536,
    swapBytes: 0,
    overcommit: 0,
  });
  subject.start();
  const [op] = parseProgram("p0 read address=a+0p pages=1\n").steps;
  expect(subject.step({ ...op, process: 3 }).error).toBe(3);
  expect(subject.step(op)).toMatchObject({ error: 0, signal: 11, page: 0 });
});
