/**
 * The report of a real trace: fixtures/traces/rich of the shared data, on two designs.
 */
import { join } from "node:path";
import { classify } from "../../src/observe/classify/classify.js";
import { readFolder } from "../../src/observe/files/folder.node.js";
import { replayReport, type ReplayReport } from "../../src/report/replay-model.js";
import { analyse, type Described } from "../../src/trace/analyse.js";
import { replayDesign } from "../../src/trace/replay/run.js";
import { openRingFolder } from "../../src/trace/ring/folder.node.js";
import { SHARED } from "../observe/helpers.js";

export const RICH = join(SHARED ?? "", "fixtures", "traces", "rich");

export async function richReplay(): Promise<ReplayReport> {
  const of = async (moment: "before" | "after"): Promise<Described> => {
    const snapshot = await readFolder(RICH, "all", moment);
    return { snapshot, classification: classify(snapshot) };
  };
  const [before, after] = [await of("before"), await of("after")];
  const open = () => openRingFolder(RICH);
  const analysis = await analyse({ open, before, after, afterAt: null });
  const replays = [];
  for (const design of ["today", "memdesc8"])
    replays.push(await replayDesign({ design, open, before, populated: true }));
  return replayReport(RICH, analysis, replays, "snapshot");
}
