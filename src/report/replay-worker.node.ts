/**
 * A worker thread that replays one trace on one design and ends: an isolate runs one
 * design only.
 */
import { parentPort, workerData } from "node:worker_threads";
import { widenInlining } from "../scenario/jit.node.js";
import { replayTask, type ReplayTask } from "./replay-task.node.js";

widenInlining();
const answer = await replayTask(workerData as ReplayTask, (rows) =>
  parentPort?.postMessage({ rows }),
);
parentPort?.postMessage(answer);
