/**
 * What stands before the packed bytes of a block of events: enough to seek, to count and
 * to say what was lost without unpacking one.
 */
import { viewOf } from "./layout.js";

/** Most rows of a block. A position in it fits into 16 bits. */
export const BLOCK_ROWS = 65_536;

/** Bytes of the head of a block, within its section. */
export const BLOCK_HEAD = 40;

/**
 * Most bytes that a row can take unpacked: 1 of kind; of processor 2 and 3 more, of a
 * small column 2 and 5, of time and `x` 2 and 8. Then a few per kind.
 */
const ROW_BYTES = 1 + 5 + 4 * 7 + 2 * 10;
const KIND_BYTES = 256 * 5 + 16;

export const maxBody = (rows: number): number => rows * ROW_BYTES + KIND_BYTES;

export interface BlockHead {
  /** Earliest and latest time of its rows; those of the first and last where time never goes back. */
  readonly first: number;
  readonly last: number;
  readonly rows: number;
  /** Bytes once unpacked. */
  readonly body: number;
  /** Rows that say that events were lost, and the sum of their numbers where those are known. */
  readonly lostRows: number;
  readonly lost: number;
}

export function writeBlockHead(head: BlockHead): Uint8Array {
  const bytes = new Uint8Array(BLOCK_HEAD);
  const view = viewOf(bytes);
  view.setFloat64(0, head.first, true);
  view.setFloat64(8, head.last, true);
  view.setUint32(16, head.rows, true);
  view.setUint32(20, head.body, true);
  view.setFloat64(24, head.lost, true);
  view.setUint32(32, head.lostRows, true);
  return bytes;
}

/** Deflate packs no better than 1 : 1032 (RFC 1951: 258 bytes for two bits). */
export const MAX_RATIO = 1032;

/** Why a head cannot be, or the head; `packed` are the bytes that follow it. */
export function readBlockHead(bytes: Uint8Array, packed: number): BlockHead | string {
  const view = viewOf(bytes);
  const head = {
    first: view.getFloat64(0, true),
    last: view.getFloat64(8, true),
    rows: view.getUint32(16, true),
    body: view.getUint32(20, true),
    lost: view.getFloat64(24, true),
    lostRows: view.getUint32(32, true),
  };
  const { rows, body } = head;
  if (rows < 1 || rows > BLOCK_ROWS) return `a block of ${rows} rows`;
  if (body > maxBody(rows) || body > packed * MAX_RATIO)
    return `${packed} bytes cannot unpack to ${body} of ${rows} rows`;
  if (!(head.first <= head.last)) return "a block that ends before it begins";
  if (head.lostRows > rows) return "a block with more losses than rows";
  return head;
}
