/** Damaged trace files: all rows up to the damage, and where it is; never a crash. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { InputError } from "../../src/observe/input-error.js";
import { EV_LOST } from "../../src/trace/events.js";
import { BLOCK_HEAD, writeBlockHead } from "../../src/trace/file/block-head.js";
import { BlockDecoder } from "../../src/trace/file/block-decode.js";
import { fileHead, section, TAG_EVENTS, viewOf } from "../../src/trace/file/layout.js";
import { BlockFault } from "../../src/trace/file/numbers.js";
import {
  allRows,
  batchOf,
  codec,
  fileOf,
  memoryWriter,
  NOTHING,
  openBytes,
  plainRows,
  type Row,
} from "./file-rows.js";
import { EventBatch } from "../../src/trace/events.js";

const BLOCKS = [0, 1, 2].map((i) => plainRows(50, i * 1e6));
const ROWS = BLOCKS.flat();

let whole: Uint8Array;
/** Where each section begins, and where the last ends. */
let places: number[];

function sectionsOf(bytes: Uint8Array): number[] {
  const found = [16];
  for (let at = 16; at < bytes.length;) {
    at += 16 + viewOf(bytes).getUint32(at + 4, true);
    found.push(at);
  }
  return found;
}

beforeAll(async () => {
  const { writer, bytes } = await memoryWriter();
  await writer.snapshot("before", Uint8Array.of(1, 2, 3));
  for (const rows of BLOCKS) {
    await writer.write(batchOf(rows));
    await writer.flush();
  }
  await writer.snapshot("after", Uint8Array.of(4, 5, 6));
  await writer.end({ ...NOTHING, lost: [3, 4] });
  whole = bytes.all();
  places = sectionsOf(whole);
});

/** What opening and reading gives: an error of the input, or rows and damage. */
async function outcome(bytes: Uint8Array): Promise<{ rows: Row[]; where: string }> {
  try {
    const file = await openBytes(bytes);
    const rows = await allRows(file);
    await file.close();
    return { rows, where: file.damage === null ? "" : `${file.damage.where}: ${file.damage.why}` };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { rows: [], where: error.message };
  }
}

const isBeginning = (rows: readonly Row[]): boolean =>
  rows.length % 50 === 0 && JSON.stringify(rows) === JSON.stringify(ROWS.slice(0, rows.length));

describe("a file that was cut", () => {
  it("at every byte: the blocks before it, and the byte", async () => {
    for (let end = 0; end < whole.length; end++) {
      const { rows, where } = await outcome(whole.subarray(0, end));
      // Sections: header, before, three blocks, after, summary, index, end.
      const before = places.slice(3, 6).filter((at) => at <= end).length;
      expect([end, rows.length]).toEqual([end, before * 50]);
      // Within the file's own head its beginning may be what is wrong.
      const byte = /^t\.mdt[:,] byte (\d+): /.exec(where)?.[1];
      expect([end, Number(byte)]).toEqual([end, end >= 8 ? end : 0]);
    }
  });

  it("without its end it is walked: rows, states and times are there", async () => {
    const file = await openBytes(whole.subarray(0, places[6]));
    expect(file).toMatchObject({ indexed: false, rows: 150, damage: null });
    expect(file.snapshots.before).toEqual(Uint8Array.of(1, 2, 3));
    expect(file.snapshots.after).toEqual(Uint8Array.of(4, 5, 6));
    file.seek(1e6);
    expect((await allRows(file)).length).toBe(100);
    expect(file.damage).toEqual({
      where: `t.mdt, byte ${places[6]}`,
      why: "ends without an index: it was cut, or its writer was killed",
    });
  });

  it("a slow trace is written before a block is full", async () => {
    const { writer, bytes } = await memoryWriter();
    const rows = Array.from({ length: 1000 }, (_, i): Row => [i * 4e6, 2, 0, 1, i, 0, 0, 0]);
    for (let at = 0; at < 1000; at += 100) await writer.write(batchOf(rows.slice(at, at + 100)));
    // Its writer is killed here.
    await writer.abort();
    const file = await openBytes(bytes.all());
    expect(await allRows(file)).toEqual(rows.slice(0, 600));
  });

  it("losses are counted from the rows where no summary says them", async () => {
    const lost = (cpu: number, n: number): Row => [7, EV_LOST, cpu, 0, n, 0, 0, 0];
    const bytes = await fileOf([[lost(1, 5), lost(1, 6), lost(2, -1)]]);
    const file = await openBytes(bytes.subarray(0, sectionsOf(bytes)[2]));
    await allRows(file);
    expect(file.lost).toEqual([0, 11, -1]);
  });
});

describe("a byte that was changed", () => {
  it("is found wherever it is, and all rows before it are there", async () => {
    for (let at = 0; at < whole.length; at++) {
      const bytes = whole.slice();
      bytes[at] ^= 1 << (at % 8);
      const { rows, where } = await outcome(bytes);
      expect([at, isBeginning(rows)]).toEqual([at, true]);
      // Bytes 12–15 are kept for later and mean nothing.
      expect([at, where === ""]).toEqual([at, at >= 12 && at < 16]);
      // All blocks that end before the change are there, and no block with one.
      const least = at < places[1] ? 0 : places.slice(3, 6).filter((end) => end <= at).length;
      const most = at >= places[2] && at < places[5] ? least : 3;
      const blocks = rows.length / 50;
      expect([at, blocks >= least, blocks <= most]).toEqual([at, true, true]);
    }
  });

  it("in a block: the byte is said, and what stands after it is there by the index", async () => {
    const bytes = whole.slice();
    bytes[places[3] + 70] ^= 4;
    const file = await openBytes(bytes);
    expect((await allRows(file)).length).toBe(50);
    expect(file.damage).toEqual({
      where: `t.mdt, byte ${places[3] + 16}`,
      why: "section evts is not what its sum says",
    });
    expect(file.snapshots.after).toEqual(Uint8Array.of(4, 5, 6));
    expect(file.lost).toEqual([3, 4]);
  });
});

describe("what cannot be read at all", () => {
  it("another version says what to do", async () => {
    const bytes = whole.slice();
    bytes[8] = 2;
    await expect(openBytes(bytes)).rejects.toThrow(
      "t.mdt: byte 8: trace file version 2 is not known; this program reads version 1 (a newer Memdesc wrote it: update this one)",
    );
  });

  it("something else", async () => {
    await expect(openBytes(new TextEncoder().encode("# tracer: nop\n"))).rejects.toThrow(
      "t.mdt: byte 0: does not begin as a trace file does",
    );
    await expect(openBytes(new Uint8Array(0))).rejects.toThrow(InputError);
  });

  it("a header of wrong types", async () => {
    const head = (json: string): Uint8Array =>
      new Uint8Array([
        ...fileHead(),
        ...section(viewOf(whole).getInt32(16, true), new TextEncoder().encode(json)),
      ]);
    await expect(openBytes(head("{"))).rejects.toThrow("should be JSON is none");
    await expect(openBytes(head("[]"))).rejects.toThrow("header is not an object");
    await expect(openBytes(head(`{"from":"x"}`))).rejects.toThrow("header.from is not one of");
    await expect(openBytes(head(`{"from":"ring","kernel":5}`))).rejects.toThrow(
      "header.kernel is not a text",
    );
  });
});

describe("bytes with right sums that no writer wrote", () => {
  /** A file with a block of this head and body. */
  async function forged(rows: number, body: Uint8Array, claimed: number): Promise<Uint8Array> {
    const packed = await codec.deflate(body);
    const head = writeBlockHead({ first: 0, last: 9, rows, body: claimed, lost: 0, lostRows: 0 });
    return new Uint8Array([...whole.slice(0, places[1]), ...section(TAG_EVENTS, head, packed)]);
  }

  it.each([
    [0, 10, "a block of 0 rows"],
    [70_000, 10, "a block of 70000 rows"],
    [1, 1e9, "cannot unpack to 1000000000"],
    [5, 200, "unpacks to 0 bytes, its head says 200"],
  ])("%i rows of %i bytes", async (rows, claimed, why) => {
    const { rows: got, where } = await outcome(await forged(rows, new Uint8Array(0), claimed));
    expect(got).toEqual([]);
    expect(where).toContain(claimed === 1e9 ? "cannot unpack to" : why);
  });

  it("what unpacks to more than its head says is not unpacked", async () => {
    const { where } = await outcome(await forged(5, new Uint8Array(1e6), 300));
    expect(where).toMatch(/cannot be unpacked|bytes cannot unpack/);
  });

  it("any bytes as a block's columns: rows or a fault", () => {
    const decoder = new BlockDecoder();
    const batch = new EventBatch(65_536);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.oneof(
          fc.uint8Array({ maxLength: 3000 }),
          fc
            .array(fc.constantFrom(0, 1, 2, 3, 255), { maxLength: 3000 })
            .map((a) => Uint8Array.from(a)),
        ),
        (rows, body) => {
          let fault: unknown = null;
          batch.length = 0;
          try {
            decoder.decode(body, rows, 0, batch);
          } catch (error) {
            fault = error;
          }
          expect(fault === null || fault instanceof BlockFault).toBe(true);
          expect(batch.length).toBeLessThanOrEqual(fault === null ? rows : 0);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("any bytes as a file, with a right beginning or none", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(3),
        fc.uint8Array({ maxLength: 400 }),
        fc.nat(whole.length),
        async (how, noise, at) => {
          const parts = [
            [noise],
            [fileHead(), noise],
            [whole.subarray(0, places[1 + (at % (places.length - 1))]), noise],
            [whole.subarray(0, at), noise, whole.subarray(at)],
          ];
          const bytes = new Uint8Array(Buffer.concat(parts[how]));
          const { rows } = await outcome(bytes);
          expect(isBeginning(rows)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

it("a head of a block has the length that the layout says", () => {
  const head = writeBlockHead({ first: 0, last: 0, rows: 1, body: 1, lost: 0, lostRows: 0 });
  expect(head.length).toBe(BLOCK_HEAD);
});
