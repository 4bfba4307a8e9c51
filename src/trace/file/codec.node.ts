/**
 * Deflate of node:zlib, on a thread of its pool: while a block is packed or unpacked the
 * rows before and after it are worked on.
 *
 * The level is measured (bench/trace-file.ts prints it): see docs/trace-file.md.
 */
import { deflateRaw, inflateRaw } from "node:zlib";
import type { TraceCodec } from "./codec.js";

export const DEFAULT_LEVEL = 4;

/** A codec that packs with this level of zlib, 1 … 9. */
export function zlibCodec(level = DEFAULT_LEVEL): TraceCodec {
  return {
    deflate: (bytes) =>
      new Promise((resolve, reject) => {
        const options = { level, memLevel: 9, chunkSize: 256 * 1024 };
        deflateRaw(bytes, options, (error, packed) => {
          if (error) reject(error);
          else resolve(packed);
        });
      }),
    inflate: (bytes, length) =>
      new Promise((resolve, reject) => {
        // In one chunk: put together from many, the bytes would be copied once more.
        const options = { maxOutputLength: Math.max(1, length), chunkSize: Math.max(64, length) };
        inflateRaw(bytes, options, (error, unpacked) => {
          if (error) reject(error);
          else resolve(unpacked);
        });
      }),
  };
}
