/**
 * Aligned columns for a terminal of 80 columns.
 *
 * cli-table3 measures and pads (it knows colour codes and wide characters);
 * everything that draws a line is switched off, because a table that is read
 * over ssh, cut with awk and pasted into a mail has no use for boxes. Columns
 * stand two blanks apart, or one where two would not fit into the width.
 */
import Table from "cli-table3";

export type Align = "left" | "right";

/** A cell, or a cell that covers several columns. */
export type Cell = string | { readonly content: string; readonly span: number };

/** Cells of a row, or a line that stands between rows as it is. */
export type Row = readonly Cell[] | string;

export interface TableSpec {
  readonly align: readonly Align[];
  readonly rows: readonly Row[];
}

/** Columns of a terminal that the report is made for. */
export const WIDTH = 80;

/** Printable width of a line, colour codes left out. */
export function textWidth(line: string): number {
  // oxlint-disable-next-line no-control-regex -- ESC is what a colour code starts with
  return [...line.replace(/\u001b\[[0-9;]*m/g, "")].length;
}

/** The table as lines without trailing blanks. */
export function tableLines(spec: TableSpec): string[] {
  const wide = render(spec, "  ");
  const aligned = wide.every((line) => textWidth(line) <= WIDTH) ? wide : render(spec, " ");
  let next = 0;
  return spec.rows.map((row) => (typeof row === "string" ? row : aligned[next++]));
}

const BORDERS = [
  "top",
  "top-mid",
  "top-left",
  "top-right",
  "bottom",
  "bottom-mid",
  "bottom-left",
  "bottom-right",
  "left",
  "left-mid",
  "mid",
  "mid-mid",
  "right",
  "right-mid",
] as const;

function render(spec: TableSpec, gap: string): string[] {
  const table = new Table({
    chars: { ...Object.fromEntries(BORDERS.map((name) => [name, ""])), middle: gap },
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true },
    colAligns: [...spec.align],
  });
  for (const row of spec.rows) {
    if (typeof row === "string") continue;
    table.push(
      row.map((cell) =>
        typeof cell === "string" ? cell : { content: cell.content, colSpan: cell.span },
      ),
    );
  }
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
}

/**
 * Breaks text at blanks into lines of at most `width` columns; the first line
 * starts with `first`, the others with `indent`. A word longer than a line
 * stays whole: a path or a number cut in two is worse than a long line.
 */
export function wrap(text: string, first = "", indent = `${first}  `, width = WIDTH): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of printable(text).split(" ")) {
    if (!empty && textWidth(line) + 1 + textWidth(word) > width) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line];
}

/** Control characters (from a file's name or content) must not move the cursor. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "\ufffd");
}
