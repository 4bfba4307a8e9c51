/**
 * The capture file: a snapshot in one compact file (docs/snapshot-format.md).
 *
 * Rule 6: any cut and any changed byte is found. A fixed head names the sizes;
 * one SHA-256 covers it and the header, a second one covers the first and the
 * page columns. Sizes are checked against the file and a maximum before
 * anything is allocated. Packing and digest are passed in, so that this runs
 * in a browser too.
 */
import { type ColumnLengths, headerJson, readHeader } from "./capture-header.js";
import { InputError } from "../input-error.js";
import type { PageRuns, Snapshot } from "../snapshot.js";
import { VarintReader, VarintWriter } from "./varint.js";

/** What the host gives: zlib (RFC 1950) and SHA-256. */
export interface Codec {
  deflate(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** Unpacks to exactly `length` bytes, or throws. */
  inflate(bytes: Uint8Array, length: number): Uint8Array | Promise<Uint8Array>;
  sha256(parts: readonly Uint8Array[]): Uint8Array | Promise<Uint8Array>;
}

/** First bytes: one past ASCII, three letters, and line ends that a text transfer would break. */
export const CAPTURE_MAGIC = Uint8Array.of(0x89, 0x4d, 0x44, 0x43, 0x0d, 0x0a, 0x1a, 0x0a);
export const CAPTURE_VERSION = 1;

const HEAD = 96;
const FIELDS = 32;
const DIGEST = 32;
/** Largest unpacked header and columns that are believed. */
const MAX_HEADER = 256 * 1024 * 1024;
const MAX_COLUMNS = 2 ** 31 - 1;
/** Deflate packs no better than 1 : 1032 (RFC 1951: 258 bytes for two bits). */
const MAX_RATIO = 1032;

/** True where bytes begin as a capture does. */
export function isCapture(head: Uint8Array): boolean {
  return CAPTURE_MAGIC.every((b, i) => head[i] === b);
}

export async function encodeCapture(snapshot: Snapshot, codec: Codec): Promise<Uint8Array> {
  const columns = encodeColumns(snapshot.runs);
  const header = new TextEncoder().encode(headerJson(snapshot, columns.lengths));
  const packedHeader = await codec.deflate(header);
  const packedColumns = await codec.deflate(columns.bytes);
  const file = new Uint8Array(HEAD + packedHeader.length + packedColumns.length);
  const view = new DataView(file.buffer);
  file.set(CAPTURE_MAGIC);
  view.setUint32(8, CAPTURE_VERSION, true);
  view.setUint32(12, packedHeader.length, true);
  view.setUint32(16, header.length, true);
  view.setUint32(20, packedColumns.length, true);
  view.setUint32(24, columns.bytes.length, true);
  const first = await codec.sha256([file.subarray(0, FIELDS), packedHeader]);
  file.set(first, FIELDS);
  file.set(await codec.sha256([first, packedColumns]), FIELDS + DIGEST);
  file.set(packedHeader, HEAD);
  file.set(packedColumns, HEAD + packedHeader.length);
  return file;
}

/** Reads a capture. Throws InputError for any byte that is not as it was written. */
export async function decodeCapture(
  file: Uint8Array,
  name: string,
  codec: Codec,
): Promise<Omit<Snapshot, "label" | "origin">> {
  const sizes = readHead(file, name);
  const headerEnd = HEAD + sizes.packedHeader;
  const packedHeader = file.subarray(HEAD, headerEnd);
  const packedColumns = file.subarray(headerEnd);
  const first = await codec.sha256([file.subarray(0, FIELDS), packedHeader]);
  compare(
    first,
    file.subarray(FIELDS, FIELDS + DIGEST),
    name,
    FIELDS,
    `head and header (bytes 0–31 and ${HEAD}–${headerEnd - 1})`,
  );
  const second = await codec.sha256([first, packedColumns]);
  compare(
    second,
    file.subarray(FIELDS + DIGEST, HEAD),
    name,
    FIELDS + DIGEST,
    `page columns (bytes ${headerEnd}–${file.length - 1})`,
  );
  const header = await inflated(packedHeader, sizes.header, name, HEAD, "header", codec);
  const read = readHeader(new TextDecoder().decode(header), name);
  const columns = await inflated(
    packedColumns,
    sizes.columns,
    name,
    headerEnd,
    "page columns",
    codec,
  );
  const runs = decodeColumns(columns, read.columns, read.header, name);
  return { ...read.header, runs };
}

interface Sizes {
  readonly packedHeader: number;
  readonly header: number;
  readonly columns: number;
}

function readHead(file: Uint8Array, name: string): Sizes {
  const hint = "the file was cut";
  if (!isCapture(file))
    throw new InputError(
      { file: name, offset: 0 },
      "does not begin as a capture does",
      "is it a file of this program?",
    );
  if (file.length < HEAD)
    throw new InputError(
      { file: name, offset: file.length },
      `ends inside the head of ${HEAD} bytes`,
      hint,
    );
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const version = view.getUint32(8, true);
  if (version !== CAPTURE_VERSION) {
    throw new InputError(
      { file: name, offset: 8 },
      `capture version ${version} is not known`,
      `this program reads version ${CAPTURE_VERSION}`,
    );
  }
  const packedHeader = view.getUint32(12, true);
  const header = view.getUint32(16, true);
  const packedColumns = view.getUint32(20, true);
  const columns = view.getUint32(24, true);
  const declared = HEAD + packedHeader + packedColumns;
  if (declared !== file.length) {
    const end = Math.min(declared, file.length);
    throw new InputError(
      { file: name, offset: end },
      `has ${file.length} bytes, its head says ${declared}`,
      declared > file.length ? hint : "something was added",
    );
  }
  sane(header, packedHeader, MAX_HEADER, name, 16, "header");
  sane(columns, packedColumns, MAX_COLUMNS, name, 24, "page columns");
  return { packedHeader, header, columns };
}

function sane(
  size: number,
  packed: number,
  most: number,
  name: string,
  offset: number,
  what: string,
): void {
  if (size <= most && size <= packed * MAX_RATIO) return;
  throw new InputError(
    { file: name, offset },
    `${packed} bytes of ${what} cannot unpack to ${size}`,
    "the file was changed",
  );
}

function compare(
  ours: Uint8Array,
  theirs: Uint8Array,
  name: string,
  offset: number,
  what: string,
): void {
  if (ours.length === DIGEST && ours.every((b, i) => b === theirs[i])) return;
  throw new InputError(
    { file: name, offset },
    `checksum does not match the ${what}`,
    "the file was changed",
  );
}

async function inflated(
  packed: Uint8Array,
  length: number,
  name: string,
  offset: number,
  what: string,
  codec: Codec,
): Promise<Uint8Array> {
  let out: Uint8Array;
  try {
    out = await codec.inflate(packed, length);
  } catch (error) {
    throw new InputError(
      { file: name, offset },
      `${what} cannot be unpacked: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (out.length !== length)
    throw new InputError(
      { file: name, offset },
      `${what} unpacks to ${out.length} bytes, the head says ${length}`,
    );
  return out;
}

/** Columns one after the other: run lengths, flag words, map counts, cgroups. */
function encodeColumns(runs: PageRuns): { bytes: Uint8Array; lengths: ColumnLengths } {
  const column = (value: (i: number) => number): Uint8Array => {
    const writer = new VarintWriter();
    for (let i = 0; i < runs.length; i++) writer.put(value(i));
    return writer.finish();
  };
  const start = column((i) => runs.start[i + 1] - runs.start[i]);
  const flags = column((i) => runs.flags[i]);
  const mapcount = column((i) => runs.mapcount[i]);
  const cgroup = column((i) => runs.cgroup[i]);
  const parts = [start, flags, mapcount, cgroup];
  const bytes = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  const lengths = {
    runs: runs.length,
    start: start.length,
    flags: flags.length,
    mapcount: mapcount.length,
    cgroup: cgroup.length,
  };
  return { bytes, lengths };
}

function decodeColumns(
  bytes: Uint8Array,
  lengths: ColumnLengths,
  header: {
    readonly frames: number;
    readonly flagWords: { readonly length: number };
    readonly cgroups: readonly number[];
  },
  file: string,
): PageRuns {
  const n = lengths.runs;
  const total = lengths.start + lengths.flags + lengths.mapcount + lengths.cgroup;
  if (total !== bytes.length)
    throw new InputError({ file }, `columns take ${bytes.length} bytes, the header says ${total}`);
  // Each value takes a byte at least: no more runs than bytes are allocated.
  const columns = [lengths.start, lengths.flags, lengths.mapcount, lengths.cgroup];
  if (columns.some((c) => c < n || c > 5 * n))
    throw new InputError({ file }, `${n} runs cannot be in columns of this size`);
  let from = 0;
  const read = (length: number, what: string, take: (value: number, i: number) => void): void => {
    const reader = new VarintReader(bytes, from, from + length, file, what);
    for (let i = 0; i < n; i++) take(reader.next(), i);
    reader.done();
    from += length;
  };
  const start = new Uint32Array(n + 1);
  let frame = 0;
  read(lengths.start, "start", (length, i) => {
    start[i] = frame;
    frame += length;
    if (length === 0 || frame > header.frames)
      throw new InputError({ file }, `run ${i} covers frames that are not there`);
  });
  start[n] = frame;
  if (frame !== header.frames)
    throw new InputError({ file }, `runs cover ${frame} frames, the header says ${header.frames}`);
  const flags = new Uint16Array(n);
  read(lengths.flags, "flags", (word, i) => {
    if (word >= header.flagWords.length)
      throw new InputError({ file }, `run ${i} has flag word ${word}, which is not there`);
    flags[i] = word;
  });
  const mapcount = new Uint32Array(n);
  read(lengths.mapcount, "mapcount", (count, i) => {
    mapcount[i] = count;
  });
  const cgroup = new Uint16Array(n);
  read(lengths.cgroup, "cgroup", (group, i) => {
    if (group >= header.cgroups.length)
      throw new InputError({ file }, `run ${i} has cgroup ${group}, which is not there`);
    cgroup[i] = group;
  });
  return { length: n, start, flags, mapcount, cgroup };
}
