/** A trace file on disk as a source of events. */
import { open } from "node:fs/promises";
import { ioReason } from "../../observe/files/io-error.node.js";
import { refuseIrregular, statOf } from "../../observe/files/read-file.node.js";
import { InputError } from "../../observe/input-error.js";
import { zlibCodec } from "./codec.node.js";
import { openTraceBytes, type TraceFile } from "./trace-file.js";

/** Opens a trace file. Throws InputError where it is none that this program reads. */
export async function openTraceFile(path: string): Promise<TraceFile> {
  // A pipe would block in open(), and cannot be read at any place.
  refuseIrregular(path, statOf(path));
  let file;
  try {
    file = await open(path, "r");
  } catch (error) {
    throw new InputError({ file: path }, ioReason(error));
  }
  const handle = file;
  try {
    const { size } = await handle.stat();
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
      let used = 0;
      while (used < bytes.length) {
        const { bytesRead } = await handle.read(bytes, used, bytes.length - used, offset + used);
        if (bytesRead === 0) break;
        used += bytesRead;
      }
      return bytes.subarray(0, used);
    };
    return await openTraceBytes({ size, read }, path, zlibCodec(), () => handle.close());
  } catch (error) {
    await handle.close();
    if (error instanceof InputError) throw error;
    throw new InputError({ file: path }, ioReason(error));
  }
}
