/**
 * The frame of a trace file: a head of 16 bytes, then sections, each with a head of its
 * own that says what it is, how long, and the sums of its bytes (docs/trace-file.md).
 *
 * A section's head has a sum of itself, so that a length is believed only where it is
 * what was written, and a damaged section is told from a damaged head. All numbers are
 * little-endian.
 */
import { InputError } from "../../observe/input-error.js";
import { crc32 } from "./crc32.js";

/** First bytes: one past ASCII, three letters, and line ends that a text transfer would break. */
export const TRACE_MAGIC = Uint8Array.of(0x89, 0x4d, 0x44, 0x54, 0x0d, 0x0a, 0x1a, 0x0a);
export const TRACE_VERSION = 1;

/** Magic, version, four bytes of 0. */
export const FILE_HEAD = 16;
/** Tag, length, sum of the content, sum of the twelve bytes before. */
export const SECTION_HEAD = 16;
/** The last section has this length, head included: it is found from the end of the file. */
export const TAIL = SECTION_HEAD + 8;

const tag = (text: string): number =>
  text.charCodeAt(0) |
  (text.charCodeAt(1) << 8) |
  (text.charCodeAt(2) << 16) |
  (text.charCodeAt(3) << 24);

/** JSON: what is known before the first event. Comes first. */
export const TAG_HEADER = tag("head");
/** A block of events. */
export const TAG_EVENTS = tag("evts");
/** The state before the first event, and after the last: a time (NaN: not known), a capture as a file has it. */
export const TAG_BEFORE = tag("snpb");
export const TAG_AFTER = tag("snpa");
/** A text by name, packed. */
export const TAG_TEXT = tag("text");
/** JSON, packed: what is known after the last event. */
export const TAG_SUMMARY = tag("summ");
export const TAG_INDEX = tag("indx");
/** Where the index is. Comes last. */
export const TAG_TAIL = tag("tail");

/** A tag for a message; what is no letter is a dot. */
export function tagName(value: number): string {
  let out = "";
  for (let i = 0; i < 32; i += 8) {
    const code = (value >>> i) & 0xff;
    out += code > 0x20 && code < 0x7f ? String.fromCharCode(code) : ".";
  }
  return out;
}

export interface SectionHead {
  readonly tag: number;
  /** Bytes of the content. */
  readonly length: number;
  readonly sum: number;
}

export function fileHead(): Uint8Array {
  const bytes = new Uint8Array(FILE_HEAD);
  bytes.set(TRACE_MAGIC);
  viewOf(bytes).setUint32(8, TRACE_VERSION, true);
  return bytes;
}

/** True where bytes begin as a trace file does. */
export function isTraceFile(head: Uint8Array): boolean {
  return TRACE_MAGIC.every((b, i) => head[i] === b);
}

/** Throws InputError where this is no head of a trace file that this program reads. */
export function checkFileHead(head: Uint8Array, file: string): void {
  if (!isTraceFile(head)) {
    throw new InputError(
      { file, offset: 0 },
      "does not begin as a trace file does",
      "is it a file of this program?",
    );
  }
  if (head.length < FILE_HEAD) {
    throw new InputError(
      { file, offset: head.length },
      `ends inside the head of ${FILE_HEAD} bytes`,
      "the file was cut",
    );
  }
  const version = viewOf(head).getUint32(8, true);
  if (version === TRACE_VERSION) return;
  throw new InputError(
    { file, offset: 8 },
    `trace file version ${version} is not known; this program reads version ${TRACE_VERSION}`,
    version > TRACE_VERSION ? "a newer Memdesc wrote it: update this one" : "the file was changed",
  );
}

/** A section's head and content in one piece; content in several parts. */
export function section(what: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  if (length > 0xffffffff) throw new RangeError(`a section of ${length} bytes`);
  const bytes = new Uint8Array(SECTION_HEAD + length);
  let at = SECTION_HEAD;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  const view = viewOf(bytes);
  view.setInt32(0, what, true);
  view.setUint32(4, length, true);
  view.setUint32(8, crc32(bytes, SECTION_HEAD), true);
  view.setUint32(12, crc32(bytes, 0, 12), true);
  return bytes;
}

/** Reads a section's head of 16 bytes at least; null where its own sum is another. */
export function readSectionHead(bytes: Uint8Array): SectionHead | null {
  const view = viewOf(bytes);
  if (view.getUint32(12, true) !== crc32(bytes, 0, 12)) return null;
  return {
    tag: view.getInt32(0, true),
    length: view.getUint32(4, true),
    sum: view.getUint32(8, true),
  };
}

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
