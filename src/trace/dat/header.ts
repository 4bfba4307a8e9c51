/**
 * The first bytes of a trace.dat: what it is, and of which machine.
 *
 * Versions 6 (plain) and 7 (sections, compressed) are read; both begin alike. Little
 * endian only: the ring decoder behind it reads no other.
 *
 * Facts: trace-cmd.dat.v6(5), trace-cmd.dat.v7(5); files of trace-cmd 3.1.6.
 */
import type { DatCursor } from "./cursor.js";

const MAGIC = [0x17, 0x08, 0x44, 0x74, 0x72, 0x61, 0x63, 0x69, 0x6e, 0x67];

/** Whether these are the first bytes of a trace.dat. */
export function isTraceDat(head: Uint8Array): boolean {
  return head.length >= MAGIC.length && MAGIC.every((b, i) => head[i] === b);
}

export interface DatHeader {
  readonly version: 6 | 7;
  /** Bytes of a long of that machine: 8, or 4. */
  readonly longSize: number;
  readonly pageSize: number;
  /** How sections are packed; version 6 packs nothing. */
  readonly packing: "none" | "zstd" | "zlib";
  /** Where version 7 has its first options; 0 in version 6. */
  readonly optionsAt: number;
}

/** Reads the beginning; the cursor is behind it then. Throws InputError. */
export async function readDatHeader(cursor: DatCursor): Promise<DatHeader> {
  await cursor.bytes(MAGIC.length, "the magic number");
  const text = await cursor.string(16, "the version");
  const version = Number(text);
  if (version !== 6 && version !== 7)
    throw cursor.error(
      `version ${JSON.stringify(text)} of trace.dat`,
      "versions 6 and 7 are read",
      MAGIC.length,
    );
  const [endian, longSize] = await cursor.bytes(2, "the byte order");
  if (endian !== 0)
    throw cursor.error(
      endian === 1 ? "a trace of a big-endian machine" : `byte order ${endian}`,
      "only little-endian traces are read; convert it to text with trace-cmd report",
      cursor.at - 2,
    );
  if (longSize !== 8 && longSize !== 4) throw cursor.error(`longs of ${longSize} bytes`);
  const pageSize = await cursor.u32("the size of a page");
  if (pageSize < 1024 || pageSize > 64 * 65_536 || pageSize % 4 !== 0)
    throw cursor.error(`pages of ${pageSize} bytes`);
  if (version === 6) return { version, longSize, pageSize, packing: "none", optionsAt: 0 };
  const packingAt = cursor.at;
  const packing = await cursor.string(64, "the name of the compression");
  await cursor.string(64, "the version of the compression");
  const optionsAt = await cursor.u64("the place of the options");
  if (packing !== "none" && packing !== "zstd" && packing !== "zlib" && packing !== "")
    throw cursor.error(
      `compressed with ${JSON.stringify(packing)}`,
      "zstd and zlib are read; trace-cmd convert --compression zstd",
      packingAt,
    );
  return { version, longSize, pageSize, packing: packing === "" ? "none" : packing, optionsAt };
}
