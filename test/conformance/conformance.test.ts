/**
 * The kernel's HMM self-test cases on designs that cover every pair of choices:
 * `npm run conformance` runs them on every legal design.
 *
 * Threads run them as compiled code, as that command does: the sources are compiled
 * anew, which takes a second, and run two to three times as fast then.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VARIANTS } from "../../conformance/cases/case.js";
import { CASES } from "../../conformance/cases/index.js";
import { everyDesign } from "../../conformance/options.js";
import { Pool } from "../../conformance/pool.js";
import type { Done } from "../../conformance/worker.js";

/** Sizes of the benchmark case, in huge pages. */
const LARGEST = 4;
const JOBS = 2;
const PATIENCE = 600_000;

const designs = everyDesign(true);
const done = new Map<string, Done>();
const folder = mkdtempSync(join(tmpdir(), "conformance-"));

beforeAll(async () => {
  execFileSync("node", ["scripts/compile.mjs", folder, ".", "src", "conformance"]);
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
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
