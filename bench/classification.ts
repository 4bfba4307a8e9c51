/**
 * Classification of unpacked arrays and opening of a captured file, on one core.
 *
 * Warm figures are of a process that does nothing else (tinybench samples), cold
 * ones of the first time in a process of its own: what a user waits for.
 */
import { Bench } from "tinybench";
import { readSnapshotFile } from "../src/observe/capture/capture.node.js";
import { classifyArrays, expand, openCapture, TASKS } from "./page-arrays.js";
import { BUNDLED, own } from "./places.js";
import { figure, heading, note, progress } from "./print.js";
import { mustRun } from "./processes.js";
import type { Section } from "./section.js";

export const classification: Section = {
  name: "classify",
  async run(quick) {
    progress("expanding the bundled snapshot");
    const snapshot = await readSnapshotFile(BUNDLED);
    const arrays = expand(snapshot);
    const bench = new Bench({
      time: quick ? 200 : 2000,
      iterations: quick ? 3 : 15,
      retainSamples: true,
    });
    for (const task of TASKS) {
      if (task.arrays) bench.add(task.name, () => void classifyArrays(arrays, snapshot, task.more));
      else bench.add(task.name, () => openCapture(task.more));
    }
    progress("classifying");
    await bench.run();
    heading("CLASSIFICATION of the bundled snapshot's pages, on one core", "million pages/s, warm");
    const rate = (ms: number): number => snapshot.frames / ms / 1000;
    for (const { name, least } of TASKS) {
      const result = bench.getTask(name)?.result;
      if (result?.state !== "completed")
        throw new Error(`${name} was not measured: ${result?.state}`);
      figure({ name, values: (result.latency.samples ?? []).map(rate), target: { least } });
    }
    heading("THE SAME, first time in a process", "million pages/s, cold");
    for (const [i, { name, least }] of TASKS.entries()) {
      const values: number[] = [];
      for (let round = 0; round < (quick ? 1 : 5); round++) {
        progress(`${name}, cold: round ${round + 1}`);
        values.push(
          rate(Number((await mustRun(process.execPath, [own("classify-child"), `${i}`])).stdout)),
        );
      }
      figure({ name, values, target: { least } });
    }
    note(
      `${snapshot.frames.toLocaleString("en")} frames in ${snapshot.runs.length.toLocaleString("en")} runs; opening a capture takes time by runs, arrays by memory; cold figures by code that V8 still interprets.`,
    );
  },
};
