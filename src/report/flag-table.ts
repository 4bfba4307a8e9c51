/**
 * Flag totals in the very columns of the kernel's tool `page-types`, so that
 * the outputs of the two can be compared with sort and diff. The lines stand in
 * ascending order of the word (the tool prints them in the order of its hash).
 * Letters and their places are those of tools/mm/page-types.c of Linux 6.12; a
 * bit that the tool does not know (it stops there) has a name but no letter.
 */
import type { FlagTotal } from "../observe/classify/flag-totals.js";
import { hasBit } from "../observe/kpageflags.js";

/** Letter of each bit that has a place in the symbolic column, in its order. */
const LETTERS: readonly (readonly [bit: number, letter: string])[] = [
  ...[..."LERUDlASWIBMasbHTGuXnxtozig"].map((letter, bit) => [bit, letter] as const),
  ...[..."rmdPpOh"].map((letter, i) => [32 + i, letter] as const),
  [40, "f"],
  [41, "H"],
  [47, "d"],
  [48, "I"],
  [50, "A"],
  [51, "E"],
  [61, "F"],
  [62, "w"],
  [63, "1"],
];

const HEAD = "             flags\tpage-count       MB  symbolic-flags\t\t\tlong-symbolic-flags";

/** The table with its heading and total; ends with a newline. */
export function renderFlagTotals(totals: readonly FlagTotal[]): string {
  const lines = totals.map(
    ({ lo, hi, pages, names }) =>
      `0x${hex(hi)}${hex(lo)}\t${figures(pages)}  ${letters(lo, hi)}\t${names.join(",")}`,
  );
  const all = totals.reduce((sum, total) => sum + total.pages, 0);
  return [HEAD, ...lines, `             total\t${figures(all)}`, ""].join("\n");
}

/** Pages in 10 columns, MiB rounded down in 8. */
function figures(pages: number): string {
  return `${String(pages).padStart(10)} ${String(Math.floor(pages / 256)).padStart(8)}`;
}

function letters(lo: number, hi: number): string {
  return LETTERS.map(([bit, letter]) => (hasBit(lo, hi, bit) ? letter : "_")).join("");
}

function hex(half: number): string {
  return half.toString(16).padStart(8, "0");
}
