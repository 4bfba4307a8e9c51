/**
 * `memdesc record -o FILE [-- COMMAND]`: the page events of this machine into a trace
 * file, with its state before and after.
 *
 * The exit code is the recorder's own: 0 where the file is whole, 2 where there is
 * none. What became of the command is said on stderr.
 */
import { cpus, machine, release, totalmem } from "node:os";
import { basename } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import type { TraceOrigin } from "../trace/file/header.js";
import type { Recorded, RecordProgress } from "../trace/record/recording.js";
import { formatBytes, formatCount, parseBytes } from "../units.js";
import { UsageError } from "./fail.js";
import { checkWritable } from "./output.js";
import { RecordLine } from "./record-line.js";

interface RecordFlags {
  readonly output: string;
  readonly for?: number;
  readonly buffer?: number;
  readonly sample?: number;
  readonly state: boolean;
  readonly own: boolean;
}

const INTERRUPTED = 130;
/** Milliseconds beyond which a timer does not go: 24 days. */
const LONGEST = 2 ** 31 - 1;

const EXAMPLES = `
Needs root. Without COMMAND and --for it records until Ctrl-C. With both, COMMAND is
told to end (SIGTERM) when the time is over. The kernel's trace settings are left as
they were; what a killed recording left behind, the next one removes.

Examples:
  $ sudo memdesc record -o build.mdt -- make -j8     a command, from its start to its end
  $ sudo memdesc record -o web.mdt --for 30s         the whole machine, for half a minute
  $ memdesc replay build.mdt                         then, anywhere and without root

Exit codes: 0 recorded (whatever COMMAND's was), 2 could not be done.`;

export function addRecord(program: Command): void {
  program
    .command("record")
    .summary("record the page events of a running workload")
    .description("Records what this machine does with its pages while a command runs.")
    .argument("[command...]", "what to run while recording, after --")
    .requiredOption("-o, --output <file>", "where to write the trace")
    .option("--for <time>", "end after this time: 30s, 5m, 500ms", parseTime)
    .option("--buffer <size>", "ring buffer per CPU (16 MiB, less on small machines)", parseBuffer)
    .option("--sample <time>", "read the flags of young frames so often (100ms)", parseSample)
    .option("--no-state", "leave out the machine's state before and after")
    .option("--no-own", "leave out the recorder's own events (its pages then have none)")
    .addHelpText("after", EXAMPLES)
    .action(async (command: string[], flags: RecordFlags) => {
      await recordCommand(command, flags);
    });
}

async function recordCommand(command: readonly string[], flags: RecordFlags): Promise<void> {
  const { whyNotRecord } = await import("../trace/record/tracefs.node.js");
  const why = whyNotRecord();
  if (why !== null) {
    throw new UsageError(
      `${why}; traces that come with the package replay without it (memdesc replay --list)`,
    );
  }
  checkWritable(flags.output);
  const { record } = await import("../trace/record/record.node.js");
  const { stateOfMachine } = await import("../trace/record/state.node.js");
  const { openTraceWriter } = await import("../trace/file/writer.node.js");
  const line = new RecordLine(process.stderr);
  const say = (text: string): void => line.say(`memdesc: ${text}`);
  const { stop, force, off } = signals(say);
  try {
    const recorded = await record({
      label: basename(flags.output),
      command,
      limit: flags.for ?? null,
      bufferKib: flags.buffer ?? usualBuffer(),
      leaveOutOwn: !flags.own,
      sampleEvery: flags.sample ?? null,
      takeSnapshot: flags.state ? stateOfMachine : null,
      openSink: (about) => openTraceWriter(flags.output, about, originOf(command)),
      stop,
      force,
      onNote: ({ subject, text }) => say(`${subject}: ${text}`),
      onProgress: (progress: RecordProgress) => line.update(progress),
    });
    for (const text of outcome(flags.output, command, recorded)) say(text);
  } finally {
    line.finish();
    off();
  }
}

/** What the file says of machine and workload: nothing that names a person or a place. */
function originOf(command: readonly string[]): TraceOrigin {
  return {
    machine: { machine: machine(), kernel: release(), cpus: String(cpus().length) },
    // Arguments may hold paths and passwords.
    command: command.length === 0 ? null : [basename(command[0])],
    startedMs: Date.now(),
  };
}

/** Ends the recording at the first signal, at once and with its command at the second, without a file at the third. */
function signals(say: (text: string) => void): {
  stop: AbortSignal;
  force: AbortSignal;
  off: () => void;
} {
  const stop = new AbortController();
  const force = new AbortController();
  const heard = (signal: NodeJS.Signals): void => {
    if (!stop.signal.aborted) stop.abort(signal);
    else if (!force.signal.aborted) {
      say("ending at once; once more to leave without a trace file");
      force.abort();
    } else process.exit(INTERRUPTED);
  };
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of names) process.on(name, heard);
  return {
    stop: stop.signal,
    force: force.signal,
    off: () => {
      for (const name of names) process.off(name, heard);
    },
  };
}

/** What there is to say at the end. */
export function outcome(file: string, command: readonly string[], r: Recorded): string[] {
  const rate = r.events / Math.max(r.seconds, 0.001);
  const lines = [
    `${file}: ${formatCount(r.events)} events in ${r.seconds.toFixed(1)} s ` +
      `(${formatCount(rate)}/s), ${lostText(r.lostByCpu)}` +
      `${r.written === null ? "" : `, ${formatBytes(r.written)}`}; ` +
      `recording took ${r.cpuSeconds.toFixed(1)} s of CPU`,
  ];
  if (r.command !== null) {
    const { code, signal } = r.command;
    const how = signal === null ? `exit code ${code}` : signal;
    lines.push(`${command[0]} ended with ${how}${r.cut ? ", after the recording" : ""}`);
  }
  return lines;
}

function lostText(lost: readonly number[]): string {
  const parts = lost.flatMap((n, cpu) => {
    if (n === 0) return [];
    return [`${n < 0 ? "an unknown number" : formatCount(n)} on cpu ${cpu}`];
  });
  return parts.length === 0 ? "none lost" : `lost: ${parts.join(", ")} (give a larger --buffer)`;
}

/** KiB per processor: 16 MiB, but of all memory together not more than a sixteenth. */
function usualBuffer(): number {
  const share = totalmem() / 16 / Math.max(1, cpus().length);
  return Math.max(256, Math.floor(Math.min(16 * 2 ** 20, share) / 1024));
}

function parseTime(value: string): number {
  const m = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(value.trim());
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[m?.[2] ?? "s"] ?? 0;
  const milliseconds = Number(m?.[1] ?? 0) * unit;
  if (milliseconds <= 0 || milliseconds > LONGEST)
    throw new InvalidArgumentError("give a time such as 30s, 5m or 500ms, at most 24 days.");
  return milliseconds;
}

/** Sweeps hand rows on every 40 ms: looking more often than that sees little new. */
function parseSample(value: string): number {
  const milliseconds = parseTime(value);
  if (milliseconds < 20 || milliseconds > 60_000)
    throw new InvalidArgumentError("give a time from 20ms to 60s, such as 100ms.");
  return milliseconds;
}

function parseBuffer(value: string): number {
  const bytes = parseBytes(value) ?? 0;
  if (bytes < 64 * 1024 || bytes > 2 ** 32)
    throw new InvalidArgumentError("give a size from 64 KiB to 4 GiB, such as 16MiB.");
  return Math.ceil(bytes / 1024);
}
