/**
 * What a trace.dat says before its events: formats, command names, buffers, options;
 * the same things in versions 6 and 7, gathered into one record.
 *
 * The names are bounded: what a file claims of its sizes is held against the file's
 * own size and against what the kernel can give.
 */
import type { RingStats } from "../ring/stats.js";
import { parseRingStats } from "../ring/stats.js";
import type { DatCursor } from "./cursor.js";

/** Bytes of one processor's events, as they lie in the file. */
export interface DatCpu {
  readonly cpu: number;
  readonly offset: number;
  readonly size: number;
}

/** The events of one trace instance; `""` is the top one. */
export interface DatBuffer {
  readonly name: string;
  readonly cpus: readonly DatCpu[];
  /** Version 7: in compressed chunks. */
  readonly packed: boolean;
}

export class DatMeta {
  headerPage: string | null = null;
  headerEvent: string | null = null;
  /** Format files by `<system>/<event>/format`. */
  readonly formats = new Map<string, string>();
  readonly commands = new Map<number, string>();
  readonly buffers: DatBuffer[] = [];
  kernel: string | null = null;
  clock: string | null = null;
  readonly stats = new Map<number, RingStats>();
  /** Things that move the times when trace-cmd prints them. */
  readonly shifts: string[] = [];
  /** Buffers in text (`latency`), which have no events to be read. */
  latency = false;
  cpuCount = 0;
}

/** The kernel gives a page of text at most. */
const MAX_FORMAT = 64 * 1024;
const MAX_SYSTEMS = 10_000;
const MAX_EVENTS = 100_000;
const MAX_COMMANDS = 64 * 1024 * 1024;

const OPTION_DATE = 1;
const OPTION_CPUSTAT = 2;
const OPTION_TRACECLOCK = 4;
const OPTION_UNAME = 5;
const OPTION_OFFSET = 7;
const OPTION_CPUCOUNT = 8;
const OPTION_TIME_SHIFT = 12;
const OPTION_TSC2NSEC = 14;

/** `header_page` and `header_event`, each with its name before it. */
export async function readHeaders(cursor: DatCursor, meta: DatMeta): Promise<void> {
  for (const name of ["header_page", "header_event"] as const) {
    const said = await cursor.string(32, name);
    if (said !== name) throw cursor.error(`${JSON.stringify(said)} where ${name} belongs`);
    const text = await cursor.text(await formatSize(cursor, name), name);
    if (name === "header_page") meta.headerPage = text;
    else meta.headerEvent = text;
  }
}

async function formatSize(cursor: DatCursor, what: string): Promise<number> {
  const size = await cursor.u64(`the size of ${what}`);
  if (size > MAX_FORMAT) throw cursor.error(`${what} of ${size} bytes`);
  return size;
}

/** Formats of the tracer's own events. */
export async function readFtraceFormats(cursor: DatCursor, meta: DatMeta): Promise<void> {
  const count = await cursor.u32("the number of ftrace events");
  if (count > MAX_EVENTS) throw cursor.error(`${count} ftrace events`);
  for (let i = 0; i < count; i++) await readFormat(cursor, meta, "ftrace");
}

/** Formats of all systems. */
export async function readEventFormats(cursor: DatCursor, meta: DatMeta): Promise<void> {
  const systems = await cursor.u32("the number of event systems");
  if (systems > MAX_SYSTEMS) throw cursor.error(`${systems} event systems`);
  for (let i = 0; i < systems; i++) {
    const system = await cursor.string(256, "the name of an event system");
    const count = await cursor.u32(`the number of events of ${system}`);
    if (count > MAX_EVENTS) throw cursor.error(`${count} events of ${system}`);
    for (let j = 0; j < count; j++) await readFormat(cursor, meta, system);
  }
}

async function readFormat(cursor: DatCursor, meta: DatMeta, system: string): Promise<void> {
  const what = `an event format of ${system}`;
  const text = await cursor.text(await formatSize(cursor, what), what);
  const name = /^name:\s*(\S+)/m.exec(text)?.[1];
  if (name !== undefined) meta.formats.set(`${system}/${name}/format`, text);
}

/** `pid name` lines. */
export async function readCommands(cursor: DatCursor, meta: DatMeta, size: number): Promise<void> {
  if (size > MAX_COMMANDS) throw cursor.error(`command names of ${size} bytes`);
  const text = await cursor.text(size, "the command names");
  for (const m of text.matchAll(/^\s*(\d{1,10}) (.+)$/gm)) {
    const name = m[2];
    if (name !== "<...>") meta.commands.set(Number(m[1]), name);
  }
}

/** An option that means the same in both versions. */
export async function readOption(
  id: number,
  data: DatCursor,
  size: number,
  meta: DatMeta,
): Promise<void> {
  switch (id) {
    case OPTION_CPUSTAT:
      readStats(await optionText(data, size), meta);
      break;
    case OPTION_TRACECLOCK:
      meta.clock = /\[([\w-]+)\]/.exec(await optionText(data, size))?.[1] ?? meta.clock;
      break;
    case OPTION_UNAME:
      meta.kernel = /^\S+ \S+ (\d\S*)/.exec(await optionText(data, size))?.[1] ?? meta.kernel;
      break;
    case OPTION_CPUCOUNT:
      if (size >= 4) meta.cpuCount = Math.min(0x10000, await data.u32("the number of CPUs"));
      break;
    case OPTION_DATE:
      meta.shifts.push("to the time of day");
      break;
    case OPTION_OFFSET:
      meta.shifts.push("by a fixed offset");
      break;
    case OPTION_TIME_SHIFT:
      meta.shifts.push("to the clock of a host");
      break;
    case OPTION_TSC2NSEC:
      meta.shifts.push("from ticks of the TSC to nanoseconds");
      break;
    default:
  }
}

/** An option's text without the NUL byte at its end. */
async function optionText(data: DatCursor, size: number): Promise<string> {
  if (size > MAX_FORMAT) return "";
  const text = await data.text(size, "an option");
  const nul = text.indexOf("\0");
  return nul < 0 ? text : text.slice(0, nul);
}

/** What the kernel counted at the recording's begin and end: the most that was lost. */
function readStats(text: string, meta: DatMeta): void {
  const cpu = /^CPU: (\d{1,5})$/m.exec(text)?.[1];
  const stats = parseRingStats(text);
  if (cpu === undefined || stats === null) return;
  const before = meta.stats.get(Number(cpu));
  // Entries are not those of the file: trace-cmd reads on after it counted.
  meta.stats.set(Number(cpu), {
    ...stats,
    entries: 0,
    bytes: 0,
    lost: Math.max(stats.lost, before?.lost ?? 0),
  });
}

/** Offsets and sizes per processor, as version 6 has them. */
export async function readPlaces(cursor: DatCursor, cpus: number): Promise<DatCpu[]> {
  const out: DatCpu[] = [];
  for (let cpu = 0; cpu < cpus; cpu++) {
    const offset = await cursor.u64(`the place of cpu ${cpu}'s data`);
    const size = await cursor.u64(`the size of cpu ${cpu}'s data`);
    out.push({ cpu, offset, size });
  }
  return out;
}
