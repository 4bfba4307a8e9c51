/**
 * A trace in words: each step, what it answered, and what of the state is no
 * longer as it was. For reading one program closely (--show).
 */
import {
  COUNTERS,
  bitNames,
  decodeState,
  pageName,
  type PageState,
  type State,
} from "./observe.js";
import { printResult } from "./compare.js";
import { FILES, type Program } from "./program.js";
import type { Trace } from "./subject.js";
import { printOp } from "./text.js";

/** Lines for every step of a trace. */
export function showTrace(program: Program, trace: Trace): string[] {
  const lines: string[] = [];
  let before: ReadonlySet<string> = new Set();
  for (const [i, step] of trace.steps.entries()) {
    const now = facts(decodeState(step.state, FILES.length));
    lines.push(`${i + 1}. ${printOp(program.steps[i])} → ${printResult(step.result)}`);
    for (const fact of before) if (!now.has(fact)) lines.push(`    - ${fact}`);
    for (const fact of now) if (!before.has(fact)) lines.push(`    + ${fact}`);
    before = now;
  }
  if (trace.failure !== null) lines.push(`failed: ${trace.failure}`);
  return lines;
}

function facts(state: State): Set<string> {
  const all: string[] = [];
  for (const p of state.processes) {
    const who = `p${p.number}`;
    for (const v of p.vmas)
      all.push(
        `${who} area ${pageName(v.page)} ${v.pages} pages, permissions ${v.permissions}, ` +
          `backing ${v.backing}, offset ${v.offset}`,
      );
    for (const run of runsOf(p.pages)) all.push(`${who} ${run}`);
    for (const [i, name] of COUNTERS.entries())
      if (p.counters[i] !== 0) all.push(`${who} ${name} ${p.counters[i]}`);
  }
  for (const [i, { size, cached }] of state.files.entries()) {
    const runs = cached.map(([first, pages]) => `${first}+${pages}`).join(" ");
    all.push(`file ${FILES[i].name}: ${size} bytes, cached ${runs || "nothing"}`);
  }
  all.push(`hugetlb pool: ${state.pool.free} free, ${state.pool.reserved} reserved`);
  return new Set(all);
}

/** Neighbouring pages of the same kind as one line; folios are not told. */
function runsOf(pages: readonly PageState[]): string[] {
  const runs: { first: PageState; count: number }[] = [];
  for (const page of pages) {
    const last = runs.at(-1);
    const goesOn =
      last !== undefined &&
      page.page === last.first.page + last.count &&
      page.bits === last.first.bits &&
      page.mapCount === last.first.mapCount &&
      page.order === last.first.order;
    if (goesOn) last.count++;
    else runs.push({ first: page, count: 1 });
  }
  return runs.map(({ first, count }) => {
    const { folio, index, order, mapCount, bits } = first;
    return `page ${pageName(first.page)} ×${count}: folio ${folio}.${index} order ${order}, mapped ${mapCount}, ${bitNames(bits)}`;
  });
}
