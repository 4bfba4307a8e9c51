/**
 * Reconciliation for the terminal: our counts beside the kernel's own, with the
 * residue. Rows that differ only in a number at their end (`free blocks, order
 * 3`) share one line that shows the largest residue, and reasons are printed
 * for residues that matter, unless everything is asked for.
 */
import { formatCount } from "../units.js";
import type { ReconciliationRow } from "./model.js";
import type { Paint } from "./paint.js";
import { tableLines, textWidth, WIDTH, wrap } from "./table.js";

/** Share of the kernel's total from which a residue is worth its reason. */
const WORTH_A_REASON = 0.005;

/** The rows as a table in pages; `all` unfolds it and prints every reason. */
export function reconciliationLines(
  rows: readonly ReconciliationRow[],
  p: Paint,
  all: boolean,
): string[] {
  if (rows.length === 0) return [];
  const shown = all ? rows : folded(rows);
  const table = tableLines({
    align: ["left", "right", "right", "right"],
    rows: [
      [p.heading("AGAINST /proc (PAGES)"), "ours", "theirs", "residue"],
      ...shown.map((row) => [
        row.unit === "bytes" ? `${row.name} (bytes)` : row.name,
        formatCount(row.ours),
        formatCount(row.theirs),
        signed(row.residue),
      ]),
    ],
  });
  return [table[0], ...shown.flatMap((row, i) => withSource(table[i + 1], row, p, all))];
}

/** The source behind the row where it fits, below it where not. */
function withSource(line: string, row: ReconciliationRow, p: Paint, all: boolean): string[] {
  const fits = textWidth(line) + 2 + textWidth(row.source) <= WIDTH;
  const lines = fits
    ? [`${line}  ${p.dim(row.source)}`]
    : [line, ...wrap(row.source, "    ").map((text) => p.dim(text))];
  const matters = Math.abs(row.residue) > Math.abs(row.theirs) * WORTH_A_REASON;
  if (row.why === undefined || !(matters || (all && row.residue !== 0))) return lines;
  return [...lines, ...wrap(row.why, "    ", "    ").map((text) => p.dim(text))];
}

function signed(residue: number): string {
  return residue > 0 ? `+${formatCount(residue)}` : formatCount(residue);
}

/** Of rows named `…, order N` only the one with the largest residue. */
function folded(rows: readonly ReconciliationRow[]): ReconciliationRow[] {
  const out: ReconciliationRow[] = [];
  const groups = new Map<string, { at: number; count: number }>();
  for (const row of rows) {
    const stem = /^(.*), order \d+$/.exec(row.name)?.[1];
    const group = stem === undefined ? undefined : groups.get(stem);
    if (group === undefined) {
      if (stem !== undefined) groups.set(stem, { at: out.length, count: 1 });
      out.push(row);
      continue;
    }
    group.count++;
    if (Math.abs(row.residue) > Math.abs(out[group.at].residue)) out[group.at] = row;
  }
  for (const { at, count } of groups.values()) {
    if (count > 1) out[at] = { ...out[at], source: `${out[at].source}, worst of ${count}` };
  }
  return out;
}
