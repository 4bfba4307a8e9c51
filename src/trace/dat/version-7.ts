/**
 * trace.dat version 7: sections at any place, found by options, packed or not.
 *
 * Options lie in sections of their own, each with the place of the next; a chain that
 * comes back to where it was is damage.
 *
 * Facts: trace-cmd.dat.v7(5).
 */
import { InputError } from "../../observe/input-error.js";
import { MAX_PIECE, unpackPiece, unpackReason } from "./chunks.js";
import { accessOf, DatCursor } from "./cursor.js";
import type { DatHeader } from "./header.js";
import {
  type DatCpu,
  type DatMeta,
  readCommands,
  readEventFormats,
  readFtraceFormats,
  readHeaders,
  readOption,
} from "./meta.js";

const SECTION_OPTIONS = 0;
const OPTION_DONE = 0;
const OPTION_BUFFER = 3;
const OPTION_HEADERS = 16;
const OPTION_FTRACE_EVENTS = 17;
const OPTION_EVENT_FORMATS = 18;
const OPTION_COMMANDS = 21;
const OPTION_BUFFER_TEXT = 22;
const PACKED = 1;
const MAX_CPUS = 0x10000;
const MAX_BUFFERS = 1000;

interface Section {
  readonly id: number;
  readonly packed: boolean;
  /** The section's own bytes, unpacked. */
  readonly data: DatCursor;
}

/** Reads everything up to the events. Throws InputError. */
export async function readVersion7(
  file: DatCursor,
  label: string,
  header: DatHeader,
  meta: DatMeta,
): Promise<void> {
  if (header.optionsAt === 0)
    throw file.error("no options: the recording did not end", "trace-cmd restore may help");
  const seen = new Set<number>();
  let next = header.optionsAt;
  while (next !== 0) {
    if (seen.has(next)) throw file.error(`options at byte ${next} for the second time`);
    seen.add(next);
    const section = await openSection(file, label, header, next);
    if (section.id !== SECTION_OPTIONS)
      throw file.from(next).error(`section ${section.id} where options belong`);
    next = await readOptions(section.data, file, label, header, meta);
  }
}

/** One section of options; the place of the next. */
async function readOptions(
  options: DatCursor,
  file: DatCursor,
  label: string,
  header: DatHeader,
  meta: DatMeta,
): Promise<number> {
  for (;;) {
    const id = await options.u16("the number of an option");
    const size = await options.u32("the size of an option");
    const data = options.from(options.at);
    options.skip(size, "an option");
    if (id === OPTION_DONE) return size >= 8 ? data.u64("the place of the next options") : 0;
    if (id === OPTION_BUFFER) await readBuffer(data, file, header, meta);
    else if (id === OPTION_BUFFER_TEXT) meta.latency = true;
    else if (id >= OPTION_HEADERS && id <= OPTION_COMMANDS) {
      const at = await data.u64("the place of a section");
      await readSection(id, file, label, header, at, meta);
    } else await readOption(id, data, size, meta);
  }
}

async function readSection(
  id: number,
  file: DatCursor,
  label: string,
  header: DatHeader,
  at: number,
  meta: DatMeta,
): Promise<void> {
  const wanted =
    id === OPTION_HEADERS ||
    id === OPTION_FTRACE_EVENTS ||
    id === OPTION_EVENT_FORMATS ||
    id === OPTION_COMMANDS;
  if (!wanted) return;
  const { data } = await openSection(file, label, header, at);
  if (id === OPTION_HEADERS) await readHeaders(data, meta);
  else if (id === OPTION_FTRACE_EVENTS) await readFtraceFormats(data, meta);
  else if (id === OPTION_EVENT_FORMATS) await readEventFormats(data, meta);
  else await readCommands(data, meta, await data.u64("the size of the command names"));
}

async function openSection(
  file: DatCursor,
  label: string,
  header: DatHeader,
  at: number,
): Promise<Section> {
  const cursor = file.from(at);
  const id = await cursor.u16("the number of a section");
  const packed = ((await cursor.u16("the flags of a section")) & PACKED) !== 0;
  await cursor.u32("the description of a section");
  const size = await cursor.u64("the size of a section");
  if (!packed) return { id, packed, data: cursor };
  const packedSize = await cursor.u32("the packed size of a section");
  const length = await cursor.u32("the size of a section");
  if (packedSize > size || length > MAX_PIECE)
    throw cursor.error(`a section of ${packedSize} bytes, unpacked ${length}`);
  const bytes = await cursor.bytes(packedSize, "a section");
  let unpacked: Uint8Array;
  try {
    unpacked = await unpackPiece(bytes, length, header.packing);
  } catch (error) {
    throw new InputError({ file: label, offset: at }, unpackReason(error));
  }
  const name = `${label}, section at byte ${at}`;
  return { id, packed, data: new DatCursor(accessOf(unpacked), name) };
}

async function readBuffer(
  data: DatCursor,
  file: DatCursor,
  header: DatHeader,
  meta: DatMeta,
): Promise<void> {
  if (meta.buffers.length >= MAX_BUFFERS) throw data.error(`more than ${MAX_BUFFERS} buffers`);
  const at = await data.u64("the place of a buffer");
  const name = await data.string(4096, "the name of a buffer");
  const clock = await data.string(64, "the clock of a buffer");
  await data.u32("the size of a page");
  const count = await data.u32("the number of CPUs");
  if (count > MAX_CPUS) throw data.error(`${count} CPUs`);
  const cpus: DatCpu[] = [];
  for (let i = 0; i < count; i++) {
    const cpu = await data.u32("the number of a CPU");
    if (cpu >= MAX_CPUS) throw data.error(`CPU number ${cpu}`);
    const offset = await data.u64(`the place of cpu ${cpu}'s data`);
    const size = await data.u64(`the size of cpu ${cpu}'s data`);
    cpus.push({ cpu, offset, size });
  }
  if (clock !== "") meta.clock = clock;
  const section = file.from(at);
  await section.u16("the number of a section");
  const packed = ((await section.u16("the flags of a section")) & PACKED) !== 0;
  meta.buffers.push({ name, cpus, packed: packed && header.packing !== "none" });
}
