/**
 * The replays of several designs, as many at once as there are processors, in the
 * order in which they were asked for.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { InputError } from "../observe/input-error.js";
import type { DesignReplay } from "../trace/replay/run.js";
import { replayTask, type ReplayTask } from "./replay-task.node.js";
import type { Answer } from "./tasks.js";

/** The built worker; run from TypeScript sources there is none. */
const WORKER = fileURLToPath(new URL("./replay-worker.node.js", import.meta.url));

/** Throws InputError where the engine refuses a design on this machine. */
export async function runReplays(
  tasks: readonly ReplayTask[],
  onProgress: (rows: number) => void,
): Promise<DesignReplay[]> {
  const results: DesignReplay[] = [];
  const rows = tasks.map(() => 0);
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < tasks.length; i = next++) {
      const answer = await start(tasks[i], (n) => {
        rows[i] = n;
        onProgress(rows.reduce((a, b) => a + b, 0));
      });
      if ("broken" in answer) throw new Error(answer.broken);
      if ("refused" in answer)
        throw new InputError(
          { file: tasks[i].path },
          answer.refused.startsWith(`${tasks[i].design}:`)
            ? answer.refused
            : `${tasks[i].design}: ${answer.refused}`,
          "choose another design",
        );
      results[i] = answer.result;
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), tasks.length) }, lane));
  return results;
}

type Message = Answer<DesignReplay> | { readonly rows: number };

function start(task: ReplayTask, onRows: (rows: number) => void): Promise<Answer<DesignReplay>> {
  if (!existsSync(WORKER)) return replayTask(task, onRows);
  return new Promise((resolve, reject) => {
    const thread = new Worker(WORKER, { workerData: task });
    thread.on("message", (message: Message) => {
      if ("rows" in message) onRows(message.rows);
      else resolve(message);
    });
    thread.once("error", reject);
    thread.once("exit", (code) =>
      reject(new Error(`the worker of ${task.design} ended with code ${code}`)),
    );
  });
}
