/**
 * What a run came to: tables for a terminal of 80 columns, or JSON.
 *
 * A row of the first table is a combination of page design, name, record, lifetime
 * and activation; designs that differ in options of the activation only are counted
 * in it. Every failure is named below, with its design.
 */
import type { Design } from "../src/engine/design/presets.js";
import { tableLines, wrap, type Row } from "../src/report/table.js";
import { VARIANTS, type Variant } from "./cases/case.js";
import type { CaseResult } from "./harness.js";
import type { Done } from "./worker.js";

/** A design and what it came to. */
export interface Ran extends Done {
  readonly of: Design;
}

interface Count {
  designs: number;
  passed: number;
  failed: number;
  cannot: number;
  ms: number;
}

/** Failures that are told in full. */
const TOLD = 40;

const none = (): Count => ({ designs: 0, passed: 0, failed: 0, cannot: 0, ms: 0 });

function add(count: Count, { failure, cannot, ms }: CaseResult): void {
  if (failure !== null) count.failed++;
  else if (cannot !== null) count.cannot++;
  else count.passed++;
  count.ms += ms;
}

/** `page64+folio p word`: word, where map counts are, where page bits are. */
function pageName(d: Design): string {
  const folio = d.word === "page64" && d.separated.has("file") ? "+folio" : "";
  const counts = d.mapcount === "per-page" ? "p" : "f";
  const bits = d.pageBits === "descriptor" ? "desc" : d.pageBits;
  return `${d.word}${folio} ${counts} ${bits}`;
}

const rowName = (d: Design): readonly string[] => [
  pageName(d),
  d.deviceName,
  d.deviceRecord === "device-private" ? "private" : d.deviceRecord,
  d.deviceLifetime,
  d.activation,
];

const seconds = (ms: number): string => (ms / 1000).toFixed(1);

/** Passed, failed, not representable: how often. */
const counts = ({ passed, failed, cannot }: Count): string[] => [
  String(passed),
  failed === 0 ? "-" : String(failed),
  cannot === 0 ? "-" : String(cannot),
];

function byCombination(ran: readonly Ran[]): Row[] {
  const rows = new Map<string, { readonly name: readonly string[]; readonly count: Count }>();
  for (const { of, results, ms } of ran) {
    const name = rowName(of);
    const key = name.join(" ");
    let row = rows.get(key);
    if (row === undefined) rows.set(key, (row = { name, count: none() }));
    row.count.designs++;
    for (const result of results) add(row.count, { ...result, ms: 0 });
    row.count.ms += ms;
  }
  return [...rows.values()].map(({ name, count }) => [
    ...name,
    String(count.designs),
    ...counts(count),
    seconds(count.ms),
  ]);
}

/** Totals of each case, in the order of the cases. */
function totals(ran: readonly Ran[]): Map<string, Map<Variant, Count>> {
  const cases = new Map<string, Map<Variant, Count>>();
  for (const { results } of ran)
    for (const result of results) {
      const variants = cases.get(result.name) ?? new Map<Variant, Count>();
      cases.set(result.name, variants);
      const count = variants.get(result.variant) ?? none();
      variants.set(result.variant, count);
      add(count, result);
    }
  return cases;
}

function byCase(ran: readonly Ran[]): Row[] {
  return [...totals(ran)].map(([name, variants]) => {
    const all = [...variants.values()];
    const ms = all.reduce((sum, c) => sum + c.ms, 0) / (ran.length * all.length);
    const each = VARIANTS.flatMap((v) => counts(variants.get(v) ?? none()));
    return [name, ...each, ms.toFixed(1)];
  });
}

interface Failed {
  readonly design: string;
  readonly case: string;
  readonly variant: Variant;
  readonly failure: string;
}

const failures = (ran: readonly Ran[]): Failed[] =>
  ran.flatMap(({ design, results }) =>
    results.flatMap(({ name, variant, failure }) =>
      failure === null ? [] : [{ design, case: name, variant, failure }],
    ),
  );

/** Cases that cannot be represented, with the reason and on how many designs. */
function cannots(ran: readonly Ran[]): string[] {
  const reasons = new Map<string, number>();
  for (const { results } of ran)
    for (const { name, variant, cannot } of results) {
      if (cannot === null) continue;
      const key = `${name} (${variant}): ${cannot}`;
      reasons.set(key, (reasons.get(key) ?? 0) + 1);
    }
  return [...reasons].map(([key, n]) => `${key}; on ${n} designs`);
}

/** One line with the sums. */
export function summary(ran: readonly Ran[], asked: number, ms: number): string {
  const all = none();
  for (const { results } of ran) for (const result of results) add(all, result);
  const designs = ran.length === asked ? String(asked) : `${ran.length} of ${asked}`;
  return `${designs} designs, ${all.passed} cases passed, ${all.failed} failed, ${all.cannot} not representable, ${seconds(ms)} s`;
}

/** The whole report as lines. */
export function reportLines(ran: readonly Ran[], asked: number, ms: number): string[] {
  const lines = [
    ...wrap(
      "Page design: word (+folio: folios have a descriptor), map counts per page or per folio, where page bits are. n: designs, which differ in options of the activation; n/r: not representable; s: seconds of one thread.",
      "",
      "",
    ),
    "",
    ...tableLines({
      align: ["left", "left", "left", "left", "left", ...rights(5)],
      rows: [
        [
          "page design",
          "name",
          "record",
          "lifetime",
          "activ.",
          "n",
          "passed",
          "failed",
          "n/r",
          "s",
        ],
        ...byCombination(ran),
      ],
    }),
    "",
    ...tableLines({
      align: ["left", ...rights(7)],
      rows: [
        [
          "",
          { content: "device_private", span: 3 },
          { content: "device_coherent", span: 3 },
          "mean",
        ],
        ["case", "passed", "failed", "n/r", "passed", "failed", "n/r", "ms"],
        ...byCase(ran),
      ],
    }),
    "",
  ];
  const failed = failures(ran);
  for (const one of failed.slice(0, TOLD))
    lines.push(
      ...wrap(`FAILED ${one.case} (${one.variant}) on ${one.design}: ${one.failure}`, "", "  "),
    );
  if (failed.length > TOLD)
    lines.push(`… and ${failed.length - TOLD} more failures (--json has all)`);
  for (const text of cannots(ran)) lines.push(...wrap(`not representable: ${text}`, "", "  "));
  if (ran.length === 1)
    for (const { name, variant, notes } of ran[0].results)
      for (const note of notes) lines.push(...wrap(`${name} (${variant}): ${note}`, "", "  "));
  return [...lines, summary(ran, asked, ms)];
}

const rights = (n: number): "right"[] => Array.from({ length: n }, () => "right" as const);

/** The same for programs. */
export function reportJson(ran: readonly Ran[], asked: number, ms: number): string {
  const cases = [...totals(ran)].map(([name, variants]) => ({
    case: name,
    variants: Object.fromEntries(
      [...variants].map(([variant, { passed, failed, cannot, ms: time }]) => [
        variant,
        { passed, failed, notRepresentable: cannot, ms: Math.round(time) },
      ]),
    ),
  }));
  const designs = ran.map(({ design, results, ms: time }) => ({
    design,
    passed: results.filter((r) => r.failure === null && r.cannot === null).length,
    failed: results.filter((r) => r.failure !== null).length,
    notRepresentable: results.filter((r) => r.cannot !== null).length,
    ms: Math.round(time),
  }));
  const report = {
    schema: "memdesc/conformance/1",
    asked,
    ms: Math.round(ms),
    designs,
    cases,
    failures: failures(ran),
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}
