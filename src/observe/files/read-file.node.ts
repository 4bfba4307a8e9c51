/**
 * Files read whole, and what a path is: with limits, and refusing whatever is
 * no regular file before it is opened (a FIFO would block for ever).
 */
import { closeSync, fstatSync, openSync, readSync, statSync, type Stats } from "node:fs";
import { InputError } from "../input-error.js";
import { ioReason } from "./io-error.node.js";

/** What kind of thing a path is, for an error. */
function kindOfFile(stat: Stats): string {
  if (stat.isDirectory()) return "a folder";
  if (stat.isFIFO()) return "a pipe";
  if (stat.isSocket()) return "a socket";
  return "a device";
}

/** stat() of a path, or an InputError. */
export function statOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw new InputError({ file: path }, ioReason(error));
  }
}

/** Refuses what is no regular file. */
export function refuseIrregular(path: string, stat: Stats): void {
  if (stat.isFile()) return;
  throw new InputError(
    { file: path },
    `is ${kindOfFile(stat)}, not a file`,
    "give a capture, or a folder or tar of copied /proc files",
  );
}

/** All bytes of a regular file of at most `most` bytes. */
export function readWhole(path: string, most: number): Uint8Array {
  const stat = statOf(path);
  refuseIrregular(path, stat);
  if (stat.size > most)
    throw new InputError(
      { file: path },
      `has ${stat.size} bytes, more than ${most}`,
      "not a file of this kind",
    );
  return withFile(path, (fd) => {
    const size = fstatSync(fd).size;
    const bytes = new Uint8Array(size);
    let used = 0;
    while (used < size) {
      const n = readSync(fd, bytes, used, size - used, null);
      if (n === 0) break;
      used += n;
    }
    return bytes.subarray(0, used);
  });
}

/** The first bytes of a file, fewer where it is shorter. */
export function readHead(path: string, length: number): Uint8Array {
  return withFile(path, (fd) => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(fd, bytes, 0, length, 0));
  });
}

function withFile<T>(path: string, use: (fd: number) => T): T {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw new InputError({ file: path }, ioReason(error));
  }
  try {
    return use(fd);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({ file: path }, ioReason(error));
  } finally {
    closeSync(fd);
  }
}
