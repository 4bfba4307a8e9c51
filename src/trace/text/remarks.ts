/**
 * What is to be said of lines that were not as expected: counted by kind, the first of
 * each named with its line. Memory does not grow with their number.
 */
import { excerpt } from "../../observe/input-error.js";
import { formatCount } from "../../units.js";
import type { TraceNote } from "../source.js";

export type Remark =
  | "noEvent"
  | "noFrame"
  | "noField"
  | "unknownName"
  | "backwards"
  | "ticks"
  | "noCpu"
  | "stack"
  | "lastLine";

interface Count {
  count: number;
  readonly line: number;
  readonly example: string;
}

/** Sentences by kind: how many, the first line, an example. */
const TEXTS: Readonly<
  Record<Remark, readonly [string, (n: string, line: string, example: string) => string]>
> = {
  noEvent: ["lines", (n, line, e) => `${n} no event, the first is line ${line}: ${e}`],
  noFrame: [
    "lines",
    (n, line, e) =>
      `${n} without the frame or number that an event is about, left out; the first is line ${line} (${e})`,
  ],
  noField: [
    "fields",
    (n, line, e) =>
      `${n} without all fields of the event, read as 0; the first is line ${line} (${e})`,
  ],
  unknownName: [
    "names",
    (n, line, e) =>
      `${n} with a flag or result that no table has, its bit left out; the first is line ${line}: ${e}`,
  ],
  backwards: [
    "time",
    (n, line) => `${n} before the time of the line above, raised to it; the first is line ${line}`,
  ],
  ticks: [
    "clock",
    (n, line) =>
      `${n} whose time is no number of seconds but a counter, taken as it is; the first is line ${line}`,
  ],
  noCpu: [
    "processors",
    (n, line) => `${n} without a processor, taken as processor 0; the first is line ${line}`,
  ],
  stack: ["call chains", (n, line) => `${n} of call chains, not read; the first is line ${line}`],
  lastLine: ["last line", (_, line) => `line ${line} has no end of line; it may have been cut`],
};

export class Remarks {
  private readonly counts = new Map<Remark, Count>();

  add(kind: Remark, line: number, example = ""): void {
    const has = this.counts.get(kind);
    if (has !== undefined) has.count++;
    else this.counts.set(kind, { count: 1, line, example });
  }

  notes(): TraceNote[] {
    const out: TraceNote[] = [];
    for (const [kind, { count, line, example }] of this.counts) {
      const [subject, text] = TEXTS[kind];
      const n = count === 1 ? "1 line" : `${formatCount(count)} lines`;
      out.push({
        subject,
        text: text(n, formatCount(line), example === "" ? "" : excerpt(example)),
      });
    }
    return out;
  }
}
