/**
 * A worker thread that does one task and ends. One isolate should run one design
 * only: several in one isolate slow each other down by a factor of two to four.
 */
import { parentPort, workerData } from "node:worker_threads";
import { perform, type Task } from "./tasks.js";

parentPort?.postMessage(perform(workerData as Task));
