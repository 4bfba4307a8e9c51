/**
 * `memdesc record` as a user runs it: what it refuses, and, where this machine lets us
 * (root), a recording, its report, and what becomes of one that was killed.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { InputError } from "../../src/observe/input-error.js";
import { openTracefs, whyNotRecord } from "../../src/trace/record/tracefs.node.js";
import { isOneLine, MEMDESC, memdesc, scratch } from "./run.js";

const cannot = ((): string | null => {
  const why = whyNotRecord();
  if (why !== null) return why;
  try {
    openTracefs().close();
    return null;
  } catch (error) {
    return error instanceof InputError ? error.message : String(error);
  }
})();

function instances(): string[] {
  const tracefs = openTracefs();
  try {
    return readdirSync(join(tracefs.root, "instances")).filter((n) => n.startsWith("memdesc-"));
  } finally {
    tracefs.close();
  }
}

/** Instances of recorders that are gone: other tests, and others on this machine, may be recording. */
const leftBehind = (): string[] => instances().filter((n) => !existsSync(`/proc/${n.slice(8)}`));

describe("what record refuses", () => {
  it.each([
    [["record"], "--output"],
    [["record", "-o", "t.mdt", "--for", "3y"], "30s"],
    [["record", "-o", "t.mdt", "--for", "0s"], "30s"],
    [["record", "-o", "t.mdt", "--buffer", "1KiB"], "64 KiB"],
    [["record", "-o", "t.mdt", "--sample", "1ms"], "20ms"],
  ])("%j", (args, word) => {
    const ran = memdesc(args);
    expect(ran.err).toSatisfy(isOneLine);
    expect(ran.err).toContain(word);
    expect(ran.code).toBe(2);
  });

  it.skipIf(process.geteuid?.() === 0)(
    "without root, in one line that names bundled traces",
    () => {
      const ran = memdesc(["record", "-o", join(scratch(), "t.mdt"), "--", "true"]);
      expect(ran.err).toSatisfy(isOneLine);
      expect(ran.err).toMatch(/needs root; .*memdesc replay --list/);
      expect(ran.code).toBe(2);
    },
  );
});

describe.skipIf(cannot !== null)("recordings", () => {
  it("writes a file, says what is in it, and how the command ended", () => {
    const file = join(scratch(), "t.mdt");
    const ran = memdesc(["record", "-o", file, "--no-state", "--", "sh", "-c", "exit 7"]);
    expect(ran.err).toMatch(/t\.mdt: [\d,]+ events in [\d.]+ s .*none lost.*s of CPU\n/);
    expect(ran.err).toMatch(/memdesc: sh ended with exit code 7\n/);
    expect(ran.code).toBe(0);
    expect(statSync(file).size).toBeGreaterThan(500);
    expect(leftBehind()).toEqual([]);
  });

  it("leaves no file and no instance where the command cannot be started", () => {
    const folder = scratch();
    const ran = memdesc(["record", "-o", join(folder, "t.mdt"), "--no-state", "--", "/nonesuch"]);
    expect(ran.err).toMatch(/memdesc: \/nonesuch: cannot be started: [^\n]+\n$/);
    expect(ran.code).toBe(2);
    expect(readdirSync(folder)).toEqual([]);
    expect(leftBehind()).toEqual([]);
  });

  it("goes on beside others that begin and end at the same time", async () => {
    const folder = scratch();
    const ends = [1, 2, 3, 4].map(async (n) => {
      const file = join(folder, `${n}.mdt`);
      const args = [MEMDESC, "record", "-o", file, "--no-state", "--", "sleep", `0.${n}`];
      const child = spawn(process.execPath, args, { stdio: "ignore" });
      return new Promise((resolve) => {
        child.once("exit", resolve);
      });
    });
    expect(await Promise.all(ends)).toEqual([0, 0, 0, 0]);
    expect(readdirSync(folder)).toHaveLength(4);
    expect(leftBehind()).toEqual([]);
  });

  it("removes what a killed recording left, and says so", async () => {
    const file = join(scratch(), "t.mdt");
    const args = [MEMDESC, "record", "-o", file, "--no-state", "--", "sleep", "5"];
    const killed = spawn(process.execPath, args, { stdio: "ignore" });
    const gone = new Promise((resolve) => {
      killed.once("exit", resolve);
    });
    while (!instances().includes(`memdesc-${killed.pid}`)) await setTimeout(20);
    killed.kill("SIGKILL");
    await gone;
    const left = `memdesc-${killed.pid}`;
    expect(leftBehind()).toContain(left);
    const ran = memdesc(["record", "-o", file, "--no-state", "--", "true"]);
    expect(ran.err).toContain(`memdesc: ${left}: left by a recording that was killed; removed\n`);
    expect(ran.code).toBe(0);
    expect(existsSync(file)).toBe(true);
    expect(leftBehind()).toEqual([]);
  });
});
