/**
 * Replays: events per second with all accounting on, by design, and how much faster
 * than they were recorded. The trace is fixtures/traces/mixed (4.4 million events of
 * 26 s), as a trace file; each design has a process of its own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_DESIGNS } from "../src/engine/design/default-designs.js";
import { writeTrace } from "../src/trace/file/import.node.js";
import { openTraceWriter } from "../src/trace/file/writer.node.js";
import { openRingFolder } from "../src/trace/ring/folder.node.js";
import { own, shared } from "./places.js";
import { figure, heading, note, progress, skip } from "./print.js";
import { mustRun } from "./processes.js";
import type { Section } from "./section.js";

/** Seconds that the trace was recorded for. */
const RECORDED = 26;

interface Measured {
  readonly events: number;
  readonly clock: readonly number[];
  readonly cpu: readonly number[];
  readonly rss: number;
}

export const replay: Section = {
  name: "replay",
  async run(quick) {
    const traces = shared("fixtures/traces");
    if (traces === null) return skip("replays", "../shared/fixtures/traces is not there");
    const folder = mkdtempSync(join(tmpdir(), "memdesc-bench-"));
    const file = join(folder, "mixed.mdt");
    const measured = new Map<string, Measured>();
    try {
      progress("replay: writing the trace file");
      const source = await openRingFolder(join(traces, "mixed"));
      await writeTrace(source, await openTraceWriter(file, source.about));
      await source.close();
      for (const design of DEFAULT_DESIGNS) {
        progress(`replay: ${design}`);
        const args = [own("replay-child"), file, design, quick ? "1" : "5"];
        const { stdout } = await mustRun(process.execPath, args);
        measured.set(design, JSON.parse(stdout) as Measured);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    heading("REPLAY: per second of processor time", "million events/s");
    for (const [name, { events, cpu }] of measured)
      figure({ name, values: cpu.map((s) => events / s / 1e6), target: { least: 2 } });
    heading("REPLAY: by the clock, beside the time it was recorded in", "times as fast");
    for (const [name, { clock }] of measured)
      figure({ name, values: clock.map((s) => RECORDED / s), target: { least: 20 } });
    const rss = [...measured].map(
      ([name, { rss: bytes }]) => `${name} ${Math.round(bytes / 2 ** 20)}`,
    );
    note(
      `${measured.get("today")?.events.toLocaleString("en-US")} events, reading the file and deciding included; largest resident set, MiB: ${rss.join(", ")}`,
    );
  },
};
