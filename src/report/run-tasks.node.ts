/**
 * Runs tasks in workers, as many at once as there are CPUs, and gives the
 * results in the order of the tasks whatever the order they were done in.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { InputError } from "../observe/input-error.js";
import { perform, type Answer, type Result, type Task } from "./tasks.js";

/** The built worker; run from TypeScript sources there is none. */
const WORKER = fileURLToPath(new URL("./task-worker.node.js", import.meta.url));

/** Throws InputError where the engine refuses a task: a design or a machine that cannot be. */
export async function runTasks<T extends Task>(
  tasks: readonly T[],
  onDone: (result: Result<T>) => void,
): Promise<Result<T>[]> {
  const results: Result<T>[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < tasks.length; i = next++) {
      results[i] = take(tasks[i], (await start(tasks[i])) as Answer<Result<T>>);
      onDone(results[i]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), tasks.length) }, lane));
  return results;
}

function take<R>(task: Task, answer: Answer<R>): R {
  if ("result" in answer) return answer.result;
  if ("broken" in answer) throw new Error(answer.broken);
  // A design that refuses a machine names itself; a machine without memory does not.
  const named = answer.refused.startsWith(`${task.design}:`);
  throw new InputError(
    { file: task.subject },
    named ? answer.refused : `${task.design}: ${answer.refused}`,
    "choose another design or a smaller change",
  );
}

/** In a worker where there is one to start, else in this thread. */
function start(task: Task): Promise<unknown> {
  if (!existsSync(WORKER)) return Promise.resolve(perform(task));
  return new Promise((resolve, reject) => {
    const thread = new Worker(WORKER, { workerData: task });
    thread.once("message", resolve);
    thread.once("error", reject);
    thread.once("exit", (code) =>
      reject(new Error(`the worker of ${task.design} ended with code ${code}`)),
    );
  });
}
