/** A thread that reads the machine's state once: the recorder's own must go on emptying the buffers. */
import { parentPort } from "node:worker_threads";
import { encodeCapture } from "../../observe/capture/capture.js";
import { nodeCodec } from "../../observe/capture/capture.node.js";
import { InputError } from "../../observe/input-error.js";
import { readLive } from "../../observe/procfs/live.node.js";

/** The bytes of a capture, or what was refused. */
export type StateAnswer =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly file: string; readonly reason: string };

async function answerState(): Promise<StateAnswer> {
  try {
    return { ok: true, bytes: await encodeCapture(await readLive({ pages: "all" }), nodeCodec) };
  } catch (error) {
    if (error instanceof InputError) return { ok: false, file: error.file, reason: error.reason };
    throw error;
  }
}

parentPort?.postMessage(await answerState());
