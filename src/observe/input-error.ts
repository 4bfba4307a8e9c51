/**
 * The one error that reading a source throws.
 *
 * Rule 6: what comes from outside is validated at the border, and a refusal
 * names the file, the place in it, the reason and what to do. Everything in
 * `observe` that meets bad input throws this and nothing else, so that the
 * command line can print one line and leave with exit code 2.
 */

/** Where in a file: a byte offset, or a line counted from 1, or neither. */
export interface InputPlace {
  readonly file: string;
  /** Byte offset into the (unpacked) file. */
  readonly offset?: number;
  /** Line, counted from 1. */
  readonly line?: number;
}

export class InputError extends Error {
  override readonly name = "InputError";
  readonly file: string;
  readonly offset: number | null;
  readonly line: number | null;
  /** Why it is refused, without file and place. */
  readonly reason: string;
  /** What to do about it; empty where there is nothing to advise. */
  readonly hint: string;

  constructor(place: InputPlace, reason: string, hint = "") {
    const where =
      place.offset !== undefined
        ? `${place.file}: byte ${place.offset}`
        : place.line !== undefined
          ? `${place.file}: line ${place.line}`
          : place.file;
    const text = `${where}: ${reason}${hint === "" ? "" : ` (${hint})`}`;
    super(oneLine(text));
    this.file = oneLine(place.file);
    this.offset = place.offset ?? null;
    this.line = place.line ?? null;
    this.reason = oneLine(reason);
    this.hint = oneLine(hint);
  }
}

/**
 * Text from outside made fit for one line of a terminal: control characters
 * become spaces, so that a file's name or content can neither break the line
 * nor move the cursor.
 */
function oneLine(text: string): string {
  let out = "";
  for (const ch of text) {
    const code = ch.codePointAt(0) ?? 0;
    out += code < 0x20 || (code >= 0x7f && code < 0xa0) ? " " : ch;
  }
  return out;
}

/** A piece of foreign text, quoted and cut, for use inside a reason. */
export function excerpt(text: string, most = 40): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return JSON.stringify(cut);
}
