/**
 * Parts of the command line that need no process: progress, colour, failures.
 */
import { CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { failureOf, outputError, UsageError } from "../../src/cli/fail.js";
import { wantsColor } from "../../src/cli/output.js";
import { Progress } from "../../src/cli/progress.js";
import { InputError } from "../../src/observe/input-error.js";

function watched(isTTY: boolean): {
  written: string[];
  clock: { now: number };
  progress: Progress;
} {
  const written: string[] = [];
  const clock = { now: 0 };
  const stream = { isTTY, write: (text: string) => written.push(text) };
  return { written, clock, progress: new Progress(stream, () => clock.now) };
}

describe("progress", () => {
  it("says nothing in the first second", () => {
    const { written, clock, progress } = watched(true);
    clock.now = 999;
    progress.update("reading", 1, 10);
    progress.finish();
    expect(written).toEqual([]);
  });

  it("rewrites one line on a terminal, with an estimate, and wipes it", () => {
    const { written, clock, progress } = watched(true);
    clock.now = 2000;
    progress.update("reading", 20, 100);
    clock.now = 2050;
    progress.update("reading", 21, 100);
    progress.finish();
    expect(written).toEqual(["\r\u001b[Kreading … 20 %, about 8 s left", "\r\u001b[K"]);
  });

  it("writes one plain line elsewhere, unless it is as good as done", () => {
    const { written, clock, progress } = watched(false);
    clock.now = 1000;
    progress.update("reading", 60, 100);
    expect(written).toEqual([]);
    for (const now of [1000, 2000, 3000]) {
      clock.now = now;
      progress.update("reading", 50, 100);
    }
    progress.finish();
    expect(written).toEqual(["memdesc: reading … 50 %, about 1 s left\n"]);
  });
});

describe("colour", () => {
  it.each([
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: "1" }, false],
    [true, { NO_COLOR: "" }, true],
    [false, { FORCE_COLOR: "1" }, true],
    [true, { FORCE_COLOR: "0" }, false],
    [true, { NO_COLOR: "1", FORCE_COLOR: "1" }, false],
    [true, { TERM: "dumb" }, false],
  ])("terminal %s with %j: %s", (isTTY, env, expected) => {
    expect(wantsColor({ isTTY }, env)).toBe(expected);
  });
});

describe("failures", () => {
  it("are one line and exit code 2", () => {
    const input = new InputError({ file: "kpageflags", offset: 12 }, "cut", "copy it again");
    expect(failureOf(input, false)).toEqual({
      line: "memdesc: kpageflags: byte 12: cut (copy it again)",
      code: 2,
    });
    expect(failureOf(new UsageError("no"), false)).toEqual({ line: "memdesc: no", code: 2 });
    const full = Object.assign(new Error("x"), { code: "ENOSPC" });
    expect(failureOf(outputError("out", full), false)).toEqual({
      line: "memdesc: out: not written, no space left on the device",
      code: 2,
    });
  });

  it("of our own ask to be reported, with a stack only on demand", () => {
    const fault = new RangeError("first line\nsecond line");
    expect(failureOf(fault, false).line).toMatch(
      /^memdesc: internal error \(RangeError: first line\)[^\n]*$/,
    );
    expect(failureOf(fault, true).line).toContain("\n    at ");
    expect(failureOf("a string", false).code).toBe(2);
  });

  it("of commander keep quiet, because it has spoken; help is no failure", () => {
    expect(failureOf(new CommanderError(1, "x", "y"), false)).toEqual({ line: "", code: 2 });
    expect(failureOf(new CommanderError(0, "commander.helpDisplayed", ""), false).code).toBe(0);
  });
});
