/**
 * What the parsers of /proc's text files share: lines with numbers, and
 * numbers that are really numbers.
 *
 * Rule 6: a text file is never trusted. A count is decimal digits and no more
 * than 2^53 − 1; anything else is an {@link InputError} naming file and line.
 */
import { excerpt, InputError } from "../input-error.js";

/** Longest text file that is read: the largest real one (vmallocinfo) is far below. */
export const MAX_TEXT = 64 * 1024 * 1024;

/** Lines of a text, without the empty one after the last newline. */
export function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.length > 0 && lines[lines.length - 1] === "") lines.pop();
  return lines;
}

/** A non-negative decimal integer below 2^53, or an InputError. `line` from 1. */
export function parseCount(
  token: string | undefined,
  what: string,
  file: string,
  line: number,
): number {
  if (token === undefined || !/^\d{1,20}$/.test(token)) {
    throw new InputError({ file, line }, `${what} should be a count, is ${excerpt(token ?? "")}`);
  }
  const n = Number(token);
  if (!Number.isSafeInteger(n))
    throw new InputError({ file, line }, `${what} ${token} is beyond 2^53`);
  return n;
}

/** The words of a line. */
export function wordsOf(line: string): string[] {
  const trimmed = line.trim();
  return trimmed === "" ? [] : trimmed.split(/\s+/);
}
