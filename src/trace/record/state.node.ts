/**
 * The machine's state at one end of a recording: the bytes of a capture, as `memdesc
 * capture` writes it, made by a thread of its own.
 */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { InputError } from "../../observe/input-error.js";
import type { StateAnswer } from "./state-worker.node.js";

/** Reads this machine. Throws InputError where it cannot be read. */
export async function stateOfMachine(): Promise<Uint8Array> {
  const file = new URL("./state-worker.node.js", import.meta.url);
  const answer = await new Promise<StateAnswer>((resolve, reject) => {
    const worker = new Worker(fileURLToPath(file));
    worker.once("message", (message: StateAnswer) => resolve(message));
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`its thread ended with code ${code}`)));
  });
  if (!answer.ok) throw new InputError({ file: answer.file }, answer.reason);
  return answer.bytes;
}
