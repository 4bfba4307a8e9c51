/**
 * The trace file: events in columns → packed bytes in memory and back, by the level of
 * deflate, beside the bytes of the raw buffers that they came from. Speeds are events
 * per second of processor time, packing threads included: what one core would do. The
 * trace is fixtures/traces/mixed: 4.4 million events of 26 s.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { EventBatch } from "../src/trace/events.js";
import { DEFAULT_LEVEL, zlibCodec } from "../src/trace/file/codec.node.js";
import { openTraceBytes } from "../src/trace/file/trace-file.js";
import { TraceWriter } from "../src/trace/file/writer.js";
import { openRingFolder } from "../src/trace/ring/folder.node.js";
import type { TraceAbout } from "../src/trace/source.js";
import { shared } from "./places.js";
import { figure, heading, note, progress, skip } from "./print.js";
import type { Section } from "./section.js";

const ROWS = 65_536;
const LEVELS = [1, DEFAULT_LEVEL, 6, 9];
/** Bytes of a row in a batch, the eight columns. */
const ROW = 8 + 1 + 2 + 4 + 8 + 3 * 4;

interface Rows {
  readonly about: TraceAbout;
  readonly batches: readonly EventBatch[];
  readonly events: number;
}

async function rowsOf(folder: string): Promise<Rows> {
  const source = await openRingFolder(folder);
  const batches: EventBatch[] = [];
  let events = 0;
  for (;;) {
    const batch = new EventBatch(ROWS);
    if (!(await source.read(batch))) break;
    batches.push(batch);
    events += batch.length;
  }
  await source.close();
  return { about: source.about, batches, events };
}

/** A figure's series: events per second of processor time, and of the clock. */
class Speed {
  readonly processor: number[] = [];
  readonly clock: number[] = [];

  async time(events: number, work: () => Promise<void>): Promise<void> {
    const before = process.cpuUsage();
    const began = performance.now();
    await work();
    const { user, system } = process.cpuUsage(before);
    this.clock.push(events / (performance.now() - began) / 1000);
    this.processor.push(events / (user + system));
  }
}

interface Measured {
  readonly written: Speed;
  readonly read: Speed;
  readonly bytes: number;
}

async function measure(rows: Rows, level: number, rounds: number): Promise<Measured> {
  const codec = zlibCodec(level);
  const written = new Speed();
  const read = new Speed();
  const batch = new EventBatch(ROWS);
  let bytes = 0;
  // The first round is V8's.
  for (let round = 0; round <= rounds; round++) {
    progress(`trace file, level ${level}: round ${round}`);
    const parts: Uint8Array[] = [];
    const append = (part: Uint8Array): Promise<void> => {
      parts.push(part);
      return Promise.resolve();
    };
    await written.time(rows.events, async () => {
      const writer = new TraceWriter({ append }, codec);
      await writer.begin(rows.about);
      for (const b of rows.batches) await writer.write(b);
      await writer.end({ commands: new Map(), lost: [], others: new Map(), notes: [] });
    });
    const whole = new Uint8Array(Buffer.concat(parts));
    bytes = whole.length;
    const file = {
      size: bytes,
      read: (offset: number, length: number) =>
        Promise.resolve(whole.subarray(offset, offset + length)),
    };
    await read.time(rows.events, async () => {
      const source = await openTraceBytes(file, "bench", codec);
      while (await source.read(batch));
      await source.close();
    });
  }
  for (const speed of [written, read]) {
    speed.processor.shift();
    speed.clock.shift();
  }
  return { written, read, bytes };
}

export const traceFile: Section = {
  name: "trace-file",
  async run(quick) {
    const traces = shared("fixtures/traces");
    if (traces === null) return skip("the trace file", "../shared/fixtures/traces is not there");
    const folder = join(traces, "mixed");
    progress("trace file: reading the ring buffers");
    const rows = await rowsOf(folder);
    const { events } = rows;
    const measured = new Map<number, Measured>();
    for (const level of LEVELS)
      measured.set(level, await measure(rows, level, level > DEFAULT_LEVEL || quick ? 2 : 7));
    heading("TRACE FILE: per second of processor time", "million events/s");
    for (const [level, { written, read }] of measured) {
      const usual = level === DEFAULT_LEVEL;
      const target = (least: number): object => (usual ? { target: { least } } : {});
      figure({ name: `written, level ${level}`, values: written.processor, ...target(2) });
      figure({ name: `read, level ${level}`, values: read.processor, ...target(8) });
      if (usual) {
        figure({ name: `written, level ${level}, by the clock`, values: written.clock });
        figure({ name: `read, level ${level}, by the clock`, values: read.clock });
      }
    }
    heading("TRACE FILE: size", "bytes per event");
    for (const [level, { bytes }] of measured) {
      const target = level === DEFAULT_LEVEL ? { target: { most: 6 } } : {};
      figure({ name: `level ${level}`, values: [bytes / events], ...target });
    }
    const zst = [0, 1].reduce(
      (sum, cpu) => sum + statSync(join(folder, `cpu${cpu}.raw.zst`)).size,
      0,
    );
    figure({ name: "the raw buffers, zstd", values: [zst / events] });
    figure({ name: "in memory, eight columns", values: [ROW] });
    note(
      `${events.toLocaleString("en")} events of fixtures/traces/mixed, in memory; level ${DEFAULT_LEVEL} is what is written. By the clock: packing goes on a second thread.`,
    );
  },
};
