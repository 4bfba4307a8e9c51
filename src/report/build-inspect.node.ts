/**
 * The whole report: the source's own part, then every design in a worker of its
 * own, as many at once as there are CPUs, merged in the order they were asked.
 */
import { parseDesign } from "../engine/design/presets.js";
import { classify } from "../observe/classify/classify.js";
import { InputError } from "../observe/input-error.js";
import type { Snapshot } from "../observe/snapshot.js";
import { applyWhatIfs } from "../observe/what-if/apply.js";
import type { DesignResult } from "./build-design.js";
import { kindsReport } from "./kinds-report.js";
import type { DesignRow, InspectReport } from "./model.js";
import type { InspectRequest } from "./ports.js";
import { runTasks } from "./run-tasks.node.js";
import type { DesignTask } from "./tasks.js";

const TODAY = parseDesign("today").name;

/**
 * Builds the report of a snapshot. Throws InputError for a design or what-if
 * that does not exist or does not fit.
 */
export async function inspect(snapshot: Snapshot, request: InspectRequest): Promise<InspectReport> {
  const names = request.designs.map((name) => parseDesign(name).name);
  if (request.verify && request.whatIf.length > 0) {
    throw new InputError(
      { file: "--verify" },
      "compares with what was read, which a what-if changes",
      "give one of them",
    );
  }
  const source = { snapshot, classification: classify(snapshot) };
  const { snapshot: machine, classification } = applyWhatIfs(source, request.whatIf);
  const base = kindsReport(machine, classification, null);
  const ram = base.machine.ram;
  const wanted = names.includes(TODAY) ? names : [TODAY, ...names];
  const tasks = wanted.map((design): DesignTask => ({
    what: "design",
    snapshot: machine,
    classification,
    design,
    ram,
    verify: request.verify,
  }));
  const done = await runTasks(tasks, (result) => request.onDesign?.({ ...result.row, change: 0 }));
  const results = new Map(wanted.map((name, i) => [name, done[i]]));
  const today = results.get(TODAY);
  if (today === undefined) throw new Error("today was not built");
  const rows = names.map((name): DesignRow => withChange(results.get(name), today));
  return {
    ...base,
    machine: { ...base.machine, whatIf: request.whatIf },
    ...(request.whatIf.length > 0 && { reconciliation: [], notes: machine.notes }),
    designs: rows,
    breakEven: names
      .filter((name) => name !== TODAY)
      .map((name) => breakEven(name, results.get(name), today)),
    arithmetic: names.flatMap((name) => results.get(name)?.arithmetic ?? []),
  };
}

function withChange(result: DesignResult | undefined, today: DesignResult): DesignRow {
  if (result === undefined) throw new Error("a design was not built");
  return { ...result.row, change: result.row.total - today.row.total };
}

function breakEven(
  design: string,
  result: DesignResult | undefined,
  today: DesignResult,
): InspectReport["breakEven"][number] {
  const rows = (result?.perOrder ?? []).map((row, i) => ({
    ...row,
    today: today.perOrder[i].design,
  }));
  const order = rows.find((row) => row.design < row.today)?.order ?? null;
  const orderAtBase = rows.find((row) => row.base < row.today)?.order ?? null;
  return {
    design,
    order,
    orderAtBase,
    perOrder: rows.map((row) => ({ order: row.order, today: row.today, design: row.design })),
  };
}
