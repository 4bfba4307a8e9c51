/**
 * Programs as text: one step a line, as a person would note it, and back.
 *
 *     p0 mmap address=a+3p length=4p prot=rw flags=private|fixed|anonymous file=none offset=0
 *
 * An address is relative to an arena (`a+3p`, `b+512p+8`) or a number; `4p+100`
 * is four pages and 100 bytes. Empty lines and lines from `#` on are comments.
 * What is printed is read back as the same program.
 */
import * as k from "./constants.js";
import {
  ARENAS,
  FILES,
  OPS,
  PAGE,
  argsOf,
  isOp,
  isOpName,
  type Kind,
  type Op,
  type Program,
} from "./program.js";

/** A program text that cannot be read: what, where, why. */
export class ProgramTextError extends Error {
  readonly line: number;
  constructor(line: number, why: string) {
    super(`line ${line}: ${why}`);
    this.name = "ProgramTextError";
    this.line = line;
  }
}

/** The program, a line for each step, with its seed as a comment. */
export function printProgram(program: Program): string {
  const head = program.seed === null ? [] : [`# seed ${program.seed}`];
  return [...head, ...program.steps.map(printOp), ""].join("\n");
}

/** One step as a line, without a line end. */
export function printOp(op: Op): string {
  const args = argsOf(op).map(([name, kind, value]) => `${name}=${printValue(kind, value)}`);
  return [`p${op.process}`, op.op, ...args].join(" ");
}

/** Reads a program. Throws ProgramTextError naming the line. */
export function parseProgram(text: string): Program {
  const steps: Op[] = [];
  let seed: number | null = null;
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const given = /^#\s*seed (\d+)\s*$/.exec(raw);
    if (given !== null) seed = Number(given[1]);
    const line = raw.replace(/#.*$/, "").trim();
    if (line !== "") steps.push(parseOp(line, i + 1));
  }
  if (seed !== null && !Number.isSafeInteger(seed)) seed = null;
  return { seed, steps };
}

function parseOp(line: string, at: number): Op {
  const [who, name, ...words] = line.split(/\s+/);
  const process = /^p(\d+)$/.exec(who)?.[1];
  if (process === undefined) throw new ProgramTextError(at, `"${who}" is not a process like p0`);
  if (name === undefined || !isOpName(name))
    throw new ProgramTextError(
      at,
      `"${name ?? ""}" is not an operation: ${Object.keys(OPS).join()}`,
    );
  const kinds: Readonly<Record<string, Kind>> = OPS[name].args;
  const values: Record<string, number> = {};
  for (const word of words) {
    const [, key = "", value = ""] = /^([^=]*)=(.*)$/.exec(word) ?? [];
    if (!Object.hasOwn(kinds, key))
      throw new ProgramTextError(at, `"${word}" is not an argument of ${name}`);
    const read = parseValue(kinds[key], value);
    if (read === null) throw new ProgramTextError(at, `"${value}" is no ${kinds[key]} (${key})`);
    values[key] = read;
  }
  const missing = Object.keys(kinds).filter((key) => !Object.hasOwn(values, key));
  if (missing.length > 0) throw new ProgramTextError(at, `${name} needs ${missing.join(", ")}`);
  const op: object = { op: name, process: Number(process), ...values };
  if (!isOp(op)) throw new ProgramTextError(at, "a number is too large");
  return op;
}

const BITS: Readonly<Partial<Record<Kind, k.Names>>> = {
  prot: k.PROT_NAMES,
  mapFlags: k.MAP_NAMES,
  remapFlags: k.MREMAP_NAMES,
  syncFlags: k.MS_NAMES,
  punchMode: k.FALLOC_NAMES,
};

function printValue(kind: Kind, value: number): string {
  const names = BITS[kind];
  if (names !== undefined) return printBits(names, value, kind === "prot" ? "" : "|");
  if (kind === "address") return printAddress(value);
  if (kind === "bytes") return printBytes(value);
  if (kind === "file") return FILES[value]?.name ?? (value === -1 ? "none" : String(value));
  if (kind === "process") return `p${value}`;
  if (kind !== "advice") return String(value);
  return Object.entries(k.MADV_NAMES).find(([, n]) => n === value)?.[0] ?? String(value);
}

function parseValue(kind: Kind, text: string): number | null {
  const names = BITS[kind];
  if (names !== undefined) return parseBits(names, text, kind === "prot");
  if (kind === "address") return parseAddress(text);
  if (kind === "bytes") return parseBytes(text);
  if (kind === "file") {
    const file = FILES.findIndex((f) => f.name === text);
    return file >= 0 ? file : text === "none" ? -1 : parseNumber(text);
  }
  if (kind === "process") return text.startsWith("p") ? parseNumber(text.slice(1)) : null;
  if (kind === "advice" && Object.hasOwn(k.MADV_NAMES, text)) return k.MADV_NAMES[text];
  return parseNumber(text);
}

function parseNumber(text: string): number | null {
  const value = /^-?(\d+|0x[0-9a-f]+)$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(value) ? value : null;
}

/** `rw`, `private|fixed`, with what has no name as a number; `none` for 0. */
function printBits(names: k.Names, value: number, separator: string): string {
  const found = Object.entries(names).filter(([, bit]) => value & bit);
  const rest = value & ~found.reduce((all, [, bit]) => all | bit, 0);
  const named = found.map(([name]) => name).join(separator);
  const unnamed = rest === 0 ? [] : [`0x${(rest >>> 0).toString(16)}`];
  return [...(named === "" ? [] : [named]), ...unnamed].join("|") || "none";
}

function parseBits(names: k.Names, text: string, letters: boolean): number | null {
  let value = 0;
  for (const part of text.split("|")) {
    if (part === "none") continue;
    const known = part.startsWith("0x") || !letters ? [part] : [...part];
    for (const name of known) {
      const bit = Object.hasOwn(names, name) ? names[name] : parseNumber(name);
      if (bit === null) return null;
      value |= bit;
    }
  }
  return value;
}

function printBytes(value: number): string {
  const pages = Math.floor(value / PAGE);
  if (value < PAGE || !Number.isSafeInteger(pages * PAGE)) return String(value);
  return value % PAGE === 0 ? `${pages}p` : `${pages}p+${value % PAGE}`;
}

function parseBytes(text: string): number | null {
  const [, pages, rest] = /^(\d+)p(?:\+(\d+))?$/.exec(text) ?? [];
  if (pages === undefined) return parseNumber(text);
  const value = Number(pages) * PAGE + Number(rest ?? 0);
  return Number.isSafeInteger(value) ? value : null;
}

function printAddress(value: number): string {
  for (const { name, start, pages } of ARENAS) {
    if (value >= start && value < start + pages * PAGE) {
      const at = value - start;
      const rest = at % PAGE === 0 ? "" : `+${at % PAGE}`;
      return `${name}+${Math.floor(at / PAGE)}p${rest}`;
    }
  }
  return value < 0 ? String(value) : `0x${value.toString(16)}`;
}

function parseAddress(text: string): number | null {
  const [, name, bytes] = /^([a-z])\+(.+)$/.exec(text) ?? [];
  const arena = ARENAS.find((a) => a.name === name);
  const offset = arena === undefined ? null : parseBytes(bytes);
  return arena === undefined || offset === null ? parseNumber(text) : arena.start + offset;
}
