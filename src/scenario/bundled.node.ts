/**
 * The scenarios that come with the package, and finding the one that is meant:
 * a file, or the name of a bundled one.
 */
import { readdirSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../observe/input-error.js";
import { placeOf } from "./explain.node.js";
import { loadScenario } from "./load.node.js";

const FOLDER = fileURLToPath(new URL("../../examples/", import.meta.url));
const SUFFIX = /\.m?[jt]s$/;

/** Names of the bundled scenarios, in alphabetical order. */
export function bundledNames(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => SUFFIX.test(file))
    .map((file) => basename(file).replace(SUFFIX, ""))
    .toSorted();
}

/** Absolute path of a bundled scenario. */
export const bundledPath = (name: string): string => resolve(FOLDER, `${name}.ts`);

/** Absolute path of what was asked for. Throws InputError where there is no such scenario. */
export function scenarioPath(asked: string): string {
  const found = statSync(asked, { throwIfNoEntry: false });
  if (found === undefined && bundledNames().includes(asked)) return bundledPath(asked);
  const place = { file: asked };
  if (found === undefined) {
    const reason = "there is no such file, and no bundled scenario of that name";
    throw new InputError(place, reason, "memdesc run --list names those");
  }
  if (!found.isFile()) throw new InputError(place, "it is no file", "give a .ts or .js file");
  if (!SUFFIX.test(asked)) {
    throw new InputError(place, "a scenario is a .ts, .mts, .js or .mjs file");
  }
  return resolve(asked);
}

/** Name (what `memdesc run` takes) and one-line description of each bundled scenario. */
export async function listBundled(): Promise<{ name: string; about: string }[]> {
  const list: { name: string; about: string }[] = [];
  for (const name of bundledNames()) {
    const loaded = await loadScenario(bundledPath(name));
    if ("refused" in loaded) {
      throw new InputError({ file: placeOf(loaded.refused) }, loaded.refused.reason);
    }
    list.push({ name, about: loaded.scenario.about });
  }
  return list;
}
