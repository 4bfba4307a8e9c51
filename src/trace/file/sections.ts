/**
 * Finding and fetching the sections of a trace file: by its index where that is whole,
 * by a walk from section to section where not.
 *
 * No length is believed before it was compared with the file's, and nothing is unpacked
 * to more than its section may hold; so that bytes of any kind end in a fault and never
 * in a crash or an absurd allocation.
 */
import { InputError } from "../../observe/input-error.js";
import { BLOCK_HEAD, BLOCK_ROWS, maxBody, MAX_RATIO, readBlockHead } from "./block-head.js";
import type { TraceCodec } from "./codec.js";
import { crc32 } from "./crc32.js";
import { MAX_JSON } from "./header.js";
import {
  FILE_HEAD,
  readSectionHead,
  SECTION_HEAD,
  type SectionHead,
  TAG_EVENTS,
  TAG_INDEX,
  TAG_TAIL,
  TAIL,
  tagName,
  viewOf,
} from "./layout.js";
import { type BlockPlace, readIndex, type SectionPlace, type TraceIndex } from "./trace-index.js";

/** A file of known size, read anywhere. */
export interface RandomAccess {
  readonly size: number;
  /** Bytes from `offset` on: `length` of them, or fewer at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Why a section cannot be read, and where. */
export class SectionFault extends Error {
  override readonly name = "SectionFault";
  readonly offset: number;

  constructor(offset: number, why: string) {
    super(why);
    this.offset = offset;
  }
}

/** Largest section that is taken into memory whole; a capture of 16 TiB stays far below. */
const MAX_SECTION = 1024 * 1024 * 1024;
/** Deflate adds a few bytes to what does not pack. */
const MAX_BLOCK = BLOCK_HEAD + 1024 + 1.01 * maxBody(BLOCK_ROWS);

/** The head at `offset`, of a section that ends within the file. Throws SectionFault. */
async function headAt(file: RandomAccess, offset: number): Promise<SectionHead> {
  const bytes = await file.read(offset, SECTION_HEAD);
  if (bytes.length < SECTION_HEAD)
    throw new SectionFault(offset + bytes.length, "ends inside the head of a section");
  return checkedHead(bytes, offset, file.size);
}

function checkedHead(bytes: Uint8Array, offset: number, size: number): SectionHead {
  const head = readSectionHead(bytes);
  if (head === null)
    throw new SectionFault(offset, "the head of a section is not what its sum says");
  const room = size - offset - SECTION_HEAD;
  if (head.length > room) {
    throw new SectionFault(
      size,
      `ends ${room} bytes into section ${tagName(head.tag)} of ${head.length}`,
    );
  }
  return head;
}

/** The content of the section at `offset`, its sum compared. Throws SectionFault. */
export async function contentAt(
  file: RandomAccess,
  offset: number,
  tag: number,
): Promise<Uint8Array> {
  const head = await headAt(file, offset);
  if (head.tag !== tag)
    throw new SectionFault(offset, `section ${tagName(head.tag)} where ${tagName(tag)} should be`);
  if (head.length > (tag === TAG_EVENTS ? MAX_BLOCK : MAX_SECTION))
    throw new SectionFault(offset, `section ${tagName(tag)} cannot have ${head.length} bytes`);
  const start = offset + SECTION_HEAD;
  const content = await file.read(start, head.length);
  if (content.length < head.length)
    throw new SectionFault(start + content.length, `ends inside section ${tagName(tag)}`);
  if (crc32(content) !== head.sum)
    throw new SectionFault(start, `section ${tagName(tag)} is not what its sum says`);
  return content;
}

/** The JSON of a packed section: its length once unpacked, then the packed bytes. */
export async function unpackedText(
  content: Uint8Array,
  codec: TraceCodec,
  offset: number,
): Promise<string> {
  if (content.length < 4) throw new SectionFault(offset, "a packed section is too short");
  const length = viewOf(content).getUint32(0, true);
  const packed = content.subarray(4);
  if (length > MAX_JSON || length > packed.length * MAX_RATIO)
    throw new SectionFault(offset, `${packed.length} bytes cannot unpack to ${length}`);
  return new TextDecoder().decode(await unpack(packed, length, codec, offset));
}

/** Unpacks to exactly `length` bytes. Throws SectionFault. */
export async function unpack(
  packed: Uint8Array,
  length: number,
  codec: TraceCodec,
  offset: number,
): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = await codec.inflate(packed, length);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SectionFault(offset, `cannot be unpacked: ${why}`);
  }
  if (bytes.length !== length)
    throw new SectionFault(offset, `unpacks to ${bytes.length} bytes, its head says ${length}`);
  return bytes;
}

/** The index that the end of the file points to; null where there is none that can be used. */
export async function indexAtEnd(file: RandomAccess): Promise<TraceIndex | null> {
  const tailAt = file.size - TAIL;
  if (tailAt < FILE_HEAD) return null;
  try {
    const place = viewOf(await contentAt(file, tailAt, TAG_TAIL)).getFloat64(0, true);
    if (!Number.isSafeInteger(place) || place < FILE_HEAD || place >= tailAt) return null;
    const content = await contentAt(file, place, TAG_INDEX);
    if (place + SECTION_HEAD + content.length !== tailAt) return null;
    const index = readIndex(content, place);
    return typeof index === "string" ? null : index;
  } catch (error) {
    if (error instanceof SectionFault) return null;
    throw error;
  }
}

/** What a walk over the sections found, and why it ended before the file's end, if so. */
export interface Walked extends TraceIndex {
  readonly fault: SectionFault | null;
}

/** Goes from section to section, without unpacking any. */
export async function walk(file: RandomAccess): Promise<Walked> {
  const blocks: BlockPlace[] = [];
  const others: SectionPlace[] = [];
  let offset = FILE_HEAD;
  try {
    for (;;) {
      if (offset >= file.size) {
        const why = "ends without an index: it was cut, or its writer was killed";
        throw new SectionFault(file.size, why);
      }
      const bytes = await file.read(offset, SECTION_HEAD + BLOCK_HEAD);
      if (bytes.length < SECTION_HEAD)
        throw new SectionFault(offset + bytes.length, "ends inside the head of a section");
      const head = checkedHead(bytes, offset, file.size);
      const next = offset + SECTION_HEAD + head.length;
      if (head.tag === TAG_EVENTS) blocks.push(blockAt(bytes, head, offset));
      else others.push({ tag: head.tag, offset });
      if (head.tag === TAG_TAIL) {
        // The end is there and could not be used: its index is damaged, or more follows it.
        const why =
          next < file.size
            ? `${file.size - next} bytes follow the end of the trace`
            : "the index is damaged";
        throw new SectionFault(next < file.size ? next : offset, why);
      }
      offset = next;
    }
  } catch (error) {
    if (error instanceof SectionFault) return { blocks, others, fault: error };
    throw error;
  }
}

function blockAt(bytes: Uint8Array, head: SectionHead, offset: number): BlockPlace {
  const start = offset + SECTION_HEAD;
  if (head.length < BLOCK_HEAD || bytes.length < SECTION_HEAD + BLOCK_HEAD)
    throw new SectionFault(start, "a block of events is too short");
  const block = readBlockHead(bytes.subarray(SECTION_HEAD), head.length - BLOCK_HEAD);
  if (typeof block === "string") throw new SectionFault(start, block);
  return { offset, first: block.first, last: block.last, rows: block.rows };
}

/** A fault as the error of a file that cannot be opened at all. */
export function asInputError(error: unknown, file: string): unknown {
  if (!(error instanceof SectionFault)) return error;
  return new InputError({ file, offset: error.offset }, error.message);
}
