/** The machine's state at one end of a recording: the bytes of a capture, as `memdesc capture` writes it. */
import { encodeCapture } from "../../observe/capture/capture.js";
import { nodeCodec } from "../../observe/capture/capture.node.js";
import { readLive } from "../../observe/procfs/live.node.js";

/** Reads this machine. Throws InputError where it cannot be read. */
export async function stateOfMachine(): Promise<Uint8Array> {
  return encodeCapture(await readLive({ pages: "all" }), nodeCodec);
}
