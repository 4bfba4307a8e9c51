/**
 * Captures as files: reading one whole, and writing one so that there is
 * either the whole file or none.
 *
 * A capture is written next to where it shall be and renamed when it is
 * complete and on the disk; on an error and on Ctrl-C what there is of it is
 * removed.
 */
import { createHash, randomBytes } from "node:crypto";
import { renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { deflateSync, inflateSync } from "node:zlib";
import { type Codec, decodeCapture, encodeCapture } from "./capture.js";
import { InputError } from "../input-error.js";
import { ioReason } from "../files/io-error.node.js";
import { readWhole } from "../files/read-file.node.js";
import type { Snapshot } from "../snapshot.js";

export const nodeCodec: Codec = {
  deflate: (bytes) => deflateSync(bytes, { level: 9 }),
  inflate: (bytes, length) => inflateSync(bytes, { maxOutputLength: Math.max(1, length) }),
  sha256: (parts) => {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return hash.digest();
  },
};

/** Largest capture file that is read; a machine of 16 TiB stays far below. */
const MAX_CAPTURE = 1024 * 1024 * 1024;

const PIECE = 1024 * 1024;

export interface CaptureOptions {
  /**
   * Keep addresses too. A snapshot holds none today (no vmalloc or device
   * address, only RAM ranges), so this changes nothing yet.
   */
  readonly withAddresses?: boolean;
}

/** Reads a capture file; origin `bundled` marks the one that comes with the package. */
export async function readSnapshotFile(
  path: string,
  origin: "capture" | "bundled" = "capture",
): Promise<Snapshot> {
  const bytes = readWhole(path, MAX_CAPTURE);
  const label = origin === "bundled" ? "bundled snapshot" : path;
  return { label, origin, ...(await decodeCapture(bytes, path, nodeCodec)) };
}

/** Writes a capture. Throws InputError where it cannot be written; then there is no file. */
export async function writeCapture(
  path: string,
  snapshot: Snapshot,
  _options: CaptureOptions = {},
): Promise<{ bytes: number }> {
  refuseTarget(path);
  const bytes = await encodeCapture(snapshot, nodeCodec);
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  const remove = (): void => rmSync(temporary, { force: true });
  const interrupted = (): never => {
    remove();
    process.exit(130);
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    await writeAll(temporary, bytes);
    renameSync(temporary, path);
  } catch (error) {
    remove();
    throw new InputError({ file: path }, `cannot be written: ${ioReason(error)}`);
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
  }
  return { bytes: bytes.length };
}

function refuseTarget(path: string): void {
  let target;
  try {
    target = statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new InputError({ file: path }, `cannot be written: ${ioReason(error)}`);
  }
  if (target && !target.isFile())
    throw new InputError({ file: path }, "is there and is no regular file", "choose another name");
}

/** Writes in pieces, so that Ctrl-C is heard between them. */
async function writeAll(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o644);
  try {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, at, Math.min(bytes.length - at, PIECE));
      at += bytesWritten;
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
