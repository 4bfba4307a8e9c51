/**
 * Rows → a trace file, section by section, to whoever appends bytes.
 *
 * A block is written as soon as it is full, or some time has gone by, so that what there is
 * of a file whose writer was killed can be read. While one block is packed and written the next one fills: one
 * is under way at any time, and whoever writes faster than that waits. The first error
 * is every later call's error too.
 */
import { EventBatch } from "../events.js";
import type { TraceSink, TraceSummary } from "../sink.js";
import type { TraceAbout } from "../source.js";
import { BlockEncoder, blockHeadOf } from "./block-encode.js";
import { BLOCK_ROWS, type BlockHead, writeBlockHead } from "./block-head.js";
import type { TraceCodec } from "./codec.js";
import { headerJson, summaryJson, textJson, type TraceOrigin } from "./header.js";
import {
  fileHead,
  section,
  TAG_AFTER,
  TAG_BEFORE,
  TAG_EVENTS,
  TAG_HEADER,
  TAG_INDEX,
  TAG_SUMMARY,
  TAG_TAIL,
  TAG_TEXT,
  viewOf,
} from "./layout.js";
import { copyRows } from "./rows.js";
import { type BlockPlace, type SectionPlace, writeIndex } from "./trace-index.js";

/**
 * A block is written before it is full once its rows are of so much time (nanoseconds, of
 * the usual clocks) and so many that packing them pays: a killed recorder loses no more.
 */
const BLOCK_SPAN = 2e9;
const LEAST_ROWS = 512;

/** Where a writer's bytes go. */
export interface ByteSink {
  append(bytes: Uint8Array): Promise<void>;
}

export class TraceWriter implements TraceSink {
  /** Bytes appended so far. */
  bytes = 0;
  /** Rows in sections that are written. */
  rows = 0;

  private readonly out: ByteSink;
  private readonly codec: TraceCodec;
  private readonly pending = new EventBatch(BLOCK_ROWS);
  private readonly encoder = new BlockEncoder();
  private readonly blocks: BlockPlace[] = [];
  private readonly others: SectionPlace[] = [];
  /** Everything that was told to be written: one after the other. */
  private underWay: Promise<void> = Promise.resolve();
  private failure: { readonly error: unknown } | null = null;

  constructor(out: ByteSink, codec: TraceCodec) {
    this.out = out;
    this.codec = codec;
  }

  /** The head of the file; before anything else. */
  async begin(about: TraceAbout, origin: TraceOrigin = {}): Promise<void> {
    const json = new TextEncoder().encode(headerJson(about, origin));
    this.queue(async () => {
      await this.append(fileHead());
      await this.other(TAG_HEADER, json);
    });
    await this.settled();
  }

  async write(batch: EventBatch): Promise<void> {
    this.check();
    const { pending } = this;
    for (let from = 0; from < batch.length;) {
      const n = Math.min(batch.length - from, BLOCK_ROWS - pending.length);
      copyRows(batch, from, from + n, pending);
      from += n;
      if (pending.length === BLOCK_ROWS) await this.flush();
    }
    const n = pending.length;
    if (n >= LEAST_ROWS && pending.time[n - 1] - pending.time[0] >= BLOCK_SPAN) await this.flush();
  }

  /** Ends the block that is being filled, so that a file cut here has its rows. */
  async flush(): Promise<void> {
    this.check();
    const { pending, encoder } = this;
    if (pending.length === 0) return;
    // The encoder's bytes are its own until the next block; this one may be still under way then.
    const body = encoder.encode(pending).slice();
    const head = blockHeadOf(pending, body.length);
    pending.length = 0;
    await this.settled();
    this.queue(() => this.block(head, body));
  }

  async snapshot(which: "before" | "after", bytes: Uint8Array, at = NaN): Promise<void> {
    if (which === "after") await this.flush();
    const time = new Uint8Array(8);
    viewOf(time).setFloat64(0, at, true);
    this.queue(() => this.other(which === "before" ? TAG_BEFORE : TAG_AFTER, time, bytes));
    await this.settled();
  }

  /** A text to keep with the trace, by name: what the machine said of itself. */
  async text(name: string, content: string): Promise<void> {
    const json = new TextEncoder().encode(textJson({ name, content }));
    this.queue(() => this.packed(TAG_TEXT, json));
    await this.settled();
  }

  async end(summary: TraceSummary): Promise<void> {
    await this.flush();
    const json = new TextEncoder().encode(summaryJson(summary));
    this.queue(async () => {
      await this.packed(TAG_SUMMARY, json);
      const place = this.bytes;
      await this.append(
        section(TAG_INDEX, writeIndex({ blocks: this.blocks, others: this.others })),
      );
      const tail = new Uint8Array(8);
      viewOf(tail).setFloat64(0, place, true);
      await this.append(section(TAG_TAIL, tail));
    });
    await this.settled();
  }

  /** Waits for what is under way; what was not begun is dropped. */
  async abort(): Promise<void> {
    this.pending.length = 0;
    await this.underWay;
  }

  private queue(work: () => Promise<void>): void {
    this.underWay = this.after(this.underWay, work);
  }

  /** Never rejects: what fails is kept, and what comes after it is not done. */
  private async after(before: Promise<void>, work: () => Promise<void>): Promise<void> {
    await before;
    if (this.failure !== null) return;
    try {
      await work();
    } catch (error) {
      this.failure = { error };
    }
  }

  private async settled(): Promise<void> {
    await this.underWay;
    this.check();
  }

  private check(): void {
    if (this.failure !== null) throw this.failure.error;
  }

  private async block(head: BlockHead, body: Uint8Array): Promise<void> {
    const packed = await this.codec.deflate(body);
    const offset = this.bytes;
    await this.append(section(TAG_EVENTS, writeBlockHead(head), packed));
    this.rows += head.rows;
    this.blocks.push({ offset, first: head.first, last: head.last, rows: head.rows });
  }

  private async packed(tag: number, bytes: Uint8Array): Promise<void> {
    const length = new Uint8Array(4);
    viewOf(length).setUint32(0, bytes.length, true);
    await this.other(tag, length, await this.codec.deflate(bytes));
  }

  private async other(tag: number, ...parts: readonly Uint8Array[]): Promise<void> {
    const offset = this.bytes;
    await this.append(section(tag, ...parts));
    this.others.push({ tag, offset });
  }

  private async append(bytes: Uint8Array): Promise<void> {
    await this.out.append(bytes);
    this.bytes += bytes.length;
  }
}
