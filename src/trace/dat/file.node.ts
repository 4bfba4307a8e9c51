/**
 * A trace.dat as a file: read at any place, because each processor's events lie apart
 * from the others'.
 *
 * What is packed as a whole or comes through a pipe is unpacked into a temporary file
 * first, which has no name any more as soon as it is open: no crash leaves it behind.
 */
import { mkdtemp, open, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packingOf } from "../../observe/files/decompress.node.js";
import { ioReason } from "../../observe/files/io-error.node.js";
import { readHead, statOf } from "../../observe/files/read-file.node.js";
import { InputError } from "../../observe/input-error.js";
import { type FileBytes, STDIN } from "../file-bytes.node.js";
import type { EventSource } from "../source.js";
import type { RandomAccess } from "./cursor.js";
import { openDat } from "./source.js";

/** Opens a trace.dat; `bytes` are of the same path, and closed. Throws InputError. */
export async function openDatFile(path: string, bytes: FileBytes): Promise<EventSource> {
  const direct =
    path !== STDIN && statOf(path).isFile() && packingOf(readHead(path, 4)) === "plain";
  let handle: FileHandle;
  try {
    handle = direct ? await open(path, "r") : await spooled(bytes);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({ file: bytes.label }, ioReason(error));
  }
  await bytes.close();
  const access = new HandleAccess(handle, bytes.label, (await handle.stat()).size);
  try {
    return await openDat(access, bytes.label, () => access.close());
  } catch (error) {
    await access.close();
    throw error;
  }
}

/** All bytes in a file without a name. Damage in the packing ends it there. */
async function spooled(bytes: FileBytes): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), "memdesc-"));
  let handle: FileHandle;
  try {
    handle = await open(join(folder, "trace.dat"), "w+");
  } finally {
    // An open file lives on without its name.
    await rm(folder, { recursive: true, force: true });
  }
  try {
    for (;;) {
      const piece = await pieceOf(bytes);
      if (piece.length === 0) return handle;
      await handle.appendFile(piece);
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The next piece; none where the packed data is damaged: what was whole before it is read. */
async function pieceOf(bytes: FileBytes): Promise<Uint8Array> {
  try {
    return await bytes.read(1024 * 1024);
  } catch (error) {
    if (error instanceof InputError) return new Uint8Array(0);
    throw error;
  }
}

class HandleAccess implements RandomAccess {
  readonly size: number;
  private readonly handle: FileHandle;
  private readonly label: string;
  private closed = false;

  constructor(handle: FileHandle, label: string, size: number) {
    this.handle = handle;
    this.label = label;
    this.size = size;
  }

  async readAt(offset: number, length: number): Promise<Uint8Array> {
    const most = Math.max(0, Math.min(length, this.size - offset));
    const bytes = new Uint8Array(most);
    let used = 0;
    try {
      while (used < most) {
        const { bytesRead } = await this.handle.read(bytes, used, most - used, offset + used);
        if (bytesRead === 0) break;
        used += bytesRead;
      }
    } catch (error) {
      throw new InputError({ file: this.label, offset }, ioReason(error));
    }
    return bytes.subarray(0, used);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.handle.close();
  }
}
