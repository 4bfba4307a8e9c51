/**
 * Puts the real output of the command line into README.md: runs the built CLI on
 * the snapshot that comes with the package and replaces what stands between the
 * two markers. With --check it changes nothing and exits 1 if the README is old.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const file = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const BEGIN =
  "<!-- output of `npx memdesc inspect data/bundled.memdesc`, by scripts/readme-output.mjs -->";
const END = "<!-- end of output -->";

/** Sections after the costs are for reading in a terminal, not on a first screen. */
const SHOWN = /^(.*?\n\nWHAT DESCRIBING THEM COSTS.*?)\n\n/s;

const whole = execFileSync(
  process.execPath,
  [file("dist/cli/memdesc.js"), "inspect", file("data/bundled.memdesc")],
  { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" }, maxBuffer: 2 ** 26 },
);
const shown = SHOWN.exec(whole)?.[1];
if (shown === undefined) throw new Error("the output has no section of costs");
// How long reading took depends on the machine that runs this script.
const output = shown.replace(/ +read in [\d.]+ s$/m, "").replace(/^read in [\d.]+ s\n/m, "");

const readme = readFileSync(file("README.md"), "utf8");
const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
if (from < 0 || to < from) throw new Error("README.md has lost its markers");
const made = `${readme.slice(0, from)}${BEGIN}\n\n\`\`\`text\n${output}\n\`\`\`\n\n${readme.slice(to)}`;

if (process.argv.includes("--check")) {
  if (made !== readme) {
    console.error("README.md shows old output: run node scripts/readme-output.mjs");
    process.exit(1);
  }
} else {
  writeFileSync(file("README.md"), made);
}
