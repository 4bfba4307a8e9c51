/**
 * trace.dat version 6: one thing after the other in a fixed order, nothing compressed.
 *
 * Facts: trace-cmd.dat.v6(5).
 */
import type { DatCursor } from "./cursor.js";
import {
  type DatMeta,
  readCommands,
  readEventFormats,
  readFtraceFormats,
  readHeaders,
  readOption,
  readPlaces,
} from "./meta.js";

const OPTION_BUFFER = 3;
const MAX_CPUS = 0x10000;

interface Instance {
  readonly name: string;
  readonly offset: number;
}

/** Reads everything up to the events; the cursor stands behind the header. Throws InputError. */
export async function readVersion6(cursor: DatCursor, meta: DatMeta): Promise<void> {
  await readHeaders(cursor, meta);
  await readFtraceFormats(cursor, meta);
  await readEventFormats(cursor, meta);
  cursor.skip(await cursor.u32("the size of kallsyms"), "kallsyms");
  cursor.skip(await cursor.u32("the size of printk formats"), "printk formats");
  await readCommands(cursor, meta, await cursor.u64("the size of the command names"));
  const cpus = await cursor.u32("the number of CPUs");
  if (cpus > MAX_CPUS) throw cursor.error(`${cpus} CPUs`);
  meta.cpuCount = cpus;
  const instances: Instance[] = [];
  for (;;) {
    const what = await cursor.string(10, "the name of a section");
    if (what === "options  ") await readOptions(cursor, meta, instances);
    else {
      await readBuffer(cursor, meta, what, "", cpus);
      break;
    }
  }
  for (const { name, offset } of instances) {
    const at = cursor.from(offset);
    await readBuffer(at, meta, await at.string(10, "the name of a section"), name, meta.cpuCount);
  }
}

async function readOptions(cursor: DatCursor, meta: DatMeta, instances: Instance[]): Promise<void> {
  for (;;) {
    const id = await cursor.u16("the number of an option");
    if (id === 0) return;
    const size = await cursor.u32("the size of an option");
    const data = cursor.from(cursor.at);
    cursor.skip(size, "an option");
    if (id !== OPTION_BUFFER) {
      await readOption(id, data, size, meta);
      continue;
    }
    if (instances.length >= 1000) throw cursor.error("more than 1,000 trace instances");
    const offset = await data.u64("the place of a trace instance");
    instances.push({ offset, name: await data.string(4096, "the name of a trace instance") });
  }
}

async function readBuffer(
  cursor: DatCursor,
  meta: DatMeta,
  what: string,
  name: string,
  cpus: number,
): Promise<void> {
  if (what === "latency  ") {
    meta.latency = true;
    return;
  }
  if (what !== "flyrecord") throw cursor.error(`a section ${JSON.stringify(what)}`);
  meta.buffers.push({ name, cpus: await readPlaces(cursor, cpus), packed: false });
}
