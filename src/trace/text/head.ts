/**
 * The head of an event's line: command, task, processor, time, name.
 *
 * Three tools print it, each its own way, and options move things about:
 *
 *     task-17283   [001] d..1.  1111.954252: mm_page_alloc: page=…      trace_pipe
 *     task-17283   (  17283) [001] .....  1111.954252: mm_page_alloc: … with record-tgid
 *     task-17283   [001]  1111.954252: mm_page_alloc:        page=…     trace-cmd report
 *     task-17283     1d..1. 1111954252us+: mm_page_alloc: …             latency-format
 *     task 17283/17283 [001]  1111.954252:  1 kmem:mm_page_alloc: …     perf script
 *
 * A command may hold anything: spaces, brackets, colons, dashes, digits. But it has at
 * most 15 bytes and all three tools right-align it to 16, so that what follows stands in
 * column 16; only where it does not (perf with call chains does not align) the first
 * ` [cpu] ` is looked for that has a task before it and a time behind it.
 *
 * Facts: kernel/trace/trace_output.c (trace_print_context), tools/perf/builtin-script.c,
 * output of trace-cmd 3.1.6 and perf 6.1.
 */
import {
  CLOSE,
  COLON,
  DASH,
  DOT,
  isDigit,
  OPEN,
  PAREN,
  PAREN_END,
  SLASH,
  SPACE,
  TAB,
} from "./bytes.js";

/** What parsing a head left, valid until the next one: no object per line. */
export class LineHead {
  pid = 0;
  cpu = 0;
  /** Nanoseconds, or ticks where {@link ticks}. */
  time = 0;
  /** The clock counts something else than seconds: no fraction was printed. */
  ticks = false;
  /** False where perf was not asked for processors. */
  hasCpu = true;
  commFrom = 0;
  commTo = 0;
  /** The name without its system. */
  nameFrom = 0;
  nameTo = 0;
  /** Where the name begins with its system (`kmem:…`), as perf prints it. */
  fullFrom = 0;
  bodyFrom = 0;
  /** `-` between command and task (trace_pipe, trace-cmd), not a space (perf). */
  dashed = false;
  /** Spaces between the name and the fields: trace-cmd aligns the fields. */
  padding = 0;
  /** A name followed by a colon; false for lines of the function tracer. */
  named = true;

  /** Reads the head of a line; false if it is no line of an event. */
  parse(buf: Uint8Array, from: number, end: number): boolean {
    return (
      this.aligned(buf, from, end) || this.latency(buf, from, end) || this.searched(buf, from, end)
    );
  }

  /** By column 16, as nearly all lines are. */
  aligned(buf: Uint8Array, from: number, end: number): boolean {
    const p = from + 16;
    if (p >= end) return false;
    const sep = buf[p];
    if (sep !== DASH && sep !== SPACE) return false;
    let i = p + 1;
    if (sep === SPACE) while (i < end && buf[i] === SPACE) i++;
    i = this.task(buf, i, end, sep === SPACE);
    if (i < 0) return false;
    i = this.processor(buf, i, end);
    if (i < 0 || !this.rest(buf, i, end)) return false;
    this.dashed = sep === DASH;
    this.hasCpu = true;
    this.command(buf, from, p);
    return true;
  }

  /** The format of latency: by column 8, processor and its state in one word. */
  private latency(buf: Uint8Array, from: number, end: number): boolean {
    const p = from + 8;
    if (p >= end || buf[p] !== DASH) return false;
    let i = this.task(buf, p + 1, end, false);
    if (i < 0) return false;
    const first = i;
    let cpu = 0;
    while (i < end && isDigit(buf[i])) cpu = cpu * 10 + (buf[i++] - 48);
    // A letter, a dot: the state follows without a space.
    if (i === first || i >= end || buf[i] === SPACE || cpu > 0xffff) return false;
    if (!this.rest(buf, i, end)) return false;
    this.cpu = cpu;
    this.hasCpu = true;
    this.dashed = true;
    this.command(buf, from, p);
    return true;
  }

  /** By the first ` [cpu] ` that fits on both sides; without one, perf's form without processors. */
  private searched(buf: Uint8Array, from: number, end: number): boolean {
    for (let open = from + 1; open < end; open++) {
      if (buf[open] !== OPEN) continue;
      const after = this.processor(buf, open, end);
      if (after < 0 || !this.backwards(buf, from, open) || !this.rest(buf, after, end)) continue;
      this.hasCpu = true;
      return true;
    }
    for (let dot = from + 3; dot < end; dot++) {
      if (buf[dot] !== DOT || !isDigit(buf[dot - 1])) continue;
      let i = dot - 1;
      while (i > from && isDigit(buf[i])) i--;
      if (buf[i] !== SPACE || !this.backwards(buf, from, i) || this.dashed) continue;
      if (!this.rest(buf, i, end) || this.ticks) continue;
      this.cpu = 0;
      this.hasCpu = false;
      return true;
    }
    return false;
  }

  /** `123` or `123/124` and the spaces behind; the place after them, −1 if there is none. */
  private task(buf: Uint8Array, at: number, end: number, slash: boolean): number {
    let i = at;
    let pid = 0;
    while (i < end && isDigit(buf[i])) pid = pid * 10 + (buf[i++] - 48);
    if (i === at || i - at > 10) return -1;
    if (slash && i < end && buf[i] === SLASH) {
      const second = i + 1;
      pid = 0;
      for (i = second; i < end && isDigit(buf[i]); i++) pid = pid * 10 + (buf[i] - 48);
      if (i === second || i - second > 10) return -1;
    }
    this.pid = pid;
    const gap = i;
    while (i < end && buf[i] === SPACE) i++;
    if (i === gap) return -1;
    if (i < end && buf[i] === PAREN) {
      while (i < end && buf[i] !== PAREN_END) i++;
      i++;
      while (i < end && buf[i] === SPACE) i++;
    }
    return i;
  }

  /** `[001]`; the place after it, −1 if there is none. */
  private processor(buf: Uint8Array, at: number, end: number): number {
    if (at >= end || buf[at] !== OPEN) return -1;
    let i = at + 1;
    let cpu = 0;
    while (i < end && isDigit(buf[i])) cpu = cpu * 10 + (buf[i++] - 48);
    if (i === at + 1 || i >= end || buf[i] !== CLOSE || cpu > 0xffff) return -1;
    this.cpu = cpu;
    return i + 1;
  }

  /** Task and command before a place, read from the right. */
  private backwards(buf: Uint8Array, from: number, before: number): boolean {
    let i = before;
    while (i > from && buf[i - 1] === SPACE) i--;
    if (i > from && buf[i - 1] === PAREN_END) {
      while (i > from && buf[i - 1] !== PAREN) i--;
      i--;
      while (i > from && buf[i - 1] === SPACE) i--;
    }
    let first = i;
    while (first > from && isDigit(buf[first - 1])) first--;
    if (first === i || i - first > 10 || first <= from) return false;
    let pid = 0;
    for (let j = first; j < i; j++) pid = pid * 10 + (buf[j] - 48);
    if (buf[first - 1] === SLASH) {
      first--;
      while (first > from && isDigit(buf[first - 1])) first--;
      if (first <= from) return false;
    }
    const sep = buf[first - 1];
    if (sep !== DASH && sep !== SPACE) return false;
    this.pid = pid;
    this.dashed = sep === DASH;
    this.command(buf, from, first - 1);
    return true;
  }

  private command(buf: Uint8Array, from: number, to: number): void {
    // What stands further left is not the command: the name of a trace instance.
    let a = Math.max(from, to - 16);
    let b = to;
    while (a < b && buf[a] === SPACE) a++;
    while (b > a && buf[b - 1] === SPACE) b--;
    this.commFrom = a;
    this.commTo = b;
  }

  /** Flags, time, what perf puts before the name, the name. */
  private rest(buf: Uint8Array, at: number, end: number): boolean {
    let i = at;
    while (i < end && buf[i] === SPACE) i++;
    if (i < end && !isDigit(buf[i])) {
      // The state of the processor (`d..1.`): never begins with a digit.
      const flags = i;
      while (i < end && buf[i] !== SPACE) i++;
      if (i - flags > 12) return false;
      while (i < end && buf[i] === SPACE) i++;
    }
    const first = i;
    let seconds = 0;
    while (i < end && isDigit(buf[i])) seconds = seconds * 10 + (buf[i++] - 48);
    if (i === first || i - first > 18 || i >= end) return false;
    if (buf[i] === DOT) {
      const point = ++i;
      let fraction = 0;
      while (i < end && isDigit(buf[i])) fraction = fraction * 10 + (buf[i++] - 48);
      const digits = i - point;
      if (digits === 0 || digits > 9) return false;
      this.time = seconds * 1e9 + fraction * SCALE[digits];
      this.ticks = false;
    } else if (buf[i] === 117 && buf[i + 1] === 115) {
      // `1111954252us+: `, with a mark for how long it is to the next.
      this.time = seconds * 1e3;
      this.ticks = false;
      i += 2;
      while (i < end && i < first + 24 && buf[i] !== COLON) i++;
    } else {
      this.time = seconds;
      this.ticks = true;
    }
    if (i >= end || buf[i] !== COLON) return false;
    return this.name(buf, i + 1, end);
  }

  private name(buf: Uint8Array, at: number, end: number): boolean {
    let i = at;
    for (;;) {
      while (i < end && (buf[i] === SPACE || buf[i] === TAB)) i++;
      if (i >= end) return false;
      // `(+12)` of trace-cmd --ts-diff, a period of perf: neither is a name.
      const word = i;
      const bracketed = buf[i] === PAREN;
      let digits = true;
      while (i < end && buf[i] !== SPACE && buf[i] !== TAB) {
        if (!isDigit(buf[i])) digits = false;
        i++;
      }
      if (bracketed || digits) continue;
      this.fullFrom = word;
      break;
    }
    this.named = buf[i - 1] === COLON;
    this.nameTo = this.named ? i - 1 : i;
    if (this.nameTo === this.fullFrom) return false;
    let colon = this.nameTo - 1;
    while (colon > this.fullFrom && buf[colon] !== COLON) colon--;
    this.nameFrom = colon > this.fullFrom ? colon + 1 : this.fullFrom;
    const gap = i;
    while (i < end && (buf[i] === SPACE || buf[i] === TAB)) i++;
    this.padding = i - gap;
    this.bodyFrom = i;
    return true;
  }
}

/** Nanoseconds of the last digit, by the number of digits behind the point. */
const SCALE = [0, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 100, 10, 1];
