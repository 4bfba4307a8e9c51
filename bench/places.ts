/** Where things are, seen from the built benchmark (`build/bench/`). */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The built command line, which users run. */
export const CLI = join(root, "dist/cli/memdesc.js");
/** The snapshot of a 24 GiB machine that comes with the package. */
export const BUNDLED = join(root, "data/bundled.memdesc");
/** /proc of a 256 MiB machine, nearly everything in it of order 0. */
export const GUEST = join(root, "test/fixtures/guest-6.12");
/** A program of this folder, for a process of its own. */
export const own = (name: string): string =>
  fileURLToPath(new URL(`./${name}.js`, import.meta.url));

/** A file of the shared folder next to the project; null where it is not there. */
export function shared(path: string): string | null {
  const at = resolve(root, process.env["MEMDESC_SHARED"] ?? "../shared", path);
  return existsSync(at) ? at : null;
}

/** A folder that is gone when this process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "memdesc-bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
