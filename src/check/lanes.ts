/**
 * Prints a verdict, and a counterexample as one lane per thread, in 80 columns.
 *
 * Time runs downwards. Stretches in which a thread neither writes what another
 * touches nor reads what another writes are folded into a count: what matters is
 * where threads meet.
 */
import type { Logged } from "../engine/words/checked.js";
import type { Counterexample, ScheduleStep, Verdict } from "./program.js";

const COLUMNS = 80;

/** A verdict in one line, with everything that bounds it. */
export function formatVerdict(v: Verdict): string {
  const reason = v.reason === "" ? "" : ` (${v.reason})`;
  const pages =
    v.pages.length === 0 ? "" : `, ${v.pages.length} page${v.pages.length === 1 ? "" : "s"}`;
  const counts = `${v.states} states, ${v.ends} ends, ${v.executions} executions, ${v.steps} steps`;
  return `${v.kind}${reason}: ${v.threads.length} threads${pages}, ${counts}, ${v.mode}, ${v.model}`;
}

/** Lines of at most 80 columns: the rule, a head, one row per access. */
export function formatCounterexample(c: Counterexample, threads: readonly string[]): string[] {
  const number = String(c.schedule.length).length;
  const width = Math.floor((COLUMNS - number) / threads.length) - 2;
  const lines = [...wrap(`rule broken: ${c.rule}`, COLUMNS), row("", threads, number, width)];
  for (const part of fold(c.schedule)) {
    const cells = threads.map((_, t) => (t === part.thread ? part.text : ""));
    lines.push(row(part.number, cells, number, width));
  }
  return lines;
}

interface Row {
  readonly number: string;
  readonly thread: number;
  readonly text: string;
}

/** Long stretches of one thread among words that are its own business become one row. */
function fold(schedule: readonly ScheduleStep[]): Row[] {
  const meets = meetings(schedule);
  const rows: Row[] = [];
  for (let i = 0; i < schedule.length;) {
    const { thread } = schedule[i];
    let end = i;
    while (end < schedule.length && schedule[end].thread === thread && !meets[end]) end++;
    if (end - i > 2) {
      rows.push({ number: "", thread, text: `… ${end - i} accesses of its own` });
      i = end;
      continue;
    }
    rows.push({ number: String(i + 1), thread, text: describe(schedule[i]) });
    i++;
  }
  return rows;
}

/** For each step whether it could matter to another thread: it writes what another touches, or reads what another writes. */
function meetings(schedule: readonly ScheduleStep[]): boolean[] {
  const touched = new Map<number, Set<number>>();
  const written = new Map<number, Set<number>>();
  const note = (map: Map<number, Set<number>>, word: number, thread: number): void => {
    map.set(word, (map.get(word) ?? new Set()).add(thread));
  };
  for (const { thread, made } of schedule) {
    note(touched, wordOf(made), thread);
    if (writes(made)) note(written, wordOf(made), thread);
  }
  return schedule.map(({ thread, made }) => {
    const others = (writes(made) ? touched : written).get(wordOf(made)) ?? new Set();
    return others.size > (others.has(thread) ? 1 : 0);
  });
}

const writes = ({ access, lo }: Logged): boolean =>
  access.kind.startsWith("store") ||
  access.kind === "add32" ||
  (access.kind.startsWith("cas") && lo === 1);

const wordOf = ({ access }: Logged): number => access.ref * 2 + (access.off >> 3);

/** One access: what it does to which word, and what came of it. */
function describe({ made, place }: ScheduleStep): string {
  const { access, lo, hi } = made;
  switch (access.kind) {
    case "load32":
      return `${place} is ${lo}`;
    case "load64":
      return `${place} is ${wide(lo, hi)}`;
    case "store32":
      return `${place} = ${access.value}`;
    case "store64":
      return `${place} = ${wide(access.value, access.high)}`;
    case "cas32":
      return `${place} cas ${access.value}: ${lo === 1 ? "done" : "lost"}`;
    case "cas64":
      return `${place} cas ${wide(access.value, access.high)}: ${lo === 1 ? "done" : "lost"}`;
    case "add32":
      return `${place} ${access.value < 0 ? "−" : "+"}${Math.abs(access.value)} → ${lo}`;
    case "await32":
      return `${place} awaits ${access.value}`;
    case "awaitChange32":
      return `${place} awaits a change of ${access.value}`;
    default:
      return access.kind satisfies never;
  }
}

/** A 64-bit word: in hex without leading zeros, small numbers as they are. */
function wide(lo: number, hi: number): string {
  if (hi === 0 && lo >= 0 && lo < 1024) return String(lo);
  const low = (lo >>> 0).toString(16);
  return hi === 0 ? `0x${low}` : `0x${(hi >>> 0).toString(16)}${low.padStart(8, "0")}`;
}

/** Cells side by side; one that is too long goes on below itself. */
function row(number: string, cells: readonly string[], numberWidth: number, width: number): string {
  const parts = cells.map((cell) => wrap(cell, width));
  const height = Math.max(...parts.map((p) => p.length));
  const lines: string[] = [];
  for (let i = 0; i < height; i++) {
    const texts = parts.map((p) => (p[i] ?? "").padEnd(width));
    lines.push(`${(i === 0 ? number : "").padStart(numberWidth)}  ${texts.join("  ")}`.trimEnd());
  }
  return lines.join("\n");
}

/** Breaks at blanks, and in words that are longer than a line. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length <= width) line = longer;
    else {
      if (line !== "") lines.push(line);
      line = word;
      for (; line.length > width; line = line.slice(width)) lines.push(line.slice(0, width));
    }
  }
  return [...lines, line];
}
