/**
 * Ring buffers made by hand: format files as a kernel shows them, and sub-buffers with
 * events, so that every kind of header and every damage can be tried.
 */
import { EventBatch } from "../../src/trace/events.js";
import type { FormatFiles } from "../../src/trace/ring/choose-formats.js";
import { openRing, type RingCpu } from "../../src/trace/ring/ring-source.js";
import type { RingStats } from "../../src/trace/ring/stats.js";
import type { ByteReader, EventSource } from "../../src/trace/source.js";

export interface MadeField {
  readonly type: string;
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly signed?: boolean;
}

/** Text of a format file. */
export function formatText(name: string, id: number, fields: readonly MadeField[]): string {
  const line = (f: MadeField): string =>
    `\tfield:${f.type} ${f.name};\toffset:${f.offset};\tsize:${f.size};\tsigned:${f.signed === true ? 1 : 0};\n`;
  const common = [
    { type: "unsigned short", name: "common_type", offset: 0, size: 2 },
    { type: "unsigned char", name: "common_flags", offset: 2, size: 1 },
    { type: "unsigned char", name: "common_preempt_count", offset: 3, size: 1 },
    { type: "int", name: "common_pid", offset: 4, size: 4, signed: true },
  ];
  return `name: ${name}\nID: ${id}\nformat:\n${common.map(line).join("")}\n${fields.map(line).join("")}\nprint fmt: "pfn=0x%lx", REC->pfn\n`;
}

export const FREE_ID = 655;
export const RSS_ID = 646;
export const FAULT_ID = 190;
export const SET_PTE_ID = 715;

const long = "unsigned long";

export const FORMATS: ReadonlyMap<string, string> = new Map([
  [
    "kmem.mm_page_free.format",
    formatText("mm_page_free", FREE_ID, [
      { type: long, name: "pfn", offset: 8, size: 8 },
      { type: "unsigned int", name: "order", offset: 16, size: 4 },
    ]),
  ],
  [
    "kmem.rss_stat.format",
    formatText("rss_stat", RSS_ID, [
      { type: "unsigned int", name: "mm_id", offset: 8, size: 4 },
      { type: "unsigned int", name: "curr", offset: 12, size: 4 },
      { type: "int", name: "member", offset: 16, size: 4, signed: true },
      { type: "long", name: "size", offset: 24, size: 8, signed: true },
    ]),
  ],
  [
    "exceptions.page_fault_user.format",
    formatText("page_fault_user", FAULT_ID, [
      { type: long, name: "address", offset: 8, size: 8 },
      { type: long, name: "ip", offset: 16, size: 8 },
      { type: long, name: "error_code", offset: 24, size: 8 },
    ]),
  ],
  [
    "migrate.set_migration_pte.format",
    formatText("set_migration_pte", SET_PTE_ID, [
      { type: long, name: "addr", offset: 8, size: 8 },
      { type: long, name: "pte", offset: 16, size: 8 },
      { type: "int", name: "order", offset: 24, size: 4, signed: true },
    ]),
  ],
]);

export const filesOf = (files = FORMATS, label = "formats/made"): FormatFiles => ({
  label,
  kernel: null,
  files,
});

/** Bit 31, as the int that it is in the kernel. */
const MISSED = 0x8000_0000 | 0;

/** A sub-buffer that is written to event by event. */
export class MadePage {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  private used = 16;

  constructor(time: bigint, size = 4096) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.view.setBigUint64(0, time, true);
    this.commit(0);
  }

  /** Bytes of data with what stands in the high bits of their number. */
  private commit(flags: number): void {
    this.view.setUint32(8, ((this.used - 16) | flags) >>> 0, true);
    // The kernel adds a negative int to a long.
    this.view.setUint32(12, flags < 0 ? 0xffff_ffff : 0, true);
  }

  word(value: number): this {
    this.view.setUint32(this.used, value >>> 0, true);
    this.used += 4;
    this.commit(0);
    return this;
  }

  /** A head of an event: its type and the time since the one before. */
  head(type: number, delta: number): this {
    return this.word(type + delta * 32);
  }

  /** An event of these bytes, common part written by id and task; length in the type or, `long`, in a word. */
  event(id: number, pid: number, delta: number, words: readonly number[], inWord = false): this {
    const length = words.length + 2;
    if (inWord) this.head(0, delta).word(length * 4 + 4);
    else this.head(length, delta);
    this.word(id).word(pid);
    for (const w of words) this.word(w);
    return this;
  }

  free(pfn: number, order: number, delta: number, pid = 7): this {
    const high = Math.floor(pfn / 2 ** 32);
    return this.event(FREE_ID, pid, delta, [pfn % 2 ** 32, high, order, 0]);
  }

  /** Says that events were lost before this sub-buffer: how many, or only that. */
  missed(count: number | null): this {
    if (count === null) this.commit(MISSED);
    else {
      this.view.setBigUint64(this.used, BigInt(count), true);
      this.commit(MISSED | 0x4000_0000);
    }
    return this;
  }
}

export function joined(...pages: readonly MadePage[]): Uint8Array {
  const out = new Uint8Array(pages.reduce((sum, p) => sum + p.bytes.length, 0));
  let at = 0;
  for (const p of pages) {
    out.set(p.bytes, at);
    at += p.bytes.length;
  }
  return out;
}

/** Bytes in pieces of at most `piece`. */
export function readerOf(bytes: Uint8Array, piece = 1000): ByteReader {
  let at = 0;
  return {
    read: async (most) => {
      const part = bytes.subarray(at, at + Math.min(most, piece));
      at += part.length;
      return part;
    },
  };
}

export const cpuOf = (cpu: number, bytes: Uint8Array, stats: RingStats | null = null): RingCpu => ({
  cpu,
  file: `cpu${cpu}.raw`,
  reader: readerOf(bytes),
  stats,
});

export const openMade = (
  cpus: readonly RingCpu[],
  formats: readonly FormatFiles[] = [filesOf()],
): Promise<EventSource> => openRing({ label: "made", cpus, formats });

export interface Row {
  readonly time: number;
  readonly kind: number;
  readonly cpu: number;
  readonly pid: number;
  readonly x: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/** All rows of a source, read in batches of `capacity`. */
export async function rowsOf(source: EventSource, capacity = 5): Promise<Row[]> {
  const batch = new EventBatch(capacity);
  const rows: Row[] = [];
  while (await source.read(batch)) {
    for (let i = 0; i < batch.length; i++) {
      rows.push({
        time: batch.time[i],
        kind: batch.kind[i],
        cpu: batch.cpu[i],
        pid: batch.pid[i],
        x: batch.x[i],
        a: batch.a[i],
        b: batch.b[i],
        c: batch.c[i],
      });
    }
  }
  return rows;
}
