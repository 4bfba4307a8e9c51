/**
 * The arguments of `npm run differential`. Anything that means nothing is
 * refused with one line that says what would.
 */
import { NOT_COMPARED } from "./known.js";
import { OTHER_FACTS, type Ignored } from "./compare.js";
import { PAGE_BITS } from "./observe.js";
import { FEATURES, isOpName, type Feature, type OpName } from "./program.js";

export interface Options {
  /** Seconds to run; Infinity where only programs are limited. */
  readonly seconds: number;
  readonly programs: number;
  readonly seed: number;
  /** Steps of each program. */
  readonly steps: number;
  /** A program to run instead of random ones. */
  readonly replay: string | null;
  readonly features: ReadonlySet<Feature>;
  readonly against: "engine" | "kernel";
  /** Operations that the second subject leaves out, to see that it is noticed. */
  readonly drop: OpName | null;
  readonly cpu: number;
  readonly ignored: Ignored;
  /** Print every step of the replayed program. */
  readonly show: boolean;
}

export class OptionError extends Error {}

export const USAGE = `npm run differential -- [options]: random programs on the live kernel and on the engine

  --seconds N      how long (60; no limit where --programs is given)
  --programs N     how many programs at most
  --seed N         seed of the first program (1); the next ones count up
  --steps N        steps of each program (60)
  --replay FILE    run the program in FILE instead
  --without A,B    leave parts out: ${FEATURES.join(", ")}
  --ignore A,B     facts not to compare (default VmPin,page tables,pool): bits of a page (referenced, lru …), counters (RssAnon …),
                   map count, vmas, file, pool
  --show           with --replay: every step and what it changed, on both
  --against WHAT   engine, or kernel: the live kernel against itself (engine)
  --drop OP        the second subject leaves out operations of this name: a difference must be found
  --cpu N          CPU that the kernel's programs run on (0)

Exit 0: no unexplained difference, or skipped with the reason; 1: differences; 2: bad arguments.`;

const DEFAULT_SECONDS = 60;

/** Reads the arguments; null where help was asked for. Throws OptionError. */
export function readOptions(words: readonly string[]): Options | null {
  if (words.includes("--help") || words.includes("-h")) return null;
  const given = new Map<string, string>();
  for (let i = 0; i < words.length; i++) {
    const [name, inline] = splitWord(words[i]);
    if (words[i] === "--show") {
      given.set("--show", "");
      continue;
    }
    if (!KNOWN.has(name)) throw new OptionError(`there is no option ${words[i]} (see --help)`);
    const value = inline ?? words[++i];
    if (value === undefined) throw new OptionError(`${name} needs a value`);
    given.set(name, value);
  }
  const number = (name: string, least: number, most: number, otherwise: number): number => {
    const text = given.get(name);
    if (text === undefined) return otherwise;
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(value >= least && value <= most))
      throw new OptionError(`${name} takes a whole number from ${least} to ${most}, not "${text}"`);
    return value;
  };
  const unlimited = given.has("--programs") && !given.has("--seconds");
  return {
    seconds: unlimited ? Infinity : number("--seconds", 1, 1e7, DEFAULT_SECONDS),
    programs: number("--programs", 1, 1e9, Infinity),
    seed: number("--seed", 0, 2 ** 32 - 1, 1),
    steps: number("--steps", 1, 10000, 60),
    replay: given.get("--replay") ?? null,
    features: featuresWithout(given.get("--without")),
    against: oneOf("--against", given.get("--against") ?? "engine", ["engine", "kernel"]),
    drop: dropped(given.get("--drop")),
    cpu: number("--cpu", 0, 1023, 0),
    ignored: readIgnored(given.get("--ignore") ?? NOT_COMPARED.map((n) => n.fact).join(",")),
    show: given.has("--show"),
  };
}

const KNOWN = new Set(
  [
    "seconds",
    "programs",
    "seed",
    "steps",
    "replay",
    "without",
    "against",
    "drop",
    "cpu",
    "ignore",
  ].map((name) => `--${name}`),
);

function splitWord(word: string): [name: string, value: string | undefined] {
  const at = word.indexOf("=");
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function featuresWithout(list: string | undefined): ReadonlySet<Feature> {
  const names = (list ?? "").split(",").filter((name) => name !== "");
  for (const name of names) oneOf("--without", name, FEATURES);
  return new Set(FEATURES.filter((feature) => !names.includes(feature)));
}

function readIgnored(list: string | undefined): Ignored {
  const names = (list ?? "").split(",").filter((name) => name !== "");
  for (const name of names) oneOf("--ignore", name, [...Object.keys(PAGE_BITS), ...OTHER_FACTS]);
  const bits = Object.entries(PAGE_BITS).filter(([name]) => names.includes(name));
  return { bits: bits.reduce((mask, [, bit]) => mask | bit, 0), facts: new Set(names) };
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === value);
  if (found === undefined)
    throw new OptionError(`${option} takes ${allowed.join(", ")}, not "${value}"`);
  return found;
}

function dropped(name: string | undefined): OpName | null {
  if (name === undefined) return null;
  if (!isOpName(name)) throw new OptionError(`--drop: there is no operation "${name}"`);
  return name;
}
