/**
 * Everything about one page: what the source says, and the page in each design,
 * each built in a worker of its own like the designs of a report.
 */
import { parseDesign } from "../engine/design/presets.js";
import { classify } from "../observe/classify/classify.js";
import type { Snapshot } from "../observe/snapshot.js";
import type { PageReport } from "./page-model.js";
import type { PageTask } from "./tasks.js";
import { factsOfPage } from "./facts-of-page.js";
import { runTasks } from "./run-tasks.node.js";

/** Builds the report of one page. Throws InputError for a frame beyond the source. */
export async function buildPage(
  snapshot: Snapshot,
  pfn: number,
  designs: readonly string[],
): Promise<PageReport> {
  const classification = classify(snapshot);
  const facts = factsOfPage(snapshot, classification, pfn);
  const tasks = designs.map((name): PageTask => ({
    what: "page",
    subject: snapshot.label,
    snapshot,
    classification,
    design: parseDesign(name).name,
    pfn,
  }));
  return { ...facts, designs: await runTasks(tasks, () => {}) };
}
