/**
 * A trace by its path, with the snapshots that belong to it.
 *
 * A folder of ring buffers may have the files of /proc of two moments beside them
 * (`kpageflags.before`, `kpageflags.after`); a trace file of Memdesc holds captures of
 * them. Without the first, the machine begins empty, with the zones of a
 * `zoneinfo.before` where there is one.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { decodeCapture } from "../observe/capture/capture.js";
import { nodeCodec } from "../observe/capture/capture.node.js";
import { classify } from "../observe/classify/classify.js";
import { hasMoment, type Moment, readFolder } from "../observe/files/folder.node.js";
import { readHead, readWhole } from "../observe/files/read-file.node.js";
import type { Described } from "./analyse.js";
import { openTraceFile } from "./file/reader.node.js";
import { FILE_HEAD, isTraceFile } from "./file/layout.js";
import { emptySnapshot } from "./replay/empty.js";

/** Largest text file that is read beside a trace. */
const MAX_TEXT = 16 * 1024 * 1024;

export interface TraceSnapshots {
  readonly before: Described | null;
  readonly after: Described | null;
  /** When the later one was taken, by the trace's clock; null where nobody wrote it down. */
  readonly afterAt: number | null;
}

const isFolder = (path: string): boolean =>
  path !== "-" && (statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false);

/** The first bytes of a file; none of what is no file. */
function headOf(path: string): Uint8Array {
  const isFile = path !== "-" && (statSync(path, { throwIfNoEntry: false })?.isFile() ?? false);
  return isFile ? readHead(path, FILE_HEAD) : new Uint8Array(0);
}

/** The snapshots of a trace. Throws InputError for one that cannot be read. */
export async function traceSnapshots(path: string): Promise<TraceSnapshots> {
  if (isFolder(path)) {
    const of = async (moment: Moment): Promise<Described | null> => {
      if (!hasMoment(path, moment)) return null;
      const snapshot = await readFolder(path, "all", moment);
      return { snapshot, classification: classify(snapshot) };
    };
    return { before: await of("before"), after: await of("after"), afterAt: null };
  }
  if (!isTraceFile(headOf(path))) return { before: null, after: null, afterAt: null };
  const file = await openTraceFile(path);
  try {
    const of = async (bytes: Uint8Array | null): Promise<Described | null> => {
      if (bytes === null) return null;
      const decoded = await decodeCapture(bytes, path, nodeCodec);
      const snapshot = { label: path, origin: "capture" as const, ...decoded };
      return { snapshot, classification: classify(snapshot) };
    };
    const { before, after } = file.snapshots;
    return { before: await of(before), after: await of(after), afterAt: file.afterAt };
  } finally {
    await file.close();
  }
}

/** A machine with all frames free, for a trace that names `frames` of them. */
export function emptyMachine(path: string, frames: number): Described {
  const file = join(path, "zoneinfo.before");
  const known = isFolder(path) && existsSync(file);
  const zoneinfo = known ? new TextDecoder().decode(readWhole(file, MAX_TEXT)) : null;
  const snapshot = emptySnapshot(frames, zoneinfo);
  return { snapshot, classification: classify(snapshot) };
}
