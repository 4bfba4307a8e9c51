/**
 * Pairs of alloc and free of order 0 per second, by design, each series in a
 * process of its own (an isolate that runs one design is what the product has:
 * a worker per design). The mixed figure shows what one isolate for all costs.
 */
import { DEFAULT_DESIGNS } from "../src/engine/design/presets.js";
import { own } from "./places.js";
import { figure, heading, note, progress } from "./print.js";
import { mustRun } from "./processes.js";
import type { Section } from "./section.js";

const SERIES = [
  { mode: "bareBatches", title: "bare, batches of 512", least: 10 },
  { mode: "folioBatches", title: "with folio, batches of 512", least: 5 },
  { mode: "bareRandom", title: "bare, random among a million live", least: 2 },
  { mode: "folioRandom", title: "with folio, random among a million live", least: 1 },
] as const;

async function series(
  mode: string,
  designs: readonly string[],
  quick: boolean,
): Promise<number[][]> {
  const args = [
    own("alloc-child"),
    mode,
    designs.join(","),
    ...(quick ? ["1", "20"] : ["9", "150"]),
  ];
  return JSON.parse((await mustRun(process.execPath, args)).stdout) as number[][];
}

export const alloc: Section = {
  name: "alloc",
  async run(quick) {
    for (const { mode, title, least } of SERIES) {
      heading(`ORDER-0 ALLOC + FREE, ${title}`, "million pairs/s");
      for (const design of DEFAULT_DESIGNS) {
        progress(`${title}: ${design}`);
        const [values] = await series(mode, [design], quick);
        figure({ name: design, values, target: { least } });
      }
    }
    for (const { mode, title } of SERIES.slice(0, 2)) {
      heading(`MIXED: all designs in one isolate, ${title}`, "million pairs/s");
      progress(`mixed: ${title}`);
      const all = await series(mode, DEFAULT_DESIGNS, quick);
      for (const [i, design] of DEFAULT_DESIGNS.entries()) figure({ name: design, values: all[i] });
    }
    note(
      "16 GiB machines (mixed: 1 GiB each). Limits: in batches calls that V8 does not inline (its budget per function is spent early), at random cache misses; with folio also the slabs that a batch of 512 makes and gives back.",
    );
  },
};
