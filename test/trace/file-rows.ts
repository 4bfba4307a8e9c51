/** Trace files in memory, for tests: rows as arrays, bytes that grow, bytes read anywhere. */
import fc from "fast-check";
import { EVENT_KINDS, EventBatch, type EventKind } from "../../src/trace/events.js";
import { zlibCodec } from "../../src/trace/file/codec.node.js";
import type { TraceOrigin } from "../../src/trace/file/header.js";
import type { RandomAccess } from "../../src/trace/file/sections.js";
import { openTraceBytes, type TraceFile } from "../../src/trace/file/trace-file.js";
import { type ByteSink, TraceWriter } from "../../src/trace/file/writer.js";
import type { TraceSummary } from "../../src/trace/sink.js";
import type { EventSource, TraceAbout } from "../../src/trace/source.js";

/** time, kind, cpu, pid, x, a, b, c. */
export type Row = readonly [number, number, number, number, number, number, number, number];

export const ABOUT: TraceAbout = {
  label: "made",
  format: "ring",
  kernel: "6.18.44",
  clock: "mono",
  cpus: 2,
  recorded: ["mm_page_alloc"],
};

export const NOTHING: TraceSummary = {
  commands: new Map(),
  lost: [],
  others: new Map(),
  notes: [],
};

export function batchOf(rows: readonly Row[]): EventBatch {
  const batch = new EventBatch(Math.max(1, rows.length));
  for (const [time, kind, cpu, pid, x, a, b, c] of rows)
    batch.push(time, kind as EventKind, cpu, pid, x, a, b, c);
  return batch;
}

export function rowsOf(batch: EventBatch): Row[] {
  const { time, kind, cpu, pid, x, a, b, c } = batch;
  return Array.from({ length: batch.length }, (_, i) => [
    time[i],
    kind[i],
    cpu[i],
    pid[i],
    x[i],
    a[i],
    b[i],
    c[i],
  ]);
}

export async function allRows(source: EventSource, capacity = 1000): Promise<Row[]> {
  const batch = new EventBatch(capacity);
  const rows: Row[] = [];
  while (await source.read(batch)) rows.push(...rowsOf(batch));
  return rows;
}

export class Bytes implements ByteSink {
  private readonly parts: Uint8Array[] = [];

  append(bytes: Uint8Array): Promise<void> {
    this.parts.push(bytes);
    return Promise.resolve();
  }

  all(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.parts));
  }
}

export const codec = zlibCodec();

export function memory(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
  };
}

export const openBytes = (bytes: Uint8Array): Promise<TraceFile> =>
  openTraceBytes(memory(bytes), "t.mdt", codec);

/** A writer into memory, begun. */
export async function memoryWriter(
  origin: TraceOrigin = {},
): Promise<{ writer: TraceWriter; bytes: Bytes }> {
  const bytes = new Bytes();
  const writer = new TraceWriter(bytes, codec);
  await writer.begin(ABOUT, origin);
  return { writer, bytes };
}

/** A file of these rows, a block each. */
export async function fileOf(blocks: readonly (readonly Row[])[]): Promise<Uint8Array> {
  const { writer, bytes } = await memoryWriter();
  for (const rows of blocks) {
    await writer.write(batchOf(rows));
    await writer.flush();
  }
  await writer.end(NOTHING);
  return bytes.all();
}

/** Rows as a machine makes them: pages allocated and freed by a few tasks on two processors. */
export function plainRows(n: number, from = 1e12): Row[] {
  return Array.from({ length: n }, (_, i): Row => {
    const kind = 2 + (i % 3);
    return [
      from + i * 170 + (i % 7),
      kind,
      (i >> 5) & 1,
      400 + ((i >> 6) % 5),
      9000 + (i >> 1),
      0,
      i % 2 ? 0x100cca : 0,
      1,
    ];
  });
}

const small = fc.oneof(
  fc.constantFrom(0, 1, -1, 254, 255, 127, 128, 65534, 65535, 2 ** 31 - 1, -(2 ** 31)),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.integer({ min: 0, max: 300 }),
);

const large = fc.oneof(
  fc.constantFrom(-1, 0, 2 ** 53, -(2 ** 53), 2 ** 53 - 1, 2 ** 52, 2 ** 32 - 1, 2 ** 32, 2 ** 31),
  fc.maxSafeInteger(),
  fc.integer({ min: 0, max: 2 ** 24 }),
  // Nothing that the kernel says; exact nevertheless.
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((v) => v + 0),
);

const kind = fc.integer({ min: 1, max: EVENT_KINDS - 1 });
const cpu = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom(255, 256, 65_535));

/** Any rows; times never go back where `ordered`. */
export const anyRows = (ordered: boolean): fc.Arbitrary<Row[]> =>
  fc
    .array(
      fc.tuple(
        fc.oneof(fc.nat(1e5), fc.nat(2 ** 53)),
        kind,
        cpu,
        small,
        large,
        small,
        small,
        small,
      ),
      {
        maxLength: 400,
      },
    )
    .map((rows) => {
      if (!ordered) return rows;
      const times = rows.map((r) => r[0]).sort((a, b) => a - b);
      return rows.map((r, i): Row => [times[i], r[1], r[2], r[3], r[4], r[5], r[6], r[7]]);
    });
