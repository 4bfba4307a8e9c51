/**
 * A folder of raw ring buffers → EventSource.
 *
 * `cpuN.raw`, plain or packed (`.zst`, `.gz`), is what the kernel gives as
 * `per_cpu/cpuN/trace_pipe_raw`; `cpuN.stats`, `saved_cmdlines` and `trace_clock` beside
 * it are used where they are. Format files are in `formats/` of the folder itself, or
 * in `../formats/<version>`, of which the one is taken that the events fit.
 * Nothing but regular files is opened.
 */
import { createReadStream, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { unpacked } from "../../observe/files/decompress.node.js";
import { ioReason } from "../../observe/files/io-error.node.js";
import { readWhole } from "../../observe/files/read-file.node.js";
import { InputError } from "../../observe/input-error.js";
import type { ByteReader, EventSource } from "../source.js";
import type { FormatFiles } from "./choose-formats.js";
import { MAX_FORMAT } from "./event-format.js";
import { openRing, type RingCpu } from "./ring-source.js";
import { parseRingStats, type RingStats } from "./stats.js";

const RAW = /^cpu(\d{1,5})\.raw(?:\.zst|\.gz)?$/;
/** Most format files of one kernel that are looked at; a kernel has about 2,500 events. */
const MAX_FORMATS = 20_000;
const MAX_COMMANDS = 16 * 1024 * 1024;

/** Opens a folder of ring buffers. Throws InputError. */
export async function openRingFolder(path: string): Promise<EventSource> {
  const files = names(path).filter((name) => RAW.test(name));
  if (files.length === 0) {
    throw new InputError(
      { file: path },
      "a folder without cpu0.raw",
      "give a folder of copied trace_pipe_raw files",
    );
  }
  const cpus: RingCpu[] = [];
  const readers: FileReader[] = [];
  for (const file of files) {
    const cpu = Number(RAW.exec(file)?.[1]);
    if (cpus.some((c) => c.cpu === cpu))
      throw new InputError(
        { file: join(path, file) },
        `a second buffer of cpu ${cpu}`,
        "leave one",
      );
    const reader = new FileReader(join(path, file));
    readers.push(reader);
    cpus.push({ cpu, file, reader, stats: statsOf(path, cpu) });
  }
  const close = async (): Promise<void> => {
    await Promise.all(readers.map((r) => r.close()));
  };
  try {
    return await openRing({
      label: basename(path) === "" ? path : basename(path),
      cpus,
      formats: formatsFor(path),
      commands: commandsOf(path),
      clock: clockOf(path),
      close,
    });
  } catch (error) {
    await close();
    throw error;
  }
}

/** Unpacked bytes of a file, in pieces of any size. */
class FileReader implements ByteReader {
  private readonly path: string;
  private pieces: AsyncGenerator<Uint8Array> | null = null;
  private piece: Uint8Array = new Uint8Array(0);

  constructor(path: string) {
    this.path = path;
    if (!isFile(path)) throw new InputError({ file: path }, "not a regular file");
  }

  async read(most: number): Promise<Uint8Array> {
    this.pieces ??= unpacked(fileBytes(this.path), this.path, Number.MAX_SAFE_INTEGER);
    while (this.piece.length === 0) {
      const next = await this.pieces.next();
      if (next.done === true) return this.piece;
      this.piece = next.value;
    }
    const part = this.piece.subarray(0, most);
    this.piece = this.piece.subarray(part.length);
    return part;
  }

  async close(): Promise<void> {
    await this.pieces?.return(undefined);
  }
}

async function* fileBytes(path: string): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(path, { highWaterMark: 128 * 1024 });
  try {
    for await (const piece of stream) yield piece as Uint8Array;
  } catch (error) {
    throw new InputError({ file: path }, ioReason(error));
  } finally {
    stream.destroy();
  }
}

function formatsFor(path: string): FormatFiles[] {
  const own = formatFiles(join(path, "formats"), "formats", null);
  if (own !== null) return [own];
  const beside = join(path, "..", "formats");
  const sets: FormatFiles[] = [];
  for (const version of names(beside)) {
    const kernel = /^\d+\.\d+/.test(version) ? version : null;
    const set = formatFiles(join(beside, version), `formats/${version}`, kernel);
    if (set !== null) sets.push(set);
  }
  return sets;
}

/** All format files of a folder, flat (`kmem.mm_page_alloc.format`) or as in the kernel's tree. */
function formatFiles(folder: string, label: string, kernel: string | null): FormatFiles | null {
  const files = new Map<string, string>();
  const add = (name: string): void => {
    if (files.size >= MAX_FORMATS) return;
    const bytes = readWhole(join(folder, name), MAX_FORMAT);
    files.set(name, new TextDecoder().decode(bytes));
  };
  for (const name of names(folder)) {
    if (isFile(join(folder, name))) {
      if (name === "header_page" || name === "header_event" || /^[^.]+\.[^.]/.test(name)) add(name);
      continue;
    }
    for (const event of names(join(folder, name))) {
      if (isFile(join(folder, name, event, "format"))) add(`${name}/${event}/format`);
    }
  }
  return files.size > 0 ? { label, kernel, files } : null;
}

function statsOf(path: string, cpu: number): RingStats | null {
  const text = smallText(join(path, `cpu${cpu}.stats`));
  return text === null ? null : parseRingStats(text);
}

/** `saved_cmdlines`: a task and its command a line. */
function commandsOf(path: string): Map<number, string> {
  const commands = new Map<number, string>();
  const text = smallText(join(path, "saved_cmdlines")) ?? "";
  for (const m of text.matchAll(/^\s*(\d{1,10}) (.+)$/gm)) commands.set(Number(m[1]), m[2]);
  return commands;
}

/** `trace_clock`: the one in brackets of several, or just its name. */
function clockOf(path: string): string | null {
  const text = smallText(join(path, "trace_clock"));
  if (text === null) return null;
  return /\[([\w-]+)\]/.exec(text)?.[1] ?? /^\s*([\w-]+)\s*$/.exec(text)?.[1] ?? null;
}

function smallText(path: string): string | null {
  if (!isFile(path)) return null;
  return new TextDecoder().decode(readWhole(path, MAX_COMMANDS));
}

function isFile(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  } catch {
    return false;
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
