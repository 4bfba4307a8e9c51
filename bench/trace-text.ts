/**
 * Parsing text of traces: from unpacked bytes in memory to events in columns, on one
 * core. The texts are fixtures/traces/text, the beginning of the mixed trace as
 * trace_pipe and as trace-cmd report print it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decompress } from "fzstd";
import { EventBatch } from "../src/trace/events.js";
import { openTextSource } from "../src/trace/text/source.js";
import { shared } from "./places.js";
import { figure, heading, note, progress, skip } from "./print.js";
import type { Section } from "./section.js";

const ROWS = 4096;
const TEXTS = ["trace_pipe.txt.zst", "trace-cmd-report.txt.zst"] as const;

/** Events in a text; read in pieces as they come from a file. */
async function eventsOf(bytes: Uint8Array, batch: EventBatch): Promise<number> {
  let at = 0;
  const reader = {
    read: (most: number) => {
      const part = bytes.subarray(at, at + Math.min(most, 256 * 1024));
      at += part.length;
      return Promise.resolve(part);
    },
  };
  const source = await openTextSource(reader, "text", () => Promise.resolve());
  let events = 0;
  while (await source.read(batch)) events += batch.length;
  return events;
}

export const traceText: Section = {
  name: "trace-text",
  async run(quick) {
    const folder = shared("fixtures/traces/text");
    if (folder === null)
      return skip("parsing of text", "../shared/fixtures/traces/text is not there");
    const rounds = quick ? 3 : 15;
    const batch = new EventBatch(ROWS);
    heading("TRACES: text to events, on one core", "million/s");
    for (const name of TEXTS) {
      const bytes = decompress(readFileSync(join(folder, name)));
      const values: number[] = [];
      let events = 0;
      for (let round = 0; round <= rounds; round++) {
        progress(`parsing ${name}: round ${round}`);
        const began = performance.now();
        events = await eventsOf(bytes, batch);
        // The first round is V8's.
        if (round > 0) values.push(events / (performance.now() - began) / 1000);
      }
      figure({ name: name.replace(".txt.zst", ""), values });
      note(
        `${events.toLocaleString("en")} events, ${(bytes.length / events).toFixed(0)} bytes of text each.`,
      );
    }
  },
};
