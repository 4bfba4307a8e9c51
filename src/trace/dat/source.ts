/**
 * A trace.dat as a source of events: its headers read, the rest is the ring decoder's.
 *
 * A file may hold buffers of several trace instances; one event may be in several of
 * them. The one with most bytes is read, the others are named.
 */
import { EVENTS, type EventBatch } from "../events.js";
import { parseEventFormat } from "../ring/event-format.js";
import { openRing, type RingCpu } from "../ring/ring-source.js";
import type { ByteReader, Damage, EventSource, TraceAbout, TraceNote } from "../source.js";
import { ChunkReader, RegionReader } from "./chunks.js";
import { DatCursor, type RandomAccess } from "./cursor.js";
import { type DatHeader, readDatHeader } from "./header.js";
import { type DatBuffer, DatMeta } from "./meta.js";
import { readVersion6 } from "./version-6.js";
import { readVersion7 } from "./version-7.js";

/** Opens a trace.dat. Throws InputError for what can be told before the first event. */
export async function openDat(
  access: RandomAccess,
  label: string,
  close: () => Promise<void>,
): Promise<EventSource> {
  const cursor = new DatCursor(access, label);
  const header = await readDatHeader(cursor);
  const meta = new DatMeta();
  if (header.version === 6) await readVersion6(cursor, meta);
  else await readVersion7(cursor, label, header, meta);
  const buffer = largest(meta.buffers);
  if (buffer === null || meta.headerPage === null)
    throw cursor.error(
      meta.latency ? "holds text of a latency tracer, no events" : "no buffer of events",
      "record with trace-cmd record -e kmem",
    );
  const notes: TraceNote[] = [];
  const cpus = buffer.cpus
    .filter((c) => c.size > 0)
    .map((c): RingCpu => {
      const file = `${label}, data of cpu ${c.cpu} from byte ${c.offset}`;
      const reader: ByteReader =
        buffer.packed && header.packing !== "none"
          ? new ChunkReader(access, file, c.offset, header.packing)
          : new RegionReader(access, file, c.offset, c.size);
      return { cpu: c.cpu, file, reader, stats: meta.stats.get(c.cpu) ?? null };
    });
  if (cpus.length === 0) throw cursor.error("no processor has an event", "the buffers are empty");
  const ring = await openRing({
    label,
    cpus,
    formats: [{ label, kernel: meta.kernel, files: formatsOf(meta, notes) }],
    commands: meta.commands,
    clock: meta.clock,
    close,
  });
  saysBuffers(meta.buffers, buffer, notes);
  if (meta.shifts.length > 0)
    notes.push({
      subject: "time",
      text: `trace-cmd report moves the times ${meta.shifts.join(" and ")}; here they are as the kernel wrote them`,
    });
  return new DatSource(ring, header, Math.max(meta.cpuCount, ring.about.cpus), notes);
}

function bytesOf(buffer: DatBuffer): number {
  return buffer.cpus.reduce((sum, c) => sum + c.size, 0);
}

function largest(buffers: readonly DatBuffer[]): DatBuffer | null {
  let best: DatBuffer | null = null;
  for (const buffer of buffers) if (best === null || bytesOf(buffer) > bytesOf(best)) best = buffer;
  return best;
}

function saysBuffers(buffers: readonly DatBuffer[], taken: DatBuffer, notes: TraceNote[]): void {
  for (const buffer of buffers) {
    if (buffer === taken || bytesOf(buffer) === 0) continue;
    notes.push({
      subject: "buffers",
      text: `${nameOf(buffer)} (${bytesOf(buffer)} bytes) is not read, ${nameOf(taken)} (${bytesOf(taken)} bytes) is`,
    });
  }
}

function nameOf(buffer: DatBuffer): string {
  return buffer.name === "" ? "the top buffer" : `instance ${JSON.stringify(buffer.name)}`;
}

/** Format files for the ring decoder. One that cannot be read is left out, and said. */
function formatsOf(meta: DatMeta, notes: TraceNote[]): Map<string, string> {
  const files = new Map<string, string>();
  if (meta.headerPage !== null) files.set("header_page", meta.headerPage);
  if (meta.headerEvent !== null && meta.headerEvent !== "")
    files.set("header_event", meta.headerEvent);
  for (const [name, text] of meta.formats) {
    try {
      parseEventFormat(text, name);
      files.set(name, text);
    } catch (error) {
      const [, event] = name.split("/");
      if (EVENTS.some((e) => e.name === event)) throw error;
      notes.push({ subject: name, text: "its format cannot be read" });
    }
  }
  return files;
}

/** The ring's source under the file's name. */
class DatSource implements EventSource {
  readonly about: TraceAbout;
  private readonly ring: EventSource;
  private readonly own: readonly TraceNote[];

  constructor(ring: EventSource, header: DatHeader, cpus: number, notes: readonly TraceNote[]) {
    this.ring = ring;
    this.own = [
      { subject: "trace.dat", text: `version ${header.version}, compression ${header.packing}` },
      ...notes,
    ];
    this.about = { ...ring.about, format: "trace.dat", cpus };
  }

  get commands(): ReadonlyMap<number, string> {
    return this.ring.commands;
  }

  get lost(): readonly number[] {
    return this.ring.lost;
  }

  get others(): ReadonlyMap<string, number> {
    return this.ring.others;
  }

  get notes(): readonly TraceNote[] {
    return [...this.own, ...this.ring.notes];
  }

  get damage(): Damage | null {
    return this.ring.damage;
  }

  read(batch: EventBatch): Promise<boolean> {
    return this.ring.read(batch);
  }

  close(): Promise<void> {
    return this.ring.close();
  }
}
