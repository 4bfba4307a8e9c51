/**
 * Files and the standard input as bytes read forwards, unpacked where they are packed.
 *
 * What is packed is told by the first bytes. A trace may be of any size, so that there
 * is no limit to what it unpacks to: readers keep a fixed amount of it.
 */
import { createReadStream } from "node:fs";
import { unpacked } from "../observe/files/decompress.node.js";
import { ioReason } from "../observe/files/io-error.node.js";
import { InputError } from "../observe/input-error.js";
import type { ByteReader } from "./source.js";

/** What the standard input is called on the command line and in messages. */
export const STDIN = "-";
const STDIN_LABEL = "standard input";

/** Unpacked bytes of a file, or of the standard input for `-`. Opened with the first read. */
export class FileBytes implements ByteReader {
  readonly label: string;
  private readonly path: string;
  private pieces: AsyncGenerator<Uint8Array> | null = null;
  private piece: Uint8Array = new Uint8Array(0);
  private ended = false;

  constructor(path: string) {
    this.path = path;
    this.label = path === STDIN ? STDIN_LABEL : path;
  }

  async read(most: number): Promise<Uint8Array> {
    if (!(await this.more())) return this.piece;
    const part = this.piece.subarray(0, most);
    this.piece = this.piece.subarray(part.length);
    return part;
  }

  /** The first bytes, as many as there are up to `length`; they are read again. */
  async peek(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let have = 0;
    while (have < length && (await this.more())) {
      parts.push(this.piece);
      have += this.piece.length;
      this.piece = this.piece.subarray(this.piece.length);
    }
    const joined = new Uint8Array(have);
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    this.piece = joined;
    return joined.subarray(0, length);
  }

  async close(): Promise<void> {
    this.ended = true;
    await this.pieces?.return(undefined);
  }

  private async more(): Promise<boolean> {
    this.pieces ??= unpacked(rawBytes(this.path, this.label), this.label, Number.MAX_SAFE_INTEGER);
    while (this.piece.length === 0 && !this.ended) {
      const next = await this.pieces.next();
      if (next.done === true) this.ended = true;
      else this.piece = next.value;
    }
    return this.piece.length > 0;
  }
}

async function* rawBytes(path: string, label: string): AsyncGenerator<Uint8Array> {
  const stream =
    path === STDIN ? process.stdin : createReadStream(path, { highWaterMark: 256 * 1024 });
  try {
    for await (const piece of stream) yield piece as Uint8Array;
  } catch (error) {
    throw new InputError({ file: label }, ioReason(error));
  } finally {
    stream.destroy();
  }
}
