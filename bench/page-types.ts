/**
 * The kernel's own page-types: from the environment (PAGE_TYPES), from PATH, or
 * built from Debian's kernel source in a temporary folder.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./places.js";
import { progress } from "./print.js";
import { buildStep, which } from "./processes.js";

const SERIES = "linux-source-6.12";
const TARBALL = `/usr/src/${SERIES}.tar.xz`;
/** The parts of the source tree that page-types is built from. */
const PARTS = [
  "tools/mm",
  "tools/lib",
  "tools/include",
  "tools/scripts",
  "tools/build",
  "include/uapi",
  "scripts",
];

export type Tool = { readonly path: string } | { readonly missing: string };

export function findPageTypes(): Tool {
  const given = process.env["PAGE_TYPES"] ?? which("page-types");
  if (given !== null)
    return existsSync(given) ? { path: given } : { missing: `${given} is not there` };
  if (!existsSync(TARBALL)) return { missing: `not on PATH, and no ${TARBALL} to build it from` };
  if (which("make") === null || which("cc") === null)
    return { missing: "not on PATH, and no make and C compiler" };
  return build();
}

function build(): Tool {
  const folder = temporaryFolder();
  progress(`unpacking ${SERIES} for page-types`);
  const members = PARTS.map((part) => `${SERIES}/${part}`);
  const unpacked = buildStep("tar", ["-xJf", TARBALL, "-C", folder, ...members]);
  if (unpacked !== null) return { missing: `cannot be unpacked: ${unpacked}` };
  progress("building page-types");
  const built = buildStep("make", ["-C", join(folder, SERIES, "tools/mm"), "page-types"]);
  if (built !== null) return { missing: `cannot be built: ${built}` };
  return { path: join(folder, SERIES, "tools/mm/page-types") };
}
