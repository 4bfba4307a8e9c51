/**
 * The whole report: the source's own part, then every design in a worker of its
 * own, as many at once as there are CPUs, merged in the order they were asked.
 */
import { DEVICE_NAMES } from "../engine/design/device-rules.js";
import { parseDesign } from "../engine/design/presets.js";
import { classify } from "../observe/classify/classify.js";
import { InputError } from "../observe/input-error.js";
import type { Snapshot } from "../observe/snapshot.js";
import { applyWhatIfs } from "../observe/what-if/apply.js";
import { formatBytes, PAGE_SIZE } from "../units.js";
import type { DesignResult } from "./build-design.js";
import { BUILT_PAGES_MAX, pageWordsOf, type DeviceResult } from "./build-device.js";
import { kindsReport } from "./kinds-report.js";
import type { DesignRow, DeviceReport, InspectReport } from "./model.js";
import type { DeviceAsked, InspectRequest } from "./ports.js";
import { runTasks } from "./run-tasks.node.js";
import type { DesignTask, DeviceTask } from "./tasks.js";

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
  const { ram, pageSize } = base.machine;
  if (request.device !== undefined && pageSize !== PAGE_SIZE) {
    throw new InputError(
      { file: "--device" },
      `is measured with pages of ${formatBytes(PAGE_SIZE)}, the machine has pages of ${formatBytes(pageSize)}`,
      "leave it out",
    );
  }
  const wanted = names.includes(TODAY) ? names : [TODAY, ...names];
  const words = [...new Set(names.map(pageWordsOf))];
  const deviceTasks = tasksOfDevice(words, request.device);
  const total = wanted.length + deviceTasks.length;
  let finished = 0;
  const onDone = (): void => request.onDone?.(++finished, total);
  const tasks = wanted.map((design): DesignTask => ({
    what: "design",
    subject: machine.label,
    snapshot: machine,
    classification,
    design,
    ram,
    verify: request.verify,
  }));
  const done = await runTasks(tasks, onDone);
  const devices = await runTasks(deviceTasks, onDone);
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
    device: request.device === undefined ? null : deviceReport(request.device, words, devices),
    arithmetic: [
      ...names.flatMap((name) => results.get(name)?.arithmetic ?? []),
      ...devices.slice(0, words.length).flatMap((result) => result.arithmetic),
    ],
  };
}

/** A task for each kind of page words, and one for today's own device, which all are compared with. */
function tasksOfDevice(words: readonly string[], asked: DeviceAsked | undefined): DeviceTask[] {
  if (asked === undefined) return [];
  const task = { what: "device", subject: "--device", asked } as const;
  const tasks = words.map((design): DeviceTask => ({ ...task, design, names: DEVICE_NAMES }));
  return words.includes(TODAY)
    ? tasks
    : [...tasks, { ...task, design: TODAY, names: ["physical"] }];
}

function deviceReport(
  asked: DeviceAsked,
  words: readonly string[],
  results: readonly DeviceResult[],
): DeviceReport {
  const all = results.flatMap(({ rows }) => rows);
  const today = all.find(
    (row) => row.words === TODAY && row.name === "physical" && row.record === "page",
  );
  if (today === undefined) throw new Error("today's device was not built");
  return {
    size: asked.pages * PAGE_SIZE,
    order: asked.order,
    measured: Math.min(asked.pages, BUILT_PAGES_MAX) * PAGE_SIZE,
    rows: all
      .filter((row) => words.includes(row.words))
      .map((row) => ({ ...row, change: row.inService - today.inService })),
    refused: results[0].refused,
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
