/**
 * A trace file as a source of events, over anything that can be read at any place.
 *
 * Memory is that of two blocks, however long the trace: one is fetched and unpacked while
 * the rows of the one before are used. Damage in the middle ends the rows where it is;
 * what stands after it and can be found by the index (the state after, names, counts) is
 * there nevertheless. A file without its end is read up to where it was cut.
 */
import { InputError } from "../../observe/input-error.js";
import { EV_LOST, EventBatch } from "../events.js";
import type { Damage, EventSource, TraceAbout, TraceNote } from "../source.js";
import type { TraceSummary } from "../sink.js";
import { BlockDecoder } from "./block-decode.js";
import { BLOCK_HEAD, type BlockHead, BLOCK_ROWS, readBlockHead } from "./block-head.js";
import type { TraceCodec } from "./codec.js";
import { readHeader, readSummary, readText, type TraceHeader } from "./header.js";
import {
  checkFileHead,
  FILE_HEAD,
  SECTION_HEAD,
  TAG_AFTER,
  TAG_BEFORE,
  TAG_EVENTS,
  TAG_HEADER,
  TAG_SUMMARY,
  TAG_TEXT,
  viewOf,
} from "./layout.js";
import { BlockFault } from "./numbers.js";
import { copyRows } from "./rows.js";
import {
  asInputError,
  contentAt,
  indexAtEnd,
  type RandomAccess,
  SectionFault,
  unpack,
  unpackedText,
  walk,
} from "./sections.js";
import type { BlockPlace, SectionPlace } from "./trace-index.js";

/** Bytes of captures as they were given to the writer. */
export interface StoredSnapshots {
  readonly before: Uint8Array | null;
  readonly after: Uint8Array | null;
}

export interface TraceFile extends EventSource {
  readonly header: TraceHeader;
  readonly snapshots: StoredSnapshots;
  /** When they were taken, by the trace's clock; null where that was not said. */
  readonly beforeAt: number | null;
  readonly afterAt: number | null;
  /** Texts by name that were kept with the trace. */
  readonly texts: ReadonlyMap<string, string>;
  /** False where the file has no end that can be used, and was walked. */
  readonly indexed: boolean;
  /** Rows of all blocks that can be found. */
  readonly rows: number;
  /** Time of the first row, and from it to the last; 0 without rows. */
  readonly firstTime: number;
  readonly durationNs: number;
  /** The next rows are those from this time on. */
  seek(time: number): void;
}

/** Opens a trace file. Throws InputError where it is none, or one of another version. */
export async function openTraceBytes(
  file: RandomAccess,
  label: string,
  codec: TraceCodec,
  close: () => Promise<void> = () => Promise.resolve(),
): Promise<TraceFile> {
  checkFileHead(await file.read(0, FILE_HEAD), label);
  let header: TraceHeader;
  try {
    const json = await contentAt(file, FILE_HEAD, TAG_HEADER);
    header = readHeader(new TextDecoder().decode(json), label, FILE_HEAD);
  } catch (error) {
    throw asInputError(error, label);
  }
  const index = await indexAtEnd(file);
  const found = index === null ? await walk(file) : { ...index, fault: null };
  const source = new FileSource({ file, label, codec, close, header }, found.blocks);
  source.endsWith(found.fault);
  source.indexed = index !== null;
  await source.load(found.others);
  return source;
}

interface Opened {
  readonly file: RandomAccess;
  readonly label: string;
  readonly codec: TraceCodec;
  readonly close: () => Promise<void>;
  readonly header: TraceHeader;
}

interface Loaded {
  readonly head: BlockHead;
  readonly body: Uint8Array;
}

class FileSource implements TraceFile {
  readonly about: TraceAbout;
  readonly header: TraceHeader;
  readonly snapshots: { before: Uint8Array | null; after: Uint8Array | null } = {
    before: null,
    after: null,
  };
  beforeAt: number | null = null;
  afterAt: number | null = null;
  readonly texts = new Map<string, string>();
  indexed = true;
  readonly rows: number;
  readonly firstTime: number;
  readonly durationNs: number;
  commands: ReadonlyMap<number, string> = new Map();
  lost: number[] = [];
  readonly others = new Map<string, number>();
  readonly notes: TraceNote[] = [];
  damage: Damage | null = null;

  private readonly opened: Opened;
  private readonly blocks: readonly BlockPlace[];
  private readonly decoder = new BlockDecoder();
  private summary: TraceSummary | null = null;
  /** What ends the rows after the last block. */
  private fault: SectionFault | null = null;
  private next = 0;
  /** Block `next`, when it is under way already. */
  private ahead: Promise<Loaded | SectionFault> | null = null;
  /** Rows that did not fit into a batch. */
  private held: EventBatch | null = null;
  private heldAt = 0;
  private notBefore = -Infinity;
  private over = false;

  constructor(opened: Opened, blocks: readonly BlockPlace[]) {
    const { header, label } = opened;
    this.opened = opened;
    this.header = header;
    this.blocks = blocks;
    this.about = {
      label,
      format: "mdt",
      kernel: header.kernel,
      clock: header.clock,
      cpus: header.cpus,
      recorded: header.recorded,
    };
    let rows = 0;
    for (const block of blocks) rows += block.rows;
    this.rows = rows;
    this.firstTime = blocks.length > 0 ? blocks[0].first : 0;
    this.durationNs = blocks.length > 0 ? blocks[blocks.length - 1].last - this.firstTime : 0;
  }

  endsWith(fault: SectionFault | null): void {
    this.fault = fault;
  }

  /** Takes in what is beside the events; what is damaged of it is said and left out. */
  async load(places: readonly SectionPlace[]): Promise<void> {
    for (const place of places) {
      try {
        await this.loadOne(place);
      } catch (error) {
        if (error instanceof SectionFault) this.damaged(error.offset, error.message);
        else if (error instanceof InputError)
          this.damaged(error.offset ?? place.offset, error.reason);
        else throw error;
      }
    }
    if (this.summary === null) return;
    this.commands = this.summary.commands;
    this.lost = [...this.summary.lost];
    for (const [name, n] of this.summary.others) this.others.set(name, n);
    this.notes.push(...this.summary.notes);
  }

  private async loadOne({ tag, offset }: SectionPlace): Promise<void> {
    const { file, codec, label } = this.opened;
    const start = offset + SECTION_HEAD;
    switch (tag) {
      case TAG_BEFORE:
      case TAG_AFTER: {
        const content = await contentAt(file, offset, tag);
        if (content.length < 8) throw new SectionFault(start, "a snapshot is too short");
        const at = viewOf(content).getFloat64(0, true);
        const known = Number.isFinite(at) ? at : null;
        if (tag === TAG_BEFORE) {
          this.snapshots.before = content.subarray(8);
          this.beforeAt = known;
        } else {
          this.snapshots.after = content.subarray(8);
          this.afterAt = known;
        }
        break;
      }
      case TAG_TEXT: {
        const json = await unpackedText(await contentAt(file, offset, tag), codec, start);
        const { name, content } = readText(json, label, start);
        this.texts.set(name, content);
        break;
      }
      case TAG_SUMMARY: {
        const json = await unpackedText(await contentAt(file, offset, tag), codec, start);
        this.summary = readSummary(json, label, start);
        break;
      }
      default:
      // The header was read; a section that a later version added is passed over.
    }
  }

  async read(batch: EventBatch): Promise<boolean> {
    batch.length = 0;
    while (!this.over) {
      if (this.held !== null && this.heldAt < this.held.length) {
        const n = Math.min(batch.capacity, this.held.length - this.heldAt);
        copyRows(this.held, this.heldAt, this.heldAt + n, batch);
        this.heldAt += n;
        return true;
      }
      if (this.next === this.blocks.length) {
        this.finish(this.fault);
        break;
      }
      const loaded = await (this.ahead ?? this.fetch(this.next));
      const place = this.blocks[this.next++];
      this.ahead = this.next < this.blocks.length ? this.fetch(this.next) : null;
      if (loaded instanceof SectionFault) {
        this.finish(loaded);
        break;
      }
      if (this.decode(loaded, place, batch) && batch.length > 0) return true;
    }
    return false;
  }

  /** Rows of a block, into the batch where they fit and none is to be left out, else to be held. */
  private decode({ head, body }: Loaded, place: BlockPlace, batch: EventBatch): boolean {
    const straight = batch.capacity >= head.rows && this.notBefore === -Infinity;
    if (!straight) this.held ??= new EventBatch(BLOCK_ROWS);
    const into = straight ? batch : (this.held ?? batch);
    try {
      this.decoder.decode(body, head.rows, head.first, into);
      checkTimes(into, head);
    } catch (error) {
      if (!(error instanceof BlockFault)) throw error;
      into.length = 0;
      this.heldAt = 0;
      this.finish(new SectionFault(place.offset, `a block of events cannot be: ${error.message}`));
      return false;
    }
    if (head.lostRows > 0 && this.summary === null) this.countLost(into);
    if (straight) return true;
    this.heldAt = firstNotBefore(into, this.notBefore);
    if (this.heldAt < into.length) this.notBefore = -Infinity;
    return false;
  }

  private async fetch(i: number): Promise<Loaded | SectionFault> {
    const { file, codec } = this.opened;
    const { offset, rows } = this.blocks[i];
    const start = offset + SECTION_HEAD;
    try {
      const content = await contentAt(file, offset, TAG_EVENTS);
      if (content.length < BLOCK_HEAD)
        throw new SectionFault(start, "a block of events is too short");
      const head = readBlockHead(content, content.length - BLOCK_HEAD);
      if (typeof head === "string") throw new SectionFault(start, head);
      if (head.rows !== rows)
        throw new SectionFault(start, `a block of ${head.rows} rows where the index says ${rows}`);
      const body = await unpack(content.subarray(BLOCK_HEAD), head.body, codec, start);
      return { head, body };
    } catch (error) {
      if (error instanceof SectionFault) return error;
      return new SectionFault(offset, error instanceof Error ? error.message : String(error));
    }
  }

  seek(time: number): void {
    const { blocks } = this;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (blocks[mid].last < time) low = mid + 1;
      else high = mid;
    }
    this.next = low;
    this.ahead = null;
    this.held = null;
    this.notBefore = time;
    this.over = false;
  }

  async close(): Promise<void> {
    this.over = true;
    await this.ahead;
    this.ahead = null;
    await this.opened.close();
  }

  private finish(fault: SectionFault | null): void {
    this.over = true;
    if (fault !== null) this.damaged(fault.offset, fault.message);
    const { unknown } = this.decoder;
    for (let kind = 0; kind < unknown.length; kind++) {
      const count = unknown[kind];
      if (count === 0) continue;
      const name = this.header.kinds[kind] ?? "";
      this.others.set(name === "" ? `event kind ${kind}` : name, count);
    }
  }

  private damaged(offset: number, why: string): void {
    this.damage ??= { where: `${this.opened.label}, byte ${offset}`, why };
  }

  /** Without a summary, as the rows say. */
  private countLost(batch: EventBatch): void {
    for (let i = 0; i < batch.length; i++) {
      if (batch.kind[i] !== EV_LOST) continue;
      const cpu = batch.cpu[i];
      while (this.lost.length <= cpu) this.lost.push(0);
      const { [cpu]: before } = this.lost;
      const n = batch.x[i];
      if (n > 0) this.lost[cpu] = Math.max(0, before) + n;
      else if (before === 0) this.lost[cpu] = -1;
    }
  }
}

/** Times must be what the head says they are: whoever seeks relied on it. */
function checkTimes({ time, length }: EventBatch, { first, last }: BlockHead): void {
  for (let i = 0; i < length; i++) {
    const t = time[i];
    if (!(t >= first && t <= last)) throw new BlockFault("a time outside of its block");
  }
}

function firstNotBefore({ time, length }: EventBatch, least: number): number {
  let i = 0;
  while (i < length && time[i] < least) i++;
  return i;
}
