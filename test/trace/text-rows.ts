/** What the tests of text and trace.dat share: sources of bytes at hand, and rows as arrays. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decompress } from "fzstd";
import { EventBatch } from "../../src/trace/events.js";
import type { ByteReader, EventSource } from "../../src/trace/source.js";
import { openTextSource, type TextOptions } from "../../src/trace/text/source.js";
import { FIXTURES } from "../observe/helpers.js";

/** time, kind, cpu, pid, x, a, b, c */
export type Row = readonly number[];

export const TRACES = join(FIXTURES, "traces");

/** Unpacked bytes of a fixture. */
export function fixture(name: string): Uint8Array {
  const bytes = readFileSync(join(TRACES, name));
  // Not a Buffer, whose slices are of the same memory.
  return name.endsWith(".zst") ? decompress(bytes) : new Uint8Array(bytes);
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A reader that gives at most `step` bytes at a time. */
export function readerOf(bytes: Uint8Array, step = Number.MAX_SAFE_INTEGER): ByteReader {
  let at = 0;
  return {
    read: (most) => {
      const piece = bytes.subarray(at, at + Math.min(most, step));
      at += piece.length;
      return Promise.resolve(piece);
    },
  };
}

export function openText(
  text: string | Uint8Array,
  options: TextOptions & { readonly step?: number } = {},
): Promise<EventSource> {
  const bytes = typeof text === "string" ? utf8(text) : text;
  return openTextSource(
    readerOf(bytes, options.step),
    "trace.txt",
    () => Promise.resolve(),
    options,
  );
}

/** All rows that are left, at most `most`. */
export async function rowsOf(
  source: EventSource,
  capacity = 1000,
  most = Infinity,
): Promise<Row[]> {
  const batch = new EventBatch(capacity);
  const out: Row[] = [];
  while (out.length < most && (await source.read(batch)))
    for (let i = 0; i < batch.length; i++)
      out.push([
        batch.time[i],
        batch.kind[i],
        batch.cpu[i],
        batch.pid[i],
        batch.x[i],
        batch.a[i],
        batch.b[i],
        batch.c[i],
      ]);
  return out;
}
