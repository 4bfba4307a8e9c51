/**
 * The benchmark's page: 80 columns on stdout, what is being done on stderr.
 *
 * Machines are noisy, so every figure is a series: least, median and most are
 * printed, and a target is compared with the median. A target that was not
 * reached is printed as missed and changes nothing else: a benchmark reports,
 * it does not judge. Something that cannot be measured here is named as skipped
 * with the reason.
 */

/** What a figure is compared with: `at least` or `at most` a number, of the figure or of its ratio. */
export interface Target {
  readonly least?: number;
  readonly most?: number;
}

export interface Figure {
  readonly name: string;
  /** The series, in the unit of the heading. */
  readonly values: readonly number[];
  /** The figure over something else, written `1.19x`; the target is then about it. */
  readonly ratio?: number;
  readonly target?: Target;
}

const NAME = 36;
const NUMBER = 8;
const WIDTH = 80;

/** The middle of a series; the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const mid = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[mid] : (sorted[mid - 1] + sorted[mid]) / 2;
}

/** Three digits that matter, never more than two after the point. */
export const short = (n: number): string =>
  Math.abs(n) >= 100 ? n.toFixed(0) : Math.abs(n) >= 10 ? n.toFixed(1) : n.toFixed(2);

function verdict(figure: Figure): string {
  const { target, ratio } = figure;
  const shown = ratio === undefined ? "" : `${ratio.toFixed(2)}x `;
  if (target === undefined) return shown;
  const value = ratio ?? median(figure.values);
  const [sign, mark] = target.least === undefined ? ["<=", target.most] : [">=", target.least];
  if (mark === undefined) return shown;
  const met = sign === "<=" ? value <= mark : value >= mark;
  return `${shown}${sign}${mark} ${met ? "met" : "missed"}`;
}

/** A title, and what the columns are in. */
export function heading(title: string, unit: string): void {
  const left = `\n${title}`;
  console.log(left);
  const columns = ["min", "median", "max"].map((c) => c.padStart(NUMBER)).join("");
  console.log(`${`  ${unit}`.padEnd(NAME)}${columns}`);
}

export function figure(f: Figure): void {
  const numbers = [Math.min(...f.values), median(f.values), Math.max(...f.values)];
  const columns = numbers.map((n) => short(n).padStart(NUMBER)).join("");
  console.log(`  ${f.name.padEnd(NAME - 2)}${columns} ${verdict(f)}`.trimEnd());
}

/** Words under a table, folded at 80 columns. */
export function note(text: string): void {
  let line = " ";
  for (const word of text.split(" ")) {
    if (line.length + word.length + 1 > WIDTH) {
      console.log(line);
      line = " ";
    }
    line += ` ${word}`;
  }
  console.log(line);
}

/** Something that cannot be measured here, and why. */
export const skip = (what: string, why: string): void => note(`skipped: ${what}: ${why}`);

/** What is being done now, on stderr. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${text.slice(0, WIDTH - 1)}`);
  else if (text !== "") process.stderr.write(`bench: ${text}\n`);
}
