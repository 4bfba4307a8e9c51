/**
 * Loads a scenario's file in this thread. Meant for a worker: a file runs when
 * it is loaded, and may never come back.
 */
import * as modules from "node:module";
import { pathToFileURL } from "node:url";
import { explain, explanation } from "./explain.node.js";
import * as hooks from "./hooks.node.js";
import { isScenario, problemOf, type Scenario } from "./scenario.js";
import type { Explanation } from "./worker-messages.js";

let hooked = false;

/** Makes this thread's imports understand scenarios. Once is enough. */
function hook(): void {
  if (hooked) return;
  hooked = true;
  // Node 20 has no synchronous hooks, and newer ones are about to lose the others.
  const synchronous: unknown = Reflect.get(modules, "registerHooks");
  if (typeof synchronous === "function") {
    Reflect.apply(synchronous, modules, [{ resolve: hooks.resolve, load: hooks.load }]);
  } else modules.register("./hooks.node.js", import.meta.url);
}

/** A scenario, or why the file holds none. */
export type Loaded = { readonly scenario: Scenario } | { readonly refused: Explanation };

/** Loads the file at this absolute path. Never throws. */
export async function loadScenario(path: string): Promise<Loaded> {
  hook();
  try {
    const found: unknown = await import(pathToFileURL(path).href);
    return scenarioIn(found, path);
  } catch (error) {
    return { refused: explain(error, path) };
  }
}

function scenarioIn(found: unknown, path: string): Loaded {
  const has = typeof found === "object" && found !== null && "default" in found;
  const hint = "export default defineScenario({ name, about, run(s) { … } })";
  const refused = (reason: string): Loaded => ({
    refused: explanation(path, null, null, reason, hint),
  });
  if (!has) return refused("it has no default export");
  const value: unknown = found.default;
  return isScenario(value) ? { scenario: value } : refused(problemOf(value) ?? "it is no scenario");
}
