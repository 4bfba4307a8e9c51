/**
 * Bytes of a member, unpacked as a stream: plain, gzip or zstd, told by their
 * first bytes and not by their names.
 *
 * zstd goes through fzstd (Node's own zlib learnt zstd only in 22.15), gzip
 * through node:zlib. What is unpacked is counted, and a member that unpacks to
 * more than its kind can be is refused before it fills the memory.
 */
import { createGunzip } from "node:zlib";
import { Readable } from "node:stream";
import { Decompress } from "fzstd";
import { InputError } from "../input-error.js";

export type Packing = "plain" | "gzip" | "zstd";

/** How the bytes are packed, from their first four. */
export function packingOf(head: Uint8Array): Packing {
  if (head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (
    head.length >= 4 &&
    head[0] === 0x28 &&
    head[1] === 0xb5 &&
    head[2] === 0x2f &&
    head[3] === 0xfd
  )
    return "zstd";
  return "plain";
}

/** fzstd unpacks whole blocks of what it is given; small pieces keep its output small. */
const ZSTD_STEP = 4096;

/** Unpacked pieces of a stream. Throws InputError for damage and past `limit` bytes. */
export async function* unpacked(
  source: AsyncIterable<Uint8Array>,
  file: string,
  limit: number,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const piece of unpackedAny(source, file)) {
    total += piece.length;
    if (total > limit)
      throw new InputError(
        { file, offset: limit },
        `unpacks to more than ${limit} bytes`,
        "not a file of this kind",
      );
    yield piece;
  }
}

async function* unpackedAny(
  source: AsyncIterable<Uint8Array>,
  file: string,
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let head = new Uint8Array(0);
  while (head.length < 4) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = joined(head, next.value);
  }
  const rest = rejoined(head, iterator);
  const packing = packingOf(head);
  if (packing === "gzip") yield* gunzipped(rest, file);
  else if (packing === "zstd") yield* zstdUnpacked(rest, file);
  else yield* rest;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

async function* rejoined(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}

async function* gunzipped(
  source: AsyncIterable<Uint8Array>,
  file: string,
): AsyncGenerator<Uint8Array> {
  const input = Readable.from(source);
  const gunzip = createGunzip();
  // An error of the source must reach whoever reads the unpacked side.
  input.on("error", (error) => gunzip.destroy(error));
  input.pipe(gunzip);
  try {
    for await (const piece of gunzip) yield piece as Uint8Array;
  } catch (error) {
    if (error instanceof InputError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new InputError({ file }, `damaged gzip data: ${why}`, "the file was cut or changed");
  } finally {
    input.destroy();
    gunzip.destroy();
  }
}

async function* zstdUnpacked(
  source: AsyncIterable<Uint8Array>,
  file: string,
): AsyncGenerator<Uint8Array> {
  const ready: Uint8Array[] = [];
  const unzip = new Decompress((piece) => {
    if (piece.length > 0) ready.push(piece);
  });
  let offset = 0;
  const feed = (piece: Uint8Array, final: boolean): void => {
    try {
      unzip.push(piece, final);
    } catch (error) {
      if (error instanceof InputError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new InputError(
        { file, offset },
        `damaged zstd data: ${why}`,
        "the file was cut or changed",
      );
    }
  };
  for await (const piece of source) {
    for (let at = 0; at < piece.length; at += ZSTD_STEP) {
      // fzstd keeps what it is given until a block is whole: give it a copy.
      feed(piece.slice(at, at + ZSTD_STEP), false);
      yield* ready.splice(0);
      offset += Math.min(ZSTD_STEP, piece.length - at);
    }
  }
  feed(new Uint8Array(0), true);
  yield* ready.splice(0);
}

/** All unpacked bytes of a stream, for small files. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let total = 0;
  for await (const piece of source) {
    pieces.push(piece);
    total += piece.length;
  }
  const out = new Uint8Array(total);
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
