/**
 * The two JSON parts of a trace file: what is known before the first event, and what
 * after the last.
 *
 * Rule 6: they are read field by field and never trusted, even where the sum is right: a
 * wrong type or a number out of range is an InputError by the field's name. Not kept: the
 * label, which may be a path with a user's name. Fields that are not known are passed over.
 */
import { InputError } from "../../observe/input-error.js";
import { EVENT_NAMES } from "../events.js";
import type { TraceSummary } from "../sink.js";
import type { TraceAbout, TraceNote } from "../source.js";

/** Largest JSON that is believed, unpacked: a million command names have 30 MB. */
export const MAX_JSON = 128 * 1024 * 1024;

/** What else may be said of a trace before its first event. */
export interface TraceOrigin {
  /** Facts of the machine by name, such as `machine: x86_64`. */
  readonly machine?: Readonly<Record<string, string>>;
  /** The workload that was traced, as its words. */
  readonly command?: readonly string[] | null;
  /** When it began by the wall clock, in milliseconds since 1970. */
  readonly startedMs?: number | null;
}

export interface TraceHeader {
  /** What the events were read from before they came into this file. */
  readonly from: TraceAbout["format"];
  readonly kernel: string | null;
  readonly clock: string | null;
  readonly cpus: number;
  readonly recorded: readonly string[] | null;
  readonly machine: Readonly<Record<string, string>>;
  readonly command: readonly string[] | null;
  readonly startedMs: number | null;
  /** Names of the events by the kinds that this file may hold. */
  readonly kinds: readonly string[];
}

const FORMATS: readonly TraceAbout["format"][] = [
  "ring",
  "trace_pipe",
  "trace-cmd",
  "perf",
  "trace.dat",
  "mdt",
];
const MAX_CPUS = 65_536;

export function headerJson(about: TraceAbout, origin: TraceOrigin): string {
  const header: TraceHeader = {
    from: about.format,
    kernel: about.kernel,
    clock: about.clock,
    cpus: about.cpus,
    recorded: about.recorded,
    machine: origin.machine ?? {},
    command: origin.command ?? null,
    startedMs: origin.startedMs ?? null,
    kinds: EVENT_NAMES,
  };
  return JSON.stringify(header);
}

export function readHeader(json: string, file: string, offset: number): TraceHeader {
  const at = new Value(parse(json, file, offset), "header", file, offset);
  return {
    from: at.member("from").oneOf(FORMATS),
    kernel: at.member("kernel").orNull((v) => v.text()),
    clock: at.member("clock").orNull((v) => v.text()),
    cpus: at.member("cpus").integer(0, MAX_CPUS),
    recorded: at.member("recorded").orNull((v) => v.list((i) => i.text())),
    machine: Object.fromEntries(at.member("machine").entries((v) => v.text())),
    command: at.member("command").orNull((v) => v.list((i) => i.text())),
    startedMs: at.member("startedMs").orNull((v) => v.integer(0, Number.MAX_SAFE_INTEGER)),
    kinds: at.member("kinds").list((v) => v.text()),
  };
}

export function summaryJson(summary: TraceSummary): string {
  return JSON.stringify({
    lost: summary.lost,
    others: [...summary.others],
    notes: summary.notes.map(({ subject, text }) => ({ subject, text })),
    commands: [...summary.commands],
  });
}

export function readSummary(json: string, file: string, offset: number): TraceSummary {
  const at = new Value(parse(json, file, offset), "summary", file, offset);
  const count = (v: Value): number => v.integer(0, Number.MAX_SAFE_INTEGER);
  return {
    lost: at.member("lost").list((v) => v.integer(-1, Number.MAX_SAFE_INTEGER)),
    others: new Map(at.member("others").list((v) => v.pair((n) => n.text(), count))),
    notes: at.member("notes").list((v): TraceNote => ({
      subject: v.member("subject").text(),
      text: v.member("text").text(),
    })),
    commands: new Map(
      at.member("commands").list((v) =>
        v.pair(
          (n) => n.integer(-(2 ** 31), 2 ** 31 - 1),
          (c) => c.text(),
        ),
      ),
    ),
  };
}

/** A text that was kept with the trace. */
export interface NamedText {
  readonly name: string;
  readonly content: string;
}

export const textJson = ({ name, content }: NamedText): string => JSON.stringify({ name, content });

export function readText(json: string, file: string, offset: number): NamedText {
  const at = new Value(parse(json, file, offset), "text", file, offset);
  return { name: at.member("name").text(), content: at.member("content").text() };
}

function parse(json: string, file: string, offset: number): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new InputError({ file, offset }, "a part that should be JSON is none");
  }
}

/** One value of the JSON with its name, to be read as what it must be. */
class Value {
  private readonly value: unknown;
  private readonly name: string;
  private readonly file: string;
  private readonly offset: number;

  constructor(value: unknown, name: string, file: string, offset: number) {
    this.value = value;
    this.name = name;
    this.file = file;
    this.offset = offset;
  }

  private refuse(what: string): never {
    throw new InputError(
      { file: this.file, offset: this.offset },
      `${this.name} is not ${what}`,
      "the file was not written by this program",
    );
  }

  private within(value: unknown, name: string): Value {
    return new Value(value, `${this.name}${name}`, this.file, this.offset);
  }

  private object(): object {
    const { value } = this;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      this.refuse("an object");
    return value;
  }

  member(name: string): Value {
    const object = this.object();
    const inner: unknown = Object.hasOwn(object, name) ? Reflect.get(object, name) : undefined;
    return this.within(inner, `.${name}`);
  }

  orNull<T>(read: (value: Value) => T): T | null {
    return this.value === null ? null : read(this);
  }

  text(): string {
    const { value } = this;
    if (typeof value !== "string") this.refuse("a text");
    return value;
  }

  oneOf<T extends string>(words: readonly T[]): T {
    const { value } = this;
    const found = words.find((w) => w === value);
    if (found === undefined) this.refuse(`one of ${words.join(", ")}`);
    return found;
  }

  integer(least: number, most: number): number {
    const { value } = this;
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most)
      this.refuse(`an integer from ${least} to ${most}`);
    return value;
  }

  list<T>(read: (value: Value) => T): T[] {
    const { value } = this;
    if (!Array.isArray(value)) this.refuse("a list");
    return value.map((inner: unknown, i) => read(this.within(inner, `[${i}]`)));
  }

  pair<A, B>(first: (value: Value) => A, second: (value: Value) => B): [A, B] {
    const { value } = this;
    if (!Array.isArray(value) || value.length !== 2) this.refuse("a pair");
    return [first(this.within(value[0], "[0]")), second(this.within(value[1], "[1]"))];
  }

  entries<T>(read: (value: Value) => T): [string, T][] {
    const object = this.object();
    return Object.keys(object).map((name) => [
      name,
      read(this.within(Reflect.get(object, name), `.${name}`)),
    ]);
  }
}
