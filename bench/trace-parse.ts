/**
 * Parsing the kernel's raw ring buffers: from unpacked bytes in memory to events in
 * columns in one order, on one core, with the merge of the processors; and the same
 * from the packed files. The trace is fixtures/traces/mixed: 4.4 million events of 26 s.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decompress } from "fzstd";
import { EventBatch } from "../src/trace/events.js";
import { openRingFolder } from "../src/trace/ring/folder.node.js";
import { openRing } from "../src/trace/ring/ring-source.js";
import type { ByteReader, EventSource } from "../src/trace/source.js";
import { shared } from "./places.js";
import { figure, heading, note, progress, skip } from "./print.js";
import type { Section } from "./section.js";

/** Rows of a batch: what a replay works on at a time. */
const ROWS = 4096;

function readerOf(bytes: Uint8Array): ByteReader {
  let at = 0;
  return {
    read: async (most) => {
      const part = bytes.subarray(at, at + most);
      at += part.length;
      return part;
    },
  };
}

async function eventsOf(source: EventSource, batch: EventBatch): Promise<number> {
  let events = 0;
  while (await source.read(batch)) events += batch.length;
  await source.close();
  return events;
}

export const traceParse: Section = {
  name: "trace",
  async run(quick) {
    const traces = shared("fixtures/traces");
    if (traces === null) return skip("parsing of traces", "../shared/fixtures/traces is not there");
    const rounds = quick ? 2 : 9;
    const formats = join(traces, "formats", "6.18");
    const files = new Map(
      readdirSync(formats).map((name) => [name, readFileSync(join(formats, name), "utf8")]),
    );
    const buffers = [0, 1].map((cpu) =>
      decompress(readFileSync(join(traces, "mixed", `cpu${cpu}.raw.zst`))),
    );
    const batch = new EventBatch(ROWS);
    const memory: number[] = [];
    const packed: number[] = [];
    let events = 0;
    for (let round = 0; round <= rounds; round++) {
      progress(`parsing ring buffers: round ${round}`);
      const cpus = buffers.map((bytes, cpu) => ({
        cpu,
        file: `cpu${cpu}.raw`,
        reader: readerOf(bytes),
        stats: null,
      }));
      let began = performance.now();
      const set = { label: "formats", kernel: null, files };
      events = await eventsOf(await openRing({ label: "mixed", cpus, formats: [set] }), batch);
      const inMemory = events / (performance.now() - began) / 1000;
      began = performance.now();
      await eventsOf(await openRingFolder(join(traces, "mixed")), batch);
      // The first round is V8's.
      if (round > 0) {
        memory.push(inMemory);
        packed.push(events / (performance.now() - began) / 1000);
      }
    }
    heading("TRACES: the kernel's raw ring buffers to events in order, on one core", "million/s");
    figure({ name: "unpacked, in memory", values: memory, target: { least: 5 } });
    figure({ name: "packed (zstd), from files", values: packed });
    note(`${events.toLocaleString("en")} events of two processors, merged by time.`);
  },
};
