/**
 * The package as a stranger gets it: packed, installed into an empty folder
 * with production dependencies only, run on the snapshot that comes with it,
 * and imported as a library. Exits 1 with the first thing that is wrong.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";

const root = fileURLToPath(new URL("..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "memdesc-package-"));

/** Runs a program and gives its stdout; its stderr goes through. */
function run(program, args, cwd) {
  return execFileSync(program, args, {
    cwd,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function must(condition, what) {
  if (!condition) throw new Error(what);
  console.log(`  ok  ${what}`);
}

try {
  const { messages } = await publint({ pkgDir: root, strict: true });
  for (const message of messages)
    console.error(`  publint: ${message.code} ${message.path.join(".")}`);
  must(messages.length === 0, "publint has nothing to say");

  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", dir], root);
  const tarball = readdirSync(dir).find((name) => name.endsWith(".tgz"));
  must(tarball !== undefined, "npm pack makes a tarball");

  writeFileSync(join(dir, "package.json"), '{"name":"stranger","private":true,"type":"module"}\n');
  run("npm", ["install", "--silent", "--no-audit", "--no-fund", `./${tarball}`], dir);
  const installed = join(dir, "node_modules/memdesc");
  must(
    !readdirSync(installed).some((name) => ["src", "test", "bench"].includes(name)),
    "it holds no sources or tests",
  );

  const bundled = join(installed, "data/bundled.memdesc");
  const report = JSON.parse(
    run("npx", ["--no-install", "memdesc", "inspect", bundled, "--json"], dir),
  );
  must(report.schema === "memdesc/inspect/1", "npx memdesc inspect runs on the bundled snapshot");
  must(report.designs.length >= 5, "it compares five designs");
  must(
    report.designs.every((d) => d.total > 0 && d.total < report.machine.ram),
    "every design costs something, and less than all memory",
  );

  const version = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version;
  const said = run("npx", ["--no-install", "memdesc", "--version"], dir).trim();
  must(said === version, `it calls itself ${version}`);

  writeFileSync(
    join(dir, "library.mjs"),
    'import * as memdesc from "memdesc";\nconsole.log(Object.keys(memdesc).length);\n',
  );
  const exported = Number(run(process.execPath, ["library.mjs"], dir));
  must(exported > 0, `the library can be imported (${exported} exports)`);
} catch (error) {
  console.error(`  not ok  ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  rmSync(dir, { recursive: true, force: true });
}
