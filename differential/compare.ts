/**
 * Compares two traces of one program and says in words what differs first:
 * which step, which process and page, what one says and what the other.
 */
import { errnoName } from "./constants.js";
import {
  COUNTERS,
  bitNames,
  decodeState,
  pageName,
  type FileState,
  type PageState,
  type ProcessState,
  type Result,
  type State,
  type Vma,
} from "./observe.js";
import { FILES, type Op, type Program } from "./program.js";
import type { Trace } from "./subject.js";

/** A difference of two traces. */
export interface Difference {
  /** Index of the step; the number of steps where a subject failed at the end. */
  readonly step: number;
  /** The step itself; null at the end of the program. */
  readonly op: Op | null;
  /** What differs: `failure`, `result`, `vmas`, `page`, `RssAnon` … The shrinker keeps to it. */
  readonly what: string;
  /** Where, and what each says, a line each. */
  readonly lines: readonly string[];
}

/** Facts that are not compared. */
export interface Ignored {
  /** Of PAGE_BITS. */
  readonly bits: number;
  /** Names of other facts: those of COUNTERS, `map count`, `vmas`, `file`, `pool`. */
  readonly facts: ReadonlySet<string>;
}

export const NOTHING_IGNORED: Ignored = { bits: 0, facts: new Set() };

/** Names that can be ignored besides those of page bits. */
export const OTHER_FACTS: readonly string[] = [...COUNTERS, "map count", "vmas", "file", "pool"];

/** The first difference, or null. */
export function compare(
  program: Program,
  names: readonly [string, string],
  traces: readonly [Trace, Trace],
  ignored: Ignored = NOTHING_IGNORED,
): Difference | null {
  const [a, b] = traces;
  const common = Math.min(a.steps.length, b.steps.length);
  for (let step = 0; step < common; step++) {
    const [x, y] = [a.steps[step], b.steps[step]];
    const op = program.steps[step];
    if (!sameResult(x.result, y.result))
      return {
        step,
        op,
        what: `result of ${op.op}: ${brief(x.result)} or ${brief(y.result)}`,
        lines: [`${names[0]}: ${printResult(x.result)}`, `${names[1]}: ${printResult(y.result)}`],
      };
    if (sameWords(x.state, y.state)) continue;
    const states = [decodeState(x.state, FILES.length), decodeState(y.state, FILES.length)];
    const found = firstOf(without(states[0], ignored), without(states[1], ignored), ignored);
    if (found === null) continue;
    const { what, where, says } = found;
    return {
      step,
      op,
      what: `${what} after ${op.op}`,
      lines: [where, `${names[0]}: ${says[0]}`, `${names[1]}: ${says[1]}`],
    };
  }
  const broken = traces.findIndex((trace) => trace.failure !== null);
  if (broken < 0) return null;
  const op = program.steps[common] ?? null;
  const lines = [`${names[broken]} failed: ${traces[broken].failure}`];
  const first = traces[broken].failure?.split("\n")[0] ?? "";
  return { step: common, op, what: `failure: ${first.replace(/\d+/g, "N")}`, lines };
}

function sameResult(x: Result, y: Result): boolean {
  return (
    x.error === y.error &&
    x.value === y.value &&
    x.signal === y.signal &&
    x.code === y.code &&
    x.page === y.page
  );
}

function sameWords(x: Int32Array, y: Int32Array): boolean {
  return x.length === y.length && x.every((word, i) => word === y[i]);
}

/** A result without its value. */
function brief({ error, signal }: Result): string {
  return signal !== 0
    ? (SIGNALS[signal] ?? `signal ${signal}`)
    : error === 0
      ? "ok"
      : errnoName(error);
}

const SIGNALS: Readonly<Record<number, string>> = { 7: "SIGBUS", 9: "killed", 11: "SIGSEGV" };

/** A result in words. */
export function printResult(result: Result): string {
  const { error, signal, code, page, value } = result;
  if (signal !== 0)
    return `${SIGNALS[signal] ?? `signal ${signal}`} (si_code ${code}) at page ${page}`;
  return error === 0 ? `ok, 0x${(value >>> 0).toString(16)}` : errnoName(error);
}

interface Found {
  readonly what: string;
  readonly where: string;
  readonly says: readonly [string, string];
}

/** The state as it is compared: what is ignored is the same everywhere. */
function without(state: State, ignored: Ignored): State {
  if (ignored === NOTHING_IGNORED) return state;
  const { bits, facts } = ignored;
  const processes = state.processes.map((process) => ({
    ...process,
    counters: process.counters.map((n, i) => (facts.has(COUNTERS[i]) ? 0 : n)),
    pages: process.pages.map((page) => ({
      ...page,
      bits: page.bits & ~bits,
      mapCount: facts.has("map count") ? 0 : page.mapCount,
    })),
  }));
  return { ...state, processes };
}

function firstOf(x: State, y: State, { facts }: Ignored): Found | null {
  const numbers = (s: State): string => s.processes.map((p) => `p${p.number}`).join(" ") || "none";
  if (numbers(x) !== numbers(y))
    return { what: "processes", where: "processes that live", says: [numbers(x), numbers(y)] };
  return (
    // VMAs first: a missing one explains what else is missing.
    (facts.has("vmas") ? null : firstIn(x.processes, y.processes, firstVma)) ??
    firstIn(x.processes, y.processes, firstPage) ??
    firstIn(x.processes, y.processes, firstCounter) ??
    (facts.has("file") ? null : firstFile(x.files, y.files)) ??
    (facts.has("pool") ? null : firstPool(x.pool, y.pool))
  );
}

function firstPool(x: State["pool"], y: State["pool"]): Found | null {
  const says = [printPool(x), printPool(y)] as const;
  return says[0] === says[1] ? null : { what: "pool", where: "hugetlb pool", says };
}

function firstIn(
  xs: readonly ProcessState[],
  ys: readonly ProcessState[],
  find: (x: ProcessState, y: ProcessState) => Found | null,
): Found | null {
  for (const [i, x] of xs.entries()) {
    const found = find(x, ys[i]);
    if (found !== null) return { ...found, where: `process ${x.number}, ${found.where}` };
  }
  return null;
}

function firstVma(x: ProcessState, y: ProcessState): Found | null {
  for (let i = 0; i < Math.max(x.vmas.length, y.vmas.length); i++) {
    const says = [printVma(x.vmas[i]), printVma(y.vmas[i])] as const;
    if (says[0] !== says[1]) return { what: "vmas", where: `area ${i}`, says };
  }
  return null;
}

function firstPage(x: ProcessState, y: ProcessState): Found | null {
  const mine = new Map(x.pages.map((p) => [p.page, p]));
  const theirs = new Map(y.pages.map((p) => [p.page, p]));
  const all = [...new Set([...mine.keys(), ...theirs.keys()])].sort((a, b) => a - b);
  const off = all.filter((page) => printPage(mine.get(page)) !== printPage(theirs.get(page)));
  if (off.length === 0) return null;
  const [p, q] = [mine.get(off[0]), theirs.get(off[0])];
  const more = off.length > 1 ? ` (and ${off.length - 1} more)` : "";
  return {
    what: `page: ${whatOfPage(p, q)}`,
    where: `page ${pageName(off[0])}${more}`,
    says: [printPage(p), printPage(q)],
  };
}

/** Which fact of a page differs; the first, for the shrinker. */
function whatOfPage(p: PageState | undefined, q: PageState | undefined): string {
  if (p === undefined || q === undefined) return "presence";
  if (p.bits !== q.bits) return bitNames(p.bits ^ q.bits);
  if (p.mapCount !== q.mapCount) return "map count";
  return p.order === q.order ? "frame" : "order";
}

function firstCounter(x: ProcessState, y: ProcessState): Found | null {
  const i = x.counters.findIndex((value, at) => value !== y.counters[at]);
  if (i < 0) return null;
  const says = [`${x.counters[i]} pages`, `${y.counters[i]} pages`] as const;
  return { what: COUNTERS[i], where: COUNTERS[i], says };
}

function firstFile(xs: readonly FileState[], ys: readonly FileState[]): Found | null {
  for (const [i, x] of xs.entries()) {
    const says = [printFile(x), printFile(ys[i])] as const;
    if (says[0] !== says[1]) return { what: "file", where: `file ${FILES[i].name}`, says };
  }
  return null;
}

function printVma(vma: Vma | undefined): string {
  if (vma === undefined) return "none";
  const { page, pages, permissions, backing, offset } = vma;
  const letters = ["r", "w", "x"].map((c, i) => (permissions & (1 << i) ? c : "-")).join("");
  const of =
    backing === 0 ? "anonymous" : (FILES[backing - 1]?.name ?? `shared object ${backing - 16}`);
  const way = permissions & 8 ? "shared" : "private";
  return `${pageName(page)}, ${pages} pages, ${letters} ${way}, ${of} from page ${offset}`;
}

function printPage(p: PageState | undefined): string {
  if (p === undefined) return "nothing there";
  const frame = p.folio < 0 ? "" : `, folio ${p.folio} order ${p.order} index ${p.index}`;
  return `${bitNames(p.bits)}, mapped ${p.mapCount} times${frame}`;
}

function printFile({ size, cached }: FileState): string {
  const runs = cached.map(([first, pages]) =>
    pages === 1 ? `${first}` : `${first}-${first + pages - 1}`,
  );
  return `${size} bytes, cached pages ${runs.join(" ") || "none"}`;
}

function printPool({ free, reserved }: State["pool"]): string {
  return `${free} free, ${reserved} reserved`;
}
