/**
 * The front door of `trace`: a path → EventSource.
 *
 * What a path is, is told by its content and never by its name: a folder of raw ring
 * buffers, a trace file of Memdesc, a trace.dat, text; each of the files may be packed
 * (zstd, gzip) and may come through the standard input (`-`).
 */
import { readHead, refuseIrregular, statOf } from "../observe/files/read-file.node.js";
import { InputError } from "../observe/input-error.js";
import { isTraceDat } from "./dat/header.js";
import { openDatFile } from "./dat/file.node.js";
import { FileBytes, STDIN } from "./file-bytes.node.js";
import { FILE_HEAD, isTraceFile } from "./file/layout.js";
import { openTraceFile } from "./file/reader.node.js";
import { openRingFolder } from "./ring/folder.node.js";
import type { EventSource } from "./source.js";
import { openTextSource } from "./text/source.js";

export interface OpenTraceOptions {
  /** The kernel's release, where the caller knows it and the trace may not say it. */
  readonly kernel?: string;
}

/** Enough to tell what a file is. */
const HEAD = 64;

/** Opens a trace. Throws InputError. */
export async function openTrace(
  path: string,
  options: OpenTraceOptions = {},
): Promise<EventSource> {
  if (path !== STDIN) {
    const stat = statOf(path);
    if (stat.isDirectory()) return openRingFolder(path);
    // A pipe is as good as a file to everything that reads forwards.
    if (!stat.isFIFO()) refuseIrregular(path, stat);
  }
  const bytes = new FileBytes(path);
  try {
    const head = await bytes.peek(HEAD);
    if (head.length === 0)
      throw new InputError({ file: bytes.label, offset: 0 }, "empty", "give a trace");
    if (isTraceFile(head)) {
      await bytes.close();
      if (!isPlainFile(path) || !isTraceFile(readHead(path, FILE_HEAD)))
        throw new InputError(
          { file: bytes.label, offset: 0 },
          "a trace file of memdesc that is packed or comes through a pipe",
          "give the file itself: it is read at any place, and packed already",
        );
      return await openTraceFile(path);
    }
    if (isTraceDat(head)) return await openDatFile(path, bytes);
    if (isPerfData(head))
      throw new InputError(
        { file: bytes.label, offset: 0 },
        "a perf.data, which is not read itself",
        `give its text: perf script -i ${path === STDIN ? "FILE" : path}`,
      );
    return await openTextSource(bytes, bytes.label, () => bytes.close(), options);
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

/** A regular file, neither a pipe nor the standard input. */
function isPlainFile(path: string): boolean {
  return path !== STDIN && statOf(path).isFile();
}

/** `PERFILE2`: what perf record writes. */
function isPerfData(head: Uint8Array): boolean {
  return new TextDecoder().decode(head.subarray(0, 8)) === "PERFILE2";
}
