/**
 * The report of `memdesc run` as data: what `--json` prints
 * (docs/run-schema.md) and what `narrate.ts` draws.
 *
 * The runs are as the scenario room recorded them; added here is what one can
 * only say of all of them together: totals side by side, and where the designs
 * differ.
 */
import type { DesignRun, Entry, Outcome, Step, Traffic, Verdict } from "../scenario/record.js";
import type { Value } from "../scenario/scenario.js";

export interface RunReport {
  readonly schema: "memdesc/run/2";
  readonly scenario: {
    readonly file: string;
    /** Null where the file was stopped while it was loaded. */
    readonly name: string | null;
    readonly about: string | null;
  };
  readonly runs: readonly DesignRun[];
  /** One row per design, in the order of `runs`. */
  readonly comparison: readonly ComparisonRow[];
  /** Cache lines per operation, one row per step that any design took. */
  readonly lines: readonly LineRow[];
  /** What the designs do not have in common; empty for a single one. */
  readonly differences: readonly Difference[];
}

export interface ComparisonRow {
  readonly design: string;
  readonly verdict: Verdict;
  /** Bytes of metadata at the end; after the last step where the run was stopped, null without one. */
  readonly metadata: number | null;
  /** The same less what it was after boot; before the first step where the run was stopped. */
  readonly change: number | null;
  /** Descriptors from boot to the end; over all steps where the run was stopped. */
  readonly allocated: number;
  readonly freed: number;
  /** Those of them that came and went outside of steps; null where the run was stopped. */
  readonly outside: Traffic | null;
  /** Cache lines over all steps and operations: outside of steps nothing is measured. */
  readonly linesRead: number;
  readonly linesWritten: number;
}

export interface LineRow {
  readonly step: number;
  readonly what: string;
  /** By place in `runs`; null where the design did not take the step, or it ended in an error. */
  readonly perOperation: readonly ({ readonly read: number; readonly written: number } | null)[];
}

/** Something that is not the same in every design. */
export interface Difference {
  readonly what: string;
  readonly values: readonly { readonly design: string; readonly value: string }[];
}

/** The steps of a timeline. */
export const stepsOf = (timeline: readonly Entry[]): Step[] =>
  timeline.filter((entry) => entry.is === "step");

/** Puts the report together. `file` as the user would type it. */
export function runReport(scenario: RunReport["scenario"], runs: readonly DesignRun[]): RunReport {
  return {
    schema: "memdesc/run/2",
    scenario,
    runs,
    comparison: runs.map(comparisonRow),
    lines: lineRows(runs),
    differences: runs.length < 2 ? [] : differences(runs),
  };
}

/** Two-space indented, like the other reports; ends with a newline. */
export const renderRunJson = (report: RunReport): string => `${JSON.stringify(report, null, 2)}\n`;

/** Exit code: 2 where the scenario failed or was stopped, 1 where the answer is no, 0 otherwise. */
export function exitCodeOf(runs: readonly DesignRun[]): 0 | 1 | 2 {
  const verdicts = runs.map((run) => run.outcome.verdict);
  if (verdicts.some((v) => v === "failed" || v === "stopped")) return 2;
  return verdicts.some((v) => v !== "ok") ? 1 : 0;
}

function comparisonRow(run: DesignRun): ComparisonRow {
  const { design, outcome, totals } = run;
  const steps = stepsOf(run.timeline);
  const total = (of: (step: Step) => number): number => steps.reduce((sum, s) => sum + of(s), 0);
  const { metadata, descriptors } = totals ?? inSteps(steps);
  return {
    design,
    verdict: outcome.verdict,
    metadata: metadata === null ? null : metadata.after,
    change: metadata === null ? null : metadata.after - metadata.before,
    ...descriptors,
    outside: totals === null ? null : totals.outside,
    linesRead: total((s) => s.lines?.read ?? 0),
    linesWritten: total((s) => s.lines?.written ?? 0),
  };
}

/** What the steps alone say, of a run that did not live to say more. */
function inSteps(steps: readonly Step[]): {
  readonly metadata: { readonly before: number; readonly after: number } | null;
  readonly descriptors: Traffic;
} {
  const sumOf = (step: Step, side: "before" | "after"): number =>
    step.metadata.reduce((sum, m) => sum + m[side], 0);
  const moved = (side: "allocated" | "freed"): number =>
    steps.reduce((n, s) => s.descriptors.reduce((sum, d) => sum + d[side], n), 0);
  const last = steps.at(-1);
  return {
    metadata:
      last === undefined
        ? null
        : { before: sumOf(steps[0], "before"), after: sumOf(last, "after") },
    descriptors: { allocated: moved("allocated"), freed: moved("freed") },
  };
}

function lineRows(runs: readonly DesignRun[]): LineRow[] {
  const rows = new Map<string, LineRow>();
  for (const run of runs) {
    for (const { number, what } of stepsOf(run.timeline)) {
      const key = `${number} ${what}`;
      if (rows.has(key)) continue;
      const perOperation = runs.map((each) => linesOf(each, number, what));
      rows.set(key, { step: number, what, perOperation });
    }
  }
  return [...rows.values()].toSorted((a, b) => a.step - b.step);
}

function linesOf(run: DesignRun, number: number, what: string): LineRow["perOperation"][number] {
  const step = stepsOf(run.timeline).find((s) => s.number === number && s.what === what);
  if (step === undefined || step.lines === null) return null;
  const { lines, operations } = step;
  return { read: lines.read / operations, written: lines.written / operations };
}

function differences(runs: readonly DesignRun[]): Difference[] {
  const values = (of: (run: DesignRun) => string): Difference["values"] =>
    runs.map((run) => ({ design: run.design, value: of(run) }));
  const names = [...new Set(runs.flatMap((run) => [...findingsOf(run.timeline).keys()]))];
  return [
    { what: "outcome", values: values((run) => withoutFrames(outcomeText(run.outcome))) },
    { what: "steps taken", values: values((run) => String(stepsOf(run.timeline).length)) },
    ...names.map((what) => ({
      what,
      values: values((run) => foundText(run, what)),
    })),
  ].filter(({ values: all }) => {
    const said = new Set(all.map((v) => v.value));
    // A run that ended early says nothing about what it would have found.
    said.delete(NOT_REACHED);
    return said.size > 1;
  });
}

/** Which frame it happens at is no difference: designs lay out their memory differently. */
export const withoutFrames = (text: string): string => text.replaceAll(/\bframe \d+/g, "a frame");

/** In place of a finding of a run that ended before it. */
const NOT_REACHED = "– (ended before)";
/** In place of one that a whole run did not make. */
const NOT_SAID = "– (not said)";

function foundText({ outcome, timeline }: DesignRun, what: string): string {
  const found = findingsOf(timeline);
  if (found.has(what)) return valueText(found.get(what));
  return outcome.verdict === "ok" ? NOT_SAID : NOT_REACHED;
}

/** Findings by what they are about; of several about the same the last. */
function findingsOf(timeline: readonly Entry[]): Map<string, Value> {
  const remarks = timeline.flatMap((entry) => (entry.is === "step" ? entry.said : [entry]));
  const found = new Map<string, Value>();
  for (const remark of remarks) {
    if (remark.is === "finding") found.set(remark.what, remark.value);
  }
  return found;
}

/** A finding for people. */
export function valueText(value: Value | undefined): string {
  if (value === undefined) return "nothing";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

/** An outcome in a few words: what happened, and in which step. */
export function outcomeText({ verdict, step, between, why }: Outcome): string {
  if (verdict === "ok") return "ok";
  const where = step === null ? "" : ` ${between ? "after" : "at"} step ${step}`;
  return `${VERDICTS[verdict]}${where}: ${why}`;
}

/** Verdicts for people. */
export const VERDICTS: Readonly<Record<Verdict, string>> = {
  ok: "ok",
  no: "no",
  "broken-rule": "broken rule",
  refused: "refused",
  failed: "failed",
  stopped: "stopped",
};
