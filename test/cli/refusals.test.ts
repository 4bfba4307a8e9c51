/**
 * What cannot be done is said in one line and with exit code 2: wrong usage,
 * bad input, outputs that cannot be written.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fixture, isOneLine, memdesc, scratch, shell, type Ran } from "./run.js";

const GUEST = fixture("guest-6.1");
const isRoot = process.getuid?.() === 0;

function expectRefusal(ran: Ran, ...words: string[]): void {
  expect(ran.err).toSatisfy(isOneLine);
  for (const word of words) expect(ran.err).toContain(word);
  expect(ran.code).toBe(2);
}

describe("wrong usage", () => {
  it.each([
    [["frobnicate"], "frobnicate"],
    [["inspect", "--jsn"], "--jsn"],
    [["inspect", "--html"], "--html"],
    [["inspect", "--raw", GUEST], "--flags"],
    [["inspect", "--flags", "--json", GUEST], "--json"],
    [["inspect", "--kinds-only", "--verify", GUEST], "--verify"],
    [["inspect", "--what-if", "file-order", GUEST], "name=value"],
    [["inspect", "--device", "large", GUEST], '"large" is no size'],
    [["inspect", "--device", "2047KiB", GUEST], "2 MiB at least"],
    [["inspect", "--device", "1025GiB", GUEST], "1 TiB at most"],
    [["inspect", "--device", "8GiB:giant", GUEST], '"huge"'],
    [["inspect", "--device", "8GiB:huge:huge", GUEST], '"huge"'],
    [["inspect", "--device", "3MiB:huge", GUEST], "no multiple of 2 MiB"],
    [["inspect", "--device", "8GiB", "--device", "8GiB", GUEST], "one device only"],
    [["inspect", "--device", "8GiB", "--kinds-only", GUEST], "--device"],
    [["inspect", "--device", "8GiB", "--flags", GUEST], "--device"],
    [["inspect", "--designs", "today,,memdesc8", GUEST], "empty"],
    [["inspect", GUEST, "second"], "too many"],
    [["page"], "pfn"],
    [["page", "12x", GUEST], "decimal or as 0x"],
    [["page", "-1", GUEST], "-1"],
    [["page", "0x100000000", GUEST], "16 TiB"],
    [["page", "65536", GUEST], "65,536 frames"],
    [["capture"], "file"],
  ])("memdesc %j is one line about %j", (args, word) => {
    expectRefusal(memdesc(args), word);
  });

  it("shows help on stderr without a command, and examples with --help", () => {
    expect(memdesc([])).toMatchObject({ code: 2, out: "" });
    for (const command of [[], ["inspect"], ["capture"], ["page"]]) {
      const { code, out } = memdesc([...command, "--help"]);
      expect(code).toBe(0);
      expect(out).toContain("Examples:\n  $ ");
      expect(out.split("\n").filter((line) => line.length > 80)).toEqual([]);
    }
    expect(memdesc(["--version"]).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("bad input", () => {
  it.each([
    ["a file that is not there", () => join(scratch(), "none"), "none"],
    ["a folder without page flags", () => scratch(), "kpageflags"],
    ["an empty file", () => written("empty", ""), "empty"],
    ["text", () => written("text", "hello\n".repeat(200)), "neither a capture nor a tar"],
    ["a truncated kpageflags", () => folderWith("kpageflags", Buffer.alloc(4097)), "kpageflags"],
    ["a device", () => "/dev/null", "/dev/null"],
  ])("refuses %s", (_name, make, word) => {
    expectRefusal(memdesc(["inspect", "--kinds-only", make()]), word);
  });

  it("refuses a pipe at once instead of waiting for it", () => {
    const pipe = join(scratch(), "pipe");
    expectRefusal(shell(`mkfifo ${pipe} && exec $MEMDESC inspect --kinds-only ${pipe}`), "pipe");
  });

  it("refuses a capture that is cut or has a byte flipped", () => {
    const dir = scratch();
    const whole = join(dir, "whole");
    expect(memdesc(["capture", whole, "--from", GUEST]).code).toBe(0);
    const bytes = readFileSync(whole);
    for (const at of [9, bytes.length >> 1, bytes.length - 1]) {
      const cut = join(dir, `cut-${at}`);
      writeFileSync(cut, bytes.subarray(0, at));
      expectRefusal(memdesc(["inspect", "--kinds-only", cut]), cut);
      const flipped = Buffer.from(bytes);
      flipped[at] ^= 0x10;
      writeFileSync(cut, flipped);
      expectRefusal(memdesc(["inspect", "--kinds-only", cut]), cut);
    }
  });

  it("keeps control characters of a file's name out of the terminal", () => {
    const dir = join(scratch(), "a\u001b[31m\nb");
    mkdirSync(dir);
    expectRefusal(memdesc(["inspect", dir]));
    expect(memdesc(["inspect", dir]).err).not.toContain("\u001b");
    for (const file of ["kpageflags.zst", "zoneinfo"])
      copyFileSync(join(GUEST, file), join(dir, file));
    const { out, code } = memdesc(["inspect", "--kinds-only", dir]);
    expect(code).toBe(0);
    expect(out).not.toContain("\u001b");
  });
});

describe("outputs that cannot be written", () => {
  const kinds = ["inspect", "--kinds-only", GUEST, "--html"];

  it("refuses a folder and a missing folder before anything is read", () => {
    const dir = scratch();
    expectRefusal(memdesc([...kinds, dir]), dir, "folder");
    expectRefusal(memdesc([...kinds, join(dir, "no", "x.html")]), "does not exist");
    expectRefusal(memdesc(["capture", dir, "--from", GUEST]), dir);
    expect(readdirSync(dir)).toEqual([]);
  });

  it("leaves neither a half-written file nor a temporary one when space runs out", () => {
    const dir = scratch();
    const page = join(dir, "report.html");
    const ran = shell(`ulimit -f 1; trap '' XFSZ; exec $MEMDESC ${kinds.join(" ")} ${page}`);
    expectRefusal(ran, page);
    expect(readdirSync(dir)).toEqual([]);
    expectRefusal(memdesc([...kinds, "/dev/full"]), "no space left");
  });

  it("keeps the old file when the new one cannot be written", () => {
    const page = join(scratch(), "report.html");
    writeFileSync(page, "old");
    const ran = shell(`ulimit -f 1; trap '' XFSZ; exec $MEMDESC ${kinds.join(" ")} ${page}`);
    expect(ran.code).toBe(2);
    expect(readFileSync(page, "utf8")).toBe("old");
  });

  it("says that standard output is full", () => {
    expectRefusal(
      shell(`exec $MEMDESC inspect --kinds-only ${GUEST} > /dev/full`),
      "no space left",
    );
  });

  it("is quiet when the reader goes away", () => {
    const line = `{ $MEMDESC inspect --kinds-only --json ${GUEST}; echo "code $?" >&2; } | sh -c 'exec <&-; sleep 2'`;
    expect(shell(line).err).toBe("code 0\n");
  });
});

describe("without root", () => {
  const asNobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
  const can = isRoot && shell(`${asNobody} ${process.execPath} --version`).code === 0;
  const readable = can && shell(`${asNobody} test -r ${join(GUEST, "zoneinfo")}`).code === 0;

  it.skipIf(!readable)(
    "shows the bundled snapshot, and says so (skipped unless run as root)",
    () => {
      const { code, out, err } = shell(`${asNobody} $MEMDESC inspect --kinds-only`);
      expect(err).toSatisfy(isOneLine);
      expect(err).toContain("bundled");
      expect(code).toBe(0);
      expect(out).toContain("NOT this machine");
      expect(out).not.toContain("read in");
    },
  );

  it.skipIf(!readable)("captures nothing, and says why (skipped unless run as root)", () => {
    const file = join(scratch(), "capture");
    expectRefusal(shell(`${asNobody} $MEMDESC capture ${file}`), "root");
    expect(existsSync(file)).toBe(false);
  });
});

function written(name: string, text: string): string {
  const file = join(scratch(), name);
  writeFileSync(file, text);
  return file;
}

function folderWith(name: string, bytes: Uint8Array): string {
  const dir = scratch();
  copyFileSync(join(GUEST, "zoneinfo"), join(dir, "zoneinfo"));
  writeFileSync(join(dir, name), bytes);
  return dir;
}
