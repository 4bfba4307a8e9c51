/**
 * Packed pieces of a trace.dat of version 7: sections, which are one piece, and the
 * events of a processor, which are many.
 *
 * A piece says how long it is packed and unpacked. Neither is believed beyond what the
 * file has and what a piece can be, so that damage cannot ask for memory.
 */
import { decompress } from "fzstd";
import { InputError } from "../../observe/input-error.js";
import type { ByteReader } from "../source.js";
import type { RandomAccess } from "./cursor.js";

/** trace-cmd packs a few pages at a time; kallsyms, the longest section, has a few MB. */
export const MAX_PIECE = 64 * 1024 * 1024;

/** Unpacks a piece. Throws a plain Error with the reason. */
export async function unpackPiece(
  packed: Uint8Array,
  length: number,
  packing: "none" | "zstd" | "zlib",
): Promise<Uint8Array> {
  if (packing === "none") return packed;
  if (packing === "zstd") {
    // With a buffer to write to, fzstd makes none of the size that the data claims.
    const out = decompress(packed, new Uint8Array(length));
    if (out.length !== length) throw new Error(`unpacks to ${out.length} bytes, not ${length}`);
    return out;
  }
  const stream = new Blob([packed.slice()]).stream();
  const reader = stream.pipeThrough(new DecompressionStream("deflate")).getReader();
  const out = new Uint8Array(length);
  let used = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (used + value.length > length) {
      await reader.cancel();
      throw new Error(`unpacks to more than ${length} bytes`);
    }
    out.set(value, used);
    used += value.length;
  }
  if (used !== length) throw new Error(`unpacks to ${used} bytes, not ${length}`);
  return out;
}

/** Why a piece did not unpack, in words. */
export function unpackReason(error: unknown): string {
  return `damaged compressed data: ${error instanceof Error ? error.message : String(error)}`;
}

/** Bytes of a region of a file, as they are. A file that ends before it is damage. */
export class RegionReader implements ByteReader {
  private readonly access: RandomAccess;
  private readonly label: string;
  private at: number;
  private readonly end: number;

  constructor(access: RandomAccess, label: string, offset: number, size: number) {
    this.access = access;
    this.label = label;
    this.at = offset;
    this.end = offset + size;
  }

  async read(most: number): Promise<Uint8Array> {
    if (this.at >= this.end) return new Uint8Array(0);
    const piece = await this.access.readAt(this.at, Math.min(most, this.end - this.at));
    if (piece.length === 0)
      throw new InputError(
        { file: this.label, offset: this.at },
        `the file ends ${this.end - this.at} bytes before the end of this data`,
      );
    this.at += piece.length;
    return piece;
  }
}

/**
 * Bytes of packed chunks, unpacked one at a time. How many they are is said before
 * them; the size that the options give counts some of the words between them and some
 * not (trace-cmd 3.1.6), so that only the file's own end bounds them.
 */
export class ChunkReader implements ByteReader {
  private readonly access: RandomAccess;
  private readonly label: string;
  private readonly packing: "zstd" | "zlib";
  private at: number;
  private left = -1;
  private piece: Uint8Array = new Uint8Array(0);

  constructor(access: RandomAccess, label: string, offset: number, packing: "zstd" | "zlib") {
    this.access = access;
    this.label = label;
    this.packing = packing;
    this.at = offset;
  }

  async read(most: number): Promise<Uint8Array> {
    while (this.piece.length === 0) {
      if (this.left < 0) this.left = (await this.words(1))[0];
      if (this.left === 0) return this.piece;
      this.piece = await this.chunk();
      this.left--;
    }
    const part = this.piece.subarray(0, most);
    this.piece = this.piece.subarray(part.length);
    return part;
  }

  private async chunk(): Promise<Uint8Array> {
    const begin = this.at;
    const [packed, length] = await this.words(2);
    if (packed > this.access.size - this.at || length > MAX_PIECE)
      throw this.error(begin, `a chunk of ${packed} bytes, unpacked ${length}`);
    const bytes = await this.take(packed);
    try {
      return await unpackPiece(bytes, length, this.packing);
    } catch (error) {
      throw this.error(begin, unpackReason(error));
    }
  }

  private async words(n: number): Promise<number[]> {
    const bytes = await this.take(4 * n);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: n }, (_, i) => view.getUint32(4 * i, true));
  }

  private async take(n: number): Promise<Uint8Array> {
    const bytes = await this.access.readAt(this.at, n);
    if (bytes.length < n) throw this.error(this.at, "the file ends within its compressed data");
    this.at += n;
    return bytes;
  }

  private error(offset: number, reason: string): InputError {
    return new InputError(
      { file: this.label, offset },
      `${reason} (at byte ${offset} of the file)`,
    );
  }
}
