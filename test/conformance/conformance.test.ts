/**
 * The kernel's HMM self-test cases on designs that cover every pair of choices:
 * `npm run conformance` runs them on every legal design.
 *
 * Threads run them as compiled code, as that command does: the sources are compiled
 * anew, which takes a second, and run two to three times as fast then. The command
 * itself is tried on that code too.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VARIANTS } from "../../conformance/cases/case.js";
import { CASES } from "../../conformance/cases/index.js";
import { designsOf } from "../../conformance/options.js";
import { Pool } from "../../conformance/pool.js";
import type { Done } from "../../conformance/worker.js";

/** Sizes of the benchmark case, in huge pages. */
const LARGEST = 4;
const JOBS = 2;
const PATIENCE = 1_200_000;

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "conformance-"));
const designs = designsOf("pairs");
const done = new Map<string, Done>();

beforeAll(async () => {
  execFileSync("node", ["scripts/compile.mjs", folder, ".", "src", "conformance"], { cwd: root });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const pool = new Pool({
    selection: {},
    largest: LARGEST,
    seed: 1,
    jobs: JOBS,
    worker: pathToFileURL(join(folder, "conformance", "worker.js")),
  });
  await pool.run(designs, (result) => done.set(result.design, result));
}, PATIENCE);

afterAll(() => rmSync(folder, { recursive: true }));

describe.each(designs.map((d) => d.name))("%s", (name) => {
  it("passes all cases in both variants", () => {
    const results = done.get(name)?.results ?? [];
    const failures = results.flatMap(({ name: which, variant, failure }) =>
      failure === null ? [] : [`${which} (${variant}): ${failure}`],
    );
    expect(failures).toEqual([]);
    expect(results.filter((r) => r.cannot !== null)).toEqual([]);
    expect(results.length).toBe(CASES.length * VARIANTS.length);
  });
});

describe("npm run conformance", () => {
  const main = join(folder, "conformance", "main.js");
  const run = (...words: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync("node", [main, ...words], { encoding: "utf8" });

  it("says what came of what was asked for, and leaves with 0", () => {
    const { status, stdout, stderr } = run(
      "--design",
      "today,device-tuple",
      "--case",
      "double_map",
      "--jobs",
      "1",
    );
    expect(stderr).toBe("");
    expect(stdout).toMatch(
      /\n2 designs, 4 cases passed, 0 failed, 0 not representable, [\d.]+ s\n$/,
    );
    expect(status).toBe(0);
  });

  it("refuses arguments that mean nothing in one line, and leaves with 2", () => {
    const { status, stdout, stderr } = run("--variant", "device");
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^conformance: [^\n]*device_private, device_coherent[^\n]*\n$/);
    expect(status).toBe(2);
  });

  it("stopped by Ctrl-C says what it knows, and leaves with 130", async () => {
    const child = spawn("node", [main, "--pairs"], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
    await once(child.stderr, "data");
    child.kill("SIGINT");
    const [code] = (await once(child, "exit")) as [number | null];
    expect(stdout).toMatch(/\d+ of \d+ designs, .*, interrupted\n$/);
    expect(code).toBe(130);
  });
});
