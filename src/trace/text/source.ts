/**
 * Events from text: `trace_pipe`, `trace-cmd report`, `perf script`, whichever it is.
 *
 * The three differ in the head of a line and not in its fields, and one parser reads
 * them all ({@link LineHead}); which it was is told from the first lines. Text is read
 * forwards in a buffer of fixed size, so that its length does not matter.
 *
 * Nothing is dropped silently: events of other kinds are counted by name, lines that
 * are no event are counted and the first is named, so are times that go backwards (they
 * are raised to the time before), names that no table knows and fields that are not
 * there. Bytes that no text has (NUL, control characters in a line that is no event, a
 * line without end) are damage: there reading ends.
 */
import { InputError } from "../../observe/input-error.js";
import { EV_LOST, type EventBatch, type EventKind } from "../events.js";
import type { ByteReader, Damage, EventSource, TraceAbout, TraceNote } from "../source.js";
import { TAB, textOf } from "./bytes.js";
import { EventNames } from "./event-names.js";
import { COLUMN_A, COLUMN_X, LineFields, type TextPlan } from "./fields.js";
import { LineHead } from "./head.js";
import { isOwn, namesOf } from "./kernel-names.js";
import { LineBuffer } from "./line-buffer.js";
import { type OtherLine, TextHeaders } from "./other-lines.js";
import { Remarks } from "./remarks.js";

export interface TextOptions {
  /** The kernel's release, where the caller knows it: text seldom says it. */
  readonly kernel?: string;
}

interface Lost {
  readonly cpu: number;
  readonly count: number;
}

/** Reads text up to its first event. Throws InputError if it has none. */
export async function openTextSource(
  reader: ByteReader,
  label: string,
  close: () => Promise<void>,
  options: TextOptions = {},
): Promise<EventSource> {
  const source = new TextSource(reader, label, close, options);
  await source.begin();
  return source;
}

/** Command names that are kept. */
const MOST_COMMANDS = 2 ** 20;

class TextSource implements EventSource {
  readonly commands = new Map<number, string>();
  readonly lost: number[] = [];
  damage: Damage | null = null;
  private readonly lines: LineBuffer;
  private readonly label: string;
  private readonly closing: () => Promise<void>;
  private readonly givenKernel: string | null;
  private readonly head = new LineHead();
  private readonly fields: LineFields;
  private readonly headers = new TextHeaders();
  private readonly remarks = new Remarks();
  private readonly names = new EventNames();
  private format: "trace_pipe" | "trace-cmd" | "perf" = "trace_pipe";
  private readonly waiting: Lost[] = [];
  private time = 0;
  private lastPid = -1;
  private highestCpu = -1;
  private done = false;

  constructor(reader: ByteReader, label: string, close: () => Promise<void>, options: TextOptions) {
    this.lines = new LineBuffer(reader);
    this.label = label;
    this.closing = close;
    this.givenKernel = options.kernel ?? null;
    this.fields = new LineFields(namesOf(this.givenKernel));
  }

  get about(): TraceAbout {
    const { recorded } = this.headers;
    const ours = recorded.map((name) => name.slice(name.indexOf(":") + 1));
    return {
      label: this.label,
      format: this.format,
      kernel: this.kernel,
      clock: null,
      cpus: Math.max(this.headers.cpus, this.highestCpu + 1, this.lost.length),
      recorded: recorded.length > 0 ? ours.filter((name) => this.names.has(name)) : null,
    };
  }

  get others(): ReadonlyMap<string, number> {
    return this.names.others();
  }

  get notes(): readonly TraceNote[] {
    const said = this.remarks.notes();
    if (this.headers.overwritten > 0)
      said.push({
        subject: "buffer",
        text: `${this.headers.overwritten} older events had been overwritten when the text was printed`,
      });
    if (this.kernel === null)
      said.push({
        subject: "kernel",
        text: `the text does not say which kernel it is of: flags and results are read by the tables of ${namesOf(null).release}`,
      });
    else if (!isOwn(namesOf(this.kernel), this.kernel))
      said.push({
        subject: "kernel",
        text: `flags and results of ${this.kernel} are read by the tables of ${namesOf(this.kernel).release}, the nearest that are known`,
      });
    return said;
  }

  private get kernel(): string | null {
    return this.givenKernel ?? this.headers.kernel;
  }

  /** Looks for the first event and says which form it is; leaves it to be read. */
  async begin(): Promise<void> {
    const { lines, head } = this;
    for (;;) {
      while (lines.next()) {
        if (head.parse(lines.bytes, lines.from, lines.to)) {
          this.recognise();
          this.fields.use(namesOf(this.kernel));
          lines.unread();
          return;
        }
        if (this.otherLine() === "broken") throw this.noEvents(this.damage?.why);
      }
      if (lines.atEnd) throw this.noEvents();
      if (lines.overlong) throw this.noEvents("no end of line in 64 KiB");
      await lines.fill();
    }
  }

  private noEvents(why?: string): InputError {
    return new InputError(
      { file: this.label, line: Math.max(1, this.lines.line) },
      why === undefined ? "no line of this text is an event" : `no event before it: ${why}`,
      "give text of trace_pipe, trace-cmd report or perf script, a trace.dat, or a folder of raw buffers",
    );
  }

  private recognise(): void {
    const { head, headers } = this;
    if (headers.perf || (!head.dashed && headers.tracer === null)) this.format = "perf";
    else if (headers.traceCmd || (headers.tracer === null && head.padding > 1))
      this.format = "trace-cmd";
  }

  async read(batch: EventBatch): Promise<boolean> {
    batch.length = 0;
    if (this.done) return false;
    while (batch.length < batch.capacity) {
      if (this.parse(batch)) continue;
      if (this.done) break;
      if (this.lines.atEnd) {
        this.finish(batch);
        break;
      }
      if (this.lines.overlong) {
        this.broken(this.lines.line + 1, "no end of line in 64 KiB: not text");
        continue;
      }
      await this.fill();
    }
    return batch.length > 0;
  }

  /** Reads on; an error of what is underneath (packing, disk) is damage. */
  private async fill(): Promise<void> {
    try {
      await this.lines.fill();
    } catch (error) {
      const why = error instanceof InputError ? error.reason : String(error);
      this.lines.cut();
      this.damage = { where: `${this.label}, line ${this.lines.line + 1}`, why };
    }
  }

  /** Rows for losses after the last event. */
  private finish(batch: EventBatch): void {
    this.flushLost(batch);
    if (this.waiting.length === 0) this.done = true;
  }

  private flushLost(batch: EventBatch): boolean {
    while (this.waiting.length > 0) {
      if (batch.length === batch.capacity) return false;
      const { cpu, count } = this.waiting[0];
      this.waiting.shift();
      batch.push(this.time, EV_LOST, cpu, 0, count, 0, 0, 0);
    }
    return true;
  }

  /** Takes all whole lines that the batch has room for; true if a batch is full or nothing is left. */
  private parse(batch: EventBatch): boolean {
    const { lines, head } = this;
    const buf = lines.bytes;
    while (batch.length < batch.capacity) {
      if (!lines.next()) return false;
      const { from, to } = lines;
      if (!head.parse(buf, from, to)) {
        if (this.otherLine() === "broken") return false;
        continue;
      }
      if (!head.named && this.unnamedEvent(from, to)) continue;
      const plan = this.names.planOf(buf, head.fullFrom, head.nameFrom, head.nameTo);
      if (plan === null) continue;
      if (this.waiting.length > 0) {
        this.time = Math.max(this.time, head.time);
        if (!this.flushLost(batch) || batch.length === batch.capacity) {
          lines.unread();
          return true;
        }
      }
      this.event(batch, plan);
    }
    return true;
  }

  private event(batch: EventBatch, plan: TextPlan): void {
    const { head, fields, lines } = this;
    const buf = lines.bytes;
    const { spec } = plan;
    fields.read(buf, head.bodyFrom, lines.to, plan);
    const missing = plan.columns & ~fields.found;
    if (missing !== 0 && !this.complete(plan, missing)) return;
    if (lines.unterminated) this.remarks.add("lastLine", lines.line);
    if (fields.unknown !== null) this.remarks.add("unknownName", lines.line, fields.unknown);
    if (head.ticks) this.remarks.add("ticks", lines.line);
    if (!head.hasCpu) this.remarks.add("noCpu", lines.line);
    if (head.cpu > this.highestCpu) this.highestCpu = head.cpu;
    if (head.pid !== this.lastPid) this.command();
    this.raise(head.time);
    batch.push(
      this.time,
      spec.kind as EventKind,
      head.cpu,
      head.pid,
      // The kernel prints frame 0 for an allocation that failed, and gives frame 0 to nobody.
      fields.x === 0 && spec.x?.form === "pfn" ? -1 : fields.x,
      fields.a,
      fields.b,
      fields.c,
    );
  }

  /** Whether an event may do without what is missing; says so, or that it does not count. */
  private complete(plan: TextPlan, missing: number): boolean {
    const { lines } = this;
    if (lines.unterminated) {
      this.cutLine();
      return false;
    }
    // An address may be printed as a symbol; without a frame there is no event of a page.
    const form = plan.spec.x?.form;
    const needed = form === undefined ? COLUMN_A : form === "page" ? 0 : COLUMN_X;
    if ((missing & needed) !== 0) {
      this.remarks.add("noFrame", lines.line, plan.spec.name);
      return false;
    }
    this.remarks.add("noField", lines.line, plan.spec.name);
    return true;
  }

  /** The time of the next row: never before that of the last one. */
  private raise(time: number): void {
    if (time >= this.time) this.time = time;
    else this.remarks.add("backwards", this.lines.line);
  }

  private command(): void {
    const { head, commands } = this;
    const buf = this.lines.bytes;
    this.lastPid = head.pid;
    const has = commands.get(head.pid);
    const n = head.commTo - head.commFrom;
    if (has !== undefined && has.length === n) {
      let i = 0;
      while (i < n && has.charCodeAt(i) === buf[head.commFrom + i]) i++;
      if (i === n) return;
    }
    if (has === undefined && commands.size >= MOST_COMMANDS) return;
    const name = textOf(buf, head.commFrom, head.commTo);
    // `<...>` is what the kernel prints when it has forgotten the name.
    if (name !== "<...>" && name !== "") commands.set(head.pid, name);
  }

  /** Lines of perf about tasks and losses, of the function tracer; true if counted. */
  private unnamedEvent(from: number, to: number): boolean {
    const { head } = this;
    const buf = this.lines.bytes;
    const text = textOf(buf, head.fullFrom, Math.min(to, head.fullFrom + 200));
    const loss = /^PERF_RECORD_LOST(?:_SAMPLES)?\b.*?lost[: ]+(?:samples[: ]+)?(\d+)/.exec(text);
    if (loss) {
      this.lose(head.hasCpu ? head.cpu : 0, Number(loss[1]));
      return true;
    }
    const record = /^PERF_RECORD_[A-Z0-9_]+/.exec(text);
    if (record === null && !text.includes("<-")) {
      this.nothing(from, to);
      return true;
    }
    this.names.count(record === null ? "function" : record[0]);
    return true;
  }

  private otherLine(): OtherLine | "broken" {
    const { lines, headers } = this;
    const what = headers.read(lines.bytes, lines.from, lines.to);
    if (what === "lost") this.lose(headers.lostCpu, headers.lostCount);
    else if (what === "blank" && lines.unterminated) this.cutLine();
    else if (what === "stack") this.remarks.add("stack", lines.line);
    else if (what === "nothing") return this.nothing(lines.from, lines.to) ? what : "broken";
    return what;
  }

  private lose(said: number, count: number): void {
    // Without a processor: that of the event before.
    const cpu = said < 0 ? Math.max(0, this.head.cpu) : said;
    while (this.lost.length <= cpu) this.lost.push(0);
    const before = this.lost[cpu];
    this.lost[cpu] = count < 0 || before < 0 ? -1 : before + count;
    this.waiting.push({ cpu, count });
  }

  /** A line that is none of all that; false if it cannot be text. */
  private nothing(from: number, to: number): boolean {
    const { lines } = this;
    const buf = lines.bytes;
    for (let i = from; i < to; i++)
      if ((buf[i] < 32 && buf[i] !== TAB) || buf[i] === 127) {
        this.broken(
          lines.line,
          `byte 0x${buf[i].toString(16).padStart(2, "0")} in a line: not text`,
        );
        return false;
      }
    if (lines.unterminated) {
      this.cutLine();
      return true;
    }
    this.remarks.add("noEvent", lines.line, textOf(buf, from, Math.min(to, from + 200)));
    return true;
  }

  private cutLine(): void {
    this.damage ??= {
      where: `${this.label}, line ${this.lines.line}`,
      why: "the text ends in the middle of a line",
    };
  }

  private broken(line: number, why: string): void {
    this.damage ??= { where: `${this.label}, line ${line}`, why };
    this.lines.cut();
  }

  close(): Promise<void> {
    this.done = true;
    return this.closing();
  }
}
