/**
 * Where the sections of a trace file are: what its last section but one says, or what
 * a walk over the sections found.
 *
 * An index: the number of blocks and of other sections; per block its place, earliest and
 * latest time, rows; per other section its tag and place.
 */
import { BLOCK_HEAD, BLOCK_ROWS } from "./block-head.js";
import { FILE_HEAD, SECTION_HEAD, viewOf } from "./layout.js";

export interface BlockPlace {
  /** Byte of its section's head. */
  readonly offset: number;
  readonly first: number;
  readonly last: number;
  readonly rows: number;
}

export interface SectionPlace {
  readonly tag: number;
  readonly offset: number;
}

export interface TraceIndex {
  readonly blocks: readonly BlockPlace[];
  readonly others: readonly SectionPlace[];
}

const COUNTS = 8;
const BLOCK_ENTRY = 32;
const OTHER_ENTRY = 16;

export function writeIndex(index: TraceIndex): Uint8Array {
  const { blocks, others } = index;
  const bytes = new Uint8Array(COUNTS + blocks.length * BLOCK_ENTRY + others.length * OTHER_ENTRY);
  const view = viewOf(bytes);
  view.setUint32(0, blocks.length, true);
  view.setUint32(4, others.length, true);
  let at = COUNTS;
  for (const block of blocks) {
    view.setFloat64(at, block.offset, true);
    view.setFloat64(at + 8, block.first, true);
    view.setFloat64(at + 16, block.last, true);
    view.setUint32(at + 24, block.rows, true);
    at += BLOCK_ENTRY;
  }
  for (const other of others) {
    view.setInt32(at, other.tag, true);
    view.setFloat64(at + 8, other.offset, true);
    at += OTHER_ENTRY;
  }
  return bytes;
}

/** An index whose sections are all before byte `end`; or why it cannot be one. */
export function readIndex(bytes: Uint8Array, end: number): TraceIndex | string {
  if (bytes.length < COUNTS) return "the index is too short";
  const view = viewOf(bytes);
  const n = view.getUint32(0, true);
  const m = view.getUint32(4, true);
  if (COUNTS + n * BLOCK_ENTRY + m * OTHER_ENTRY !== bytes.length)
    return `the index has ${bytes.length} bytes for ${n} blocks and ${m} other sections`;
  const blocks: BlockPlace[] = [];
  const others: SectionPlace[] = [];
  let at = COUNTS;
  let least = FILE_HEAD;
  for (let i = 0; i < n; i++, at += BLOCK_ENTRY) {
    const block = {
      offset: view.getFloat64(at, true),
      first: view.getFloat64(at + 8, true),
      last: view.getFloat64(at + 16, true),
      rows: view.getUint32(at + 24, true),
    };
    const { offset, first, last, rows } = block;
    const room = Number.isSafeInteger(offset) && offset >= least && offset < end;
    if (!room || !(first <= last) || rows < 1 || rows > BLOCK_ROWS)
      return `block ${i} of the index cannot be`;
    least = offset + SECTION_HEAD + BLOCK_HEAD;
    blocks.push(block);
  }
  for (let i = 0; i < m; i++, at += OTHER_ENTRY) {
    const other = { tag: view.getInt32(at, true), offset: view.getFloat64(at + 8, true) };
    if (!Number.isSafeInteger(other.offset) || other.offset < FILE_HEAD || other.offset >= end)
      return `section ${i} of the index cannot be`;
    others.push(other);
  }
  return { blocks, others };
}
