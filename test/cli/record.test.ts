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
    expect(instances()).toEqual([]);
  });

  it("leaves no file and no instance where the command cannot be started", () => {
    const folder = scratch();
    const ran = memdesc(["record", "-o", join(folder, "t.mdt"), "--no-state", "--", "/nonesuch"]);
    expect(ran.err).toMatch(/memdesc: \/nonesuch: cannot be started: [^\n]+\n$/);
    expect(ran.code).toBe(2);
    expect(readdirSync(folder)).toEqual([]);
    expect(instances()).toEqual([]);
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
    expect(instances()).toContain(left);
    const ran = memdesc(["record", "-o", file, "--no-state", "--", "true"]);
    expect(ran.err).toContain(`memdesc: ${left}: left by a recording that was killed; removed\n`);
    expect(ran.code).toBe(0);
    expect(existsSync(file)).toBe(true);
    expect(instances()).toEqual([]);
  });
});
