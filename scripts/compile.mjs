/**
 * Compiles TypeScript to JavaScript, module by module, with constants in place:
 * `node scripts/compile.mjs OUT ROOT DIR…` puts every module of each DIR (and
 * what they import) under OUT as it lies under ROOT.
 *
 * tsc alone leaves an imported constant an import, which V8 reads from its cell
 * and checks for having been set at every use: half the instructions of a hot
 * path were that. Types are tsc's to check; declarations come from it too.
 */
import { readdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { rolldown } from "rolldown";

const [out, rootArgument, ...dirs] = process.argv.slice(2);
if (out === undefined || rootArgument === undefined || dirs.length === 0) {
  console.error("usage: node scripts/compile.mjs OUT ROOT DIR...");
  process.exit(2);
}
const root = resolve(rootArgument);
const input = {};
for (const dir of dirs) {
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (path.endsWith(".ts")) input[relative(root, resolve(path)).slice(0, -3)] = path;
  }
}
const bundle = await rolldown({
  input,
  platform: "node",
  external: /^[^./]/,
  optimization: { inlineConst: { mode: "all", pass: 3 } },
});
await bundle.write({
  dir: out,
  format: "esm",
  preserveModules: true,
  preserveModulesRoot: root,
  entryFileNames: "[name].js",
});
await bundle.close();
