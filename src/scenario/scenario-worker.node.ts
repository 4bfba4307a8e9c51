/**
 * A worker thread that runs one scenario in one design and ends. One isolate
 * should run one design only, and a thread can be stopped from outside however
 * busy it is.
 */
import { parentPort, workerData } from "node:worker_threads";
import { parseDesign } from "../engine/design/presets.js";
import { widenInlining } from "./jit.node.js";
import { explanation, frameOf, placeOf } from "./explain.node.js";
import { loadScenario } from "./load.node.js";
import { narrate } from "./narrator.js";
import { NOTHING_LEFT, type FromWorker, type WorkerTask } from "./worker-messages.js";

const { path, design } = workerData as WorkerTask;
widenInlining();

const tell = (message: FromWorker): void => parentPort?.postMessage(message);

function locate(error: unknown): string | null {
  const frame = frameOf(error);
  return frame === null ? null : placeOf(explanation(...frame, ""));
}

async function main(): Promise<void> {
  const loaded = await loadScenario(path);
  if ("refused" in loaded) tell({ is: "not-loaded", why: loaded.refused });
  else {
    const { name, about } = loaded.scenario;
    tell({ is: "loaded", name, about });
    const outcome = await narrate(loaded.scenario, parseDesign(design), tell, locate);
    tell({ is: "ended", outcome });
  }
  // A scenario may have left timers or sockets open; the run is over.
  process.exit(0);
}

// With nothing left to do and no outcome, it waits for what cannot come.
process.once("beforeExit", () => process.exit(NOTHING_LEFT));
void main();
