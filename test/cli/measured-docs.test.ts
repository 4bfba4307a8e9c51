/** docs/scattered-memory.md and docs/driver-memory.md show what machines measure now. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { ROOT } from "./run.js";

test("their figures are those that the script prints", () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    ["scripts/scattered-table.mjs", "--check"],
    { cwd: ROOT, encoding: "utf8" },
  );
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
