/**
 * The front door of `observe`: any source → Snapshot.
 *
 * What a path is, is told by its content and never by its name: a folder, a
 * capture, a tar (plain, gzip, zstd). Without a path it is this machine, and
 * where that cannot be read the snapshot that comes with the package, plainly
 * labelled.
 */
import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { isCapture } from "./capture/capture.js";
import { readSnapshotFile } from "./capture/capture.node.js";
import { packingOf, unpacked } from "./files/decompress.node.js";
import { readFolder } from "./files/folder.node.js";
import { InputError } from "./input-error.js";
import { ioReason } from "./files/io-error.node.js";
import { canReadLive, type Progress, readLive } from "./procfs/live.node.js";
import type { PagesAsked } from "./files/members.node.js";
import { readHead, refuseIrregular, statOf } from "./files/read-file.node.js";
import type { Snapshot } from "./snapshot.js";
import { isTarHeader } from "./files/tar-header.js";

export { canReadLive };

export interface SourceOptions {
  /** `flags-only` leaves kpagecount, kpagecgroup and BTF unread. */
  readonly pages?: PagesAsked;
  readonly onProgress?: Progress;
}

const HINT = "give a capture, or a folder or tar of copied /proc files";

/** Opens a source; without a path this machine, else the bundled snapshot. Throws InputError. */
export async function openSource(
  path: string | undefined,
  options: SourceOptions = {},
): Promise<Snapshot> {
  if (path === undefined) {
    const can = canReadLive();
    return can.ok ? readLive(options) : readBundled(can.why);
  }
  const stat = statOf(path);
  if (stat.isDirectory()) return readFolder(path, options.pages ?? "all");
  refuseIrregular(path, stat);
  const head = readHead(path, 512);
  if (head.length === 0) throw new InputError({ file: path, offset: 0 }, "empty file", HINT);
  if (isCapture(head))
    return readSnapshotFile(path, resolve(path) === bundledSnapshotPath() ? "bundled" : "capture");
  const first = packingOf(head) === "plain" ? head : await unpackedHead(path);
  if (isTarHeader(first)) {
    // Loaded only for a tar: reading this machine should not wait for it.
    const { readTar } = await import("./files/tar.node.js");
    return readTar(path, options.pages ?? "all");
  }
  throw new InputError({ file: path, offset: 0 }, "neither a capture nor a tar", HINT);
}

/** Path of the snapshot that comes with the package. */
export function bundledSnapshotPath(): string {
  return fileURLToPath(new URL("../../data/bundled.memdesc", import.meta.url));
}

/** The snapshot that comes with the package; `why` it is shown stands in its notes. */
export async function readBundled(why?: string): Promise<Snapshot> {
  const snapshot = await readSnapshotFile(bundledSnapshotPath(), "bundled");
  if (why === undefined) return snapshot;
  return {
    ...snapshot,
    notes: [{ subject: "this machine", text: `not read: ${why}` }, ...snapshot.notes],
  };
}

/** The first 512 unpacked bytes of a packed file. */
async function unpackedHead(path: string): Promise<Uint8Array> {
  const input = createReadStream(path, { highWaterMark: 64 * 1024 });
  const head = new Uint8Array(512);
  let used = 0;
  try {
    for await (const piece of unpacked(input, path, Number.MAX_SAFE_INTEGER)) {
      const part = piece.subarray(0, 512 - used);
      head.set(part, used);
      used += part.length;
      if (used === 512) break;
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({ file: path }, ioReason(error));
  } finally {
    input.destroy();
  }
  return head.subarray(0, used);
}
