/** Does one task of `page-arrays.ts` for the first time in this process and prints its milliseconds. */
import { readSnapshotFile } from "../src/observe/capture/capture.node.js";
import { classifyArrays, expand, openCapture, TASKS } from "./page-arrays.js";
import { BUNDLED } from "./places.js";

const task = TASKS[Number(process.argv[2])];
if (task === undefined) throw new Error(`there is no task ${process.argv[2]}`);

async function once(arrays: boolean, more: boolean): Promise<number> {
  if (!arrays) {
    const began = performance.now();
    await openCapture(more);
    return performance.now() - began;
  }
  const snapshot = await readSnapshotFile(BUNDLED);
  const expanded = expand(snapshot);
  const began = performance.now();
  classifyArrays(expanded, snapshot, more);
  return performance.now() - began;
}

console.log(await once(task.arrays, task.more));
