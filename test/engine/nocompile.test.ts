/**
 * The file of what must not compile is really compiled: the project that
 * `npm run typecheck` checks includes it, and every mistake in it is expected.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const file = fileURLToPath(new URL("nocompile.ts", import.meta.url));

test("the type-checked project includes nocompile.ts", () => {
  const { config } = ts.readConfigFile(`${root}tsconfig.json`, (path) =>
    readFileSync(path, "utf8"),
  );
  const { fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  expect(fileNames).toContain(file);
});

test("it holds mistakes of every kind", () => {
  const mistakes = readFileSync(file, "utf8").match(/^\s*\/\/ @ts-expect-error .+$/gm) ?? [];
  expect(mistakes.length).toBeGreaterThanOrEqual(16);
});
