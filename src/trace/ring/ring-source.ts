/**
 * The kernel's raw ring buffers, one per processor, as a source of events.
 *
 * Bytes come from readers that are handed in (files, packed or not; anything in a
 * test). Of each processor one sub-buffer is decoded at a time, so that memory does not
 * grow with the trace. The first processor whose bytes end in damage ends the trace
 * where its own rows end: what the others did later cannot be put in order with it.
 */
import type { EventBatch } from "../events.js";
import { InputError } from "../../observe/input-error.js";
import type { ByteReader, Damage, EventSource, TraceAbout, TraceNote } from "../source.js";
import { chooseFormats, type FormatFiles, type FormatSet, readFormats } from "./choose-formats.js";
import { RingLane } from "./lane.js";
import { MERGE_FULL, TimeMerge } from "./merge.js";
import { PageDecoder, RingTally } from "./page-decoder.js";
import type { RingStats } from "./stats.js";

export interface RingCpu {
  readonly cpu: number;
  /** What to call its buffer in a message: `cpu1.raw.zst`. */
  readonly file: string;
  readonly reader: ByteReader;
  /** What the kernel counted (`per_cpu/cpuN/stats`), where that is at hand. */
  readonly stats: RingStats | null;
}

export interface RingInput {
  readonly label: string;
  readonly cpus: readonly RingCpu[];
  /** One set of format files, or several of which one fits. */
  readonly formats: readonly FormatFiles[];
  readonly commands?: ReadonlyMap<number, string>;
  /** The trace clock, where it is said. */
  readonly clock?: string | null;
  readonly close?: () => Promise<void>;
}

/** Opens ring buffers. Throws InputError where no format fits them. */
export async function openRing(input: RingInput): Promise<EventSource> {
  const cpus = [...input.cpus].sort((a, b) => a.cpu - b.cpu);
  if (cpus.length === 0)
    throw new InputError({ file: input.label }, "no ring buffer of a processor");
  const sets = input.formats.map((found) => readFormats(found));
  if (sets.length === 0)
    throw new InputError(
      { file: input.label },
      "no format files",
      "put the kernel's own format files into a folder named formats beside the buffers",
    );
  const pageSize = sets[0].header.dataOffset + sets[0].header.dataSize;
  const lanes = cpus.map((c) => new RingLane(c.file, c.cpu, c.reader, pageSize));
  for (const lane of lanes) await lane.fetch();
  const fitting = sets.filter((s) => sameHeader(s, sets[0]));
  const { set, notes } = chooseFormats(fitting, lanes, input.label);
  return new RingSource(input, cpus, lanes, set, notes);
}

function sameHeader(a: FormatSet, b: FormatSet): boolean {
  return JSON.stringify(a.header) === JSON.stringify(b.header);
}

class RingSource implements EventSource {
  readonly about: TraceAbout;
  readonly commands: ReadonlyMap<number, string>;
  readonly lost: number[];
  readonly others = new Map<string, number>();
  readonly notes: TraceNote[];
  damage: Damage | null = null;

  private readonly input: RingInput;
  private readonly cpus: readonly RingCpu[];
  private readonly lanes: readonly RingLane[];
  private readonly set: FormatSet;
  private readonly tally = new RingTally();
  private readonly decoders: readonly PageDecoder[];
  private readonly merge: TimeMerge;
  private begun = false;
  private over = false;

  constructor(
    input: RingInput,
    cpus: readonly RingCpu[],
    lanes: readonly RingLane[],
    set: FormatSet,
    notes: readonly TraceNote[],
  ) {
    this.input = input;
    this.cpus = cpus;
    this.lanes = lanes;
    this.set = set;
    this.notes = [...notes];
    this.commands = input.commands ?? new Map();
    this.decoders = cpus.map((c) => new PageDecoder(c.cpu, set.header, set.table, this.tally));
    this.merge = new TimeMerge(this.decoders.map((d) => d.block));
    const highest = cpus[cpus.length - 1].cpu;
    this.lost = Array.from({ length: highest + 1 }, () => 0);
    for (const c of cpus) this.lost[c.cpu] = c.stats?.lost ?? 0;
    this.about = {
      label: input.label,
      format: "ring",
      kernel: set.kernel,
      clock: input.clock ?? null,
      cpus: highest + 1,
      recorded: null,
    };
  }

  async read(batch: EventBatch): Promise<boolean> {
    batch.length = 0;
    if (!this.begun) {
      this.begun = true;
      for (let lane = 0; lane < this.lanes.length && !this.over; lane++) await this.refill(lane);
    }
    while (!this.over) {
      const lane = this.merge.take(batch, Infinity);
      if (lane === MERGE_FULL) return true;
      if (lane < 0) this.finish();
      else await this.refill(lane);
    }
    return batch.length > 0;
  }

  async close(): Promise<void> {
    this.over = true;
    await this.input.close?.();
  }

  /** Gives a lane its next rows, or leaves it out of the merge at its end. */
  private async refill(index: number): Promise<void> {
    const lane = this.lanes[index];
    const decoder = this.decoders[index];
    decoder.block.length = 0;
    while (lane.damage === null) {
      if (!lane.hasPage && !(await lane.fetch())) break;
      lane.decode(decoder);
      // A damaged sub-buffer gives its rows first; the next refill ends the trace.
      if (decoder.block.length > 0) {
        this.merge.ready(index);
        return;
      }
    }
    if (lane.damage === null) this.checkCount(index);
    if (lane.damage !== null) {
      this.damage = lane.damage;
      this.finish();
    }
  }

  /** A file cut between two sub-buffers can be told by the kernel's own count only. */
  private checkCount(index: number): void {
    const { stats, file } = this.cpus[index];
    const { events } = this.decoders[index];
    if (stats === null || stats.entries <= events) return;
    const { bytes } = this.lanes[index];
    this.lanes[index].damage = {
      where: `${file}, byte ${bytes}`,
      why: `ends after ${events} events; the kernel counted ${stats.entries}`,
    };
  }

  private finish(): void {
    if (this.over) return;
    this.over = true;
    for (const [i, decoder] of this.decoders.entries()) {
      const { cpu } = this.cpus[i];
      const known = Math.max(decoder.lost, this.lost[cpu]);
      this.lost[cpu] = decoder.lostUnknown && known === 0 ? -1 : known;
      if (decoder.raised > 0) {
        this.notes.push({
          subject: this.cpus[i].file,
          text: `${decoder.raised} events had a time before the one before them, and were given that`,
        });
      }
    }
    for (const [id, n] of this.tally.others.entries()) {
      if (n === 0) continue;
      const name = this.set.table.names.get(id) ?? `event ${id}`;
      this.others.set(name, (this.others.get(name) ?? 0) + n);
    }
  }
}
