/**
 * Lines that are no events: headers, losses, call chains.
 *
 * What a header says of the trace is kept (processors, kernel, events, a buffer that
 * did not keep all); losses become events of their own. They are few, so that here
 * strings and regular expressions may be used.
 *
 * Facts: kernel/trace/trace.c (print_trace_header, test_can_verify…: `CPU:%d [LOST %lu
 * EVENTS]`), trace-cmd 3.1.6 (`cpus=%d`, `CPU:%d [%lld EVENTS DROPPED]`), perf 6.1
 * (`--header`; call chains indented, an address first).
 */
import { HASH, hexDigit, SPACE, TAB, textOf } from "./bytes.js";

export type OtherLine = "blank" | "header" | "lost" | "stack" | "nothing";

/** What headers have said so far. */
export class TextHeaders {
  tracer: string | null = null;
  /** What trace-cmd prints first. */
  traceCmd = false;
  perf = false;
  kernel: string | null = null;
  cpus = 0;
  /** Events that perf's header lists. */
  readonly recorded: string[] = [];
  /** Events that the buffer did not keep until it was printed, −1 if not said. */
  overwritten = -1;

  /** Of the last line that said `lost`: the processor (−1: not said) and how many (−1: not said). */
  lostCpu = -1;
  lostCount = -1;

  /** Looks at a line that is no event. */
  read(buf: Uint8Array, from: number, end: number): OtherLine {
    let i = from;
    while (i < end && (buf[i] === SPACE || buf[i] === TAB)) i++;
    if (i === end) return "blank";
    if (end - i > MOST_HEADER) return isStack(buf, from, i, end) ? "stack" : "nothing";
    if (buf[i] === HASH) {
      this.comment(textOf(buf, i, end));
      return "header";
    }
    const isLost = LOST_START.has(buf[i]) && this.lostLine(textOf(buf, i, end));
    if (isLost) return "lost";
    if (isStack(buf, from, i, end)) return "stack";
    return this.other(textOf(buf, i, end)) ? "header" : "nothing";
  }

  private comment(text: string): void {
    const tracer = /^# tracer: (\S+)/.exec(text);
    if (tracer) this.tracer = tracer[1];
    const entries = /entries-in-buffer\/entries-written: (\d+)\/(\d+)/.exec(text);
    if (entries) this.overwritten = Math.max(0, Number(entries[2]) - Number(entries[1]));
    const processors = /#P:(\d+)/.exec(text) ?? /^# nrcpus (?:online|avail) : (\d+)/.exec(text);
    if (processors) this.sawCpus(Number(processors[1]));
    const release = /^# os release : (\S+)/.exec(text) ?? /latency trace v\S+ on (\S+)/.exec(text);
    if (release) this.kernel = release[1];
    if (/^# (?:captured on|perf version|os release|cmdline) *: /.test(text)) this.perf = true;
    const event = /^# event : name = (\S+?),/.exec(text);
    if (event && this.recorded.length < 256) this.recorded.push(event[1]);
  }

  private other(text: string): boolean {
    const cpus = /^cpus=(\d+)$/.exec(text);
    if (cpus) {
      this.traceCmd = true;
      this.sawCpus(Number(cpus[1]));
      return true;
    }
    // `trace-cmd report --uname`.
    const uname = /^Linux \S+ (\d+\.\d+\S*)/.exec(text);
    if (uname) this.kernel ??= uname[1];
    return uname !== null || /^version = \d+$/.test(text);
  }

  private lostLine(text: string): boolean {
    const kernel = /^CPU:? ?(\d+) ?\[ ?(?:LOST )?(\d+)? ?EVENTS(?: DROPPED| LOST)?\]/i.exec(text);
    const bare = kernel ? null : /^\[ ?(?:LOST )?(\d+)? ?EVENTS(?: DROPPED| LOST)?\]/i.exec(text);
    const found = kernel ?? bare;
    if (!found) return false;
    this.lostCpu = kernel ? Number(kernel[1]) : -1;
    const count = kernel ? kernel[2] : found[1];
    this.lostCount = count === undefined ? -1 : Number(count);
    if (this.lostCpu > 0xffff || this.lostCount > Number.MAX_SAFE_INTEGER) return false;
    return true;
  }

  private sawCpus(n: number): void {
    if (n > 0 && n <= 0x10000) this.cpus = Math.max(this.cpus, n);
  }
}

/** Longer lines are not looked at as text. */
const MOST_HEADER = 4096;
/** `C` and `[`. */
const LOST_START = new Set([67, 99, 91]);

/** A line of a call chain: indented, an address (perf) or `=>` (trace_pipe) first. */
function isStack(buf: Uint8Array, from: number, first: number, end: number): boolean {
  if (first === from) return false;
  if (buf[first] === 61 && buf[first + 1] === 62) return true;
  let i = first;
  while (i < end && hexDigit(buf[i]) >= 0) i++;
  const digits = i - first;
  // perf begins these lines with a tab, and calls what it cannot find 0.
  const fewest = buf[from] === TAB ? 1 : 4;
  return digits >= fewest && digits <= 16 && (i === end || buf[i] === SPACE);
}
